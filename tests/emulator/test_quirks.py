"""Properties of the platform that can be switched, each to both of its readings."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.emulator.conftest import HandClock
from tests.emulator.making import (
    BILLING,
    deployed,
    finished_task,
    new_dataset,
    new_job,
    new_task,
    published,
    task_body,
)
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio


# --- deleted jobs ------------------------------------------------------------------------------------------------


async def test_a_deleted_job_takes_its_tasks_along(console: Console) -> None:
    """Running ones too."""
    job_id = await new_job(console)
    await finished_task(console, job_id=job_id)
    await new_task(console, job_id)
    assert (await console.v2_refused("finetuning", "DeleteFineTuningJob", jobId=job_id))[0] == 412
    console.emulator.quirks.job_delete_takes_tasks = True
    assert await console.v2("finetuning", "DeleteFineTuningJob", jobId=job_id) is True
    assert not console.emulator.tasks
    assert console.emulator.made("task") == 2


async def test_a_task_in_a_deleted_job(console: Console) -> None:
    """It trains, is seen, can be published, stopped and deleted, in both generations."""
    emulator = console.emulator
    job_id = await new_job(console)
    number = emulator.jobs[job_id].number
    v1_body = {
        "taskId": number,
        "baseTrainType": "ERNIE-Speed",
        "trainType": "ERNIE-Speed-8K",
        "trainMode": "SFT",
        "peftType": "LoRA",
        "trainConfig": {"epoch": 1, "learningRate": 3e-5},
        "trainset": [{"type": 1, "id": 111}],
        "trainsetRate": 20,
    }
    await console.v2("finetuning", "DeleteFineTuningJob", jobId=job_id)
    assert (await console.v2_refused("finetuning", "CreateFineTuningTask", **task_body(job_id)))[0] == 400
    assert (await console.v1_refused("finetune/createJob", **v1_body))[0] == 510202
    emulator.quirks.task_in_deleted_job = True
    task_id = await finished_task(console, job_id=job_id)
    assert (await console.v2("finetuning", "DescribeFineTuningTask", taskId=task_id))["jobName"] == "my_job"
    run = await console.v1("finetune/createJob", **v1_body)
    detail = await console.v1("finetune/jobDetail", taskId=number, jobId=run["id"])
    assert detail["trainStatus"] == "RUNNING"
    assert await console.v1("finetune/stopJob", taskId=number, jobId=run["id"]) is True
    assert await published(console, task_id)
    [job] = (await console.http.get("/_emulator")).json()["jobs"]
    assert [task["taskId"] for task in job["tasks"]] == [task_id, run["uuid"]]
    assert await console.v2("finetuning", "DeleteFineTuningTask", taskId=run["uuid"]) is True


# --- names of services -------------------------------------------------------------------------------------------


async def test_names_of_services(console: Console) -> None:
    service = await deployed(console)
    ids = {"modelSetId": service["modelSetId"], "modelId": service["modelId"]}
    body = {**ids, "name": "my_svc", "urlSuffix": "my_svc", "billing": BILLING}
    await console.v2("service", "CreateService", **body)
    assert console.emulator.made("service") == 2
    console.emulator.quirks.unique_service_names = True
    status, code, message = await console.v2_refused("service", "CreateService", **body)
    assert (status, code) == (400, "InappropriateJSON")
    assert "already exists" in message
    set_number = console.emulator.model_sets[ids["modelSetId"]].number
    model_number = console.emulator.models[ids["modelId"]].number
    v1_body = {"modelId": set_number, "modelVersionId": model_number, "name": "my_svc", "uri": "my_svc"}
    assert (await console.v1_refused("service/apply", **v1_body))[0] == 500001
    await console.v2("service", "CreateService", **{**body, "name": "other"})
    assert console.emulator.made("service") == 3


# --- listings ----------------------------------------------------------------------------------------------------


async def test_listings_that_lag(timed: Console, clock: HandClock) -> None:
    """What was made is known by its id at once, and by lists and names when it is old enough."""
    timed.emulator.quirks.listing_lag = 30
    dataset_id = await new_dataset(timed)
    group_id = timed.emulator.datasets[dataset_id].group_id
    service = await deployed(timed)
    model_set, model_id = service["modelSetId"], service["modelId"]
    task_id = (await timed.v2("model", "DescribeModel", modelId=model_id))["trainMeta"]["taskId"]
    job_id = timed.emulator.tasks[task_id].job_id

    async def listed() -> list[int]:
        lists = [
            (await timed.v2("dataset", "DescribeDatasets"))["datasetList"],
            (await timed.v2("dataset", "DescribeDatasetVersions", datasetId=group_id))["versionList"],
            (await timed.v2("finetuning", "DescribeFineTuningJobs"))["jobList"],
            (await timed.v2("finetuning", "DescribeFineTuningTasks", jobId=job_id))["taskList"],
            (await timed.v2("model", "DescribeCustomModelSets"))["modelSetList"],
            (await timed.v2("service", "DescribeServices"))["serviceList"],
            (await timed.v2("service", "DescribeServices", name="my_svc"))["serviceList"],
            (await timed.v1("service/list"))["custom"],
        ]
        return [len(found) for found in lists]

    named = {"modelSetName": "my model"}
    # The sample dataset was there all along.
    assert await listed() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert (await timed.v2_refused("model", "DescribeModelSet", **named))[0] == 400
    await timed.v2("model", "DescribeModelSet", modelSetId=model_set)
    assert len((await timed.v1("modelrepo/modelDetail", modelId=model_set))["modelVersionList"]) == 1
    await timed.v2("dataset", "DescribeDatasetVersion", versionId=dataset_id)
    clock.seconds += 30
    assert await listed() == [2, 1, 1, 1, 1, 1, 1, 1]
    assert (await timed.v2("model", "DescribeModelSet", **named))["modelSetId"] == model_set
    # A version that was added to an older set shows there later than the set.
    other = await finished_task(timed, job_id=await new_job(timed, "other"))
    body = {"modelSetId": model_set, "sourceType": "Train", "trainMeta": {"taskId": other}}
    added = (await timed.v2("model", "CreateCustomModel", **body))["modelId"]
    [entry] = (await timed.v2("model", "DescribeCustomModelSets"))["modelSetList"]
    assert entry["modelIds"] == [model_id]
    assert (await timed.v2("model", "DescribeModelSet", modelSetId=model_set))["modelIds"] == [model_id, added]


async def test_the_lag_of_a_late_request_counts_from_its_effect(timed: Console, clock: HandClock) -> None:
    job_id = await new_job(timed)
    timed.emulator.quirks.listing_lag = 10
    timed.emulator.faults.add("CreateFineTuningTask", late=20)
    with pytest.raises(httpx.ReadError):
        await new_task(timed, job_id)
    seen = []
    for _ in range(4):
        clock.seconds += 9
        seen.append(len((await timed.v2("finetuning", "DescribeFineTuningTasks", jobId=job_id))["taskList"]))
    assert seen == [0, 0, 0, 1]


async def walked(console: Console, action: str, key: str, size: int, **fields: Any) -> tuple[list[str], list[str]]:
    """The entries of a listing page after page, and the markers on the way."""
    entries: list[str] = []
    markers: list[str] = []
    while True:
        body = {"maxKeys": size, **fields, **({"marker": markers[-1]} if markers else {})}
        page = await console.v2("finetuning", action, **body)
        entries += [entry[key] for entry in page[key.replace("Id", "List")]]
        if not page["pageInfo"]["isTruncated"]:
            return entries, markers
        markers.append(page["pageInfo"]["nextMarker"])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("size", "repeats"), [(1, 0), (2, 3), (3, 1), (5, 0), (100, 0)])
async def test_pages_that_shift(console: Console, size: int, repeats: int, reverse: bool) -> None:
    """Every entry is told, some twice, and a walk ends."""
    job_id = await new_job(console)
    tasks = [await new_task(console, job_id) for _ in range(5)]
    ordered = tasks if reverse else tasks[::-1]
    assert (await walked(console, "DescribeFineTuningTasks", "taskId", size, jobId=job_id, pageReverse=reverse))[
        0
    ] == ordered
    console.emulator.quirks.pages_shift = True
    seen, markers = await walked(console, "DescribeFineTuningTasks", "taskId", size, jobId=job_id, pageReverse=reverse)
    assert list(dict.fromkeys(seen)) == ordered
    assert len(seen) - len(ordered) == repeats
    assert len(set(markers)) == len(markers)


# --- over HTTP ---------------------------------------------------------------------------------------------------


async def test_quirks_over_http(console: Console) -> None:
    usual = {
        "job_delete_takes_tasks": False,
        "task_in_deleted_job": False,
        "unique_service_names": False,
        "listing_lag": 0.0,
        "pages_shift": False,
    }
    assert (await console.http.get("/_emulator/quirks")).json() == usual
    changed = await console.http.post("/_emulator/quirks", json={"listing_lag": 3, "pages_shift": True})
    assert changed.json() == {**usual, "listing_lag": 3, "pages_shift": True}
    assert (console.emulator.quirks.listing_lag, console.emulator.quirks.pages_shift) == (3, True)
    for bad in (
        {"listing_lag": -1},
        {"listing_lag": True},
        {"listing_lag": "3"},
        {"pages_shift": 0},
        {"unique_service_names": True, "gravity": False},
        [],
    ):
        answer = await console.http.post("/_emulator/quirks", json=bad)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert console.emulator.quirks.unique_service_names is False
    assert (await console.http.post("/_emulator/quirks", content='{"listing_lag": 3}')).status_code == 415
    assert (await console.http.delete("/_emulator/quirks")).status_code == 415

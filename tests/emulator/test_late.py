"""Requests that take effect late, or twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from qianfan.emulator import Emulator
from qianfan.errors import InvalidArgumentError
from tests.emulator.conftest import HandClock
from tests.emulator.making import BILLING, finished_task, new_job, new_task, published, task_body
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio


async def lose(console: Console, area: str, action: str, **fields: Any) -> None:
    """Ask for something whose answer never comes."""
    with pytest.raises(httpx.ReadError):
        await console.post(f"/v2/{area}", fields, Action=action)


async def tasks_of(console: Console, job_id: str) -> list[str]:
    listed = await console.v2("finetuning", "DescribeFineTuningTasks", jobId=job_id)
    return [task["taskId"] for task in listed["taskList"]]


async def test_a_late_request_is_absent_until_it_is_due(timed: Console, clock: HandClock) -> None:
    emulator = timed.emulator
    job_id = await new_job(timed)
    emulator.faults.add("CreateFineTuningTask", late=30)
    await lose(timed, "finetuning", "CreateFineTuningTask", **task_body(job_id))
    clock.seconds += 29
    assert await tasks_of(timed, job_id) == []
    assert (emulator.late, emulator.made("task"), emulator.count("CreateFineTuningTask")) == ([], 0, 1)
    clock.seconds += 1
    [task_id] = await tasks_of(timed, job_id)
    [late] = emulator.late
    assert (late.name, late.due, late.status, late.id) == ("CreateFineTuningTask", clock.seconds, 200, task_id)
    assert late.error == ""
    assert (emulator.made("task"), emulator.count("CreateFineTuningTask")) == (1, 1)
    assert emulator.requests[1].status == 0


async def test_looking_at_the_state_brings_it_up_to_date(timed: Console, clock: HandClock) -> None:
    """Without another request, and longer after than a signature lasts."""
    job_id = await new_job(timed)
    timed.emulator.faults.add("CreateFineTuningTask", late=7200)
    await lose(timed, "finetuning", "CreateFineTuningTask", **task_body(job_id))
    assert not timed.emulator.tasks
    clock.seconds += 7200
    assert [task.job_id for task in timed.emulator.tasks.values()] == [job_id]


async def test_a_late_request_is_as_old_as_it_should_be(timed: Console, clock: HandClock) -> None:
    """It happens when it is due, however much later somebody looks."""
    emulator = timed.emulator
    job_id = await new_job(timed)
    emulator.training.script(seconds=100)
    emulator.faults.add("CreateFineTuningTask", late=10)
    await lose(timed, "finetuning", "CreateFineTuningTask", **task_body(job_id))
    due = clock.wall()
    clock.seconds += 60
    [task_id] = await tasks_of(timed, job_id)
    assert (emulator.tasks[task_id].created - due).total_seconds() == 10
    task = await timed.v2("finetuning", "DescribeFineTuningTask", taskId=task_id)
    assert task["runProgress"] == "50%"


async def test_late_requests_keep_the_order_they_are_due_in(timed: Console, clock: HandClock) -> None:
    emulator = timed.emulator
    for name, late in (("slow", 20), ("quick", 5), ("quicker", 5)):
        emulator.faults.add("CreateFineTuningJob", late=late)
        await lose(timed, "finetuning", "CreateFineTuningJob", name=name, model="ERNIE-Speed-8K", trainMode="SFT")
    clock.seconds += 60
    assert [job.name for job in emulator.jobs.values()] == ["quick", "quicker", "slow"]
    assert [late.id for late in emulator.late] == list(emulator.jobs)


async def test_a_late_task_in_a_deleted_job_is_refused(timed: Console, clock: HandClock) -> None:
    """What fencing rests on: the job it names is gone by then."""
    emulator = timed.emulator
    job_id = await new_job(timed)
    emulator.faults.add("CreateFineTuningTask", late=10)
    await lose(timed, "finetuning", "CreateFineTuningTask", **task_body(job_id))
    await timed.v2("finetuning", "DeleteFineTuningJob", jobId=job_id)
    clock.seconds += 10
    assert not emulator.tasks
    [late] = emulator.late
    assert (late.status, late.id) == (400, "")
    assert job_id in late.error
    assert (emulator.made("job"), emulator.made("task")) == (1, 0)


async def test_a_late_task_in_a_deleted_job_by_the_other_reading(timed: Console, clock: HandClock) -> None:
    timed.emulator.quirks.task_in_deleted_job = True
    job_id = await new_job(timed)
    timed.emulator.faults.add("CreateFineTuningTask", late=10)
    await lose(timed, "finetuning", "CreateFineTuningTask", **task_body(job_id))
    await timed.v2("finetuning", "DeleteFineTuningJob", jobId=job_id)
    clock.seconds += 10
    assert list(timed.emulator.tasks) == [timed.emulator.late[0].id]


async def test_a_late_request_may_find_its_name_taken(timed: Console, clock: HandClock) -> None:
    timed.emulator.faults.add("CreateFineTuningJob", late=10)
    await lose(timed, "finetuning", "CreateFineTuningJob", name="my_job", model="ERNIE-Speed-8K", trainMode="SFT")
    job_id = await new_job(timed, "my_job")
    clock.seconds += 10
    assert list(timed.emulator.jobs) == [job_id]
    assert "JOB_NAME_TAKEN" in timed.emulator.late[0].error


async def test_a_late_publication_names_the_version_it_made(timed: Console, clock: HandClock) -> None:
    """Refusals of the first generation come with HTTP 200; the reason tells them apart."""
    task_id = await finished_task(timed)
    meta = {"taskId": timed.emulator.tasks[task_id].job_id, "iterationId": task_id}
    body = {"isNewModel": True, "modelName": "m", "versionMeta": meta}
    for _ in range(2):
        timed.emulator.faults.add("publishTrainModel", late=1)
        with pytest.raises(httpx.ReadError):
            await timed.post("/wenxinworkshop/modelrepo/publishTrainModel", body)
    clock.seconds += 1
    first, second = timed.emulator.late
    assert [first.id] == list(timed.emulator.models)
    assert (second.status, second.id, second.error[:16]) == (200, "", "MODEL_NAME_TAKEN")


async def test_who_is_not_let_in_stays_out_when_it_is_late(timed: Console, clock: HandClock) -> None:
    timed.emulator.faults.add("*", late=5)
    with pytest.raises(httpx.ReadError):
        await timed.http.post("/v2/finetuning?Action=CreateFineTuningJob", json={"name": "my_job"})
    timed.emulator.faults.add("*", late=5)
    with pytest.raises(httpx.ReadError):
        await timed.http.post("/v2/finetuning?Action=CreateFineTuningJob", content="nonsense", auth=timed.auth)
    clock.seconds += 5
    assert [late.status for late in timed.emulator.late] == [403, 400]
    assert all(late.error for late in timed.emulator.late)
    assert not timed.emulator.jobs


async def test_what_is_due_during_a_delay_comes_first(timed: Console) -> None:
    emulator = timed.emulator
    emulator.faults.add("CreateFineTuningJob", late=5)
    await lose(timed, "finetuning", "CreateFineTuningJob", name="early", model="ERNIE-Speed-8K", trainMode="SFT")
    emulator.faults.add("CreateFineTuningJob", delay=10)
    await new_job(timed, "waiting")
    assert [job.name for job in emulator.jobs.values()] == ["early", "waiting"]


async def test_late_effects_are_written_down(tmp_path: Path, clock: HandClock) -> None:
    for look in ("request", "state"):
        folder = tmp_path / look
        with Emulator(data_dir=folder, activate=False, clock=clock, engine="scripted") as emulator:
            async with Console(emulator) as console:
                console.auth._now = clock.wall()
                emulator.faults.add("CreateFineTuningJob", late=5)
                await lose(
                    console, "finetuning", "CreateFineTuningJob", name="my_job", model="ERNIE-Speed-8K", trainMode="SFT"
                )
                clock.seconds += 5
                if look == "request":
                    await console.http.get("/_emulator")
                else:
                    assert emulator.made("job") == 1
        with Emulator(data_dir=folder, activate=False, clock=clock, engine="scripted") as later:
            assert [job.name for job in later.jobs.values()] == ["my_job"]
            assert later.made("job") == 1


async def test_a_reset_forgets_what_is_under_way(timed: Console, clock: HandClock) -> None:
    timed.emulator.faults.add("CreateFineTuningJob", late=5)
    await lose(timed, "finetuning", "CreateFineTuningJob", name="my_job", model="ERNIE-Speed-8K", trainMode="SFT")
    timed.emulator.reset()
    clock.seconds += 5
    assert not timed.emulator.jobs
    assert timed.emulator.late == []


async def test_objects_are_neither_late_nor_twice(console: Console) -> None:
    console.emulator.faults.add("*", late=0)
    assert (await console.put("my-bucket", "k", b"x")).status_code == 200
    await lose(console, "finetuning", "DescribeFineTuningJobs")


# --- twice -------------------------------------------------------------------------------------------------------


async def test_a_doubled_task(console: Console) -> None:
    """Two tasks, and the client knows of the second."""
    job_id = await new_job(console)
    console.emulator.faults.add("CreateFineTuningTask", twice=True)
    answered = await new_task(console, job_id)
    assert list(console.emulator.tasks)[1] == answered
    assert len(await tasks_of(console, job_id)) == 2
    assert (console.emulator.made("task"), console.emulator.count("CreateFineTuningTask")) == (2, 1)


async def test_a_doubled_request_that_is_lost(console: Console) -> None:
    job_id = await new_job(console)
    console.emulator.faults.add("CreateFineTuningTask", twice=True, drop="after")
    await lose(console, "finetuning", "CreateFineTuningTask", **task_body(job_id))
    assert console.emulator.made("task") == 2


async def test_a_unique_name_refuses_the_double(console: Console) -> None:
    """Then the first is answered."""
    console.emulator.faults.add("CreateFineTuningJob", twice=True)
    assert await new_job(console) in console.emulator.jobs
    assert console.emulator.made("job") == 1


async def test_doubled_services(console: Console) -> None:
    set_id, model_id = await published(console)
    body = {"modelSetId": set_id, "modelId": model_id, "name": "svc", "urlSuffix": "svc", "billing": BILLING}
    console.emulator.faults.add("CreateService", twice=True)
    await console.v2("service", "CreateService", **body)
    assert console.emulator.made("service") == 2


@pytest.mark.parametrize(
    "order",
    [
        {"late": -1},
        {"late": "soon"},
        {"late": True},
        {"twice": 1},
        {"late": 1, "status": 500},
        {"late": 1, "twice": True},
        {"late": 1, "drop": "after"},
        {"twice": True, "drop": "before"},
        {"twice": True, "body": "<html>"},
        {"twice": True, "stream": "error"},
    ],
)
async def test_orders_that_exclude_each_other(emulator: Emulator, order: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        emulator.faults.add("x", **order)

"""Datasets through both generations of the API."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.emulator.making import dialogue, imported, new_dataset, released
from tests.emulator.signing import Console, authorization

pytestmark = pytest.mark.anyio


async def info(console: Console, dataset_id: Any) -> dict[str, Any]:
    version: dict[str, Any] = (await console.v1("dataset/info", datasetId=dataset_id))["versionInfo"]
    return version


@pytest.mark.parametrize("key", [111, "111", "ds-sampledataset111"])
async def test_the_sample_dataset_has_twins(console: Console, key: int | str) -> None:
    version = await info(console, key)
    assert (version["datasetPK"], version["datasetId"], version["templateType"]) == ("ds-sampledataset111", 111, 2000)
    assert (version["importStatus"], version["releaseStatus"]) == (2, 2)
    assert version["entityCount"] == version["annotatedEntityCount"] >= 120


async def test_states_change_before_the_call_is_answered(console: Console) -> None:
    """A client takes 0 as an end, so import and release must be running as soon as they are asked for."""
    dataset_id = await new_dataset(console)
    assert (await console.v1("dataset/statusList", datasetIds=[dataset_id]))[dataset_id]["importStatus"] == -1
    console.emulator.imports.script(after_looks=1)
    console.emulator.releases.script(after_looks=1)
    await console.put("my-bucket", "data/rows.jsonl", dialogue(3))
    body = {"datasetId": dataset_id, "annotated": True, "importFrom": 1, "files": ["bos:/my-bucket/data/rows.jsonl"]}
    assert await console.v1("dataset/import", **body) is True
    states = [(await info(console, dataset_id))["importStatus"] for _ in range(2)]
    assert states == [1, 2]
    await console.v1("dataset/release", datasetId=dataset_id)
    states = [(await info(console, dataset_id))["releaseStatus"] for _ in range(2)]
    assert states == [1, 2]


async def test_counts_come_from_the_data(console: Console) -> None:
    rows = [[{"prompt": "你好", "response": [["您好"]]}], [{"system": "s", "prompt": "ab", "response": "cd"}]]
    dataset_id = await imported(console, b"\n".join(json.dumps(row).encode() for row in rows))
    version = await info(console, dataset_id)
    assert (version["entityCount"], version["annotatedEntityCount"], version["characterCount"]) == (2, 2, 9)


TURN = {"prompt": "p", "response": [["r"]]}


@pytest.mark.parametrize(
    ("template", "line", "reason"),
    [
        (2000, "not json", "not JSON"),
        (2000, json.dumps(TURN), "a list of turns"),
        (2000, json.dumps([]), "a list of turns"),
        (2000, json.dumps(["text"]), "a turn is an object"),
        (2000, json.dumps([{"prompt": "", "response": [["r"]]}]), "'prompt'"),
        (2000, json.dumps([{"prompt": "p", "response": [["a", "b"]]}]), "exactly one text"),
        (2000, json.dumps([{"prompt": "p", "response": [[" "]]}]), "must not be empty"),
        (2001, json.dumps([TURN]), "ranked"),
        (2002, json.dumps([{"user": "u", "chosen": "c"}]), "both"),
        (2002, json.dumps([{"user": "u", "chosen": "c", "rejected": ""}]), "'rejected'"),
        (40200, json.dumps("text"), "an object"),
        (40200, json.dumps({"prompt": 3}), "'prompt'"),
    ],
)
async def test_a_bad_line_fails_the_import_and_is_reported(
    console: Console, template: int, line: str, reason: str
) -> None:
    good = {2000: [TURN], 2001: [{"prompt": "p", "response": [["a"], ["b"]]}], 40200: {"prompt": "p"}}
    good[2002] = [{"user": "q", "assistant": "a"}, {"user": "u", "chosen": "c", "rejected": "r"}]
    first = json.dumps(good[template])
    dataset_id = await imported(console, f"{first}\n{line}\n".encode(), template)
    version = await info(console, dataset_id)
    assert version["importStatus"] == 3
    assert version["entityCount"] == 0
    detail = await console.v1("dataset/importErrorDetail", datasetId=dataset_id, errCode=version["errCode"])
    [bad] = detail["content"]
    assert (bad["textLocation"], bad["textContent"], bad["sampleFileName"]) == (2, line, "rows.jsonl")
    assert reason in bad["reason"]


async def test_other_encodings_are_refused(console: Console) -> None:
    dataset_id = await imported(console, json.dumps([TURN], ensure_ascii=False).replace("p", "问").encode("gbk"))
    assert (await info(console, dataset_id))["importStatus"] == 3
    [bad] = (await console.v1("dataset/importErrorDetail", datasetId=dataset_id, errCode=1))["content"]
    assert "UTF-8" in bad["reason"]


@pytest.mark.parametrize(
    ("template", "row"),
    [
        (2001, [{"prompt": "p", "response": [["best"], ["second"]], "score": [1, 0]}]),
        (2002, [{"user": "q1", "assistant": "a1"}, {"user": "q2", "chosen": "good", "rejected": "bad"}]),
        (40200, {"prompt": "p"}),
        (40200, [{"prompt": "p"}]),
    ],
)
async def test_other_templates(console: Console, template: int, row: Any) -> None:
    dataset_id = await imported(console, json.dumps(row).encode(), template)
    version = await info(console, dataset_id)
    assert (version["importStatus"], version["entityCount"]) == (2, 1)


async def test_a_failed_import_can_be_repeated(console: Console) -> None:
    dataset_id = await imported(console, b"nonsense")
    await console.put("my-bucket", "data/rows.jsonl", dialogue(3))
    body = {"datasetId": dataset_id, "annotated": True, "importFrom": 1, "files": ["bos:/my-bucket/data/rows.jsonl"]}
    await console.v1("dataset/import", **body)
    version = await info(console, dataset_id)
    assert (version["importStatus"], version["entityCount"]) == (2, 3)


async def test_an_object_that_is_missing_fails_the_import(console: Console) -> None:
    dataset_id = await new_dataset(console)
    body = {"datasetId": dataset_id, "annotated": True, "importFrom": 1, "files": ["bos:/my-bucket/none.jsonl"]}
    await console.v1("dataset/import", **body)
    version = await info(console, dataset_id)
    assert version["importStatus"] == 3
    assert "does not exist" in version["importErrorInfo"]["message"]


async def test_the_data_survives_the_deletion_of_its_object(console: Console) -> None:
    dataset_id = await imported(console, dialogue(3))
    await console.http.delete("/my-bucket/data/rows.jsonl", auth=console.auth)
    await console.v1("dataset/release", datasetId=dataset_id)
    assert (await info(console, dataset_id))["entityCount"] == 3


async def test_texts_come_as_an_archive_by_link(console: Console) -> None:
    """Plain text is zipped, uploaded, and imported by a pre-signed link, one file a row."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("0.txt", "first text")
        archive.writestr("1.txt", "second text\nof two lines")
    await console.put("my-bucket", "data/texts 一.zip", packed.getvalue())
    settings, path = console.emulator.settings, f"/my-bucket/data/{quote('texts 一.zip')}"
    url = httpx.URL(console.emulator.base_url + path)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    value = authorization(
        method="GET",
        url=url,
        headers={"host": url.host},
        access_key=settings["ACCESS_KEY"],
        secret_key=settings["SECRET_KEY"],
        timestamp=now,
    )
    dataset_id = await new_dataset(console, 40100)
    body = {"datasetId": dataset_id, "annotated": True, "importFrom": 2}
    await console.v1("dataset/import", **body, files=[f"{url}?authorization={quote(value, safe='')}"])
    version = await info(console, dataset_id)
    assert (version["importStatus"], version["entityCount"]) == (2, 2)
    await console.v1("dataset/release", datasetId=dataset_id)
    assert (await info(console, dataset_id))["releaseStatus"] == 2


async def test_a_link_with_a_bad_signature_fails_the_import(console: Console) -> None:
    dataset_id = await new_dataset(console, 40100)
    link = f"{console.emulator.base_url}/my-bucket/a.zip?authorization=x"
    await console.v1("dataset/import", datasetId=dataset_id, annotated=True, importFrom=2, files=[link])
    assert (await info(console, dataset_id))["importStatus"] == 3


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"templateType": 9}, "templateType"),
        ({"projectType": 401}, "projectType"),
        ({"dataType": 7}, "dataType"),
        ({"storageType": "disk"}, "storageType"),
        ({"storageId": None}, "storageId"),
        ({"rawStoragePath": "data"}, "rawStoragePath"),
    ],
)
async def test_create_checks_its_fields(console: Console, change: dict[str, Any], field: str) -> None:
    body: dict[str, Any] = {"name": "d", "versionId": 1, "projectType": 20, "templateType": 2000, "dataType": 4}
    body |= {"storageType": "usrBos", "storageId": "my-bucket", "rawStoragePath": "/data/", **change}
    code, message = await console.v1_refused("dataset/create", **body)
    assert code == "InvalidParam"
    assert message.endswith(f"param[{field}] invalid.")


async def test_rules_of_release_and_import(console: Console) -> None:
    """No release without an import, no release of unannotated dialogues, no import into a released version."""
    empty = await new_dataset(console)
    assert "no finished import" in (await console.v1_refused("dataset/release", datasetId=empty))[1]
    bare = await imported(console, json.dumps([{"prompt": "p"}]).encode(), file="bare.jsonl")
    assert "not annotated" in (await console.v1_refused("dataset/release", datasetId=bare))[1]
    done = await released(console, dialogue(2), file="done.jsonl")
    body = {"datasetId": done, "annotated": True, "importFrom": 1, "files": ["bos:/my-bucket/data/done.jsonl"]}
    code, message = await console.v1_refused("dataset/import", **body)
    assert (code, "is published" in message) == ("InvalidState", True)
    assert "already" in (await console.v1_refused("dataset/release", datasetId=done))[1]


async def test_scripted_failures(console: Console) -> None:
    emulator = console.emulator
    emulator.imports.script(ends="ImportFailed", reason="disk on fire", times=1)
    dataset_id = await imported(console, dialogue(3))
    assert (await info(console, dataset_id))["importErrorInfo"]["message"] == "disk on fire"
    dataset_id = await imported(console, dialogue(3), file="b.jsonl")
    emulator.releases.script(ends="PublishFailed")
    await console.v1("dataset/release", datasetId=dataset_id)
    version = await info(console, dataset_id)
    assert (version["releaseStatus"], version["releaseErrCode"] is not None) == (3, True)


async def test_delete_takes_the_group_with_the_last_version(console: Console) -> None:
    made = await console.v2("dataset", "CreateDataset", datasetName="d", dataFormat="Text", storageType="sysStorage")
    second = await console.v2("dataset", "CreateDatasetVersion", datasetId=made["datasetId"])
    assert (await console.v1("dataset/delete", datasetId=second["versionId"]))["versionCount"] == 1
    assert (await console.v1("dataset/delete", datasetId=made["versionId"]))["versionCount"] == 0
    assert (await console.v2_refused("dataset", "DescribeDatasetVersions", datasetId=made["datasetId"]))[0] == 400


async def test_unknown_ids_name_the_field(console: Console) -> None:
    assert (await console.v1_refused("dataset/info", datasetId="ds-none"))[1].endswith("param[datasetId] invalid.")
    status, code, message = await console.v2_refused("dataset", "DescribeDatasetVersion", versionId="ds-none")
    assert (status, code, message.endswith("param[versionId] invalid.")) == (400, "InappropriateJSON", True)


# --- V2 ----------------------------------------------------------------------------------------------------------


async def test_the_v2_chain(console: Console) -> None:
    """Create, import, publish by the newer API, and see the same through the older one."""
    path = "bos:/my-bucket/v2/"
    made = await console.v2(
        "dataset", "CreateDataset", datasetName="d", dataFormat="PromptResponse", storageType="BOS", storagePath=path
    )
    version = made["versionId"]
    await console.put("my-bucket", "v2/a.jsonl", dialogue(3))
    await console.put("my-bucket", "v2/b.jsonl", dialogue(4))
    console.emulator.imports.script(after_looks=1)
    task = await console.v2("dataset", "CreateImportTask", versionId=version, files=[path])
    looks = [await console.v2("dataset", "DescribeImportTask", taskId=task) for _ in range(2)]
    assert [(look["importStatus"], look["progress"]) for look in looks] == [
        ("Importing", "50%"),
        ("ImportFinished", "100%"),
    ]
    assert (looks[0]["finishTime"], looks[1]["sampleCount"]) == ("", 7)
    assert await console.v2("dataset", "PublishDatasetVersion", versionId=version) is True
    seen = await console.v2("dataset", "DescribeDatasetVersion", versionId=version)
    assert (seen["importStatus"], seen["publishStatus"], seen["versionNumber"]) == ("ImportFinished", "Published", 1)
    assert (await info(console, version))["entityCount"] == 7


async def test_v2_failure_shows_in_the_task(console: Console) -> None:
    made = await console.v2(
        "dataset", "CreateDataset", datasetName="d", dataFormat="DPO_PromptChosenRejected", storageType="sysStorage"
    )
    await console.put("my-bucket", "x.jsonl", dialogue(3))
    task = await console.v2(
        "dataset", "CreateImportTask", versionId=made["versionId"], files=["bos:/my-bucket/x.jsonl"]
    )
    look = await console.v2("dataset", "DescribeImportTask", taskId=task)
    assert (look["importStatus"], look["progress"]) == ("ImportFailed", "0")


async def test_v2_state_conflicts(console: Console) -> None:
    status, code, _ = await console.v2_refused("dataset", "PublishDatasetVersion", versionId="ds-sampledataset111")
    assert (status, code) == (412, "PreconditionFailed")


async def test_lists_by_marker(console: Console) -> None:
    for place in range(5):
        await console.v2(
            "dataset", "CreateDataset", datasetName=f"d{place}", dataFormat="Text", storageType="sysStorage"
        )
    body: dict[str, Any] = {"maxKeys": 2, "filter": {"dataFormatList": ["Text"]}}
    names: list[str] = []
    while True:
        page = await console.v2("dataset", "DescribeDatasets", **body)
        names += [entry["datasetName"] for entry in page["datasetList"]]
        assert len(page["datasetList"]) <= 2
        if not page["pageInfo"]["isTruncated"]:
            assert "nextMarker" not in page["pageInfo"]
            break
        body["marker"] = page["pageInfo"]["nextMarker"]
    assert names == ["d4", "d3", "d2", "d1", "d0"]
    page = await console.v2("dataset", "DescribeDatasets", maxKeys=1000, pageReverse=True)
    assert page["pageInfo"]["maxKeys"] == 100
    assert [entry["datasetName"] for entry in page["datasetList"]][:2] == ["sample", "d0"]


async def test_versions_are_filtered_by_state(console: Console) -> None:
    group = "dg-sampledataset111"
    await console.v2("dataset", "CreateDatasetVersion", datasetId=group, description="second")
    wanted = {"publishStatusList": ["Unpublished"], "importStatusList": ["Created"]}
    page = await console.v2("dataset", "DescribeDatasetVersions", datasetId=group, filter=wanted)
    assert [entry["description"] for entry in page["versionList"]] == ["second"]
    assert await console.v2("dataset", "DeleteDataset", datasetId=group) is True
    assert not console.emulator.datasets

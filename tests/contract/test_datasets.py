"""Datasets by their documented names, both generations: versions, rows, cleaning, augmentation, exports."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import Any

import httpx
import pytest

from qianfan.emulator.account import Account
from qianfan.emulator.handlers.storing import store
from qianfan.emulator.records import Dataset
from qianfan.errors import APIError, InvalidArgumentError
from qianfan.resources import Data
from qianfan.resources.console.consts import (
    V2,
    DataExportDestinationType,
    DataProjectType,
    DataSetType,
    DataSourceType,
    DataStorageType,
    DataTemplateType,
    EntityListingType,
    ETLTaskStatus,
)
from tests.contract.conftest import Faces

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

BUCKET = "my-bucket"
PLACE = f"bos:/{BUCKET}/data/rows.jsonl"


def dialogue(count: int) -> list[Any]:
    return [[{"prompt": f"question {n}", "response": [[f"answer {n}"]]}] for n in range(count)]


def put(account: Account, key: str, rows: list[Any] | bytes) -> str:
    """Lay a file of rows into the bucket; its place."""
    content = rows if isinstance(rows, bytes) else b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    with account.lock:
        store(account, BUCKET, key, content, "text/plain")
    return f"bos:/{BUCKET}/{key}"


def version(account: Account, dataset_id: str) -> Dataset:
    with account.lock:
        found = account.datasets.get(dataset_id)
        assert found is not None
        return found.model_copy(deep=True)


def rows_in(account: Account, dataset_id: str) -> list[Any]:
    """What lies in the files of a version."""
    dataset = version(account, dataset_id)
    with account.lock:
        files = [account.blob_of(part).read() for part in dataset.sources]
    return [json.loads(line) for file in files for line in file.splitlines()]


async def new_version(ask: Faces, template: DataTemplateType = DataTemplateType.NonSortedConversation) -> str:
    made = await ask(
        Data,
        "create_bare_dataset",
        "my data",
        template.set_type,
        template.project_type,
        template,
        DataStorageType.PrivateBos,
        BUCKET,
        "/data",
    )
    dataset_id: str = made["result"]["datasetId"]
    return dataset_id


async def imported(
    ask: Faces,
    account: Account,
    rows: list[Any] | bytes,
    template: DataTemplateType = DataTemplateType.NonSortedConversation,
    file: str = "data/rows.jsonl",
) -> str:
    """A version that an import into it was looked at."""
    dataset_id = await new_version(ask, template)
    place = put(account, file, rows)
    await ask(Data, "create_data_import_task", dataset_id, True, DataSourceType.PrivateBos, place)
    await ask(Data, "get_dataset_info", dataset_id)
    return dataset_id


async def opened(link: str) -> bytes:
    """What a link leads to, without credentials."""
    async with httpx.AsyncClient() as http:
        answer = await http.get(link)
    assert answer.status_code == 200, answer.text
    return answer.content


def members(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- versions, V1 ------------------------------------------------------------------------------------------------


@pytest.mark.covers("/dataset/create", "/dataset/import", "/dataset/info", "/dataset/release", "/dataset/delete")
async def test_a_version_from_creation_to_deletion(ask: Faces, account: Account) -> None:
    account.stages.imports.script(after_looks=1)
    dataset_id = await new_version(ask)
    fresh = version(account, dataset_id)
    with account.lock:
        group = account.groups.get(fresh.group_id)
    assert group is not None
    assert (group.name, group.data_format, group.bucket, group.folder) == (
        "my data",
        "PromptResponse",
        BUCKET,
        "/data/",
    )
    sent = put(account, "data/rows.jsonl", dialogue(3))
    assert (await ask(Data, "create_data_import_task", dataset_id, True, DataSourceType.PrivateBos, sent))["result"]
    running = (await ask(Data, "get_dataset_info", dataset_id))["result"]["versionInfo"]
    assert (running["importStatus"], running["importProgress"]) == (1, 50)
    done = (await ask(Data, "get_dataset_info", dataset_id))["result"]["versionInfo"]
    assert (done["importStatus"], done["entityCount"], done["annotatedEntityCount"]) == (2, 3, 3)
    assert rows_in(account, dataset_id) == dialogue(3)
    await ask(Data, "release_dataset", dataset_id)
    await ask(Data, "get_dataset_info", dataset_id)
    assert version(account, dataset_id).release_state == "Published"
    assert (await ask(Data, "delete_dataset", dataset_id))["result"] == {"versionCount": 0}
    with account.lock:
        assert (account.datasets.get(dataset_id), account.groups.get(group.id)) == (None, None)


@pytest.mark.covers("/dataset/statusList")
async def test_the_states_of_several_versions(ask: Faces, account: Account) -> None:
    dataset_id = await imported(ask, account, dialogue(2))
    states = (await ask(Data, "get_dataset_status_in_batch", [dataset_id, "111"]))["result"]
    assert states[dataset_id]["entityCount"] == 2
    assert (states["111"]["releaseStatus"], states["111"]["etlStatus"], states["111"]["enhanceStatus"]) == (2, 0, -1)


@pytest.mark.covers("/dataset/importErrorDetail")
async def test_what_was_wrong_with_an_import(ask: Faces, account: Account) -> None:
    dataset_id = await imported(ask, account, b'[{"prompt": "p"}]\nnonsense\n')
    info = (await ask(Data, "get_dataset_info", dataset_id))["result"]["versionInfo"]
    assert (info["importStatus"], info["entityCount"]) == (3, 0)
    detail = (await ask(Data, "get_dataset_import_error_detail", dataset_id, info["errCode"]))["result"]
    [line] = detail["content"]
    assert (line["textLocation"], line["textContent"], line["sampleFileName"]) == (2, "nonsense", "rows.jsonl")
    report = json.loads(await opened(detail["downloadUrl"]))
    assert (report["file"], report["number"], report["text"]) == ("rows.jsonl", 2, "nonsense")


@pytest.mark.covers("/dataset/export", "/dataset/exportRecord")
async def test_exports_of_the_first_generation(ask: Faces, account: Account) -> None:
    """To the platform with the answers, then to a bucket of one's own without them."""
    dataset_id = await imported(ask, account, dialogue(2))
    await ask(Data, "create_dataset_export_task", dataset_id, DataExportDestinationType.PlatformBos)
    await ask(Data, "get_dataset_info", dataset_id)
    with pytest.raises(InvalidArgumentError, match="bucket"):
        await ask(Data, "create_dataset_export_task", dataset_id, DataExportDestinationType.PrivateBos)
    await ask(
        Data,
        "create_dataset_export_task",
        dataset_id,
        DataExportDestinationType.PrivateBos,
        BUCKET,
        is_export_with_annotation=False,
    )
    await ask(Data, "get_dataset_info", dataset_id)
    bare, whole = (await ask(Data, "get_dataset_export_records", dataset_id))["result"]
    assert (whole["status"], whole["exportTo"], whole["exportType"], whole["recordNum"]) == (2, 0, 1, 2)
    lines = members(await opened(whole["downloadUrl"]))["1.jsonl"].splitlines()
    assert [json.loads(line) for line in lines] == dialogue(2)
    assert (bare["exportTo"], bare["exportType"], bare["storageId"]) == (1, 2, BUCKET)
    with account.lock:
        stored = account.buckets.get(BUCKET, bare["storagePath"].lstrip("/"))
        assert stored is not None
        kept = members(account.blob_of(stored.source).read())["1.jsonl"]
    assert [json.loads(line) for line in kept.splitlines()] == [[{"prompt": f"question {n}"}] for n in range(2)]


async def test_kinds_that_do_not_belong_together(ask: Faces) -> None:
    kind = (DataSetType.MultiModel, DataProjectType.Conversation, DataTemplateType.NonSortedConversation)
    with pytest.raises(InvalidArgumentError, match="data type"):
        await ask(Data, "create_bare_dataset", "mine", *kind)
    kind = (DataSetType.TextOnly, DataProjectType.Conversation, DataTemplateType.NonSortedConversation)
    with pytest.raises(InvalidArgumentError, match="a bucket and a folder"):
        await ask(Data, "create_bare_dataset", "mine", *kind, DataStorageType.PrivateBos)


# --- versions, V2 ------------------------------------------------------------------------------------------------


@pytest.mark.covers(
    "CreateDataset",
    "DescribeDatasets",
    "CreateDatasetVersion",
    "DescribeDatasetVersion",
    "DescribeDatasetVersions",
    "DeleteDatasetVersion",
    "DeleteDataset",
)
async def test_datasets_and_their_versions(ask: Faces, account: Account) -> None:
    place = f"bos:/{BUCKET}/mine/"
    made = (await ask(Data.V2, "create_dataset", "mine", V2.DatasetFormat.Text, V2.StorageType.Bos, place))["result"]
    group, first = made["datasetId"], made["versionId"]
    listed = await ask(Data.V2, "get_dataset_list", max_keys=1, filter={"dataFormatList": ["Text"]})
    assert [entry["datasetId"] for entry in listed["result"]["datasetList"]] == [group]
    second = (await ask(Data.V2, "create_dataset_version", group, "more of it"))["result"]["versionId"]
    told = (await ask(Data.V2, "get_dataset_version_info", second))["result"]
    assert (told["datasetId"], told["versionNumber"], told["description"]) == (group, 2, "more of it")
    assert (told["storageType"], told["storagePath"], told["importStatus"]) == ("BOS", place, "Created")
    wanted = {"importStatusList": ["Created"], "publishStatusList": ["Unpublished"]}
    versions = await ask(Data.V2, "get_dataset_version_list", group, page_reverse=True, filter=wanted)
    assert [entry["versionId"] for entry in versions["result"]["versionList"]] == [first, second]
    none = await ask(Data.V2, "get_dataset_version_list", group, filter={"publishStatusList": ["Published"]})
    assert none["result"]["versionList"] == []
    assert (await ask(Data.V2, "delete_dataset_version", first))["result"] is True
    with account.lock:
        assert account.datasets.get(first) is None
    await ask(Data.V2, "delete_dataset", group)
    with account.lock:
        assert (account.groups.get(group), account.datasets.get(second)) == (None, None)


@pytest.mark.covers("CreateImportTask", "DescribeImportTask", "PublishDatasetVersion")
async def test_imports_of_the_second_generation(ask: Faces, account: Account) -> None:
    """Each import tells of itself: a folder, then a file that is bad."""
    kind = (V2.DatasetFormat.PromptResponse, V2.StorageType.SysStorage)
    version_id = (await ask(Data.V2, "create_dataset", "mine", *kind))["result"]["versionId"]
    put(account, "in/a.jsonl", dialogue(2))
    put(account, "in/b.jsonl", dialogue(3))
    account.stages.imports.script(after_looks=1, times=1)
    first = await ask(Data.V2, "create_dataset_version_import_task", version_id, [f"bos:/{BUCKET}/in/"])
    looks = [(await ask(Data.V2, "get_dataset_version_import_task_info", first["result"]))["result"] for _ in range(2)]
    assert [(look["importStatus"], look["progress"]) for look in looks] == [
        ("Importing", "50%"),
        ("ImportFinished", "100%"),
    ]
    assert (looks[0]["finishTime"], looks[1]["sampleCount"], looks[1]["errDownloadUrl"]) == ("", 5, "")
    bad = put(account, "in/bad.jsonl", b"nonsense")
    second = await ask(Data.V2, "create_dataset_version_import_task", version_id, [bad])
    failed = (await ask(Data.V2, "get_dataset_version_import_task_info", second["result"]))["result"]
    assert (failed["importStatus"], failed["progress"], failed["sampleCount"]) == ("ImportFailed", "0", 0)
    assert json.loads(await opened(failed["errDownloadUrl"]))["text"] == "nonsense"
    again = (await ask(Data.V2, "get_dataset_version_import_task_info", first["result"]))["result"]
    assert again == looks[1]
    assert version(account, version_id).rows == 5
    third = await ask(Data.V2, "create_dataset_version_import_task", version_id, [put(account, "c.jsonl", dialogue(1))])
    await ask(Data.V2, "get_dataset_version_import_task_info", third["result"])
    await ask(Data.V2, "publish_dataset_version", version_id)
    await ask(Data.V2, "get_dataset_version_info", version_id)
    done = version(account, version_id)
    assert (done.release_state, done.rows) == ("Published", 6)
    with pytest.raises(APIError, match="one directory"):
        await ask(Data.V2, "create_dataset_version_import_task", version_id, [f"bos:/{BUCKET}/in/", bad])


@pytest.mark.covers("CreateExportTask", "DescribeExportTask")
async def test_exports_of_the_second_generation(ask: Faces, account: Account) -> None:
    dataset_id = await imported(ask, account, dialogue(2))
    account.stages.exports.script(after_looks=1, times=1)
    export = "create_dataset_version_export_task"
    task = (await ask(Data.V2, export, dataset_id, V2.StorageType.Bos, f"bos:/{BUCKET}/out/"))["result"]
    with pytest.raises(APIError, match="already") as twice:
        await ask(Data.V2, export, dataset_id, V2.StorageType.SysStorage)
    assert twice.value.code == "PreconditionFailed"
    looks = [(await ask(Data.V2, "get_dataset_version_export_task_info", task))["result"] for _ in range(2)]
    assert [(look["exportStatus"], look["progress"]) for look in looks] == [
        ("Exporting", "50%"),
        ("ExportFinished", "100%"),
    ]
    assert (looks[0]["finishTime"], looks[1]["sampleCount"], looks[1]["storageType"]) == ("", 2, "BOS")
    place = looks[1]["storagePath"]
    assert place.startswith(f"bos:/{BUCKET}/out/")
    assert place.endswith(".zip")
    with account.lock:
        stored = account.buckets.get(BUCKET, place.removeprefix(f"bos:/{BUCKET}/"))
        assert stored is not None
        packed = account.blob_of(stored.source).read()
    assert [json.loads(line) for line in members(packed)["1.jsonl"].splitlines()] == dialogue(2)
    assert await opened(looks[1]["downloadUrl"]) == packed
    account.stages.exports.script(ends="ExportFailed", reason="disk on fire", times=1)
    task = (await ask(Data.V2, export, dataset_id, V2.StorageType.SysStorage))["result"]
    failed = (await ask(Data.V2, "get_dataset_version_export_task_info", task))["result"]
    assert (failed["exportStatus"], failed["progress"], failed["downloadUrl"]) == ("ExportFailed", "0", "")
    assert failed["errMessage"] == "disk on fire"


# --- rows --------------------------------------------------------------------------------------------------------


@pytest.mark.covers("/entity/list")
async def test_rows_are_listed(ask: Faces, account: Account) -> None:
    rows = [*dialogue(24), [{"prompt": "nobody answered"}]]
    dataset_id = await imported(ask, account, rows)
    page = (await ask(Data, "list_all_entity_in_dataset", dataset_id, 20, 3))["result"]
    assert (page["totalAll"], page["total"], len(page["items"])) == (25, 25, 3)
    read = [json.loads(await opened(item["url"])) for item in page["items"]]
    assert read == rows[20:23]
    facts = page["items"][0]["textExtra"]
    assert (facts["wordNum"], facts["langProb"], facts["specialCharRatio"]) == (4, 1, 0)
    kinds = {kind: [] for kind in EntityListingType}
    for kind in kinds:
        page = (await ask(Data, "list_all_entity_in_dataset", dataset_id, page_size=30, listing_type=kind))["result"]
        kinds[kind] = [item["id"] for item in page["items"]]
        assert (page["total"], page["totalAll"]) == (len(kinds[kind]), 25)
    assert len(kinds[EntityListingType.AnnotatedOnly]) == 24
    assert kinds[EntityListingType.NotAnnotatedOnly] == kinds[EntityListingType.All][-1:]
    now = int(time.time())
    spans = {"import_time_closure": [now - 600, now + 600], "annotating_time_closure": [now - 600, now + 600]}
    both = (await ask(Data, "list_all_entity_in_dataset", dataset_id, **spans))["result"]
    before = (await ask(Data, "list_all_entity_in_dataset", dataset_id, import_time_closure=[0, 10]))["result"]
    assert (both["total"], before["total"]) == (24, 0)
    with pytest.raises(InvalidArgumentError, match="two moments"):
        await ask(Data, "list_all_entity_in_dataset", dataset_id, import_time_closure=[1])
    with pytest.raises(APIError, match="pageSize"):
        await ask(Data, "list_all_entity_in_dataset", dataset_id, page_size=31)


@pytest.mark.covers("/entity/annotate", "/entity/delete", "/entity/list")
async def test_rows_are_changed_and_deleted(ask: Faces, account: Account) -> None:
    """What lies in the version afterwards is what is exported and trained on."""
    dataset_id = await imported(ask, account, [[{"prompt": "bare"}], *dialogue(149)])
    listed = (await ask(Data, "list_all_entity_in_dataset", dataset_id, 0, 30))["result"]["items"]
    late = (await ask(Data, "list_all_entity_in_dataset", dataset_id, 120, 30))["result"]["items"]
    with pytest.raises(APIError, match="not annotated"):
        await ask(Data, "release_dataset", dataset_id)
    content = [{"prompt": "bare", "response": [["not any more"]]}]
    assert (await ask(Data, "annotate_an_entity", listed[0]["id"], dataset_id, content))["result"] is True
    gone = [listed[1]["id"], late[0]["id"], late[29]["id"]]
    unknown = f"{'0' * 64}_{'0' * 32}"
    deleted = (await ask(Data, "delete_an_entity", [*gone, unknown], dataset_id))["result"]
    assert deleted == {"failedOnes": [unknown]}
    assert (await ask(Data, "delete_an_entity", [late[1]["id"]], dataset_id))["result"] == {"failedOnes": None}
    expected = [content, *(row for n, row in enumerate(dialogue(149)) if n not in (0, 119, 120, 148))]
    assert rows_in(account, dataset_id) == expected
    changed = version(account, dataset_id)
    assert (changed.rows, changed.annotated_rows) == (146, 146)
    assert changed.characters == sum(len(turn["prompt"]) + len(turn["response"][0][0]) for [turn] in expected)
    kept = (await ask(Data, "list_all_entity_in_dataset", dataset_id, 117, 3))["result"]
    assert [json.loads(await opened(item["url"])) for item in kept["items"]] == expected[117:120]
    assert kept["items"][2]["id"] == late[2]["id"]
    with pytest.raises(APIError, match="no row"):
        await ask(Data, "annotate_an_entity", gone[0], dataset_id, content)
    with pytest.raises(APIError, match="does not fit"):
        await ask(Data, "annotate_an_entity", listed[2]["id"], dataset_id, [{"prompt": ""}])
    with pytest.raises(InvalidArgumentError, match="content"):
        await ask(Data, "annotate_an_entity", listed[2]["id"], dataset_id)
    await ask(Data, "create_dataset_export_task", dataset_id, DataExportDestinationType.PlatformBos)
    await ask(Data, "get_dataset_info", dataset_id)
    [record] = (await ask(Data, "get_dataset_export_records", dataset_id))["result"]
    lines = members(await opened(record["downloadUrl"]))["1.jsonl"].splitlines()
    assert [json.loads(line) for line in lines] == expected
    await ask(Data, "release_dataset", dataset_id)
    with pytest.raises(APIError, match="takes no more changes"):
        await ask(Data, "delete_an_entity", [listed[3]["id"]], dataset_id)


@pytest.mark.covers("/entity/annotate")
async def test_images_are_annotated_with_labels(ask: Faces, account: Account) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("cat.png", b"a picture of a cat")
        archive.writestr("cat.json", json.dumps({"prompt": "a cat"}))
        archive.writestr("dog.jpg", b"a picture of a dog")
    dataset_id = await imported(ask, account, packed.getvalue(), DataTemplateType.Text2Image, "images.zip")
    cat, dog = (await ask(Data, "list_all_entity_in_dataset", dataset_id))["result"]["items"]
    assert [label["name"] for label in cat["labels"]] == ["a cat"]
    assert (dog["labels"], await opened(dog["url"])) == ([], b"a picture of a dog")
    await ask(Data, "annotate_an_entity", dog["id"], dataset_id, labels=[{"name": "a dog"}])
    label = (await ask(Data, "list_all_entity_in_dataset", dataset_id))["result"]["items"][1]["labels"][0]
    found = (await ask(Data, "list_all_entity_in_dataset", dataset_id, label_id_str=label["label_id"]))["result"]
    assert [item["id"] for item in found["items"]] == [dog["id"]]
    await ask(Data, "create_dataset_export_task", dataset_id, DataExportDestinationType.PlatformBos)
    info = (await ask(Data, "get_dataset_info", dataset_id))["result"]["versionInfo"]
    assert (info["entityCount"], info["annotatedEntityCount"], info["labelCount"]) == (2, 2, 1)
    [record] = (await ask(Data, "get_dataset_export_records", dataset_id))["result"]
    files = members(await opened(record["downloadUrl"]))
    assert files == {
        "0.png": b"a picture of a cat",
        "0.json": b'{"prompt": "a cat"}',
        "1.jpg": b"a picture of a dog",
        "1.json": b'{"prompt": "a dog"}',
    }


# --- cleaning ----------------------------------------------------------------------------------------------------

OPERATIONS = {
    "clean": [{"name": "remove_emoji", "args": {}}, {"name": "remove_web_identifiers", "args": {}}],
    "filter": [{"name": "filter_check_number_words", "args": {"number_words_min_cutoff": 3}}],
    "deduplication": [{"name": "deduplication_simhash", "args": {"distance": 3}}],
    "desensitization": [{"name": "replace_emails", "args": {}}],
}
TEXTS = [
    "one two three 😀 four",
    "too short",
    "one two three four",
    "please write to someone@example.com about it",
]


async def cleaning(ask: Faces, account: Account) -> tuple[str, str, str]:
    """A cleaning that was ordered: its id, the version it reads, and the version it fills."""
    template = DataTemplateType.GenericText
    source = await imported(ask, account, [*TEXTS], template)
    dest = await new_version(ask, template)
    made = await ask(Data, "create_dataset_etl_task", "tidy", source, dest, OPERATIONS)
    return made["result"], source, dest


@pytest.mark.covers("/etl/create", "/etl/detail", "/etl/list")
async def test_texts_are_cleaned(ask: Faces, account: Account) -> None:
    account.stages.etl.script(after_looks=1)
    etl_id, source, dest = await cleaning(ask, account)
    running = (await ask(Data, "get_dataset_etl_task_info", etl_id))["result"]
    assert (running["processStatus"], running["result"]["pipeline_stage_result"]) == (ETLTaskStatus.Running, {})
    assert version(account, dest).rows == 0
    done = (await ask(Data, "get_dataset_etl_task_info", etl_id))["result"]
    assert (done["processStatus"], done["entityCount"], done["remainingEntity"]) == (ETLTaskStatus.Finished, 4, 2)
    assert (done["sourceDatasetStrId"], done["destDatasetStrId"]) == (source, dest)
    assert [one["name"] for one in done["operationsV2"]["clean"]][-1] == "save_pipeline_clean"
    stages = done["result"]["pipeline_stage_result"]
    assert {name: stage["entity_match_count"] for name, stage in stages.items()} == {
        "clean": 1,
        "filter": 1,
        "deduplication": 1,
        "desensitization": 1,
    }
    [dropped] = stages["filter"]["each_operator_result"]
    assert (dropped["remaining_count"], dropped["drop_count"]) == (3, 1)
    assert rows_in(account, dest) == ["one two three  four", "please write to <EMAIL> about it"]
    assert rows_in(account, source) == TEXTS
    filled = version(account, dest)
    assert (filled.import_state, filled.rows, filled.annotated_rows) == ("ImportFinished", 2, 2)
    listed = (await ask(Data, "get_dataset_etl_task_list", 10, 0))["result"]
    [entry] = listed["items"]
    assert (listed["processingCount"], listed["total"], entry["etlStrId"]) == (0, 1, etl_id)
    assert entry["operatorNameList"][:2] == ["remove_emoji", "remove_web_identifiers"]
    info = (await ask(Data, "get_dataset_info", dest))["result"]["versionInfo"]
    assert (info["hasEtl"], info["etlStatus"]) == (True, 2)
    await ask(Data, "release_dataset", dest)


@pytest.mark.covers("/etl/create", "/etl/delete")
async def test_cleanings_that_do_not_end_well(ask: Faces, account: Account) -> None:
    account.stages.etl.script(ends="Failed", reason="out of memory", times=1)
    etl_id, source, dest = await cleaning(ask, account)
    failed = (await ask(Data, "get_dataset_etl_task_info", etl_id))["result"]
    assert (failed["processStatus"], failed["exceptionResult"]) == (ETLTaskStatus.Failed, "out of memory")
    assert version(account, dest).rows == 0
    account.stages.etl.script(after_looks=5)
    again = (await ask(Data, "create_dataset_etl_task", "again", source, dest, OPERATIONS))["result"]
    with pytest.raises(APIError, match="must be empty, and not at work"):
        await ask(Data, "create_dataset_etl_task", "third", source, dest, OPERATIONS)
    with pytest.raises(APIError, match="being cleaned"):
        [row] = (await ask(Data, "list_all_entity_in_dataset", source, 0, 1))["result"]["items"]
        await ask(Data, "delete_an_entity", [row["id"]], source)
    assert (await ask(Data, "delete_dataset_etl_task", [etl_id, again]))["result"] is True
    assert (await ask(Data, "get_dataset_etl_task_list"))["result"]["total"] == 0
    assert version(account, dest).rows == 0
    everything = {"filter": [{"name": "filter_check_number_words", "args": {"number_words_min_cutoff": 99}}]}
    none_left = (await ask(Data, "create_dataset_etl_task", "none", source, dest, everything))["result"]
    account.stages.etl.reset()
    for _ in range(6):
        empty = (await ask(Data, "get_dataset_etl_task_info", none_left))["result"]
    assert (empty["processStatus"], empty["exceptionResult"]) == (ETLTaskStatus.Failed, "no row is left")


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ({"polish": [{"name": "remove_emoji"}]}, "no stage 'polish'"),
        ({"clean": [{"name": "replace_emails"}]}, "no operator 'replace_emails'"),
        ({"filter": [{"name": "filter_check_lang_id", "args": {}}]}, "needs lang_id_min_cutoff"),
        ({"clean": []}, "no operator in it"),
    ],
)
async def test_orders_that_are_refused(ask: Faces, account: Account, operations: dict[str, Any], said: str) -> None:
    source = await imported(ask, account, [*TEXTS], DataTemplateType.GenericText)
    dest = await new_version(ask, DataTemplateType.GenericText)
    with pytest.raises(APIError, match=said):
        await ask(Data, "create_dataset_etl_task", "tidy", source, dest, operations)
    other = await new_version(ask, DataTemplateType.QuerySet)
    with pytest.raises(APIError, match="no dataset of the template"):
        await ask(Data, "create_dataset_etl_task", "tidy", source, other, OPERATIONS)


# --- augmentation ------------------------------------------------------------------------------------------------

SEEDS = [
    [{"prompt": f"how do {animal} live in {place}", "response": [[f"{animal} live well in {place}"]]}]
    for animal in ("cats", "dogs", "birds")
    for place in ("town", "the woods", "winter")
]


async def augmenting(ask: Faces, source: str, dest: str, name: str = "more", **changes: Any) -> str:
    """An augmentation that was ordered and found in the list."""
    numbers = {"num_seed_fewshot": 3, "num_instances_to_generate": 5, "similarity_threshold": 0.7, **changes}
    made = await ask(Data, "create_dataset_augmenting_task", name, source, dest, "svco-1", 7, **numbers)
    assert made["result"] is True
    [entry] = (await ask(Data, "get_dataset_aug_task_list", name))["result"]["items"]
    task_id: str = entry["id"]
    return task_id


@pytest.mark.covers("/enhance/create", "/enhance/list", "/enhance/detail")
async def test_rows_are_made_up(ask: Faces, account: Account) -> None:
    account.stages.augmentation.script(after_looks=2)
    source = await imported(ask, account, SEEDS)
    dest = await new_version(ask)
    task_id = await augmenting(ask, source, dest)
    running = (await ask(Data, "get_dataset_augmenting_task_info", task_id))["result"]
    assert (running["status"], running["finishTime"]) == (1, "")
    done = (await ask(Data, "get_dataset_augmenting_task_info", task_id))["result"]
    assert (done["status"], done["failReason"], done["entityCount"]) == (3, "", 5)
    assert (done["numSeedFewshot"], done["numInstancesToGenerate"], done["similarityThreshold"]) == (3, 5, 0.7)
    made = rows_in(account, dest)
    assert len(made) == 5
    for [turn] in made:
        assert turn["prompt"].startswith("[simulated] ")
        assert turn["response"][0][0].startswith("[simulated] ")
        assert [turn] not in SEEDS
    info = (await ask(Data, "get_dataset_info", dest))["result"]["versionInfo"]
    assert (info["entityCount"], info["hasEnhance"], info["enhanceStatus"]) == (5, True, 3)
    newest = await ask(Data, "get_dataset_aug_task_list", sorted_by_start_time_asc=False, page_size=1)
    assert newest.request.json_body == {
        "isSelfInstruct": True,
        "offset": 0,
        "pageSize": 1,
        "sortField": "startTime",
        "sortBy": "desc",
    }
    assert newest["result"]["total"] == 1


@pytest.mark.covers("/enhance/create", "/enhance/delete")
async def test_augmentations_that_do_not_end_well(ask: Faces, account: Account) -> None:
    source = await imported(ask, account, SEEDS)
    dest = await new_version(ask)
    account.stages.augmentation.script(ends="Failed", reason="the service does not answer", times=1)
    failed = (await ask(Data, "get_dataset_augmenting_task_info", await augmenting(ask, source, dest)))["result"]
    assert (failed["status"], failed["failReason"]) == (4, "the service does not answer")
    strict = await augmenting(ask, source, dest, "strict", similarity_threshold=0)
    alike = (await ask(Data, "get_dataset_augmenting_task_info", strict))["result"]
    assert (alike["status"], alike["failReason"]) == (4, "no row differs enough from its seeds")
    assert version(account, dest).rows == 0
    assert (await ask(Data, "delete_dataset_augmenting_task", [strict, failed["id"]]))["result"] is True
    with account.lock:
        assert len(account.augmentations) == 0
    with pytest.raises(InvalidArgumentError, match="num_seed_fewshot must be from 1 to 10"):
        await augmenting(ask, source, dest, num_seed_fewshot=11)
    pictures = await new_version(ask, DataTemplateType.Text2Image)
    with pytest.raises(APIError):
        await augmenting(ask, pictures, dest)

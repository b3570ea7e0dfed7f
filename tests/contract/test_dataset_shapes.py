"""Answers about datasets as the platform's documents show them.

Our models read them, the emulator answers with the same keys, and what a model reads it reads again from what it read.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qianfan._transport import Client
from qianfan.config import Settings
from qianfan.emulator.account import Account
from qianfan.emulator.handlers.storing import store
from qianfan.emulator.server import Running
from qianfan.resources import Platform
from qianfan.resources.console.consts import (
    AugmentingStatus,
    DataExportStatus,
    DataFormat,
    DataImportStatus,
    DataReleaseStatus,
    DataStorage,
    DataTemplateType,
    EntityListingType,
    ETLTaskStatus,
    ExportStatus,
    ImportStatus,
)
from tests.support.wire import Prepared, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.socket]


def told(*results: Any) -> tuple[Platform, Prepared]:
    """A platform that answers one call after the other with these results, in the envelope of the data part."""
    network = Prepared(*({"log_id": "x1y2", "status": 200, "success": True, "result": one} for one in results))
    return Platform(client_of(network, access_key="ALTAK", secret_key="secret")), network


def told_v2(*results: Any) -> tuple[Platform, Prepared]:
    network = Prepared(*({"requestId": "b2c1", "result": one} for one in results))
    return Platform(client_of(network, access_key="ALTAK", secret_key="secret")), network


@pytest.fixture
async def platform(served: Running) -> AsyncIterator[Platform]:
    """The emulator on its socket, by typed calls."""
    settings = Settings(**{name.lower(): value for name, value in served.settings.items()})
    async with Client(settings) as client:
        yield Platform(client)


def keys_in(value: Any) -> Any:
    """The keys of an answer, of lists those of their first entry."""
    if isinstance(value, dict):
        return {key: keys_in(part) for key, part in value.items()}
    return [keys_in(value[0])] if isinstance(value, list) and value else None


async def filled(platform: Platform, account: Account, template: DataTemplateType, content: bytes) -> str:
    """A version that holds these rows."""
    made = await platform.data.create(name="mine", template_type=template)
    with account.lock:
        store(account, "my-bucket", "rows.jsonl", content, "text/plain")
    await platform.data.start_import(made.dataset_id, ["bos:/my-bucket/rows.jsonl"])
    await platform.data.info(made.dataset_id)
    return made.dataset_id


ROWS = b"".join(json.dumps([{"prompt": f"q{n} of {n}", "response": [[f"a{n}"]]}]).encode() + b"\n" for n in range(9))

# --- versions, V1 ------------------------------------------------------------------------------------------------

STORAGE = {
    "storageId": "my-bucket",
    "storageName": "my-bucket",
    "storagePath": "/data/_system_/dataset/ds-9f2k7m1x5c8v0bnz/texts",
    "rawStoragePath": "/data/",
    "region": "bj",
}
CREATED = {
    "id": 51234,
    "groupId": 901,
    "groupPK": "dg-4w8z1k6t0b3n9qxe",
    "datasetId": "ds-9f2k7m1x5c8v0bnz",
    "versionId": 1,
    "groupName": "demo",
    "displayName": "",
    "remark": "",
    "createFrom": 0,
    "bmlDatasetId": "",
    "userId": 7,
    "dataType": 4,
    "projectType": 20,
    "templateType": 2000,
    "storageInfo": STORAGE,
    "importStatus": -1,
    "importProgress": 0,
    "exportStatus": -1,
    "releaseStatus": 0,
    "ShouldHide": False,
    "status": 0,
    "isUnique": 0,
    "errCode": None,
    "createTime": "2024-05-02T11:00:00.123456789+08:00",
    "modifyTime": "2024-05-02T11:00:00.123456789+08:00",
}


async def test_a_new_dataset(platform: Platform) -> None:
    shown, network = told(CREATED)
    order = {"name": "demo", "template_type": DataTemplateType.NonSortedConversation}
    made = await shown.data.create(**order)
    assert (made.dataset_id, made.group_id, made.number, made.version, made.name) == (
        "ds-9f2k7m1x5c8v0bnz",
        "dg-4w8z1k6t0b3n9qxe",
        51234,
        1,
        "demo",
    )
    assert (made.storage_info.storage_id, made.storage_info.region) == ("my-bucket", "bj")
    assert network.bodies == [
        {
            "name": "demo",
            "versionId": 1,
            "projectType": 20,
            "templateType": 2000,
            "dataType": 4,
            "storageType": "sysBos",
        }
    ]
    assert keys_in((await platform.data.create(**order)).body["result"]) == keys_in(CREATED)


STATUS = {
    "importStatus": 2,
    "importProgress": 100,
    "importErrorInfo": None,
    "releaseStatus": 2,
    "releaseProgress": 100,
    "exportStatus": -1,
    "exportProgress": 0,
    "enhanceStatus": -1,
    "etlStatus": 0,
    "entityCount": 240,
    "annotatedEntityCount": 239,
    "labelCount": 0,
    "characterCount": 5120,
    "modifyTime": "2023-12-07 11:40:00",
}
VERSION_INFO = {
    **STATUS,
    "id": 51234,
    "groupId": 901,
    "datasetId": 51234,
    "datasetPK": "ds-9f2k7m1x5c8v0bnz",
    "versionId": 3,
    "importRecordCount": 1,
    "exportRecordCount": 0,
    "errCode": None,
    "releaseErrCode": None,
    "dataType": 4,
    "projectType": 20,
    "templateType": 2000,
    "storageType": "usrBos",
    "storage": STORAGE,
    "releaseStoragePath": f"{STORAGE['storagePath']}/jsonl",
    "memorySize": 0.12,
    "uniqueType": 0,
    "hardSampleCount": 0,
    "userId": 7,
    "view": 0,
    "usage": 0,
    "isEnhancing": False,
    "hasEnhance": False,
    "isSelfInstructEnhance": False,
    "interAnnoRunning": False,
    "hasEtl": False,
    "isPipelineEtl": False,
    "hasTeamAnno": False,
    "teamAnnoStatus": -1,
    "promptOptimizeStatus": 0,
    "displayName": "demo",
    "remark": "",
    "description": "",
    "license": "",
    "copyright": "",
    "copyrightLink": "",
    "demandStatus": "",
    "bmlDatasetId": "",
    "tag": [{"name": "x"}],
    "createTime": "2023-12-07 11:30:00",
}
INFO = {"groupPK": "dg-4w8z1k6t0b3n9qxe", "name": "demo", "dataType": 4, "versionInfo": VERSION_INFO}


async def test_a_version(platform: Platform) -> None:
    shown, network = told(INFO)
    info = await shown.data.info("ds-9f2k7m1x5c8v0bnz")
    assert network.seen[0].body == {"datasetId": "ds-9f2k7m1x5c8v0bnz"}
    assert (info.dataset_id, info.number, info.group_id, info.version) == (
        "ds-9f2k7m1x5c8v0bnz",
        51234,
        "dg-4w8z1k6t0b3n9qxe",
        3,
    )
    assert (info.import_status, info.release_status) == (DataImportStatus.Finished, DataReleaseStatus.Finished)
    assert (info.entity_count, info.annotated_entity_count, info.character_count) == (240, 239, 5120)
    assert (info.etl_status, info.enhance_status, info.memory_size) == (ETLTaskStatus.NoTask, -1, 0.12)
    answered = keys_in((await platform.data.info(111)).body["result"])
    answered["versionInfo"]["tag"] = [{"name": None}]
    assert answered == keys_in(INFO)


async def test_the_states_of_versions(platform: Platform) -> None:
    shown, _ = told({"ds-1": STATUS})
    state = (await shown.data.statuses(["ds-1"]))["ds-1"]
    assert (state.import_progress, state.annotated_entity_count, state.modify_time) == (100, 239, "2023-12-07 11:40:00")
    answered = (await platform.data.statuses(["111"]))["111"].body["result"]
    assert {key: part.keys() for key, part in answered.items()} == {"111": STATUS.keys()}


RECORD = {
    "creatorName": "demo",
    "storageId": "my-bucket",
    "storagePath": "/data/x.zip",
    "size": 0.1,
    "exportFormat": 0,
    "exportType": 1,
    "status": 2,
    "recordNum": 240,
    "exportTo": 0,
    "downloadUrl": "https://bj.bcebos.com/x.zip?authorization=secret",
    "startTime": "2023-12-07 11:40:00",
    "finishTime": "2023-12-07 11:41:00",
}


async def test_exports(platform: Platform) -> None:
    shown, _ = told([RECORD], None)
    [record] = await shown.data.export_records("ds-1")
    assert (record.status, record.record_num, record.creator_name) == (DataExportStatus.Finished, 240, "demo")
    assert "secret" not in repr(record)
    assert await shown.data.export_records("ds-1") == []
    await platform.data.export(111)
    await platform.data.info(111)
    [kept] = await platform.data.export_records(111)
    assert kept.body["result"][0].keys() == RECORD.keys()


PROBLEMS = {
    "dataType": "file",
    "downloadUrl": "https://bj.bcebos.com/report?authorization=secret",
    "isZip": 0,
    "projectType": 20,
    "content": [
        {
            "sequence": 1,
            "sampleFileName": "rows.jsonl",
            "sampleName": "rows.jsonl",
            "textLocation": 4,
            "textContent": "nonsense",
        }
    ],
}


async def test_problems_of_an_import(platform: Platform, account: Account) -> None:
    shown, network = told(PROBLEMS)
    detail = await shown.data.import_error_detail("ds-1", 60001)
    assert network.seen[0].body == {"datasetId": "ds-1", "errCode": 60001}
    assert (detail.content[0].text_location, detail.project_type, detail.is_zip) == (4, 20, False)
    assert "secret" not in repr(detail)
    dataset_id = await filled(platform, account, DataTemplateType.NonSortedConversation, b"nonsense")
    answered = (await platform.data.import_error_detail(dataset_id, 60001)).body["result"]
    assert answered.keys() == PROBLEMS.keys()
    # Beside the documented keys each line says what is wrong.
    assert answered["content"][0].keys() - PROBLEMS["content"][0].keys() == {"reason"}


# --- versions, V2 ------------------------------------------------------------------------------------------------

IMPORTED = {
    "versionId": "ds-9f2k7m1x5c8v0bnz",
    "importStatus": "ImportFinished",
    "progress": "100%",
    "sizeMB": 0.12,
    "sampleCount": 240,
    "creator": "demo",
    "startTime": "2024-10-10 10:00:00",
    "finishTime": "2024-10-10 10:00:21",
    "errDownloadUrl": "",
}
EXPORTED = {
    "storageType": "BOS",
    "storagePath": "bos:/bucket/some/path/name.zip",
    "sizeMB": 0.12,
    "sampleCount": 240,
    "exportStatus": "ExportFinished",
    "progress": "100%",
    "creator": "demo",
    "startTime": "2024-10-10 10:00:00",
    "finishTime": "2024-10-10 10:00:21",
    "downloadUrl": "",
}
VERSION = {
    "datasetId": "dg-4w8z1k6t0b3n9qxe",
    "versionId": "ds-9f2k7m1x5c8v0bnz",
    "versionNumber": 1,
    "datasetName": "demo",
    "dataFormat": "PromptResponse",
    "description": "",
    "storageType": "sysStorage",
    "storagePath": "",
    "importStatus": "ImportFinished",
    "publishStatus": "Published",
    "sizeMB": 0.12,
    "sampleCount": 240,
    "characterCount": 5120,
    "createTime": "2024-10-10 10:00:00",
    "modifyTime": "2024-10-10 10:00:00",
}


async def test_the_second_generation(platform: Platform, account: Account) -> None:
    shown, network = told_v2(IMPORTED, EXPORTED, VERSION, "task-u2m5c9x1k7dz", {"taskId": "task-u2m5c9x1k7dz"})
    data = shown.data_v2
    imported = await data.describe_import_task("task-1")
    assert (imported.import_status, imported.size_mb, imported.creator) == (ImportStatus.ImportFinished, 0.12, "demo")
    exported = await data.describe_export_task("task-2")
    assert (exported.export_status, exported.storage_type) == (ExportStatus.ExportFinished, DataStorage.Bos)
    assert (exported.storage_path, exported.sample_count) == ("bos:/bucket/some/path/name.zip", 240)
    version = await data.describe_version("ds-1")
    assert (version.size_mb, version.create_time) == (0.12, "2024-10-10 10:00:00")
    # By some documents an id comes bare, by others in an object.
    ids = [await data.create_export_task("ds-1", DataStorage.Bos, "bos:/b/d/"), await data.create_export_task("ds-1")]
    assert ids == ["task-u2m5c9x1k7dz"] * 2
    assert [(seen.query["Action"], seen.body) for seen in network.seen[-2:]] == [
        ("CreateExportTask", {"versionId": "ds-1", "storageType": "BOS", "storagePath": "bos:/b/d/"}),
        ("CreateExportTask", {"versionId": "ds-1", "storageType": "sysStorage"}),
    ]
    made = await platform.data_v2.create_dataset(name="demo", data_format=DataFormat.PromptResponse)
    with account.lock:
        store(account, "my-bucket", "rows.jsonl", ROWS, "text/plain")
    task = await platform.data_v2.create_import_task(made.version_id, ["bos:/my-bucket/rows.jsonl"])
    # Why something failed has no documented key.
    answered = (await platform.data_v2.describe_import_task(task)).body["result"]
    assert answered.keys() - {"errMessage"} == IMPORTED.keys()
    task = await platform.data_v2.create_export_task(made.version_id)
    answered = (await platform.data_v2.describe_export_task(task)).body["result"]
    assert answered.keys() - {"errMessage"} == EXPORTED.keys()
    assert (await platform.data_v2.describe_version(made.version_id)).body["result"].keys() == VERSION.keys()


# --- rows --------------------------------------------------------------------------------------------------------

ENTITY_ID = f"{'9c' * 32}_{'4b' * 16}"
ENTITIES = {
    "totalAll": 240,
    "total": 1,
    "items": [
        {
            "id": ENTITY_ID,
            "name": "1.jsonl",
            "labels": [{"label_id": "17", "name": "a cat", "color": "#336699"}],
            "url": "https://bj.bcebos.com/row?authorization=secret",
            "memorySize": 0.001,
            "isEncrypted": False,
            "textExtra": {
                "domainType": "",
                "taskType": "",
                "wordNum": 12,
                "repetitiveCharRatio": 0.1,
                "specialCharRatio": 0.2,
                "flaggedWordRatio": 0,
                "langProb": 0.99,
                "perplexity": 412.5,
            },
        }
    ],
}


async def test_rows(platform: Platform, account: Account) -> None:
    shown, network = told(ENTITIES, True, {"failedOnes": None}, {"failedOnes": ["x"]})
    page = await shown.entities.list_page("ds-1", imported=[1, 2], kind=EntityListingType.AnnotatedOnly, label_id="17")
    [row] = page.items
    assert (page.total_all, row.id, row.labels[0].label_id, row.text_extra.word_num) == (240, ENTITY_ID, "17", 12)
    assert "secret" not in repr(page)
    content = [{"prompt": "q", "response": [["a"]]}]
    assert await shown.entities.annotate(row.id, "ds-1", content)
    deleted = [(await shown.entities.delete([row.id], "ds-1")).failed_ones for _ in range(2)]
    assert deleted == [[], ["x"]]
    assert network.bodies[:3] == [
        {"datasetId": "ds-1", "offset": 0, "pageSize": 20, "tabType": 1, "importTime": [1, 2], "labelId": "17"},
        {"id": ENTITY_ID, "datasetId": "ds-1", "content": content},
        {"id": [ENTITY_ID], "datasetId": "ds-1"},
    ]
    dataset_id = await filled(platform, account, DataTemplateType.NonSortedConversation, ROWS)
    answered = (await platform.entities.list_page(dataset_id)).body["result"]
    answered["items"][0]["labels"] = ENTITIES["items"][0]["labels"]
    assert keys_in(answered) == keys_in(ENTITIES)
    rows = [row async for row in platform.entities.rows(dataset_id)]
    read = [await platform.entities.content(row) for row in rows]
    assert b"\n".join([*read, b""]) == ROWS


# --- cleaning and augmentation -----------------------------------------------------------------------------------

STAGE = {
    "status": 2,
    "operator_count": 1,
    "entity_match_count": 3,
    "each_operator_result": [{"name": "remove_emoji", "remaining_count": 9, "drop_count": 0}],
}
ETL_DETAIL = {
    "id": 701,
    "userId": 7,
    "sourceDatasetStrId": "ds-9f2k7m1x5c8v0bnz",
    "destDatasetStrId": "ds-1f2k7m1x5c8v0bnz",
    "taskId": 701,
    "entityCount": 9,
    "entityType": 2,
    "operationsV2": {"clean": [{"name": "remove_emoji", "args": {}}, {"name": "save_pipeline_clean", "args": {}}]},
    "result": {"pipeline_stage_result": {"clean": STAGE}},
    "processStatus": 2,
    "status": 0,
    "createTime": "2023-12-07 11:40:00",
    "finishTime": "2023-12-07 11:41:00",
    "startTime": "2023-12-07 11:40:00",
    "endTime": "2023-12-07 11:41:00",
    "modifyTime": "2023-12-07 11:41:00",
    "creatorName": "demo",
    "sourceDatasetName": "a",
    "destDatasetName": "b",
    "etlResult": "",
    "remainingEntity": 9,
    "exceptionResult": "",
    "logPath": "",
}
ETL_ITEM = {
    "id": 701,
    "etlStrId": "etl-9f2k7m1x5c8v",
    "startTime": "2023-12-07 11:40:00",
    "sourceDatasetName": "a",
    "destDatasetName": "b",
    "operatorNameList": ["remove_emoji"],
    "sourceDatasetId": 51234,
    "sourceDatasetStrId": "ds-9f2k7m1x5c8v0bnz",
    "destDatasetId": 51235,
    "destDatasetStrId": "ds-1f2k7m1x5c8v0bnz",
    "entityCount": 9,
    "remainingEntity": 9,
    "result": None,
    "processStatus": 4,
    "errCode": 60002,
    "errMsg": "out of memory",
}
OPERATIONS = {"clean": [{"name": "remove_emoji", "args": {}}]}


async def test_cleaning(platform: Platform, account: Account) -> None:
    listed = {"processingCount": 0, "total": 1, "items": [ETL_ITEM]}
    shown, network = told(True, listed, ETL_DETAIL, "etl-9f2k7m1x5c8v", 701)
    data = shown.cleaning
    # Documents disagree on what the answer is: the id, or only that it began.
    assert await data.create("tidy", "ds-9f2k7m1x5c8v0bnz", "ds-1f2k7m1x5c8v0bnz", OPERATIONS) == ""
    found = await data.find("ds-9f2k7m1x5c8v0bnz", "ds-1f2k7m1x5c8v0bnz")
    assert found is not None
    assert (found.etl_id, found.process_status, found.reason) == (
        "etl-9f2k7m1x5c8v",
        ETLTaskStatus.Failed,
        "out of memory",
    )
    detail = await data.detail(found.etl_id)
    assert (detail.etl_id, detail.is_over, detail.remaining_entity) == ("701", True, 9)
    assert (detail.stages["clean"].matched, detail.stages["clean"].operators[0].remaining_count) == (3, 9)
    ids = [await data.create("tidy", "ds-1", "ds-2", OPERATIONS) for _ in range(2)]
    assert ids == ["etl-9f2k7m1x5c8v", "701"]
    assert network.bodies[0] == {
        "etlTaskName": "tidy",
        "sourceDatasetId": "ds-9f2k7m1x5c8v0bnz",
        "destDatasetId": "ds-1f2k7m1x5c8v0bnz",
        "entityType": 2,
        "operationsV2": OPERATIONS,
    }
    source = await filled(platform, account, DataTemplateType.NonSortedConversation, ROWS)
    dest = await platform.data.create(name="b", template_type=DataTemplateType.NonSortedConversation)
    made = await platform.cleaning.create("tidy", source, dest.dataset_id, OPERATIONS)
    answered = (await platform.cleaning.detail(made)).body["result"]
    own = {"etlStrId", "etlTaskName", "sourceDatasetId", "destDatasetId"}
    assert keys_in({key: part for key, part in answered.items() if key not in own}) == keys_in(ETL_DETAIL)
    entry = (await platform.cleaning.list_page()).body["result"]["items"][0]
    assert entry.keys() >= ETL_ITEM.keys()
    found = await platform.cleaning.find(source, dest.dataset_id)
    assert found is not None
    assert found.etl_id == made
    assert await platform.cleaning.find(dest.dataset_id, source) is None


AUGMENTATION = {
    "id": "enhance-9f2k7m1x5c8v",
    "projectType": 20,
    "sourceDatasetStrId": "ds-9f2k7m1x5c8v0bnz",
    "sourceDatasetName": "a",
    "destDatasetStrId": "ds-1f2k7m1x5c8v0bnz",
    "destDatasetName": "b",
    "area": "",
    "status": 3,
    "strategy": "",
    "operations": "",
    "startTime": "2023-12-07 11:40:00",
    "finishTime": "2023-12-07 11:41:00",
    "failReason": "",
    "isSelfInstruct": True,
    "name": "more",
    "modelName": "ERNIE-Speed-8K",
}
AUGMENTATION_DETAIL = {
    **AUGMENTATION,
    "labelIds": "",
    "entityCount": 5,
    "retStr": "",
    "serviceName": "s",
    "appName": "app",
    "userName": "demo",
    "numSeedFewshot": 2,
    "numInstancesToGenerate": 5,
    "similarityThreshold": 0.7,
}


async def test_augmentation(platform: Platform, account: Account) -> None:
    listed = {"total": 1, "items": [{**AUGMENTATION, "id": 301, "status": 4, "failReason": "no answer"}]}
    shown, network = told(True, listed, AUGMENTATION_DETAIL)
    order = {"dev_api_id": "svco-1", "app_id": 7, "num_seed_fewshot": 2, "num_instances_to_generate": 5}
    assert await shown.augmentation.create("more", "ds-1", "ds-2", similarity_threshold=0.7, **order)
    [failed] = (await shown.augmentation.list_page("more", True)).items
    assert (failed.task_id, failed.is_over, failed.is_done, failed.fail_reason) == ("301", True, False, "no answer")
    done = await shown.augmentation.detail("301")
    assert (done.status, done.is_done, done.entity_count) == (AugmentingStatus.Finished, True, 5)
    assert (done.num_seed_fewshot, done.similarity_threshold) == (2, 0.7)
    assert network.bodies[1] == {
        "isSelfInstruct": True,
        "offset": 0,
        "pageSize": 10,
        "word": "more",
        "sortField": "startTime",
        "sortBy": "asc",
    }
    source = await filled(platform, account, DataTemplateType.NonSortedConversation, ROWS)
    dest = await platform.data.create(name="b", template_type=DataTemplateType.NonSortedConversation)
    await platform.augmentation.create("more", source, dest.dataset_id, similarity_threshold=1, **order)
    page = await platform.augmentation.list_page()
    assert page.body["result"]["items"][0].keys() == AUGMENTATION.keys()
    answered = (await platform.augmentation.detail(page.items[0].task_id)).body["result"]
    assert answered.keys() == AUGMENTATION_DETAIL.keys()

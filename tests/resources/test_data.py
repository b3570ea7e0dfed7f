"""Datasets through both generations of the API."""

from __future__ import annotations

import json

import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError, RequestError
from qianfan.resources import BosPath, Platform
from qianfan.resources.console.consts import (
    DataFormat,
    DataImportStatus,
    DataReleaseStatus,
    DataSourceType,
    DataStorage,
    DataStorageType,
    DataTemplateType,
    ImportStatus,
    PublishStatus,
)

pytestmark = pytest.mark.anyio

ROWS = "\n".join(json.dumps([{"prompt": f"q{n}", "response": [[f"a{n}"]]}]) for n in range(5))
PLACE = "bos:/my-bucket/data/rows.jsonl"


async def upload(platform: Platform, rows: str = ROWS) -> None:
    await platform.bos.put_bytes(rows.encode(), BosPath.parse(PLACE))


# --- V1 ------------------------------------------------------------------------------------------------------


async def test_a_dataset_from_beginning_to_end(platform: Platform, emulator: Emulator) -> None:
    data = platform.data
    made = await data.create(name="mine", template_type=DataTemplateType.NonSortedConversation)
    assert (made.name, made.version) == ("mine", 1)
    assert made.group_id.startswith("dg-")
    assert emulator.requests[-1].body["storageType"] == "sysBos"
    assert "storageId" not in emulator.requests[-1].body
    empty = await data.info(made.dataset_id)
    assert empty.is_empty
    assert empty.template_type is DataTemplateType.NonSortedConversation

    await upload(platform)
    await data.start_import(made.dataset_id, [PLACE])
    while (info := await data.info(made.dataset_id)).import_status is DataImportStatus.Running:
        pass
    assert info.import_status is DataImportStatus.Finished
    assert (info.entity_count, info.annotated_entity_count, info.is_empty) == (5, 5, False)
    assert (info.dataset_id, info.number, info.group_id) == (made.dataset_id, made.number, made.group_id)

    await data.release(made.dataset_id)
    while (info := await data.info(made.dataset_id)).release_status is DataReleaseStatus.Running:
        pass
    assert info.release_status is DataReleaseStatus.Finished
    statuses = await data.statuses([made.dataset_id])
    assert statuses[made.dataset_id].release_status is DataReleaseStatus.Finished
    assert statuses[made.dataset_id].entity_count == 5
    await data.delete(made.dataset_id)
    assert made.dataset_id not in emulator.datasets


async def test_numbers_of_older_code_name_a_version(platform: Platform) -> None:
    by_number = await platform.data.info(111)
    assert (by_number.number, by_number.dataset_id) == (111, "ds-sampledataset111")


async def test_storage_of_ones_own_is_named(platform: Platform, emulator: Emulator) -> None:
    made = await platform.data.create(
        name="mine",
        template_type=DataTemplateType.GenericText,
        storage_type=DataStorageType.PrivateBos,
        storage_id="my-bucket",
        raw_storage_path="/folder/",
    )
    assert made.storage_info.storage_id == "my-bucket"
    info = await platform.data.info(made.dataset_id)
    assert info.storage_type is DataStorageType.PrivateBos
    assert (info.storage.storage_id, info.storage.raw_storage_path) == ("my-bucket", "/folder/")


async def test_bad_data_are_reported_line_by_line(platform: Platform) -> None:
    made = await platform.data.create(name="mine", template_type=DataTemplateType.NonSortedConversation)
    await upload(platform, f"{ROWS}\nnonsense")
    await platform.data.start_import(made.dataset_id, [PLACE], source=DataSourceType.PrivateBos)
    while (info := await platform.data.info(made.dataset_id)).import_status is DataImportStatus.Running:
        pass
    assert info.import_status is DataImportStatus.Failed
    assert info.import_error_code is not None
    detail = await platform.data.import_error_detail(made.dataset_id, info.import_error_code)
    assert [(line.text_location, line.text_content) for line in detail.content] == [(6, "nonsense")]


async def test_states_that_are_new_stay_numbers(platform: Platform, emulator: Emulator) -> None:
    version = {"datasetPK": "ds-1", "templateType": 99900, "importStatus": 7, "releaseStatus": 9, "mood": "good"}
    result = {"groupPK": "dg-1", "versionInfo": version}
    emulator.faults.add("dataset/info", body={"log_id": "1", "success": True, "status": 200, "result": result})
    info = await platform.data.info("ds-1")
    assert (info.template_type, info.import_status, info.release_status) == (99900, 7, 9)
    assert not isinstance(info.import_status, DataImportStatus)


@pytest.mark.parametrize("result", [None, [], "ds-1"])
async def test_states_in_another_form_are_an_error(platform: Platform, emulator: Emulator, result: object) -> None:
    emulator.faults.add("dataset/statusList", body={"log_id": "1", "success": True, "result": result})
    with pytest.raises(RequestError, match="statusList: the answer does not have the documented form"):
        await platform.data.statuses(["ds-1"])


async def test_an_import_is_not_repeated(platform: Platform, emulator: Emulator) -> None:
    """A second import of the same file would double the rows."""
    made = await platform.data.create(name="mine", template_type=DataTemplateType.NonSortedConversation)
    await upload(platform)
    emulator.faults.add("dataset/import", drop="after")
    with pytest.raises(RequestError):
        await platform.data.start_import(made.dataset_id, [PLACE])
    assert emulator.count("dataset/import") == 1
    assert (await platform.data.info(made.dataset_id)).entity_count in (0, 5)


# --- V2 ------------------------------------------------------------------------------------------------------


async def test_the_second_generation_from_beginning_to_end(platform: Platform, emulator: Emulator) -> None:
    data = platform.data_v2
    made = await data.create_dataset(name="mine", data_format=DataFormat.PromptResponse)
    assert made.dataset_id.startswith("dg-")
    assert emulator.requests[-1].body["storageType"] == "sysStorage"
    await upload(platform)
    task_id = await data.create_import_task(made.version_id, [PLACE])
    while (task := await data.describe_import_task(task_id)).import_status is ImportStatus.Importing:
        pass
    assert (task.import_status, task.sample_count, task.progress) == (ImportStatus.ImportFinished, 5, "100%")
    assert await data.publish_version(made.version_id)
    while (version := await data.describe_version(made.version_id)).publish_status is PublishStatus.Publishing:
        pass
    assert version.publish_status is PublishStatus.Published
    assert (version.dataset_name, version.data_format, version.sample_count) == ("mine", "PromptResponse", 5)

    second = await data.create_version(made.dataset_id, "again")
    assert second.version_number == 2
    assert [one.version_id async for one in data.versions(made.dataset_id)] == [second.version_id, made.version_id]
    assert await data.delete_version(second.version_id)
    assert [one.version_id async for one in data.versions(made.dataset_id)] == [made.version_id]
    assert await data.delete_dataset(made.dataset_id)
    assert made.version_id not in emulator.datasets


async def test_a_dataset_in_a_bucket(platform: Platform) -> None:
    made = await platform.data_v2.create_dataset(
        name="mine", data_format="Text", storage_type=DataStorage.Bos, storage_path="bos:/my-bucket/folder/"
    )
    version = await platform.data_v2.describe_version(made.version_id)
    assert (version.storage_type, version.storage_path) == ("BOS", "bos:/my-bucket/folder/")


async def test_listings_go_on_to_the_last_page(platform: Platform, emulator: Emulator) -> None:
    data = platform.data_v2
    made = [await data.create_dataset(name=f"d{n}", data_format="Text") for n in range(102)]
    listed = [one.dataset_id async for one in data.datasets(formats=[DataFormat.Text])]
    assert listed == [one.dataset_id for one in made][::-1]
    assert emulator.count("DescribeDatasets") == 2
    page = await data.describe_datasets(max_keys=1, formats=["PromptResponse"])
    assert [one.data_format for one in page.items] == ["PromptResponse"]
    for _ in range(101):
        await data.create_version(made[0].dataset_id)
    assert len([one async for one in data.versions(made[0].dataset_id)]) == 102
    assert emulator.count("DescribeDatasetVersions") == 2


@pytest.mark.parametrize("result", [{}, {"taskId": ""}, {"taskId": None}, True, "", None])
async def test_an_import_without_an_id_is_an_error(platform: Platform, emulator: Emulator, result: object) -> None:
    emulator.faults.add("CreateImportTask", body={"requestId": "r-1", "result": result})
    with pytest.raises(RequestError, match="look at: taskId") as caught:
        await platform.data_v2.create_import_task("ds-sampledataset111", [PLACE])
    assert caught.value.request_id == "r-1"
    assert emulator.count("CreateImportTask") == 1


async def test_an_id_may_come_in_an_object(platform: Platform, emulator: Emulator) -> None:
    emulator.faults.add("CreateImportTask", body={"requestId": "r-1", "result": {"taskId": 17}})
    assert await platform.data_v2.create_import_task("ds-sampledataset111", [PLACE]) == "17"


async def test_an_unknown_version_is_named(platform: Platform) -> None:
    with pytest.raises(APIError, match="ds-none"):
        await platform.data_v2.describe_version("ds-none")

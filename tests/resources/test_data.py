"""Datasets through both generations of the API."""

from __future__ import annotations

import json

import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError
from qianfan.resources import BosPath, Platform
from qianfan.resources.console.consts import (
    DataFormat,
    DataImportStatus,
    DataReleaseStatus,
    DataStorage,
    DataStorageType,
    DataTemplateType,
    ImportStatus,
    PublishStatus,
)

pytestmark = pytest.mark.anyio

PLACE = BosPath("my-bucket", "data/rows.jsonl")
ROWS = b"".join(json.dumps([{"prompt": f"q{n}", "response": [[f"a{n}"]]}]).encode() + b"\n" for n in range(40))


async def test_a_dataset_from_creation_to_release(platform: Platform, emulator: Emulator) -> None:
    emulator.imports.script(after_looks=1)
    emulator.releases.script(after_looks=1)
    data = platform.data
    made = await data.create(
        name="mine",
        template_type=DataTemplateType.NonSortedConversation,
        storage_type=DataStorageType.PrivateBos,
        storage_id="my-bucket",
        raw_storage_path="/data/",
    )
    assert made.dataset_id.startswith("ds-")
    assert made.group_id.startswith("dg-")
    assert (made.version, made.name, made.storage_info.storage_id) == (1, "mine", "my-bucket")
    assert made.number is not None
    fresh = await data.info(made.dataset_id)
    assert fresh.is_empty
    assert fresh.release_status is DataReleaseStatus.NotRelease
    await platform.bos.put_bytes(ROWS, PLACE)
    await data.start_import(made.dataset_id, [str(PLACE)])
    assert emulator.requests[-1].body["files"] == ["bos:/my-bucket/data/rows.jsonl"]
    importing = await data.info(made.number)
    assert (importing.import_status, importing.is_empty) == (DataImportStatus.Running, False)
    info = await data.info(made.dataset_id)
    assert (info.import_status, info.entity_count) == (DataImportStatus.Finished, 40)
    assert (info.template_type, info.storage_type) == (
        DataTemplateType.NonSortedConversation,
        DataStorageType.PrivateBos,
    )
    assert (info.number, info.name, info.group_id) == (made.number, "mine", made.group_id)
    assert (info.storage.storage_id, info.storage.raw_storage_path) == ("my-bucket", "/data/")
    await data.release(made.dataset_id)
    statuses = await data.statuses([made.dataset_id, "ds-sampledataset111"])
    assert statuses[made.dataset_id].release_status is DataReleaseStatus.Running
    assert statuses["ds-sampledataset111"].release_status is DataReleaseStatus.Finished
    assert (await data.info(made.dataset_id)).release_status is DataReleaseStatus.Finished
    with pytest.raises(APIError, match="takes no more data") as caught:
        await data.start_import(made.dataset_id, [str(PLACE)])
    assert caught.value.code == "InvalidState"
    await data.delete(made.dataset_id)
    assert made.dataset_id not in emulator.datasets


async def test_what_was_wrong_with_an_import(platform: Platform) -> None:
    made = await platform.data.create(name="mine", template_type=DataTemplateType.NonSortedConversation)
    await platform.bos.put_bytes(ROWS + b"nonsense\n", PLACE)
    await platform.data.start_import(made.dataset_id, [str(PLACE)])
    info = await platform.data.info(made.dataset_id)
    assert info.import_status is DataImportStatus.Failed
    assert info.import_error_code is not None
    report = await platform.data.import_error_detail(made.dataset_id, info.import_error_code)
    [line] = report.content
    assert (line.sample_file_name, line.text_location, line.text_content) == ("rows.jsonl", 41, "nonsense")


@pytest.mark.parametrize("template", list(DataTemplateType))
async def test_every_kind_of_rows_can_be_created(
    platform: Platform, emulator: Emulator, template: DataTemplateType
) -> None:
    made = await platform.data.create(name="mine", template_type=template)
    sent = emulator.requests[-1].body
    assert (sent["projectType"], sent["templateType"]) == (template.value // 100, template.value)
    assert "storageId" not in sent
    assert (await platform.data.info(made.dataset_id)).template_type is template


async def test_unknown_numbers_pass_through(platform: Platform, emulator: Emulator) -> None:
    version = {"datasetPK": "ds-1", "templateType": 99900, "importStatus": 9, "releaseStatus": 8, "storage": None}
    body = {
        "log_id": 5,
        "status": 200,
        "success": True,
        "result": {"groupPK": 901, "name": "x", "versionInfo": version},
    }
    emulator.faults.add("dataset/info", body=body)
    info = await platform.data.info("ds-1")
    assert (info.template_type, info.import_status, info.release_status) == (99900, 9, 8)
    assert (info.group_id, info.storage.region) == ("901", "")


# --- V2 ------------------------------------------------------------------------------------------------------


async def test_a_dataset_of_the_second_generation(platform: Platform, emulator: Emulator) -> None:
    emulator.imports.script(after_looks=1)
    emulator.releases.script(after_looks=1)
    data = platform.data_v2
    made = await data.create_dataset(
        name="mine",
        data_format=DataFormat.PromptResponse,
        storage_type=DataStorage.Bos,
        storage_path="bos:/my-bucket/d/",
    )
    version_id = made.version_id
    await platform.bos.put_bytes(ROWS, PLACE)
    task_id = await data.create_import_task(version_id, [str(PLACE)])
    assert task_id.startswith("task-")
    assert (await data.describe_import_task(task_id)).import_status is ImportStatus.Importing
    done = await data.describe_import_task(task_id)
    assert (done.import_status, done.sample_count, done.progress) == (ImportStatus.ImportFinished, 40, "100%")
    assert done.size_mb is not None
    assert await data.publish_version(version_id)
    publishing = await data.describe_version(version_id)
    assert publishing.publish_status is PublishStatus.Publishing
    version = await data.describe_version(version_id)
    assert (version.publish_status, version.import_status) == (PublishStatus.Published, ImportStatus.ImportFinished)
    assert (version.dataset_id, version.dataset_name, version.version_number) == (made.dataset_id, "mine", 1)
    assert version.storage_path == "bos:/my-bucket/d/"
    second = await data.create_version(made.dataset_id, "more of it")
    assert second.version_number == 2
    listed = [version.version_id async for version in data.versions(made.dataset_id)]
    assert listed == [second.version_id, version_id]
    assert (await platform.data.info(version_id)).release_status is DataReleaseStatus.Finished
    assert await data.delete_version(second.version_id)
    assert await data.delete_dataset(made.dataset_id)
    assert version_id not in emulator.datasets


async def test_listing_datasets_page_after_page(platform: Platform, emulator: Emulator) -> None:
    data = platform.data_v2
    made = [(await data.create_dataset(name=f"d{n}", data_format=DataFormat.Text)).dataset_id for n in range(101)]
    found = [dataset.dataset_id async for dataset in data.datasets(formats=[DataFormat.Text])]
    assert found == made[::-1]
    assert emulator.count("DescribeDatasets") == 2
    assert "Text" not in [one.data_format async for one in data.datasets(formats=[DataFormat.PromptResponse])]
    page = await data.describe_datasets(max_keys=3, page_reverse=True, formats=[DataFormat.Text])
    assert [one.dataset_id for one in page.items] == made[:3]
    versions = await data.describe_versions(made[0], max_keys=1)
    assert [one.version_number for one in versions.items] == [1]


async def test_versions_under_their_other_name(platform: Platform, emulator: Emulator) -> None:
    """Documents differ in what a listing of versions calls its list."""
    result = {"datasetVersionList": [{"versionId": "ds-1", "importStatus": "Thinking"}]}
    emulator.faults.add("DescribeDatasetVersions", body={"requestId": "r", "result": result})
    [version] = (await platform.data_v2.describe_versions("dg-1")).items
    assert (version.version_id, version.import_status) == ("ds-1", "Thinking")

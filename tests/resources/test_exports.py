"""Exports of datasets."""

from __future__ import annotations

import pytest

from qianfan.emulator import Emulator
from qianfan.errors import RequestError
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataExportDestinationType, DataExportStatus, DataExportType
from tests.support.emulated import SAMPLE

pytestmark = pytest.mark.anyio


async def test_an_export_from_the_request_to_the_link(platform: Platform, emulator: Emulator) -> None:
    assert await platform.data.export_records(SAMPLE) == []
    emulator.exports.script(after_looks=1)
    await platform.data.export(SAMPLE)
    assert emulator.requests[-1].body == {"datasetId": SAMPLE, "exportFormat": 0, "exportType": 1, "exportTo": 0}
    looks = [await platform.data.info(111) for _ in range(2)]
    assert [look.export_status for look in looks] == [DataExportStatus.Running, DataExportStatus.Finished]
    assert [look.export_progress for look in looks] == [50, 100]
    assert looks[1].export_record_count == 1
    [record] = await platform.data.export_records(111)
    assert (record.status, record.export_type) == (DataExportStatus.Finished, DataExportType.WithAnnotations)
    assert looks[1].modify_time <= record.start_time <= record.finish_time
    assert record.record_num == looks[1].entity_count
    assert (await platform.data.statuses([SAMPLE]))[SAMPLE].export_status is DataExportStatus.Finished
    async with platform.client.download(record.download_url) as archive:
        assert (await archive.read()).startswith(b"PK")


async def test_the_link_is_a_secret(platform: Platform) -> None:
    await platform.data.export(SAMPLE)
    await platform.data.info(SAMPLE)
    [record] = await platform.data.export_records(SAMPLE)
    assert "authorization" in record.download_url
    assert "authorization" not in repr(record)


async def test_an_export_to_a_bucket_of_ones_own(platform: Platform, emulator: Emulator) -> None:
    destination = DataExportDestinationType.PrivateBos
    await platform.data.export(SAMPLE, destination=destination, storage_id="my-bucket")
    await platform.data.info(SAMPLE)
    [record] = await platform.data.export_records(SAMPLE)
    assert (record.export_to, record.storage_id) == (destination, "my-bucket")
    assert list(emulator.buckets["my-bucket"]) == [record.storage_path.lstrip("/")]


async def test_an_export_without_an_answer_is_asked_for_again(platform: Platform, emulator: Emulator) -> None:
    emulator.faults.add("dataset/export", drop="after")
    await platform.data.export(SAMPLE)
    assert emulator.count("dataset/export") == 2
    assert len(await platform.data.export_records(SAMPLE)) == 1


async def test_records_that_are_no_list_are_an_odd_answer(platform: Platform, emulator: Emulator) -> None:
    emulator.faults.add("dataset/exportRecord", body={"log_id": "1", "status": 200, "success": True, "result": True})
    with pytest.raises(RequestError, match="documented form"):
        await platform.data.export_records(SAMPLE)

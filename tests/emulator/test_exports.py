"""Exports of datasets: their life cycle, their records, and the archive behind the link."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest

from qianfan.emulator import Emulator
from tests.emulator.conftest import HandClock
from tests.emulator.making import SAMPLE, dialogue, imported, new_dataset
from tests.emulator.signing import Console, SigningAuth

pytestmark = pytest.mark.anyio

TO_PLATFORM = {"exportFormat": 0, "exportType": 1, "exportTo": 0}


async def info(console: Console, dataset_id: str) -> dict[str, Any]:
    version: dict[str, Any] = (await console.v1("dataset/info", datasetId=dataset_id))["versionInfo"]
    return version


async def exported(console: Console, dataset_id: str, **changes: Any) -> dict[str, Any]:
    """The newest record of an export that was looked at once."""
    assert await console.v1("dataset/export", datasetId=dataset_id, **TO_PLATFORM, **changes) is True
    await info(console, dataset_id)
    record: dict[str, Any] = (await console.v1("dataset/exportRecord", datasetId=dataset_id))[0]
    return record


async def opened(console: Console, link: str) -> dict[str, bytes]:
    """The files in the archive behind a link, fetched without credentials."""
    answer = await console.http.get(link)
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


async def test_an_export_goes_from_state_to_state(console: Console) -> None:
    version = await info(console, SAMPLE)
    assert (version["exportStatus"], version["exportProgress"], version["exportRecordCount"]) == (-1, 0, 0)
    assert await console.v1("dataset/exportRecord", datasetId=SAMPLE) == []
    console.emulator.exports.script(after_looks=1)
    await console.v1("dataset/export", datasetId=SAMPLE, **TO_PLATFORM)
    [record] = await console.v1("dataset/exportRecord", datasetId=SAMPLE)
    assert (record["status"], record["downloadUrl"], record["finishTime"]) == (1, "", "")
    looks = [await info(console, SAMPLE) for _ in range(2)]
    assert [(look["exportStatus"], look["exportProgress"]) for look in looks] == [(1, 50), (2, 100)]
    assert looks[1]["exportRecordCount"] == 1
    assert looks[1]["modifyTime"] == version["modifyTime"]
    [record] = await console.v1("dataset/exportRecord", datasetId=SAMPLE)
    assert (record["status"], record["recordNum"]) == (2, version["entityCount"])
    assert record["startTime"] <= record["finishTime"]


async def test_the_archive_holds_every_row(console: Console) -> None:
    """Two imports, the first with a byte order mark and without a final line break, make one file of lines."""
    dataset_id = await imported(console, b"\xef\xbb\xbf" + dialogue(3))
    await console.put("my-bucket", "data/more.jsonl", dialogue(2) + b"\r\n")
    place = "bos:/my-bucket/data/more.jsonl"
    await console.v1("dataset/import", datasetId=dataset_id, annotated=True, importFrom=1, files=[place])
    await info(console, dataset_id)
    record = await exported(console, dataset_id)
    [(name, content)] = (await opened(console, record["downloadUrl"])).items()
    rows = [json.loads(line) for line in content.split(b"\n") if line]
    assert name == "1.jsonl"
    assert rows == [json.loads(line) for line in [*dialogue(3).splitlines(), *dialogue(2).splitlines()]]
    assert record["recordNum"] == len(rows)


async def test_plain_texts_come_as_files(console: Console) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "first\nwith two lines")
        archive.writestr("folder/b.txt", "第二")
        archive.writestr("c.jsonl", '"third"\n"fourth"\n')
    dataset_id = await imported(console, packed.getvalue(), 40100, "texts.zip")
    files = await opened(console, (await exported(console, dataset_id))["downloadUrl"])
    assert files == {
        "0.txt": b"first\nwith two lines",
        "1.txt": "第二".encode(),
        "1.jsonl": b'"third"\n"fourth"\n',
    }


async def test_an_export_to_a_bucket_of_ones_own(console: Console) -> None:
    body = {**TO_PLATFORM, "exportTo": 1}
    code, _ = await console.v1_refused("dataset/export", datasetId=SAMPLE, **body)
    assert code
    await console.v1("dataset/export", datasetId=SAMPLE, **body, storageId="my-bucket")
    await info(console, SAMPLE)
    [record] = await console.v1("dataset/exportRecord", datasetId=SAMPLE)
    assert (record["exportTo"], record["storageId"]) == (1, "my-bucket")
    assert list(console.emulator.buckets["my-bucket"]) == [record["storagePath"].lstrip("/")]


async def test_a_failed_export_is_recorded_and_can_be_repeated(console: Console) -> None:
    console.emulator.exports.script(ends="ExportFailed", times=1)
    record = await exported(console, SAMPLE)
    assert (record["status"], record["downloadUrl"]) == (3, "")
    assert (await info(console, SAMPLE))["exportStatus"] == 3
    assert (await exported(console, SAMPLE))["status"] == 2
    states = [entry["status"] for entry in await console.v1("dataset/exportRecord", datasetId=SAMPLE)]
    assert states == [2, 3]


async def test_asking_twice_starts_one_export(console: Console) -> None:
    """A client that got no answer may ask again."""
    console.emulator.exports.script(after_looks=math.inf)
    for _ in range(2):
        await console.v1("dataset/export", datasetId=SAMPLE, **TO_PLATFORM)
    assert len(await console.v1("dataset/exportRecord", datasetId=SAMPLE)) == 1


async def test_what_cannot_be_exported_is_refused(console: Console) -> None:
    empty = await new_dataset(console)
    assert "no rows" in (await console.v1_refused("dataset/export", datasetId=empty, **TO_PLATFORM))[1]
    for wrong in ({"exportType": 3}, {"exportTo": 2}, {"exportFormat": 1}):
        code, message = await console.v1_refused("dataset/export", datasetId=SAMPLE, **{**TO_PLATFORM, **wrong})
        assert code
        assert message


async def test_a_link_ends(clock: HandClock) -> None:
    with Emulator(activate=False, clock=clock, engine="scripted") as emulator:
        async with Console(emulator) as console:
            settings = emulator.settings
            console.auth = SigningAuth(settings["ACCESS_KEY"], settings["SECRET_KEY"], now=clock.wall())
            link = (await exported(console, SAMPLE))["downloadUrl"]
            assert await opened(console, link)
            clock.seconds += 1801
            assert (await console.http.get(link)).status_code == 400


async def test_exports_outlive_the_process(tmp_path: Path) -> None:
    keys = {"access_key": "ALTAKtest", "secret_key": "secret"}
    with Emulator(activate=False, data_dir=tmp_path, **keys, engine="scripted") as emulator:
        async with Console(emulator) as console:
            await exported(console, SAMPLE)
            emulator.exports.script(after_looks=1)
            await console.v1("dataset/export", datasetId=SAMPLE, **TO_PLATFORM)
    with Emulator(activate=False, data_dir=tmp_path, **keys, engine="scripted") as emulator:
        async with Console(emulator) as console:
            running, finished = await console.v1("dataset/exportRecord", datasetId=SAMPLE)
            assert (running["status"], finished["status"]) == (1, 2)
            assert await opened(console, finished["downloadUrl"])
            assert [(await info(console, SAMPLE))["exportStatus"] for _ in range(2)] == [1, 2]

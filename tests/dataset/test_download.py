"""Datasets on the platform, brought down to this machine."""

from __future__ import annotations

import base64
import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio
import pytest

from qianfan._transport import Client
from qianfan.config import default_settings
from qianfan.dataset import Dataset, DataTemplateType, QianfanDataSource
from qianfan.dataset.consts import DataFormat
from qianfan.emulator import Emulator
from qianfan.errors import (
    APIError,
    DataFileError,
    DatasetExportError,
    FileSizeOverflow,
    InvalidArgumentError,
    NotImplmentError,
    RequestError,
)
from qianfan.resources import BosPath, Platform
from tests.emulator.conftest import HandClock
from tests.support.clock import JumpClock
from tests.support.emulated import client_for
from tests.support.faultproxy import serving

pytestmark = pytest.mark.anyio

DIALOGUES = [[{"prompt": f"问{n}", "response": [[f"答{n}"]]}] for n in range(12)]
PREFERENCES = [[{"user": f"q{n}", "chosen": "good", "rejected": "bad"}] for n in range(12)]
TEXTS = [f"text {n}\nof two lines" for n in range(12)]
OWN_STORAGE = {"name": "mine", "storage_id": "my-bucket", "storage_path": "a/b"}


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where downloads are kept, so that a test can see what is left of them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(engine="scripted") as running:
        yield running


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


async def export_becomes(emulator: Emulator, content: bytes) -> None:
    """The next download leads to an archive of the test's own."""
    place = BosPath("evil-bucket", "export.zip")
    await Platform().bos.put_bytes(content, place)
    link = Client().presigned_url(place.bucket, place.key)
    record = {"status": 2, "exportType": 1, "downloadUrl": link, "finishTime": "2999-01-01 00:00:00"}
    emulator.faults.add("dataset/exportRecord", body={"status": 200, "success": True, "result": [record]}, times=None)


@pytest.mark.parametrize(
    ("rows", "template"),
    [
        (DIALOGUES, DataTemplateType.NonSortedConversation),
        (PREFERENCES, DataTemplateType.PromptChosenRejected),
        ([{"prompt": f"q{n}"} for n in range(3)], DataTemplateType.QuerySet),
        (TEXTS, DataTemplateType.GenericText),
    ],
    ids=["dialogue", "preference", "query", "text"],
)
async def test_what_went_up_comes_down(emulator: Emulator, rows: list[Any], template: DataTemplateType) -> None:
    saved = await Dataset.create_from_pyobj(rows).asave(qianfan_dataset_create_args=OWN_STORAGE, does_release=True)
    dataset = await Dataset.aload(qianfan_dataset_id=saved.name, is_download_to_local=True)
    assert dataset.to_pylist() == [*dataset] == rows
    assert len(dataset) == dataset.row_number() == len(rows)
    assert (dataset[0], dataset[-1], dataset[1:3]) == (rows[0], rows[-1], rows[1:3])
    assert dataset.template_type is template
    assert dataset.validate()
    assert dataset.is_local
    assert dataset.is_released


async def test_rows_of_the_newer_kinds_come_down_as_well() -> None:
    """Of their exports the platform keeps no list, so that they are remembered here, until the rows change."""
    rows = [[{"user": f"q{n}", ("chosen" if n % 2 else "rejected"): "a"}] for n in range(12)]
    clock = HandClock()
    with Emulator(clock=clock, engine="scripted") as emulator:
        client = Client(clock=clock)

        async def load() -> list[Any]:
            clock.seconds += 2
            dataset = await Dataset.aload(qianfan_dataset_id=id, is_download_to_local=True, client=client)
            return dataset.to_pylist()

        saved = await Dataset.create_from_pyobj(rows).asave(qianfan_dataset_create_args=OWN_STORAGE, client=client)
        id = saved.name
        assert [await load() for _ in range(2)] == [rows, rows]
        assert (emulator.count("CreateExportTask"), emulator.count("DescribeExportTask")) == (1, 2)
        clock.seconds += 2
        more = Dataset.create_from_pyobj([[{"user": "q", "chosen": "a"}]])
        await more.asave(qianfan_dataset_id=id, sup_storage_id="my-bucket", client=client)
        assert len(await load()) == 13
        assert emulator.count("CreateExportTask") == 2
        emulator.faults.add("DescribeExportTask", status=400, code="InvalidParameter", message="no such task")
        assert len(await load()) == 13
        assert emulator.count("CreateExportTask") == 3


async def test_images_come_down_as_pairs(emulator: Emulator, tmp_path: Path, temporary: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(2):
        (images / f"{number}.png").write_bytes(PIXEL)
        (images / f"{number}.json").write_text(json.dumps({"prompt": f"猫{number}"}), encoding="utf-8")
    saved = await Dataset.load(images).asave(qianfan_dataset_create_args=OWN_STORAGE)
    dataset = await Dataset.aload(qianfan_dataset_id=saved.name, is_download_to_local=True)
    assert dataset.to_pylist() == [{"image": f"{number}.png", "prompt": f"猫{number}"} for number in range(2)]
    assert [path.read_bytes() for path in files_in(temporary) if path.suffix == ".png"] == [PIXEL, PIXEL]


async def test_the_platforms_facts_stay_readable(emulator: Emulator) -> None:
    dataset = await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    source = dataset.inner_data_source_cache
    assert isinstance(source, QianfanDataSource)
    assert (source.id, source.old_dataset_id, source.dataset_id) == (111, 111, "ds-sampledataset111")
    assert source.template_type is DataTemplateType.NonSortedConversation
    assert len(dataset) == source.row_number
    assert repr(dataset).startswith("Dataset(id=111, template=NonSortedConversation")


def test_the_blocking_form_does_the_same(emulator: Emulator) -> None:
    dataset = Dataset.load(qianfan_dataset_id="111", is_download_to_local=True)
    assert len(dataset) == len([*dataset]) >= 120
    assert set(dataset[0][0]) >= {"prompt", "response"}
    assert len(dataset["prompt"]) >= 120


async def test_a_source_that_is_given_is_downloaded_as_well(emulator: Emulator) -> None:
    source = QianfanDataSource(111)
    dataset = await Dataset.aload(source, is_download_to_local=True, organize_data_as_group=True)
    assert dataset.inner_data_source_cache is source
    assert dataset[0]["_group"] == 0
    assert len(dataset) == len([*dataset]) >= 120


async def test_calls_go_from_export_to_link(emulator: Emulator) -> None:
    emulator.exports.script(after_looks=2)
    clock = JumpClock()
    client = client_for(clock, export_status_polling_interval=7.0)
    await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True, client=client)
    names = [request.name for request in emulator.requests]
    assert names == ["info", "export", "info", "info", "info", "exportRecord", "GetObject"]
    assert 0 < clock.monotonic() <= 14.0  # the settings are upper bounds


async def test_an_export_is_used_again_until_the_rows_change() -> None:
    clock = HandClock()
    with Emulator(clock=clock, engine="scripted") as emulator:
        client = Client(clock=clock)

        async def load(id: str) -> Dataset:
            clock.seconds += 2
            return await Dataset.aload(qianfan_dataset_id=id, is_download_to_local=True, client=client)

        saved = await Dataset.create_from_pyobj(DIALOGUES).asave(qianfan_dataset_create_args=OWN_STORAGE, client=client)
        id = saved.name
        assert [len(await load(id)) for _ in range(2)] == [12, 12]
        assert emulator.count("dataset/export") == 1
        clock.seconds += 2
        more = Dataset.create_from_pyobj(DIALOGUES[:3])
        await more.asave(qianfan_dataset_id=id, sup_storage_id="my-bucket", client=client)
        assert [len(await load(id)) for _ in range(2)] == [15, 15]
        assert emulator.count("dataset/export") == 2


async def test_rows_that_change_in_the_second_of_an_export_are_not_missed() -> None:
    """The platform tells whole seconds, so an export of the same second may be older than the rows."""
    clock = HandClock()
    with Emulator(clock=clock, engine="scripted") as emulator:
        client = Client(clock=clock)
        for _ in range(2):
            await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True, client=client)
        assert emulator.count("dataset/export") == 2


async def test_an_export_under_way_is_waited_for(emulator: Emulator) -> None:
    emulator.exports.script(after_looks=2)
    await Platform().data.export(111)
    dataset = await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    assert len(dataset) >= 120


async def test_exports_that_cannot_be_used_are_passed_over(emulator: Emulator) -> None:
    """Failed ones, those without answers, and those without a link."""
    await Platform().data.export(111)
    info = await Platform().data.info(111)
    [good] = await Platform().data.export_records(111)
    usable = {"status": 2, "exportType": 1, "downloadUrl": good.download_url, "finishTime": "2998"}
    others = [{"status": 3}, {"exportType": 2}, {"downloadUrl": ""}]
    records = [{**usable, "downloadUrl": "http://nowhere", "finishTime": "2999", **other} for other in others]
    answer = {"status": 200, "success": True, "result": [*records, usable]}
    emulator.faults.add("dataset/exportRecord", body=answer, times=None)
    dataset = await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    assert len(dataset) == info.entity_count


async def test_the_file_goes_with_the_dataset(emulator: Emulator, temporary: Path) -> None:
    dataset = await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    assert [path.name for path in files_in(temporary)] == ["rows.jsonl"]
    records = dataset.records()
    first = next(records)
    del dataset
    gc.collect()
    assert next(records) != first
    del records
    gc.collect()
    assert not files_in(temporary)


async def test_saving_the_rows_to_a_file(emulator: Emulator, tmp_path: Path) -> None:
    dataset = await Dataset.aload(qianfan_dataset_id=111)
    saved = await dataset.adownload(tmp_path / "rows.json")
    assert saved.name == str(tmp_path / "rows.json")
    assert json.loads((tmp_path / "rows.json").read_bytes()) == saved.to_pylist() == dataset.to_pylist()
    again = await anyio.to_thread.run_sync(dataset.download, tmp_path / "rows.jsonl")
    assert again.to_pylist() == saved.to_pylist()
    assert emulator.count("dataset/export") == 1


async def test_a_local_dataset_is_downloaded_without_the_platform(emulator: Emulator, tmp_path: Path) -> None:
    saved = await Dataset.create_from_pyobj(DIALOGUES).adownload(tmp_path / "rows.jsonl")
    assert saved.to_pylist() == DIALOGUES
    assert not emulator.requests


# --- failures ----------------------------------------------------------------------------------------------------


async def test_a_dataset_without_rows(emulator: Emulator) -> None:
    source = await QianfanDataSource.acreate_bare_dataset("mine", DataTemplateType.NonSortedConversation)
    with pytest.raises(InvalidArgumentError, match="no rows to download"):
        await Dataset.aload(source, is_download_to_local=True)
    assert emulator.count("dataset/export") == 0


async def test_a_kind_that_is_not_known_here_stays_where_it_is(emulator: Emulator) -> None:
    source = await QianfanDataSource.acreate_bare_dataset("mine", DataFormat.Role)
    with pytest.raises(NotImplmentError, match="Role rows, which cannot be downloaded"):
        await Dataset.aload(source, is_download_to_local=True)


async def test_an_export_that_fails(emulator: Emulator, temporary: Path) -> None:
    emulator.exports.script(ends="ExportFailed", times=1)
    with pytest.raises(DatasetExportError, match="could not be exported") as caught:
        await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    assert caught.value.dataset_id == "ds-sampledataset111"
    assert not files_in(temporary)
    assert len(await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)) >= 120


async def test_an_export_that_nobody_lists(emulator: Emulator) -> None:
    answer = {"status": 200, "success": True, "result": None}
    emulator.faults.add("dataset/exportRecord", body=answer)
    with pytest.raises(DatasetExportError, match="lists none with a link"):
        await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"<html>", DatasetExportError, "no archive"),
        (zipped({"picture.png": b"x"}), DatasetExportError, "holds no rows"),
        (zipped({"1.jsonl": b" " * 2_000_000}), FileSizeOverflow, "larger than 100000 bytes"),
        (b"\0" * 100_001, FileSizeOverflow, "larger than 100000 bytes"),
    ],
    ids=["page", "no rows", "bomb", "large archive"],
)
async def test_archives_that_cannot_be_used(
    emulator: Emulator, temporary: Path, content: bytes, error: type[Exception], said: str
) -> None:
    await export_becomes(emulator, content)
    client = client_for(JumpClock(), export_file_size_limit=100_000)
    with pytest.raises(error, match=f"'ds-sampledataset111'.*{said}"):
        await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True, client=client)
    assert not files_in(temporary)


async def test_an_archive_with_names_that_lead_out(emulator: Emulator, tmp_path: Path, temporary: Path) -> None:
    line = json.dumps(DIALOGUES[0]).encode()
    await export_becomes(emulator, zipped({"../../../evil.jsonl": line}))
    dataset = await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    assert dataset.to_pylist() == DIALOGUES[:1]
    assert [path.name for path in files_in(temporary)] == ["rows.jsonl"]
    assert files_in(tmp_path) == files_in(temporary)


@pytest.mark.skipif(os.name != "posix", reason="modes of files are Unix's")
async def test_what_is_downloaded_is_for_its_owner_alone(emulator: Emulator, temporary: Path) -> None:
    dataset = await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    [rows] = (path for path in files_in(temporary) if path.name == "rows.jsonl")
    assert rows.parent.stat().st_mode & 0o077 == 0
    assert len(dataset) >= 120


async def test_a_row_that_cannot_be_read_is_named(emulator: Emulator) -> None:
    await export_becomes(emulator, zipped({"1.jsonl": json.dumps(DIALOGUES[0]).encode() + b"\nnonsense\n"}))
    dataset = await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    report = dataset.validate()
    assert not report
    assert "dataset 111" in str(report)
    assert "line 2" in str(report)


async def test_a_link_that_is_refused(emulator: Emulator, temporary: Path) -> None:
    emulator.faults.add("GetObject", status=403, code="AccessDenied", message="no")
    with pytest.raises((APIError, RequestError)) as caught:
        await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)
    assert "authorization" not in str(caught.value)
    assert not files_in(temporary)


async def test_a_download_that_breaks_off_is_taken_up_by_the_next(temporary: Path) -> None:
    """Opened again, a connection goes on where the last one broke; and so does a later call."""
    rows = [[{"prompt": token_hex(200), "response": [["a"]]}] for _ in range(1000)]
    told: list[tuple[int, int | None]] = []
    clock = HandClock()
    with Emulator(clock=clock, engine="scripted") as emulator:
        client = Client(clock=clock)
        saved = await Dataset.create_from_pyobj(rows).asave(qianfan_dataset_create_args=OWN_STORAGE, client=client)
        clock.seconds += 2
        broken = emulator.faults.add("GetObject", drop="during", times=None)
        with anyio.CancelScope() as scope:

            def tell(done: int, size: int | None) -> None:
                told.append((done, size))
                if done > 2**17:
                    scope.cancel()

            source = QianfanDataSource(saved.name, client=client)
            await source.afetch(on_progress=tell)
        assert scope.cancelled_caught
        assert told == sorted(told)
        [part] = (path for path in files_in(temporary) if path.name.endswith(".part"))
        arrived, size = part.stat().st_size, told[-1][1]
        assert size is not None
        assert 2**17 < arrived < size

        emulator.faults.remove(broken)
        clock.seconds += 2
        told.clear()
        table = await source.afetch(on_progress=lambda *progress: told.append(progress))
        assert (told[0], told[-1]) == ((arrived, size), (size, size))
        assert table.to_pylist() == rows
        assert [path.name for path in files_in(temporary)] == ["rows.jsonl"]
        assert emulator.count("dataset/export") == 1


class TodaysClock(HandClock):
    """For clients with clocks of their own, whose signatures must not look old."""

    def __init__(self) -> None:
        super().__init__()
        self._began = datetime.now(timezone.utc) - timedelta(seconds=self.seconds)

    def wall(self) -> datetime:
        return self._began + timedelta(seconds=self.seconds)


KILLED = """
import os, signal, sys
from qianfan.dataset import Dataset

def tell(done, size):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)

Dataset.load(qianfan_dataset_id=sys.argv[1], is_download_to_local=True, on_progress=tell)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
def test_what_a_killed_process_has_loaded_is_not_loaded_again(temporary: Path) -> None:
    rows = [[{"prompt": token_hex(3500), "response": [["a"]]}] for _ in range(400)]
    clock = TodaysClock()
    with Emulator(clock=clock, engine="scripted") as emulator, serving(emulator) as url:
        id = Dataset.create_from_pyobj(rows).save(qianfan_dataset_create_args=OWN_STORAGE).name
        clock.seconds += 2
        reached = dict.fromkeys(("BASE_URL", "CONSOLE_API_BASE_URL", "IAM_BASE_URL", "BOS_BASE_URL"), url)
        variables = {f"QIANFAN_{name}": str(value) for name, value in {**emulator.settings, **reached}.items()}
        killed = subprocess.run([sys.executable, "-c", KILLED, id], env={**os.environ, **variables}, check=False)
        assert killed.returncode == -signal.SIGKILL
        [part] = (path for path in files_in(temporary) if path.name.endswith(".part"))
        arrived = part.stat().st_size
        assert arrived >= 2**20

        told: list[int] = []
        client = Client(default_settings().replace(**{name.lower(): value for name, value in reached.items()}))
        dataset = Dataset.load(
            qianfan_dataset_id=id,
            is_download_to_local=True,
            on_progress=lambda done, size: told.append(done),
            client=client,
        )
        assert told[0] == arrived
        assert dataset.to_pylist() == rows
        assert emulator.count("dataset/export") == 1


async def test_without_a_cache_nothing_is_left_of_a_download_that_breaks_off(
    emulator: Emulator, temporary: Path
) -> None:
    emulator.faults.add("GetObject", drop="during", times=None)
    with pytest.raises(RequestError):
        client = client_for(JumpClock(), disable_cache=True)
        await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True, client=client)
    assert not files_in(temporary)


async def test_a_cache_that_cannot_be_written_is_done_without(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    client = client_for(JumpClock(), cache_dir=tmp_path / "file")
    assert len(await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True, client=client)) >= 120


async def test_what_nobody_came_back_for_is_cleared_away(emulator: Emulator, tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "downloads"
    kept.mkdir(parents=True)
    for name, days in (("ds-1-a.zip.part", 8), ("ds-1-a.zip.part.json", 8), ("ds-2.export", 8), ("ds-3-b.zip.part", 6)):
        (kept / name).write_bytes(b"x")
        os.utime(kept / name, times=(time.time() - days * 24 * 3600,) * 2)
    client = client_for(JumpClock(), cache_dir=tmp_path / "cache")
    await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True, client=client)
    assert [path.name for path in files_in(kept)] == ["ds-3-b.zip.part"]


async def test_no_place_for_the_rows(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(DataFileError, match="no temporary folder"):
        await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True)


async def test_a_download_that_never_brings_anything(emulator: Emulator, temporary: Path) -> None:
    emulator.faults.add("GetObject", drop="before", times=None)
    with pytest.raises(RequestError):
        await Dataset.aload(qianfan_dataset_id=111, is_download_to_local=True, client=client_for(JumpClock()))
    assert not files_in(temporary)

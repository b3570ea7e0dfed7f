"""Files of rows in object storage."""

from __future__ import annotations

import gc
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from qianfan._transport import Client
from qianfan.config import default_settings
from qianfan.dataset import BosDataSource, Dataset, FormatType
from qianfan.dataset.sources import FileDataSource, MemoryDataSource
from qianfan.dataset.upload import UploadTarget, upload
from qianfan.emulator import Emulator
from qianfan.errors import APIError, DataFileError, InvalidArgumentError, RequestError, ValidationError
from qianfan.resources import BosPath, Platform
from tests.support.clock import JumpClock
from tests.support.emulated import client_for

pytestmark = pytest.mark.anyio

BUCKET = "my-bucket"
LINES = [[{"prompt": f"问{n}", "response": [[f"答{n}"]]}] for n in range(12)]
JSONL = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in LINES)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(engine="scripted") as running:
        yield running


async def put(content: bytes, key: str = "rows.jsonl") -> None:
    await Platform().bos.put_bytes(content, BosPath(BUCKET, key))


def zipped(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def copies() -> list[Path]:
    return sorted(path for path in (default_settings().cache_dir / "objects").rglob("*") if path.is_file())


def source_of(key: str = "/rows.jsonl", **options: object) -> BosDataSource:
    return BosDataSource("bj", BUCKET, key, **options)  # type: ignore[arg-type]


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_making_and_showing_one_sends_nothing(emulator: Emulator) -> None:
    source = source_of(ak="an-access-key", sk="a-secret-key")
    assert repr(source) == "BosDataSource('bos:/my-bucket/rows.jsonl', region='bj')"
    assert (source.region, source.bucket, source.bos_file_path) == ("bj", BUCKET, "/rows.jsonl")
    assert (source.ak, source.sk) == ("an-access-key", "a-secret-key")
    assert source.known_length is None
    assert not emulator.requests
    assert b"a-secret-key" not in pickle.dumps(source)


@pytest.mark.parametrize(("bucket", "key"), [("", "x.jsonl"), (BUCKET, ""), (BUCKET, "/")])
def test_a_place_that_is_none(bucket: str, key: str) -> None:
    with pytest.raises(InvalidArgumentError, match="has a bucket and a bos_file_path"):
        BosDataSource("bj", bucket, key)


def test_half_a_pair_of_keys() -> None:
    with pytest.raises(InvalidArgumentError, match="ak and sk are a pair"):
        source_of(ak="only-one")


async def test_rows_of_an_object(emulator: Emulator) -> None:
    await put(JSONL)
    source = source_of()
    told: list[tuple[int, int | None]] = []
    await source.aopen(on_progress=lambda *progress: told.append(progress))
    assert told[-1] == (len(JSONL), len(JSONL))
    assert [row.to_json() for row in source.rows()] == LINES
    assert (len(source), source.row(3).to_json()) == (12, LINES[3])
    assert source.file_format is FormatType.Jsonl
    assert source.validate()
    assert (source.shape.name if source.shape else None) == "dialogue"


def test_the_blocking_forms(emulator: Emulator) -> None:
    assert BosDataSource("bj", BUCKET, "a.jsonl").save(MemoryDataSource(LINES))
    assert source_of("a.jsonl").load().to_pylist() == source_of("a.jsonl").fetch().to_pylist() == LINES
    unopened = source_of("a.jsonl")
    assert [row.to_json() for row in unopened.rows()] == LINES


async def test_problems_name_the_object_and_the_line(emulator: Emulator) -> None:
    await put(JSONL + b"\nnonsense\n")
    dataset = await Dataset.aload(data_file="bos:/my-bucket/rows.jsonl")
    report = dataset.validate()
    assert [problem.line for problem in report.problems] == [14]
    assert "bos:/my-bucket/rows.jsonl" in str(report)


async def test_a_copy_is_used_as_long_as_the_object_is_the_same(emulator: Emulator) -> None:
    await put(JSONL)
    for _ in range(2):
        await source_of().aopen()
    assert (emulator.count("HeadObject"), emulator.count("GetObject")) == (2, 1)
    await put(JSONL[: JSONL.index(b"\n") + 1])
    table = await source_of().afetch()
    assert table.to_pylist() == LINES[:1]
    assert emulator.count("GetObject") == 2


async def test_an_object_that_is_replaced_does_not_change_what_is_being_read(emulator: Emulator) -> None:
    await put(JSONL)
    old = await Dataset.aload(data_file="bos:/my-bucket/rows.jsonl")
    rows = iter(old)
    next(rows)
    await put(b"[" + JSONL.splitlines()[5] + b"]", "rows.json")
    await put(JSONL.splitlines()[5])
    assert (await Dataset.aload(data_file="bos:/my-bucket/rows.jsonl")).to_pylist() == [LINES[5]]
    assert [*rows] == LINES[1:]


async def test_an_object_that_is_replaced_after_it_was_looked_at(emulator: Emulator) -> None:
    await put(JSONL)
    emulator.faults.add("GetObject", status=412, code="PreconditionFailed")
    table = await source_of().afetch()
    assert table.to_pylist() == LINES
    assert emulator.count("HeadObject") == 2


async def test_versions_that_nobody_reads_any_more_are_removed(emulator: Emulator) -> None:
    await put(JSONL)
    await source_of().aopen()
    [old] = copies()
    os.utime(old.parent, (0, 0))
    await put(JSONL * 2)
    await source_of().aopen()
    [new] = copies()
    assert new != old
    assert new.read_bytes() == JSONL * 2


async def test_a_cache_that_cannot_be_written(emulator: Emulator, tmp_path: Path) -> None:
    await put(JSONL)
    (tmp_path / "no folder").touch()
    client = client_for(JumpClock(), cache_dir=tmp_path / "no folder")
    assert (await source_of(client=client).afetch()).to_pylist() == LINES


async def test_without_a_cache_the_copy_goes_with_the_source(emulator: Emulator) -> None:
    await put(JSONL)
    source = source_of(client=client_for(JumpClock(), disable_cache=True))
    await source.aopen()
    path = source.local.path
    assert path.exists()
    assert copies() == []
    del source
    gc.collect()
    assert not path.exists()


async def test_the_copy_stays_as_long_as_rows_are_made_of_it(emulator: Emulator) -> None:
    await put(JSONL)
    dataset = await Dataset.aload(source_of(client=client_for(JumpClock(), disable_cache=True)))
    assert isinstance(dataset.inner_data_source_cache, BosDataSource)
    assert isinstance(dataset.local_source, FileDataSource)
    path = dataset.local_source.path
    dataset.filter(lambda row: row == LINES[1])
    gc.collect()
    assert dataset.to_pylist() == [LINES[1]]
    assert not isinstance(dataset.inner_data_source_cache, BosDataSource)
    del dataset
    gc.collect()
    assert not path.exists()


async def test_without_a_cache_nothing_is_left_of_what_broke_off(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(JSONL)
    emulator.faults.add("GetObject", drop="during", times=None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = source_of(client=client_for(JumpClock(), disable_cache=True))
    with pytest.raises(RequestError):
        await source.aopen()
    assert not source.is_open
    assert os.listdir(tmp_path) == []


async def test_a_download_that_was_interrupted_goes_on(emulator: Emulator) -> None:
    lines = b"".join(json.dumps([{"prompt": f"{n}" * 300, "response": [["a"]]}]).encode() + b"\n" for n in range(900))
    await put(lines)
    broken = emulator.faults.add("GetObject", drop="during", times=None)
    with anyio.CancelScope() as scope:

        def tell(done: int, size: int | None) -> None:
            if done > 2**17:
                scope.cancel()

        await source_of(client=client_for(JumpClock())).aopen(on_progress=tell)
    assert scope.cancelled_caught
    emulator.faults.remove(broken)
    told: list[int] = []
    source = source_of()
    await source.aopen(on_progress=lambda done, size: told.append(done))
    assert 2**17 < told[0] < told[-1] == len(lines)
    assert len(source) == 900
    assert [path.name for path in copies()] == ["content.jsonl"]


@pytest.mark.parametrize(
    ("key", "content", "options"),
    [
        ("rows.zip", zipped("in/rows.jsonl", JSONL), {}),
        ("rows", zipped("rows.jsonl", JSONL), {"read_from_zip": True}),
        ("rows.data", JSONL, {"file_format": "jsonl"}),
        ("rows.json", json.dumps(LINES).encode(), {}),
    ],
)
async def test_objects_of_other_kinds(emulator: Emulator, key: str, content: bytes, options: dict[str, object]) -> None:
    await put(content, key)
    assert (await source_of(key, **options).afetch()).to_pylist() == LINES


async def test_an_object_that_is_not_there(emulator: Emulator) -> None:
    with pytest.raises(DataFileError, match=r"none\.jsonl does not exist"):
        await source_of("none.jsonl").aopen()


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", DataFileError, r"bos:/my-bucket/rows\.jsonl has no rows"),
        (b'{"a": 1, "b"', ValidationError, r"bos:/my-bucket/rows\.jsonl: cannot tell what its rows are"),
    ],
    ids=["empty", "cut off"],
)
async def test_an_object_that_cannot_be_read(
    emulator: Emulator, content: bytes, error: type[Exception], said: str
) -> None:
    await put(content)
    with pytest.raises(error, match=said):
        await source_of().aopen()


async def test_a_connection_that_brings_nothing(emulator: Emulator) -> None:
    await put(JSONL)
    emulator.faults.add("GetObject", drop="before", times=None)
    with pytest.raises(RequestError):
        await source_of(client=client_for(JumpClock())).aopen()
    assert copies() == []


async def test_another_accounts_keys_are_used(emulator: Emulator) -> None:
    await put(JSONL)
    with pytest.raises(APIError) as refused:
        await source_of(ak="somebody", sk="else").aopen()
    assert refused.value.http_status == 403
    keys = emulator.settings
    await source_of(ak=keys["ACCESS_KEY"], sk=keys["SECRET_KEY"], client=Client()).aopen()


# --- saving ----------------------------------------------------------------------------------------------------------


async def test_an_object_is_only_replaced_when_that_is_wanted(emulator: Emulator) -> None:
    source = source_of()
    assert await source.asave(MemoryDataSource(LINES))
    assert emulator.read_object(BUCKET, "rows.jsonl") == JSONL
    with pytest.raises(InvalidArgumentError, match=r"bos:/my-bucket/rows\.jsonl exists already"):
        await source.asave(MemoryDataSource(LINES[:1]))
    assert emulator.read_object(BUCKET, "rows.jsonl") == JSONL
    assert await source.asave(Dataset.create_from_pyobj(LINES[:1]), should_overwrite_existed_file=True)
    assert (await source.afetch()).to_pylist() == LINES[:1]


@pytest.mark.parametrize("key", ["in/rows.zip", "in/rows.jsonl"])
async def test_saving_as_an_archive(emulator: Emulator, key: str) -> None:
    source = source_of(key)
    await source.asave(MemoryDataSource(LINES), should_save_as_zip_file=True)
    with zipfile.ZipFile(io.BytesIO(emulator.read_object(BUCKET, "in/rows.zip"))) as archive:
        assert archive.namelist() == ["rows.jsonl"]
    assert (source.bos_file_path, source.name) == ("in/rows.zip", "bos:/my-bucket/in/rows.zip")
    assert (await source.afetch()).to_pylist() == LINES
    assert (await Dataset.aload(data_file=source.name)).to_pylist() == LINES


async def test_texts_that_are_files_of_their_own(emulator: Emulator) -> None:
    texts = ["one\nin two lines", "two"]
    source = source_of("texts.zip", save_as_folder=True)
    await source.asave(MemoryDataSource(texts))
    assert (await source.afetch()).to_pylist() == texts


async def test_saving_in_another_shape(emulator: Emulator) -> None:
    saved = await Dataset.create_from_pyobj(LINES).asave("bos:/my-bucket/chats.jsonl", format="messages")
    first = json.loads(emulator.read_object(BUCKET, "chats.jsonl").splitlines()[0])
    assert [message["role"] for message in first["messages"]] == ["user", "assistant"]
    assert saved.to_pylist() == LINES


async def test_what_was_saved_is_read_in_the_shape_it_was_saved_in(emulator: Emulator) -> None:
    await put(b'{"instruction": "q", "output": "a"}\n')
    source = source_of(format="alpaca")
    await source.aopen()
    await source.asave(Dataset.create_from_pyobj(LINES), should_overwrite_existed_file=True)
    assert (await source.afetch()).to_pylist() == LINES


async def test_a_large_object_goes_up_in_parts(emulator: Emulator, tmp_path: Path) -> None:
    rows = [[{"prompt": "q" * 40_000, "response": [[str(n)]]}] for n in range(450)]
    told: list[tuple[int, int]] = []
    await source_of().asave(MemoryDataSource(rows), on_progress=lambda *progress: told.append(progress))
    assert emulator.count("UploadPart") == 2
    size = len(emulator.read_object(BUCKET, "rows.jsonl"))
    assert told[-1] == (size, size)


async def test_an_object_becomes_a_dataset_on_the_platform(emulator: Emulator) -> None:
    await put(b'[{"instruction": "q", "output": "a"}]', "alpaca.json")
    target = UploadTarget(bucket=BUCKET, folder="up", name="mine", owns_storage=False)
    uploaded = await upload(source_of("alpaca.json"), target)
    assert (await uploaded.afetch()).to_pylist() == [[{"prompt": "q", "response": [["a"]]}]]

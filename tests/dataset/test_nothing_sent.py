"""A file that is wrong is never sent: it has a typed error, short and with a place, and the platform hears nothing."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qianfan.dataset import Dataset, FileDataSource
from qianfan.emulator import Emulator
from qianfan.errors import (
    DataFileChangedError,
    DataFileError,
    InvalidArgumentError,
    UnsafeArchiveError,
    ValidationError,
)

GOOD = '[{"prompt": "问", "response": [["答"]]}]\n'.encode()
OWN_STORAGE = {"name": "mine", "storage_id": "my-bucket", "storage_path": "a/b"}
LONG = b"x" * (20 << 20)
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs what only POSIX has")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(engine="scripted") as running:
        yield running


def refuse(emulator: Emulator, path: Path, error: type[Exception], reason: str) -> Any:
    """The error with which a file is refused by whoever saves it to the platform."""
    with pytest.raises(error, match=reason) as raised:
        Dataset.load(data_file=path).save(qianfan_dataset_create_args=OWN_STORAGE)
    assert raised.type is error
    assert len(str(raised.value)) < 2000
    assert not emulator.requests
    return raised.value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(GOOD + b'[{"prompt": "q", "resp', r"line 2, column 18: .*Unterminated", id="truncated"),
        pytest.param(GOOD + GOOD[:15], r"line 2, column 14: byte 0xe9 is not UTF-8", id="inside-a-character"),
        pytest.param(b"\xef\xbb\xbf" + GOOD + b"[1 2]\n", r"line 2, column 4: not valid JSON", id="byte-order-mark"),
        pytest.param(GOOD + '["问"]\n'.encode("gbk") + GOOD, r"line 2, column 3: .*GBK", id="mixed-encodings"),
        pytest.param(GOOD + GOOD.replace(b"\xe9", b"\0\xe9"), "line 2, column 14: .*a NUL byte", id="nul"),
        pytest.param(GOOD + b'[{"prompt": "a\\u0000"}]', "line 2, column 15: holds a NUL character", id="nul-escaped"),
        pytest.param(GOOD + b'[{"prompt": "' + LONG, "line 2, column 13: .*Unterminated", id="long-and-truncated"),
        pytest.param(
            GOOD + b'[{"prompt": "' + LONG + b'", "response": 1}]', r"line 2, .*\[0\]\.response", id="long-and-wrong"
        ),
        pytest.param(GOOD + b"[" + GOOD.strip() + b"]\n", r"line 2, column 2: \[0\]", id="nested-arrays"),
        pytest.param(GOOD + b"[" * 50_000 + b"\n", "line 2, column 1: .*nested too deeply", id="nested-deeply"),
        pytest.param(GOOD + b'[{"prompt": 7, "response": [["a"]]}]', r"line 2, .*\[0\]\.prompt", id="number"),
        pytest.param(
            GOOD + b'[{"prompt": "q", "prompt": "q", "response": [["a"]]}]',
            "the key 'prompt' is given twice",
            id="keys",
        ),
        pytest.param(GOOD + b'[{"prompt": "q", "weight": NaN}]', "NaN is no JSON value", id="not-a-number"),
    ],
)
def test_a_row_that_is_wrong_stops_the_file(tmp_path: Path, emulator: Emulator, content: bytes, reason: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    refuse(emulator, path, ValidationError, reason)
    assert len(str(Dataset.load(data_file=path).validate())) < 2000


def packed(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("a.jsonl")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info


def changed(content: bytes, mark: bytes, offset: int, bits: int) -> bytes:
    """Some bits of the byte that comes so much after a mark turned over."""
    at = content.index(mark) + offset
    return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]


PACKED = packed(("a.jsonl", GOOD * 100))
BOMB = b" " * (70 << 20)


@pytest.mark.parametrize(
    ("name", "content", "error", "reason"),
    [
        pytest.param("a.jsonl", b"", DataFileError, "has no rows", id="empty"),
        pytest.param("a.jsonl", b"\n \r\n\t\n", DataFileError, "has no rows", id="blank-lines"),
        pytest.param("a.csv", b"prompt,response\n", DataFileError, "has no rows", id="header-only"),
        pytest.param("a.jsonl", GOOD.decode().encode("utf-16"), DataFileError, "the file is UTF-16", id="utf-16"),
        pytest.param("a.zip", packed(("../a.jsonl", GOOD)), UnsafeArchiveError, r"'\.\./a\.jsonl'", id="zip-outside"),
        pytest.param("a.zip", packed((link(), b"/etc/passwd")), UnsafeArchiveError, "which is a link", id="zip-link"),
        pytest.param("a.zip", packed(("a.jsonl", BOMB)), UnsafeArchiveError, "200 times its size", id="zip-bomb"),
        pytest.param("a.jsonl.gz", gzip.compress(BOMB), UnsafeArchiveError, "200 times its size", id="gzip-bomb"),
        pytest.param(
            "a.zip", changed(PACKED, b"PK\1\2", 8, 1), DataFileError, "'a.jsonl' is encrypted", id="zip-encrypted"
        ),
        pytest.param("a.zip", changed(PACKED, b"PK\1\2", 10, 4), DataFileError, "packed by method 12", id="zip-method"),
        pytest.param("a.zip", changed(PACKED, b"a.jsonl", 12, 255), DataFileError, "is damaged", id="zip-damaged"),
        pytest.param(
            "a.zip", changed(PACKED, b"PK\5\6", 17, 128), DataFileError, "unpacked|damaged", id="zip-with-wrong-offsets"
        ),
        pytest.param("a.zip", PACKED[:-40], DataFileError, "no zip archive, or damaged", id="zip-truncated"),
        pytest.param("a.zip", packed(("read.me", b"x")), DataFileError, "no files with rows", id="zip-without-rows"),
        pytest.param("a.jsonl.gz", GOOD, DataFileError, "no gzip file", id="gzip-that-is-none"),
        pytest.param("a.jsonl.gz", gzip.compress(GOOD)[:-9], DataFileError, "damaged or cut off", id="gzip-truncated"),
    ],
)
def test_a_file_that_holds_no_rows_to_trust(
    tmp_path: Path, emulator: Emulator, name: str, content: bytes, error: type[Exception], reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    raised = refuse(emulator, tmp_path / name, error, reason)
    assert raised.path.startswith(str(tmp_path / name))


def missing(path: Path) -> None:
    del path


def without_data(path: Path) -> None:
    (path / "below").mkdir(parents=True)
    (path / "below" / "README.md").write_bytes(b"x")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def loop_inside(path: Path) -> None:
    path.mkdir()
    (path / "a.jsonl").symlink_to("a.jsonl")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def pipe_inside(path: Path) -> None:
    path.mkdir()
    os.mkfifo(path / "a.jsonl")


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (missing, "a.jsonl", "does not exist"),
        (missing, "a" * 300 + ".jsonl", "File name too long|does not exist"),
        (missing, "a" * 300, "File name too long|does not exist"),
        (without_data, "folder", "holds no files with rows"),
        pytest.param(loop, "a.jsonl", "symbolic links", marks=on_posix),
        pytest.param(loop_inside, "folder", "symbolic links", marks=on_posix),
        pytest.param(pipe, "a.jsonl", "a pipe, a device or a socket", marks=on_posix),
        pytest.param(pipe, "a.zip", "a pipe, a device or a socket", marks=on_posix),
        pytest.param(pipe_inside, "folder", "a pipe, a device or a socket", marks=on_posix),
    ],
)
def test_a_path_that_leads_to_no_file(
    tmp_path: Path, emulator: Emulator, make: Callable[[Path], None], name: str, reason: str
) -> None:
    make(tmp_path / name)
    refuse(emulator, tmp_path / name, DataFileError, reason)


@on_posix
def test_a_path_below_a_file(tmp_path: Path, emulator: Emulator) -> None:
    (tmp_path / "file").write_bytes(GOOD)
    refuse(emulator, tmp_path / "file" / "a.jsonl", DataFileError, "Not a directory")


def test_a_folder_below_itself_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    try:
        (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert len(Dataset.load(data_file=tmp_path)) == 1


# --- files that change ------------------------------------------------------------------------------------------------


class Meddled(FileDataSource):
    """A file that somebody else writes to as soon as it has been checked."""

    def validate(self, **options: Any) -> Any:
        report = super().validate(**options)
        self.path.write_bytes(self.path.read_bytes() * 2)
        return report


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.zip"])
def test_a_file_that_changes_after_it_was_checked(tmp_path: Path, emulator: Emulator, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED if name == "a.zip" else gzip.compress(GOOD) if name.endswith(".gz") else GOOD)
    dataset = Dataset.load(Meddled(path))
    with pytest.raises(DataFileChangedError, match="changed while it was read"):
        dataset.save(qianfan_dataset_create_args=OWN_STORAGE)
    assert not emulator.requests


def test_a_file_that_goes_away_after_it_was_loaded(tmp_path: Path, emulator: Emulator) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD)
    dataset = Dataset.load(data_file=path)
    path.unlink()
    with pytest.raises(InvalidArgumentError, match="does not exist"):
        dataset.save(qianfan_dataset_create_args=OWN_STORAGE)
    assert not emulator.requests


@pytest.mark.parametrize("change", ["append", "replace", "remove"])
def test_an_archive_that_changes_after_its_names_were_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(PACKED)
    source = FileDataSource(path)
    source.open()
    try:
        if change == "append":
            with path.open("ab") as file:
                file.write(b"x")
        elif change == "replace":
            (tmp_path / "b.zip").write_bytes(packed(("a.jsonl", GOOD * 7)))
            (tmp_path / "b.zip").replace(path)
        else:
            path.unlink()
    except PermissionError:
        pytest.skip("this system keeps open files")
    with pytest.raises(DataFileChangedError):
        list(source.raw_rows())

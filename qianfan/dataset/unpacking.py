"""A downloaded archive as one file of rows."""

from __future__ import annotations

import json
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from qianfan.dataset.reading import BOM
from qianfan.errors import DatasetExportError, FileSizeOverflow
from qianfan.utils.logging import logger

_PIECE = 1 << 20
_MOST_MEMBERS = 1_000_000
_HIGHEST_RATIO = 200
_RATIO_COUNTS_FROM = 1 << 26
"""Bytes that come out before their ratio to the archive matters: a few rows may well be all alike."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# RuntimeError is what an encrypted member raises, ValueError a name or a text that is not UTF-8.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)


def overflow(dataset_id: str, limit: int) -> FileSizeOverflow:
    """The error for an export of more than `limit` bytes, packed or unpacked."""
    return FileSizeOverflow(
        f"dataset {dataset_id!r}: the export is larger than {limit} bytes; raise EXPORT_FILE_SIZE_LIMIT to download it"
    )


def _too_many(dataset_id: str, what: str) -> FileSizeOverflow:
    return FileSizeOverflow(f"dataset {dataset_id!r}: the export is not unpacked, since {what}")


def unpack_rows(archive: Path, target: Path, *, dataset_id: str, limit: int, most_members: int = _MOST_MEMBERS) -> None:
    """Write the rows in an archive to one file, a JSON value a line, in the order in which they are packed.

    Members that end in `.jsonl` hold lines, those that end in `.txt` one text each; others are left out, and so is
    whatever is no plain file: a link, a device. Names are never used as paths.
    dataset_id: what errors name. limit: bytes that may come out, counted as they come, whatever the archive claims.
    most_members: files that may be in it.

    Raises FileSizeOverflow above the limit, for too many files, and for much more than can be packed into so little;
    DatasetExportError when the file is no such archive or holds no rows.
    """
    try:
        if _most_members_in(archive) > most_members:
            raise _too_many(dataset_id, f"it may hold more than {most_members} files")
        with zipfile.ZipFile(archive) as packed, target.open("wb") as rows:
            _Unpacking(packed, rows, dataset_id, limit, archive.stat().st_size).run()
            written = rows.tell()
    except _UNREADABLE as error:
        raise DatasetExportError(
            f"dataset {dataset_id!r}: the export is no archive that can be read: {error}", dataset_id=dataset_id
        ) from error
    if not written:
        raise DatasetExportError(f"dataset {dataset_id!r}: the export holds no rows", dataset_id=dataset_id)


class _Unpacking:
    # The names inside an archive are never used as paths, so that none of them can lead out of the folder.

    def __init__(self, packed: zipfile.ZipFile, rows: IO[bytes], dataset_id: str, limit: int, size: int) -> None:
        self._packed = packed
        self._rows = rows
        self._dataset_id = dataset_id
        self._limit = limit
        self._left = limit
        self._size = size

    def run(self) -> None:
        for member in self._packed.infolist():
            kind = Path(member.filename).suffix.lower()
            if not _is_plain(member):
                logger.warning("%r in the exported archive is no plain file and is left out", member.filename)
            elif kind == ".jsonl":
                self._copy_lines(member)
            elif kind == ".txt":
                self._add_text(member)
            elif not member.is_dir():
                logger.warning("%r in the exported archive holds no rows and is left out", member.filename)

    def _copy_lines(self, member: zipfile.ZipInfo) -> None:
        last = b"\n"
        for number, piece in enumerate(self._pieces(member)):
            content = piece.removeprefix(BOM) if number == 0 else piece
            self._rows.write(content)
            last = content[-1:] or last
        if last != b"\n":
            self._rows.write(b"\n")

    def _add_text(self, member: zipfile.ZipInfo) -> None:
        text = b"".join(self._pieces(member)).removeprefix(BOM).decode("utf-8")
        if text.strip():
            self._rows.write(json.dumps(text, ensure_ascii=False).encode() + b"\n")

    def _pieces(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        if member.compress_type not in _METHODS:
            raise zipfile.BadZipFile(f"{member.filename!r} is packed by method {member.compress_type}")
        with self._packed.open(member) as content:
            while piece := content.read(_PIECE):
                self._left -= len(piece)
                if self._left < 0:
                    raise overflow(self._dataset_id, self._limit)
                unpacked = self._limit - self._left
                if unpacked > max(_RATIO_COUNTS_FROM, _HIGHEST_RATIO * self._size):
                    raise _too_many(self._dataset_id, f"it unpacks to more than {_HIGHEST_RATIO} times its size")
                yield piece


def _is_plain(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a file with content, or a folder. The kind is Unix's; other systems write none."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR)


_ENTRY = b"PK\x01\x02"


def _most_members_in(archive: Path) -> int:
    """How many members there can be at most: each has an entry that begins so.

    Counted before the list of them is read, which takes memory for each, and whatever the list claims of itself.
    """
    count, last = 0, b""
    with archive.open("rb") as file:
        while piece := file.read(_PIECE):
            count += (last + piece).count(_ENTRY)
            last = piece[1 - len(_ENTRY) :]
    return count

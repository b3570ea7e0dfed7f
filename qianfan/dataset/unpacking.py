"""A downloaded archive as one file of rows, or as a folder of images."""

from __future__ import annotations

import json
import stat
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from qianfan._sync import stop_if_cancelled
from qianfan.dataset.reading import BOM
from qianfan.dataset.reading.bundles import IMAGES
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
    with _opened(archive, dataset_id, limit, most_members) as packed, target.open("wb") as rows:
        for member in packed.plain_members():
            kind = PurePosixPath(member.filename).suffix.lower()
            if kind == ".jsonl":
                _copy_lines(packed, member, rows)
            elif kind == ".txt":
                _add_text(packed, member, rows)
            elif not member.is_dir():
                logger.warning("%r in the exported archive holds no rows and is left out", member.filename)
        written = rows.tell()
    if not written:
        raise DatasetExportError(f"dataset {dataset_id!r}: the export holds no rows", dataset_id=dataset_id)


def unpack_images(
    archive: Path, target: Path, *, dataset_id: str, limit: int, most_members: int = _MOST_MEMBERS
) -> None:
    """Write the images in an archive into a new folder: `<row>.<ending>`, and in `<row>.json` what is said of it.

    A member belongs to the image of the same name with another ending. Rows count from 0, in the order in which their
    images are packed, in names of equal length. Arguments and errors are those of `unpack_rows`.
    """
    target.mkdir()
    with _opened(archive, dataset_id, limit, most_members) as packed:
        members = list(packed.plain_members())
        stems = [_stem(member) for member in members if _ending(member) in IMAGES]
        width = len(str(len(stems)))
        rows = {stem: f"{number:0{width}}" for number, stem in enumerate(dict.fromkeys(stems))}
        for member in members:
            row = rows.get(_stem(member))
            if row is not None and (_ending(member) in IMAGES or _ending(member) == ".json"):
                with (target / f"{row}{_ending(member)}").open("wb") as file:
                    file.writelines(packed.pieces(member))
            elif not member.is_dir():
                logger.warning("%r in the exported archive belongs to no image and is left out", member.filename)
    if not rows:
        raise DatasetExportError(f"dataset {dataset_id!r}: the export holds no images", dataset_id=dataset_id)


def _stem(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(PurePosixPath(member.filename).suffix)


def _ending(member: zipfile.ZipInfo) -> str:
    return PurePosixPath(member.filename).suffix.lower()


def _copy_lines(packed: _Packed, member: zipfile.ZipInfo, rows: IO[bytes]) -> None:
    last = b"\n"
    for number, piece in enumerate(packed.pieces(member)):
        content = piece.removeprefix(BOM) if number == 0 else piece
        rows.write(content)
        last = content[-1:] or last
    if last != b"\n":
        rows.write(b"\n")


def _add_text(packed: _Packed, member: zipfile.ZipInfo, rows: IO[bytes]) -> None:
    text = b"".join(packed.pieces(member)).removeprefix(BOM).decode("utf-8")
    if text.strip():
        rows.write(json.dumps(text, ensure_ascii=False).encode() + b"\n")


@contextmanager
def _opened(archive: Path, dataset_id: str, limit: int, most_members: int) -> Generator[_Packed, None, None]:
    try:
        if _most_members_in(archive) > most_members:
            raise _too_many(dataset_id, f"it may hold more than {most_members} files")
        with zipfile.ZipFile(archive) as packed:
            yield _Packed(packed, dataset_id, limit, archive.stat().st_size)
    except _UNREADABLE as error:
        raise DatasetExportError(
            f"dataset {dataset_id!r}: the export is no archive that can be read: {error}", dataset_id=dataset_id
        ) from error


class _Packed:
    """An archive whose content is counted as it comes out."""

    # The names inside an archive are never used as paths, so that none of them can lead out of the folder.

    def __init__(self, packed: zipfile.ZipFile, dataset_id: str, limit: int, size: int) -> None:
        self._packed = packed
        self._dataset_id = dataset_id
        self._limit = limit
        self._left = limit
        self._size = size

    def plain_members(self) -> Iterator[zipfile.ZipInfo]:
        for member in self._packed.infolist():
            if _is_plain(member):
                yield member
            else:
                logger.warning("%r in the exported archive is no plain file and is left out", member.filename)

    def pieces(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        """The content of a member, as long as the limits allow."""
        if member.compress_type not in _METHODS:
            raise zipfile.BadZipFile(f"{member.filename!r} is packed by method {member.compress_type}")
        with self._packed.open(member) as content:
            while piece := content.read(_PIECE):
                stop_if_cancelled()
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

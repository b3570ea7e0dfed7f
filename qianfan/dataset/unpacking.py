"""A downloaded archive as one file of rows."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from qianfan.dataset.reading import BOM
from qianfan.errors import DatasetExportError, FileSizeOverflow
from qianfan.utils.logging import logger

_PIECE = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# RuntimeError is what an encrypted member raises, ValueError a name or a text that is not UTF-8.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)


def overflow(dataset_id: str, limit: int) -> FileSizeOverflow:
    """The error for an export of more than `limit` bytes, packed or unpacked."""
    return FileSizeOverflow(
        f"dataset {dataset_id!r}: the export is larger than {limit} bytes; raise EXPORT_FILE_SIZE_LIMIT to download it"
    )


def unpack_rows(archive: Path, target: Path, *, dataset_id: str, limit: int) -> None:
    """Write the rows in an archive to one file, a JSON value a line, in the order in which they are packed.

    Members that end in `.jsonl` hold lines, those that end in `.txt` one text each; others are left out.
    dataset_id: what errors name. limit: bytes that may come out, counted as they come, whatever the archive claims.

    Raises FileSizeOverflow above the limit, DatasetExportError when the file is no such archive or holds no rows.
    """
    try:
        with zipfile.ZipFile(archive) as packed, target.open("wb") as rows:
            _Unpacking(packed, rows, dataset_id, limit).run()
            written = rows.tell()
    except _UNREADABLE as error:
        raise DatasetExportError(
            f"dataset {dataset_id!r}: the export is no archive that can be read: {error}", dataset_id=dataset_id
        ) from error
    if not written:
        raise DatasetExportError(f"dataset {dataset_id!r}: the export holds no rows", dataset_id=dataset_id)


class _Unpacking:
    # The names inside an archive are never used as paths, so that none of them can lead out of the folder.

    def __init__(self, packed: zipfile.ZipFile, rows: IO[bytes], dataset_id: str, limit: int) -> None:
        self._packed = packed
        self._rows = rows
        self._dataset_id = dataset_id
        self._limit = limit
        self._left = limit

    def run(self) -> None:
        for member in self._packed.infolist():
            kind = Path(member.filename).suffix.lower()
            if kind == ".jsonl":
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
                yield piece

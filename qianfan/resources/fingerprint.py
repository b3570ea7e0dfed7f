"""What tells the content of a file from any other, and whether it stayed the same while it was worked with."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qianfan.errors import DataFileChangedError

CHUNK: Final = 1 << 20
"""Bytes of a file that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file holds. size: bytes; sha256: lower-case hex; crc32: the number that object storage checks."""

    size: int
    sha256: str
    crc32: int


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file system says about a file. Two that are equal stand for the same content."""

    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """The state at this moment. Blocking. Raises OSError."""
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


def fingerprint(path: Path) -> Fingerprint:
    """Read a file once, a piece at a time. Blocking.

    Raises OSError, and DataFileChangedError when the file is written to meanwhile.
    """
    before = FileState.of(path)
    sha256, size, crc32 = hashlib.sha256(), 0, 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            size += len(piece)
            crc32 = zlib.crc32(piece, crc32)
            sha256.update(piece)
    if FileState.of(path) != before or size != before.size:
        raise changed(path)
    return Fingerprint(size, sha256.hexdigest(), crc32)


def changed(path: Path) -> DataFileChangedError:
    """The error for a file that is not what it was a moment ago."""
    return DataFileChangedError(
        f"{str(path)!r} was changed while it was read; nothing of it is used. Try again when it is complete",
        path=str(path),
    )

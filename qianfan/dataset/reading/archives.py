"""Zip archives from strangers: what is in them is looked at before it is used.

No name in an archive is ever used as a path, and still an archive with a name that leads out of its folder is refused:
whoever made it meant no good, or the next program that unpacks it will be less careful.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from qianfan.dataset.reading.files import (
    HIGHEST_RATIO,
    FileState,
    PackedBlob,
    check_unchanged,
    errors_named,
    most_unpacked,
    state_of,
)
from qianfan.errors import DataFileError, UnsafeArchiveError

MOST_MEMBERS = 1_000_000
# What the other methods unpack to cannot be bounded: they give out whole blocks at a time.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENTRY_BYTES = 46
_IS_ENCRYPTED = 0x1
_IS_UTF8 = 0x800
# RuntimeError is also what unknown versions of the format raise.
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)


class Archive:
    """A zip archive.

    `members` raises UnsafeArchiveError for an archive that leads out of its folder, holds links or devices, or unpacks
    to far too much, DataFileError for one that is damaged, encrypted or packed by a method that cannot be undone. Each
    error names the member.
    """

    def __init__(self, path: Path, *, most_members: int = MOST_MEMBERS) -> None:
        self.path = path
        self._most_members = most_members
        self._listed: tuple[zipfile.ZipFile, FileState] | None = None

    def members(self) -> list[MemberBlob]:
        """The plain files in the archive, in the order in which they are packed."""
        infos = self._open()[0].infolist()
        for info in infos:
            self._check(info)
        return [MemberBlob(self, info) for info in infos if not info.is_dir()]

    @contextmanager
    def content(self, info: zipfile.ZipInfo) -> Generator[IO[bytes], None, None]:
        """What is in a member, from its beginning. No more comes out than the list of members says."""
        packed, before = self._open()
        check_unchanged(self.path, before)
        name = f"{self.path}: {shown_name(info)}"
        try:
            file = packed.open(info)
        except (*_DAMAGED, OSError) as error:
            raise DataFileError(f"{name} cannot be unpacked: {error}", path=str(self.path)) from error
        try:
            with errors_named(self.path), io.BufferedReader(cast("io.RawIOBase", file), 1 << 18) as content:
                yield content
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataFileError(f"{name} is damaged or cut off: {error}", path=str(self.path)) from error
        check_unchanged(self.path, before)

    def _open(self) -> tuple[zipfile.ZipFile, FileState]:
        """The archive, whose list of members is read once, and the state in which it was then."""
        if self._listed is None:
            before = state_of(self.path)
            if self._directory_bytes() > self._most_members * (_ENTRY_BYTES + 100):
                raise self._unsafe(f"may hold more than {self._most_members} files")
            with errors_named(self.path):
                try:
                    packed = zipfile.ZipFile(self.path)
                except _DAMAGED as error:
                    reason = f"is no zip archive, or damaged or cut off: {error}"
                    raise DataFileError(f"data file {self.path} {reason}", path=str(self.path)) from error
            check_unchanged(self.path, before)
            self._check_sizes(packed.infolist(), before.size)
            self._listed = packed, before
        return self._listed

    def _check_sizes(self, infos: Sequence[zipfile.ZipInfo], size: int) -> None:
        if len(infos) > self._most_members:
            raise self._unsafe(f"holds more than {self._most_members} files")
        if sum(info.compress_size for info in infos) > size:
            raise self._unsafe("holds members that share their bytes, as only bombs do")
        if sum(info.file_size for info in infos) > most_unpacked(size):
            largest = shown_name(max(infos, key=lambda info: info.file_size))
            raise self._unsafe(f"unpacks to more than {HIGHEST_RATIO} times its size, most of it {largest!r}")

    def _check(self, info: zipfile.ZipInfo) -> None:
        name = shown_name(info)
        if "\0" in info.orig_filename:
            raise self._unsafe(f"holds {info.orig_filename!r}: a NUL character in a name")
        steps = re.split(r"[/\\]", name)
        if not steps[0] or ".." in steps or re.match("[A-Za-z]:", name):
            raise self._unsafe(f"holds {name!r}, which leads out of its folder")
        # The kind of a file is Unix's; other systems write none.
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise self._unsafe(f"holds {name!r}, which is a link or a device, not a file")
        if info.flag_bits & _IS_ENCRYPTED:
            raise DataFileError(f"{self.path}: {name!r} is encrypted; pack it without a password", path=str(self.path))
        if info.compress_type not in _METHODS:
            reason = f"is packed by method {info.compress_type}, which cannot be undone; use deflate"
            raise DataFileError(f"{self.path}: {name!r} {reason}", path=str(self.path))

    def _unsafe(self, what: str) -> UnsafeArchiveError:
        return UnsafeArchiveError(f"archive {self.path} {what}; it is not unpacked", path=str(self.path))

    def _directory_bytes(self) -> int:
        """How long the list of members is, by the end of the archive: reading it takes memory for each of them."""
        with errors_named(self.path), self.path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - (1 << 16) - 22))
            tail = file.read()
            at = tail.rfind(b"PK\5\6")
            if at < 0 or len(tail) < at + 22:
                return 0
            claimed = int.from_bytes(tail[at + 12 : at + 16], "little")
            if claimed < 0xFFFFFFFF:
                return claimed
            locator = tail.rfind(b"PK\6\7", 0, at)
            if locator < 0:
                return claimed
            file.seek(min(size, int.from_bytes(tail[locator + 8 : locator + 16], "little")))
            return int.from_bytes(file.read(56)[40:48], "little")


class MemberBlob(PackedBlob):
    """A member of an archive. name: its name there."""

    def __init__(self, archive: Archive, info: zipfile.ZipInfo) -> None:
        super().__init__(archive.path, shown_name(info))
        self._archive = archive
        self.info = info

    @contextmanager
    def stream(self) -> Generator[IO[bytes], None, None]:
        with self._archive.content(self.info) as content:
            yield content


def shown_name(info: zipfile.ZipInfo) -> str:
    """A member's name. Chinese Windows writes names in GBK without saying so, which zip takes for an old code page."""
    if info.flag_bits & _IS_UTF8:
        return info.filename
    for encoding in ("utf-8", "gb18030"):
        try:
            return info.filename.encode("cp437").decode(encoding)
        except UnicodeError:
            continue
    return info.filename

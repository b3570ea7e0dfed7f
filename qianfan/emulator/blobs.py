"""Stored bytes: small ones in memory, large ones in a file, all of them once written never changed."""

from __future__ import annotations

import hashlib
import tempfile
import uuid
import zlib
from pathlib import Path
from typing import BinaryIO

from qianfan.emulator.scans import Scan, Unit, read_unit, scan, units_in
from qianfan.emulator.templates import Row, Template

_LARGEST_IN_MEMORY = 2**20
_LARGEST_KEPT_AS_ROWS = 2**24


class Blob:
    """Immutable content, with the result of reading it as a dataset kept once that was done.

    key: names it in the folder of its store; md5: hex digest; crc32: of the whole content.
    """

    def __init__(self, key: str, size: int, md5: str, crc32: int, held: bytes | Path) -> None:
        self.key = key
        self.size = size
        self.md5 = md5
        self.crc32 = crc32
        self._held = held
        self._scans: dict[tuple[str, str], Scan] = {}
        self._rows: dict[tuple[str, str], list[tuple[Unit, Row]]] = {}

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """A part of the content, all of it by default."""
        wanted = self.size - start if length is None else length
        if isinstance(self._held, bytes):
            return self._held[start : start + wanted]
        with self._held.open("rb") as file:
            file.seek(start)
            return file.read(wanted)

    def scan(self, name: str, template: Template) -> Scan:
        """What the content holds as rows of a template; read on the first call only."""
        found = self._scans.get((name, template.data_format))
        if found is None:
            found = scan(name, self.read(), template)
            self._scans[name, template.data_format] = found
        return found

    def rows(self, name: str, template: Template) -> list[tuple[Unit, Row]]:
        """The rows of content that was scanned without a complaint, in order. Those of small content are kept."""
        key = (name, template.data_format)
        found = self._rows.get(key)
        if found is None:
            found = [(unit, read_unit(unit, template)) for unit in units_in(name, self.read(), template)]
            if self.size <= _LARGEST_KEPT_AS_ROWS:
                self._rows[key] = found
        return found

    def is_scanned(self, name: str, template: Template) -> bool:
        """Whether `scan` would answer at once."""
        return (name, template.data_format) in self._scans


class BlobWriter:
    """Takes the pieces of one upload. Writes go to the page cache, so they are short enough for an event loop."""

    def __init__(self, store: BlobStore) -> None:
        self.size = 0
        self.crc32 = 0
        self._store = store
        self._key = uuid.uuid4().hex
        self._memory = bytearray()
        self._file: BinaryIO | None = None
        # The platform's ETag is an MD5; nothing here relies on it for security.
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self.size += len(piece)
        self.crc32 = zlib.crc32(piece, self.crc32)
        self._md5.update(piece)
        if self._file is None and len(self._memory) + len(piece) > self._store.largest_in_memory:
            self._file = self._store.path(self._key).open("wb")
            self._file.write(self._memory)
            self._memory.clear()
        if self._file is None:
            self._memory += piece
        else:
            self._file.write(piece)

    @property
    def md5(self) -> bytes:
        """Digest of what was written so far."""
        return self._md5.digest()

    def finish(self) -> Blob:
        """The blob of everything that was written."""
        held: bytes | Path = bytes(self._memory)
        if self._file is None and self._store.largest_in_memory < 0:
            self._file = self._store.path(self._key).open("wb")
        if self._file is not None:
            self._file.close()
            held = self._store.path(self._key)
        return Blob(self._key, self.size, self._md5.hexdigest(), self.crc32, held)

    def discard(self) -> None:
        """Give up an upload that broke off."""
        if self._file is not None:
            self._file.close()
            self._store.path(self._key).unlink(missing_ok=True)


class BlobStore:
    """Where blobs live: in `folder`, or in memory with large ones in a temporary folder that goes with the store."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.largest_in_memory = _LARGEST_IN_MEMORY if folder is None else -1

    def writer(self) -> BlobWriter:
        """Begin an upload."""
        return BlobWriter(self)

    def put(self, content: bytes) -> Blob:
        """Store content that is at hand."""
        writer = self.writer()
        writer.write(content)
        return writer.finish()

    def load(self, key: str, size: int, md5: str, crc32: int) -> Blob:
        """A blob that an earlier store left in the folder."""
        return Blob(key, size, md5, crc32, self.path(key))

    def path(self, key: str) -> Path:
        """The file of a blob."""
        if self._folder is None:
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="qianfan-emulator-")
            return Path(self._temporary.name) / key
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / key

    def forget_all_but(self, keys: set[str]) -> None:
        """Delete the files of blobs that nothing names any more."""
        if self._folder is None or not self._folder.exists():
            return
        for file in self._folder.iterdir():
            if file.name not in keys:
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the temporary folder, if one was made."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

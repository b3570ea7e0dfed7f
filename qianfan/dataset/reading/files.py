"""Files that rows come from: opened with care, named in every error, and watched while they are read."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import tempfile
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qianfan.errors import DataFileChangedError, DataFileError, UnsafeArchiveError

HIGHEST_RATIO = 200
_BUFFER = 1 << 15


@dataclass(frozen=True, slots=True)
class FileState:
    """What changes when somebody writes to a file or puts another in its place."""

    size: int
    modified_ns: int
    node: int


def state_of(path: Path) -> FileState:
    """The state of a plain file.

    Raises DataFileError for one that is missing or cannot be looked at, and for what is no plain file: a folder, or a
    pipe or device, which could make a reader wait for ever.
    """
    with errors_named(path):
        facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        what = "a folder" if stat.S_ISDIR(facts.st_mode) else "a pipe, a device or a socket"
        raise DataFileError(f"data file {path} is {what}, not a file", path=str(path))
    return FileState(facts.st_size, facts.st_mtime_ns, facts.st_ino)


def check_unchanged(path: Path, before: FileState) -> None:
    """Raise DataFileChangedError unless a file is still as it was."""
    try:
        now = state_of(path)
    except DataFileError as error:
        raise DataFileChangedError(f"data file {path} went away while it was read", path=str(path)) from error
    if now != before:
        raise DataFileChangedError(
            f"data file {path} changed while it was read; wait until nothing writes to it, and load it again",
            path=str(path),
        )


@contextmanager
def errors_named(path: Path) -> Generator[None, None, None]:
    """Turn the system's errors about a file that is read into DataFileError."""
    try:
        yield
    except OSError as error:
        raise DataFileError(f"data file {path} {_why(path, error)}", path=str(path)) from error
    except ValueError as error:
        # A name with a NUL character in it is refused before the system is asked.
        if "\0" not in str(path):
            raise
        raise DataFileError(f"data file {str(path)!r}: {error}", path=str(path)) from error


def _why(path: Path, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"cannot be read: {error.strerror or error}"
    if path.is_symlink():
        return f"is a link to {os.readlink(path)!r}, which does not exist"
    return "does not exist"


class Blob(ABC):
    """Bytes under a name: a file, a packed file, or a member of an archive."""

    name: str

    @abstractmethod
    def stream(self) -> AbstractContextManager[IO[bytes]]:
        """The content from its beginning.

        Raises DataFileError when it cannot be read, DataFileChangedError at the end when it changed meanwhile.
        """

    @abstractmethod
    def on_disk(self) -> Path:
        """A plain file with the content, for access at any place; packed content is unpacked once."""

    @abstractmethod
    def check_unchanged(self, before: FileState) -> None:
        """Raise DataFileChangedError unless the content is what it was."""

    @abstractmethod
    def state(self) -> FileState:
        """The state of the file that holds the content."""


class FileBlob(Blob):
    """A plain file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    @contextmanager
    def stream(self) -> Generator[IO[bytes], None, None]:
        before = self.state()
        with errors_named(self.path), self.path.open("rb") as file:
            yield file
        self.check_unchanged(before)

    @contextmanager
    def stream_from(self, offset: int, before: FileState) -> Generator[IO[bytes], None, None]:
        """The content from a place on, of a file that must be as it was when the place was noted.

        No file is kept open between rows: that would be in the way of whoever wants to replace or remove it.
        """
        self.check_unchanged(before)
        with errors_named(self.path), self.path.open("rb") as file:
            file.seek(offset)
            yield file

    def on_disk(self) -> Path:
        return self.path

    def check_unchanged(self, before: FileState) -> None:
        check_unchanged(self.path, before)

    def state(self) -> FileState:
        return state_of(self.path)


class PackedBlob(Blob):
    """Content that comes out of a file on disk by unpacking. path: that file."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._unpacked: Path | None = None

    def on_disk(self) -> Path:
        if self._unpacked is None:
            with self._writing_errors_named():
                folder = tempfile.mkdtemp(prefix="qianfan-")
                weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                target = Path(folder) / ("content" + Path(self.name).suffix)
                file = target.open("wb")
            with file, self.stream() as packed:
                while piece := packed.read(1 << 20):
                    with self._writing_errors_named():
                        file.write(piece)
                        file.flush()
            self._unpacked = target
        return self._unpacked

    @contextmanager
    def _writing_errors_named(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            reason = f"cannot be unpacked into {tempfile.gettempdir()}: {error.strerror or error}"
            raise DataFileError(f"data file {self.name} {reason}", path=self.name) from error

    def check_unchanged(self, before: FileState) -> None:
        check_unchanged(self.path, before)

    def state(self) -> FileState:
        return state_of(self.path)


class GzipBlob(PackedBlob):
    """A file, or a member of an archive, that is packed by gzip."""

    def __init__(self, packed: FileBlob | PackedBlob) -> None:
        super().__init__(packed.path, packed.name)
        self._packed = packed

    @contextmanager
    def stream(self) -> Generator[IO[bytes], None, None]:
        with self._packed.stream() as packed:
            try:
                with gzip.GzipFile(fileobj=packed) as file, io.BufferedReader(_Bounded(file, self), _BUFFER) as content:
                    yield content
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                reason = f"is no gzip file, or damaged or cut off: {error}"
                raise DataFileError(f"data file {self.name} {reason}", path=self.name) from error


class _Bounded(io.RawIOBase):
    """Unpacked content that ends with an error where it is far more than any honest file packs so small."""

    def __init__(self, file: gzip.GzipFile, blob: PackedBlob) -> None:
        self._file = file
        self._name = blob.name
        self._most = most_unpacked(blob.state().size)
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._file.read(len(buffer))
        self._count += len(piece)
        if self._count > self._most:
            raise UnsafeArchiveError(
                f"{self._name} unpacks to more than {HIGHEST_RATIO} times its size; it is not read", path=self._name
            )
        buffer[: len(piece)] = piece
        return len(piece)


def most_unpacked(packed: int) -> int:
    """How many bytes may come out of packed ones before it is a bomb. A few rows may well be all alike."""
    return max(1 << 26, HIGHEST_RATIO * packed)

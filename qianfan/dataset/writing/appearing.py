"""Files and folders that are made beside their place and appear there when they are complete."""

from __future__ import annotations

import io
import os
import shutil
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, cast

from qianfan._sync import at_exit
from qianfan.errors import DataFileError

_BUFFER = 1 << 18


@contextmanager
def atomically(path: Path) -> Generator[IO[bytes], None, None]:
    """A binary file that takes its place when the block ends. After an error it is gone, and what was there stays.

    One that was there before hands on its permissions; where a link is, the file that it leads to is written.

    Raises DataFileError when it cannot be written, or something else than a plain file is in its place.
    """
    with _errors_named(path):
        place = _place(path)
        mode = _mode_of_file(place)
    with _beside(place) as part:
        with io.BufferedWriter(_Part(part, path, mode), _BUFFER) as file:
            # It can do what any file can; only its type is not what files are declared as.
            yield cast("IO[bytes]", file)
        with _errors_named(path):
            os.replace(part, place)


class Folder(ABC):
    """A folder or an archive that is being filled."""

    @abstractmethod
    def file(self, name: str, *, is_packed: bool = False) -> AbstractContextManager[IO[bytes]]:
        """A new file in it. is_packed: whether its content is packed already, so that an archive need not try."""


@contextmanager
def appearing_folder(path: Path) -> Generator[Folder, None, None]:
    """A folder, or an archive where the name ends in `.zip`, that takes its place when the block ends.

    Raises DataFileError when it cannot be written, or something else than an empty folder is in its place.
    """
    if path.suffix.lower() == ".zip":
        with atomically(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            yield _Archive(archive)
        return
    with _errors_named(path):
        place = _place(path)
        if os.path.lexists(place) and (not place.is_dir() or any(place.iterdir())):
            raise DataFileError(f"{path} is there already; name a new folder or an empty one", path=str(path))
    with _beside(place) as part:
        with _errors_named(path):
            part.mkdir()
        yield _Directory(part, path)
        with _errors_named(path):
            if place.exists():
                place.rmdir()  # for Windows, which does not put one folder in the place of another
            os.replace(part, place)


class _Directory(Folder):
    def __init__(self, part: Path, path: Path) -> None:
        self._part = part
        self._path = path

    def file(self, name: str, *, is_packed: bool = False) -> AbstractContextManager[IO[bytes]]:
        return cast("IO[bytes]", io.BufferedWriter(_Part(self._part / name, self._path / name)))


class _Archive(Folder):
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def file(self, name: str, *, is_packed: bool = False) -> AbstractContextManager[IO[bytes]]:
        member = zipfile.ZipInfo(name)
        member.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
        return self._archive.open(member, "w", force_zip64=True)


@contextmanager
def workshop(path: Path) -> Generator[Path, None, None]:
    """A hidden folder beside a path, where there is room for what is needed to write it. It goes in the end.

    Raises DataFileError when it cannot be made.
    """
    with _errors_named(path):
        place = _place(path)
    with _beside(place) as folder:
        with _errors_named(path):
            folder.mkdir(0o700)
        yield folder


def part_of(path: Path, part: Path) -> IO[bytes]:
    """A new file that is needed to write the one at a path, which its errors name."""
    return cast("IO[bytes]", io.BufferedWriter(_Part(part, path), _BUFFER))


# --- places -----------------------------------------------------------------------------------------------------------


def _place(path: Path) -> Path:
    """Where a path leads to, behind links."""
    return Path(os.path.realpath(path))


def _mode_of_file(place: Path) -> int | None:
    """The permissions of the file in a place, if there is one."""
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise DataFileError(f"{place} is a folder; name a file in it", path=str(place))
    if not stat.S_ISREG(mode):
        raise DataFileError(f"{place} is a pipe, a device or a socket; name a file", path=str(place))
    if not os.access(place, os.W_OK):
        raise PermissionError(f"{place} must not be written to")
    return stat.S_IMODE(mode)


_unfinished: set[tuple[Path, int]] = set()
"""What is being written, and the process that does."""


@contextmanager
def _beside(place: Path) -> Generator[Path, None, None]:
    """A hidden name beside a place, for what may move there in the end; otherwise nothing is left at it."""
    # Names have a greatest length, which the place's own may have already.
    part = place.with_name(f".{place.name[:40]}.{token_hex(4)}.part")
    known = part, os.getpid()
    _unfinished.add(known)
    try:
        yield part
    finally:
        _remove(part)
        _unfinished.discard(known)


def _remove(part: Path) -> None:
    with suppress(OSError):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _remove_unfinished() -> None:
    for part, process in [*_unfinished]:
        if process == os.getpid():  # a forked child knows what its parent writes
            _remove(part)


# The end of a process does not wait for a thread whose caller was interrupted.
at_exit(_remove_unfinished)


# --- errors -----------------------------------------------------------------------------------------------------------


class _Part(io.FileIO):
    """A new file whose errors name the one that it is to become.

    So they are told from those of whoever makes its content.
    """

    def __init__(self, part: Path, path: Path, mode: int | None = None) -> None:
        self._path = path
        with _errors_named(path):
            super().__init__(part, "xb")
            if mode is not None and mode != stat.S_IMODE(os.stat(part).st_mode):
                os.chmod(part, mode)

    def write(self, data: Any, /) -> int:
        with _errors_named(self._path):
            return super().write(data)

    def close(self) -> None:
        with _errors_named(self._path):
            super().close()


@contextmanager
def _errors_named(path: Path) -> Generator[None, None, None]:
    """Turn the system's errors about a file that is written into DataFileError."""
    try:
        yield
    except OSError as error:
        raise DataFileError(f"{path} cannot be written: {error.strerror or error}", path=str(path)) from error
    except ValueError as error:
        # A name with a NUL character in it is refused before the system is asked.
        if "\0" not in str(path):
            raise
        raise DataFileError(f"{str(path)!r} cannot be written: {error}", path=str(path)) from error

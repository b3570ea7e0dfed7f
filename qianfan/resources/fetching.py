"""A file from a link or from object storage onto this machine, taken up again where an earlier try stopped.

What has arrived lies in a file whose name ends in `.part`, with a note of what it is a part of, `….part.json`. A later
try, of this process or of another, asks for the rest, on condition that what is over there is still the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
import zlib
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final, TypeAlias

from qianfan._sync import in_thread, stop_if_cancelled
from qianfan._transport import Call, Client, Download, Family, Safety
from qianfan.errors import APIError, DataFileError, QianfanError, RequestError
from qianfan.resources.fingerprint import CHUNK

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Open: TypeAlias = Callable[[Mapping[str, str]], AbstractAsyncContextManager[Download]]
"""Begins an answer, asked for with these further headers."""

OnBytes: TypeAlias = Callable[[int, int | None], object]
"""Told (bytes here, bytes in all, None while unknown)."""

_GET: Final = Call("download", Family.BOS, Safety.READ, "", method="GET")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)")
_ANOTHER_ONE: Final = (412, 416)
"""HTTP statuses that say: what is over there is not what you have a part of."""


@dataclass(frozen=True, slots=True)
class Version:
    """Which content of a file is meant. size: bytes; etag: a strong one, without quotes; crc32: in decimal digits."""

    size: int | None = None
    etag: str = ""
    last_modified: str = ""
    crc32: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Version:
        """What the headers of an answer say of the whole file."""
        ranged = _RANGE.fullmatch(headers.get("content-range", ""))
        size = ranged[2] if ranged else headers.get("content-length", "")
        etag = headers.get("etag", "")
        return cls(
            int(size) if size.isascii() and size.isdigit() else None,
            # Contents that differ may share a weak one.
            "" if etag.startswith("W/") else etag.strip('"'),
            headers.get("last-modified", ""),
            headers.get("x-bce-content-crc32", ""),
        )


async def fetch(
    open_: Open,
    path: Path,
    *,
    client: Client,
    keeps_parts: bool,
    on_progress: OnBytes | None = None,
) -> Version:
    """Bring a file here. It appears under its name only when it is whole and is what the storage says it is.

    Until then it is at `PATH.part`. Arguments and errors are those of `fetched`.
    """
    part = path.with_name(f"{path.name}.part")
    how = fetched(open_, part, client=client, keeps_parts=keeps_parts, on_progress=on_progress, mode=0o666)
    async with how as arrived:
        arrived.move_to(path)
        return arrived.version


@asynccontextmanager
async def fetched(
    open_: Open,
    part: Path,
    *,
    client: Client,
    keeps_parts: bool,
    check: Callable[[int], object] | None = None,
    on_progress: OnBytes | None = None,
    mode: int = 0o600,
) -> AsyncGenerator[Fetched, None]:
    """Bring a file here, whole and as the storage says it is, for as long as the context lasts, or until it is moved.

    A connection that breaks is opened again as often as the settings say; one that brought something begins that count
    anew. No other process touches the file meanwhile.

    part: where it is, also before it is whole. keeps_parts: leave it there for a later try, when this one is cancelled
    or the network or the platform fails. mode: its permissions, below what the system allows.
    check: told the bytes in all, known or counted; raises FileSizeOverflow for too many.
    on_progress: those of an earlier try are told at once.

    Raises APIError and RequestError, the latter also for a file that arrives damaged; DataFileError when it cannot be
    written here.
    """
    with _claimed(part, mode) as file:
        try:
            version = await _Fetching(open_, file, client, check, on_progress).run()
            await in_thread(_check_content, file.path, version)
            yield Fetched(version, file)
        except BaseException as error:
            is_cut_off = isinstance(error, (APIError, RequestError)) or not isinstance(error, Exception)
            if not keeps_parts or not is_cut_off or isinstance(error, _Damaged) or file.is_useless:
                file.forget()
            raise
        file.forget()


class Fetched:
    """A file that has arrived. version: what it is; path: where it is while the context lasts."""

    def __init__(self, version: Version, part: _Partial) -> None:
        self.version = version
        self.path = part.path
        self._part = part

    def move_to(self, path: Path) -> None:
        """Give it a name of its own in the same file system, replacing what is there. Raises DataFileError."""
        self._part.move_to(path)


class _Damaged(RequestError):
    """What arrived is not what the storage says it is."""


class _Partial:
    """The beginning of a file, and what it is the beginning of. is_spare: nobody will look for it under its name."""

    def __init__(self, path: Path, file: IO[bytes], mode: int, *, is_spare: bool) -> None:
        self.path = path
        self.file = file
        self._mode = mode
        self._is_spare = is_spare
        self._is_here = True
        self._note = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    @property
    def is_useless(self) -> bool:
        """Whether nobody could go on with it."""
        return self._is_spare or self.version() is None or not self.size

    def version(self) -> Version | None:
        """Of which content it is, None where that is not known well enough to go on with it."""
        try:
            known = Version(**json.loads(self._note.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return known if known.etag else None

    def begin(self, version: Version) -> None:
        """Start over with the beginning of this content."""
        with _writing(self.path), _open(self._note, "wb", self._mode) as note:
            self.file.seek(0)
            self.file.truncate()
            note.write(json.dumps(asdict(version)).encode())

    def append(self, content: bytes) -> None:
        with _writing(self.path):
            self.file.seek(0, os.SEEK_END)
            self.file.write(content)
            self.file.flush()

    def forget(self) -> None:
        """Remove what is here, unless it has been moved."""
        if self._is_here:
            with self._leaving():
                self._note.unlink(missing_ok=True)
                self.path.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        """Give it its name, now that it is whole."""
        with self._leaving(), _writing(path):
            self.path.replace(path)
            self._note.unlink(missing_ok=True)

    @contextmanager
    def _leaving(self) -> Generator[None, None, None]:
        """The name is given up before the claim to it, so that nobody claims what is about to go."""
        self._is_here = False
        if sys.platform == "win32":
            self.file.close()  # nothing that is open is moved or removed there
        try:
            yield
        finally:
            self.file.close()


class _Fetching:
    def __init__(
        self,
        open_: Open,
        part: _Partial,
        client: Client,
        check: Callable[[int], object] | None,
        on_progress: OnBytes | None,
    ) -> None:
        self._open = open_
        self._part = part
        self._client = client
        self._policy = client.retry_policy(_GET)
        self._check = check if check is not None else lambda size: None
        self._on_progress = on_progress if on_progress is not None else lambda done, size: None
        self._done = 0
        self._is_open = False

    async def run(self) -> Version:
        failures = 0
        while True:
            before, self._is_open = self._part.size, False
            try:
                return await self._take_up()
            except QianfanError as error:
                failures = 1 if self._part.size > before else failures + 1
                delay = self._policy.delay_after(failures, error, rng=self._client.rng)
                # Whoever opens the connection repeats that by itself.
                if delay is None or not self._is_open:
                    raise
                await self._client.clock.sleep(delay)

    async def _take_up(self) -> Version:
        """Ask for what is missing, or for everything where what is here belongs to something else by now."""
        known, here = self._part.version(), self._part.size
        if known is not None and here:
            # Where nothing is missing, the last byte is asked for, to hear whether it is still the same file.
            first = here - 1 if here == known.size else here
            try:
                return await self._receive({"range": f"bytes={first}-", "if-match": f'"{known.etag}"'}, known)
            except (APIError, RequestError) as error:
                if _status_of(error) not in _ANOTHER_ONE:
                    raise
        return await self._receive({}, None)

    async def _receive(self, asked: Mapping[str, str], known: Version | None) -> Version:
        async with self._open(asked) as download:
            self._is_open = True
            version, already = Version.of(download.headers), 0
            if download.status == 206:
                start = _start_of(download)
                if known is None or start is None or start > self._part.size or not _is_same(version, known):
                    self._part.begin(Version())
                    raise RequestError("the rest of the file was asked for, and of another one came", retryable=True)
                version, already = known, self._part.size - start
            else:
                self._part.begin(version)
            self._done = self._part.size
            self._check(version.size or 0)
            self._on_progress(self._done, version.size)
            await self._append_all(download, already, version.size)
        if version.size is not None and self._done != version.size:
            raise RequestError(f"the file ended after {self._done} of {version.size} bytes", retryable=True)
        return version

    async def _append_all(self, download: Download, already: int, size: int | None) -> None:
        """Keep what comes but the first bytes, which are here already."""
        held = bytearray()
        try:
            async for chunk in download:
                held += chunk[already:]
                already = max(0, already - len(chunk))
                if len(held) >= CHUNK:
                    self._keep(held, size)
        finally:
            self._keep(held, size)

    def _keep(self, held: bytearray, size: int | None) -> None:
        # A piece of this size goes to the page cache, in less time than a thread would take to start.
        self._part.append(bytes(held))
        self._done += len(held)
        held.clear()
        self._check(self._done)
        self._on_progress(self._done, size)


def _start_of(download: Download) -> int | None:
    """The byte of the file with which a part of it begins, None where that is not said."""
    ranged = _RANGE.fullmatch(download.headers.get("content-range", ""))
    return int(ranged[1]) if ranged else None


def _is_same(version: Version, known: Version) -> bool:
    return (version.size, version.etag) == (known.size, known.etag)


def _status_of(error: APIError | RequestError) -> int | None:
    return error.http_status if isinstance(error, APIError) else error.status_code


def _check_content(path: Path, version: Version) -> None:
    """Compare a file with what is known of it: a CRC-32, or else an ETag that is an MD5. Blocking. Raises _Damaged."""
    if not (version.crc32 or _MD5.fullmatch(version.etag)):
        return
    md5, crc32 = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            stop_if_cancelled()
            if version.crc32:
                crc32 = zlib.crc32(piece, crc32)
            else:
                md5.update(piece)
    # The ETag of what was stored in parts may look like an MD5, but is not that of the content.
    if (str(crc32) != version.crc32) if version.crc32 else (md5.hexdigest() != version.etag):
        raise _Damaged("what was downloaded is not what the storage says it is; download it again", retryable=True)


# --- one process at a time -------------------------------------------------------------------------------------------


@contextmanager
def _claimed(path: Path, mode: int) -> Generator[_Partial, None, None]:
    """The partial file for this process alone; a fresh one of another name while some other process has it.

    The operating system gives a claim up when its process ends, however that happens.
    """
    while True:
        file = _open(path, "a+b", mode)
        is_ours = _lock(file)
        # Whoever had it may have given it its final name between the two lines above.
        if not is_ours or _is_at(file, path):
            break
        file.close()
    if not is_ours:
        file.close()
        path = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        file = _open(path, "a+b", mode)
    try:
        yield _Partial(path, file, mode, is_spare=not is_ours)
    finally:
        with suppress(OSError):
            file.close()


def _open(path: Path, how: str, mode: int) -> IO[bytes]:
    """A binary file, with these permissions at most if it is a new one. Raises DataFileError."""
    with _writing(path):
        return open(path, how, opener=lambda name, flags: os.open(name, flags, mode))


@contextmanager
def _writing(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise DataFileError(f"{path} cannot be written: {error.strerror or error}", path=str(path)) from error


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(1 << 40)  # a byte that no part reaches, since locked bytes cannot be read by others
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

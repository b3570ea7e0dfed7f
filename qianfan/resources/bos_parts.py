"""A file onto object storage in parts: several at once, each verified, taken up again where an earlier try stopped.

Nothing is noted on this machine: the storage itself knows which uploads were begun and which parts of them arrived. A
part's ETag is the MD5 of its content, so a part is known again by comparing it with the same stretch of the file.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from qianfan._sync import in_thread
from qianfan.errors import APIError, InvalidArgumentError, is_retryable
from qianfan.resources.bos import BAD_DIGEST, CONTENT_HASH, Bos, BosPath, Part, UploadEntry
from qianfan.resources.fingerprint import CHUNK, FileState, Fingerprint, changed

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

_MOST_PARTS: Final = 10_000
_MIB: Final = 1 << 20
_SECONDS_TO_ABORT: Final = 10.0
_OVERTAKEN: Final = ("NoSuchUpload", "InvalidPart", "InvalidPartOrder")
"""What is answered when somebody else completed, aborted or changed the upload."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What becomes one part. number: from 1; start, size: bytes."""

    number: int
    start: int
    size: int


async def send_in_parts(
    bos: Bos,
    path: Path,
    to: BosPath,
    *,
    part_size: int,
    at_once: int,
    content: Fingerprint | None,
    region: str | None,
    on_progress: Callable[[int, int], object] | None,
) -> None:
    """Store a file under a key; see `Bos.put_file_in_parts`."""
    state = await in_thread(FileState.of, path)
    if content is not None and content.size != state.size:
        raise changed(path)
    sending = _Sending(bos, path, to, state, _stretches(state.size, part_size), at_once, content, region, on_progress)
    try:
        await sending.run(joining=True)
    except APIError as error:
        if error.code not in _OVERTAKEN:
            raise
        # Somebody else went on with the same upload. If it was completed with this content, all is done.
        if content is not None and await bos.holds(to, content, region=region):
            sending.tell(state.size)
        else:
            await sending.run(joining=False)


def _stretches(size: int, part_size: int) -> list[_Stretch]:
    least = -(-size // _MOST_PARTS)
    length = max(part_size, -(-least // _MIB) * _MIB)
    starts = range(0, max(size, 1), length)
    return [_Stretch(number, start, min(length, size - start)) for number, start in enumerate(starts, start=1)]


class _Sending:
    def __init__(
        self,
        bos: Bos,
        path: Path,
        to: BosPath,
        state: FileState,
        stretches: list[_Stretch],
        at_once: int,
        content: Fingerprint | None,
        region: str | None,
        on_progress: Callable[[int, int], object] | None,
    ) -> None:
        self._bos = bos
        self._path = path
        self._to = to
        self._state = state
        self._stretches = stretches
        self._at_once = at_once
        self._content = content
        self._region = region
        self._on_progress = on_progress
        self._there: dict[int, int] = {}
        self._told = -1

    async def run(self, *, joining: bool) -> None:
        """Send what is missing and complete the upload. Raises APIError, also where another process was faster."""
        self._there = {}
        begun = await self._begun() if joining else []
        upload_id, parts = await self._continued(begun)
        if upload_id is None:
            headers = {} if self._content is None else {CONTENT_HASH: self._content.sha256}
            upload_id = await self._bos.begin_upload(self._to, headers=headers, region=self._region)
        try:
            await self._send_missing(upload_id, parts)
            await self._complete(upload_id, parts)
        except BaseException as error:
            first = _first(error)
            if isinstance(first, InvalidArgumentError) and await self._has_changed():
                # A part that has become shorter is not what was announced.
                first = changed(self._path)
            if isinstance(first, Exception) and not is_retryable(first):
                await self._abort(upload_id)
            raise first from None
        if self._content is not None:
            for other in begun:
                if other.upload_id != upload_id:
                    await self._abort(other.upload_id)

    # --- going on ------------------------------------------------------------------------------------------------

    async def _begun(self) -> list[UploadEntry]:
        """Uploads to this very key that somebody began."""
        try:
            async with aclosing(self._bos.uploads(self._to, region=self._region)) as uploads:
                return [upload async for upload in uploads if upload.key == self._to.key]
        except APIError as error:
            if error.http_status == 404:
                return []
            raise

    async def _continued(self, begun: list[UploadEntry]) -> tuple[str | None, dict[int, Part]]:
        """The upload to go on with and the parts of it that are this file's, or None."""
        best: tuple[str | None, list[Part]] = (None, [])
        for upload in begun:
            try:
                parts = await self._bos.parts(self._to, upload.upload_id, region=self._region)
            except APIError as error:
                if error.http_status == 404:
                    continue
                raise
            if sum(map(_size, self._fitting(parts))) > sum(map(_size, best[1])):
                best = upload.upload_id, parts
        upload_id, parts = best
        same = await in_thread(self._same_as_here, self._fitting(parts))
        if not same or (self._content is None and len(same) < len(parts)):
            # Under a key that says nothing of the content, parts of something else are somebody else's.
            return None, {}
        self._there = {number: _size(part) for number, part in same.items()}
        self._tell()
        return upload_id, same

    def _fitting(self, parts: list[Part]) -> list[Part]:
        sizes = {stretch.number: stretch.size for stretch in self._stretches}
        return [part for part in parts if part.size is not None and part.size == sizes.get(part.number)]

    def _same_as_here(self, parts: list[Part]) -> dict[int, Part]:
        by_number = {stretch.number: stretch for stretch in self._stretches}
        with self._path.open("rb") as file:
            same: dict[int, Part] = {}
            for part in parts:
                md5 = hashlib.md5(usedforsecurity=False)
                stretch = by_number[part.number]
                file.seek(stretch.start)
                for size in _pieces(stretch.size):
                    md5.update(file.read(size))
                if md5.hexdigest() == part.etag.strip('"').lower():
                    same[part.number] = part
            return same

    # --- sending -------------------------------------------------------------------------------------------------

    async def _send_missing(self, upload_id: str, parts: dict[int, Part]) -> None:
        waiting = iter([stretch for stretch in self._stretches if stretch.number not in parts])

        async def send_in_turn() -> None:
            for stretch in waiting:
                number, start, size = stretch.number, stretch.start, stretch.size
                parts[number] = await self._bos.put_part(
                    self._to,
                    upload_id,
                    number,
                    self._path,
                    start,
                    size,
                    region=self._region,
                    on_progress=self._hears(number),
                )
                self._there[number] = size
                self._tell()

        async with anyio.create_task_group() as group:
            for _ in range(self._at_once):
                group.start_soon(send_in_turn)
        if await self._has_changed():
            raise changed(self._path)

    async def _has_changed(self) -> bool:
        return await in_thread(FileState.of, self._path) != self._state

    def _hears(self, number: int) -> Callable[[int], None]:
        def hear(done: int) -> None:
            self._there[number] = done
            self._tell()

        return hear

    def _tell(self) -> None:
        self.tell(sum(self._there.values()))

    def tell(self, there: int) -> None:
        """Tell that so many bytes are in the storage, if that is news."""
        # A part that is sent again begins anew; what was told is not taken back.
        if self._on_progress is not None and there > self._told:
            self._told = there
            self._on_progress(there, self._state.size)

    async def _complete(self, upload_id: str, parts: dict[int, Part]) -> None:
        crc32 = None if self._content is None else self._content.crc32
        try:
            await self._bos.complete_upload(self._to, upload_id, list(parts.values()), crc32=crc32, region=self._region)
        except APIError as error:
            if error.code == BAD_DIGEST:
                # Each part is what the file holds now, so the file is not what its fingerprint was taken of.
                raise changed(self._path) from error
            raise

    async def _abort(self, upload_id: str) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_SECONDS_TO_ABORT):
            try:
                await self._bos.abort_upload(self._to, upload_id, region=self._region)
            except APIError as error:
                if error.http_status != 404:
                    raise


def _size(part: Part) -> int:
    return part.size or 0


def _pieces(size: int) -> Iterator[int]:
    for start in range(0, size, CHUNK):
        yield min(CHUNK, size - start)


def _first(error: BaseException) -> BaseException:
    """The failure of the first part that failed, out of the group that the others are stopped in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

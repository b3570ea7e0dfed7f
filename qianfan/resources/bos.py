"""Object storage, the part that moving datasets needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from qianfan._transport import Client
from qianfan.errors import InvalidArgumentError, RequestError

CHUNK = 1 << 20
"""Bytes read from a file at a time; an upload never holds more."""


@dataclass(frozen=True)
class BosPath:
    """A place in object storage. key: without a leading slash; a folder ends in one."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> BosPath:
        """Read `bos:/bucket/key`; `bos://bucket/key` is understood too. Raises InvalidArgumentError."""
        scheme, colon, rest = text.partition(":")
        bucket, _, key = rest.lstrip("/").partition("/")
        if scheme != "bos" or not colon or not bucket:
            raise InvalidArgumentError(f"{text!r} is no place in object storage; write it as bos:/bucket/path")
        return cls(bucket, key.lstrip("/"))

    def __str__(self) -> str:
        return f"bos:/{self.bucket}/{self.key}"


class Bos:
    """Objects in buckets: put, look, read, delete."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put_file(
        self,
        path: Path,
        to: BosPath,
        *,
        region: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Upload a file in one request, a piece at a time. on_progress is told (bytes read, bytes in all)."""
        size = (await anyio.Path(path).stat()).st_size

        async def pieces() -> AsyncIterator[bytes]:
            done = 0
            async with await anyio.open_file(path, "rb") as file:
                while piece := await file.read(CHUNK):
                    done += len(piece)
                    yield piece
                    if on_progress is not None:
                        on_progress(done, size)

        await self._client.put_object(to.bucket, to.key, pieces, size=size, region=region)

    async def put_bytes(self, content: bytes, to: BosPath, *, region: str | None = None) -> None:
        """Upload bytes that are already in memory."""
        await self._client.put_object(to.bucket, to.key, content, size=len(content), region=region)

    async def size(self, at: BosPath, *, region: str | None = None) -> int:
        """Size of an object in bytes. Raises APIError (404) when there is none."""
        reply = await self._client.head_object(at.bucket, at.key, region=region)
        size = reply.headers.get("content-length", "")
        if not (size.isascii() and size.isdigit()):
            raise RequestError(f"head object: the answer has no content-length for {at}", status_code=reply.status)
        return int(size)

    async def get_bytes(self, at: BosPath, *, region: str | None = None) -> bytes:
        """A whole object; for small ones."""
        async with self._client.get_object(at.bucket, at.key, region=region) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def delete(self, at: BosPath, *, region: str | None = None) -> None:
        """Delete an object."""
        await self._client.delete_object(at.bucket, at.key, region=region)

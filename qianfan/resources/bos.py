"""Object storage: objects, listings, buckets, and uploads in parts."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import anyio
from pydantic import Field

from qianfan._auth.iam import encode_path
from qianfan._transport import Call, Client, Family, Reply, Safety
from qianfan.errors import APIError, InvalidArgumentError, RequestError
from qianfan.resources._base import WireModel, read

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

CHUNK = 1 << 20
"""Bytes read from a file at a time; an upload never holds more of it."""
PART: Final = 16 << 20
"""Bytes of a part, unless the file needs larger ones. Every part but the last has 5 MiB at least."""
_LEAST_PART: Final = 5 << 20
_MOST_PARTS: Final = 10_000
_MOST_DELETED: Final = 1000


def _bos(name: str, method: str, safety: Safety) -> Call:
    return Call(name, Family.BOS, safety, "", method=method)


LIST = _bos("list objects", "GET", Safety.READ)
COPY = _bos("copy object", "PUT", Safety.EFFECT)
DELETE_MANY = _bos("delete objects", "POST", Safety.EFFECT)
HEAD_BUCKET = _bos("look at bucket", "HEAD", Safety.READ)
CREATE_BUCKET = _bos("create bucket", "PUT", Safety.EFFECT)
DELETE_BUCKET = _bos("delete bucket", "DELETE", Safety.EFFECT)
LIST_BUCKETS = _bos("list buckets", "GET", Safety.READ)
LOCATION = _bos("region of bucket", "GET", Safety.READ)
# A second upload that is begun stays empty, and costs nothing.
BEGIN_UPLOAD = _bos("begin upload", "POST", Safety.EFFECT)
COMPLETE_UPLOAD = _bos("complete upload", "POST", Safety.EFFECT)
ABORT_UPLOAD = _bos("abort upload", "DELETE", Safety.EFFECT)
LIST_PARTS = _bos("list parts", "GET", Safety.READ)


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


class ObjectEntry(WireModel):
    """One object of a listing. size: in bytes; etag: without quotes."""

    key: str
    size: int = 0
    etag: str = Field(default="", validation_alias="eTag", serialization_alias="eTag")
    last_modified: datetime | None = None
    storage_class: str = ""


class _Prefix(WireModel):
    prefix: str


class Listing(WireModel):
    """One page of a bucket's objects, and the folders below the prefix when a delimiter was given."""

    name: str = ""
    contents: list[ObjectEntry] = Field(default_factory=list)
    common_prefixes: list[_Prefix] = Field(default_factory=list)
    is_truncated: bool = False
    next_marker: str = ""

    @property
    def folders(self) -> list[str]:
        """What lies below the prefix, as prefixes of their own."""
        return [entry.prefix for entry in self.common_prefixes]


class BucketEntry(WireModel):
    """One bucket of the account. location: its region."""

    name: str
    location: str = ""
    creation_date: datetime | None = None


class _Buckets(WireModel):
    buckets: list[BucketEntry] = Field(default_factory=list)


class _UploadBegun(WireModel):
    upload_id: str


class Part(WireModel):
    """One part that arrived. number: from 1; etag: the MD5 of its content, without quotes."""

    number: int = Field(validation_alias="partNumber", serialization_alias="partNumber")
    etag: str = Field(validation_alias="eTag", serialization_alias="eTag")
    size: int | None = None


class _Parts(WireModel):
    parts: list[Part] = Field(default_factory=list)
    is_truncated: bool = False
    next_part_number_marker: int = 0


class Bos:
    """Objects in buckets. region: of the bucket, unless the settings' own.

    Nothing is billed by call here; what is stored is. Every method but `put_file_in_parts` is one request.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    # --- objects -------------------------------------------------------------------------------------------------

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
            async with aclosing(_read(path, 0)) as read_pieces:
                async for piece in read_pieces:
                    done += len(piece)
                    yield piece
                    if on_progress is not None:
                        on_progress(done, size)

        await self._client.put_object(to.bucket, to.key, pieces, size=size, region=region)

    async def put_bytes(self, content: bytes, to: BosPath, *, region: str | None = None) -> None:
        """Upload bytes that are already in memory."""
        await self._client.put_object(to.bucket, to.key, content, size=len(content), region=region)

    async def head(self, at: BosPath, *, region: str | None = None) -> Reply:
        """An object's headers. Raises APIError (404) when there is none."""
        return await self._client.head_object(at.bucket, at.key, region=region)

    async def exists(self, at: BosPath, *, region: str | None = None) -> bool:
        """Whether there is such an object; anything but "not found" is raised as it is."""
        try:
            await self.head(at, region=region)
        except APIError as error:
            if error.http_status == 404:
                return False
            raise
        return True

    async def size(self, at: BosPath, *, region: str | None = None) -> int:
        """Size of an object in bytes. Raises APIError (404) when there is none."""
        reply = await self.head(at, region=region)
        size = reply.headers.get("content-length", "")
        if not (size.isascii() and size.isdigit()):
            raise RequestError(f"head object: the answer has no content-length for {at}", status_code=reply.status)
        return int(size)

    async def get_bytes(self, at: BosPath, *, region: str | None = None) -> bytes:
        """A whole object; for small ones."""
        async with self._client.get_object(at.bucket, at.key, region=region) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def get_file(self, at: BosPath, path: Path, *, region: str | None = None) -> int:
        """Download an object into a file, a piece at a time, and return its size in bytes.

        The file appears under its name only when it is whole.
        """
        beside, size = anyio.Path(path.with_name(path.name + ".part")), 0
        try:
            async with (
                self._client.get_object(at.bucket, at.key, region=region) as chunks,
                await anyio.open_file(beside, "wb") as file,
            ):
                async for chunk in chunks:
                    size += await file.write(chunk)
            await beside.replace(path)
        finally:
            with anyio.CancelScope(shield=True):
                await beside.unlink(missing_ok=True)
        return size

    async def copy(self, source: BosPath, to: BosPath, *, region: str | None = None) -> None:
        """Copy an object on the server."""
        headers = {"x-bce-copy-source": f"/{source.bucket}/{encode_path(source.key)}"}
        reply = await self._client.object_call(COPY, to.bucket, to.key, headers=headers, region=region)
        # A long copy says early that it goes well, and in the body if it then does not: that is raised above.
        if not isinstance(reply.body, dict) or not reply.body.get("eTag"):
            raise RequestError(f"copy object: the answer does not say that {to} was made", status_code=reply.status)

    async def delete(self, at: BosPath, *, region: str | None = None) -> None:
        """Delete an object."""
        await self._client.delete_object(at.bucket, at.key, region=region)

    async def delete_many(self, bucket: str, keys: Iterable[str], *, region: str | None = None) -> dict[str, str]:
        """Delete objects, 1,000 in a request, and return those that were not deleted with the reason."""
        left, failed = [*keys], dict[str, str]()
        while left:
            body = {"objects": [{"key": key} for key in left[:_MOST_DELETED]]}
            reply = await self._client.object_call(DELETE_MANY, bucket, body=body, query={"delete": ""}, region=region)
            errors = reply.body.get("errors") or [] if isinstance(reply.body, dict) else []
            failed |= {error["key"]: f"{error.get('code')}: {error.get('message')}" for error in errors}
            del left[:_MOST_DELETED]
        return failed

    # --- listings ------------------------------------------------------------------------------------------------

    async def list_page(
        self,
        bucket: str,
        prefix: str = "",
        *,
        delimiter: str = "",
        marker: str = "",
        max_keys: int = 1000,
        region: str | None = None,
    ) -> Listing:
        """One page of a listing in the order of the keys. delimiter: `/` folds what lies in folders into `folders`."""
        asked = {"prefix": prefix, "delimiter": delimiter, "marker": marker, "maxKeys": str(max_keys)}
        query = {name: value for name, value in asked.items() if value}
        reply = await self._client.object_call(LIST, bucket, query=query, region=region)
        return read(LIST, reply, Listing)

    async def objects(self, at: BosPath, *, region: str | None = None) -> AsyncGenerator[ObjectEntry, None]:
        """All objects whose key begins as `at` says, page after page."""
        marker = ""
        while True:
            page = await self.list_page(at.bucket, at.key, marker=marker, region=region)
            for entry in page.contents:
                yield entry
            following = page.next_marker
            if not page.is_truncated or not following or following <= marker:
                return
            marker = following

    # --- buckets -------------------------------------------------------------------------------------------------

    async def buckets(self, *, region: str | None = None) -> list[BucketEntry]:
        """The account's buckets."""
        reply = await self._client.object_call(LIST_BUCKETS, "", region=region)
        return read(LIST_BUCKETS, reply, _Buckets).buckets

    async def bucket_exists(self, bucket: str, *, region: str | None = None) -> bool:
        """Whether there is a bucket of this name, the account's or somebody else's."""
        try:
            await self._client.object_call(HEAD_BUCKET, bucket, region=region)
        except APIError as error:
            if error.http_status in (403, 404):
                return error.http_status == 403
            raise
        return True

    async def create_bucket(self, bucket: str, *, region: str | None = None) -> None:
        """Create a bucket; names are shared by everyone. Raises APIError `BucketAlreadyExists`."""
        await self._client.object_call(CREATE_BUCKET, bucket, region=region)

    async def delete_bucket(self, bucket: str, *, region: str | None = None) -> None:
        """Delete an empty bucket. Raises APIError `BucketNotEmpty`."""
        await self._client.object_call(DELETE_BUCKET, bucket, region=region)

    async def region_of(self, bucket: str, *, region: str | None = None) -> str:
        """The region of a bucket, such as `bj`; any region may be asked."""
        reply = await self._client.object_call(LOCATION, bucket, query={"location": ""}, region=region)
        found = reply.body.get("locationConstraint") if isinstance(reply.body, dict) else None
        if not isinstance(found, str):
            raise RequestError("region of bucket: the answer does not name one", status_code=reply.status)
        return found

    # --- uploads in parts ----------------------------------------------------------------------------------------

    async def begin_upload(self, to: BosPath, *, region: str | None = None) -> str:
        """Begin an upload in parts and return its id. What is not completed or aborted is stored, and billed."""
        reply = await self._client.object_call(BEGIN_UPLOAD, to.bucket, to.key, query={"uploads": ""}, region=region)
        return read(BEGIN_UPLOAD, reply, _UploadBegun).upload_id

    async def put_part(
        self, to: BosPath, upload_id: str, number: int, path: Path, start: int, size: int, *, region: str | None = None
    ) -> Part:
        """Upload a piece of a file as part `number` (from 1); the same number again replaces it."""
        reply = await self._client.put_object(
            to.bucket,
            to.key,
            lambda: _read(path, start, size),
            size=size,
            query={"partNumber": str(number), "uploadId": upload_id},
            region=region,
        )
        return Part(number=number, etag=reply.headers.get("etag", "").strip('"'), size=size)

    async def parts(self, to: BosPath, upload_id: str, *, region: str | None = None) -> list[Part]:
        """The parts that arrived, in order."""
        found: list[Part] = []
        marker = 0
        while True:
            query = {"uploadId": upload_id, **({"partNumberMarker": str(marker)} if marker else {})}
            reply = await self._client.object_call(LIST_PARTS, to.bucket, to.key, query=query, region=region)
            page = read(LIST_PARTS, reply, _Parts)
            found += page.parts
            if not page.is_truncated or page.next_part_number_marker <= marker:
                return found
            marker = page.next_part_number_marker

    async def complete_upload(
        self, to: BosPath, upload_id: str, parts: Sequence[Part], *, region: str | None = None
    ) -> None:
        """Make the object of its parts."""
        listed = [
            {"partNumber": part.number, "eTag": part.etag} for part in sorted(parts, key=lambda part: part.number)
        ]
        query, body = {"uploadId": upload_id}, {"parts": listed}
        await self._client.object_call(COMPLETE_UPLOAD, to.bucket, to.key, body=body, query=query, region=region)

    async def abort_upload(self, to: BosPath, upload_id: str, *, region: str | None = None) -> None:
        """Give up an upload and free what was stored of it."""
        await self._client.object_call(ABORT_UPLOAD, to.bucket, to.key, query={"uploadId": upload_id}, region=region)

    async def put_file_in_parts(
        self,
        path: Path,
        to: BosPath,
        *,
        part_size: int = PART,
        at_once: int = 4,
        region: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Upload a file in parts, several at a time; needed above 5 GB, faster well below.

        part_size: bytes, 5 MiB at least; larger ones are chosen where 10,000 would not do. on_progress is told (bytes
        that arrived, bytes in all). A part that fails is sent again by itself; when it cannot be sent, or the caller is
        cancelled, the upload is aborted.
        """
        if part_size < _LEAST_PART or at_once < 1:
            raise InvalidArgumentError(f"part_size must be {_LEAST_PART} at least, and at_once 1 at least")
        size = (await anyio.Path(path).stat()).st_size
        part_size = max(part_size, -(-size // _MOST_PARTS))
        upload_id = await self.begin_upload(to, region=region)
        arrived: list[Part] = []
        gate = anyio.Semaphore(at_once)

        async def put(number: int, start: int) -> None:
            async with gate:
                length = min(part_size, size - start)
                arrived.append(await self.put_part(to, upload_id, number, path, start, length, region=region))
            if on_progress is not None:
                on_progress(sum(part.size or 0 for part in arrived), size)

        try:
            async with anyio.create_task_group() as group:
                for number, start in enumerate(range(0, max(size, 1), part_size), start=1):
                    group.start_soon(put, number, start)
            await self.complete_upload(to, upload_id, arrived, region=region)
        except BaseException as error:
            with anyio.CancelScope(shield=True), anyio.move_on_after(10):
                await self.abort_upload(to, upload_id, region=region)
            raise _first(error) from None


def _first(error: BaseException) -> BaseException:
    """The failure of the first part that failed, out of the group that the others are stopped in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _read(path: Path, start: int, size: int = sys.maxsize) -> AsyncGenerator[bytes, None]:
    """A piece of a file; without a size to its end, so that a file that grows meanwhile is noticed."""
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(start)
        while size > 0 and (piece := await file.read(min(CHUNK, size))):
            size -= len(piece)
            yield piece

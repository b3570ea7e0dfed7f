"""Object storage: objects, listings, buckets, and uploads in parts."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import anyio
from pydantic import Field

from qianfan._auth.iam import encode_path
from qianfan._sync import in_thread
from qianfan._transport import Call, Client, Family, Reply, Safety
from qianfan.errors import APIError, InvalidArgumentError, RequestError
from qianfan.resources._base import WireModel, read
from qianfan.resources.fingerprint import CHUNK, FileState, Fingerprint, changed

PART: Final = 16 << 20
"""Bytes of a part, unless the file needs larger ones. Every part but the last has 5 MiB at least."""
LEAST_PART: Final = 5 << 20
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
LIST_UPLOADS = _bos("list uploads", "GET", Safety.READ)

CONTENT_HASH: Final = "x-bce-meta-sha256"
"""The header that says what an object was made of, where whoever stored it had it checked."""
CRC32: Final = "x-bce-content-crc32"
BAD_DIGEST: Final = "BadDigest"


class Digest(Protocol):
    """A hash that is being computed."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


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


class UploadEntry(WireModel):
    """An upload in parts that was begun and is neither completed nor aborted."""

    key: str
    upload_id: str
    initiated: datetime | None = None


class _Uploads(WireModel):
    uploads: list[UploadEntry] = Field(default_factory=list)
    is_truncated: bool = False
    next_key_marker: str = ""


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
        content: Fingerprint | None = None,
        region: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Upload a file in one request, a piece at a time. on_progress is told (bytes read, bytes in all).

        content: what the file is known to hold; the storage compares what arrives with it, and keeps the hash.
        Raises DataFileChangedError when the file holds something else by now, or changes meanwhile.
        """
        before = await in_thread(FileState.of, path)
        size = before.size
        if content is not None and content.size != size:
            raise changed(path)
        headers = {} if content is None else {CRC32: str(content.crc32), CONTENT_HASH: content.sha256}

        async def pieces() -> AsyncIterator[bytes]:
            done = 0
            async with aclosing(_read(path, 0)) as read_pieces:
                async for piece in read_pieces:
                    done += len(piece)
                    yield piece
                    if on_progress is not None:
                        on_progress(done, size)

        try:
            await self._client.put_object(to.bucket, to.key, pieces, size=size, headers=headers, region=region)
        except APIError as error:
            if content is not None and error.code == BAD_DIGEST:
                raise changed(path) from error
            raise
        except InvalidArgumentError as error:
            # That is also what a file raises that has become longer or shorter than was announced.
            if await in_thread(FileState.of, path) != before:
                raise changed(path) from error
            raise

    async def put_bytes(self, content: bytes, to: BosPath, *, region: str | None = None) -> None:
        """Upload bytes that are already in memory."""
        await self._client.put_object(to.bucket, to.key, content, size=len(content), region=region)

    async def head(self, at: BosPath, *, region: str | None = None) -> Reply:
        """An object's headers. Raises APIError (404) when there is none."""
        return await self._client.head_object(at.bucket, at.key, region=region)

    async def holds(self, at: BosPath, content: Fingerprint, *, region: str | None = None) -> bool:
        """Whether there is an object of exactly this content, stored with its hash."""
        try:
            headers = (await self.head(at, region=region)).headers
        except APIError as error:
            if error.http_status == 404:
                return False
            raise
        known = headers.get(CRC32, str(content.crc32))  # not every answer has it
        found = headers.get("content-length"), headers.get(CONTENT_HASH), known
        return found == (str(content.size), content.sha256, str(content.crc32))

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

    async def get_file(
        self,
        at: BosPath,
        path: Path,
        *,
        keeps_parts: bool = False,
        region: str | None = None,
        on_progress: Callable[[int, int | None], object] | None = None,
    ) -> int:
        """Download an object into a file, a piece at a time, and return its size in bytes.

        The file appears under its name only when it is whole and fits its checksums. A connection that breaks is
        taken up again where it broke. keeps_parts: a later call goes on as well with what this one leaves behind when
        it fails. on_progress is told (bytes here, bytes in all).
        """
        from qianfan.resources.fetching import fetch  # a download is more than a call

        client = self._client
        await fetch(
            lambda headers: client.get_object(at.bucket, at.key, headers=headers, region=region),
            path,
            client=client,
            keeps_parts=keeps_parts,
            on_progress=on_progress,
        )
        return (await anyio.Path(path).stat()).st_size

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

    async def begin_upload(
        self, to: BosPath, *, headers: Mapping[str, str] | None = None, region: str | None = None
    ) -> str:
        """Begin an upload in parts and return its id. What is not completed or aborted is stored, and billed.

        headers: of the object to be, for example `x-bce-meta-...`.
        """
        reply = await self._client.object_call(
            BEGIN_UPLOAD, to.bucket, to.key, query={"uploads": ""}, headers=headers, region=region
        )
        return read(BEGIN_UPLOAD, reply, _UploadBegun).upload_id

    async def put_part(
        self,
        to: BosPath,
        upload_id: str,
        number: int,
        path: Path,
        start: int,
        size: int,
        *,
        region: str | None = None,
        on_progress: Callable[[int], object] | None = None,
    ) -> Part:
        """Upload a piece of a file as part `number` (from 1); the same number again replaces it.

        on_progress: told the bytes of the part that were read, from the beginning again when it is sent again.
        Raises RequestError when the storage got something else than was sent.
        """
        md5 = _md5()

        def pieces() -> AsyncIterator[bytes]:
            nonlocal md5
            md5 = _md5()
            return _read(path, start, size, digest=md5, tell=on_progress)

        query = {"partNumber": str(number), "uploadId": upload_id}
        reply = await self._client.put_object(to.bucket, to.key, pieces, size=size, query=query, region=region)
        part = Part(number=number, etag=reply.headers.get("etag", "").strip('"').lower(), size=size)
        if part.etag != md5.hexdigest():
            raise RequestError(
                f"put object: part {number} of {to} arrived damaged; upload it again", status_code=reply.status
            )
        return part

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
        self,
        to: BosPath,
        upload_id: str,
        parts: Sequence[Part],
        *,
        crc32: int | None = None,
        region: str | None = None,
    ) -> None:
        """Make the object of its parts. crc32: of the whole, which the storage refuses to make when it differs."""
        listed = [
            {"partNumber": part.number, "eTag": part.etag} for part in sorted(parts, key=lambda part: part.number)
        ]
        query, body = {"uploadId": upload_id}, {"parts": listed}
        headers = {} if crc32 is None else {CRC32: str(crc32)}
        await self._client.object_call(
            COMPLETE_UPLOAD, to.bucket, to.key, body=body, query=query, headers=headers, region=region
        )

    async def uploads(self, at: BosPath, *, region: str | None = None) -> AsyncGenerator[UploadEntry, None]:
        """All uploads that were begun and not ended, to keys that begin as `at` says, page after page."""
        marker = ""
        while True:
            asked = {"prefix": at.key, "keyMarker": marker}
            query = {"uploads": "", **{name: value for name, value in asked.items() if value}}
            reply = await self._client.object_call(LIST_UPLOADS, at.bucket, query=query, region=region)
            page = read(LIST_UPLOADS, reply, _Uploads)
            for entry in page.uploads:
                yield entry
            if not page.is_truncated or page.next_key_marker <= marker:
                return
            marker = page.next_key_marker

    async def abort_uploads(
        self, at: BosPath, *, begun_before: datetime | None = None, region: str | None = None
    ) -> int:
        """Give up the uploads to keys that begin as `at` says, and free what is stored of them. Returns how many.

        begun_before: only those begun earlier, so that one that is under way goes on.
        """
        count = 0
        async with aclosing(self.uploads(at, region=region)) as uploads:
            async for upload in uploads:
                if begun_before is None or (upload.initiated is not None and upload.initiated < begun_before):
                    await self.abort_upload(BosPath(at.bucket, upload.key), upload.upload_id, region=region)
                    count += 1
        return count

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
        content: Fingerprint | None = None,
        region: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Upload a file in parts, several at a time; needed above 5 GB, faster well below.

        part_size: bytes, 5 MiB at least; larger ones are chosen where 10,000 would not do. on_progress is told (bytes
        there, bytes in all), with those of an earlier try at once. A part that fails is sent again by itself.

        What was interrupted goes on: an upload to the same key whose parts are this file's is completed with what is
        missing. So an upload that is cancelled or loses the network keeps its parts, which are stored, and billed,
        until it is tried again or `abort_uploads` frees them. One that fails for good is aborted.

        content: what the file held when the key was chosen by it. The storage then compares the whole with it, and
        other uploads to this key, of the same content, make no difference.

        Raises DataFileChangedError when the file changes meanwhile, RequestError when a part arrives damaged.
        """
        if part_size < LEAST_PART or at_once < 1:
            raise InvalidArgumentError(f"part_size must be {LEAST_PART} at least, and at_once 1 at least")
        from qianfan.resources.bos_parts import send_in_parts  # it is made of the calls above

        await send_in_parts(
            self,
            path,
            to,
            part_size=part_size,
            at_once=at_once,
            content=content,
            region=region,
            on_progress=on_progress,
        )


async def _read(
    path: Path,
    start: int,
    size: int = sys.maxsize,
    *,
    digest: Digest | None = None,
    tell: Callable[[int], object] | None = None,
) -> AsyncGenerator[bytes, None]:
    """A piece of a file; without a size to its end, so that a file that grows meanwhile is noticed.

    digest: fed with it. tell: told the bytes that were handed out.
    """
    done = 0
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(start)
        while done < size and (piece := await file.read(min(CHUNK, size - done))):
            done += len(piece)
            if digest is not None:
                digest.update(piece)
            yield piece
            if tell is not None:
                tell(done)


def _md5() -> Digest:
    return hashlib.md5(usedforsecurity=False)

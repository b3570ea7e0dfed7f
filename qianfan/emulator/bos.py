"""A small object storage in path style: objects, ranges, listings, uploads in parts. It answers in JSON, not XML."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime, timezone
from email.utils import format_datetime

from qianfan._types import JSON
from qianfan.emulator import access
from qianfan.emulator.account import Account
from qianfan.emulator.blobs import Blob, BlobWriter
from qianfan.emulator.buckets import PLATFORM_BUCKET, Upload, new_upload_id
from qianfan.emulator.entities import content_at
from qianfan.emulator.envelopes import Family, request_id
from qianfan.emulator.records import StoredObject
from qianfan.emulator.refusals import RefusedObject
from qianfan.emulator.wire import Answer, Request, json_answer

_PIECE = 2**16
_LEAST_PART = 5 * 2**20
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_RETURNED = ("cache-control", "content-disposition", "content-encoding", "expires")

Operation = Callable[[Account, Request, str, str], Awaitable[Answer]]


def operation_of(request: Request) -> tuple[str, Operation]:
    """The name and the handler of an object-storage request."""
    _, key = place_of(request)
    names = {name for name, _ in request.query}
    if not request.path.strip("/"):
        return "ListBuckets", _list_buckets
    if key:
        return _object_operation(request.method, names)
    return _bucket_operation(request.method, names)


def place_of(request: Request) -> tuple[str, str]:
    """Bucket and key that a path names; the key is empty for a bucket itself."""
    bucket, _, key = request.path.lstrip("/").partition("/")
    return bucket, key.lstrip("/")


async def serve_object(account: Account, request: Request, operation: Operation) -> Answer:
    """Carry out an object-storage request. Raises RefusedObject."""
    with account.lock:
        access.admit(account, Family.OBJECTS, request)
    bucket, key = place_of(request)
    if bucket and not _BUCKET_NAME.fullmatch(bucket):
        raise RefusedObject(400, "InvalidBucketName", f"{bucket!r} is no name for a bucket")
    if len(key.encode()) > 1024 or any(segment in (".", "..") for segment in key.split("/")):
        raise RefusedObject(400, "InvalidObjectName", "the key is over 1024 bytes or has a segment '.' or '..'")
    return await operation(account, request, bucket, key)


def _object_operation(method: str, names: set[str]) -> tuple[str, Operation]:
    if "uploads" in names:
        return _by_method(method, {"POST": ("InitiateMultipartUpload", _begin_upload)})
    if "uploadId" in names:
        return _by_method(
            method,
            {
                "PUT": ("UploadPart", _put_part),
                "POST": ("CompleteMultipartUpload", _complete_upload),
                "DELETE": ("AbortMultipartUpload", _abort_upload),
                "GET": ("ListParts", _list_parts),
            },
        )
    return _by_method(
        method,
        {
            "PUT": ("PutObject", _put_object),
            "GET": ("GetObject", _get_object),
            "HEAD": ("HeadObject", _head_object),
            "DELETE": ("DeleteObject", _delete_object),
        },
    )


def _bucket_operation(method: str, names: set[str]) -> tuple[str, Operation]:
    if "location" in names:
        return _by_method(method, {"GET": ("GetBucketLocation", _bucket_location)})
    if "delete" in names:
        return _by_method(method, {"POST": ("DeleteMultipleObjects", _delete_many)})
    if "uploads" in names:
        return _by_method(method, {"GET": ("ListMultipartUploads", _list_uploads)})
    return _by_method(
        method,
        {
            "GET": ("ListObjects", _list_objects),
            "HEAD": ("HeadBucket", _head_bucket),
            "PUT": ("PutBucket", _put_bucket),
            "DELETE": ("DeleteBucket", _delete_bucket),
        },
    )


def _by_method(method: str, operations: dict[str, tuple[str, Operation]]) -> tuple[str, Operation]:
    return operations.get(method, ("Unknown", _not_allowed))


async def _not_allowed(account: Account, request: Request, bucket: str, key: str) -> Answer:
    raise RefusedObject(405, "MethodNotAllowed", f"{request.method} is not allowed here")


# --- objects -----------------------------------------------------------------------------------------------------


async def _put_object(account: Account, request: Request, bucket: str, key: str) -> Answer:
    copied_from = request.header("x-bce-copy-source")
    if copied_from:
        return _copy(account, request, bucket, key, copied_from)
    blob = await _receive(account, request)
    with account.lock:
        present = account.buckets.get(bucket, key)
        if request.header("if-none-match") == "*" and present is not None:
            raise RefusedObject(412, "PreconditionFailed", "the object exists")
        account.buckets.put(_stored(account, request, bucket, key, blob, blob.md5))
        account.touch()
    return Answer(200, {"etag": f'"{blob.md5}"', "x-bce-content-crc32": str(blob.crc32), **_common()})


def _copy(account: Account, request: Request, bucket: str, key: str, copied_from: str) -> Answer:
    origin = Request("GET", copied_from if copied_from.startswith("/") else f"/{copied_from}")
    with account.lock:
        source = _object(account, *place_of(origin))
        copy = source.model_copy(update={"bucket": bucket, "key": key, "modified": account.now()})
        account.buckets.put(copy)
        account.touch()
    return json_answer({"lastModified": _iso(copy.modified), "eTag": copy.etag}, headers=_common())


async def _get_object(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        row = content_at(account, key) if bucket == PLATFORM_BUCKET else None
        if row is not None:
            return Answer(200, {"content-type": row[1], **_common()}, row[0])
        stored = _object(account, bucket, key)
        blob = account.blob_of(stored.source)
    if request.header("if-none-match").strip('"') == stored.etag:
        return Answer(304, _headers_of(stored))
    if request.header("if-match") and request.header("if-match").strip('"') != stored.etag:
        raise RefusedObject(412, "PreconditionFailed", "the object has another ETag")
    start, end = _range(request.header("range"), blob.size)
    headers = {**_headers_of(stored), "content-length": str(end - start)}
    if not request.header("range"):
        return Answer(200, headers, _content(blob, start, end))
    headers["content-range"] = f"bytes {start}-{end - 1}/{blob.size}"
    return Answer(206, headers, _content(blob, start, end))


async def _head_object(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        stored = _object(account, bucket, key)
    return Answer(200, {**_headers_of(stored), "content-length": str(stored.source.size)})


async def _delete_object(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        if account.buckets.remove(bucket, key) is None:
            raise RefusedObject(404, "NoSuchKey", f"{bucket}/{key} does not exist")
        account.touch()
    return Answer(204, _common())


async def _delete_many(account: Account, request: Request, bucket: str, key: str) -> Answer:
    keys = [str(entry.get("key")) for entry in (await _json(request)).get("objects", [])]
    with account.lock:
        missing = [name for name in keys if account.buckets.remove(bucket, name) is None]
        account.touch()
    errors = [{"key": name, "code": "NoSuchKey", "message": "no such object"} for name in missing]
    return json_answer({"errors": errors}, headers=_common()) if errors else Answer(200, _common())


def _object(account: Account, bucket: str, key: str) -> StoredObject:
    if bucket not in account.buckets:
        raise RefusedObject(404, "NoSuchBucket", f"bucket {bucket!r} does not exist")
    stored = account.buckets.get(bucket, key)
    if stored is None:
        raise RefusedObject(404, "NoSuchKey", f"{bucket}/{key} does not exist")
    return stored


def _stored(account: Account, request: Request, bucket: str, key: str, blob: Blob, etag: str) -> StoredObject:
    return StoredObject(
        bucket=bucket,
        key=key,
        source=account.keep(blob, key.rpartition("/")[2]),
        etag=etag,
        modified=account.now(),
        content_type=request.header("content-type") or "application/octet-stream",
        storage_class=request.header("x-bce-storage-class") or "STANDARD",
        meta=_meta(request),
    )


def _meta(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.headers if name.startswith("x-bce-meta-") or name in _RETURNED}


async def _receive(account: Account, request: Request) -> Blob:
    """Take in a body piece by piece and check it against what the client promised."""
    if not request.header("content-length").isdecimal():
        raise RefusedObject(411, "MissingContentLength", "an upload must state its content-length")
    writer = account.blobs.writer()
    try:
        async for piece in request.body:
            writer.write(piece)
        _check_digests(request, writer)
    except BaseException:
        writer.discard()
        raise
    return writer.finish()


def _check_digests(request: Request, writer: BlobWriter) -> None:
    length = request.header("content-length")
    if int(length) != writer.size:
        raise RefusedObject(400, "InvalidHTTPRequest", f"content-length is {length}, {writer.size} bytes came")
    promised = request.header("content-md5")
    if promised and _decoded(promised) != writer.md5:
        raise RefusedObject(400, "BadDigest", "the content does not fit content-md5")
    crc32 = request.header("x-bce-content-crc32")
    if crc32 and crc32 != str(writer.crc32):
        raise RefusedObject(400, "BadDigest", "the content does not fit x-bce-content-crc32")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _range(header: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last of a `Range`; the whole content without one."""
    if not header:
        return 0, size
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        raise RefusedObject(416, "InvalidRange", f"Range {header!r} is not bytes=a-b")
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise RefusedObject(416, "InvalidRange", f"Range {header!r} lies outside the {size} bytes")
    return start, end


async def _content(blob: Blob, start: int, end: int) -> AsyncGenerator[bytes]:
    while start < end:
        piece = blob.read(start, min(_PIECE, end - start))
        start += len(piece)
        yield piece


# --- buckets -----------------------------------------------------------------------------------------------------


async def _list_buckets(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        names = list(account.buckets)
    buckets = [{"name": name, "location": "bj", "creationDate": _iso(account.now())} for name in names]
    return json_answer({"owner": _OWNER, "buckets": buckets}, headers=_common())


async def _list_objects(account: Account, request: Request, bucket: str, key: str) -> Answer:
    prefix, delimiter = request.param("prefix") or "", request.param("delimiter") or ""
    marker, limit = request.param("marker") or "", _page_size(request, "maxKeys")
    with account.lock:
        _bucket(account, bucket)
        page = account.buckets.page(bucket, prefix=prefix, delimiter=delimiter, marker=marker, limit=limit)
    content: dict[str, JSON] = {
        "name": bucket,
        "prefix": prefix,
        "delimiter": delimiter,
        "marker": marker,
        "maxKeys": limit,
        "isTruncated": bool(page.next_marker),
        "contents": [_list_entry(stored) for stored in page.objects],
    }
    if page.next_marker:
        content["nextMarker"] = page.next_marker
    if page.folders:
        content["commonPrefixes"] = [{"prefix": folder} for folder in page.folders]
    return json_answer(content, headers=_common())


async def _bucket_location(account: Account, request: Request, bucket: str, key: str) -> Answer:
    return json_answer({"locationConstraint": "bj"}, headers=_common())


async def _head_bucket(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        _bucket(account, bucket)
    return Answer(200, _common())


async def _put_bucket(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        if bucket in account.buckets:
            raise RefusedObject(409, "BucketAlreadyExists", f"bucket {bucket!r} exists")
        account.buckets.create(bucket)
        account.touch()
    return Answer(200, _common())


async def _delete_bucket(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        _bucket(account, bucket)
        if not account.buckets.is_empty(bucket):
            raise RefusedObject(409, "BucketNotEmpty", f"bucket {bucket!r} holds objects")
        account.buckets.delete(bucket)
        account.touch()
    return Answer(204, _common())


def _bucket(account: Account, bucket: str) -> None:
    if bucket not in account.buckets:
        raise RefusedObject(404, "NoSuchBucket", f"bucket {bucket!r} does not exist")


def _list_entry(stored: StoredObject) -> dict[str, JSON]:
    return {
        "key": stored.key,
        "lastModified": _iso(stored.modified),
        "eTag": stored.etag,
        "size": stored.source.size,
        "storageClass": stored.storage_class,
        "owner": _OWNER,
    }


# --- uploads in parts --------------------------------------------------------------------------------------------


async def _begin_upload(account: Account, request: Request, bucket: str, key: str) -> Answer:
    upload = Upload(
        bucket=bucket,
        key=key,
        id=new_upload_id(),
        started=account.now(),
        content_type=request.header("content-type") or "application/octet-stream",
        storage_class=request.header("x-bce-storage-class") or "STANDARD",
        meta=_meta(request),
    )
    with account.lock:
        account.buckets.begin_upload(upload)
    return json_answer({"bucket": bucket, "key": key, "uploadId": upload.id}, headers=_common())


async def _put_part(account: Account, request: Request, bucket: str, key: str) -> Answer:
    text = request.param("partNumber") or ""
    if not text.isdecimal() or not 1 <= int(text) <= 10000:
        raise RefusedObject(400, "InvalidArgument", f"partNumber must be 1 to 10000, found {text!r}")
    with account.lock:
        _upload(account, request, bucket, key)
    blob = await _receive(account, request)
    with account.lock:
        _upload(account, request, bucket, key).parts[int(text)] = blob
    return Answer(200, {"etag": f'"{blob.md5}"', **_common()})


async def _complete_upload(account: Account, request: Request, bucket: str, key: str) -> Answer:
    named = (await _json(request)).get("parts", [])
    with account.lock:
        upload = _upload(account, request, bucket, key)
        parts = _ordered_parts(upload, named)
    writer = account.blobs.writer()
    for part in parts:
        async for piece in _content(part, 0, part.size):
            writer.write(piece)
    promised = request.header("x-bce-content-crc32")
    if promised and promised != str(writer.crc32):
        writer.discard()
        raise RefusedObject(400, "BadDigest", "the parts together do not fit x-bce-content-crc32")
    blob = writer.finish()
    # The platform's ETag of such an object is not the MD5 of its content either.
    etag = "-" + hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
    with account.lock:
        account.buckets.put(
            StoredObject(
                bucket=bucket,
                key=key,
                source=account.keep(blob, key.rpartition("/")[2]),
                etag=etag,
                modified=account.now(),
                content_type=upload.content_type,
                storage_class=upload.storage_class,
                meta=upload.meta,
            )
        )
        account.buckets.end_upload(upload.id)
        account.touch()
    content = {"location": f"{request.origin}/{bucket}/{key}", "bucket": bucket, "key": key, "eTag": etag}
    return json_answer(content, headers=_common())


async def _abort_upload(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        account.buckets.end_upload(_upload(account, request, bucket, key).id)
    return Answer(204, _common())


async def _list_parts(account: Account, request: Request, bucket: str, key: str) -> Answer:
    with account.lock:
        upload = _upload(account, request, bucket, key)
        parts = sorted(upload.parts.items())
    entries = [
        {"partNumber": number, "lastModified": _iso(upload.started), "eTag": part.md5, "size": part.size}
        for number, part in parts
    ]
    content: dict[str, JSON] = {
        "bucket": bucket,
        "key": key,
        "uploadId": upload.id,
        "initiated": _iso(upload.started),
        "owner": _OWNER,
        "storageClass": upload.storage_class,
        "partNumberMarker": 0,
        "nextPartNumberMarker": parts[-1][0] if parts else 0,
        "maxParts": 1000,
        "isTruncated": False,
        "parts": entries,
    }
    return json_answer(content, headers=_common())


async def _list_uploads(account: Account, request: Request, bucket: str, key: str) -> Answer:
    prefix, marker = request.param("prefix") or "", request.param("keyMarker") or ""
    limit = _page_size(request, "maxUploads")
    with account.lock:
        _bucket(account, bucket)
        page, following = account.buckets.uploads(bucket, prefix=prefix, marker=marker, limit=limit)
    content: dict[str, JSON] = {
        "bucket": bucket,
        "prefix": prefix,
        "keyMarker": marker,
        "maxUploads": limit,
        "isTruncated": bool(following),
        "uploads": [
            {
                "key": upload.key,
                "uploadId": upload.id,
                "owner": _OWNER,
                "initiated": _iso(upload.started),
                "storageClass": upload.storage_class,
            }
            for upload in page
        ],
    }
    if following:
        content["nextKeyMarker"] = following
    return json_answer(content, headers=_common())


def _page_size(request: Request, name: str) -> int:
    text = request.param(name) or "1000"
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise RefusedObject(400, "InvalidArgument", f"{name} must be 1 to 1000, found {text!r}")
    return int(text)


def _upload(account: Account, request: Request, bucket: str, key: str) -> Upload:
    upload = account.buckets.upload(bucket, key, request.param("uploadId") or "")
    if upload is None:
        raise RefusedObject(404, "NoSuchUpload", "there is no such upload")
    return upload


def _ordered_parts(upload: Upload, named: JSON) -> list[Blob]:
    if not isinstance(named, list) or not named:
        raise RefusedObject(400, "InappropriateJSON", "parts must be a list of partNumber and eTag")
    numbers = [entry.get("partNumber") for entry in named]
    if numbers != sorted(set(numbers)):
        raise RefusedObject(400, "InvalidPartOrder", "part numbers must ascend")
    parts: list[Blob] = []
    for entry in named:
        part = upload.parts.get(entry["partNumber"])
        if part is None or part.md5 != str(entry.get("eTag", "")).strip('"'):
            raise RefusedObject(400, "InvalidPart", f"part {entry['partNumber']} was not uploaded with this eTag")
        parts.append(part)
    if any(part.size < _LEAST_PART for part in parts[:-1]):
        raise RefusedObject(400, "EntityTooSmall", "every part but the last must hold at least 5 MB")
    return parts


# --- shared ------------------------------------------------------------------------------------------------------

_OWNER = {"id": "emulator", "displayName": "emulator"}


async def _json(request: Request) -> dict[str, JSON]:
    try:
        content = json.loads(await request.read() or b"{}")
    except ValueError as error:
        raise RefusedObject(400, "MalformedJSON", "the body is not JSON") from error
    if not isinstance(content, dict):
        raise RefusedObject(400, "InappropriateJSON", "the body is not an object")
    return content


def _headers_of(stored: StoredObject) -> dict[str, str]:
    return {
        "content-type": stored.content_type,
        "etag": f'"{stored.etag}"',
        "last-modified": format_datetime(stored.modified.astimezone(timezone.utc), usegmt=True),
        "x-bce-storage-class": stored.storage_class,
        "accept-ranges": "bytes",
        **stored.meta,
        **_common(),
    }


def _common() -> dict[str, str]:
    return {"x-bce-request-id": request_id(), "x-bce-debug-id": "emulator", "server": "BceBos"}


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

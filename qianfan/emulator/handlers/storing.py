"""What the platform itself puts into object storage, and links that open it without keys."""

from __future__ import annotations

from urllib.parse import quote

from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.records import StoredObject
from qianfan.emulator.refusals import invalid
from qianfan.emulator.signature import link_signature
from qianfan.emulator.wire import Request

_LINK_SECONDS = 1800


def store(account: Account, bucket: str, key: str, content: bytes, content_type: str) -> None:
    """Keep an object. The account must be locked."""
    blob = account.blobs.put(content)
    account.buckets.put(
        StoredObject(
            bucket=bucket,
            key=key,
            source=account.keep(blob, key.rpartition("/")[2]),
            content_type=content_type,
            etag=blob.md5,
            modified=account.now(),
        )
    )


def link(call: Call, bucket: str, key: str) -> str:
    """A link to an object. Whoever has it, can open it for half an hour."""
    account = call.account
    path = quote(f"/{bucket}/{key}")
    request = Request("GET", path, headers=(("host", call.request.header("host")),))
    access_key, secret_key = (account.keys.access_key, account.keys.secret_key) if account.keys else ("emulator", "")
    signature = link_signature(request, access_key, secret_key, account.now(), _LINK_SECONDS)
    return f"{call.origin}{path}?authorization={quote(signature, safe='')}"


def folder_at(uri: str, field: str) -> tuple[str, str]:
    """Bucket and key of `bos:/bucket/folder`, the key ending in a slash unless it is empty. Refuses anything else."""
    scheme, colon, rest = uri.partition(":")
    bucket, _, key = rest.lstrip("/").partition("/")
    if scheme != "bos" or not colon or not bucket:
        raise invalid(field, f"{field} must be like bos:/bucket/folder, found {uri!r}")
    key = key.strip("/")
    return bucket, f"{key}/" if key else ""

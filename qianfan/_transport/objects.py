"""Object storage: where an object lives, and links that open it without keys. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from qianfan._auth.iam import IamCredentials, encode, encode_path, sign
from qianfan._transport.keys import host_of
from qianfan._transport.wire import Call, Family, Parts, Safety, checked_headers
from qianfan.config import Settings
from qianfan.errors import InvalidArgumentError

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_LONGEST_KEY: Final = 1024

PUT: Final = Call("put object", Family.BOS, Safety.EFFECT, "", method="PUT")
HEAD: Final = Call("head object", Family.BOS, Safety.READ, "", method="HEAD")
GET: Final = Call("get object", Family.BOS, Safety.READ, "", method="GET")
DELETE: Final = Call("delete object", Family.BOS, Safety.EFFECT, "", method="DELETE")


def object_parts(
    settings: Settings,
    call: Call,
    bucket: str,
    key: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    region: str | None = None,
) -> Parts:
    """A request about one object. Raises InvalidArgumentError for a bucket or key that cannot exist."""
    base_url, path = address_of(settings, bucket, key, region)
    return Parts(call.method, base_url, path, tuple((query or {}).items()), checked_headers(headers or {}), content)


def bucket_parts(
    settings: Settings,
    call: Call,
    bucket: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    region: str | None = None,
) -> Parts:
    """A request about a bucket; with an empty name, about all of them."""
    base_url, path = address_of_bucket(settings, bucket, region)
    return Parts(call.method, base_url, path, tuple((query or {}).items()), checked_headers(headers or {}), content)


def address_of(settings: Settings, bucket: str, key: str, region: str | None = None) -> tuple[str, str]:
    """Base address and encoded path: `https://<bucket>.<region>.bcebos.com` and `/<key>`.

    With `bos_base_url` set the bucket goes into the path, since a name in front of that host would not resolve.
    """
    if not bucket:
        raise InvalidArgumentError("an object needs the name of its bucket")
    base_url, folder = address_of_bucket(settings, bucket, region)
    return base_url, f"{folder.removesuffix('/')}/{encode_path(_checked_key(key))}"


def address_of_bucket(settings: Settings, bucket: str, region: str | None = None) -> tuple[str, str]:
    """Base address and path of a bucket, or of the storage itself when the name is empty."""
    if bucket and not _BUCKET.fullmatch(bucket):
        raise InvalidArgumentError(f"bucket {bucket!r} must be 3 to 63 of a-z, 0-9 and -, with neither end a -")
    if settings.bos_base_url is not None:
        return settings.bos_base_url, f"/{bucket}"
    region = region or settings.bos_host_region
    if not re.fullmatch(r"[a-z0-9-]+", region):
        raise InvalidArgumentError(f"region {region!r} must be a short name such as 'bj'")
    return f"https://{bucket + '.' if bucket else ''}{region}.bcebos.com", "/"


def _checked_key(key: str) -> str:
    key = key.removeprefix("/")
    if not key:
        raise InvalidArgumentError("an object key must not be empty")
    if len(key.encode()) > _LONGEST_KEY:
        raise InvalidArgumentError(f"object key {key[:40]!r}... is longer than {_LONGEST_KEY} bytes")
    if any(segment in (".", "..") for segment in key.split("/")):
        raise InvalidArgumentError(f"object key {key!r} must not hold '.' or '..' between slashes")
    return key


def presigned(credentials: IamCredentials, parts: Parts, *, now: datetime, expires: int) -> str:
    """A link that carries its signature in the query and works for `expires` seconds."""
    signature = sign(
        credentials,
        method=parts.method,
        path=parts.full_path,
        query=parts.query,
        headers={"host": host_of(parts.base_url)},
        timestamp=now,
        expiration=expires,
    )
    return f"{parts.base_url}{parts.path}?authorization={encode(signature.authorization)}"

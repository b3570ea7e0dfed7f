"""The signature bce-auth-v1: who sent a request, proven by a key pair. Pure: time goes in, text comes out.

    Authorization: bce-auth-v1/{access key}/{timestamp}/{seconds of validity}/{signed headers}/{signature}

A signing key is derived from the Secret Key and the first four fields; it signs the *canonical request*, four pieces
that both sides can spell in only one way: method, path, query, headers. The body is not part of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final
from urllib.parse import quote

from pydantic import SecretStr

Pairs = Iterable[tuple[str, str | None]]
"""Query parameters before encoding; None is a name without a value."""

SCHEME: Final = "bce-auth-v1"
_DEFAULT_HEADERS: Final = frozenset({"host", "content-length", "content-md5", "content-type"})
_VENDOR_PREFIX: Final = "x-bce-"


@dataclass(frozen=True, repr=False)
class IamCredentials:
    """The key pair of an account."""

    access_key: str
    secret_key: SecretStr

    def __repr__(self) -> str:
        return f"IamCredentials(access_key={self.access_key[:4]}…)"


@dataclass(frozen=True)
class Signature:
    """A signature and the steps that led to it, for whoever has to find out why a server refuses it."""

    canonical_request: str
    signed_headers: tuple[str, ...]
    prefix: str
    value: str

    @property
    def authorization(self) -> str:
        """The value of the `Authorization` header."""
        return f"{self.prefix}/{';'.join(self.signed_headers)}/{self.value}"


def sign(
    credentials: IamCredentials,
    *,
    method: str,
    path: str,
    query: Pairs = (),
    headers: Mapping[str, str],
    timestamp: datetime,
    expiration: int = 1800,
    signed_headers: Collection[str] | None = None,
) -> Signature:
    """Sign a request.

    path: encoded, exactly as it goes on the request line; see `encode_path`.
    query: before encoding.
    headers: what is signed is among these; `host` must be.
    timestamp: with a zone; must be the instant in `x-bce-date`.
    expiration: seconds of validity.
    signed_headers: names to sign. None signs all the given headers; an empty collection signs the default set, `host`,
    `content-*` and every `x-bce-*`, which the server then works out for itself.
    """
    names = headers if signed_headers is None else signed_headers
    listed = tuple(sorted(name.lower() for name in names))
    canonical = canonical_request(method, path, query, headers, listed)
    prefix = f"{SCHEME}/{credentials.access_key}/{format_timestamp(timestamp)}/{expiration}"
    signing_key = _hmac_hex(credentials.secret_key.get_secret_value(), prefix)
    # The hex text itself is the key of the second round, not the bytes it stands for.
    return Signature(canonical, listed, prefix, _hmac_hex(signing_key, canonical))


def canonical_request(method: str, path: str, query: Pairs, headers: Mapping[str, str], signed: Collection[str]) -> str:
    """The text that is signed: method, path, query and headers, a line each."""
    return "\n".join([method.upper(), path or "/", canonical_query(query), canonical_headers(headers, signed)])


def canonical_query(query: Pairs) -> str:
    """`name=value` pairs, encoded, then sorted as whole texts. `authorization` never signs itself."""
    return "&".join(
        sorted(f"{encode(name)}={encode(value or '')}" for name, value in query if name.lower() != "authorization")
    )


def canonical_headers(headers: Mapping[str, str], signed: Collection[str]) -> str:
    """`name:value` lines, encoded, then sorted as whole lines; a header without a value has no line."""
    wanted = {name.lower() for name in signed}
    lines: list[str] = []
    for name, value in headers.items():
        name = name.lower()
        takes_part = name in wanted if wanted else name in _DEFAULT_HEADERS or name.startswith(_VENDOR_PREFIX)
        if takes_part and value.strip():
            lines.append(f"{encode(name)}:{encode(value.strip())}")
    return "\n".join(sorted(lines))


def encode(text: str) -> str:
    """Percent-encode everything but letters, digits and `-._~`."""
    return quote(text, safe="")


def encode_path(path: str) -> str:
    """Percent-encode a path, leaving its slashes."""
    return quote(path, safe="/")


def encode_query(query: Pairs) -> str:
    """The query as it goes on the request line: in the given order, a blank as %20, since `+` is ambiguous."""
    return "&".join(encode(name) if value is None else f"{encode(name)}={encode(value)}" for name, value in query)


def format_timestamp(moment: datetime) -> str:
    """`2024-05-01T08:09:10Z`, for signatures and `x-bce-date`."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hmac_hex(key: str, message: str) -> str:
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()

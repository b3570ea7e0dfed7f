"""Checking bce-auth-v1 signatures, written from the scheme's rules and sharing no code with the client's signer.

    Authorization: bce-auth-v1/{access key}/{timestamp}/{seconds}/{signed headers}/{signature}

The signing key is the HMAC-SHA256 of the first four fields under the secret key, as hex text; the signature is the
HMAC-SHA256 of the canonical request under that text. Where readings of the rules differ (the host with or without
its port, unlisted `x-bce-*` headers counted or not), any of them is accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, unquote

from qianfan.emulator.refusals import RefusedObject
from qianfan.emulator.wire import Request

SKEW = timedelta(minutes=15)
"""How far a client's clock may be ahead."""

_DEFAULT_SIGNED = ("host", "content-length", "content-md5", "content-type")
_UNKNOWN_KEY = "NotFound, cause: Could not find credential."
_MISMATCH = "SignatureDoesNotMatch, cause: Fail to authn user: Signature does not match"
_TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class _Parts:
    access_key: str
    timestamp: str
    seconds: int
    signed: tuple[str, ...]
    signature: str

    @property
    def prefix(self) -> str:
        return f"bce-auth-v1/{self.access_key}/{self.timestamp}/{self.seconds}"


def verify(request: Request, secrets: dict[str, str] | None, now: datetime, *, date_needed: bool = True) -> str:
    """Check the signature of a request and give its access key.

    secrets: access key -> secret key; None checks form and time only.
    date_needed: whether a header signature must come with `x-bce-date`.
    Raises RefusedObject with the platform's code and the header that repeats it.
    """
    in_query = request.param("authorization")
    text = request.header("authorization") or in_query or ""
    if not text:
        raise _refusal(403, "AccessDenied", "the request carries no signature: Authorization is missing")
    if date_needed and in_query is None and not request.header("x-bce-date"):
        raise _refusal(403, "AccessDenied", "the request carries no x-bce-date")
    parts = _parse(text)
    _check_time(parts, now)
    if secrets is not None:
        _check_signature(request, parts, secrets)
    return parts.access_key


def link_signature(request: Request, access_key: str, secret_key: str, now: datetime, seconds: int) -> str:
    """What a link carries as `authorization` in its query, so that it opens without keys for some seconds."""
    parts = _Parts(access_key, now.strftime(_TIMESTAMP), seconds, ("host",), "")
    canonical = next(_readings(request, parts))
    return f"{parts.prefix}/host/{_hmac(_hmac(secret_key, parts.prefix), canonical)}"


def _parse(text: str) -> _Parts:
    fields = text.split("/")
    if len(fields) != 6 or fields[0] != "bce-auth-v1" or not fields[1]:
        raise _refusal(400, "InvalidHTTPAuthHeader", "Authorization must be bce-auth-v1 with six fields")
    _, access_key, timestamp, seconds, signed, signature = fields
    if not re.fullmatch(r"-?\d+", seconds) or not re.fullmatch(r"[0-9a-f]{64}", signature):
        raise _refusal(400, "InvalidHTTPAuthHeader", "Authorization has a malformed validity or signature")
    names = tuple(name.strip().lower() for name in signed.split(";") if name.strip())
    if names and "host" not in names:
        raise _refusal(400, "InvalidHTTPAuthHeader", "host must be among the signed headers")
    return _Parts(access_key, timestamp, int(seconds), names, signature)


def _check_time(parts: _Parts, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(parts.timestamp, _TIMESTAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        raise _refusal(400, "InvalidHTTPAuthHeader", "Authorization has a malformed timestamp") from None
    if signed_at - now > SKEW:
        raise _refusal(400, "RequestExpired", "the signature is from the future: check the clock")
    if 0 <= parts.seconds < (now - signed_at).total_seconds():
        raise _refusal(400, "RequestExpired", "the signature is too old: check the clock")


def _check_signature(request: Request, parts: _Parts, secrets: dict[str, str]) -> None:
    secret = secrets.get(parts.access_key)
    if secret is None:
        raise _refusal(403, "InvalidAccessKeyId", _UNKNOWN_KEY)
    key = _hmac(secret, parts.prefix)
    for canonical in _readings(request, parts):
        if hmac.compare_digest(_hmac(key, canonical), parts.signature):
            return
    raise _refusal(403, "SignatureDoesNotMatch", _MISMATCH)


def _hmac(key: str, message: str) -> str:
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()


def _readings(request: Request, parts: _Parts) -> Iterator[str]:
    """The canonical requests that this request can stand for."""
    head = "\n".join([request.method.upper(), canonical_path(request.raw_path), canonical_query(request.query)])
    hosts = dict.fromkeys((request.header("host"), request.header("host").rpartition(":")[0]))
    for host in hosts:
        for every_x_bce in (False, True) if parts.signed else (True,):
            if host:
                yield f"{head}\n{_canonical_headers(request, parts.signed, host, every_x_bce=every_x_bce)}"


def encode(text: str) -> str:
    """Percent-encode everything but letters, digits and - . _ ~"""
    return quote(text, safe="")


def canonical_path(raw_path: str) -> str:
    """The path with every segment decoded and encoded by the rule; segments themselves are left as they are."""
    return "/".join(encode(unquote(segment)) for segment in raw_path.split("/")) or "/"


def canonical_query(query: list[tuple[str, str]]) -> str:
    """The query sorted by its encoded `name=value` texts, without `authorization`."""
    kept = (f"{encode(name)}={encode(value)}" for name, value in query if name.lower() != "authorization")
    return "&".join(sorted(kept))


def _canonical_headers(request: Request, signed: tuple[str, ...], host: str, *, every_x_bce: bool) -> str:
    wanted = set(signed or _DEFAULT_SIGNED)
    lines: list[str] = []
    for name, value in request.headers:
        if name not in wanted and not (every_x_bce and name.startswith("x-bce-")):
            continue
        text = (host if name == "host" else value).strip()
        if text:
            lines.append(f"{encode(name)}:{encode(text)}")
    return "\n".join(sorted(lines))


def _refusal(status: int, code: str, text: str) -> RefusedObject:
    return RefusedObject(status, code, text, {"x-bce-error-code": code, "x-bce-error-message": text})

"""Which credentials a call travels with, and how they are attached."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import SecretStr

from qianfan._auth.iam import IamCredentials, format_timestamp, sign
from qianfan._auth.tokens import BearerSource, OAuthSource
from qianfan._transport.wire import Family, Parts
from qianfan.config import Settings
from qianfan.errors import MissingCredentialsError


@dataclass(frozen=True)
class Nothing:
    """No credentials: tokens are asked for without any, and gateways add their own."""


@dataclass(frozen=True)
class Signed:
    """A signature with the account's keys."""

    credentials: IamCredentials
    host: str | None = None
    """Host header to send and sign instead of the address's own."""


@dataclass(frozen=True)
class QueryToken:
    """An OAuth token as the parameter `access_token`: the given one first, then those of the source."""

    source: OAuthSource | None
    given: SecretStr | None = None


@dataclass(frozen=True)
class HeaderToken:
    """A bearer token in the `Authorization` header: the given one, otherwise those of the source."""

    source: BearerSource | None
    given: SecretStr | None = None


@dataclass(frozen=True)
class AccessCode:
    """The code of a private deployment."""

    code: SecretStr


Authentication: TypeAlias = Nothing | Signed | QueryToken | HeaderToken | AccessCode


def authentication(settings: Settings, family: Family) -> Authentication:
    """What the settings offer for a family of calls. Raises MissingCredentialsError if that is not enough.

    V1 inference prefers an application's keys, then a ready token, then the account's keys; V2 inference prefers a
    ready token, then the account's keys; everything else is signed with the account's keys. Half a pair is no pair.
    Inference on a private deployment takes its access code, an application's keys as a signature, or nothing.
    """
    if family is Family.OAUTH:
        return Nothing()
    if settings.enable_private and family in (Family.INFERENCE_V1, Family.INFERENCE_V2):
        return _private(settings)
    if family is Family.INFERENCE_V1:
        return Nothing() if settings.no_auth else _inference_v1(settings)
    if family is Family.INFERENCE_V2:
        return Nothing() if settings.no_auth else _inference_v2(settings)
    return Signed(account_keys(settings))


def account_keys(settings: Settings) -> IamCredentials:
    """Access Key and Secret Key, which the console and object storage need."""
    keys = _account_keys(settings)
    if keys is None:
        raise _missing(
            settings,
            ("access_key", "secret_key"),
            "Calls to the console and to object storage are signed with the account's Access Key and Secret Key: set "
            "QIANFAN_ACCESS_KEY and QIANFAN_SECRET_KEY, or Settings(access_key=..., secret_key=...). QIANFAN_AK and "
            "QIANFAN_SK are the keys of an application and cannot stand in for them.",
        )
    return keys


def _account_keys(settings: Settings) -> IamCredentials | None:
    if settings.access_key is None or settings.secret_key is None:
        return None
    return IamCredentials(settings.access_key.get_secret_value(), settings.secret_key)


def _private(settings: Settings) -> Authentication:
    if settings.access_code is not None:
        return AccessCode(settings.access_code)
    if settings.ak is not None and settings.sk is not None:
        return Signed(IamCredentials(settings.ak.get_secret_value(), settings.sk), settings.iam_host)
    return Nothing()


def _inference_v1(settings: Settings) -> Authentication:
    token = settings.access_token
    if settings.ak is not None and settings.sk is not None:
        return QueryToken(OAuthSource(settings.base_url, settings.ak, settings.sk), token)
    if token is not None:
        return QueryToken(None, token)
    if (keys := _account_keys(settings)) is not None:
        return Signed(keys, settings.iam_host)
    raise _missing(
        settings,
        ("access_key", "secret_key", "ak", "sk"),
        "V1 inference needs one complete set: the account's Access Key and Secret Key (QIANFAN_ACCESS_KEY and "
        "QIANFAN_SECRET_KEY, or Settings(access_key=..., secret_key=...)), an application's API Key and Secret Key "
        "(QIANFAN_AK and QIANFAN_SK, or Settings(ak=..., sk=...)), or an access token (QIANFAN_ACCESS_TOKEN, or "
        "Settings(access_token=...)). The two pairs are different kinds of keys.",
    )


def _inference_v2(settings: Settings) -> Authentication:
    if settings.bearer_token is not None:
        return HeaderToken(None, settings.bearer_token)
    if (keys := _account_keys(settings)) is not None:
        return HeaderToken(BearerSource(settings.iam_base_url, keys, settings.bearer_token_expired_interval))
    raise _missing(
        settings,
        ("access_key", "secret_key"),
        "V2 inference needs an API key or bearer token (QIANFAN_BEARER_TOKEN, or Settings(bearer_token=...)), or the "
        "account's Access Key and Secret Key (QIANFAN_ACCESS_KEY and QIANFAN_SECRET_KEY, or Settings(access_key=..., "
        "secret_key=...)) to fetch one. QIANFAN_AK and QIANFAN_SK are the keys of an application and do not work here.",
    )


def _missing(settings: Settings, names: tuple[str, ...], what_to_do: str) -> MissingCredentialsError:
    """The error, beginning with what is there of the keys and which half of a pair is not."""
    there = [name for name in names if getattr(settings, name) is not None]
    if not there:
        return MissingCredentialsError(f"None of {', '.join(names)} is set. {what_to_do}")
    lacks = " and ".join(_PARTNERS[name] for name in there)
    return MissingCredentialsError(
        f"Of {', '.join(names)} only {' and '.join(there)} is set, and {lacks} is missing. {what_to_do}"
    )


_PARTNERS: Final = {"access_key": "secret_key", "secret_key": "access_key", "ak": "sk", "sk": "ak"}


def account_of(how: Authentication, parts: Parts) -> str:
    """A name for whom a call is counted: the same for the same keys at the same address. It tells no key."""
    if isinstance(how, (QueryToken, HeaderToken)):
        # A given token is replaced by those of the source, so the source's keys say whose calls these are.
        named = how.source.account if how.source is not None else how.given.get_secret_value() if how.given else ""
    elif isinstance(how, AccessCode):
        named = how.code.get_secret_value()
    else:
        named = how.credentials.access_key if isinstance(how, Signed) else ""
    return hashlib.sha256(f"{parts.base_url}\n{named}".encode()).hexdigest()[:32]


# --- attaching them ------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Prepared:
    """A request ready to leave. Never printed: address and headers hold credentials."""

    method: str
    url: str
    headers: Mapping[str, str]


def prepared(parts: Parts, how: Authentication, token: SecretStr | None, *, now: datetime, expiration: int) -> Prepared:
    """Attach credentials to a request. token: the one to use, for those that travel with one."""
    headers = {"host": host_of(parts.base_url), **parts.headers}
    if isinstance(how, Signed):
        return _signed(parts, how, headers, now, expiration)
    if isinstance(how, QueryToken) and token is not None:
        return Prepared(parts.method, parts.url([("access_token", token.get_secret_value())]), headers)
    if isinstance(how, AccessCode):
        headers["authorization"] = f"ACCESSCODE {how.code.get_secret_value()}"
    if isinstance(how, HeaderToken) and token is not None:
        headers["authorization"] = f"Bearer {token.get_secret_value()}"
    return Prepared(parts.method, parts.url(), headers)


def _signed(parts: Parts, how: Signed, headers: dict[str, str], now: datetime, expiration: int) -> Prepared:
    headers["x-bce-date"] = format_timestamp(now)
    if how.host is not None:
        headers["host"] = how.host
    signature = sign(
        how.credentials,
        method=parts.method,
        path=parts.full_path,
        query=parts.query,
        headers=headers,
        timestamp=now,
        expiration=expiration,
    )
    headers["authorization"] = signature.authorization
    return Prepared(parts.method, parts.url(), headers)


def host_of(base_url: str) -> str:
    """The Host header for an address: with the port only where it is not the usual one."""
    address = urlsplit(base_url)
    host = address.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(address.scheme)
    return host if address.port in (None, usual) else f"{host}:{address.port}"

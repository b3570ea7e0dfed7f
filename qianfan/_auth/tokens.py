"""Tokens that stand in for keys: OAuth access tokens (V1 inference) and short-lived bearer tokens (V2).

How a token is obtained is a *flow*: a generator that yields the request to send, receives the parsed answer and
returns the token. It does no I/O, so whoever can send a request can drive it, and a test can with plain values.

`TokenStore` keeps one token per account for the whole process and fetches a new one before the old one ends; however
many callers wait, one of them fetches.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, TypeAlias

import anyio
from anyio.lowlevel import RunVar
from pydantic import SecretStr

from qianfan._auth.iam import IamCredentials
from qianfan._types import JSON
from qianfan.errors import QianfanError, RequestError
from qianfan.utils.logging import logger

_SPENT: Final = 0.9
"""A token is replaced after this part of its life, so that none ends on its way to the server."""
_PATIENCE: Final = timedelta(seconds=60)
"""How long an ageing but valid token is used before the next try, when a fresh one could not be fetched."""
_OAUTH_LIFETIME: Final = 2592000


@dataclass(frozen=True)
class TokenRequest:
    """A request for a token. `signer` signs it, unless the keys are in the query."""

    name: str
    method: str
    base_url: str
    path: str
    query: tuple[tuple[str, str], ...] = field(repr=False)
    signer: IamCredentials | None = None


@dataclass(frozen=True)
class Token:
    """A token and its times: from `refresh_at` on a new one is fetched, until `expires_at` it works."""

    value: SecretStr
    refresh_at: datetime
    expires_at: datetime


TokenFlow: TypeAlias = Generator[TokenRequest, JSON, Token]


@dataclass(frozen=True)
class OAuthSource:
    """Access tokens for an application's API Key and Secret Key."""

    base_url: str
    ak: SecretStr
    sk: SecretStr

    def flow(self, now: datetime) -> TokenFlow:
        """now: when the request leaves; the lifetime counts from here."""
        answer = yield TokenRequest(
            "OAuth token",
            "POST",
            self.base_url,
            "/oauth/2.0/token",
            (
                ("grant_type", "client_credentials"),
                ("client_id", self.ak.get_secret_value()),
                ("client_secret", self.sk.get_secret_value()),
            ),
        )
        return _token(answer, "access_token", now, _seconds(answer.get("expires_in")) or _OAUTH_LIFETIME)


@dataclass(frozen=True)
class BearerSource:
    """Short-lived bearer tokens for an account's Access Key and Secret Key."""

    base_url: str
    credentials: IamCredentials
    lifetime: int
    """Seconds to ask for, 300 to 2592000."""

    def flow(self, now: datetime) -> TokenFlow:
        """now: when the request leaves; the lifetime counts from here."""
        answer = yield TokenRequest(
            "bearer token",
            "GET",
            self.base_url,
            "/v1/BCE-BEARER/token",
            (("expireInSeconds", str(self.lifetime)),),
            signer=self.credentials,
        )
        # The server's two times are subtracted from each other, so that its clock need not agree with ours.
        ends = _moment(answer.get("expireTime"))
        begins = _moment(answer.get("createTime")) or now
        lasts = (ends - begins).total_seconds() if ends is not None else 0.0
        return _token(answer, "token", now, lasts if lasts > 0 else self.lifetime)


TokenSource: TypeAlias = OAuthSource | BearerSource
"""Where tokens of one account come from; also the key under which they are kept."""


def _token(answer: dict[str, Any], name: str, now: datetime, lifetime: float) -> Token:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise RequestError(f"the answer to a request for a token holds no {name!r}")
    return Token(SecretStr(value), now + timedelta(seconds=_SPENT * lifetime), now + timedelta(seconds=lifetime))


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _moment(value: object) -> datetime | None:
    """`2030-01-02T15:04:05.000Z` -> a time with its zone, None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


@dataclass(eq=False)
class _Flight:
    """One fetch at a time for one source in one event loop."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    failures: int = 0
    error: QianfanError | None = None


class TokenStore:
    """Tokens by source, shared by every client of the process.

    Several event loops in several threads may use it: what it keeps is guarded by a lock, waiting is per event loop.
    Two loops may fetch at the same moment; both tokens work and the later one is kept.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._tokens: dict[TokenSource, Token] = {}
        self._flights: RunVar[dict[TokenSource, _Flight]] = RunVar("qianfan_token_flights")

    async def token(
        self,
        source: TokenSource,
        drive: Callable[[TokenFlow], Awaitable[Token]],
        *,
        now: Callable[[], datetime],
        refused: SecretStr | None = None,
    ) -> Token:
        """A token that works, fetched if need be.

        drive: sends what a flow yields and hands it the answer.
        refused: a token that the platform did not accept although it should; it is not given out again.
        Those who waited while a fetch failed get the same error; a cancelled fetch leaves its turn to the next.
        """
        self._forget(source, refused)
        if (kept := self._fresh(source, now())) is not None:
            return kept
        flight = self._flight(source)
        failures = flight.failures
        async with flight.lock:
            if (kept := self._fresh(source, now())) is not None:
                return kept
            if flight.error is not None and flight.failures != failures:
                raise flight.error
            try:
                token = await drive(source.flow(now()))
            except QianfanError as error:
                if (ageing := self._ageing(source, now())) is not None:
                    logger.warning("could not fetch a new token, using the old one: %s", error)
                    return ageing
                flight.failures += 1
                flight.error = error
                raise
            self._keep(source, token)
            return token

    def _keep(self, source: TokenSource, token: Token) -> None:
        with self._guard:
            self._tokens[source] = token

    def _forget(self, source: TokenSource, refused: SecretStr | None) -> None:
        with self._guard:
            token = self._tokens.get(source)
            if token is not None and token.value == refused:
                del self._tokens[source]

    def _fresh(self, source: TokenSource, now: datetime) -> Token | None:
        with self._guard:
            token = self._tokens.get(source)
        return token if token is not None and now < token.refresh_at else None

    def _ageing(self, source: TokenSource, now: datetime) -> Token | None:
        """A token past its refresh time that still works, with a new refresh time."""
        with self._guard:
            token = self._tokens.get(source)
            if token is None or now >= token.expires_at:
                return None
            self._tokens[source] = renewed = replace(token, refresh_at=min(now + _PATIENCE, token.expires_at))
            return renewed

    def _flight(self, source: TokenSource) -> _Flight:
        flights = self._flights.get(None)
        if flights is None:
            flights = {}
            self._flights.set(flights)
        return flights.setdefault(source, _Flight())


SHARED_TOKENS: Final = TokenStore()
"""The store of the process."""

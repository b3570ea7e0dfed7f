"""Tokens that stand in for keys: OAuth access tokens (V1 inference) and short-lived bearer tokens (V2).

How a token is obtained is a *flow*: a generator that yields the request to send, receives the parsed answer and
returns the token. It does no I/O, so whoever can send a request can drive it, and a test can with plain values.

`TokenStore` keeps one token per account for the whole process and fetches a new one before the old one ends; however
many callers wait, one of them fetches.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, TypeAlias

from pydantic import SecretStr

from qianfan._auth.iam import IamCredentials
from qianfan._bell import Bell
from qianfan._types import JSON
from qianfan.errors import QianfanError, RequestError
from qianfan.utils.logging import logger

_SPENT: Final = 0.9
"""A token is replaced after this part of its life, so that none ends on its way to the server."""
_PATIENCE: Final = timedelta(seconds=60)
"""How long an ageing but valid token is used before the next try, when a fresh one could not be fetched."""
_OAUTH_LIFETIME: Final = 2592000
_LONGEST_LIFETIME: Final = 10.0 * 365 * 86400
_MOST_REFUSED: Final = 1000


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

    @property
    def account(self) -> str:
        """Whose tokens they are."""
        return self.ak.get_secret_value()

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

    @property
    def account(self) -> str:
        """Whose tokens they are."""
        return self.credentials.access_key

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
        if answer.get("status") == "disable":
            raise RequestError("the bearer token that was fetched is a disabled one; look at the account's API keys")
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
    if not value.isascii() or not value.isprintable() or " " in value:
        raise RequestError(f"the answer to a request for a token holds a {name!r} that cannot be sent in a header")
    lifetime = min(lifetime, _LONGEST_LIFETIME)
    return Token(SecretStr(value), now + timedelta(seconds=_SPENT * lifetime), now + timedelta(seconds=lifetime))


def _seconds(value: object) -> float | None:
    """A number of seconds, also as text; None for anything that is none."""
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None


def _moment(value: object) -> datetime | None:
    """`2030-01-02T15:04:05.000Z` -> a time with its zone, None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


class _Flight:
    """One fetch for one source, and who waits for it."""

    def __init__(self) -> None:
        self.bells: list[Bell] = []
        self.error: QianfanError | None = None


class TokenStore:
    """Tokens by source, shared by every client of the process.

    Several event loops in several threads may use it: however many ask for a token, one of them fetches, and the
    others wait, each on its own loop.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._tokens: dict[TokenSource, Token] = {}
        self._flights: dict[TokenSource, _Flight] = {}
        self._refused: OrderedDict[SecretStr, None] = OrderedDict()

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
        while True:
            bell = Bell()
            with self._guard:
                token = self._tokens.get(source)
                if token is not None and now() < token.refresh_at:
                    return token
                flight = self._flights.get(source)
                leads = flight is None
                if flight is None:
                    flight = self._flights[source] = _Flight()
                else:
                    flight.bells.append(bell)
            if leads:
                return await self._fetch(source, drive, now, flight)
            await bell.wait()
            if flight.error is not None:
                raise flight.error

    def was_refused(self, given: SecretStr) -> bool:
        """Whether the platform once refused this ready-made token, so that it need not be tried again."""
        with self._guard:
            return given in self._refused

    def refuse(self, given: SecretStr) -> None:
        """Note that the platform refused a ready-made token."""
        with self._guard:
            self._refused[given] = None
            if len(self._refused) > _MOST_REFUSED:
                self._refused.popitem(last=False)

    async def _fetch(
        self,
        source: TokenSource,
        drive: Callable[[TokenFlow], Awaitable[Token]],
        now: Callable[[], datetime],
        flight: _Flight,
    ) -> Token:
        try:
            token = await drive(source.flow(now()))
            with self._guard:
                self._tokens[source] = token
            return token
        except QianfanError as error:
            if (ageing := self._ageing(source, now())) is not None:
                logger.warning("could not fetch a new token, using the old one: %s", error)
                return ageing
            flight.error = error
            raise
        finally:
            with self._guard:
                if self._flights.get(source) is flight:
                    del self._flights[source]
            for bell in flight.bells:
                bell.ring()

    def _forget(self, source: TokenSource, refused: SecretStr | None) -> None:
        with self._guard:
            token = self._tokens.get(source)
            if token is not None and token.value == refused:
                del self._tokens[source]

    def _ageing(self, source: TokenSource, now: datetime) -> Token | None:
        """A token past its refresh time that still works, with a new refresh time."""
        with self._guard:
            token = self._tokens.get(source)
            if token is None or now >= token.expires_at:
                return None
            self._tokens[source] = renewed = replace(token, refresh_at=min(now + _PATIENCE, token.expires_at))
            return renewed

    def after_fork(self) -> None:
        """In a forked child, nobody goes on with the fetches of the parent."""
        self._guard = threading.Lock()
        self._flights = {}


SHARED_TOKENS: Final = TokenStore()
"""The store of the process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SHARED_TOKENS.after_fork)

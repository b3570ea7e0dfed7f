"""Budgets that several processes share, on a Redis server. Needs the extra `redis`.

The server keeps what the ledger of one process keeps: what left and what it cost, who waits, what the platform allows,
and until when nobody goes. One script does each step at once, by the server's own clock, so that the clocks of the
machines need not agree. Each process keeps to its own budgets first and asks here for one request at a time.

Who waits renews its place each time it asks; a process that dies leaves the line ten seconds later. Everything expires
by itself when nobody asks any more.
"""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import anyio
from pydantic import SecretStr

from qianfan._clock import Clock
from qianfan._sync import in_thread
from qianfan._transport.budgets import Told, timed_out
from qianfan._transport.ledger import MINUTE, Limits, lasting
from qianfan.errors import ConnectionFailedError, InvalidArgumentError, MissingExtraError
from qianfan.utils.logging import logger

Made = TypeVar("Made")

_LEASE: Final = 10.0
"""Seconds for which a place in line lasts without being renewed."""
_LONGEST_WAIT: Final = 1.0
"""Seconds after which whoever waits asks again in any case: what others give back may let it out earlier."""
_ANSWERING: Final = 2.0
"""Seconds that the server may take to answer."""
_GIVEN_UP: Final = 5.0
"""Seconds for which a server that did not answer is not asked again."""
_MICROSECONDS: Final = 1_000_000


class RedisConnectionInfo:
    """Where the Redis server is, as the older SDK describes it. options: `username`, `password`, `ssl`, and more
    parameters of the connection by the names of the library."""

    def __init__(self, host: str = "127.0.0.1", port: int = 6379, db: int = 0, **options: Any) -> None:
        self.host = host
        self.port = port
        self.db = db
        self._options = options

    def __repr__(self) -> str:
        return f"RedisConnectionInfo(host={self.host!r}, port={self.port}, db={self.db})"

    @property
    def url(self) -> str:
        """For the setting `limiter_redis_url`. Holds the password."""
        more = {name: str(value) for name, value in self._options.items() if value is not None}
        user, password = (quote(more.pop(name, ""), safe="") for name in ("username", "password"))
        scheme = "rediss" if more.pop("ssl", "False") == "True" else "redis"
        keys = f"{user}:{password}@" if user or password else ""
        return f"{scheme}://{keys}{self.host}:{self.port}/{self.db}" + (f"?{urlencode(more)}" if more else "")


class SharedBudgets:
    """Budgets by name on one server.

    required: refuse calls while the server cannot be reached; otherwise each process is limited by itself meanwhile.
    Making one opens nothing. Raises MissingExtraError without the library, InvalidArgumentError for an address of
    another kind.
    """

    def __init__(self, url: SecretStr, clock: Clock, *, required: bool = False) -> None:
        try:
            import redis
        except ImportError as error:
            raise MissingExtraError("sharing rate limits needs redis: pip install 'qianfan[redis]'") from error
        self._errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._clock = clock
        self._required = required
        self._guard = threading.Lock()
        self._silent_until = -math.inf
        try:
            self._script = _script_at(url.get_secret_value())
        except ValueError:
            raise InvalidArgumentError(
                "limiter_redis_url must be an address such as redis://127.0.0.1:6379/0"
            ) from None

    async def take(
        self, name: str, own: Limits, tokens: int, *, spare: float = 0.0, timeout: float | None = None
    ) -> SharedGrant | None:
        """Wait for leave to send a request; None when the server cannot be reached and need not be.

        Raises InvalidArgumentError for more tokens than a minute has, RequestTimeoutError, ConnectionFailedError.
        """
        grant = SharedGrant(self, name)
        until = math.inf if timeout is None else self._clock.monotonic() + timeout
        rates = [(rate.count, _micro(rate.seconds), int(rate.by_minute)) for rate in own.rates()]
        asked = (tokens, own.tokens, _parts_per_million(spare), len(rates), *(part for rate in rates for part in rate))
        try:
            while True:
                answer = await self.run(name, "take", grant.id, *asked)
                if answer is None:
                    return None
                state, number = answer
                if state == _LET_OUT:
                    return grant
                if state == _TOO_LARGE:
                    raise InvalidArgumentError(
                        f"the request has about {tokens} tokens, and all that may be used in a minute are {number}"
                    )
                left = until - self._clock.monotonic()
                if left <= 0:
                    raise timed_out(timeout)
                await self._clock.sleep(min(number / 1000, _LONGEST_WAIT, left))
        except BaseException:
            await grant.give_back()
            raise

    async def run(self, name: str, step: str, *arguments: int | str) -> list[int] | None:
        """Do one step; None when the server cannot be reached and need not be."""
        now = self._clock.monotonic()
        if now < self._silent_until and not self._required:
            return None
        keys = [f"qianfan:{{{name}}}:{part}" for part in ("left", "tokens", "line", "leases", "state")]
        usual = (_micro(_LEASE), _micro(lasting(MINUTE)))
        try:
            answer: Any = await _to_its_end(lambda: self._script(keys=keys, args=[step, *usual, *arguments]))
        except self._errors as error:
            self._unreachable(error)
            return None
        return [int(part) for part in answer]

    def _unreachable(self, error: Exception) -> None:
        if self._required:
            raise ConnectionFailedError(
                f"the Redis server of the shared rate limits does not answer ({type(error).__name__}), and "
                "QIANFAN_LIMITER_REDIS_REQUIRED is set; nothing was sent",
                retryable=True,
                sent=False,
            ) from None  # the library's words may hold the address with its password
        with self._guard:
            self._silent_until = self._clock.monotonic() + _GIVEN_UP
        logger.warning(
            "the Redis server of the shared rate limits does not answer (%s): limits hold for this process alone",
            type(error).__name__,
        )


_LET_OUT: Final = 0
_TOO_LARGE: Final = 2


@lru_cache(maxsize=16)
def _script_at(url: str) -> Callable[..., Any]:
    """The script on one server, over connections that all clients of the process share."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # The blocking client, used in threads: it serves every event loop, and those of trio. A connection that has broken
    # while nobody used it is made again; more tries would only hold up a call that can go without.
    server = redis.Redis.from_url(
        url, socket_timeout=_ANSWERING, socket_connect_timeout=_ANSWERING, retry=Retry(NoBackoff(), 1)
    )
    return server.register_script(files("qianfan._transport").joinpath("limits_redis.lua").read_text(encoding="utf-8"))


class SharedGrant:
    """Leave to send one request, as the server knows it."""

    def __init__(self, budgets: SharedBudgets, name: str) -> None:
        self.id = uuid.uuid4().hex
        self._budgets = budgets
        self._name = name

    async def sent(self) -> None:
        """The request leaves now, a while after it was let out."""
        await self._budgets.run(self._name, "sent", self.id)

    async def give_back(self) -> None:
        """It did not leave, or nobody waits for it any longer."""
        await self._close("back")

    async def close(self, told: Told, tokens: int | None, pause: float, *, gone: bool) -> None:
        """It is over: what it cost, what the platform said of its limits, and for how long nobody goes, in seconds.

        gone: whether it left at all.
        """
        if not gone:
            await self.give_back()
        elif told or tokens is not None or pause:
            said = (*told.limits, *told.left)
            numbers = [-1 if number is None else number for number in (tokens, *said)]
            await self._close("done", *numbers, _micro(pause))

    async def _close(self, step: str, *arguments: int) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._budgets.run(self._name, step, self.id, *arguments)
            except ConnectionFailedError as error:
                logger.warning("%s", error)


def _micro(seconds: float) -> int:
    return math.ceil(seconds * _MICROSECONDS)


def _parts_per_million(ratio: float) -> int:
    return math.ceil(ratio * 1_000_000)


async def _to_its_end(function: Callable[[], Made]) -> Made:
    # Not left behind when cancelled: what is given back must not be taken again by a thread that comes later.
    with anyio.CancelScope(shield=True):
        return await in_thread(function)
    raise AssertionError("a shield cancels nothing")

"""Connections, a set for each event loop.

A connection belongs to the event loop that opened it, while a client may be used from several: from the blocking face,
from a notebook's loop, from tests. So each loop gets its own set, opened when it is first needed. Whoever does not
close it leaves that to the end of the loop: a suspended asynchronous generator holds the set, and both asyncio
and trio close such generators before they stop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import httpx
from anyio.lowlevel import RunVar, RunvarToken

from qianfan import __version__, _local
from qianfan.config import Settings
from qianfan.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

_CLOSING_TIME = 5.0


class Pool(Enum):
    """What a connection is used for."""

    CALLS = "calls"
    """Short requests, over connections that are kept."""
    PURCHASES = "purchases"
    """Each over a connection of its own: one that was kept may be closed by the server just as the request leaves,
    and then nobody knows whether it arrived."""
    STREAMS = "streams"
    """Streams, uploads and downloads, which must not hold up the short ones."""


@dataclass(eq=False)
class _Set:
    """The HTTP clients of one event loop."""

    clients: dict[Pool, httpx.AsyncClient] = field(default_factory=dict)
    keeper: AsyncGenerator[None, None] | None = None
    place: RunvarToken[Any] | None = None

    async def keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # An event loop that ends closes this under cancellation; sockets are to be closed all the same.
            with anyio.move_on_after(_CLOSING_TIME, shield=True):
                while self.clients:
                    _, client = self.clients.popitem()
                    await client.aclose()


class QuietURL(httpx.URL):
    """An address that does not show its query, where tokens are: the HTTP library logs every address."""

    def __str__(self) -> str:
        return super().__str__().partition("?")[0]

    def __repr__(self) -> str:
        return f"QuietURL({str(self)!r})"


async def _quieten(request: httpx.Request) -> None:
    request.url = QuietURL(request.url)


@cache
def _trust(verified: bool) -> ssl.SSLContext:
    """Reading the machine's certificates takes long enough to do it once for all clients."""
    return httpx.create_ssl_context(verify=verified)


class Pools:
    """HTTP clients by purpose and event loop, for one set of settings."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None) -> None:
        self._settings = settings
        self._transport = transport
        self._sets: RunVar[_Set] = RunVar("qianfan_connections")

    async def client(self, pool: Pool) -> httpx.AsyncClient:
        """The HTTP client for a purpose in the running event loop."""
        mine = self._sets.get(None)
        if mine is None:
            mine = _Set()
            mine.place = self._sets.set(mine)
            mine.keeper = mine.keep()
            await mine.keeper.__anext__()
        if pool not in mine.clients:
            mine.clients[pool] = self._open(pool)
        return mine.clients[pool]

    async def aclose(self) -> None:
        """Close what the running event loop has open."""
        mine = self._sets.get(None)
        if mine is not None and mine.keeper is not None and mine.place is not None:
            self._sets.reset(mine.place)
            await mine.keeper.aclose()

    def _open(self, pool: Pool) -> httpx.AsyncClient:
        settings = self._settings
        most = settings.max_streams if pool is Pool.STREAMS else settings.max_requests_in_flight
        kept = 0 if pool is Pool.PURCHASES else most
        try:
            return httpx.AsyncClient(
                transport=self._transport,
                # A transport that was given comes before everything else, an emulator in this process included.
                mounts=self._local_mounts() if self._transport is None else None,
                proxy=settings.proxy or None if self._transport is None else None,
                verify=_trust(settings.ssl_verification_enabled) if self._transport is None else False,
                limits=httpx.Limits(max_connections=most, max_keepalive_connections=kept),
                event_hooks={"request": [_quieten]},
                headers={"user-agent": f"qianfan/{__version__}"},
                # Nothing here needs a session, and a cookie would travel outside the signature.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"the proxy cannot be used (QIANFAN_PROXY or HTTP_PROXY): {error}") from None

    def _local_mounts(self) -> dict[str, httpx.AsyncBaseTransport]:
        """Transports for those of the addresses that are served inside this process."""
        settings = self._settings
        addresses = (settings.base_url, settings.console_api_base_url, settings.iam_base_url, settings.bos_base_url)
        mounts: dict[str, httpx.AsyncBaseTransport] = {}
        for address in filter(None, addresses):
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
            transport = None if origin in mounts else _local.transport_for(origin)
            if transport is not None:
                mounts[origin] = transport
        return mounts

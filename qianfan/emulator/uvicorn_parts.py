"""Two things the emulator needs of uvicorn beyond its usual use: a signal at the start, and broken connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from qianfan.emulator.app import ABORT, App
from qianfan.emulator.platform import Platform


class BreakableProtocol(H11Protocol):
    """HTTP that offers the application to break the connection, as the ASGI extension `qianfan.abort`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Give the application of this connection a way to end it."""
        super().connection_made(transport)
        application = self.app

        async def breakable(scope: Any, receive: Any, send: Any) -> None:
            extensions = {**scope.get("extensions", {}), ABORT: {"call": transport.abort}}
            await application({**scope, "extensions": extensions}, receive, send)

        self.app = breakable


class SignallingServer(uvicorn.Server):
    """A server that tells when it accepts connections, and, in a thread, when it begins to end."""

    on_start: Callable[[], object] | None = None
    on_end: Callable[[], object] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then tell."""
        await super().startup(sockets)
        if self.on_start is not None:
            self.on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell, then wait for running answers and end."""
        if self.on_end is not None:
            await asyncio.to_thread(self.on_end)
        await super().shutdown(sockets)


def make_server(platform: Platform, *, grace: int) -> SignallingServer:
    """A server of a platform. grace: seconds that running answers get at the end."""
    config = uvicorn.Config(
        App(platform),
        http=BreakableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=grace,
    )
    return SignallingServer(config)

"""The emulator on a socket: for other programs, other languages, and a browser.

```python
from qianfan.emulator.server import serve

serve(port=8100)          # prints the settings a client needs, until Ctrl-C
```
"""

from __future__ import annotations

import ipaddress
import secrets
import shlex
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan.emulator.account import Keys
from qianfan.emulator.opening import (
    BUCKET,
    Opened,
    check_keys,
    fresh_seed,
    polling_intervals,
    prepare,
)
from qianfan.emulator.platform import Platform
from qianfan.emulator.training.options import SCRIPTED, EngineOptions
from qianfan.errors import InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    import uvicorn

    from qianfan.emulator.uvicorn_parts import SignallingServer

_GRACE = 1
"""Seconds that running answers get when the server is stopped."""

_ANY_KEYS = ("emulator-access-key", "emulator-secret-key")


_say = partial(print, flush=True)
"""Whoever reads the lines through a pipe wants them now."""


@dataclass(frozen=True)
class Running:
    """A served emulator.

    url: where it listens. settings: what a client needs, by setting name; holds the secret key.
    platform: what is served, to look at.
    """

    url: str
    settings: Mapping[str, Any] = field(repr=False)
    platform: Platform = field(repr=False)
    _server: uvicorn.Server = field(repr=False)

    def stop(self) -> None:
        """End serving soon; may be called from any thread."""
        self._server.should_exit = True

    @property
    def exports(self) -> list[str]:
        """Shell lines that point a client at it."""
        return [f"export QIANFAN_{name}={shlex.quote(str(value))}" for name, value in self.settings.items()]


def serve(
    host: str = "127.0.0.1",
    port: int = 8100,
    *,
    pace: str | float = "demo",
    options: EngineOptions | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    data_dir: str | Path | None = None,
    allow_remote: bool = False,
    ready: Callable[[Running], object] | None = None,
    printer: Callable[[str], object] = _say,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Serve an emulated platform until Ctrl-C.

    host, port: where to listen; port 0 takes a free one. Other hosts than this machine need `allow_remote=True`,
    since the emulator has no accounts and whoever reaches it may do everything.
    access_key, secret_key: check signatures against these; without them only the form of a signature is checked.
    pace, data_dir: as of `Emulator`.
    options: what trains, and how, see `engine_options`; the engine "tiny" when left out.
    ready: called when it listens; printer: takes the lines that tell how to reach it.

    Raises InvalidArgumentError for a bad argument, MissingExtraError without the extra `emulator`, OSError when the
    port is taken.
    """
    make_server = _server_maker()
    options = options or EngineOptions()
    opened, keys = _open(pace, options, access_key, secret_key, data_dir, clock)
    try:
        with _listening(host, port, allow_remote=allow_remote) as listener:
            server = make_server(opened.platform, grace=_GRACE)
            # Answers that are being made break off with an error of theirs, before the server loses patience.
            server.on_end = opened.account.works.close
            running = _described(listener, pace, options, keys, server, opened.platform)
            if ready is not None:
                server.on_start = partial(ready, running)
            for line in _greeting(running, options, keys):
                printer(line)
            # Ctrl-C has stopped the server by then, and says so once more.
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
    finally:
        opened.close()


@contextmanager
def running(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    pace: str | float = "instant",
    options: EngineOptions | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    data_dir: str | Path | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Generator[Running]:
    """Serve an emulated platform on a thread for the length of a `with` block. Parameters and errors as of `serve`."""
    make_server = _server_maker()
    options = options or EngineOptions()
    opened, keys = _open(pace, options, access_key, secret_key, data_dir, clock)
    try:
        with _listening(host, port, allow_remote=False) as listener:
            started = threading.Event()
            server = make_server(opened.platform, grace=_GRACE)
            # Answers that are being made break off with an error of theirs, before the server loses patience.
            server.on_end = opened.account.works.close
            server.on_start = started.set
            thread = threading.Thread(target=server.run, args=([listener],), name="qianfan-emulator", daemon=True)
            thread.start()
            started.wait()
            try:
                yield _described(listener, pace, options, keys, server, opened.platform)
            finally:
                server.should_exit = True
                thread.join()
    finally:
        opened.close()


def _open(
    pace: str | float,
    options: EngineOptions,
    access_key: str | None,
    secret_key: str | None,
    data_dir: str | Path | None,
    clock: Clock,
) -> tuple[Opened, Keys | None]:
    check_keys(access_key, secret_key)
    keys = None
    if access_key is not None and secret_key is not None:
        keys = Keys(access_key, secret_key, ak=secrets.token_hex(12), sk=secrets.token_hex(16))
    opened = prepare(pace=pace, options=options, keys=keys, data_dir=data_dir, clock=clock, seed=fresh_seed())
    opened.start()
    return opened, keys


def _server_maker() -> Callable[..., SignallingServer]:
    try:
        from qianfan.emulator.uvicorn_parts import make_server
    except ImportError as error:
        raise MissingExtraError("serving the emulator needs: pip install 'qianfan[emulator]'") from error
    return make_server


@contextmanager
def _listening(host: str, port: int, *, allow_remote: bool) -> Generator[socket.socket]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    if not allow_remote and not ipaddress.ip_address(address[0]).is_loopback:
        raise InvalidArgumentError(
            f"host {host!r} can be reached from other machines; the emulator lets everyone in, "
            "so serve it on 127.0.0.1, or allow it (allow_remote=True, --allow-remote)"
        )
    # Named as TCP, so that the event loop switches Nagle's algorithm off, as it does for its own sockets: without that
    # an answer's body waits 40 ms for the acknowledgement of its head.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening from here on, so that a client that is told the address at once can already connect.
        listener.listen()
        yield listener


def _described(
    listener: socket.socket,
    pace: str | float,
    options: EngineOptions,
    keys: Keys | None,
    server: uvicorn.Server,
    platform: Platform,
) -> Running:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    access_key, secret_key = (keys.access_key, keys.secret_key) if keys else _ANY_KEYS
    settings: dict[str, Any] = {"ACCESS_KEY": access_key, "SECRET_KEY": secret_key, "BOS_BUCKET": BUCKET}
    for name in ("BASE_URL", "CONSOLE_API_BASE_URL", "IAM_BASE_URL", "BOS_BASE_URL"):
        settings[name] = url
    return Running(url, MappingProxyType(settings | polling_intervals(pace, options)), platform, server)


def _greeting(running: Running, options: EngineOptions, keys: Keys | None) -> list[str]:
    taken = "only these keys are taken" if keys else "any keys are taken"
    trained = "trainings are simulated" if options.engine == SCRIPTED else f"engine {options.engine!r} trains"
    return [
        f"# qianfan emulator at {running.url} (overview: open it in a browser; {taken}; {trained})",
        *running.exports,
        "# Ctrl-C ends it",
    ]

"""Platforms that live inside this process, such as an emulator in a test.

Layer 0, so that both sides can meet here without importing each other: an emulator registers itself, the
settings read `active()` as their strongest source after explicit arguments, and the transport asks
`transport_for()` before it opens a socket.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class LocalPlatform:
    """One platform inside this process.

    base_url: the origin its clients use, for example `http://emulator-1.qianfan.internal`; never resolved by DNS.
    transport: makes the object that carries one client's requests to it (an httpx async transport).
    settings: what a client needs in order to talk to it, by setting name (`ACCESS_KEY`, `CONSOLE_API_BASE_URL`, …).
    """

    base_url: str
    transport: Callable[[], Any]
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


_lock = threading.Lock()
_served: dict[str, LocalPlatform] = {}
_active: list[LocalPlatform] = []
_parting: list[Callable[[LocalPlatform], object]] = []


def at_parting(function: Callable[[LocalPlatform], object]) -> None:
    """Have a function called with every platform that is withdrawn, before its folders may go."""
    _parting.append(function)


def serve(platform: LocalPlatform) -> None:
    """Make a platform reachable under its base URL."""
    with _lock:
        _served[platform.base_url] = platform


def withdraw(platform: LocalPlatform) -> None:
    """Undo `serve` and `activate`."""
    with _lock:
        _served.pop(platform.base_url, None)
        if platform in _active:
            _active.remove(platform)
    for function in _parting:
        function(platform)


def activate(platform: LocalPlatform) -> None:
    """Make a platform the default of every client that is not told otherwise. The latest one wins."""
    with _lock:
        _active.append(platform)


def active() -> LocalPlatform | None:
    """The platform that clients use by default now, or None for the configured addresses."""
    return _active[-1] if _active else None


def transport_for(url: str) -> Any | None:
    """A transport for an address inside this process, or None for one that needs a socket."""
    with _lock:
        for base_url, platform in _served.items():
            if url == base_url or url.startswith(base_url + "/"):
                return platform.transport()
    return None

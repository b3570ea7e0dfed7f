"""Crash points: places where a test may end, fail or freeze the process, to see what is left.

A point does nothing unless the environment variable `QIANFAN_FAULTS` names it when it is first reached:
`name:nth:action`, several separated by commas. The action is `exit` (the process dies at once, as by a kill), `raise`,
or `sleep=SECONDS` (the thread freezes). The names are listed in the documentation for contributors.
"""

from __future__ import annotations

import os
import threading
import time
from functools import cache

KILLED = 137
"""The exit code of a process that `exit` ended; the one of a process that was killed."""


class InjectedFault(RuntimeError):
    """What the action `raise` raises."""


class _Points:
    """The points that are armed, and how often each was reached."""

    def __init__(self, orders: str) -> None:
        self._lock = threading.Lock()
        self._reached: dict[str, int] = {}
        self._orders: dict[str, list[tuple[int, str]]] = {}
        for order in filter(None, map(str.strip, orders.split(","))):
            name, _, rest = order.partition(":")
            nth, _, action = rest.partition(":")
            if not nth.isdecimal() or action.partition("=")[0] not in ("exit", "raise", "sleep"):
                raise ValueError(f"QIANFAN_FAULTS has {order!r}; write name:nth:exit, :raise or :sleep=SECONDS")
            self._orders.setdefault(name, []).append((int(nth), action))

    def due(self, name: str) -> str | None:
        if name not in self._orders:
            return None
        with self._lock:
            self._reached[name] = reached = self._reached.get(name, 0) + 1
        return next((action for nth, action in self._orders[name] if nth == reached), None)

    def is_armed(self, name: str) -> bool:
        return name in self._orders


@cache
def _points() -> _Points:
    return _Points(os.environ.get("QIANFAN_FAULTS", ""))


def point(name: str) -> None:
    """Pass a crash point."""
    action = _points().due(name)
    if action is None:
        return
    if action == "exit":
        os._exit(KILLED)
    if action == "raise":
        raise InjectedFault(f"crash point {name}")
    time.sleep(float(action.partition("=")[2]))


def is_armed(name: str) -> bool:
    """Whether a point is ordered to do something, for code that must go another way to reach it."""
    return _points().is_armed(name)

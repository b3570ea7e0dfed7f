"""What was asked of the emulator, kept for tests and for the overview page. No headers, no credentials."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from qianfan._types import JSON

_KEPT = 20_000


@dataclass
class Recorded:
    """One request.

    name: the action (`CreateFineTuningTask`), the last part of a V1 path (`publishTrainModel`), or the operation of
    object storage (`PutObject`).
    body: the parsed JSON, None for anything else. status: 0 while it is served, and when it was dropped.
    """

    name: str
    method: str
    path: str
    action: str | None = None
    body: JSON = None
    status: int = 0

    def is_called(self, name: str) -> bool:
        """Whether `name` means this request: by name, or by the end of its path."""
        return _means(name, self.name, self.path)


def _means(wanted: str, name: str, path: str) -> bool:
    end = wanted.strip("/")
    return wanted == name or end == path.strip("/") or path.endswith("/" + end)


class Log:
    """The latest requests in order, and how often each was made in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[Recorded] = deque(maxlen=_KEPT)
        self._totals: Counter[tuple[str, str]] = Counter()

    def add(self, recorded: Recorded) -> None:
        """Note a request that has arrived."""
        with self._lock:
            self._recent.append(recorded)
            self._totals[recorded.name, recorded.path] += 1

    def recent(self) -> list[Recorded]:
        """The latest 20,000 requests, oldest first."""
        with self._lock:
            return list(self._recent)

    def count(self, name: str) -> int:
        """How many requests `name` means, of all there ever were."""
        with self._lock:
            return sum(count for (called, path), count in self._totals.items() if _means(name, called, path))

    def totals(self) -> dict[str, int]:
        """How often each name was called."""
        totals: Counter[str] = Counter()
        with self._lock:
            for (name, _), count in self._totals.items():
                totals[name] += count
        return dict(sorted(totals.items()))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._recent.clear()
            self._totals.clear()

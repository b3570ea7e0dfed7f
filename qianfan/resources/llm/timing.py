"""How long an answer took, by the documented names: latencies in milliseconds."""

from __future__ import annotations

from typing import Any

from qianfan._clock import Clock


class Stopwatch:
    """Started when a request is begun. All times include the waits between attempts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun = clock.monotonic()
        self._start = clock.wall().timestamp() * 1000
        self._first: float | None = None

    def whole(self, body: dict[str, Any]) -> dict[str, float]:
        """The statistic of a whole answer."""
        elapsed = self._elapsed()
        return {"request_latency": elapsed, **self._common(elapsed, body)}

    def piece(self, body: dict[str, Any]) -> dict[str, float]:
        """The statistic of a piece that just came."""
        elapsed = self._elapsed()
        if self._first is None:
            self._first = elapsed
        return {"first_token_latency": self._first, "request_latency": elapsed, **self._common(elapsed, body)}

    def _elapsed(self) -> float:
        return 1000 * (self._clock.monotonic() - self._begun)

    def _common(self, elapsed: float, body: dict[str, Any]) -> dict[str, float]:
        usage = body.get("usage")
        made = usage.get("completion_tokens") if isinstance(usage, dict) else None
        rate = 1000 * made / elapsed if elapsed > 0 and isinstance(made, (int, float)) else 0.0
        return {"total_latency": elapsed, "start_timestamp": self._start, "avg_output_tokens_per_second": rate}

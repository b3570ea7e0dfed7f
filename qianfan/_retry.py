"""When to try again: a pure decision, and the loop that asks it.

The policy answers with seconds or None and never sleeps, so a test can check a whole schedule without waiting.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Protocol, TypeVar

import anyio
from pydantic import BaseModel, ConfigDict, Field

from qianfan.errors import is_retryable

Made = TypeVar("Made")


class Random(Protocol):
    """The one thing a policy needs of a random source: a number from [0, 1)."""

    def random(self) -> float: ...


class RetryPolicy(BaseModel):
    """How often and after what waits a failed attempt is repeated.

    attempts: tries in all; 1 means no retry.
    wait_initial, wait_max: seconds; the wait doubles after each failure up to the maximum.
    jitter: seconds; a random 0..jitter is added, so that many clients do not come back together.
    """

    model_config = ConfigDict(frozen=True)

    attempts: int = Field(default=1, ge=1)
    wait_initial: float = Field(default=0.5, ge=0)
    wait_max: float = Field(default=30.0, ge=0)
    jitter: float = Field(default=0.0, ge=0)

    def delay_after(self, failures: int, error: BaseException, *, rng: Random = random) -> float | None:
        """Seconds to wait after the given number of failures, or None to give up.

        A wait the platform asked for (`error.retry_after`) is honoured, up to `wait_max`.
        """
        if failures >= self.attempts or not is_retryable(error):
            return None
        # 2.0 ** 1024 overflows; long before that the cap decides anyway.
        backoff = self.wait_initial * 2.0 ** min(failures - 1, 64)
        wait = min(self.wait_max, backoff + self.jitter * rng.random())
        asked: float | None = getattr(error, "retry_after", None)
        return wait if asked is None else max(wait, min(asked, self.wait_max))


async def retrying(
    policy: RetryPolicy,
    attempt: Callable[[], Awaitable[Made]],
    *,
    before_sleep: Callable[[int, Exception, float], None] | None = None,
    sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    rng: Random = random,
) -> Made:
    """Call `attempt` until it succeeds or the policy gives up; the last error comes out unchanged.

    before_sleep: told (failures so far, error, seconds to wait) before each wait.
    """
    for failures in count(1):
        try:
            return await attempt()
        except Exception as error:
            delay = policy.delay_after(failures, error, rng=rng)
            if delay is None:
                raise
            if before_sleep is not None:
                before_sleep(failures, error, delay)
        await sleep(delay)
    raise AssertionError("count() does not end")  # pragma: no cover

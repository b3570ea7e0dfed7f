"""Waiting for remote work: look, tell, sleep, until it is over. A look that fails does not end the wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from qianfan._retry import RetryPolicy, retrying
from qianfan._transport import Client
from qianfan.errors import QianfanError, describe, is_retryable
from qianfan.utils.logging import logger

Seen = TypeVar("Seen")

Tell: TypeAlias = Callable[[str, Any], object]
"""Hears (description, what is known) as remote work goes on."""


def silent(description: str, data: Any) -> None:
    """Nobody is listening."""


def word(status: object) -> str:
    """A status as the platform spells it, whether it is a member of an enumeration or a plain word."""
    return str(getattr(status, "value", status))


async def watch(
    look: Callable[[], Awaitable[Seen]],
    *,
    until: Callable[[Seen], bool],
    tell: Callable[[Seen], object],
    every: float,
    client: Client,
) -> Seen:
    """Look every so many seconds until the work is over; return what was seen last.

    tell: hears every look, also the last one.
    A look that fails in transit is repeated with growing waits (settings trainer_status_polling_*), and then again at
    the next turn: the work goes on whether or not it can be seen. Permanent errors come out.
    """
    settings = client.settings
    policy = RetryPolicy(
        attempts=1 + int(settings.trainer_status_polling_retry_times),
        wait_initial=settings.trainer_status_polling_backoff_factor,
        wait_max=60.0,
    )
    while True:
        try:
            seen = await retrying(policy, look, sleep=client.clock.sleep)
        except QianfanError as error:
            if not is_retryable(error):
                raise
            logger.warning("cannot look right now (%s); the work goes on, looking again", describe(error))
        else:
            tell(seen)
            if until(seen):
                return seen
        await client.clock.sleep(every)

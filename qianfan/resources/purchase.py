"""Creating things that cost money: once, and on doubt look before anything else.

The platform takes no idempotency key. So every creation carries a name of ours, and when the answer to a creating call
is lost, the thing is looked for under that name instead of being ordered again.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from qianfan._clock import Clock
from qianfan._transport import Outcome, outcome_of
from qianfan.errors import APIError, OutcomeUnknownError, QianfanError, is_retryable

logger = logging.getLogger("qianfan")

Made = TypeVar("Made")

SETTLE_SECONDS = 120.0
"""How long a creation may take to show up in the platform's listings; longer than any request lives."""

_NAME_LENGTH = 20


def token_for(*parts: object) -> str:
    """Ten letters and digits, always the same for the same parts: the part of a name that is looked for."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:10]


def new_token() -> str:
    """A token for a thing that nobody will look for again."""
    return token_for(uuid.uuid4())


def name_with(token: str, stem: str) -> str:
    """A name of at most 20 characters: the readable beginning of `stem`, then the token."""
    readable = re.sub(r"[^A-Za-z0-9\u4e00-\u9fff-]+", "_", stem).strip("_-") or "qianfan"
    return f"{readable[: _NAME_LENGTH - 1 - len(token)].rstrip('_-')}_{token}"


async def create_once(
    create: Callable[[], Awaitable[Made]],
    find: Callable[[], Awaitable[Made | None]],
    *,
    what: str,
    name: str,
    clock: Clock,
    look_first: bool = False,
    exists_already: Callable[[APIError], bool] = lambda error: False,
    settle: float = SETTLE_SECONDS,
) -> Made:
    """Create a thing, or adopt it if an earlier try already did.

    find: looks for the thing by its name; None when it is not there.
    look_first: an earlier attempt was interrupted, and its order may still be on its way, so look for as long as after
        an unknown outcome before creating.
    exists_already: recognises the platform's own refusal of a second one, which stands if none of ours is found.
    settle: seconds to go on looking after an unknown outcome.

    Raises OutcomeUnknownError when nothing shows up in time. It is not ordered again: it may exist and cost money.
    """
    if look_first:
        logger.info("an earlier attempt may have ordered %s %r; looking for it for up to %g s", what, name, settle)
        try:
            found = await _look(find, clock, settle, must_see=True)
        except QianfanError as error:
            raise _unknown(what, name, f"looking for it is refused ({error})") from error
        if found is not None:
            logger.info("found %s %r of an earlier attempt; using it", what, name)
            return found
    try:
        return await _uncancelled(create)
    except QianfanError as error:
        if isinstance(error, APIError) and exists_already(error) and (found := await find()) is not None:
            logger.info("%s %r exists already; using it", what, name)
            return found
        if outcome_of(error) is not Outcome.UNKNOWN:
            raise
        cause = error
    logger.warning("no clear answer to creating %s %r (%s); looking for it", what, name, cause)
    try:
        found = await _look(find, clock, settle)
    except QianfanError as error:
        raise _unknown(what, name, f"looking for it is refused ({error})") from cause
    if found is None:
        raise _unknown(what, name, f"it did not show up within {settle:g} s") from cause
    logger.info("%s %r was created after all; using it", what, name)
    return found


async def _uncancelled(create: Callable[[], Awaitable[Made]]) -> Made:
    """A cancellation must not lose the answer: what was made would run and cost without anybody knowing its id."""
    with anyio.CancelScope(shield=True):
        return await create()
    raise AssertionError("a shielded scope that nobody cancels does not swallow anything")


def _unknown(what: str, name: str, seen: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"creating {what} {name!r} got no clear answer, and {seen}. It was not ordered again, since it may exist and "
        f"cost money. Look for {name!r} in the console; resume() looks again",
        what=what,
        name=name,
    )


async def _look(
    find: Callable[[], Awaitable[Made | None]], clock: Clock, settle: float, *, must_see: bool = False
) -> Made | None:
    """Look until something is found or the time is up. must_see: raise if the last look failed and so saw nothing."""
    started, wait = clock.monotonic(), 1.0
    while True:
        failure: QianfanError | None = None
        found: Made | None = None
        try:
            found = await find()
        except QianfanError as error:
            if not is_retryable(error):
                raise
            failure = error  # a look that failed proves nothing
        if found is not None or clock.monotonic() - started >= settle:
            if failure is not None and must_see:
                raise failure
            return found
        await clock.sleep(wait)
        wait = min(wait * 2, 10.0)

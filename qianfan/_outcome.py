"""What a failed call says about its effect: the question that decides whether a purchase may be sent again."""

from __future__ import annotations

from enum import Enum
from typing import Final

from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    BearerTokenExpiredError,
    InvalidArgumentError,
    RateLimitError,
    RequestError,
)


class Outcome(Enum):
    """What is known about the effect of a call that failed."""

    UNSENT = "unsent"
    """It never reached the platform. Whether another try is worth it, the error's `retryable` says."""
    RETRYABLE = "retryable"
    """The platform turned it away at the door and did nothing: wait, and send it again."""
    REJECTED = "rejected"
    """The platform said no and did nothing."""
    UNKNOWN = "unknown"
    """It may have happened: look before sending it again."""


def outcome_of(error: BaseException) -> Outcome:
    """Whether a failed call may have had its effect; anything that proves nothing counts as unknown.

    Only the platform's own words prove that it did nothing. A bare HTTP status may come from anything in between, after
    the request was passed on.
    """
    if isinstance(error, InvalidArgumentError) or (isinstance(error, RequestError) and not error.sent):
        return Outcome.UNSENT
    if not isinstance(error, APIError):
        return Outcome.UNKNOWN
    status = _status(error)
    if status >= 500 or status == 408 or error.error_code in _SERVER_FAULTS:
        return Outcome.UNKNOWN
    if isinstance(error, _TURNED_AWAY) or status == 429 or error.error_code in _AT_THE_DOOR:
        return Outcome.RETRYABLE
    return Outcome.REJECTED


def is_foreign(error: BaseException) -> bool:
    """Whether something else answered for the platform, a gateway with a page of its own: asking again may help.

    An answer of the platform's with a form of its own has no excerpt.
    """
    if not isinstance(error, RequestError) or error.body is None or error.status_code is None:
        return False
    return not 400 <= error.status_code < 500


def _status(error: APIError) -> int:
    """The HTTP status, or the code where it is one: the data part of V1 reports `status: 500` under HTTP 200."""
    for said in (error.http_status, error.error_code):
        if isinstance(said, int) and 400 <= said < 600:
            return said
    return 0


_SERVER_FAULTS: Final = frozenset(
    {1, 2, 1000, 336000, 336200, 500000, "internal_error", "InternalError", "ServiceUnavailable"}
)
"""Codes with which the platform says that something broke on its side, even under HTTP 200."""

_TURNED_AWAY: Final = (RateLimitError, AccessTokenExpiredError, BearerTokenExpiredError)

_AT_THE_DOOR: Final = frozenset({4, 336100, "RequestExpired"})
"""Codes of a request that was not let in: too many of them for now, or signed by a clock that is off."""

"""What a failed call says about its effect: the question that decides whether a purchase may be sent again."""

from __future__ import annotations

from enum import Enum
from typing import Final

from qianfan.errors import APIError, ConnectionFailedError, InvalidArgumentError, QianfanError


class Outcome(Enum):
    """What is known about the effect of a call that failed."""

    UNSENT = "unsent"
    """It never reached the platform: send it again."""
    REJECTED = "rejected"
    """The platform said no and did nothing."""
    UNKNOWN = "unknown"
    """It may have happened: look before sending it again."""


def outcome_of(error: BaseException) -> Outcome:
    """Whether a failed call may have had its effect; anything that proves nothing counts as unknown."""
    if isinstance(error, InvalidArgumentError) or (isinstance(error, ConnectionFailedError) and not error.sent):
        return Outcome.UNSENT
    if not isinstance(error, QianfanError):
        return Outcome.UNKNOWN
    status = getattr(error, "http_status", None) or getattr(error, "status_code", None)
    if status is not None and 400 <= status < 500 and status != 408:
        return Outcome.REJECTED
    if isinstance(error, APIError) and (status or 0) < 500 and error.error_code not in _SERVER_FAULTS:
        return Outcome.REJECTED
    return Outcome.UNKNOWN


_SERVER_FAULTS: Final = frozenset({1, 2, 1000, 336000, 500000, "internal_error", "InternalError"})
"""Codes with which the platform says that something broke on its side, even under HTTP 200."""

"""Exit codes, and which error means which."""

from __future__ import annotations

from enum import IntEnum

from qianfan import errors


class Exit(IntEnum):
    """What a command's end says to a script.

    The numbers above 128 are those that shells give to the signals SIGHUP, SIGINT, SIGPIPE and SIGTERM.
    """

    OK = 0
    FAILED = 1
    """The remote work failed, or the platform refused it."""
    USAGE = 2
    """Wrong options or input, or an extra is not installed."""
    CREDENTIALS = 3
    """Keys are missing or refused."""
    NETWORK = 4
    """The platform cannot be reached."""
    DECISION = 5
    """A person has to decide about an order of unknown fate."""
    JOURNAL = 6
    """The journal of runs cannot be used, or another live process drives the run."""
    LEFT_ALONE = 7
    """Nobody drives the run that was to be watched."""
    TIMED_OUT = 124
    """`--timeout` ran out; the remote work goes on."""
    HUNG_UP = 129
    """The terminal was closed; the remote work goes on unless it was to be stopped."""
    INTERRUPTED = 130
    """Ctrl-C; the remote work goes on unless it was to be stopped."""
    UNREAD = 141
    """Whoever read the output has left, as `head` does."""
    TERMINATED = 143
    """SIGTERM; the remote work goes on unless it was to be stopped."""


TABLE = (
    "Exit codes: 0 done · 1 the remote work failed · 2 wrong options or input · 3 keys missing or refused · "
    "4 the platform cannot be reached · 5 a person has to decide about an order of unknown fate · "
    "6 the journal of runs cannot be used, or another process drives the run · 7 nobody drives the watched run · "
    "124 --timeout ran out · 129 terminal closed · 130 interrupted · "
    "141 nobody reads the output any longer · 143 terminated."
)

_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.MissingCredentialsError, Exit.CREDENTIALS),
    (errors.AuthError, Exit.CREDENTIALS),
    (errors.RequestError, Exit.NETWORK),
    (errors.OutcomeUnknownError, Exit.DECISION),
    (errors.IntentMismatch, Exit.DECISION),
    (errors.UnknownRunError, Exit.USAGE),
    (errors.JournalError, Exit.JOURNAL),
    (errors.ActionTimeoutError, Exit.TIMED_OUT),
    (errors.InvalidArgumentError, Exit.USAGE),
    (errors.MissingExtraError, Exit.USAGE),
    (errors.NotImplmentError, Exit.USAGE),
    (OSError, Exit.USAGE),  # a file that cannot be read or written
)
"""The first class that fits decides, so a class stands before the ones it derives from."""


def exit_code(error: BaseException) -> Exit:
    """The exit code for an error."""
    if isinstance(error, errors.OutcomeUnknownError) and error.decided:
        return Exit.FAILED
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)

"""Exit codes, and which error means which."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's end says to a script."""

    OK = 0
    FAILED = 1
    """The remote work failed, or the platform refused it."""
    USAGE = 2
    """Wrong options or input; nothing was sent, or nothing was paid."""
    CREDENTIALS = 3
    """Keys are missing or refused."""
    NETWORK = 4
    """The platform cannot be reached."""
    INTERRUPTED = 130
    """Ctrl-C; the remote work goes on unless it was to be stopped."""


TABLE = """Exit codes: 0 done · 1 the remote work failed · 2 wrong options or input · 3 keys missing or refused ·
4 the platform cannot be reached · 130 interrupted."""


def exit_code(error: BaseException) -> Exit:
    """The exit code for an error of the library."""
    from qianfan import errors

    if isinstance(error, (errors.MissingCredentialsError, errors.AuthError)):
        return Exit.CREDENTIALS
    if isinstance(error, errors.RequestError):
        return Exit.NETWORK
    if isinstance(error, (errors.InvalidArgumentError, errors.MissingExtraError)):
        return Exit.USAGE
    return Exit.FAILED

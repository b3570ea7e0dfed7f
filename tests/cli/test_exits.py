"""Which error means which exit code."""

from __future__ import annotations

import pytest

from qianfan import errors
from qianfan.cli.exits import TABLE, Exit, exit_code

GIVEN_UP = errors.OutcomeUnknownError("given up")
GIVEN_UP.decided = True


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.TrainJobFailedError("failed"), 1),
        (errors.APIError(500, "busy"), 1),
        (GIVEN_UP, 1),
        (errors.InvalidArgumentError("wrong"), 2),
        (errors.PipelineChanged("other arguments"), 2),
        (errors.UnknownRunError("who?"), 2),
        (errors.MissingExtraError("pip install"), 2),
        (FileNotFoundError("rows.jsonl"), 2),
        (errors.MissingCredentialsError("no keys"), 3),
        (errors.AuthError(14, "wrong keys"), 3),
        (errors.ConnectionFailedError("refused"), 4),
        (errors.OutcomeUnknownError("who knows"), 5),
        (errors.IntentMismatch("other content"), 5),
        (errors.JournalCorruptError("damaged"), 6),
        (errors.JournalVersionError("newer"), 6),
        (errors.JournalBusyError("locked"), 6),
        (errors.JournalWriteError("full"), 6),
        (errors.RunBusyError("driven"), 6),
        (errors.ForeignOwner("elsewhere"), 6),
        (errors.LeaseLost("taken over"), 6),
        (errors.ActionTimeoutError("too long"), 124),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_the_code_of_an_error(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_every_code_is_in_the_table() -> None:
    assert all(f" {code.value} " in TABLE for code in Exit)

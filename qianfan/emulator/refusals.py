"""Why a call is refused, said once; each family of the wire says it in its own codes.

The platform has two generations of API over the same objects, and they report the same problem differently: a
number under HTTP 200, a `status` of 400 in the body, or a word under a real HTTP status. Handlers raise `Refused`
with the problem; `envelopes` looks the codes up here.
"""

from __future__ import annotations

from enum import Enum


class Problem(Enum):
    """A problem and its V1 number; V2 tells apart only wrong input and a state that does not allow the call."""

    INVALID = 500001
    SYSTEM = 500000
    TOO_FEW_ROWS = 510101
    DATASET_UNUSABLE = 510102
    JOB_NAME_TAKEN = 510201
    JOB_MISSING = 510202
    TASK_MISSING = 510301
    TASK_STATE = 510302
    TRAIN_CONFIG = 510401
    NO_INCREMENT = 510404
    MODEL_SET_MISSING = 10001
    RUN_NOT_PUBLISHABLE = 21002
    MODEL_NAME_TAKEN = 70101
    MODEL_MISSING = 70102
    RUN_MISSING = 70114
    ALREADY_PUBLISHED = 70118
    MODEL_TYPE_MISMATCH = 70130
    MODEL_NAME_EMPTY = 70131
    DATASET_MISSING = 5000011
    STATE = 5000012
    UNSUPPORTED = 3

    @property
    def number(self) -> int:
        """The V1 code. The platform's list has no number for the two made-up ones, so they are bad parameters."""
        return 500001 if self in _WITHOUT_NUMBER else int(self.value)

    @property
    def is_conflict(self) -> bool:
        """Whether the input was right but the object's state does not allow the call."""
        return self in _CONFLICTS


_WITHOUT_NUMBER = frozenset({Problem.DATASET_MISSING, Problem.STATE})
_CONFLICTS = frozenset({Problem.STATE, Problem.TASK_STATE, Problem.RUN_NOT_PUBLISHABLE, Problem.ALREADY_PUBLISHED})


class Refused(Exception):
    """A call the platform does not carry out.

    field: the request field to blame, "" when no single one is.
    text: what is wrong, in words.
    """

    def __init__(self, problem: Problem, field: str = "", text: str = "") -> None:
        self.problem = problem
        self.field = field
        self.text = text
        super().__init__(f"{problem.name} {field}: {text}")


class RefusedInference(Exception):
    """An inference call that is refused: a number in V1, a word with an HTTP status and a type in V2."""

    def __init__(
        self, number: int, text: str, *, word: str = "invalid_argument", status: int = 400, kind: str = ""
    ) -> None:
        self.number = number
        self.text = text
        self.word = word
        self.status = status
        self.kind = kind or "invalid_request_error"
        super().__init__(f"{number} {word}: {text}")


class RefusedObject(Exception):
    """An object-storage or IAM call that is refused, with the service's word and HTTP status.

    headers: extra response headers; signature problems are told there too.
    """

    def __init__(self, status: int, code: str, text: str, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.code = code
        self.text = text
        self.headers = headers or {}
        super().__init__(f"{status} {code}: {text}")


def invalid(field: str, text: str) -> Refused:
    """The common case: one field is missing or has a value that is not allowed."""
    return Refused(Problem.INVALID, field, text)

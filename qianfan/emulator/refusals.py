"""Why a call is refused, said once; each family of the wire says it in its own codes.

The platform has two generations of API over the same objects, and they report the same problem differently: a
number under HTTP 200, a `status` of 400 in the body, or a word under a real HTTP status. Handlers raise `Refused`
with the problem; `envelopes` looks the codes up here.
"""

from __future__ import annotations

from enum import Enum


class Problem(Enum):
    """A problem: its V1 number, and whether the input was right but the object's state does not allow the call."""

    INVALID = (500001, False)
    STATE = (500001, True)
    SYSTEM = (500000, False)
    UNSUPPORTED = (3, False)
    TOO_MANY_BATCHES = (4, True)
    TOO_FEW_ROWS = (510101, False)
    DATASET_UNUSABLE = (510102, False)
    JOB_NAME_TAKEN = (510201, False)
    JOB_MISSING = (510202, False)
    TASK_MISSING = (510301, False)
    TASK_STATE = (510302, True)
    TRAIN_CONFIG = (510401, False)
    NO_INCREMENT = (510404, False)
    MODEL_SET_MISSING = (10001, False)
    RUN_NOT_PUBLISHABLE = (21002, True)
    MODEL_NAME_TAKEN = (70101, False)
    MODEL_MISSING = (70102, False)
    RUN_MISSING = (70114, False)
    ALREADY_PUBLISHED = (70118, True)
    OUTPUT_MISSING = (70115, True)
    SET_IS_IMPORTED = (70128, True)
    MODEL_TYPE_MISMATCH = (70130, False)
    MODEL_NAME_EMPTY = (70131, False)

    @property
    def number(self) -> int:
        """The V1 code."""
        return self.value[0]

    @property
    def is_conflict(self) -> bool:
        """Whether only the object's state is in the way. V2 tells this apart from wrong input, and nothing else."""
        return self.value[1]


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
    """An inference call that is refused: a number in V1, a word with an HTTP status and a type in V2.

    headers: extra response headers, which tell of rate limits.
    """

    def __init__(
        self, number: int, text: str, *, word: str = "invalid_argument", status: int = 400, kind: str = ""
    ) -> None:
        self.headers: dict[str, str] = {}
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

"""What is not certain about the platform, or differs from day to day, as switches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from qianfan._types import JSON
from qianfan.errors import InvalidArgumentError


@dataclass
class Quirks:
    """Properties of the platform; each can be switched to the other reading.

    job_delete_takes_tasks: deleting a job removes its tasks, running ones too, in place of being refused while it
    has any.
    task_in_deleted_job: a task can still be created in a job that was deleted.
    unique_service_names: a second service of the same name is refused.
    listing_lag: seconds on the emulator's clock until what was made shows in listings and is found by name; it is
    known by its id at once.
    pages_shift: between two pages of a listing one entry slips from the earlier onto the later, as if something
    newer had come in, so that it is told twice. Pages of one entry stay as they are, or a walk could never end.
    """

    job_delete_takes_tasks: bool = False
    task_in_deleted_job: bool = False
    unique_service_names: bool = False
    listing_lag: float = 0.0
    pages_shift: bool = False

    def change(self, wish: Mapping[str, JSON]) -> None:
        """Set the quirks that are named, all or none.

        Raises InvalidArgumentError for one there is none of, or a value that is neither true or false nor, for
        `listing_lag`, a number of seconds.
        """
        unknown = sorted(set(wish) - {field.name for field in fields(self)})
        if unknown:
            raise InvalidArgumentError(f"there are no quirks {unknown}; there are {', '.join(asdict(self))}")
        for name, value in wish.items():
            if name == "listing_lag":
                fits = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
            else:
                fits = isinstance(value, bool)
            if not fits:
                raise InvalidArgumentError(f"{name} cannot be {value!r}")
        for name, value in wish.items():
            setattr(self, name, value)

"""Models for what a user types: an unknown name gets a suggestion, and all mistakes come out at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationInfo, model_validator
from typing_extensions import Self

from qianfan.errors import ValidationError


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like the given one, or None when nothing comes close."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the nearest known one, or all of them."""
    choices = sorted(known)
    close = nearest(name, choices)
    return f"did you mean {close!r}?" if close else f"known names: {', '.join(choices)}"


class StrictModel(BaseModel):
    """A configuration model whose mistakes arrive as `qianfan.errors.ValidationError`.

    Fields may be changed after construction; a change is checked like the original value. Checks of one field raise
    ValueError, which is collected; checks of the whole model run after that and raise `ValidationError` themselves.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    @classmethod
    def known_names(cls) -> set[str]:
        """The keywords that may be given."""
        return set(cls.model_fields)

    @classmethod
    def tidy(cls, values: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
        """The values under their fields' own names, and what is wrong with the names that were used."""
        return values, []

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        problems: list[str] = []
        if isinstance(data, Mapping):
            data, problems = cls.tidy(data, info.context or {})
        try:
            checked = handler(data)
        except pydantic.ValidationError as error:
            problems += [_problem(details, cls.known_names()) for details in error.errors()]
            raise ValidationError(f"{cls.__name__} cannot be used", problems) from error
        if problems:
            raise ValidationError(f"{cls.__name__} cannot be used", problems)
        return checked

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, value) for name, value in super().__repr_args__() if value is not None]


def _problem(details: Any, known: Iterable[str]) -> str:
    location: Sequence[int | str] = details["loc"]
    name = ".".join(str(part) for part in location)
    if details["type"] in ("extra_forbidden", "no_such_attribute"):
        return f"unknown name {name!r}; {suggestion(name, known)}"
    if details["type"] == "missing":
        return f"{name} is missing"
    if details["type"] == "value_error":
        # Our own validators word the whole problem; pydantic would only put "Value error" in front.
        reason = str(details["ctx"]["error"])
        return f"{name}: {reason}" if name else reason
    reason = f"{_sentence(details['msg'])}, not {details['input']!r}"
    return f"{name}: {reason}" if name else reason


def _sentence(message: str) -> str:
    return message.removeprefix("Input ").replace("should be", "must be").rstrip(".")

"""What the models of several areas share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

Id: TypeAlias = Annotated[str, Field(min_length=1)]
"""What names a new thing, so that an answer without it is no answer."""


def percent(text: str | float | None) -> int | None:
    """`"47%"` and `47.0` as 47; None for anything that is no number."""
    if text is None:
        return None
    try:
        return max(0, min(100, int(float(str(text).rstrip("% ")))))
    except ValueError:
        return None

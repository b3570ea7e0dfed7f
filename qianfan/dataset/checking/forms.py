"""Rows in the platform's form, by the quick way of their shape where it knows one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from qianfan.dataset.reading import RawRow
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.sources import LocalSource

Former: TypeAlias = Callable[[RawRow], JsonRow | None]
"""Brings a row into the platform's form; None for one that it does not know or that cannot be used."""


def quick_form(source: LocalSource) -> Former:
    """The quick way for the rows of a source, which knows the common ones only."""
    shape = source.shape
    # Among rows of another kind, one that is right for itself may be wrong.
    if shape is None or shape.quick_format is None or shape.quick_format is not source.data_format:
        return _know_none
    quick = shape.quick
    return lambda raw: quick(raw.value) if raw.problem is None else None


def _know_none(raw: RawRow) -> None:
    """The quick way of sources that have none."""


def full_form(source: LocalSource) -> Former:
    """The way for all rows of a source that can be used."""
    quick = quick_form(source)

    def form(raw: RawRow) -> JsonRow | None:
        value = quick(raw)
        if value is not None:
            return value
        row = source.read(raw)
        return None if isinstance(row, list) else row.to_json()

    return form

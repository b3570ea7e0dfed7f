"""Conversations as rows of turns, and turns as conversations.

A packed row is a conversation: a list of turns. A grouped row is a turn that says with `_group` which conversation it
belongs to.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice, pairwise
from typing import Any

from qianfan.dataset.consts import DataFormat
from qianfan.dataset.processing._derived import DerivedSource, Kind, each_raw_row, opened
from qianfan.dataset.processing._functions import json_row, place_of
from qianfan.dataset.processing._jumping import for_jumps, raw_rows_at
from qianfan.dataset.processing.mapping import FirstRows, MappedSource
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.reading.places import shown
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.shapes import SHAPES, TABLE
from qianfan.dataset.sources import PEEK, LocalSource
from qianfan.errors import InvalidArgumentError

GROUP_COLUMN = "_group"
"""Which conversation a turn belongs to."""

_NO_GROUP = 1 << 62
_CONVERSATIONS = ("dialogue", "preference")


def unpacked(source: LocalSource) -> LocalSource:
    """The turns of all conversations as rows of their own, with the number of their conversation as `_group`.

    Reading raises InvalidArgumentError where a row has no turns.
    """
    return UnpackedSource(source)


def packed(source: LocalSource) -> LocalSource:
    """The rows of each group as one row, a list, without `_group`; the groups in the order of their numbers.

    A row without a group is one of its own, after the others; a row that is a list already stays one. Reading raises
    InvalidArgumentError for a group that is no number.
    """
    return PackedSource(source)


def grouped(source: LocalSource) -> LocalSource:
    """The same rows, each in a group of its own: with its position as `_group`."""
    return GroupedSource(source)


def ungrouped(source: LocalSource) -> LocalSource:
    """The same rows without `_group`."""
    return MappedSource(source, _without_group)


class _Columns(DerivedSource):
    """Rows that are objects with columns, whatever these are called."""

    @cached_property
    def kind(self) -> Kind:
        return TABLE, None


class GroupedSource(_Columns):
    """Each row in a group of its own."""

    def raw_rows(self) -> Iterator[RawRow]:
        parent = opened(self.parents[0])
        return (self._numbered(raw, position) for position, raw in enumerate(parent.raw_rows()))

    def raw_row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        return self._numbered(self.parents[0].raw_row(position), position)

    def __len__(self) -> int:
        return len(opened(self.parents[0]))

    @property
    def known_length(self) -> int | None:
        return self.parents[0].known_length

    def _numbered(self, raw: RawRow, position: int) -> RawRow:
        row = json_row(self.parents[0], raw)
        if isinstance(row, RowProblem):
            return raw._replace(problem=row)
        if not isinstance(row, dict):
            raise InvalidArgumentError(f"{place_of(raw, self)}: only rows with columns can be in a group")
        return raw._replace(text="", value={**row, GROUP_COLUMN: position})


class UnpackedSource(_Columns):
    """The turns of conversations, each with the number of its conversation."""

    def raw_rows(self) -> Iterator[RawRow]:
        for number, raw in enumerate(opened(self.parents[0]).raw_rows()):
            yield from self._turns(raw, number)

    def raw_row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        number = bisect_right(self._ends, position)
        start = self._ends[number - 1] if number else 0
        return self._turns(self.parents[0].raw_row(number), number)[position - start]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def known_length(self) -> int | None:
        return len(self) if "_ends" in self.__dict__ else None

    @cached_property
    def _ends(self) -> array[int]:
        """How many turns there are up to the end of each conversation."""
        ends, end = array("Q"), 0
        for raw in each_raw_row(self.parents[0]):
            end += len(self._turns(raw, 0))
            ends.append(end)
        return ends

    def _turns(self, raw: RawRow, number: int) -> list[RawRow]:
        row = json_row(self.parents[0], raw)
        if isinstance(row, RowProblem):
            return [raw._replace(problem=row)]
        turns: list[Any] = row if isinstance(row, list) else [row]
        if not all(isinstance(turn, dict) for turn in turns):
            raise InvalidArgumentError(
                f"{place_of(raw, self)}: only conversations can be unpacked, a text has no turns"
            )
        return [raw._replace(text="", value={**turn, GROUP_COLUMN: number}) for turn in turns]


class PackedSource(DerivedSource):
    """The rows of each group as one."""

    @cached_property
    def _first(self) -> FirstRows:
        first = FirstRows(self.name, list(islice(self.raw_rows(), PEEK)))
        value = next((raw.value for raw in first.raw_rows() if raw.problem is None), None)
        # A question without an answer, in a list, could be a query set's too; but this is a conversation.
        first.find_shape(next((name for name in _CONVERSATIONS if SHAPES[name].fits(value)), None))
        return first

    @cached_property
    def kind(self) -> Kind:
        return self._first.shape, self._first.template_type

    @property
    def data_format(self) -> DataFormat | None:  # type: ignore[override]  # found out when asked
        return self._first.data_format

    @property
    def is_near(self) -> bool:
        return "_order" in self.__dict__ and super().is_near

    def raw_rows(self) -> Iterator[RawRow]:
        order = self._order
        is_ordered = isinstance(order, range)
        raws = raw_rows_at(self.parents[0], order) if is_ordered else map(self._jumped_to.raw_row, order)
        for start, end in pairwise((*self._starts, len(order))):
            yield self._packed(list(islice(raws, end - start)))

    def raw_row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        start, end = (*self._starts[position : position + 2], len(self._order))[:2]
        return self._packed([self.parents[0].raw_row(at) for at in self._order[start:end]])

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def known_length(self) -> int | None:
        return len(self) if "_order" in self.__dict__ else None

    def _packed(self, raws: list[RawRow]) -> RawRow:
        """The rows of one group as one."""
        rows: list[JsonRow] = []
        for raw in raws:
            row = json_row(self.parents[0], raw)
            if isinstance(row, RowProblem):
                return raw._replace(problem=row)
            rows.append(_without_group(row))
        value = rows if isinstance(rows[0], dict) else rows[0]
        return raws[0]._replace(text="", value=value)

    @cached_property
    def _jumped_to(self) -> LocalSource:
        return for_jumps(self.parents[0], self._order)

    @cached_property
    def _groups(self) -> array[int]:
        """The group of each row; beyond all groups, and one for each, for rows without."""
        groups = array("q")
        for position, raw in enumerate(each_raw_row(self.parents[0])):
            row = json_row(self.parents[0], raw)
            group = row.get(GROUP_COLUMN) if isinstance(row, dict) else None
            if group is not None and not (isinstance(group, int) and abs(group) < _NO_GROUP):
                raise InvalidArgumentError(
                    f"{place_of(raw, self)}: {GROUP_COLUMN} must be a number, not {shown(group)}"
                )
            groups.append(_NO_GROUP + position if group is None else group)
        return groups

    @cached_property
    def _order(self) -> Sequence[int]:
        """The positions of the rows, group by group."""
        groups = self._groups
        if all(group <= following for group, following in pairwise(groups)):
            return range(len(groups))
        return array("Q", sorted(range(len(groups)), key=groups.__getitem__))

    @cached_property
    def _starts(self) -> array[int]:
        """Where in the order each group begins."""
        starts, last = array("Q"), None
        for start, position in enumerate(self._order):
            if self._groups[position] != last:
                last = self._groups[position]
                starts.append(start)
        return starts


def _without_group(row: JsonRow) -> JsonRow:
    if not isinstance(row, dict):
        return row
    return {name: value for name, value in row.items() if name != GROUP_COLUMN}

"""Rows on this machine, reached like a list: one by one, chosen, changed and put in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import wraps
from itertools import islice
from operator import index
from typing import Any, SupportsIndex, TypeAlias

from typing_extensions import Self

from qianfan.dataset import columns
from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.converting import in_shape
from qianfan.dataset.edits import EditedSource, rows_for
from qianfan.dataset.processing import (
    GROUP_COLUMN,
    concatenated,
    deduplicated,
    filtered,
    grouped,
    mapped,
    near_deduplicated,
    packed,
    sampled,
    selected,
    shuffled,
    split,
    unpacked,
)
from qianfan.dataset.processing.grouping import UnpackedSource
from qianfan.dataset.rows import JsonRow, Row
from qianfan.dataset.shapes import shape_named
from qianfan.dataset.sources import PEEK, LocalSource
from qianfan.errors import InvalidArgumentError, ValidationError

JsonRows: TypeAlias = list[JsonRow]
Names: TypeAlias = list[str]
Key: TypeAlias = SupportsIndex | slice | str | Sequence[int] | Sequence[str]
"""A position, several, or columns by their names."""
Columns: TypeAlias = dict[str, list[Any]]
By: TypeAlias = str | Sequence[str] | Callable[[JsonRow], Any]
"""What rows are compared by: a column, several, or a function of the row."""

PACK_COLUMN = "_pack"
"""The one column of rows that are texts."""


class RowTable:
    """The part of `Table` that goes by rows."""

    _source: LocalSource | None
    _whole: LocalSource | None = None
    _grouped: bool | None = None

    def __init__(self, source: LocalSource) -> None:
        self._source = source

    @property
    def name(self) -> str:
        """What messages call it: a file's path, for one."""
        return self._seen.name

    @property
    def local_source(self) -> LocalSource:
        """The rows as they are checked, saved and sent: turns with a group are conversations again."""
        if self._whole is None:
            self._whole = self._seen
            if self.is_dataset_grouped():
                with suppress(ValidationError):  # other rows than turns can have groups too
                    self._whole = _conversations(self._seen)
        return self._whole

    @property
    def is_local(self) -> bool:
        """Whether the rows are on this machine."""
        return True

    @property
    def template_type(self) -> DataTemplateType | int | None:
        """The kind of dataset; None while it is not known, and for rows that make none."""
        return self.local_source.template_type

    @property
    def _seen(self) -> LocalSource:
        """The rows as they are shown."""
        assert self._source is not None
        return self._source

    def _with(self, source: LocalSource, anew: bool, *, grouped: bool | None = None) -> Self:
        """This table, or another like it, with other rows. They have groups if those before had."""
        has_groups = self.is_dataset_grouped() if grouped is None else grouped
        table = copy(self) if anew else self
        table._source, table._whole, table._grouped = source, None, has_groups
        return table

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __bool__(self) -> bool:
        # An empty dataset is still a dataset, and asking for the length of one may read a whole file.
        return True

    # --- rows -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._seen)

    def row_number(self) -> int:
        """How many rows there are."""
        return len(self)

    def __iter__(self) -> Iterator[JsonRow]:
        """The rows one by one, in the platform's form. Raises ValidationError at the first that cannot be read."""
        return (row.to_json() for row in self._seen.rows())

    def __getitem__(self, key: Key) -> Any:
        """A row, several rows by slice or list of positions, or a column by its name; several columns as a dict.

        Raises IndexError for a position that does not exist, KeyError for a column.
        """
        if isinstance(key, SupportsIndex):
            return self._row(index(key))
        if isinstance(key, str):
            return self.col_list(key)[key]
        if isinstance(key, slice):
            return [row.to_json() for row in self._slice(key).rows()]
        if key and isinstance(key[0], str):
            return self.col_list([str(name) for name in key])
        return [self._row(int(position)) for position in key]

    def list(self, by: Key | None = None) -> Any:
        """All rows, or those that `ds[by]` gives."""
        return self.to_pylist() if by is None else self[by]

    def head(self, count: int = 5) -> JsonRows:
        """The first rows; no others are read."""
        return [*islice(self, count)]

    def to_pylist(self) -> JsonRows:
        """All rows in the platform's form."""
        return [*self]

    def to_pydict(self) -> Columns:
        """All columns; texts are one column named `_pack`."""
        return self.col_list() or {PACK_COLUMN: self.to_pylist()}

    def records(self) -> Iterator[Row]:
        """All rows as typed records. Raises ValidationError at the first that cannot be read."""
        return self.local_source.rows()

    def convert(self, format: str) -> Iterator[Any]:
        """The rows in another format, one by one: `messages`, `alpaca`, `sharegpt`, `prompt_response`, …

        Raises InvalidArgumentError for a format that cannot say what a row holds.
        """
        return in_shape(self.local_source, format)

    def iterate(self, op: Callable[[JsonRow], Any]) -> None:
        """Call a function with every row."""
        for row in self:
            op(row)

    def _row(self, position: int) -> JsonRow:
        if 0 <= position < PEEK and self._seen.known_length is None:
            first = next(selected(self._seen, slice(position, position + 1)).rows(), None)
            if first is not None:  # and nobody had to count the rows for it
                return first.to_json()
        size = len(self)
        if not -size <= position < size:
            raise IndexError(f"row {position} of {self.name}, which has {size}")
        return self._seen.row(position % size).to_json()

    def _slice(self, part: slice) -> LocalSource:
        """The rows of a slice. A few from far inside are looked up, others are come by in passing."""
        if (part.start or 0) < PEEK:
            return selected(self._seen, part)
        positions = range(len(self))[part]
        return selected(self._seen, part if len(positions) * 8 > part.start else positions)

    # --- changing rows --------------------------------------------------------------------------------------------

    def map(
        self, op: Callable[[JsonRow], JsonRow], should_create_new_obj: bool = False, *, format: str | None = None
    ) -> Self:
        """Make each row what a function returns for it.

        op: gets a row in the platform's form, which is its own to change. It is called whenever rows are read, so it
            must be pure. Turns with a group keep it.
        format: the shape of what it returns, found out when left out.

        Reading raises RowFunctionError, with the row's place, when the function fails or returns what is no row.
        """
        if self.is_dataset_grouped():
            return self._with(mapped(self._seen, _keeping_group(op), format="table"), should_create_new_obj)
        return self._with(mapped(self._seen, op, format=format), should_create_new_obj)

    def filter(self, op: Callable[[JsonRow], Any], should_create_new_obj: bool = False) -> Self:
        """Keep the rows for which a function returns something true. Reading raises as after `map`."""
        return self._with(filtered(self._seen, op), should_create_new_obj)

    def append(
        self, elem: Any, add_new_group: bool = False, is_grouped: bool = True, should_create_new_obj: bool = False
    ) -> Self:
        """Add a row, or a list of rows, at the end, in any form that can be read as such a row.

        add_new_group: for turns with a group: they begin a conversation, instead of going on with the last one.
        is_grouped: all of them are one conversation then, instead of one each.

        Raises ValidationError for what cannot be a row here.
        """
        return self._put_in(None, elem, add_new_group, is_grouped, -1, should_create_new_obj)

    def insert(
        self,
        elem: Any,
        index: int,
        group_id: int = -1,
        add_new_group: bool = False,
        is_grouped: bool = True,
        should_create_new_obj: bool = False,
    ) -> Self:
        """Add a row, or a list of rows, before the one at a position. Takes and raises what `append` does.

        group_id: for turns with a group: the conversation they belong to, that of the turn before them when left out.
        Raises IndexError for a position that does not exist.
        """
        if not -len(self) <= index <= len(self):
            raise IndexError(f"row {index} of {self.name}, which has {len(self)}")
        at = index if index >= 0 else index + len(self)
        return self._put_in(at, elem, add_new_group, is_grouped, group_id, should_create_new_obj)

    def _put_in(
        self, at: int | None, elem: Any, add_new_group: bool, is_grouped: bool, group_id: int, anew: bool
    ) -> Self:
        rows = rows_for(self._seen, elem)
        if self.is_dataset_grouped():
            first = group_id if group_id >= 0 and not add_new_group else self._group_at(at, add_new_group)
            step = 1 if add_new_group and not is_grouped else 0
            rows = [{**row, GROUP_COLUMN: first + step * number} for number, row in enumerate(rows)]
        return self._with(EditedSource.of(self._seen).with_rows(rows, at), anew)

    def _group_at(self, at: int | None, is_new: bool) -> int:
        """The group of a turn that comes before the one at a position, or at the end."""
        if is_new or not self.head(1):
            return 1 + max((group for group in self[GROUP_COLUMN] if isinstance(group, int)), default=-1)
        return self._row(-1 if at is None else max(at - 1, 0)).get(GROUP_COLUMN) or 0

    def delete(self, index: int | Sequence[int], should_create_new_obj: bool = False) -> Self:
        """Take out the row at a position, or several. Raises IndexError for one that does not exist."""
        size = len(self)
        positions = [index] if isinstance(index, int) else [*index]
        missing = next((position for position in positions if not -size <= position < size), None)
        if missing is not None:
            raise IndexError(f"row {missing} of {self.name}, which has {size}")
        edited = EditedSource.of(self._seen).without([position % size for position in positions])
        return self._with(edited, should_create_new_obj)

    # --- choosing rows --------------------------------------------------------------------------------------------

    def take_slice(self, start: int = 0, end: int = -1, should_create_new_obj: bool = False) -> Self:
        """Keep the rows from one position to another, that one included; -1 is the last row."""
        return self._with(_sliced(self._seen, start, end), should_create_new_obj)

    def sample(
        self,
        sample_number: float,
        start: int = 0,
        end: int = -1,
        should_create_new_obj: bool = False,
        *,
        seed: int | None = None,
    ) -> Self:
        """Keep some rows, drawn by chance, in their order.

        sample_number: how many, or which part of them where it is a fraction below 1. start, end: draw from these rows
        alone, as `take_slice` takes them. seed: the same seed draws the same rows.
        """
        source = _sliced(self._seen, start, end)
        if isinstance(sample_number, float) and sample_number < 1:
            return self._with(sampled(source, fraction=sample_number, seed=seed), should_create_new_obj)
        return self._with(sampled(source, int(sample_number), seed=seed), should_create_new_obj)

    def shuffle(self, should_create_new_obj: bool = False, *, seed: int | None = None) -> Self:
        """Put the rows in an order by chance. seed: the same seed gives the same order."""
        return self._with(shuffled(self._seen, seed), should_create_new_obj)

    def split(
        self, sizes: float | Sequence[float], *, seed: int | None = None, by: By | None = None
    ) -> tuple[Self, ...]:
        """The rows in parts by chance, each row in exactly one; this table stays as it is.

        sizes: fractions or numbers of rows; what they leave is one more part: `train, test = ds.split(0.9, seed=7)`.
        by: a column, several, or a function: rows that agree in it go to the same part.
        """
        return tuple(self._with(part, anew=True) for part in split(self._seen, sizes, seed=seed, by=by))

    def dedup(self, by: By | None = None, *, near: float | bool = False, should_create_new_obj: bool = False) -> Self:
        """Leave out rows that came before; the first stays.

        by: a column, several, or a function to compare rows by; all that they hold when left out.
        near: leave out rows that say nearly the same too: how alike they must be from 0 to 1, 0.85 for True.
        """
        threshold = {} if near is True else {"threshold": float(near)}
        source = near_deduplicated(self._seen, by=by, **threshold) if near else deduplicated(self._seen, by)
        return self._with(source, should_create_new_obj)

    def concat_table(self, concat_table: RowTable | Sequence[RowTable], should_create_new_obj: bool = False) -> Self:
        """Add all rows of another table, or of several, at the end. Reading raises when they are of another kind."""
        others = [concat_table] if isinstance(concat_table, RowTable) else concat_table
        return self._with(concatenated([self._seen, *(other._seen for other in others)]), should_create_new_obj)

    # --- columns --------------------------------------------------------------------------------------------------

    def col_names(self) -> Names:
        """The names of the columns, as far as the first row tells; texts have none."""
        return columns.names_in(self.head(1))

    def column_number(self) -> int:
        """How many columns there are."""
        return len(self.col_names())

    def col_list(self, by: int | str | Sequence[int] | Sequence[str] | None = None) -> Columns:
        """Columns in full, by their names: all of them, or some by name or number. Raises KeyError."""
        if by is None:
            return columns.columns_of(self)
        wanted = [by] if isinstance(by, (int, str)) else by
        names = [one if isinstance(one, str) else columns.known(self.col_names(), one, self.name) for one in wanted]
        return columns.some_columns_of(self, names, self.name)

    # --- conversations and their turns ----------------------------------------------------------------------------

    def is_dataset_packed(self) -> bool:
        """Whether a row is a whole: a conversation, or a text."""
        return any(isinstance(row, (list, str)) for row in self.head(1))

    def is_dataset_grouped(self) -> bool:
        """Whether rows are turns, with the number of their conversation as `_group`."""
        if self._grouped is None:
            is_table = self._seen.shape is shape_named("table")
            self._grouped = is_table and any(GROUP_COLUMN in row for row in self.head(1))
        return self._grouped

    def pack(self) -> bool:
        """Make conversations of turns: of those that have the same group, or of each where they have none.

        Raises ValidationError when the rows are no turns.
        """
        if not self.is_dataset_packed():
            source = _conversations(self._seen)
            self._with(source, anew=False, grouped=False)
        return True

    def unpack(self) -> bool:
        """Make rows of the turns of all conversations, each with the number of its conversation as `_group`.

        Raises InvalidArgumentError when the rows are no conversations.
        """
        if not self.is_dataset_grouped():
            if any(not isinstance(row, list) for row in self.head(1)):
                raise InvalidArgumentError(f"only conversations have turns, and the rows of {self.name} are none")
            self._with(unpacked(self._seen), anew=False, grouped=True)
        return True

    def add_default_group_column(self) -> Self:
        """Put each row into a group of its own, with `_group` as its number. Rows with groups stay as they are."""
        if self.is_dataset_grouped():
            return self
        self._must_have_columns()
        return self._with(grouped(self._seen), anew=False, grouped=True)

    def delete_group_column(self) -> Self:
        """Take out `_group`, if there is one."""
        if not self.is_dataset_grouped():
            return self
        return self._with(mapped(self._seen, _without_group, format="table"), anew=False, grouped=False)

    def _must_have_columns(self) -> None:
        if not all(isinstance(row, Mapping) for row in self.head(1)):
            raise InvalidArgumentError(
                f"the rows of {self.name} are conversations or texts, without columns of their own; after unpack() "
                "the turns of conversations are rows"
            )


def _conversations(source: LocalSource) -> LocalSource:
    """Turns as conversations. Raises ValidationError when they make none."""
    if isinstance(source, UnpackedSource):
        return source.parents[0]
    conversations = packed(source)
    if conversations.shape is None and len(conversations):
        raise ValidationError(f"the rows of {source.name} make no conversations", [])
    return conversations


def _sliced(source: LocalSource, start: int, end: int) -> LocalSource:
    return source if (start, end) == (0, -1) else selected(source, slice(start, None if end == -1 else end + 1))


def _keeping_group(op: Callable[[JsonRow], JsonRow]) -> Callable[[JsonRow], JsonRow]:
    @wraps(op)
    def with_group(row: JsonRow) -> JsonRow:
        group = row.get(GROUP_COLUMN)
        made = op(row)
        return {**made, GROUP_COLUMN: group} if isinstance(made, dict) and GROUP_COLUMN not in made else made

    return with_group


def _without_group(row: JsonRow) -> JsonRow:
    return {name: value for name, value in row.items() if name != GROUP_COLUMN}

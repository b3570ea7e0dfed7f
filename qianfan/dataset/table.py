"""`Table`: rows on this machine, reached like a list and by columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from qianfan.dataset import columns
from qianfan.dataset.columns import Interpolation
from qianfan.dataset.processing import GROUP_COLUMN, mapped
from qianfan.dataset.report import Report
from qianfan.dataset.row_table import Names, RowTable
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import InvalidArgumentError

if TYPE_CHECKING:
    from qianfan.dataset.checking import FixReport, Statistics


class Table(RowTable):
    """Rows on this machine, in the platform's form. They are read when asked and not kept in memory.

    Rows are conversations (lists of turns), objects with columns, or texts. A conversation has the parts of its turns
    as columns.

    What changes the rows changes this table and returns it; with `should_create_new_obj=True` the table stays as it is
    and the changed one is returned. Neither changes the file that the rows come from, and nothing is read before rows
    are asked for.
    """

    # --- columns --------------------------------------------------------------------------------------------------

    def select_columns(self, names: str | Sequence[str], should_create_new_obj: bool = False) -> Self:
        """Keep some columns, in this order. Turns with a group keep it. Raises KeyError for one that is not there."""
        wanted = [names] if isinstance(names, str) else [*names]
        kept = self._known(wanted if not self.is_dataset_grouped() else dict.fromkeys([*wanted, GROUP_COLUMN]))
        return self._with_parts(lambda part: {name: part[name] for name in kept if name in part}, should_create_new_obj)

    def col_delete(self, index: int | str | Sequence[int] | Sequence[str], should_create_new_obj: bool = False) -> Self:
        """Take out a column, or several, by name or number. Raises KeyError for one that is not there."""
        gone = self._known([index] if isinstance(index, (int, str)) else index)
        changed = self._with_parts(
            lambda part: {name: part[name] for name in part if name not in gone}, should_create_new_obj
        )
        changed._grouped = changed._grouped and GROUP_COLUMN not in gone
        return changed

    def col_renames(self, new_names: Sequence[str] | Mapping[str, str], should_create_new_obj: bool = False) -> Self:
        """Give the columns other names: a list for all of them in order, or a dict from old names to new ones.

        Raises InvalidArgumentError for a list of another length and for two equal names.
        """
        names = columns.renaming(self.col_names(), new_names, self.name)
        return self._with_parts(
            lambda part: {names.get(name, name): value for name, value in part.items()}, should_create_new_obj
        )

    def col_append(self, elem: Mapping[str, Any], should_create_new_obj: bool = False) -> Self:
        """Add columns: `{"score": [1, 2, 3]}`, with one value for each row.

        Rows are plain rows with columns afterwards, unless the new columns make them rows to train on.
        Raises InvalidArgumentError for another number of values, and where rows are conversations or texts.
        """
        self._must_have_columns()
        added = columns.new_columns(elem, len(self))
        return self._with(columns.WidenedSource(self._seen, added), should_create_new_obj)

    def col_insert(self, elem: Mapping[str, Any], index: int | str, should_create_new_obj: bool = False) -> Self:
        """Add columns before another one, named by name or number. As `col_append` otherwise."""
        self._must_have_columns()
        names = self.col_names()
        place = names.index(columns.known(names, index, self.name))
        added = columns.new_columns(elem, len(self))
        return self._with(columns.WidenedSource(self._seen, added, place), should_create_new_obj)

    def col_map(self, op: Callable[[dict[str, Any]], Mapping[str, Any]], should_create_new_obj: bool = False) -> Self:
        """Make each column what a function returns for it.

        op: gets `{"name": [all values]}` and returns one such, or several, with as many values. The columns are in
        memory then.
        """
        self._must_have_columns()
        made: dict[str, Any] = {}
        for name, values in self.col_list().items():
            result = op({name: values})
            if not isinstance(result, Mapping):
                raise InvalidArgumentError(f"a function of columns returns a dict of them, not {result!r:.60}")
            made.update(result)
        rows = columns.rows_of(columns.new_columns(made, len(self)))
        format = "table" if self.is_dataset_grouped() else None
        return self._with(MemoryDataSource(rows, format=format, name=self.name), should_create_new_obj)

    def col_filter(self, op: Callable[[dict[str, Any]], Any], should_create_new_obj: bool = False) -> Self:
        """Keep the columns for which a function returns something true. op: gets `{"name": [all values]}`."""
        kept = [name for name, values in self.col_list().items() if op({name: values})]
        return self.select_columns(kept, should_create_new_obj)

    def mean(self, column: str, skip_nulls: bool = True) -> float | None:
        """The average of a column of numbers; None where there are none, or nulls that are not skipped."""
        return columns.mean(self[column], column, skip_nulls=skip_nulls)

    def quantile(
        self,
        column: str,
        q: float | Sequence[float] = 0.5,
        interpolation: Interpolation = "linear",
        skip_nulls: bool = True,
    ) -> Sequence[float | None]:
        """The values of a column below which given shares of it are, each from 0 to 1. One for each share."""
        shares = [q] if isinstance(q, (int, float)) else q
        return columns.quantiles(self[column], column, shares, interpolation, skip_nulls=skip_nulls)

    def min(self, column: str, skip_nulls: bool = True) -> Any:
        """The smallest value of a column; None where there are none, or nulls that are not skipped."""
        return columns.extreme(min, self[column], column, skip_nulls=skip_nulls)

    def max(self, column: str, skip_nulls: bool = True) -> Any:
        """The largest value of a column; None where there are none, or nulls that are not skipped."""
        return columns.extreme(max, self[column], column, skip_nulls=skip_nulls)

    def _known(self, wanted: Iterable[int | str]) -> Names:
        names = self.col_names()
        return [columns.known(names, one, self.name) for one in wanted]

    def _with_parts(self, change: Callable[[Mapping[str, Any]], dict[str, Any]], anew: bool) -> Self:
        format = "table" if self.is_dataset_grouped() else None
        return self._with(mapped(self._seen, columns.each_part(change), format=format), anew)

    def __delitem__(self, key: int | slice | str | Sequence[int] | Sequence[str]) -> None:
        """Take out a row, several rows, or columns."""
        if isinstance(key, slice):
            key = range(len(self))[key]
        if isinstance(key, str) or (isinstance(key, Sequence) and key and isinstance(key[0], str)):
            self.col_delete(key)
        else:
            self.delete(key)  # type: ignore[arg-type]  # one position, or all of them

    # --- checking -------------------------------------------------------------------------------------------------

    def validate(self, *, against: Table | None = None, **options: Any) -> Report:
        """Read all rows and report everything that is wrong or odd, each with its place and reason.

        against: another dataset, usually the one to evaluate with: rows that are in both are warned of.
        options: as `qianfan.dataset.checking.check` takes them: `limit`, `duplicates`, `statistics`, `rules`.

        The report is false when there are errors; `report.raise_for_problems()` raises them.
        """
        other = {} if against is None else {"against": against.local_source}
        return self.local_source.validate(**other, **options)

    def fix(self, path: str | Path, **options: Any) -> FixReport:
        """Write a corrected copy to another file, and report what was changed and what was left out.

        options: as `qianfan.dataset.checking.fix` takes them.
        """
        from qianfan.dataset.checking import fix  # only where it is used

        return fix(self.local_source, path, **options)

    def stats(self) -> Statistics:
        """What the rows are like: how many, how long, how many turns; estimated tokens."""
        from qianfan.dataset.checking import stats  # only where it is used

        return stats(self.local_source)

"""Tables in memory as rows: frames of pandas and polars, Arrow tables, Hugging Face datasets.

None of these libraries is imported here: whoever has such a table has the library. Rows are made in batches as they are
asked for; a null is a missing value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qianfan.dataset.reading import RawRow
from qianfan.dataset.reading.columns import BATCH, pyarrow, table_rows, typed_row
from qianfan.dataset.sources import LocalSource
from qianfan.errors import InvalidArgumentError


class _Table(LocalSource):
    """A table that knows its length and gives any stretch of its rows.

    columns: the names of its columns. name: what it is called.
    """

    def __init__(self, table: Any, columns: Iterable[Any], format: str | None, name: str = "") -> None:
        self.name = f"{name or type(table).__name__} in memory"
        names = [str(column) for column in columns]
        twice = next((column for column in names if names.count(column) > 1), None)
        if twice is not None:
            raise InvalidArgumentError(f"{self.name}: two columns are named {twice!r}; rename one of them")
        self._table = table
        self._kept: tuple[int, list[RawRow]] = (0, [])
        self.find_shape(format)

    @abstractmethod
    def _stretch(self, begin: int) -> Iterator[Mapping[str, Any]]:
        """The rows from a position on, at most BATCH of them."""

    def raw_rows(self) -> Iterator[RawRow]:
        for begin in range(0, len(self), BATCH):
            yield from self._rows_from(begin)

    def raw_row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        begin, rows = self._kept
        if not begin <= position < begin + len(rows):
            begin = position - position % BATCH
            rows = [*self._rows_from(begin)]
            self._kept = begin, rows
        return rows[position - begin]

    def _rows_from(self, begin: int) -> Iterator[RawRow]:
        for number, row in enumerate(self._stretch(begin), start=begin + 1):
            yield typed_row(number, [str(name) for name in row], [*row.values()])

    def __len__(self) -> int:
        return len(self._table)

    @property
    def known_length(self) -> int:
        return len(self)


class _Pandas(_Table):
    def _stretch(self, begin: int) -> Iterator[Mapping[str, Any]]:
        return iter(self._table.iloc[begin : begin + BATCH].to_dict(orient="records"))


class _Polars(_Table):
    def _stretch(self, begin: int) -> Iterator[Mapping[str, Any]]:
        return iter(self._table.slice(begin, BATCH).to_dicts())


class _Streamed(_Table):
    """Rows that came one by one, and only once."""

    def _stretch(self, begin: int) -> Iterator[Mapping[str, Any]]:
        return iter(self._table[begin : begin + BATCH])


class _HuggingFace(_Table):
    def _stretch(self, begin: int) -> Iterator[Mapping[str, Any]]:
        columns: Mapping[str, list[Any]] = self._table[begin : begin + BATCH]
        return (dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))


class _Arrow(_Table):
    def _stretch(self, begin: int) -> Iterator[Mapping[str, Any]]:
        return iter(self._table.slice(begin, BATCH).to_pylist())

    def raw_rows(self) -> Iterator[RawRow]:
        # A slice that spans the parts of a table costs a search for each; whole batches do not.
        begin = 0
        for batch in self._table.to_batches():
            yield from table_rows(batch, begin)
            begin += batch.num_rows


def frame_source(table: Any, format: str | None = None) -> LocalSource:
    """The rows of a table in memory, made in batches as they are asked for; nulls are missing values.

    table: a frame of pandas or polars (lazy ones are collected), an Arrow table or reader, or whatever else gives an
        Arrow stream, a Hugging Face dataset; one that is streamed is read into memory.

    Raises InvalidArgumentError for anything else and for a dataset of several splits, MissingExtraError for an Arrow
    stream without pyarrow, and what `find_shape` raises.
    """
    kind: Any = type(table)
    library = kind.__module__.partition(".")[0]
    if library == "datasets" and kind.__name__ in _HUGGING_FACE:
        return _of_hugging_face(table, format)
    if library == "polars" and kind.__name__ == "LazyFrame":
        table = table.collect(engine="streaming")
        kind = type(table)
    if library in ("pandas", "polars") and kind.__name__ == "DataFrame":
        return (_Pandas if library == "pandas" else _Polars)(table, table.columns, format)
    if hasattr(table, "__arrow_c_stream__") and kind.__name__ not in ("Series", "ChunkedArray"):
        # A reader can be read once only, and rows are asked for more often.
        whole = pyarrow("Arrow tables").RecordBatchReader.from_stream(table).read_all()
        return _Arrow(whole, whole.column_names, format, kind.__name__)
    raise InvalidArgumentError(
        f"no rows in a {kind.__module__}.{kind.__qualname__}; a frame of pandas or polars, an Arrow table or a Hugging "
        "Face dataset is needed"
    )


_HUGGING_FACE = ("Dataset", "IterableDataset", "DatasetDict", "IterableDatasetDict")


def _of_hugging_face(table: Any, format: str | None) -> LocalSource:
    if isinstance(table, Mapping):
        splits: Mapping[Any, Any] = table
        names = ", ".join(map(repr, splits))
        one = next(iter(splits), "train")
        raise InvalidArgumentError(f"the dataset has several splits: {names}; give one of them, as in dataset[{one!r}]")
    if hasattr(table, "__len__"):
        # What the dataset would turn rows into, such as tensors, is undone.
        return _HuggingFace(table.with_format(None), table.column_names, format)
    return _Streamed([*table], (), format, type(table).__name__)

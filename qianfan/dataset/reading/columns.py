"""Tables by columns: Parquet by DuckDB, Arrow files by pyarrow. Rows come in batches; nulls are missing values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qianfan.dataset.reading.cells import NoJson, plain, row_of_cells
from qianfan.dataset.reading.content import Content
from qianfan.dataset.reading.files import Blob
from qianfan.dataset.reading.json_text import BadJson, loads
from qianfan.dataset.reading.places import RawRow, RowProblem
from qianfan.dataset.shapes import path_text
from qianfan.errors import DataFileError, MissingExtraError

if TYPE_CHECKING:
    import duckdb

BATCH = 1000
"""Rows that are in memory at a time."""


def typed_row(number: int, names: Sequence[str], cells: Sequence[Any]) -> RawRow:
    """A row of a typed table, or the problem that one of its values has no form in JSON."""
    try:
        value = plain(dict(zip(names, cells, strict=True)))
    except NoJson as error:
        fix = "take the column out, or write its values as texts"
        problem = RowProblem(
            number, 0, f"holds {error.kind}, which JSON cannot", path_text(error.path), "wrong-type", "", fix
        )
        return RawRow(number, 0, "", problem=problem)
    return RawRow(number, 0, "", row_of_cells([*value], value.values()))


class Batched(Content):
    """A table that knows its length and gives any stretch of its rows; the stretch read last is kept."""

    def __init__(self) -> None:
        self._length: int | None = None
        self._kept: tuple[int, list[RawRow]] = (0, [])

    @abstractmethod
    def count(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def stretch(self, begin: int) -> list[RawRow]:
        """The rows from a position on, at most BATCH of them."""

    def row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        begin, rows = self._kept
        if not begin <= position < begin + len(rows):
            begin = position - position % BATCH
            rows = self.stretch(begin)
            self._kept = begin, rows
        return rows[position - begin]

    def __len__(self) -> int:
        if self._length is None:
            self._length = self.count()
        return self._length

    @property
    def known_length(self) -> int | None:
        return self._length


class _Columns:
    """The columns of a result: their names, and which of them hold JSON as text, as Parquet can say."""

    def __init__(self, result: duckdb.DuckDBPyConnection) -> None:
        columns = result.description or []
        self._names = [str(column[0]) for column in columns]
        self._json = [position for position, column in enumerate(columns) if str(column[1]) == "JSON"]

    def row(self, number: int, cells: Sequence[Any]) -> RawRow:
        values = list(cells)
        for position in self._json:
            if values[position] is None:
                continue
            try:
                values[position] = loads(values[position].encode("utf-8"))
            except BadJson as bad:
                name = self._names[position]
                problem = RowProblem(number, 0, bad.reason, name, bad.rule, bad.found, bad.fix)
                return RawRow(number, 0, "", problem=problem)
        return typed_row(number, self._names[: len(values)], values)


class Parquet(Batched):
    """A Parquet file."""

    def __init__(self, blob: Blob) -> None:
        super().__init__()
        self._blob = blob

    def rows(self) -> Iterator[RawRow]:
        with self._query("SELECT * FROM read_parquet(?, hive_partitioning=false)") as result:
            table = _Columns(result)
            number = 0
            while batch := result.fetchmany(BATCH):
                for cells in batch:
                    number += 1
                    yield table.row(number, cells)

    def count(self) -> int:
        with self._query("SELECT num_rows FROM parquet_file_metadata(?)") as result:
            found = result.fetchone()
        return int(found[0]) if found else 0

    def stretch(self, begin: int) -> list[RawRow]:
        query = (
            "SELECT * FROM read_parquet(?, hive_partitioning=false, file_row_number=true) "
            "WHERE file_row_number BETWEEN ? AND ?"
        )
        with self._query(query, begin, begin + BATCH - 1) as result:
            table = _Columns(result)
            found = sorted(result.fetchall(), key=lambda cells: cells[-1])
        return [table.row(cells[-1] + 1, cells[:-1]) for cells in found]

    @contextmanager
    def _query(self, query: str, *more: int) -> Generator[duckdb.DuckDBPyConnection, None, None]:
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtraError("Parquet files need DuckDB: pip install 'qianfan[data]'") from error
        before = self._blob.state()
        path = str(self._blob.on_disk())
        # The path is a pattern to DuckDB.
        for sign in "[*?":
            path = path.replace(sign, f"[{sign}]")
        # A connection of its own: the shared one belongs to whoever else uses DuckDB in this process.
        with duckdb.connect(config={"threads": 1}) as connection:
            try:
                yield connection.execute(query, [path, *more])
            except duckdb.Error as error:
                reason = str(error).split("\n", 1)[0]
                raise DataFileError(
                    f"data file {self._blob.name} is no Parquet file that can be read: {reason}", path=self._blob.name
                ) from error
        self._blob.check_unchanged(before)


class Arrow(Batched):
    """An Arrow IPC file or stream, also called Feather."""

    def __init__(self, blob: Blob) -> None:
        super().__init__()
        self._blob = blob

    def rows(self) -> Iterator[RawRow]:
        number = 0
        with self._batches() as batches:
            for batch in batches:
                yield from table_rows(batch, number)
                number += batch.num_rows

    def count(self) -> int:
        with self._batches() as batches:
            return sum(batch.num_rows for batch in batches)

    def stretch(self, begin: int) -> list[RawRow]:
        found: list[RawRow] = []
        passed = 0
        with self._batches() as batches:
            for batch in batches:
                first = max(begin - passed, 0)
                if first < batch.num_rows:
                    found += table_rows(batch.slice(first, BATCH - len(found)), passed + first)
                passed += batch.num_rows
                if len(found) == BATCH:
                    break
        return found

    @contextmanager
    def _batches(self) -> Generator[Iterator[Any], None, None]:
        pa = pyarrow("Arrow files")
        before = self._blob.state()
        path = str(self._blob.on_disk())
        try:
            with pa.memory_map(path) as file:
                try:
                    reader = pa.ipc.open_file(file)
                except pa.ArrowInvalid:
                    file.seek(0)
                    yield iter(pa.ipc.open_stream(file))
                else:
                    yield (reader.get_batch(position) for position in range(reader.num_record_batches))
        except (pa.ArrowException, OSError) as error:
            raise DataFileError(
                f"data file {self._blob.name} is no Arrow file that can be read: {error}", path=self._blob.name
            ) from error
        self._blob.check_unchanged(before)


def pyarrow(purpose: str) -> Any:
    """The module. Raises MissingExtraError that says what it is needed for."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(f"{purpose} need pyarrow: pip install pyarrow") from error
    return pa


def table_rows(batch: Any, begin: int) -> Iterator[RawRow]:
    """The rows of an Arrow table or batch as they come, numbered on from `begin`."""
    for start in range(0, batch.num_rows, BATCH):
        piece = batch.slice(start, BATCH)
        # What a damaged file says about lengths is believed otherwise, and takes the process down.
        piece.validate(full=True)
        rows: list[Mapping[str, Any]] = piece.to_pylist()
        for number, row in enumerate(rows, start=begin + start + 1):
            yield typed_row(number, [*row], [*row.values()])

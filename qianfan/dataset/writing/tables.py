"""Rows as tables: CSV and TSV by the standard library, Parquet and Arrow by DuckDB.

A table has the columns of all its rows, which are known when the last row is. So rows go into a temporary file of lines
first, whatever their number; no more than some of them are ever in memory.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading.cells import PACKED_COLUMN
from qianfan.dataset.reading.columns import pyarrow
from qianfan.dataset.writing.appearing import part_of, workshop
from qianfan.dataset.writing.kinds import Kind, kind_with, quoted, sql_type
from qianfan.dataset.writing.values import Unwritable, encoded, json_text
from qianfan.errors import DataFileError, InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    import duckdb

Blocks: TypeAlias = Iterator[bytes]

_ROWS_AT_A_TIME = 1_000
_BLOCK = 1 << 20
_MEMORY = 1 << 28
"""Bytes that DuckDB may take, beside its buffers for the longest line."""
_GROUP_BYTES = 1 << 26
"""Of the lines whose rows make one group of a Parquet file: DuckDB keeps a group in memory until it is written."""


@dataclass(frozen=True, slots=True)
class _Spool:
    """Rows in a temporary file of lines, in a folder for such files.

    columns: the kind of what each holds, in the order in which they came. longest: bytes of the longest line.
    """

    path: Path
    columns: Mapping[str, Kind]
    rows: int
    longest: int

    @property
    def folder(self) -> Path:
        return self.path.parent

    def lines(self) -> Iterator[Mapping[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                yield json.loads(line)


@contextmanager
def _spooled(values: Iterable[Any], path: Path) -> Generator[_Spool, None, None]:
    """Put the rows of the table at a path aside. Raises Unwritable."""
    columns: dict[str, Kind] = {}
    rows = longest = 0
    with workshop(path) as folder:
        lines = folder / "rows.jsonl"
        with part_of(path, lines) as file:
            for row in map(_columns_of, values):
                line = encoded(json_text(row)) + b"\n"
                file.write(line)
                _note_kinds(row, columns)
                rows += 1
                longest = max(longest, len(line))
        yield _Spool(lines, columns, rows, longest)


def _note_kinds(row: Mapping[str, Any], columns: dict[str, Kind]) -> None:
    try:
        for name, value in row.items():
            columns[name] = kind_with(columns.get(name), value)
    except RecursionError as error:
        raise Unwritable("is nested too deeply for a table") from error


def _columns_of(value: Any) -> Mapping[str, Any]:
    """A row as the cells of a table by the names of their columns."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    return {"text": value} if isinstance(value, str) else {PACKED_COLUMN: json_text(value)}


# --- tables as text ---------------------------------------------------------------------------------------------------


@contextmanager
def _delimited(values: Iterable[Any], path: Path, *, delimiter: str, head: str) -> Generator[Blocks, None, None]:
    with _spooled(values, path) as spool:
        yield _records(spool, delimiter, head)


def _records(spool: _Spool, delimiter: str, head: str) -> Blocks:
    text = io.StringIO(newline="")
    text.write(head)
    names = [*spool.columns]
    # With this line end the module quotes every kind of line break inside a cell, in all versions of Python.
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    # In quotes, the name of a lone column is no header of several with another delimiter.
    all_quoted = csv.writer(text, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    (all_quoted if len(names) == 1 else writer).writerow(names)
    for row in spool.lines():
        writer.writerow([_cell(row.get(name)) for name in names])
        if text.tell() > _BLOCK:
            yield encoded(text.getvalue())
            text.seek(0)
            text.truncate()
    yield encoded(text.getvalue())


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json_text(value)


# --- typed tables -----------------------------------------------------------------------------------------------------


@contextmanager
def _parquet(values: Iterable[Any], path: Path) -> Generator[Blocks, None, None]:
    with _spooled(values, path) as spool:
        made = spool.folder / "table.parquet"
        with _table(spool, path) as (table, _):
            rows = _GROUP_BYTES * spool.rows // spool.path.stat().st_size
            table.write_parquet(str(made), compression="zstd", row_group_size=max(rows, 1))
        yield _blocks_of(made)


def _blocks_of(path: Path) -> Blocks:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


@contextmanager
def _arrow(values: Iterable[Any], path: Path) -> Generator[Blocks, None, None]:
    pa = pyarrow("Arrow files")
    with _spooled(values, path) as spool, _table(spool, path) as (table, types):
        cells = ", ".join(
            f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" if kind == "JSON" else quoted(name)
            for name, kind in types.items()
        )
        yield _messages(pa, _batches(table.project(cells)))


def _batches(table: Any) -> Any:
    """A reader of a table in batches, which otherwise have a million rows."""
    # The second name is that of DuckDB before version 2.
    way = table.to_arrow_reader if hasattr(table, "to_arrow_reader") else table.fetch_record_batch
    return way(_ROWS_AT_A_TIME)


def _messages(pa: Any, reader: Any) -> Blocks:
    """An Arrow file of the batches of a reader, in the pieces that the library writes."""
    sink = _Sink()
    with pa.ipc.new_file(pa.PythonFile(sink, "w"), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """A file to write to, whose content is taken from it piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any, /) -> int:
        self._pieces.append(bytes(data))
        self._size += len(self._pieces[-1])
        return len(self._pieces[-1])

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


@contextmanager
def _table(spool: _Spool, path: Path) -> Generator[tuple[duckdb.DuckDBPyRelation, Mapping[str, str]], None, None]:
    """The rows as a table of DuckDB, and the types of its columns.

    Raises InvalidArgumentError for rows that make no table, DataFileError when there is no room for it.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("writing Parquet and Arrow files needs DuckDB: pip install 'qianfan[data]'") from error
    lines, size = str(spool.path), max(spool.longest, _BLOCK)
    types = _types(spool, path)
    try:
        # Rows stay in order by default. The memory is bounded: what does not fit waits in the folder.
        with duckdb.connect() as connection:
            connection.execute(f"SET memory_limit = '{_MEMORY + 8 * size}B'; SET threads = 1")
            connection.execute("SET temp_directory = ?", [str(spool.folder)])
            yield (
                connection.read_json(lines, columns=types, format="newline_delimited", maximum_object_size=size),
                types,
            )
    except duckdb.Error as error:
        reason = str(error).split("\n", 1)[0]
        raise DataFileError(f"{path} cannot be written: {reason}", path=str(path)) from error


def _types(spool: _Spool, path: Path) -> Mapping[str, str]:
    """DuckDB's type for each column."""
    if not spool.columns:
        raise InvalidArgumentError(f"{path}: a table needs rows with columns, and there are none")
    known: dict[str, str] = {}
    for name in spool.columns:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise InvalidArgumentError(
                f"{path}: the columns {other!r} and {name!r} differ only in case; rename one of them, or use .jsonl"
            )
    return {name: sql_type(kind) or "JSON" for name, kind in spool.columns.items()}


TABLES: Mapping[FormatType, Callable[[Iterable[Any], Path], AbstractContextManager[Blocks]]] = {
    FormatType.Csv: partial(_delimited, delimiter=",", head="\ufeff"),
    FormatType.Tsv: partial(_delimited, delimiter="\t", head=""),
    FormatType.Parquet: _parquet,
    FormatType.Arrow: _arrow,
}
"""How to make the content of a table out of rows: it can be taken inside the block."""

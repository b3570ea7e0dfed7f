"""Rows into files and folders, which appear when they are complete.

| format | a row becomes |
| --- | --- |
| `.jsonl` | a line of JSON |
| `.json` | an element of an array, on a line of its own |
| `.txt` | a line, if it is a text; with `as_folder` a file of its own in a folder |
| `.csv`, `.tsv` | a record of a table, what is no text as JSON; CSV begins with a byte order mark, for Excel |
| `.parquet`, `.arrow` | a row of a typed table, by DuckDB; values without a common type as JSON |
| images | an image, and a `.json` file beside it with its description |

In a table a text stands in the column `text`, and a list of turns as JSON in the column `_pack`. Names that end in
`.gz` are packed, and one that ends in `.zip` is an archive with the one file in it.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from qianfan._sync import stop_if_cancelled
from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading.formats import known_format
from qianfan.dataset.rows import Row
from qianfan.dataset.writing.appearing import appearing_folder, atomically
from qianfan.dataset.writing.pictures import write_pictures
from qianfan.dataset.writing.tables import TABLES
from qianfan.dataset.writing.values import Numbered, Unwritable, as_text, encoded, json_text
from qianfan.errors import InvalidArgumentError

__all__ = ["atomically", "write_blocks", "write_pictures", "write_rows", "write_values"]

_BLOCKS_BETWEEN_LOOKS = 100


def write_rows(rows: Iterable[Row], path: Path, file_format: FormatType, *, as_folder: bool = False) -> int:
    """Write rows in the platform's form; otherwise as `write_values`."""
    return write_values((row.to_json() for row in rows), path, file_format, as_folder=as_folder)


def write_values(values: Iterable[Any], path: Path, file_format: FormatType, *, as_folder: bool = False) -> int:
    """Write JSON values, one for each row, and return how many there are.

    as_folder: each text is a file of its own, `0.txt` and so on, in a folder or zip named `path`.

    The file is written beside its place and moved there in the end, so one that is being read can be written to, and
    after an error nothing is left. Raises InvalidArgumentError when the format cannot hold the rows, DataFileError
    when the file cannot be written, MissingExtraError when `.parquet` or `.arrow` needs a library that is not there.
    """
    rows = Numbered(values)
    try:
        if as_folder:
            _write_texts(rows, path, file_format)
        elif file_format in _TEXTS:
            write_blocks(map(encoded, _TEXTS[file_format](rows)), path, file_format)
        elif file_format in TABLES:
            with TABLES[file_format](rows, path) as blocks:
                write_blocks(blocks, path, file_format)
        else:
            raise InvalidArgumentError(f"{path}: {_NOT_WRITTEN[file_format]}")
    except Unwritable as error:
        raise InvalidArgumentError(f"{path} cannot be written: row {rows.count} {error}") from error
    return rows.count


_NOT_WRITTEN: Mapping[FormatType, str] = {
    FormatType.Excel: "workbooks of Excel can be read, not written; save a .csv file, which Excel opens",
    FormatType.Text2Image: "only rows that name images can be saved as a folder or zip of images",
}


def write_blocks(blocks: Iterable[bytes], path: Path, file_format: FormatType) -> None:
    """Write a file out of pieces of its content, packed where its name says so; it appears as `atomically` says.

    Raises DataFileError, and whatever making the pieces raises.
    """
    with atomically(path) as target, _packed(target, path, file_format) as file:
        for number, block in enumerate(blocks):
            if number % _BLOCKS_BETWEEN_LOOKS == 0:
                stop_if_cancelled()
            file.write(block)


@contextmanager
def _packed(file: IO[bytes], path: Path, file_format: FormatType) -> Generator[IO[bytes], None, None]:
    """Where to write what the name of a file says is packed."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            yield cast("IO[bytes]", packed)
    elif suffix == ".zip":
        name = path.stem if known_format(path.stem) is file_format else f"{path.stem}.{file_format.value}"
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(name, "w", force_zip64=True) as member,
        ):
            yield member
    else:
        yield file


# --- values as text ---------------------------------------------------------------------------------------------------


def _lines(values: Iterable[Any]) -> Iterator[str]:
    return (json_text(value) + "\n" for value in values)


def _array(values: Iterable[Any]) -> Iterator[str]:
    opening = "[\n"
    for value in values:
        yield opening + json_text(value)
        opening = ",\n"
    yield "[]\n" if opening == "[\n" else "\n]\n"


def _plain_lines(values: Iterable[Any]) -> Iterator[str]:
    for text in map(as_text, values):
        if "\n" in text or "\r" in text:
            raise Unwritable("has line breaks, and so cannot be one line of a .txt file; use .jsonl")
        yield text + "\n"


_TEXTS: Mapping[FormatType, Callable[[Iterable[Any]], Iterator[str]]] = {
    FormatType.Jsonl: _lines,
    FormatType.Json: _array,
    FormatType.Text: _plain_lines,
}


def _write_texts(values: Iterable[Any], path: Path, file_format: FormatType) -> None:
    if file_format is not FormatType.Text:
        raise InvalidArgumentError(f"{path}: only plain texts can be saved as a folder of files; use .txt")
    with appearing_folder(path) as folder:
        for number, value in enumerate(values):
            with folder.file(f"{number}.txt") as file:
                file.write(encoded(as_text(value)))

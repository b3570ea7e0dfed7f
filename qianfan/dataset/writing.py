"""Rows into files: the platform's lines, a JSON array, or plain text."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from qianfan.dataset.consts import FormatType
from qianfan.dataset.rows import Row, Text
from qianfan.errors import InvalidArgumentError


def write_rows(rows: Iterable[Row], path: Path, file_format: FormatType) -> int:
    """Write rows to a file that appears when it is complete, and return how many there are.

    Raises InvalidArgumentError when the format cannot hold them.
    """
    if file_format is FormatType.Json:
        return _replace(path, lambda file: _write_array(rows, file))
    return _replace(path, lambda file: sum(file.write(_line(row, file_format)) > 0 for row in rows))


def _line(row: Row, file_format: FormatType) -> str:
    if file_format is not FormatType.Text:
        return _json(row) + "\n"
    if not isinstance(row, Text):
        raise InvalidArgumentError("only plain texts can be saved as .txt; use .jsonl")
    if "\n" in row.text:
        raise InvalidArgumentError("a text with line breaks cannot be one line of a .txt file; use .jsonl")
    return row.text + "\n"


def _write_array(rows: Iterable[Row], file: IO[str]) -> int:
    count = 0
    for count, row in enumerate(rows, start=1):
        file.write(("[\n" if count == 1 else ",\n") + _json(row))
    file.write("\n]\n" if count else "[]\n")
    return count


def _json(row: Row) -> str:
    return json.dumps(row.to_json(), ensure_ascii=False)


def _replace(path: Path, write: Callable[[IO[str]], int]) -> int:
    # Written beside its place and moved there, so that a file that is being read can be saved onto itself.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            count = write(file)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return count


@contextmanager
def upload_file(rows: Iterable[Row], *, as_archive: bool) -> Generator[Path, None, None]:
    """A temporary file in a form that the platform imports.

    as_archive: plain texts go up as a zip with one file each, anything else as lines of JSON.
    """
    with tempfile.TemporaryDirectory(prefix="qianfan-") as folder:
        path = Path(folder) / ("data.zip" if as_archive else "data.jsonl")
        if as_archive:
            _write_archive(rows, path)
        else:
            write_rows(rows, path, FormatType.Jsonl)
        yield path


def _write_archive(rows: Iterable[Row], path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, row in enumerate(rows):
            archive.writestr(f"{number}.txt", row.text if isinstance(row, Text) else _json(row))

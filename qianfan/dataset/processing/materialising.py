"""Rows that are expensive to make, made once."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from qianfan._sync import stop_if_cancelled
from qianfan.dataset.consts import FormatType
from qianfan.dataset.lanes import converted
from qianfan.dataset.processing._derived import opened
from qianfan.dataset.processing.mapping import platform_shape
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.errors import DataFileError


def materialised(source: LocalSource) -> FileDataSource:
    """The rows of a source in the platform's form, written now into a temporary file.

    The file is there as long as the returned source is. Functions that the rows were made by are not called again.

    Raises ValidationError at the first row that cannot be read, DataFileError when there is no room for the file, and
    what the functions raise.
    """
    folder = Path(tempfile.mkdtemp(prefix="qianfan-"))
    try:
        rows = _written(source, folder / "rows.jsonl")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(rows, _remove, folder, os.getpid())
    return rows


def _written(source: LocalSource, path: Path) -> FileDataSource:
    try:
        with path.open("wb") as file:
            for block in converted(opened(source)):
                stop_if_cancelled()
                file.write(block)
    except OSError as error:
        why = error.strerror or str(error)
        raise DataFileError(f"the rows of {source.name} cannot be kept in {path}: {why}", path=str(path)) from error
    shape = platform_shape(source) or source.shape
    rows = FileDataSource(path, FormatType.Jsonl, format=None if shape is None else shape.name)
    rows.find_shape(None if shape is None else shape.name)
    rows.name = source.name
    return rows


def _remove(folder: Path, process: int) -> None:
    # A forked child has a copy of the source, but the file is its parent's.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)

"""Rows in another shape than the platform's, and datasets as files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qianfan.dataset.consts import DataFormat, FormatType
from qianfan.dataset.edits import shape_of_rows
from qianfan.dataset.images import Images
from qianfan.dataset.lanes import converted
from qianfan.dataset.shapes import RowFlaws, shape_named
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.dataset.writing import write_blocks, write_pictures, write_rows, write_values
from qianfan.errors import ValidationError


def in_shape(source: LocalSource, format: str) -> Iterator[Any]:
    """All rows as JSON values of a shape, such as `messages`.

    Raises InvalidArgumentError for a name that no shape has, ValidationError, with its place, for a row that cannot be
    read or holds what the shape has no place for.
    """
    shape = shape_named(format)

    def written() -> Iterator[Any]:
        for raw in source.raw_rows():
            row = source.read(raw)
            if isinstance(row, list):
                raise ValidationError(f"{source.name}: a row cannot be read", [str(problem) for problem in row])
            try:
                yield shape.write(row)
            except RowFlaws as error:
                place = ", ".join(
                    part for part in (raw.file, f"line {raw.line}" if raw.column else f"row {raw.line}") if part
                )
                problems = [f"{place}: {flaw}" for flaw in error.flaws]
                raise ValidationError(f"{source.name}: a row cannot be written as {format}", problems) from None

    return written()


def write(source: LocalSource, place: FileDataSource, format: str | None) -> FileDataSource:
    """Write all rows to a file, in another shape where one is named, and return that file.

    Rows that name images are saved with them where the place is a folder or an archive.
    """
    if format is None and source.data_format is DataFormat.PromptImage and _is_for_images(place):
        write_pictures(source.rows(), Images(source).opened, place.path)
        return FileDataSource(place.path, FormatType.Text2Image)
    file_format, path = place.file_format, place.path
    shape = shape_of_rows(source) if format is None else shape_named(format)
    if format is not None:
        write_values(in_shape(source, format), path, file_format, as_folder=place.save_as_folder)
    elif file_format is FormatType.Jsonl and not place.save_as_folder:
        write_blocks(converted(source), path, file_format)
    else:
        write_rows(source.rows(), path, file_format, as_folder=place.save_as_folder)
    name = shape.name if shape is not None and file_format in (FormatType.Json, FormatType.Jsonl) else format
    return FileDataSource(path, file_format, format=name, save_as_folder=place.save_as_folder)


def _is_for_images(place: FileDataSource) -> bool:
    return place.save_as_folder or place.path.suffix.lower() == ".zip" or place.file_format is FormatType.Text2Image

"""Which way to read which file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading.bundles import IMAGES, Pictures, Several, files_in
from qianfan.dataset.reading.columns import Arrow, Parquet
from qianfan.dataset.reading.content import Content
from qianfan.dataset.reading.delimited import Delimited
from qianfan.dataset.reading.files import Blob, FileBlob, GzipBlob, PackedBlob
from qianfan.dataset.reading.json_array import JsonArray
from qianfan.dataset.reading.lines import Lines, WholeTexts
from qianfan.dataset.reading.places import RawRow
from qianfan.dataset.reading.sheets import Sheet
from qianfan.errors import DataFileError, InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Opened:
    """What a path leads to. is_plain: whether it is one file that is not packed."""

    file_format: FormatType
    content: Content
    is_plain: bool

    def rows(self) -> Iterator[RawRow]:
        """All rows in order."""
        return self.content.rows()


_BY_SUFFIX = {f".{member.value}": member for member in FormatType if member is not FormatType.Text2Image} | {
    ".ndjson": FormatType.Jsonl,
    ".tab": FormatType.Tsv,
    ".feather": FormatType.Arrow,
    ".ipc": FormatType.Arrow,
    ".xls": FormatType.Excel,
}
_PACKED = (FormatType.Jsonl, FormatType.Json, FormatType.Csv, FormatType.Tsv, FormatType.Text)


def known_format(name: str) -> FormatType | None:
    """How a file of a name holds its rows, or None for a name that does not tell. `.gz` may follow."""
    path = Path(name.lower())
    if path.suffix == ".gz":
        inner = _BY_SUFFIX.get(path.with_suffix("").suffix)
        return inner if inner in _PACKED else None
    return _BY_SUFFIX.get(path.suffix)


def file_format_of(path: Path) -> FormatType:
    """How a file holds its rows, by the end of its name. Raises InvalidArgumentError for an unknown end."""
    found = known_format(path.name)
    if found is None:
        raise InvalidArgumentError(
            f"{path}: cannot tell the file format from {path.suffix!r}; use {', '.join(_BY_SUFFIX)}, "
            "or say file_format=…"
        )
    return found


def is_bundle(path: Path) -> bool:
    """Whether a path is a folder or a zip archive, whose name does not tell what is in it."""
    # Older versions of pathlib raise for names that the system does not take.
    return path.suffix.lower() == ".zip" or os.path.isdir(path)


def open_content(path: Path, file_format: FormatType | None = None, *, whole_texts: bool = False) -> Opened:
    """A way to the rows of a file, or of a folder or zip of files, of which only the list of names is read.

    file_format: by the end of the name when left out; of a folder or zip, only the files of that format are taken.
    whole_texts: whether a `.txt` file is one text, rather than one on each line.

    Raises InvalidArgumentError for a name that does not tell the format, DataFileError for a folder or an archive that
    cannot be read, holds no rows, or holds files of several formats, UnsafeArchiveError.
    """
    if is_bundle(path):
        return _open_bundle(path, files_in(path), file_format, whole_texts)
    if file_format is FormatType.Text2Image:
        raise DataFileError(f"{path}: images come in a folder or a zip archive", path=str(path))
    if file_format is None and not os.path.lexists(path):
        raise DataFileError(f"data file {path} does not exist", path=str(path))
    known = file_format or file_format_of(path)
    blob = FileBlob(path)
    is_packed = path.suffix.lower() == ".gz"
    content = _content_of(GzipBlob(blob) if is_packed else blob, known, whole_texts)
    return Opened(known, content, is_plain=not is_packed)


def _open_bundle(
    path: Path, files: Sequence[tuple[str, FileBlob | PackedBlob]], file_format: FormatType | None, whole_texts: bool
) -> Opened:
    found = {known for name, _ in files if (known := known_format(name)) is not None}
    has_images = any(name.lower().endswith(IMAGES) for name, _ in files)
    if file_format is FormatType.Text2Image or (file_format is None and has_images and found <= {FormatType.Json}):
        if not has_images:
            raise DataFileError(f"{path} holds no images; known: {', '.join(IMAGES)}", path=str(path))
        return Opened(FormatType.Text2Image, Pictures(files), is_plain=False)
    wanted = {file_format} if file_format is not None else found
    taken = [(name, blob) for name, blob in files if known_format(name) in wanted]
    if not taken:
        kind = f".{file_format.value} files" if file_format is not None else "files with rows"
        raise DataFileError(f"{path} holds no {kind}", path=str(path))
    if len(wanted) > 1:
        examples = {known_format(name): name for name, _ in reversed(taken)}
        kinds = ", ".join(sorted(f"{one.value} ({name})" for one, name in examples.items() if one is not None))
        raise DataFileError(
            f"{path} holds files of several formats: {kinds}; say which to take with file_format=…, or keep one kind",
            path=str(path),
        )
    (kind_of_all,) = wanted
    parts = [
        (name, _content_of(GzipBlob(blob) if name.lower().endswith(".gz") else blob, kind_of_all, whole_texts))
        for name, blob in taken
    ]
    return Opened(kind_of_all, Several(parts), is_plain=False)


def _content_of(blob: Blob, file_format: FormatType, whole_texts: bool) -> Content:
    match file_format:
        case FormatType.Text if whole_texts:
            return WholeTexts(blob)
        case FormatType.Json:
            return JsonArray(blob)
        case FormatType.Csv:
            return Delimited(blob)
        case FormatType.Tsv:
            return Delimited(blob, "\t")
        case FormatType.Parquet:
            return Parquet(blob)
        case FormatType.Arrow:
            return Arrow(blob)
        case FormatType.Excel:
            return Sheet(blob)
        case _:
            return Lines(blob, file_format)

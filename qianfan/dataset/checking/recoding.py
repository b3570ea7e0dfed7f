"""Files in another encoding, made readable: what is unequivocal, and what a user named."""

from __future__ import annotations

import codecs
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading import BOM
from qianfan.dataset.reading.encodings import foreign_encoding
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.errors import DataFileError, InvalidArgumentError

_TEXTS = (FormatType.Jsonl, FormatType.Json, FormatType.Csv, FormatType.Tsv, FormatType.Text)
_BLOCK = 1 << 20


@dataclass(slots=True)
class About:
    """What was done to make a file readable. encoding: of the lines in `lines`, which were not UTF-8."""

    notes: list[str] = field(default_factory=list[str])
    encoding: str = ""
    lines: array[int] = field(default_factory=lambda: array("Q"))

    def encoding_of(self, line: int) -> str:
        """The encoding a line was in, empty for UTF-8."""
        at = bisect_left(self.lines, line)
        return self.encoding if at < len(self.lines) and self.lines[at] == line else ""


@contextmanager
def readable(source: LocalSource, encoding: str | None) -> Generator[tuple[LocalSource, About], None, None]:
    """A source whose bytes are UTF-8, and what had to be done for that; what cannot be read stays for the reader.

    encoding: of lines that are not UTF-8. Raises InvalidArgumentError for an unknown one, or where the source is none
    that has an encoding, DataFileError when the file as a whole is not in the encoding that it begins with.
    """
    about = About()
    named = _known(encoding)
    if not isinstance(source, FileDataSource) or source.file_format not in _TEXTS or not source.path.is_file():
        if named is not None:
            raise InvalidArgumentError(f"{source.name}: only plain files of text have an encoding")
        yield source, about
        return
    with source.path.open("rb") as file:
        head = file.read(_BLOCK)
    whole = _whole_file_encoding(head, named)
    if whole is None and named is None:
        about.notes += _notes(head)
        if source.shape is None:
            source.open()
        yield source, about
        return
    with tempfile.TemporaryDirectory(prefix="qianfan-") as folder:
        copy = Path(folder) / source.path.name
        with source.path.open("rb") as original, copy.open("wb") as target:
            if whole is not None:
                _decode(original, target, whole, source.name)
                about.notes.append(f"read as {whole}, written as UTF-8")
            elif named is not None:
                about.encoding = named
                _decode_lines(original, target, about)
                about.notes += _notes(head)
        decoded = FileDataSource(copy, source.file_format, format=source.shape.name if source.shape else source.format)
        decoded.name = source.name
        decoded.open()
        yield decoded, about


def _known(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise InvalidArgumentError(f"unknown encoding {encoding!r}; for Chinese files it is often 'gb18030'") from None


def _whole_file_encoding(head: bytes, named: str | None) -> str | None:
    """An encoding in which line breaks are no single bytes, so that all must be decoded at once."""
    if named is not None and named.startswith(("utf-16", "utf-32")):
        return named
    found = foreign_encoding(head[:4])
    if found is None:
        return None
    name = found.lower()
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        return name
    return f"{name}-{'be' if head[0] == 0 else 'le'}"


def _notes(head: bytes) -> list[str]:
    notes = ["took away the byte order mark"] if head.startswith(BOM) else []
    return [*notes, "wrote line ends as \\n"] if b"\r\n" in head else notes


def _decode(original: IO[bytes], target: IO[bytes], encoding: str, name: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while block := original.read(_BLOCK):
            target.write(decoder.decode(block).encode("utf-8"))
        target.write(decoder.decode(b"", final=True).encode("utf-8"))
    except UnicodeError as error:
        raise DataFileError(f"data file {name} cannot be read as {encoding}: {error}", path=name) from error


def _decode_lines(original: IO[bytes], target: IO[bytes], about: About) -> None:
    for number, line in enumerate(original, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            try:
                target.write(line.decode(about.encoding).encode("utf-8"))
                about.lines.append(number)
                continue
            except UnicodeError:
                pass  # neither: left for the reader, who reports it
        target.write(line)

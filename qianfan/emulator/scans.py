"""Reading uploaded data: every line is checked against the template, and what a model could answer is kept."""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from qianfan.emulator.templates import BadRow, Row, Template

_KEPT_PAIRS = 50_000
_KEPT_PROBLEMS = 100
_SHOWN_TEXT = 200


@dataclass(frozen=True)
class BadLine:
    """One line that cannot be imported. number: from 1; text: its beginning."""

    file: str
    number: int
    text: str
    reason: str


@dataclass
class Scan:
    """What a file, or several, hold.

    pairs: question -> answer, the first 50,000; bad: the first 100 lines that break the template.
    """

    rows: int = 0
    annotated: int = 0
    characters: int = 0
    bytes: int = 0
    pairs: dict[str, str] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)

    @cached_property
    def by_question(self) -> dict[str, str]:
        """The pairs by `normal` question. Made once, so only for scans that are complete."""
        return {normal(question): answer for question, answer in self.pairs.items()}

    def add(self, row: Row) -> None:
        """Count an accepted row."""
        self.rows += 1
        self.annotated += row.annotated
        self.characters += row.characters
        if len(self.pairs) < _KEPT_PAIRS:
            self.pairs.update(row.pairs)

    def reject(self, line: BadLine) -> None:
        """Note a line that breaks the template."""
        if len(self.bad) < _KEPT_PROBLEMS:
            self.bad.append(line)

    @classmethod
    def together(cls, scans: Iterable[Scan]) -> Scan:
        """The counts and the bad lines of several scans, for data that comes in several files; without the pairs."""
        total = cls()
        for part in scans:
            total.rows += part.rows
            total.annotated += part.annotated
            total.characters += part.characters
            total.bytes += part.bytes
            total.bad = [*total.bad, *part.bad][:_KEPT_PROBLEMS]
        return total


def normal(text: str) -> str:
    """A text without what does not change a question: case, width, spaces at the ends, final punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split()).rstrip("?!.。 ")


def scan(name: str, content: bytes, template: Template) -> Scan:
    """Check one uploaded file, `.jsonl`, `.txt` or a `.zip` of these."""
    found = Scan(bytes=len(content))
    try:
        for file, text in files_in(name, content):
            _scan_file(file, text, template, found)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        found.reject(BadLine(name, 1, "", f"the archive cannot be read: {error}"))
    if not found.rows and not found.bad:
        found.reject(BadLine(name, 1, "", "the file holds no rows"))
    return found


def _is_zip(content: bytes) -> bool:
    return content[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def files_in(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The files that hold rows, by name: the members of an archive, or the uploaded file itself."""
    if not _is_zip(content):
        yield name, content
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            if not member.is_dir() and member.filename.endswith((".jsonl", ".txt", ".json")):
                yield member.filename, archive.read(member)


def is_one_row(name: str, template: Template) -> bool:
    """Whether a file is a single row as a whole, in place of one a line."""
    return template.data_format == "Text" and not name.endswith(".jsonl")


def _scan_file(name: str, content: bytes, template: Template, found: Scan) -> None:
    whole_file_is_a_row = is_one_row(name, template)
    lines: Iterable[tuple[int, bytes]] = [(1, content)] if whole_file_is_a_row else _lines(content)
    for number, line in lines:
        try:
            found.add(template.read_row(_parse(line, as_text=whole_file_is_a_row)))
        except BadRow as problem:
            found.reject(BadLine(name, number, line[:_SHOWN_TEXT].decode("utf-8", "replace"), str(problem)))


def parsed_lines(content: bytes, *, as_text: bool) -> Iterator[tuple[int, object]]:
    """(line number, value) of the rows of a file; as text the whole of it is one. Raises BadRow."""
    for number, line in [(1, content)] if as_text else _lines(content):
        yield number, _parse(line, as_text=as_text)


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(io.BytesIO(content), start=1):
        if line.strip():
            yield number, line.rstrip(b"\r\n")


def _parse(line: bytes, *, as_text: bool) -> object:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRow(f"not UTF-8: {error.reason} at byte {error.start}") from error
    if as_text:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadRow(f"not JSON: {error}") from error

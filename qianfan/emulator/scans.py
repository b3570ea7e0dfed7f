"""Reading uploaded data: every line is checked against the template, and what a model could answer is kept."""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

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
        if has_images(content, template):
            _scan_images(name, content, template, found)
        else:
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


def _scan_images(name: str, content: bytes, template: Template, found: Scan) -> None:
    for unit in images_in(content):
        if unit.image is None:
            found.reject(BadLine(unit.file, 1, unit.text[:_SHOWN_TEXT], "there is no image of the same name"))
            continue
        try:
            found.add(read_unit(unit, template))
        except BadRow as problem:
            found.reject(BadLine(unit.file, 1, unit.text[:_SHOWN_TEXT], str(problem)))


def refused_lines(name: str, content: bytes, template: Template, refused: Mapping[str, str]) -> Iterator[BadLine]:
    """The lines that hold one of some texts, as a review of contents finds them. refused: text -> what is said then."""
    if has_images(content, template):
        lines: Iterable[tuple[str, int, bytes]] = ((unit.file, 1, unit.content) for unit in images_in(content))
    else:
        lines = (
            (file, number, line)
            for file, text in files_in(name, content)
            for number, line in ([(1, text)] if is_one_row(file, template) else _lines(text))
        )
    for file, number, line in lines:
        shown = line.decode("utf-8-sig", "replace")
        reason = next((reason for text, reason in refused.items() if text in shown), None)
        if reason is not None:
            yield BadLine(file, number, shown[:_SHOWN_TEXT], reason)


# --- rows one by one ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unit:
    """One row as it lies in an uploaded file.

    file: the file or member that holds it. content: a line, a whole text, or what belongs to an image, empty without.
    whole: whether it is a file of its own. image: name and bytes of the image that the row is about.
    """

    file: str
    content: bytes
    whole: bool = False
    image: tuple[str, bytes] | None = None

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode("utf-8-sig", "replace")


_IMAGES = (".jpg", ".jpeg", ".png", ".bmp")


def has_images(content: bytes, template: Template) -> bool:
    """Whether rows are images in an archive, each with a file of the same name for what is said about it."""
    return template.data_format == "PromptImage" and _is_zip(content)


def units_in(name: str, content: bytes, template: Template) -> Iterator[Unit]:
    """The rows of a file that was scanned without a complaint."""
    if has_images(content, template):
        yield from images_in(content)
        return
    for file, text in files_in(name, content):
        if is_one_row(file, template):
            yield Unit(file, text, whole=True)
        else:
            yield from (Unit(file, line) for _, line in _lines(text))


def images_in(content: bytes) -> Iterator[Unit]:
    """The images of an archive with what is said about each, then what is said about none of them."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        paths = {PurePosixPath(member.filename): member for member in archive.infolist() if not member.is_dir()}
        said = {path.with_suffix(""): path for path in paths if path.suffix.lower() == ".json"}
        for path, member in paths.items():
            if path.suffix.lower() in _IMAGES:
                about = said.pop(path.with_suffix(""), None)
                text = archive.read(paths[about]) if about is not None else b""
                yield Unit(str(path), text, image=(path.name, archive.read(member)))
        for path in said.values():
            yield Unit(str(path), archive.read(paths[path]))


def read_unit(unit: Unit, template: Template) -> Row:
    """A row against its template. Raises BadRow."""
    if unit.image is not None and not unit.content:
        return Row(annotated=False)
    return template.read_row(value_of(unit))


def value_of(unit: Unit) -> object:
    """What a row says: the text, or the value of its JSON. Raises BadRow."""
    return _parse(unit.content, as_text=unit.whole)


def packed(units: Sequence[Unit], folder: str = "") -> tuple[str, bytes]:
    """(name, content) of a file of rows: lines where every row is one, else an archive that keeps their order.

    folder: of the members of an archive.
    """
    if all(not unit.whole and unit.image is None for unit in units):
        return "rows.jsonl", _joined(units)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in _members(units):
            archive.writestr(folder + name, text)
    return "rows.zip", content.getvalue()


def _members(units: Sequence[Unit]) -> Iterator[tuple[str, bytes]]:
    lines: list[Unit] = []
    for place, unit in enumerate(units):
        if unit.image is not None:
            suffix = PurePosixPath(unit.image[0]).suffix
            yield f"{place}{suffix}", unit.image[1]
            if unit.content:
                yield f"{place}.json", unit.content
        elif unit.whole:
            yield f"{place}.txt", unit.content
        else:
            lines.append(unit)
            if place + 1 == len(units) or units[place + 1].whole or units[place + 1].image:
                yield f"{place}.jsonl", _joined(lines)
                lines.clear()


def _joined(units: Iterable[Unit]) -> bytes:
    return b"".join(unit.content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n") + b"\n" for unit in units)


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

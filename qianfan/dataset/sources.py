"""Where rows come from on this machine: a file, or Python objects.

A source knows the shape of its rows and the kind of dataset they make. It reads them when asked and keeps none, except
those that came from memory.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from qianfan.dataset.consts import DataFormat, DataTemplateType, FormatType
from qianfan.dataset.reading import BOM, RawRow, RowProblem
from qianfan.dataset.reading.bundles import files_in
from qianfan.dataset.reading.files import FileBlob, errors_named
from qianfan.dataset.reading.formats import Opened, file_format_of, is_bundle, known_format, open_content
from qianfan.dataset.report import Report
from qianfan.dataset.rows import Row
from qianfan.dataset.shapes import TABLE, Flaw, RowFlaws, Shape, candidates, shape_named, stranger, why_unclear
from qianfan.errors import DataFileError, UnclearFormatError, ValidationError

PEEK = 100
"""Rows that are looked at to find out their shape; the first ones may be broken."""


class LocalSource(ABC):
    """Rows on this machine, in one shape.

    name: what messages call the source. shape: None while it holds no rows.
    template_type: the kind of dataset the rows make; None as long as no row could be read. data_format: the same in
        newer words, which tell pairs of answers from judged ones.
    """

    name: str
    shape: Shape | None = None
    template_type: DataTemplateType | None = None
    data_format: DataFormat | None = None
    _is_named = False

    @abstractmethod
    def raw_rows(self) -> Iterator[RawRow]:
        """All rows as they stand there, in order."""

    @abstractmethod
    def raw_row(self, position: int) -> RawRow:
        """The row at a position from 0. Raises IndexError."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def known_length(self) -> int | None:
        """How many rows there are, if that is known without reading."""
        return None

    def rows(self) -> Iterator[Row]:
        """All rows. Raises ValidationError at the first that cannot be read."""
        return (self._sure(raw) for raw in self.raw_rows())

    def row(self, position: int) -> Row:
        """The row at a position from 0. Raises IndexError, or ValidationError if it cannot be read."""
        return self._sure(self.raw_row(position))

    def validate(self, **options: Any) -> Report:
        """Read everything and report what is wrong, and what is odd. Takes the options of `checking.check`."""
        from qianfan.dataset.checking import check  # which is built on sources

        return check(self, **options)

    def find_shape(self, format: str | None) -> None:
        """Settle the shape and the kind of dataset from the first rows, or take the shape a user named.

        Raises ValidationError when the rows have no known shape or could have several.
        """
        self._settle(list(islice(self.raw_rows(), PEEK)), format)

    def _settle(self, first: Sequence[RawRow], format: str | None) -> None:
        self._is_named = format is not None
        if format is not None:
            self.shape = shape_named(format)
        elif first:
            self.shape = _detect(first, self.name)
        row = next(self._good(first), None)
        if row is not None:
            self.template_type, self.data_format = row.template_type, row.data_format

    def _good(self, raws: Iterable[RawRow]) -> Iterator[Row]:
        return (row for raw in raws if not isinstance(row := self.read(raw), list))

    def read(self, raw: RawRow) -> Row | list[RowProblem]:
        """A raw row of this source as a typed one, or everything that is wrong with it."""
        if raw.problem is not None or self.shape is None:
            return [raw.problem] if raw.problem is not None else []
        try:
            row = self.shape.read(raw.value)
        except RowFlaws as error:
            return [raw.locate(flaw) for flaw in error.flaws]
        flaw = self._mixed(raw.value, row)
        return row if flaw is None else [raw.locate(flaw)]

    def _mixed(self, value: Any, row: Row) -> Flaw | None:
        """What is wrong with a good row that is of another kind than the rest."""
        for kind, wanted in ((row.template_type, self.template_type), (row.data_format, self.data_format)):
            if kind is not None and wanted is not None and kind is not wanted:
                # Pairs and judged answers share the older name.
                names = [one.value if isinstance(one, DataFormat) else one.name for one in (kind, wanted)]
                reason = f"is a {names[0]} row among {names[1]} rows"
                return Flaw((), reason, "mixed-kinds", fix="put rows of one kind into a file")
        # Whoever names the format may take the questions of answered rows, and the like.
        return None if self._is_named or self.shape is None else stranger(self.shape, value)

    def _problems(self, raw: RawRow) -> list[RowProblem]:
        found = self.read(raw)
        return found if isinstance(found, list) else []

    def _sure(self, raw: RawRow) -> Row:
        row = self.read(raw)
        if isinstance(row, list):
            raise ValidationError(f"{self.name}: a row cannot be read", [str(problem) for problem in row])
        return row


def _detect(raws: Sequence[RawRow], name: str) -> Shape:
    """The one shape that a row has; a row that could have several leaves the question to the next."""
    unclear: list[RowProblem] = []
    possible: dict[str, None] = {}
    is_table = False
    for raw in raws:
        if raw.problem is not None:
            unclear.append(raw.problem)
            continue
        found = candidates(raw.value)
        if len(found) == 1 and found[0] is not TABLE:
            return found[0]
        is_table = is_table or found == [TABLE]
        found = [shape for shape in found if shape is not TABLE]
        possible |= dict.fromkeys(shape.name for shape in found)
        unclear.append(RowProblem(raw.line, raw.column, why_unclear(raw.value, found), file=raw.file))
    # A misspelt key makes any row one of a table, so that is what they are only where none is anything else.
    if is_table and not possible:
        return TABLE
    problems = [f"{problem}; {problem.fix}" if problem.fix else str(problem) for problem in unclear[:3]]
    if possible:
        raise UnclearFormatError(f"{name}: cannot tell what its rows are", problems, candidates=[*possible])
    raise ValidationError(f"{name}: cannot tell what its rows are", problems)


class FileDataSource(LocalSource):
    """A local file, or a folder or zip of files whose rows all have one shape. Making one reads nothing.

    path: a file with its format by the end of the name (`.jsonl`, `.json`, `.csv`, `.tsv`, `.txt`, `.parquet`,
        `.arrow`, `.xlsx`, …; those that are text also with `.gz`), a folder, or a `.zip`. Images with descriptions come
        in a folder or a zip.
    file_format: how the file holds its rows, by the end of its name when left out. Of a folder or zip, only the files
        of this format are taken; one that holds several kinds needs it.
    format: the shape of its rows, such as `alpaca`; found out when left out.
    save_as_folder: each text is a file of its own, in a folder or zip; else each line of a `.txt` file is one.
    """

    def __init__(
        self,
        path: str | Path,
        file_format: FormatType | str | None = None,
        *,
        format: str | None = None,
        save_as_folder: bool = False,
    ) -> None:
        self.path = Path(path)
        self.name = str(self.path)
        self.save_as_folder = save_as_folder
        self._named = None if file_format is None else FormatType(file_format)
        self.format = format
        if self._named is None and not is_bundle(self.path):
            self._named = _format_by_name(self.path)

    def open(self) -> None:
        """Make sure that the file can be read, and find out what its rows are from the first ones.

        Raises DataFileError for a file that is missing, unreadable, empty, damaged or not UTF-8 at all, and for a
        folder or zip of mixed kinds, UnsafeArchiveError, ValidationError when its rows have no known shape,
        UnclearFormatError when they could have several.
        """
        first = list(islice(self.raw_rows(), PEEK))
        if not first:
            raise DataFileError(f"data file {self.name} has no rows", path=self.name)
        problem = first[0].problem
        if problem is not None and problem.rule == "file-encoding":
            raise DataFileError(f"data file {self.name}: {problem.reason}", path=self.name, line=problem.line)
        is_text = self.file_format is FormatType.Text and self.format is None
        self._settle(first, "text" if is_text else self.format)

    @property
    def file_format(self) -> FormatType:
        """How the file holds its rows. Of a folder or zip that is looked up in it, which raises as `open` does.

        What is to be written holds lines, or plain texts as a folder, unless the name tells.
        """
        if self._named is not None:
            return self._named
        if self._is_still_empty and (self.save_as_folder or is_bundle(self.path)):
            return FormatType.Text if self.save_as_folder else FormatType.Jsonl
        return self._opened.file_format

    @property
    def _is_still_empty(self) -> bool:
        with errors_named(self.path):
            return not os.path.exists(self.path) or (os.path.isdir(self.path) and not os.listdir(self.path))

    @property
    def is_lines(self) -> bool:
        """Whether it is one plain file, not packed, with a JSON value a line."""
        return self._named is FormatType.Jsonl and self._opened.is_plain

    def can_go_up_as_it_is(self) -> bool:
        """Whether the file is what the platform imports, down to its first bytes."""
        own = ("dialogue", "preference", "query")
        if not self.is_lines or self.shape is None or self.shape.name not in own:
            return False
        with FileBlob(self.path).stream() as file:
            return file.read(len(BOM)) != BOM

    def fingerprint(self) -> str:
        """SHA-256 of the content, as 64 hexadecimal digits: of the file, or of the names and contents in a folder.

        Raises DataFileError, DataFileChangedError.
        """
        digest = sha256()
        for name, blob in files_in(self.path) if self.path.is_dir() else [("", FileBlob(self.path))]:
            if name:
                digest.update(f"{name}\0{blob.state().size}\0".encode("utf-8", "surrogateescape"))
            with blob.stream() as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
        return digest.hexdigest()

    def raw_rows(self) -> Iterator[RawRow]:
        return self._opened.content.rows()

    def raw_row(self, position: int) -> RawRow:
        return self._opened.content.row(position)

    def __len__(self) -> int:
        return len(self._opened.content)

    @property
    def known_length(self) -> int | None:
        return self._opened.content.known_length if "_opened" in self.__dict__ else None

    @cached_property
    def _opened(self) -> Opened:
        return open_content(self.path, self._named, whole_texts=self.save_as_folder)


def _format_by_name(path: Path) -> FormatType | None:
    """The format that a file's name tells, or None for a file that is not there, as reading it will say."""
    if known_format(path.name) is None and not os.path.exists(path):
        return None
    return file_format_of(path)


class MemoryDataSource(LocalSource):
    """Rows that are Python objects."""

    def __init__(self, values: Iterable[Any], *, format: str | None = None, name: str = "rows in memory") -> None:
        self.name = name
        self._values = list(values)
        self.find_shape(format)

    def raw_rows(self) -> Iterator[RawRow]:
        return (RawRow(number, 0, "", value) for number, value in enumerate(self._values, start=1))

    def raw_row(self, position: int) -> RawRow:
        return RawRow(position + 1, 0, "", self._values[position])

    def __len__(self) -> int:
        return len(self._values)

    @property
    def known_length(self) -> int | None:
        return len(self._values)

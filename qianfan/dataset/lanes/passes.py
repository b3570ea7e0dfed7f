"""The passes over a source: which lines are suspicious, what the rows become, and what they are known by."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import IO, NamedTuple, TypeAlias

from qianfan.dataset.consts import FormatType
from qianfan.dataset.lanes.crew import LARGE, MOST_WORKERS, can_work, processors, worked
from qianfan.dataset.lanes.cutting import Range, ranges
from qianfan.dataset.lanes.jobs import Converted, Digested, Result, Sifted, digest_of, hash16, platform_text
from qianfan.dataset.lanes.lean import LEAN_CHARS
from qianfan.dataset.lanes.working import Work
from qianfan.dataset.reading import BOM, RawRow, parse_line
from qianfan.dataset.reading.encodings import foreign_encoding
from qianfan.dataset.reading.files import check_unchanged, errors_named, state_of
from qianfan.dataset.reading.lines import MAX_LINE
from qianfan.dataset.shapes import shape_named
from qianfan.dataset.sources import FileDataSource, LocalSource

__all__ = ["LEAN_CHARS", "Suspects", "converted", "digests", "suspects"]

_ROWS = 1_000


class Suspects(NamedTuple):
    """What a look at some lines of a file found.

    lines: how many there were. rows: how many of them are not blank.
    suspicious: those that may be flawed or long, as line number from 1 in the file and the line with its end.
    """

    lines: int
    rows: int
    suspicious: Sequence[tuple[int, bytes]]


def suspects(source: FileDataSource, *, workers: int | None = None) -> Iterator[Suspects]:
    """Sort out the lines that need the careful way, in file order.

    The others are flawless rows of the source's shape and kind, in lines of at most LEAN_CHARS characters.

    source: one for which `is_lines` holds. workers: processes to use, 1 for none beside this one; by the size of the
    file and the number of processors when left out.

    Raises DataFileError when the file cannot be read, DataFileChangedError when it changes meanwhile, InternalError
    when a worker process dies.
    """
    if not _has_lines(source):
        # Line breaks of UTF-16 cannot be found as bytes: the file is one flawed row.
        with errors_named(source.path), source.path.open("rb") as file:
            yield Suspects(1, 1, [(1, file.readline(MAX_LINE))])
        return
    with _pass(source, "sift", workers) as (file, results):
        before = 0
        for part, found in results:
            if part.is_long_line:
                line = _line(file, part.begin, part.end - part.begin)
                yield Suspects(1, 0, ()) if line.isspace() else Suspects(1, 1, [(before + 1, line)])
                before += 1
            for offset, result in found:
                assert isinstance(result, Sifted)
                lines = [
                    (before + span.line + 1, _line(file, offset + span.begin, span.size)) for span in result.suspicious
                ]
                yield Suspects(result.lines, result.rows, lines)
                before += result.lines


def converted(source: LocalSource, shape: str | None = None, *, workers: int | None = None) -> Iterator[bytes]:
    """All rows as lines of JSON in blocks of bytes: in the platform's form, or in the named shape.

    workers: as for `suspects`. Raises ValidationError at the first row that cannot be read, or that the shape has no
    place for; else as `suspects`.
    """
    if shape is not None or not (isinstance(source, FileDataSource) and _has_lines(source)):
        yield from _in_blocks(_written(source, shape))
        return
    with _pass(source, "convert", workers) as (file, results):
        before = 0
        for part, found in results:
            if part.is_long_line:
                line = _line(file, part.begin, part.end - part.begin)
                if not line.isspace():
                    yield _row_text(source, before + 1, line)
                before += 1
            for offset, result in found:
                assert isinstance(result, Converted)
                for piece in result.pieces:
                    if isinstance(piece, bytes):
                        yield piece
                    else:
                        line = _line(file, offset + piece.begin, piece.size)
                        yield _row_text(source, before + piece.line + 1, line)
                before += result.lines


def digests(source: LocalSource, *, workers: int | None = None) -> Iterator[bytes]:
    """Sixteen bytes for each row in order, in blocks, by which rows can be compared, of whatever sources and shapes.

    Flawless rows have the same digest exactly if they are the same in the platform's form, however they are spelled:
    spaces, escapes and line ends do not count. A flawed row has some digest, and what it equals is not promised.
    A digest is xxh3_128 of the row's line in the platform's form, or blake2b where xxhash is missing; it holds for
    this process, not for a file to be kept.

    workers, errors: as for `suspects`.
    """
    if not (isinstance(source, FileDataSource) and _has_lines(source)):
        yield from _in_blocks(_digest(source, raw) for raw in source.raw_rows())
        return
    with _pass(source, "digest", workers) as (file, results):
        before = 0
        for part, found in results:
            if part.is_long_line:
                line = _line(file, part.begin, part.end - part.begin)
                if not line.isspace():
                    yield _digest(source, _raw(before + 1, line))
                before += 1
            for offset, result in found:
                assert isinstance(result, Digested)
                filled = bytearray(result.digests)
                for row, span in result.missing:
                    line = _line(file, offset + span.begin, span.size)
                    filled[16 * row : 16 * row + 16] = _digest(source, _raw(before + span.line + 1, line))
                yield bytes(filled)
                before += result.lines


# --- the careful way --------------------------------------------------------------------------------------------------


def _written(source: LocalSource, shape: str | None) -> Iterator[bytes]:
    target = None if shape is None else shape_named(shape)
    for row in source.rows():
        yield platform_text(row.to_json() if target is None else target.write(row)) + b"\n"


def _row_text(source: LocalSource, number: int, line: bytes) -> bytes:
    return platform_text(source._sure(_raw(number, line)).to_json()) + b"\n"


def _digest(source: LocalSource, raw: RawRow) -> bytes:
    row = source.read(raw)
    return (
        hash16(b"\0" + raw.text.encode("utf-8", "surrogatepass")) if isinstance(row, list) else digest_of(row.to_json())
    )


def _raw(number: int, line: bytes) -> RawRow:
    return parse_line(line.removeprefix(BOM) if number == 1 else line, number, FormatType.Jsonl)


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    for piece in pieces:
        block.append(piece)
        if len(block) == _ROWS:
            yield b"".join(block)
            block = []
    if block:
        yield b"".join(block)


# --- one pass over a file ---------------------------------------------------------------------------------------------


_Results: TypeAlias = Generator[tuple[Range, list[tuple[int, Result]]], None, None]


def _has_lines(source: FileDataSource) -> bool:
    """Whether the file has a row a line, and line ends where the bytes of one are."""
    if not source.is_lines:
        return False
    with errors_named(source.path), source.path.open("rb") as file:
        return foreign_encoding(file.read(4)) is None


@contextmanager
def _pass(source: FileDataSource, job: str, workers: int | None) -> Generator[tuple[IO[bytes], _Results], None, None]:
    """The results of a job on a file, and the file to read single lines from."""
    before = state_of(source.path)
    shape = source.shape
    is_of_kind = shape is not None and shape.quick_format is not None and shape.quick_format is source.data_format
    work = (job, shape.name if shape is not None else "", is_of_kind, str(source.path.absolute()))
    if workers is None:
        workers = min(processors(), MOST_WORKERS) if before.size >= LARGE and can_work() else 1
    with errors_named(source.path), source.path.open("rb") as file, source.path.open("rb") as cut:
        start = len(BOM) if cut.read(len(BOM)) == BOM else 0
        parts = ranges(cut, start, before.size)
        with closing(worked(work, parts, workers) if workers > 1 else _here(work, parts)) as results:
            yield file, results
    check_unchanged(source.path, before)


def _here(work: tuple[str, str, bool, str], parts: Iterator[Range]) -> _Results:
    here = Work(*work)
    with closing(here):
        for part in parts:
            yield part, [] if part.is_long_line else here(part.begin, part.end)


def _line(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(min(size, MAX_LINE))

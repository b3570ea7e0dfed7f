"""A file cut at its line ends: into ranges for workers, and those into blocks that fit into a processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

RANGE = 2 << 20
"""Bytes of a file that are handed over at once."""

BLOCK = 96 << 10
"""Bytes that are looked at together. With larger blocks the pieces leave the cache before they are compared."""

_LONGEST = 256 << 10
"""Bytes of a line that a block may be longer than a range for; a longer line stands alone."""


_PIECE = 16 << 10


class Range(NamedTuple):
    """Whole lines of a file, or one line that is too long to be handed over."""

    begin: int
    end: int
    is_long_line: bool = False


def ranges(file: IO[bytes], begin: int, size: int) -> Iterator[Range]:
    """A file from an offset to its end."""
    while begin < size:
        nominal = begin + RANGE
        if nominal >= size:
            yield Range(begin, size)
            return
        end = _line_end(file, nominal, nominal + _LONGEST)
        if end:
            yield Range(begin, end)
        else:
            file.seek(begin)
            start = begin + file.read(RANGE).rfind(b"\n") + 1
            if start > begin:
                yield Range(begin, start)
            end = _line_end(file, nominal, size) or size
            yield Range(start, end, is_long_line=True)
        begin = end


def _line_end(file: IO[bytes], begin: int, end: int) -> int:
    """Where the line that goes on at an offset is over; 0 if not before `end`."""
    file.seek(begin)
    while begin < end and (piece := file.read(min(_PIECE, end - begin))):
        found = piece.find(b"\n")
        if found >= 0:
            return begin + found + 1
        begin += len(piece)
    return 0


def blocks(file: IO[bytes], begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a range in blocks, each with its offset in the file; the last of a file may lack its line end."""
    file.seek(begin)
    while begin < end and (block := file.read(min(BLOCK, end - begin))):
        if begin + len(block) < end and block[-1:] != b"\n":
            block += file.readline(end - begin - len(block))
        yield begin, block
        begin += len(block)

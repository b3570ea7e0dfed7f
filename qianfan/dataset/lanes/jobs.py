"""What a pass does with a block of lines, in a worker process or in this one.

A job takes a block of whole lines and returns plain values that can be pickled. Lines that need the careful way come
back as `Span`s: this module has no way to read them, nor the libraries for it, so that workers start in no time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from qianfan.dataset.lanes.lean import Reader, Rows, is_lean, long_lines, reader_for
from qianfan.dataset.reading.json_text import BadJson, loads
from qianfan.dataset.shapes.quick import WAYS

xxhash: Any
try:
    import xxhash
except ImportError:
    xxhash = None


def _blake2b(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()


hash16: Callable[[bytes], bytes] = _blake2b if xxhash is None else xxhash.xxh3_128_digest

_PATIENCE = 200
"""Lines in which the lean proof may fail before it is given up for the rest: the file is spelled otherwise."""


class Span(NamedTuple):
    """A line that needs the careful way: its position among the lines of its block, and its bytes in the block."""

    line: int
    begin: int
    size: int


class Sifted(NamedTuple):
    """lines: of the block. rows: lines that are not blank. suspicious: in order."""

    lines: int
    rows: int
    suspicious: list[Span]


class Converted(NamedTuple):
    """lines: of the block. pieces: finished lines, or lines that need the careful way, in order."""

    lines: int
    pieces: list[bytes | Span]


class Digested(NamedTuple):
    """lines: of the block. digests: sixteen bytes for each row. missing: rows to fill in, by their position."""

    lines: int
    digests: bytes
    missing: list[tuple[int, Span]]


Result: TypeAlias = "Sifted | Converted | Digested"


def platform_text(row: Any) -> bytes:
    """A row in the platform's form as a line of its files, without the line end."""
    return _encode(row).encode("utf-8")


_encode = json.JSONEncoder(ensure_ascii=False).encode


def digest_of(row: Any) -> bytes:
    """What a row in the platform's form is known by. The order of keys matters where the platform has set one."""
    return hash16(
        json.dumps(row, ensure_ascii=False, sort_keys=True).encode() if type(row) is dict else platform_text(row)
    )


class Job:
    """One pass over one file.

    shape: of its rows. is_of_kind: whether they are of the kind that the quick way vouches for.
    """

    def __init__(self, shape: str, is_of_kind: bool) -> None:
        self._lean: Reader | None = reader_for(shape) if is_of_kind else None
        self._quick = WAYS.get(shape) if is_of_kind else None
        self._patience = _PATIENCE

    def __call__(self, block: bytes) -> Result:
        raise NotImplementedError

    def proven(self, block: bytes) -> Rows | None:
        return self._lean.rows(block) if self._lean is not None else None

    def flawless(self, block: bytes) -> Rows | None:
        rows = self.proven(block)
        return rows if rows is not None and rows.are_flawless(block) else None

    def quickly(self, line: bytes) -> Any:
        """The row of a line in the platform's form, or None."""
        if self._quick is None:
            return None
        try:
            return self._quick(loads(line))
        except BadJson:
            return None

    def missed(self) -> None:
        """Note that the lean proof failed for a line that is fine."""
        self._patience -= 1
        if not self._patience:
            self._lean = None


def _lines(block: bytes) -> Iterator[tuple[Span, bytes]]:
    """The lines that are not blank, each with its line end."""
    begin = 0
    for position, line in enumerate(block.split(b"\n")):
        size = min(len(line) + 1, len(block) - begin)
        if line and not line.isspace():
            yield Span(position, begin, size), block[begin : begin + size]
        begin += size


def _count(block: bytes) -> int:
    return block.count(b"\n") + (not block.endswith(b"\n"))


class Sift(Job):
    """Sorts out the lines that are not sure to be flawless and lean."""

    def __call__(self, block: bytes) -> Sifted:
        if (rows := self.flawless(block)) is not None:
            count = len(rows)
            return Sifted(count, count, [self._span(block, line) for line in long_lines(block)])
        spans = list(_lines(block))
        return Sifted(_count(block), len(spans), [span for span, line in spans if not self._is_clean(line)])

    @staticmethod
    def _span(block: bytes, position: int) -> Span:
        begin = 0
        for _ in range(position):
            begin = block.index(b"\n", begin) + 1
        return Span(position, begin, block.index(b"\n", begin) + 1 - begin)

    def _is_clean(self, line: bytes) -> bool:
        if not is_lean(line.rstrip(b"\r\n")):
            return False
        if self.flawless(line) is not None:
            return True
        if self.quickly(line) is None:
            return False
        self.missed()
        return True


class Convert(Job):
    """Turns rows into the platform's lines."""

    def __call__(self, block: bytes) -> Converted:
        if (rows := self.flawless(block)) is not None:
            return Converted(len(rows), [b"\n".join([*rows.platform_lines(block), b""])])
        return Converted(_count(block), list(self._pieces(block)))

    def _pieces(self, block: bytes) -> Iterator[bytes | Span]:
        done: list[bytes] = []
        for span, line in _lines(block):
            if (text := self._text(line)) is not None:
                done.append(text)
                continue
            if done:
                yield b"\n".join([*done, b""])
                done = []
            yield span
        if done:
            yield b"\n".join([*done, b""])

    def _text(self, line: bytes) -> bytes | None:
        if (rows := self.flawless(line)) is not None:
            return rows.platform_lines(line)[0]
        row = self.quickly(line)
        if row is None:
            return None
        self.missed()
        return platform_text(row)


class Digest(Job):
    """Digests rows by their content. Whether they are flawless makes no difference, so it is not looked at."""

    def __call__(self, block: bytes) -> Digested:
        if (lines := self._platform_lines(block)) is not None:
            return Digested(len(lines), b"".join(map(hash16, lines)), [])
        digests: list[bytes] = []
        missing: list[tuple[int, Span]] = []
        for span, line in _lines(block):
            digest = self._digest(line)
            if digest is None:
                missing.append((len(digests), span))
            digests.append(digest or bytes(16))
        return Digested(_count(block), b"".join(digests), missing)

    def _platform_lines(self, block: bytes) -> list[bytes] | None:
        rows = self.proven(block)
        try:
            return None if rows is None else rows.platform_lines(block)
        except ValueError:
            return None

    def _digest(self, line: bytes) -> bytes | None:
        if (lines := self._platform_lines(line)) is not None:
            return hash16(lines[0])
        row = self.quickly(line)
        if row is None:
            return None
        self.missed()
        return digest_of(row)


JOBS: dict[str, Callable[[str, bool], Job]] = {"sift": Sift, "convert": Convert, "digest": Digest}

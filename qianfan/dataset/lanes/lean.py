"""Proofs about blocks of lines: that each line is one row, spelled in one of the usual ways and no other.

A reader takes a block of whole lines and gives the rows, or None, which means "look at each line". A row's texts are
`Leaf`s: JSON texts as they stand in the file, quotes and escapes included. They are made into no Python texts, which
is where parsing spends most of its time.

Only msgspec and the standard library are imported here: worker processes start with this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from operator import attrgetter
from types import GenericAlias
from typing import Any, NamedTuple, Protocol

msgspec: Any
try:
    import msgspec
except ImportError:
    msgspec = None

MOST_TURNS = 150
LEAN_CHARS = 8_000
"""The most characters of a line that no pass calls suspicious: a longer row may be over the platform's token cut."""

Leaf = Any
"""A JSON text as it stands in the file; an object that gives its bytes."""

_QUOTE = ord('"')
# A blank text begins with its closing quote, a space, an escape, or the first byte of a wider space.
_DOUBTFUL = frozenset(b'" \\\xc2\xe1\xe2\xe3')
_BEGINNING = re.compile(rb'"(?: |\\[nrt])*(?:[!#-\[\]-\x7f\xe4-\xf4]|\xe3\x80[\x81-\xbf]|\xe2\x80[\x90-\xa7]|\\")')
_NUL = re.compile(rb"\\u0000")
_RESPELLED = re.compile(rb"\\[u/]")
"""Escapes that the platform's lines spell differently, or do without."""


class Rows(Protocol):
    """The rows of a block, whose structure is proven."""

    def __len__(self) -> int: ...

    def are_flawless(self, block: bytes) -> bool:
        """Whether the encoding is right and all texts say something."""
        ...

    def platform_lines(self, block: bytes) -> list[bytes]:
        """The lines of the rows in the platform's form, without line ends.

        Raises ValueError where a text that has to be spelled anew is not UTF-8.
        """
        ...


class Reader(Protocol):
    """Reads the blocks of one file."""

    def rows(self, block: bytes) -> Rows | None:
        """The rows of a block of whole lines, the last with its line end; None if the proof fails."""
        ...


class Style(NamedTuple):
    """What a file puts between values."""

    comma: bytes
    colon: bytes


PLATFORM = Style(b", ", b": ")
_STYLES = (PLATFORM, Style(b",", b":"))


def reader_for(shape: str) -> Reader | None:
    """The reader of a shape; None where there is no lean proof for it, or msgspec is missing."""
    if msgspec is None:
        return None
    if shape == "dialogue":
        return _DialogueReader()
    return _PairReader(*_PAIRS[shape]) if shape in _PAIRS else None


def long_lines(block: bytes) -> list[int]:
    """The positions of the lines that are not lean."""
    at, size = 0, len(block)
    while size - at > LEAN_CHARS:
        at = block.rfind(b"\n", at, at + LEAN_CHARS + 1) + 1
        if not at:
            return [at for at, line in enumerate(block.split(b"\n")) if not is_lean(line)]
    return []


def is_lean(line: bytes) -> bool:
    """Whether a line is not too long to be vouched for; `line` is UTF-8."""
    return len(line) <= LEAN_CHARS or len(line.decode("utf-8", "replace")) <= LEAN_CHARS


def _can_be_written(block: bytes, respelled: bool) -> bool:
    """Whether a block is UTF-8, and no text of it holds a NUL character. respelled: whether `_RESPELLED` was found."""
    if respelled and _NUL.search(block):
        return False
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _say_something(leaves: Iterable[bytes], *, or_are_empty: bool = False) -> bool:
    """Whether all leaves are texts, and none is blank."""
    doubtful = [leaf for leaf in leaves if leaf[0] != _QUOTE or leaf[1] in _DOUBTFUL]
    return all((or_are_empty and leaf == b'""') or _says_something(leaf) for leaf in doubtful)


def _says_something(leaf: bytes) -> bool:
    # A long text begins with a space, an escape or a quotation mark, and goes on: its beginning tells.
    if _BEGINNING.match(leaf):
        return True
    return leaf[0] == _QUOTE and bool(json.loads(leaf).strip())


def _spelled(leaf: bytes) -> bytes:
    """A text as the platform's lines spell it."""
    if not _RESPELLED.search(leaf):
        return leaf
    return json.dumps(json.loads(leaf), ensure_ascii=False).encode("utf-8")


# --- dialogues -------------------------------------------------------------------------------------------------------

_prompt_of = attrgetter("prompt")
_response_of = attrgetter("response")


class _Frame:
    """The text around the leaves of dialogues without a system text, in one style."""

    def __init__(self, style: Style) -> None:
        comma, colon = style
        self.style = style
        self.start = b'[{"prompt"' + colon
        self.between = b"]]}" + comma + b'{"prompt"' + colon
        self.middle = comma + b'"response"' + colon + b"[["
        self.end = b"]]}]\n"
        # What comes before each turn of a row, by the number of its turns: the end of the row before it included.
        self.heads = [(), *((self.end + self.start,) + (self.between,) * more for more in range(MOST_TURNS))]

    def block(self, turn_counts: Iterable[int], prompts: Sequence[Leaf], answers: Sequence[Leaf]) -> bytes:
        heads = chain.from_iterable(map(self.heads.__getitem__, turn_counts))
        pieces = chain.from_iterable(zip(heads, prompts, repeat(self.middle), answers, strict=False))
        return b"".join(pieces)[len(self.end) :] + self.end

    def line(self, system: bytes | None, turns: Sequence[tuple[bytes, bytes]]) -> bytes:
        comma, colon = self.style
        start = self.start if system is None else b'[{"system"' + colon + system + comma + b'"prompt"' + colon
        return start + self.between.join([prompt + self.middle + answer for prompt, answer in turns]) + self.end


_FRAMES = [_Frame(style) for style in _STYLES]


class _Dialogues:
    def __init__(
        self, frame: _Frame, rows: list[Any], leaves: list[Leaf], systems: list[bytes], *, respelled: bool
    ) -> None:
        self._frame = frame
        self._rows = rows
        self._leaves = leaves
        self._systems = systems
        self._respelled = respelled

    def __len__(self) -> int:
        return len(self._rows)

    def are_flawless(self, block: bytes) -> bool:
        return _can_be_written(block, self._respelled) and _say_something([*map(bytes, self._leaves), *self._systems])

    def platform_lines(self, block: bytes) -> list[bytes]:
        if self._respelled:
            return [self._line(row, _spelled) for row in self._rows]
        if self._frame.style is PLATFORM:
            return block.split(b"\n")[:-1]
        return [self._line(row, bytes) for row in self._rows]

    @staticmethod
    def _line(row: Any, spell: Any) -> bytes:
        system = None if row[0].system is None else spell(bytes(row[0].system))
        turns = [(spell(bytes(turn.prompt)), spell(bytes(turn.response[0][0]))) for turn in row]
        return _FRAMES[0].line(system, turns)[:-1]


class _DialogueReader:
    def __init__(self) -> None:
        turn = msgspec.defstruct(
            "Turn",
            [("prompt", msgspec.Raw), ("response", tuple[tuple[msgspec.Raw]]), ("system", msgspec.Raw, None)],
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(GenericAlias(list, turn)).decode_lines
        self._frames = list(_FRAMES)

    def rows(self, block: bytes) -> Rows | None:
        try:
            rows = self._decode(block)
        except (msgspec.DecodeError, RecursionError):
            return None
        if not rows or not rows[0] or len(max(rows, key=len)) > MOST_TURNS:
            return None
        turns = list(chain.from_iterable(rows))
        prompts = list(map(_prompt_of, turns))
        answers = list(chain.from_iterable(chain.from_iterable(map(_response_of, turns))))
        plain = rows[0][0].system is None
        for frame in self._frames:
            if (frame.block(map(len, rows), prompts, answers) if plain else self._with_system(frame, rows)) == block:
                if frame is not self._frames[0]:
                    self._frames.reverse()
                systems = [] if plain else [bytes(row[0].system) for row in rows if row[0].system is not None]
                # An empty system text is as good as none, and is left out of the platform's lines.
                if b'""' in systems:
                    return None
                respelled = _RESPELLED.search(block) is not None
                return _Dialogues(frame, rows, prompts + answers, systems, respelled=respelled)
        return None

    @staticmethod
    def _with_system(frame: _Frame, rows: list[Any]) -> bytes:
        return b"".join(
            [
                frame.line(
                    None if row[0].system is None else bytes(row[0].system),
                    [(bytes(turn.prompt), bytes(turn.response[0][0])) for turn in row],
                )
                for row in rows
                if row
            ]
        )


# --- pairs of a question and its answer ------------------------------------------------------------------------------

_PAIRS = {
    "alpaca": ("instruction", "output", ("input", "system")),
    "prompt_response": ("prompt", "response", ("system",)),
    "prompt_completion": ("prompt", "completion", ()),
}
"""The keys of a question and its answer, and those of texts that may be missing or empty."""


class _Pairs:
    def __init__(self, columns: dict[str, list[bytes]], question: str, answer: str, *, respelled: bool) -> None:
        self._columns = columns
        self._respelled = respelled
        self._question = question
        self._answer = answer

    def __len__(self) -> int:
        return len(self._columns[self._question])

    def are_flawless(self, block: bytes) -> bool:
        if not _can_be_written(block, self._respelled):
            return False
        needed = (self._question, self._answer)
        return all(_say_something(column, or_are_empty=name not in needed) for name, column in self._columns.items())

    def platform_lines(self, block: bytes) -> list[bytes]:
        columns = self._columns
        if self._respelled:
            columns = {name: list(map(_spelled, column)) for name, column in columns.items()}
        questions, answers = columns[self._question], columns[self._answer]
        if "input" in columns:
            questions = [
                question if given == b'""' else question[:-1] + b"\\n" + given[1:]
                for question, given in zip(questions, columns["input"], strict=True)
            ]
        if "system" not in columns:
            return [b'[{"prompt": %b, "response": [[%b]]}]' % pair for pair in zip(questions, answers, strict=True)]
        return [
            _FRAMES[0].line(None if system == b'""' else system, [(question, answer)])[:-1]
            for system, question, answer in zip(columns["system"], questions, answers, strict=True)
        ]


class _PairReader:
    def __init__(self, question: str, answer: str, optional: tuple[str, ...]) -> None:
        self._question = question
        self._answer = answer
        needed: list[Any] = [(question, msgspec.Raw), (answer, msgspec.Raw)]
        pair = msgspec.defstruct(
            "Pair", [*needed, *((name, msgspec.Raw, None) for name in optional)], forbid_unknown_fields=True, gc=False
        )
        self._decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(pair).decode_lines
        self._styles = list(_STYLES)

    def rows(self, block: bytes) -> Rows | None:
        try:
            rows = self._decode(block)
            # The order of its keys is the one that all rows must have.
            names = list(json.loads(block[: block.index(b"\n")]))
            columns = {name: list(map(bytes, map(attrgetter(name), rows))) for name in names}
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        for style in self._styles:
            if self._block(columns, style) == block:
                if style is not self._styles[0]:
                    self._styles.reverse()
                respelled = _RESPELLED.search(block) is not None
                return _Pairs(columns, self._question, self._answer, respelled=respelled)
        return None

    @staticmethod
    def _block(columns: dict[str, list[bytes]], style: Style) -> bytes:
        comma, colon = style
        fields: list[Iterable[bytes]] = []
        for name, column in columns.items():
            before = comma if fields else b"}\n{"
            fields += [repeat(before + b'"' + name.encode() + b'"' + colon), column]
        return b"".join(chain.from_iterable(zip(*fields, strict=False)))[2:] + b"}\n"

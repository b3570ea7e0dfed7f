"""What is wrong with a row and where inside it, and the reader that notes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from qianfan.dataset.shapes.quick import MAX_TURNS

Path: TypeAlias = tuple[str | int, ...]
"""Where in a row: keys and positions from the outside in."""

Rule: TypeAlias = Literal[
    "missing",
    "empty",
    "wrong-type",
    "surrogate",
    "nul",
    "value",
    "role",
    "order",
    "answers",
    "too-many-turns",
    "tools",
    "ambiguous",
    "mixed-kinds",
    "cannot-say",
]
"""By what flaws are grouped.

missing: a key or an answer is not there. empty: a text says nothing, a list holds nothing. wrong-type: a number where a
text belongs, and the like. surrogate, nul: characters that no training file may hold. value: something else than the
few values there are. role: nobody who speaks in training rows. order: somebody speaks out of turn. answers: several
where one belongs. too-many-turns: more than the platform keeps. tools: a tool, a call or a result that cannot be read.
ambiguous: two things at once, of which only one can be meant. mixed-kinds: a row of another format than the rest.
cannot-say: what the row holds has no place in the format it is to be written in.
"""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with a row.

    path: where; empty for the row as a whole. rule: see `Rule`. found: the value there, as it is. fix: what to do about
    it, as one phrase.
    """

    path: Path
    reason: str
    rule: str = ""
    found: Any = None
    fix: str = ""

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.reason}" if self.path else self.reason


def path_text(path: Path) -> str:
    """A path as people write it: `[0].response`."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(steps).removeprefix(".")


class RowFlaws(Exception):
    """A row cannot be read or written. Never leaves this package: the place in the file is added further up."""

    def __init__(self, flaws: list[Flaw]) -> None:
        self.flaws = flaws
        super().__init__("; ".join(map(str, flaws)))


def kind(value: Any) -> str:
    """What a JSON value is, in JSON's words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def is_blank(text: str) -> bool:
    """Whether a text says nothing."""
    return not text or text.isspace()


def _is_utf8(text: str) -> bool:
    # Half of a surrogate pair can be written in JSON but in no UTF-8 file.
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


@dataclass
class Look:
    """Reads the parts of one row and notes everything that is wrong with them."""

    flaws: list[Flaw] = field(default_factory=list[Flaw])

    def note(self, path: Path, reason: str, rule: Rule, found: Any = None, fix: str = "") -> None:
        """Remember a flaw; reading goes on."""
        self.flaws.append(Flaw(path, reason, rule, found, fix))

    def text(self, owner: Mapping[str, Any], key: str, path: Path, *, may_be_empty: bool = False) -> str:
        """A text that must be there, and say something unless it may be empty."""
        if key not in owner:
            self.missing(owner, key, path)
            return ""
        return self.as_text(owner[key], (*path, key), may_be_empty=may_be_empty)

    def as_text(self, value: Any, path: Path, *, may_be_empty: bool = False) -> str:
        """A value that must be a text."""
        if not isinstance(value, str):
            advice = f'put it in quotes: "{value}"' if kind(value) == "a number" else "write a text here"
            self.note(path, f"must be a text, not {kind(value)}", "wrong-type", value, advice)
            return ""
        if is_blank(value) and not may_be_empty:
            self.note(path, "is empty", "empty", value, "fill it in, or leave the row out")
        elif "\0" in value:
            self.note(path, "holds a NUL character", "nul", value, "remove the character \\u0000")
        elif not _is_utf8(value):
            reason = "holds half of a surrogate pair, which no UTF-8 file can"
            self.note(path, reason, "surrogate", value, "remove the \\ud800-\\udfff escape, or write both halves")
        return value

    def optional_text(self, owner: Mapping[str, Any], key: str, path: Path) -> str | None:
        """A text that may be missing, null or empty, all of which mean the same."""
        return None if owner.get(key) in (None, "") else self.text(owner, key, path)

    def missing(self, owner: Mapping[str, Any], key: str, path: Path, more: str = "") -> None:
        """Note that a key is not there."""
        self.note(path, f"{key!r} is missing{more}", "missing", [*owner], f"add {key!r}")

    def objects(self, value: Any, path: Path, noun: str) -> list[tuple[Path, Mapping[str, Any]]]:
        """A list of objects that holds at least one, each with its path."""
        if not isinstance(value, list) or not value:
            is_empty = value == []
            reason = f"must be a list of {noun}, not {'empty' if is_empty else kind(value)}"
            self.note(path, reason, "empty" if is_empty else "wrong-type", value, f"write a list of {noun}")
            return []
        found: list[tuple[Path, Mapping[str, Any]]] = []
        for position, item in enumerate(value):
            if isinstance(item, Mapping):
                found.append(((*path, position), item))
            else:
                reason = f"must be an object, not {kind(item)}"
                self.note((*path, position), reason, "wrong-type", item, f"write each of the {noun} as an object")
        return found

    def few_enough(self, turns: int, path: Path) -> None:
        """Note a row that the platform would cut."""
        if turns > MAX_TURNS:
            reason = f"the platform cuts a row after {MAX_TURNS} turns, this one has {turns}"
            self.note(path, reason, "too-many-turns", turns, "split the conversation into several rows")

    def zero_or_one(self, owner: Mapping[str, Any], key: str, path: Path) -> int | None:
        """A weight, which frames and tables may hold as a float."""
        value = owner.get(key)
        if value is None:
            return None
        if not isinstance(value, (bool, int, float)) or value not in (0, 1):
            self.note((*path, key), f"must be 0 or 1, not {value!r}", "value", value, "write 0 or 1, or leave it out")
            return None
        return int(value)

    def truth(self, owner: Mapping[str, Any], key: str, path: Path) -> bool:
        """A judgement: true or false, which tables hold as texts or numbers too."""
        if key not in owner:
            self.missing(owner, key, path)
            return False
        value = owner[key]
        if isinstance(value, str) and value.strip().lower() in _TRUTHS:
            return _TRUTHS[value.strip().lower()]
        if isinstance(value, (bool, int, float)) and value in (0, 1):
            return bool(value)
        found = f"{kind(value)}, {value!r}" if isinstance(value, (str, int, float)) else kind(value)
        reason = f"must be true or false, not {found}"
        self.note((*path, key), reason, "value", value, "write true for a good answer, false for a bad one")
        return False


_TRUTHS = {"true": True, "false": False, "1": True, "0": False}

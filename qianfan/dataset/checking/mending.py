"""Rows that can be corrected mechanically: what is meant is certain, and only the way it is written is wrong.

Every correction is tried and then judged by the shape itself: it stays only if the flaw it is for is gone and no other
has come. Everything here is pure.
"""

from __future__ import annotations

import ast
import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qianfan.dataset.checking.keys import KEYS, misspelt, texts_of
from qianfan.dataset.reading import RawRow
from qianfan.dataset.shapes import Flaw, Path, RowFlaws, Shape, path_text

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_OTHER_ESCAPE = re.compile(r"""(?<!\\)(?:\\\\)*\\[^"'\\nrtbfuxU]""")
_NUL_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_MOST_LITERAL = 1 << 20
"""Characters of a line that may be read as Python's: its parser takes a hundred times as much memory."""

_ROUNDS = 3
"""A correction can bring up a flaw that was hidden by the first one, such as the number in an answer that was bare."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Corrections that only a user can ask for.

    keys: rename keys that look misspelt. join: join messages of the same role that follow each other.
    strip: take blanks away around the texts.
    """

    keys: bool = False
    join: bool = False
    strip: bool = False


@dataclass(frozen=True, slots=True)
class Correction:
    """One thing that was corrected in a row."""

    rule: str
    field: str
    what: str


# --- the text of a row ------------------------------------------------------------------------------------------------


def parsed(raw: RawRow) -> tuple[Any, Correction] | None:
    """The value that a text which is no proper JSON was meant to be; None where that is not certain."""
    rule = raw.problem.rule if raw.problem else ""
    for what, read in _READERS.get(rule, ()):
        try:
            return read(raw.text), Correction(rule, "", what)
        except (ValueError, TypeError, SyntaxError, SyntaxWarning, RecursionError, MemoryError):
            continue
    return None


def _loads(text: str, *, strict: bool = True) -> Any:
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number, strict=strict)
    return decoder.decode(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are different, or repeat the same value."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if made.setdefault(key, value) != value:
            raise ValueError(f"two values for {key!r}")
    return made


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _as_python(text: str) -> Any:
    """The value of a row that was written by Python's `print` or `str`, or that has a comma too many."""
    if len(text) > _MOST_LITERAL or _OTHER_ESCAPE.search(text):
        raise ValueError("too long, or with escapes that mean something else in Python")
    value = ast.literal_eval(text.strip())
    if _loads(json.dumps(value, allow_nan=False)) != value:
        raise ValueError("holds something that JSON has no form for")
    return value


_Reader = tuple[str, Callable[[str], Any]]
_READERS: Mapping[str, tuple[_Reader, ...]] = {
    "not-json": (
        ("took away a comma behind the row", lambda text: _loads(text.strip().removesuffix(","))),
        ("took away a byte order mark inside the file", lambda text: _loads(text.strip("\ufeff \t"))),
        ("escaped line breaks and tabs inside texts", lambda text: _loads(text, strict=False)),
        ("wrote a Python value as JSON", _as_python),
    ),
    "nul": (
        ("took NUL characters out", lambda text: _loads(_NUL_ESCAPE.sub(r"\1", text.replace("\0", "")))),
    ),
    "surrogate": (("took halves of surrogate pairs out", lambda text: without_halves(_loads(text))),),
    "duplicate-key": (("kept one of two equal keys", _loads),),
}  # fmt: skip
"""What may be tried, by the rule that a text breaks."""


def without_halves(value: Any) -> Any:
    """A value without halves of surrogate pairs in its texts and keys."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("", value)
    if isinstance(value, list):
        return [without_halves(item) for item in value]
    if isinstance(value, dict):
        return {without_halves(key): without_halves(item) for key, item in value.items()}
    return value


# --- the value of a row -----------------------------------------------------------------------------------------------


def mended(given: Any, shape: Shape, wishes: Wishes) -> tuple[Any, list[Correction], list[Flaw]]:
    """A value as it was meant, what was corrected, and the flaws that are left. The given value is not touched."""
    done: list[Correction] = []
    value = _by_wishes(given, shape, wishes, done)
    flaws = flaws_of(value, shape)
    for _ in range(_ROUNDS):
        before = len(done)
        for flaw in flaws:
            better = _first_better(value, shape, flaw)
            if better is not None:
                value = better[0]
                done.append(Correction(flaw.rule, path_text(flaw.path), better[1]))
        if len(done) == before:
            break
        flaws = flaws_of(value, shape)
    return value if done else given, done, flaws


def flaws_of(value: Any, shape: Shape) -> list[Flaw]:
    """Everything that is wrong with a value."""
    try:
        shape.read(value)
    except RowFlaws as error:
        return error.flaws
    return []


def _first_better(value: Any, shape: Shape, flaw: Flaw) -> tuple[Any, str] | None:
    """The value with one flaw less, if any correction achieves that."""
    if _owner(value, flaw.path)[0] is None:
        return None
    before = {(one.path, one.reason) for one in flaws_of(value, shape)}
    for what, correct in _CORRECTIONS:
        changed = copy.deepcopy(value)
        inside, _ = _owner(changed, flaw.path)
        if correct(changed, inside, flaw.path):
            left = {(one.path, one.reason) for one in flaws_of(changed, shape)}
            # A flaw that was hidden may come up, but only inside the corrected part.
            if (flaw.path, flaw.reason) not in left and all(_is_inside(path, flaw.path) for path, _ in left - before):
                return changed, what
    return None


def _is_inside(path: Path, outer: Path) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _owner(value: Any, path: Path) -> tuple[Any, Any]:
    """What holds the value at a path, and its key there; nothing where the path leads nowhere."""
    if not path:
        return None, None
    for step in path[:-1]:
        if not _has(value, step):
            return None, None
        value = value[step]
    return (value, path[-1]) if _has(value, path[-1]) else (None, None)


def _has(value: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, list) and step < len(value)
    return isinstance(value, dict) and step in value


def _number_to_text(row: Any, owner: Any, path: Path) -> bool:
    found = owner[path[-1]]
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        return False
    owner[path[-1]] = json.dumps(found)
    return True


def _in_a_list(row: Any, owner: Any, path: Path) -> bool:
    if path[-2:-1] != ("response",):
        return False
    owner[path[-1]] = [owner[path[-1]]]
    return True


def _to_a_bit(row: Any, owner: Any, path: Path) -> bool:
    found = owner[path[-1]]
    if path[-1] != "weight" or found not in ("0", "1", True, False):
        return False
    owner[path[-1]] = int(found)
    return True


def _without_unwritable(row: Any, owner: Any, path: Path) -> bool:
    found = owner[path[-1]]
    if not isinstance(found, str):
        return False
    writable = _LONE_SURROGATE.sub("", found.replace("\0", ""))
    owner[path[-1]] = writable
    return writable != found


def _system_said_before(row: Any, owner: Any, path: Path) -> bool:
    """A system text in a later turn says nothing new when the first turn has the same."""
    if path[-1] != "system" or not isinstance(row, list) or not isinstance(row[0], dict):
        return False
    if owner["system"] not in (row[0].get("system"), None, ""):
        return False
    del owner["system"]
    return True


_CORRECTIONS: tuple[tuple[str, Callable[[Any, Any, Path], bool]], ...] = (
    ("put the answer into a list of its own", _in_a_list),
    ("wrote the number as a text", _number_to_text),
    ("wrote it as 0 or 1", _to_a_bit),
    ("took out NUL characters and halves of surrogate pairs", _without_unwritable),
    ("took away a system text that the first turn has", _system_said_before),
)
"""Each changes a copy of a row at a path, whose last step leads into `owner`, and says whether it could."""


# --- what a user asked for --------------------------------------------------------------------------------------------


def _by_wishes(value: Any, shape: Shape, wishes: Wishes, done: list[Correction]) -> Any:
    changed = copy.deepcopy(value) if wishes != Wishes() else value
    keys = KEYS.get(shape.name)
    if wishes.keys and keys is not None:
        for path, key, meant in list(misspelt(changed, keys)):
            owner, _ = _owner(changed, path)
            # In its old place among the keys, so that the row stays easy to compare.
            renamed = {meant if name == key else name: inside for name, inside in owner.items()}
            owner.clear()
            owner.update(renamed)
            done.append(Correction("misspelt-key", path_text(path), f"renamed {key!r} to {meant!r}"))
    if wishes.join:
        for path in _joined(changed, shape):
            done.append(Correction("order", path_text(path), "joined it to the message of the same role before it"))
    if wishes.strip:
        for path, text in list(texts_of(changed, keys)):
            owner, key = _owner(changed, path)
            if owner is not None and text != text.strip():
                owner[key] = text.strip()
                done.append(Correction("blanks", path_text(path), "took blanks away around the text"))
    return changed


_SAID_IN = {"messages": ("messages", "role", "content"), "sharegpt": ("conversations", "from", "value")}


def _joined(value: Any, shape: Shape) -> Iterator[Path]:
    """Join messages in place; yields where those stood that were joined to the one before."""
    key, who, text = _SAID_IN.get(shape.name, ("", "", ""))
    said = value.get(key) if isinstance(value, dict) else None
    if not isinstance(said, list):
        return
    kept: list[Any] = []
    for position, message in enumerate(said):
        if kept and _can_join(kept[-1], message, who, text):
            kept[-1][text] = f"{kept[-1][text]}\n{message[text]}"
            yield key, position
        else:
            kept.append(message)
    value[key] = kept


def _can_join(last: Any, message: Any, who: str, text: str) -> bool:
    if not (isinstance(last, dict) and isinstance(message, dict)):
        return False
    plain = last.keys() == message.keys() == {who, text}
    return plain and last[who] == message[who] and isinstance(last[text], str) and isinstance(message[text], str)

"""JSON lines into values, by orjson where it is installed, with the same verdicts without it.

The careful way (`loads_carefully`, the standard library) decides what is right. It is stricter than JSON's grammar:
NaN and infinite numbers, keys that are given twice, NUL characters, halves of surrogate pairs and nesting beyond
`MAX_DEPTH` are refused, since the platform, or whoever reads the file next, would take them differently or not at all.
The fast way only takes what it can prove to be right, and leaves everything else to the careful one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

from qianfan.dataset.reading.encodings import not_utf8

try:
    import orjson

    _fast: Any = orjson
except ImportError:
    _fast = None

MAX_DEPTH = 100
"""Lists and objects inside each other."""

_NOT_COUNTED = -1 << 40
_EXACT = 1 << 53
"""Where floats stop to tell whole numbers apart: orjson makes floats of integers of more than 64 bits."""

_SURROGATE = re.compile(r"\\u[dD]([89abAB]|[cdefCDEF])[0-9a-fA-F]{2}")
_TOKEN = re.compile(r'[\[\]{},:]|"(?:[^"\\]*")?|NaN|-?Infinity|[^\[\]{},:"\s]+')

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class BadJson(ValueError):
    """A text that is not JSON, or not JSON that can be used.

    column: counted from 1 in characters, from the last line break before it; line: how many line breaks come before.
    The other attributes are those of a `RowProblem`.
    """

    def __init__(
        self, text: str, at: int, reason: str, rule: str = "not-json", *, found: str = "", fix: str = ""
    ) -> None:
        self.line = text.count("\n", 0, at)
        self.column = at - text.rfind("\n", 0, at)
        self.reason = reason
        self.rule = rule
        self.found = found
        self.fix = fix
        super().__init__(reason)


UNSURE: Any = object()
"""No value: the careful way has to decide."""


def loads(line: bytes) -> Any:
    """The value that a JSON text in UTF-8 holds. Raises BadJson."""
    value = loads_if_sure(line)
    return loads_carefully(line) if value is UNSURE else value


def loads_if_sure(text: bytes) -> Any:
    """As `loads`, but UNSURE for what only the careful way can judge."""
    if _fast is None:
        return UNSURE
    try:
        value = _fast.loads(text)
    except ValueError:
        return UNSURE
    return value if _is_surely_right(text, value) else UNSURE


def _is_surely_right(line: bytes, value: Any) -> bool:
    """Whether orjson's verdict is the careful one's as well; False where that is not clear.

    Each text and each key stands between two quotes, so when there are no more quotes than the value's texts and keys
    need, no key was given twice: orjson keeps one of each.
    """
    quotes = line.count(b'"')
    if b"\\" in line:
        if b"\\\\" in line or b"\\u0000" in line:
            return False
        # Without escaped backslashes, a quote behind a backslash is part of a text.
        quotes -= line.count(b'\\"')
    return quotes == 2 * _texts_in(value, 1)


def _texts_in(value: Any, depth: int) -> int:
    """How many texts and keys a value holds; negative where only the careful way can judge the value."""
    kind = type(value)
    if kind is dict:
        count, inside = len(value), value.values()
    elif kind is list:
        count, inside = 0, value
    else:
        return 1 if kind is str else _NOT_COUNTED if kind is float and abs(value) >= _EXACT else 0
    if depth > MAX_DEPTH:
        return _NOT_COUNTED
    for item in inside:
        count += 1 if type(item) is str else _texts_in(item, depth + 1)
    return count


def loads_carefully(line: bytes) -> Any:
    """As `loads`, by the standard library alone."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        readable = line[: error.start].decode("utf-8")
        reason, found, fix = not_utf8(line, error.start)
        raise BadJson(readable, len(readable), reason, "encoding", found=found, fix=fix) from None
    return _parse(text)


def _parse(text: str) -> Any:
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        nul = text.find("\0")
        if nul >= 0:
            raise BadJson(text, nul, "not valid JSON: a NUL byte", "nul", fix="take the NUL bytes out") from None
        raise BadJson(text, error.pos, f"not valid JSON: {error.msg}", found=_around(text, error.pos)) from None
    except _Refused:
        raise _why_refused(text) from None
    except RecursionError:
        raise _too_deep(text) from None
    except ValueError:
        raise BadJson(text, 0, "not usable JSON: a number with too many digits", "number") from None
    if _depth_of(value) > MAX_DEPTH:
        raise _too_deep(text)
    _refuse_escapes(text)
    return value


def _too_deep(text: str) -> BadJson:
    return BadJson(text, 0, "not usable JSON: nested too deeply", "too-deep", fix=f"at most {MAX_DEPTH} levels")


def _around(text: str, at: int) -> str:
    return text[at : at + 20].split("\n", 1)[0].rstrip("\r")


class _Refused(Exception):
    """Something that the standard library would take."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Refused
    return made


def _constant(word: str) -> Any:
    raise _Refused


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Refused
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


def _why_refused(text: str) -> BadJson:
    """What the decoder's hooks refused: a key that is there twice, or a number that is none.

    The text is well-formed up to there.
    """
    keys: list[set[str] | None] = []
    at, key = 0, ""
    while (token := _TOKEN.search(text, at)) is not None:
        begin, at = token.span()
        word = token[0]
        if word[0] == '"':
            at = at if len(word) > 1 else string_end(text, begin)
            if at < 0:
                break
            key = text[begin:at]
        elif word in "[{":
            keys.append(set() if word == "{" else None)
        elif word in "]}":
            keys.pop()
        elif word == ":":
            name, inside = json.loads(key), keys[-1]
            if inside is not None and name in inside:
                place = text.rfind(key, 0, begin)
                reason = f"not usable JSON: the key {_short(name)} is given twice in one object"
                return BadJson(text, place, reason, "duplicate-key", found=_short(name), fix="keep one of them")
            if inside is not None:
                inside.add(name)
        elif word in ("NaN", "Infinity", "-Infinity"):
            return BadJson(text, begin, f"not usable JSON: {word} is no JSON value", "number", found=word)
        elif word != "," and _is_infinite(word):
            return BadJson(text, begin, "not usable JSON: a number that is too large", "number", found=word[:40])
    raise AssertionError("a decoder's hook refused a text without a cause")


def _short(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:39] + "…")


def _is_infinite(word: str) -> bool:
    number = _NUMBER.match(word)
    return number is not None and math.isinf(float(number[0]))


def string_end(text: Any, begin: int) -> int:
    """Where the JSON string that begins with the quote at `begin` is over, in str or bytes; -1 if it never is.

    By searching for quotes rather than by a pattern: one that repeats a group takes memory for every escape.
    """
    quote: Any
    backslash: Any
    quote, backslash = ('"', "\\") if isinstance(text, str) else (b'"', b"\\")
    at: int = text.find(quote, begin + 1)
    while at >= 0:
        before = at
        while text[before - 1 : before] == backslash:
            before -= 1
        if (at - before) % 2 == 0:
            return at + 1
        at = text.find(quote, at + 1)
    return -1


def _depth_of(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        inside: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inside += cast("Mapping[str, Any]", item).values()
            elif isinstance(item, list):
                inside += item
        level = [item for item in inside if isinstance(item, (dict, list))]
    return depth


def _refuse_escapes(text: str) -> None:
    """Raise BadJson for an escape that stands for a NUL character or for half of a surrogate pair."""
    at = text.find("\\u0000")
    while at >= 0:
        if _is_escape(text, at):
            raise BadJson(text, at, "holds a NUL character", "nul", found="\\u0000", fix="take the NUL characters out")
        at = text.find("\\u0000", at + 1)
    at = 0
    while (found := _SURROGATE.search(text, at)) is not None:
        at = found.end()
        if not _is_escape(text, found.start()):
            continue
        second = _SURROGATE.match(text, at)
        if found[1] in "89abAB" and second is not None and second[1] not in "89abAB":
            at = second.end()
            continue
        reason = "holds half of a surrogate pair, which no UTF-8 file can"
        raise BadJson(text, found.start(), reason, "surrogate", found=found[0], fix="take it out, or complete the pair")


def _is_escape(text: str, at: int) -> bool:
    """Whether the backslash at a place begins an escape, rather than being the second half of one."""
    before = at
    while text[before - 1 : before] == "\\":
        before -= 1
    return (at - before) % 2 == 0

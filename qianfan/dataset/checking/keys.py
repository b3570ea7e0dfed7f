"""The keys that each shape reads, and keys that were probably meant to be one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any, NamedTuple

from qianfan._strict import nearest
from qianfan.dataset.shapes import SHAPES, Path

_ALIKE = 0.8
_MOST_LONGER = 2
"""`prompt_id` is a column of its own, `prompts` a slip."""


class Keys(NamedTuple):
    """What a shape reads: keys of the row itself, and of the turns or messages in it."""

    row: frozenset[str] = frozenset()
    item: frozenset[str] = frozenset()


def _keys(row: str = "", item: str = "") -> Keys:
    return Keys(frozenset(row.split()), frozenset(item.split()))


_MESSAGE = "role content name weight tool_calls tool_call_id function_call"
_SAID = "from value role content name weight"

KEYS: Mapping[str, Keys] = {
    "dialogue": _keys(item="system prompt response weight score"),
    "preference": _keys(item="system user assistant chosen rejected"),
    "query": _keys("prompt", "prompt"),
    "text": _keys("text"),
    "alpaca": _keys("instruction input output system history tools chosen rejected kto_tag"),
    "messages": _keys("messages system tools functions parallel_tool_calls chosen rejected kto_tag", _MESSAGE),
    "prompt_response": _keys("prompt response system history"),
    "prompt_completion": _keys("prompt completion system tools", _MESSAGE),
    "sharegpt": _keys("conversations system tools chosen rejected kto_tag", _SAID),
    "dpo": _keys("prompt chosen rejected system tools instruction input conversations", f"{_MESSAGE} {_SAID}"),
    "kto": _keys(
        "prompt completion label system tools instruction input output conversations kto_tag", f"{_MESSAGE} {_SAID}"
    ),
    "text2image": _keys("image prompt text"),
    "answers": _keys("input output reference error", "role content"),
}
"""By the name of the shape; a shape that reads whatever it is given has none."""


def texts_of(value: Any, keys: Keys | None) -> Iterator[tuple[Path, str]]:
    """The texts of a row as it stands in its file, each with its place, without those under keys that nobody reads."""
    known = None if keys is None else keys.row | keys.item
    # A stack of its own, since rows may be nested deeper than calls may be.
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, str):
            yield path, found
        elif isinstance(found, list):
            waiting += [((*path, at), inner) for at, inner in reversed(list(enumerate(found)))]
        elif isinstance(found, Mapping):
            inside = [((*path, key), inner) for key, inner in found.items() if known is None or key in known]
            waiting += reversed(inside)


def misspelt(value: Any, keys: Keys) -> Iterator[tuple[Path, str, str]]:
    """Keys that are not read although they look like one that is and is not there: path, key, what was meant."""
    if isinstance(value, Mapping):
        yield from _misspelt_in(value, keys.row, ())
    lists = value.items() if isinstance(value, Mapping) else [(None, value)]
    for key, items in lists:
        if isinstance(items, list) and (key is None or key in keys.row):
            outer: Path = () if key is None else (key,)
            for at, item in enumerate(items):
                if isinstance(item, Mapping):
                    yield from _misspelt_in(item, keys.item, (*outer, at))


def misspelt_columns(value: Any) -> Iterator[tuple[Path, str, str]]:
    """Columns of a row without a known shape that keep it from having one: some of a shape's keys are there, and
    others look like those that are not."""
    for shape in SHAPES.values() if isinstance(value, Mapping) else ():
        for needed in shape.needs:
            missing = [key for key in needed if key not in value]
            meant = {key: _meant(key, frozenset(missing)) for key in value if key not in needed} if missing else {}
            slips = {key: name for key, name in meant.items() if name is not None}
            if missing and set(slips.values()) == set(missing):
                yield from (((key,), key, name) for key, name in slips.items())
                return


def _misspelt_in(found: Mapping[str, Any], known: frozenset[str], path: Path) -> Iterator[tuple[Path, str, str]]:
    for key in found.keys() - known:
        meant = _meant(key, known)
        if meant is not None and meant not in found:
            yield (*path, key), key, meant


@lru_cache(maxsize=1024)
def _meant(key: str, known: frozenset[str]) -> str | None:
    close = nearest(key, sorted(known))
    if close is None or abs(len(close) - len(key)) > _MOST_LONGER:
        return None
    return close if SequenceMatcher(None, key.casefold(), close).ratio() >= _ALIKE else None

"""From tokens to text while they come: whole characters only, and nothing of a text that ends the answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_BROKEN: Final = "\N{REPLACEMENT CHARACTER}"
"""What decodes from a character of which bytes are still missing."""


class Detokenizer:
    """Decodes tokens as they come.

    Tokens may hold parts of a character, and how one is decoded may depend on the one before it. So the last tokens
    are decoded with and without the new ones, and what has been added is the new text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = 0  # tokens whose text has been given
        self._before = 0  # where the last tokens begin

    def feed(self, token: int) -> str:
        """The text that is complete with this token, often of this token alone."""
        self._ids.append(token)
        text = self._new_text()
        if text.endswith(_BROKEN):
            return ""
        self._before, self._given = self._given, len(self._ids)
        return text

    def rest(self) -> str:
        """What has not been given so far, complete or not."""
        text = self._new_text()
        self._before, self._given = self._given, len(self._ids)
        return text

    def _new_text(self) -> str:
        known = self._decode(self._ids[self._before : self._given])
        return self._decode(self._ids[self._before :])[len(known) :]

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class StopTexts:
    """Lets text pass up to the first of some texts; holds back what may become the beginning of one."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """What can pass for sure. Nothing passes once one of the texts was found."""
        if self.found:
            return ""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.found = True
            passing, self._held = self._held[: min(places)], ""
            return passing
        kept = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        passing, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        return passing

    def rest(self) -> str:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`, but not all of it."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)

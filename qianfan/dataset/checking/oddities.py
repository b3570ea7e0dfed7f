"""Texts that can be trained on but should not be: with what is left of templates, wrong decoding, or web pages."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

RULES_OF_TEXTS = ("placeholder", "replacement-character", "control-character", "html-entity")

# Double braces also occur in formulas, `x^{{ab}}`, and in code, `{{1, 2}}`.
_PLACEHOLDER = re.compile(r"(?<![A-Za-z0-9^_\\{$])\{\{ ?[^\W\d][\w .\-]{1,40}\}\}(?!\})")
_REPLACEMENT = re.compile("\ufffd+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{2,5}|#x[0-9a-fA-F]{2,4});")
_MARKUP = re.compile(r"<[a-zA-Z/!?]|```")

_MAYBE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")


def oddities(text: str) -> Iterator[tuple[str, str, str]]:
    """What is odd about a text: the rule, the reason, and what was found; once for each rule."""
    if "{{" in text and (found := _PLACEHOLDER.search(text)):
        yield "placeholder", f"holds the placeholder {found[0]!r}", found[0]
    if "\ufffd" in text and (found := _REPLACEMENT.search(text)):
        yield "replacement-character", "holds what is left of characters that were decoded wrongly", found[0]
    if found := _CONTROL.search(text):
        yield "control-character", f"holds the control character U+{ord(found[0]):04X}", found[0]
    # A text about HTML, or with code, says what it means.
    if "&" in text and (found := _ENTITY.search(text)) and not _MARKUP.search(text):
        yield "html-entity", f"holds the HTML entity {found[0]!r}", found[0]


def may_be_odd(json_text: str) -> bool:
    """Whether a row could hold an odd text, by its JSON text; quick, and never wrong about a no."""
    return "{{" in json_text or "&" in json_text or "\\u" in json_text or _MAYBE.search(json_text) is not None


# In bytes as in characters; an escape may stand for any character below U+0100, or for U+FFFD. Single bytes are looked
# for at memory speed, so they go ahead where they are rare; a pattern is the next best.
_MARKS = (
    (b"{", re.compile(rb"\{\{")),
    (b"\xef", re.compile(rb"\xef\xbf\xbd")),
    (b"&", re.compile(rb"&(?:nbsp|amp|lt|gt|quot|apos|#)")),
    (b"\\", re.compile(rb"\\u(?:00|[fF]{3}[dD])")),
    (b"\x7f", re.compile(rb"\x7f")),
    (b"\xc2", re.compile(rb"\xc2[\x80-\x9f]")),
)


def marked_lines(block: bytes, ends: Sequence[int]) -> list[int]:
    """The lines of a block that could hold an odd text, by their position in it, in order.

    ends: where each line of the block ends. Every line with an odd text is among those that are found.
    """
    lines: set[int] = set()
    for guard, mark in _MARKS:
        if guard not in block:
            continue
        at = 0
        while found := mark.search(block, at):
            line = bisect_right(ends, found.start())
            lines.add(line)
            at = ends[line]
    return sorted(lines)

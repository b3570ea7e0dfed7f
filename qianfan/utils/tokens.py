"""How many tokens a text has, by the platform's own rule of thumb."""

from __future__ import annotations

import re
import string
import unicodedata
from typing import Final

_CHINESE: Final = re.compile("[\u4e00-\u9fff]+")
_FOR_A_CHARACTER: Final = 0.625
_FOR_A_WORD: Final = 1.0
_BLANK: Final = ord(" ")


def estimate_tokens(text: str) -> int:
    """0.625 for each Chinese character, 1 for each word; words stand between blanks, punctuation and such characters.

    The platform's own count differs; see `Tokenizer.count_tokens` with `mode="remote"`.
    """
    # By runs of characters, each of which leaves one blank behind: ten times as fast as one by one.
    rest, runs = _CHINESE.subn(" ", text)
    characters = len(text) - len(rest) + runs
    words = sum(1 for word in rest.translate(_blanks).split(" ") if word)
    return int(_FOR_A_CHARACTER * characters + _FOR_A_WORD * words)


class _Blanks(dict[int, int]):
    """Blanks and punctuation -> a blank. Other control characters and separators are parts of words."""

    def __missing__(self, code: int) -> int:
        between = unicodedata.category(chr(code)).startswith(("P", "Zs"))
        self[code] = made = _BLANK if between else code
        return made


_blanks: Final = _Blanks(dict.fromkeys(map(ord, string.punctuation + "\t\n\r"), _BLANK))

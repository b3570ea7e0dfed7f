"""What each operator of a cleaning does: change a text, or say whether a row stays."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from qianfan.emulator.catalogue import DATA
from qianfan.emulator.cleaning import measures

Change = Callable[[str], str]
Limits = Mapping[str, float]
Keep = Callable[[Sequence[str]], list[bool]]
"""The texts of all rows that are left -> which of them stay."""

# --- clean -------------------------------------------------------------------------------------------------------

_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b05-\u2b55\u231a\u231b\u23e9-\u23f3\u3030\u303d\u3297\u3299]"
    "[\ufe0e\ufe0f\u20e3]?(?:\u200d[\U0001f000-\U0001faff\u2600-\u27bf]\ufe0f?)*"
)
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,7}|#x[0-9a-fA-F]{1,6});")
_ADDRESS = re.compile(r"(?:https?|ftp)://[^\s<>\"'，。；、）】]+|www\.[^\s<>\"'，。；、）】]+", re.IGNORECASE)


def remove_emoji(text: str) -> str:
    """Pictures that stand in text, with what varies or joins them."""
    return _EMOJI.sub("", text)


def remove_invisible_character(text: str) -> str:
    """Control and format characters; line breaks and tabs stay."""
    return "".join(one for one in text if one in "\n\r\t" or unicodedata.category(one) not in ("Cc", "Cf"))


def replace_uniform_whitespace(text: str) -> str:
    """Every kind of space (no-break, ideographic, thin, …) becomes the usual one; line breaks and tabs stay."""
    return "".join(" " if unicodedata.category(one) == "Zs" else one for one in text)


def remove_non_meaning_characters(text: str) -> str:
    """What stands for a character that was lost, and characters that mean nothing outside of a font."""
    return "".join(one for one in text if one != "\ufffd" and unicodedata.category(one) not in ("Co", "Cn", "Cs"))


def replace_traditional_chinese_to_simplified(text: str) -> str:
    """A table of about a thousand common characters, one by one; words that differ otherwise stay."""
    return text.translate(_simplified())


def remove_web_identifiers(text: str) -> str:
    """Markup, character references and web addresses."""
    return _ADDRESS.sub("", _ENTITY.sub(" ", _TAG.sub("", text)))


@cache
def _simplified() -> dict[int, str]:
    pairs = "".join((DATA / "traditional.txt").read_text("utf-8").split())
    return {ord(traditional): simplified for traditional, simplified in zip(pairs[::2], pairs[1::2], strict=True)}


# --- desensitization ---------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IP = re.compile(
    rf"(?<![\d.])(?:{_BYTE}\.){{3}}{_BYTE}(?![\d.])|(?<![\w:])(?:[0-9a-fA-F]{{1,4}}:){{7}}[0-9a-fA-F]{{1,4}}(?![\w:])"
)
_IDENTIFIER = re.compile(r"(?<!\d)(?:\d{17}[\dXx]|\d{15,19}|1[3-9]\d{9})(?!\d)")


def replace_emails(text: str) -> str:
    """Mail addresses become `<EMAIL>`."""
    return _EMAIL.sub("<EMAIL>", text)


def replace_ip(text: str) -> str:
    """IPv4 and full IPv6 addresses become `<IP>`."""
    return _IP.sub("<IP>", text)


def replace_identifier(text: str) -> str:
    """Numbers of identity cards, bank cards and mobile phones become `<ID>`."""
    return _IDENTIFIER.sub("<ID>", text)


CHANGES: dict[str, dict[str, Change]] = {
    "clean": {
        "remove_emoji": remove_emoji,
        "remove_invisible_character": remove_invisible_character,
        "replace_uniform_whitespace": replace_uniform_whitespace,
        "remove_non_meaning_characters": remove_non_meaning_characters,
        "replace_traditional_chinese_to_simplified": replace_traditional_chinese_to_simplified,
        "remove_web_identifiers": remove_web_identifiers,
    },
    "desensitization": {
        "replace_emails": replace_emails,
        "replace_ip": replace_ip,
        "replace_identifier": replace_identifier,
    },
}
"""Stage -> operator -> what it makes of each text."""

# --- filter and deduplication ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filter:
    """An operator that drops rows. limits: what it takes -> its default, None where it has to be given."""

    limits: Mapping[str, float | None]
    keep: Callable[[Limits], Keep]


def _at_most(measure: Callable[[str], float], limit: str) -> Filter:
    return Filter({limit: None}, lambda limits: lambda texts: [measure(text) <= limits[limit] for text in texts])


def _number_of_words(limits: Limits) -> Keep:
    low, high = limits["number_words_min_cutoff"], limits["number_words_max_cutoff"]
    return lambda texts: [low <= len(measures.words_of(text)) <= high for text in texts]


def _language(limits: Limits) -> Keep:
    return lambda texts: [measures.language(text) >= limits["lang_id_min_cutoff"] for text in texts]


def _perplexity(limits: Limits) -> Keep:
    def keep(texts: Sequence[str]) -> list[bool]:
        model = measures.Perplexity(texts)
        return [model.of(text) <= limits["perplexity_max_cutoff"] for text in texts]

    return keep


def _simhash(limits: Limits) -> Keep:
    """Of rows whose hashes differ in at most `distance` of 64 bits, the first stays."""
    distance = int(limits["distance"])
    # Two hashes that differ in d bits are the same in one of d + 1 parts at least.
    width = max(1, 64 // (distance + 1))
    parts = [(start, (1 << width) - 1) for start in range(0, 64 - width + 1, width)]

    def keep(texts: Sequence[str]) -> list[bool]:
        kept: dict[tuple[int, int], list[int]] = {}
        stays: list[bool] = []
        for text in texts:
            own = measures.simhash(text)
            keys = [(start, own >> start & mask) for start, mask in parts]
            alike = any((own ^ other).bit_count() <= distance for key in keys for other in kept.get(key, ()))
            stays.append(not alike)
            for key in keys if not alike else ():
                kept.setdefault(key, []).append(own)
        return stays

    return keep


FILTERS: dict[str, dict[str, Filter]] = {
    "filter": {
        "filter_check_number_words": Filter(
            {"number_words_min_cutoff": 1, "number_words_max_cutoff": 10000}, _number_of_words
        ),
        "filter_check_word_repetition_removal": _at_most(measures.word_repetition, "word_repetition_max_cutoff"),
        "filter_check_character_repetition_removal": _at_most(
            measures.character_repetition, "default_character_repetition_max_cutoff"
        ),
        "filter_check_special_characters": _at_most(measures.special_characters, "special_characters_max_cutoff"),
        "filter_check_flagged_words": _at_most(measures.flagged_words, "flagged_words_max_cutoff"),
        "filter_check_lang_id": Filter({"lang_id_min_cutoff": None}, _language),
        "filter_check_perplexity": Filter({"perplexity_max_cutoff": None}, _perplexity),
    },
    "deduplication": {"deduplication_simhash": Filter({"distance": None}, _simhash)},
}
"""Stage -> operator that drops rows."""

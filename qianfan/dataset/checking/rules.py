"""Everything a check looks for: one table, from which messages, groups and the documentation take their words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qianfan._strict import suggestion
from qianfan.dataset.report import Severity
from qianfan.errors import InvalidArgumentError

Choice: TypeAlias = Literal["error", "warning", "off"]
"""What a user may make of a rule that only warns."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is looked for. about: what it means, in a sentence; fix: what to do, if nothing better is known.

    An error keeps the rows from being used at all; a warning is a hint, which a user may turn into an error or off.
    """

    name: str
    severity: Severity
    about: str
    fix: str


def _errors(*rules: tuple[str, str, str]) -> list[Rule]:
    return [Rule(name, "error", about, fix) for name, about, fix in rules]


def _warnings(*rules: tuple[str, str, str]) -> list[Rule]:
    return [Rule(name, "warning", about, fix) for name, about, fix in rules]


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        # --- what keeps a file from being read ---
        *_errors(
            ("encoding", "A line is not UTF-8.", "save the file as UTF-8"),
            ("file-encoding", "The whole file is in another encoding than UTF-8.", "save the file as UTF-8"),
            ("not-json", "The text is not valid JSON.", "correct the text at this place"),
            ("not-csv", "The text is not a valid table.", "correct the quotes at this place"),
            ("truncated", "The file ends in the middle of a row.", "copy the file again"),
            ("too-long", "A line is too long to be a row.", "put each row on a line of its own"),
            ("too-deep", "A value is nested too deeply.", "write it flatter"),
            ("number", "A number is none that JSON has, or too large.", "write another one, or a text"),
            ("duplicate-key", "A key is given twice, and nobody can say which counts.", "keep one of them"),
            ("ragged", "A row of a table has more cells than the header.", "give it as many cells as the header has"),
            ("nul", "A text holds a NUL character, which the platform does not take.", "take it out"),
            ("surrogate", "A text holds half of a surrogate pair, which no UTF-8 file can.", "take it out"),
        ),
        # --- what keeps a row from being used ---
        *_errors(
            (
                "no-format",
                "The columns are those of no format, so that nothing can be trained on the rows.",
                "rename the columns, or map the rows to a known format",
            ),
            ("ambiguous", "A row could be two things, of which only one can be meant.", "leave out one of them"),
            ("mixed-kinds", "A row is of another kind than the rest.", "put it into a file of its own"),
            ("missing", "A part that every row needs is not there.", "add it, or leave the row out"),
            ("empty", "A text that must say something is empty.", "fill it in, or leave the row out"),
            ("wrong-type", "A value is of another type than it must be.", "write it as the type that is expected"),
            ("value", "A value is none of those that are allowed.", "use one of those that are"),
            ("role", "A message is from somebody who has no place in training rows.", "leave it out"),
            ("order", "Questions and answers do not take turns.", "join them, or add what is missing"),
            ("answers", "A question has several answers where one belongs.", "keep one of them"),
            ("too-many-turns", "A conversation has more turns than the platform keeps.", "split it into several rows"),
            ("tools", "A tool, a call of one or its result cannot be read.", "write it as the format says"),
            ("file-too-large", "The file is larger than the platform imports.", "split it into several files"),
            ("other", "The row cannot be used.", "correct it, or leave the row out"),
        ),
        # --- what is only odd ---
        *_warnings(
            (
                "too-many-tokens",
                "The platform trains on fewer tokens of a row, and cuts the rest.",
                "shorten or split it",
            ),
            ("too-few-rows", "There are fewer rows than the training asks for.", "collect more rows"),
            ("duplicate-row", "A row is the same as an earlier one.", "drop it, as fix(duplicates=True) does"),
            ("same-question", "A question was asked before, with another answer.", "keep the better answer"),
            ("leaked-row", "A row is also in the data that is kept for evaluation.", "drop it from one of the two"),
            ("leaked-question", "A question is also in the data kept for evaluation.", "drop it from one of the two"),
            ("same-answer", "Most rows have the same answer.", "check how the answers were made"),
            ("misspelt-key", "A key is not read, but looks like one that is.", "rename it"),
            ("placeholder", "A placeholder of a template was left in a text.", "fill it in"),
            ("replacement-character", "A text holds what wrong decoding left of it.", "decode the source anew"),
            ("control-character", "A text holds a character that is not for reading.", "remove it"),
            ("html-entity", "A text without any HTML holds an HTML entity.", "unescape it"),
        ),
    )
}
"""All rules by name."""

WITHOUT_WARNINGS: dict[str, Choice] = {rule.name: "off" for rule in RULES.values() if rule.severity == "warning"}


def severity_of(rule: str, choices: Mapping[str, Choice]) -> Choice:
    """What a finding counts as, by a user's choices."""
    known = RULES.get(rule)
    return choices.get(rule) or (known.severity if known else "error")


def checked_choices(choices: Mapping[str, Choice] | None) -> dict[str, Choice]:
    """What a user made of the rules. Raises InvalidArgumentError for what cannot be chosen."""
    for name, choice in (choices or {}).items():
        if name in RULES and name not in WITHOUT_WARNINGS:
            raise InvalidArgumentError(f"rule {name!r} is always an error, since such rows cannot be used")
        if name not in RULES:
            raise InvalidArgumentError(f"unknown rule {name!r}; {suggestion(name, WITHOUT_WARNINGS)}")
        if choice not in ("error", "warning", "off"):
            raise InvalidArgumentError(f"rule {name!r} can be 'error', 'warning' or 'off', not {choice!r}")
    return dict(choices or {})

"""What the platform can do to the rows of a text dataset: the operators of `Dataset.online_data_process`.

They run in four stages, in this order: exceptions are mended or taken out (`clean`), whole texts are dropped by what
they are like (`filter`), those that are nearly the same are dropped (`deduplication`), and personal data are replaced
(`desensitization`). Ratios go from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from qianfan.errors import InvalidArgumentError

Stage: TypeAlias = Literal["clean", "filter", "deduplication", "desensitization"]


@dataclass(frozen=True, kw_only=True)
class QianfanOperator:
    """One thing that is done to every text. operator_name, operator_type: the platform's names for it and its stage."""

    operator_name: ClassVar[str] = ""
    operator_type: ClassVar[Stage]


class ExceptionRegulator(QianfanOperator):
    """Mends texts."""

    operator_type = "clean"


class RemoveEmoji(ExceptionRegulator):
    """Takes out emoji."""

    operator_name = "remove_emoji"


class RemoveInvisibleCharacter(ExceptionRegulator):
    """Takes out characters that cannot be seen, such as most control characters."""

    operator_name = "remove_invisible_character"


class ReplaceUniformWhitespace(ExceptionRegulator):
    """Makes all kinds of blanks plain ones."""

    operator_name = "replace_uniform_whitespace"


class RemoveNonMeaningCharacters(ExceptionRegulator):
    """Takes out characters that stand for nothing, such as those left by a wrong encoding."""

    operator_name = "remove_non_meaning_characters"


class ReplaceTraditionalChineseToSimplified(ExceptionRegulator):
    """Makes traditional Chinese simplified."""

    operator_name = "replace_traditional_chinese_to_simplified"


class RemoveWebIdentifiers(ExceptionRegulator):
    """Takes out what web pages leave in texts, such as HTML tags."""

    operator_name = "remove_web_identifiers"


class Filter(QianfanOperator):
    """Drops texts."""

    operator_type = "filter"


@dataclass(frozen=True, kw_only=True)
class FilterCheckNumberWords(Filter):
    """Drops texts with fewer or more words than this."""

    operator_name = "filter_check_number_words"

    number_words_min_cutoff: int = 1
    number_words_max_cutoff: int = 10_000


@dataclass(frozen=True, kw_only=True)
class FilterCheckWordRepetitionRemoval(Filter):
    """Drops texts in which a larger part of the words repeats."""

    operator_name = "filter_check_word_repetition_removal"

    word_repetition_max_cutoff: float


@dataclass(frozen=True, kw_only=True)
class FilterCheckCharacterRepetitionRemoval(Filter):
    """Drops texts in which a larger part of the characters repeats."""

    operator_name = "filter_check_character_repetition_removal"

    default_character_repetition_max_cutoff: float


@dataclass(frozen=True, kw_only=True)
class FilterCheckSpecialCharacters(Filter):
    """Drops texts in which a larger part are special characters."""

    operator_name = "filter_check_special_characters"

    special_characters_max_cutoff: float


@dataclass(frozen=True, kw_only=True)
class FilterCheckFlaggedWords(Filter):
    """Drops texts in which a larger part are flagged words."""

    operator_name = "filter_check_flagged_words"

    flagged_words_max_cutoff: float


@dataclass(frozen=True, kw_only=True)
class FilterCheckLangId(Filter):
    """Drops texts whose language is known less surely than this."""

    operator_name = "filter_check_lang_id"

    lang_id_min_cutoff: float


@dataclass(frozen=True, kw_only=True)
class FilterCheckPerplexity(Filter):
    """Drops texts that a language model is more surprised by than this."""

    operator_name = "filter_check_perplexity"

    perplexity_max_cutoff: int


class Deduplicator(QianfanOperator):
    """Drops texts that are nearly the same as others."""

    operator_type = "deduplication"


@dataclass(frozen=True, kw_only=True)
class DeduplicationSimhash(Deduplicator):
    """Drops texts whose simhash differs in at most so many bits."""

    operator_name = "deduplication_simhash"

    distance: float


class DesensitizationProcessor(QianfanOperator):
    """Replaces personal data."""

    operator_type = "desensitization"


class ReplaceEmails(DesensitizationProcessor):
    """Replaces e-mail addresses."""

    operator_name = "replace_emails"


class ReplaceIp(DesensitizationProcessor):
    """Replaces IP addresses."""

    operator_name = "replace_ip"


class ReplaceIdentifier(DesensitizationProcessor):
    """Replaces numbers of persons, such as those of identity cards and phones."""

    operator_name = "replace_identifier"


def by_stage(operators: Sequence[QianfanOperator]) -> dict[str, list[dict[str, Any]]]:
    """Operators as the platform takes them: for each stage, names and arguments.

    Raises InvalidArgumentError when there are none, or something else among them.
    """
    stages: dict[str, list[dict[str, Any]]] = {}
    for operator in operators:
        if not isinstance(operator, QianfanOperator) or not operator.operator_name:
            raise InvalidArgumentError(f"{operator!r} is no operator of qianfan.dataset.qianfan_data_operators")
        made = {"name": operator.operator_name, "args": asdict(operator)}
        stages.setdefault(operator.operator_type, []).append(made)
    if not stages:
        raise InvalidArgumentError("a cleaning needs at least one operator")
    return stages

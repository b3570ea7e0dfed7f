"""BLEU-4 and ROUGE, against values computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.utils.scores import longest_common_subsequence, score, words

NAMES = ["BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"]

SCORES = {
    "equal": ("the cat sat on the mat", "the cat sat on the mat", [100, 100, 100, 100]),
    "nothing in common": ("a b c d", "e f g h", [0, 0, 0, 0]),
    "no run of four": ("a b c d", "a b c e", [0, 75, 200 / 3, 75]),
    "one word wrong": ("a b c d e f", "a b c d x f", [53.7285, 500 / 6, 60, 500 / 6]),
    "too short": ("a b c d e", "a b c d", [77.8801, 800 / 9, 600 / 7, 800 / 9]),
    "too long": ("a b c d", "a b c d e", [66.8740, 800 / 9, 600 / 7, 800 / 9]),
    "repeated": ("a b", "a a a a", [0, 100 / 3, 0, 100 / 3]),
    "characters of Chinese": ("今天天气好", "今天天气很好", [53.7285, 1000 / 11, 200 / 3, 1000 / 11]),
    "two characters are right": ("正面", "正面", [100, 100, 100, 100]),
    "one word is right": ("yes", "yes", [100, 100, 100, 100]),
    "one word is wrong": ("yes", "no", [0, 0, 0, 0]),
    "no answer": ("yes", "", [0, 0, 0, 0]),
}


@pytest.mark.parametrize(("reference", "candidate", "expected"), SCORES.values(), ids=SCORES)
def test_scores(reference: str, candidate: str, expected: list[float]) -> None:
    assert score([(reference, candidate)]) == pytest.approx(dict(zip(NAMES, expected, strict=True)), abs=1e-3)


def test_bleu_counts_over_all_pairs_and_rouge_averages_them() -> None:
    scores = score([("a b c d", "a b c d"), ("yes", "no")])
    assert scores["BLEU-4"] == pytest.approx(100 * 0.8**0.25)  # 4 of 5 words, and no longer runs in the second
    assert scores["ROUGE-1"] == 50


def test_words_of_latin_script_and_characters_of_others() -> None:
    assert words("LoRA的rank是8, café!") == ["LoRA", "的", "rank", "是", "8", ",", "café", "!"]


TEXTS = st.text(alphabet="ab 你好", max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_scores_are_percentages(pairs: list[tuple[str, str]]) -> None:
    assert all(0 <= value <= 100.000001 for value in score(pairs).values())


@settings(deadline=None)
@given(TEXTS)
def test_an_answer_that_is_right_scores_in_full(text: str) -> None:
    expected = 100 if words(text) else 0
    assert score([(text, text)])["BLEU-4"] == pytest.approx(expected)
    assert score([(text, text)])["ROUGE-L"] == pytest.approx(100)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_a_common_subsequence_is_symmetric_and_no_longer_than_either(one: str, other: str) -> None:
    length = longest_common_subsequence(one, other)
    assert length == longest_common_subsequence(other, one)
    assert length <= min(len(one), len(other))

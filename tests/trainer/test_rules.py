"""Rules about metrics: what they say, what they refuse, and that reading one runs nothing."""

from __future__ import annotations

import math
import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.errors import InvalidArgumentError
from qianfan.trainer.rules import DEEPEST, LONGEST, Compare, Joined, Not, Rule, metrics_in, parse_rule

METRICS = {"accuracy": 0.85, "BLEU-4": 21.5, "short enough": True, "loss": "3.50%", "准确率": 1}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("accuracy >= 0.8", True),
        ("accuracy>=.9", False),
        ("accuracy < 8.6e-1", True),
        ("accuracy == 0.85 and accuracy != 1", True),
        ("BLEU-4 > 20", True),
        ("BLEU-4 > 20 and accuracy > 0.9", False),
        ("BLEU-4 > 20 or accuracy > 0.9", True),
        ("accuracy > 0.9 and accuracy > 0.9 or BLEU-4 > 20", True),
        ("accuracy > 0.9 and (accuracy > 0.9 or BLEU-4 > 20)", False),
        ("not accuracy > 0.9", True),
        ("not not not accuracy > 0.9", True),
        ('"short enough" == 1', True),
        ("'short enough' < 1", False),
        ('"short\\u0020enough" >= +1', True),
        ("loss <= 3.5", True),
        ("准确率 > -1", True),
        ({"accuracy": ">= 0.8"}, True),
        ({"accuracy": ">=0.8", "short enough": "== 1"}, True),
        ({"accuracy": ">=0.8", "short enough": "== 0"}, False),
    ],
)
def test_what_a_rule_says(text: Any, holds: bool) -> None:
    rule = parse_rule(text)
    assert rule.holds(METRICS) is holds
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "character 1: the name of a metric is missing"),
        ("   ", "the name of a metric is missing"),
        ("accuracy", "character 9: 'accuracy' needs one of >="),
        ("accuracy >", "character 11: a number is missing after '>'"),
        ("accuracy > high", "character 12: a number is missing"),
        ("accuracy = 1", "character 10: '=' compares nothing; write =="),
        ("accuracy > 80%", "leave '%' out"),
        ("accuracy > 1 && loss < 2", "'&' is not known; write and, or, not"),
        ("accuracy > 1 loss < 2", "character 14: 'loss' is not expected here"),
        ("accuracy > 1e999", "is too large"),
        ("(accuracy > 1", "a parenthesis is not closed"),
        ("accuracy > 1)", "is not expected here"),
        ('"accuracy > 1', "a quotation mark is not closed"),
        ('"a\\q" > 1', "is no text in quotes"),
        ("0.8 < accuracy", "the name of a metric is missing"),
        ("__import__('os').system('true')", "'.' is not known"),
        ("and > 1", "the name of a metric is missing"),
        ("not " * (DEEPEST + 1) + "a > 1", "inside each other"),
        ("(" * 1000 + "a > 1", "inside each other"),
        ("a" * (LONGEST + 1) + " > 1", "at most"),
        ("accuracy > 1; 2", "';' is not known"),
        ({}, "at least one metric"),
        ({"accuracy": 0.8}, "'accuracy' must be a text such as"),
        ({"accuracy": "0.8"}, "the condition of 'accuracy' needs one of"),
        ({"accuracy": ">= 0.8 or"}, "is not expected here"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: Any, says: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_rule(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "metrics", "says"),
    [
        ("acuracy > 1", METRICS, "did you mean 'accuracy'"),
        ("nonsense > 1", METRICS, "it gave BLEU-4"),
        ("nonsense > 1", {}, "none at all"),
        ("a > 1", {"a": None}, "no number to compare"),
        ("a > 1", {"a": "high"}, "no number to compare"),
        ("a > 1", {"a": [1]}, "no number to compare"),
        ("not a > 1", {"a": math.nan}, "no number to compare"),
        ("b > 0 or a > 1", {"b": 1}, "needs the metric 'a'"),
    ],
)
def test_metrics_that_are_missing_or_no_numbers_are_never_passed_over(
    text: str, metrics: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_rule(text).holds(metrics)
    assert says in str(caught.value)


names = st.one_of(
    st.sampled_from(["accuracy", "BLEU-4", "rouge_l", "and", "short enough", "x@5", "比例"]),
    st.text(min_size=1, max_size=8),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
compares = st.builds(Compare, names, st.sampled_from([">=", "<=", ">", "<", "==", "!="]), numbers)
rules: st.SearchStrategy[Rule] = st.recursive(
    compares,
    lambda inside: st.one_of(
        st.builds(Not, inside),
        st.builds(Joined, st.sampled_from(["and", "or"]), st.lists(inside, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
OPERATORS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


def meaning(rule: Rule, metrics: dict[str, float]) -> bool:
    """The same, said in another way."""
    match rule:
        case Compare(metric, how, bound):
            return bool(OPERATORS[how](metrics[metric], bound))
        case Not(inside):
            return not meaning(inside, metrics)
        case Joined("and", inside):
            return all(meaning(one, metrics) for one in inside)
        case Joined(_, inside):
            return any(meaning(one, metrics) for one in inside)


@given(rules)
def test_a_rule_in_words_is_the_same_rule(rule: Rule) -> None:
    assert parse_rule(str(rule)) == rule


@given(rules, st.data())
def test_a_rule_means_what_it_says(rule: Rule, data: st.DataObject) -> None:
    metrics = {name: data.draw(numbers) for name in sorted(metrics_in(rule))}
    assert rule.holds(metrics) is meaning(rule, metrics)


@given(st.one_of(st.text(max_size=60), st.text("a1.>=<!()'\"\\ andornot-", max_size=60)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        rule = parse_rule(text)
    except InvalidArgumentError:
        return
    assert parse_rule(str(rule)) == rule


@given(st.dictionaries(names, st.builds("{} {!r}".format, st.sampled_from([*OPERATORS]), numbers), min_size=1))
def test_a_dictionary_is_all_of_its_conditions(conditions: dict[str, str]) -> None:
    assert metrics_in(parse_rule(conditions)) == conditions.keys()

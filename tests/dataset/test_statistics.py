"""What rows are like, in numbers."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset.checking import Distribution, stats
from qianfan.dataset.checking.html import histogram_svg
from qianfan.dataset.checking.parts import parts_of, question_of, trained_tokens
from qianfan.dataset.checking.sample import Sample
from qianfan.dataset.checking.text import bars
from qianfan.dataset.sources import MemoryDataSource
from qianfan.utils.tokens import estimate_tokens


def test_lengths_are_counted_for_each_part():
    rows = [
        [{"system": "be kind", "prompt": "你好", "response": [["hello there"]]}, {"prompt": "bye", "response": "再见"}],
        [{"prompt": "q", "response": [["a"]]}],
        [],
    ]
    found = stats(MemoryDataSource(rows))
    assert (found.rows, found.measured, found.is_sample) == (2, 2, False)
    assert found.kinds == {"NonSortedConversation": 2}
    assert (found.turns.total, found.turns.largest) == (3, 2)
    totals = {part: one.total for part, one in found.characters.items()}
    assert totals == {"prompt": 6, "answer": 14, "system": 7, "all": 27}
    assert found.tokens["all"].largest == sum(map(estimate_tokens, ("be kind", "你好", "hello there", "bye", "再见")))
    assert found.languages == {"chinese": 0.16, "english": 0.84, "other": 0.0}


def test_other_kinds_of_rows_are_measured_too():
    assert stats(MemoryDataSource(["一二三", "four"])).characters["all"].total == 7
    preference = stats(MemoryDataSource([[{"user": "q", "chosen": "good", "rejected": "bad"}]]))
    assert {part: one.total for part, one in preference.characters.items()} == {
        "prompt": 1,
        "answer": 7,
        "system": 0,
        "all": 8,
    }
    assert stats(MemoryDataSource([{"prompt": "q"}])).kinds == {"QuerySet": 1}
    assert stats(MemoryDataSource(["Привет"])).languages == {"chinese": 0, "english": 0, "other": 1}


def test_of_answers_to_one_question_the_longest_counts_for_the_training():
    row = [{"user": "one two", "chosen": "a b c", "rejected": "a"}]
    assert trained_tokens(row) == 5
    assert list(parts_of(row)) == [("prompt", "one two"), ("answer", "a b c"), ("answer", "a")]


def test_a_question_is_all_but_the_last_answer():
    first, last = {"prompt": "a", "response": [["b"]]}, {"prompt": "c", "response": [["d"]], "weight": 1}
    assert question_of([first, last]) == [first, {"prompt": "c"}]
    assert question_of({"prompt": "a"}) is None
    assert question_of("text") is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**6) | st.integers(0, 50), min_size=1, max_size=200))
def test_a_distribution_counts_every_value_once_in_bins_of_one_round_width(values):
    found = Distribution.of(values)
    assert (found.count, found.total, found.smallest, found.largest) == (
        len(values),
        sum(values),
        min(values),
        max(values),
    )
    assert sum(one.rows for one in found.histogram) == len(values)
    for one in found.histogram:
        assert one.rows == sum(one.low <= value and (one.high is None or value < one.high) for value in values)
    widths = {one.high - one.low for one in found.histogram if one.high is not None}
    assert len(widths) == 1
    assert str(widths.pop()).rstrip("0") in ("1", "2", "5")
    assert len(found.histogram) <= 15
    assert list(found.quantiles.values()) == sorted(found.quantiles.values())


def test_no_values_have_a_distribution_as_well():
    found = Distribution.of([])
    assert (found.count, found.mean, found.histogram) == (0, 0.0, ())
    assert list(bars(found.histogram)) == []
    assert histogram_svg(found.histogram).startswith("<svg")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.integers(1, 40), st.integers(0, 30))
def test_a_sample_is_every_nth_row_and_bounded(rows, most, more):
    sample: Sample[int] = Sample(most + more, most)
    for position in range(rows):
        if sample.wants(position):
            sample.noted[position] = position
    assert list(sample.noted) == list(range(0, rows, sample.step))
    assert len(sample.noted) <= (most + more if sample.step == 1 else most)
    assert sample.step == 1 or rows > most + more


def test_statistics_say_when_they_are_from_a_sample_only():
    found = stats(MemoryDataSource(f"text {number}" for number in range(20_001)))
    assert (found.rows, found.measured, found.is_sample) == (20_001, 2_501, True)
    assert str(found).startswith("20,001 rows, measured on 2,501 of them\n")


def test_statistics_are_json_and_read_well():
    found = stats(MemoryDataSource([[{"prompt": "你好", "response": [["hello"]]}]] * 3))
    read = json.loads(json.dumps(found.to_dict()))
    assert read["tokens"]["all"]["quantiles"]["0.5"] == found.tokens["all"].quantiles[0.5]
    assert read["turns"]["histogram"] == [{"low": 1, "high": 2, "rows": 3}]
    text = str(found)
    assert text.startswith("3 rows\nkinds: NonSortedConversation 3\nlanguages: chinese 29%, english 71%\n")
    assert "characters, answer" in text
    assert found._repr_html_().count("<svg") == 3

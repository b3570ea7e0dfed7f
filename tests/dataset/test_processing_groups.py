"""Conversations as turns with a group, and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset import DataTemplateType
from qianfan.dataset.processing import filtered, grouped, packed, selected, shuffled, ungrouped, unpacked
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import InvalidArgumentError
from tests.dataset.test_processing import json_of, written

turns = st.builds(lambda prompt, answer: {"prompt": prompt, "response": [[answer]]}, *[st.sampled_from("abc")] * 2)
talks = st.lists(st.lists(turns, min_size=1, max_size=4), max_size=6)


def table(rows) -> MemoryDataSource:
    return MemoryDataSource(rows, format="table")


@settings(max_examples=40, deadline=None)
@given(talks, st.integers(0, 9))
def test_turns_know_their_conversation_and_make_it_again(rows, seed):
    source = unpacked(MemoryDataSource(rows))
    assert json_of(source) == [{**turn, "_group": number} for number, row in enumerate(rows) for turn in row]
    again = packed(source)
    assert json_of(again) == rows
    if rows:
        assert again.template_type is DataTemplateType.NonSortedConversation
    mixed_up = json_of(packed(shuffled(source, seed)))
    assert [sorted(map(str, row)) for row in mixed_up] == [sorted(map(str, row)) for row in rows]


def test_groups_come_in_the_order_of_their_numbers_and_rows_without_one_after_them():
    rows = [{"a": 1, "_group": 5}, {"a": 2}, {"a": 3, "_group": -1}, {"a": 4, "_group": 5}, {"a": 5, "_group": None}]
    source = packed(table(rows))
    assert [raw.value for raw in source.raw_rows()] == [[{"a": 3}], [{"a": 1}, {"a": 4}], [{"a": 2}], [{"a": 5}]]
    assert [source.raw_row(at).value for at in range(len(source))] == [raw.value for raw in source.raw_rows()]


def test_questions_without_answers_that_are_packed_are_conversations():
    source = packed(table([{"prompt": "q", "_group": 0}]))
    assert source.shape.name == "dialogue"
    judged = packed(table([{"user": "u", "chosen": "c", "rejected": "r", "_group": 0}]))
    assert judged.template_type is DataTemplateType.PromptChosenRejected


def test_conversations_are_packed_already():
    rows = [[{"prompt": "q", "response": [["a"]]}]]
    assert json_of(packed(MemoryDataSource(rows))) == rows


def test_turns_keep_the_place_of_their_conversation(tmp_path):
    turn = {"prompt": "q", "response": [["a"]]}
    source = unpacked(written(tmp_path / "a.jsonl", [[turn, turn], [turn], [{"prompt": "no answer"}]], before="\n"))
    assert [raw.line for raw in source.raw_rows()] == [2, 2, 3, 4]
    assert [raw.problem is None for raw in source.raw_rows()] == [True, True, True, False]
    assert [raw.line for raw in selected(packed(source), slice(2)).raw_rows()] == [2, 3]


def test_rows_get_groups_of_their_own_and_lose_them():
    rows = [{"a": 1}, {"a": 2}, {"a": 3}]
    source = grouped(filtered(table(rows), lambda row: row["a"] != 2))
    assert json_of(source) == [{"a": 1, "_group": 0}, {"a": 3, "_group": 1}]
    assert json_of(ungrouped(source)) == [{"a": 1}, {"a": 3}]


def test_texts_have_no_turns_and_conversations_no_columns_for_a_group():
    with pytest.raises(InvalidArgumentError, match="row 1: only conversations can be unpacked"):
        json_of(unpacked(MemoryDataSource(["text"])))
    with pytest.raises(InvalidArgumentError, match="row 1: only rows with columns can be in a group"):
        json_of(grouped(MemoryDataSource(["text"])))


@pytest.mark.parametrize("group", ["a", 1.5, [1], 2**62])
def test_a_group_that_is_no_number_is_refused_with_its_place(group):
    with pytest.raises(InvalidArgumentError, match="row 2: _group must be a number, not"):
        len(packed(table([{"a": 1, "_group": 1}, {"a": 1, "_group": group}])))

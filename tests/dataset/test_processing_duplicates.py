"""Rows that are there already, or nearly, left out."""

from __future__ import annotations

import json
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset import FileDataSource
from qianfan.dataset.processing import deduplicated, mapped, near_deduplicated, shuffled
from qianfan.dataset.processing.near_duplicates import shingles
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import InvalidArgumentError, MissingExtraError, RowFunctionError
from tests.dataset.test_processing import json_of

leaves = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "a", "中"])
values = st.recursive(leaves, st.lists, max_leaves=4)
tables = st.lists(st.fixed_dictionaries({"a": values, "b": st.integers(0, 1)}), max_size=15)


def naive(rows, key):
    """The first of the rows that have the same key."""
    first = {}
    for row in rows:
        first.setdefault(json.dumps(key(row), sort_keys=True), row)
    return [*first.values()]


def table(rows) -> MemoryDataSource:
    return MemoryDataSource(rows, format="table")


# --- exactly ----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(tables)
def test_the_first_of_equal_rows_stays_and_the_order(rows):
    source = deduplicated(table(rows))
    assert source.dropped is None
    assert json_of(source) == naive(rows, lambda row: row)
    assert source.dropped == len(rows) - len(json_of(source))
    assert json_of(deduplicated(source)) == json_of(source)


@settings(max_examples=40, deadline=None)
@given(tables)
def test_rows_are_compared_by_a_column_by_several_or_by_a_function(rows):
    assert json_of(deduplicated(table(rows), "a")) == naive(rows, lambda row: row["a"])
    assert json_of(deduplicated(table(rows), ["b", "a"])) == naive(rows, lambda row: row)
    assert json_of(deduplicated(table(rows), lambda row: row["b"])) == naive(rows, lambda row: row["b"])


def test_rows_are_equal_by_what_they_hold_and_not_by_how_it_is_written(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "b": "\\u4e2d"}\n{"b":"中","a":1}\n\n{"b":"中","a":2}', encoding="utf-8")
    assert json_of(deduplicated(FileDataSource(path))) == [{"a": 1, "b": "中"}, {"b": "中", "a": 2}]


def test_repeated_questions_can_be_left_out():
    talks = [[{"prompt": "q", "response": [[answer]]}] for answer in ("a", "b")]
    source = deduplicated(MemoryDataSource([*talks, *talks]), "prompt")
    assert json_of(source) == talks[:1]
    assert (source.dropped, [*source.dropped_positions]) == (3, [1, 2, 3])


def test_rows_that_cannot_be_read_are_no_duplicates():
    broken = [{"prompt": "no answer"}]
    source = MemoryDataSource([[{"prompt": "q", "response": "a"}], broken, broken])
    assert len(deduplicated(source, "prompt")) == 3
    assert len(near_deduplicated(source)) == 3


def test_what_rows_cannot_be_told_apart_by():
    with pytest.raises(RowFunctionError, match="row 1: the function returned what rows cannot be told apart by"):
        len(deduplicated(MemoryDataSource(["a"]), lambda row: {row}))
    with pytest.raises(InvalidArgumentError, match="no column 'c'"):
        len(deduplicated(table([{"a": 1}]), ["a", "c"]))


# --- nearly -----------------------------------------------------------------------------------------------------------


def similar_rows(count: int, seed: int) -> list[str]:
    """Texts of words and characters, many of them changed copies of earlier ones."""
    chance = random.Random(seed)
    letters = [*(f"word{number} " for number in range(100)), *map(chr, range(0x4E00, 0x4E64))]
    rows: list[list[str]] = []
    for _ in range(count):
        if rows and chance.random() < 0.6:
            row = [*chance.choice(rows)]
            for _ in range(chance.randrange(4)):
                row[chance.randrange(len(row))] = chance.choice(letters)
        else:
            row = [chance.choice(letters) for _ in range(chance.randrange(1, 60))]
        rows.append(row)
    return ["".join(row) for row in rows]


def likeness(some: str, others: str) -> float:
    both = shingles(some), shingles(others)
    return len(both[0] & both[1]) / len(both[0] | both[1])


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.85, 1.0])
def test_exactly_the_rows_that_are_like_one_that_stays_are_left_out(threshold):
    rows = similar_rows(150, seed=7)
    kept: list[str] = []
    for row in rows:
        if all(likeness(row, earlier) < threshold for earlier in kept):
            kept.append(row)
    source = near_deduplicated(MemoryDataSource(rows), threshold)
    assert json_of(source) == kept
    assert source.dropped == len(rows) - len(kept) > 20


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from([0.2, 0.5, 0.85, 0.99]))
def test_what_is_left_out_is_like_one_that_stays_and_what_stays_is_stable(seed, threshold):
    rows = similar_rows(30, seed)
    source = near_deduplicated(MemoryDataSource(rows), threshold)
    kept = json_of(source)
    for position in source.dropped_positions:
        assert any(likeness(rows[position], earlier) >= threshold for earlier in kept)
    assert set(naive(rows, str)) >= set(kept)
    assert json_of(near_deduplicated(MemoryDataSource(kept), threshold)) == kept


def test_what_shingles_are():
    assert shingles("我爱Python, 你呢") == {"我 爱 python", "爱 python ,", "python , 你", ", 你 呢"}
    assert shingles(["Hello  World", {"a": "x", "b": 1}]) == {"hello world", "x"}
    assert shingles([" ", None, 3]) == frozenset()


def test_marks_count_and_rows_without_text_stay():
    rows = [{"a": "", "b": 1}, {"a": "", "b": 2}, {"a": "2 + 2", "b": 3}, {"a": "2 - 2", "b": 4}, {"a": "2+2", "b": 5}]
    assert [row["b"] for row in json_of(near_deduplicated(table(rows), by="a"))] == [1, 2, 3, 4]


def test_rows_of_a_derived_source_are_compared_by_what_they_are_there():
    source = mapped(shuffled(MemoryDataSource(["one two three", "four five six"]), 1), lambda text: "the same for all")
    assert json_of(near_deduplicated(source)) == ["the same for all"]
    assert json_of(near_deduplicated(MemoryDataSource([]))) == []


@pytest.mark.parametrize("threshold", [0, 0.05, 1.1, float("nan")])
def test_a_threshold_that_means_nothing_is_refused(threshold):
    with pytest.raises(InvalidArgumentError, match=r"between 0\.1 and 1"):
        near_deduplicated(MemoryDataSource([]), threshold)


def test_without_the_library_the_message_holds_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'qianfan\[data\]'"):
        near_deduplicated(MemoryDataSource(["text"]))

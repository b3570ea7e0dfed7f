"""Sources made of other sources: changed, filtered, chosen, joined; lazily, and with the places that rows come from."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan._sync import in_thread
from qianfan.dataset import DataTemplateType, FileDataSource
from qianfan.dataset.processing import concatenated, filtered, mapped, materialised, selected, shuffled
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.sources import LocalSource, MemoryDataSource
from qianfan.errors import InvalidArgumentError, RowFunctionError, ValidationError

TALKS = [[{"prompt": f"q{number}", "response": [[f"a{number}"]]}] for number in range(6)]
texts = st.lists(st.text("ab 中文\n", min_size=1).filter(str.strip), max_size=12)


def json_of(source) -> list:
    """The rows of a source, which random access and the length agree with."""
    rows = [row.to_json() for row in source.rows()]
    assert [source.row(position).to_json() for position in range(len(source))] == rows
    assert source.known_length in (None, len(rows))
    return rows


def talks() -> MemoryDataSource:
    return MemoryDataSource(TALKS)


def written(path: Path, rows, *, before: str = "") -> FileDataSource:
    path.write_text(before + "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    source = FileDataSource(path)
    source.open()
    return source


# --- map --------------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(texts)
def test_map_and_filter_are_those_of_lists(values):
    source = MemoryDataSource(values)
    assert json_of(mapped(source, str.upper)) == [value.upper() for value in values]
    assert json_of(filtered(source, lambda text: "a" in text)) == [value for value in values if "a" in value]
    both = filtered(mapped(source, lambda text: text + "b"), lambda text: text.startswith("a"))
    assert json_of(both) == [value + "b" for value in values if (value + "b").startswith("a")]


def test_rows_that_are_mapped_come_in_the_form_of_the_platform(tmp_path):
    source = written(tmp_path / "a.jsonl", [{"instruction": "问", "output": "答"}])
    seen = []
    rows = json_of(mapped(source, lambda row: seen.append(row) or row))
    assert rows[0] == seen[0] == [{"prompt": "问", "response": [["答"]]}]


def test_mapped_rows_keep_their_shape_where_it_fits_and_get_their_own_where_it_does_not():
    kept = mapped(talks(), lambda turns: turns * 2)
    assert (kept.shape.name, kept.template_type) == ("dialogue", DataTemplateType.NonSortedConversation)
    told = mapped(
        talks(), lambda turns: {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    )
    assert (told.shape.name, told.template_type) == ("messages", DataTemplateType.NonSortedConversation)
    assert json_of(told)[0] == [{"prompt": "x", "response": [["y"]]}]
    asked = mapped(talks(), lambda turns: turns[0]["prompt"])
    assert (asked.shape.name, asked.template_type) == ("text", DataTemplateType.GenericText)


def test_columns_that_get_known_names_become_conversations():
    table = MemoryDataSource([{"question": "q", "answer": "a"}])
    assert table.template_type is None
    renamed = mapped(table, lambda row: {"prompt": row["question"], "response": row["answer"]})
    assert renamed.template_type is DataTemplateType.NonSortedConversation
    assert json_of(renamed) == [[{"prompt": "q", "response": [["a"]]}]]
    assert json_of(mapped(table, lambda row: {"prompt": row["question"]}, format="query")) == [{"prompt": "q"}]


def test_a_function_may_change_the_row_it_gets():
    values = [{"a": [1, {"b": 2}]}]
    source = MemoryDataSource(values)

    def change(row):
        row["a"][1]["b"] = 3
        return row

    assert json_of(mapped(source, change)) == [{"a": [1, {"b": 3}]}]
    assert values == [{"a": [1, {"b": 2}]}]


def test_nothing_is_read_and_no_function_called_before_rows_are_asked_for(tmp_path):
    missing = FileDataSource(tmp_path / "missing.jsonl", "jsonl")
    calls = []
    source = mapped(shuffled(filtered(missing, calls.append), 1), lambda row: row)
    assert source.known_length is None
    written(missing.path, TALKS)
    assert next(mapped(missing, lambda row: row).rows()).to_json() == TALKS[0]
    assert calls == []


def test_only_the_rows_that_are_asked_for_reach_the_function():
    seen = []
    source = selected(mapped(talks(), lambda row: seen.append(row) or row), slice(1, 2))
    assert [raw.value for raw in source.raw_rows()] == [TALKS[1]]
    assert seen == TALKS[:2]


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (None, "returned None; return the row, and use filter to drop rows"),
        ({"a": {1, 2}}, "returned what is no row: a: a value of type set is no JSON value; make it a list"),
        (["a", ("b",)], "returned what is no row: [1]: a value of type tuple is no JSON value; make it a list"),
        ({"a": float("nan")}, "returned what is no row: a: nan is no JSON number"),
        ({1: "a"}, "returned what is no row: the key 1 is no text"),
        (b"a", "returned what is no row: a value of type bytes is no JSON value"),
    ],
)
def test_what_is_no_row_is_refused_with_the_place(tmp_path, returned, why):
    source = mapped(written(tmp_path / "a.jsonl", TALKS, before="\n\n"), lambda row: returned)
    with pytest.raises(RowFunctionError) as caught:
        list(source.raw_rows())
    assert f"a.jsonl (changed), line 3: the function {why}" in str(caught.value)
    assert caught.value.line == 3


def test_a_row_that_holds_itself_is_refused():
    def endless(row):
        row.append(row)
        return row

    with pytest.raises(RowFunctionError, match="nested too deeply, or holds itself"):
        list(mapped(talks(), endless).raw_rows())


@pytest.mark.parametrize("make", [mapped, filtered])
def test_a_function_that_fails_is_named_with_the_row_and_the_cause(tmp_path, make):
    def clean(row):
        return row[0]["nothing"]

    source = make(written(tmp_path / "a.jsonl", TALKS), clean)
    with pytest.raises(RowFunctionError, match=r"line 1: clean\(\) failed: KeyError: 'nothing'") as caught:
        list(source.raw_rows())
    assert isinstance(caught.value.__cause__, KeyError)


async def later(row):
    return row


@pytest.mark.parametrize("function", [later, None, "upper"])
def test_what_cannot_be_called_with_a_row_is_refused_at_once(function):
    with pytest.raises(InvalidArgumentError):
        mapped(talks(), function)
    with pytest.raises(InvalidArgumentError):
        filtered(talks(), function)


def test_problems_keep_their_places_through_all_steps(tmp_path):
    source = written(tmp_path / "a.jsonl", [*TALKS[:2], [{"prompt": "no answer"}], *TALKS[2:4]])
    derived = mapped(filtered(source, lambda row: row != TALKS[0]), lambda row: row)
    problems = [raw.problem for raw in derived.raw_rows() if raw.problem is not None]
    assert [(problem.line, problem.field) for problem in problems] == [(3, "[0]")]
    with pytest.raises(ValidationError, match="line 3"):
        list(derived.rows())


def test_what_a_function_breaks_is_reported_at_the_line_of_the_row(tmp_path):
    source = mapped(
        written(tmp_path / "a.jsonl", TALKS, before="\n"),
        lambda row: [{"prompt": row[0]["prompt"], "response": "" if "q2" in row[0]["prompt"] else "x"}],
    )
    (problem,) = source.validate().problems
    assert (problem.line, problem.field) == (4, "[0].response")


# --- filter -----------------------------------------------------------------------------------------------------------


def test_a_filter_is_asked_once_about_every_row():
    calls = []
    source = filtered(talks(), lambda row: calls.append(row) or row[0]["prompt"] in ("q1", "q4"))
    assert len(source) == 2
    assert json_of(source) == [TALKS[1], TALKS[4]]
    assert len(calls) == len(TALKS)


def test_a_filter_that_leaves_nothing_leaves_the_kind():
    source = filtered(talks(), lambda row: False)
    assert json_of(source) == []
    assert source.template_type is DataTemplateType.NonSortedConversation


# --- choose -----------------------------------------------------------------------------------------------------------

bounds = st.none() | st.integers(-9, 9)


@settings(max_examples=40, deadline=None)
@given(texts, bounds, bounds, st.none() | st.integers(-3, 3).filter(bool))
def test_slices_are_those_of_lists(values, start, stop, step):
    assert json_of(selected(MemoryDataSource(values), slice(start, stop, step))) == values[start:stop:step]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_positions_are_those_of_lists(data):
    values = data.draw(texts.filter(bool))
    positions = data.draw(st.lists(st.integers(-len(values), len(values) - 1)))
    assert json_of(selected(MemoryDataSource(values), positions)) == [values[position] for position in positions]


def test_a_position_that_does_not_exist():
    with pytest.raises(IndexError, match="row 6 of rows in memory, which has 6"):
        list(selected(talks(), [0, 6]).rows())
    with pytest.raises(IndexError):
        selected(talks(), slice(2)).raw_row(2)


# --- join -------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_concatenated_sources_are_those_of_lists(lists):
    sources = [MemoryDataSource(values) for values in lists]
    assert json_of(concatenated(sources)) == [value for values in lists for value in values]


def test_sources_of_several_shapes_meet_in_the_form_of_the_platform(tmp_path):
    alpaca = written(tmp_path / "a.jsonl", [{"instruction": "i", "output": "o"}])
    both = concatenated([alpaca, talks(), filtered(talks(), lambda row: False)])
    assert both.shape.name == "dialogue"
    assert json_of(both) == [[{"prompt": "i", "response": [["o"]]}], *TALKS]
    same = concatenated([alpaca, alpaca])
    assert same.shape.name == "alpaca"
    assert [raw.value for raw in same.raw_rows()] == [{"instruction": "i", "output": "o"}] * 2


def test_rows_of_several_sources_say_which_file_they_come_from(tmp_path):
    first = written(tmp_path / "a.jsonl", TALKS)
    second = written(tmp_path / "b.jsonl", [*TALKS[:1], [{"prompt": "no answer"}]])
    with second.path.open("a") as file:
        file.write("{broken")
    problems = concatenated([first, selected(second, [2, 1, 0])]).validate(duplicates=False).problems
    assert [(Path(problem.file).name, problem.line) for problem in problems] == [("b.jsonl", 3), ("b.jsonl", 2)]


def test_rows_of_different_kinds_are_not_joined():
    with pytest.raises(InvalidArgumentError, match="rows of different kinds make no dataset"):
        list(concatenated([talks(), MemoryDataSource(["text"])]).rows())
    judged = MemoryDataSource([{"prompt": "p", "completion": "c", "label": True}])
    paired = MemoryDataSource([{"prompt": "p", "chosen": "c", "rejected": "r"}])
    with pytest.raises(InvalidArgumentError, match="KTOPromptChosenRejected"):
        list(concatenated([paired, judged]).rows())
    with pytest.raises(InvalidArgumentError):
        concatenated([])


# --- make once --------------------------------------------------------------------------------------------------------


def test_materialised_rows_are_made_once_and_go_with_the_source():
    calls = []
    source = materialised(mapped(talks(), lambda row: calls.append(row) or row))
    path, made = source.path, len(calls)
    assert json_of(source) == TALKS
    assert json_of(filtered(source, lambda row: row[0]["prompt"] == "q3")) == [TALKS[3]]
    assert len(calls) == made
    assert path.exists()
    del source
    gc.collect()
    assert not path.parent.exists()


def test_materialised_rows_keep_their_shape_where_they_could_have_several():
    query = MemoryDataSource([{"prompt": "q"}], format="query")
    assert materialised(query).template_type is DataTemplateType.QuerySet
    table = MemoryDataSource([{"a": 1, "b": [None]}])
    assert json_of(materialised(table)) == [{"a": 1, "b": [None]}]


def test_a_bad_row_cannot_be_materialised():
    with pytest.raises(ValidationError, match="row 2"):
        materialised(MemoryDataSource([*TALKS[:1], [{"prompt": "no answer"}]]))


# --- long passes ------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_pass_ends_soon_after_the_call_it_works_for():
    begun, cancelled, ended = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def look(row):
        seen.append(row)
        begun.set()
        return cancelled.wait(60)

    def count() -> None:
        try:
            len(filtered(MemoryDataSource(["text"] * 20_000), look))
        finally:
            ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(in_thread, count)
        assert await in_thread(begun.wait, 60)
        group.cancel_scope.cancel()
    cancelled.set()
    assert await in_thread(ended.wait, 60)
    assert len(seen) < 20_000


# --- in any order -----------------------------------------------------------------------------------------------------


class ByStretches(LocalSource):
    """A source whose rows are slow to reach one by one, which counts how it is read."""

    def __init__(self, values: Sequence[str]) -> None:
        self.name = "stretches"
        self.values = values
        self.passes = self.jumps = 0
        self.find_shape("text")
        self.passes = 0

    def raw_rows(self) -> Iterator[RawRow]:
        self.passes += 1
        for number, value in enumerate(self.values, start=1):
            problem = RowProblem(number, 0, "is broken") if value == "broken" else None
            yield RawRow(number, 0, "", value, problem, "a file")

    def raw_row(self, position: int) -> RawRow:
        self.jumps += 1
        return list(self.raw_rows())[position]

    def __len__(self) -> int:
        return len(self.values)


def test_rows_that_are_slow_to_reach_are_passed_once_for_any_order():
    source = ByStretches([f"t{number}" for number in range(49)] + ["broken"])
    order = shuffled(mapped(source, str.upper), 3)
    rows = list(order.raw_rows())
    assert sorted(raw.line for raw in rows) == [*range(1, 51)]
    assert {raw.file for raw in rows} == {"a file"}
    assert [raw.value for raw in rows if raw.problem is None] == [f"T{raw.line - 1}" for raw in rows if raw.line < 50]
    assert [raw.problem.reason for raw in rows if raw.problem is not None] == ["is broken"]
    assert list(order.raw_rows()) == rows
    assert (source.passes, source.jumps) == (1, 0)


def test_single_rows_of_such_a_source_are_gone_to():
    source = ByStretches([f"t{number}" for number in range(5_000)])
    assert json_of(selected(source, [4_999, 3])) == ["t4999", "t3"]
    assert source.jumps > 0
    assert json_of(shuffled(ByStretches([]), 1)) == []


def test_rows_of_a_table_by_columns_are_shuffled(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "rows.parquet"
    duckdb.sql("select 'q' || range as prompt, 'a' as response from range(300)").write_parquet(str(path))
    source = FileDataSource(path)
    prompts = [row[0]["prompt"] for row in json_of(shuffled(source, 1))]
    assert prompts != [f"q{number}" for number in range(300)]
    assert sorted(prompts) == sorted(f"q{number}" for number in range(300))

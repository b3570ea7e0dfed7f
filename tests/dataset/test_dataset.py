"""Datasets on this machine: loading, looking, checking, saving."""

from __future__ import annotations

import json
import re
import tracemalloc
from importlib.resources import files
from pathlib import Path

import pytest

from qianfan.dataset import Dataset, FileDataSource, FormatType
from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.rows import Conversation
from qianfan.dataset.schema import QianfanGenericText, QianfanNonSortedConversation
from qianfan.errors import ArgumentNotFoundError, InvalidArgumentError, ValidationError
from tests.realdata import real_file

SAMPLE = Path(str(files("qianfan.emulator") / "data" / "sample.jsonl"))
LINES = [[{"prompt": f"q{n}", "response": [[f"a{n}"]]}] for n in range(5)]


def write(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def lines(tmp_path) -> Path:
    return write(tmp_path / "lines.jsonl", LINES)


# --- loading ------------------------------------------------------------------------------------------------------


def test_the_sample_that_ships_is_right():
    dataset = Dataset.load(data_file=SAMPLE)
    assert dataset.validate()
    assert len(dataset) >= 140
    prompts = [row[0]["prompt"] for row in dataset]
    assert len(set(prompts)) == len(prompts)
    assert {len(row) for row in dataset} == {1, 2}
    assert sum("system" in row[0] for row in dataset) >= 2


@pytest.mark.anyio
async def test_loading_asynchronously(lines):
    assert (await Dataset.aload(data_file=lines)).to_pylist() == LINES


def test_rows_by_position_slice_list_and_column(lines):
    dataset = Dataset.load(data_file=str(lines))
    assert len(dataset) == dataset.row_number() == 5
    assert dataset[0] == LINES[0]
    assert dataset[-1] == LINES[4]
    assert dataset[1:3] == dataset.list(slice(1, 3)) == LINES[1:3]
    assert dataset[[4, 0]] == [LINES[4], LINES[0]]
    assert dataset["prompt"] == ["q0", "q1", "q2", "q3", "q4"]
    assert dataset.list() == [*dataset] == LINES
    assert dataset.col_names() == ["prompt", "response"]
    assert (dataset.input_columns, dataset.reference_column) == (["prompt"], "response")
    assert all(isinstance(record, Conversation) for record in dataset.records())


def test_a_position_or_column_that_does_not_exist_raises(lines):
    dataset = Dataset.load(data_file=lines)
    for position in (5, -6):
        with pytest.raises(IndexError, match=f"row {position} of .*which has 5"):
            dataset[position]
    with pytest.raises(KeyError, match="columns: prompt, response"):
        dataset["answer"]


@pytest.mark.parametrize(
    ("name", "content", "format", "template"),
    [
        ("a.json", json.dumps([{"instruction": "i", "input": "x", "output": "o"}]), "alpaca", 2000),
        ("a.jsonl", '{"instruction": "i", "output": "o"}\n', "alpaca", 2000),
        (
            "a.jsonl",
            '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}\n',
            "messages",
            2000,
        ),
        ("a.jsonl", '{"prompt": "q", "response": "a"}\n', "prompt_response", 2000),
        ("a.jsonl", '[{"prompt": "q", "response": [["a"], ["b"]]}]\n', "dialogue", 2001),
        ("a.jsonl", '[{"user": "q", "chosen": "a", "rejected": "b"}]\n', "preference", 2002),
        ("a.jsonl", '{"prompt": "q"}\n', "query", 40200),
        ("a.txt", "some text\n", "text", 40100),
    ],
)
def test_the_form_of_a_file_is_found_out(tmp_path, name, content, format, template):
    (tmp_path / name).write_text(content, encoding="utf-8")
    dataset = Dataset.load(data_file=tmp_path / name)
    assert dataset.template_type == template
    assert f"format={format}" in repr(dataset)
    assert dataset.validate()


def test_a_named_format_settles_an_ambiguity(tmp_path):
    path = write(tmp_path / "a.jsonl", [[{"prompt": "q"}]])
    with pytest.raises(ValidationError, match=r"line 1, column 1: the row fits several formats: dialogue, query"):
        Dataset.load(data_file=path)
    assert Dataset.load(data_file=path, format="query")[0] == {"prompt": "q"}


def test_a_later_row_settles_an_ambiguity_too(tmp_path):
    path = write(tmp_path / "a.jsonl", [[{"prompt": "q"}], LINES[0]])
    assert Dataset.load(data_file=path).template_type is DataTemplateType.NonSortedConversation


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", None, "a.jsonl does not exist"),
        ("a.jsonl", "", "a.jsonl has no rows"),
        ("a.jsonl", "\n \n", "a.jsonl has no rows"),
        ("a.json", "[]", "a.json has no rows"),
        ("a.doc", "a,b", "cannot tell the file format from '.doc'"),
        ("a.jsonl", "17", "line 1, column 1: the row (a number) fits no known format"),
        ("a.jsonl", "[1", "line 1, column 3: not valid JSON"),
    ],
)
def test_a_file_that_cannot_be_used_fails_while_loading(tmp_path, name, content, expected):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=re.escape(expected)):
        Dataset.load(data_file=tmp_path / name)


def test_an_empty_folder_is_no_data_file(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InvalidArgumentError, match="holds no files with rows"):
        Dataset.load(data_file=tmp_path / "folder.jsonl")


def test_loading_needs_a_place():
    with pytest.raises(ArgumentNotFoundError, match="needs a data_file, a qianfan_dataset_id or a source"):
        Dataset.load()


def test_a_schema_says_what_is_expected(lines):
    assert Dataset.load(data_file=lines, schema=QianfanNonSortedConversation())
    with pytest.raises(InvalidArgumentError, match="is of kind NonSortedConversation, not GenericText"):
        Dataset.load(data_file=lines, schema=QianfanGenericText())
    assert QianfanNonSortedConversation().validate(Dataset.load(data_file=lines))


def test_turns_can_be_rows_of_their_own(tmp_path):
    path = write(tmp_path / "a.jsonl", [LINES[0], LINES[1] + LINES[2]])
    dataset = Dataset.load(data_file=path, organize_data_as_group=True)
    assert len(dataset) == 3
    assert dataset[2] == {"prompt": "q2", "response": [["a2"]], "_group": 1}
    assert dataset["_group"] == [0, 1, 1]


def test_a_source_can_be_given(lines):
    assert Dataset.load(FileDataSource(lines, FormatType.Jsonl))[0] == LINES[0]


def test_a_big_file_is_not_loaded(tmp_path):
    """Looking at a file and checking all its rows needs memory for a row, not for the file."""
    path = tmp_path / "big.jsonl"
    line = json.dumps([{"prompt": "q" * 2000, "response": [["a" * 2000]]}]) + "\n"
    path.write_text(line * 2000, encoding="utf-8")
    tracemalloc.start()
    try:
        dataset = Dataset.load(data_file=path)
        assert dataset.validate().rows == len(dataset) == 2000
        assert dataset[1999]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 4


# --- objects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ([{"prompt": "q", "response": "a"}], [[{"prompt": "q", "response": [["a"]]}]]),
        (LINES, LINES),
        ({"prompt": ["q0", "q1"], "response": ["a0", "a1"]}, LINES[:2]),
        (["one", "two"], ["one", "two"]),
        ([], []),
        ({}, []),
        ((row for row in LINES), LINES),
    ],
)
def test_python_objects_become_a_dataset(data, rows):
    dataset = Dataset.create_from_pyobj(data)
    assert dataset.to_pylist() == rows
    assert len(dataset) == len(rows)
    assert bool(dataset)


def test_objects_that_make_no_dataset_are_explained():
    with pytest.raises(InvalidArgumentError, match="columns must be equally long, found prompt: 1, response: 0"):
        Dataset.create_from_pyobj({"prompt": ["q"], "response": []})
    with pytest.raises(ValidationError, match=r"row 1: the row .* fits no known format"):
        Dataset.create_from_pyobj([17])
    report = Dataset.create_from_pyobj([LINES[0], [{"prompt": "q", "response": [[""]]}]]).validate()
    assert str(report.problems[0]) == "row 2: [0].response[0][0]: is empty"


# --- checking -----------------------------------------------------------------------------------------------------


def test_a_report_names_every_problem_with_line_column_and_reason(tmp_path):
    path = tmp_path / "a.jsonl"
    bad = [
        json.dumps(LINES[0]),
        "{not json",
        '[{"prompt": "q", "response": [[""]]}, {"prompt": 3, "response": "a"}]',
        '{"prompt": "q"}',
        '[{"prompt": "q", "response": [["a"], ["b"]]}]',
    ]
    path.write_text("\n".join(bad), encoding="utf-8")
    report = Dataset.load(data_file=path).validate()
    assert not report
    assert (report.rows, report.bad_rows, report.problem_count) == (5, 4, 5)
    assert [str(problem) for problem in report.problems] == [
        "line 2, column 2: not valid JSON: Expecting property name enclosed in double quotes",
        "line 3, column 32: [0].response[0][0]: is empty",
        "line 3, column 50: [1].prompt: must be a text, not a number",
        "line 4, column 1: is a row of the format query among dialogue rows",
        "line 5, column 1: is a SortedConversation row among NonSortedConversation rows",
    ]
    assert str(report).startswith(f"{path}: 4 of 5 rows have problems\n\n5 errors\n")
    with pytest.raises(ValidationError) as caught:
        report.raise_for_problems()
    assert len(caught.value.problems) == 5


def test_a_good_report_is_true_and_quiet(lines):
    report = Dataset.load(data_file=lines).validate()
    assert report
    assert str(report).startswith(f"{lines}: 5 rows, no errors, 1 warning\n")
    report.raise_for_problems()


def test_a_report_does_not_keep_a_million_problems(tmp_path):
    path = write(tmp_path / "a.jsonl", [LINES[0], *[[]] * 3000])
    report = Dataset.load(data_file=path).validate()
    assert (report.problem_count, len(report.problems)) == (3000, 1000)
    assert "and 2,997 more" in str(report)


def test_reading_stops_at_a_bad_row_and_names_it(tmp_path):
    path = write(tmp_path / "a.jsonl", [LINES[0], [{"prompt": "", "response": [["a"]]}]])
    dataset = Dataset.load(data_file=path)
    assert dataset[0] == LINES[0]
    for read in (lambda: dataset[1], dataset.to_pylist):
        with pytest.raises(
            ValidationError, match=r"a\.jsonl: a row cannot be read\n  - line 2, column 13: \[0\]\.prompt"
        ):
            read()


# --- for people ---------------------------------------------------------------------------------------------------


def test_a_dataset_describes_itself_in_one_line_without_reading(lines):
    dataset = Dataset.load(data_file=lines)
    assert repr(dataset).endswith("template=NonSortedConversation, format=dialogue, rows=not counted)")
    len(dataset)
    assert repr(dataset).endswith("rows=5)")
    html = dataset._repr_html_()
    assert "NonSortedConversation" in html
    assert str(dataset).splitlines()[0] == "Dataset"
    assert "prompt: q0 | response: a0" in str(dataset)


def test_html_is_escaped(tmp_path):
    path = write(tmp_path / "<i>.jsonl", LINES)
    assert "<i>" not in Dataset.load(data_file=path)._repr_html_()


# --- saving -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.jsonl", "out.json"])
def test_saving_writes_the_platforms_form(tmp_path, name):
    dataset = Dataset.create_from_pyobj([{"instruction": "加", "input": "一", "output": "二"}])
    saved = dataset.save(data_file=tmp_path / name)
    assert saved
    assert saved.to_pylist() == [[{"prompt": "加\n一", "response": [["二"]]}]]
    assert "加" in (tmp_path / name).read_text(encoding="utf-8")


@pytest.mark.anyio
async def test_a_file_can_be_saved_onto_itself(lines):
    saved = await (await Dataset.aload(data_file=lines)).asave(data_file=lines)
    assert saved.to_pylist() == LINES
    assert [path.name for path in lines.parent.iterdir()] == ["lines.jsonl"]


def test_texts_can_be_saved_as_lines(tmp_path):
    Dataset.create_from_pyobj(["one", "two"]).save(data_file=tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\n"
    with pytest.raises(InvalidArgumentError, match="only plain texts"):
        Dataset.create_from_pyobj(LINES).save(data_file=tmp_path / "b.txt")
    with pytest.raises(InvalidArgumentError, match="line breaks"):
        Dataset.create_from_pyobj(["a\nb"]).save(data_file=tmp_path / "b.txt")
    assert not (tmp_path / "b.txt").exists()


def test_saving_a_bad_row_leaves_no_file(tmp_path):
    dataset = Dataset.create_from_pyobj([LINES[0], []], format="dialogue")
    with pytest.raises(ValidationError, match="row 2"):
        dataset.save(data_file=tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []


# --- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "format", "template", "rows"),
    [
        ("alpaca_zh_demo.json", "alpaca", DataTemplateType.NonSortedConversation, 1000),
        ("identity.json", "alpaca", DataTemplateType.NonSortedConversation, 91),
        ("dpo_zh_demo.json", "sharegpt", DataTemplateType.PromptChosenRejected, 300),
        ("wiki_demo.txt", "text", DataTemplateType.GenericText, 30),
    ],
)
def test_real_files_are_recognised_and_right(tmp_path, name, format, template, rows):
    dataset = Dataset.load(data_file=real_file(name))
    assert f"format={format}" in repr(dataset)
    assert dataset.template_type is template
    report = dataset.validate()
    assert report
    assert report.rows == rows
    saved = dataset.save(data_file=tmp_path / "lines.jsonl")
    assert saved.template_type is template
    assert saved.to_pylist() == dataset.to_pylist()


def test_a_real_file_with_function_calls_is_right_too():
    report = Dataset.load(data_file=real_file("glaive_toolcall_zh_demo.json")).validate()
    assert report
    assert report.rows == 300

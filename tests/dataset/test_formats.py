"""Every kind of file: the same rows come out, in order and one by one, each with its place."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import sys
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qianfan.dataset import Dataset, DataTemplateType, FileDataSource, FormatType
from qianfan.dataset.reading import open_content, read_rows
from qianfan.dataset.writing import write_rows, write_values
from qianfan.errors import DataFileError, InvalidArgumentError

ROWS: list[dict[str, Any]] = [
    {"prompt": "一", "response": 'a, "b"\nc'},
    {"prompt": "二"},
    {"prompt": " three ", "response": "[1]"},
]
FILES = ("rows.jsonl", "rows.json", "rows.csv", "rows.tsv", "rows.parquet", "rows.arrow", "rows.feather")
PACKED = ("rows.jsonl.gz", "rows.json.gz", "rows.csv.gz")


def make(path: Path, rows: list[Any]) -> Path:
    """A file of rows, made by the library that its kind belongs to."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind in ("parquet", "arrow", "feather"):
        pl = pytest.importorskip("polars")
        frame = pl.DataFrame(rows, infer_schema_length=None)
        frame.write_parquet(path) if kind == "parquet" else frame.write_ipc(path)
        return path
    file = io.StringIO()
    if kind in ("csv", "tsv"):
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names, delimiter="," if kind == "csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)
    else:
        text = json.dumps(rows) if kind == "json" else "".join(json.dumps(row) + "\n" for row in rows)
        file.write(text)
    content = file.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def workbook(path: Path, *sheets: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for sheet in sheets:
        made = book.create_sheet()
        for cells in sheet:
            made.append(cells)
    book.save(path)
    return path


def problems_of(path: Path) -> list[tuple[int, int, str]]:
    return [(row.problem.line, row.problem.column, row.problem.rule) for row in read_rows(path) if row.problem]


@pytest.mark.parametrize("name", FILES + PACKED)
def test_a_file_gives_its_rows_in_order_and_one_by_one(tmp_path: Path, name: str) -> None:
    source = FileDataSource(make(tmp_path / name, ROWS))
    rows = [*source.raw_rows()]
    assert [row.value for row in rows] == ROWS
    assert source.known_length is None
    assert [source.raw_row(position) for position in range(len(source))] == rows
    assert source.raw_row(-1) == rows[-1]
    assert source.known_length == 3
    with pytest.raises(IndexError):
        source.raw_row(3)
    assert source.is_lines == (name == "rows.jsonl")


TEN = [{"prompt": f"问 {number}", "response": f'a, "{number}"\nb'} for number in range(10)]


@pytest.mark.parametrize("name", [*FILES, *PACKED, "rows.xlsx", "rows.zip", "folder"])
def test_the_same_ten_rows_make_the_same_dataset(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "rows.xlsx":
        workbook(path, [[*TEN[0]], *([*row.values()] for row in TEN)])
    elif name in ("rows.zip", "folder"):
        (tmp_path / "folder").mkdir()
        make(tmp_path / "folder" / "a.jsonl", TEN[:4])
        make(tmp_path / "folder" / "b.jsonl", TEN[4:])
        if name == "rows.zip":
            zip_of(path, tmp_path / "folder")
    else:
        make(path, TEN)
    dataset = Dataset.load(data_file=path)
    assert [*dataset] == [[{"prompt": row["prompt"], "response": [[row["response"]]]}] for row in TEN]
    assert dataset.template_type is DataTemplateType.NonSortedConversation
    assert dataset.validate()


@pytest.mark.skipif(sys.platform != "linux", reason="needs files with holes")
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.tsv"])
def test_the_first_rows_are_shown_without_the_rest(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name, TEN * 20)
    # Whoever read all of this file would never come back.
    os.truncate(path, 1 << 40)
    dataset = Dataset.load(data_file=path)
    assert dataset.template_type is DataTemplateType.NonSortedConversation
    assert [row.value for row in islice(FileDataSource(path).raw_rows(), 10)] == TEN


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("as_zip", [True, False])
def test_files_together_are_one_source_and_rows_name_their_file(tmp_path: Path, name: str, as_zip: bool) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    kind = name.partition(".")[2]
    make(folder / "below" / f"10.{kind}", ROWS[1:])
    make(folder / "below" / f"9.{kind}", ROWS[:1])
    (folder / "README.md").write_text("not rows")
    (folder / f".hidden.{kind}").write_text("not rows")
    path = zip_of(tmp_path / "rows.zip", folder) if as_zip else folder
    source = FileDataSource(path)
    rows = [*source.raw_rows()]
    assert [row.value for row in rows] == ROWS
    assert [row.file for row in rows] == [f"below/9.{kind}", f"below/10.{kind}", f"below/10.{kind}"]
    assert [source.raw_row(position - 3) for position in range(len(source))] == rows
    assert not source.is_lines
    with pytest.raises(IndexError):
        source.raw_row(-4)


def zip_of(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
        archive.writestr("__MACOSX/._9.jsonl", "not rows")
    return path


def test_packed_rows_of_a_folder_are_unpacked_inside_a_zip_too(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder / "a.jsonl.gz", ROWS)
    for path in (folder, zip_of(tmp_path / "a.zip", folder)):
        source = FileDataSource(path)
        assert [row.value for row in source.raw_rows()] == ROWS
        assert source.raw_row(2).value == ROWS[2]


def test_mixed_kinds_are_an_error_until_one_is_named(tmp_path: Path) -> None:
    make(tmp_path / "a.jsonl", ROWS)
    make(tmp_path / "b.csv", ROWS[:1])
    with pytest.raises(
        DataFileError, match=r"several formats: csv \(b\.csv\), jsonl \(a\.jsonl\); say which"
    ) as raised:
        FileDataSource(tmp_path).open()
    assert raised.value.path == str(tmp_path)
    assert [row.value for row in FileDataSource(tmp_path, "csv").raw_rows()] == ROWS[:1]
    with pytest.raises(DataFileError, match=r"holds no \.txt files"):
        FileDataSource(tmp_path, FormatType.Text).open()


def test_the_line_of_a_record_is_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfprompt,response\r\n"q\r\n1",a\r\n\r\n,\r\nq2,"a ""2"""\r\n')
    assert [(row.line, row.value) for row in read_rows(path)] == [
        (2, {"prompt": "q\r\n1", "response": "a"}),
        (6, {"prompt": "q2", "response": 'a "2"'}),
    ]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"prompt,response\nq,a,b\nq\nq,a\n", [(2, 1, "ragged"), (3, 1, "ragged")]),
        (b'prompt,response\n"q,a\nq,a\n', [(2, 1, "not-csv")]),
        (b'prompt,response\n"q"x,a\nq,a\n', [(2, 1, "not-csv")]),
        (b"prompt,response\nq,a\rb,c\nq,a\n", [(2, 1, "not-csv")]),
        (b"prompt,response\nq,a\nq,\0\n", [(3, 3, "nul")]),
        ("prompt,response\n问,答\nq,a\n".encode("gbk"), [(2, 1, "encoding")]),
        ("prompt,response\nq,a\n".encode("utf-16"), [(1, 1, "file-encoding")]),
        (b"prompt,prompt\nq,a\n", [(1, 1, "duplicate-key")]),
    ],
)
def test_what_is_wrong_with_a_table_has_its_line(tmp_path: Path, content: bytes, found: Any) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert problems_of(tmp_path / "a.csv") == found
    opened = open_content(tmp_path / "a.csv").content
    assert [opened.row(position) for position in range(len(opened))] == [*opened.rows()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_told_by_the_header(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "a.csv").write_text(f"prompt{delimiter}response\nq{delimiter}a\n")
    assert [row.value for row in read_rows(tmp_path / "a.csv")] == [{"prompt": "q", "response": "a"}]


def test_the_numbers_that_pandas_writes_before_rows_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",prompt\n0,q\n1,\n")
    assert [row.value for row in read_rows(tmp_path / "a.csv")] == [{"prompt": "q"}, {}]


@pytest.mark.parametrize(
    ("column", "cell", "is_value"),
    [
        ("messages", '[{"role": "user", "content": "q"}]', True),
        ("conversations", ' [{"from": "human", "value": "q"}]', True),
        ("response", '[["a"], ["b"]]', True),
        ("response", '["a", "b"]', False),
        ("response", '{"a": 1}', False),
        ("chosen", '{"role": "assistant", "content": "a"}', True),
        ("chosen", '{"a": 1}', False),
        ("prompt", "[]", False),
        ("history", '[["q", "a"]]', True),
        ("tools", '[{"name": "f"}]', True),
        ("tools", '[{"name": ', False),
        ("output", '[["a"]]', False),
        ("messages", '[{"role": "user", "role": "user"}]', False),
    ],
)
def test_a_cell_is_json_only_where_its_column_and_content_leave_no_doubt(
    tmp_path: Path, column: str, cell: str, is_value: bool
) -> None:
    make(tmp_path / "a.csv", [{column: cell, "other": "x"}])
    (row,) = read_rows(tmp_path / "a.csv")
    assert row.value == {column: json.loads(cell) if is_value else cell, "other": "x"}


def test_a_sheet_has_its_own_numbers_of_rows_and_only_what_is_filled_in(tmp_path: Path) -> None:
    cells = [[None, None], ["prompt", "response"], ["q1", "a1"], [None, None], ["q2", 5.0], [None, 2.5]]
    path = workbook(tmp_path / "a.xlsx", [], cells, [["other"], ["x"]])
    assert [(row.line, row.column, row.value) for row in read_rows(path)] == [
        (3, 0, {"prompt": "q1", "response": "a1"}),
        (5, 0, {"prompt": "q2", "response": 5}),
        (6, 0, {"response": 2.5}),
    ]
    source = FileDataSource(path)
    assert source.raw_row(1).line == 5
    assert len(source) == 3


def test_a_sheet_that_names_a_column_twice_says_so(tmp_path: Path) -> None:
    assert problems_of(workbook(tmp_path / "a.xlsx", [["a", "a"], ["1", "2"]])) == [(1, 0, "duplicate-key")]


def test_values_that_json_does_not_have_become_texts_or_problems(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    duckdb.sql(
        "SELECT DATE '2024-01-02' AS day, 1.50::DECIMAL(5,2) AS money, 'NaN'::DOUBLE AS none, "
        "[{'a': NULL, 'b': 1}] AS deep, '{\"k\": [1]}'::JSON AS json"
    ).write_parquet(str(tmp_path / "a.parquet"))
    (row,) = read_rows(tmp_path / "a.parquet")
    assert row.value == {"day": "2024-01-02", "money": 1.5, "deep": [{"b": 1}], "json": {"k": [1]}}
    duckdb.sql("SELECT 'q' AS prompt, [{'x': '\\xFF'::BLOB}] AS picture").write_parquet(str(tmp_path / "b.parquet"))
    (row,) = read_rows(tmp_path / "b.parquet")
    assert str(row.problem) == "row 1: picture[0].x: holds binary data, which JSON cannot"


def test_images_come_with_their_descriptions(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("2.png", "10.JPG", "3.jpeg"):
        (folder / name).write_bytes(b"pixels")
    (folder / "2.json").write_text('{"prompt": "猫"}', encoding="utf-8")
    (folder / "10.json").write_text('{"prompt": 1, "prompt": 2}')
    (folder / "4.json").write_text("{}")
    for path in (folder, zip_of(tmp_path / "images.zip", folder)):
        source = FileDataSource(path)
        assert source.file_format is FormatType.Text2Image
        rows = [*source.raw_rows()]
        assert [row.value for row in rows] == [{"image": "2.png", "prompt": "猫"}, {"image": "3.jpeg"}, None, None]
        places = [(row.problem.file, row.problem.line, row.problem.rule) for row in rows if row.problem]
        assert places == [("10.json", 1, "duplicate-key"), ("4.json", 4, "missing")]
        assert [source.raw_row(position) for position in range(len(source))] == rows


def test_each_text_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    texts = ["one\ntwo", "three", *(str(number) for number in range(9))]
    for name in ("folder", "folder.zip"):
        assert write_values(texts, tmp_path / name, FormatType.Text, as_folder=True) == 11
        source = FileDataSource(tmp_path / name, save_as_folder=True)
        source.open()
        assert [row.value for row in source.raw_rows()] == texts
        assert source.raw_row(1).value == "three"
        assert len(FileDataSource(tmp_path / name)) == 12
    with pytest.raises(DataFileError, match="is there already"):
        write_values(texts, tmp_path / "folder", FormatType.Text, as_folder=True)
    with pytest.raises(InvalidArgumentError, match="only plain texts"):
        write_values([{}], tmp_path / "other", FormatType.Jsonl, as_folder=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "folder.zip"]


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    path = make(tmp_path / "a.jsonl", ROWS)
    assert FileDataSource(path).fingerprint() == hashlib.sha256(path.read_bytes()).hexdigest()
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        make(folder / "b.jsonl", ROWS)
        make(folder / "a.jsonl", ROWS[:1])
    assert FileDataSource(one).fingerprint() == FileDataSource(two).fingerprint()
    (two / "b.jsonl").rename(two / "c.jsonl")
    assert FileDataSource(one).fingerprint() != FileDataSource(two).fingerprint()


# --- writing ----------------------------------------------------------------------------------------------------------

cell_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=4)
names = st.sampled_from(["prompt", "response", "输入", "a b", 'q"', "x;y"])
text_rows = st.lists(st.dictionaries(names, cell_texts, min_size=1, max_size=3), min_size=1, max_size=5)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.jsonl.gz", "a.zip"])
@settings(max_examples=40, deadline=None)
@given(rows=text_rows)
@example(rows=[{"prompt": " "}])
@example(rows=[{"x;y": "\n"}])
def test_rows_of_texts_come_back_from_any_format(tmp_path_factory: Any, name: str, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("written") / name
    file_format = FileDataSource(path).file_format
    assert write_values(iter(rows), path, file_format) == len(rows)
    assert [row.value for row in read_rows(path)] == rows
    assert [one.name for one in path.parent.iterdir()] == [name]


scalars = (st.booleans(), st.integers(-(2**40), 2**40), cell_texts)
parquet_values = st.recursive(
    st.one_of(*scalars, *(st.lists(one, min_size=1, max_size=2) for one in scalars)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2),
    max_leaves=4,
)


@settings(max_examples=15, deadline=None)
@given(values=st.lists(parquet_values, min_size=1, max_size=2))
def test_a_column_of_a_parquet_file_keeps_its_values(tmp_path_factory: Any, values: list[Any]) -> None:
    path = tmp_path_factory.mktemp("written") / "a.parquet"
    # One row, so that values of different types do not meet in one column.
    row = {f"column_{number}": value for number, value in enumerate(values)}
    write_values([row], path, FormatType.Parquet)
    assert [one.value for one in read_rows(path)] == [row]


def test_what_looks_like_a_date_or_a_number_stays_a_text(tmp_path: Path) -> None:
    rows = [{"a": "2024-01-01", "b": "1", "c": "9b2c5a2e-0000-4000-8000-000000000000", "d": "true"}]
    write_values(rows, tmp_path / "a.parquet", FormatType.Parquet)
    assert [row.value for row in read_rows(tmp_path / "a.parquet")] == rows


TURNS = [[{"prompt": "q", "response": [["a"]]}], [{"prompt": "q", "response": [["a"]]}, {"prompt": "b"}]]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_turns_and_texts_have_columns_of_their_own_in_a_table(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    write_values(TURNS, path, FormatType(kind))
    assert [row.value for row in read_rows(path)] == TURNS
    write_values(["a", "b"], path, FormatType(kind))
    assert [row.value for row in read_rows(path)] == [{"text": "a"}, {"text": "b"}]


def test_a_file_can_be_written_onto_itself_while_it_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.jsonl", [{"prompt": str(number), "response": "a"} for number in range(5000)])
    source = FileDataSource(path)
    source.open()
    assert write_rows(source.rows(), path, FormatType.Jsonl) == 5000
    assert len(Dataset.load(data_file=path)) == 5000


@pytest.mark.parametrize(
    ("values", "name", "reason"),
    [
        ([{"a": 1}], "a.xlsx", "workbooks of Excel can be read, not written"),
        (["a\nb"], "a.txt", "line breaks"),
        ([{"a": 1}], "a.txt", "only plain texts"),
        ([{"a": float("nan")}], "a.jsonl", "cannot be written as JSON"),
        ([{"a": "\ud800"}], "a.jsonl", "half of a surrogate pair"),
        ([{"a": "\ud800"}], "a.csv", "half of a surrogate pair"),
        ([], "a.parquet", "needs rows"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_leaves_nothing(
    tmp_path: Path, values: list[Any], name: str, reason: str
) -> None:
    path = tmp_path / name
    with pytest.raises(InvalidArgumentError, match=reason):
        write_values(values, path, FileDataSource(path).file_format)
    assert [*tmp_path.iterdir()] == []

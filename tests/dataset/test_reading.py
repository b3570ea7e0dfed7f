"""Files as rows: places of rows and of mistakes."""

from __future__ import annotations

import json
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading import LineIndex, file_format_of, offset_of, open_content, read_rows
from qianfan.dataset.reading.bundles import files_in
from qianfan.dataset.reading.cells import NoJson, plain
from qianfan.dataset.shapes import Flaw
from qianfan.errors import DataFileChangedError, DataFileError, InvalidArgumentError, UnsafeArchiveError


def rows_of(path: Path, content: bytes | str):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_rows(path, file_format_of(path)))


def test_lines_are_counted_with_the_blank_ones(tmp_path):
    rows = rows_of(tmp_path / "a.jsonl", '1\n\n  \n"二"\r\n[3]')
    assert [(row.line, row.value) for row in rows] == [(1, 1), (4, "二"), (5, [3])]


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    assert rows_of(tmp_path / "a.jsonl", b"\xef\xbb\xbf{}")[0].value == {}
    assert rows_of(tmp_path / "a.json", b"\xef\xbb\xbf[{}]")[0].value == {}
    assert rows_of(tmp_path / "a.txt", b"\xef\xbb\xbfhi\n")[0].value == "hi"


@pytest.mark.parametrize(
    ("line", "place", "reason"),
    [
        (b'{"a": }', (2, 7), "not valid JSON: Expecting value"),
        (b'{"a": 1} x', (2, 10), "not valid JSON: Extra data"),
        ('["中", 1'.encode(), (2, 8), "not valid JSON: Expecting ',' delimiter"),
        ('["中文"]'.encode("gbk"), (2, 3), "byte 0xd6 is not UTF-8; if the file is GBK, save it as UTF-8"),
        (b"\xff\xfe[\x00]\x00", (2, 1), "the file is UTF-16; save it as UTF-8"),
        (b"[" * 100_000, (2, 1), "not usable JSON: nested too deeply"),
    ],
)
def test_a_broken_line_has_its_place_and_the_next_one_is_read(tmp_path, line, place, reason):
    first, broken, last = rows_of(tmp_path / "a.jsonl", b"1\n" + line + b"\n3\n")
    assert (first.value, last.value) == (1, 3)
    assert broken.problem is not None
    assert (broken.problem.line, broken.problem.column) == place
    assert broken.problem.reason == reason


def test_the_elements_of_an_array_have_places(tmp_path):
    rows = rows_of(tmp_path / "a.json", '[\n  {"a": 1},\n  {"b":\n    [true, "x"]}, 3]')
    assert [(row.line, row.column) for row in rows] == [(2, 3), (3, 3), (4, 19)]
    problem = rows[1].locate(Flaw(("b", 1), "wrong"))
    assert (problem.line, problem.column, problem.field) == (4, 12, "b[1]")


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ('{"a": 1}', (1, 1), "expected a JSON array; if each line is a row of its own, name the file .jsonl"),
        ("", (1, 1), "expected a JSON array; if each line is a row of its own, name the file .jsonl"),
        ("[1,\n 2 3]", (2, 4), "not valid JSON: ',' or ']' expected"),
        ("[1,\n 2", (2, 3), "not valid JSON: ',' or ']' expected"),
        ("[1,\n {x}]", (2, 3), "not valid JSON: Expecting property name enclosed in double quotes"),
        ("[1,\n", (2, 1), "not valid JSON: Expecting value"),
        ("[1,\n" + "[" * 100_000, (2, 1), "not usable JSON: nested too deeply"),
        (b'["\n\xd6"]', (2, 1), "byte 0xd6 is not UTF-8; if the file is GBK, save it as UTF-8"),
    ],
)
def test_a_broken_array_has_a_place(tmp_path, content, place, reason):
    *_, broken = rows_of(tmp_path / "a.json", content)
    assert broken.problem is not None
    assert (broken.problem.line, broken.problem.column) == place
    assert broken.problem.reason == reason


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)


@given(st.lists(st.integers() | texts | st.lists(st.none()), max_size=6), st.sampled_from([None, 2]))
def test_an_array_holds_what_the_json_module_finds(tmp_path_factory, values, indent):
    path = tmp_path_factory.mktemp("array") / "a.json"
    assert [row.value for row in rows_of(path, json.dumps(values, indent=indent))] == values


nested = st.recursive(
    st.booleans() | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=6,
)


@given(st.lists(nested, max_size=12), st.sampled_from([",", ", ", ",\n", "\n  ,\n\t"]))
def test_the_elements_of_an_array_are_told_apart_however_they_are_parted(tmp_path_factory, values, between):
    path = tmp_path_factory.mktemp("array") / "a.json"
    elements = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values]
    rows = rows_of(path, "[" + between.join(elements) + "]")
    assert [(row.text, row.value) for row in rows] == list(zip(elements, values, strict=True))
    lines = path.read_text(encoding="utf-8").split("\n")
    assert all(lines[row.line - 1][row.column - 1 :].startswith(row.text) for row in rows)
    content = open_content(path).content
    assert [content.row(position) for position in range(len(content))] == rows


def test_plain_text_has_one_row_a_line(tmp_path):
    assert [row.value for row in rows_of(tmp_path / "a.txt", "one\n\n[2]\n")] == ["one", "[2]"]


def test_every_row_can_be_read_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = rows_of(path, b'\xef\xbb\xbf{"a": "\xe4\xb8\x80"}\n\n2\n{\n"last"')
    index = LineIndex(path, FormatType.Jsonl)
    assert [index.row(position) for position in range(len(index))] == rows
    with pytest.raises(IndexError):
        index.row(4)


def test_the_end_of_a_name_tells_the_file_format():
    assert file_format_of(Path("a.JSONL")) is FormatType.Jsonl
    with pytest.raises(InvalidArgumentError, match=r"a\.docx: cannot tell the file format from '\.docx'"):
        file_format_of(Path("a.docx"))


TEXT = '{"a": [1, {"b": "x"}], "a\\"c": 2, "d": {}}'


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ((), TEXT),
        (("a",), '[1, {"b": "x"}]'),
        (("a", 1), '{"b": "x"}'),
        (("a", 1, "b"), '"x"'),
        (('a"c',), "2"),
        (("d",), "{}"),
        (("d", "nothing"), "{}"),
        (("a", 7), "[1"),
        (("a", 0, "b"), "1,"),
    ],
)
def test_a_path_leads_to_its_place(path, found):
    assert TEXT[offset_of(TEXT, path) :].startswith(found)


paths = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.text(max_size=3), inner, min_size=1),
    max_leaves=8,
)


@given(value=paths, data=st.data(), indent=st.sampled_from([None, 1]))
def test_every_path_leads_to_its_value(value, data, indent):
    path: list[str | int] = []
    inner = value
    while isinstance(inner, (list, dict)) and inner and data.draw(st.booleans()):
        step = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        path.append(step)
        inner = inner[step]
    text = json.dumps(value, indent=indent)
    assert json.JSONDecoder().raw_decode(text, offset_of(text, tuple(path)))[0] == inner


# --- what is cut off, and what is one text --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.jsonl", '[1]\n["一'.encode()[:-1], (2, 3)),
        ("a.json", '[[1],\n["一'.encode()[:-1], (2, 3)),
        ("a.jsonl", '[1]\n{"a": "一'.encode(), (2, 7)),
    ],
)
def test_a_file_may_be_cut_off_inside_a_character(tmp_path, name, content, place):
    problem = rows_of(tmp_path / name, content)[-1].problem
    assert problem is not None
    assert (problem.line, problem.column, problem.rule) == (*place, "truncated")


@pytest.mark.parametrize("content", ['["一"]\n["一'.encode()[:-1] + b"\n", '["一'.encode()[:-1] + b'"]'])
def test_a_broken_character_before_the_end_is_one_of_another_encoding(tmp_path, content):
    problem = rows_of(tmp_path / "a.jsonl", content)[-1].problem
    assert problem is not None
    assert problem.rule == "encoding"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"one\ntwo \0 \n", (2, 5, "nul")),
        (b"one\n\xe4\xb8\x80\xff\n", (2, 2, "encoding")),
        ("one\n".encode("utf-16"), (1, 1, "file-encoding")),
    ],
)
def test_a_text_of_many_lines_has_places_inside(tmp_path, content, found):
    (tmp_path / "a.txt").write_bytes(content)
    rows = open_content(tmp_path / "a.txt", whole_texts=True).content
    (row,) = rows.rows()
    assert row.problem is not None
    assert (row.problem.line, row.problem.column, row.problem.rule) == found
    assert rows.row(0) == rows.row(-1) == row


def test_a_text_that_was_emptied_is_not_taken_for_one(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one")
    rows = open_content(tmp_path, whole_texts=True).content
    assert len(rows) == 1
    (tmp_path / "a.txt").write_bytes(b"")
    with pytest.raises(DataFileChangedError, match="has no text any more"):
        rows.row(0)


# --- several files --------------------------------------------------------------------------------------------------


def test_files_come_by_name_with_their_numbers_by_size(tmp_path):
    names = ["2", "010", "10", "9" * 5000, "a1", "a1b", "b", "x2.0", "x10.0"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in reversed(names):
            archive.writestr(f"{name}.txt", name)
    assert [name.removesuffix(".txt") for name, _ in files_in(tmp_path / "a.zip")] == names


def test_any_row_of_many_files_is_found(tmp_path):
    for number, count in enumerate([2, 0, 0, 3, 1, 0]):
        (tmp_path / f"{number}.jsonl").write_text(f"{number}\n" * count)
    content = open_content(tmp_path).content
    assert content.known_length is None
    assert [content.row(position).value for position in range(len(content))] == [0, 0, 3, 3, 3, 4]
    assert content.row(-1).value == 4
    for beyond in (6, -7):
        with pytest.raises(IndexError):
            content.row(beyond)


def test_a_description_that_is_too_long_is_not_taken_for_a_broken_one(tmp_path):
    (tmp_path / "a.png").write_bytes(b"pixels")
    (tmp_path / "a.json").write_text(json.dumps({"prompt": "x" * (1 << 20)}))
    (row,) = read_rows(tmp_path)
    assert str(row.problem) == "a.json: line 1, column 1: a description of more than 1 MB"


def test_a_workbook_that_is_a_bomb_is_not_given_to_the_library(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (70 << 20))
    with pytest.raises(UnsafeArchiveError, match=r"most of it 'xl/worksheets/sheet1\.xml'"):
        list(read_rows(tmp_path / "a.xlsx"))


def test_an_arrow_file_that_is_damaged_does_not_take_the_process_down(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / "a.arrow"
    table = pa.table({"prompt": ["ab", "cd"]})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    ends = b"\0\0\0\0\2\0\0\0\4\0\0\0"
    path.write_bytes(path.read_bytes().replace(ends, ends[:8] + b"\xff\xff\xff\x7f"))
    content = open_content(path).content
    with pytest.raises(DataFileError, match="no Arrow file that can be read"):
        list(content.rows())
    with pytest.raises(DataFileError, match="no Arrow file that can be read"):
        content.row(1)


def test_the_folders_of_a_parquet_file_are_no_columns(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    folder = tmp_path / "lang=zh"
    folder.mkdir()
    duckdb.sql("SELECT 'q' AS prompt").write_parquet(str(folder / "[a]*.parquet"))
    content = open_content(folder / "[a]*.parquet").content
    assert [row.value for row in content.rows()] == [content.row(0).value] == [{"prompt": "q"}]


@pytest.mark.parametrize(
    ("value", "found"), [("1.50", 1.5), ("2.0", 2), ("NaN", None), ("sNaN", None), ("1e30", 10**30)]
)
def test_a_decimal_is_a_number(value, found):
    assert plain(Decimal(value)) == found


def test_an_infinite_decimal_has_no_form():
    with pytest.raises(NoJson, match="an infinite number"):
        plain(Decimal("-Infinity"))

"""Files as rows: places of rows and of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading import LineIndex, file_format_of, offset_of, read_rows
from qianfan.dataset.shapes import Flaw
from qianfan.errors import InvalidArgumentError


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


@given(st.lists(st.integers() | st.text(max_size=3) | st.lists(st.none()), max_size=6), st.sampled_from([None, 2]))
def test_an_array_holds_what_the_json_module_finds(tmp_path_factory, values, indent):
    path = tmp_path_factory.mktemp("array") / "a.json"
    assert [row.value for row in rows_of(path, json.dumps(values, indent=indent))] == values


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
    with pytest.raises(InvalidArgumentError, match=r"a\.xlsx: cannot tell the file format from '\.xlsx'"):
        file_format_of(Path("a.xlsx"))


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

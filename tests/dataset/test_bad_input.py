"""Whatever is wrong with a file has a typed error or a problem with its place, and never takes the machine along."""

from __future__ import annotations

import gzip
import json
import os
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qianfan.dataset import Dataset, FileDataSource, FormatType
from qianfan.dataset.reading import open_content, read_rows
from qianfan.dataset.reading.archives import Archive
from qianfan.dataset.reading.json_text import MAX_DEPTH, BadJson, loads, loads_carefully
from qianfan.dataset.writing import write_values
from qianfan.errors import DataFileChangedError, DataFileError, UnsafeArchiveError, ValidationError

GOOD = '{"prompt": "问", "response": "答"}\n'.encode()
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs what only POSIX has")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs a file that only Linux has")


def verdict(read: Any, line: bytes) -> Any:
    try:
        value = read(line)
    except BadJson as bad:
        return bad.line, bad.column, bad.reason, bad.rule, bad.found, bad.fix
    return value, repr(value)


def problem_of(path: Path) -> Any:
    """The one problem that a file has."""
    (problem,) = (row.problem for row in read_rows(path) if row.problem)
    return problem


# --- JSON -------------------------------------------------------------------------------------------------------------

json_pieces = st.sampled_from(
    [
        *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b" ", b"\t", b"\r", b"1", b"-", b"0.5", b"e9", b"999"),
        *(b'"a"', b'"a":', b'"a" :', b'"b":', b'"\\u0061":', b'"":', b'"x"', b'":"', b'"\\""', b'"\\\\"', b'"\\\\":'),
        *(b"\\u0000", b"\\ud83d", b"\\ude00", b"\\n", b"null", b"true", b"NaN", b"-Infinity", b"1e999"),
        *(b"18446744073709551616", b"\x00", b"\xff", b"\xed\xa0\x80", "中".encode(), b"\x0b", b"\xc2\xa0"),
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
good_lines = st.builds(
    lambda value, is_ascii, blank: json.dumps(value, ensure_ascii=is_ascii, separators=(",", blank)).encode(
        "utf-8", "surrogatepass"
    ),
    json_values,
    st.booleans(),
    st.sampled_from([":", ": ", " : "]),
)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=12) | st.lists(json_pieces, max_size=9).map(b"".join) | good_lines)
@example(b'{"a" :1,"a":":"}')
@example(b'{"a":{"b":1},"a":{"b":1}}')
@example(b'{"a\\\\":1,"b":"\\"","a\\\\":2}')
@example(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
@example(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
@example(b"[" * 5000 + b"]" * 5000)
@example(b"[" + b"1" * 5000 + b"]")
def test_the_fast_way_and_the_careful_way_say_the_same(line: bytes) -> None:
    assert verdict(loads, line) == verdict(loads_carefully, line)


@pytest.mark.parametrize(
    ("line", "column", "rule", "found"),
    [
        ('{"a": 1, "中": 2, "a": 3}', 18, "duplicate-key", "'a'"),
        ('[{"x": {"b": 1, "\\u0062": 2}}]', 17, "duplicate-key", "'b'"),
        ("[1, NaN]", 5, "number", "NaN"),
        ("[-Infinity]", 2, "number", "-Infinity"),
        ('["NaN", 1e999]', 9, "number", "1e999"),
        ('["x\\u0000"]', 4, "nul", "\\u0000"),
        ('["\\\\\\u0000"]', 5, "nul", "\\u0000"),
        ('["\\ud83d\\ude00 \\ud83d"]', 16, "surrogate", "\\ud83d"),
        ('["\\ude00"]', 3, "surrogate", "\\ude00"),
        ('["a\0"]', 4, "nul", ""),
        ("[" * 101 + "]" * 101, 1, "too-deep", ""),
        ("[[[1,]]]", 6, "not-json", "]]]"),
        ("['a']", 2, "not-json", "'a']"),
    ],
)
def test_what_a_json_text_may_not_hold_has_its_place(
    tmp_path: Path, line: str, column: int, rule: str, found: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD + line.encode() + b"\n" + GOOD)
    problem = problem_of(tmp_path / "a.jsonl")
    assert (problem.line, problem.column, problem.rule, problem.found) == (2, column, rule, found)
    (tmp_path / "a.json").write_bytes(b"[" + GOOD + b",\n" + line.encode() + b",\n" + GOOD + b"]")
    problem = problem_of(tmp_path / "a.json")
    assert (problem.line, problem.column, problem.rule) == (3, column, rule)


@pytest.mark.parametrize(
    "line", ['["\\\\u0000"]', '["\\ud83d\\ude00"]', '["\\\\ud83d"]', "[[[[[[[]]]]]]]", '{"a":{"a":1}}']
)
def test_what_only_looks_bad_is_read(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    assert [row.value for row in read_rows(tmp_path / "a.jsonl")] == [json.loads(line)]


# --- encodings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_a_file_in_another_encoding_is_an_error_that_names_it(tmp_path: Path, encoding: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes('[{"prompt": "q"}]\n'.encode(encoding))
    named = encoding.upper()[:6]
    with pytest.raises(DataFileError, match=f"the file is {named}; save it as UTF-8") as raised:
        FileDataSource(path).open()
    assert (raised.value.path, raised.value.line) == (str(path), 1)
    content = open_content(path).content
    assert [content.row(position) for position in range(len(content))] == [*content.rows()]


def test_a_line_of_another_encoding_is_found_among_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD * 2 + '{"prompt": "你好"}\n'.encode("gbk") + GOOD)
    report = Dataset.load(data_file=tmp_path / "a.jsonl").validate()
    (problem,) = report.problems
    assert (problem.line, problem.column, problem.rule) == (3, 13, "encoding")
    assert "你好" in problem.found
    assert "GBK" in problem.reason


def test_a_byte_order_mark_does_not_count_as_a_column(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf[1 2]\n")
    assert problem_of(tmp_path / "a.jsonl").column == 4


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n \r\n\t\n"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_file_without_rows_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError, match="has no rows"):
        FileDataSource(tmp_path / name).open()


def test_an_array_that_is_empty_has_no_rows_and_a_file_that_is_empty_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b" [ ] ")
    with pytest.raises(DataFileError, match="has no rows"):
        FileDataSource(path).open()
    path.write_bytes(b"")
    with pytest.raises(ValidationError, match="expected a JSON array"):
        FileDataSource(path).open()


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.jsonl", GOOD + b'{"prompt": "q", "resp', (2, 17)),
        ("a.jsonl", GOOD + b'{"prompt": "q"', (2, 15)),
        ("a.json", b"[\n" + GOOD + b',\n{"prompt": "q", "resp', (4, 17)),
        ("a.json", b"[\n" + GOOD + b",", (3, 2)),
        ("a.json", b"[\n" + GOOD, (3, 1)),
    ],
)
def test_a_file_that_is_cut_off_says_so(tmp_path: Path, name: str, content: bytes, place: tuple[int, int]) -> None:
    (tmp_path / name).write_bytes(content)
    problem = problem_of(tmp_path / name)
    assert (problem.line, problem.column, problem.rule) == (*place, "truncated")
    assert "ends in the middle" in problem.fix


def test_an_element_that_is_broken_does_not_hide_those_after_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"a": x},\n{"a": 1},\n["\xff"], {"a": 2} {"a": 3}]')
    rows = [*read_rows(tmp_path / "a.json")]
    assert [row.problem.rule if row.problem else row.value for row in rows] == [
        "not-json",
        {"a": 1},
        "encoding",
        {"a": 2},
        "not-json",
    ]
    assert (rows[-1].line, rows[-1].column) == (3, 17)


@pytest.mark.parametrize("content", [b"[1] [2]", b"[1], 2", b"[1,]", b"[,1]", b"[1}", b"[1:2]"])
def test_an_array_with_something_wrong_around_its_elements(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert problem_of(tmp_path / "a.json").rule == "not-json"


def test_an_array_in_a_file_of_lines_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"[\n" + GOOD + b"]\n")
    first = Dataset.load(data_file=tmp_path / "a.jsonl").validate().problems[0]
    assert first.line == 1
    assert first.fix.endswith("for one JSON array, name the file .json")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_row_of_many_megabytes_is_read_and_never_printed(tmp_path: Path, name: str) -> None:
    long = b'{"prompt": "' + b"x" * (4 << 20) + b'\\n", "response": 1}\n'
    (tmp_path / name).write_bytes(b"[" + GOOD + b"," + long + b"]" if name == "a.json" else GOOD + long)
    dataset = Dataset.load(data_file=tmp_path / name)
    report = dataset.validate()
    assert not report
    assert len(str(report)) < 2000
    with pytest.raises(ValidationError) as raised:
        list(dataset)
    assert len(str(raised.value)) < 2000


def test_an_array_of_any_size_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.write(b"[")
        for _ in range(200):
            file.write(b'{"prompt": "' + b"x" * 100_000 + b'"},\n')
        file.write(b'{"prompt": "q"}]')
    source = FileDataSource(path)
    tracemalloc.start()
    try:
        assert sum(1 for _ in source.raw_rows()) == len(source) == 201
        assert source.raw_row(200).value == {"prompt": "q"}
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", ["missing.jsonl", "missing", "missing.zip", "missing.csv.gz", "missing.parquet"])
def test_a_file_that_is_not_there(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataFileError, match=r"missing.* does not exist"):
        FileDataSource(tmp_path / path).open()


@on_posix
def test_a_link_that_leads_nowhere_says_where(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to("gone.jsonl")
    with pytest.raises(DataFileError, match=r"is a link to 'gone\.jsonl', which does not exist"):
        FileDataSource(tmp_path / "a.jsonl").open()


@on_posix
def test_a_pipe_or_a_device_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    for path in (tmp_path / "a.jsonl", Path("/dev/zero")):
        with pytest.raises(DataFileError, match="a pipe, a device or a socket"):
            FileDataSource(path, FormatType.Jsonl).open()


@on_linux
def test_a_file_that_the_system_does_not_give(tmp_path: Path) -> None:
    # The first page of a process is never there to be read.
    (tmp_path / "a.jsonl").symlink_to("/proc/self/mem")
    with pytest.raises(DataFileError, match="cannot be read: Input/output error"):
        FileDataSource(tmp_path / "a.jsonl").open()


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(DataFileError):
        FileDataSource(tmp_path / "a\0.jsonl").open()


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.xlsx", "a.zip", "a.jsonl.gz"])
@pytest.mark.parametrize("content", [b"", b"no such thing", b"PK\3\4 no such thing", b"PAR1 no such thing PAR1"])
def test_a_container_that_is_none(tmp_path: Path, name: str, content: bytes) -> None:
    for library in {"a.parquet": ["duckdb"], "a.arrow": ["pyarrow"], "a.xlsx": ["python_calamine"]}.get(name, []):
        pytest.importorskip(library)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError) as raised:
        FileDataSource(tmp_path / name).open()
    assert str(tmp_path / name) in str(raised.value)


def test_a_packed_file_that_is_cut_off(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(b'{"prompt": "%d"}\n' % number for number in range(10_000)))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    source = FileDataSource(tmp_path / "a.jsonl.gz")
    source.open()
    with pytest.raises(DataFileError, match="damaged or cut off"):
        list(source.raw_rows())


# --- files that change ------------------------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD * 10)
    rows = FileDataSource(path).raw_rows()
    next(rows)
    with path.open("ab") as file:
        file.write(GOOD)
    with pytest.raises(DataFileChangedError, match="changed while it was read") as raised:
        list(rows)
    assert raised.value.path == str(path)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_a_row_of_another_file_is_not_taken_for_one_that_was_counted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    write_values([{"prompt": "q1"}, {"prompt": "q2"}], path, FormatType(kind))
    source = FileDataSource(path)
    assert len(source) == 2
    write_values([{"prompt": "q1"}, {"prompt": "other"}], path, FormatType(kind))
    with pytest.raises(DataFileChangedError):
        source.raw_row(1)


def test_a_file_that_goes_away_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD * 10)
    rows = FileDataSource(path).raw_rows()
    next(rows)
    try:
        path.unlink()
    except PermissionError:
        pytest.skip("this system keeps open files")
    with pytest.raises(DataFileChangedError, match="went away"):
        list(rows)


# --- archives ---------------------------------------------------------------------------------------------------------


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize(
    "name", ["../a.jsonl", "a/../../b.jsonl", "/etc/a.jsonl", "C:\\a.jsonl", "..\\a.jsonl", "\\a.jsonl"]
)
def test_an_archive_that_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    path = archive(tmp_path / "a.zip", ("good.jsonl", GOOD), (info, GOOD))
    with pytest.raises(UnsafeArchiveError, match="leads out of its folder") as raised:
        FileDataSource(path).open()
    assert name.strip("\\").split("\\")[-1] in str(raised.value)


def test_an_archive_with_a_link(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a.jsonl")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with pytest.raises(UnsafeArchiveError, match=r"'a\.jsonl', which is a link"):
        FileDataSource(archive(tmp_path / "a.zip", (info, b"/etc/passwd"))).open()


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made, made.open(name, "w") as member:
        for _ in range(70):
            member.write(b" " * (1 << 20))
    assert path.stat().st_size < 1 << 18
    with pytest.raises(UnsafeArchiveError, match="unpacks to more than 200 times its size"):
        FileDataSource(path).open()


def test_an_archive_whose_members_share_their_bytes(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("a.jsonl", GOOD * 100), ("b.jsonl", GOOD * 100))
    content = path.read_bytes()
    second = content.rindex(b"PK\1\2")
    # Both entries of the directory claim more than the file has.
    for entry in (content.index(b"PK\1\2"), second):
        content = content[: entry + 20] + (1 << 16).to_bytes(4, "little") + content[entry + 24 :]
    path.write_bytes(content)
    with pytest.raises(UnsafeArchiveError, match="share their bytes"):
        FileDataSource(path).open()


def test_an_archive_of_more_files_than_are_taken(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", *((f"{number}.txt", b"x") for number in range(5)))
    assert len(Archive(path, most_members=5).members()) == 5
    with pytest.raises(UnsafeArchiveError, match="more than 4 files"):
        Archive(path, most_members=4).members()


def test_an_encrypted_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("a.jsonl", GOOD))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"'a\.jsonl' is encrypted"):
        FileDataSource(path).open()


def test_a_member_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("a.jsonl", GOOD * 100))
    content = bytearray(path.read_bytes())
    content[45] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"a\.zip: a\.jsonl is damaged"):
        list(FileDataSource(path).raw_rows())


def test_names_that_chinese_windows_wrote_are_read_as_they_were_meant(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("xxxx.jsonl", GOOD))
    path.write_bytes(path.read_bytes().replace(b"xxxx.jsonl", "数据".encode("gbk") + b".jsonl"))
    assert [row.file for row in FileDataSource(path).raw_rows()] == ["数据.jsonl"]


# --- writing ----------------------------------------------------------------------------------------------------------


@on_posix
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.zip", "a.parquet"])
def test_a_full_disk_leaves_nothing_and_the_old_file(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("duckdb")
    resource = pytest.importorskip("resource")
    path = tmp_path / name
    path.write_bytes(b"old")
    rows = [{"prompt": os.urandom(1000).hex()} for _ in range(200)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(DataFileError, match="cannot be written") as raised:
            write_values(rows, path, FileDataSource(path, None if name != "a.zip" else "jsonl").file_format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.path == str(path)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(name, b"old")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("duckdb")
    path = tmp_path / "missing" / name
    with pytest.raises(DataFileError, match="cannot be written"):
        write_values([{"a": 1}], path, FileDataSource(path).file_format)

"""Corrected copies: what is mended, what is left out, and what the report says about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset.checking import check, fix
from qianfan.dataset.sources import FileDataSource, MemoryDataSource
from qianfan.errors import DataFileError, InvalidArgumentError, ValidationError

GOOD = '[{"prompt": "q",  "response": [["a"]]}]'


def fixed(tmp_path: Path, content: bytes, suffix: str = ".jsonl", **options: object) -> tuple[list[str], list[str]]:
    """The lines of the corrected copy, and those of the report behind its head."""
    original, copy = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    original.write_bytes(content)
    report = fix(FileDataSource(original), copy, **options)
    assert original.read_bytes() == content
    assert check(FileDataSource(copy))
    return copy.read_text(encoding="utf-8").splitlines(), str(report).splitlines()[1:]


@pytest.mark.parametrize(
    ("line", "mended", "what"),
    [
        ('[{"prompt": 5, "response": [["a"]]}]', [{"prompt": "5", "response": [["a"]]}], "wrote the number as a text"),
        ('[{"prompt": "q", "response": 1.5}]', [{"prompt": "q", "response": "1.5"}], "wrote the number as a text"),
        ('[{"prompt": "q", "response": ["a"]}]', [{"prompt": "q", "response": [["a"]]}], "into a list of its own"),
        (
            '[{"prompt": "q", "response": [["a"]], "weight": "1"}]',
            [{"prompt": "q", "response": [["a"]], "weight": 1}],
            "wrote it as 0 or 1",
        ),
        (
            '[{"system": "s", "prompt": "q", "response": "a"}, {"system": "s", "prompt": "q", "response": "a"}]',
            [{"system": "s", "prompt": "q", "response": "a"}, {"prompt": "q", "response": "a"}],
            "took away a system text that the first turn has",
        ),
        (f"{GOOD},", json.loads(GOOD), "took away a comma behind the row"),
        (f"\ufeff{GOOD}", json.loads(GOOD), "took away a byte order mark inside the file"),
        (
            '[{"prompt": "a\tb", "response": [["a"]]}]',
            [{"prompt": "a\tb", "response": [["a"]]}],
            "escaped line breaks and tabs inside texts",
        ),
        ("[{'prompt': 'q', 'response': [['a']]},]", [{"prompt": "q", "response": [["a"]]}], "wrote a Python value"),
        (
            '[{"prompt": "\\u0000q\\\\u0000", "response": [["a"]]}]',
            [{"prompt": "q\\u0000", "response": [["a"]]}],
            "took NUL characters out",
        ),
        (
            '[{"prompt": "q\\ud83d", "response": [["\\ud83d\\ude00"]]}]',
            [{"prompt": "q", "response": [["😀"]]}],
            "took halves of surrogate pairs out",
        ),
        (
            '[{"prompt": "q", "prompt": "q", "response": [["a"]]}]',
            [{"prompt": "q", "response": [["a"]]}],
            "kept one of two equal keys",
        ),
    ],
)
def test_a_row_whose_meaning_is_certain_is_mended(tmp_path, line, mended, what):
    lines, told = fixed(tmp_path, f"{GOOD}\n{line}\n".encode())
    assert lines[0] == GOOD
    assert json.loads(lines[1]) == mended
    assert len(told) == 1
    assert told[0].startswith("  line 2: ")
    assert what in told[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "dropped, not valid JSON"),
        ("[]", "dropped, "),
        ('[{"prompt": "q", "response": [[""]]}]', "[0].response[0][0]: dropped, is empty"),
        ('[{"prompt": "q", "response": [""]}]', "is empty"),
        ('[{"prompt": true, "response": [["a"]]}]', "[0].prompt: dropped, must be a text"),
        ('[{"prompt": "q", "prompt": "r", "response": [["a"]]}]', "the key 'prompt' is given twice"),
        ('[{"prompt": "q", "response": [["a"], ["b"]]}]', "dropped, "),
        ('[{"prompt": NaN, "response": [["a"]]}]', "NaN"),
        ('[{"prompt": "q", "respones": [["a"]]}]', "'response' is missing"),
        ("[{'prompt': 'a\\/b', 'response': [['a']]}]", "dropped, not valid JSON"),
        ('[{"prompt": "", "response": [[5, 6]]}]', "(and 1 more)"),
        ("{" * 300, "dropped, "),
    ],
)
def test_a_row_that_nobody_can_mend_is_left_out_and_listed(tmp_path, line, reason):
    lines, told = fixed(tmp_path, f"{GOOD}\n{line}\n".encode())
    assert lines == [GOOD]
    assert len(told) == 1
    assert told[0].startswith("  line 2: ")
    assert reason in told[0]


def test_marks_and_line_ends_go_and_blank_lines_are_no_rows(tmp_path):
    lines, told = fixed(tmp_path, b"\xef\xbb\xbf" + f"{GOOD}\r\n\r\n{GOOD}\r\n".encode())
    assert lines == [GOOD, GOOD]
    assert told == ["  took away the byte order mark", "  wrote line ends as \\n"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_unicode_encoding_is_read_without_being_told(tmp_path, encoding):
    row = '[{"prompt": "你好", "response": [["再见"]]}]'
    lines, told = fixed(tmp_path, f"{row}\n{row}\n".encode(encoding))
    assert lines == [row, row]
    assert told[0].startswith(f"  read as {encoding}")


def test_lines_in_another_encoding_are_read_when_it_is_named(tmp_path):
    row = '[{"prompt": "你好", "response": [["再见"]]}]'
    content = f"{row}\n".encode() + f"{row}\n".encode("gbk") + f"{row}\n".encode()
    assert fixed(tmp_path, content)[0] == [row, row]
    lines, told = fixed(tmp_path, content, encoding="GB18030")
    assert lines == [row, row, row]
    assert told == ["  line 2: read as gb18030"]


def test_what_is_no_encoding_or_has_none_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match="unknown encoding 'gbkk'"):
        fix(FileDataSource(tmp_path / "a.jsonl"), tmp_path / "b.jsonl", encoding="gbkk")
    with pytest.raises(InvalidArgumentError, match="only plain files of text have an encoding"):
        fix(MemoryDataSource([json.loads(GOOD)]), tmp_path / "b.jsonl", encoding="gbk")
    (tmp_path / "c.jsonl").write_bytes(b"\xff\xfe" + GOOD.encode("utf-16-le") + b"\0")
    with pytest.raises(DataFileError, match="cannot be read as utf-16"):
        fix(FileDataSource(tmp_path / "c.jsonl"), tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()


# --- on request -------------------------------------------------------------------------------------------------------


def test_repeats_are_left_out_on_request(tmp_path):
    content = f'{GOOD}\n[{{"response":[["a"]],"prompt":"q"}}]\n'.encode()
    assert len(fixed(tmp_path, content)[0]) == 2
    lines, told = fixed(tmp_path, content, duplicates=True)
    assert lines == [GOOD]
    assert told == ["  line 2: dropped, is the same as an earlier row"]


def test_misspelt_keys_are_renamed_on_request(tmp_path):
    lines, told = fixed(tmp_path, f'{GOOD}\n[{{"prompt": "q", "respones": [["a"]]}}]\n'.encode(), keys=True)
    assert lines == [GOOD, '[{"prompt": "q", "response": [["a"]]}]']
    assert told == ["  line 2: [0].respones: renamed 'respones' to 'response'"]


@pytest.mark.parametrize(
    ("key", "who", "text", "user", "assistant"),
    [("messages", "role", "content", "user", "assistant"), ("conversations", "from", "value", "human", "gpt")],
)
def test_messages_of_one_role_are_joined_on_request(tmp_path, key, who, text, user, assistant):
    said = [(user, "a"), (user, "b"), (assistant, "c"), (assistant, "d"), (assistant, "e")]
    rows = [{key: [{who: user, text: "q"}, {who: assistant, text: "a"}]}, {key: [{who: w, text: t} for w, t in said]}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    assert len(fixed(tmp_path, content)[0]) == 1
    lines, told = fixed(tmp_path, content, join=True)
    assert json.loads(lines[1]) == {key: [{who: user, text: "a\nb"}, {who: assistant, text: "c\nd\ne"}]}
    assert len(told) == 3


def test_blanks_around_texts_are_taken_away_on_request(tmp_path):
    content = f'{GOOD}\n[{{"prompt": " q\\n", "response": [["a "]]}}]\n'.encode()
    assert fixed(tmp_path, content)[0][1] == content.decode().splitlines()[1]
    lines, _ = fixed(tmp_path, content, strip=True)
    assert lines == [GOOD, '[{"prompt": "q", "response": [["a"]]}]']


# --- the copy and its report ------------------------------------------------------------------------------------------


def test_the_original_is_never_replaced(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(GOOD, encoding="utf-8")
    (tmp_path / "link.jsonl").hardlink_to(path)
    for same in (path, tmp_path / "x" / ".." / "a.jsonl", tmp_path / "link.jsonl"):
        with pytest.raises(InvalidArgumentError, match="never replaces its original"):
            fix(FileDataSource(path), same)
    assert path.read_text(encoding="utf-8") == GOOD


def test_a_copy_is_not_put_among_its_originals(tmp_path):
    (tmp_path / "a.jsonl").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match="inside the folder of its original"):
        fix(FileDataSource(tmp_path), tmp_path / "b.jsonl")
    report = fix(FileDataSource(tmp_path), tmp_path.with_suffix(".jsonl"))
    assert (report.rows, report.written) == (1, 1)


def test_images_have_no_copy(tmp_path):
    with pytest.raises(InvalidArgumentError, match="images have no corrected copy"):
        fix(MemoryDataSource([{"image": "a.png", "prompt": "a cat"}]), tmp_path / "b.jsonl")


def test_no_copy_appears_when_nothing_would_be_in_it(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('[{"prompt": "q", "response": [[""]]}]', encoding="utf-8")
    with pytest.raises(ValidationError, match="no row could be kept"):
        fix(FileDataSource(path), tmp_path / "b.jsonl")
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_copy_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "a.jsonl").write_text(GOOD, encoding="utf-8")
    with pytest.raises(DataFileError, match="cannot be written"):
        fix(FileDataSource(tmp_path / "a.jsonl"), tmp_path / "nowhere" / "b.jsonl")


def test_a_copy_may_be_of_another_format(tmp_path):
    path = tmp_path / "a.json"
    rows = '[\n {"instruction": "q",\n  "output": "a"},\n {"instruction": 5, "output": "b"}\n]'
    path.write_text(rows, encoding="utf-8")
    report = fix(FileDataSource(path), tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_text(encoding="utf-8").splitlines() == [
        '{"instruction": "q", "output": "a"}',
        '{"instruction": "5", "output": "b"}',
    ]
    assert [change.line for change in report.changes] == [4]
    fix(FileDataSource(path), tmp_path / "c.json")
    assert '{"instruction": "q",\n  "output": "a"},\n' in (tmp_path / "c.json").read_text(encoding="utf-8")
    fix(FileDataSource(path), tmp_path / "d.csv")
    assert check(FileDataSource(tmp_path / "d.csv")).rows == 2


def test_plain_texts_can_become_rows_of_json(tmp_path):
    (tmp_path / "a.txt").write_text('first\n"second"\n', encoding="utf-8")
    fix(FileDataSource(tmp_path / "a.txt"), tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_text(encoding="utf-8") == '"first"\n"\\"second\\""\n'


def test_objects_have_a_corrected_copy_too(tmp_path):
    rows = [[{"prompt": "q", "response": [["a"]]}], [{"prompt": "q", "response": [[float("nan")]]}]]
    report = fix(MemoryDataSource(rows), tmp_path / "b.jsonl")
    assert (report.rows, report.written, report.mended, report.dropped) == (2, 1, 0, 1)
    assert rows[1][0]["response"] != "nan"


def test_a_report_of_a_fix_is_json_and_can_be_saved(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([GOOD, *['[{"prompt": 5, "response": "a"}]', "x"] * 2]), encoding="utf-8")
    report = fix(FileDataSource(path), tmp_path / "b.jsonl", limit=3)
    read = json.loads(report.save(tmp_path / "fix.json").read_text(encoding="utf-8"))
    assert read == json.loads(json.dumps(report.to_dict()))
    counts = [read[name] for name in ("version", "rows", "written", "mended", "dropped", "change_count")]
    assert counts == [1, 5, 3, 2, 2, 4]
    assert read["changes"][0] == {
        "done": "mended",
        "line": 2,
        "file": "",
        "rule": "wrong-type",
        "field": "[0].prompt",
        "what": "wrote the number as a text",
    }
    assert str(report).endswith("\n  and 1 more")
    assert report.save(tmp_path / "fix.txt").read_text(encoding="utf-8") == f"{report}\n"


# --- whatever comes ---------------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["q", "  q ", "", " ", "你好", "a\tb", 'say "x"', "\\", "\0", "\ud800", "{{name}}", "'"])
VALUES = TEXTS | st.sampled_from([5, 1.5, True, None, float("nan")])
ANSWERS = VALUES | st.lists(VALUES | st.lists(VALUES, max_size=2), max_size=2)
KEYS = st.sampled_from(["prompt", "response", "respones", "system", "weight", "note"])
TURNS = st.dictionaries(KEYS, ANSWERS, max_size=4) | st.fixed_dictionaries({"prompt": VALUES, "response": ANSWERS})
ROWS = st.lists(TURNS, max_size=2) | VALUES
MANGLE = st.sampled_from([str, json.dumps, lambda row: json.dumps(row, ensure_ascii=False), repr, "{},".format])
LINES = st.builds(lambda mangle, row: mangle(row), MANGLE, ROWS) | st.text(max_size=8) | st.just(GOOD)


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(LINES, max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    mark=st.booleans(),
    wishes=st.sets(st.sampled_from(["duplicates", "keys", "join", "strip"])),
)
def test_the_copy_of_any_file_is_right_and_keeps_good_rows_as_they_are(tmp_path_factory, lines, end, mark, wishes):
    folder = tmp_path_factory.mktemp("fix")
    text = end.join([GOOD, *lines])
    (folder / "a.jsonl").write_bytes(b"\xef\xbb\xbf" * mark + text.encode("utf-8", "surrogatepass"))
    before = check(FileDataSource(folder / "a.jsonl", format="dialogue"), limit=None)
    report = fix(
        FileDataSource(folder / "a.jsonl", format="dialogue"),
        folder / "b.jsonl",
        limit=None,
        **dict.fromkeys(wishes, True),
    )
    after = check(FileDataSource(folder / "b.jsonl", format="dialogue"))
    assert after
    assert (report.rows, report.written) == (before.rows, after.rows)
    assert report.dropped == sum(change.done == "dropped" for change in report.changes) == report.rows - report.written
    if not wishes:
        bad = {problem.line for problem in before.problems}
        original = (folder / "a.jsonl").read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
        good = [
            line.rstrip(b"\r") for number, line in enumerate(original, start=1) if line.strip() and number not in bad
        ]
        copied = (folder / "b.jsonl").read_bytes().splitlines()
        assert report.written - report.mended == len(good)
        touched = {change.line for change in report.changes}
        assert bad == touched
        kept = iter(copied)
        assert all(line in kept for line in good)

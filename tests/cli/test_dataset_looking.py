"""`qianfan dataset view`, `check` and `stats`: looking at rows, which changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qianfan.emulator import Emulator, sample_path
from tests.cli.support import document, qianfan, shown

Capture = pytest.CaptureFixture[str]

GOOD = [{"prompt": f"what is {n}?", "response": f"{n} is a number"} for n in range(12)]


def lines_of(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.jsonl"
    path.write_text(lines_of(GOOD), encoding="utf-8")
    return str(path)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    """Good rows, one that is no JSON (line 3) and one without an answer (line 5)."""
    lines = lines_of(GOOD).splitlines(keepends=True)
    lines[2], lines[4] = '{"prompt": \n', '{"prompt": "why?", "response": ""}\n'
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


# --- view ------------------------------------------------------------------------------------------------------------


def test_view_shows_the_first_five_rows(good: str, capsys: Capture) -> None:
    seen = shown(capsys, "dataset", "view", good)
    assert [line for line in seen.splitlines() if line.startswith("row ")] == [
        f"row {n}  line {n + 1}" for n in range(5)
    ]
    assert "what is 4?" in seen
    assert "4 is a number" in seen


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (["--row", "7"], [7]),
        (["--row", "0-2"], [0, 1, 2]),
        (["--row", "1,3-5,11"], [1, 3, 4, 5, 11]),
        (["--row", " 2 , 0 "], [2, 0]),
        (["--row", "10-99"], [10, 11]),
        (["--row", "all"], [*range(12)]),
        (["--count", "2"], [0, 1]),
    ],
)
def test_rows_can_be_chosen(options: list[str], positions: list[int], good: str, capsys: Capture) -> None:
    rows = document(capsys, "dataset", "view", good, *options)["rows"]
    assert [row["row"] for row in rows] == positions
    assert [row["line"] for row in rows] == [position + 1 for position in positions]
    assert rows[0]["value"] == [
        {"prompt": GOOD[positions[0]]["prompt"], "response": [[GOOD[positions[0]]["response"]]]}
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--row", "seven"], "names no rows"),
        (["--row", "5-3"], "ends before it begins"),
        (["--row", "12"], "there is no row 12"),
        (["--row", "1", "--count", "2"], "either --row or --count"),
        (["--count", "0"], "--count"),
        (["--column", "instruction"], "row 0 has the columns prompt, response"),
    ],
)
def test_rows_that_cannot_be_meant(options: list[str], words: str, good: str, capsys: Capture) -> None:
    assert words in shown(capsys, "dataset", "view", good, *options, code=2)


def test_columns_can_be_chosen(good: str, capsys: Capture) -> None:
    seen = shown(capsys, "dataset", "view", good, "--column", "response", "--count", "1")
    assert "0 is a number" in seen
    assert "what is 0?" not in seen
    [row] = document(capsys, "dataset", "view", good, "--column", "response, prompt", "--count", "1")["rows"]
    assert row["value"] == [{"prompt": "what is 0?"}, {"response": "0 is a number"}]


def test_raw_rows_are_what_the_file_has(good: str, capsys: Capture) -> None:
    seen = shown(capsys, "dataset", "view", good, "--raw", "--row", "all")
    assert [json.loads(line) for line in seen.splitlines()] == GOOD


def test_a_broken_row_does_not_hide_the_others(bad: str, capsys: Capture) -> None:
    rows = document(capsys, "dataset", "view", bad)["rows"]
    assert ["problem" in row for row in rows] == [False, False, True, False, True]
    assert rows[2]["problem"].startswith("line 3")
    seen = shown(capsys, "dataset", "view", bad)
    assert rows[4]["problem"] in seen


def test_rows_tell_a_terminal_nothing(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(lines_of([{"prompt": "\x1b[2J[bold]q", "response": "a"}]), encoding="utf-8")
    seen = shown(capsys, "dataset", "view", str(path))
    assert "\x1b" not in seen
    assert "[bold]q" in seen


def test_a_long_text_is_cut_and_says_so(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(lines_of([{"prompt": "q", "response": "a" * 100_000}]), encoding="utf-8")
    seen = shown(capsys, "dataset", "view", str(path))
    assert "(100,000 characters; --raw shows all)" in seen
    assert len(seen) < 20_000


@pytest.mark.parametrize("place", ["111", "qianfan://111"])
def test_rows_of_the_platform_can_be_viewed(place: str, emulator: Emulator, capsys: Capture) -> None:
    rows = document(capsys, "dataset", "view", place, "--row", "0-1")["rows"]
    first = [json.loads(line) for line in sample_path().read_text(encoding="utf-8").splitlines()[:2]]
    assert [row["value"] for row in rows] == first


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere.jsonl", "nowhere.jsonl"),
        ("qianfan://", "names no dataset"),
        ("qianfan://a/b", "names no dataset"),
    ],
)
def test_places_that_are_none(place: str, words: str, capsys: Capture) -> None:
    [line] = shown(capsys, "dataset", "view", place, code=2).splitlines()
    assert line.startswith("Error: ")
    assert words in line


def test_a_file_beats_an_id_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    (tmp_path / "111").write_text(lines_of(GOOD), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert len(document(capsys, "dataset", "view", "111", "--file-format", "jsonl", "--row", "all")["rows"]) == 12


# --- check -----------------------------------------------------------------------------------------------------------


def test_a_good_file_is_clean(good: str, capsys: Capture) -> None:
    checked = document(capsys, "dataset", "check", good)
    assert checked["ok"] is True
    [one] = checked["files"]
    assert (one["source"], one["rows"], one["errors"]["count"]) == (good, 12, 0)
    assert "12 rows" in shown(capsys, "dataset", "check", good)


def test_warnings_count_only_when_strict(good: str, capsys: Capture) -> None:
    """Twelve rows are fewer than a training needs."""
    [one] = document(capsys, "dataset", "check", good, "--strict", code=1)["files"]
    assert one["ok"] is True
    assert "too-few-rows" in [group["rule"] for group in one["groups"]]


def test_a_bad_file_says_where_and_how_to_mend_it(bad: str, capsys: Capture) -> None:
    seen = shown(capsys, "dataset", "check", bad, code=1)
    assert "2 of 12 rows" in seen
    assert "line 3" in seen
    assert "line 5" in seen
    assert "fix: " in seen
    assert seen.endswith("A corrected copy: add --fix COPY to the command.\n")
    [one] = document(capsys, "dataset", "check", bad, code=1)["files"]
    assert [item["line"] for item in one["errors"]["items"]] == [3, 5]


def test_problems_are_capped_on_request_and_counted_all(bad: str, capsys: Capture) -> None:
    [one] = document(capsys, "dataset", "check", bad, "--limit", "1", code=1)["files"]
    assert one["errors"]["count"] == 2
    assert len(one["errors"]["items"]) == 1


def test_several_files_and_one_that_is_not_there(good: str, bad: str, capsys: Capture) -> None:
    """Each is told of, and the worst of them gives the exit code."""
    checked = document(capsys, "dataset", "check", good, bad, code=1)
    assert [one["ok"] for one in checked["files"]] == [True, False]
    checked = document(capsys, "dataset", "check", good, "nowhere.jsonl", bad, code=2)
    assert [one["ok"] for one in checked["files"]] == [True, False, False]
    assert checked["files"][1]["error"]["message"].startswith("data file nowhere.jsonl")
    seen = shown(capsys, "dataset", "check", good, "nowhere.jsonl", bad, code=2)
    assert "3 checked, 2 of them not right" in seen


def test_what_is_also_in_the_evaluation_data(good: str, tmp_path: Path, capsys: Capture) -> None:
    kept = tmp_path / "eval.jsonl"
    kept.write_text(lines_of(GOOD[3:4]), encoding="utf-8")
    [one] = document(capsys, "dataset", "check", good, "--against", str(kept))["files"]
    [leak] = [group for group in one["groups"] if group["rule"] == "leaked-row"]
    assert leak["first"][0]["line"] == 4


def test_reports_as_files(bad: str, tmp_path: Path, capsys: Capture) -> None:
    page, data = tmp_path / "report.html", tmp_path / "report.json"
    assert qianfan("dataset", "check", bad, "--html", str(page), "--report", str(data)) == 1
    assert "<html" in page.read_text(encoding="utf-8")
    assert json.loads(data.read_text(encoding="utf-8"))["bad_rows"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--html", "report.json"], "end it in .html"),
        (["--report", "report.pdf"], "report.pdf"),
        (["--against", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--format", "alpacca"], "alpaca"),
        (["--limit", "-1"], "--limit"),
    ],
)
def test_options_that_cannot_be_meant(options: list[str], words: str, good: str, capsys: Capture) -> None:
    assert words in shown(capsys, "dataset", "check", good, *options, code=2)


def test_one_report_is_about_one_place(good: str, bad: str, capsys: Capture) -> None:
    assert "about one SRC" in shown(capsys, "dataset", "check", good, bad, "--html", "a.html", code=2)


def test_a_corrected_copy(tmp_path: Path, capsys: Capture) -> None:
    """What can be mended is, what cannot is dropped and listed, and the file itself stays as it was."""
    path, copy = tmp_path / "rows.jsonl", tmp_path / "copy.jsonl"
    rows = [*GOOD, {"prompt": 5, "response": "five"}, {"prompt": "why?", "response": ""}]
    path.write_text(lines_of(rows), encoding="utf-8")
    before = path.read_bytes()
    [one] = document(capsys, "dataset", "check", str(path), "--fix", str(copy))["files"]
    assert one["bad_rows"] == 2
    assert path.read_bytes() == before
    [again] = document(capsys, "dataset", "check", str(copy))["files"]
    assert (again["ok"], again["rows"]) == (True, 13)
    assert "copy.jsonl" in shown(capsys, "dataset", "check", str(path), "--fix", str(copy))
    assert qianfan("dataset", "check", str(path), "--fix", str(copy), "--strict") == 1
    assert qianfan("dataset", "check", str(path), "--fix", str(path)) == 2
    assert path.read_bytes() == before


def test_corrections_that_have_to_be_asked_for(tmp_path: Path, capsys: Capture) -> None:
    path, copy = tmp_path / "rows.jsonl", tmp_path / "copy.jsonl"
    path.write_text(lines_of([*GOOD, GOOD[0]]), encoding="utf-8")
    command = ["dataset", "check", str(path), "--fix", str(copy)]
    assert document(capsys, *command)["files"][0]["fix"]["written"] == 13
    assert (
        document(capsys, *command, "--fix-also", "duplicates", "--fix-also", "strip")["files"][0]["fix"]["written"]
        == 12
    )
    assert "--fix" in shown(capsys, "dataset", "check", str(path), "--fix-also", "keys", code=2)


def test_a_file_in_another_encoding(tmp_path: Path, capsys: Capture) -> None:
    """It cannot be checked, and with its encoding named it can be corrected."""
    path, copy = tmp_path / "rows.jsonl", tmp_path / "copy.jsonl"
    path.write_bytes(lines_of([{"prompt": f"问题{n}", "response": "答案"} for n in range(3)]).encode("gb18030"))
    [one] = document(capsys, "dataset", "check", str(path), code=2)["files"]
    assert "GBK" in one["error"]["message"]
    [one] = document(capsys, "dataset", "check", str(path), "--fix", str(copy), "--encoding", "gb18030")["files"]
    assert one["fix"]["written"] == 3
    assert "问题2" in copy.read_text(encoding="utf-8")


# --- stats -----------------------------------------------------------------------------------------------------------


def test_stats(good: str, capsys: Capture) -> None:
    measured = document(capsys, "dataset", "stats", good)
    assert (measured["source"], measured["rows"]) == (good, 12)
    seen = shown(capsys, "dataset", "stats", good)
    assert seen.startswith("12 rows")
    assert "tokens" in seen

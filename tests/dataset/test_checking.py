"""The check of a dataset: what it warns of, how it groups and counts, and how its report looks."""

from __future__ import annotations

import ast
import json
from datetime import date
from html.parser import HTMLParser
from itertools import accumulate
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qianfan.dataset
from qianfan.dataset.checking import RULES, check
from qianfan.dataset.checking.keys import KEYS, misspelt
from qianfan.dataset.checking.oddities import marked_lines, oddities
from qianfan.dataset.checking.size import too_few, too_large
from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.shapes import SHAPES
from qianfan.dataset.shapes.flaws import Rule
from qianfan.dataset.sources import FileDataSource, LocalSource, MemoryDataSource
from qianfan.errors import DataFileError, InvalidArgumentError, ValidationError
from tests.realdata import real_file


def turn(prompt: str = "q", answer: str = "a", **more: object) -> list[dict[str, object]]:
    return [{"prompt": prompt, "response": [[answer]], **more}]


def many(count: int) -> list[object]:
    """Good rows that are all different."""
    return [turn(f"question {number}", f"answer {number}") for number in range(count)]


def lines_file(path: Path, rows: list[object]) -> LocalSource:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return FileDataSource(path)


def rules_of(rows: list[object], **options: object) -> list[str]:
    """The rules that a good dataset breaks because of some rows more."""
    report = check(MemoryDataSource([*many(100), *rows]), **options)
    return [problem.rule for problem in (*report.problems, *report.warnings)]


# --- what is warned of ------------------------------------------------------------------------------------------------


def test_nothing_is_said_about_a_good_dataset():
    report = check(MemoryDataSource(many(100)))
    assert report
    assert (report.rows, report.bad_rows, report.problem_count, report.warning_count) == (100, 0, 0, 0)
    assert (report.problems, report.warnings, report.groups) == ((), (), ())
    assert report.headline == "rows in memory: 100 rows, nothing wrong"


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ("我是 {{name}}", "placeholder"),
        ("{{ 姓名 }}，你好", "placeholder"),
        ("broken \ufffd", "replacement-character"),
        ("bell \x07", "control-character"),
        ("c1 \x85", "control-character"),
        ("a &lt; b", "html-entity"),
        ("a&nbsp;b", "html-entity"),
        ("x " * 9_000, "too-many-tokens"),
    ],
)
def test_an_odd_text_is_warned_of(answer, rule):
    assert rules_of([turn(answer=answer)]) == [rule]


@pytest.mark.parametrize(
    "answer",
    ["x^{{ab}}", "int a[2] = {{1, 2}};", "R&D", "<b>a &lt; b</b>", "```\n&amp;\n```", "tab\tand\nline", "字" * 12_000],
)
def test_a_text_that_means_what_it_says_is_left_alone(answer):
    assert rules_of([turn(answer=answer)]) == []


def test_columns_that_nobody_trains_on_may_hold_anything():
    rows = [{"instruction": f"q{n}", "output": f"a{n}", "source": "{{url}} \ufffd"} for n in range(100)]
    assert check(MemoryDataSource(rows)).warnings == ()


def test_an_odd_text_is_found_in_its_own_field(tmp_path):
    alpaca = [{"instruction": f"q{n}", "input": "", "output": f"a{n}"} for n in range(100)]
    alpaca[7]["output"] = "我叫{{name}}"
    warning = check(lines_file(tmp_path / "a.jsonl", list(alpaca))).warnings[0]
    assert (warning.line, warning.field, warning.found) == (8, "output", '"{{name}}"')
    assert warning.column == json.dumps(alpaca[7], ensure_ascii=False).index('"我叫') + 1


@pytest.mark.parametrize(
    ("kind", "rows", "said"),
    [
        (DataTemplateType.NonSortedConversation, 31, "31 rows, and fine-tuning needs at least 32"),
        (DataTemplateType.NonSortedConversation, 32, "32 rows, and fine-tuning should have 100 or more"),
        (DataTemplateType.NonSortedConversation, 100, ""),
        (DataTemplateType.PromptChosenRejected, 99, "99 rows, and preference training should have 100 or more"),
        (DataTemplateType.GenericText, 1, ""),
        (None, 0, ""),
    ],
)
def test_each_kind_of_training_needs_its_rows(kind, rows, said):
    assert too_few(kind, rows) == said


def test_a_file_that_is_too_large_to_import_is_an_error():
    assert too_large(DataTemplateType.NonSortedConversation, 50 * 10**9) == ""
    assert "50,000,000,000" in too_large(None, 50 * 10**9 + 1)
    assert "5,000,000,000" in too_large(DataTemplateType.GenericText, 5 * 10**9 + 1)
    assert RULES["file-too-large"].severity == "error"


def test_only_good_rows_count_towards_those_that_are_needed():
    report = check(MemoryDataSource([*many(99), []]))
    assert [warning.reason for warning in report.warnings] == ["99 rows, and fine-tuning should have 100 or more"]


def test_answers_that_are_nearly_all_the_same_are_warned_of():
    rows: list[object] = [turn(f"question {n}", "yes" if n % 3 else f"no {n}") for n in range(100)]
    report = check(MemoryDataSource(rows))
    assert [(one.rule, one.reason) for one in report.warnings] == [
        ("same-answer", "66 of 100 rows that were looked at have the same answer")
    ]


# --- misspelt keys ----------------------------------------------------------------------------------------------------


def test_a_key_that_looks_misspelt_is_warned_of_once(tmp_path):
    rows = [turn(f"q{n}", f"a{n}", sytem="be kind") for n in range(100)]
    report = check(lines_file(tmp_path / "a.jsonl", list(rows)))
    assert [str(one) for one in report.warnings] == [
        "line 1, column 50: [0].sytem: 'sytem' is not read; did you mean 'system'?"
    ]
    assert report.warnings[0].fix == "rename it to 'system'"


@pytest.mark.parametrize(
    ("shape", "value", "found"),
    [
        ("alpaca", {"instruction": "q", "output": "a", "inputs": "x"}, [("inputs", "input")]),
        ("alpaca", {"Instruction": "q", "output": "a"}, [("Instruction", "instruction")]),
        ("alpaca", {"instruction": "q", "input": "", "output": "a", "inputs": "x"}, []),
        ("alpaca", {"instruction": "q", "output": "a", "id": 1, "source": "x", "topic": "y"}, []),
        ("alpaca", {"instruction": "q", "output": "a", "history_id": 3}, []),
        ("dialogue", [{"prompt": "q", "respones": [["a"]]}], [("respones", "response")]),
        ("messages", {"messages": [{"role": "user", "contents": "q"}]}, [("contents", "content")]),
        ("sharegpt", {"conversations": [], "tool": "[]"}, [("tool", "tools")]),
        ("text", "a text", []),
    ],
)
def test_keys_are_compared_with_those_that_are_read(shape, value, found):
    assert [(key, meant) for _, key, meant in misspelt(value, KEYS[shape])] == found


def test_a_misspelt_key_that_makes_a_mere_table_of_the_rows_is_warned_of():
    report = check(MemoryDataSource([{"instruction": f"q{n}", "ouput": f"a{n}"} for n in range(100)]))
    assert [(one.rule, one.field, one.fix) for one in report.warnings] == [
        ("misspelt-key", "ouput", "rename it to 'output'")
    ]
    assert check(MemoryDataSource([{"question": f"q{n}", "answer": f"a{n}"} for n in range(100)])).warnings == ()


def test_the_keys_of_every_shape_are_known():
    assert set(SHAPES) - set(KEYS) <= {"table"}
    assert set(KEYS) <= set(SHAPES)


# --- rows that are there twice ----------------------------------------------------------------------------------------


def test_rows_and_questions_that_come_again_are_warned_of(tmp_path):
    rows = [*many(100), turn("question 3", "answer 3"), turn("question 5", "another"), turn("question 5", "another")]
    report = check(lines_file(tmp_path / "a.jsonl", rows))
    assert report
    assert [str(one) for one in report.warnings] == [
        "line 101, column 1: is the same as line 4",
        "line 102, column 1: asks the same as line 6, with another answer",
        "line 103, column 1: is the same as line 102",
    ]


def test_rows_are_the_same_whatever_the_order_of_their_keys(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"instruction": "q", "input": "", "output": "a"}\n\n{"output":"a","instruction":"q"}\n', encoding="utf-8"
    )
    report = check(FileDataSource(path), rules={"too-few-rows": "off"})
    assert [str(one) for one in report.warnings] == ["line 3, column 1: is the same as line 1"]


def test_objects_that_json_has_no_form_for_are_like_no_others():
    rows = [{"day": date(2026, 1, 1)}, {"day": date(2026, 1, 1)}, {"day": "x"}, {"day": "x"}]
    report = check(MemoryDataSource(rows))
    assert [one.line for one in report.warnings] == [4]


def test_a_preference_may_ask_the_same_twice():
    rows = [[{"user": f"q{n % 50}", "chosen": f"good {n}", "rejected": "bad"}] for n in range(100)]
    report = check(MemoryDataSource(rows))
    assert [one.rule for one in report.warnings] == []


def test_rows_that_are_wrong_are_no_repeats():
    report = check(MemoryDataSource([*many(100), [], []]))
    assert (report.problem_count, report.warning_count) == (2, 0)


def test_data_kept_for_evaluation_must_not_be_trained_on(tmp_path):
    own = lines_file(tmp_path / "train.jsonl", [*many(100), turn("a secret", "told")])
    kept = MemoryDataSource(
        [
            {"instruction": "question 8", "input": "", "output": "answer 8"},
            {"instruction": "question 9", "input": "", "output": "something else"},
            {"instruction": "unseen", "input": "", "output": "answer"},
        ],
        name="eval.jsonl",
    )
    report = check(own, against=kept)
    assert [(one.rule, str(one)) for one in report.warnings] == [
        ("leaked-row", "line 9, column 1: is also in eval.jsonl, row 1"),
        ("leaked-question", "line 10, column 1: asks the same as eval.jsonl, row 2"),
    ]
    assert check(kept, against=own, rules={"too-few-rows": "off"}).warning_count == 2
    assert not check(own, against=kept, rules={"leaked-row": "error"})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=6))
def test_repeats_and_leaks_are_those_that_comparing_all_rows_finds(own, kept):
    rows = [turn(letter, letter) for letter in own]
    others = [turn(letter, letter) for letter in kept]
    report = check(MemoryDataSource(rows), against=MemoryDataSource(others), limit=None)
    found = {
        rule: [one.line for one in report.warnings if one.rule == rule] for rule in ("duplicate-row", "leaked-row")
    }
    assert found["duplicate-row"] == [n + 1 for n, letter in enumerate(own) if letter in own[:n]]
    assert found["leaked-row"] == [n + 1 for n, letter in enumerate(own) if letter in kept]


# --- options ----------------------------------------------------------------------------------------------------------


def test_a_user_decides_what_a_warning_is():
    rows = [*many(100), turn(answer="{{name}}")]
    assert check(MemoryDataSource(rows), rules={"placeholder": "off"}).warning_count == 0
    report = check(MemoryDataSource(rows), rules={"placeholder": "error"})
    assert not report
    assert (report.problem_count, report.warning_count, report.bad_rows) == (1, 0, 0)
    assert report.headline == "rows in memory: 101 rows, 1 problem"
    with pytest.raises(ValidationError, match=r"row 101: \[0\]\.response\[0\]\[0\]: holds the placeholder"):
        report.raise_for_problems()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"empty": "off"}, "rule 'empty' is always an error"),
        ({"duplicate-rows": "off"}, "unknown rule 'duplicate-rows'; did you mean 'duplicate-row'?"),
        ({"placeholder": "ignore"}, "can be 'error', 'warning' or 'off', not 'ignore'"),
    ],
)
def test_a_wrong_choice_is_refused(rules, message):
    with pytest.raises(InvalidArgumentError, match=message):
        check(MemoryDataSource(many(1)), rules=rules)


def test_a_wrong_limit_is_refused():
    with pytest.raises(InvalidArgumentError, match="limit must be 0 or more"):
        check(MemoryDataSource(many(1)), limit=-1)


def test_the_cheap_check_looks_for_errors_only():
    report = check(MemoryDataSource([turn(answer="{{name}}"), *many(3), []]), warnings=False, statistics=False)
    assert (report.problem_count, report.warning_count, report.statistics) == (1, 0, None)


def test_everything_is_counted_and_the_first_are_kept():
    rows: list[object] = [*many(2), *([turn(answer="")] * 5), *([turn(answer="{{name}}")] * 5)]
    report = check(MemoryDataSource(rows), limit=2)
    assert (report.problem_count, report.warning_count) == (5, 5 + 4 + 1)
    assert [one.line for one in report.problems] == [3, 4]
    assert [one.rule for one in report.warnings] == ["too-few-rows", "placeholder"]
    assert {(group.rule, group.count) for group in report.groups} == {
        ("empty", 5),
        ("placeholder", 5),
        ("duplicate-row", 4),
        ("too-few-rows", 1),
    }
    assert len(check(MemoryDataSource(rows), limit=None).warnings) == 10
    assert check(MemoryDataSource(rows), limit=0).problems == ()


def test_rows_with_keys_of_their_own_do_not_make_a_group_each():
    rows = [{"instruction": f"q{n}", "output": "a", f"input{n % 10}{chr(97 + n // 10)}": ""} for n in range(300)]
    report = check(MemoryDataSource(rows), limit=None)
    assert report.warning_count > 250
    assert len(report.groups) <= 210
    assert sum(group.count for group in report.groups) == report.warning_count


# --- the report -------------------------------------------------------------------------------------------------------


@pytest.fixture
def report(tmp_path):
    rows = [*many(3), turn(answer=""), turn(3, "a"), turn(answer="<script>{{name}}"), []]
    return check(lines_file(tmp_path / "a.jsonl", rows))


def test_a_report_groups_by_rule_and_field(report):
    errors = [(group.rule, group.field, group.count) for group in report.groups if group.severity == "error"]
    assert errors == [
        ("empty", "", 1),
        ("empty", "[].response[][]", 1),
        ("wrong-type", "[].prompt", 1),
    ]
    assert all(group.fix for group in report.groups)
    assert all(problem.rule in RULES for problem in (*report.problems, *report.warnings))


def test_a_report_reads_well_in_a_terminal(report):
    lines = str(report).splitlines()
    assert lines[0].endswith("a.jsonl: 3 of 7 rows have problems")
    assert lines[2] == "3 errors"
    at = lines.index("  1  wrong-type in [].prompt")
    assert lines[at + 1] == "     - line 5, column 13: [0].prompt: must be a text, not a number, found 3"
    assert lines[at + 2].startswith("     fix: ")
    assert "2 warnings" in lines


def test_a_report_is_json(report, tmp_path):
    path = report.save(tmp_path / "report.json")
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read == json.loads(json.dumps(report.to_dict()))
    assert (read["version"], read["ok"], read["rows"], read["bad_rows"]) == (1, False, 7, 3)
    assert read["errors"]["count"] == len(read["errors"]["items"]) == 3
    assert read["errors"]["items"][1] | {"fix": ""} == {
        "file": "",
        "line": 5,
        "column": 13,
        "field": "[0].prompt",
        "rule": "wrong-type",
        "reason": "must be a text, not a number",
        "found": "3",
        "fix": "",
    }
    assert read["statistics"]["rows"] == 4


class _Page(HTMLParser):
    """What a page loads, and whether its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.loads: list[str | None] = []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_one_page_that_loads_nothing(report, tmp_path):
    page = _Page()
    page.feed(report.save(tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert page.loads == []
    assert {"html", "style", "table", "svg", "rect"} <= page.seen
    assert "script" not in page.seen
    assert "http" not in report.to_html().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert report._repr_html_() in report.to_html()


def test_what_was_found_cannot_break_out_of_the_page():
    rows = [*many(100), turn(answer="{{<img}} \ufffd<script>alert(1)</script>")]
    source = MemoryDataSource(rows, name="<script>x</script>")
    page = _Page()
    page.feed(check(source).to_html())
    assert "script" not in page.seen
    assert "img" not in page.seen


def test_a_dataset_without_rows_has_a_report_too(tmp_path):
    report = check(MemoryDataSource([]))
    assert report
    assert (report.rows, report.statistics.measured) == (0, 0)
    page = _Page()
    page.feed(report.to_html())
    assert page.open == []
    assert str(report) == "rows in memory: 0 rows, nothing wrong\n\n0 rows"


def test_a_report_is_saved_as_its_name_says(report, tmp_path):
    assert report.save(str(tmp_path / "r.txt")).read_text(encoding="utf-8") == f"{report}\n"
    with pytest.raises(InvalidArgumentError, match=r"saved as \.json, \.html, \.txt, not '\.pdf'"):
        report.save(tmp_path / "r.pdf")
    with pytest.raises(DataFileError, match="cannot be written"):
        report.save(tmp_path / "nowhere" / "r.txt")


def test_every_rule_that_is_given_has_its_place_in_the_table():
    folder = Path(qianfan.dataset.__file__).parent
    # What a shape cannot say comes up when rows are written, not when they are checked.
    named = set(get_args(Rule)) - {"cannot-say"}
    for file in [folder / "sources.py", *folder.glob("reading/*.py"), *folder.glob("checking/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "rule" and isinstance(node.value, ast.Constant):
                named.add(node.value.value)
    assert named - {""} <= set(RULES)
    assert all(rule.about.endswith(".") and rule.fix for rule in RULES.values())


# --- odd texts, fast and slow -----------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "{{name}}",
        "{{",
        "&lt;",
        "&",
        "\ufffd",
        "\x07",
        "\x7f",
        "\x85",
        "·",
        "é",
        "，",
        "\\",
        '"',
        "a",
        "\n",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=6).map("".join), min_size=1, max_size=5), st.booleans())
def test_no_line_with_an_odd_text_is_without_a_mark(texts, ascii_only):
    lines = [json.dumps(text, ensure_ascii=ascii_only).encode() + b"\n" for text in texts]
    block = b"".join(lines)
    marked = [lines[at] for at in marked_lines(block, list(accumulate(map(len, lines))))]
    odd = [line for line, text in zip(lines, texts, strict=True) if list(oddities(text))]
    assert all(line in marked for line in odd)


# --- real data --------------------------------------------------------------------------------------------------------


def test_a_real_template_that_was_not_filled_in_is_found():
    report = check(FileDataSource(real_file("identity.json")))
    assert report
    counts = {group.rule: group.count for group in report.groups}
    assert counts["placeholder"] > 80
    assert counts["too-few-rows"] == 1

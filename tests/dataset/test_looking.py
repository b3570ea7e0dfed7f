"""What `print(ds)` and a notebook show of a dataset, and how little is read for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.looking import (
    LOOKED_AT,
    REACH,
    Glimpse,
    html,
    one_line,
    parts_of,
    printable,
    shortened,
    text,
    width_of,
)
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.processing import deduplicated, filtered, mapped, shuffled
from qianfan.dataset.reading import RawRow
from qianfan.dataset.sources import FileDataSource, LocalSource, MemoryDataSource


class Endless(LocalSource):
    """Rows without end. asked: how many of them somebody has asked for."""

    name = "endless"

    def __init__(self, letters: int = 1) -> None:
        self.asked = 0
        self._letters = letters
        self.find_shape("prompt_response")
        self.asked = 0

    def raw_rows(self) -> Iterator[RawRow]:
        while True:
            self.asked += 1
            yield RawRow(self.asked, 0, "", {"prompt": f"question {self.asked}", "response": "a" * self._letters})

    def raw_row(self, position: int) -> RawRow:
        raise NotImplementedError

    def __len__(self) -> int:
        raise AssertionError("nobody may count rows without end")


def opened(path: Path, content: str) -> FileDataSource:
    path.write_text(content, encoding="utf-8")
    source = FileDataSource(path)
    source.open()
    return source


PAIRS = [{"prompt": f"what is {n}?", "response": f"{n} is a number"} for n in range(10)]


# --- in a terminal ---------------------------------------------------------------------------------------------------


def test_a_file_shows_what_it_is_and_its_first_rows(tmp_path: Path) -> None:
    source = opened(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in PAIRS))
    head, *lines = text(source, width=100).splitlines()
    assert head == "Dataset"
    facts = dict(line.split(maxsplit=1) for line in lines[:5])
    assert facts["file"].endswith("rows.jsonl")
    assert facts["template"] == "NonSortedConversation"
    assert facts["format"] == "prompt_response"
    assert facts["rows"] == "10"
    assert facts["lengths"] == "23 characters each"
    assert lines[5] == "  0  prompt: what is 0? | response: 0 is a number"
    assert [line.split()[0] for line in lines[5:]] == ["0", "1", "2", "3", "4"]


def test_only_the_first_rows_are_read() -> None:
    source = Endless()
    shown = text(source, width=80)
    assert "not counted" in shown
    assert f"in the first {LOOKED_AT} rows" in shown
    assert source.asked == LOOKED_AT
    html(source)
    assert source.asked == 2 * LOOKED_AT


def test_of_long_rows_fewer_are_read() -> None:
    source = Endless(letters=100_000)
    text(source, width=80)
    assert source.asked < 10


def test_of_what_is_made_of_other_rows_no_more_is_read() -> None:
    """However rare the wanted rows are, and whatever has to be known before the first one is."""
    source = Endless()
    even = mapped(filtered(source, lambda row: int(row[0]["prompt"].split()[1]) % 2 == 0), lambda row: row)
    source.asked = 0
    assert "prompt: question 2 | response: a" in text(even, width=80)
    assert source.asked <= 2 * REACH
    for derived in (filtered(source, lambda row: False), shuffled(source, seed=1), deduplicated(source)):
        source.asked = 0
        assert text(derived, width=80).splitlines()[-1] == "  its rows are worked out when they are read"
        assert "its rows are worked out" in html(derived)
        assert source.asked <= 4 * REACH


def test_rows_that_have_been_worked_out_are_shown() -> None:
    source = shuffled(MemoryDataSource(PAIRS), seed=1)
    first = next(source.rows()).to_json()[0]["prompt"]
    assert f"  0  prompt: {first}" in text(source, width=80)
    source = deduplicated(MemoryDataSource([*PAIRS, *PAIRS]))
    assert len(source) == 10
    assert "  0  prompt: what is 0?" in text(source, width=80)


def test_a_row_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    good = json.dumps(PAIRS[0])
    source = opened(tmp_path / "rows.jsonl", f'{good}\n{{"prompt": 5, "response": "a"}}\n{{"oops\n{good}\n')
    lines = text(source, width=100).splitlines()[-4:]
    assert [line[5] == "!" for line in lines] == [False, True, True, False]
    assert "line 2, column 12" in lines[1]
    assert "line 3" in lines[2]


def test_a_dataset_on_the_platform_asks_nothing() -> None:
    assert text(QianfanDataSource("ds-nobody")) == "Dataset\n  id  ds-nobody"


def test_downloaded_rows_are_shown_with_what_the_platform_said() -> None:
    source = QianfanDataSource(111)
    source.local = MemoryDataSource(PAIRS)
    shown = text(source, width=80)
    assert "id       111" in shown
    assert "prompt: what is 0?" in shown


def test_an_empty_dataset() -> None:
    source = MemoryDataSource([])
    assert "rows    0" in text(source)
    assert html(source)


@given(st.text(), st.integers(min_value=1, max_value=40))
@settings(deadline=None, max_examples=100)
def test_a_shortened_text_fits(said: str, columns: int) -> None:
    cut = shortened(said, columns)
    assert width_of(cut) <= columns
    assert cut == said if width_of(said) <= columns else cut.endswith("…")


ROWS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(min_value=1, max_value=200))
@settings(deadline=None, max_examples=100)
def test_whatever_the_rows_are_each_is_one_line_that_fits(values: list[Any], width: int) -> None:
    source = MemoryDataSource(values, format="messages")
    lines = text(source, width=width).splitlines()
    assert all(width_of(line) <= max(width, 40) for line in lines)
    assert len(lines) <= 1 + 4 + len(values)
    for row in Glimpse.of(source).rows:
        assert "\n" not in one_line(row, 60)
    assert "<script" not in html(source)


def test_chinese_takes_two_columns() -> None:
    assert shortened("细胞理论和日心说", 9) == "细胞理论…"
    assert width_of("细胞ab") == 6


def test_a_terminal_is_not_told_what_to_do() -> None:
    """Colours, bells and halves of characters in rows are data."""
    assert printable("\x1b[31mred\x07 \ud800 tab\tline\n") == "\ufffd[31mred\ufffd \ufffd tab\tline\n"
    source = MemoryDataSource([{"prompt": "\x1b[2J", "response": "\x9b1m"}])
    assert "\x1b" not in text(source)
    assert "\x9b" not in text(source)


# --- parts of rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a text", [("text", "a text")]),
        ({"prompt": "q"}, [("prompt", "q")]),
        (
            [{"system": "s", "prompt": "q", "response": [["a"]]}],
            [("system", "s"), ("prompt", "q"), ("response", "a")],
        ),
        (
            [{"prompt": "q", "response": [["good"], ["bad"]]}],
            [("prompt", "q"), ("response 1", "good"), ("response 2", "bad")],
        ),
        (
            [{"user": "q", "chosen": "好", "rejected": "坏"}],
            [("user", "q"), ("chosen", "好"), ("rejected", "坏")],
        ),
        ({"n": 5, "list": ["好", 1]}, [("n", "5"), ("list", '["好", 1]')]),
        (None, []),
    ],
)
def test_parts_of_a_row(value: Any, parts: list[tuple[str, str]]) -> None:
    assert parts_of(value) == parts


# --- in a notebook ---------------------------------------------------------------------------------------------------


def test_html_shows_the_turns_and_a_histogram() -> None:
    rows = [{"prompt": "q" * n, "response": "a"} for n in range(1, 21)]
    shown = html(MemoryDataSource(rows))
    assert shown.count("<b>prompt</b>") == 5
    assert "<b>response</b> a" in shown
    assert shown.count("<rect ") == 20
    assert "<title>2 to 21 characters a row</title>" in shown
    assert DataTemplateType.NonSortedConversation.name in shown


def test_html_is_escaped() -> None:
    nasty = "<script>alert('x')</script>&"
    shown = html(MemoryDataSource([{"prompt": nasty, "response": nasty}], name=nasty))
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_html_of_a_long_row_is_short() -> None:
    turns = [{"prompt": "q" * 5_000, "response": [["a"]]}] * 50
    shown = html(MemoryDataSource([turns]))
    assert len(shown) < 5_000
    assert "(5,000 characters)" in shown
    assert "and 92 more" in shown

"""Uploaded data as an engine reads them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator.templates import template_of
from qianfan.emulator.training.rows import joined, repeated, rows_of, split, write_rows
from qianfan.engines.rows import Dialogue, Message, Mode, Preference, Rated, Row, Text, answers_of, read_rows


def said(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(role="assistant" if place % 2 else "user", content=text) for place, text in enumerate(texts))


SYSTEM = Message(role="system", content="be brief")

ROWS: list[tuple[str, Mode, object, list[Row]]] = [
    ("PromptResponse", "SFT", [{"prompt": "a", "response": [["b"]]}], [Dialogue(messages=said("a", "b"))]),
    ("PromptResponse", "SFT", [{"prompt": "a", "response": "b"}], [Dialogue(messages=said("a", "b"))]),
    (
        "PromptResponse",
        "SFT",
        [{"prompt": "a", "response": [["b"]], "system": "be brief"}, {"prompt": "c", "response": [["d"]]}],
        [Dialogue(messages=(SYSTEM, *said("a", "b", "c", "d")))],
    ),
    ("PromptResponse", "SFT", [{"prompt": "a"}], []),
    (
        "DPO_PromptChosenRejected",
        "DPO",
        [{"user": "a", "assistant": "b"}, {"user": "c", "chosen": "d", "rejected": "e"}],
        [Preference(messages=said("a", "b", "c"), chosen="d", rejected="e")],
    ),
    (
        "KTO_PromptChosenRejected",
        "KTO",
        [{"user": "a", "chosen": "b", "rejected": "c"}],
        [
            Rated(messages=said("a"), completion="b", desirable=True),
            Rated(messages=said("a"), completion="c", desirable=False),
        ],
    ),
    (
        "KTO_PromptChosenRejected",
        "KTO",
        [{"user": "a", "rejected": "c"}],
        [Rated(messages=said("a"), completion="c", desirable=False)],
    ),
    ("Text", "PostPretrain", "some text", [Text(text="some text")]),
]


@pytest.mark.parametrize(("template", "mode", "value", "rows"), ROWS)
def test_platform_rows(template: str, mode: Mode, value: object, rows: list[Row]) -> None:
    kind = template_of(template)
    assert kind is not None
    assert [*rows_of("rows.jsonl", json.dumps(value).encode() + b"\n", kind, mode)] == rows


def test_a_file_of_text_is_one_row() -> None:
    kind = template_of("Text")
    assert kind is not None
    assert [*rows_of("book.txt", b"line one\nline two", kind, "PostPretrain")] == [Text(text="line one\nline two")]


def numbered(count: int) -> list[Row]:
    return [Text(text=str(number)) for number in range(count)]


@given(count=st.integers(1, 200), percent=st.floats(0, 100), seed=st.integers(0, 5))
def test_a_split_loses_nothing(count: int, percent: float, seed: int) -> None:
    rows = numbered(count)
    training, held_out = split(rows, percent, random.Random(seed))
    assert sorted([*training, *held_out], key=rows.index) == rows
    assert training, "something is left to learn"
    assert bool(held_out) == (percent > 0 and count > 1)
    assert (training, held_out) == split(rows, percent, random.Random(seed))


@pytest.mark.parametrize(("rate", "length"), [(1.0, 10), (0.5, 5), (2.0, 20), (2.3, 23), (0.01, 0)])
def test_sampling_rates(rate: float, length: int) -> None:
    rows = numbered(10)
    found = repeated(rows, rate, random.Random(1))
    assert len(found) == length
    assert {*found} <= {*rows}


def test_joined_dialogues() -> None:
    rows: list[Row] = [Dialogue(messages=said(f"q{number}", f"a{number}")) for number in range(3)]
    assert joined(rows, 0, random.Random(1)) == rows
    both = Dialogue(messages=said("q0", "a0", "q1", "a1"))
    assert joined(rows, 1, random.Random(1)) == [both, rows[2]], "two turns and no more"


def test_answers_of_a_dialogue() -> None:
    messages = (SYSTEM, *said("a", "b", "c", "d"))
    assert [*answers_of(messages)] == [((SYSTEM, *said("a")), "b"), ((SYSTEM, *said("a", "b", "c")), "d")]


def test_rows_come_back_from_a_file(tmp_path: Path) -> None:
    rows: list[Row] = [Preference(messages=said("问"), chosen="好", rejected="坏\n")]
    write_rows(rows, tmp_path / "rows.jsonl")
    assert read_rows(tmp_path / "rows.jsonl", Preference) == rows

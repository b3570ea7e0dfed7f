"""How long work is shown: lines where nobody looks, bars on terminals."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from qianfan.cli.transfer import transfer


def shown(*, terminal: bool, of_bytes: bool, steps: list[tuple[str, list[tuple[int, int | None]]]]) -> str:
    """What a view of these steps leaves. steps: each with what it was told of (done, in all)."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, color_system=None)
    with transfer(console, of_bytes=of_bytes) as view:
        for step, moves in steps:
            view.begins(step)
            view.begins(step)
            told = view.step(step)
            for done, total in moves:
                told(done, total)
    return file.getvalue()


def test_lines_tell_each_tenth_once() -> None:
    moves: list[tuple[int, int | None]] = [(done, 1_000_000) for done in range(0, 1_000_001, 10_000)]
    lines = shown(terminal=False, of_bytes=True, steps=[("uploading", moves), ("importing", [])]).splitlines()
    assert [line.split()[0] for line in lines] == ["uploading"] * 11 + ["importing"]
    assert lines[1] == "uploading     10%  100.0 kB of 1.0 MB"
    assert lines[10] == "uploading    100%  1.0 MB of 1.0 MB"


@pytest.mark.parametrize(
    ("moves", "lines"),
    [
        ([(3, 3)], ["asking", "asking       100%  3 of 3"]),
        ([(0, 0)], ["asking", "asking       100%  0 of 0"]),
        ([(5, None)], ["asking"]),
    ],
    ids=["rows", "nothing to do", "no end known"],
)
def test_lines_about_rows(moves: list[tuple[int, int | None]], lines: list[str]) -> None:
    assert shown(terminal=False, of_bytes=False, steps=[("asking", moves)]).splitlines() == lines


def test_bars_stay_when_their_step_is_over() -> None:
    steps: list[tuple[str, list[tuple[int, int | None]]]] = [
        ("checking", []),
        ("uploading", [(0, 2_000_000), (1_000_000, 2_000_000), (2_000_000, 2_000_000)]),
        ("importing", []),
    ]
    last = re.split("\r|\x1b\\[1A", shown(terminal=True, of_bytes=True, steps=steps))[-1]
    checking, uploading, importing = [re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", line) for line in last.splitlines()[:3]]
    assert checking.split()[0] == "checking"
    assert "2.0 MB of 2.0 MB" in uploading
    assert "left" not in uploading
    assert importing.split()[0] == "importing"


def test_a_bar_whose_end_is_not_known_beforehand() -> None:
    seen = shown(terminal=True, of_bytes=True, steps=[("downloading", [(1_000_000, None), (3_000_000, None)])])
    assert "3.0 MB of 3.0 MB" in seen.splitlines()[-2]

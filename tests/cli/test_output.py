"""Progress read off events, and how it looks."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rich.console import Console

from qianfan.cli.output import EventLines, LiveProgress, PlainProgress, Step, progress
from qianfan.pipeline import ActionState, Event
from qianfan.trainer import LoadDataSetAction, Pipeline, TrainAction
from tests.support.clock import JumpClock

START = datetime(2030, 1, 1, tzinfo=timezone.utc)


class StoppedClock(JumpClock):
    """Says that two seconds have passed since the start."""

    def wall(self) -> datetime:
        return START + timedelta(seconds=2)


def event(
    state: str, description: str = "", *, at: float = 0.0, progress: int | None = None, data: Any = None, **more: Any
) -> Event:
    """An event of a training, so many seconds after the start."""
    text = f"TrainAction[a1] {state.lower()}" + (f": {description}" if description else "")
    when = START + timedelta(seconds=at)
    facts = {"action_class": TrainAction, "action_id": "a1", **more}
    return Event(
        action_state=ActionState(state), description=text, data=data, progress=progress, timestamp=when, **facts
    )


COURSE = [
    event("Preceding"),
    event("Running", "task t is Running 40%", at=2.0, progress=40),
    event("Running", "task t is Running 40%", at=3.0, progress=40),
    event("Running", "task t is Running 90%", at=4.0, progress=90),
    event("Done", at=65.0, data={"task_id": "t"}),
]


def step_after(events: list[Event]) -> Step:
    step: Step | None = None
    for one in events:
        step = Step.of(one, step)
    assert step is not None
    return step


def test_a_step_is_what_its_events_tell() -> None:
    begun, under_way, done = step_after(COURSE[:1]), step_after(COURSE[:3]), step_after(COURSE)
    assert (begun.name, begun.detail, begun.percent, begun.over) == ("training", "started", None, False)
    assert (under_way.detail, under_way.percent) == ("task t is Running 40%", 40)
    assert (done.detail, done.percent, done.over) == ("task t is done", 100, True)


def test_time_goes_on_until_a_step_is_over() -> None:
    later = START + timedelta(seconds=100)
    assert step_after(COURSE[:2]).seconds() == 2.0
    assert step_after(COURSE[:2]).seconds(later) == 100.0
    assert step_after(COURSE).seconds(later) == 65.0


def test_events_of_the_whole_run_are_no_step() -> None:
    assert Step.of(event("Running", "next is TrainAction[a1]", action_class=Pipeline), None) is None
    assert Step.of(event("Running", action_class=None), None) is None


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ({"datasets": {"versions": [{"versionId": "ds-1"}, {"versionId": "ds-2"}]}}, "ready: ds-1, ds-2"),
        ({"datasets": {"versions": [{"versionBosUri": "bos:/b/k"}]}}, "ready: bos:/b/k"),
        ({"datasets": {}, "task_id": "task-1"}, "task task-1 is done"),
        ({"task_id": "task-1", "model_id": "amv-1"}, "model amv-1 is ready"),
        ({"model_id": "amv-1", "service_endpoint": "abc"}, "serving at abc"),
        ({"left_out": 70000}, "done"),
    ],
)
def test_what_a_step_made_is_its_last_word(data: dict[str, Any], detail: str) -> None:
    assert step_after([event("Done", data=data, action_class=LoadDataSetAction)]).detail == detail


def test_an_error_stays_on_its_line() -> None:
    failed = step_after([*COURSE[:2], event("Error", "two\n  - lines", at=5.0)])
    assert (failed.detail, failed.percent, failed.over) == ("two - lines", None, True)


def test_plain_lines_tell_each_change_once() -> None:
    file = io.StringIO()
    view = PlainProgress(Console(file=file, width=200))
    for one in COURSE:
        view.tell(one)
    assert file.getvalue().splitlines() == [
        "training     0.0 s  started",
        "training     2.0 s  task t is Running 40%",
        "training     4.0 s  task t is Running 90%",
        "training    65.0 s  task t is done",
    ]


def test_brackets_are_text() -> None:
    file = io.StringIO()
    PlainProgress(Console(file=file, width=200)).tell(event("Running", "uploading [bold]rows[/bold].jsonl"))
    assert "[bold]rows[/bold].jsonl" in file.getvalue()


class Unreadable(io.StringIO):
    """Somebody reads two lines and leaves."""

    def write(self, text: str) -> int:
        if self.getvalue().count("\n") == 2:
            raise BrokenPipeError("nobody reads")
        return super().write(text)


@pytest.mark.parametrize("view", [PlainProgress, EventLines])
def test_nobody_reads_on(view: Any) -> None:
    """It is told once, and nothing is tried any more; a view that need not tell lets the error out."""
    told: list[OSError] = []
    lines = view(Console(file=Unreadable(), width=200), on_unread=told.append)
    for one in COURSE:
        lines.tell(one)
    assert [str(error) for error in told] == ["nobody reads"]
    lines = view(Console(file=Unreadable(), width=200))
    with pytest.raises(BrokenPipeError):
        for one in COURSE:
            lines.tell(one)


def test_dated_lines_tell_what_is_worth_knowing() -> None:
    file = io.StringIO()
    lines = EventLines(Console(file=file, width=200), with_run=True)
    for one in (
        event("Running", "next is TrainAction[a1]", action_class=Pipeline, run_id="r1"),
        event("Preceding", run_id="r1"),
        event("Running", "found task 'x' as task-1", at=62.0, kind="adopted", run_id="r1"),
        Event(description="decided about a1.task: adopt task-1", kind="decided", run_id="r1", timestamp=START),
        event("Stopped", run_id="r1"),
        event("Stopped", action_class=Pipeline, run_id="r1"),
    ):
        lines.tell(one)
    assert file.getvalue().splitlines() == [
        "r1  2030-01-01 00:00:00Z  training  started",
        "r1  2030-01-01 00:01:02Z  training  found task 'x' as task-1",
        "r1  2030-01-01 00:00:00Z  run       decided about a1.task: adopt task-1",
        "r1  2030-01-01 00:00:00Z  training  interrupted",
        "r1  2030-01-01 00:00:00Z  run       ended early",
    ]


@pytest.mark.parametrize("width", [50, 120])
def test_a_live_view_cuts_only_what_a_step_says(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
    view = LiveProgress(console, StoppedClock())
    for one in COURSE[:2]:
        view.tell(one)
    with console.capture() as shown:
        console.print(view.live.get_renderable())
    [line] = shown.get().splitlines()
    assert "training" in line
    assert " 40% " in line
    assert " 2.0 s " in line
    assert ("task t is Running 40%" in line) is (width == 120)


def test_the_view_suits_where_it_is_shown() -> None:
    with progress(Console(file=io.StringIO())) as view:
        assert isinstance(view, PlainProgress)
    with progress(Console(file=io.StringIO(), force_terminal=True)) as view:
        assert isinstance(view, LiveProgress)
    with progress(Console(file=io.StringIO(), force_terminal=True), plain=True) as view:
        assert isinstance(view, PlainProgress)

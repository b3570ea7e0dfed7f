"""What a person sees: progress of a run read off its events, tables, and JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from qianfan.pipeline import Event

STEPS = {
    "LoadDataSetAction": "dataset",
    "TrainAction": "training",
    "ModelPublishAction": "model",
    "DeployAction": "service",
}

_MARKS = {"Preceding": "…", "Running": "…", "Done": "✓", "Error": "✗", "Stopped": "■"}
_STYLES = {"Done": "green", "Error": "bold red", "Stopped": "yellow"}


_UNBROKEN = 10_000
"""Columns where nobody looks: a line in a log or a pipe must stay one line."""


def out() -> Console:
    """Where results go."""
    return _console(stderr=False)


def err() -> Console:
    """Where everything else goes, so that a result can be piped."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = _UNBROKEN
    return console


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Rows under headings. columns: key of a row to its heading."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(key) is None else str(row[key]) for key in columns))
    out().print(table)


class Progress(Protocol):
    """Somebody to tell about the events of a run."""

    def tell(self, event: Event) -> None: ...


class PlainProgress:
    """One line for each change, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, str] = {}

    def tell(self, event: Event) -> None:
        step = _step_of(event)
        if step is None:
            return
        text = _line_of(event)
        if self._last.get(step) != text:
            self._last[step] = text
            self._console.print(f"{step:<9} {text}", markup=False)


class LiveProgress:
    """One line for each step that changes in place, for terminals."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._rows: dict[str, tuple[str, str, int | None, float]] = {}
        self._ended: dict[str, float] = {}
        self.live = Live(get_renderable=self._table, console=console, refresh_per_second=8, transient=False)

    def tell(self, event: Event) -> None:
        step = _step_of(event)
        if step is None:
            return
        state = event.action_state.value
        started = self._rows[step][3] if step in self._rows else time.monotonic()
        percent = event.progress if event.progress is not None else (100 if state == "Done" else None)
        if percent is None and step in self._rows:
            percent = self._rows[step][2]
        self._rows[step] = (state, _line_of(event), percent, started)
        if state in ("Done", "Error", "Stopped"):
            self._ended[step] = time.monotonic()

    def _table(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for step, (state, text, percent, started) in self._rows.items():
            style = _STYLES.get(state, "cyan")
            over = step in self._ended
            seconds = self._ended.get(step, time.monotonic()) - started
            pulse = percent is None and not over
            table.add_row(
                Text(_MARKS[state], style=style),
                Text(step, style="bold"),
                ProgressBar(completed=percent or 0, width=20, pulse=pulse, complete_style=style, finished_style=style),
                Text(f"{seconds:5.1f} s", style="dim"),
                Text(text, style=style if state in ("Error", "Stopped") else "", overflow="fold"),
            )
        return table


@contextmanager
def progress(console: Console, *, plain: bool = False) -> Generator[Progress, None, None]:
    """A view of a run's progress: live on a terminal, lines elsewhere."""
    if plain or not console.is_terminal:
        yield PlainProgress(console)
        return
    view = LiveProgress(console)
    with view.live:
        yield view


def _step_of(event: Event) -> str | None:
    return STEPS.get(event.action_class.__name__) if event.action_class is not None else None


def _line_of(event: Event) -> str:
    """What an event says, without the class and id that the library puts before it."""
    state = event.action_state.value
    if state == "Preceding":
        return "started"
    if state == "Done":
        return _made(event.data)
    _, _, detail = (event.description or "").partition(": ")
    return detail or state.lower()


def _made(data: Mapping[str, Any]) -> str:
    """The one thing worth knowing of what a step made."""
    facts = {
        "service_endpoint": "serving at {}",
        "model_id": "model {} is ready",
        "task_id": "task {} is done",
    }
    for key, text in facts.items():
        if key in data:
            return text.format(data[key])
    versions = [next(iter(version.values())) for version in data["datasets"]["versions"]]
    return f"ready: {', '.join(map(str, versions))}"

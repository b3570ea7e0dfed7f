"""What a person sees: progress of a run read off its events, tables, and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from qianfan._clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from qianfan.pipeline import Event

NAMES = {
    "LoadDataSetAction": "dataset",
    "TrainAction": "training",
    "ModelPublishAction": "model",
    "DeployAction": "service",
}
"""What the steps of a trainer are called here, by class."""

_BAR = 20
"""Columns of a progress bar."""

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


def print_json_line(value: Any) -> None:
    """One line of JSON on stdout, at once, for whoever reads along."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Rows under headings. columns: key of a row to its heading."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if row.get(key) is None else str(row[key])) for key in columns))
    out().print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Names and values below each other; values that say nothing are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value not in (None, "", {}, []):
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            table.add_row(name, Text(text))
    out().print(table)


# --- lines -----------------------------------------------------------------------------------------------------------

Unread = Callable[[OSError], object]
"""Told why a line cannot be written, above all that nobody reads any longer."""


class _Lines:
    """Writes lines where a console writes, each at once, until that fails.

    on_unread: told of the first failure; without it the failure comes out. Not left to rich, which ends the thread
    and sends stdout to nowhere, whichever of the two streams it was.
    """

    def __init__(self, console: Console, on_unread: Unread | None) -> None:
        self._console = console
        self._on_unread = on_unread
        self._failed = False

    def write(self, line: str) -> None:
        if self._failed:
            return
        try:
            self._console.file.write(f"{line}\n")
            self._console.file.flush()
        except OSError as error:
            self._failed = True
            if self._on_unread is None:
                raise
            self._on_unread(error)


class EventLines:
    """One dated line for each event that says something, for runs that are watched from outside.

    with_run: begin each line with the run's id. on_unread: see `Unread`; without it the error comes out.
    """

    def __init__(self, console: Console, *, with_run: bool = False, on_unread: Unread | None = None) -> None:
        self._lines = _Lines(console, on_unread)
        self._with_run = with_run

    def write(self, line: str) -> None:
        """Print a line of another kind."""
        self._lines.write(line)

    def tell(self, event: Event) -> None:
        """Print the event's line."""
        said = _said(event)
        if said is not None:
            run = f"{event.run_id}  " if self._with_run else ""
            self._lines.write(f"{run}{event.timestamp:%Y-%m-%d %H:%M:%S}Z  {said[0]:<9} {said[1]}".rstrip())


_ENDS = {"Done": "done", "Error": "failed", "Stopped": "ended early"}


def _said(event: Event) -> tuple[str, str] | None:
    """Who says what in an event; None for what only programs care about."""
    kind = event.action_class.__name__ if event.action_class is not None else ""
    if kind in NAMES:
        return NAMES[kind], _detail(event)
    if event.kind != event.action_state.value:
        return "run", " ".join((event.description or event.kind).split())
    end = _ENDS.get(event.action_state.value)
    return ("run", end) if end is not None and kind == "Pipeline" else None


# --- progress ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """How one step of a run stands, as its events tell it.

    state: of the latest event. percent: 0 to 100, None where it is not known. over: whether no event will follow.
    """

    name: str
    state: str
    detail: str
    percent: int | None
    began: datetime
    latest: datetime

    @property
    def over(self) -> bool:
        return self.state in ("Done", "Error", "Stopped")

    def seconds(self, now: datetime | None = None) -> float:
        """How long it has been at work: until now, or until its latest event."""
        end = self.latest if now is None or self.over else now
        return max(0.0, (end - self.began).total_seconds())

    def after(self, event: Event) -> Step:
        """The step as it stands after a further event of it."""
        state = event.action_state.value
        percent = 100 if state == "Done" else event.progress
        return Step(self.name, state, _detail(event), percent, self.began, event.timestamp)

    @classmethod
    def of(cls, event: Event, before: Step | None) -> Step | None:
        """The step that an event is about; None for events of the run as a whole.

        before: the step as it stood until then.
        """
        kind = event.action_class.__name__ if event.action_class is not None else ""
        if kind not in NAMES:
            return None
        start = before or cls(NAMES[kind], "", "", None, event.timestamp, event.timestamp)
        return start.after(event)


class Progress(Protocol):
    """Somebody to tell about the events of a run."""

    def tell(self, event: Event) -> None:
        """Hear one event."""


class PlainProgress:
    """One line for each change, for logs and pipes. on_unread: see `Unread`; without it the error comes out."""

    def __init__(self, console: Console, on_unread: Unread | None = None) -> None:
        self._lines = _Lines(console, on_unread)
        self._steps: dict[str, Step] = {}

    def tell(self, event: Event) -> None:
        """Print a line, unless nothing has changed since the step's last one."""
        before = self._steps.get(event.action_id)
        step = Step.of(event, before)
        if step is None:
            return
        self._steps[event.action_id] = step
        if before is None or (before.state, before.detail) != (step.state, step.detail):
            self._lines.write(f"{step.name:<9}{step.seconds():>7.1f} s  {step.detail}")


class LiveProgress:
    """One line for each step that changes in place, for terminals."""

    def __init__(self, console: Console, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._steps: dict[str, Step] = {}
        unicode = not console.options.ascii_only
        self._marks = {"Done": "✓", "Error": "✗", "Stopped": "■"} if unicode else {}
        self._spinner = Spinner("dots" if unicode else "line", style="cyan")
        # Log lines are kept above the view, unless they go to a file anyway.
        self.live = Live(get_renderable=self._table, console=console, redirect_stderr=sys.stderr.isatty())

    def tell(self, event: Event) -> None:
        """Change the step's line."""
        step = Step.of(event, self._steps.get(event.action_id))
        if step is not None:
            self._steps[event.action_id] = step

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        # Only what a step says may be cut where the terminal is narrow.
        for width in (1, max(map(len, NAMES.values())), _BAR):
            table.add_column(width=width, no_wrap=True)
        for width in (4, 9):
            table.add_column(width=width, no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        now = self._clock.wall()
        for step in [*self._steps.values()]:
            table.add_row(*self._cells(step, now))
        return table

    def _cells(self, step: Step, now: datetime) -> list[RenderableType]:
        style = _STYLES.get(step.state, "cyan")
        mark = Text(self._marks.get(step.state, step.state[0]), style=style) if step.over else self._spinner
        bar = ProgressBar(
            completed=step.percent or 0,
            width=_BAR,
            pulse=step.percent is None and not step.over,
            complete_style=style,
            finished_style=style,
            pulse_style=style,
        )
        percent = "" if step.percent is None else f"{step.percent}%"
        detail = Text(step.detail, style=style if step.state in ("Error", "Stopped") else "")
        return [mark, Text(step.name, style="bold"), bar, Text(percent), _elapsed(step.seconds(now)), detail]


_STYLES = {"Done": "green", "Error": "bold red", "Stopped": "yellow"}


def _elapsed(seconds: float) -> Text:
    minutes, rest = divmod(round(seconds), 60)
    return Text(f"{seconds:.1f} s" if seconds < 60 else f"{minutes}:{rest:02d} min", style="dim")


@contextmanager
def progress(
    console: Console, *, plain: bool = False, on_unread: Unread | None = None
) -> Generator[Progress, None, None]:
    """A view of a run's progress: live on a terminal, lines elsewhere. on_unread: see `Unread`."""
    if plain or not console.is_terminal:
        yield PlainProgress(console, on_unread)
        return
    view = LiveProgress(console)
    with view.live:
        yield view


# --- what an event says -------------------------------------------------------------------------------------------


def _detail(event: Event) -> str:
    """What an event says in one line, without the class and id that the library puts before it."""
    state = event.action_state.value
    if state == "Preceding":
        return "started"
    if state == "Done":
        return _made(event.data)
    if state == "Stopped":
        return "interrupted"  # whether the remote work goes on is not the event's to know
    description = event.description or ""
    kind = event.action_class.__name__ if event.action_class is not None else ""
    detail = description.partition(": ")[2] if description.startswith(f"{kind}[") else description
    return " ".join(detail.split()) or state.lower()


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
    # A journal leaves out what is too long for it.
    versions = [next(iter(version.values())) for version in data.get("datasets", {}).get("versions", [])]
    return f"ready: {', '.join(map(str, versions))}" if versions else "done"

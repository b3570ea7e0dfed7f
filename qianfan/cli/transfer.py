"""How far a piece of long work is: a bar for each step on terminals, a line for each tenth elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text


class Transfer(ABC):
    """Somebody to tell how work stands that has one step after the other."""

    def __init__(self) -> None:
        self._step = ""

    def begins(self, step: str) -> None:
        """A step begins, unless it has already. Of some only the end is known, such as of the platform's import."""
        if step != self._step:
            self._step = step
            self._begin()

    def step(self, name: str) -> Callable[[int, int | None], None]:
        """Who is told (done, in all if that is known) of a step, which begins with the first word of it."""

        def moved(done: int, total: int | None) -> None:
            self.begins(name)
            self._move(done, total)

        return moved

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _move(self, done: int, total: int | None) -> None: ...


class _HowFar(ProgressColumn):
    """What is done of what, how fast, and how long it still takes; the time so far where that is not known."""

    def __init__(self, *, of_bytes: bool) -> None:
        super().__init__()
        self._of_bytes = of_bytes

    def render(self, task: Task) -> Text:
        if not task.fields["measured"]:
            return Text(_clock((task.finished_time if task.finished else task.elapsed) or 0), style="dim")
        said = self._amount(task.completed) + ("" if task.total is None else f" of {self._amount(task.total)}")
        speed, remaining = task.finished_speed or task.speed, task.time_remaining
        if speed and self._of_bytes:
            said += f"  {self._amount(speed)}/s"
        if remaining is not None and not task.finished:
            said += f"  {_clock(remaining)} left"
        return Text(said)

    def _amount(self, number: float) -> str:
        return decimal(int(number)) if self._of_bytes else f"{number:,.0f}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


class _Bars(Transfer):
    def __init__(self, console: Console, *, of_bytes: bool) -> None:
        super().__init__()
        columns = (TextColumn("{task.description:<12}"), BarColumn(20), _HowFar(of_bytes=of_bytes))
        self.progress = Progress(*columns, console=console)

    def _begin(self) -> None:
        self.close()
        self.progress.add_task(self._step, total=None, measured=False)

    def _move(self, done: int, total: int | None) -> None:
        self.progress.update(self.progress.task_ids[-1], completed=done, total=total, measured=True)

    def close(self) -> None:
        """The latest step is over."""
        for task in self.progress.tasks[-1:]:
            if task.total is None:
                done = task.completed or 1
                self.progress.update(task.id, completed=done, total=done)


class _Lines(Transfer):
    def __init__(self, console: Console, *, of_bytes: bool) -> None:
        super().__init__()
        self._console = console
        self._of_bytes = of_bytes
        self._tenths = 0

    def _begin(self) -> None:
        self._tenths = 0
        self._say(self._step)

    def _move(self, done: int, total: int | None) -> None:
        if total is None:
            return
        tenths = 10 * done // total if total else 10
        if tenths > self._tenths:
            self._tenths = tenths
            amount = f"{decimal(done)} of {decimal(total)}" if self._of_bytes else f"{done:,} of {total:,}"
            self._say(f"{self._step:<12} {10 * tenths:>3}%  {amount}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False)


@contextmanager
def transfer(console: Console, *, of_bytes: bool = True) -> Generator[Transfer, None, None]:
    """A view of long work. of_bytes: whether it is measured in bytes, or else in rows."""
    if not console.is_terminal:
        yield _Lines(console, of_bytes=of_bytes)
        return
    bars = _Bars(console, of_bytes=of_bytes)
    with bars.progress:
        yield bars
        bars.close()

"""Many requests at once: so many under way, answers in the order of the questions, and no failure loses another's."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, Final

import anyio

from qianfan._sync import run_sync, start_soon

_MOST_WORKERS: Final = 1000

Task = Callable[[], Awaitable[Any]]


def tasks_of(
    ado: Callable[..., Awaitable[Any]],
    calls: Sequence[Mapping[str, Any]],
    worker_num: int | None,
    common: Mapping[str, Any],
) -> list[Task]:
    """One task for each call. ado: asks; common: keywords of all calls."""
    # So many at once need a client that lets so many out.
    workers = {} if worker_num is None else {"worker_num": worker_num}
    return [partial(ado, **{**workers, **common, **call}) for call in calls]


async def gather(tasks: Sequence[Task], worker_num: int | None = None) -> list[Any]:
    """The results in order; in place of a failed one stands its error."""
    results: list[Any] = [None] * len(tasks)

    def keep(place: int, result: Any) -> None:
        results[place] = result

    await _work(tasks, worker_num, keep)
    return results


async def _work(tasks: Sequence[Task], worker_num: int | None, keep: Callable[[int, Any], None]) -> None:
    waiting = iter(enumerate(tasks))

    async def work() -> None:
        for place, task in waiting:
            try:
                result = await task()
            except Exception as error:
                result = error
            keep(place, result)

    async with anyio.create_task_group() as group:
        for _ in range(min(len(tasks), max(1, worker_num or _MOST_WORKERS), _MOST_WORKERS)):
            group.start_soon(work)


class BatchRequestFuture:
    """Requests under way: wait for all of them, or go through their futures.

    tasks: async functions. worker_num: how many run at once.
    """

    def __init__(self, tasks: Sequence[Task], worker_num: int | None = None) -> None:
        self._futures: list[Future[Any]] = [Future() for _ in tasks]
        self._ended = anyio.Event()
        self._guard = threading.Lock()
        self._finished = 0
        start_soon(self._run, list(tasks), worker_num)

    def __repr__(self) -> str:
        return f"<BatchRequestFuture, {self._finished} of {len(self)} finished>"

    async def _run(self, tasks: list[Task], worker_num: int | None) -> None:
        try:
            await _work(tasks, worker_num, self._keep)
        finally:
            for future in self._futures:
                future.cancel()  # without effect on those that are done
            self._ended.set()

    def _keep(self, place: int, result: Any) -> None:
        with self._guard:
            self._finished += 1
        future = self._futures[place]
        if not future.set_running_or_notify_cancel():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def wait(self) -> None:
        """Return once every request has its answer or its error."""
        run_sync(self._ended.wait)

    def results(self) -> list[Any]:
        """The answers in order, once all are there; in place of a failed one stands its error."""
        self.wait()
        return [_outcome(future) for future in self._futures]

    def task_count(self) -> int:
        """How many requests there are."""
        return len(self._futures)

    def finished_count(self) -> int:
        """How many of them have their answer or their error."""
        return self._finished

    def get_future_list(self) -> list[Future[Any]]:
        """Their futures, in order."""
        return list(self._futures)

    def __iter__(self) -> Iterator[Future[Any]]:
        return iter(self.get_future_list())

    def __len__(self) -> int:
        return len(self._futures)


def _outcome(future: Future[Any]) -> Any:
    try:
        return future.exception() or future.result()
    except CancelledError as cancelled:
        return cancelled


def blocking(
    do: Callable[..., Any],
    ado: Callable[..., Awaitable[Any]],
    calls: Sequence[Mapping[str, Any]],
    worker_num: int | None,
    common: Mapping[str, Any],
) -> BatchRequestFuture:
    """The blocking form of `gather`: returns at once, and the calls go on in the background.

    do: the blocking form of `ado`. A stream is opened by whoever begins to read it, not before.
    """

    async def begin(call: Mapping[str, Any]) -> Any:
        return do(**{**common, **call})

    asked = tasks_of(ado, calls, worker_num, common)
    for place, call in enumerate(calls):
        if {**common, **call}.get("stream"):
            asked[place] = partial(begin, call)
    return BatchRequestFuture(asked, worker_num)

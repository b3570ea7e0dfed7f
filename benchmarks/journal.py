"""What does the journal cost, beside the same runs without it?

Many runs of five steps side by side in one process, each step one turn of the event loop: CPU a step, records a commit,
how late the event loop is, and how much memory a run holds.
"""

from __future__ import annotations

import gc
import tempfile
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import anyio

from qianfan.journal import SqliteJournal
from qianfan.pipeline import Action, Pipeline, run

STEPS = 5
TICK = 0.005


class Step(Action[int]):
    async def run(self) -> int:
        await anyio.lowlevel.checkpoint()
        return 1


@dataclass
class Found:
    cpu: float
    lags: list[float]
    megabytes: float
    commits: int = 0


async def tick(lags: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await anyio.sleep(TICK)
        lags.append(time.perf_counter() - before - TICK)


async def many(runs: int, journal: SqliteJournal | None) -> Found:
    lags: list[float] = []
    pipelines = [Pipeline([Step(id=f"s{n}") for n in range(STEPS)], id="p") for _ in range(runs)]
    gc.collect()
    before = time.process_time()
    async with anyio.create_task_group() as ticking:
        ticking.start_soon(tick, lags)
        async with anyio.create_task_group() as group:
            for number, pipeline in enumerate(pipelines):

                async def go(pipeline: Pipeline = pipeline, number: int = number) -> None:
                    if journal is None:
                        await run(pipeline)
                    else:
                        await run(pipeline, journal=journal, run_id=f"run{number}")

                group.start_soon(go)
        ticking.cancel_scope.cancel()
    return Found(time.process_time() - before, sorted(lags) or [0.0], 0.0)


def measured(runs: int, *, kept: bool) -> Found:
    """Time and memory in two passes, since watching memory costs time."""

    def once() -> Found:
        if not kept:
            return anyio.run(many, runs, None)
        with tempfile.TemporaryDirectory() as folder:
            journal = SqliteJournal(Path(folder) / "journal.sqlite3")
            found = anyio.run(many, runs, journal)
            found.commits = journal.writer.commits
            journal.close()
            return found

    found = once()
    tracemalloc.start()
    once()
    found.megabytes = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return found


def main() -> None:
    for runs in (1000, 5000):
        bare, kept = measured(runs, kept=False), measured(runs, kept=True)
        steps, records = runs * STEPS, runs * (2 * STEPS + 4)
        print(f"{runs} runs side by side")
        print(
            f"  CPU a step      {1e6 * bare.cpu / steps:7.0f} µs bare, {1e6 * kept.cpu / steps:7.0f} µs with it "
            f"({kept.cpu / bare.cpu:.1f} times)"
        )
        print(
            f"  records         {records} changes in {kept.commits} commits ({records / max(1, kept.commits):.0f} each)"
        )
        for name, found in (("bare", bare), ("with it", kept)):
            p99 = found.lags[int(len(found.lags) * 0.99)]
            print(f"  loop late by    {1e3 * p99:7.0f} ms (99 of 100), {1e3 * found.lags[-1]:.0f} ms at most, {name}")
        print(f"  memory, peak    {bare.megabytes:7.1f} MB bare, {kept.megabytes:7.1f} MB with it")


if __name__ == "__main__":
    main()

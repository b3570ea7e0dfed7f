"""What does the journal cost, beside the same runs without it?

Many runs side by side in one process, begun within a second; each has five steps, and each step waits a tenth of a
second as for a platform. So the event loop has idle time, and whatever makes it late is work.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from qianfan.journal import SqliteJournal
from qianfan.pipeline import Action, Pipeline, run

STEPS = 5
WAIT = 0.1
TICK = 0.005


class Step(Action[int]):
    async def run(self) -> int:
        await anyio.sleep(WAIT)
        return 1


@dataclass
class Found:
    cpu: float = 0.0
    megabytes: float = 0.0
    changes: int = 0
    commits: int = 0
    lags: list[float] = field(default_factory=list)


async def many(runs: int, journal: SqliteJournal | None) -> Found:
    found = Found()

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await anyio.sleep(TICK)
            found.lags.append(time.perf_counter() - before - TICK)

    async def go(number: int) -> None:
        pipeline = Pipeline([Step(id=f"s{step}") for step in range(STEPS)], id="p")
        kept: dict[str, Any] = {} if journal is None else {"journal": journal, "run_id": f"run{number}"}
        await anyio.sleep(number / runs)
        await run(pipeline, **kept)

    before = time.process_time()
    async with anyio.create_task_group() as ticking:
        ticking.start_soon(tick)
        async with anyio.create_task_group() as group:
            for number in range(runs):
                group.start_soon(go, number)
        ticking.cancel_scope.cancel()
    found.cpu = time.process_time() - before
    return found


def once(runs: int, *, kept: bool) -> Found:
    if not kept:
        return anyio.run(many, runs, None)
    with tempfile.TemporaryDirectory() as folder:
        journal = SqliteJournal(Path(folder) / "journal.sqlite3")
        found = anyio.run(many, runs, journal)
        found.changes, found.commits = journal.writer.changes, journal.writer.commits
        journal.close()
    return found


def measured(runs: int, *, kept: bool) -> Found:
    """Time and memory in two passes, since watching memory costs time."""
    found = once(runs, kept=kept)
    tracemalloc.start()
    once(runs, kept=kept)
    found.megabytes = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return found


def main() -> None:
    for runs in (1000, 5000):
        bare, kept = measured(runs, kept=False), measured(runs, kept=True)
        each = 1e6 / (runs * STEPS)
        ratio = kept.cpu / bare.cpu
        print(f"{runs} runs side by side")
        print(f"  CPU a step     {each * bare.cpu:7.0f} µs bare {each * kept.cpu:7.0f} µs with it ({ratio:.1f} times)")
        print(f"  changes        {kept.changes} in {kept.commits} commits ({kept.changes / kept.commits:.0f} each)")
        for name, found in (("bare", bare), ("with it", kept)):
            lags = sorted(found.lags)
            p99, worst = (1e3 * lags[index] for index in (len(lags) * 99 // 100, -1))
            print(f"  loop late      {p99:7.0f} ms (p99), {worst:.0f} ms at most, {name}")
        print(f"  memory, peak   {bare.megabytes:7.1f} MB bare {kept.megabytes:7.1f} MB with it")


if __name__ == "__main__":
    main()

"""A hundred runs, two processes that recover whatever nobody drives, and somebody who keeps killing them."""

from __future__ import annotations

import math
import time
from pathlib import Path
from random import Random

import pytest

from tests.crashes.conftest import Ledger
from tests.crashes.mishaps import befall
from tests.crashes.world import Worker, World

pytestmark = pytest.mark.socket

STALLED = 10.0
"""Seconds without a request after which another process has to try."""


@pytest.mark.timeout(600)
def test_killed_at_random(seed: int, request: pytest.FixtureRequest, tmp_path: Path, ledger: Ledger) -> None:
    runs: int = request.config.getoption("--killed-runs")
    with World(tmp_path, proxied=True) as world:
        rng = Random(seed)
        accidents = befall(world.proxy, 0.15, rng)
        world.run("begin", "k", "--runs", str(runs))
        assert {*world.statuses().values()} == {"open"}
        kills = kill_until_all_ended(world, rng, kills=runs // 4)
        world.proxy.wait_until_quiet()
        print(f"seed {seed}: {kills} kills, {dict(accidents)}, made {world.made('job', 'task', 'model')}")
        faults = kills + sum(accidents.values())
        ledger("random kills", world, faults=faults)
        assert world.made("task", "model") == (runs, runs)
        assert sorted(len(job.task_ids) for job in world.emulator.jobs.values() if job.task_ids) == [1] * runs


def kill_until_all_ended(world: World, rng: Random, kills: int) -> int:
    """Let two processes recover what there is; kill one or the other after so many requests. Gives how many died."""

    def recovering() -> Worker:
        options = ("--every", "0.1", "--at-once", "40")
        return world.start("recover", "k", *options, heard=False, submit_on_absent="fence", submit_settle_seconds=0.3)

    killed, workers = 0, [recovering(), recovering()]
    while not has_ended(world, rng.randint(5, 60) if killed < kills else math.inf):
        victim = rng.randrange(len(workers))
        workers[victim].kill()
        killed += 1
        workers[victim] = recovering()
    return killed


def has_ended(world: World, requests: float) -> bool:
    """Wait for so many more requests; whether all runs are over. A standstill ends the wait as well."""
    begun = seen = len(world.proxy.seen)
    since = time.monotonic()
    while seen - begun < requests and time.monotonic() - since < STALLED:
        statuses = world.statuses()
        for id in (id for id, status in statuses.items() if status == "held"):
            decide(world, id)
        if not {"open", "held"} & set(statuses.values()):
            return True
        if (now := len(world.proxy.seen)) > seen:
            seen, since = now, time.monotonic()
        time.sleep(0.02)
    return False


def decide(world: World, id: str) -> None:
    """Be the person who is asked when an order was lost again and again: look on the platform, and tell."""
    world.proxy.wait_until_quiet()
    rows = world.rows(id)
    in_its_job = [task.id for task in world.emulator.tasks.values() if task.job_id == rows["job"].external_id]
    adopts = ["--adopt", *in_its_job] if in_its_job and rows["task"].phase == "uncertain" else []
    decided = world.run("decide", id, *adopts)
    assert decided.result == "decided", decided.said

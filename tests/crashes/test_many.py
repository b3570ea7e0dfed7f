"""Very many runs in one process."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.crashes.conftest import Ledger
from tests.crashes.mishaps import befall
from tests.crashes.world import World

pytestmark = pytest.mark.socket


@pytest.mark.timeout(1800)
def test_many_runs_in_one_process(request: pytest.FixtureRequest, tmp_path: Path, ledger: Ledger) -> None:
    runs: int = request.config.getoption("--many")
    with World(tmp_path, proxied=True) as world:
        accidents = befall(world.proxy, 0.01, Random(runs))
        settings = {"submit_on_absent": "fence", "submit_settle_seconds": 0.3, "max_requests_in_flight": 16}
        worker = world.run("many", "m", "--runs", str(runs), "--at-once", str(runs), **settings)
        world.proxy.wait_until_quiet()
        megabytes = worker.said[-1]["kilobytes"] // 1024
        print(f"{runs} runs: {dict(accidents)}, {megabytes} MB, made {world.made('job', 'task', 'model')}")
        ledger("many runs", world, faults=sum(accidents.values()), megabytes=megabytes)
        assert worker.result == {"done": runs}
        assert world.made("task", "model") == (runs, runs)

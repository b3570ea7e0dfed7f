"""Options of these tests, and the ledger that their table is printed from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.crashes.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--seeds", type=int, default=1, help="how many seeds of the random kills to try")
    group.addoption("--killed-runs", type=int, default=100, help="runs for each seed of the random kills")
    group.addoption("--many", type=int, default=300, help="runs in one process")
    group.addoption("--fault-report", type=Path, default=None, help="file that gets a line of JSON from each test")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run that does not name this folder leaves it out."""
    here = Path(__file__).parent
    named = [Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in config.args]
    return None if any(path.is_relative_to(here) for path in named) else True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))


class Ledger(Protocol):
    def __call__(
        self,
        what: str,
        world: World,
        *,
        faults: int = 1,
        ends: str = "done",
        orders: int | None = None,
        megabytes: int | None = None,
    ) -> None: ...


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """Hold what there is on the platform against what the journal knows, write it down, and require that it agrees.

    what: the row of the table. faults: how many there were. ends: how runs must have ended. orders: tasks in all, by
    default one for each run. megabytes: what a process took at its peak.
    """
    path: Path | None = request.config.getoption("--fault-report")

    def count(
        what: str,
        world: World,
        *,
        faults: int = 1,
        ends: str = "done",
        orders: int | None = None,
        megabytes: int | None = None,
    ) -> None:
        statuses = world.statuses()
        known = {id: {name: row for name, row in world.rows(id).items() if row.external_id} for id in statuses}
        duplicates = max(0, world.emulator.made("task") - (len(statuses) if orders is None else orders))
        for kind in ("model", "service"):
            duplicates += max(0, world.emulator.made(kind) - sum(kind in rows for rows in known.values()))
        lost = [id for id, status in statuses.items() if status != ends]
        lost += sorted(
            set(world.emulator.tasks) - {rows["task"].external_id for rows in known.values() if "task" in rows}
        )
        if path is not None:
            line = {"what": what, "faults": faults, "runs": len(statuses), "duplicates": duplicates, "lost": len(lost)}
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(line | {'megabytes': megabytes})}\n")
        assert (duplicates, lost) == (0, [])

    return count


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Everything is over at the first or second look."""
    with World(tmp_path) as world:
        yield world

"""Whether the emulator does what its description says, asked by requests that are made up from the description."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("schemathesis"):
    from tests.conformance.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--max-examples", type=int, default=40, help="requests that are made up for each operation")
    group.addoption("--requests-seed", type=int, default=1, help="each number makes up other requests")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run that does not name this folder leaves it out."""
    here = Path(__file__).parent
    named = [Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in config.args]
    return None if any(path.is_relative_to(here) for path in named) else True


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Table(config), "conformance-table")


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """A served emulator that checks signatures, and the account's own client of it."""
    with World.served() as world:
        yield world


class _Table:
    """Prints what came of the requests, operation by operation, in whichever process they were made."""

    def __init__(self, config: pytest.Config) -> None:
        self._counts: dict[str, dict[str, int]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._counts |= {name: counts for name, counts in report.user_properties if isinstance(counts, dict)}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._counts:
            return
        terminalreporter.section("answers by operation")
        for name, counts in sorted(self._counts.items()):
            total, good = sum(counts.values()), counts.get("ok", 0)
            rest = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if what != "ok")
            terminalreporter.write_line(f"{name:<45} {good:>4} of {total:>4} good; refused: {rest or 'none'}")
        every = sum(sum(counts.values()) for counts in self._counts.values())
        good = sum(counts.get("ok", 0) for counts in self._counts.values())
        terminalreporter.write_line(f"{len(self._counts)} operations, {good} of {every} answers good")

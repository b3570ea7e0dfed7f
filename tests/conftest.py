"""What every test gets: both event loops, a clean environment, an empty working directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from qianfan.config import PREFIX, reset_config

LOOPS = ("asyncio", "trio")
LOOPS_MATTER = ("auth", "engines", "journal", "pipeline", "test_loops.py", "trainer", "transport")
"""Where in this folder every test runs on both event loops: what they test starts tasks, waits and is cancelled.

The others test what is built on that. Each of their tests runs on one of the loops, half of them on either, unless
`--both-loops` asks for both.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--both-loops", action="store_true", help="run every async test on asyncio and on trio")


@pytest.hookimpl(trylast=True)  # after those that leave out one of the two for good
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--both-loops"):
        return
    names = {item.nodeid for item in items}
    left_out = {item for item in items if _is_spared(item, names)}
    config.hook.pytest_deselected(items=[*left_out])
    items[:] = [item for item in items if item not in left_out]


def _is_spared(item: pytest.Item, names: set[str]) -> bool:
    """Whether a test that is there for both loops is left to the other one, by its name."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    loop = params.get("anyio_backend")
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    if loop not in LOOPS or folder in LOOPS_MATTER or not _is_on_both(item):
        return False
    both = [item.nodeid.replace(loop, other) for other in LOOPS]
    return names.issuperset(both) and LOOPS[crc32(both[0].encode()) % 2] != loop


def _is_on_both(item: pytest.Item) -> bool:
    """Whether it is the fixture below that names the loop, rather than the test or a fixture nearer to it."""
    definition = item._fixtureinfo.name2fixturedefs.get("anyio_backend", ())  # type: ignore[attr-defined]
    return bool(definition) and definition[-1].func is anyio_backend.__wrapped__  # type: ignore[attr-defined]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Async tests run on both event loops."""
    return request.param


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """No QIANFAN_ variable, no stray .env, nothing assigned by an earlier test."""
    for variable in list(os.environ):
        if variable.startswith(PREFIX) or variable.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    # Trainers keep their state below the home folder, which must not be the developer's own.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    reset_config()
    yield
    reset_config()

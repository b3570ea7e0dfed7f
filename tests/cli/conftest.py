"""An emulated account for the commands that need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qianfan.emulator import Emulator
from qianfan.journal import journal_at


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A platform in this process, where everything is over at the first or second look."""
    with Emulator(engine="scripted") as emulator:
        yield emulator


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the journal for commands without an emulator; it is not there yet."""
    journal_at(None).close()  # with the runs that earlier tests of this process kept in memory
    monkeypatch.setenv("QIANFAN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"

"""Journals in a file and in memory, with time that jumps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qianfan.journal import SqliteJournal
from tests.support.clock import JumpClock


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal goes."""
    return tmp_path / "kept" / "journal.sqlite3"


@pytest.fixture
def in_file(path: Path, clock: JumpClock) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path, clock=clock)
    yield journal
    journal.close()


@pytest.fixture(params=["file", "memory"])
def journal(request: pytest.FixtureRequest, path: Path, clock: JumpClock) -> Iterator[SqliteJournal]:
    """A journal of either kind."""
    journal = SqliteJournal(path if request.param == "file" else None, clock=clock)
    yield journal
    journal.close()

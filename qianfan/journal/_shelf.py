"""The shelf of open journals: one for each file and process, and what a fork or the end of the process means for it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from qianfan import _local, _sync
from qianfan.errors import JournalError
from qianfan.journal._journal import SqliteJournal, living

EXIT_PATIENCE: Final = 0.5
"""Seconds that the end of a process may wait for what is queued."""


class _Shelf:
    """The journals that this process has open: one for each file, since a file has one writer in a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Path | None, SqliteJournal] = {}

    def at(self, path: Path | None) -> SqliteJournal:
        with self._lock:
            known = self._open.get(path)
            if known is None or known.is_closed:
                known = self._open[path] = SqliteJournal(path)
            return known

    def drop(self, journal: SqliteJournal) -> None:
        with self._lock:
            if self._open.get(journal.path) is journal:
                del self._open[journal.path]
        journal.close()

    def drop_below(self, folder: Path) -> None:
        with self._lock:
            found = [journal for path, journal in self._open.items() if path is not None and folder in path.parents]
        for journal in found:
            self.drop(journal)

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]  # starting over is what a forked child needs


def _close_all() -> None:
    for journal in list(living):
        journal.close(EXIT_PATIENCE)


def _before_fork() -> None:
    for journal in list(living):
        journal.writer.pause()


def _after_fork() -> None:
    for journal in list(living):
        journal.writer.resume()


def _after_fork_in_child() -> None:
    for journal in list(living):
        journal.forget()
    living.clear()
    _shelf.forget()


def _close_with(platform: _local.LocalPlatform) -> None:
    """What was kept for a platform inside this process is closed with it."""
    if "CACHE_DIR" in platform.settings:
        _shelf.drop_below(Path(platform.settings["CACHE_DIR"]).absolute())


_shelf = _Shelf()
_local.at_parting(_close_with)
_sync.at_exit(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def journal_at(path: Path | None) -> SqliteJournal:
    """This process's journal in a file, or the one in memory; always the same one for the same path."""
    return _shelf.at(path.absolute() if path is not None else None)


async def open_journal(path: Path | None) -> SqliteJournal:
    """This process's journal in a file, opened. Raises JournalError when it cannot be used; a later try opens anew."""
    journal = journal_at(path)
    try:
        await journal.ready()
    except JournalError:
        if not journal.is_driving:  # one that is only locked for now is still needed by the runs that go on with it
            _shelf.drop(journal)
        raise
    return journal


def close_journals(folder: Path) -> None:
    """Close this process's journals below a folder that is about to go."""
    _shelf.drop_below(folder)

"""Group commit: whoever has something to write queues it, and one thread writes all that is queued at once.

A commit to disk takes milliseconds and a change microseconds, so while one commit is under way the next batch grows.
Each change is a savepoint of its own: one that fails does not fail the others.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

import anyio

from qianfan._loops import scheduler
from qianfan.errors import JournalBusyError, JournalError
from qianfan.journal._database import journal_error, transaction, translated

T = TypeVar("T")

Changing: TypeAlias = Callable[[sqlite3.Connection], T]
"""Runs inside a transaction; what it returns goes to whoever queued it."""

CLOSE_PATIENCE = 5.0
"""Seconds that closing a journal waits for what is queued."""

_CLOSED = "is closed already"
_OF_THE_PARENT = "belongs to the process that this one was forked from; open it anew here"
_MEMORY = Path(":memory:")


class Writer(Protocol):
    """Carries changes into the database, in the order in which they are queued."""

    async def write(self, change: Changing[T]) -> T:
        """Make a change; it is durable once this returns, and also when the caller is cancelled meanwhile."""
        ...

    def post(self, change: Changing[T], heard: Callable[[T], object] | None = None) -> None:
        """Make a change soon, without anybody waiting. heard: told what it returned, on the caller's event loop."""
        ...

    def close(self, patience: float = CLOSE_PATIENCE) -> None:
        """Write what is queued, and let go of the database. patience: seconds to wait for that."""
        ...

    def pause(self) -> None:
        """Let go of the database before the process forks, since no connection survives that in two processes."""
        ...

    def resume(self) -> None:
        """The process has forked."""
        ...

    def forget(self) -> None:
        """This is the forked child: nothing is written here any more."""
        ...


class _Item(Generic[T]):
    """One queued change."""

    def __init__(self, change: Changing[T]) -> None:
        self.change = change
        self.result: T | None = None
        self.error: BaseException | None = None
        self.tell: Callable[[], None] = lambda: None

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return cast(T, self.result)


class ThreadWriter:
    """Writes to a file, on a thread of its own that begins with the first change.

    changes, commits: how many there were so far.
    open: opens the database, on that thread; its error is the error of the changes that were to be made then, and the
        next ones try it again.
    """

    def __init__(self, path: Path, open: Callable[[], sqlite3.Connection]) -> None:
        self.changes = 0
        self.commits = 0
        self._path = path
        self._open = open
        self._ending = False
        self._refusal: str | None = None
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Item[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._at_work = threading.Lock()
        self._is_paused = False

    async def write(self, change: Changing[T]) -> T:
        item, ended = _Item(change), anyio.Event()
        schedule = scheduler()
        item.tell = lambda: schedule(ended.set)
        self._put(item)
        with anyio.CancelScope(shield=True):
            await ended.wait()
        return item.outcome()

    def post(self, change: Changing[T], heard: Callable[[T], object] | None = None) -> None:
        item = _Item(change)
        if heard is not None:
            schedule = scheduler()
            item.tell = lambda: schedule(lambda: heard(cast(T, item.result)) if item.error is None else None)
        with suppress(JournalError):
            self._put(item)

    def _put(self, item: _Item[Any]) -> None:
        with self._lock:
            if self._refusal is not None:
                raise JournalError(f"the journal {str(self._path)!r} {self._refusal}")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="qianfan-journal", daemon=True)
                self._thread.start()
            self._queue.put(item)

    def close(self, patience: float = CLOSE_PATIENCE) -> None:
        with self._lock:
            self._refusal = self._refusal or _CLOSED
            self._queue.put(None)
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def pause(self) -> None:
        # A fork in the middle of a commit would leave the child with locks that nobody ever lets go of.
        self._is_paused = self._at_work.acquire(timeout=CLOSE_PATIENCE)
        if self._is_paused:
            self._let_go()

    def resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._at_work.release()

    def forget(self) -> None:
        self._lock, self._at_work = threading.Lock(), threading.Lock()
        self._refusal = _OF_THE_PARENT
        self._thread = None

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- on the thread --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (items := self._batch()) is not None:
            with self._at_work:
                self._carry_out(items)
            for item in items:
                item.tell()
        with self._at_work:
            self._let_go()

    def _batch(self) -> list[_Item[Any]] | None:
        """All that is queued, at least one change; None when that was the end."""
        if self._ending:
            return None
        items: list[_Item[Any]] = []
        item = self._queue.get()
        while item is not None:
            items.append(item)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return items
        self._ending = True
        return items or None

    def _carry_out(self, items: list[_Item[Any]]) -> None:
        if self._connection is None:
            try:
                self._connection = self._open()
            except Exception as error:
                _fail(items, error if isinstance(error, JournalError) else self._typed(error))
                return
        self._commit(self._connection, items)
        self.changes += len(items)
        self.commits += 1

    def _commit(self, connection: sqlite3.Connection, items: list[_Item[Any]]) -> None:
        if len(items) > 1:
            lost = _all_at_once(connection, items)
            if lost is None:
                return
            if isinstance(error := self._typed(lost), JournalBusyError):
                _fail(items, error)  # rather than wait as long for each of them
                return
        for item in items:
            item.error = None
            try:
                with transaction(connection):
                    item.result = item.change(connection)
            except Exception as error:
                item.error = self._typed(error)

    def _typed(self, error: Exception) -> Exception:
        return journal_error(self._path, error) if isinstance(error, (sqlite3.Error, OSError)) else error


def _fail(items: list[_Item[Any]], error: Exception) -> None:
    for item in items:
        # Each caller raises one of its own, or they would write over each other's traceback.
        item.error = copy(error)
        item.error.__cause__ = error.__cause__


def _all_at_once(connection: sqlite3.Connection, items: list[_Item[Any]]) -> sqlite3.Error | None:
    """Commit several changes as one transaction; an error when it was lost and nothing is changed."""
    try:
        with transaction(connection):
            for item in items:
                connection.execute("SAVEPOINT item")
                try:
                    item.result = item.change(connection)
                except sqlite3.Error:
                    raise  # the database itself is in trouble
                except Exception as error:
                    item.error = error
                    connection.execute("ROLLBACK TO item")
                connection.execute("RELEASE item")
    except sqlite3.Error as error:
        return error
    return None


class InlineWriter:
    """Writes to memory, at once and without a thread, so that a test's clock sees everything."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.commits = 0
        self._connection = connection
        self._refusal: str | None = None
        self._lock = threading.Lock()
        # Nobody has to close what is only memory.
        self._let_go = weakref.finalize(self, connection.close)

    async def write(self, change: Changing[T]) -> T:
        return self._now(change)

    def post(self, change: Changing[T], heard: Callable[[T], object] | None = None) -> None:
        with suppress(JournalError):
            result = self._now(change)
            if heard is not None:
                heard(result)

    def _now(self, change: Changing[T]) -> T:
        with self._lock:
            if self._refusal is not None:
                raise JournalError(f"the journal in memory {self._refusal}")
            self.commits += 1
            with translated(_MEMORY), transaction(self._connection):
                return change(self._connection)

    def close(self, patience: float = CLOSE_PATIENCE) -> None:
        with self._lock:
            self._refusal = self._refusal or _CLOSED
            self._let_go()

    def pause(self) -> None:
        self._lock.acquire()

    def resume(self) -> None:
        self._lock.release()

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._refusal = _OF_THE_PARENT

"""Group commit: whoever has something to write queues it, and one thread writes all that is queued at once.

A commit to disk takes milliseconds and a change microseconds, so while one commit is under way the next batch grows.
Each change is a savepoint of its own: one that fails does not fail the others.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

import anyio
import anyio.lowlevel

from qianfan.errors import JournalError
from qianfan.journal._database import journal_error, transaction

T = TypeVar("T")

Changing: TypeAlias = Callable[[sqlite3.Connection], T]
"""Runs inside a transaction; what it returns goes to whoever queued it."""


class Writer(Protocol):
    """Carries changes into the database, in the order in which they are queued."""

    async def write(self, change: Changing[T]) -> T:
        """Make a change; it is durable once this returns, and also when the caller is cancelled meanwhile."""
        ...

    def post(self, change: Changing[T], heard: Callable[[T], object] | None = None) -> None:
        """Make a change soon, without anybody waiting. heard: told what it returned, on the caller's event loop."""
        ...

    def close(self) -> None:
        """Write what is queued, and let go of the database."""
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
    """Writes to a file, on a thread of its own.

    open: opens the database, on that thread; its error is the error of every change.
    """

    def __init__(self, path: Path, open: Callable[[], sqlite3.Connection]) -> None:
        self.commits = 0
        self._path = path
        self._open = open
        self._ending = False
        self._closed = False
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Item[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="qianfan-journal", daemon=True)
        self._thread.start()

    async def write(self, change: Changing[T]) -> T:
        item, ended = _Item(change), anyio.Event()
        item.tell = _on_this_loop(ended.set)
        self._put(item)
        with anyio.CancelScope(shield=True):
            await ended.wait()
        return item.outcome()

    def post(self, change: Changing[T], heard: Callable[[T], object] | None = None) -> None:
        item = _Item(change)
        if heard is not None:
            item.tell = _on_this_loop(lambda: heard(cast(T, item.result)) if item.error is None else None)
        with suppress(JournalError):
            self._put(item)

    def _put(self, item: _Item[Any]) -> None:
        with self._lock:
            if self._closed:
                raise JournalError(f"the journal {str(self._path)!r} is closed already")
            self._queue.put(item)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)

    # --- on the thread --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            connection = self._open()
        except BaseException as error:
            self._refuse_all(error)
            return
        try:
            while (items := self._batch()) is not None:
                if items:
                    self._commit(connection, items)
                    self.commits += 1
                for item in items:
                    item.tell()
        finally:
            connection.close()

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
        return items

    def _refuse_all(self, error: BaseException) -> None:
        while (item := self._queue.get()) is not None:
            item.error = error
            item.tell()

    def _commit(self, connection: sqlite3.Connection, items: list[_Item[Any]]) -> None:
        if len(items) > 1 and _all_at_once(connection, items):
            return
        for item in items:
            item.error = None
            try:
                with transaction(connection):
                    item.result = item.change(connection)
            except sqlite3.Error as error:
                item.error = journal_error(self._path, error)
            except Exception as error:
                item.error = error


def _all_at_once(connection: sqlite3.Connection, items: list[_Item[Any]]) -> bool:
    """Commit several changes as one transaction; False when it was lost and nothing is changed."""
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
    except sqlite3.Error:
        return False
    return True


def _on_this_loop(function: Callable[[], object]) -> Callable[[], None]:
    """A function that makes another one run on the event loop of the caller, from any thread."""
    token = anyio.lowlevel.current_token()
    native: Any = token.native_token
    schedule = getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon

    def tell() -> None:
        with suppress(RuntimeError):  # the loop is gone, and whoever waited with it
            schedule(function)

    return tell


class InlineWriter:
    """Writes to memory, at once and without a thread, so that a test's clock sees everything."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.commits = 0
        self._connection = connection
        self._lock = threading.Lock()

    async def write(self, change: Changing[T]) -> T:
        return self._now(change)

    def post(self, change: Changing[T], heard: Callable[[T], object] | None = None) -> None:
        with suppress(JournalError):
            result = self._now(change)
            if heard is not None:
                heard(result)

    def _now(self, change: Changing[T]) -> T:
        with self._lock:
            self.commits += 1
            with transaction(self._connection):
                return change(self._connection)

    def close(self) -> None:
        self._connection.close()

"""The file: opened with care, its tables made, and what SQLite says of it put into typed errors. Blocking."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from qianfan.errors import (
    JournalBusyError,
    JournalCorruptError,
    JournalError,
    JournalVersionError,
    JournalWriteError,
)

VERSION = 1
"""`user_version` of the file; raised with the tables."""

BUSY_SECONDS = 30.0
"""How long a write waits for another program's."""

TABLES = """
CREATE TABLE worker(id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INT NOT NULL, started REAL NOT NULL);
CREATE TABLE run(id TEXT PRIMARY KEY, spec TEXT NOT NULL, fingerprint TEXT NOT NULL,
  status TEXT NOT NULL CHECK(status IN('open','held','done','failed','cancelled')),
  owner TEXT, epoch INT NOT NULL DEFAULT 0, cancel TEXT, created REAL NOT NULL, updated REAL NOT NULL);
CREATE INDEX run_open ON run(status, owner);
CREATE TABLE node(run TEXT NOT NULL REFERENCES run(id) ON DELETE CASCADE, node TEXT NOT NULL,
  gen INT NOT NULL DEFAULT 0, phase TEXT NOT NULL
  CHECK(phase IN('started','intent','accepted','uncertain','done','failed','cancelled')),
  attempt INT NOT NULL, token TEXT, request TEXT, request_hash TEXT, external_id TEXT, output TEXT, error TEXT,
  retiring INT, progress TEXT, at REAL NOT NULL, PRIMARY KEY(run, node)) WITHOUT ROWID;
CREATE TABLE event(run TEXT NOT NULL, seq INT NOT NULL, node TEXT, kind TEXT NOT NULL, data TEXT, at REAL NOT NULL,
  PRIMARY KEY(run, seq)) WITHOUT ROWID;
CREATE TABLE cursor(consumer TEXT, run TEXT, seq INT NOT NULL, PRIMARY KEY(consumer, run)) WITHOUT ROWID;
"""

_TABLE_NAMES = frozenset(re.findall(r"CREATE TABLE (\w+)", TABLES))

_MAGIC = b"SQLite format 3\x00"
_VERSION_OFFSET = 60  # of the header's user_version: sqlite.org/fileformat.html, 4 bytes, big-endian

_CHECKED_UP_TO = 64 * 2**20
"""Bytes; a larger file is not checked as a whole when it is opened."""


def open_file(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open a journal, or begin one. Raises JournalError; a file that cannot be used is left untouched."""
    _look_at_header(path)
    if os.path.exists(path) and not os.access(path, os.W_OK):  # not Path.exists, which may raise
        raise JournalWriteError(
            f"the journal {str(path)!r} is read-only. Make it writable, set QIANFAN_CACHE_DIR to another folder, or "
            "QIANFAN_DISABLE_CACHE=true to keep nothing"
        )
    with translated(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its own files beside this one the same permissions.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # One thread at a time uses it, though not always the same one.
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            _check(connection, path)
            # Before the mode is set, which is a change of the file.
            with transaction(connection, "DEFERRED"):
                _version_of(connection, path)
            _keep_a_log(connection, busy_seconds)
            connection.execute("PRAGMA synchronous=FULL")
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _keep_a_log(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Set the mode, which SQLite refuses at once while another process does the same."""
    until = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
        time.sleep(0.02)


def open_memory() -> sqlite3.Connection:
    """A journal that lasts as long as its connection."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _prepare(connection, Path(":memory:"))
    return connection


def _look_at_header(path: Path) -> None:
    """Refuse what is no journal of ours before SQLite touches it."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return  # not there, or the opening says what is wrong with it
    if header and (len(header) < 100 or not header.startswith(_MAGIC)):
        raise _corrupt(path, "it is no SQLite file")
    _require_known(int.from_bytes(header[_VERSION_OFFSET : _VERSION_OFFSET + 4], "big"), path)


def _require_known(version: int, path: Path) -> None:
    if version > VERSION:
        raise JournalVersionError(
            f"the journal {str(path)!r} has format {version}, written by a newer qianfan; this one reads up to "
            f"{VERSION}. Upgrade qianfan, or set QIANFAN_CACHE_DIR to another folder"
        )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size <= _CHECKED_UP_TO:
        [[found]] = connection.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise _corrupt(path, str(found))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    with transaction(connection):
        if _version_of(connection, path) == 0:
            for statement in filter(str.strip, TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")


def _version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The format of a journal, 0 of an empty file. Raises JournalError for what is none of ours."""
    [[version]] = connection.execute("PRAGMA user_version").fetchall()
    _require_known(version, path)
    found = {name for [name] in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if found if version == 0 else not found >= _TABLE_NAMES:
        raise _corrupt(path, "it holds another program's tables")
    return int(version)


@contextmanager
def transaction(connection: sqlite3.Connection, mode: str = "IMMEDIATE") -> Generator[None, None, None]:
    """Everything in the block, or nothing of it."""
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors, a full disk among them, have rolled back by themselves.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Generator[None, None, None]:
    """SQLite's errors, and those of the file system, as typed ones."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise journal_error(path, error) from error


def journal_error(path: Path, error: sqlite3.Error | OSError) -> JournalError:
    """The typed error for what SQLite or the file system said."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return JournalBusyError(f"another program keeps the journal {str(path)!r} locked ({text})")
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return _corrupt(path, text)
    return JournalWriteError(
        f"the journal {str(path)!r} cannot be written ({text}). Free some space or make it writable; a run that was "
        "interrupted by this can be resumed"
    )


def _corrupt(path: Path, text: str) -> JournalCorruptError:
    return JournalCorruptError(
        f"the file {str(path)!r} cannot be read as a journal ({text}). It is left as it is: move it away to begin a "
        "new one, after looking in the console for trainings that it may have known"
    )

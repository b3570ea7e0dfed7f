"""The file: its tables and settings, and every file that is none of ours, which is left as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qianfan.errors import (
    JournalBusyError,
    JournalCorruptError,
    JournalError,
    JournalVersionError,
    JournalWriteError,
)
from qianfan.journal._database import TABLES, VERSION, open_file, open_memory, transaction

from .asking import run_python, start_python

TEXT, INT, REAL = "TEXT", "INT", "REAL"
COLUMNS = {
    "worker": [("id", TEXT), ("host", TEXT), ("pid", INT), ("started", REAL)],
    "run": [
        ("id", TEXT), ("spec", TEXT), ("fingerprint", TEXT), ("status", TEXT), ("owner", TEXT), ("epoch", INT),
        ("cancel", TEXT), ("created", REAL), ("updated", REAL),
    ],
    "node": [
        ("run", TEXT), ("node", TEXT), ("gen", INT), ("phase", TEXT), ("attempt", INT), ("token", TEXT),
        ("request", TEXT), ("request_hash", TEXT), ("external_id", TEXT), ("output", TEXT), ("error", TEXT),
        ("retiring", INT), ("progress", TEXT), ("at", REAL),
    ],
    "event": [("run", TEXT), ("seq", INT), ("node", TEXT), ("kind", TEXT), ("data", TEXT), ("at", REAL)],
    "cursor": [("consumer", TEXT), ("run", TEXT), ("seq", INT)],
}  # fmt: skip

NULLABLE = {
    ("run", "owner"), ("run", "cancel"), ("node", "token"), ("node", "request"), ("node", "request_hash"),
    ("node", "external_id"), ("node", "output"), ("node", "error"), ("node", "retiring"), ("node", "progress"),
    ("event", "node"), ("event", "data"),
}  # fmt: skip

KEYS = {
    "worker": ["id"],
    "run": ["id"],
    "node": ["run", "node"],
    "event": ["run", "seq"],
    "cursor": ["consumer", "run"],
}


@pytest.fixture
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_file(path)
    yield connection
    connection.close()


def setting(connection: sqlite3.Connection, name: str) -> object:
    [[value]] = connection.execute(f"PRAGMA {name}").fetchall()
    return value


# --- a journal of ours -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["file", "memory"])
def test_the_tables_are_those_of_the_design(where: str, path: Path) -> None:
    connection = open_file(path) if where == "file" else open_memory()
    try:
        tables = {name for [name] in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        assert tables == set(COLUMNS)
        for table, columns in COLUMNS.items():
            found = connection.execute(f"PRAGMA table_info({table})").fetchall()
            assert [(name, kind) for _, name, kind, *_ in found] == columns
            assert [name for _, name, *_, key in sorted(found, key=lambda row: row[5]) if key] == KEYS[table]
            required = {name for _, name, _, is_required, _, key in found if is_required or key}
            assert {(table, name) for name, _ in columns if name not in required} == {
                pair for pair in NULLABLE if pair[0] == table
            }
        [reference] = connection.execute("PRAGMA foreign_key_list(node)").fetchall()
        assert reference[2:7] == ("run", "run", "id", "NO ACTION", "CASCADE")
        assert [name for _, _, name in connection.execute("PRAGMA index_info(run_open)")] == ["status", "owner"]
        assert setting(connection, "user_version") == VERSION
        assert setting(connection, "foreign_keys") == 1
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("table", "column", "value"), [("run", "status", "running"), ("node", "phase", "unknown")], ids=["status", "phase"]
)
def test_a_state_that_does_not_exist_is_refused(
    table: str, column: str, value: str, opened: sqlite3.Connection
) -> None:
    opened.execute("INSERT INTO run VALUES('r','{}','f','open',NULL,0,NULL,0,0)")
    opened.execute("INSERT INTO node(run, node, phase, attempt, at) VALUES('r','n','started',0,0)")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        opened.execute(f"UPDATE {table} SET {column}=?", (value,))


def test_what_is_written_survives_a_power_cut_and_waits_for_others(opened: sqlite3.Connection) -> None:
    assert setting(opened, "journal_mode") == "wal"
    assert setting(opened, "synchronous") == 2  # FULL
    assert setting(opened, "busy_timeout") == 30_000  # milliseconds
    assert setting(opened, "foreign_keys") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_only_its_owner_may_read_it(path: Path, opened: sqlite3.Connection) -> None:
    opened.execute("INSERT INTO worker VALUES('w','h',1,0)")
    beside = sorted(path.parent.iterdir())
    assert [file.name for file in beside] == [path.name, f"{path.name}-shm", f"{path.name}-wal"]
    assert {oct(file.stat().st_mode & 0o777) for file in beside} == {"0o600"}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_was_written_is_there_when_it_is_opened_again(path: Path) -> None:
    connection = open_file(path)
    connection.execute("INSERT INTO worker VALUES('w','h',1,0)")
    connection.close()
    connection = open_file(path)
    assert connection.execute("SELECT id FROM worker").fetchall() == [("w",)]
    connection.close()


def test_a_transaction_that_fails_changes_nothing(opened: sqlite3.Connection) -> None:
    with pytest.raises(ZeroDivisionError), transaction(opened):
        opened.execute("INSERT INTO worker VALUES('w','h',1,0)")
        raise ZeroDivisionError
    assert not opened.in_transaction
    assert opened.execute("SELECT id FROM worker").fetchall() == []


# --- several at once -------------------------------------------------------------------------------------------


def test_threads_begin_one_file_together(path: Path) -> None:
    together, failures = threading.Barrier(8), list[BaseException]()

    def begin(number: int) -> None:
        try:
            together.wait()
            connection = open_file(path)
            connection.execute("INSERT INTO worker VALUES(?,'h',1,0)", (f"w{number}",))
            connection.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    connection = open_file(path)
    assert connection.execute("SELECT count(*) FROM worker").fetchall() == [(8,)]
    connection.close()


def test_processes_begin_one_file_together(path: Path) -> None:
    code = """
import sys
from pathlib import Path
from qianfan.journal._database import open_file
print("here", flush=True)
sys.stdin.readline()
connection = open_file(Path(sys.argv[1]))
connection.execute("INSERT INTO worker VALUES(?,'h',1,0)", (sys.argv[2],))
connection.close()
"""
    processes = [start_python(code, path, number) for number in range(3)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("now\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) for process in processes] == [("", "")] * 3
    connection = open_file(path)
    assert connection.execute("SELECT count(*) FROM worker").fetchall() == [(3,)]
    connection.close()


def test_a_lock_that_is_kept_too_long_is_said(path: Path, opened: sqlite3.Connection) -> None:
    opened.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalBusyError, match=r"keeps the journal .* locked") as caught:
        open_file(path, busy_seconds=0.05)
    assert caught.value.retryable
    opened.execute("ROLLBACK")
    open_file(path, busy_seconds=0.05).close()


# --- none of ours ----------------------------------------------------------------------------------------------


def _filled(path: Path) -> None:
    """A journal of many pages, in one file."""
    connection = open_file(path)
    for number in range(200):
        connection.execute("INSERT INTO event VALUES('r',?,'n','Running',?,0)", (number, "x" * 500))
    connection.close()


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(10_000))


def _a_few_bytes(path: Path) -> None:
    path.write_bytes(b"no journal")


def _truncated(path: Path) -> None:
    _filled(path)
    os.truncate(path, path.stat().st_size // 2)


def _cut_in_the_header(path: Path) -> None:
    _filled(path)
    os.truncate(path, 60)


def _a_page_is_damaged(path: Path) -> None:
    _filled(path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)


def _the_list_of_tables_is_damaged(path: Path) -> None:
    _filled(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def _newer(path: Path) -> None:
    _filled(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()


def _of_another_program(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmark(url TEXT)")
    connection.execute(f"PRAGMA user_version={version}")
    connection.commit()
    connection.close()


UNUSABLE: list[tuple[Callable[[Path], None], type[JournalError], str]] = [
    (_garbage, JournalCorruptError, "no SQLite file"),
    (_a_few_bytes, JournalCorruptError, "no SQLite file"),
    (_truncated, JournalCorruptError, "It is left as it is"),
    (_cut_in_the_header, JournalCorruptError, "no SQLite file"),
    (_a_page_is_damaged, JournalCorruptError, "It is left as it is"),
    (_the_list_of_tables_is_damaged, JournalCorruptError, "It is left as it is"),
    (_newer, JournalVersionError, f"has format {VERSION + 1}, written by a newer qianfan"),
    (lambda path: _of_another_program(path, 0), JournalCorruptError, "another program's tables"),
    (lambda path: _of_another_program(path, VERSION), JournalCorruptError, "another program's tables"),
]


@pytest.mark.parametrize(
    ("made", "error", "text"),
    UNUSABLE,
    ids=["garbage", "short", "truncated", "cut", "page", "schema", "newer", "foreign-0", "foreign-1"],
)
def test_what_is_no_journal_of_ours_is_refused_and_left_as_it_is(
    made: Callable[[Path], None], error: type[JournalError], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "journal.sqlite3"
    made(path)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(error, match=text) as caught:
            open_file(path)
        assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_newer_format_that_is_only_in_the_log_so_far_is_refused(path: Path) -> None:
    other = open_file(path)
    other.execute(f"PRAGMA user_version={VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(JournalVersionError):
        open_file(path)
    assert path.read_bytes() == before
    other.close()


def test_an_empty_file_is_begun(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    open_file(path).close()
    assert path.stat().st_size > 0


@pytest.mark.parametrize("where", ["folder", "below a file"])
def test_where_no_file_can_be_is_said(where: str, tmp_path: Path) -> None:
    path = tmp_path / "there"
    if where == "folder":
        path.mkdir()
    else:
        path.touch()
        path = path / "journal.sqlite3"
    with pytest.raises(JournalWriteError, match="cannot be written"):
        open_file(path)


def test_the_tables_in_the_code_end_where_statements_end() -> None:
    """The statements are told apart by semicolons, so none may hold one."""
    assert all(sqlite3.complete_statement(part + ";") for part in TABLES.split(";") if part.strip())


# --- permissions -----------------------------------------------------------------------------------------------

_WITHOUT_PRIVILEGES = """
import os, sys
from pathlib import Path
import anyio
from qianfan.errors import JournalError
from qianfan.journal import open_journal

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

async def main():
    for _ in range(2):
        try:
            await open_journal(Path(sys.argv[1]))
        except JournalError as error:
            print(type(error).__name__, str(error).replace(sys.argv[1], "PATH"))

anyio.run(main)
"""


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that a user without any rights can reach."""
    folder = Path(tempfile.mkdtemp(prefix="qianfan-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize("what", ["read-only file", "read-only folder", "locked folder", "file in read-only folder"])
def test_without_the_rights_it_says_so_and_changes_nothing(what: str, open_to_all: Path) -> None:
    folder = open_to_all / "kept"
    folder.mkdir(mode=0o755)
    path = folder / "journal.sqlite3"
    if "file" in what:
        _filled(path)
        path.chmod(0o444 if what == "read-only file" else 0o666)
    folder.chmod({"read-only file": 0o777, "locked folder": 0o000}.get(what, 0o555))
    before = path.read_bytes() if path.exists() else None
    printed = run_python(_WITHOUT_PRIVILEGES, path)
    said = "the journal 'PATH' is read-only" if what == "read-only file" else "the journal 'PATH' cannot be written"
    assert [line.startswith(f"JournalWriteError {said}") for line in printed.splitlines()] == [True, True]
    folder.chmod(0o755)
    assert (path.read_bytes() if path.exists() else None) == before
    assert [file.name for file in folder.iterdir()] == ([path.name] if before is not None else [])

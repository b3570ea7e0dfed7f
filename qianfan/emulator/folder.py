"""Keeping an account in a folder: its records as one JSON file, stored content beside it.

The file is written beside and renamed, and a change is on disk before the call that made it is answered. Uploads in
parts that are not completed, and tokens, do not outlive the process. Keys are never written.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records import Job, Record, StoredObject
from qianfan.errors import InvalidArgumentError

if sys.platform == "win32":
    import msvcrt

    def lock_file(file: BinaryIO) -> None:
        """Hold a file until it is closed, or this process ends. Raises OSError while another one holds it."""
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def lock_file(file: BinaryIO) -> None:
        """Hold a file until it is closed, or this process ends. Raises OSError while another one holds it."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_FORMAT = 1
_WORKS = ("work", "import_work", "release_work", "export_work")


class Folder:
    """The state of one account on disk."""

    def __init__(self, place: Path, account: Account) -> None:
        self._file = place / "state.json"
        self._account = account
        self._writing = threading.Lock()
        self._written = -1
        self._held: BinaryIO | None = None

    def lock(self) -> None:
        """Take the folder for this emulator alone. Raises InvalidArgumentError while another one has it."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        held = (self._file.parent / "lock").open("a+b")
        try:
            lock_file(held)
        except OSError as error:
            held.close()
            raise InvalidArgumentError(
                f"{self._file.parent} is in use by another emulator; choose another data_dir or end that one"
            ) from error
        self._held = held

    def unlock(self) -> None:
        """Leave the folder to others."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def load(self) -> None:
        """Take over what an earlier emulator left. Raises InvalidArgumentError when the file cannot be read."""
        if not self._file.exists():
            return
        try:
            state = json.loads(self._file.read_text("utf-8"))
            if state["format"] != _FORMAT:
                raise ValueError(f"format {state['format']!r} is not {_FORMAT}")
            self._take_over(state)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidArgumentError(
                f"{self._file} holds no state of this emulator ({error}); choose another data_dir or remove it"
            ) from error

    async def save(self) -> None:
        """Write the state down, in a worker thread."""
        await anyio.to_thread.run_sync(self.save_now)

    def save_now(self) -> None:
        """Write the state down unless that was done since the last change."""
        with self._writing:
            with self._account.lock:
                changes = self._account.changes
                if changes == self._written:
                    return
                text = json.dumps(self._state(), ensure_ascii=False)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside = self._file.with_suffix(".new")
            beside.write_text(text, "utf-8")
            os.replace(beside, self._file)
            self._written = changes

    def _state(self) -> dict[str, JSON]:
        account, now = self._account, self._account.clock.monotonic()
        shelves = {name: [_dumped(record, now) for record in shelf] for name, shelf in account.shelves.items()}
        return {
            "format": _FORMAT,
            "changes": account.changes,
            "shelves": shelves,
            "numbers": {name: shelf.next_number for name, shelf in account.shelves.items()},
            "made": {name: shelf.made for name, shelf in account.shelves.items()},
            "deleted_jobs": [job.model_dump(mode="json") for job in account.deleted_jobs.values()],
            "buckets": list(account.buckets),
            "objects": [stored.model_dump(mode="json") for stored in account.buckets.objects()],
        }

    def _take_over(self, state: dict[str, JSON]) -> None:
        account, now = self._account, self._account.clock.monotonic()
        for name, shelf in account.shelves.items():
            # A folder of an earlier version does not know every shelf.
            for row in state["shelves"].get(name, ()):
                shelf.put_back(_restarted(shelf.kind.model_validate(row), now))
            shelf.next_number = state["numbers"].get(name, shelf.next_number)
            shelf.made = state.get("made", {}).get(name, len(shelf))
        for row in state["deleted_jobs"]:
            job = Job.model_validate(row)
            account.deleted_jobs[job.id] = job
        for bucket in state["buckets"]:
            account.buckets.create(bucket)
        for row in state["objects"]:
            account.buckets.put(StoredObject.model_validate(row))
        account.changes = state["changes"]
        account.restart_ids()
        account.blobs.forget_all_but({source.blob_key for source in account.sources()})


def _dumped(record: Record, now: float) -> dict[str, JSON]:
    """A record with the start of its work as an age: the clock has another origin in the next process."""
    row = record.model_dump(mode="json")
    for name in _WORKS:
        work = row.get(name)
        if work is not None:
            work["started"] = work["started"] - now
            # JSON of the standard knows no infinity, and pydantic writes null for it.
            work["after_looks"] = getattr(record, name).after_looks
    return row


def _restarted(record: Record, now: float) -> Record:
    for name in _WORKS:
        work = getattr(record, name, None)
        if isinstance(work, Work):
            work.started += now
    return record

"""Which processes live: each holds a lock on a file of its own, and the kernel lets go of it when the process dies.

No clock and no heartbeat: a process that is stopped, debugged or asleep still holds its lock, so nothing is stolen from
it, and one that died has lost it at once.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    _try_lock = _lock
else:
    import fcntl

    def _lock(file: IO[bytes], how: int = fcntl.LOCK_EX) -> bool:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _try_lock(file: IO[bytes]) -> bool:
        # Shared, so that two processes that look at the same time do not take each other for the owner.
        return _lock(file, fcntl.LOCK_SH)


class Worker:
    """This process, as the owner of runs.

    folder: where the lock files are; None for a journal that nobody else sees.
    """

    def __init__(self, folder: Path | None) -> None:
        self.id = f"w{secrets.token_hex(8)}"
        self.host = socket.gethostname()
        self.pid = os.getpid()
        self._folder = folder
        self._file: IO[bytes] | None = None

    def come_alive(self) -> None:
        """Take the lock; before anybody can read of this worker."""
        if self._folder is not None and self._file is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / self.id
            self._file = path.open("wb")
            if not _lock(self._file):
                raise OSError(f"the lock file {str(path)!r} is taken")

    def is_alive(self, worker_id: str) -> bool:
        """Whether a worker of this machine lives."""
        if worker_id == self.id:
            return True
        if self._folder is None:
            return False
        try:
            with (self._folder / worker_id).open("rb+") as file:
                return not _try_lock(file)
        except OSError:
            return False

    def clear(self, worker_id: str) -> None:
        """Remove the lock file of a dead worker."""
        if self._folder is not None:
            # Windows removes no file that somebody is just looking at; then the next one to come does it.
            with suppress(OSError):
                (self._folder / worker_id).unlink()

    def end(self) -> None:
        """Let go of the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self.clear(self.id)

    def forget(self) -> None:
        """In a forked child: close the file without letting go of the parent's lock."""
        # Closing one of several descriptors of an open file keeps its flock; unlocking would take it from the parent.
        if self._file is not None:
            self._file.close()
            self._file = None

"""A job on the ranges of a file: the inside of a worker process, and the same in this one."""

from __future__ import annotations

import gc

from qianfan.dataset.lanes.cutting import blocks
from qianfan.dataset.lanes.jobs import JOBS, Result

BOM = b"\xef\xbb\xbf"


class Work:
    """One job on one file."""

    def __init__(self, job: str, shape: str, is_of_kind: bool, path: str) -> None:
        self._job = JOBS[job](shape, is_of_kind)
        self._file = open(path, "rb")  # noqa: SIM115  # closed by `close`, or with the process

    def __call__(self, begin: int, end: int) -> list[tuple[int, Result]]:
        """The results for the blocks of a range, each with its block's offset."""
        results: list[tuple[int, Result]] = []
        # Thousands of small objects that live for one block: looking for cycles among them takes a third of the time.
        collects = gc.isenabled()
        gc.disable()
        try:
            for offset, block in blocks(self._file, begin, end):
                results.append((offset, self._job(block)))
        finally:
            if collects:
                gc.enable()
        return results

    def close(self) -> None:
        self._file.close()

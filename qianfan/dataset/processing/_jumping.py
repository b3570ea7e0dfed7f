"""Rows read in any order, from sources that are made to be read from the first to the last as well."""

from __future__ import annotations

import mmap
import pickle
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property

from qianfan.dataset.consts import FormatType
from qianfan.dataset.processing._derived import DerivedSource, PartSource, each_raw_row, opened
from qianfan.dataset.reading import RawRow
from qianfan.dataset.sources import FileDataSource, LocalSource, MemoryDataSource

_LINES = (FormatType.Jsonl, FormatType.Json, FormatType.Csv, FormatType.Tsv, FormatType.Text)
# How many rows are passed over in the time that it takes to go to one.
_PASSED_BY_A_JUMP = 8
_PASSED_BY_A_SLOW_JUMP = 1_000


def raw_rows_at(source: LocalSource, positions: Sequence[int]) -> Iterator[RawRow]:
    """The raw rows at ascending positions: passing over those between, or going to each, whichever is shorter."""
    if _are_dense(source, positions):
        return _in_passing(source, positions)
    return map(opened(source).raw_row, positions)


def for_jumps(source: LocalSource, positions: Sequence[int]) -> LocalSource:
    """The same rows for reading in any order: the source, or a copy of it where that is shorter."""
    if jumps_quickly(source) or not _are_dense(source, positions):
        return opened(source)
    return CopiedSource(source)


def jumps_quickly(source: LocalSource) -> bool:
    """Whether single rows are read about as quickly as they are in passing.

    What is stored by columns is read in stretches, however few rows are wanted.
    """
    if isinstance(source, DerivedSource):
        return all(map(jumps_quickly, source.parents))
    if isinstance(source, FileDataSource):
        return source.file_format in _LINES
    return isinstance(source, MemoryDataSource)


def _are_dense(source: LocalSource, positions: Sequence[int]) -> bool:
    passed = _PASSED_BY_A_JUMP if jumps_quickly(source) else _PASSED_BY_A_SLOW_JUMP
    return len(positions) * passed >= max(positions, default=0)


def _in_passing(source: LocalSource, positions: Sequence[int]) -> Iterator[RawRow]:
    wanted = iter(positions)
    following = next(wanted, None)
    for position, raw in enumerate(opened(source).raw_rows()):
        if position == following:
            yield raw
            following = next(wanted, None)
            if following is None:
                return


class CopiedSource(PartSource):
    """The raw rows of another source, written down when the first one is needed. It keeps eight bytes for each."""

    def raw_rows(self) -> Iterator[RawRow]:
        return map(self.raw_row, range(len(self)))

    def raw_row(self, position: int) -> RawRow:
        content, ends = self._copy
        position = range(len(ends))[position]
        start = ends[position - 1] if position else 0
        row: RawRow = pickle.loads(content[start : ends[position]])  # noqa: S301  # written by this very object
        return row

    def __len__(self) -> int:
        return len(self._copy[1])

    @cached_property
    def _copy(self) -> tuple[mmap.mmap | bytes, array[int]]:
        """The rows one after the other, and where each ends."""
        ends, end = array("Q"), 0
        with tempfile.TemporaryFile(prefix="qianfan-") as file:
            for raw in each_raw_row(self.parents[0]):
                end += file.write(pickle.dumps(raw))
                ends.append(end)
            file.flush()
            return (mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if ends else b""), ends

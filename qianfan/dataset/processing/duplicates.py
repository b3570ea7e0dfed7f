"""Rows that are there already, left out."""

from __future__ import annotations

from array import array

from qianfan.dataset.lanes import digests, repeats
from qianfan.dataset.processing._derived import opened
from qianfan.dataset.processing._keys import By, key_digests
from qianfan.dataset.processing._parts import ThinnedSource
from qianfan.dataset.sources import LocalSource


def deduplicated(source: LocalSource, by: By | None = None) -> ThinnedSource:
    """A source without the rows that came before; the first stays, and the order.

    by: a column, several, or a function, to compare rows by; otherwise by all that they hold.

    `dropped` of the result says how many were left out, once rows or its length were asked for.
    """
    return ThinnedSource(source, lambda: _positions_of_repeats(source, by))


def _positions_of_repeats(source: LocalSource, by: By | None) -> array[int]:
    blocks = digests(opened(source)) if by is None else key_digests(source, by)
    return array("Q", (position for position, _ in repeats(blocks)))

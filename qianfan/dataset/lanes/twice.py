"""Rows that came before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

IN_MEMORY = 2_000_000
"""Rows that are compared in memory, which takes some eighty bytes for each; more are compared by DuckDB, on disk."""

_SIZE = 16


def repeats(digest_blocks: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Each row whose digest came before, with the first row that has it: positions from 0, in order.

    digest_blocks: sixteen bytes for each row, in blocks. All of them are read before the first row comes out. Memory
    is bounded where DuckDB is installed; without it, it grows by some eighty bytes for each row.
    """
    rest = iter(digest_blocks)
    blocks: list[bytes] = []
    seen: set[int] = set()
    twice: set[int] = set()
    for block in rest:
        blocks.append(block)
        heads = _heads(block)
        before = len(seen)
        known = [] if seen.isdisjoint(heads) else [head for head in heads if head in seen]
        seen.update(heads)
        twice.update(known)
        if len(seen) - before + len(known) < len(heads):
            twice.update(_twice_in(heads))
        if len(seen) >= IN_MEMORY and _has_duckdb():
            seen = twice = set()
            return _on_disk(chain(blocks, rest))
    return _in_memory(blocks, twice)


def _heads(block: bytes) -> list[int]:
    """The first half of each digest, as a number."""
    return memoryview(block).cast("Q")[::2].tolist()


def _twice_in(heads: list[int]) -> set[int]:
    seen: set[int] = set()
    twice: set[int] = set()
    for head in heads:
        (twice if head in seen else seen).add(head)
    return twice


def _in_memory(blocks: list[bytes], twice: set[int]) -> Iterator[tuple[int, int]]:
    """twice: the heads that more than one row has, so that whole digests are kept of few rows only."""
    first: dict[bytes, int] = {}
    start = 0
    for block in blocks:
        heads = _heads(block)
        if not twice.isdisjoint(heads):
            for position, head in enumerate(heads):
                if head in twice:
                    row = start + position
                    earlier = first.setdefault(block[position * _SIZE : position * _SIZE + _SIZE], row)
                    if earlier != row:
                        yield row, earlier
        start += len(heads)


def _has_duckdb() -> bool:
    return find_spec("duckdb") is not None


_REPEATS = """
    WITH digests AS (SELECT digest, row_number() OVER () - 1 AS row FROM read_csv(
        $path, columns = {'digest': 'UUID'}, header = false, auto_detect = false, delim = ','
    ))
    SELECT row, first FROM digests
    JOIN (SELECT digest, min(row) AS first FROM digests GROUP BY digest HAVING count(*) > 1) USING (digest)
    WHERE row <> first ORDER BY row
"""


def _on_disk(blocks: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="qianfan-") as folder:
        path = Path(folder) / "digests.csv"
        with path.open("w", encoding="ascii", newline="\n") as file:
            for block in blocks:
                file.write(block.hex("\n", _SIZE) + "\n")
        with duckdb.connect(config={"memory_limit": "100MB", "temp_directory": folder, "threads": "2"}) as connection:
            found = connection.execute(_REPEATS, {"path": str(path)})
            while pairs := found.fetchmany(10_000):
                yield from pairs

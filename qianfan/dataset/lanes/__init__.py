"""Fast ways through large .jsonl files, with exactly the results of the careful way, line by line.

Three passes over a file (`suspects`, `converted`, `digests`) and one over digests (`repeats`). The work on a block of
lines is in `jobs.py`, on what `lean.py` proves about a block as a whole; `crew.py` runs it in worker processes for
files above `LARGE` bytes, in this process otherwise. What neither the lean proof nor the shape's quick way vouches for
comes back, and is read by the careful way here, so that no pass has rules of its own.

The proof: msgspec splits a block into rows and finds where each text begins and ends, without making texts of them;
put together again in the file's own spelling, the pieces must give the block back, byte for byte. So nothing else is
in it: no key twice, no second value in a line, no column that was left out. What is left to look at is the encoding,
and whether each text says something. On one core that takes about as long as parsing each line with orjson and
looking at nothing. DuckDB's reader is faster, but mends silently what has to be reported: trailing commas, NaN, keys
given twice, numbers for texts; proving that it did not took longer, in SQL, than doing without it.
"""

from qianfan.dataset.lanes.passes import LEAN_CHARS, Suspects, converted, digests, suspects
from qianfan.dataset.lanes.twice import repeats

__all__ = ["LEAN_CHARS", "Suspects", "converted", "digests", "repeats", "suspects"]

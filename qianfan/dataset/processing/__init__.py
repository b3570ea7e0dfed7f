"""Sources made of other sources: changed, chosen, ordered, divided, joined, without repetitions.

Each function takes sources and returns one that reads them when its rows are asked for. None keeps rows; those that
must know all of them first keep a few bytes for each.
"""

from qianfan.dataset.processing._derived import DerivedSource, nearby
from qianfan.dataset.processing._parts import ThinnedSource
from qianfan.dataset.processing.duplicates import deduplicated
from qianfan.dataset.processing.grouping import GROUP_COLUMN, grouped, packed, ungrouped, unpacked
from qianfan.dataset.processing.joining import concatenated, mixed
from qianfan.dataset.processing.mapping import filtered, mapped
from qianfan.dataset.processing.materialising import materialised
from qianfan.dataset.processing.near_duplicates import near_deduplicated
from qianfan.dataset.processing.picking import sampled, selected, shuffled, split

__all__ = [
    "GROUP_COLUMN",
    "DerivedSource",
    "ThinnedSource",
    "concatenated",
    "deduplicated",
    "filtered",
    "grouped",
    "mapped",
    "materialised",
    "mixed",
    "near_deduplicated",
    "nearby",
    "packed",
    "sampled",
    "selected",
    "shuffled",
    "split",
    "ungrouped",
    "unpacked",
]

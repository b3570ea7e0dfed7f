"""Checking a dataset before it is used: what is wrong, what is odd, what its rows are like, and a corrected copy."""

from qianfan.dataset.checking.check import KEPT, check
from qianfan.dataset.checking.fixing import Change, FixReport, fix
from qianfan.dataset.checking.rules import RULES, Rule
from qianfan.dataset.checking.statistics import Distribution, Measure, Statistics, stats

__all__ = [
    "KEPT",
    "RULES",
    "Change",
    "Distribution",
    "FixReport",
    "Measure",
    "Rule",
    "Statistics",
    "check",
    "fix",
    "stats",
]

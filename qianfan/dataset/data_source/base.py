"""What all sources are."""

from typing import TypeAlias

from qianfan.dataset.consts import FormatType
from qianfan.dataset.places import Source

DataSource: TypeAlias = Source
"""Rows on this machine, or a dataset on the platform; as the second argument of `isinstance` too."""

__all__ = ["DataSource", "FormatType"]

"""Enumerations around datasets."""

from __future__ import annotations

from enum import Enum

from qianfan.resources.console.consts import (
    DataExportDestinationType,
    DataProjectType,
    DataSetType,
    DataSourceType,
    DataStorageType,
    DataTemplateType,
)

__all__ = [
    "DataExportDestinationType",
    "DataProjectType",
    "DataSetType",
    "DataSourceType",
    "DataStorageType",
    "DataTemplateType",
    "FormatType",
]


class FormatType(str, Enum):
    """How a file holds its rows: one JSON value a line, one JSON array, or one text a line."""

    Jsonl = "jsonl"
    Json = "json"
    Text = "txt"

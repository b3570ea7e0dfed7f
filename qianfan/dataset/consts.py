"""Enumerations around datasets."""

from __future__ import annotations

from enum import Enum

from qianfan.resources.console.consts import (
    DataExportDestinationType,
    DataFormat,
    DataProjectType,
    DataSetType,
    DataSourceType,
    DataStorageType,
    DataTemplateType,
)

__all__ = [
    "DataExportDestinationType",
    "DataFormat",
    "DataProjectType",
    "DataSetType",
    "DataSourceType",
    "DataStorageType",
    "DataTemplateType",
    "FormatType",
]


class FormatType(str, Enum):
    """How a file holds its rows.

    Json: one array. Jsonl: one JSON value a line. Csv, Tsv: a table with a header, all cells texts. Text: one text a
    line. Parquet, Arrow (IPC, also called Feather): a table by columns. Excel: the sheet of a workbook. Text2Image: a
    folder or zip of images, each with a JSON file of the same stem.
    """

    Jsonl = "jsonl"
    Json = "json"
    Csv = "csv"
    Tsv = "tsv"
    Text = "txt"
    Parquet = "parquet"
    Arrow = "arrow"
    Excel = "xlsx"
    Text2Image = "text2image"

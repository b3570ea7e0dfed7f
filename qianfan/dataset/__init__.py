"""Datasets: rows in files, in memory or on the platform, checked and moved between them."""

from typing import TYPE_CHECKING, NoReturn

from qianfan.dataset.consts import (
    DataExportDestinationType,
    DataProjectType,
    DataSetType,
    DataSourceType,
    DataStorageType,
    DataTemplateType,
    FormatType,
)
from qianfan.dataset.data_source import BosDataSource, DataSource, FileDataSource, QianfanDataSource
from qianfan.dataset.dataset import Dataset
from qianfan.dataset.places import refuse_afs
from qianfan.dataset.report import Report
from qianfan.dataset.table import Table

__all__ = [
    "BosDataSource",
    "DataExportDestinationType",
    "DataProjectType",
    "DataSetType",
    "DataSource",
    "DataSourceType",
    "DataStorageType",
    "DataTemplateType",
    "Dataset",
    "FileDataSource",
    "FormatType",
    "QianfanDataSource",
    "Report",
    "Table",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        if name == "AFSDataSource":
            refuse_afs(name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

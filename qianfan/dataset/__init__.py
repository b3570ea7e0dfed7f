"""Datasets: rows in files, in memory or on the platform, checked and moved between them."""

from qianfan.dataset.consts import DataStorageType, DataTemplateType, FormatType
from qianfan.dataset.dataset import Dataset
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.report import Report
from qianfan.dataset.sources import FileDataSource

__all__ = [
    "DataStorageType",
    "DataTemplateType",
    "Dataset",
    "FileDataSource",
    "FormatType",
    "QianfanDataSource",
    "Report",
]

"""Where rows come from: sources under the paths that older code imports them from."""

from typing import TYPE_CHECKING, NoReturn

from qianfan.dataset.bos_source import BosDataSource
from qianfan.dataset.consts import FormatType
from qianfan.dataset.data_source.base import DataSource
from qianfan.dataset.places import refuse_afs
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.sources import FileDataSource

__all__ = ["BosDataSource", "DataSource", "FileDataSource", "FormatType", "QianfanDataSource"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        if name == "AFSDataSource":
            refuse_afs(name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

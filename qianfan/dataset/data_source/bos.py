"""Home of the files in object storage."""

from qianfan.dataset.bos_source import BosDataSource

__all__ = ["BosDataSource"]

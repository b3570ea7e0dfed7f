"""Home of the files."""

from qianfan.dataset.sources import FileDataSource

__all__ = ["FileDataSource"]

"""Home of the datasets on the platform."""

from qianfan.dataset.platform_source import QianfanDataSource

__all__ = ["QianfanDataSource"]

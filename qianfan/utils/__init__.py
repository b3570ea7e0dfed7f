"""Small helpers that users import by name."""

from qianfan.utils.logging import disable_log, enable_log

__all__ = ["disable_log", "enable_log"]

"""Logging: one logger named `qianfan`, silent until the user asks.

An import attaches nothing but a NullHandler. `enable_log` makes lines visible even when the user never configured
logging; with handlers of their own the lines simply go there.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("qianfan")
logger.addHandler(logging.NullHandler())

_handler: logging.Handler | None = None


def enable_log(log_level: int | str = logging.INFO) -> None:
    """Show qianfan's log lines from the given level on.

    log_level: a level of the standard library, as number or name (`logging.DEBUG`, `"DEBUG"`).

    Attaches one stream handler to the `qianfan` logger the first time, unless the root logger already has handlers.
    """
    global _handler
    logger.setLevel(log_level)
    if _handler is None and not logging.getLogger().handlers:
        _handler = logging.StreamHandler()
        _handler.setFormatter(logging.Formatter("[%(levelname)s] %(asctime)s %(name)s: %(message)s"))
        logger.addHandler(_handler)


def disable_log() -> None:
    """Show nothing below CRITICAL."""
    logger.setLevel(logging.CRITICAL)

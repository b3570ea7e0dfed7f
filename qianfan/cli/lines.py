"""Log lines on stderr while a command runs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum

from qianfan.utils.logging import logger


class LogLevel(str, Enum):
    """The levels of the standard library."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class StderrLines(logging.Handler):
    """Writes to whatever stderr is at that moment, so that a live view can keep the lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


@contextmanager
def log_lines() -> Generator[None, None, None]:
    """Show warnings, and what `show_from` asks for, until the block ends."""
    handler, level = StderrLines(), logger.level
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def show_from(level: LogLevel) -> None:
    """Show log lines from this level on."""
    logger.setLevel(level.value)

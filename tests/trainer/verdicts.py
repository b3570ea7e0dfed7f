"""Functions that decide about a deployment, in a module that another process can import."""

from __future__ import annotations

import os
from typing import Any

from qianfan.evaluation import EvaluationResult

asked: list[Any] = []


def always(result: EvaluationResult) -> bool:
    """Yes, and notes that it was asked."""
    asked.append(result)
    return True


def never(result: EvaluationResult) -> bool:
    """No, and notes that it was asked."""
    asked.append(result)
    return False


async def slowly(result: EvaluationResult) -> bool:
    """Looks at the metrics, without blocking."""
    return bool(result.summary["length"] >= 1)


def from_environment(result: EvaluationResult) -> bool:
    """What the environment says; the process dies where it says so."""
    if os.environ.get("VERDICT") == "die":
        os._exit(9)
    return os.environ.get("VERDICT") == "yes"


def nothing(result: EvaluationResult) -> None:
    """Forgets to say anything."""

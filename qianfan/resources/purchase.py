"""Names that find an order again, and orders that stand outside of any run."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from qianfan._clock import Clock
from qianfan.pipeline import Purchases, Row, RunRecord, RunStatus, Terms
from qianfan.pipeline._purchases import token_for

__all__ = ["labelled", "lone_purchases", "name_with", "new_token", "token_for"]

_NAME_LENGTH = 20


def new_token() -> str:
    """A token for a thing that nobody will look for again."""
    return token_for(uuid.uuid4())


def name_with(token: str, stem: str) -> str:
    """A name of at most 20 characters: the readable beginning of `stem`, then the token."""
    readable = re.sub(r"[^A-Za-z0-9\u4e00-\u9fff-]+", "_", stem).strip("_-") or "qianfan"
    return f"{readable[: _NAME_LENGTH - 1 - len(token)].rstrip('_-')}_{token}"


def labelled(description: str, label: str, longest: int = 500) -> str:
    """A description that ends with the label of an order; the user's words are cut where both do not fit."""
    return f"{description[: longest - len(label) - 1].rstrip()} {label}".strip()


def lone_purchases(order: str, clock: Clock, settle: float) -> Purchases:
    """Orders outside of any run: looked for before they are repeated, as long as this object lives.

    order: what is ordered, the same for the same thing, so that a generated name is as well.
    """
    record = RunRecord()

    async def change(
        changes: Mapping[str, Row],
        description: str = "",
        data: Any = None,
        *,
        kind: str = "",
        status: RunStatus | None = None,
    ) -> None:
        await record.write(changes)

    terms = Terms(settle=settle)
    return Purchases(record, change, run_id=order, action_id="lone", clock=clock, terms=terms, is_lone=True)

"""Orders that cost money, declared: what places one, what finds it again, and what happens when nothing does."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

OnAbsent: TypeAlias = Literal["fence", "resubmit", "hold"]

SETTLE_SECONDS = 120.0
"""How long an order may take to show up; longer than any request lives."""


@dataclass(frozen=True)
class Terms:
    """What happens to a paid order that cannot be found.

    on_absent: "hold" asks a person; "fence" deletes the container it would land in and begins anew, where it has one;
        "resubmit" sends it again. Orders that cost nothing are always sent again.
    settle: seconds for which it is looked for first.
    """

    on_absent: OnAbsent = "hold"
    settle: float = SETTLE_SECONDS


HOLD = Terms()
"""Ask a person."""


@dataclass(frozen=True)
class Receipt:
    """What an order made: its id on the platform, and what else the answer said, as JSON values."""

    id: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Mark:
    """What finds an order again.

    token: ten letters and digits for its name; label: `qf:<run>/<order>/<gen>` for its description.
    since: nothing that is older can be it. before: what was there before it, where the purchase has asked.
    """

    token: str
    label: str
    since: datetime
    before: Any = None


async def _nothing() -> Any:
    return None


def _never(error: Exception) -> bool:
    return False


def _by_token(mark: Mark) -> str:
    return repr(mark.token)


@dataclass(frozen=True)
class Purchase:
    """An order, declared: how to place it, and how to find it.

    kind: what it makes, "job" for example; unique within an action. paid: whether it costs money by itself.
    request: its content, as JSON, without credentials; written down, and handed to `create`.
    create: sends it, once. find: looks for what it made, oldest first; only what certainly comes from it.
    before: asked before the order, for a `find` that has to tell it from what was there.
    exists_already: recognises the platform's own refusal of a second one.
    container: kind of the order whose product this one lands in; retire: deletes that product, by its id, and says
        whether it is gone. Both for `on_absent="fence"`.
    look_for: what a person looks for on the platform, where that is something else than the token.
    """

    kind: str
    request: Callable[[Mark], Mapping[str, Any]]
    create: Callable[[Mapping[str, Any]], Awaitable[Receipt]]
    find: Callable[[Mark], Awaitable[Sequence[Receipt]]]
    paid: bool = False
    before: Callable[[], Awaitable[Any]] = _nothing
    exists_already: Callable[[Exception], bool] = _never
    container: str | None = None
    retire: Callable[[str], Awaitable[bool]] | None = None
    look_for: Callable[[Mark], str] = _by_token


class Fenced(Exception):
    """A paid order was fenced off: its container is gone, and a new generation begins with a container of its own."""


def token_for(*parts: object) -> str:
    """Ten letters and digits, always the same for the same parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:10]


def request_hash(request: Mapping[str, Any]) -> str:
    """What tells one content of an order from another."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

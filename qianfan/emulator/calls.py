"""What a handler is given, and small things many handlers say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TypeAlias, TypeVar

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.blobs import Blob
from qianfan.emulator.checks import Body
from qianfan.emulator.records import Model, Service, Task
from qianfan.emulator.refusals import invalid
from qianfan.emulator.scans import Unit
from qianfan.emulator.wire import Answer, Request
from qianfan.emulator.works import Reply

T = TypeVar("T")

_BEIJING = timezone(timedelta(hours=8))
_LARGEST_PAGE = 100


@dataclass(frozen=True)
class MadeRows:
    """Rows that were made out of others. of: which content; report: what is told about it."""

    of: tuple[str, ...]
    units: list[Unit]
    report: dict[str, JSON]


@dataclass
class Call:
    """One admitted call.

    args: the variable parts of the path, for example the endpoint of a model call.
    reply: what a model says to it, begun before the call is carried out; text: all it says, unless it is streamed.
    packed: an archive that was made ready before it; rows: those it puts into a dataset.
    """

    account: Account
    request: Request
    body: Body
    args: dict[str, str]
    reply: Reply | None = None
    text: str = ""
    packed: Blob | None = None
    rows: MadeRows | None = None

    @property
    def origin(self) -> str:
        """Where the client reaches this emulator, for links in answers."""
        return self.request.origin


Handler: TypeAlias = Callable[[Call], "JSON | Answer"]
"""Carries out one call while the account is locked: a result, or a whole answer. Raises a refusal."""


def reason_of(record: Task | Model | Service) -> dict[str, JSON]:
    """Why something failed. The platform tells it too, but under which key is not established."""
    return {"errMessage": record.reason} if record.reason else {}


def utc_time(moment: datetime | None) -> str:
    """V2 fine-tuning and services: `2024-01-30T09:41:54Z`."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "0000-00-00T00:00:00Z"


def zoned_time(moment: datetime) -> str:
    """Models: Beijing time with its offset."""
    return moment.astimezone(_BEIJING).isoformat(timespec="seconds")


def beijing_time(moment: datetime | None, unset: str = "0000-00-00 00:00:00") -> str:
    """V1 fine-tuning and data: Beijing time without a zone."""
    return moment.astimezone(_BEIJING).strftime("%Y-%m-%d %H:%M:%S") if moment else unset


def nano_time(moment: datetime) -> str:
    """The answer of V1's create-dataset: nanoseconds and offset."""
    local = moment.astimezone(_BEIJING)
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond:06d}000+08:00"


def page_of(call: Call, items: list[tuple[str, T]]) -> tuple[list[T], dict[str, JSON]]:
    """One page of a V2 list by marker, and its `pageInfo`.

    items: (id, entry), newest first; turned around in place when the body asks for the other order.
    """
    body = call.body
    marker: str = body.get("marker") or ""
    size = min(body.get("maxKeys") or 10, _LARGEST_PAGE)
    if body.get("pageReverse"):
        items.reverse()
    start = 0
    if marker:
        start = next((index for index, (key, _) in enumerate(items) if key == marker), -1)
        if start < 0:
            raise invalid("marker", f"marker {marker!r} names no entry of this list")
        if call.account.quirks.pages_shift and size > 1:
            start = max(0, start - 1)
    shown, rest = items[start : start + size], items[start + size :]
    info: dict[str, JSON] = {"marker": marker, "maxKeys": size, "isTruncated": bool(rest)}
    if rest:
        info["nextMarker"] = rest[0][0]
    return [entry for _, entry in shown], info

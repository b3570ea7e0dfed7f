"""Failures on order: which call goes wrong, when, and how."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from qianfan._types import JSON
from qianfan.emulator.envelopes import Family, failure
from qianfan.emulator.record import Recorded
from qianfan.emulator.wire import Answer, ConnectionDropped, json_answer
from qianfan.errors import InvalidArgumentError

Drop = Literal["before", "during", "after"]
Spoilt = Literal["unfinished", "error", "comments"]
_DROPS = ("before", "during", "after")
_SPOILT = ("unfinished", "error", "comments")


@dataclass
class Fault:
    """One ordered failure.

    call: what it hits, by name or by the end of a path; "*" hits every call.
    nth: the first of these calls that it hits, counted from 1; times: how many in a row, None for all after it.
    status, code, message: the error that is answered, in the style of the call's family.
    body: the whole answer in place of that: JSON, or a text that is sent as HTML.
    headers: extra headers of the answer, for example `retry-after`.
    delay: seconds on the emulator's clock before anything else happens.
    drop: break the connection: "before" the call takes effect, "after" it did but before its answer, or "during" the
    answer, when a first part of it was sent.
    late: the connection breaks off as with drop="before", and the call takes effect so many seconds later on the
    emulator's clock. twice: it takes effect two times, and the second is answered, or the first where only that could
    be carried out. Both are for calls that answer in JSON; requests of object storage are passed over.
    stream: what is wrong with a streamed answer: "unfinished" (ends without its end mark), "error" (an error object
    after the first piece), "comments" (harmless comment lines between the pieces).
    """

    call: str
    nth: int = 1
    times: int | None = 1
    status: int | None = None
    code: int | str | None = None
    message: str | None = None
    body: JSON = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float | None = None
    drop: Drop | None = None
    stream: Spoilt | None = None
    late: float | None = None
    twice: bool = False
    seen: int = 0
    hits: int = 0

    def sees(self, recorded: Recorded) -> bool:
        """Count a call if it is one of those meant, and tell whether it is due to be hit."""
        if self.call != "*" and not recorded.is_called(self.call):
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.hits < self.times)

    @property
    def moves(self) -> bool:
        """Whether the call takes effect, but not once and at once."""
        return self.late is not None or self.twice

    @property
    def answers(self) -> bool:
        """Whether the fault answers in place of the call, which then has no effect."""
        return self.stream is None and any(
            value is not None for value in (self.status, self.code, self.message, self.body)
        )

    def answer(self, family: Family) -> Answer:
        """The answer that was ordered."""
        if isinstance(self.body, str):
            return Answer(self.status or 200, {"content-type": "text/html", **self.headers}, self.body.encode())
        if self.body is not None:
            return json_answer(self.body, status=self.status or 200, headers=self.headers)
        answer = failure(family, code=self.code, message=self.message or "an ordered failure", status=self.status)
        answer.headers.update(self.headers)
        return answer


_TYPES: dict[str, tuple[type, ...]] = {
    "call": (str,),
    "nth": (int,),
    "times": (int, type(None)),
    "status": (int, type(None)),
    "code": (int, str, type(None)),
    "message": (str, type(None)),
    "delay": (int, float, type(None)),
    "late": (int, float, type(None)),
}


def _check_types(fault: Fault) -> None:
    """Orders also come as JSON from other processes, where nothing else checks them."""
    for name, types in _TYPES.items():
        value = getattr(fault, name)
        if not isinstance(value, types) or isinstance(value, bool):
            raise InvalidArgumentError(f"{name} of a fault cannot be {value!r}")
    for name in ("delay", "late"):
        seconds = getattr(fault, name)
        if seconds is not None and not seconds >= 0:
            raise InvalidArgumentError(f"{name} of a fault cannot be {seconds!r}; it counts seconds")
    if not isinstance(fault.twice, bool):
        raise InvalidArgumentError(f"twice of a fault cannot be {fault.twice!r}")
    if not all(isinstance(text, str) for pair in fault.headers.items() for text in pair):
        raise InvalidArgumentError(f"headers of a fault must be texts, not {fault.headers!r}")


def _check_together(fault: Fault) -> None:
    if fault.moves and (fault.answers or fault.stream is not None):
        raise InvalidArgumentError(
            "late and twice let the call answer; leave status, code, message, body and stream out"
        )
    if fault.late is not None and (fault.twice or fault.drop not in (None, "before")):
        raise InvalidArgumentError("a late call takes effect once and gets no answer; leave twice and drop out")
    if fault.twice and fault.drop == "before":
        raise InvalidArgumentError('a call that is dropped "before" its effect cannot take effect twice')


class Faults:
    """The failures that are on order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(
        self,
        call: str = "*",
        *,
        nth: int = 1,
        times: int | None = 1,
        status: int | None = None,
        code: int | str | None = None,
        message: str | None = None,
        body: JSON = None,
        headers: dict[str, str] | None = None,
        delay: float | None = None,
        drop: Drop | None = None,
        stream: Spoilt | None = None,
        late: float | None = None,
        twice: bool = False,
    ) -> Fault:
        """Order a failure; the parameters are those of `Fault`.

        Raises InvalidArgumentError when nothing would happen, for an unknown `drop` or `stream`, or for parts that
        exclude each other.
        """
        fault = Fault(
            call, nth, times, status, code, message, body, dict(headers or {}), delay, drop, stream, late, twice
        )
        _check_types(fault)
        if drop is not None and drop not in _DROPS:
            raise InvalidArgumentError(f"drop is {drop!r}; use one of {_DROPS}")
        if stream is not None and stream not in _SPOILT:
            raise InvalidArgumentError(f"stream is {stream!r}; use one of {_SPOILT}")
        if nth < 1 or (times is not None and times < 1):
            raise InvalidArgumentError(f"nth is {nth!r} and times is {times!r}; both count from 1")
        if not fault.answers and not fault.moves and (delay, drop, stream) == (None, None, None):
            raise InvalidArgumentError(
                "a fault needs a status, code, message, body, delay, drop, stream, late or twice"
            )
        _check_together(fault)
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, recorded: Recorded, *, movable: bool = True) -> Fault | None:
        """The failure that hits a call, if any; the first one ordered wins.

        movable: whether the call can take effect late or twice; faults that order this pass over others.
        """
        with self._lock:
            due = [fault for fault in self._faults if (movable or not fault.moves) and fault.sees(recorded)]
            if not due:
                return None
            due[0].hits += 1
            return due[0]

    def remove(self, fault: Fault) -> None:
        """Take an order back."""
        with self._lock:
            self._faults.remove(fault)

    def clear(self) -> None:
        """Take every order back."""
        with self._lock:
            self._faults.clear()


async def breaking_off(body: bytes | AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The first part of a body, then the end of the connection."""
    if isinstance(body, bytes):
        yield body[: max(1, len(body) // 2)]
    else:
        async with aclosing(body):
            async for piece in body:
                yield piece
                break
    raise ConnectionDropped(started=True)


async def spoilt(body: AsyncGenerator[bytes], fault: Fault, family: Family) -> AsyncGenerator[bytes]:
    """A streamed answer with what the fault orders wrong with it. One piece is one event."""
    async with aclosing(body):
        held = b""
        async for piece in body:
            if fault.stream == "comments":
                yield b": keep-alive\n\n"
            if held:
                yield held
                if fault.stream == "error":
                    yield _error_event(fault, family)
                    return
            held = piece
        if fault.stream != "unfinished":
            yield held


def _error_event(fault: Fault, family: Family) -> bytes:
    error = failure(family, code=fault.code, message=fault.message or "an ordered failure").body
    assert isinstance(error, bytes), "a failure is a whole answer"
    return b"data: " + error + b"\n\n"

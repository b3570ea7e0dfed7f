"""Event streams: bytes in, events out, by the rules of the HTML standard; and on top of them the platform's own.

No I/O. Bytes may arrive cut anywhere, inside a character or between the two halves of a line end.
"""

# Why not httpx-sse: 0.4.3 splits lines as we do, but it drops what the platform needs read. An error that stands in the
# stream as bare JSON vanishes, and so does a last event whose blank line is missing; a byte order mark costs the first
# event; events without data are handed out; a header that names another charset garbles the text, which is UTF-8 by the
# standard; and one event may grow until memory ends.

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from qianfan._transport.wire import Family, Reading, excerpt
from qianfan.errors import RequestError, StreamInterruptedError

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LARGEST_EVENT: Final = 32 * 1024 * 1024


@dataclass(frozen=True)
class ServerSentEvent:
    """One event. `bare` marks a line of JSON that stood in the stream without a field name."""

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None
    bare: bool = False


class LineSplitter:
    """Bytes -> lines, ended by LF, CR or CRLF."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._after_cr = False

    @property
    def pending_size(self) -> int:
        """Bytes of the line that has not ended yet."""
        return self._pending_size

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        *ended, rest = _LINE_END.split(chunk)
        if ended:
            ended[0] = b"".join([*self._pending, ended[0]])
            self._pending, self._pending_size = [], 0
        self._pending.append(rest)
        self._pending_size += len(rest)
        return ended


class EventDecoder:
    """Lines -> events. Comments and unknown fields are skipped; an event without data is none."""

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._first = True
        self._bare: list[bytes] = []
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id = ""
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that this chunk completes. Raises RequestError when one grows without end."""
        for line in self._lines.feed(chunk):
            if (event := self._take(line)) is not None:
                yield event
        if self._size + self._lines.pending_size > _LARGEST_EVENT:
            raise RequestError(f"a single event of the stream is larger than {_LARGEST_EVENT} bytes")

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if self._first:
            line, self._first = line.removeprefix(_BYTE_ORDER_MARK), False
        if line.startswith(b"{") or (self._bare and _goes_on(line)):
            return self._take_bare(line)
        if self._bare:
            self._bare, self._size = [], 0
        if not line:
            return self._dispatch()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        self._set(name, value.removeprefix(" "))
        return None

    def _take_bare(self, line: bytes) -> ServerSentEvent | None:
        """JSON without a field name, which no field can begin like: the platform reports some errors so.

        Over several lines, it ends where it can be read.
        """
        self._bare = [line] if line.startswith(b"{") else [*self._bare, line]
        self._size += len(line)
        if not line.rstrip().endswith(b"}"):
            return None
        text = b"\n".join(self._bare).decode("utf-8", "replace")
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return None
        self._bare, self._size = [], 0
        return ServerSentEvent(text, bare=True)

    def _set(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
            self._size += len(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._retry = int(value[:9])

    def _dispatch(self) -> ServerSentEvent | None:
        data, name = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        if not data:
            return None
        return ServerSentEvent("\n".join(data), name or "message", self._id, self._retry)


def _goes_on(line: bytes) -> bool:
    """Whether a line can belong to JSON that is written over several: indented, or its last brace."""
    return line[:1] in (b" ", b"\t", b"}", b'"')


class AnswerDecoder:
    """Bytes -> the platform's answers, until its end mark: `is_end` in V1, `[DONE]` in either.

    A V2 stream may also just be closed once its choices have told why they finished. Each answer is a dictionary; a
    named event adds its name as `_event`.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._events = EventDecoder()
        self._finished = False
        self.ended = False
        """Whether the end mark was seen; what follows it is ignored."""

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """The answers that this chunk completes; raises APIError at the place where the stream reports one."""
        for event in self._events.feed(chunk):
            if self.ended:
                return
            answer = self._answer(event)
            if answer is not None:
                yield answer

    def finish(self) -> Iterator[dict[str, Any]]:
        """The connection was closed: the last answer, if only its blank line is missing.

        Raises StreamInterruptedError unless the end mark was seen.
        """
        if self.ended:
            return
        try:
            yield from self.feed(b"\n\n")
        except RequestError as cut:
            raise self.interrupted("the connection was closed") from cut
        if not self.ended and not self._finished:
            raise self.interrupted("the connection was closed")
        self.ended = True

    def interrupted(self, why: str) -> StreamInterruptedError:
        """The error for a stream that broke off."""
        return StreamInterruptedError(f"{self._reading.call.name}: the stream ended without its end mark: {why}")

    def _answer(self, event: ServerSentEvent) -> dict[str, Any] | None:
        if event.data.strip() == "[DONE]":
            self.ended = True
            return None
        try:
            answer: Any = json.loads(event.data)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict) and (failure := self._reading.failure(200, {}, answer)) is not None:
            raise failure
        if event.bare:
            return None
        if not isinstance(answer, dict):
            raise RequestError(
                f"{self._reading.call.name}: the stream holds something other than a JSON object",
                body=excerpt(event.data.encode()),
            )
        if self._reading.call.family is Family.INFERENCE_V1:
            self.ended = answer.get("is_end") is True
        elif _tells_why_it_finished(answer):
            self._finished = True
        return {**answer, "_event": event.event} if event.event != "message" else answer


def _tells_why_it_finished(answer: dict[str, Any]) -> bool:
    choices: Any = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        return False
    return all(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)

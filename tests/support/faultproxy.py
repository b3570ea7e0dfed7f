"""A proxy on the loopback that loses, cuts, doubles or delays chosen requests, and a served emulator to put behind it.

```python
with Emulator(engine="scripted") as emulator, serving(emulator) as upstream, FaultProxy(upstream) as proxy:
    proxy.script("CreateFineTuningJob", reset_after_effect)
    ...                                         # a client whose base URLs are proxy.url, see proxy.settings
    assert (emulator.count("CreateFineTuningJob"), proxy.forwarded("CreateFineTuningJob")) == (1, 1)
```

A call is named as `Emulator.count` names it: by the V2 action, or by the last part of the path. Requests go on as the
bytes that came, `Host` included, so their signatures stay good. Answers are held whole before they are passed back.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import uvicorn
from typing_extensions import Self

from qianfan.emulator import Emulator
from qianfan.emulator.uvicorn_parts import BreakableProtocol, SignallingServer

T = TypeVar("T")

_CLOSE_HARD = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_JSON = {"Content-Type": "application/json"}
_TICK = 0.005
"""Seconds between looks at an event that another thread sets."""


@dataclass(frozen=True)
class Message:
    """A request or an answer. headers: by lower-case name; body: without the frames of chunks; raw: as it came."""

    first_line: str
    headers: Mapping[str, str]
    body: bytes
    raw: bytes

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.first_line.split()[1])


class Exchange:
    """One request of a client, for an accident to deal with. Nothing but the request line is read at first."""

    def __init__(
        self, proxy: FaultProxy, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.proxy = proxy
        self.method, self.target, _ = line.decode("latin-1").split()
        self.call = call_of(self.target)
        self._line, self._reader, self._writer = line, reader, writer
        self._request: Message | None = None

    async def receive(self) -> Message:
        """The whole request."""
        if self._request is None:
            self._request = await _read_message(self._reader, self._line)
            self.proxy.seen.append(self.call)
        return self._request

    async def forward(self) -> Message:
        """Let the request take effect. Raises OSError or EOFError when upstream does not answer."""
        request = await self.receive()
        self.proxy.passed_on.append(self.call)
        reader, writer = await asyncio.open_connection(*self.proxy.upstream)
        try:
            writer.write(request.raw)
            line = await reader.readuntil(b"\n")
            bodiless = self.method == "HEAD" or line.split()[1] in (b"204", b"304")
            return await _read_message(reader, line, has_body=not bodiless)
        finally:
            writer.close()

    async def send(self, raw: bytes) -> None:
        """Send a part of an answer. Raises OSError when the client has left."""
        await self.receive()
        self._writer.write(raw)
        await self._writer.drain()

    def close(self) -> None:
        """End the connection in order (FIN), after what was sent."""
        self._writer.close()

    def reset(self) -> None:
        """Break the connection (RST)."""
        _reset(self._writer)

    async def until_client_leaves(self) -> None:
        """Say nothing more."""
        while await self._reader.read(2**16):
            pass


Accident = Callable[[Exchange], Coroutine[Any, Any, None]]


# --- accidents -------------------------------------------------------------------------------------------------------


async def passed(exchange: Exchange) -> None:
    """No accident."""
    await exchange.send((await exchange.forward()).raw)


async def reset_before_read(exchange: Exchange) -> None:
    """A reset as soon as the request line is known; no effect."""
    exchange.reset()


async def reset_after_effect(exchange: Exchange) -> None:
    """A reset in place of the answer."""
    await exchange.forward()
    exchange.reset()


async def close_after_effect(exchange: Exchange) -> None:
    """An orderly end of the connection in place of the answer."""
    await exchange.forward()
    exchange.close()


async def short_body(exchange: Exchange) -> None:
    """The answer, said to be longer than it is, then the end of the connection."""
    answer = await exchange.forward()
    await exchange.send(answer_bytes(answer.status, answer.body, _JSON, length=len(answer.body) + 100))
    exchange.close()


async def html(exchange: Exchange) -> None:
    """A page in place of the answer."""
    await exchange.forward()
    await exchange.send(answer_bytes(200, b"<html><body>please log in</body></html>", {"Content-Type": "text/html"}))


async def invalid_json(exchange: Exchange) -> None:
    """The first half of the answer, as if it were the whole."""
    answer = await exchange.forward()
    await exchange.send(answer_bytes(answer.status, answer.body[: len(answer.body) // 2], _JSON))


async def without_id(exchange: Exchange) -> None:
    """The answer, its result rid of every id."""
    answer = await exchange.forward()
    content = json.loads(answer.body)
    fields = content["result"] if isinstance(content["result"], dict) else {}
    content["result"] = {name: value for name, value in fields.items() if not re.search("(?i)id(str)?$", name)}
    await exchange.send(answer_bytes(answer.status, json.dumps(content).encode(), _JSON))


async def twice(exchange: Exchange) -> None:
    """Two effects, and the answer of the second."""
    await exchange.forward()
    await passed(exchange)


def status(
    code: int,
    body: bytes | Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    effect: bool,
) -> Accident:
    """An answer of our own. body: by default an error in the platform's words; effect: whether to forward first."""
    content = body if body is not None else {"requestId": "of-the-proxy", "code": f"E{code}", "message": "an accident"}
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def accident(exchange: Exchange) -> None:
        if effect:
            await exchange.forward()
        await exchange.send(answer_bytes(code, raw, {**_JSON, **(headers or {})}))

    return accident


def slow_loris(first_bytes: int, every: float, *, effect: bool = True) -> Accident:
    """The answer byte by byte, then nothing until the client leaves.

    first_bytes: how many, never all of them; every: seconds between two.
    """

    async def accident(exchange: Exchange) -> None:
        raw = (await exchange.forward()).raw if effect else answer_bytes(200, b'{"result": null}', _JSON)
        for byte in raw[: min(first_bytes, len(raw) - 1)]:
            await exchange.send(bytes([byte]))
            await asyncio.sleep(every)
        await exchange.until_client_leaves()

    return accident


def huge(megabytes: int, *, stated: bool = True) -> Accident:
    """An answer of that size. stated: whether its head tells how long it will be."""
    head, tail, piece = b'{"requestId": "of-the-proxy", "result": "', b'"}', b"x" * 2**16
    padding = megabytes * 2**20 - len(head) - len(tail)
    pieces = [head, *[piece] * (padding // len(piece)), piece[: padding % len(piece)], tail]

    async def accident(exchange: Exchange) -> None:
        await exchange.forward()
        framing = {"Content-Length": str(megabytes * 2**20)} if stated else {"Transfer-Encoding": "chunked"}
        await exchange.send(_head(200, {**_JSON, **framing}))
        for part in pieces if stated else map(_chunk, [*pieces, b""]):
            await exchange.send(part)

    return accident


def late(seconds: float = 0.0, *, until: threading.Event | None = None) -> Accident:
    """A reset at once, and the effect only later: after that many seconds, or when the event is set.

    The status of the answer that nobody hears is added to `FaultProxy.late_answers`, 0 when there was none.
    """

    async def arrive(exchange: Exchange) -> None:
        await (asyncio.sleep(seconds) if until is None else _set(until))
        answered = 0
        with suppress(OSError, EOFError):
            answered = (await exchange.forward()).status
        exchange.proxy.late_answers.append(answered)

    async def accident(exchange: Exchange) -> None:
        await exchange.receive()
        exchange.proxy.begin(arrive(exchange))
        exchange.reset()

    return accident


def hold(until: threading.Event) -> Accident:
    """Keep the request until the event is set, then forward it and answer. `FaultProxy.holding` tells that it came."""

    async def accident(exchange: Exchange) -> None:
        await exchange.receive()
        exchange.proxy.holding.set()
        await _set(until)
        await passed(exchange)

    return accident


# --- the proxy -------------------------------------------------------------------------------------------------------


@dataclass
class _Order:
    call: str
    accident: Accident
    first: int
    end: float
    arrived: int = 0


class FaultProxy:
    """A proxy on 127.0.0.1, on a thread and an event loop of its own, for the length of a `with` block.

    seen: the calls whose whole request came, oldest first. passed_on: those given to upstream, each time counted.
    late_answers: the status of each answer that came too late for its client. holding: a request is being held.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.upstream = parts.hostname, parts.port
        self.seen: list[str] = []
        self.passed_on: list[str] = []
        self.late_answers: list[int] = []
        self.holding = threading.Event()
        self._orders: list[_Order] = []
        self._port = 0
        self._idle: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._leaving.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens, the same for the whole block."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def settings(self) -> dict[str, str]:
        """What sends a client through it, to be laid over `Emulator.settings`."""
        return dict.fromkeys(("BASE_URL", "CONSOLE_API_BASE_URL", "IAM_BASE_URL", "BOS_BASE_URL"), self.url)

    def script(self, call: str, accident: Accident, *, nth: int = 1, times: float = 1) -> None:
        """Let an accident happen to the nth request of a call from now on, and to those after it, `times` in all.

        times: math.inf for every one. Where several orders fit, the one given first holds; all of them count.
        """
        self._orders.append(_Order(call, accident, nth, nth + times))

    def count(self, call: str) -> int:
        """How many whole requests of a call came."""
        return self.seen.count(call)

    def forwarded(self, call: str) -> int:
        """How many requests of a call were passed on."""
        return self.passed_on.count(call)

    def refuse(self) -> None:
        """Refuse connections from now on; those without a request under way are closed."""
        self._in_loop(self._refuse())

    def accept(self) -> None:
        """Take connections again, on the same port."""
        self._in_loop(self._listen())

    def wait_until_quiet(self) -> None:
        """Wait until no request is under way, of a client that left neither, and nothing is late any more."""
        self._in_loop(_all_done(self._tasks))

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something that may outlive its connection. For accidents: called in the proxy's loop."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _main(self) -> None:
        self._loop, self._leaving = asyncio.get_running_loop(), asyncio.Event()
        await self._listen()
        self._ready.set()
        await self._leaving.wait()
        await self._refuse()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, reuse_address=True)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        self._server.close()
        for writer in self._idle:
            writer.transport.abort()
        # The sockets close in the loop's next round, and a client must not find one that looks open.
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                self._idle.add(writer)
                line = await reader.readline()
                self._idle.discard(writer)
                if not line.endswith(b"\n"):
                    return
                exchange = Exchange(self, line, reader, writer)
                await self.begin(self._accident_for(exchange.call)(exchange))
        except (OSError, EOFError):
            # One of the two sides has gone; the other one learns of it as it would from a network.
            _reset(writer)
        except asyncio.CancelledError:
            # Whatever the client did not take yet would keep the connection open.
            writer.transport.abort()
            raise
        finally:
            self._idle.discard(writer)
            writer.close()

    def _accident_for(self, call: str) -> Accident:
        due: list[Accident] = []
        for order in self._orders:
            if order.call == call:
                order.arrived += 1
                due += [order.accident] if order.first <= order.arrived < order.end else []
        return due[0] if due else passed


@contextmanager
def serving(emulator: Emulator) -> Generator[str]:
    """Serve an emulator of this process on a thread, and give its address."""
    started = threading.Event()
    config = uvicorn.Config(emulator.app, http=BreakableProtocol, ws="none", lifespan="off", log_config=None)
    config.timeout_graceful_shutdown = 1
    server = SignallingServer(config)
    server.on_start = started.set
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="served-emulator", daemon=True)
        thread.start()
        started.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


# --- HTTP ------------------------------------------------------------------------------------------------------------


def call_of(target: str) -> str:
    """The name of a call, from the target in its request line."""
    parts = urlsplit(target)
    return parse_qs(parts.query).get("Action", [unquote(parts.path.rstrip("/").rpartition("/")[2])])[0]


def answer_bytes(code: int, body: bytes, headers: Mapping[str, str], *, length: int | None = None) -> bytes:
    """An answer as bytes. length: what to state in place of the body's."""
    return _head(code, {"Content-Length": str(len(body) if length is None else length), **headers}) + body


def _head(code: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {code} Of-The-Proxy", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def _read_message(reader: asyncio.StreamReader, first_line: bytes, *, has_body: bool = True) -> Message:
    lines = [first_line]
    while lines[-1].strip():
        lines.append(await reader.readuntil(b"\n"))
    pairs = (line.decode("latin-1").partition(":") for line in lines[1:-1])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = framed = b""
    if has_body and "chunked" in headers.get("transfer-encoding", "").lower():
        body, framed = await _read_chunks(reader)
    elif has_body:
        body = framed = await reader.readexactly(int(headers.get("content-length", 0)))
    return Message(first_line.decode("latin-1").strip(), headers, body, b"".join(lines) + framed)


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    body, framed = bytearray(), bytearray()
    size = -1
    while size:
        framed += (line := await reader.readuntil(b"\n"))
        size = int(line.partition(b";")[0], 16)
        framed += (data := await reader.readexactly(size))
        body += data
        framed += (end := await reader.readuntil(b"\n"))
        # After the last chunk there may be trailers, and an empty line.
        while not size and end.strip():
            framed += (end := await reader.readuntil(b"\n"))
    return bytes(body), bytes(framed)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_HARD)
    writer.transport.abort()


async def _set(event: threading.Event) -> None:
    while not event.is_set():  # noqa: ASYNC110  it is an event of threads, which no event loop can wait for
        await asyncio.sleep(_TICK)


async def _all_done(tasks: set[asyncio.Task[None]]) -> None:
    while tasks:
        await asyncio.wait(tasks.copy())

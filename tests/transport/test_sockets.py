"""What only shows on a real connection: streaming, broken connections, what is left open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.abc
import pytest

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Outcome, outcome_of
from qianfan._transport.client import Client
from qianfan._transport.wire import Call, Family, Safety
from qianfan.config import Settings
from qianfan.errors import (
    APIError,
    ConnectionFailedError,
    InvalidArgumentError,
    RequestError,
    StreamInterruptedError,
)

from .platform import ManualClock, Steady, listening, plain, read_head, read_request

pytestmark = pytest.mark.anyio

READ = Call("DescribeJob", Family.CONSOLE_V2, Safety.READ, "/v2/finetuning", "DescribeJob")
PURCHASE = Call("CreateJob", Family.CONSOLE_V2, Safety.PURCHASE, "/v2/finetuning", "CreateJob")
CHAT = Call("chat", Family.INFERENCE_V1, Safety.READ, "/chat")
FINE = plain(b'{"requestId": "r", "result": "fine"}')
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def client_of(address: str, **settings: Any) -> Client:
    everything = {
        "access_key": "akexample",
        "secret_key": "skexample",
        "base_url": address,
        "console_api_base_url": address,
        "bos_base_url": address,
    }
    return Client(Settings(**{**everything, **settings}), clock=ManualClock(), rng=Steady(), tokens=TokenStore())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# --- uploads and downloads -----------------------------------------------------------------------------------


async def test_an_upload_streams_with_its_length_and_stays_out_of_memory() -> None:
    piece, count = b"x" * 256 * 1024, 256
    seen: dict[str, Any] = {}

    async def store(stream: anyio.abc.SocketStream) -> None:
        headers, body = await read_head(stream)
        got, wanted = len(body), int(headers["content-length"])
        while got < wanted:
            got += len(await stream.receive())
        seen.update(headers, got=got)
        await stream.send(plain(b""))

    async def content() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield piece

    async with listening(store) as address, client_of(address) as client:
        tracemalloc.start()
        try:
            await client.put_object("bucket", "big.jsonl", content, size=len(piece) * count)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert seen["got"] == len(piece) * count
    assert "transfer-encoding" not in seen
    assert seen["authorization"].split("/")[4] == "content-length;content-type;host;x-bce-date"
    assert peak < 16 * 1024 * 1024, "64 MiB went through"


async def test_an_upload_refused_half_way_gives_the_servers_reason() -> None:
    begun = ended = 0

    async def refuse(stream: anyio.abc.SocketStream) -> None:
        await read_head(stream)
        await stream.send(plain(b'{"code": "AccountOverdue", "message": "m", "requestId": "b"}', "403 Forbidden"))
        await stream.send_eof()
        while True:  # takes what comes, so that the answer is not lost to a reset connection
            await stream.receive()

    async def content() -> AsyncIterator[bytes]:
        nonlocal begun, ended
        begun += 1
        try:
            for _ in range(64):
                yield b"x" * 64 * 1024
        finally:
            ended += 1

    async with listening(refuse) as address, client_of(address) as client:
        with pytest.raises(APIError, match="AccountOverdue"):
            await client.put_object("bucket", "key", content, size=64 * 64 * 1024)
    assert begun == ended == 1


async def test_an_upload_broken_half_way_begins_again_from_the_start() -> None:
    begun = ended = connections = 0

    async def store(stream: anyio.abc.SocketStream) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await read_head(stream)
            return
        await read_request(stream)
        await stream.send(plain(b""))

    async def content() -> AsyncIterator[bytes]:
        nonlocal begun, ended
        begun += 1
        try:
            for _ in range(64):
                yield b"x" * 64 * 1024
        finally:
            ended += 1

    async with listening(store) as address, client_of(address) as client:
        await client.put_object("bucket", "key", content, size=64 * 64 * 1024)
    assert begun == ended == connections == 2


@pytest.mark.parametrize("size", [3, 30])
async def test_content_of_another_size_than_announced(size: int) -> None:
    async def store(stream: anyio.abc.SocketStream) -> None:
        await read_request(stream)
        await stream.send(plain(b""))

    async def content() -> AsyncIterator[bytes]:
        yield b"0123456789"

    async with listening(store) as address, client_of(address) as client:
        with pytest.raises(InvalidArgumentError, match="size"):
            await client.put_object("bucket", "key", content, size=size)


async def test_a_download_cut_short_is_an_error() -> None:
    async def cut(stream: anyio.abc.SocketStream) -> None:
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    got = b""
    async with listening(cut) as address, client_of(address) as client:
        with pytest.raises(RequestError, match="connection broke"):
            async with client.get_object("bucket", "key") as download:
                assert download.size == 100
                async for piece in download:
                    got += piece
    assert got == b"only this"


async def test_a_download_can_be_left_early() -> None:
    left = anyio.Event()

    async def endless(stream: anyio.abc.SocketStream) -> None:
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await stream.send(chunk(b"x" * 65536))
        except anyio.BrokenResourceError:
            left.set()
            raise

    async with listening(endless) as address, client_of(address) as client:
        async with client.download(f"{address}/file") as download:
            assert await anext(aiter(download))
        await left.wait()


# --- streams -------------------------------------------------------------------------------------------------


async def test_answers_arrive_while_the_server_is_still_speaking() -> None:
    heard = anyio.Event()

    async def speak(stream: anyio.abc.SocketStream) -> None:
        await read_request(stream)
        await stream.send(STREAM_HEAD + chunk(b'data: {"result": "a"}\n\n'))
        await heard.wait()
        await stream.send(chunk(b'data: {"result": "b", "is_end": true}\n\n') + b"0\r\n\r\n")

    got = []
    async with listening(speak) as address, client_of(address) as client, client.stream(CHAT) as answers:
        async for answer in answers:
            got.append(answer["result"])
            heard.set()
    assert got == ["a", "b"]


@pytest.mark.parametrize("ending", [b"", b"0\r\n\r\n", chunk(b'data: {"resu')])
async def test_a_stream_that_breaks_off(ending: bytes) -> None:
    """Whether the connection is cut, closed politely, or cut inside an event."""

    async def break_off(stream: anyio.abc.SocketStream) -> None:
        await read_request(stream)
        await stream.send(STREAM_HEAD + chunk(b'data: {"result": "a"}\n\n') + ending)

    got = []
    async with listening(break_off) as address, client_of(address) as client:
        with pytest.raises(StreamInterruptedError, match="end mark"):
            async with client.stream(CHAT) as answers:
                async for answer in answers:
                    got.append(answer["result"])
    assert got == ["a"]
    assert client.requests_sent == 1


async def test_a_stream_can_be_left_early_or_cancelled() -> None:
    left = 0

    async def endless(stream: anyio.abc.SocketStream) -> None:
        nonlocal left
        await read_request(stream)
        await stream.send(STREAM_HEAD)
        try:
            while True:
                await stream.send(chunk(b'data: {"result": "a"}\n\n'))
        except anyio.BrokenResourceError:
            left += 1
            raise

    async with listening(endless) as address, client_of(address) as client:
        async with client.stream(CHAT) as answers:
            assert await anext(aiter(answers))
        with anyio.CancelScope() as scope:
            async with client.stream(CHAT) as answers:
                async for _ in answers:
                    scope.cancel()
        while left < 2:
            await anyio.lowlevel.checkpoint()


# --- connections ---------------------------------------------------------------------------------------------


async def test_reads_share_a_connection_and_purchases_have_their_own() -> None:
    requests: list[int] = []

    async def answer(stream: anyio.abc.SocketStream) -> None:
        mine = len({*requests})
        while True:
            await read_request(stream)
            requests.append(mine)
            await stream.send(FINE)

    async with listening(answer) as address, client_of(address) as client:
        for call in (READ, READ, PURCHASE, PURCHASE, READ):
            await client.call(call)
    assert requests == [0, 0, 1, 2, 0]


async def test_a_kept_connection_that_the_server_closes_is_no_trouble_for_a_read() -> None:
    connections = 0

    async def answer_once(stream: anyio.abc.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await read_request(stream)
        await stream.send(FINE)
        await read_request(stream)  # and then closes, without an answer

    async with listening(answer_once) as address, client_of(address) as client:
        for _ in range(3):
            assert (await client.call(READ)).result == "fine"
    assert connections == 3


async def test_a_purchase_whose_connection_is_closed_may_have_happened() -> None:
    received = 0

    async def take_and_close(stream: anyio.abc.SocketStream) -> None:
        nonlocal received
        await read_request(stream)
        received += 1

    async with listening(take_and_close) as address, client_of(address) as client:
        with pytest.raises(RequestError) as caught:
            await client.call(PURCHASE)
    assert received == 1
    assert caught.value.sent
    assert outcome_of(caught.value) is Outcome.UNKNOWN


async def test_a_purchase_that_nobody_listens_to_did_not_happen() -> None:
    async def nobody(stream: anyio.abc.SocketStream) -> None:
        raise AssertionError("not reached")

    async with listening(nobody) as address:
        pass
    async with client_of(address) as client:
        with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1") as caught:
            await client.call(PURCHASE)
    assert client.requests_sent == 1
    assert outcome_of(caught.value) is Outcome.UNSENT


async def test_a_proxys_refusal_proves_that_nothing_was_sent() -> None:
    asked: list[str] = []

    async def refuse(stream: anyio.abc.SocketStream) -> None:
        headers, _ = await read_head(stream)
        asked.append(headers[""])
        await stream.send(plain(b"", "407 Proxy Authentication Required"))

    async with listening(refuse) as proxy, client_of("https://qianfan.example", proxy=proxy) as client:
        with pytest.raises(ConnectionFailedError, match="407") as caught:
            await client.call(PURCHASE)
    assert asked == ["CONNECT qianfan.example:443 HTTP/1.1"]
    assert outcome_of(caught.value) is Outcome.UNSENT


async def test_a_proxy_that_breaks_off_proves_nothing() -> None:
    async def close(stream: anyio.abc.SocketStream) -> None:
        await read_head(stream)

    async with listening(close) as proxy, client_of("https://qianfan.example", proxy=proxy) as client:
        with pytest.raises(RequestError) as caught:
            await client.call(PURCHASE)
    assert client.requests_sent == 1
    assert outcome_of(caught.value) is Outcome.UNKNOWN


BUYER = """
import sys, anyio
from qianfan._transport import Call, Client, Family, Safety
from qianfan.config import Settings

call = Call("CreateJob", Family.CONSOLE_V2, Safety.PURCHASE, "/v2/finetuning", "CreateFineTuningJob", creates="job")

async def main():
    async with Client(Settings(access_key="a", secret_key="s", console_api_base_url=sys.argv[1])) as client:
        print((await client.call(call, {"name": "x" * 1000})).result)

anyio.run(main)
"""


@pytest.mark.parametrize(
    ("faults", "code", "share"),
    [("job.sending:1:exit", 137, 0.5), ("job.sending:2:exit", 0, 1), ("task.sending:1:exit", 0, 1), ("", 0, 1)],
)
async def test_a_process_can_die_with_half_a_purchase_written(faults: str, code: int, share: float) -> None:
    arrived = bytearray()
    announced = 0

    async def answer(stream: anyio.abc.SocketStream) -> None:
        nonlocal announced
        headers, body = await read_head(stream)
        announced = int(headers["content-length"])
        assert "transfer-encoding" not in headers
        arrived.extend(body)
        while len(arrived) < announced:
            arrived.extend(await stream.receive())
        await stream.send(FINE)

    async with listening(answer) as address:
        done = await anyio.run_process(
            [sys.executable, "-W", "error", "-c", BUYER, address],
            env={**os.environ, "QIANFAN_FAULTS": faults},
            check=False,
        )
        assert (done.returncode, done.stderr.decode()) == (code, "")
        await anyio.wait_all_tasks_blocked()
    assert len(arrived) == int(announced * share)
    if share == 1:
        assert json.loads(arrived) == {"name": "x" * 1000}


async def test_a_call_can_be_cancelled_and_the_client_goes_on() -> None:
    silent = True

    async def answer(stream: anyio.abc.SocketStream) -> None:
        await read_request(stream)
        if silent:
            scope.cancel()
            await anyio.sleep_forever()
        await stream.send(FINE)

    async with listening(answer) as address, client_of(address, max_requests_in_flight=1) as client:
        with anyio.CancelScope() as scope:
            await client.call(READ)
        assert scope.cancelled_caught
        silent = False
        assert (await client.call(READ)).result == "fine"


async def test_one_client_serves_several_event_loops_at_once() -> None:
    async def answer(stream: anyio.abc.SocketStream) -> None:
        while True:
            await read_request(stream)
            await stream.send(FINE)

    async def work(client: Client, got: list[Any]) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(client.call, READ)
        got.append((await client.call(READ)).result)
        await client.aclose()

    def run(client: Client, got: list[Any], backend: str) -> None:
        anyio.run(work, client, got, backend=backend)

    got: list[Any] = []
    async with listening(answer) as address:
        client = client_of(address)
        threads = [threading.Thread(target=run, args=(client, got, name)) for name in ("asyncio", "trio") * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join)
    assert got == ["fine"] * 4
    assert client.requests_sent == 44


FORGETFUL = """
import sys, anyio
from qianfan._transport.client import Client, default_client
from qianfan._transport.wire import Call, Family, Safety
from qianfan.config import Settings

address, backend = sys.argv[1:]
call = Call("DescribeJob", Family.CONSOLE_V2, Safety.READ, "/v2/finetuning", "DescribeJob")

async def main():
    client = Client(Settings(access_key="a", secret_key="s", console_api_base_url=address))
    await client.call(call)
    await client.call(call)
    del client
    for _ in range(3):
        await anyio.lowlevel.checkpoint()

for _ in range(2):
    anyio.run(main, backend=backend)
print("done")
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_client_that_nobody_closed_is_closed_with_its_event_loop(backend: str) -> None:
    """Nothing is left for the garbage collector to warn about."""

    async def answer(stream: anyio.abc.SocketStream) -> None:
        while True:
            await read_request(stream)
            await stream.send(FINE)

    async with listening(answer) as address:
        done = await anyio.run_process([sys.executable, "-W", "error", "-c", FORGETFUL, address, backend], check=False)
    assert (done.stdout.decode().strip(), done.stderr.decode()) == ("done", "")


def test_making_a_client_opens_nothing() -> None:
    code = """
import socket, threading, ssl
def refuse(*args, **kwargs): raise AssertionError("opened something")
socket.socket.connect = threading.Thread.start = ssl.create_default_context = refuse
from qianfan._transport.client import Client, default_client
Client(); default_client()
"""
    subprocess.run([sys.executable, "-c", code], check=True)

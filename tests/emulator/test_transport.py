"""The in-process way: bodies stream, connections break, many loops share one emulator."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from qianfan.emulator import Emulator
from qianfan.emulator.account import Account
from qianfan.emulator.wire import Answer
from tests.emulator.making import deployed, new_job
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio


async def test_an_answer_comes_into_being_as_it_is_read(console: Console) -> None:
    """Nothing is produced ahead of the reader: each piece waits for its turn."""
    produced: list[int] = []

    async def numbers() -> AsyncIterator[bytes]:
        for number in range(3):
            produced.append(number)
            yield b"%d" % number

    async def handle(request: Any) -> Answer:
        return Answer(200, {}, numbers())

    platform = console.emulator.transport()._platform
    platform.handle = handle  # type: ignore[method-assign]
    async with console.http.stream("GET", "/anything") as response:
        seen = []
        async for piece in response.aiter_raw():
            seen.append((piece, list(produced)))
    assert seen == [(b"0", [0]), (b"1", [0, 1]), (b"2", [0, 1, 2])]


async def test_a_request_is_taken_in_as_it_is_sent(emulator: Emulator) -> None:
    """The handler asks for the pieces; a sender that stops half-way leaves no object behind."""
    pieces = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal pieces
        for _ in range(3):
            pieces += 1
            yield b"x" * 10
        raise OSError("the file went away")

    async with Console(emulator) as console:
        with pytest.raises(OSError, match="went away"):
            await console.put("my-bucket", "k", body(), **{"content-length": "100"})
    assert pieces == 3
    assert "my-bucket" not in emulator.buckets


async def test_leaving_a_stream_early_ends_its_generator(console: Console) -> None:
    closed = anyio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"again"
        finally:
            closed.set()

    async def handle(request: Any) -> Answer:
        return Answer(200, {}, endless())

    console.emulator.transport()._platform.handle = handle  # type: ignore[method-assign]
    transport = console.emulator.transport()
    response = await transport.handle_async_request(httpx.Request("GET", console.emulator.base_url))
    assert isinstance(response.stream, httpx.AsyncByteStream)
    assert await anext(aiter(response.stream)) == b"again"
    await response.aclose()
    assert closed.is_set()


async def test_cancelling_a_call(console: Console) -> None:
    """A call that hangs can be cancelled; the emulator goes on serving."""
    console.emulator.faults.add("CreateFineTuningJob", delay=3600)
    with anyio.move_on_after(0.01) as scope:
        await new_job(console)
    assert scope.cancelled_caught
    assert await new_job(console)


def test_many_loops_at_once(emulator: Emulator) -> None:
    """Asyncio and trio in several threads; nothing is lost and no id is given twice."""
    per_thread, threads = 25, 6
    problems: list[BaseException] = []

    async def work(place: int) -> None:
        async with Console(emulator) as console:
            for number in range(per_thread):
                await new_job(console, f"job_{place}_{number}")
                await console.put("my-bucket", f"{place}/{number}", b"x")

    def run(place: int) -> None:
        try:
            anyio.run(work, place, backend=("asyncio", "trio")[place % 2])
        except BaseException as problem:
            problems.append(problem)

    workers = [threading.Thread(target=run, args=(place,)) for place in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not problems
    assert len(emulator.jobs) == emulator.count("CreateFineTuningJob") == per_thread * threads
    assert len({job.number for job in emulator.jobs.values()}) == per_thread * threads
    assert len(emulator.buckets["my-bucket"]) == per_thread * threads


def test_the_lock_is_free_while_a_stream_is_read(emulator: Emulator) -> None:
    """A slow reader of a stream keeps nobody from working."""
    account: Account = emulator._account

    async def main() -> None:
        async with Console(emulator) as console:
            service = await deployed(console)
            url = service["url"].removeprefix(emulator.base_url)
            body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
            request = console.http.build_request("POST", url, json=body)
            response = await console.http.send(request, stream=True, auth=console.auth)
            taken = await anyio.to_thread.run_sync(lambda: account.lock.acquire(timeout=1))
            assert taken
            await response.aclose()

    anyio.run(main)


async def test_what_the_emulator_does_not_know(console: Console) -> None:
    status, code, message = await console.v2_refused("finetuning", "FlyToTheMoon")
    assert (status, code) == (400, "InvalidURI")
    assert "FlyToTheMoon" in message
    assert (await console.v2_refused("promptTemplates", "DescribePrompts"))[1] == "InvalidURI"
    assert (await console.v1_refused("eval/create"))[0] == 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "MalformedJSON"),
        ("[" * 100_000, "MalformedJSON"),
        ('{"name": "half a character: \\ud800"}', "MalformedJSON"),
        ('{"name": NaN}', "MalformedJSON"),
        ('{"name": 1e999}', "MalformedJSON"),
        ("[]", "InappropriateJSON"),
        ('"text"', "InappropriateJSON"),
    ],
    ids=["cut", "deep", "half", "nan", "infinite", "list", "text"],
)
async def test_bodies_that_are_no_objects(console: Console, content: str, code: str) -> None:
    headers = {"content-type": "application/json"}
    url = "/v2/finetuning?Action=DescribeFineTuningJobs"
    response = await console.http.post(url, content=content, headers=headers, auth=console.auth)
    assert (response.status_code, response.json()["code"]) == (400, code)
    v1 = await console.http.post("/wenxinworkshop/finetune/createTask", content=content, auth=console.auth)
    assert (v1.status_code, v1.json()["error_code"]) == (200, 500001)


async def test_an_absent_body_is_an_empty_one(console: Console) -> None:
    response = await console.http.post("/v2/finetuning?Action=DescribeFineTuningJobs", auth=console.auth)
    assert response.json()["result"]["jobList"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v2/finetuning?Action=DescribeFineTuningJobs", 403), ("/wenxinworkshop/dataset/info", 403)],
)
async def test_unsigned_console_calls(console: Console, path: str, status: int) -> None:
    response = await console.http.post(path, json={})
    assert response.status_code == status
    assert response.headers["x-bce-error-code"] == response.json()["code"] == "AccessDenied"
    assert response.headers["x-bce-error-message"]


async def test_wrong_keys(console: Console) -> None:
    settings = console.emulator.settings
    stranger, forger = Console(console.emulator, console.http), Console(console.emulator, console.http)
    stranger.auth._keys = ("unknown", "x")
    forger.auth._keys = (settings["ACCESS_KEY"], "x")
    unknown = await stranger.post("/wenxinworkshop/dataset/info", {})
    assert unknown.headers["x-bce-error-message"] == "NotFound, cause: Could not find credential."
    wrong = await forger.post("/wenxinworkshop/dataset/info", {})
    assert wrong.headers["x-bce-error-message"].startswith("SignatureDoesNotMatch, cause:")
    assert (unknown.status_code, wrong.status_code) == (403, 403)


async def test_a_slip_in_a_handler_is_the_servers_error(console: Console, caplog: Any) -> None:
    """Not reachable by any call known today, so a record is damaged to reach it."""
    console.emulator._account.groups.clear()
    code, message = await console.v1_refused("dataset/info", datasetId=111)
    assert (code, "emulator" in message) == ("InvalidParam", True)
    assert "failed inside the emulator" in caplog.text


async def test_httpx_errors_of_broken_connections(console: Console) -> None:
    console.emulator.faults.add("DescribeFineTuningJobs", drop="before")
    console.emulator.faults.add("DescribeFineTuningJobs", drop="during", nth=2)
    url = "/v2/finetuning?Action=DescribeFineTuningJobs"
    with pytest.raises(httpx.ReadError):
        await console.http.post(url, auth=console.auth)
    with pytest.raises(httpx.RemoteProtocolError):
        await console.http.post(url, auth=console.auth)
    assert (await console.http.post(url, auth=console.auth)).status_code == 200

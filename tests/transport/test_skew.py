"""A clock that is off: the platform refuses the signature, tells its time, and the call goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import anyio
import httpx
import pytest

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Call, Client, Family, Safety
from qianfan.config import default_settings
from qianfan.emulator import Emulator
from qianfan.errors import APIError, AuthError
from qianfan.resources import Platform

from .platform import NOON, ManualClock, Script, client_for, ok

READ = Call("DescribeFineTuningJobs", Family.CONSOLE_V2, Safety.READ, "/v2/finetuning", "DescribeFineTuningJobs")
CHAT_V1 = Call("chat", Family.INFERENCE_V1, Safety.READ, "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/ernie_speed")
CHAT_V2 = Call("chat", Family.INFERENCE_V2, Safety.READ, "/v2/chat/completions")
HOUR = timedelta(hours=1)
BUCKET = "my-bucket"

pytestmark = pytest.mark.anyio
either_way = pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])


class WallClock(ManualClock):
    """Off by as much as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.off = timedelta(0)

    def wall(self) -> datetime:
        return super().wall() + self.off


class Dated(httpx.AsyncBaseTransport):
    """Answers carry the platform's time, as those of every HTTP server do. Counts the requests."""

    def __init__(self, inner: httpx.AsyncBaseTransport, clock: ManualClock) -> None:
        self._inner = inner
        self._clock = clock
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        response = await self._inner.handle_async_request(request)
        response.headers["date"] = format_datetime(self._clock.wall(), usegmt=True)
        return response


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(clock=ManualClock(), engine="scripted") as emulator:
        yield emulator


@pytest.fixture
def network(emulator: Emulator) -> Dated:
    return Dated(emulator.transport(), ManualClock())


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def client(emulator: Emulator, network: Dated, clock: WallClock) -> Client:
    return client_with(network, clock)


def client_with(network: Dated, clock: WallClock, **changes: object) -> Client:
    settings = default_settings().replace(ak=None, sk=None, console_api_retry_count=1, **changes)
    return Client(settings, clock=clock, transport=network, tokens=TokenStore())


async def chat(client: Client, call: Call) -> Any:
    body = {"model": "ernie-speed-8k", "messages": [{"role": "user", "content": "hello"}]}
    return (await client.call(call, body)).body


async def stream(client: Client) -> int:
    body = {"messages": [{"role": "user", "content": "hello"}], "stream": True}
    async with client.stream(CHAT_V1, body) as answers:
        return len([answer async for answer in answers])


async def upload(client: Client) -> Any:
    async def content() -> Any:
        yield b"hel"
        yield b"lo"

    bucket = client.settings.bos_bucket
    assert bucket is not None
    await client.put_object(bucket, "a.txt", content, size=5)
    async with client.get_object(bucket, "a.txt") as download:
        assert await download.read() == b"hello"
    return await client.head_object(bucket, "a.txt")


async def console(client: Client) -> Any:
    return await client.call(READ, {})


@either_way
@pytest.mark.parametrize(
    ("ask", "requests"),
    [
        (console, 1),
        (lambda client: chat(client, CHAT_V1), 1),
        (lambda client: chat(client, CHAT_V2), 2),
        (stream, 1),
        (upload, 3),
    ],
    ids=["console", "inference", "token", "stream", "objects"],
)
async def test_a_wrong_clock_costs_one_request(
    client: Client, network: Dated, clock: WallClock, off: timedelta, ask: Any, requests: int
) -> None:
    clock.off = off
    assert await ask(client)
    assert network.requests == requests + 1
    await console(client)
    assert network.requests == requests + 2, "what was learnt is kept"


@either_way
async def test_a_purchase_that_was_refused_is_signed_again(
    emulator: Emulator, client: Client, network: Dated, clock: WallClock, off: timedelta
) -> None:
    clock.off = off
    await Platform(client).finetune.create_job(name="my_job", model="ERNIE-Speed-8K", train_mode="SFT")
    assert network.requests == 2
    assert len(emulator.jobs) == 1


async def test_the_clock_is_set_while_a_client_lives(
    client: Client, network: Dated, clock: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    for off, requests in [(HOUR, 2), (HOUR, 1), (timedelta(0), 2), (-20 * HOUR, 2), (-20 * HOUR, 1)]:
        clock.off, before = off, network.requests
        await console(client)
        assert network.requests - before == requests
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [
        "This machine's clock is 3600 seconds ahead of the server's; signing with the platform's time",
        "This machine's clock is right again; signing with the platform's time",
        "This machine's clock is 72000 seconds behind the server's; signing with the platform's time",
    ]


async def test_many_calls_find_out_at_once(client: Client, network: Dated, clock: WallClock) -> None:
    clock.off = HOUR
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(console, client)
    assert network.requests <= 40


async def test_a_client_with_other_settings_knows_the_time_too(
    client: Client, network: Dated, clock: WallClock
) -> None:
    clock.off = HOUR
    await console(client)
    await console(client.with_settings(console_api_retry_count=2))
    assert network.requests == 3


async def test_a_link_is_signed_with_the_platforms_time(client: Client, clock: WallClock) -> None:
    await upload(client)
    clock.off = -HOUR
    await console(client)
    async with client.download(client.presigned_url(str(client.settings.bos_bucket), "a.txt", 60)) as download:
        assert await download.read() == b"hello"


@pytest.mark.parametrize(("off", "requests"), [(timedelta(0), 1), (HOUR, 2)])
async def test_wrong_keys_stay_wrong(network: Dated, clock: WallClock, off: timedelta, requests: int) -> None:
    clock.off = off
    with pytest.raises(AuthError, match="QIANFAN_SECRET_KEY"):
        await console(client_with(network, clock, secret_key="wrong"))
    assert network.requests == requests


def refusal(code: str = "RequestExpired", *, date: str | None, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": "m"}, headers={"date": date} if date else {})


def at(when: datetime) -> str:
    return format_datetime(when.astimezone(timezone.utc), usegmt=True)


@pytest.mark.parametrize(
    "answer",
    [
        refusal(date=None),
        refusal(date="yesterday"),
        refusal(date=at(NOON + timedelta(seconds=59))),
        refusal("AccessDenied", date=at(NOON + HOUR), status=403),
        refusal("InvalidAccessKeyId", date=at(NOON + HOUR), status=403),
    ],
    ids=["no date", "no time", "near", "no permission", "unknown key"],
)
async def test_what_has_another_reason_is_not_signed_again(answer: httpx.Response) -> None:
    script = Script(answer)
    async with client_for(script) as client:
        with pytest.raises(APIError):
            await console(client)
    assert len(script.requests) == 1


async def test_a_refusal_without_a_reason() -> None:
    """The answer to HEAD has no body."""
    script = Script(httpx.Response(403, headers={"date": at(NOON + HOUR)}), httpx.Response(200))
    async with client_for(script) as client:
        assert (await client.head_object(BUCKET, "key")).status == 200
    assert script.requests[1].headers["x-bce-date"] == "2024-05-01T13:00:00Z"


async def test_a_strangers_time_is_not_taken() -> None:
    script = Script(refusal(date=at(NOON + HOUR)), ok())
    async with client_for(script) as client:
        with pytest.raises(APIError):
            async with client.download("https://elsewhere.example/file"):
                raise AssertionError("not reached")
        await console(client)
    assert script.requests[1].headers["x-bce-date"] == "2024-05-01T12:00:00Z"

"""The fault proxy does what its orders say, told by a plain HTTP client and by what the emulator counted."""

from __future__ import annotations

import itertools
import json
import math
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from email.utils import formatdate
from typing import Any

import anyio.to_thread
import httpx
import pytest

from qianfan.emulator import Emulator
from tests.emulator.making import task_body
from tests.emulator.signing import SigningAuth
from tests.support.faultproxy import (
    Accident,
    FaultProxy,
    call_of,
    close_after_effect,
    hold,
    html,
    huge,
    invalid_json,
    late,
    reset_after_effect,
    reset_before_read,
    serving,
    short_body,
    slow_loris,
    status,
    twice,
    without_id,
)

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

CREATE = "CreateFineTuningJob"
TASK = "CreateFineTuningTask"
JOB = {"model": "ERNIE-Speed-8K", "trainMode": "SFT"}

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Emulator, str]]:
    with Emulator(activate=False, engine="scripted") as emulator, serving(emulator) as upstream:
        yield emulator, upstream


@pytest.fixture
def emulator(served: tuple[Emulator, str]) -> Emulator:
    served[0].reset()
    return served[0]


@pytest.fixture
def proxy(emulator: Emulator, served: tuple[Emulator, str]) -> Iterator[FaultProxy]:
    with FaultProxy(served[1]) as proxy:
        yield proxy


@pytest.fixture
async def http(emulator: Emulator, proxy: FaultProxy) -> AsyncIterator[httpx.AsyncClient]:
    """Signs what it sends, and the emulator checks it."""
    auth = SigningAuth(emulator.settings["ACCESS_KEY"], emulator.settings["SECRET_KEY"])
    async with httpx.AsyncClient(base_url=proxy.url, auth=auth, trust_env=False) as http:
        yield http


async def create(http: httpx.AsyncClient) -> httpx.Response:
    """Make a job with a name of its own."""
    return await http.post("/v2/finetuning", params={"Action": CREATE}, json={**JOB, "name": f"job_{next(numbers)}"})


# --- without an accident ---------------------------------------------------------------------------------------------


async def test_signed_requests_and_whole_answers_pass(
    http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator
) -> None:
    """One connection, several kinds of bodies: JSON, chunks, none at all, and an answer to HEAD."""

    async def pieces() -> AsyncIterator[bytes]:
        for text in ("{", "", '"datasetId": 111', "}"):
            yield text.encode()

    assert (await create(http)).json()["result"]["jobId"] in emulator.jobs
    chunked = await http.post("/wenxinworkshop/dataset/info", content=pieces())
    assert chunked.json()["success"] is True
    content = bytes(range(256)) * 1000
    assert (await http.put("/my-bucket/some%20name", content=content)).status_code == 200
    assert (await http.get("/my-bucket/some%20name")).content == content
    head = await http.head("/my-bucket/some%20name")
    assert (head.headers["content-length"], head.content) == (str(len(content)), b"")
    assert (await http.delete("/my-bucket/some%20name")).status_code == 204
    assert proxy.seen == proxy.passed_on == [CREATE, "info", *["some name"] * 4]
    assert (emulator.count(CREATE), emulator.count("dataset/info")) == (1, 1)


async def test_streams_pass(http: httpx.AsyncClient) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
    said = await http.post("/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb-instant", json=body)
    assert json.loads(said.text.strip().splitlines()[-1].removeprefix("data: "))["is_end"] is True


def test_calls_are_named_as_the_emulator_names_them() -> None:
    assert call_of("/v2/finetuning?Action=CreateFineTuningTask&x=1") == "CreateFineTuningTask"
    assert call_of("/wenxinworkshop/modelrepo/publishTrainModel") == "publishTrainModel"
    assert call_of("/bucket/a%20b/?uploads") == "a b"


def test_the_settings_send_every_family_through_it(proxy: FaultProxy, emulator: Emulator) -> None:
    changed = {name for name, value in emulator.settings.items() if value == emulator.base_url}
    assert proxy.settings == dict.fromkeys(changed, proxy.url)


# --- broken connections ----------------------------------------------------------------------------------------------


def test_a_reset_before_the_request_is_read(proxy: FaultProxy, emulator: Emulator) -> None:
    """With a blocking client: an asynchronous one leaves its body's generator behind when the reset comes early."""
    proxy.script(CREATE, reset_before_read)
    with httpx.Client(base_url=proxy.url, trust_env=False) as http:
        with pytest.raises(httpx.TransportError):
            http.post("/v2/finetuning", params={"Action": CREATE}, json=JOB)
        assert (proxy.count(CREATE), proxy.forwarded(CREATE), emulator.count(CREATE)) == (0, 0, 0)
        assert http.post("/v2/finetuning", params={"Action": CREATE}, json=JOB).status_code == 403
    assert (proxy.count(CREATE), proxy.forwarded(CREATE), emulator.count(CREATE)) == (1, 1, 1)


@pytest.mark.parametrize("accident", [reset_after_effect, close_after_effect])
async def test_no_answer_after_the_effect(
    http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator, accident: Accident
) -> None:
    proxy.script(CREATE, accident)
    expected = httpx.ReadError if accident is reset_after_effect else httpx.RemoteProtocolError
    with pytest.raises(expected):
        await create(http)
    assert (proxy.count(CREATE), proxy.forwarded(CREATE), emulator.count(CREATE)) == (1, 1, 1)
    assert len(emulator.jobs) == 1
    assert (await create(http)).status_code == 200


async def test_refused_connections(http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator) -> None:
    """Also for a client that had a connection."""
    assert (await create(http)).status_code == 200
    for _ in range(3):
        proxy.refuse()
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                await create(http)
        proxy.accept()
        assert (await create(http)).status_code == 200
    assert emulator.count(CREATE) == 4


async def test_an_upstream_that_breaks_off_or_is_gone(
    http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator
) -> None:
    emulator.faults.add(CREATE, drop="after")
    with pytest.raises(httpx.ReadError):
        await create(http)
    assert len(emulator.jobs) == 1
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with FaultProxy(f"http://127.0.0.1:{unused.getsockname()[1]}") as lonely:
            with pytest.raises(httpx.ReadError):
                await http.post(f"{lonely.url}/v2/finetuning?Action={CREATE}")
            assert (lonely.count(CREATE), lonely.forwarded(CREATE)) == (1, 1)


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("code", [500, 502, 504])
async def test_a_status_with_and_without_the_effect(
    http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator, code: int, effect: bool
) -> None:
    proxy.script(CREATE, status(code, effect=effect))
    answer = await create(http)
    assert (answer.status_code, answer.json()["code"]) == (code, f"E{code}")
    assert (proxy.count(CREATE), emulator.count(CREATE), len(emulator.jobs)) == (1, effect, effect)


@pytest.mark.parametrize("wait", ["3", formatdate(2_000_000_000, usegmt=True), None, "-99999999999999"])
async def test_too_many_requests(
    http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator, wait: str | None
) -> None:
    proxy.script(CREATE, status(429, b"slow down", {"Retry-After": wait} if wait else None, effect=False))
    answer = await create(http)
    assert (answer.status_code, answer.headers.get("retry-after"), answer.content) == (429, wait, b"slow down")
    assert emulator.count(CREATE) == 0


async def test_a_body_shorter_than_stated(http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator) -> None:
    proxy.script(CREATE, short_body)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await create(http)
    assert len(emulator.jobs) == 1


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("first_bytes", [5, 10**6])
async def test_a_slow_loris(
    http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator, effect: bool, first_bytes: int
) -> None:
    """Until the last byte but one every byte comes in time, and yet there is no answer."""
    proxy.script(CREATE, slow_loris(first_bytes, 0.0, effect=effect))
    http.timeout = httpx.Timeout(0.2)
    with pytest.raises(httpx.ReadTimeout):
        await create(http)
    assert (emulator.count(CREATE), len(emulator.jobs)) == (effect, effect)


async def test_answers_that_make_no_sense(http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator) -> None:
    for accident in (html, invalid_json, without_id):
        proxy.script(CREATE, accident)
        answer = await create(http)
        assert answer.status_code == 200
        if accident is without_id:
            assert answer.json()["requestId"]
            assert answer.json()["result"] == {}
        else:
            assert answer.headers["content-type"] == ("text/html" if accident is html else "application/json")
            with pytest.raises(ValueError):
                answer.json()
    assert len(emulator.jobs) == 3


@pytest.mark.parametrize("stated", [True, False])
async def test_a_huge_answer(http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator, stated: bool) -> None:
    """Whole for who takes it; who leaves early is not held."""
    proxy.script(CREATE, huge(3, stated=stated), times=2)
    answer = await create(http)
    assert (len(answer.content), "content-length" in answer.headers) == (3 * 2**20, stated)
    assert answer.json()["requestId"]
    job = {**JOB, "name": "left_early"}
    async with http.stream("POST", "/v2/finetuning", params={"Action": CREATE}, json=job) as response:
        assert response.status_code == 200
    assert (await create(http)).status_code == 200
    assert len(emulator.jobs) == 3


# --- effects ---------------------------------------------------------------------------------------------------------


async def test_two_effects(http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator) -> None:
    job = (await create(http)).json()["result"]["jobId"]
    proxy.script(TASK, twice)
    made = await http.post("/v2/finetuning", params={"Action": TASK}, json=task_body(job))
    assert list(emulator.tasks)[-1] == made.json()["result"]["taskId"]
    assert (proxy.count(TASK), proxy.forwarded(TASK), emulator.count(TASK), len(emulator.tasks)) == (1, 2, 2, 2)


async def test_a_late_effect(http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator) -> None:
    """On an event, and after a time; what the platform said in the end is known."""
    now = threading.Event()
    proxy.script(CREATE, late(until=now))
    with pytest.raises(httpx.ReadError):
        await create(http)
    assert (proxy.count(CREATE), proxy.forwarded(CREATE), emulator.count(CREATE)) == (1, 0, 0)
    emulator.faults.add(CREATE, status=503)
    now.set()
    await anyio.to_thread.run_sync(proxy.wait_until_quiet)
    assert (proxy.late_answers, proxy.forwarded(CREATE), emulator.count(CREATE)) == ([503], 1, 1)
    proxy.script(CREATE, late(0.01))
    with pytest.raises(httpx.ReadError):
        await create(http)
    await anyio.to_thread.run_sync(proxy.wait_until_quiet)
    emulator.faults.add(CREATE, drop="before")
    proxy.script(CREATE, late())
    with pytest.raises(httpx.ReadError):
        await create(http)
    await anyio.to_thread.run_sync(proxy.wait_until_quiet)
    assert (proxy.late_answers, len(emulator.jobs)) == ([503, 200, 0], 1)


async def test_a_request_that_is_held(http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator) -> None:
    go_on = threading.Event()
    proxy.script(CREATE, hold(go_on))
    answers: list[httpx.Response] = []

    async def ask() -> None:
        answers.append(await create(http))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.to_thread.run_sync(proxy.holding.wait)
        assert (answers, proxy.count(CREATE), emulator.count(CREATE)) == ([], 1, 0)
        go_on.set()
    assert answers[0].json()["result"]["jobId"] in emulator.jobs


async def test_a_held_request_takes_effect_without_its_client(
    http: httpx.AsyncClient, proxy: FaultProxy, emulator: Emulator
) -> None:
    go_on = threading.Event()
    proxy.script(CREATE, hold(go_on))
    http.timeout = httpx.Timeout(5, read=0.05)
    with pytest.raises(httpx.ReadTimeout):
        await create(http)
    assert emulator.count(CREATE) == 0
    go_on.set()
    await anyio.to_thread.run_sync(proxy.wait_until_quiet)
    assert (proxy.forwarded(CREATE), emulator.count(CREATE), len(emulator.jobs)) == (1, 1, 1)


def test_leaving_forgets_what_is_under_way(served: tuple[Emulator, str]) -> None:
    """A late request, an answer that its client does not take, and a connection without a request."""
    with ExitStack() as clients, FaultProxy(served[1]) as proxy:
        proxy.script("late", late(until=threading.Event()))
        proxy.script("huge", huge(20))
        with pytest.raises(httpx.ReadError):
            httpx.post(f"{proxy.url}/late", trust_env=False)
        address = "127.0.0.1", int(proxy.url.rpartition(":")[2])
        lazy, _idle = (clients.enter_context(socket.create_connection(address)) for _ in range(2))
        lazy.sendall(b"GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert lazy.recv(4) == b"HTTP"
    assert (proxy.seen, proxy.passed_on, proxy.late_answers) == (["late", "huge"], ["huge"], [])


# --- orders ----------------------------------------------------------------------------------------------------------


async def test_orders_say_which_requests(http: httpx.AsyncClient, proxy: FaultProxy) -> None:
    """The nth from the order on, so many of them; the earlier order holds; other calls are left alone."""

    async def codes(count: int) -> list[Any]:
        return [(await create(http)).status_code for _ in range(count)]

    assert await codes(1) == [200]
    proxy.script(CREATE, status(501, effect=False), nth=2, times=2)
    proxy.script(CREATE, status(502, effect=False), nth=3, times=2)
    proxy.script(TASK, status(503, effect=False))
    assert await codes(6) == [200, 501, 501, 502, 200, 200]
    proxy.script(CREATE, status(504, effect=False), times=math.inf)
    assert await codes(3) == [504] * 3

"""Rows 6, 7, 10, 11 and 13: answers that are late, wrong, too large or doubled, and listings that lag or shift."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import httpx
import pytest

from qianfan.emulator import Emulator
from qianfan.errors import OutcomeUnknownError, RateLimitError, RequestError
from qianfan.journal import journal_at
from qianfan.resources import Platform
from qianfan.trainer.state import journal_path
from tests.faults.support import (
    CREATE,
    KINDS,
    LOOK,
    ONE_OF_EACH,
    EventfulClock,
    Heard,
    HeldClock,
    client_for,
    client_through,
    facts_of,
    made,
    new_trainer,
    orders,
    require_one_of_each,
    trained_by,
)
from tests.support.faultproxy import FaultProxy, huge
from tests.support.transport import Meddling, Passing, answering

pytestmark = pytest.mark.anyio

every_kind = pytest.mark.parametrize("kind", KINDS)

SETTLE = 120.0
"""Seconds for which an order is looked for, unless the settings say otherwise."""


# --- 6: server errors ------------------------------------------------------------------------------------------------


SERVER_ERRORS = pytest.mark.parametrize(
    ("kind", "code"), [("job", 502), ("task", 500), ("task", 502), ("task", 504), ("model", 500), ("service", 504)]
)


@SERVER_ERRORS
async def test_6_a_server_error_after_the_effect(
    code: int, kind: str, emulator: Emulator, clock: EventfulClock
) -> None:
    """In the platform's own words, which promise nothing either."""
    heard = Heard()
    error = {"requestId": "of-the-test", "code": "InternalError", "message": "something broke"}
    transport = Meddling(emulator.transport(), CREATE[kind], answering(code, error))
    trainer = await new_trainer(client_for(clock, transport), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert heard.of("adopted") == [{kind: trained_by(trainer)[kind]}]
    assert clock.monotonic() < SETTLE


@SERVER_ERRORS
async def test_6_a_server_error_in_place_of_the_effect(
    code: int, kind: str, emulator: Emulator, clock: EventfulClock
) -> None:
    heard = Heard()
    emulator.faults.add(CREATE[kind], status=code)
    trainer = await new_trainer(client_for(clock, submit_on_absent="resubmit"), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == {**ONE_OF_EACH, kind: 2}
    assert clock.monotonic() >= SETTLE
    assert heard.of("adopted") == []


async def test_6_a_code_of_a_server_error_under_status_200(emulator: Emulator, clock: EventfulClock) -> None:
    """V1 reports its own troubles that way."""
    heard = Heard()
    content = {"error_code": 500000, "error_msg": "internal", "log_id": "1"}
    transport = Meddling(emulator.transport(), CREATE["model"], answering(200, content))
    trainer = await new_trainer(client_for(clock, transport), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert len(heard.of("adopted")) == 1


# --- 7: too many requests --------------------------------------------------------------------------------------------

NOW = EventfulClock().wall()
LATEST = 300.0
"""Seconds; nobody waits longer for an answer's sake."""


def _date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("told", "waits"),
    [
        ("7", 7.0),
        (_date(40), 40.0),
        (None, None),
        ("soon", None),
        ("-5", None),
        (_date(-3600), None),
        ("99999999999999999999", LATEST),
        (_date(3600 * 24 * 365), LATEST),
    ],
    ids=["seconds", "date", "absent", "no number", "negative", "past", "absurd", "a date far off"],
)
async def test_7_waits_as_it_is_told(
    told: str | None, waits: float | None, emulator: Emulator, clock: EventfulClock
) -> None:
    """waits: seconds; None where its own backoff decides."""
    headers = {"date": _date(0), **({"retry-after": told} if told is not None else {})}
    emulator.faults.add(CREATE["task"], status=429, code="TooManyRequests", headers=headers)
    trainer = await new_trainer(client_for(clock)).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == {**ONE_OF_EACH, "task": 2}
    assert emulator.count(LOOK["task"]) == 0
    if waits is not None:
        assert max(clock.slept) == waits
    else:
        assert 0.8 <= max(clock.slept) <= 1.2


@every_kind
async def test_7_again_and_again(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """Refused at the door, nothing has happened, so nobody looks."""
    emulator.faults.add(CREATE[kind], times=4, status=429, code="TooManyRequests", headers={"retry-after": "60"})
    trainer = await new_trainer(client_for(clock)).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == {**ONE_OF_EACH, kind: 5}
    assert emulator.count(LOOK[kind]) == 0
    assert clock.slept.count(60.0) == 4


async def test_7_for_too_long(emulator: Emulator, clock: EventfulClock) -> None:
    """The run fails with the platform's own words after ten minutes; a later resume orders once."""
    fault = emulator.faults.add(CREATE["task"], times=None, status=429, code="TooManyRequests", message="slow down")
    trainer = new_trainer(client_for(clock))
    with pytest.raises(RateLimitError, match="slow down"):
        await trainer.arun()
    assert 600 <= clock.monotonic() < 1000
    assert (await facts_of(trainer))["run_status"] == "failed"
    emulator.faults.remove(fault)
    await trainer.aresume()
    require_one_of_each(emulator, trainer)


async def test_7_other_runs_keep_their_pace(emulator: Emulator) -> None:
    """While one waits for as long as the platform asked for, another one of the same client passes it."""
    clock = HeldClock(LATEST)
    client = client_for(clock)
    emulator.faults.add(CREATE["task"], status=429, code="TooManyRequests", headers={"retry-after": "900"})
    waiting, passing = new_trainer(client), new_trainer(client)
    async with anyio.create_task_group() as group:
        group.start_soon(waiting.arun)
        await clock.asleep.wait()
        await passing.arun()
        assert waiting.is_running
        assert passing.result[0]["service_id"] in emulator.services
        clock.let_go.set()
    assert made(emulator) == dict.fromkeys(KINDS, 2)
    assert orders(emulator) == {**dict.fromkeys(KINDS, 2), "task": 3}


# --- 10: answers that make no sense ----------------------------------------------------------------------------------


async def _without_id(request: httpx.Request, pass_on: Passing) -> httpx.Response:
    response = await pass_on(request)
    answer = json.loads(await response.aread())
    await response.aclose()
    answer["result"] = {}
    return httpx.Response(200, json=answer, request=request)


NONSENSE = {
    "html": answering(200, b"<html><body>please log in</body></html>"),
    "half": answering(200, b'{"requestId": "r", "result": {"jobI'),
    "empty": answering(200, b""),
    "no object": answering(200, b'["jobId", "taskId"]'),
    "null": answering(200, {"requestId": "r", "result": None}),
    "without id": _without_id,
}


NONSENSE_OF_KIND = [
    *((nonsense, "task") for nonsense in NONSENSE),
    *((nonsense, kind) for nonsense in ("html", "without id") for kind in KINDS if kind != "task"),
]


@pytest.mark.parametrize(("nonsense", "kind"), NONSENSE_OF_KIND)
async def test_10_an_answer_that_makes_no_sense(
    nonsense: str, kind: str, emulator: Emulator, clock: EventfulClock
) -> None:
    heard = Heard()
    transport = Meddling(emulator.transport(), CREATE[kind], NONSENSE[nonsense])
    trainer = await new_trainer(client_for(clock, transport), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert heard.of("adopted") == [{kind: trained_by(trainer)[kind]}]


class _Endless(httpx.AsyncByteStream):
    """A hundred megabytes, or what is taken of them until it is closed. taken: bytes."""

    piece = b"A" * 2**16

    def __init__(self) -> None:
        self.taken = 0
        self._left = 100 * 2**20

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._left <= 0:
            raise StopAsyncIteration
        self._left -= len(self.piece)
        self.taken += len(self.piece)
        return self.piece

    async def aclose(self) -> None:
        self._left = 0


@pytest.mark.parametrize("stated", [True, False])
async def test_10_an_answer_that_is_far_too_large(stated: bool, emulator: Emulator, clock: EventfulClock) -> None:
    """It is left where it is, and what the error and the journal say of it is small."""
    content = _Endless()

    async def pour(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        headers = {"x-bce-request-id": "of-the-flood"}
        headers |= {"content-length": str(100 * 2**20)} if stated else {}
        return httpx.Response(200, headers=headers, stream=content, request=request)

    client = client_for(clock, Meddling(emulator.transport(), CREATE["task"], pour))
    trainer = new_trainer(client)
    with pytest.raises(OutcomeUnknownError) as held:
        await trainer.arun()
    cause = held.value.__cause__
    assert isinstance(cause, RequestError)
    assert (cause.request_id, cause.body) == ("of-the-flood", None)
    assert "AAAA" not in repr(cause) + str(held.value)
    if stated:
        assert content.taken == 0
    assert content.taken <= 16 * 2**20 + len(content.piece)
    assert orders(emulator) == {"job": 1, "task": 0, "model": 0, "service": 0}
    await journal_at(journal_path(client.settings)).ready()
    assert b"AAAA" not in journal_path(client.settings).read_bytes()


@pytest.mark.socket
@pytest.mark.parametrize("stated", [True, False])
async def test_10_the_same_on_a_socket(stated: bool, proxy: FaultProxy, served: Emulator) -> None:
    heard = Heard()
    proxy.script(CREATE["task"], huge(100, stated=stated))
    async with client_through(proxy, served) as client:
        trainer = await new_trainer(client, heard).arun()
    require_one_of_each(served, trainer)
    assert orders(served) == ONE_OF_EACH
    assert heard.of("adopted") == [{"task": trainer.result[0]["task_id"]}]


# --- 11: two of one --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["task", "service"])
async def test_11_the_platform_made_two(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """The older one is used, both are named, and none is deleted: that is for a person to do."""
    heard = Heard()
    emulator.faults.add(CREATE[kind], twice=True, drop="after")
    trainer = await new_trainer(client_for(clock), heard).arun()
    both = list({"task": emulator.tasks, "service": emulator.services}[kind])
    require_one_of_each(emulator, trainer, **{kind: 2})
    assert orders(emulator) == ONE_OF_EACH
    assert heard.of("duplicates") == [{kind: both}]
    assert heard.of("adopted") == [{kind: both[0]}]
    assert trainer.result[0][f"{kind}_id"] == both[0]
    assert not [request for request in emulator.requests if request.name.startswith(("Delete", "Stop", "batchDelete"))]


@pytest.mark.parametrize("kind", ["job", "model"])
async def test_11_what_the_platform_itself_keeps_single(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """Jobs of one name, and models of one training, are refused the second time."""
    heard = Heard()
    emulator.faults.add(CREATE[kind], twice=True, drop="after")
    trainer = await new_trainer(client_for(clock), heard).arun()
    require_one_of_each(emulator, trainer)
    assert heard.of("duplicates") == []
    assert heard.of("adopted") == [{kind: trained_by(trainer)[kind]}]


# --- 13: listings that cannot be relied on ---------------------------------------------------------------------------


@every_kind
async def test_13_a_listing_that_lags(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    heard = Heard()
    emulator.quirks.listing_lag = 60.0
    emulator.faults.add(CREATE[kind], drop="after")
    trainer = await new_trainer(client_for(clock), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert heard.of("adopted") == [{kind: trained_by(trainer)[kind]}]
    assert 60 <= clock.monotonic() < SETTLE


@pytest.mark.parametrize("drop", ["after", "before"])
async def test_13_pages_that_shift_while_they_are_read(drop: Any, emulator: Emulator, clock: EventfulClock) -> None:
    """Somebody makes jobs all the time, so that entries slip onto the next page."""
    heard, client = Heard(), client_for(clock)
    platform = Platform(client)
    for number in range(230):
        await platform.finetune.create_job(name=f"other_{number}", model="ERNIE-Speed-8K", train_mode="SFT")
    emulator.quirks.pages_shift = True
    emulator.faults.add(CREATE["job"], drop=drop)
    if drop == "after":
        emulator.quirks.listing_lag = 30.0
    trainer = await new_trainer(client, heard).arun()
    require_one_of_each(emulator, trainer, job=231)
    assert len(heard.of("adopted")) == (drop == "after")
    assert orders(emulator) == {**ONE_OF_EACH, "job": 231 + (drop == "before")}
    # Each look walks through the pages once.
    looks = len(clock.slept) + 1
    assert emulator.count(LOOK["job"]) <= looks * 4


async def test_13_a_listing_without_an_end(emulator: Emulator, clock: EventfulClock) -> None:
    """The same page for every marker, and the same marker for the next one."""
    page = {"pageInfo": {"isTruncated": True, "marker": "1", "nextMarker": "1", "maxKeys": 100}, "taskList": []}

    async def the_same_again(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        return httpx.Response(200, json={"requestId": "r", "result": page}, request=request)

    emulator.faults.add(CREATE["task"], drop="before")
    transport = Meddling(emulator.transport(), LOOK["task"], the_same_again, times=10**6)
    trainer = await new_trainer(client_for(clock, transport, submit_on_absent="resubmit")).arun()
    require_one_of_each(emulator, trainer)
    assert transport.attempts <= 2 * (len(clock.slept) + 1)


async def test_13_looks_that_fail_prove_nothing(emulator: Emulator, clock: EventfulClock) -> None:
    """An hour without a look that works, and the order is there after all."""
    heard = Heard()
    emulator.faults.add(CREATE["task"], drop="after")
    fault = emulator.faults.add(LOOK["task"], times=None, status=503)
    clock.at(3600.0, lambda: emulator.faults.remove(fault))
    trainer = await new_trainer(client_for(clock), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert len(heard.of("adopted")) == 1

"""Rows 3 to 9 and 12: what a network does to an order, on real sockets. One thing of each kind comes of it."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import OutcomeUnknownError
from qianfan.trainer import LLMFinetune
from tests.faults.support import (
    CREATE,
    KINDS,
    LOOK,
    ONE_OF_EACH,
    Heard,
    client_through,
    facts_of,
    kept_kinds,
    made,
    new_trainer,
    orders,
    require_one_of_each,
)
from tests.support.faultproxy import (
    Accident,
    FaultProxy,
    close_after_effect,
    late,
    reset_after_effect,
    reset_before_read,
    short_body,
    slow_loris,
    status,
)
from tests.support.transport import Meddling, Passing

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

every_kind = pytest.mark.parametrize("kind", KINDS)


async def run_through(proxy: FaultProxy, served: Emulator, heard: Heard, **changes: Any) -> LLMFinetune:
    """A whole run behind the proxy."""
    async with client_through(proxy, served, **changes) as client:
        return await new_trainer(client, heard).arun()


async def test_without_a_fault_nobody_looks(proxy: FaultProxy, served: Emulator) -> None:
    """What the other tests count against."""
    heard = Heard()
    trainer = await run_through(proxy, served, heard)
    require_one_of_each(served, trainer)
    assert orders(served) == ONE_OF_EACH
    assert [proxy.count(look) for look in LOOK.values()] == [0, 0, 0, 0]
    assert proxy.seen == proxy.passed_on
    heard.require_order()


# --- 3: a reset before the request is read ---------------------------------------------------------------------------


@every_kind
async def test_3_reset_before_the_request_is_read(kind: str, proxy: FaultProxy, served: Emulator) -> None:
    """Unknown, looked for until the time is up, then sent again."""
    heard = Heard()
    proxy.script(CREATE[kind], reset_before_read)
    trainer = await run_through(proxy, served, heard, submit_on_absent="resubmit")
    require_one_of_each(served, trainer)
    assert orders(served) == ONE_OF_EACH
    assert proxy.count(LOOK[kind]) >= 1
    assert heard.of("adopted") == []


async def test_3_the_task_is_fenced_off(proxy: FaultProxy, served: Emulator) -> None:
    """Its job is deleted, so that a late request finds nothing to land in."""
    heard = Heard()
    proxy.script(CREATE["task"], reset_before_read)
    trainer = await run_through(proxy, served, heard, submit_on_absent="fence")
    require_one_of_each(served, trainer, job=2)
    assert orders(served) == {**ONE_OF_EACH, "job": 2}
    assert len(served.jobs) == 1
    [fenced] = heard.of("fenced")
    assert fenced["gen"] == 1
    assert fenced["job"] not in served.jobs


@pytest.mark.parametrize("kind", ["task", "service"])
async def test_3_a_person_decides(kind: str, proxy: FaultProxy, served: Emulator) -> None:
    """Without a setting nothing that costs money is sent again, not by a resume either."""
    heard = Heard()
    proxy.script(CREATE[kind], reset_before_read)
    async with client_through(proxy, served) as client:
        trainer = new_trainer(client, heard)
        for _ in range(2):
            with pytest.raises(OutcomeUnknownError, match="was not ordered again"):
                await trainer.aresume()
        assert proxy.count(CREATE[kind]) == 0
        facts = await facts_of(trainer)
        assert facts["run_status"] == "held"
        assert [node.rpartition(".")[2] for node in facts["needs_decision"]] == [kind]
        await LLMFinetune.adecide(trainer.id, resubmit=True, client=client)
        await trainer.aresume()
        assert (await kept_kinds(trainer))["needs_decision"] == 2
    require_one_of_each(served, trainer)
    assert orders(served) == ONE_OF_EACH
    assert [data["what"] for data in heard.of("needs_decision")] == [kind, kind]


# --- 4, 6, 9: the effect without its answer --------------------------------------------------------------------------


ANSWERS_LOST: dict[str, Accident] = {
    "reset": reset_after_effect,
    "closed": close_after_effect,
    "cut short": short_body,
    "502": status(502, effect=True),
    "504 of a gateway": status(504, b"<html>gateway timeout</html>", {"Content-Type": "text/html"}, effect=True),
}


LOST_OF_KIND = [
    *((lost, kind) for lost in ("reset", "cut short") for kind in KINDS),
    *((lost, "task") for lost in ("closed", "502", "504 of a gateway")),
]


@pytest.mark.parametrize(("lost", "kind"), LOST_OF_KIND)
async def test_4_6_9_what_was_made_without_an_answer_is_found(
    lost: str, kind: str, proxy: FaultProxy, served: Emulator
) -> None:
    heard = Heard()
    proxy.script(CREATE[kind], ANSWERS_LOST[lost])
    trainer = await run_through(proxy, served, heard)
    require_one_of_each(served, trainer)
    assert orders(served) == ONE_OF_EACH
    assert proxy.count(LOOK[kind]) == 1
    [adopted] = heard.of("adopted")
    assert adopted == {kind: trainer.result[0][f"{kind}_id"]}
    heard.require_order()


@pytest.mark.parametrize("kind", ["job", "task"])
async def test_6_a_server_error_without_effect_is_no_answer_either(
    kind: str, proxy: FaultProxy, served: Emulator
) -> None:
    heard = Heard()
    proxy.script(CREATE[kind], status(502, effect=False))
    trainer = await run_through(proxy, served, heard, submit_on_absent="resubmit")
    require_one_of_each(served, trainer)
    assert orders(served) == ONE_OF_EACH
    assert (proxy.count(CREATE[kind]), proxy.forwarded(CREATE[kind])) == (2, 1)
    assert proxy.count(LOOK[kind]) >= 1
    assert heard.of("adopted") == []


# --- 5: refused connections ------------------------------------------------------------------------------------------


@every_kind
async def test_5_refused_connections_are_no_reason_to_look(kind: str, proxy: FaultProxy, served: Emulator) -> None:
    """Nothing has left, so the order is simply sent again once somebody listens."""
    refused: list[httpx.ConnectError] = []

    async def nobody_listens(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        await anyio.to_thread.run_sync(proxy.refuse)
        try:
            return await pass_on(request)
        except httpx.ConnectError as error:
            refused.append(error)
            raise
        finally:
            await anyio.to_thread.run_sync(proxy.accept)

    heard = Heard()
    async with client_through(proxy, served) as usual, httpx.AsyncHTTPTransport() as network:
        transport = Meddling(network, CREATE[kind], nobody_listens, times=3)
        client = Client(usual.settings, clock=usual.clock, transport=transport)
        trainer = await new_trainer(client, heard).arun()
    require_one_of_each(served, trainer)
    assert (len(refused), transport.attempts) == (3, 4)
    assert orders(served) == ONE_OF_EACH
    assert proxy.count(LOOK[kind]) == 0
    assert heard.of("adopted") == []


# --- 8: an answer that never ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first_bytes", "every", "effect"),
    [(10**6, 0.02, True), (20, 0.0, True), (20, 0.0, False)],
    ids=["drips", "stalls", "stalls for nothing"],
)
async def test_8_slow_loris(first_bytes: int, every: float, effect: bool, proxy: FaultProxy, served: Emulator) -> None:
    """The deadline counts for the whole answer, and the loop is free meanwhile."""
    heard, rounds = Heard(), 0

    async def others_work() -> None:
        nonlocal rounds
        while True:
            await anyio.sleep(0.001)
            rounds += proxy.count(CREATE["task"]) == 1 and proxy.count(LOOK["task"]) == 0

    proxy.script(CREATE["task"], slow_loris(first_bytes, every, effect=effect))
    async with anyio.create_task_group() as group:
        group.start_soon(others_work)
        trainer = await run_through(proxy, served, heard, submit_on_absent="resubmit", console_api_retry_timeout=0.4)
        group.cancel_scope.cancel()
    require_one_of_each(served, trainer)
    assert orders(served) == ONE_OF_EACH
    assert len([data for data in heard.of("adopted") if "task" in data]) == effect
    assert rounds >= 20


# --- 12: effects that come late --------------------------------------------------------------------------------------


@every_kind
async def test_12_an_effect_within_the_time_is_found(kind: str, proxy: FaultProxy, served: Emulator) -> None:
    """It comes after the first look, and before the last."""
    heard = Heard()
    proxy.script(CREATE[kind], late(0.05))
    trainer = await run_through(proxy, served, heard, submit_settle_seconds=500.0)
    require_one_of_each(served, trainer)
    assert (proxy.count(CREATE[kind]), proxy.late_answers) == (1, [200])
    assert proxy.count(LOOK[kind]) >= 1
    assert heard.of("adopted") == [{kind: trainer.result[0][f"{kind}_id"]}]


async def test_12_beyond_it_the_fence_rejects_the_request(proxy: FaultProxy, served: Emulator) -> None:
    heard, now = Heard(), threading.Event()
    proxy.script(CREATE["task"], late(until=now))
    trainer = await run_through(proxy, served, heard, submit_on_absent="fence")
    now.set()
    await anyio.to_thread.run_sync(proxy.wait_until_quiet)
    assert (proxy.count(CREATE["task"]), served.count(CREATE["task"])) == (2, 2)
    [answer] = proxy.late_answers
    assert 400 <= answer < 500
    require_one_of_each(served, trainer, job=2)
    assert len(served.tasks) == 1


async def test_12_beyond_it_a_held_order_is_not_sent_again(proxy: FaultProxy, served: Emulator) -> None:
    """It shows up long after, and is adopted by whoever resumes."""
    heard, now = Heard(), threading.Event()
    proxy.script(CREATE["task"], late(until=now))
    async with client_through(proxy, served) as client:
        trainer = new_trainer(client, heard)
        with pytest.raises(OutcomeUnknownError):
            await trainer.arun()
        assert (await facts_of(trainer))["run_status"] == "held"
        now.set()
        await anyio.to_thread.run_sync(proxy.wait_until_quiet)
        await trainer.aresume()
    assert proxy.count(CREATE["task"]) == 1
    require_one_of_each(served, trainer)
    assert heard.of("adopted") == [{"task": trainer.result[0]["task_id"]}]


# --- all of it -------------------------------------------------------------------------------------------------------


async def test_a_bad_day(proxy: FaultProxy, served: Emulator) -> None:
    """Each order meets with something else, and no look works at first."""
    heard = Heard()
    accidents = (reset_after_effect, short_body, status(500, effect=True), close_after_effect)
    for kind, accident in zip(KINDS, accidents, strict=True):
        proxy.script(CREATE[kind], accident)
        proxy.script(LOOK[kind], reset_after_effect, times=2)
    proxy.script("DescribeFineTuningTask", status(503, effect=False), times=6)
    proxy.script("DescribeService", reset_before_read, times=2)
    trainer = await run_through(proxy, served, heard)
    require_one_of_each(served, trainer)
    assert orders(served) == made(served) == ONE_OF_EACH
    assert [kind for data in heard.of("adopted") for kind in data] == list(KINDS)
    heard.require_order()

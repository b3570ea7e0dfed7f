"""Waiting for a turn: by tasks, loops and threads, with a clock that tests drive; and what a client makes of it."""

from __future__ import annotations

import json
import threading
from typing import Any

import anyio
import httpx
import pytest

from qianfan._retry import RetryPolicy
from qianfan._transport import Call, Client, Family, Safety
from qianfan._transport.budgets import Budget, Budgets, Grant, Told
from qianfan._transport.estimate import tokens_of
from qianfan._transport.ledger import Limits, lasting
from qianfan.config import Settings
from qianfan.errors import APIError, InvalidArgumentError, RateLimitError, RequestTimeoutError

from .platform import ManualClock, Script, Steady, ok

pytestmark = pytest.mark.anyio

SECOND, MINUTE = lasting(1), lasting(60)


class StandingClock(ManualClock):
    """Time stands still until `pass_` moves it; who sleeps is woken when its time has come."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, anyio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        event = anyio.Event()
        self._sleepers.append((self.now + seconds, event))
        await event.wait()

    async def pass_(self, seconds: float) -> None:
        self.now += seconds
        for moment, event in self._sleepers:
            if moment <= self.now + 1e-9:
                event.set()
        await anyio.wait_all_tasks_blocked()


async def leave(budget: Budget, own: Limits, tokens: int = 0, **how: Any) -> Grant:
    grant = await budget.take(own, tokens, **how)
    grant.sent()
    return grant


# --- waiting -------------------------------------------------------------------------------------------------------


async def test_turns_come_in_order_and_at_their_time() -> None:
    clock = StandingClock()
    budget, order = Budget(clock), []

    async def ask(number: int, tokens: int) -> None:
        await leave(budget, Limits(tpm=100), tokens)
        order.append(number)

    async with anyio.create_task_group() as group:
        for number, tokens in enumerate([60, 60, 10, 90]):
            group.start_soon(ask, number, tokens)
            await anyio.wait_all_tasks_blocked()
        assert order == [0], "the third would fit, and does not overtake the second"
        assert budget.waiting == 3
        await clock.pass_(MINUTE)
        assert order == [0, 1, 2]
        await clock.pass_(MINUTE)
        assert order == [0, 1, 2, 3]
    assert budget.waiting == 0


async def test_whoever_gives_up_leaves_its_place_to_the_next() -> None:
    clock = StandingClock()
    budget, order = Budget(clock), []
    scopes = [anyio.CancelScope() for _ in range(3)]

    async def ask(number: int, tokens: int) -> None:
        with scopes[number]:
            await leave(budget, Limits(tpm=100), tokens)
            order.append(number)

    async with anyio.create_task_group() as group:
        for number, tokens in enumerate([50, 80, 50]):
            group.start_soon(ask, number, tokens)
            await anyio.wait_all_tasks_blocked()
        scopes[1].cancel()
    assert order == [0, 2]
    assert clock.now == 0


async def test_what_is_given_back_or_costs_less_lets_the_next_out_at_once() -> None:
    clock = StandingClock()
    budget, own = Budget(clock), Limits(tpm=100)
    unused, cheap = await budget.take(own, 50), await leave(budget, own, 50)
    out: list[int] = []

    async def ask(tokens: int) -> None:
        await leave(budget, own, tokens)
        out.append(tokens)

    async with anyio.create_task_group() as group:
        for tokens in (40, 60):
            group.start_soon(ask, tokens)
            await anyio.wait_all_tasks_blocked()
        assert out == []
        unused.give_back()
        await anyio.wait_all_tasks_blocked()
        assert len(out) == 1
        cheap.settle(0)
        await anyio.wait_all_tasks_blocked()
        assert sorted(out) == [40, 60]


async def test_a_turn_given_to_a_cancelled_waiter_is_not_lost() -> None:
    """Let out and cancelled in the same moment."""
    clock = StandingClock()
    budget, own, scope = Budget(clock), Limits(qps=1), anyio.CancelScope()
    first = await budget.take(own)

    async def ask() -> None:
        with scope:
            grant = await budget.take(own)
            try:
                await anyio.sleep_forever()
            finally:
                grant.give_back()

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        first.give_back()
        scope.cancel()
    assert budget.is_idle()


async def test_a_wait_has_a_deadline_and_gives_its_place_back() -> None:
    clock = ManualClock()
    budget, own = Budget(clock), Limits(rpm=1)
    await leave(budget, own)
    with pytest.raises(RequestTimeoutError, match="within 5 seconds") as caught:
        await budget.take(own, timeout=5)
    assert not caught.value.sent
    assert clock.slept == [5]
    await leave(budget, own, timeout=60)
    assert clock.now == pytest.approx(MINUTE)


async def test_more_tokens_than_a_minute_has() -> None:
    budget = Budget(ManualClock())
    with pytest.raises(InvalidArgumentError, match=r"about 101 tokens.*are 100.*QIANFAN_TPM_LIMIT"):
        await budget.take(Limits(tpm=100), 101)
    with pytest.raises(InvalidArgumentError, match="are 90"):
        await budget.take(Limits(tpm=100), 100, spare=0.1)
    assert budget.is_idle()


async def test_a_limit_that_is_lowered_meanwhile_refuses_who_waits_with_more() -> None:
    clock = StandingClock()
    budget, own = Budget(clock), Limits(tpm=100)
    await leave(budget, own, 100)
    errors: list[InvalidArgumentError] = []

    async def ask() -> None:
        try:
            await budget.take(own, 80)
        except InvalidArgumentError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        budget.learn(Told((None, 50)))
        await anyio.wait_all_tasks_blocked()
        assert len(errors) == 1


def test_loops_and_threads_share_one_budget() -> None:
    """Asyncio and trio at once, in real time; what each got is written down as it leaves."""
    clock_started = threading.Barrier(6)
    from qianfan._clock import SYSTEM_CLOCK

    budget, own, left = Budget(SYSTEM_CLOCK), Limits(qps=10), []

    async def several() -> None:
        clock_started.wait()
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one)

    async def one() -> None:
        grant = await budget.take(own)
        grant.sent()
        left.append(grant._booking.at)

    threads = [
        threading.Thread(target=anyio.run, args=(several,), kwargs={"backend": backend})
        for backend in ["asyncio", "trio"] * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left.sort()
    assert len(left) == 24
    assert all(later - earlier >= SECOND - 1e-6 for earlier, later in zip(left, left[10:], strict=False))
    assert budget.waiting == 0


def test_a_loop_that_ends_takes_its_waiters_along() -> None:
    """Those of other loops go on."""
    from qianfan._clock import SYSTEM_CLOCK

    budget, own = Budget(SYSTEM_CLOCK), Limits(rpm=1)

    async def give_up() -> None:
        with anyio.move_on_after(0.01):
            await budget.take(own)

    first = anyio.run(budget.take, own)
    anyio.run(give_up, backend="trio")
    assert budget.line.head is None
    first.give_back()
    anyio.run(budget.take, own, backend="trio")


def test_budgets_are_found_again_and_idle_ones_forgotten() -> None:
    budgets, clock = Budgets(), ManualClock()
    busy = budgets.at("busy", clock)
    anyio.run(leave, busy, Limits())
    for number in range(1000):
        budgets.at(f"idle-{number}", clock)
    assert len(budgets) <= 257
    assert budgets.at("busy", clock) is busy
    assert budgets.at("busy", ManualClock()) is not busy, "the time of another clock is another time"


# --- a client ------------------------------------------------------------------------------------------------------

CHAT_V1 = Call("chat", Family.INFERENCE_V1, Safety.READ, "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/{endpoint}")
CHAT_V2 = Call("chat", Family.INFERENCE_V2, Safety.READ, "/v2/chat/completions")
READ = Call("read", Family.CONSOLE_V2, Safety.READ, "/v2/model", "DescribeModel")
NO_RETRY = RetryPolicy(attempts=1)


def client_of(
    script: Script, clock: ManualClock | None = None, budgets: Budgets | None = None, **settings: Any
) -> Client:
    return Client(
        Settings(**{"no_auth": True, "access_key": "a", "secret_key": "s", **settings}),
        clock=clock or ManualClock(),
        rng=Steady(),
        transport=httpx.MockTransport(script),
        budgets=Budgets() if budgets is None else budgets,
    )


def spent(tokens: int, **headers: str) -> httpx.Response:
    return httpx.Response(200, json={"result": "x", "usage": {"total_tokens": tokens}}, headers=headers)


def limits(requests: int, tokens: int, requests_left: int, tokens_left: int) -> dict[str, str]:
    return {
        "X-Ratelimit-Limit-Requests": str(requests),
        "X-Ratelimit-Limit-Tokens": str(tokens),
        "X-Ratelimit-Remaining-Requests": str(requests_left),
        "X-Ratelimit-Remaining-Tokens": str(tokens_left),
    }


async def test_each_model_has_a_budget_of_its_own_and_the_console_none() -> None:
    clock = ManualClock()
    async with client_of(Script(ok()), clock, rpm_limit=1) as client:
        await client.call(CHAT_V2, {"model": "one"})
        await client.call(CHAT_V2, {"model": "two"})
        await client.call(CHAT_V1, {}, path_args={"endpoint": "one"})
        for _ in range(5):
            await client.call(READ)
        assert clock.now == 0
        await client.call(CHAT_V2, {"model": "one"})
        assert clock.now == pytest.approx(MINUTE)


@pytest.mark.parametrize(
    ("own", "other", "share"),
    [
        ({}, {}, True),
        ({}, {"rpm_limit": 2}, True),
        ({}, {"console_api_base_url": "http://else"}, False),
        ({"no_auth": False}, {"no_auth": False, "access_key": "b"}, False),
        ({"limiter_group": "g"}, {"limiter_group": "g", "console_api_base_url": "http://else"}, True),
        ({}, {"limiter_group": "g"}, False),
        ({"no_auth": False, "bearer_token": "t"}, {"no_auth": False, "bearer_token": "t", "access_key": "c"}, True),
    ],
)
async def test_clients_of_one_account_share_its_budgets(own: Any, other: Any, share: bool) -> None:
    clock, budgets = ManualClock(), Budgets()
    answers = [{"token": "bce-v3/x/y", "result": 1}]
    script = Script(httpx.Response(200, json=answers[0]))
    first = client_of(script, clock, budgets, **{"rpm_limit": 1, **own})
    second = client_of(script, clock, budgets, **{"rpm_limit": 1, **other})
    async with first, second:
        await first.call(CHAT_V2, {"model": "m"})
        await second.call(CHAT_V2, {"model": "m"})
    assert (clock.now > 0) is (share and other.get("rpm_limit") != 2)


async def test_tokens_are_reserved_settled_and_given_back() -> None:
    clock = ManualClock()
    body = {"model": "m", "messages": [{"role": "user", "content": "one two three four five"}]}
    refused = httpx.Response(400, json={"error": {"code": "invalid_argument", "message": "no"}})
    script = Script(spent(7), refused, spent(3), spent(1))
    async with client_of(script, clock, tpm_limit=15) as client:
        await client.call(CHAT_V2, body)
        with pytest.raises(APIError):
            await client.call(CHAT_V2, body)
        await client.call(CHAT_V2, body)
        await client.call(CHAT_V2, body)
        assert clock.now == 0, "7 and 3 spent, and 5 more to come"
        await client.call(CHAT_V2, body)
        assert clock.now == pytest.approx(MINUTE)


@pytest.mark.parametrize("family", [Family.INFERENCE_V1, Family.INFERENCE_V2])
async def test_a_stream_is_settled_with_what_its_end_says(family: Family) -> None:
    clock = ManualClock()
    if family is Family.INFERENCE_V1:
        call, args = CHAT_V1, {"endpoint": "e"}
        events = [
            {"result": "a", "is_end": False, "usage": {"total_tokens": 4}},
            {"result": "b", "is_end": True, "usage": {"total_tokens": 9}},
        ]
    else:
        call, args = CHAT_V2, {}
        events = [{"choices": [], "usage": None}, {"choices": [], "usage": {"total_tokens": 9}}]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    script = Script(httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode()))
    async with client_of(script, clock, tpm_limit=10) as client:
        for _ in range(2):
            async with client.stream(call, {"model": "e", "prompt": "one two"}, path_args=args) as answers:
                _ = [answer async for answer in answers]
    assert clock.now == pytest.approx(MINUTE), "2 would fit beside the 2 of the estimate, and not beside the 9"


async def test_a_request_above_the_whole_budget_is_not_sent() -> None:
    script = Script(ok())
    async with client_of(script, tpm_limit=3) as client:
        with pytest.raises(InvalidArgumentError, match="about 4 tokens"):
            await client.call(CHAT_V2, {"model": "m", "prompt": "one two three four"})
    assert script.requests == []


async def test_what_never_left_costs_nothing() -> None:
    clock = ManualClock()
    script = Script(httpx.ConnectError("refused"), spent(1), spent(1))
    async with client_of(script, clock, rpm_limit=2, llm_api_retry_backoff_factor=0, llm_api_retry_jitter=0) as client:
        await client.call(CHAT_V2, {"model": "m"})
        await client.call(CHAT_V2, {"model": "m"})
    assert len(script.requests) == 3
    assert sum(clock.slept) == 0


async def test_a_client_learns_the_platforms_limits_from_every_answer() -> None:
    clock = ManualClock()
    script = Script(spent(1, **limits(2, 1000, 1, 999)), spent(1, **limits(100, 1000, 98, 998)), spent(1))
    async with client_of(script, clock) as client:
        for _ in range(4):
            await client.call(CHAT_V2, {"model": "m"})
        assert clock.now == 0, "2 a minute at first, 100 by the second answer"
    clock = ManualClock()
    script = Script(spent(1, **limits(100, 1000, 99, 999)), spent(1, **limits(2, 1000, 0, 998)))
    async with client_of(script, clock, rpm_limit=50) as client:
        for _ in range(3):
            await client.call(CHAT_V2, {"model": "m"})
    assert clock.now == pytest.approx(MINUTE)


async def test_a_client_may_be_told_not_to_keep_to_limits() -> None:
    clock = ManualClock()
    script = Script(spent(1, **limits(1, 1, 0, 0)))
    async with client_of(script, clock, rpm_limit=1, limiter_disabled=True) as client:
        for _ in range(3):
            await client.call(CHAT_V2, {"model": "m"})
    assert clock.now == 0


async def test_a_part_may_be_left_unused() -> None:
    clock = ManualClock()
    async with client_of(Script(ok()), clock, rpm_limit=10, limiter_buffer_ratio=0.2) as client:
        for _ in range(8):
            await client.call(CHAT_V2, {"model": "m"})
        assert clock.now == 0
        await client.call(CHAT_V2, {"model": "m"})
        assert clock.now == pytest.approx(MINUTE)


@pytest.mark.parametrize(
    ("refusal", "pause"),
    [
        (httpx.Response(200, json={"error_code": 18, "error_msg": "qps"}), 1),
        (httpx.Response(200, json={"error_code": 336501, "error_msg": "rpm"}), 20),
        (httpx.Response(200, json={"error_code": 336502, "error_msg": "tpm"}), 20),
        (httpx.Response(429, json={"error": {"code": "rpm_rate_limit_exceeded", "message": "m"}}), 20),
        (httpx.Response(429, json={"error": {"code": "preempted", "message": "m"}}), 20),
        (httpx.Response(429, json={"error": {"code": "x", "message": "m"}}, headers={"retry-after": "3"}), 3),
    ],
)
async def test_a_refusal_holds_up_everyone_who_asks_the_same_model(refusal: httpx.Response, pause: float) -> None:
    clock, budgets = ManualClock(), Budgets()
    refused, other = client_of(Script(refusal), clock, budgets), client_of(Script(ok()), clock, budgets)
    async with refused, other:
        with pytest.raises(RateLimitError):
            await refused.call(CHAT_V2, {"model": "m"}, retries=None)
        await other.call(CHAT_V2, {"model": "another"})
        assert clock.now == 0
        await other.call(CHAT_V2, {"model": "m"})
    assert clock.now == pytest.approx(pause)


async def test_a_minute_without_budget_is_ridden_out_by_the_usual_attempts() -> None:
    clock = ManualClock()

    def answer(request: httpx.Request) -> httpx.Response:
        if clock.now < 60:
            return httpx.Response(429, json={"error": {"code": "tpm_rate_limit_exceeded", "message": "m"}})
        return httpx.Response(200, json={"result": "in time"})

    script = Script(answer)
    async with client_of(script, clock) as client:
        assert (await client.call(CHAT_V2, {"model": "m"})).result == "in time"
    assert len(script.requests) == 3


async def test_who_waits_for_a_turn_holds_no_connection() -> None:
    clock = StandingClock()
    async with client_of(Script(ok()), clock, rpm_limit=1, max_requests_in_flight=1) as client:
        await client.call(CHAT_V2, {"model": "m"})
        async with anyio.create_task_group() as group:
            group.start_soon(client.call, CHAT_V2, {"model": "m"})
            await anyio.wait_all_tasks_blocked()
            await client.call(READ)
            await client.call(CHAT_V2, {"model": "another"})
            group.cancel_scope.cancel()


async def test_waiting_for_a_turn_is_no_part_of_a_requests_time() -> None:
    clock = ManualClock()
    async with client_of(Script(ok()), clock, rpm_limit=1, limiter_timeout=100) as client:
        for _ in range(3):
            await client.call(CHAT_V2, {"model": "m"}, timeout=1.0)
    async with client_of(Script(ok()), clock, rpm_limit=1, limiter_timeout=10) as client:
        await client.call(CHAT_V2, {"model": "m"})
        with pytest.raises(RequestTimeoutError, match="QIANFAN_LIMITER_TIMEOUT"):
            await client.call(CHAT_V2, {"model": "m"})
    assert client.requests_sent == 1


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 0),
        (None, 0),
        ({"prompt": "继续写 two words"}, 3),
        ({"system": "be kind", "messages": [{"role": "user", "content": "hello, world"}]}, 4),
        ({"messages": [{"content": [{"type": "text", "text": "a b"}, {"type": "image_url"}]}, "odd", None]}, 2),
        ({"messages": [{"content": None, "function_call": {"name": "f", "arguments": "{}"}}]}, 3),
        ({"messages": [], "functions": [{"name": "look", "description": "look it up"}]}, 6),
        ({"input": ["one two", "three"]}, 3),
        ({"input": "one two"}, 2),
        ({"query": "who", "documents": ["a b", "c"]}, 4),
        ({"messages": "no list", "input": 7, "temperature": 0.5, "user_id": "not counted"}, 0),
    ],
)
def test_the_estimate_covers_what_a_model_reads(body: Any, tokens: int) -> None:
    assert tokens_of(body) == tokens


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, False),
        ({"x-ratelimit-limit-requests": "many"}, False),
        ({"x-ratelimit-limit-requests": "-1"}, False),
        ({"x-ratelimit-limit-requests": "9" * 30}, False),
        ({"x-ratelimit-remaining-requests": "5"}, False),
        ({"x-ratelimit-limit-tokens": "5"}, True),
    ],
)
def test_headers_that_say_nothing(headers: dict[str, str], told: bool) -> None:
    assert bool(Told.by(headers)) is told

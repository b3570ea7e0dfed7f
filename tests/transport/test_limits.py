"""The gate."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest

from qianfan._transport.limits import Gate


@pytest.mark.anyio
@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_than_the_limit_are_inside_and_order_is_kept(limit: int) -> None:
    gate = Gate(limit)
    order: list[int] = []
    most = 0

    async def enter(number: int) -> None:
        nonlocal most
        async with gate:
            order.append(number)
            most = max(most, gate.in_use)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group, AsyncExitStack() as places:
        for _ in range(limit):
            await places.enter_async_context(gate)
        for number in range(12):
            group.start_soon(enter, number)
            await anyio.wait_all_tasks_blocked()
        assert (gate.in_use, gate.waiting) == (limit, 12)
    assert most == limit
    assert sorted(order) == list(range(12))
    assert limit > 1 or order == sorted(order), "those let in together run in any order"
    assert (gate.in_use, gate.waiting) == (0, 0)


@pytest.mark.anyio
async def test_a_cancelled_waiter_leaves_the_line() -> None:
    gate = Gate(1)
    entered: list[str] = []

    async def enter(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            async with gate:
                entered.append(name)

    first, second = anyio.CancelScope(), anyio.CancelScope()
    async with anyio.create_task_group() as group, gate:
        group.start_soon(enter, "first", first)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(enter, "second", second)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        assert gate.waiting == 1
    assert entered == ["second"]
    assert gate.in_use == 0


@pytest.mark.anyio
async def test_a_place_given_to_a_cancelled_waiter_is_not_lost() -> None:
    gate = Gate(1)
    scope = anyio.CancelScope()

    async def enter() -> None:
        with scope:
            async with gate:
                await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        async with gate:
            group.start_soon(enter)
            await anyio.wait_all_tasks_blocked()
        scope.cancel()
    assert gate.in_use == 0


def test_a_gate_serves_one_event_loop_after_another() -> None:
    gate = Gate(1)

    async def enter() -> None:
        async with gate:
            assert gate.in_use == 1

    anyio.run(enter, backend="asyncio")
    anyio.run(enter, backend="trio")
    anyio.run(enter, backend="asyncio")

"""From any thread to an event loop."""

from __future__ import annotations

import threading

import anyio
import pytest

from qianfan._loops import Mailbox, scheduler

pytestmark = pytest.mark.anyio


async def test_values_arrive_in_order_from_many_threads() -> None:
    mailbox = Mailbox[tuple[int, int]]()

    def put(number: int) -> None:
        for value in range(100):
            mailbox.put((number, value))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    got = [await mailbox.get() for _ in range(500)]
    for thread in threads:
        thread.join()
    assert {number: [value for other, value in got if other == number] for number in range(5)} == {
        number: [*range(100)] for number in range(5)
    }


async def test_a_value_that_is_there_already() -> None:
    mailbox = Mailbox[str]()
    mailbox.put("first")
    mailbox.put("second")
    assert [await mailbox.get(), await mailbox.get()] == ["first", "second"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_has_ended_is_no_trouble(backend: str) -> None:
    async def give_away() -> object:
        return scheduler()

    schedule = anyio.run(give_away, backend=backend)
    ran: list[int] = []
    schedule(lambda: ran.append(1))  # type: ignore[operator]
    assert ran == []

"""Waiting for remote work: a look that fails does not end it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import APIError, RequestError
from qianfan.model import DeployConfig, Model
from qianfan.resources import Platform
from qianfan.resources.waiting import watch
from qianfan.trainer import LLMFinetune
from tests.support.clock import JumpClock
from tests.support.emulated import MODEL, client_for, new_job, new_task, ready_version, trained

pytestmark = pytest.mark.anyio

Act = Callable[[], Awaitable[object]]


async def training(client: Client) -> Act:
    return LLMFinetune(MODEL, 111, model_not_publish=True, client=client).arun


async def publishing_what_is_in_training(client: Client) -> Act:
    task_id = await new_task(Platform(client), await new_job(Platform(client)))
    return Model(task_id=task_id, client=client).apublish


async def publishing(client: Client) -> Act:
    return Model(task_id=(await trained(Platform(client))).task_id, client=client).apublish


async def deploying(client: Client) -> Act:
    model = Model(*await ready_version(Platform(client)), client=client)
    return lambda: model.adeploy(DeployConfig(service_type="Chat"))


WAITS = [
    (training, "DescribeFineTuningTask"),
    (publishing_what_is_in_training, "DescribeFineTuningTask"),
    (publishing, "modelVersionDetail"),
    (deploying, "DescribeService"),
]
waits = pytest.mark.parametrize(("prepare", "look"), WAITS)


@waits
@pytest.mark.parametrize("trouble", [{"status": 503}, {"drop": "before"}, {"body": "<html/>", "status": 502}], ids=str)
async def test_long_trouble_is_waited_out(
    client: Client, emulator: Emulator, clock: JumpClock, prepare: Any, look: str, trouble: dict[str, Any]
) -> None:
    """Longer than all retries of one look: the work goes on whether or not it can be seen."""
    act = await prepare(client)
    fault = emulator.faults.add(look, times=40, **trouble)
    await act()
    assert fault.hits == 40


@waits
async def test_a_look_that_is_refused_ends_it(client: Client, emulator: Emulator, prepare: Any, look: str) -> None:
    act = await prepare(client)
    emulator.faults.add(look, times=None, status=403, code="AccessDenied", message="no")
    with pytest.raises(APIError, match="AccessDenied"):
        await act()


async def test_a_deployment_is_waited_for_again(client: Client, emulator: Emulator) -> None:
    """It was paid for: ending the wait must not lead to a second one."""
    act = await deploying(client)
    refusal = emulator.faults.add("DescribeService", times=None, status=403, code="AccessDenied", message="no")
    with pytest.raises(APIError):
        await act()
    emulator.faults.remove(refusal)
    await act()
    assert emulator.count("CreateService") == 1


class Watched(JumpClock):
    """slept: seconds of each sleep so far."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


async def test_how_often_it_looks(emulator: Emulator) -> None:
    """Soon at first, and never less often than the settings say, each for its own kind of work."""
    clock, looks = Watched(), 40
    client = client_for(clock, train_status_polling_interval=30, model_publish_status_polling_interval=7)
    emulator.training.script(after_looks=looks)
    emulator.publishing.script(after_looks=looks)
    await (await publishing_what_is_in_training(client))()
    training, publishing = clock.slept[:looks], clock.slept[looks:]
    assert len(publishing) == looks
    for slept, longest in (training, 30), (publishing, 7):
        assert slept[0] <= 1
        assert longest * 0.8 <= slept[-1] <= longest
        assert max(slept) <= longest


async def test_a_watch_tells_every_look_and_returns_the_last(client: Client, clock: JumpClock) -> None:
    sights: list[int | Exception] = [1, RequestError("broke", retryable=True), 2, 3]
    told: list[int] = []

    async def look() -> int:
        sight = sights.pop(0)
        if isinstance(sight, Exception):
            raise sight
        return sight

    assert await watch(look, until=lambda sight: sight == 3, tell=told.append, every=5.0, client=client) == 3
    assert told == [1, 2, 3]
    assert clock.monotonic() > 0


async def test_a_watch_ends_with_a_permanent_error(client: Client) -> None:
    async def look() -> int:
        raise APIError(70102, "gone")

    with pytest.raises(APIError, match="gone"):
        await watch(look, until=bool, tell=lambda sight: None, every=5.0, client=client)

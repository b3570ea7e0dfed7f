"""Compressing a model: ordered once, waited for, found again when the answer is lost."""

from __future__ import annotations

import math
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import APIError, InvalidArgumentError, ModelCompressFailedError, OutcomeUnknownError
from qianfan.model import Model
from qianfan.model.consts import ModelCompStrategy, ModelQuantizationWeight
from qianfan.resources import Platform
from tests.support.clock import JumpClock
from tests.support.emulated import client_for, ready_version
from tests.support.transport import Meddling, Passing, answering

pytestmark = pytest.mark.anyio

faces = pytest.mark.parametrize("face", ["sync", "async"])


async def compress(face: str, model: Model, *args: Any) -> Model:
    if face == "async":
        return await model.acompress(*args)
    return await anyio.to_thread.run_sync(lambda: model.compress(*args))


async def new_model(platform: Platform) -> Model:
    return Model(*await ready_version(platform), client=platform.client)


@faces
async def test_a_compression_from_beginning_to_end(face: str, platform: Platform, emulator: Emulator) -> None:
    emulator.compression.script(after_looks=3, waits=1)
    model = await new_model(platform)
    made = await compress(face, model, "Quantization", "W8A16C16")
    assert (made.set_id, made.name) == (model.set_id, "my model")
    [task] = emulator.compressions.values()
    assert (task.source_model_id, task.model_set_id, task.model_id) == (model.id, model.set_id, made.id)
    assert task.config == {"strategy": "Quantization", "weight": "W8A16C16"}
    assert len(task.name) <= 20
    assert task.name.startswith("c_amv")
    assert emulator.count("DescribeModelCompTask") == 4
    assert await made.aids() == (model.set_id, made.id)


async def test_members_of_the_enumerations(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)
    quantized = await model.acompress(ModelCompStrategy.Quantization, ModelQuantizationWeight.INT8PTQ)
    sparse = await model.acompress(ModelCompStrategy.Sparsity)
    assert quantized.id != sparse.id
    assert [task.config.get("weight") for task in emulator.compressions.values()] == ["INT8-PTQ", None]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("Zip",), "'Zip' is not a valid"),
        (("Quantization",), "Quantization needs a weight"),
        (("Quantization", "W1"), "'W1' is not a valid .*W8A16C16"),
        (("Sparsity", "W8A16C16"), "Sparsity takes no weight"),
    ],
)
async def test_what_does_not_go_together(client: Client, emulator: Emulator, args: Any, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=told):
        await Model("am-1", "amv-1", client=client).acompress(*args)
    assert not emulator.requests


async def test_a_model_that_cannot_be_compressed(platform: Platform, emulator: Emulator) -> None:
    smaller = await (await new_model(platform)).acompress("Sparsity")
    with pytest.raises(InvalidArgumentError, match=f"'{smaller.id}' cannot be compressed"):
        await smaller.acompress("Sparsity")
    assert emulator.count("CreateModelCompTask") == 1


async def test_a_compression_that_fails_and_the_next_one(platform: Platform, emulator: Emulator) -> None:
    emulator.compression.script(ends="failed", reason="no machines", times=1)
    model = await new_model(platform)
    with pytest.raises(ModelCompressFailedError, match="ended as 'failed': no machines") as caught:
        await model.acompress("Sparsity")
    [task] = emulator.compressions.values()
    assert (caught.value.model_id, caught.value.task_id, caught.value.status) == (model.id, task.id, "failed")
    assert caught.value.reason == "no machines"
    assert (await model.acompress("Sparsity")).id in emulator.models
    assert emulator.count("CreateModelCompTask") == 2


async def test_a_compression_that_is_stopped_from_elsewhere(platform: Platform, emulator: Emulator) -> None:
    emulator.compression.script(after_looks=math.inf)
    model = await new_model(platform)
    told: list[str] = []

    def tell(description: str, data: Any) -> None:
        told.append(description.rpartition(" ")[2])
        if len(told) == 2:
            group.start_soon(platform.models_v2.cancel_comp_task, next(iter(emulator.compressions)))

    async with anyio.create_task_group() as group:
        with pytest.raises(ModelCompressFailedError, match="ended as 'stopped'"):
            await model.acompress("Sparsity", tell=tell)
    assert told[-1] == "stopping"
    assert set(told[:-1]) == {"running"}


async def test_a_new_word_ends_the_wait(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)
    emulator.faults.add("DescribeModelCompTask", body={"requestId": "r", "result": {"status": "resting"}})
    with pytest.raises(ModelCompressFailedError, match="'resting'"):
        await model.acompress("Sparsity")


async def test_success_without_a_model_is_said(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)
    emulator.faults.add("DescribeModelCompTask", body={"requestId": "r", "result": {"status": "succeeded"}})
    with pytest.raises(ModelCompressFailedError, match="names no new version"):
        await model.acompress("Sparsity")


async def test_giving_up_the_wait_keeps_the_compression(platform: Platform, emulator: Emulator) -> None:
    emulator.compression.script(after_looks=3)
    model = await new_model(platform)
    with anyio.CancelScope() as scope:
        await model.acompress("Sparsity", tell=lambda description, data: scope.cancel())
    assert scope.cancelled_caught
    made = await model.acompress("Sparsity")
    again = await model.acompress("Sparsity")
    assert made.id == again.id
    assert emulator.count("CreateModelCompTask") == 1


async def test_the_wait_sleeps_as_the_setting_says(emulator: Emulator, clock: JumpClock) -> None:
    emulator.compression.script(after_looks=40)
    client = client_for(clock, model_comp_status_polling_interval=15)
    model = await new_model(Platform(client))
    began = clock.monotonic()
    await model.acompress("Sparsity")
    assert 40 * 15 * 0.5 < clock.monotonic() - began < 40 * 15


# --- once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drop", ["after", "during"])
async def test_an_order_whose_answer_is_lost_is_found(emulator: Emulator, platform: Platform, drop: Any) -> None:
    model = await new_model(platform)
    emulator.faults.add("CreateModelCompTask", drop=drop)
    made = await model.acompress("Quantization", "W4A16C16")
    [task] = emulator.compressions.values()
    assert task.model_id == made.id
    assert emulator.count("CreateModelCompTask") == 1


async def test_others_of_the_same_model_are_not_taken_for_it(emulator: Emulator, platform: Platform) -> None:
    model = await new_model(platform)
    first = await model.acompress("Sparsity")
    emulator.faults.add("CreateModelCompTask", drop="after")
    second = await Model(model.set_id, model.id, client=platform.client).acompress("Sparsity")
    assert first.id != second.id
    assert emulator.made("compression") == 2


@pytest.mark.parametrize("answer", [b"<html>a gateway speaks</html>", {"requestId": "r", "result": {}}], ids=str)
async def test_an_effect_under_a_bad_answer_is_found(emulator: Emulator, clock: JumpClock, answer: Any) -> None:
    network = Meddling(emulator.transport(), "CreateModelCompTask", answering(200, answer))
    client = client_for(clock, network)
    made = await (await new_model(Platform(client))).acompress("Sparsity")
    assert made.id in emulator.models
    assert (network.attempts, emulator.made("compression")) == (1, 1)


async def test_an_order_that_does_not_show_up_is_not_repeated(
    emulator: Emulator, platform: Platform, clock: JumpClock
) -> None:
    model = await new_model(platform)
    emulator.faults.add("CreateModelCompTask", drop="before")
    with pytest.raises(OutcomeUnknownError, match="a compression 'c_") as caught:
        await model.acompress("Sparsity")
    assert caught.value.what == "compression"
    assert clock.monotonic() >= 120
    assert (emulator.count("CreateModelCompTask"), emulator.made("compression")) == (1, 0)


async def test_a_refused_order_may_be_repeated(emulator: Emulator, platform: Platform) -> None:
    model = await new_model(platform)
    emulator.faults.add("CreateModelCompTask", status=403, code="AccessDenied", message="no")
    with pytest.raises(APIError, match="AccessDenied"):
        await model.acompress("Sparsity")
    assert (await model.acompress("Sparsity")).id in emulator.models


async def test_a_cancelled_order_is_known_all_the_same(emulator: Emulator, clock: JumpClock) -> None:
    """Cancelled while the request is on its way: its answer is waited for, and the next call goes on from there."""
    scope = anyio.CancelScope()

    async def mishap(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        scope.cancel()
        return await pass_on(request)

    client = client_for(clock, Meddling(emulator.transport(), "CreateModelCompTask", mishap))
    model = await new_model(Platform(client))
    with scope:
        await model.acompress("Sparsity")
    assert scope.cancelled_caught
    assert (await model.acompress("Sparsity")).id in emulator.models
    assert emulator.count("CreateModelCompTask") == 1


async def test_two_at_once_wait_for_one_order(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)
    made: list[str | None] = []

    async def order() -> None:
        made.append((await model.acompress("Sparsity")).id)

    async with anyio.create_task_group() as group:
        group.start_soon(order)
        group.start_soon(order)
    assert emulator.count("CreateModelCompTask") == 1
    assert len(set(made)) == 1

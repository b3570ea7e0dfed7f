"""Models: which one is meant, publishing, deploying, asking."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import (
    APIError,
    InternalError,
    InvalidArgumentError,
    ModelPublishFailedError,
    ServiceDeployFailedError,
    TrainJobFailedError,
)
from qianfan.model import DeployConfig, Model
from qianfan.pipeline import Purchases, Row, RunRecord
from qianfan.resources import Platform
from tests.support.clock import JumpClock
from tests.support.emulated import new_job, new_task, ready_version, trained

pytestmark = pytest.mark.anyio

HI = {"messages": [{"role": "user", "content": "hi"}]}
CHAT = DeployConfig(service_type="Chat")

faces = pytest.mark.parametrize("face", ["sync", "async"])


async def drive(face: str, target: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method on one of its two faces."""
    if face == "async":
        return await getattr(target, "a" + method)(*args, **kwargs)
    return await anyio.to_thread.run_sync(lambda: getattr(target, method)(*args, **kwargs))


# --- which one is meant --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "set_id", "id"),
    [
        (lambda: Model("am-1", "amv-1"), "am-1", "amv-1"),
        (lambda: Model(set_id="am-1", id="amv-1"), "am-1", "amv-1"),
        (lambda: Model(id="am-1", version_id="amv-1"), "am-1", "amv-1"),
        (lambda: Model("am-1", version_id="amv-1"), "am-1", "amv-1"),
        (lambda: Model(version_id="amv-1"), None, "amv-1"),
        (lambda: Model(id="amv-1"), None, "amv-1"),
        (lambda: Model("amv-1"), None, "amv-1"),
        (lambda: Model(id="am-1"), "am-1", None),
        (lambda: Model("am-1"), "am-1", None),
        (lambda: Model(1, 2), 1, 2),
        (lambda: Model(id=1, version_id=2), 1, 2),
        (lambda: Model(id=2), None, 2),
        (lambda: Model(1), 1, None),
        (lambda: Model("1", "2"), "1", "2"),
        (lambda: Model(), None, None),
    ],
)
async def test_old_and_new_ways_of_naming_a_model(
    emulator: Emulator, given: Any, set_id: str | int | None, id: str | int | None
) -> None:
    model = given()
    assert (model.set_id, model.id, model.version_id) == (set_id, id, id)
    assert not emulator.requests


@faces
@pytest.mark.parametrize("form", ["version", "set", "number", "digits", "set number"])
async def test_what_is_not_known_is_asked_for(
    face: str, form: str, client: Client, platform: Platform, emulator: Emulator
) -> None:
    set_id, version_id = await ready_version(platform)
    number, set_number = emulator.models[version_id].number, emulator.model_sets[set_id].number
    ids: dict[str, Any] = {
        "version": {"id": version_id},
        "set": {"set_id": set_id},
        "number": {"set_id": set_number, "id": number},
        "digits": {"set_id": str(set_number), "id": str(number)},
        "set number": {"set_id": set_number},
    }[form]
    model = Model(**ids, client=client)
    assert await drive(face, model, "auto_complete_info") is model
    task = emulator.tasks[str(model.task_id)]
    assert (model.set_id, model.id, model.name, model.job_id) == (set_id, version_id, "my model", task.job_id)
    assert await Model(**ids, client=client).aids() == (set_id, version_id)


async def test_known_ids_need_no_request(client: Client, emulator: Emulator) -> None:
    assert await Model("am-1", "amv-1", client=client).aids() == ("am-1", "amv-1")
    assert not emulator.requests


async def test_what_is_not_there_yet(client: Client, platform: Platform) -> None:
    with pytest.raises(InvalidArgumentError, match=r"Model\(task_id='task-1'\) is not published yet"):
        await Model(task_id="task-1", client=client).aids()
    with pytest.raises(InvalidArgumentError, match="has no version id"):
        await Model(task_id="task-1", client=client).adetail()
    empty = await platform.models_v2.create_set("empty")
    with pytest.raises(InternalError, match="holds no version yet"):
        await Model(empty, client=client).aids()
    with pytest.raises(APIError, match="amv-none"):
        await Model("amv-none", client=client).aauto_complete_info()


async def test_as_plain_values_and_back(client: Client, platform: Platform) -> None:
    model = await Model(*await ready_version(platform), client=client).aauto_complete_info()
    facts = json.loads(json.dumps(model.to_dict()))
    again = Model.from_dict(facts, client=client)
    assert again.to_dict() == facts
    assert (await again.adetail()).version_id == model.id
    assert repr(again) == repr(model)
    assert "my model" not in repr(Model(name="my model"))
    assert repr(model) in model._repr_html_()


# --- publish -------------------------------------------------------------------------------------------------


@faces
async def test_publishing_twice_orders_once(face: str, client: Client, platform: Platform, emulator: Emulator) -> None:
    task = await trained(platform)
    model = Model(task_id=task.task_id, client=client)
    assert await drive(face, model, "publish") is model
    assert model.job_id == task.job_id
    assert emulator.models[str(model.id)].state == "Ready"
    assert emulator.model_sets[str(model.set_id)].name == model.name
    await drive(face, model, "publish")
    other = Model(task_id=task.task_id, job_id=task.job_id, client=client)
    await drive(face, other, "publish")
    assert (other.set_id, other.id) == (model.set_id, model.id)
    assert len(emulator.models) == 1


async def test_a_name_of_ones_own_and_one_that_is_taken(client: Client, platform: Platform, emulator: Emulator) -> None:
    task = await trained(platform)
    model = await Model(task_id=task.task_id, client=client).apublish("mine")
    assert (model.name, emulator.model_sets[str(model.set_id)].name) == ("mine", "mine")
    with pytest.raises(APIError) as caught:
        await Model(task_id=task.task_id, client=client).apublish("mine")
    assert caught.value.code == 70101
    named = await Model(task_id=task.task_id, name="other", client=client).apublish()
    assert emulator.model_sets[str(named.set_id)].name == "other"


async def test_a_published_version_is_only_waited_for(client: Client, platform: Platform, emulator: Emulator) -> None:
    emulator.publishing.script(after_looks=4)
    task = await trained(platform)
    made = await platform.models.publish(job_id=task.job_id, task_id=task.task_id, name="mine")
    told: list[str] = []
    model = Model(version_id=made.version_id, client=client)
    await model.apublish(tell=lambda description, data: told.append(description))
    assert told == [f"model {made.version_id} is Creating"] * 4
    assert emulator.count("publishTrainModel") == 1


@pytest.mark.parametrize("ends", ["Failed", "Stopped"])
async def test_a_run_that_failed_cannot_be_published(
    client: Client, platform: Platform, emulator: Emulator, ends: str
) -> None:
    emulator.training.script(ends=ends)
    task_id = await new_task(platform, await new_job(platform))
    with pytest.raises(TrainJobFailedError, match=f"is '{ends}'; only one that is Done can be published") as caught:
        await Model(task_id=task_id, client=client).apublish()
    assert (caught.value.task_id, caught.value.status) == (task_id, ends)
    assert caught.value.job_id in emulator.jobs
    assert emulator.count("publishTrainModel") == 0


async def test_a_run_under_way_is_waited_for(
    client: Client, platform: Platform, emulator: Emulator, clock: JumpClock
) -> None:
    emulator.training.script(after_looks=5, waits=2)
    task_id = await new_task(platform, await new_job(platform))
    await Model(task_id=task_id, client=client).apublish()
    assert emulator.tasks[task_id].state == "Done"
    assert emulator.count("DescribeFineTuningTask") == 6


async def test_a_publication_that_fails(client: Client, platform: Platform, emulator: Emulator) -> None:
    emulator.publishing.script(ends="Fail")
    task = await trained(platform)
    model = Model(task_id=task.task_id, client=client)
    with pytest.raises(ModelPublishFailedError, match="ended as 'Fail' instead of 'Ready'") as caught:
        await model.apublish()
    assert (caught.value.model_id, caught.value.status) == (model.id, "Fail")


async def test_nothing_to_publish(client: Client, emulator: Emulator) -> None:
    with pytest.raises(InvalidArgumentError, match="neither a version nor a training task"):
        await Model(client=client).apublish()
    assert not emulator.requests


async def test_a_version_whose_id_is_not_told_is_looked_up(
    client: Client, platform: Platform, emulator: Emulator
) -> None:
    set_id, version_id = await ready_version(platform)
    task_id = emulator.models[version_id].task_id
    emulator.faults.add("publishTrainModel", body={"log_id": "1", "result": {"modelIDStr": set_id}})
    model = await Model(task_id=task_id, client=client).apublish("mine")
    assert (model.set_id, model.id) == (set_id, version_id)


async def test_what_is_made_is_written_down_before_it_is_waited_for(
    client: Client, platform: Platform, emulator: Emulator
) -> None:
    """Whoever goes on from there waits for it, and orders nothing."""
    emulator.publishing.script(after_looks=math.inf)
    task = await trained(platform)

    class Enough(Exception):
        pass

    async def write(changes: Mapping[str, Row], *_: Any, **__: Any) -> None:
        await record.write(changes)
        if purchases.known("model") is not None:
            raise Enough

    record = RunRecord()
    purchases = Purchases(record, write, run_id="run", action_id="publish", clock=client.clock)
    with pytest.raises(Enough):
        await Model(task_id=task.task_id, client=client).apublish(purchases=purchases)
    made = purchases.known("model")
    assert made is not None
    assert made.id in emulator.models
    assert made.facts["set_id"] in emulator.model_sets
    assert emulator.count("modelVersionDetail") == 0

    with anyio.CancelScope() as scope:
        model = Model(task_id=task.task_id, client=client)
        await model.apublish(tell=lambda description, data: scope.cancel(), purchases=purchases)
    assert (model.set_id, model.id) == (made.facts["set_id"], made.id)
    assert emulator.count("publishTrainModel") == 1


# --- deploy and ask ------------------------------------------------------------------------------------------


@faces
async def test_deploying_twice_gives_the_same_service(
    face: str, client: Client, platform: Platform, emulator: Emulator
) -> None:
    model = Model(*await ready_version(platform), client=client)
    with pytest.raises(InvalidArgumentError, match=r"is not deployed; call deploy\(DeployConfig"):
        await drive(face, model, "exec", HI)
    service = await drive(face, model, "deploy", CHAT)
    assert await drive(face, model, "deploy", CHAT) is service is model.service
    assert emulator.count("CreateService") == 1
    assert emulator.services[str(service.id)].model_id == model.id
    assert service.model is model
    answer = await drive(face, model, "exec", HI)
    assert answer["result"]
    assert emulator.requests[-1].path.endswith(f"/chat/{service.endpoint}")


async def test_a_run_is_published_on_the_way_to_a_service(
    client: Client, platform: Platform, emulator: Emulator
) -> None:
    task = await trained(platform)
    model = Model(task_id=task.task_id, client=client)
    service = await model.adeploy(CHAT)
    assert emulator.services[str(service.id)].model_id == model.id


async def test_after_a_deployment_that_failed_a_new_one_is_ordered(
    client: Client, platform: Platform, emulator: Emulator
) -> None:
    emulator.deployment.script(ends="Failed", times=1)
    model = Model(*await ready_version(platform), client=client)
    with pytest.raises(ServiceDeployFailedError) as caught:
        await model.adeploy(CHAT)
    assert model.service is None
    service = await model.adeploy(CHAT)
    assert service.id != caught.value.service_id
    assert emulator.count("CreateService") == 2

"""Services: deploying, looking, asking."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import anyio
import anyio.to_thread
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import APIError, ArgumentNotFoundError, InvalidArgumentError, ServiceDeployFailedError
from qianfan.model import DeployConfig, Model, Service, ServiceType
from qianfan.pipeline import Phase, Purchases, Row, RunRecord
from qianfan.resources import ChatCompletion, Completion, Embedding, Platform, Text2Image
from tests.support.emulated import ready_version

pytestmark = pytest.mark.anyio

HI = {"messages": [{"role": "user", "content": "hi, how are you today?"}]}

faces = pytest.mark.parametrize("face", ["sync", "async"])


async def ask(face: str, service: Service, *args: Any, **kwargs: Any) -> Any:
    """One answer, or all pieces of a streamed one as a list."""
    if face == "async":
        answer = await service.aexec(*args, **kwargs)
        return [piece async for piece in answer] if kwargs.get("stream") else answer

    def blocking() -> Any:
        answer = service.exec(*args, **kwargs)
        return list(answer) if kwargs.get("stream") else answer

    return await anyio.to_thread.run_sync(blocking)


async def new_service(platform: Platform, config: DeployConfig | None = None) -> Service:
    """A service that is still to be deployed."""
    model = Model(*await ready_version(platform), client=platform.client)
    return Service(model=model, deploy_config=config or DeployConfig(service_type="Chat"), client=platform.client)


# --- asking --------------------------------------------------------------------------------------------------


KINDS: list[tuple[ServiceType, dict[str, Any], Any, str]] = [
    (ServiceType.Chat, HI, ChatCompletion, "ERNIE-Speed-8K"),
    (ServiceType.Completion, {"prompt": "select"}, Completion, "SQLCoder-7B"),
    (ServiceType.Embedding, {"texts": ["one", "two"]}, Embedding, "Embedding-V1"),
    (ServiceType.Text2Image, {"prompt": "a cat"}, Text2Image, "Stable-Diffusion-XL"),
]
kinds = pytest.mark.parametrize(("service_type", "input", "resource", "model"), KINDS)


@faces
@kinds
async def test_a_preset_model_of_every_kind(
    face: str, service_type: ServiceType, input: dict[str, Any], resource: Any, model: str, client: Client
) -> None:
    service = Service(model=model, service_type=service_type, client=client)
    assert type(service.get_res()) is resource
    answer = await ask(face, service, input)
    assert answer.get("result") or answer["data"]


@faces
@kinds
async def test_streaming_where_there_is_any(
    face: str, service_type: ServiceType, input: dict[str, Any], resource: Any, model: str, client: Client
) -> None:
    service = Service(model=model, service_type=service_type, client=client)
    if service_type in (ServiceType.Embedding, ServiceType.Text2Image):
        with pytest.raises(InvalidArgumentError, match="leave out stream=True"):
            await ask(face, service, input, stream=True)
        return
    pieces = await ask(face, service, input, stream=True)
    assert pieces[-1]["is_end"]
    assert pieces[-1]["usage"]
    assert "".join(piece.text for piece in pieces) == (await ask(face, service, input))["result"]


@faces
async def test_an_endpoint_that_exists_already(face: str, client: Client, emulator: Emulator) -> None:
    service = Service(endpoint="ernie_speed", client=client)
    assert service.service_type is ServiceType.Chat
    await ask(face, service, HI, temperature=0.5, system="be kind")
    assert emulator.requests[-1].path.endswith("/chat/ernie_speed")
    body = dict(emulator.requests[-1].body)
    assert body.pop("extra_parameters")
    assert body == {**HI, "temperature": 0.5, "system": "be kind"}


@faces
async def test_keywords_win_over_the_input(face: str, client: Client, emulator: Emulator) -> None:
    given = {**HI, "temperature": 0.1}
    await ask(face, Service(endpoint="ernie_speed", client=client), given, temperature=0.9)
    assert emulator.requests[-1].body["temperature"] == 0.9
    assert given["temperature"] == 0.1


@faces
async def test_nothing_to_ask(face: str, client: Client, emulator: Emulator) -> None:
    service = Service(endpoint="ernie_speed", client=client)
    with pytest.raises(InvalidArgumentError, match="there is nothing to ask"):
        await ask(face, service, None)
    with pytest.raises(ArgumentNotFoundError, match="ChatCompletion needs 'messages'"):
        await ask(face, service, {"prompt": "hi"})
    assert not emulator.requests


async def test_what_cannot_be_asked_yet(client: Client, emulator: Emulator) -> None:
    for service in (Service(client=client), Service("svco-1", client=client), Service(model=Model("amv-1"))):
        with pytest.raises(InvalidArgumentError, match="cannot be asked yet: deploy it"):
            await service.aexec(HI)
    assert not emulator.requests


async def test_a_reader_may_leave_early(client: Client) -> None:
    service = Service(endpoint="ernie_speed", client=client)
    async with aclosing(await service.aexec(HI, stream=True)) as pieces:
        assert (await anext(pieces)).text
    assert (await service.aexec(HI))["result"]


@pytest.mark.parametrize("kind", ["Plugin", "", 3])
def test_kinds_there_are_none_of(kind: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"service_type must be one of Chat, Completion, .*not"):
        Service(endpoint="e", service_type=kind)


# --- deploying -----------------------------------------------------------------------------------------------


@faces
async def test_a_deployment_from_beginning_to_end(face: str, platform: Platform, emulator: Emulator) -> None:
    service = await new_service(
        platform, DeployConfig(name="mine", endpoint_prefix="abc", service_type="Chat", hours=2)
    )
    if face == "async":
        assert await service.adeploy() is service
        assert await service.astatus() == "Serving"
    else:
        assert await anyio.to_thread.run_sync(service.deploy) is service
        assert await anyio.to_thread.run_sync(lambda: service.status) == "Serving"
    made = emulator.services[str(service.id)]
    assert (made.name, made.endpoint, made.url_suffix) == ("mine", service.endpoint, "abc")
    assert made.billing["reservation"] == {"reservationTimeUnit": "Hour", "reservationLength": 2}
    assert service.service_type is ServiceType.Chat
    assert (await ask(face, service, HI))["result"]


async def test_waiting_is_told(platform: Platform, emulator: Emulator) -> None:
    emulator.deployment.script(after_looks=3, waits=2)
    told: list[str] = []
    service = await new_service(platform)
    await service.adeploy(tell=lambda description, data: told.append(description))
    new = f"service {service.id} is New (waiting for payment or for free machines)"
    assert told == [new, new, f"service {service.id} is Deploying"]


@pytest.mark.parametrize("config", [DeployConfig(service_type="Chat"), DeployConfig(name="mine", service_type="Chat")])
async def test_a_second_deployment_only_waits(platform: Platform, emulator: Emulator, config: DeployConfig) -> None:
    service = await new_service(platform, config)
    await service.adeploy()
    await service.adeploy()
    again = Service(service.id, client=platform.client)
    await again.adeploy()
    assert again.endpoint == service.endpoint
    assert emulator.count("CreateService") == 1


async def test_a_deployment_that_fails_is_named(platform: Platform, emulator: Emulator) -> None:
    emulator.deployment.script(ends="Failed")
    service = await new_service(platform)
    with pytest.raises(ServiceDeployFailedError, match="ended as 'Failed' instead of 'Serving'") as caught:
        await service.adeploy()
    assert (caught.value.service_id, caught.value.status) == (service.id, "Failed")
    assert str(service.id) in str(caught.value)


async def test_a_state_that_is_new_ends_the_wait(platform: Platform, emulator: Emulator) -> None:
    """It may well be an end; waiting for ever would be worse than asking a person to look."""
    result = {"serviceId": "svco-1", "runStatus": "Hibernating"}
    emulator.faults.add("DescribeService", body={"requestId": "r", "result": result})
    with pytest.raises(ServiceDeployFailedError, match="'Hibernating'"):
        await Service("svco-1", client=platform.client).adeploy()


async def test_giving_up_the_wait_keeps_the_deployment(platform: Platform, emulator: Emulator) -> None:
    emulator.deployment.script(after_looks=math.inf)
    model = Model(*await ready_version(platform), client=platform.client)
    with anyio.CancelScope() as scope:
        service = Service(model=model, deploy_config=DeployConfig(service_type="Chat"), client=platform.client)
        await service.adeploy(tell=lambda description, data: scope.cancel())
    assert scope.cancelled_caught
    assert service.id in emulator.services
    with anyio.CancelScope() as scope:
        await service.adeploy(tell=lambda description, data: scope.cancel())
    assert emulator.count("CreateService") == 1


async def test_the_order_is_written_down_before_it_leaves_and_the_id_before_it_is_waited_for(
    platform: Platform, emulator: Emulator
) -> None:
    noted: list[tuple[Phase, str | None, int, int]] = []

    async def write(changes: Mapping[str, Row], *_: Any, **__: Any) -> None:
        await record.write(changes)
        [row] = changes.values()
        sent, looked = emulator.count("CreateService"), emulator.count("DescribeService")
        noted.append((row.phase, row.external_id, sent, looked))

    record = RunRecord()
    desk = Purchases(record, write, run_id="run", action_id="deploy", clock=platform.client.clock)
    service = await new_service(platform)
    await service.adeploy(purchases=desk)
    assert noted == [(Phase.INTENT, None, 0, 0), (Phase.ACCEPTED, service.id, 1, 0)]


async def test_a_service_carries_the_label_of_its_order(platform: Platform, emulator: Emulator) -> None:
    """Behind the user's own words, which are cut where both do not fit: a name may be another service's as well."""

    async def write(changes: Mapping[str, Row], *_: Any, **__: Any) -> None:
        await record.write(changes)

    record = RunRecord()
    desk = Purchases(record, write, run_id="run", action_id="deploy", clock=platform.client.clock)
    words = "for the shop " * 38
    service = await new_service(platform, DeployConfig(service_type="Chat", name="mine", description=words))
    await service.adeploy(purchases=desk)
    [order] = [request.body for request in emulator.requests if request.name == "CreateService"]
    assert order["name"] == "mine"
    said, label = order["description"].split(" qf:")
    assert label == "run/deploy.service/0"
    assert words.startswith(said)
    assert 470 < len(order["description"]) <= 500


async def test_what_a_deployment_needs(platform: Platform, client: Client, emulator: Emulator) -> None:
    config = DeployConfig(service_type="Chat")
    for service in (
        Service(client=client),
        Service(deploy_config=config, client=client),
        Service(model="ERNIE-Speed-8K", deploy_config=config, client=client),
        Service(model=Model("am-1", "amv-1"), client=client),
    ):
        with pytest.raises(InvalidArgumentError, match="needs a Model and a DeployConfig"):
            await service.adeploy()
    with pytest.raises(InvalidArgumentError, match="has no id"):
        await Service(client=client).astatus()
    unpublished = Model(task_id="task-1", client=client)
    with pytest.raises(InvalidArgumentError, match="is not published yet"):
        await Service(model=unpublished, deploy_config=config, client=client).adeploy()
    assert not emulator.requests


async def test_a_refused_deployment(platform: Platform, emulator: Emulator) -> None:
    service = await new_service(platform, DeployConfig(service_type="Chat", extras={"protocolVersion": 9}))
    with pytest.raises(APIError, match="protocolVersion"):
        await service.adeploy()
    assert service.id is None
    assert not emulator.services


# --- plain values --------------------------------------------------------------------------------------------


async def test_as_plain_values_and_back(platform: Platform, client: Client) -> None:
    service = await new_service(platform)
    await service.adeploy()
    facts = json.loads(json.dumps(service.to_dict()))
    again = Service.from_dict(facts, client=client)
    assert again.to_dict() == facts
    assert await again.astatus() == "Serving"
    assert (await again.aexec(HI))["result"] == (await service.aexec(HI))["result"]
    preset = Service.from_dict(Service(model="ERNIE-Speed-8K").to_dict(), client=client)
    assert (await preset.aexec(HI))["result"]


async def test_making_and_showing_sends_nothing(emulator: Emulator) -> None:
    assert repr(Service("svco-1", "abc")) == "Service(id='svco-1', endpoint='abc', service_type='Chat')"
    assert repr(Service(model="ERNIE-Speed-8K")) == "Service(service_type='Chat', model='ERNIE-Speed-8K')"
    assert Service(deploy_config=DeployConfig(service_type="Completion")).service_type is ServiceType.Completion
    assert not emulator.requests

"""Services by their documented names, both generations."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from qianfan._sync import run_sync
from qianfan.emulator.account import Account
from qianfan.emulator.server import Running
from qianfan.errors import APIError, InvalidArgumentError
from qianfan.resources import Charge, ChatCompletion, Model, Service
from qianfan.resources.console.consts import DeployPoolType, ServiceType
from qianfan.resources.platform import Platform
from tests.contract.conftest import Faces
from tests.contract.steps import HOUR, deployed, new_service, published

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

HI = [{"role": "user", "content": "hello there"}]


async def status_of(ask: Faces, service: str) -> str:
    return str((await ask(Service.V2, "service_detail", service))["result"]["runStatus"])


def numbers(account: Account, model: tuple[str, str]) -> dict[str, Any]:
    with account.lock:
        model_set, version = account.model_sets.get(model[0]), account.models.get(model[1])
        assert model_set is not None
        assert version is not None
        return {"model_id": model_set.number, "model_version_id": version.number}


# --- V1 ----------------------------------------------------------------------------------------------------------


@pytest.mark.covers("/service/apply", "/service/detail", "PurchaseServiceResource")
async def test_a_private_service_waits_until_it_is_paid_for(ask: Faces, account: Account) -> None:
    ids = numbers(account, await published(ask, account))
    made = (await ask(Service, "create", **ids, name="my_svc", uri="my-svc", replicas=2))["result"]
    assert made["result"] is True
    for _ in range(3):
        detail = (await ask(Service, "get", made["serviceId"]))["result"]
        assert (detail["serviceStatus"], detail["aiModelVersionId"]) == ("New", ids["model_version_id"])
    await ask(Charge, "purchase_service_resource", made["serviceUuid"], HOUR, 2, confirm=True)
    detail = (await ask(Service, "get", made["serviceId"]))["result"]
    assert detail["serviceStatus"] == "Done"
    assert detail["url"].endswith("_my-svc")
    with account.lock:
        [unit] = account.units
        assert (unit.uses, unit.payment_timing) == ({made["serviceUuid"]: 2}, "Prepaid")


@pytest.mark.covers("/service/apply")
async def test_a_public_service_needs_no_machines_of_its_own(ask: Faces, account: Account) -> None:
    ids = numbers(account, await published(ask, account))
    pool = DeployPoolType.PublicResource
    made = (await ask(Service, "create", *ids.values(), "my_svc", "my_svc", 1, pool))["result"]
    assert (await ask(Service, "get", made["serviceId"]))["result"]["serviceStatus"] == "Done"
    with pytest.raises(APIError, match=r"param\[modelId\]"):
        await ask(Service, "create", "am-1", "amv-1", "my_svc", "my_svc", 1)


@pytest.mark.covers("/service/list")
async def test_what_there_is_to_ask(ask: Faces, account: Account) -> None:
    service = await deployed(ask, account)
    listed = (await ask(Service, "list", [ServiceType.Chat, "embeddings"]))["result"]
    assert [one["name"] for one in listed["custom"]] == ["my_svc"]
    assert listed["custom"][0]["url"] == service["url"]
    assert set(listed["common"][0]) == {"name", "url", "apiType", "chargeStatus", "versionList"}
    assert {one["apiType"] for one in listed["common"]} == {"chat", "embeddings"}
    assert len((await ask(Service, "list"))["result"]["common"]) > len(listed["common"])


@pytest.mark.covers("/service/appList")
async def test_the_applications(ask: Faces, account: Account, served: Running) -> None:
    class Typed:
        """Its answer holds secrets, so it has no documented name that would print them."""

        apps = staticmethod(lambda: run_sync(Platform().services_v1.apps))
        aapps = staticmethod(lambda: Platform().services_v1.apps())

    [app] = await ask(Typed, "apps")
    keys = account.keys
    assert keys is not None
    assert (app.ak.get_secret_value(), app.sk.get_secret_value()) == (keys.ak, keys.sk)
    assert keys.sk not in f"{app} {app!r}"
    assert served.platform.log.recent()[-1].method == "GET"


# --- V2 ----------------------------------------------------------------------------------------------------------


@pytest.mark.covers("CreateService", "DescribeService")
async def test_buying_a_deployment(ask: Faces, account: Account, served: Running) -> None:
    model = await published(ask, account)
    resources = {"type": "GPU-I-4", "replicasCount": 2, "qps": 0.5}
    made = await new_service(ask, model, resource_config=resources, description="d")
    sent = served.platform.log.recent()[-1].body
    assert sent == {
        "modelSetId": model[0],
        "modelId": model[1],
        "name": "my_svc",
        "urlSuffix": "my_svc",
        "description": "d",
        "resourceConfig": resources,
        "billing": HOUR,
    }
    with account.lock:
        unit = account.units.get(made["instanceId"])
        assert unit is not None
        assert (unit.type, unit.replicas, unit.uses) == ("GPU-I-4", 2, {made["serviceId"]: 2})
    detail = (await ask(Service.V2, "service_detail", made["serviceId"]))["result"]
    assert (detail["modelSetId"], detail["modelId"]) == model
    assert (detail["runStatus"], detail["chargeStatus"], detail["payType"]) == ("Serving", "Opened", "Prepay")
    assert (detail["chargeType"], detail["updateStatus"]) == ("ComputingUnit", "None")
    assert detail["resourceConfig"] == resources
    assert (await ChatCompletion(endpoint=detail["endpoint"]).ado(HI))["result"]


@pytest.mark.covers("CreateService", "DescribeComputeUnits", "PurchaseServiceResource", "ReleaseComputeUnit")
async def test_a_service_runs_while_it_is_paid_for(ask: Faces, account: Account) -> None:
    model = await published(ask, account)
    made = await new_service(ask, model, billing=None)
    service = made["serviceId"]
    assert made["instanceId"] == ""
    assert [await status_of(ask, service) for _ in range(3)] == ["New"] * 3
    assert (await ask(Service.V2, "service_detail", service))["result"]["chargeStatus"] == "NotOpen"
    bought = (await ask(Charge, "purchase_service_resource", service, HOUR, 1, confirm=True))["result"]
    assert await status_of(ask, service) == "Serving"
    endpoint = (await ask(Service.V2, "service_detail", service))["result"]["endpoint"]
    assert (await ChatCompletion(endpoint=endpoint).ado(HI))["result"]
    release = "release_service_resource_instance_info"
    assert (await ask(Charge, release, service, bought["instanceId"]))["result"] is True
    assert await status_of(ask, service) == "Stopped"
    with pytest.raises(APIError, match="Stopped"):
        await ChatCompletion(endpoint=endpoint).ado(HI)
    with pytest.raises(APIError, match=r"param\[instanceId\]"):
        await ask(Charge, release, service, bought["instanceId"])
    assert (await ask(Charge, "get_service_resource_list", service))["result"] == []
    await ask(Charge, "purchase_service_resource", service, {"paymentTiming": "Postpaid"}, 1, confirm=True)
    assert await status_of(ask, service) == "Serving"
    assert (await ChatCompletion(endpoint=endpoint).ado(HI))["result"]


@pytest.mark.covers("CreateService")
async def test_paying_by_tokens_or_running_on_what_is_there(ask: Faces, account: Account) -> None:
    model = await published(ask, account)
    by_tokens = {"paymentTiming": "Postpaid", "chargeType": "Tokens"}
    service = (await new_service(ask, model, billing=by_tokens))["serviceId"]
    detail = (await ask(Service.V2, "service_detail", service))["result"]
    assert (detail["runStatus"], detail["chargeType"], detail["payType"]) == ("Serving", "Tokens", "Postpay")
    with account.lock:
        assert len(account.units) == 0

    owner = await new_service(ask, model, "owner", resource_config={"replicasCount": 1})
    unit = owner["instanceId"]
    config = {"deploymentComputeUnitList": [{"instanceId": unit, "deploymentReplicasCount": 1}]}
    given = {"billing": None, "resource_config": None, "extras": {"deploymentConfig": config}}
    with pytest.raises(APIError, match="no room"):
        await new_service(ask, model, "guest", **given)
    await ask(Charge, "resize_service_resource_count", unit, 2, confirm=True)
    guest = (await new_service(ask, model, "guest", **given))["serviceId"]
    assert await status_of(ask, guest) == "Serving"
    await ask(Charge, "release_service_resource_instance_info", guest, unit)
    assert [await status_of(ask, one) for one in (guest, owner["serviceId"], service)] == [
        "Stopped",
        "Stopped",
        "Serving",
    ]


@pytest.mark.covers("DescribeServices")
async def test_listing_by_every_filter(ask: Faces, account: Account) -> None:
    model = await published(ask, account)
    for name in ("one", "two"):
        await new_service(ask, model, name)
    await new_service(ask, model, "tokens", billing={"paymentTiming": "Postpaid", "chargeType": "Tokens"})
    await new_service(ask, model, "waits", billing=None)

    async def names(*args: Any, **wanted: Any) -> list[str]:
        result = (await ask(Service.V2, "service_list", *args, **wanted))["result"]
        return [one["name"] for one in result["serviceList"]]

    assert await names() == ["waits", "tokens", "two", "one"]
    assert await names(None, 1, True) == ["one"]
    assert await names(name="w") == ["waits", "two"]
    assert await names(run_status=["New"]) == ["waits"]
    assert await names(charge_type="Tokens") == ["tokens"]
    assert await names(pay_type="Prepay") == ["two", "one"]
    assert await names(service_type=[ServiceType.Text2Image]) == []
    assert await names(creator=["somebody"]) == []
    assert await names(protocol_version=2) == []


@pytest.mark.covers("ModifyService")
async def test_serving_another_version(ask: Faces, account: Account) -> None:
    service = await deployed(ask, account)
    config = {"strategy": "Sparsity"}
    ids = service["modelId"], config, service["modelSetId"]
    task = (await ask(Model.V2, "create_model_comp_task", "c", *ids))["result"]
    made = (await ask(Model.V2, "describe_model_comp_task", task))["result"]["modelId"]
    assert (await ask(Service.V2, "modify_service", service["serviceId"], service["modelSetId"], made))["result"]
    seen = (await ask(Service.V2, "service_detail", service["serviceId"]))["result"]
    assert (seen["modelId"], seen["url"], seen["runStatus"]) == (made, service["url"], "Serving")
    [unit] = (await ask(Charge, "get_service_resource_list", service["serviceId"]))["result"]
    await ask(Charge, "release_service_resource_instance_info", service["serviceId"], unit["instanceId"])
    await ask(Service.V2, "modify_service", service["serviceId"], service["modelSetId"], service["modelId"])
    assert await status_of(ask, service["serviceId"]) == "Stopped"


@pytest.mark.covers("DescribeServiceMetric")
async def test_calls_are_counted(ask: Faces, account: Account) -> None:
    service = await deployed(ask, account)
    chat = ChatCompletion(endpoint=service["endpoint"])
    answer = await chat.ado(HI)
    pieces = [piece async for piece in await chat.ado(HI, stream=True)]
    with pytest.raises(APIError):
        await chat.ado(HI, temperature=9)
    used = [answer["usage"], pieces[-1]["usage"]]
    now = datetime.now(timezone.utc)
    span = now - timedelta(hours=1), now + timedelta(hours=1)
    result = (await ask(Service.V2, "service_metric", *span, [service["serviceId"]]))["result"]
    assert set(result) == {"startTime", "endTime", "serviceList"}
    [entry] = result["serviceList"]
    assert (entry["serviceId"], entry["serviceName"]) == (service["serviceId"], "my_svc")
    [app] = entry["appList"]
    assert app["metric"] == {
        "inputTokensTotal": sum(one["prompt_tokens"] for one in used),
        "outputTokensTotal": sum(one["completion_tokens"] for one in used),
        "tokensTotal": sum(one["total_tokens"] for one in used),
        "succeedCallTotal": 2,
        "failureCallTotal": 1,
        "callTotal": 3,
    }
    before = ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
    assert (await ask(Service.V2, "service_metric", *before))["result"]["serviceList"][0]["appList"] == []
    other = await ask(Service.V2, "service_metric", *span, service["serviceId"], "another app")
    assert other["result"]["serviceList"][0]["appList"] == []
    mine = await ask(Service.V2, "service_metric", *span, [service["serviceId"]], app["appId"])
    assert mine["result"]["serviceList"] == [entry]
    with pytest.raises(APIError, match=r"param\[startTime\]"):
        await ask(Service.V2, "service_metric", "yesterday", span[1])
    with pytest.raises(APIError, match=r"param\[endTime\]"):
        await ask(Service.V2, "service_metric", *reversed(span))
    with pytest.raises(InvalidArgumentError, match="a time is"):
        await ask(Service.V2, "service_metric", 5, span[1])


@pytest.mark.covers("DescribePresetServices")
async def test_the_platforms_own_services(ask: Faces) -> None:
    every = (await ask(Service.V2, "describe_preset_services"))["result"]
    images = (await ask(Service.V2, "describe_preset_services", service_type=[ServiceType.Text2Image]))["result"]
    assert {one["serviceType"] for one in images} == {"text2image"}
    assert 0 < len(images) < len(every)
    one = every[0]
    assert (await ask(Service.V2, "describe_preset_services", [one["serviceId"]]))["result"] == [one]
    chargeable = await ask(
        Service.V2, "describe_preset_services", None, ["chat"], charge_type=["Tokens"], charge_status=["Opened"]
    )
    assert "ernie_speed" in [entry["endpoint"] for entry in chargeable["result"]]
    assert (await ask(Service.V2, "describe_preset_services", charge_status=["NotOpen"]))["result"] == []

"""Billing by its documented names: nothing is bought by accident, and looking and giving back is free."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from qianfan.emulator.account import Account
from qianfan.emulator.server import Running
from qianfan.errors import APIError, InvalidArgumentError
from qianfan.resources import Charge, Service
from tests.contract.conftest import Faces
from tests.contract.steps import HOUR, MODEL, deployed

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

LATER = {"paymentTiming": "Postpaid"}


async def quota(ask: Faces, model: str = MODEL) -> tuple[int, int]:
    """Requests and tokens a minute that the account has of a model."""
    presets = (await ask(Service.V2, "describe_preset_services", service_type=["chat"]))["result"]
    [one] = [one for one in presets if one["name"] == model]
    return one["rpm"], one["tpm"]


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("charge_tpm_credit", (MODEL, 3, LATER), f"3 x token quota of model '{MODEL}', Postpaid"),
        ("resize_tpm_resource", ("id-1", 4), "token quota 'id-1' changed to 4 portions in all"),
        ("purchase_service_resource", ("svco-1", HOUR, 2), r"2 replica\(s\) of service 'svco-1', Prepaid for 1 Hour"),
        ("create_auto_renew_rules", ("id-1", "TPM", "Month", 2), "the renewal of 'id-1' for 2 Month each time"),
        ("create_auto_renew_rules", ("id-1", "TPM"), "the renewal of 'id-1' for its usual time each time"),
        ("resize_service_resource_count", ("id-1", 5), "compute unit 'id-1' changed to 5 in all"),
    ],
)
@pytest.mark.parametrize("confirm", [{}, {"confirm": False}, {"confirm": "yes"}, {"confirm": 1}], ids=str)
async def test_nothing_is_bought_without_confirmation(
    ask: Faces, served: Running, name: str, args: Any, told: str, confirm: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"this would buy .*{told}.*confirm=True"):
        await ask(Charge, name, *args, **confirm)
    assert served.platform.log.recent() == []


@pytest.mark.covers(
    "PurchaseTPMResource",
    "DescribeTPMResource",
    "ResizeTPMResource",
    "AutoReleaseTPMResource",
    "ReleaseTPMResource",
)
async def test_token_quota(ask: Faces, account: Account) -> None:
    rpm, tpm = await quota(ask)
    bought = (await ask(Charge, "charge_tpm_credit", MODEL, 2, LATER, confirm=True))["result"]["instanceId"]
    [instance] = (await ask(Charge, "tpm_credit_info", MODEL))["result"]["instances"]
    keys = {"instanceId", "paymentTiming", "rpm", "tpm", "status", "startTime", "expiredTime"}
    assert set(instance) == keys
    assert (instance["instanceId"], instance["expiredTime"], instance["status"]) == (bought, "-", "Running")
    assert await quota(ask) == (rpm + instance["rpm"], tpm + instance["tpm"])
    assert await quota(ask, "ERNIE-4.0-8K") == (rpm, tpm)

    await ask(Charge, "resize_tpm_resource", bought, 4, confirm=True)
    [resized] = (await ask(Charge, "tpm_credit_info", MODEL, "Postpaid", bought, "Running"))["result"]["instances"]
    assert resized["tpm"] == 2 * instance["tpm"]
    month = {"paymentTiming": "Prepaid", "reservation": {"reservationTimeUnit": "Month", "reservationLength": 1}}
    other = (await ask(Charge, "charge_tpm_credit", MODEL, 1, month, confirm=True))["result"]["instanceId"]
    later = (await ask(Charge, "tpm_credit_info", MODEL, "Postpaid"))["result"]["instances"]
    assert [one["instanceId"] for one in later] == [bought]
    # Older code may ask for what the platform cannot select by, and gets everything.
    every = (await ask(Charge, "tpm_credit_info", MODEL, "Prepaid"))["result"]["instances"]
    assert [one["instanceId"] for one in every] == [bought, other]

    assert (await ask(Charge, "stop_tpm_credit_charging", MODEL, bought))["result"] is True
    with pytest.raises(APIError, match=r"param\[instanceId\]"):
        await ask(Charge, "stop_tpm_credit_charging", MODEL, bought)
    soon, past = datetime.now(timezone.utc) + timedelta(hours=1), datetime.now(timezone.utc) - timedelta(seconds=1)
    for moment in (f"{soon:%Y-%m-%dT%H:%M:%SZ}", None):
        await ask(Charge, "auto_release_tpm_resource", other, moment)
        [kept] = (await ask(Charge, "tpm_credit_info", MODEL))["result"]["instances"]
        assert kept.get("releaseTime") == moment
    await ask(Charge, "auto_release_tpm_resource", other, f"{past:%Y-%m-%dT%H:%M:%SZ}")
    assert (await ask(Charge, "tpm_credit_info", MODEL))["result"]["instances"] == []
    assert await quota(ask) == (rpm, tpm)
    with account.lock:
        assert len(account.tpm_instances) == 0


@pytest.mark.parametrize(
    ("args", "field"),
    [
        (("no model", 1, LATER), "model"),
        ((MODEL, 0, LATER), "purchaseCount"),
        ((MODEL, 1.5, LATER), "purchaseCount"),
        ((MODEL, 1, {}), "paymentTiming"),
        ((MODEL, 1, {"paymentTiming": "Prepaid"}), "reservation"),
    ],
    ids=str,
)
async def test_what_cannot_be_bought(ask: Faces, account: Account, args: Any, field: str) -> None:
    with pytest.raises(APIError, match=rf"param\[{field}\] invalid"):
        await ask(Charge, "charge_tpm_credit", *args, confirm=True)
    with account.lock:
        assert len(account.tpm_instances) == 0


@pytest.mark.covers(
    "PurchaseServiceResource",
    "DescribeComputeUnits",
    "DescribeComputeUnit",
    "AutoReleaseComputeUnit",
    "ResizeComputeUnit",
    "ReleaseComputeUnit",
)
async def test_compute_units(ask: Faces, account: Account, served: Running) -> None:
    service = (await deployed(ask, account))["serviceId"]
    [first] = (await ask(Charge, "get_service_resource_list", service))["result"]
    assert (first["serviceId"], first["paymentTiming"], first["replicasCount"]) == (service, "Prepaid", 1)
    bought = (await ask(Charge, "purchase_service_resource", service, LATER, 2, confirm=True))["result"]["instanceId"]
    prepaid = (await ask(Charge, "get_service_resource_list", service, "Prepaid"))["result"]
    assert [one["instanceId"] for one in prepaid] == [first["instanceId"]]
    one = (await ask(Charge, "get_service_resource_instance_info", service, bought))["result"]
    assert (one["instanceId"], one["count"], one["expiredTime"]) == (bought, 2, "-")
    detail = (await ask(Service.V2, "service_detail", service))["result"]
    assert detail["resourceConfig"]["replicasCount"] == 3

    await ask(Charge, "resize_service_resource_count", bought, 1, confirm=True)
    detail = (await ask(Service.V2, "service_detail", service))["result"]
    assert detail["resourceConfig"]["replicasCount"] == 2
    await ask(Charge, "create_auto_renew_rules", bought, "ComputingUnit", "Month", 2, confirm=True)
    one = (await ask(Charge, "get_service_resource_instance_info", service, bought))["result"]
    assert (one["autoRenewTimeUnit"], one["autoRenewTime"]) == ("Month", 2)
    # Without a time our emulator takes a rule to end; what the platform takes it for is not documented.
    await ask(Charge, "create_auto_renew_rules", bought, "ComputingUnit", confirm=True)
    assert served.platform.log.recent()[-1].body == {"instanceId": bought, "instanceType": "ComputingUnit"}
    one = (await ask(Charge, "get_service_resource_instance_info", service, bought))["result"]
    assert "autoRenewTime" not in one
    with pytest.raises(InvalidArgumentError, match="both or none"):
        await ask(Charge, "create_auto_renew_rules", bought, "ComputingUnit", "Month", confirm=True)

    for unit in (first["instanceId"], bought):
        detail = (await ask(Service.V2, "service_detail", service))["result"]
        assert detail["runStatus"] == "Serving"
        await ask(Charge, "release_service_resource_instance_info", service, unit)
    assert (await ask(Service.V2, "service_detail", service))["result"]["runStatus"] == "Stopped"
    with account.lock:
        assert len(account.units) == 0

"""Billing: token quota of models, and the compute units that services run on.

What buys something is sent only when it is confirmed, once, and never repeated by itself. Looking and giving back
needs no word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan._transport import Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Resource, v2
from qianfan.resources._documented import documented
from qianfan.resources.schemas import ComputeUnit, ResourceBought, TpmInstance, TpmInstances

PURCHASE_TPM = v2("charge", "PurchaseTPMResource", Safety.PURCHASE, creates="quota")
DESCRIBE_TPM = v2("charge", "DescribeTPMResource", Safety.READ)
RELEASE_TPM = v2("charge", "ReleaseTPMResource", Safety.EFFECT)
RESIZE_TPM = v2("charge", "ResizeTPMResource", Safety.PURCHASE, creates="quota")
AUTO_RELEASE_TPM = v2("charge", "AutoReleaseTPMResource", Safety.EFFECT)
PURCHASE_UNITS = v2("charge", "PurchaseServiceResource", Safety.PURCHASE, creates="unit")
DESCRIBE_UNITS = v2("charge", "DescribeComputeUnits", Safety.READ)
DESCRIBE_UNIT = v2("charge", "DescribeComputeUnit", Safety.READ)
RELEASE_UNIT = v2("charge", "ReleaseComputeUnit", Safety.EFFECT)
# The call that makes rules for renewal is named like this. What a rule buys later is confirmed when it is made, and
# making the same one twice changes nothing.
AUTO_RENEW = v2("charge", "AutoReleaseComputeUnit", Safety.EFFECT)
RESIZE_UNIT = v2("charge", "ResizeComputeUnit", Safety.PURCHASE, creates="unit")

_POSTPAID = "Postpaid"


class Charges(Resource):
    """What was bought, buying more, and giving it back.

    billing: the wire's object, for example `{"paymentTiming": "Postpaid"}`.
    confirm: what costs money raises InvalidArgumentError without it, and the error says what would be bought.
    """

    async def purchase_tpm(
        self, model: str, count: int, billing: Mapping[str, Any], *, confirm: bool = False
    ) -> ResourceBought:
        """Buy quota for a model. count: how many portions of requests and tokens per minute."""
        _require(confirm, f"{count} x token quota of model {model!r}, {_terms(billing)}")
        body = {"model": model, "purchaseCount": count, "billing": dict(billing)}
        return await self._whatever(PURCHASE_TPM, body, ResourceBought)

    async def describe_tpm(
        self,
        model: str,
        *,
        payment_timing: str | None = None,
        instance_id: str | None = None,
        status: str | None = None,
    ) -> list[TpmInstance]:
        """The quota that was bought for a model. payment_timing: only `Postpaid` selects something."""
        # The platform knows no other value here; older code may give one, and gets everything.
        timing = payment_timing if payment_timing == _POSTPAID else None
        body = {"model": model, "paymentTiming": timing, "instanceId": instance_id, "status": status}
        return (await self._ask(DESCRIBE_TPM, body, TpmInstances)).instances

    async def release_tpm(self, model: str, instance_id: str) -> bool:
        """Give bought quota back."""
        return await self._do(RELEASE_TPM, {"model": model, "instanceId": instance_id})

    async def resize_tpm(self, instance_id: str, count: int | None, *, confirm: bool = False) -> bool:
        """Have another amount of bought quota. count: in all, not in addition."""
        _require(confirm, f"token quota {instance_id!r} changed to {count} portions in all")
        return await self._do(RESIZE_TPM, {"instanceId": instance_id, "count": count})

    async def auto_release_tpm(self, instance_id: str, release_time: str | None = None) -> bool:
        """Have bought quota given back at a time; without one, such a rule is cancelled."""
        return await self._do(AUTO_RELEASE_TPM, {"instanceId": instance_id, "releaseTime": release_time})

    async def purchase_units(
        self, service_id: str, billing: Mapping[str, Any], replicas: int = 1, *, confirm: bool = False
    ) -> ResourceBought:
        """Buy compute units for a service that waits for them."""
        _require(confirm, f"compute units for {replicas} replica(s) of service {service_id!r}, {_terms(billing)}")
        body = {"serviceId": service_id, "billing": dict(billing), "replicasCount": replicas}
        return await self._whatever(PURCHASE_UNITS, body, ResourceBought)

    async def describe_units(self, service_id: str, *, payment_timing: str | None = None) -> list[ComputeUnit]:
        """The compute units of a service. payment_timing: `Prepaid`, or None for all."""
        return await self._list(DESCRIBE_UNITS, {"serviceId": service_id, "paymentTiming": payment_timing}, ComputeUnit)

    async def describe_unit(self, service_id: str, instance_id: str) -> ComputeUnit:
        """One compute unit of a service."""
        return await self._ask(DESCRIBE_UNIT, {"serviceId": service_id, "instanceId": instance_id}, ComputeUnit)

    async def release_unit(self, service_id: str, instance_id: str) -> bool:
        """Give a compute unit back: it costs nothing from then on, and the service cannot use it."""
        return await self._do(RELEASE_UNIT, {"serviceId": service_id, "instanceId": instance_id})

    async def auto_renew(
        self,
        instance_id: str,
        instance_type: str,
        *,
        time_unit: str | None = None,
        time: int | None = None,
        confirm: bool = False,
    ) -> bool:
        """Make a rule that renews something bought when its time is over.

        instance_type: `ComputingUnit` or `TPM`. time_unit, time: for how long, both or neither, for example `Month`
        and 1.
        """
        if (time_unit is None) != (time is None):
            raise InvalidArgumentError("the unit and the number of an automatic renewal belong together: both or none")
        length = "its usual time" if time is None else f"{time} {time_unit}"
        _require(confirm, f"the renewal of {instance_id!r} for {length} each time it runs out")
        body = {
            "instanceId": instance_id,
            "instanceType": instance_type,
            "autoRenewTimeUnit": time_unit,
            "autoRenewTime": time,
        }
        return await self._do(AUTO_RENEW, body)

    async def resize_unit(self, instance_id: str, count: int, *, confirm: bool = False) -> bool:
        """Have another amount of a compute unit. count: in all, not in addition."""
        _require(confirm, f"compute unit {instance_id!r} changed to {count} in all")
        return await self._do(RESIZE_UNIT, {"instanceId": instance_id, "count": count})


def _require(confirm: bool, what: str) -> None:
    # Exactly True: a call that mixes up its arguments should not buy something.
    if confirm is not True:
        raise InvalidArgumentError(f"this would buy {what}; give confirm=True to do that. Nothing was sent")


def _terms(billing: Mapping[str, Any]) -> str:
    timing = str(billing.get("paymentTiming", "without payment terms"))
    reserved = billing.get("reservation")
    if not isinstance(reserved, Mapping):
        return timing
    return f"{timing} for {reserved.get('reservationLength')} {reserved.get('reservationTimeUnit')}"


class Charge:
    """Billing under its documented names; each method also as `a…` to await. What buys takes `confirm=True`."""

    charge_tpm_credit, acharge_tpm_credit = documented(Charges.purchase_tpm, "model purchase_count=count billing")
    tpm_credit_info, atpm_credit_info = documented(
        Charges.describe_tpm, "model payment_type=payment_timing instance_id status"
    )
    stop_tpm_credit_charging, astop_tpm_credit_charging = documented(Charges.release_tpm, "model instance_id")
    resize_tpm_resource, aresize_tpm_resource = documented(Charges.resize_tpm, "instance_id count")
    auto_release_tpm_resource, aauto_release_tpm_resource = documented(
        Charges.auto_release_tpm, "instance_id release_time"
    )
    purchase_service_resource, apurchase_service_resource = documented(
        Charges.purchase_units, "service_id billing replicas"
    )
    get_service_resource_list, aget_service_resource_list = documented(
        Charges.describe_units, "service_id payment_timing"
    )
    get_service_resource_instance_info, aget_service_resource_instance_info = documented(
        Charges.describe_unit, "service_id instance_id"
    )
    release_service_resource_instance_info, arelease_service_resource_instance_info = documented(
        Charges.release_unit, "service_id instance_id"
    )
    create_auto_renew_rules, acreate_auto_renew_rules = documented(
        Charges.auto_renew, "instance_id instance_type auto_renew_time_unit=time_unit auto_renew_time=time"
    )
    resize_service_resource_count, aresize_service_resource_count = documented(Charges.resize_unit, "instance_id count")

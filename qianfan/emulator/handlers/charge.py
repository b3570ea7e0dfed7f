"""Billing: token quota of models, and compute units of services. Nothing costs anything here.

Apart from the three calls about quota, the platform's answers are not documented.
"""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.calls import Call, Handler, utc_time
from qianfan.emulator.checks import Body, found
from qianfan.emulator.handlers.quota import Quota, instances_of, model_named
from qianfan.emulator.handlers.services import look_at_service, service_of
from qianfan.emulator.handlers.units import begin, billing_of, buy_unit, expiry, release_unit, unit_of, units_of
from qianfan.emulator.records import ComputeUnit, TpmInstance
from qianfan.emulator.refusals import Problem, Refused, invalid

_MOST = 1000

# --- quota -------------------------------------------------------------------------------------------------------


def purchase_tpm(call: Call) -> JSON:
    """`PurchaseTPMResource`."""
    body, account = call.body, call.account
    model, count, billing = _model(body), _count(body, "purchaseCount"), _billing(body)
    shelf = account.tpm_instances
    instance = TpmInstance(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        model=model,
        count=count,
        payment_timing=str(billing["paymentTiming"]),
        expires=expiry(account, billing),
    )
    account.touch()
    return {"instanceId": shelf.add(instance).id}


def describe_tpm(call: Call) -> JSON:
    """`DescribeTPMResource`, oldest first."""
    body, account = call.body, call.account
    if body.get("paymentTiming") is not None:
        body.one_of("paymentTiming", ["Postpaid"])
    wanted = {"paymentTiming": body.optional_text("paymentTiming"), "instanceId": body.optional_text("instanceId")}
    wanted["status"] = body.optional_text("status")
    entries = [_tpm_entry(instance) for instance in instances_of(account, _model(body))]
    return {"instances": [one for one in entries if all(value in ("", one[key]) for key, value in wanted.items())]}


def release_tpm(call: Call) -> JSON:
    """`ReleaseTPMResource`."""
    body, account = call.body, call.account
    model, instance = _model(body), _instance(call)
    if instance.model != model:
        raise invalid("instanceId", f"{instance.id} is quota of {instance.model}, not of {model}")
    account.tpm_instances.remove(instance)
    account.touch()
    return True


def resize_tpm(call: Call) -> JSON:
    """`ResizeTPMResource`: so many portions in all."""
    instance = _instance(call)
    instance.count = _count(call.body, "count")
    call.account.touch()
    return True


def auto_release_tpm(call: Call) -> JSON:
    """`AutoReleaseTPMResource` at a time; without one the rule is cancelled."""
    instance, body = _instance(call), call.body
    instance.release_at = body.moment("releaseTime") if body.get("releaseTime") is not None else None
    call.account.touch()
    return True


def _tpm_entry(instance: TpmInstance) -> dict[str, JSON]:
    entry: dict[str, JSON] = {
        "instanceId": instance.id,
        "paymentTiming": instance.payment_timing,
        **Quota.of(instance.count).entry(),
        "status": "Running",
        "startTime": utc_time(instance.created),
        "expiredTime": utc_time(instance.expires) if instance.expires else "-",
    }
    if instance.release_at is not None:
        entry["releaseTime"] = utc_time(instance.release_at)
    return entry


def _model(body: Body) -> str:
    name = body.text("model")
    model = model_named(name)
    if model is None:
        raise invalid("model", f"there is no model {name!r}")
    return model


def _instance(call: Call) -> TpmInstance:
    account, key = call.account, call.body.get("instanceId")
    instance = account.tpm_instances.get(key)
    held = instance if instance is not None and instance in instances_of(account, instance.model) else None
    return found(held, Problem.INVALID, "instanceId", key)


# --- compute units -----------------------------------------------------------------------------------------------


def purchase_service_resource(call: Call) -> JSON:
    """`PurchaseServiceResource`: a service that waits for it, or was stopped without it, is deployed."""
    body, account = call.body, call.account
    service = look_at_service(account, service_of(account, body.get("serviceId")), look=False)
    billing, replicas = _billing(body), _count(body, "replicasCount")
    if service.state == "Failed":
        raise Refused(Problem.STATE, "serviceId", f"{service.id} has failed; deploy its model again")
    unit = buy_unit(account, service, billing, replicas)
    service.instance_id = service.instance_id or unit.id
    service.resource_config["replicasCount"] = sum(one.uses[service.id] for one in units_of(account, service))
    begin(account, service)
    return {"instanceId": unit.id}


def describe_units(call: Call) -> JSON:
    """`DescribeComputeUnits` of a service, oldest first."""
    body, account = call.body, call.account
    service = service_of(account, body.get("serviceId"))
    timing = body.one_of("paymentTiming", ["Prepaid", "Postpaid"]) if body.get("paymentTiming") is not None else None
    units = units_of(account, service)
    return [_unit_entry(unit, service.id) for unit in units if timing in (None, unit.payment_timing)]


def describe_unit(call: Call) -> JSON:
    """`DescribeComputeUnit`."""
    service = service_of(call.account, call.body.get("serviceId"))
    return _unit_entry(unit_of(call.account, service, call.body.get("instanceId")), service.id)


def release_compute_unit(call: Call) -> JSON:
    """`ReleaseComputeUnit`."""
    account, body = call.account, call.body
    service = look_at_service(account, service_of(account, body.get("serviceId")), look=False)
    release_unit(account, unit_of(account, service, body.get("instanceId")))
    return True


def auto_renew(call: Call) -> JSON:
    """`AutoReleaseComputeUnit`: a rule for renewal, whatever its name says; without a time the rule is cancelled."""
    body, account = call.body, call.account
    kind = body.one_of("instanceType", ["ComputingUnit", "TPM"])
    unit, time = body.get("autoRenewTimeUnit"), body.get("autoRenewTime")
    if (unit is None) != (time is None):
        raise invalid("autoRenewTime", "autoRenewTimeUnit and autoRenewTime belong together")
    rule: dict[str, JSON] = {}
    if unit is not None:
        rule = {
            "autoRenewTimeUnit": body.one_of("autoRenewTimeUnit", ["Month"]),
            "autoRenewTime": body.number("autoRenewTime", 1, 6),
        }
    record = _instance(call) if kind == "TPM" else _unit(call)
    record.auto_renew = rule
    account.touch()
    return True


def resize_unit(call: Call) -> JSON:
    """`ResizeComputeUnit`: so many copies in all. Other services may run on what is more than its own one needs."""
    account, unit, count = call.account, _unit(call), _count(call.body, "count")
    if count < sum(unit.uses.values()):
        if len(unit.uses) > 1:
            raise Refused(
                Problem.STATE, "count", f"{unit.id} runs {sum(unit.uses.values())} copies of several services"
            )
        unit.uses = dict.fromkeys(unit.uses, count)
        service = account.services.get(next(iter(unit.uses)))
        if service is not None:
            service.resource_config["replicasCount"] = sum(one.uses[service.id] for one in units_of(account, service))
    unit.replicas = count
    account.touch()
    return True


def _unit(call: Call) -> ComputeUnit:
    key = call.body.get("instanceId")
    return found(call.account.units.get(key), Problem.INVALID, "instanceId", key)


def _unit_entry(unit: ComputeUnit, service_id: str) -> dict[str, JSON]:
    return {
        "instanceId": unit.id,
        "serviceId": service_id,
        "type": unit.type,
        "paymentTiming": unit.payment_timing,
        "replicasCount": unit.uses[service_id],
        "count": unit.replicas,
        "status": "Running",
        "startTime": utc_time(unit.created),
        "expiredTime": utc_time(unit.expires) if unit.expires else "-",
        **unit.auto_renew,
    }


# --- both --------------------------------------------------------------------------------------------------------


def _billing(body: Body) -> dict[str, JSON]:
    body.object("billing")
    billing = billing_of(body)
    if not billing:
        raise invalid("billing", "billing must say how it is paid for")
    return billing


def _count(body: Body, key: str) -> int:
    count = body.number(key, 1, _MOST)
    if count != int(count):
        raise invalid(key, f"{key} must be a whole number, found {count!r}")
    return int(count)


ACTIONS: dict[str, Handler] = {
    "PurchaseTPMResource": purchase_tpm,
    "DescribeTPMResource": describe_tpm,
    "ReleaseTPMResource": release_tpm,
    "ResizeTPMResource": resize_tpm,
    "AutoReleaseTPMResource": auto_release_tpm,
    "PurchaseServiceResource": purchase_service_resource,
    "DescribeComputeUnits": describe_units,
    "DescribeComputeUnit": describe_unit,
    "ReleaseComputeUnit": release_compute_unit,
    "AutoReleaseComputeUnit": auto_renew,
    "ResizeComputeUnit": resize_unit,
}
"""Of `/v2/charge`."""

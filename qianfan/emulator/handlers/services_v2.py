"""Model services, second generation."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator import usage
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, page_of, reason_of, utc_time
from qianfan.emulator.checks import Body, name_of_2_to_20, url_suffix
from qianfan.emulator.handlers.models import model_of, model_set_of
from qianfan.emulator.handlers.quota import quota_of
from qianfan.emulator.handlers.services import (
    MODEL_PATH,
    add_service,
    deployable,
    look_at_service,
    service_of,
    url_of,
)
from qianfan.emulator.handlers.units import begin, billing_of, buy_unit, is_by_tokens, owned_units, units_of
from qianfan.emulator.presets import SINCE, Preset, presets
from qianfan.emulator.records import Service
from qianfan.emulator.refusals import Problem, Refused, invalid

_CREATOR = "emulator"
"""Who makes everything here."""
_PAY_TYPES = {"Prepaid": "Prepay", "Postpaid": "Postpay"}
_DEFAULT_RESOURCE = {"type": "GPU-I-2", "replicasCount": 1, "qps": 0.5}


def create_service(call: Call) -> JSON:
    """`CreateService`: deploy a model version, on what is bought with it or on what was bought before.

    With neither, it waits until something is bought for it.
    """
    body, account = call.body, call.account
    model_set = model_set_of(account, body.get("modelSetId"))
    model = model_of(account, body.get("modelId"))
    if model.model_set_id != model_set.id:
        raise invalid("modelId", f"{model.id} is not a version of {model_set.id}")
    name, suffix = name_of_2_to_20(body), url_suffix(body)
    description = body.optional_text("description", longest=500)
    resources = _resource_config(Body(body.object("resourceConfig", required=False)))
    billing = billing_of(body)
    owned = owned_units(account, Body(body.object("deploymentConfig", required=False)))
    protocol = body.get("protocolVersion")
    if protocol not in (None, 1, 2):
        raise invalid("protocolVersion", f"protocolVersion is 1 or 2, found {protocol!r}")
    service = add_service(
        account,
        deployable(account, model, "modelId"),
        name=name,
        suffix=suffix,
        description=description,
        resource_config=resources,
        billing=billing,
        deployment_config=body.get("deploymentConfig"),
        protocol_version=protocol or 1,
    )
    for unit, copies in owned:
        unit.uses[service.id] = copies
    if billing and not owned and not is_by_tokens(service):
        replicas = int(Body(resources).number("replicasCount", 1, 1000, default=1))
        service.instance_id = buy_unit(account, service, billing, replicas).id
    begin(account, service)
    return {"serviceId": service.id, "instanceId": service.instance_id}


def describe_service(call: Call) -> JSON:
    """`DescribeService`; counts as a look."""
    account = call.account
    return _entry(call, look_at_service(account, service_of(account, call.body.get("serviceId"))))


def describe_services(call: Call) -> JSON:
    """`DescribeServices`, newest first, filtered by name (a part of it), kind, state, who made it and what it costs."""
    account, body = call.account, call.body
    part = body.optional_text("name")
    services: list[tuple[str, dict[str, JSON]]] = []
    for service in account.listed(account.services):
        look_at_service(account, service, look=False)
        if (
            part in service.name
            and _wanted(body, "serviceType", service.kind)
            and _wanted(body, "runStatus", service.state)
            and _wanted(body, "creator", _CREATOR)
            and body.get("protocolVersion") in (None, service.protocol_version)
        ):
            entry = _entry(call, service)
            if all(body.optional_text(key) in ("", entry[key]) for key in ("chargeType", "payType")):
                services.append((service.id, entry))
    entries, info = page_of(call, services)
    return {"serviceList": entries, "pageInfo": info}


def modify_service(call: Call) -> JSON:
    """`ModifyService`: serve another version of a model."""
    body, account = call.body, call.account
    service = look_at_service(account, service_of(account, body.get("serviceId")), look=False)
    model_set = model_set_of(account, body.get("modelSetId"))
    model = deployable(account, model_of(account, body.get("modelId")), "modelId")
    if model.model_set_id != model_set.id:
        raise invalid("modelId", f"{model.id} is not a version of {model_set.id}")
    if service.state not in ("Serving", "Stopped"):
        raise Refused(Problem.STATE, "serviceId", f"{service.id} is {service.state}")
    service.model_set_id, service.model_id = model_set.id, model.id
    if service.state == "Serving":
        account.works.start_deployment(service)
    else:
        begin(account, service)
    account.touch()
    return True


def _resource_config(body: Body) -> dict[str, JSON]:
    body.number("replicasCount", 1, 1000, default=1)
    body.number("qps", 0.01, 50, default=0.5)
    return dict(body.fields)


def describe_service_metric(call: Call) -> JSON:
    """`DescribeServiceMetric`: the calls of services from `startTime` to before `endTime`."""
    account, body = call.account, call.body
    start, end = body.moment("startTime"), body.moment("endTime")
    if end < start:
        raise invalid("endTime", "endTime is before startTime")
    wanted, app_id = body.texts("serviceId"), body.optional_text("appId")
    # The platform's own services are not counted.
    asked = [service_of(account, key) for key in wanted] if wanted else account.services.newest_first()
    return {
        "startTime": utc_time(start),
        "endTime": utc_time(end),
        "serviceList": [
            {
                "serviceId": service.id,
                "serviceName": service.name,
                "appList": usage.totals(account, service.id, start, end, app_id),
            }
            for service in asked
        ],
    }


def describe_preset_services(call: Call) -> JSON:
    """`DescribePresetServices`: what answers without deploying anything. Its form is not documented."""
    body, account = call.body, call.account
    entries = [(preset, _preset_entry(call, preset)) for preset in presets()]
    return [
        {**entry, **quota_of(account, preset.name).entry()}
        for preset, entry in entries
        if _wanted(body, "serviceIds", preset.service_id)
        and all(_wanted(body, key, entry[key]) for key in ("serviceType", "chargeType", "chargeStatus"))
    ]


def _preset_entry(call: Call, preset: Preset) -> dict[str, JSON]:
    return {
        "serviceId": preset.service_id,
        "name": preset.name,
        "description": "",
        "baseModel": preset.name,
        "modelSetId": preset.set_id,
        "modelId": preset.model_id,
        "url": f"{call.origin}{MODEL_PATH}/{preset.kind}/{preset.endpoint}",
        "endpoint": preset.endpoint,
        "serviceType": preset.kind,
        "runStatus": "Serving",
        "updateStatus": "None",
        "chargeType": "Tokens",
        "payType": "Postpay",
        "chargeStatus": "Opened",
        "createTime": utc_time(SINCE),
    }


def _entry(call: Call, service: Service) -> dict[str, JSON]:
    task = _task_model(call.account, service)
    timings = {unit.payment_timing for unit in units_of(call.account, service)}
    timings |= {str(service.billing["paymentTiming"])} if service.billing else set()
    pay_types = [word for timing, word in _PAY_TYPES.items() if timing in timings]
    return {
        "serviceId": service.id,
        "name": service.name,
        "description": service.description,
        "baseModel": task,
        "modelSetId": service.model_set_id,
        "modelId": service.model_id,
        "url": url_of(call, service),
        "endpoint": service.endpoint,
        "serviceType": service.kind,
        "runStatus": service.state,
        "updateStatus": "None",
        "chargeType": "Tokens" if is_by_tokens(service) else "ComputingUnit",
        "payType": ",".join(pay_types),
        "chargeStatus": "Opened" if service.state != "New" or service.work is not None else "NotOpen",
        "resourceConfig": {**_DEFAULT_RESOURCE, **service.resource_config},
        "createTime": utc_time(service.created),
        **reason_of(service),
    }


def _task_model(account: Account, service: Service) -> str:
    model = account.models.get(service.model_id)
    task = account.tasks.get(model.task_id) if model else None
    return task.model if task else ""


def _wanted(body: Body, key: str, value: str) -> bool:
    wanted = body.texts(key)
    return not wanted or value in wanted


ACTIONS: dict[str, Handler] = {
    "CreateService": create_service,
    "DescribeService": describe_service,
    "DescribeServices": describe_services,
    "ModifyService": modify_service,
    "DescribeServiceMetric": describe_service_metric,
    "DescribePresetServices": describe_preset_services,
}
"""Of `/v2/service`."""

"""Model services, second generation."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, page_of, reason_of, utc_time
from qianfan.emulator.checks import Body, name_of_2_to_20, url_suffix
from qianfan.emulator.handlers.models import model_of, model_set_of
from qianfan.emulator.handlers.services import add_service, deployable, look_at_service, service_of, url_of
from qianfan.emulator.records import Service
from qianfan.emulator.refusals import Problem, Refused, invalid

_DEFAULT_RESOURCE = {"type": "GPU-I-2", "replicasCount": 1, "qps": 0.5}


def create_service(call: Call) -> JSON:
    """`CreateService`: deploy a model version."""
    body, account = call.body, call.account
    model_set = model_set_of(account, body.get("modelSetId"))
    model = model_of(account, body.get("modelId"))
    if model.model_set_id != model_set.id:
        raise invalid("modelId", f"{model.id} is not a version of {model_set.id}")
    name, suffix = name_of_2_to_20(body), url_suffix(body)
    description = body.optional_text("description", longest=500)
    resources = _resource_config(Body(body.object("resourceConfig", required=False)))
    billing = _billing(Body(body.object("billing", required=False)))
    protocol = body.get("protocolVersion")
    if protocol not in (None, 1, 2):
        raise invalid("protocolVersion", f"protocolVersion is 1 or 2, found {protocol!r}")
    service = add_service(
        account, deployable(account, model, "modelId"), name=name, suffix=suffix, description=description
    )
    service.resource_config, service.billing = resources, billing
    service.deployment_config = body.get("deploymentConfig")
    service.protocol_version = protocol or 1
    return {"serviceId": service.id, "instanceId": service.instance_id}


def describe_service(call: Call) -> JSON:
    """`DescribeService`; counts as a look."""
    account = call.account
    return _entry(call, look_at_service(account, service_of(account, call.body.get("serviceId"))))


def describe_services(call: Call) -> JSON:
    """`DescribeServices`, newest first, filtered by name (a part of it), kind and state."""
    account, body = call.account, call.body
    part = body.optional_text("name")
    services: list[tuple[str, dict[str, JSON]]] = []
    for service in account.listed(account.services):
        look_at_service(account, service, look=False)
        if (
            part in service.name
            and _wanted(body, "serviceType", service.kind)
            and _wanted(body, "runStatus", service.state)
        ):
            services.append((service.id, _entry(call, service)))
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
    account.works.start_deployment(service)
    account.touch()
    return True


def _resource_config(body: Body) -> dict[str, JSON]:
    body.number("replicasCount", 1, 1000, default=1)
    body.number("qps", 0.01, 50, default=0.5)
    return dict(body.fields)


def _billing(body: Body) -> dict[str, JSON]:
    if not body.fields:
        return {}
    timing = body.one_of("paymentTiming", ["Prepaid", "Postpaid"])
    if timing == "Prepaid":
        reservation = Body(body.object("reservation"))
        reservation.one_of("reservationTimeUnit", ["Month", "Hour"])
        reservation.number("reservationLength", 1, 10**6)
    return dict(body.fields)


def _entry(call: Call, service: Service) -> dict[str, JSON]:
    task = _task_model(call.account, service)
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
        "chargeType": "ComputingUnit",
        "payType": "Postpay" if service.billing.get("paymentTiming") == "Postpaid" else "Prepay",
        "chargeStatus": "Opened",
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
}
"""Of `/v2/service`."""

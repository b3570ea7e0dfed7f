"""Model services, V2 and V1: deploying a model version and changing what is deployed."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, beijing_time, page_of, utc_time
from qianfan.emulator.checks import Body, found, name_of_2_to_20, url_suffix
from qianfan.emulator.handlers.models import look_at_model, model_of, model_set_of, set_of
from qianfan.emulator.lifecycle import DEPLOY
from qianfan.emulator.records import Model, Service
from qianfan.emulator.refusals import Problem, Refused, invalid

MODEL_PATH = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
"""Where V1 model calls go."""

_KINDS = ("chat", "completions", "embeddings", "text2image", "image2text")
_STATES_V1 = {"Serving": "Done"}
_DEFAULT_RESOURCE = {"type": "GPU-I-2", "replicasCount": 1, "qps": 0.5}


def service_of(account: Account, key: JSON, field: str = "serviceId") -> Service:
    """The service a call names, by id or V1 number."""
    return found(account.services.get(key), Problem.INVALID, field, key)


def look_at_service(account: Account, service: Service, *, look: bool = True) -> Service:
    """Move a deployment on."""
    before = service.state
    service.state = account.stages.deployment.advance(service.state, service.work, account.clock.monotonic(), look=look)
    if service.state != before:
        service.reason = service.work.reason if service.state == "Failed" else ""
        account.touch()
    return service


def _deployable(account: Account, model: Model, field: str) -> Model:
    look_at_model(account, model, look=False)
    if model.state != "Ready":
        raise Refused(Problem.STATE, field, f"{model.id} is {model.state}, only Ready is deployed")
    return model


def _add_service(account: Account, model: Model, *, name: str, suffix: str, description: str) -> Service:
    work = account.stages.deployment.begin(account.clock)
    shelf = account.services
    service = Service(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        name=name,
        description=description,
        model_set_id=model.model_set_id,
        model_id=model.id,
        url_suffix=suffix,
        endpoint=f"{account.letters(8)}_{suffix}",
        kind="text2image" if set_of(account, model).model_type == "Text2Image" else "chat",
        instance_id=account.letters(32),
        work=work,
    )
    service.state = account.stages.deployment.start(service.state, work, account.clock.monotonic())
    account.touch()
    return shelf.add(service)


# --- V2 ----------------------------------------------------------------------------------------------------------


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
    service = _add_service(
        account, _deployable(account, model, "modelId"), name=name, suffix=suffix, description=description
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
    for service in account.services.newest_first():
        look_at_service(account, service, look=False)
        if (
            part in service.name
            and _wanted(body, "serviceType", service.kind)
            and _wanted(body, "runStatus", service.state)
        ):
            services.append((service.id, _entry(call, service)))
    entries, info = page_of(body, services)
    return {"serviceList": entries, "pageInfo": info}


def modify_service(call: Call) -> JSON:
    """`ModifyService`: serve another version of a model."""
    body, account = call.body, call.account
    service = look_at_service(account, service_of(account, body.get("serviceId")), look=False)
    model_set = model_set_of(account, body.get("modelSetId"))
    model = _deployable(account, model_of(account, body.get("modelId")), "modelId")
    if model.model_set_id != model_set.id:
        raise invalid("modelId", f"{model.id} is not a version of {model_set.id}")
    if service.state not in ("Serving", "Stopped"):
        raise Refused(Problem.STATE, "serviceId", f"{service.id} is {service.state}")
    service.work = account.stages.deployment.begin(account.clock)
    service.state = DEPLOY.move(service.state, "Deploying")
    service.model_set_id, service.model_id = model_set.id, model.id
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
        "url": _url(call, service),
        "endpoint": service.endpoint,
        "serviceType": service.kind,
        "runStatus": service.state,
        "updateStatus": "None",
        "chargeType": "ComputingUnit",
        "payType": "Postpay" if service.billing.get("paymentTiming") == "Postpaid" else "Prepay",
        "chargeStatus": "Opened",
        "resourceConfig": {**_DEFAULT_RESOURCE, **service.resource_config},
        "createTime": utc_time(service.created),
    }


def _task_model(account: Account, service: Service) -> str:
    model = account.models.get(service.model_id)
    task = account.tasks.get(model.task_id) if model else None
    return task.model if task else ""


def _url(call: Call, service: Service) -> str:
    return f"{call.origin}{MODEL_PATH}/{service.kind}/{service.endpoint}"


def _wanted(body: Body, key: str, value: str) -> bool:
    wanted = body.texts(key)
    return not wanted or value in wanted


# --- V1 ----------------------------------------------------------------------------------------------------------


def apply_v1(call: Call) -> JSON:
    """`/service/apply`: deploy; takes numeric model ids only."""
    body, account = call.body, call.account
    for key in ("modelId", "modelVersionId"):
        if isinstance(body.get(key), bool) or not isinstance(body.get(key), int):
            raise invalid(key, f"{key} must be a number here, found {body.get(key)!r}")
    model_set = model_set_of(account, body.get("modelId"), "modelId")
    model = model_of(account, body.get("modelVersionId"), "modelVersionId")
    if model.model_set_id != model_set.id:
        raise invalid("modelVersionId", f"{model.number} is not a version of {model_set.number}")
    name, suffix = name_of_2_to_20(body), url_suffix(body, "uri")
    replicas = int(body.number("replicas", 1, 1000, default=1))
    pool = body.one_of("poolType", [1, 2]) if body.get("poolType") is not None else 2
    service = _add_service(
        account,
        _deployable(account, model, "modelVersionId"),
        name=name,
        suffix=suffix,
        description=body.optional_text("description"),
    )
    service.resource_config, service.pool_type = {"replicasCount": replicas}, pool
    return {"result": True, "serviceId": service.number, "serviceUuid": service.id}


def detail_v1(call: Call) -> JSON:
    """`/service/detail`; counts as a look. Holds the fields of both generations of this answer."""
    account = call.account
    service = look_at_service(account, service_of(account, call.body.get("serviceId")))
    model_set, model = account.model_sets.get(service.model_set_id), account.models.get(service.model_id)
    set_number, model_number = model_set.number if model_set else 0, model.number if model else 0
    return {
        "id": service.number,
        "aiModelId": set_number,
        "aiModelVersionId": model_number,
        "modelId": set_number,
        "modelVersionId": model_number,
        "modelName": model_set.name if model_set else "",
        "name": service.name,
        "description": service.description,
        "uri": service.endpoint,
        "url": _url(call, service),
        "fullUri": _url(call, service),
        "serviceStatus": _STATES_V1.get(service.state, service.state),
        "onlineTime": beijing_time(service.created if service.state == "Serving" else None),
        "createTime": beijing_time(service.created),
    }


def list_v1(call: Call) -> JSON:
    """`/service/list`: the preset services and the account's own."""
    kinds = call.body.texts("apiTypefilter") or _KINDS
    common: list[JSON] = [
        _list_entry(model, f"{call.origin}{MODEL_PATH}/{kind}/{endpoint}", kind, "Done")
        for kind, models in catalogue.preset_endpoints().items()
        for model, endpoint in models.items()
        if kind in kinds
    ]
    custom: list[JSON] = []
    for service in call.account.services.newest_first():
        look_at_service(call.account, service, look=False)
        if service.kind in kinds:
            state = _STATES_V1.get(service.state, service.state)
            custom.append(_list_entry(service.name, _url(call, service), service.kind, state))
    return {"common": common, "custom": custom}


def _list_entry(name: str, url: str, kind: str, state: str) -> dict[str, JSON]:
    return {
        "name": name,
        "url": url,
        "apiType": kind,
        "chargeStatus": "OPENED",
        "versionList": [{"trainType": name, "serviceStatus": state}],
    }

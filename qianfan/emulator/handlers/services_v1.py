"""Model services, first generation."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.calls import Call, Handler, beijing_time, reason_of
from qianfan.emulator.checks import name_of_2_to_20, url_suffix
from qianfan.emulator.handlers.models import model_of, model_set_of
from qianfan.emulator.handlers.services import (
    MODEL_PATH,
    add_service,
    deployable,
    look_at_service,
    service_of,
    url_of,
)
from qianfan.emulator.handlers.units import begin
from qianfan.emulator.presets import presets
from qianfan.emulator.refusals import Problem, Refused, invalid
from qianfan.emulator.usage import APP_ID

_KINDS = ("chat", "completions", "embeddings", "text2image", "image2text")
_STATES = {"Serving": "Done"}


def apply(call: Call) -> JSON:
    """`/service/apply`: deploy; takes numeric model ids only. In the private pool it waits until it is paid for."""
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
    service = add_service(
        account,
        deployable(account, model, "modelVersionId"),
        name=name,
        suffix=suffix,
        description=body.optional_text("description"),
        resource_config={"replicasCount": replicas},
        pool_type=pool,
    )
    begin(account, service)
    return {"result": True, "serviceId": service.number, "serviceUuid": service.id}


def detail(call: Call) -> JSON:
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
        "url": url_of(call, service),
        "fullUri": url_of(call, service),
        "serviceStatus": _STATES.get(service.state, service.state),
        "onlineTime": beijing_time(service.created if service.state == "Serving" else None),
        "createTime": beijing_time(service.created),
        **reason_of(service),
    }


def list_services(call: Call) -> JSON:
    """`/service/list`: the preset services and the account's own."""
    kinds = call.body.texts("apiTypefilter") or _KINDS
    common: list[JSON] = [
        _list_entry(preset.name, f"{call.origin}{MODEL_PATH}/{preset.kind}/{preset.endpoint}", preset.kind, "Done")
        for preset in presets()
        if preset.kind in kinds
    ]
    custom: list[JSON] = []
    for service in call.account.listed(call.account.services):
        look_at_service(call.account, service, look=False)
        if service.kind in kinds:
            state = _STATES.get(service.state, service.state)
            custom.append(_list_entry(service.name, url_of(call, service), service.kind, state))
    return {"common": common, "custom": custom}


def app_list(call: Call) -> JSON:
    """`GET /service/appList`: the account's one application, with its keys."""
    if call.request.method != "GET":
        raise Refused(Problem.UNSUPPORTED, "", "Unsupported openapi method: appList is asked for by GET")
    account = call.account
    ak, sk = (account.keys.ak, account.keys.sk) if account.keys else ("", "")
    api_ids = ",".join(str(service.number) for service in account.services)
    return {"appList": [{"id": APP_ID, "name": "qianfan-emulator", "ak": ak, "sk": sk, "apiIds": api_ids}]}


def _list_entry(name: str, url: str, kind: str, state: str) -> dict[str, JSON]:
    return {
        "name": name,
        "url": url,
        "apiType": kind,
        "chargeStatus": "OPENED",
        "versionList": [{"trainType": name, "serviceStatus": state}],
    }


PATHS: dict[str, Handler] = {
    "/service/apply": apply,
    "/service/detail": detail,
    "/service/list": list_services,
    "/service/appList": app_list,
}
"""By path."""

"""What can be done with services, whichever generation of the API asks for it."""

from __future__ import annotations

from typing import Any

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.checks import found
from qianfan.emulator.handlers.models import look_at_model, set_of
from qianfan.emulator.records import Model, Service
from qianfan.emulator.refusals import Problem, Refused, invalid

MODEL_PATH = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
"""Where V1 model calls go."""


def service_of(account: Account, key: JSON, field: str = "serviceId") -> Service:
    """One of the account's services that a call names, by id or V1 number."""
    return found(account.services.get(key), Problem.INVALID, field, key)


def look_at_service(account: Account, service: Service, *, look: bool = True) -> Service:
    """Move a deployment on."""
    before = service.state
    account.works.look_at_deployment(service, look=look)
    if service.state != before:
        account.touch()
    return service


def deployable(account: Account, model: Model, field: str) -> Model:
    """The model, or a refusal when it is not ready."""
    look_at_model(account, model, look=False)
    if model.state != "Ready":
        raise Refused(Problem.STATE, field, f"{model.id} is {model.state}, only Ready is deployed")
    return model


def add_service(account: Account, model: Model, *, name: str, suffix: str, description: str, **terms: Any) -> Service:
    """A new service, whose name may be taken, see `Quirks`. It waits to be paid for. terms: what it is to run on."""
    if account.quirks.unique_service_names and any(service.name == name for service in account.services):
        raise invalid("name", f"a service named {name!r} already exists")
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
        **terms,
    )
    account.touch()
    return shelf.add(service)


def url_of(call: Call, service: Service) -> str:
    """Where a service is called."""
    return f"{call.origin}{MODEL_PATH}/{service.kind}/{service.endpoint}"

"""Every call the emulator knows. A new endpoint is a handler and one line in its module's table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from qianfan._types import JSON
from qianfan.emulator.calls import Call, Handler
from qianfan.emulator.envelopes import Family
from qianfan.emulator.handlers import (
    batch_inference,
    charge,
    datasets,
    datasets_v1,
    datasets_v2,
    enhance,
    entities,
    etl,
    evaluations,
    evaluations_v1,
    evaluations_v2,
    finetuning_v1,
    finetuning_v2,
    inference,
    model_exports,
    models_v1,
    models_v2,
    services_v1,
    services_v2,
    tokens,
)
from qianfan.emulator.handlers.services import MODEL_PATH
from qianfan.emulator.refusals import Problem, Refused
from qianfan.emulator.shapes import FORMS
from qianfan.emulator.shapes.vocabulary import Obj
from qianfan.emulator.wire import Request

Preparation = Callable[[Call], Awaitable[None]]

CONSOLE_V2: dict[str, dict[str, Handler]] = {
    "/v2/dataset": datasets_v2.ACTIONS,
    "/v2/finetuning": finetuning_v2.ACTIONS,
    "/v2/model": models_v2.ACTIONS,
    "/v2/service": services_v2.ACTIONS,
    "/v2/charge": charge.ACTIONS,
    "/v2/eval": evaluations_v2.ACTIONS,
    "/v2/batchinference": batch_inference.ACTIONS,
}
"""Path -> `Action` -> who carries it out."""

CONSOLE_V1_PREFIX = "/wenxinworkshop"

DATA_V1: dict[str, Handler] = {**datasets_v1.PATHS, **entities.PATHS, **etl.PATHS, **enhance.PATHS}
"""Paths below the prefix that answer in the style of the data part."""

CONSOLE_V1: dict[str, Handler] = {
    **finetuning_v1.PATHS,
    **models_v1.PATHS,
    **services_v1.PATHS,
    **evaluations_v1.PATHS,
}
"""Paths below the prefix that answer in the style of the other parts."""

INFERENCE_V1: dict[str, Handler] = inference.KINDS

INFERENCE_V2: dict[str, Handler] = inference.PATHS

PREPARATIONS: dict[Handler, Preparation] = {
    batch_inference.describe_task: batch_inference.wait_for_answers,
    evaluations_v1.detail: evaluations.wait_for_answers,
    evaluations_v2.describe_task: evaluations.wait_for_answers,
    datasets_v1.import_data: datasets.read_sources,
    datasets_v2.create_import_task: datasets.read_sources,
    etl.create: etl.clean_ahead,
    enhance.create: enhance.augment_ahead,
    finetuning_v2.create_task: finetuning_v2.read_training_files,
    model_exports.create_model_export_task: model_exports.pack_model,
    **inference.PREPARATIONS,
}
"""What is done, without the account's lock, before a handler that would otherwise hold it for long, or that waits."""

RESERVED = ("v1", "v2", "wenxinworkshop", "rpc", "oauth", "_emulator")
"""First path segments that are not buckets."""


@dataclass(frozen=True)
class Route:
    """Where a request goes: the family that answers, the handler, and the name it is recorded under.

    takes: what its body has to be like; one that does not fit never comes to the handler.
    """

    family: Family
    name: str
    handler: Handler
    action: str | None = None
    args: dict[str, str] = field(default_factory=dict)
    takes: Obj | None = None


def route_of(request: Request) -> Route | None:
    """The route of a request; None for object storage and pages.

    A path inside the platform's areas that is not in the tables gets a route that refuses in its family's style.
    """
    path = request.path.rstrip("/")
    if path in CONSOLE_V2:
        return _action_route(path, request.param("Action") or "")
    if path in INFERENCE_V2:
        return Route(Family.INFERENCE_V2, path.removeprefix("/v2/").replace("/", "."), INFERENCE_V2[path])
    for family, table in ((Family.DATA_V1, DATA_V1), (Family.CONSOLE_V1, CONSOLE_V1)):
        below = path.removeprefix(CONSOLE_V1_PREFIX)
        handler = table.get(below) if path.startswith(CONSOLE_V1_PREFIX) else None
        if handler is not None:
            return Route(family, path.rpartition("/")[2], handler, takes=_taken(below))
    if path.startswith(MODEL_PATH + "/"):
        return _model_route(path.removeprefix(MODEL_PATH + "/"))
    if path == "/oauth/2.0/token":
        return Route(Family.OAUTH, "oauth", tokens.oauth_token)
    if path == "/v1/BCE-BEARER/token":
        return Route(Family.IAM, "bearer", tokens.bearer_token)
    return _unknown_route(path)


def _action_route(path: str, action: str) -> Route:
    handler = CONSOLE_V2[path].get(action, _unknown_action)
    takes = _taken(action) if action in CONSOLE_V2[path] else None
    return Route(Family.CONSOLE_V2, action or path.rpartition("/")[2], handler, action=action, takes=takes)


def _taken(endpoint: str) -> Obj | None:
    form = FORMS.get(endpoint)
    return form.takes if form else None


def _model_route(rest: str) -> Route:
    kind, _, endpoint = rest.partition("/")
    handler = INFERENCE_V1.get(kind, inference.unknown)
    return Route(Family.INFERENCE_V1, kind, handler, args={"endpoint": endpoint})


def _unknown_route(path: str) -> Route | None:
    area = path.strip("/").partition("/")[0]
    if area not in RESERVED or area == "_emulator":
        return None
    family = Family.CONSOLE_V1 if area in ("wenxinworkshop", "rpc") else Family.CONSOLE_V2
    return Route(family, path.rpartition("/")[2], _unknown_action)


def _unknown_action(call: Call) -> JSON:
    action = call.request.param("Action")
    named = f"action {action!r} of {call.request.path}" if action else call.request.path
    raise Refused(Problem.UNSUPPORTED, "", f"Unsupported openapi method: the emulator has no {named}")

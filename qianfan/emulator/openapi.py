"""The platform's calls as an OpenAPI 3.1 description, written from the tables of routes and shapes.

A path of the console's second generation stands for many calls, told apart by `?Action=`. OpenAPI knows one operation
for a path and a method, so each of these has its query as a part of its path: tools that join paths to the server's
address send the right request, and people see the address that is called.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from qianfan._types import JSON
from qianfan.emulator import routes
from qianfan.emulator.calls import Handler
from qianfan.emulator.envelopes import Family
from qianfan.emulator.handlers import tokens
from qianfan.emulator.handlers.services import MODEL_PATH
from qianfan.emulator.refusals import Problem
from qianfan.emulator.shapes import AREAS, FORMS
from qianfan.emulator.shapes.vocabulary import Form, Maybe, Obj, OneOf, Schema, Shape, Text, Whole

_ABOUT = """\
What the local emulator of the Qianfan platform answers, call by call: the shapes of requests, results and refusals.
It describes the emulator, which follows the platform's documents; where those say nothing, it says what was chosen.

The two generations of the console wrap results and say no differently: V1 under HTTP 200 with `error_code`, or with
`success: false` for datasets; V2 under a real HTTP status with `code` and `message`.
"""


@dataclass(frozen=True)
class Endpoint:
    """One call: where it goes, who answers it, and its name as in the platform's documents."""

    name: str
    path: str
    family: Family
    handler: Handler

    @property
    def form(self) -> Form:
        """What it takes and gives. Raises KeyError where nobody has said so yet."""
        return FORMS[self.name]


def endpoints() -> Iterator[Endpoint]:
    """Every call in the tables of routes."""
    for path, actions in routes.CONSOLE_V2.items():
        for action, handler in actions.items():
            yield Endpoint(action, f"{path}?Action={action}", Family.CONSOLE_V2, handler)
    for family, table in ((Family.DATA_V1, routes.DATA_V1), (Family.CONSOLE_V1, routes.CONSOLE_V1)):
        for path, handler in table.items():
            yield Endpoint(path, routes.CONSOLE_V1_PREFIX + path, family, handler)
    for kind, handler in routes.INFERENCE_V1.items():
        yield Endpoint(f"/{kind}", f"{MODEL_PATH}/{kind}/{{endpoint}}", Family.INFERENCE_V1, handler)
    for path, handler in routes.INFERENCE_V2.items():
        yield Endpoint(path, path, Family.INFERENCE_V2, handler)
    yield Endpoint("/oauth/2.0/token", "/oauth/2.0/token", Family.OAUTH, tokens.oauth_token)
    yield Endpoint("/v1/BCE-BEARER/token", "/v1/BCE-BEARER/token", Family.IAM, tokens.bearer_token)


@cache
def text() -> str:
    """The description as JSON."""
    return json.dumps(document(), ensure_ascii=False, indent=1)


def document() -> dict[str, JSON]:
    """The description. Raises KeyError with the name of a call whose shape is missing."""
    areas = {name: area for area, forms in AREAS.items() for name in forms}
    paths: dict[str, dict[str, JSON]] = {}
    for endpoint in endpoints():
        operation = _operation(endpoint, areas[endpoint.name])
        paths.setdefault(endpoint.path, {})[endpoint.form.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "qianfan emulator", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": area} for area in AREAS],
        "paths": paths,
        "components": {
            "securitySchemes": _SECURITY_SCHEMES,
            "responses": {
                f"{family.name}_{status}": {"description": what, **_content(said.schema(closed=True))}
                for family, style in _STYLES.items()
                for status, (what, said) in style.refusals.items()
            },
        },
    }


def _operation(endpoint: Endpoint, area: str) -> dict[str, JSON]:
    form, style = endpoint.form, _STYLES[endpoint.family]
    told = _told(endpoint.handler)
    operation: dict[str, JSON] = {
        "operationId": re.sub(r"\W+", "_", endpoint.name).strip("_"),
        "tags": [area],
        "summary": endpoint.name,
        **({"description": told} if told else {}),
        "responses": _responses(endpoint),
        "security": [{scheme: []} for scheme in style.security],
    }
    parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)}", endpoint.path)]
    if form.in_query:
        parameters += [_query_parameter(name, shape) for name, shape in form.takes.fields.items()]
    elif form.method == "POST":
        # An absent body is an empty one.
        needed = any(not isinstance(shape, Maybe) for shape in form.takes.fields.values())
        kind = "multipart/form-data" if form.in_form else "application/json"
        operation["requestBody"] = {"required": needed, **_content(form.takes.schema(closed=False), kind)}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _told(handler: Handler) -> str:
    """What a handler's documentation says of its call, without the name it begins with."""
    told = re.sub(r"^`[^`]*`[:;,]?\s*", "", inspect.getdoc(handler) or "")
    return told[:1].upper() + told[1:] if len(told) > 1 else ""


def _path_parameter(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameter(name: str, shape: Shape) -> Schema:
    needed = not isinstance(shape, Maybe)
    return {"name": name, "in": "query", "required": needed, "schema": shape.schema(closed=False)}


def _responses(endpoint: Endpoint) -> dict[str, JSON]:
    form, style = endpoint.form, _STYLES[endpoint.family]
    good = style.wrap(form.gives).schema(closed=True)
    refused = style.refused_with_200
    schema = {"oneOf": [good, refused.schema(closed=True)]} if refused else good
    answer: dict[str, JSON] = {"description": "The result" + (", or a refusal" if refused else ""), **_content(schema)}
    if form.streams:
        answer["content"]["text/event-stream"] = {"schema": _event(form.streams, style)}
    if style.request_id_in_header:
        answer["headers"] = {"x-bce-request-id": {"required": True, "schema": {"type": "string"}}}
    others = {str(status): {"$ref": _component(endpoint.family, status)} for status in style.refusals}
    return {"200": answer, **others}


def _event(holds: Shape, style: _Style) -> Schema:
    """One event of a stream. Where an answer breaks off, the last event is a refusal; V2 ends with one of its own."""
    data = {"type": "string", "contentMediaType": "application/json"}
    held: list[Shape] = [holds, style.broken_off] if style.broken_off else [holds]
    alike: list[Schema] = [{**data, "contentSchema": shape.schema(closed=True)} for shape in held]
    alike += [{"const": style.last_event}] if style.last_event else []
    event: Schema = {"type": "string"}
    return {"type": "object", "properties": {"event": event, "data": {"anyOf": alike}}, "required": ["data"]}


def _component(family: Family, status: int) -> str:
    return f"#/components/responses/{family.name}_{status}"


def _content(schema: Schema, kind: str = "application/json") -> dict[str, JSON]:
    return {"content": {kind: {"schema": schema}}}


# --- how each family wraps results and says no -------------------------------------------------------------------


@dataclass(frozen=True)
class _Style:
    """What is around the results of a family.

    security: what lets a caller in, any of them. around: the keys beside `result`; None where the result is all.
    refused_with_200: a refusal that only its body tells from a result. refusals: status -> what it is, how it looks.
    broken_off: what tells of a failure in the middle of a stream. last_event: what a stream ends with.
    """

    security: tuple[str, ...]
    refusals: dict[int, tuple[str, Shape]]
    around: dict[str, Shape] | None = None
    refused_with_200: Shape | None = None
    request_id_in_header: bool = False
    broken_off: Shape | None = None
    last_event: str = ""

    def wrap(self, result: Shape) -> Shape:
        return result if self.around is None else Obj(**self.around, result=result)


_SIGNATURE, _ACCESS_TOKEN, _BEARER = "signature", "accessToken", "bearer"

_SECURITY_SCHEMES: dict[str, JSON] = {
    _SIGNATURE: {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`bce-auth-v1/{access key}/{timestamp}/{seconds}/{signed headers}/{signature}`, together with "
        "the timestamp in the header `x-bce-date`",
    },
    _ACCESS_TOKEN: {"type": "apiKey", "in": "query", "name": "access_token", "description": "Of /oauth/2.0/token"},
    _BEARER: {"type": "http", "scheme": "bearer", "description": "Of /v1/BCE-BEARER/token"},
}

_REQUEST_ID = Text(pattern="[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOG_ID = Text(pattern="[0-9]{1,10}")
_ROUND_ID = Text(pattern="as-[0-9a-f]{10}")
_TOO_LARGE = "The body is larger than 32 MiB"


def _coded(*codes: str) -> Obj:
    return Obj(requestId=_REQUEST_ID, code=OneOf(*codes), message=Text())


_NUMBERED = Obj(error_code=OneOf(*sorted({problem.number for problem in Problem})), error_msg=Text(), log_id=_LOG_ID)
_OF_DATA = Obj(
    log_id=_LOG_ID,
    status=OneOf(400),
    success=OneOf(False),
    code=OneOf("InvalidParam", "InvalidState", "InappropriateJSON", "MalformedJSON", "InvalidHTTPRequest"),
    message=Text(),
)
_OF_MODELS_V1 = Obj(error_code=Whole(1), error_msg=Text(), id=_ROUND_ID)
_OF_MODELS_V2 = Obj(error=Obj(code=Text(1), message=Text(), type=Text(1)), id=_ROUND_ID)

_BAD_SIGNATURE = ("The signature is malformed or too old", _coded("InvalidHTTPAuthHeader", "RequestExpired"))
_NOT_LET_IN = (
    "There is no signature, or it is not by a key of this account",
    _coded("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
)

_STYLES: dict[Family, _Style] = {
    Family.CONSOLE_V1: _Style(
        security=(_SIGNATURE,),
        around={"log_id": _LOG_ID},
        refused_with_200=_NUMBERED,
        refusals={400: _BAD_SIGNATURE, 403: _NOT_LET_IN, 413: (_TOO_LARGE, _NUMBERED)},
    ),
    Family.DATA_V1: _Style(
        security=(_SIGNATURE,),
        around={"log_id": _LOG_ID, "status": OneOf(200), "success": OneOf(True)},
        refused_with_200=_OF_DATA,
        refusals={400: _BAD_SIGNATURE, 403: _NOT_LET_IN, 413: (_TOO_LARGE, _OF_DATA)},
    ),
    Family.CONSOLE_V2: _Style(
        security=(_SIGNATURE,),
        around={"requestId": _REQUEST_ID},
        refusals={
            400: (
                "The body, a field of it or the signature is not what it has to be; what is named does not exist",
                _coded(
                    "InappropriateJSON",
                    "MalformedJSON",
                    "InvalidURI",
                    "InvalidHTTPAuthHeader",
                    "RequestExpired",
                    "TaskRunningNumberExceedLimit",
                ),
            ),
            403: _NOT_LET_IN,
            412: ("The state of what is named does not allow it", _coded("PreconditionFailed")),
            413: (_TOO_LARGE, _coded("InvalidHTTPRequest")),
        },
        request_id_in_header=True,
    ),
    Family.INFERENCE_V1: _Style(
        security=(_ACCESS_TOKEN, _SIGNATURE),
        refused_with_200=_OF_MODELS_V1,
        broken_off=_OF_MODELS_V1,
        refusals={413: (_TOO_LARGE, _OF_MODELS_V1)},
    ),
    Family.INFERENCE_V2: _Style(
        security=(_BEARER,),
        refusals={
            400: ("The body, or a field of it, is not what it has to be", _OF_MODELS_V2),
            401: ("The token is not good, or not for this model", _OF_MODELS_V2),
            413: (_TOO_LARGE, _OF_MODELS_V2),
        },
        broken_off=_OF_MODELS_V2,
        last_event="[DONE]",
    ),
    Family.OAUTH: _Style(
        security=(),
        refusals={401: ("There are no such keys", Obj(error=Text(1), error_description=Text(1)))},
    ),
    Family.IAM: _Style(
        security=(_SIGNATURE,),
        refusals={
            400: (
                "The time asked for or the signature is not what it has to be",
                _coded("InvalidHTTPRequest", "InvalidHTTPAuthHeader", "RequestExpired"),
            ),
            403: _NOT_LET_IN,
        },
        request_id_in_header=True,
    ),
}

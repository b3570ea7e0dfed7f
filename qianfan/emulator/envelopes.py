"""How each family of the wire wraps a result and says no."""

from __future__ import annotations

import uuid
from enum import Enum

from qianfan._types import JSON
from qianfan.emulator import words
from qianfan.emulator.refusals import Problem, Refused, RefusedInference, RefusedObject
from qianfan.emulator.wire import Answer, json_answer


class Family(Enum):
    """A group of endpoints with one style of answers and one kind of credentials."""

    CONSOLE_V1 = "console v1"
    DATA_V1 = "data v1"
    CONSOLE_V2 = "console v2"
    INFERENCE_V1 = "inference v1"
    INFERENCE_V2 = "inference v2"
    OAUTH = "oauth"
    IAM = "iam"
    OBJECTS = "objects"
    PAGES = "pages"


def request_id() -> str:
    """A new id of the kind that support asks for."""
    return str(uuid.uuid4())


def accepted(family: Family, result: JSON) -> Answer:
    """A good answer around a handler's result."""
    if family is Family.CONSOLE_V1:
        return json_answer({"log_id": _log_id(), "result": result})
    if family is Family.DATA_V1:
        return json_answer({"log_id": _log_id(), "result": result, "status": 200, "success": True})
    if family is Family.CONSOLE_V2:
        rid = request_id()
        return json_answer({"requestId": rid, "result": result}, headers={"x-bce-request-id": rid})
    return json_answer(result, headers={"x-bce-request-id": request_id()} if family is Family.IAM else None)


def refused(family: Family, problem: Refused) -> Answer:
    """A refusal in the family's own style."""
    if family is Family.DATA_V1:
        return failure(family, code=_data_word(problem), message=_sentence(problem))
    if family is not Family.CONSOLE_V2:
        return failure(family, code=problem.problem.number, message=_sentence(problem))
    if problem.problem is Problem.UNSUPPORTED:
        return failure(family, code="InvalidURI", message=problem.text)
    if problem.problem is Problem.SYSTEM:
        return failure(family, status=500, code="InternalError", message=problem.text)
    if problem.problem is Problem.TOO_MANY_BATCHES:
        return failure(family, code="TaskRunningNumberExceedLimit", message=_sentence(problem))
    if problem.problem.is_conflict:
        return failure(family, status=412, code="PreconditionFailed", message=_sentence(problem))
    return failure(family, code="InappropriateJSON", message=_sentence(problem))


def refused_inference(family: Family, problem: RefusedInference) -> Answer:
    """A refusal of a model call."""
    if family is Family.INFERENCE_V1:
        content = {"error_code": problem.number, "error_msg": problem.text, "id": answer_id()}
        return json_answer(content, headers=problem.headers)
    error = {"code": problem.word, "message": problem.text, "type": problem.kind}
    return json_answer({"error": error, "id": answer_id()}, status=problem.status, headers=problem.headers)


def refused_object(problem: RefusedObject, *, with_body: bool = True) -> Answer:
    """A refusal in the style of object storage and IAM."""
    rid = request_id()
    headers = {"x-bce-request-id": rid, **problem.headers}
    if not with_body:
        return Answer(problem.status, headers)
    content = {"code": problem.code, "message": problem.text, "requestId": rid}
    return json_answer(content, status=problem.status, headers=headers)


def failure(family: Family, *, code: int | str | None = None, message: str = "", status: int | None = None) -> Answer:
    """An error answer of a family with any code; left out parts get the family's usual ones."""
    if family is Family.CONSOLE_V1:
        content = {"error_code": code or 500000, "error_msg": message, "log_id": _log_id()}
        return json_answer(content, status=status or 200)
    if family is Family.DATA_V1:
        content = {"log_id": _log_id(), "status": 400, "success": False, "code": code or "InvalidParam"}
        return json_answer({**content, "message": message}, status=status or 200)
    if family is Family.INFERENCE_V1:
        content = {"error_code": code or 336000, "error_msg": message, "id": answer_id()}
        return json_answer(content, status=status or 200)
    if family is Family.INFERENCE_V2:
        usual, kind = words.INFERENCE_V2.get(str(code or "internal_error"), (500, "internal_error"))
        if status is not None and status != usual:
            kind = "internal_error" if status >= 500 else "invalid_request_error"
        error = {"code": code or "internal_error", "message": message, "type": kind}
        return json_answer({"error": error, "id": answer_id()}, status=status or usual)
    if family is Family.OAUTH:
        content = {"error": code or "server_error", "error_description": message}
        return json_answer(content, status=status or 401)
    rid = request_id()
    default = words.STATUS.get(str(code), 400 if family is Family.CONSOLE_V2 and code else 500)
    content = {"requestId": rid, "code": code or "InternalError", "message": message}
    return json_answer(content, status=status or default, headers={"x-bce-request-id": rid})


def answer_id() -> str:
    """The id of one round with a model."""
    return f"as-{uuid.uuid4().hex[:10]}"


def _log_id() -> str:
    return str(uuid.uuid4().int % 10**10)


def _data_word(problem: Refused) -> str:
    return "InvalidState" if problem.problem.is_conflict else "InvalidParam"


def _sentence(problem: Refused) -> str:
    """The reason, ending in the hint that names the field, as the platform's own messages do."""
    hint = f"param[{problem.field}] invalid." if problem.field else ""
    return ": ".join(part for part in (problem.text, hint) if part)

"""The model repository, second generation: a model set holds models."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.calls import Call, Handler, page_of, reason_of, zoned_time
from qianfan.emulator.checks import Body, found, model_name
from qianfan.emulator.handlers.models import (
    add_model,
    add_set,
    check_run,
    check_set,
    look_at_model,
    model_of,
    model_set_of,
    remove_model,
    remove_set,
    set_of,
)
from qianfan.emulator.records import ModelSet
from qianfan.emulator.refusals import Problem, Refused

MODEL_TYPES = (
    "Text2Text",
    "Text2Image",
    "TextRepresentation",
    "ImageUnderstanding",
    "Industry",
    "Embedding",
    "VideoGeneration",
    "VioceGeneration",
    "Reasoning",
    "Reranker",
)


def create_custom_model_set(call: Call) -> JSON:
    """`CreateCustomModelSet`; the result is the id itself."""
    body = call.body
    name, model_type = model_name(body, "modelSetName"), body.one_of("modelType", MODEL_TYPES)
    return add_set(call.account, name, model_type, body.texts("labels"), "modelSetName").id


def create_custom_model(call: Call) -> JSON:
    """`CreateCustomModel` from a training; importing foreign models is not emulated."""
    body, account = call.body, call.account
    model_set = model_set_of(account, body.get("modelSetId"))
    if body.one_of("sourceType", ["Train", "Import"]) == "Import":
        raise Refused(Problem.INVALID, "sourceType", "this emulator cannot import models")
    meta = Body(body.object("trainMeta"))
    task = found(account.tasks.get(meta.get("taskId")), Problem.RUN_MISSING, "taskId", meta.get("taskId"))
    step = meta.get("checkpointStep") if meta.get("checkpointStep") is not None else meta.get("step")
    check_run(account, task, step, "taskId")
    check_set(account, model_set, task, step, "taskId")
    description = body.optional_text("description", longest=300)
    return {"modelId": add_model(account, model_set, task, step=step, description=description).id}


def describe_model_set(call: Call) -> JSON:
    """`DescribeModelSet` by id or by name; the id wins."""
    account, body = call.account, call.body
    if body.get("modelSetId"):
        model_set = model_set_of(account, body.get("modelSetId"))
    else:
        name = body.text("modelSetName")
        listed = account.listed(account.model_sets)
        named = next((model_set for model_set in listed if model_set.name == name), None)
        model_set = found(named, Problem.MODEL_SET_MISSING, "modelSetName", name)
    return _set_entry(model_set)


def describe_custom_model_sets(call: Call) -> JSON:
    """`DescribeCustomModelSets`, newest first."""
    account = call.account
    shown = {model.id for model in account.listed(account.models)}
    sets: list[tuple[str, dict[str, JSON]]] = []
    for model_set in account.listed(account.model_sets):
        model_ids = [model_id for model_id in model_set.model_ids if model_id in shown]
        sets.append((model_set.id, {**_set_entry(model_set), "modelIds": model_ids}))
    entries, info = page_of(call, sets)
    return {"modelSetList": entries, "pageInfo": info}


def delete_model_set(call: Call) -> JSON:
    """`DeleteModelSet` with all its versions."""
    remove_set(call.account, model_set_of(call.account, call.body.get("modelSetId")))
    return True


def describe_model(call: Call) -> JSON:
    """`DescribeModel`; counts as a look."""
    account = call.account
    model = look_at_model(account, model_of(account, call.body.get("modelId")))
    model_set = set_of(account, model)
    return {
        "modelId": model.id,
        "modelSetId": model_set.id,
        "modelSetName": model_set.name,
        "version": str(model.version),
        "status": model.state,
        "description": model.description,
        "sourceType": "Train",
        "trainMeta": {"taskId": model.task_id, "checkpointStep": model.step},
        "ioMode": "chat",
        "isSupportModelComp": False,
        "createTime": zoned_time(model.created),
        "modifyTime": zoned_time(model.created),
        **reason_of(model),
    }


def delete_model(call: Call) -> JSON:
    """`DeleteModel`: one version."""
    remove_model(call.account, model_of(call.account, call.body.get("modelId")))
    return True


def _set_entry(model_set: ModelSet) -> dict[str, JSON]:
    return {
        "modelSetId": model_set.id,
        "modelSetName": model_set.name,
        "source": "UserCreate",
        "modelType": model_set.model_type,
        "createTime": zoned_time(model_set.created),
        "modifyTime": zoned_time(model_set.modified),
        "modelIds": list(model_set.model_ids),
    }


ACTIONS: dict[str, Handler] = {
    "CreateCustomModelSet": create_custom_model_set,
    "CreateCustomModel": create_custom_model,
    "DescribeModelSet": describe_model_set,
    "DescribeModel": describe_model,
    "DescribeCustomModelSets": describe_custom_model_sets,
    "DeleteModelSet": delete_model_set,
    "DeleteModel": delete_model,
}
"""Of `/v2/model`."""

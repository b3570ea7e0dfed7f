"""The model repository, V1 and V2: publishing what was trained."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator import catalogue, training
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, page_of, zoned_time
from qianfan.emulator.checks import Body, found, model_name
from qianfan.emulator.handlers.finetuning import job_of_task, look_at_task
from qianfan.emulator.lifecycle import PUBLISH
from qianfan.emulator.records import Model, ModelSet, Task
from qianfan.emulator.refusals import Problem, Refused, invalid

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


# --- shared by both generations --------------------------------------------------------------------------------


def model_set_of(account: Account, key: JSON, field: str = "modelSetId") -> ModelSet:
    """The model set a call names, by id or V1 number."""
    return found(account.model_sets.get(key), Problem.MODEL_SET_MISSING, field, key)


def model_of(account: Account, key: JSON, field: str = "modelId") -> Model:
    """The model version a call names, by id or V1 number."""
    return found(account.models.get(key), Problem.MODEL_MISSING, field, key)


def look_at_model(account: Account, model: Model, *, look: bool = True) -> Model:
    """Move a version's publishing on."""
    before = model.state
    model.state = account.stages.publishing.advance(model.state, model.work, account.clock.monotonic(), look=look)
    if model.state != before:
        model.reason = model.work.reason if model.state == "Fail" else ""
        account.touch()
    return model


def set_of(account: Account, model: Model) -> ModelSet:
    """The set a version belongs to."""
    model_set = account.model_sets.get(model.model_set_id)
    assert model_set is not None, "a version does not outlive its set"
    return model_set


def _add_set(account: Account, name: str, model_type: str, labels: list[str], field: str) -> ModelSet:
    if any(model_set.name == name for model_set in account.model_sets):
        raise Refused(Problem.MODEL_NAME_TAKEN, field, f"a model named {name!r} already exists")
    shelf, now = account.model_sets, account.now()
    model_set = ModelSet(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=now,
        modified=now,
        name=name,
        model_type=model_type,
        labels=labels,
    )
    account.touch()
    return shelf.add(model_set)


def _check_run(account: Account, task: Task, step: JSON, field: str) -> None:
    look_at_task(account, task, look=False)
    if task.state != "Done":
        raise Refused(Problem.RUN_NOT_PUBLISHABLE, field, f"{task.id} is {task.state or 'new'}, only Done is published")
    if step is not None and step not in training.course_of(task).kept:
        raise invalid("step", f"{task.id} has no checkpoint at step {step!r}")


def _check_set(account: Account, model_set: ModelSet, task: Task, step: JSON, field: str) -> None:
    for model_id in model_set.model_ids:
        other = model_of(account, model_id)
        if (other.task_id, other.step) == (task.id, step):
            raise Refused(Problem.ALREADY_PUBLISHED, field, f"{task.id} is already published in {model_set.id}")
        other_task = account.tasks.get(other.task_id)
        if other_task and _family(other_task) != _family(task):
            raise Refused(Problem.MODEL_TYPE_MISMATCH, field, f"{model_set.id} holds {_family(other_task)} models")


def _family(task: Task) -> str:
    entry = catalogue.model_named(task.model) or {}
    return str(entry.get("baseModel", task.model))


def _add_model(account: Account, model_set: ModelSet, task: Task, *, step: int | None, description: str) -> Model:
    shelf = account.models
    model = Model(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        model_set_id=model_set.id,
        version=len(model_set.model_ids) + 1,
        description=description,
        task_id=task.id,
        step=step,
        state=PUBLISH.underway[0],
        work=account.stages.publishing.begin(account.clock),
    )
    model_set.model_ids.append(model.id)
    model_set.modified = account.now()
    account.touch()
    return shelf.add(model)


def _delete_model(account: Account, model: Model) -> None:
    _refuse_if_served(account, [model.id])
    model_set = set_of(account, model)
    model_set.model_ids.remove(model.id)
    account.models.remove(model)
    account.touch()


def _delete_set(account: Account, model_set: ModelSet) -> None:
    _refuse_if_served(account, model_set.model_ids)
    for model_id in list(model_set.model_ids):
        _delete_model(account, model_of(account, model_id))
    account.model_sets.remove(model_set)
    account.touch()


def _refuse_if_served(account: Account, model_ids: list[str]) -> None:
    for service in account.services:
        if service.model_id in model_ids and service.state in ("New", "Deploying", "Serving"):
            raise Refused(Problem.STATE, "modelId", f"{service.model_id} is served by {service.id}")


# --- V1 ----------------------------------------------------------------------------------------------------------


def publish_train_model_v1(call: Call) -> JSON:
    """`/modelrepo/publishTrainModel`: a finished run becomes a model version."""
    body, account = call.body, call.account
    is_new = body.flag("isNewModel")
    meta = Body(body.object("versionMeta"))
    task = found(
        account.tasks.get(meta.get("iterationId")), Problem.RUN_MISSING, "iterationId", meta.get("iterationId")
    )
    series = account.jobs.get(meta.get("taskId"))
    if series is None or series.id != task.job_id:
        raise Refused(Problem.RUN_MISSING, "taskId", f"{meta.get('taskId')!r} is not the series of {task.id}")
    step = meta.get("step")
    _check_run(account, task, step, "iterationId")
    if is_new:
        name = model_name(body, "modelName")
        model_set = _add_set(account, name, _type_of(task), body.texts("tags"), "modelName")
    else:
        model_set = model_set_of(account, body.get("modelId"), "modelId")
        _check_set(account, model_set, task, step, "iterationId")
    model = _add_model(account, model_set, task, step=step, description=meta.optional_text("description"))
    return {
        "modelIDStr": model_set.id,
        "modelId": model_set.number,
        "version": str(model.version),
        "versionId": model.number,
        "versionIdStr": model.id,
    }


def model_detail_v1(call: Call) -> JSON:
    """`/modelrepo/modelDetail`: a model set with its versions."""
    account = call.account
    model_set = model_set_of(account, call.body.get("modelId"), "modelId")
    versions = [
        _version_v1(account, look_at_model(account, model_of(account, key), look=False)) for key in model_set.model_ids
    ]
    return {
        "modelId": model_set.number,
        "modelIdStr": model_set.id,
        "modelName": model_set.name,
        "source": "UserCreate",
        "modelType": 1 if model_set.model_type == "Text2Image" else 0,
        "createUserId": 1,
        "createUser": "emulator",
        "createTime": zoned_time(model_set.created),
        "modifyTime": zoned_time(model_set.modified),
        "description": "",
        "trainType": versions[0]["trainType"] if versions else "",
        "modelVersionList": versions,
    }


def model_version_detail_v1(call: Call) -> JSON:
    """`/modelrepo/modelVersionDetail`; counts as a look."""
    account = call.account
    model = look_at_model(account, model_of(account, call.body.get("modelVersionId"), "modelVersionId"))
    return {**_version_v1(account, model), "params": {"input": {}, "output": {}}}


def batch_delete_models_v1(call: Call) -> JSON:
    """`/modelrepo/model/batchDelete`: whole model sets."""
    account = call.account
    for model_set in [model_set_of(account, key, "modelIDs") for key in call.body.items("modelIDs")]:
        _delete_set(account, model_set)
    return True


def batch_delete_versions_v1(call: Call) -> JSON:
    """`/modelrepo/model/version/batchDelete`."""
    account = call.account
    for model in [model_of(account, key, "modelVersionIds") for key in call.body.items("modelVersionIds")]:
        _delete_model(account, model)
    return True


def _type_of(task: Task) -> str:
    entry = catalogue.model_named(task.model) or {}
    return "Text2Image" if entry.get("modelType") == "text2image" else "Text2Text"


def _version_v1(account: Account, model: Model) -> dict[str, JSON]:
    model_set, task = set_of(account, model), account.tasks.get(model.task_id)
    return {
        "modelId": model_set.number,
        "modelIdStr": model_set.id,
        "modelName": model_set.name,
        "modelVersionId": model.number,
        "modelVersionIdStr": model.id,
        "version": str(model.version),
        "state": model.state,
        "sourceType": "Train",
        "sourceExtra": {"sourceType": "Train", "trainSourceExtra": _source_of(account, task) if task else {}},
        "framework": "paddlepaddle",
        "algorithm": "",
        "modelNet": "",
        "ioMode": "chat",
        "ioLength": "3K+1K",
        "deployResource": ["Private"],
        "supportOptions": ["Deploy", "Evaluation"] if model.state == "Ready" else [],
        "trainType": task.model if task else "",
        "description": model.description,
        "copyright": "",
        "license": "",
        "property": {},
        "createTime": zoned_time(model.created),
        "modifyTime": zoned_time(model.created),
    }


def _source_of(account: Account, task: Task) -> dict[str, JSON]:
    job = job_of_task(account, task)
    return {
        "taskId": job.number,
        "taskIdStr": job.id,
        "taskName": job.name,
        "iterationVersion": task.run,
        "runId": task.number,
        "runIdStr": task.id,
        "devType": 1,
        "modelType": 0,
        "templateType": 2000,
    }


# --- V2 ----------------------------------------------------------------------------------------------------------


def create_custom_model_set(call: Call) -> JSON:
    """`CreateCustomModelSet`; the result is the id itself."""
    body = call.body
    name, model_type = model_name(body, "modelSetName"), body.one_of("modelType", MODEL_TYPES)
    return _add_set(call.account, name, model_type, body.texts("labels"), "modelSetName").id


def create_custom_model(call: Call) -> JSON:
    """`CreateCustomModel` from a training; importing foreign models is not emulated."""
    body, account = call.body, call.account
    model_set = model_set_of(account, body.get("modelSetId"))
    if body.one_of("sourceType", ["Train", "Import"]) == "Import":
        raise Refused(Problem.INVALID, "sourceType", "this emulator cannot import models")
    meta = Body(body.object("trainMeta"))
    task = found(account.tasks.get(meta.get("taskId")), Problem.RUN_MISSING, "taskId", meta.get("taskId"))
    step = meta.get("checkpointStep") if meta.get("checkpointStep") is not None else meta.get("step")
    _check_run(account, task, step, "taskId")
    _check_set(account, model_set, task, step, "taskId")
    description = body.optional_text("description", longest=300)
    return {"modelId": _add_model(account, model_set, task, step=step, description=description).id}


def describe_model_set(call: Call) -> JSON:
    """`DescribeModelSet` by id or by name; the id wins."""
    account, body = call.account, call.body
    if body.get("modelSetId"):
        model_set = model_set_of(account, body.get("modelSetId"))
    else:
        name = body.text("modelSetName")
        named = next((model_set for model_set in account.model_sets if model_set.name == name), None)
        model_set = found(named, Problem.MODEL_SET_MISSING, "modelSetName", name)
    return _set_entry(model_set)


def describe_custom_model_sets(call: Call) -> JSON:
    """`DescribeCustomModelSets`, newest first."""
    sets = [(model_set.id, _set_entry(model_set)) for model_set in call.account.model_sets.newest_first()]
    entries, info = page_of(call.body, sets)
    return {"modelSetList": entries, "pageInfo": info}


def delete_model_set(call: Call) -> JSON:
    """`DeleteModelSet` with all its versions."""
    _delete_set(call.account, model_set_of(call.account, call.body.get("modelSetId")))
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
    }


def delete_model(call: Call) -> JSON:
    """`DeleteModel`: one version."""
    _delete_model(call.account, model_of(call.account, call.body.get("modelId")))
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

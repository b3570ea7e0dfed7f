"""The model repository, first generation: a model holds model versions."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, reason_of, zoned_time
from qianfan.emulator.checks import Body, found, model_name
from qianfan.emulator.handlers.finetuning import job_of_task
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
from qianfan.emulator.records import Model, Task
from qianfan.emulator.refusals import Problem, Refused


def publish_train_model(call: Call) -> JSON:
    """`/modelrepo/publishTrainModel`: a finished run becomes a model version."""
    body, account = call.body, call.account
    is_new = body.flag("isNewModel")
    meta = Body(body.object("versionMeta"))
    task = found(
        account.tasks.get(meta.get("iterationId")), Problem.RUN_MISSING, "iterationId", meta.get("iterationId")
    )
    series = account.jobs.get(meta.get("taskId")) or account.deleted_job(meta.get("taskId"))
    if series is None or series.id != task.job_id:
        raise Refused(Problem.RUN_MISSING, "taskId", f"{meta.get('taskId')!r} is not the series of {task.id}")
    step = meta.get("step")
    check_run(account, task, step, "iterationId")
    if is_new:
        name = model_name(body, "modelName")
        model_set = add_set(account, name, _type_of(task), body.texts("tags"), "modelName")
    else:
        model_set = model_set_of(account, body.get("modelId"), "modelId")
        check_set(account, model_set, task, step, "iterationId")
    model = add_model(account, model_set, task, step=step, description=meta.optional_text("description"))
    return {
        "modelIDStr": model_set.id,
        "modelId": model_set.number,
        "version": str(model.version),
        "versionId": model.number,
        "versionIdStr": model.id,
    }


def model_detail(call: Call) -> JSON:
    """`/modelrepo/modelDetail`: a model set with its versions."""
    account = call.account
    model_set = model_set_of(account, call.body.get("modelId"), "modelId")
    versions = [
        _version_entry(account, look_at_model(account, model_of(account, key), look=False))
        for key in model_set.model_ids
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


def model_version_detail(call: Call) -> JSON:
    """`/modelrepo/modelVersionDetail`; counts as a look."""
    account = call.account
    model = look_at_model(account, model_of(account, call.body.get("modelVersionId"), "modelVersionId"))
    return {**_version_entry(account, model), "params": {"input": {}, "output": {}}, **reason_of(model)}


def batch_delete_models(call: Call) -> JSON:
    """`/modelrepo/model/batchDelete`: whole model sets."""
    account = call.account
    for model_set in [model_set_of(account, key, "modelIDs") for key in call.body.items("modelIDs")]:
        remove_set(account, model_set)
    return True


def batch_delete_versions(call: Call) -> JSON:
    """`/modelrepo/model/version/batchDelete`."""
    account = call.account
    for model in [model_of(account, key, "modelVersionIds") for key in call.body.items("modelVersionIds")]:
        remove_model(account, model)
    return True


def _type_of(task: Task) -> str:
    entry = catalogue.model_named(task.model) or {}
    return "Text2Image" if entry.get("modelType") == "text2image" else "Text2Text"


def _version_entry(account: Account, model: Model) -> dict[str, JSON]:
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


PATHS: dict[str, Handler] = {
    "/modelrepo/publishTrainModel": publish_train_model,
    "/modelrepo/modelDetail": model_detail,
    "/modelrepo/modelVersionDetail": model_version_detail,
    "/modelrepo/model/batchDelete": batch_delete_models,
    "/modelrepo/model/version/batchDelete": batch_delete_versions,
}
"""By path."""

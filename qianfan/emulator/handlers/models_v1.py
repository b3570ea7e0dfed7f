"""The model repository, first generation: a model holds model versions."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, reason_of, zoned_time
from qianfan.emulator.checks import Body, distinct, found, model_name
from qianfan.emulator.handlers.finetuning import job_of_task
from qianfan.emulator.handlers.models import (
    add_model,
    add_set,
    can_be_compressed,
    check_run,
    check_set,
    look_at_model,
    model_of,
    model_set_of,
    remove_model,
    remove_set,
    set_of,
)
from qianfan.emulator.presets import SINCE, Preset, preset_set, preset_sets, preset_version
from qianfan.emulator.records import Model, ModelSet, Task
from qianfan.emulator.refusals import Problem, Refused, invalid

_TYPE_NUMBERS = {
    "Text2Text": 0,
    "Text2Image": 1,
    "Industry": 2,
    "TextRepresentation": 3,
    "Embedding": 4,
    "ImageUnderstanding": 5,
}
"""The type of one's own model set -> its number, which the platform has for some of them."""

_LARGEST_PAGE = 100


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
    preset = preset_set(call.body.get("modelId"))
    if preset is not None and preset.name != call.body.get("modelId"):
        return preset_entry(preset)
    return set_entry(call.account, model_set_of(call.account, call.body.get("modelId"), "modelId"))


def preset_list(call: Call) -> JSON:
    """`/modelrepo/model/preset/list`. What its answer is like is not documented."""
    body = call.body
    part = body.optional_text("nameFilter").lower()
    wanted = {name: body.texts(name) for name in ("modelVersionVendor", "ctxLength", "languageSupport", "expansion")}
    types = _numbers(body, "modelType")
    found = [
        preset
        for preset in preset_sets()
        if part in preset.name.lower()
        and (not types or preset.type_number in types)
        and _any(wanted["modelVersionVendor"], preset.vendor)
        and _any(wanted["ctxLength"], preset.context)
        and _any(wanted["languageSupport"], *preset.languages)
        and _any(wanted["expansion"], *preset.expansion)
    ]
    if body.optional_text("orderBy") == "name":
        found.sort(key=lambda preset: preset.name)
    return _page(body, [preset_entry(preset) for preset in found])


def user_list(call: Call) -> JSON:
    """`/modelrepo/model/user/list`, newest first. What its answer is like is not documented."""
    account, body = call.account, call.body
    part, types = body.optional_text("nameFilter").lower(), _numbers(body, "modelType")
    if body.get("orderBy") not in (None, "", "create_time"):
        raise invalid("orderBy", f"orderBy is create_time, found {body.get('orderBy')!r}")
    found = [
        model_set
        for model_set in account.listed(account.model_sets)
        if part in model_set.name.lower() and (not types or _TYPE_NUMBERS.get(model_set.model_type) in types)
    ]
    if body.get("order") is not None and body.one_of("order", ["asc", "desc"]) == "asc":
        found.reverse()
    return _page(body, [set_entry(account, model_set) for model_set in found])


def _page(body: Body, entries: list[dict[str, JSON]]) -> JSON:
    size = int(body.number("pageSize", 1, _LARGEST_PAGE, default=20))
    start = size * (int(body.number("pageNo", 1, 10**9, default=1)) - 1)
    return {"total": len(entries), "modelList": entries[start : start + size]}


def _numbers(body: Body, key: str) -> list[JSON]:
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        raise invalid(key, f"{key} must be a list of numbers, found {value!r}")
    return value


def _any(wanted: list[str], *there: str) -> bool:
    return not wanted or any(one in wanted for one in there)


def set_entry(account: Account, model_set: ModelSet) -> dict[str, JSON]:
    """A model set of one's own with its versions."""
    versions = [
        _version_entry(account, look_at_model(account, model_of(account, key), look=False))
        for key in model_set.model_ids
    ]
    return {
        "modelId": model_set.number,
        "modelIdStr": model_set.id,
        "modelName": model_set.name,
        "source": "UserCreate",
        "modelType": _TYPE_NUMBERS.get(model_set.model_type, 0),
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
    preset = preset_version(call.body.get("modelVersionId"))
    if preset is not None:
        return {**_preset_version(preset), "params": {"input": {}, "output": {}}}
    model = look_at_model(account, model_of(account, call.body.get("modelVersionId"), "modelVersionId"))
    return {**_version_entry(account, model), "params": {"input": {}, "output": {}}, **reason_of(model)}


def batch_delete_models(call: Call) -> JSON:
    """`/modelrepo/model/batchDelete`: whole model sets."""
    account = call.account
    for model_set in distinct(model_set_of(account, key, "modelIDs") for key in call.body.items("modelIDs")):
        remove_set(account, model_set)
    return True


def batch_delete_versions(call: Call) -> JSON:
    """`/modelrepo/model/version/batchDelete`."""
    account = call.account
    for model in distinct(model_of(account, key, "modelVersionIds") for key in call.body.items("modelVersionIds")):
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
        "sourceType": model.source_type,
        "sourceExtra": _source_extra(account, model, task),
        "framework": "paddlepaddle",
        "algorithm": "",
        "modelNet": "",
        "ioMode": model.io_mode,
        "ioLength": "3K+1K",
        "deployResource": ["Private"],
        "supportOptions": _options(account, model),
        "trainType": task.model if task else "",
        "description": model.description,
        "copyright": "",
        "license": "",
        "property": {},
        "createTime": zoned_time(model.created),
        "modifyTime": zoned_time(model.created),
    }


def _options(account: Account, model: Model) -> list[JSON]:
    if model.state != "Ready":
        return []
    return ["Deploy", *(["Acceleration"] if can_be_compressed(account, model) else []), "Evaluation"]


def _source_extra(account: Account, model: Model, task: Task | None) -> dict[str, JSON]:
    extra: dict[str, JSON] = {"sourceType": model.source_type}
    if model.source_type == "Import":
        meta = model.import_meta
        extra["importModelVersionSourceExtra"] = {"bucket": meta.get("bucket"), "object": meta.get("objectPath")}
    elif model.source_type == "Acceleration":
        done = account.comp_tasks.get(model.comp_task_id)
        extra["accelerationSourceExtra"] = {
            "taskId": model.comp_task_id,
            "taskName": done.name if done else "",
            "sourceModelVersionId": model.source_model_id,
        }
    else:
        extra["trainSourceExtra"] = _source_of(account, task) if task else {}
    return extra


def preset_entry(preset: Preset) -> dict[str, JSON]:
    """A model set of the platform's with its one version."""
    return {
        "modelId": preset.number,
        "modelIdStr": preset.set_id,
        "modelName": preset.name,
        "source": "PlatformPreset",
        "modelType": preset.type_number,
        "createUserId": 0,
        "createUser": "",
        "createTime": zoned_time(SINCE),
        "modifyTime": zoned_time(SINCE),
        "description": "",
        "trainType": preset.name,
        "modelVersionList": [_preset_version(preset)],
    }


def _preset_version(preset: Preset) -> dict[str, JSON]:
    return {
        "modelId": preset.number,
        "modelIdStr": preset.set_id,
        "modelName": preset.name,
        "modelVersionId": preset.version_number,
        "modelVersionIdStr": preset.model_id,
        "version": "1",
        "state": "Ready",
        "sourceType": "PlatformPreset",
        "sourceExtra": {"sourceType": "PlatformPreset"},
        "framework": "paddlepaddle",
        "algorithm": "",
        "modelNet": "",
        "ioMode": "completion" if preset.kind == "completions" else "chat",
        "ioLength": preset.context,
        "deployResource": ["Public"],
        "supportOptions": [],
        "trainType": preset.name,
        "description": "",
        "copyright": preset.vendor,
        "license": "",
        "property": {},
        "createTime": zoned_time(SINCE),
        "modifyTime": zoned_time(SINCE),
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
    "/modelrepo/model/preset/list": preset_list,
    "/modelrepo/model/user/list": user_list,
    "/modelrepo/model/batchDelete": batch_delete_models,
    "/modelrepo/model/version/batchDelete": batch_delete_versions,
}
"""By path."""

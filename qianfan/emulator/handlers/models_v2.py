"""The model repository, second generation: a model set holds models."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.calls import Call, Handler, page_of, reason_of, zoned_time
from qianfan.emulator.checks import Body, found, model_name
from qianfan.emulator.handlers import compressions, imports, model_exports
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
from qianfan.emulator.records import Model, ModelSet
from qianfan.emulator.refusals import Problem

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
    """`CreateCustomModel` from a training, or from files in a bucket."""
    body, account = call.body, call.account
    model_set = model_set_of(account, body.get("modelSetId"))
    if body.one_of("sourceType", ["Train", "Import"]) == "Import":
        return {"modelId": imports.import_model(account, model_set, body).id}
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
        preset = preset_set(body.get("modelSetId"))
        if preset is not None and preset.set_id == body.get("modelSetId"):
            return _preset_entry(preset)
        return _set_entry(model_set_of(account, body.get("modelSetId")))
    name = body.text("modelSetName")
    listed = account.listed(account.model_sets)
    named = next((model_set for model_set in listed if model_set.name == name), None)
    preset = preset_set(name) if named is None else None
    if preset is not None and preset.name == name:
        return _preset_entry(preset)
    return _set_entry(found(named, Problem.MODEL_SET_MISSING, "modelSetName", name))


def describe_system_model_sets(call: Call) -> JSON:
    """`DescribeSystemModelSets`: the platform's own."""
    entries, info = page_of(call, [(preset.set_id, _preset_entry(preset)) for preset in preset_sets()])
    return {"modelSetList": entries, "pageInfo": info}


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
    preset = preset_version(call.body.get("modelId"))
    if preset is not None and preset.model_id == call.body.get("modelId"):
        return _preset_model(preset)
    model = look_at_model(account, model_of(account, call.body.get("modelId")))
    model_set = set_of(account, model)
    return {
        "modelId": model.id,
        "modelSetId": model_set.id,
        "modelSetName": model_set.name,
        "version": str(model.version),
        "status": model.state,
        "description": model.description,
        "sourceType": model.source_type,
        **_meta(model),
        "ioMode": model.io_mode,
        "isSupportModelComp": can_be_compressed(account, model),
        "createTime": zoned_time(model.created),
        "modifyTime": zoned_time(model.created),
        **reason_of(model),
    }


def delete_model(call: Call) -> JSON:
    """`DeleteModel`: one version."""
    remove_model(call.account, model_of(call.account, call.body.get("modelId")))
    return True


def _meta(model: Model) -> dict[str, JSON]:
    """Where a version comes from, in the words it was asked for with."""
    if model.source_type == "Import":
        return {"importMeta": model.import_meta}
    if model.source_type == "Acceleration":
        return {"compMeta": {"modelCompTaskId": model.comp_task_id, "sourceModelId": model.source_model_id}}
    return {"trainMeta": {"taskId": model.task_id, "checkpointStep": model.step}}


def _preset_model(preset: Preset) -> dict[str, JSON]:
    return {
        "modelId": preset.model_id,
        "modelSetId": preset.set_id,
        "modelSetName": preset.name,
        "version": "1",
        "status": "Ready",
        "description": "",
        "sourceType": "PlatformPreset",
        "ioMode": "completion" if preset.kind == "completions" else "chat",
        "isSupportModelComp": False,
        "createTime": zoned_time(SINCE),
        "modifyTime": zoned_time(SINCE),
    }


def _preset_entry(preset: Preset) -> dict[str, JSON]:
    return {
        "modelSetId": preset.set_id,
        "modelSetName": preset.name,
        "source": "PlatformPreset",
        "modelType": preset.model_type,
        "createTime": zoned_time(SINCE),
        "modifyTime": zoned_time(SINCE),
        "modelIds": [preset.model_id],
    }


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
    "DescribeSystemModelSets": describe_system_model_sets,
    "CreateModelCustomConf": imports.create_model_custom_conf,
    "DescribeModelSystemAdvancedConf": imports.describe_model_system_advanced_conf,
    "DescribeModelCustomAdvancedConf": imports.describe_model_custom_advanced_conf,
    "CreateModelExportTask": model_exports.create_model_export_task,
    "DescribeModelExportTask": model_exports.describe_model_export_task,
    "CreateModelCompTask": compressions.create_model_comp_task,
    "DescribeModelCompTasks": compressions.describe_model_comp_tasks,
    "DescribeModelCompTask": compressions.describe_model_comp_task,
    "CancelModelCompTask": compressions.cancel_model_comp_task,
    "DeleteModelCompTask": compressions.delete_model_comp_task,
}
"""Of `/v2/model`."""

"""Evaluations, second generation.

Of its configuration the documents show little more than the names of the blocks. What is inside of them here is our
reading: V1's words for the same things, all of them in `_standard_of` and `_model_units`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, page_of, utc_time
from qianfan.emulator.checks import Body
from qianfan.emulator.handlers.datasets import dataset_of, look_at
from qianfan.emulator.handlers.evaluations import (
    MOST_UNITS,
    SATISFACTION,
    add_evaluation,
    evaluable_dataset,
    evaluation_of,
    look_at_evaluation,
    read_standard,
    remove_evaluation,
    report_of,
    unit_of_model,
    version_facts,
)
from qianfan.emulator.handlers.storing import folder_at
from qianfan.emulator.records import Evaluation, EvalUnit
from qianfan.emulator.refusals import Problem, Refused, RefusedInference, invalid
from qianfan.emulator.sampling import sampling_of

_LONGEST_NAME: Final = 100
_MODES: Final = ("rule", "model", "manual", "rule,model")
_RANGES: Final = {"temperature": (0.01, 1.0), "top_p": (0.0, 1.0), "penalty_score": (1.0, 2.0)}
_MANUAL: Final = "manual"
_AUTOMATIC: Final = "auto"
"""Our reading of two values of `evalType`; any other text lists everything."""


def create_task(call: Call) -> JSON:
    """`CreateEvalTask`."""
    body, account = call.body, call.account
    name = body.text("taskName", longest=_LONGEST_NAME)
    kind = body.one_of("evalObjectType", ["model", "inferDataset"])
    objects, config = body.object("evalObjectConfig"), body.object("evalConfig")
    modes, standard = read_standard(account, _standard_of(Body(config)))
    dataset_id = into = ""
    if kind == "model":
        block = Body(Body(objects).object("evalModelConfig"))
        dataset_id = evaluable_dataset(account, block.get("versionId"), "versionId").id
        into = _storage(block)
        units = _model_units(account, block.items("evalModelConfigList"))
    else:
        block = Body(Body(objects).object("evalInferDatasetConfig"))
        units = _dataset_units(account, block.items("evalInferDatasetConfigList"))
    _check_base(units)
    evaluation = add_evaluation(
        account,
        units,
        name=name,
        description=body.optional_text("description", longest=500),
        object_type=kind,
        dataset_id=dataset_id,
        modes=modes,
        standard=standard,
        object_config=dict(objects),
        config=dict(config),
        into=into,
    )
    return {"taskId": evaluation.id}


def _standard_of(config: Body) -> dict[str, JSON]:
    """V2's configuration in V1's words."""
    mode = config.one_of("evalMode", list(_MODES))
    standard: dict[str, JSON] = {"evalMode": mode}
    if "rule" in str(mode):
        standard |= {"scoreModes": ["similarity", "accuracy"], **config.object("ruleEvalConfig", required=False)}
    if "model" in str(mode):
        judge = config.object("autoModelEvalConfig")
        Body(judge).text("apiName")
        standard |= {"prompt": {}, **judge}
    if mode == "manual":
        standard["evaluationDimension"] = [{"dimension": SATISFACTION}]
        standard |= config.object("manualEvalConfig", required=False)
    return standard


def _storage(block: Body) -> str:
    """Where the answers are put besides, "" for the platform's own storage."""
    if block.get("storageType") in (None, "sysStorage"):
        return ""
    block.one_of("storageType", ["sysStorage", "BOS"])
    place = block.text("storagePath")
    folder_at(place, "storagePath")
    return place


def _model_units(account: Account, entries: list[JSON]) -> list[EvalUnit]:
    units: list[EvalUnit] = []
    for entry in _objects(entries, "evalModelConfigList"):
        body = Body(entry)
        template = body.optional_text("promptTemplate")
        if template and "{input}" not in template:
            raise invalid("promptTemplate", "promptTemplate must contain {input}")
        params = {name: value for name, value in entry.items() if name not in ("modelId", "promptTemplate", "isBase")}
        for name, (low, high) in _RANGES.items():
            body.number(name, low, high, default=low)
        try:
            sampling_of(Body(params))
        except RefusedInference as refusal:
            raise invalid("evalModelConfigList", refusal.text) from refusal
        is_base = body.flag("isBase", default=False)
        units.append(
            unit_of_model(account, body.get("modelId"), "modelId", params=params, template=template, is_base=is_base)
        )
    return units


def _dataset_units(account: Account, entries: list[JSON]) -> list[EvalUnit]:
    units: list[EvalUnit] = []
    for entry in _objects(entries, "evalInferDatasetConfigList"):
        body = Body(entry)
        dataset = look_at(account, dataset_of(account, body.get("inferDatasetId"), "inferDatasetId"), look=False)
        if account.template_of(dataset).data_format != "PromptResponse" or not dataset.rows:
            raise Refused(Problem.DATASET_UNUSABLE, "inferDatasetId", f"{dataset.id} holds no answers")
        is_base = body.flag("isBase", default=False)
        units.append(EvalUnit(id=account.digits(24), dataset_id=dataset.id, is_base=is_base))
    return units


def _objects(entries: list[JSON], field: str) -> Sequence[dict[str, JSON]]:
    if len(entries) > MOST_UNITS or not all(isinstance(entry, dict) for entry in entries):
        raise invalid(field, f"{field} holds 1 to {MOST_UNITS} objects")
    return entries


def _check_base(units: list[EvalUnit]) -> None:
    bases = sum(unit.is_base for unit in units)
    if bases and (bases, len(units)) != (1, 2):
        raise invalid("isBase", "a comparison has one base and one other object")


def describe_tasks(call: Call) -> JSON:
    """`DescribeEvalTasks`, newest first. keyFilter: a part of the name, an id, or the id of a model version."""
    account, body = call.account, call.body
    kind, part = body.text("evalType"), body.optional_text("keyFilter")
    items: list[tuple[str, JSON]] = []
    for evaluation in account.listed(account.evaluations):
        look_at_evaluation(account, evaluation, look=False)
        is_manual = _MANUAL in evaluation.modes
        is_wanted = kind not in (_MANUAL, _AUTOMATIC) or is_manual is (kind == _MANUAL)
        models = [unit.model_id for unit in evaluation.units]
        if is_wanted and (part in evaluation.name or part == evaluation.id or part in models):
            items.append((evaluation.id, _entry(account, evaluation)))
    entries, info = page_of(call, items)
    return {"taskList": entries, "pageInfo": info}


def describe_task(call: Call) -> JSON:
    """`DescribeEvalTask`; counts as a look."""
    account = call.account
    return _entry(account, look_at_evaluation(account, _task_of(call)))


def describe_report(call: Call) -> JSON:
    """`DescribeEvalTaskReport`: V1's report for each object, none while there is none."""
    account = call.account
    evaluation = look_at_evaluation(account, _task_of(call), look=False)
    return {"taskId": evaluation.id, "reports": report_of(account, evaluation)}


def delete_task(call: Call) -> JSON:
    """`DeleteEvalTask`."""
    remove_evaluation(call.account, _task_of(call), "taskId")
    return True


def _task_of(call: Call) -> Evaluation:
    return evaluation_of(call.account, call.body.text("taskId"), "taskId")


def _entry(account: Account, evaluation: Evaluation) -> dict[str, JSON]:
    entry: dict[str, JSON] = {
        "taskId": evaluation.id,
        "taskName": evaluation.name,
        "description": evaluation.description,
        "evalObjectType": evaluation.object_type,
        "evalObjectConfig": evaluation.object_config or _objects_in_v2(account, evaluation),
        "evalConfig": evaluation.config or {"evalMode": evaluation.standard.get("evalMode", "")},
        "state": evaluation.state,
        "message": "; ".join(unit.message for unit in evaluation.units if unit.message),
        "resultDatasetId": evaluation.result_dataset_id,
        "createTime": utc_time(evaluation.created),
        "simulated": account.works.simulated or "model" in evaluation.modes,
    }
    if evaluation.finished is not None:
        entry["finishTime"] = utc_time(evaluation.finished)
    return entry


def _objects_in_v2(account: Account, evaluation: Evaluation) -> dict[str, JSON]:
    """What V1 ordered, in V2's words."""
    models = [{"modelId": version_facts(account, unit.model_id)["modelVersionIdStr"]} for unit in evaluation.units]
    return {"evalModelConfig": {"versionId": evaluation.dataset_id, "evalModelConfigList": models}}


ACTIONS: dict[str, Handler] = {
    "CreateEvalTask": create_task,
    "DescribeEvalTasks": describe_tasks,
    "DescribeEvalTask": describe_task,
    "DescribeEvalTaskReport": describe_report,
    "DeleteEvalTask": delete_task,
}
"""Of `/v2/eval`."""

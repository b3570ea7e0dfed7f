"""Evaluations, first generation."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Final

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler
from qianfan.emulator.checks import Body, distinct, found
from qianfan.emulator.handlers.evaluations import (
    Row,
    add_evaluation,
    cancel,
    evaluable_dataset,
    evaluation_of,
    look_at_evaluation,
    read_standard,
    remove_evaluation,
    report_of,
    rows_of,
    unit_of_model,
    version_facts,
)
from qianfan.emulator.handlers.exports import PLATFORM_BUCKET
from qianfan.emulator.handlers.models import look_at_model, model_of
from qianfan.emulator.handlers.storing import link, store
from qianfan.emulator.lifecycle import EVALUATION_EXPORT
from qianfan.emulator.records import EvalExport, Evaluation
from qianfan.emulator.refusals import Problem, Refused, invalid

_LONGEST_NAME: Final = 100
_MOST_A_PAGE: Final = 100
_FIELDS: Final = ("prompt", "prediction", "completion", "metrics")
_SCORES: Final = {
    "bleu4": "bleu4",
    "rouge_1": "rouge_1",
    "rouge_2": "rouge_2",
    "rouge_l": "rouge_l",
    "judgeScore": "judgeScore",
}
"""A filter of the result list -> the mark that it limits."""
_HAS_ANSWERS: Final = ("DoingWithManualBegin", "Done", "PartlyDone")


def create(call: Call) -> JSON:
    """`/modelrepo/eval/create`."""
    body, account = call.body, call.account
    name = body.text("name", longest=_LONGEST_NAME)
    draft = _draft(account, body.get("id"))
    dataset = evaluable_dataset(account, body.get("datasetId"), "datasetId")
    modes, standard = read_standard(account, body.object("evalStandardConf"))
    units = [
        unit_of_model(account, _version(account, entry), "modelVersionId") for entry in body.items("versionEvalInfo")
    ]
    evaluation = add_evaluation(
        account,
        units,
        draft,
        name=name,
        description=body.optional_text("description", longest=500),
        dataset_id=dataset.id,
        modes=modes,
        standard=standard,
        resources=body.object("computeResourceConf", required=False),
    )
    return {"evalId": evaluation.number, "evalIdStr": evaluation.id}


def _draft(account: Account, key: JSON) -> Evaluation | None:
    if key is None:
        return None
    draft = evaluation_of(account, key, "id")
    if draft.state != "Editing":
        raise Refused(Problem.STATE, "id", f"{draft.id} is {draft.state}, only Editing can be started")
    return draft


def _version(account: Account, entry: JSON) -> JSON:
    """The version of an entry of `versionEvalInfo`, which belongs to the model named beside it."""
    if not isinstance(entry, dict):
        raise invalid("versionEvalInfo", f"versionEvalInfo holds objects, found {entry!r}")
    key, model_key = entry.get("modelVersionId"), entry.get("modelId")
    unit = unit_of_model(account, key, "modelVersionId")
    facts = version_facts(account, unit.model_id)
    if model_key not in (facts["modelId"], facts["modelIdStr"], str(facts["modelId"])):
        raise invalid("modelId", f"{key!r} is not a version of {model_key!r}")
    return unit.model_id


def detail(call: Call) -> JSON:
    """`/modelrepo/eval/detail`; counts as a look."""
    account = call.account
    evaluation = look_at_evaluation(account, evaluation_of(account, call.body.get("id"), "id"))
    dataset = account.datasets.get(evaluation.dataset_id)
    group = account.groups.get(dataset.group_id) if dataset else None
    return {
        "evaluationId": evaluation.number,
        "evaluationIdStr": evaluation.id,
        "name": evaluation.name,
        "description": evaluation.description,
        "state": evaluation.state,
        "evalUnits": [
            {
                **version_facts(account, unit.model_id),
                "id": unit.id,
                "state": unit.state,
                "message": unit.message,
                "modelTags": [],
            }
            for unit in evaluation.units
        ],
        "datasetId": evaluation.dataset_id,
        "datasetName": group.name if group else "",
        "computeResourceConf": evaluation.resources or {},
        "evalStandardConf": _standard(account, evaluation),
        "simulated": account.works.simulated or "model" in evaluation.modes,
    }


def _standard(account: Account, evaluation: Evaluation) -> dict[str, JSON]:
    result = account.datasets.get(evaluation.result_dataset_id)
    group = account.groups.get(result.group_id) if result else None
    return {
        "scoreModes": [],
        "stopWordsPath": "",
        "appId": 0,
        "prompt": {},
        "evaluationDimension": [],
        **evaluation.standard,
        # The platform tells the keys of the application here; nothing of the sort exists in an emulator.
        "appAk": "",
        "appSk": "",
        "apiName": evaluation.standard.get("apiName") or "",
        "apiUrl": evaluation.standard.get("apiUrl") or "",
        "resultDatasetId": result.number if result else 0,
        "resultDatasetIdStr": result.id if result else "",
        "resultDatasetName": group.name if group else "",
        "resultDatasetProjectType": account.template_of(result).project_type if result else 0,
        "resultDatasetImportStatus": 2 if result else -1,
        "resultDatasetReleaseStatus": 2 if result and result.release_state == "Published" else 0,
    }


def report(call: Call) -> JSON:
    """`/modelrepo/eval/report`: a list, empty while there is no report."""
    account = call.account
    return report_of(
        account, look_at_evaluation(account, evaluation_of(account, call.body.get("id"), "id"), look=False)
    )


def cancel_evaluation(call: Call) -> JSON:
    """`/modelrepo/eval/cancel`."""
    account = call.account
    problem = cancel(account, evaluation_of(account, call.body.get("id"), "id"))
    return {"result": not problem, "errorMessage": problem}


def delete(call: Call) -> JSON:
    """`/modelrepo/eval/delete`. What it answers is not documented."""
    account = call.account
    for evaluation in distinct(evaluation_of(account, key, "evalIds") for key in call.body.items("evalIds")):
        remove_evaluation(account, evaluation, "evalIds")
    return True


# --- the answers one by one ----------------------------------------------------------------------------------------


def result_list(call: Call) -> JSON:
    """`/modelrepo/eval/result/list`. What an entry is like is not documented."""
    account, body = call.account, call.body
    evaluation = look_at_evaluation(account, evaluation_of(account, body.get("id"), "id"), look=False)
    limits = [limit for name, mark in _SCORES.items() if (limit := _limit(body, name, mark)) is not None]
    wanted = _wanted_units(account, evaluation, body)
    rows = [
        row for row in rows_of(account, evaluation) if row["unit"] in wanted and all(limit(row) for limit in limits)
    ]
    order_by = body.optional_text("orderBy")
    if order_by:
        if order_by not in _SCORES:
            raise invalid("orderBy", f"orderBy is one of {list(_SCORES)}, found {order_by!r}")
        rows.sort(key=lambda row: row.get(_SCORES[order_by]) or 0)
        if body.optional_text("order") != "asc":
            rows.reverse()
    size = int(body.number("pageSize", 1, _MOST_A_PAGE, default=20))
    page = int(body.number("pageNo", 1, 10**9, default=1))
    shown = rows[size * (page - 1) : size * page]
    return {
        "total": len(rows),
        "pageNo": page,
        "pageSize": size,
        "items": [_entry(account, evaluation, row) for row in shown],
    }


def _limit(body: Body, name: str, mark: str) -> Callable[[Row], bool] | None:
    if body.get(name) is None:
        return None
    limits = Body(body.object(name))
    low, high = limits.number("start", -1, 10**6, default=-1), limits.number("end", -1, 10**6, default=10**6)
    return lambda row: row.get(mark) is not None and low <= row[mark] <= high


def _wanted_units(account: Account, evaluation: Evaluation, body: Body) -> set[int]:
    """The positions of the units that are asked for."""
    versions, units = body.get("modelVersionIds"), body.texts("evalUnitId")
    if versions is not None and not isinstance(versions, list):
        raise invalid("modelVersionIds", f"modelVersionIds must be a list, found {versions!r}")
    wanted: set[int] = set()
    for place, unit in enumerate(evaluation.units):
        facts = version_facts(account, unit.model_id)
        named = (facts["modelVersionId"], facts["modelVersionIdStr"], str(facts["modelVersionId"]))
        if (not versions or any(one in named for one in versions)) and (not units or unit.id in units):
            wanted.add(place)
    return wanted


def _entry(account: Account, evaluation: Evaluation, row: Row) -> dict[str, JSON]:
    unit = evaluation.units[row["unit"]]
    marks = {name: row.get(mark) for name, mark in _SCORES.items()}
    return {
        "id": row["id"],
        "evaluationId": evaluation.number,
        "evalUnitId": unit.id,
        **version_facts(account, unit.model_id),
        "prompt": row["prompt"],
        "completion": row["completion"],
        "prediction": row["prediction"],
        "message": row.get("error", ""),
        **marks,
        "judgeReason": row.get("judgeReason", ""),
    }


# --- exports -------------------------------------------------------------------------------------------------------


def create_export(call: Call) -> JSON:
    """`/modelrepo/eval/result/export`."""
    body, account = call.body, call.account
    evaluation = look_at_evaluation(account, evaluation_of(account, body.get("id"), "id"), look=False)
    kind = body.one_of("exportType", ["local", "storage"])
    is_part = body.one_of("exportOpt", ["total", "part"]) == "part"
    content = body.items("exportContent")
    if any(one not in _FIELDS for one in content):
        raise invalid("exportContent", f"exportContent holds some of {list(_FIELDS)}, found {content!r}")
    if evaluation.state not in _HAS_ANSWERS:
        raise Refused(Problem.STATE, "id", f"{evaluation.id} is {evaluation.state} and has no answers")
    result_ids = body.items("resultIds") if is_part else None
    known = {row["id"] for row in rows_of(account, evaluation)}
    unknown = [one for one in result_ids or () if one not in known]
    if unknown:
        raise invalid("resultIds", f"{evaluation.id} has no answer {unknown[0]!r}")
    bucket = body.text("volumeId") if kind == "storage" else PLATFORM_BUCKET
    shelf = account.eval_exports
    export = EvalExport(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        evaluation_id=evaluation.id,
        kind=str(kind),
        content=[str(one) for one in content],
        result_ids=result_ids,
        bucket=bucket,
        key=f"_system_/evaluation/{evaluation.id}/{account.letters(16)}.zip",
    )
    shelf.add(export)
    export.work = account.stages.evaluation_exports.begin(account.clock)
    export.state = account.stages.evaluation_exports.start(export.state, export.work, account.clock.monotonic())
    account.touch()
    return {"exportID": export.number, "exportIDStr": export.id}


def export_info(call: Call) -> JSON:
    """`/modelrepo/eval/result/export/info`; counts as a look."""
    account = call.account
    key = call.body.get("exportID")
    export = found(account.eval_exports.get(key), Problem.INVALID, "exportID", key)
    _look_at_export(account, export)
    is_done = export.state == "Done"
    return {
        "id": export.evaluation_id,
        "exportID": export.number,
        "exportIDStr": export.id,
        "state": export.state,
        "exportType": export.kind,
        "volumeId": export.bucket if export.kind == "storage" else "",
        "exportPath": f"bos:/{export.bucket}/{export.key}" if is_done else "",
        "downloadUrl": link(call, export.bucket, export.key) if is_done else "",
    }


def _look_at_export(account: Account, export: EvalExport) -> None:
    before, now = export.state, account.clock.monotonic()
    export.state = account.stages.evaluation_exports.advance(before, export.work, now, look=True)
    if export.state == before:
        return
    if export.state == EVALUATION_EXPORT.ends[0]:
        evaluation = evaluation_of(account, export.evaluation_id, "exportID")
        store(account, export.bucket, export.key, _archive(account, evaluation, export), "application/zip")
    account.touch()


def _archive(account: Account, evaluation: Evaluation, export: EvalExport) -> bytes:
    """A zip with `data.jsonl`, each line of which is a list with one object of Chinese keys."""
    rows = rows_of(account, evaluation)
    if export.result_ids is not None:
        rows = [row for row in rows if row["id"] in export.result_ids]
    lines = [json.dumps([_exported(account, evaluation, export, row)], ensure_ascii=False) for row in rows]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("data.jsonl", "".join(f"{line}\n" for line in lines))
    return packed.getvalue()


_PERCENTS = {"BLEU-4": "bleu4", "ROUGE-1": "rouge_1", "ROUGE-2": "rouge_2", "ROUGE-L": "rouge_l"}


def _exported(account: Account, evaluation: Evaluation, export: EvalExport, row: Row) -> dict[str, JSON]:
    facts = version_facts(account, evaluation.units[row["unit"]].model_id)
    line: dict[str, JSON] = {"模型名称": facts["modelName"], "模型版本": facts["modelVersion"]}
    if "prompt" in export.content:
        line["Prompt问题"] = row["prompt"]
    if "prediction" in export.content:
        line["模型结果"] = row["prediction"]
    if "completion" in export.content:
        line["预期回答"] = row["completion"]
    if "metrics" in export.content:
        line |= {name: f"{100 * row[mark]:.2f}%" for name, mark in _PERCENTS.items() if row.get(mark) is not None}
        if row.get("judgeScore") is not None:
            line |= {"裁判员模型打分": row["judgeScore"], "裁判员模型打分理由": row["judgeReason"]}
    return line


# --- what can be evaluated -----------------------------------------------------------------------------------------


def model_list(call: Call) -> JSON:
    """`/modelrepo/eval/model/list`: one's own models with the versions that are ready."""
    account = call.account
    entries: list[JSON] = []
    for model_set in account.listed(account.model_sets):
        models = [look_at_model(account, model_of(account, key), look=False) for key in model_set.model_ids]
        ready = [model for model in models if model.state == "Ready"]
        if model_set.model_type != "Text2Text" or not ready:
            continue
        tasks = {model.id: account.tasks.get(model.task_id) for model in ready}
        trained = {id: task.model if task else "" for id, task in tasks.items()}
        entries.append(
            {
                "modelId": model_set.number,
                "modelIdStr": model_set.id,
                "modelName": model_set.name,
                "source": "UserCreate",
                "modelType": 0,
                "trainType": trained[ready[0].id],
                "modelVersionList": [
                    {
                        "modelVersionId": model.number,
                        "modelVersionIdStr": model.id,
                        "version": str(model.version),
                        "sourceType": model.source_type,
                        "framework": "paddlepaddle",
                        "algorithm": "",
                        "modelNet": "",
                        "trainType": trained[model.id],
                        "description": model.description,
                    }
                    for model in ready
                ],
            }
        )
    return entries


PATHS: dict[str, Handler] = {
    "/modelrepo/eval/create": create,
    "/modelrepo/eval/detail": detail,
    "/modelrepo/eval/report": report,
    "/modelrepo/eval/cancel": cancel_evaluation,
    "/modelrepo/eval/delete": delete,
    "/modelrepo/eval/result/list": result_list,
    "/modelrepo/eval/result/export": create_export,
    "/modelrepo/eval/result/export/info": export_info,
    "/modelrepo/eval/model/list": model_list,
}
"""By path."""

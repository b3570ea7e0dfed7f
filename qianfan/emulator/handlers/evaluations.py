"""What can be done with evaluations, whichever generation of the API asks for it.

An evaluation really asks its models, and marks the answers: by rule, or as a referee that is none and says so. People
are waited for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, TypeAlias

from qianfan._types import JSON
from qianfan.emulator import presets
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.checks import Body, found
from qianfan.emulator.entities import add_rows
from qianfan.emulator.handlers.datasets import add_dataset, add_group, dataset_of, look_at
from qianfan.emulator.handlers.models import model_of, set_of
from qianfan.emulator.handlers.respondents import Respondent, respondent_of_version
from qianfan.emulator.handlers.storing import folder_at, store
from qianfan.emulator.inquiries import each
from qianfan.emulator.lifecycle import EVALUATION
from qianfan.emulator.marking import Referee, Rules, effect
from qianfan.emulator.questions import FORMATS, REFERENCE, Question, questions_of
from qianfan.emulator.records import Dataset, Evaluation, EvalUnit
from qianfan.emulator.refusals import Problem, Refused, RefusedInference, invalid
from qianfan.emulator.sampling import sampling_of
from qianfan.emulator.templates import template_of
from qianfan.engines.spec import Sampling
from qianfan.errors import InvalidArgumentError

MODES: Final = ("manual", "rule", "model")
SATISFACTION: Final = "满意度"
"""The first dimension of every manual evaluation."""
MOST_UNITS: Final = 5

_RESULT_FORMAT = "PromptResponse"
_MAX_SCORE, _MIN_SCORE = 5, 0
_MANUAL = (1, 5)
"""Least and best score that people give."""
_TEMPLATE = "问题：{src}\n参考答案：{tgt}\n回答：{prediction}"
_LONGEST_REASON = 200

Row: TypeAlias = dict[str, Any]
"""One answer: `id`, `unit` (its position), `prompt`, `completion` (expected), `prediction` (given), `error`, marks."""


def evaluation_of(account: Account, key: JSON, field: str) -> Evaluation:
    """The evaluation a call names, by id or V1 number."""
    return found(account.evaluations.get(key), Problem.INVALID, field, key)


def evaluable_dataset(account: Account, key: JSON, field: str) -> Dataset:
    """A published dataset whose rows ask something. Refuses others."""
    dataset = look_at(account, dataset_of(account, key, field), look=False)
    template = account.template_of(dataset)
    if template.data_format not in FORMATS:
        raise Refused(Problem.DATASET_UNUSABLE, field, f"{dataset.id} holds {template.data_format}, which asks nothing")
    if dataset.release_state != "Published":
        raise Refused(Problem.DATASET_UNUSABLE, field, f"{dataset.id} is not published")
    if not dataset.rows:
        raise Refused(Problem.DATASET_UNUSABLE, field, f"{dataset.id} has no rows")
    return dataset


def version_facts(account: Account, model_id: str) -> dict[str, JSON]:
    """What is told of a model version: ids of both generations, name, version, source."""
    preset = presets.preset_version(model_id)
    if preset is not None:
        return {
            "modelId": preset.number,
            "modelIdStr": preset.set_id,
            "modelVersionId": preset.version_number,
            "modelVersionIdStr": preset.model_id,
            "modelName": preset.name,
            "modelVersion": "1",
            "modelSource": "PlatformPreset",
            "modelVersionDesc": "",
        }
    model = account.models.get(model_id)
    if model is None:  # it was deleted since
        return {"modelVersionIdStr": model_id, "modelVersionId": 0, "modelId": 0, "modelName": "", "modelVersion": ""}
    model_set = set_of(account, model)
    return {
        "modelId": model_set.number,
        "modelIdStr": model_set.id,
        "modelVersionId": model.number,
        "modelVersionIdStr": model.id,
        "modelName": model_set.name,
        "modelVersion": str(model.version),
        "modelSource": "UserCreate",
        "modelVersionDesc": model.description,
    }


# --- what is to be judged ----------------------------------------------------------------------------------------


def read_standard(account: Account, standard: dict[str, JSON]) -> tuple[list[str], dict[str, JSON]]:
    """The modes of an `evalStandardConf`, and the object as it is told from then on. Refuses one that is not right."""
    body = Body(standard)
    modes = [mode.strip() for mode in body.text("evalMode").split(",")]
    if any(mode not in MODES for mode in modes) or len(set(modes)) != len(modes):
        raise invalid(
            "evalMode", f"evalMode joins some of {', '.join(MODES)} by commas, found {body.get('evalMode')!r}"
        )
    kept = dict(standard)
    if "rule" in modes:
        scores = body.items("scoreModes")
        if any(score not in ("similarity", "accuracy") for score in scores):
            raise invalid("scoreModes", f"scoreModes holds some of similarity and accuracy, found {scores!r}")
        stop_words_at(account, body.optional_text("stopWordsPath"))
    if "model" in modes:
        kept["prompt"] = _read_prompt(Body(body.object("prompt")))
        app = body.get("appId")
        if app is not None and (isinstance(app, bool) or not isinstance(app, int)):
            raise invalid("appId", f"appId is a number, found {app!r}")
        if app is None and not body.get("apiName"):
            raise invalid("appId", "a model that judges is asked for an application: give appId")
    if "manual" in modes:
        kept["evaluationDimension"] = _read_dimensions(body.items("evaluationDimension"))
    return modes, kept


def _read_prompt(prompt: Body) -> dict[str, JSON]:
    template = prompt.optional_text("templateContent") or _TEMPLATE
    missing = [name for name in ("src", "tgt", "prediction") if f"{{{name}}}" not in template]
    if missing:
        raise invalid("templateContent", f"templateContent lacks {', '.join(f'{{{name}}}' for name in missing)}")
    most = prompt.number("maxScore", 1, 100, default=_MAX_SCORE)
    least = prompt.number("minScore", 0, most, default=_MIN_SCORE)
    return {**prompt.fields, "templateContent": template, "maxScore": int(most), "minScore": int(least)}


def _read_dimensions(entries: list[JSON]) -> list[JSON]:
    if len(entries) > 4:
        raise invalid("evaluationDimension", f"evaluationDimension holds 1 to 4 dimensions, found {len(entries)}")
    dimensions: list[JSON] = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise invalid("evaluationDimension", f"a dimension is an object, found {entry!r}")
        Body(entry).text("dimension")
        dimensions.append({**entry, "minScore": _MANUAL[0], "maxScore": _MANUAL[1]})
    if dimensions[0]["dimension"] != SATISFACTION:
        raise invalid("evaluationDimension", f"the first dimension is {SATISFACTION}")
    return dimensions


def stop_words_at(account: Account, place: str) -> frozenset[str]:
    """The words of a file in object storage, one a line; none for no place. Refuses a place without a file."""
    if not place:
        return frozenset()
    bucket, _, key = place.removeprefix("bos:").lstrip("/").partition("/")
    stored = account.buckets.get(bucket, key) if place.startswith("bos:") else None
    if stored is None:
        raise invalid("stopWordsPath", f"stopWordsPath is a file like bos:/bucket/words.txt, found {place!r}")
    text = account.blob_of(stored.source).read().decode("utf-8-sig", "replace")
    return frozenset(word for line in text.splitlines() if (word := line.strip()))


def unit_of_model(account: Account, key: JSON, field: str, **how: Any) -> EvalUnit:
    """A model version as a part of an evaluation. Refuses one that cannot answer."""
    respondent_of_version(account, key, field)
    preset = presets.preset_version(key)
    model_id = preset.model_id if preset is not None else model_of(account, key, field).id
    return EvalUnit(id=account.digits(24), model_id=model_id, **how)


def add_evaluation(
    account: Account, units: list[EvalUnit], draft: Evaluation | None = None, **facts: Any
) -> Evaluation:
    """A new evaluation, or one that was drafted and is started now. It is under way at once."""
    if not 1 <= len(units) <= MOST_UNITS:
        raise invalid("versionEvalInfo", f"1 to {MOST_UNITS} objects are evaluated together, found {len(units)}")
    shelf = account.evaluations
    if draft is None:
        draft = shelf.add(
            Evaluation(id=account.new_id(shelf), number=shelf.next_number, created=account.now(), units=units, **facts)
        )
    else:
        for name, value in {**facts, "units": units}.items():
            setattr(draft, name, value)
    stage, now = account.stages.evaluations, account.clock.monotonic()
    draft.work = stage.begin(account.clock)
    draft.state = stage.start(draft.state, draft.work, now)
    _show_units(draft)
    _begin(account, draft)
    account.touch()
    return draft


# --- looking -------------------------------------------------------------------------------------------------------


async def wait_for_answers(call: Call) -> None:
    """Before a look that would see the end but for the answers, wait for those that nobody has to compute."""
    account = call.account
    with account.lock:
        evaluation = account.evaluations.get(call.body.get("id") or call.body.get("taskId"))
        work = evaluation.work if evaluation is not None else None
        if evaluation is None or work is None or not account.works.simulated:
            return
        ends_now = work.after_looks is not None and work.looks >= work.after_looks
        if evaluation.state != "Stopping" and not ends_now:
            return
    await account.inquiries.until_over(evaluation.id)


def look_at_evaluation(account: Account, evaluation: Evaluation, *, look: bool = True) -> Evaluation:
    """Move an evaluation on. It ends well only when all answers are there, however fast it is to go."""
    before = evaluation.state
    if before == "Stopping":
        if not account.inquiries.is_under_way(evaluation.id):
            evaluation.state = EVALUATION.move(before, "Stopped")
    elif before in EVALUATION.underway:
        evaluation.state = _state_now(account, evaluation, look=look)
    if evaluation.state != before:
        if evaluation.state not in EVALUATION.underway and evaluation.finished is None:
            evaluation.finished = account.now()
            account.inquiries.stop(evaluation.id)
        _show_units(evaluation)
        account.touch()
    return evaluation


def _state_now(account: Account, evaluation: Evaluation, *, look: bool) -> str:
    stage = account.stages.evaluations
    state = stage.advance(evaluation.state, evaluation.work, account.clock.monotonic(), look=look)
    if state in EVALUATION.underway:
        return state
    if state == "Failed":
        _fail_units(evaluation, evaluation.units)
        return state
    if not evaluation.is_answered:
        return EVALUATION.underway[-1]
    if state == "PartlyDone":
        _fail_units(evaluation, evaluation.units[-1:])
    failed = [unit for unit in evaluation.units if unit.outcome == "Failed"]
    if len(failed) == len(evaluation.units):
        return "Failed"
    if "manual" in evaluation.modes:
        return "DoingWithManualBegin"
    return "PartlyDone" if failed else "Done"


def _fail_units(evaluation: Evaluation, units: Iterable[EvalUnit]) -> None:
    reason = evaluation.work.reason if evaluation.work is not None else ""
    for unit in units:
        unit.outcome, unit.message = "Failed", unit.message or reason or "the evaluation was scripted to fail"


def _show_units(evaluation: Evaluation) -> None:
    """Units are where the evaluation is, until their own outcome counts."""
    for unit in evaluation.units:
        is_over = evaluation.state not in (*EVALUATION.underway, "Stopping", "Stopped")
        if not is_over or unit.outcome != "Failed":
            unit.state = "Done" if evaluation.state == "PartlyDone" else evaluation.state
        else:
            unit.state = "Failed"


def cancel(account: Account, evaluation: Evaluation) -> str:
    """Stop an evaluation; why that is not possible, "" when it is."""
    look_at_evaluation(account, evaluation, look=False)
    if "Stopping" not in EVALUATION.moves[evaluation.state]:
        return f"{evaluation.id} is {evaluation.state}"
    evaluation.state = EVALUATION.move(evaluation.state, "Stopping")
    account.inquiries.stop(evaluation.id)
    _show_units(evaluation)
    account.touch()
    return ""


def remove_evaluation(account: Account, evaluation: Evaluation, field: str) -> None:
    """Delete an evaluation that is over, with its exports. The dataset with the answers stays."""
    look_at_evaluation(account, evaluation, look=False)
    if evaluation.state in (*EVALUATION.underway, "Stopping"):
        raise Refused(Problem.STATE, field, f"{evaluation.id} is {evaluation.state}: stop it first")
    for export in account.eval_exports:
        if export.evaluation_id == evaluation.id:
            account.eval_exports.remove(export)
    account.evaluations.remove(evaluation)
    account.touch()


def judge(account: Account, evaluation: Evaluation, score: int) -> None:
    """People give every answer a score, and the evaluation is done. Raises InvalidArgumentError when they cannot."""
    look_at_evaluation(account, evaluation, look=False)
    if evaluation.state != "DoingWithManualBegin":
        raise InvalidArgumentError(f"{evaluation.id} is {evaluation.state} and waits for nobody's judgement")
    least, most = _MANUAL
    if not least <= score <= most:
        raise InvalidArgumentError(f"people give {least} to {most}, not {score!r}")
    evaluation.verdict = {"score": score}
    evaluation.state = EVALUATION.move(evaluation.state, "Done")
    _show_units(evaluation)
    account.touch()


# --- results -------------------------------------------------------------------------------------------------------


def rows_of(account: Account, evaluation: Evaluation) -> list[Row]:
    """All answers with their marks; none before they are there."""
    if evaluation.answers is None:
        return []
    return [json.loads(line) for line in account.blob_of(evaluation.answers).read().splitlines()]


def rules_of(account: Account, evaluation: Evaluation) -> Rules | None:
    """How answers are compared, None when they are not."""
    if "rule" not in evaluation.modes:
        return None
    wanted, place = evaluation.standard.get("scoreModes") or (), evaluation.standard.get("stopWordsPath") or ""
    return Rules("similarity" in wanted, "accuracy" in wanted, stop_words_at(account, str(place)))


def referee_of(evaluation: Evaluation) -> Referee | None:
    """Who stands for the model that judges, None when none does."""
    if "model" not in evaluation.modes:
        return None
    prompt = evaluation.standard.get("prompt") or {}
    return Referee(prompt.get("minScore", _MIN_SCORE), prompt.get("maxScore", _MAX_SCORE))


def report_of(account: Account, evaluation: Evaluation) -> list[JSON]:
    """One entry for each unit that could be evaluated, once people have said what they were asked."""
    if evaluation.state not in ("Done", "PartlyDone"):
        return []
    rows, rules, referee = rows_of(account, evaluation), rules_of(account, evaluation), referee_of(evaluation)
    return [
        {
            "id": unit.id,
            "userId": 1,
            "evaluationId": evaluation.number,
            "evaluationIdStr": evaluation.id,
            "evaluationName": evaluation.name,
            "evalMode": ",".join(evaluation.modes),
            **_reported(version_facts(account, unit.model_id) if unit.model_id else {"datasetId": unit.dataset_id}),
            "performanceMetric": {},
            "effectMetric": {
                **effect([row for row in rows if row["unit"] == place], rules, referee),
                **_said(evaluation),
            },
            "simulated": account.works.simulated or referee is not None,
        }
        for place, unit in enumerate(evaluation.units)
        if unit.outcome != "Failed"
    ]


def _reported(facts: dict[str, JSON]) -> dict[str, JSON]:
    return {("modelVersionSource" if name == "modelSource" else name): value for name, value in facts.items()}


def _said(evaluation: Evaluation) -> dict[str, JSON]:
    """What people said, where they were asked."""
    if evaluation.verdict is None:
        return {}
    score = evaluation.verdict["score"]
    dimensions = evaluation.standard.get("evaluationDimension") or []
    distribution = [{"dimension": one["dimension"], "scoreDistribution": {str(score): 1}} for one in dimensions]
    return {
        "manualAvgScore": score,
        "goodCaseProportion": float(score >= _MANUAL[1] - 1),
        "manualScoreDistribution": distribution,
    }


# --- the work --------------------------------------------------------------------------------------------------------


def resume(account: Account) -> None:
    """Begin again with what was cut off when an earlier emulator ended. Nothing is locked."""
    with account.lock:
        for evaluation in account.evaluations:
            if evaluation.state in EVALUATION.underway and not evaluation.is_answered:
                _begin(account, evaluation)


def _begin(account: Account, evaluation: Evaluation) -> None:
    account.inquiries.start(evaluation.id, partial(_evaluate, account, evaluation))


async def _evaluate(account: Account, evaluation: Evaluation) -> None:
    rows: list[Row] = []
    with account.lock:
        rules, referee = rules_of(account, evaluation), referee_of(evaluation)
    for place, unit in enumerate(evaluation.units):
        try:
            rows += await _rows_of_unit(account, evaluation, place, unit)
        except (Refused, RefusedInference) as problem:
            unit.message = problem.text[:_LONGEST_REASON]
        except Exception as error:
            unit.message = f"it could not be evaluated: {error}"[:_LONGEST_REASON]
    for row in rows:
        _mark(row, rules, referee)
    with account.lock:
        if account.evaluations.get(evaluation.id) is not evaluation or evaluation.state not in EVALUATION.underway:
            return
        for place, unit in enumerate(evaluation.units):
            own = [row for row in rows if row["unit"] == place]
            if own and all(row.get("error") for row in own):
                unit.message = str(own[0]["error"])[:_LONGEST_REASON]
            unit.outcome = "Failed" if unit.message else "Done"
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        evaluation.answers = account.keep(account.blobs.put(lines.encode()), "answers.jsonl")
        if evaluation.object_type == "model":
            _keep_answers(account, evaluation, [row for row in rows if row["prediction"]])
        evaluation.is_answered = True
        account.touch()


async def _rows_of_unit(account: Account, evaluation: Evaluation, place: int, unit: EvalUnit) -> list[Row]:
    """The answers of a unit, still without marks. Raises Refused for a unit that cannot be evaluated."""
    with account.lock:
        source = evaluation.dataset_id or unit.dataset_id
        questions = questions_of(account, dataset_of(account, source))
        ids = [account.digits(24) for _ in questions]
        whom = respondent_of_version(account, unit.model_id, "modelVersionId") if unit.model_id else None
    rows: list[Row] = [
        {"id": id, "unit": place, "prompt": question.text, "completion": question.expected, "prediction": ""}
        for id, question in zip(ids, questions, strict=True)
    ]
    if whom is None:
        for row, question in zip(rows, questions, strict=True):
            row["completion"], row["prediction"] = question.reference, question.expected
        return rows
    sampling = sampling_of(Body(unit.params))
    system = str(unit.params.get("system") or "")
    asked = [question.under(system).inside(unit.template) for question in questions]
    await each(
        partial(_answer, account, whom, sampling, question, row) for question, row in zip(asked, rows, strict=True)
    )
    return rows


async def _answer(account: Account, whom: Respondent, sampling: Sampling, question: Question, row: Row) -> None:
    try:
        row["prediction"] = (await whom.answer(account, question.messages, sampling)).text
    except RefusedInference as refusal:
        row["error"] = refusal.text


def _mark(row: Row, rules: Rules | None, referee: Referee | None) -> None:
    if row.get("error"):
        return
    if rules is not None:
        row |= rules.marks(row["completion"], row["prediction"])
    if referee is not None:
        row["judgeScore"], row["judgeReason"] = referee.mark(row["completion"], row["prediction"])


def _keep_answers(account: Account, evaluation: Evaluation, rows: list[Row]) -> None:
    """The dataset with the answers, which clients open; and the file that V2 wants in a bucket besides."""
    if not rows:
        return
    template = template_of(_RESULT_FORMAT)
    assert template is not None, "the format is one of ours"
    content = "".join(json.dumps(_answered(evaluation, row), ensure_ascii=False) + "\n" for row in rows).encode()
    group = add_group(account, f"{evaluation.name}_result", template, "sysStorage", "", "")
    dataset = add_dataset(account, group, f"answers of evaluation {evaluation.id}")
    add_rows(account, dataset, [account.keep(account.blobs.put(content), "answers.jsonl")])
    dataset.import_state = "ImportFinished"
    evaluation.result_dataset_id = dataset.id
    if evaluation.into:
        bucket, folder = folder_at(evaluation.into, "storagePath")
        store(account, bucket, f"{folder}{evaluation.id}/answers.jsonl", content, "application/x-ndjson")


def _answered(evaluation: Evaluation, row: Row) -> JSON:
    """A row of the dataset of answers. That it keeps the expected one and the model as well, is our reading."""
    turn = {"prompt": row["prompt"], "response": [[row["prediction"]]], REFERENCE: row["completion"]}
    return [{**turn, "modelVersionId": evaluation.units[row["unit"]].model_id}]

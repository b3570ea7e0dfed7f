"""One evaluation on the platform: ordered once, waited for, and its results fetched."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from qianfan._sync import in_thread
from qianfan.dataset import Dataset, QianfanDataSource
from qianfan.dataset.upload import UploadTarget, upload
from qianfan.errors import (
    ArgumentNotFoundError,
    EvaluationFailedError,
    FileSizeOverflow,
    InvalidArgumentError,
)
from qianfan.evaluation.evaluator import QianfanEvaluator
from qianfan.pipeline import Mark, Purchase, Purchases, Receipt
from qianfan.resources import Platform
from qianfan.resources.console.consts import (
    DataReleaseStatus,
    EvaluationResultExportTaskStatus,
    EvaluationTaskStatus,
)
from qianfan.resources.purchase import labelled, name_with
from qianfan.resources.schemas import EvaluationDetail, EvaluationExport, EvaluationReport, EvaluationUnit
from qianfan.resources.waiting import Tell, watch, word
from qianfan.utils.logging import logger

KIND: Final = "evaluation"
"""What the order is called."""

_GOES_ON: Final = ("", EvaluationTaskStatus.Editing, EvaluationTaskStatus.Pending, EvaluationTaskStatus.Doing)
_GOOD: Final = (
    EvaluationTaskStatus.Done,
    EvaluationTaskStatus.PartlyDone,
    EvaluationTaskStatus.DoingWithManualBegin,
)
_MANUAL, _AUTOMATIC = "manual", "auto"
"""Our reading of two values of `evalType`, which the listing asks for and the documents do not explain."""

_PROMPT, _PREDICTION, _COMPLETION = "Prompt问题", "模型结果", "预期回答"
_MODEL, _VERSION = "模型名称", "模型版本"
_RATES: Final = {"BLEU-4": "bleu4", "ROUGE-1": "rouge_1", "ROUGE-2": "rouge_2", "ROUGE-L": "rouge_l"}
_SCORE, _REASON = "裁判员模型打分", "裁判员模型打分理由"


def standard_of(evaluators: Sequence[QianfanEvaluator]) -> dict[str, Any]:
    """What is judged, in the words of the request. Raises InvalidArgumentError for two evaluators of one kind."""
    modes = [evaluator.mode for evaluator in evaluators]
    if len(set(modes)) != len(modes):
        raise InvalidArgumentError("the platform judges once in each way: give one evaluator of each kind")
    parts: dict[str, Any] = {"evalMode": ",".join(modes)}
    for evaluator in evaluators:
        parts |= evaluator.to_wire()
    return parts


# --- the order -----------------------------------------------------------------------------------------------------


def purchase_of(platform: Platform, content: Mapping[str, Any]) -> Purchase:
    """The order of an evaluation. content: its versions, dataset and configuration, which finding it does not need."""

    def request(mark: Mark) -> dict[str, Any]:
        return {"name": name_with(mark.token, "eval"), "description": labelled("", mark.label), **content}

    async def create(request: Mapping[str, Any]) -> Receipt:
        created = await platform.evaluations.create(**request)
        logger.info("evaluation %s is ordered", created.evaluation_id)
        return Receipt(created.evaluation_id)

    async def find(mark: Mark) -> list[Receipt]:
        name, found = request(mark)["name"], list[Receipt]()
        # An order that is only looked for does not say how it judges, so both listings are asked.
        for kind in (_AUTOMATIC, _MANUAL):
            async with aclosing(platform.evaluations_v2.all(kind, key_filter=name)) as tasks:
                found += [
                    Receipt(task.task_id)
                    async for task in tasks
                    if task.name == name and task.description.endswith(mark.label)
                ]
        return list({receipt.id: receipt for receipt in reversed(found)}.values())  # the oldest first

    def look_for(mark: Mark) -> str:
        return f"an evaluation {request(mark)['name']!r}"

    return Purchase(KIND, request, create, find, paid=True, look_for=look_for)


async def until_judged(evaluation_id: str, platform: Platform, tell: Tell) -> EvaluationDetail:
    """Wait until there is a result, or until people can begin to judge. Raises EvaluationFailedError at another end."""
    client = platform.client

    def note(detail: EvaluationDetail) -> None:
        units = ", ".join(f"{unit.model_name} {word(unit.state)}" for unit in detail.eval_units)
        tell(f"evaluation {evaluation_id} is {word(detail.state)}" + (f" ({units})" if units else ""), detail.body)

    detail = await watch(
        lambda: platform.evaluations.detail(evaluation_id),
        until=lambda detail: detail.state not in _GOES_ON,
        tell=note,
        every=client.settings.evaluation_online_polling_interval,
        client=client,
    )
    if detail.state not in _GOOD:
        status = word(detail.state)
        reason = "; ".join(f"{unit.model_name}: {unit.message}" for unit in detail.eval_units if unit.message)
        raise EvaluationFailedError(
            f"evaluation {evaluation_id!r} ended as {status!r}" + (f": {reason}" if reason else ""),
            evaluation_id=evaluation_id,
            status=status,
            reason=reason,
        )
    return detail


# --- the dataset ---------------------------------------------------------------------------------------------------


async def released(dataset: Dataset, platform: Platform, purchases: Purchases) -> str:
    """The id (`ds-…`) of a dataset that the platform can evaluate with: uploaded and released if it is not yet."""
    given = dataset.inner_data_source_cache
    if isinstance(given, QianfanDataSource):
        source = QianfanDataSource(given.dataset_id or given.id, client=platform.client)
    else:
        settings = platform.client.settings
        if settings.bos_bucket is None:
            raise ArgumentNotFoundError(
                f"evaluating with {dataset.name} on the platform needs a bucket of yours that its rows can pass "
                "through: set QIANFAN_BOS_BUCKET, or upload it with Dataset.save(..., sup_storage_id=...) first"
            )
        target = UploadTarget(settings.bos_bucket, settings.bos_folder, owns_storage=False)
        source = await upload(given, target, client=platform.client, purchases=purchases)
    info = await source.arefresh()
    if info.release_status != DataReleaseStatus.Finished:
        info = await source.arelease_dataset()
    return info.dataset_id


# --- the results -----------------------------------------------------------------------------------------------------


def metrics_of(
    detail: EvaluationDetail, reports: Sequence[EvaluationReport], evaluators: Sequence[QianfanEvaluator]
) -> list[dict[str, Any] | None]:
    """What the platform says about each model, in the order they were given; None for one that could not be judged."""
    wanted = [name for evaluator in evaluators for name in evaluator.reported()]
    # Someone who waits for people has no report yet.
    nothing: dict[str, Any] | None = {} if detail.state == EvaluationTaskStatus.DoingWithManualBegin else None
    found: list[dict[str, Any] | None] = []
    for unit in detail.eval_units:
        report = next((one for one in reports if _is_of(unit, one)), None)
        if report is None:
            found.append(nothing if unit.state != EvaluationTaskStatus.Failed else None)
            continue
        values = {name: getattr(report.effect_metric, _snake(name)) for name in wanted}
        found.append({name: value for name, value in values.items() if value is not None})
    return found


def _snake(name: str) -> str:
    return name if "_" in name else re.sub("(?=[A-Z])", "_", name).lower()


def _is_of(unit: EvaluationUnit, report: EvaluationReport) -> bool:
    return unit.model_version_id == report.model_version_id


async def answers(evaluation_id: str, detail: EvaluationDetail, platform: Platform) -> list[list[dict[str, Any]]]:
    """The answers of each model, in the models' order: `input`, `reference`, `output`, and the platform's marks.

    Rates are from 0 to 1. Raises EvaluationFailedError when they cannot be exported or read, FileSizeOverflow when they
    are larger than the settings allow.
    """
    export = await _exported(evaluation_id, platform)
    with tempfile.TemporaryDirectory(prefix="qianfan-", ignore_cleanup_errors=True) as folder:
        archive = Path(folder) / "answers.zip"
        await _fetch(export.download_url, archive, platform)
        lines = await in_thread(partial(_lines_in, archive, platform.client.settings.export_file_size_limit))
    of_unit: list[list[dict[str, Any]]] = [[] for _ in detail.eval_units]
    for line in lines:
        told = (str(line.get(_MODEL)), str(line.get(_VERSION)))
        places = [
            place
            for place, unit in enumerate(detail.eval_units)
            if told == (unit.model_name, unit.model_version) or len(detail.eval_units) == 1
        ]
        if places:
            of_unit[places[0]].append(_row(line))
    return of_unit


async def _exported(evaluation_id: str, platform: Platform) -> EvaluationExport:
    created = await platform.evaluations.create_export(evaluation_id)
    goes_on = ("", EvaluationResultExportTaskStatus.Pending, EvaluationResultExportTaskStatus.Uploading)
    export = await watch(
        lambda: platform.evaluations.describe_export(created.export_id),
        until=lambda export: export.state not in goes_on,
        tell=lambda export: None,
        every=platform.client.settings.export_status_polling_interval,
        client=platform.client,
    )
    if export.state != EvaluationResultExportTaskStatus.Done or not export.download_url:
        raise EvaluationFailedError(
            f"the answers of evaluation {evaluation_id!r} could not be exported; try it again",
            evaluation_id=evaluation_id,
            status=word(export.state),
        )
    return export


async def _fetch(link: str, path: Path, platform: Platform) -> None:
    left = limit = platform.client.settings.export_file_size_limit
    async with platform.client.download(link) as content, await anyio.open_file(path, "wb") as file:
        async for chunk in content:
            left -= len(chunk)
            if left < 0:
                raise _too_large(limit)
            await file.write(chunk)


def _too_large(limit: int) -> FileSizeOverflow:
    return FileSizeOverflow(f"the answers are larger than {limit} bytes; raise EXPORT_FILE_SIZE_LIMIT to fetch them")


def _lines_in(archive: Path, limit: int) -> list[Mapping[str, Any]]:
    """The lines of the archive's jsonl files. Blocking."""
    found: list[Mapping[str, Any]] = []
    try:
        with zipfile.ZipFile(archive) as packed:
            names = [name for name in packed.namelist() if name.endswith(".jsonl")]
            if sum(packed.getinfo(name).file_size for name in names) > limit:
                raise _too_large(limit)
            for name in names:
                for line in packed.read(name).splitlines():
                    if line.strip():
                        value = json.loads(line)
                        found += value if isinstance(value, list) else [value]
    except (zipfile.BadZipFile, ValueError) as error:
        raise EvaluationFailedError(f"the export of the answers cannot be read: {error}") from error
    return found


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "input": line.get(_PROMPT) or "",
        "reference": line.get(_COMPLETION) or "",
        "output": line.get(_PREDICTION) or None,
    }
    row |= {name: rate for told, name in _RATES.items() if (rate := _rate(line.get(told))) is not None}
    if line.get(_SCORE) not in (None, ""):
        row["judgeScore"] = _number(line[_SCORE])
        row["judgeReason"] = line.get(_REASON) or ""
    return row if row["output"] is not None else {**row, "error": "the platform gave no answer"}


def _rate(text: Any) -> float | None:
    """`"37.50%"` as 0.375; a number is taken as it is."""
    if isinstance(text, str) and text.endswith("%"):
        value = _number(text.rstrip("% "))
        return value / 100 if isinstance(value, (int, float)) else None
    return float(text) if isinstance(text, (int, float)) and not isinstance(text, bool) else None


def _number(text: Any) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text

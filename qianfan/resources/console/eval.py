"""Evaluations of models on the platform: V1 (`Evaluations`) and V2 (`EvaluationsV2`).

`Eval.V2` has the documented names of V2; those of V1 are in `qianfan.resources.Model`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from qianfan._transport import Safety
from qianfan.resources._base import Page, Resource, read, v1, v2, walk
from qianfan.resources._documented import documented
from qianfan.resources.console.consts import (
    EvaluationResultExportDestinationType,
    EvaluationResultExportField,
    EvaluationResultExportRange,
)
from qianfan.resources.schemas import (
    EvaluableModel,
    EvaluationCancelled,
    EvaluationCreated,
    EvaluationDetail,
    EvaluationExport,
    EvaluationExportCreated,
    EvaluationReport,
    EvaluationRows,
    EvaluationTask,
    EvaluationTaskPage,
    EvaluationTaskReport,
)

V1_CREATE = v1("/modelrepo/eval/create", Safety.PURCHASE, creates="evaluation")
V1_DETAIL = v1("/modelrepo/eval/detail", Safety.READ)
V1_REPORT = v1("/modelrepo/eval/report", Safety.READ)
V1_CANCEL = v1("/modelrepo/eval/cancel", Safety.EFFECT)
V1_DELETE = v1("/modelrepo/eval/delete", Safety.EFFECT)
V1_RESULTS = v1("/modelrepo/eval/result/list", Safety.READ)
V1_EXPORT = v1("/modelrepo/eval/result/export", Safety.EFFECT)
V1_EXPORT_INFO = v1("/modelrepo/eval/result/export/info", Safety.READ)
V1_MODELS = v1("/modelrepo/eval/model/list", Safety.READ)

_RESOURCES: Final = {"vmType": 1, "vmNumber": 8}
"""What an evaluation computes with; older clients always ask for this, and nothing else is known."""


_OWN: Final = EvaluationResultExportDestinationType.PrivateBos
_PLATFORM: Final = EvaluationResultExportDestinationType.PublicBos


class Evaluations(Resource):
    """Evaluations, V1."""

    async def create(
        self,
        *,
        name: str,
        versions: Sequence[Mapping[str, Any]],
        dataset_id: str,
        config: Mapping[str, Any],
        description: str | None = None,
        pending_eval_id: int | None = None,
    ) -> EvaluationCreated:
        """Have model versions answer the questions of a dataset and judge the answers. Every answer is billed.

        versions: `{"modelId": "am-…", "modelVersionId": "amv-…"}` for each. dataset_id: a released one (`ds-…`).
        config: the wire's `evalStandardConf`. pending_eval_id: an evaluation that was drafted and not started.
        """
        body = {
            "id": pending_eval_id,
            "name": name,
            "versionEvalInfo": [dict(version) for version in versions],
            "datasetId": dataset_id,
            "evalStandardConf": dict(config),
            "computeResourceConf": _RESOURCES,
            "description": description,
        }
        return await self._ask(V1_CREATE, body, EvaluationCreated)

    async def detail(self, evaluation_id: str | int) -> EvaluationDetail:
        """How an evaluation stands."""
        return await self._ask(V1_DETAIL, {"id": evaluation_id}, EvaluationDetail)

    async def report(self, evaluation_id: str | int) -> list[EvaluationReport]:
        """What came of a finished evaluation, for each model; empty before that."""
        return await self._list(V1_REPORT, {"id": evaluation_id}, EvaluationReport)

    async def cancel(self, evaluation_id: str | int) -> EvaluationCancelled:
        """Stop an evaluation."""
        reply = await self._send(V1_CANCEL, {"id": evaluation_id})
        result = reply.result if isinstance(reply.result, dict) else {"result": reply.result is not False}
        return read(V1_CANCEL, reply, EvaluationCancelled, result)

    async def delete(self, evaluation_ids: Sequence[str | int]) -> bool:
        """Delete evaluations with their results."""
        return await self._do(V1_DELETE, {"evalIds": list(evaluation_ids)})

    async def results(
        self,
        evaluation_id: str | int,
        *,
        bleu4: Mapping[str, float] | None = None,
        rouge_1: Mapping[str, float] | None = None,
        rouge_2: Mapping[str, float] | None = None,
        rouge_l: Mapping[str, float] | None = None,
        judge_score: Mapping[str, float] | None = None,
        model_version_ids: Sequence[str | int] | None = None,
        order_by: str | None = None,
        order: str | None = None,
        unit_ids: Sequence[str] | None = None,
        page_no: int = 1,
        page_size: int = 20,
    ) -> EvaluationRows:
        """One page of the answers. The scores are limited by `{"start": …, "end": …}`."""
        body = {
            "id": evaluation_id,
            "pageNo": page_no,
            "pageSize": page_size,
            "bleu4": bleu4,
            "rouge_1": rouge_1,
            "rouge_2": rouge_2,
            "rouge_l": rouge_l,
            "judgeScore": judge_score,
            "modelVersionIds": model_version_ids,
            "evalUnitId": unit_ids,
            "orderBy": order_by,
            "order": order,
        }
        return await self._whatever(V1_RESULTS, body, EvaluationRows)

    async def create_export(
        self,
        evaluation_id: str | int,
        *,
        destination: EvaluationResultExportDestinationType | str | None = None,
        range: EvaluationResultExportRange | str = EvaluationResultExportRange.Total,
        fields: Sequence[EvaluationResultExportField | str] | None = None,
        bucket: str | None = None,
        result_ids: Sequence[str] | None = None,
    ) -> EvaluationExportCreated:
        """Export the answers as an archive, to the platform's storage unless `bucket` names one's own.

        fields: everything by default. result_ids: which answers, with the range `part`.
        """
        usual = _OWN if bucket is not None else _PLATFORM
        body = {
            "id": evaluation_id,
            "exportType": destination if destination is not None else usual,
            "exportOpt": range,
            "exportContent": list(EvaluationResultExportField if fields is None else fields),
            "volumeId": bucket,
            "resultIds": list(result_ids) if result_ids is not None else None,
        }
        return await self._ask(V1_EXPORT, body, EvaluationExportCreated)

    async def describe_export(self, export_id: str | int) -> EvaluationExport:
        """How an export stands, and where it can be fetched."""
        return await self._ask(V1_EXPORT_INFO, {"exportID": export_id}, EvaluationExport)

    async def evaluable_models(self) -> list[EvaluableModel]:
        """The models of which versions can be evaluated."""
        return await self._list(V1_MODELS, None, EvaluableModel)


CREATE = v2("eval", "CreateEvalTask", Safety.PURCHASE, creates="evaluation")
DESCRIBE_ALL = v2("eval", "DescribeEvalTasks", Safety.READ)
DESCRIBE = v2("eval", "DescribeEvalTask", Safety.READ)
REPORT = v2("eval", "DescribeEvalTaskReport", Safety.READ)
DELETE = v2("eval", "DeleteEvalTask", Safety.EFFECT)


class EvaluationsV2(Resource):
    """Evaluations, V2."""

    async def create(
        self,
        *,
        name: str,
        object_type: str,
        object_config: Mapping[str, Any],
        config: Mapping[str, Any],
        description: str = "",
    ) -> str:
        """Start an evaluation and return its id. Every answer is billed.

        object_type: `model`, or `inferDataset` for answers that are there. At most 5 objects, all of one kind.
        object_config, config: the wire's `evalObjectConfig` and `evalConfig`.
        """
        body = {
            "taskName": name,
            "evalObjectType": object_type,
            "evalObjectConfig": dict(object_config),
            "evalConfig": dict(config),
            "description": description,
        }
        return await self._id(CREATE, body, "taskId")

    async def describe_all(
        self,
        eval_type: str,
        *,
        key_filter: str | None = None,
        marker: str | None = None,
        max_keys: int | None = None,
        page_reverse: bool | None = None,
    ) -> Page[EvaluationTask]:
        """One page of the account's evaluations.

        eval_type: required; which values there are, the documents do not say. key_filter: a name, an id, or the id of a
        model version.
        """
        body = {
            "evalType": eval_type,
            "keyFilter": key_filter,
            "marker": marker,
            "maxKeys": max_keys,
            "pageReverse": page_reverse,
        }
        return await self._ask(DESCRIBE_ALL, body, EvaluationTaskPage)

    def all(self, eval_type: str, **filters: Any) -> AsyncGenerator[EvaluationTask, None]:
        """All evaluations, page after page."""
        return walk(lambda marker: self.describe_all(eval_type, marker=marker, max_keys=100, **filters))

    async def describe(self, task_id: str) -> EvaluationTask:
        """How an evaluation stands."""
        return await self._ask(DESCRIBE, {"taskId": task_id}, EvaluationTask)

    async def report(self, task_id: str) -> EvaluationTaskReport:
        """What came of an evaluation."""
        reply = await self._send(REPORT, {"taskId": task_id})
        result = {"reports": reply.result} if isinstance(reply.result, list) else reply.result
        return read(REPORT, reply, EvaluationTaskReport, result)

    async def delete(self, task_id: str) -> bool:
        """Delete an evaluation with its results."""
        return await self._do(DELETE, {"taskId": task_id})


class Eval:
    """Evaluations under their documented names; each method also as `a…` to await. Those of V1 are in `Model`."""

    class V2:
        """The second generation."""

        create_eval_task, acreate_eval_task = documented(
            EvaluationsV2.create,
            "task_name=name eval_object_type=object_type eval_object_config=object_config eval_config=config"
            " description",
        )
        describe_eval_tasks, adescribe_eval_tasks = documented(
            EvaluationsV2.describe_all, "eval_type key_filter marker max_keys page_reverse"
        )
        describe_eval_task, adescribe_eval_task = documented(EvaluationsV2.describe, "task_id")
        describe_eval_task_report, adescribe_eval_task_report = documented(EvaluationsV2.report, "task_id")
        delete_eval_task, adelete_eval_task = documented(EvaluationsV2.delete, "task_id")

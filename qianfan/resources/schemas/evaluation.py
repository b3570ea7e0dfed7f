"""Evaluations of models on the platform. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field

from qianfan.resources._base import LeftToRight, Page, WireModel
from qianfan.resources.console.consts import EvaluationResultExportTaskStatus, EvaluationTaskStatus
from qianfan.resources.schemas.common import Id


class EvaluationCreated(WireModel):
    """An evaluation on its way. evaluation_id: `ame-…`; number: the same for older code."""

    evaluation_id: Id = Field(validation_alias=AliasChoices("evalIdStr", "evalId"))
    number: int | None = Field(default=None, validation_alias="evalId")


class EvaluationUnit(WireModel):
    """One model version of an evaluation. message: why it failed."""

    model_version_id: str = Field(default="", validation_alias=AliasChoices("modelVersionIdStr", "modelVersionId"))
    model_id: str = Field(default="", validation_alias=AliasChoices("modelIdStr", "modelId"))
    model_name: str = ""
    model_version: str = ""
    model_source: str = ""
    model_version_desc: str = ""
    model_tags: list[Any] = Field(default_factory=list)
    state: Annotated[EvaluationTaskStatus | str, LeftToRight] = ""
    message: str = ""


class EvaluationStandard(WireModel):
    """What is judged, and where the answers are. result_dataset_id: the dataset with the models' answers (`ds-…`)."""

    eval_mode: str = ""
    score_modes: list[str] = Field(default_factory=list)
    stop_words_path: str = ""
    app_id: int | None = None
    prompt: dict[str, Any] = Field(default_factory=dict)
    evaluation_dimension: list[dict[str, Any]] = Field(default_factory=list)
    result_dataset_id: str = Field(default="", validation_alias=AliasChoices("resultDatasetIdStr", "resultDatasetId"))
    result_dataset_name: str = ""
    result_dataset_project_type: int | None = None
    result_dataset_import_status: int | None = None
    result_dataset_release_status: int | None = None
    api_name: str = ""
    api_url: str = ""
    app_ak: str = Field(default="", repr=False)
    app_sk: str = Field(default="", repr=False)


class EvaluationDetail(WireModel):
    """How an evaluation stands."""

    evaluation_id: str = Field(default="", validation_alias=AliasChoices("evaluationIdStr", "evaluationId"))
    name: str = ""
    description: str = ""
    state: Annotated[EvaluationTaskStatus | str, LeftToRight] = ""
    eval_units: list[EvaluationUnit] = Field(default_factory=list)
    dataset_id: str = ""
    dataset_name: str = ""
    compute_resource_conf: dict[str, Any] = Field(default_factory=dict)
    standard: EvaluationStandard = Field(default=EvaluationStandard(), validation_alias="evalStandardConf")


class EffectMetric(WireModel):
    """How good the answers of one model were. Rates are from 0 to 1; None for what was not judged."""

    accuracy: float | None = None
    f1_score: float | None = None
    rouge_1: float | None = Field(default=None, validation_alias=AliasChoices("rouge_1", "rouge1"))
    rouge_2: float | None = Field(default=None, validation_alias=AliasChoices("rouge_2", "rouge2"))
    rouge_l: float | None = Field(default=None, validation_alias=AliasChoices("rouge_l", "rougeL"))
    bleu4: float | None = None
    avg_judge_score: float | None = None
    std_judge_score: float | None = None
    median_judge_score: float | None = None
    score_distribution: dict[str, int] | None = None
    manual_avg_score: float | None = None
    good_case_proportion: float | None = None
    subjective_impression: Any = None
    manual_score_distribution: list[dict[str, Any]] | None = None


class EvaluationReport(WireModel):
    """What came of the evaluation of one model."""

    id: str = ""
    evaluation_id: str = Field(default="", validation_alias=AliasChoices("evaluationIdStr", "evaluationId"))
    evaluation_name: str = ""
    eval_mode: str = ""
    model_id: str = Field(default="", validation_alias=AliasChoices("modelIdStr", "modelId"))
    model_version_id: str = Field(default="", validation_alias=AliasChoices("modelVersionIdStr", "modelVersionId"))
    model_name: str = ""
    model_version: str = ""
    model_version_source: str = ""
    user_id: str = ""
    performance_metric: dict[str, Any] = Field(default_factory=dict)
    effect_metric: EffectMetric = EffectMetric()


class EvaluationCancelled(WireModel):
    """Whether an evaluation could be stopped, and why not."""

    result: bool = True
    error_message: str = ""


class EvaluationRow(WireModel):
    """One answer of a model. The documents do not show this shape, so every field may be missing."""

    id: str = ""
    model_version_id: str = Field(default="", validation_alias=AliasChoices("modelVersionIdStr", "modelVersionId"))
    model_name: str = ""
    model_version: str = ""
    prompt: str = ""
    completion: str = ""
    prediction: str = ""


class EvaluationRows(WireModel):
    """One page of the answers."""

    total: int = 0
    items: list[EvaluationRow] = Field(
        default_factory=list, validation_alias=AliasChoices("items", "list", "results", "resultList")
    )


class EvaluationExportCreated(WireModel):
    """An export on its way. export_id: `amemt-…`; number: the same for older code."""

    export_id: Id = Field(validation_alias=AliasChoices("exportIDStr", "exportID"))
    number: int | None = Field(default=None, validation_alias="exportID")


class EvaluationExport(WireModel):
    """How an export stands. download_url: a link that opens the archive without keys, so treat it as a secret."""

    id: str = ""
    export_id: str = Field(default="", validation_alias=AliasChoices("exportIDStr", "exportID"))
    state: Annotated[EvaluationResultExportTaskStatus | str, LeftToRight] = ""
    export_type: str = ""
    volume_id: str = ""
    export_path: str = ""
    download_url: str = Field(default="", repr=False)


class EvaluableVersion(WireModel):
    """A model version that can be evaluated."""

    model_version_id: str = Field(default="", validation_alias=AliasChoices("modelVersionIdStr", "modelVersionId"))
    number: int | None = Field(default=None, validation_alias="modelVersionId")
    version: str = ""
    source_type: str = ""
    framework: str = ""
    algorithm: str = ""
    model_net: str = ""
    train_type: str = ""
    description: str = ""


class EvaluableModel(WireModel):
    """A model of which versions can be evaluated."""

    model_id: str = Field(default="", validation_alias=AliasChoices("modelIdStr", "modelId"))
    number: int | None = Field(default=None, validation_alias="modelId")
    model_name: str = ""
    source: str = ""
    model_type: int | None = None
    train_type: str = ""
    versions: list[EvaluableVersion] = Field(default_factory=list, validation_alias="modelVersionList")


class EvaluationTask(WireModel):
    """An evaluation as V2 tells of it."""

    task_id: str = Field(default="", validation_alias=AliasChoices("taskId", "evalTaskId", "id"))
    name: str = Field(default="", validation_alias=AliasChoices("taskName", "name"))
    description: str = ""
    state: Annotated[EvaluationTaskStatus | str, LeftToRight] = Field(
        default="", validation_alias=AliasChoices("runStatus", "state", "status")
    )
    eval_object_type: str = ""
    eval_object_config: dict[str, Any] = Field(default_factory=dict)
    eval_config: dict[str, Any] = Field(default_factory=dict)
    create_time: str = ""


class EvaluationTaskPage(Page[EvaluationTask]):
    # The documents do not name the list.
    items: list[EvaluationTask] = Field(
        default_factory=list, validation_alias=AliasChoices("taskList", "evalTaskList", "items", "list")
    )


class EvaluationTaskReport(WireModel):
    """What came of an evaluation, one entry for each of its objects."""

    task_id: str = ""
    reports: list[EvaluationReport] = Field(
        default_factory=list, validation_alias=AliasChoices("reports", "reportList", "items", "list")
    )

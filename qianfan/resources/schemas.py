"""Models of the platform's answers. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import AliasChoices, AliasPath, Field

from qianfan.resources._base import LeftToRight, Page, WireModel
from qianfan.resources.console.consts import (
    DataExportDestinationType,
    DataExportStatus,
    DataExportType,
    DataImportStatus,
    DataReleaseStatus,
    DataStorageType,
    DataTemplateType,
    ImportStatus,
    ModelState,
    PublishStatus,
    ServiceStatus,
    TrainMode,
    TrainStatus,
    TrainStatusV1,
)

Id: TypeAlias = Annotated[str, Field(min_length=1)]
"""What names a new thing, so that an answer without it is no answer."""


def percent(text: str | float | None) -> int | None:
    """`"47%"` and `47.0` as 47; None for anything that is no number."""
    if text is None:
        return None
    try:
        return max(0, min(100, int(float(str(text).rstrip("% ")))))
    except ValueError:
        return None


# --- fine-tuning -----------------------------------------------------------------------------------------------


class JobCreated(WireModel):
    job_id: Id


class TaskCreated(WireModel):
    job_id: str = ""
    task_id: Id


class Job(WireModel):
    """A fine-tuning job: a name, a base model and a mode, holding tasks."""

    job_id: str
    name: str = ""
    description: str = ""
    model: str = ""
    train_mode: Annotated[TrainMode | str, LeftToRight] = ""
    create_date: str = ""


class JobPage(Page[Job]):
    items: list[Job] = Field(default_factory=list, validation_alias="jobList")


class Checkpoint(WireModel):
    """A saved state of the weights. training_loss: mean loss per token since the last log, in nats."""

    step: int
    training_loss: float | None = None
    perplexity: float | None = None


class Task(WireModel):
    """One training run.

    run_status: empty right after creation. run_progress: `"47%"` while Running; see `progress`.
    metrics: `"21.50%"` strings by name, once Done. checkpoint_list: once Done.
    """

    task_id: str
    job_id: str = ""
    job_name: str = ""
    job_description: str = ""
    model: str = ""
    train_mode: Annotated[TrainMode | str, LeftToRight] = ""
    parameter_scale: str = ""
    run_status: Annotated[TrainStatus | str, LeftToRight] = ""
    run_progress: str | None = None
    vdl_link: str | None = None
    metrics: dict[str, Any] | None = None
    checkpoint_list: list[Checkpoint] | None = None
    create_date: str = ""
    finish_date: str = ""

    @property
    def progress(self) -> int | None:
        """Percent done, 100 once Done, None while the platform does not say."""
        return 100 if self.run_status == TrainStatus.Done else percent(self.run_progress)


class TaskPage(Page[Task]):
    items: list[Task] = Field(default_factory=list, validation_alias="taskList")


class HyperParameterLimit(WireModel):
    """What one hyper-parameter may be.

    check_type: `range` (check_value is [min, max], or [v] for exactly v), `choice`, or `mult_choice`.
    """

    key: str
    name: str = ""
    description: str = ""
    type: str = ""
    check_type: str = ""
    check_value: list[Any] = Field(default_factory=list)
    default: Any = None


class SupportedScale(WireModel):
    parameter_scale: str
    support_hyper_parameter_config: list[HyperParameterLimit] = Field(default_factory=list)


class SupportedMode(WireModel):
    train_mode: str
    support_parameter_scale: list[SupportedScale] = Field(default_factory=list)


class SupportedModel(WireModel):
    """A base model and what it can be trained with."""

    model: str
    base_model: str | None = None
    model_type: str = "text2text"
    support_train_mode: list[SupportedMode] = Field(default_factory=list)


class SeriesCreatedV1(WireModel):
    id: int
    uuid: str = ""
    name: str = ""


class RunCreatedV1(WireModel):
    id: int
    uuid: str = ""


class RunDetailV1(WireModel):
    """One training run as V1 describes it. V1's `taskId` is the job of today and its `id` the task."""

    id: int
    task_id: int
    task_name: str = ""
    description: str = ""
    train_type: str = ""
    train_mode: Annotated[TrainMode | str, LeftToRight] = ""
    peft_type: str = ""
    train_status: Annotated[TrainStatusV1 | str, LeftToRight] = ""
    progress: float | None = None
    vdl_link: str | None = None


# --- datasets --------------------------------------------------------------------------------------------------


class StorageInfo(WireModel):
    storage_id: str = ""
    storage_name: str = ""
    storage_path: str = ""
    raw_storage_path: str = ""
    region: str = ""


class DatasetCreated(WireModel):
    """A new dataset with its first version. dataset_id: the version, `ds-…`; group_id: the dataset, `dg-…`."""

    dataset_id: Id
    group_id: str = Field(default="", validation_alias="groupPK")
    number: int | None = Field(default=None, validation_alias="id")
    version: int = Field(default=1, validation_alias="versionId")
    name: str = Field(default="", validation_alias=AliasChoices("groupName", "displayName"))
    storage_info: StorageInfo = StorageInfo()


class DatasetInfo(WireModel):
    """A dataset version. Reads the V1 answer, whose facts sit one level down in `versionInfo`.

    dataset_id: `ds-…`; number: the numeric id of older code; group_id: `dg-…`.
    modify_time: `YYYY-MM-DD hh:mm:ss` in the platform's time, as are those of an `ExportRecord`.
    """

    dataset_id: str = Field(validation_alias=AliasPath("versionInfo", "datasetPK"))
    number: int | None = Field(default=None, validation_alias=AliasPath("versionInfo", "datasetId"))
    group_id: str = Field(default="", validation_alias="groupPK")
    name: str = ""
    version: int = Field(default=1, validation_alias=AliasPath("versionInfo", "versionId"))
    template_type: Annotated[DataTemplateType | int, LeftToRight] = Field(
        validation_alias=AliasPath("versionInfo", "templateType")
    )
    project_type: int = Field(default=0, validation_alias=AliasPath("versionInfo", "projectType"))
    data_type: int = Field(default=0, validation_alias=AliasPath("versionInfo", "dataType"))
    import_status: Annotated[DataImportStatus | int, LeftToRight] = Field(
        validation_alias=AliasPath("versionInfo", "importStatus")
    )
    import_progress: int | None = Field(default=None, validation_alias=AliasPath("versionInfo", "importProgress"))
    import_error_code: int | None = Field(default=None, validation_alias=AliasPath("versionInfo", "errCode"))
    release_status: Annotated[DataReleaseStatus | int, LeftToRight] = Field(
        validation_alias=AliasPath("versionInfo", "releaseStatus")
    )
    release_progress: int | None = Field(default=None, validation_alias=AliasPath("versionInfo", "releaseProgress"))
    release_error_code: int | None = Field(default=None, validation_alias=AliasPath("versionInfo", "releaseErrCode"))
    export_status: Annotated[DataExportStatus | int, LeftToRight] = Field(
        default=DataExportStatus.NotStarted, validation_alias=AliasPath("versionInfo", "exportStatus")
    )
    export_progress: int | None = Field(default=None, validation_alias=AliasPath("versionInfo", "exportProgress"))
    export_record_count: int = Field(default=0, validation_alias=AliasPath("versionInfo", "exportRecordCount"))
    modify_time: str = Field(default="", validation_alias=AliasPath("versionInfo", "modifyTime"))
    storage_type: Annotated[DataStorageType | str, LeftToRight] = Field(
        default="", validation_alias=AliasPath("versionInfo", "storageType")
    )
    storage: StorageInfo = Field(default=StorageInfo(), validation_alias=AliasPath("versionInfo", "storage"))
    entity_count: int = Field(default=0, validation_alias=AliasPath("versionInfo", "entityCount"))
    annotated_entity_count: int = Field(default=0, validation_alias=AliasPath("versionInfo", "annotatedEntityCount"))
    character_count: int = Field(default=0, validation_alias=AliasPath("versionInfo", "characterCount"))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever imported into it."""
        return self.import_status in (DataImportStatus.NotStarted, DataImportStatus.Initialized)


class DatasetStatus(WireModel):
    """Where the work on a dataset version stands."""

    import_status: Annotated[DataImportStatus | int, LeftToRight] = DataImportStatus.NotStarted
    import_progress: int | None = None
    release_status: Annotated[DataReleaseStatus | int, LeftToRight] = DataReleaseStatus.NotRelease
    release_progress: int | None = None
    export_status: Annotated[DataExportStatus | int, LeftToRight] = DataExportStatus.NotStarted
    entity_count: int = 0


class ImportErrorLine(WireModel):
    """One complaint about imported data. text_location: line number in the file, from 1."""

    sample_file_name: str = ""
    sample_name: str = ""
    text_location: int | None = None
    text_content: str = ""


class ImportErrorDetail(WireModel):
    content: list[ImportErrorLine] = Field(default_factory=list)
    download_url: str = ""


class ExportRecord(WireModel):
    """One export of a dataset version. size: MB; start_time, finish_time: as in `DatasetInfo.modify_time`.

    download_url: opens the archive without keys, so it stays out of the representation.
    """

    status: Annotated[DataExportStatus | int, LeftToRight] = DataExportStatus.NotStarted
    export_type: Annotated[DataExportType | int, LeftToRight] = DataExportType.WithAnnotations
    export_to: Annotated[DataExportDestinationType | int, LeftToRight] = DataExportDestinationType.PlatformBos
    storage_id: str = ""
    storage_path: str = ""
    record_num: int | None = None
    size: float | None = None
    download_url: str = Field(default="", repr=False)
    start_time: str = ""
    finish_time: str = ""


class DatasetVersionCreated(WireModel):
    dataset_id: str = ""
    version_id: Id
    version_number: int | None = None


class DatasetSummary(WireModel):
    """A dataset in a V2 listing."""

    dataset_id: str
    dataset_name: str = ""
    data_format: str = ""


class DatasetPage(Page[DatasetSummary]):
    items: list[DatasetSummary] = Field(default_factory=list, validation_alias="datasetList")


class DatasetVersion(WireModel):
    """A dataset version as V2 describes it. dataset_id: `dg-…`, version_id: `ds-…`."""

    version_id: str
    dataset_id: str = ""
    version_number: int | None = None
    dataset_name: str = ""
    data_format: str = ""
    description: str = ""
    storage_type: str = ""
    storage_path: str = ""
    import_status: Annotated[ImportStatus | str, LeftToRight] = ""
    publish_status: Annotated[PublishStatus | str, LeftToRight] = ""
    sample_count: int | None = None
    character_count: int | None = None


class DatasetVersionPage(Page[DatasetVersion]):
    items: list[DatasetVersion] = Field(
        default_factory=list, validation_alias=AliasChoices("versionList", "datasetVersionList")
    )


class ImportTask(WireModel):
    """An import as V2 describes it."""

    version_id: str = ""
    import_status: Annotated[ImportStatus | str, LeftToRight] = ""
    progress: str | None = None
    size_mb: float | None = Field(default=None, validation_alias="sizeMB")
    sample_count: int | None = None
    err_download_url: str = ""


# --- models ----------------------------------------------------------------------------------------------------


class ModelPublished(WireModel):
    """A model version on its way. set_id: `am-…`; version_id: `amv-…`; numbers are the ids of older code."""

    set_id: Id = Field(validation_alias=AliasChoices("modelIDStr", "modelIdStr"))
    set_number: int | None = Field(default=None, validation_alias="modelId")
    version_id: str | None = Field(default=None, validation_alias="versionIdStr")
    version_number: int | None = Field(default=None, validation_alias="versionId")
    version: str = ""


class TrainSource(WireModel):
    """The run a model version came from. job_id: `job-…`, task_id: `task-…`; V1 swaps the two words."""

    job_id: str = Field(default="", validation_alias="taskIdStr")
    job_number: int | None = Field(default=None, validation_alias="taskId")
    task_id: str = Field(default="", validation_alias="runIdStr")
    task_number: int | None = Field(default=None, validation_alias="runId")


class ModelVersion(WireModel):
    """A model version as V1 describes it; its V2 twin calls the state `status`."""

    set_id: str = Field(default="", validation_alias=AliasChoices("modelIdStr", "modelIDStr", "modelSetId"))
    version_id: str = Field(default="", validation_alias=AliasChoices("modelVersionIdStr", "modelId"))
    name: str = Field(default="", validation_alias=AliasChoices("modelName", "modelSetName"))
    version: str = ""
    state: Annotated[ModelState | str, LeftToRight] = Field(
        default="", validation_alias=AliasChoices("state", "status")
    )
    source: TrainSource = Field(default=TrainSource(), validation_alias=AliasPath("sourceExtra", "trainSourceExtra"))


class ModelDetail(WireModel):
    """A model set as V1 describes it."""

    set_id: str = Field(default="", validation_alias=AliasChoices("modelIdStr", "modelIDStr"))
    set_number: int | None = Field(default=None, validation_alias="modelId")
    name: str = Field(default="", validation_alias="modelName")
    versions: list[ModelVersion] = Field(default_factory=list, validation_alias="modelVersionList")


class ModelSet(WireModel):
    """A model set as V2 describes it. model_ids: its versions, `amv-…`."""

    model_set_id: str
    model_set_name: str = ""
    source: str = ""
    model_type: str = ""
    model_ids: list[str] = Field(default_factory=list)


class ModelSetPage(Page[ModelSet]):
    items: list[ModelSet] = Field(default_factory=list, validation_alias="modelSetList")


class ModelInfoV2(WireModel):
    """A model version as V2 describes it."""

    model_id: str
    model_set_id: str = ""
    status: Annotated[ModelState | str, LeftToRight] = ""
    description: str = ""


# --- services --------------------------------------------------------------------------------------------------


class ServiceCreated(WireModel):
    """A deployment on its way. instance_id: the resource bought for it."""

    service_id: Id
    instance_id: str = ""


class ServiceDetail(WireModel):
    """A deployed service as V2 describes it. url: its full inference address."""

    service_id: str
    name: str = ""
    description: str = ""
    model_set_id: str = ""
    model_id: str = Field(default="", validation_alias=AliasChoices("modelVersionId", "modelId"))
    url: str = ""
    service_type: str = ""
    run_status: Annotated[ServiceStatus | str, LeftToRight] = ""
    charge_status: str = ""
    resource_config: dict[str, Any] = Field(default_factory=dict)
    create_time: str = ""

    @property
    def endpoint(self) -> str:
        """The last part of the address, which inference calls name; newer answers name it themselves as well."""
        return self.url.rstrip("/").rpartition("/")[2] or str((self.model_extra or {}).get("endpoint") or "")


class ServicePage(Page[ServiceDetail]):
    items: list[ServiceDetail] = Field(default_factory=list, validation_alias="serviceList")


class ServiceApplied(WireModel):
    service_id: int
    service_uuid: str = ""


class ServiceDetailV1(WireModel):
    """A deployed service as V1 describes it."""

    id: int
    name: str = ""
    uri: str = ""
    url: str = Field(default="", validation_alias=AliasChoices("url", "fullUri"))
    service_status: Annotated[ServiceStatus | str, LeftToRight] = ""


class ServiceListEntry(WireModel):
    name: str = ""
    url: str = ""
    api_type: str = ""
    charge_status: str = ""


class ServiceListV1(WireModel):
    """Preset services (`common`) and the account's own (`custom`)."""

    common: list[ServiceListEntry] = Field(default_factory=list)
    custom: list[ServiceListEntry] = Field(default_factory=list)

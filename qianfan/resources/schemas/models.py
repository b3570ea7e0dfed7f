"""Model sets and models. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, AliasPath, Field

from qianfan.resources._base import LeftToRight, Page, WireModel
from qianfan.resources.console.consts import (
    ModelCompTaskStatus,
    ModelState,
)
from qianfan.resources.schemas.common import Id


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
    job_name: str = Field(default="", validation_alias="taskName")
    task_id: str = Field(default="", validation_alias="runIdStr")
    task_number: int | None = Field(default=None, validation_alias="runId")
    run: int | None = Field(default=None, validation_alias="iterationVersion")


class CompressionSource(WireModel):
    """The compression a model version came from, and what was compressed."""

    task_id: str = ""
    task_name: str = ""
    source_model_version_id: str = ""


class ImportSource(WireModel):
    """The files a model version was imported from."""

    bucket: str = ""
    object: str = ""


class ModelVersion(WireModel):
    """A model version as V1 describes it; its V2 twin calls the state `status`.

    source, compression, imported: where it came from; the one that `source_type` names is filled.
    """

    set_id: str = Field(default="", validation_alias=AliasChoices("modelIdStr", "modelIDStr", "modelSetId"))
    version_id: str = Field(default="", validation_alias=AliasChoices("modelVersionIdStr", "modelId"))
    version_number: int | None = Field(default=None, validation_alias="modelVersionId")
    name: str = Field(default="", validation_alias=AliasChoices("modelName", "modelSetName"))
    version: str = ""
    state: Annotated[ModelState | str, LeftToRight] = Field(
        default="", validation_alias=AliasChoices("state", "status")
    )
    source_type: str = ""
    source: TrainSource = Field(default=TrainSource(), validation_alias=AliasPath("sourceExtra", "trainSourceExtra"))
    compression: CompressionSource = Field(
        default=CompressionSource(), validation_alias=AliasPath("sourceExtra", "accelerationSourceExtra")
    )
    imported: ImportSource = Field(
        default=ImportSource(), validation_alias=AliasPath("sourceExtra", "importModelVersionSourceExtra")
    )
    train_type: str = ""
    description: str = ""
    io_mode: str = ""
    io_length: str = ""
    deploy_resource: list[str] = Field(default_factory=list)
    support_options: list[str] = Field(default_factory=list)
    create_time: str = ""
    modify_time: str = ""


class ModelDetail(WireModel):
    """A model set as V1 describes and lists it. source: `UserCreate` or `PlatformPreset`."""

    set_id: str = Field(default="", validation_alias=AliasChoices("modelIdStr", "modelIDStr"))
    set_number: int | None = Field(default=None, validation_alias="modelId")
    name: str = Field(default="", validation_alias="modelName")
    source: str = ""
    model_type: int | None = None
    train_type: str = ""
    description: str = ""
    create_time: str = ""
    modify_time: str = ""
    versions: list[ModelVersion] = Field(default_factory=list, validation_alias="modelVersionList")


class ModelListV1(WireModel):
    """One page of V1's listings of model sets. total: on all pages together."""

    total: int = 0
    items: list[ModelDetail] = Field(default_factory=list, validation_alias="modelList")


class ModelSet(WireModel):
    """A model set as V2 describes it. model_ids: its versions, `amv-…`."""

    model_set_id: str
    model_set_name: str = ""
    source: str = ""
    model_type: str = ""
    create_time: str = ""
    modify_time: str = ""
    model_ids: list[str] = Field(default_factory=list)


class ModelSetPage(Page[ModelSet]):
    items: list[ModelSet] = Field(default_factory=list, validation_alias="modelSetList")


class ModelInfoV2(WireModel):
    """A model version as V2 describes it. is_support_model_comp: whether it can be compressed."""

    model_id: str
    model_set_id: str = ""
    model_set_name: str = ""
    version: str = ""
    status: Annotated[ModelState | str, LeftToRight] = ""
    description: str = ""
    source_type: str = ""
    train_meta: dict[str, Any] = Field(default_factory=dict)
    io_mode: str = ""
    is_support_model_comp: bool = False
    create_time: str = ""
    modify_time: str = ""


class ModelExport(WireModel):
    """An export of a model version. The platform does not document it: what it tells is kept, whatever it is called."""

    model_id: str = ""
    status: str = ""


class CompTask(WireModel):
    """A compression. model_id: the version it has made, once it has succeeded.

    Only `status`, `model_id` and `failed_reason` are documented; the rest is there where the platform tells it.
    """

    task_id: str = Field(default="", validation_alias=AliasChoices("modelCompTaskId", "taskId"))
    name: str = ""
    description: str = ""
    source_model_id: str = ""
    model_set_id: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    status: Annotated[ModelCompTaskStatus | str, LeftToRight] = ""
    model_id: str = ""
    failed_reason: str = ""
    create_time: str = ""

    @property
    def failure(self) -> str:
        """Why it has failed, where the platform says so."""
        return self.failed_reason or super().failure


class CompTaskPage(Page[CompTask]):
    # What the list is called is not documented.
    items: list[CompTask] = Field(
        default_factory=list, validation_alias=AliasChoices("modelCompTaskList", "compTaskList", "taskList")
    )

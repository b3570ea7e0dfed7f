"""Model sets and models. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, AliasPath, Field

from qianfan.resources._base import LeftToRight, Page, WireModel
from qianfan.resources.console.consts import (
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

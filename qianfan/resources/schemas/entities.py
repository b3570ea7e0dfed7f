"""The rows of datasets, and the work that makes new ones: cleaning and augmentation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, AliasPath, Field

from qianfan.resources._base import LeftToRight, WireModel
from qianfan.resources.console.consts import AugmentingStatus, ETLTaskStatus
from qianfan.resources.schemas.common import Id


class EntityLabel(WireModel):
    """What somebody said about an image."""

    label_id: str = Field(default="", validation_alias="label_id")
    name: str = ""
    color: str = ""


class EntityFacts(WireModel):
    """Numbers about a row's text. Ratios go from 0 to 1."""

    domain_type: str = ""
    task_type: str = ""
    word_num: int | None = None
    repetitive_char_ratio: float | None = None
    special_char_ratio: float | None = None
    flagged_word_ratio: float | None = None
    lang_prob: float | None = None
    perplexity: float | None = None


class Entity(WireModel):
    """One row of a dataset version. url: opens its text, or its image, without keys. memory_size: MB."""

    id: Id
    name: str = ""
    labels: list[EntityLabel] = Field(default_factory=list)
    url: str = Field(default="", repr=False)
    memory_size: float | None = None
    is_encrypted: bool = False
    text_extra: EntityFacts = EntityFacts()


class EntityPage(WireModel):
    """Some rows. total: how many there are of the wanted kind; total_all: of any kind."""

    total_all: int = 0
    total: int = 0
    items: list[Entity] = Field(default_factory=list)


class EntitiesDeleted(WireModel):
    """What came of a deletion. failed_ones: what could not be deleted."""

    failed_ones: list[Any] = Field(default_factory=list)


# --- cleaning and augmentation -----------------------------------------------------------------------------------


class OperatorResult(WireModel):
    """What one operator of a cleaning left, and dropped."""

    name: str = ""
    remaining_count: int = Field(default=0, validation_alias="remaining_count")
    drop_count: int = Field(default=0, validation_alias="drop_count")


class StageResult(WireModel):
    """What came of one stage of a cleaning. matched: rows that it changed or dropped."""

    status: Any = None
    operator_count: int = Field(default=0, validation_alias="operator_count")
    matched: int = Field(default=0, validation_alias="entity_match_count")
    operators: list[OperatorResult] = Field(default_factory=list, validation_alias="each_operator_result")


class EtlTask(WireModel):
    """A cleaning. etl_id: what calls name it by; source, dest: the versions (`ds-…`) it reads and fills.

    operations: stage -> operators. stages: what came of each. The counts are rows: before, and left.
    """

    etl_id: Id = Field(validation_alias=AliasChoices("etlStrId", "id"))
    name: str = Field(default="", validation_alias="etlTaskName")
    source_dataset_id: str = Field(default="", validation_alias=AliasChoices("sourceDatasetStrId", "sourceDatasetId"))
    source_dataset_name: str = ""
    dest_dataset_id: str = Field(default="", validation_alias=AliasChoices("destDatasetStrId", "destDatasetId"))
    dest_dataset_name: str = ""
    process_status: Annotated[ETLTaskStatus | int, LeftToRight] = ETLTaskStatus.NotStarted
    entity_count: int | None = None
    remaining_entity: int | None = None
    operations: dict[str, list[dict[str, Any]]] = Field(default_factory=dict, validation_alias="operationsV2")
    operator_names: list[str] = Field(default_factory=list, validation_alias="operatorNameList")
    stages: dict[str, StageResult] = Field(
        default_factory=dict, validation_alias=AliasPath("result", "pipeline_stage_result")
    )
    creator_name: str = ""
    create_time: str = ""
    start_time: str = ""
    finish_time: str = ""
    err_code: int | None = None
    reason: str = Field(default="", validation_alias=AliasChoices("errMsg", "exceptionResult"))

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not. One that is paused has not."""
        return self.process_status in (ETLTaskStatus.Finished, ETLTaskStatus.Interrupted, ETLTaskStatus.Failed)


class EtlPage(WireModel):
    """Some cleanings. processing_count: how many are under way."""

    processing_count: int = 0
    total: int = 0
    items: list[EtlTask] = Field(default_factory=list)


class AugmentTask(WireModel):
    """An augmentation: new rows made up from those of one version, put into another."""

    task_id: Id = Field(validation_alias="id")
    name: str = ""
    project_type: int | None = None
    source_dataset_id: str = Field(default="", validation_alias="sourceDatasetStrId")
    source_dataset_name: str = ""
    dest_dataset_id: str = Field(default="", validation_alias="destDatasetStrId")
    dest_dataset_name: str = ""
    status: Annotated[AugmentingStatus | int, LeftToRight] = 0
    fail_reason: str = ""
    is_self_instruct: bool = True
    model_name: str = ""
    start_time: str = ""
    finish_time: str = ""
    entity_count: int | None = None
    num_seed_fewshot: int | None = None
    num_instances_to_generate: int | None = None
    similarity_threshold: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has ended well."""
        return self.status == AugmentingStatus.Finished and not self.fail_reason

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status in (AugmentingStatus.Finished, AugmentingStatus.Failed)


class AugmentPage(WireModel):
    """Some augmentations."""

    total: int = 0
    items: list[AugmentTask] = Field(default_factory=list)

"""Datasets: versions, imports, exports. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, AliasPath, Field

from qianfan.resources._base import LeftToRight, Page, WireModel
from qianfan.resources.console.consts import (
    AugmentingStatus,
    DataExportDestinationType,
    DataExportStatus,
    DataExportType,
    DataImportStatus,
    DataReleaseStatus,
    DataStorage,
    DataStorageType,
    DataTemplateType,
    ETLTaskStatus,
    ExportStatus,
    ImportStatus,
    PublishStatus,
)
from qianfan.resources.schemas.common import Id


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
    modify_time, create_time: `YYYY-MM-DD hh:mm:ss` in the platform's time, as are those of an `ExportRecord`.
    memory_size: MB. enhance_status: of augmentation, -1 for none.
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
    label_count: int = Field(default=0, validation_alias=AliasPath("versionInfo", "labelCount"))
    memory_size: float | None = Field(default=None, validation_alias=AliasPath("versionInfo", "memorySize"))
    etl_status: Annotated[ETLTaskStatus | int, LeftToRight] = Field(
        default=ETLTaskStatus.NotStarted, validation_alias=AliasPath("versionInfo", "etlStatus")
    )
    enhance_status: Annotated[AugmentingStatus | int, LeftToRight] = Field(
        default=-1, validation_alias=AliasPath("versionInfo", "enhanceStatus")
    )
    release_storage_path: str = Field(default="", validation_alias=AliasPath("versionInfo", "releaseStoragePath"))
    description: str = Field(default="", validation_alias=AliasPath("versionInfo", "description"))
    create_time: str = Field(default="", validation_alias=AliasPath("versionInfo", "createTime"))

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
    export_progress: int | None = None
    enhance_status: Annotated[AugmentingStatus | int, LeftToRight] = -1
    etl_status: Annotated[ETLTaskStatus | int, LeftToRight] = ETLTaskStatus.NotStarted
    entity_count: int = 0
    annotated_entity_count: int = 0
    label_count: int = 0
    character_count: int = 0
    modify_time: str = ""


class ImportErrorLine(WireModel):
    """One complaint about imported data. text_location: line number in the file, from 1."""

    sequence: int | None = None
    sample_file_name: str = ""
    sample_name: str = ""
    text_location: int | None = None
    text_content: str = ""


class ImportErrorDetail(WireModel):
    """What was wrong with imported data. download_url: opens the whole report without keys."""

    content: list[ImportErrorLine] = Field(default_factory=list)
    data_type: str = ""
    project_type: int | None = None
    is_zip: bool = False
    download_url: str = Field(default="", repr=False)


class ExportRecord(WireModel):
    """One export of a dataset version. size: MB; start_time, finish_time: as in `DatasetInfo.modify_time`.

    download_url: opens the archive without keys, so it stays out of the representation.
    """

    creator_name: str = ""
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
    size_mb: float | None = Field(default=None, validation_alias="sizeMB")
    sample_count: int | None = None
    character_count: int | None = None
    create_time: str = ""
    modify_time: str = ""


class DatasetVersionPage(Page[DatasetVersion]):
    items: list[DatasetVersion] = Field(
        default_factory=list, validation_alias=AliasChoices("versionList", "datasetVersionList")
    )


class ImportTask(WireModel):
    """An import as V2 describes it. progress: `"40%"`, and `"0"` when it failed.

    finish_time: empty until it is over. err_download_url: opens the report of what was wrong, without keys.
    """

    version_id: str = ""
    import_status: Annotated[ImportStatus | str, LeftToRight] = ""
    progress: str | None = None
    size_mb: float | None = Field(default=None, validation_alias="sizeMB")
    sample_count: int | None = None
    creator: str = ""
    start_time: str = ""
    finish_time: str = ""
    err_download_url: str = Field(default="", repr=False)


class ExportTask(WireModel):
    """An export as V2 describes it. storage_path: of the archive, `bos:/bucket/path/name.zip`; the rest as above.

    download_url: opens the archive without keys, where the platform gives one.
    """

    storage_type: Annotated[DataStorage | str, LeftToRight] = ""
    storage_path: str = ""
    size_mb: float | None = Field(default=None, validation_alias="sizeMB")
    sample_count: int | None = None
    export_status: Annotated[ExportStatus | str, LeftToRight] = ""
    progress: str | None = None
    creator: str = ""
    start_time: str = ""
    finish_time: str = ""
    download_url: str = Field(default="", repr=False)

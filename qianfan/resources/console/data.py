"""Datasets: create, import, release, export, look, delete; V1 (`Data`) and V2 (`DataV2`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from qianfan._transport import Safety
from qianfan.resources._base import Page, Resource, odd_answer, read, v1_data, v2, walk
from qianfan.resources.console.consts import (
    DataExportDestinationType,
    DataExportType,
    DataFormat,
    DataSourceType,
    DataStorage,
    DataStorageType,
    DataTemplateType,
)
from qianfan.resources.schemas import (
    DatasetCreated,
    DatasetInfo,
    DatasetPage,
    DatasetStatus,
    DatasetSummary,
    DatasetVersion,
    DatasetVersionCreated,
    DatasetVersionPage,
    ExportRecord,
    ImportErrorDetail,
    ImportTask,
)

CREATE = v1_data("/dataset/create", Safety.PURCHASE, creates="dataset")
IMPORT = v1_data("/dataset/import", Safety.PURCHASE, creates="dataset")
RELEASE = v1_data("/dataset/release", Safety.EFFECT)
EXPORT = v1_data("/dataset/export", Safety.EFFECT)
EXPORT_RECORD = v1_data("/dataset/exportRecord", Safety.READ)
INFO = v1_data("/dataset/info", Safety.READ)
STATUS_LIST = v1_data("/dataset/statusList", Safety.READ)
IMPORT_ERROR_DETAIL = v1_data("/dataset/importErrorDetail", Safety.READ)
DELETE = v1_data("/dataset/delete", Safety.EFFECT)


class Data(Resource):
    """Datasets, V1. A `dataset_id` is a version: `ds-…`, or the number that older code uses."""

    async def create(
        self,
        *,
        name: str,
        template_type: DataTemplateType,
        storage_type: DataStorageType = DataStorageType.PublicBos,
        storage_id: str | None = None,
        raw_storage_path: str | None = None,
    ) -> DatasetCreated:
        """Create a dataset with an empty first version.

        storage_id, raw_storage_path: bucket and folder (`/folder/`), with the user's own storage.
        """
        body = {
            "name": name,
            "versionId": 1,
            "projectType": template_type.project_type,
            "templateType": template_type,
            "dataType": template_type.set_type,
            "storageType": storage_type,
            "storageId": storage_id,
            "rawStoragePath": raw_storage_path,
        }
        return await self._ask(CREATE, body, DatasetCreated)

    async def start_import(
        self,
        dataset_id: str | int,
        files: Sequence[str],
        *,
        source: DataSourceType = DataSourceType.PrivateBos,
        annotated: bool = True,
    ) -> None:
        """Start importing; ask `info` how it goes.

        files: one `bos:/bucket/path` (source PrivateBos), or one link to a zip archive.
        Not repeated by itself: a second import of the same file would double the rows.
        """
        body = {"datasetId": dataset_id, "annotated": annotated, "importFrom": source, "files": list(files)}
        await self._send(IMPORT, body)

    async def release(self, dataset_id: str | int) -> None:
        """Start publishing the version, after which it can be trained on and no longer changed."""
        await self._send(RELEASE, {"datasetId": dataset_id})

    async def export(
        self,
        dataset_id: str | int,
        *,
        annotated: bool = True,
        destination: DataExportDestinationType = DataExportDestinationType.PlatformBos,
        storage_id: str | None = None,
    ) -> None:
        """Start exporting the rows as an archive; ask `info` how it goes, then `export_records` for the link.

        annotated: with the answers, not only the questions.
        storage_id: the bucket to export to, with destination PrivateBos.
        """
        body = {
            "datasetId": dataset_id,
            "exportFormat": 0,
            "exportType": DataExportType.WithAnnotations if annotated else DataExportType.WithoutAnnotations,
            "exportTo": destination,
            "storageId": storage_id,
        }
        await self._send(EXPORT, body)

    async def export_records(self, dataset_id: str | int) -> list[ExportRecord]:
        """All exports of a version, in the platform's order."""
        reply = await self._send(EXPORT_RECORD, {"datasetId": dataset_id})
        if reply.result is None:
            return []
        if not isinstance(reply.result, list):
            raise odd_answer(EXPORT_RECORD, reply, "result")
        return [read(EXPORT_RECORD, reply, ExportRecord, record) for record in reply.result]

    async def info(self, dataset_id: str | int) -> DatasetInfo:
        """Everything about a version."""
        return await self._ask(INFO, {"datasetId": dataset_id}, DatasetInfo)

    async def statuses(self, dataset_ids: Sequence[str]) -> dict[str, DatasetStatus]:
        """Where the work on several versions stands, by id."""
        reply = await self._send(STATUS_LIST, {"datasetIds": list(dataset_ids)})
        if not isinstance(reply.result, dict):
            raise odd_answer(STATUS_LIST, reply, "result")
        return {id: read(STATUS_LIST, reply, DatasetStatus, status) for id, status in reply.result.items()}

    async def import_error_detail(self, dataset_id: str | int, error_code: int) -> ImportErrorDetail:
        """What was wrong with the imported data, line by line."""
        body = {"datasetId": dataset_id, "errCode": error_code}
        return await self._ask(IMPORT_ERROR_DETAIL, body, ImportErrorDetail)

    async def delete(self, dataset_id: str | int) -> None:
        """Delete a version; the dataset goes with its last one."""
        await self._send(DELETE, {"datasetId": dataset_id})


CREATE_DATASET = v2("dataset", "CreateDataset", Safety.PURCHASE, creates="dataset")
DESCRIBE_DATASETS = v2("dataset", "DescribeDatasets", Safety.READ)
DELETE_DATASET = v2("dataset", "DeleteDataset", Safety.EFFECT)
CREATE_VERSION = v2("dataset", "CreateDatasetVersion", Safety.PURCHASE, creates="dataset")
DESCRIBE_VERSIONS = v2("dataset", "DescribeDatasetVersions", Safety.READ)
DESCRIBE_VERSION = v2("dataset", "DescribeDatasetVersion", Safety.READ)
DELETE_VERSION = v2("dataset", "DeleteDatasetVersion", Safety.EFFECT)
PUBLISH_VERSION = v2("dataset", "PublishDatasetVersion", Safety.EFFECT)
CREATE_IMPORT_TASK = v2("dataset", "CreateImportTask", Safety.PURCHASE, creates="dataset")
DESCRIBE_IMPORT_TASK = v2("dataset", "DescribeImportTask", Safety.READ)


class DataV2(Resource):
    """Datasets, V2: a dataset (`dg-…`) has versions (`ds-…`)."""

    async def create_dataset(
        self,
        *,
        name: str,
        data_format: DataFormat | str,
        storage_type: DataStorage = DataStorage.Platform,
        storage_path: str | None = None,
    ) -> DatasetVersionCreated:
        """Create a dataset with an empty first version. storage_path: `bos:/bucket/folder/` with the user's storage."""
        body = {
            "datasetName": name,
            "dataFormat": data_format,
            "storageType": storage_type,
            "storagePath": storage_path,
        }
        return await self._ask(CREATE_DATASET, body, DatasetVersionCreated)

    async def describe_datasets(
        self,
        *,
        marker: str | None = None,
        max_keys: int | None = None,
        page_reverse: bool | None = None,
        formats: Sequence[DataFormat | str] | None = None,
    ) -> Page[DatasetSummary]:
        """One page of the account's datasets."""
        filters = {"dataFormatList": list(formats)} if formats else None
        body = {"marker": marker, "maxKeys": max_keys, "pageReverse": page_reverse, "filter": filters}
        return await self._ask(DESCRIBE_DATASETS, body, DatasetPage)

    def datasets(self, **filters: Any) -> AsyncGenerator[DatasetSummary, None]:
        """All datasets, page after page."""
        return walk(lambda marker: self.describe_datasets(marker=marker, max_keys=100, **filters))

    async def delete_dataset(self, dataset_id: str) -> bool:
        """Delete a dataset (`dg-…`) with all its versions."""
        return await self._do(DELETE_DATASET, {"datasetId": dataset_id})

    async def create_version(self, dataset_id: str, description: str | None = None) -> DatasetVersionCreated:
        """Add an empty version to a dataset (`dg-…`)."""
        body = {"datasetId": dataset_id, "description": description}
        return await self._ask(CREATE_VERSION, body, DatasetVersionCreated)

    async def describe_versions(
        self,
        dataset_id: str,
        *,
        marker: str | None = None,
        max_keys: int | None = None,
        page_reverse: bool | None = None,
    ) -> Page[DatasetVersion]:
        """One page of a dataset's versions."""
        body = {"datasetId": dataset_id, "marker": marker, "maxKeys": max_keys, "pageReverse": page_reverse}
        return await self._ask(DESCRIBE_VERSIONS, body, DatasetVersionPage)

    def versions(self, dataset_id: str) -> AsyncGenerator[DatasetVersion, None]:
        """All versions of a dataset, page after page."""
        return walk(lambda marker: self.describe_versions(dataset_id, marker=marker, max_keys=100))

    async def describe_version(self, version_id: str) -> DatasetVersion:
        """Everything about a version (`ds-…`)."""
        return await self._ask(DESCRIBE_VERSION, {"versionId": version_id}, DatasetVersion)

    async def delete_version(self, version_id: str) -> bool:
        """Delete a version (`ds-…`)."""
        return await self._do(DELETE_VERSION, {"versionId": version_id})

    async def publish_version(self, version_id: str) -> bool:
        """Start publishing a version, after which it can be trained on and no longer changed."""
        return await self._do(PUBLISH_VERSION, {"versionId": version_id})

    async def create_import_task(self, version_id: str, files: Sequence[str]) -> str:
        """Start importing from object storage and return the import's id. files: one folder, or files."""
        return await self._id(CREATE_IMPORT_TASK, {"versionId": version_id, "files": list(files)}, "taskId")

    async def describe_import_task(self, task_id: str) -> ImportTask:
        """How an import stands."""
        return await self._ask(DESCRIBE_IMPORT_TASK, {"taskId": task_id}, ImportTask)

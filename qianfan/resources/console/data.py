"""Datasets: create, import, release, export, look, delete.

`Datasets` and `DatasetsV2` are typed, one for each generation of the API; `Data` has the documented names.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from qianfan._transport import Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Page, Resource, odd_answer, read, v1_data, v2, walk
from qianfan.resources._documented import documented
from qianfan.resources.console.batch_inference import BatchInference
from qianfan.resources.console.cleaning import Augmentation, Cleaning
from qianfan.resources.console.consts import (
    DataExportDestinationType,
    DataExportType,
    DataFormat,
    DataProjectType,
    DataSetType,
    DataSourceType,
    DataStorage,
    DataStorageType,
    DataTemplateType,
)
from qianfan.resources.console.entities import Entities
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
    ExportTask,
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


class Datasets(Resource):
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
        return await self.create_bare(
            name=name,
            data_type=template_type.set_type,
            project_type=template_type.project_type,
            template_type=template_type,
            storage_type=storage_type,
            storage_id=storage_id,
            raw_storage_path=raw_storage_path,
        )

    async def create_bare(
        self,
        *,
        name: str,
        data_type: DataSetType,
        project_type: DataProjectType,
        template_type: DataTemplateType,
        storage_type: DataStorageType = DataStorageType.PublicBos,
        storage_id: str | None = None,
        raw_storage_path: str | None = None,
    ) -> DatasetCreated:
        """Create a dataset with an empty first version, with every number of its kind given.

        Raises InvalidArgumentError when the numbers do not belong together, or the user's own storage has no place.
        """
        _check_kind(data_type, project_type, template_type)
        if storage_type == DataStorageType.PrivateBos:
            if not storage_id or not raw_storage_path:
                raise InvalidArgumentError("a dataset in one's own storage needs a bucket and a folder in it")
            raw_storage_path = raw_storage_path if raw_storage_path.endswith("/") else f"{raw_storage_path}/"
        body = {
            "name": name,
            "versionId": 1,
            "projectType": project_type,
            "templateType": template_type,
            "dataType": data_type,
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

    async def import_file(self, dataset_id: str | int, annotated: bool, source: DataSourceType, file_url: str) -> None:
        """Start importing one file; as `start_import`."""
        body = {"datasetId": dataset_id, "annotated": annotated, "importFrom": source, "files": [file_url]}
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

        Raises InvalidArgumentError when that is missing.
        """
        if destination == DataExportDestinationType.PrivateBos and not storage_id:
            raise InvalidArgumentError("an export to one's own storage needs the bucket, storage_id")
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
CREATE_EXPORT_TASK = v2("dataset", "CreateExportTask", Safety.PURCHASE, creates="export")
DESCRIBE_EXPORT_TASK = v2("dataset", "DescribeExportTask", Safety.READ)


class DatasetsV2(Resource):
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
        filter: Mapping[str, Any] | None = None,
    ) -> Page[DatasetSummary]:
        """One page of the account's datasets. filter: as on the wire, in place of `formats`."""
        filters = {"dataFormatList": list(formats)} if formats else filter
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
        filter: Mapping[str, Any] | None = None,
    ) -> Page[DatasetVersion]:
        """One page of a dataset's versions.

        filter: states to show, as on the wire: `{"importStatusList": […], "publishStatusList": […]}`.
        """
        body = {
            "datasetId": dataset_id,
            "marker": marker,
            "maxKeys": max_keys,
            "pageReverse": page_reverse,
            "filter": filter,
        }
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

    async def create_export_task(
        self,
        version_id: str,
        storage_type: DataStorage | str = DataStorage.Platform,
        storage_path: str | None = None,
    ) -> str:
        """Start exporting the rows as an archive and return the export's id.

        storage_path: `bos:/bucket/folder/`, with the user's own storage.
        """
        body = {"versionId": version_id, "storageType": storage_type, "storagePath": storage_path}
        return await self._id(CREATE_EXPORT_TASK, body, "taskId")

    async def describe_export_task(self, task_id: str) -> ExportTask:
        """How an export stands."""
        return await self._ask(DESCRIBE_EXPORT_TASK, {"taskId": task_id}, ExportTask)


def _check_kind(data_type: int, project_type: int, template_type: int) -> None:
    template = DataTemplateType(template_type)
    if (data_type, project_type) != (template.set_type, template.project_type):
        raise InvalidArgumentError(
            f"a dataset of {template!r} has project type {template.project_type!r} and data type"
            f" {template.set_type!r}, not {project_type!r} and {data_type!r}"
        )


class Data:
    """Datasets under their documented names: V1 here, V2 in `Data.V2`; each method also as `a…` to await."""

    create_bare_dataset, acreate_bare_dataset = documented(
        Datasets.create_bare,
        "name data_set_type=data_type project_type template_type storage_type storage_id storage_path=raw_storage_path",
    )
    release_dataset, arelease_dataset = documented(Datasets.release, "dataset_id")
    create_data_import_task, acreate_data_import_task = documented(
        Datasets.import_file, "dataset_id is_annotated=annotated import_source=source file_url"
    )
    get_dataset_info, aget_dataset_info = documented(Datasets.info, "dataset_id")
    get_dataset_status_in_batch, aget_dataset_status_in_batch = documented(
        Datasets.statuses, "dataset_id_list=dataset_ids"
    )
    create_dataset_export_task, acreate_dataset_export_task = documented(
        Datasets.export,
        "dataset_id export_destination_type=destination storage_id is_export_with_annotation=annotated",
    )
    delete_dataset, adelete_dataset = documented(Datasets.delete, "dataset_id")
    get_dataset_export_records, aget_dataset_export_records = documented(Datasets.export_records, "dataset_id")
    get_dataset_import_error_detail, aget_dataset_import_error_detail = documented(
        Datasets.import_error_detail, "dataset_id error_code"
    )
    create_dataset_etl_task, acreate_dataset_etl_task = documented(
        Cleaning.create, "etl_task_name=name source_dataset_id destination_dataset_id operations"
    )
    get_dataset_etl_task_info, aget_dataset_etl_task_info = documented(Cleaning.detail, "etl_id")
    get_dataset_etl_task_list, aget_dataset_etl_task_list = documented(Cleaning.list_page, "page_size offset")
    delete_dataset_etl_task, adelete_dataset_etl_task = documented(Cleaning.delete, "etl_ids")
    create_dataset_augmenting_task, acreate_dataset_augmenting_task = documented(
        Augmentation.create,
        "name source_dataset_id destination_dataset_id dev_api_id app_id num_seed_fewshot num_instances_to_generate"
        " similarity_threshold",
    )
    get_dataset_aug_task_list, aget_dataset_aug_task_list = documented(
        Augmentation.list_page, "keyword sorted_by_start_time_asc page_size offset"
    )
    get_dataset_augmenting_task_info, aget_dataset_augmenting_task_info = documented(Augmentation.detail, "task_id")
    delete_dataset_augmenting_task, adelete_dataset_augmenting_task = documented(Augmentation.delete, "task_ids")
    annotate_an_entity, aannotate_an_entity = documented(Entities.annotate, "entity_id dataset_id content labels")
    delete_an_entity, adelete_an_entity = documented(Entities.delete, "entity_ids dataset_id")
    list_all_entity_in_dataset, alist_all_entity_in_dataset = documented(
        Entities.list_page,
        "dataset_id offset page_size import_time_closure=imported annotating_time_closure=annotated"
        " listing_type=kind label_id_str=label_id",
    )
    create_offline_batch_inference_task, acreate_offline_batch_inference_task = documented(
        BatchInference.create,
        "name input_bos_uri output_bos_uri model_id endpoint inference_params description afs_config completion_window",
    )
    get_offline_batch_inference_task, aget_offline_batch_inference_task = documented(BatchInference.describe, "task_id")
    stop_offline_batch_inference_task, astop_offline_batch_inference_task = documented(BatchInference.stop, "task_id")
    list_offline_batch_inference_task, alist_offline_batch_inference_task = documented(
        BatchInference.describe_all, "marker max_keys page_reverse run_status"
    )

    class V2:
        """The second generation, where a dataset holds versions."""

        create_dataset, acreate_dataset = documented(
            DatasetsV2.create_dataset, "dataset_name=name dataset_format=data_format storage_type storage_path"
        )
        get_dataset_list, aget_dataset_list = documented(
            DatasetsV2.describe_datasets, "marker max_keys page_reverse filter"
        )
        delete_dataset, adelete_dataset = documented(DatasetsV2.delete_dataset, "dataset_id")
        create_dataset_version, acreate_dataset_version = documented(
            DatasetsV2.create_version, "dataset_id description"
        )
        get_dataset_version_info, aget_dataset_version_info = documented(DatasetsV2.describe_version, "version_id")
        delete_dataset_version, adelete_dataset_version = documented(DatasetsV2.delete_version, "version_id")
        publish_dataset_version, apublish_dataset_version = documented(DatasetsV2.publish_version, "version_id")
        get_dataset_version_list, aget_dataset_version_list = documented(
            DatasetsV2.describe_versions, "dataset_id marker max_keys page_reverse filter"
        )
        create_dataset_version_import_task, acreate_dataset_version_import_task = documented(
            DatasetsV2.create_import_task, "version_id files"
        )
        get_dataset_version_import_task_info, aget_dataset_version_import_task_info = documented(
            DatasetsV2.describe_import_task, "task_id"
        )
        create_dataset_version_export_task, acreate_dataset_version_export_task = documented(
            DatasetsV2.create_export_task, "version_id storage_type storage_path"
        )
        get_dataset_version_export_task_info, aget_dataset_version_export_task_info = documented(
            DatasetsV2.describe_export_task, "task_id"
        )

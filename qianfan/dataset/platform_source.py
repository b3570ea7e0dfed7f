"""A dataset on the platform: look at it, fill it, release it, export it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typing_extensions import Self

from qianfan._sync import run_sync
from qianfan._transport import Client
from qianfan.dataset.consts import DataSourceType, DataStorageType, DataTemplateType
from qianfan.dataset.sources import LocalSource
from qianfan.errors import APIError, DatasetExportError, DatasetImportError, DatasetReleaseError, InternalError
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataExportStatus, DataImportStatus, DataReleaseStatus
from qianfan.resources.schemas import DatasetInfo, ImportErrorLine
from qianfan.resources.waiting import watch
from qianfan.utils.logging import logger

OnLook = Callable[[DatasetInfo], object]
"""Told about every look at a dataset while something is being waited for."""

_IMPORT_GOES_ON = (DataImportStatus.NotStarted, DataImportStatus.Initialized, DataImportStatus.Running)


class QianfanDataSource:
    """One version of a dataset on the platform. Making one sends nothing.

    id: as the user gave it, a number or `ds-…`. info: the platform's last answer about it, None before the first.
    local: its rows on this machine, None unless they were downloaded.
    """

    def __init__(self, id: int | str, *, client: Client | None = None, info: DatasetInfo | None = None) -> None:
        self.id = id
        self.info = info
        self.local: LocalSource | None = None
        self._client = client

    def __repr__(self) -> str:
        return f"QianfanDataSource(id={self.id!r}, template_type={self.template_type!r})"

    @property
    def platform(self) -> Platform:
        """The calls this dataset is reached with."""
        return Platform(self._client)

    # --- facts of the last answer ---------------------------------------------------------------------------------

    @property
    def dataset_id(self) -> str | None:
        """`ds-…`, what training takes. None for a numeric id that has not been looked up."""
        given = str(self.id)
        return self.info.dataset_id if self.info else given if given.startswith("ds-") else None

    @property
    def old_dataset_id(self) -> int | None:
        """The number that older code calls the dataset by."""
        given = str(self.id)
        return self.info.number if self.info else int(given) if given.isdigit() else None

    @property
    def group_id(self) -> str | None:
        """`dg-…`: the dataset that this version belongs to."""
        return self.info.group_id if self.info else None

    @property
    def name(self) -> str | None:
        return self.info.name if self.info else None

    @property
    def version(self) -> int | None:
        return self.info.version if self.info else None

    @property
    def template_type(self) -> DataTemplateType | int | None:
        """The kind of dataset; a number for a kind this release has no name for."""
        return self.info.template_type if self.info else None

    @property
    def project_type(self) -> int | None:
        return self.info.project_type if self.info else None

    @property
    def set_type(self) -> int | None:
        return self.info.data_type if self.info else None

    @property
    def storage_type(self) -> DataStorageType | str | None:
        return self.info.storage_type if self.info else None

    @property
    def storage_id(self) -> str | None:
        """The bucket that holds the data."""
        return self.info.storage.storage_id if self.info else None

    @property
    def storage_name(self) -> str | None:
        return self.info.storage.storage_name if self.info else None

    @property
    def storage_path(self) -> str | None:
        return self.info.storage.storage_path if self.info else None

    @property
    def storage_raw_path(self) -> str | None:
        return self.info.storage.raw_storage_path if self.info else None

    @property
    def storage_region(self) -> str | None:
        return self.info.storage.region if self.info else None

    @property
    def release_status(self) -> DataReleaseStatus | int | None:
        """Whether the version can be trained on."""
        return self.info.release_status if self.info else None

    @property
    def row_number(self) -> int | None:
        """Rows on the platform at the last look."""
        return self.info.entity_count if self.info else None

    # --- calls ----------------------------------------------------------------------------------------------------

    async def arefresh(self) -> DatasetInfo:
        """Look the dataset up: one request. Raises APIError when there is none with this id."""
        self.info = await self.platform.data.info(self.key)
        return self.info

    def refresh(self) -> DatasetInfo:
        """Blocking form of `arefresh`."""
        return run_sync(self.arefresh)

    @property
    def key(self) -> int | str:
        """The id as calls take it."""
        # The platform tells a number from an id by its JSON type.
        given = str(self.id)
        return self.dataset_id or (int(given) if given.isdigit() else given)

    async def aimport_file(
        self,
        place: str,
        *,
        source: DataSourceType = DataSourceType.PrivateBos,
        annotated: bool = True,
        on_look: OnLook | None = None,
    ) -> DatasetInfo:
        """Import one file and wait until its rows are in the dataset.

        place: `bos:/bucket/path`, or with source=SharedZipUrl a link to an archive.
        Raises DatasetImportError with the platform's own error report when the data cannot be imported.
        """
        await self.platform.data.start_import(self.key, [place], source=source, annotated=annotated)
        return await self.await_import(on_look=on_look)

    async def await_import(self, *, on_look: OnLook | None = None) -> DatasetInfo:
        """Wait for an import that has been started. Raises DatasetImportError."""
        interval = self.platform.client.settings.import_status_polling_interval
        info = await self._watch(lambda info: info.import_status not in _IMPORT_GOES_ON, interval, on_look)
        if info.import_status != DataImportStatus.Finished:
            raise await self._import_error(info)
        logger.info("dataset %s: import finished, %d rows", info.dataset_id, info.entity_count)
        return info

    async def _watch(
        self, is_over: Callable[[DatasetInfo], bool], interval: float, on_look: OnLook | None
    ) -> DatasetInfo:
        return await watch(
            self.arefresh,
            until=is_over,
            tell=on_look if on_look is not None else lambda info: None,
            every=interval,
            client=self.platform.client,
        )

    async def arelease_dataset(self, *, on_look: OnLook | None = None) -> DatasetInfo:
        """Release the version, so that it can be trained on, and wait until it is. One already released stays as it is.

        Raises DatasetReleaseError when the platform cannot release it, DatasetImportError when its import failed.
        """
        info = await self.arefresh()
        if info.release_status == DataReleaseStatus.Finished:
            return info
        if info.import_status == DataImportStatus.Running:
            info = await self.await_import(on_look=on_look)
        if info.release_status != DataReleaseStatus.Running:
            await self.platform.data.release(info.dataset_id)
        return await self._await_release(on_look)

    async def _await_release(self, on_look: OnLook | None) -> DatasetInfo:
        interval = self.platform.client.settings.release_status_polling_interval
        # Right after the request the platform may still show the old state.
        going_on = (DataReleaseStatus.Running, DataReleaseStatus.NotRelease)
        info = await self._watch(lambda info: info.release_status not in going_on, interval, on_look)
        if info.release_status != DataReleaseStatus.Finished:
            raise DatasetReleaseError(
                f"dataset {info.dataset_id!r} could not be released (code {info.release_error_code}); "
                "it needs a finished import of annotated rows",
                dataset_id=info.dataset_id,
                code=info.release_error_code,
            )
        logger.info("dataset %s: released", info.dataset_id)
        return info

    async def aexport(self, *, on_look: OnLook | None = None) -> DatasetInfo:
        """Have the platform pack the rows into an archive, and wait until it can be downloaded.

        Raises DatasetExportError when the platform cannot.
        """
        await self.platform.data.export(self.key)
        return await self.await_export(on_look=on_look)

    async def await_export(self, *, on_look: OnLook | None = None) -> DatasetInfo:
        """Wait for an export that has been started. Raises DatasetExportError."""
        interval = self.platform.client.settings.export_status_polling_interval
        ends = (DataExportStatus.Finished, DataExportStatus.Failed)
        info = await self._watch(lambda info: info.export_status in ends, interval, on_look)
        if info.export_status == DataExportStatus.Failed:
            raise DatasetExportError(
                f"dataset {info.dataset_id!r} could not be exported; try it again", dataset_id=info.dataset_id
            )
        logger.info("dataset %s: exported", info.dataset_id)
        return info

    async def _import_error(self, info: DatasetInfo) -> InternalError:
        detail: list[str] = []
        if info.import_error_code is not None:
            try:
                report = await self.platform.data.import_error_detail(info.dataset_id, info.import_error_code)
                detail = [_complaint(line) for line in report.content]
            except APIError as error:
                # The report is a courtesy; without it the failure itself is still worth telling.
                logger.debug("no error report for dataset %s: %s", info.dataset_id, error)
        return DatasetImportError(
            f"dataset {info.dataset_id!r}: the import failed (code {info.import_error_code})",
            dataset_id=info.dataset_id,
            code=info.import_error_code,
            detail=detail,
        )

    def release_dataset(self, **options: Any) -> bool:
        """Blocking form of `arelease_dataset`; True once the version is released."""
        run_sync(self.arelease_dataset, **options)
        return True

    # --- ways to get one ------------------------------------------------------------------------------------------

    @classmethod
    async def aget_existed_dataset(cls, dataset_id: int | str, *, client: Client | None = None) -> Self:
        """A dataset that exists, looked up with one request. Raises APIError when there is none with this id."""
        source = cls(dataset_id, client=client)
        await source.arefresh()
        return source

    @classmethod
    def get_existed_dataset(cls, dataset_id: int | str, *, client: Client | None = None) -> Self:
        """Blocking form of `aget_existed_dataset`."""
        return run_sync(cls.aget_existed_dataset, dataset_id, client=client)

    @classmethod
    async def acreate_bare_dataset(
        cls,
        name: str,
        template_type: DataTemplateType,
        storage_type: DataStorageType = DataStorageType.PublicBos,
        storage_id: str | None = None,
        storage_path: str | None = None,
        *,
        client: Client | None = None,
    ) -> Self:
        """Create an empty dataset.

        storage_id, storage_path: bucket and folder, with the user's own storage (PrivateBos).
        """
        folder = None if storage_path is None else f"/{storage_path.strip('/')}/".replace("//", "/")
        created = await Platform(client).data.create(
            name=name,
            template_type=template_type,
            storage_type=storage_type,
            storage_id=storage_id,
            raw_storage_path=folder,
        )
        logger.info("dataset %s created as %r", created.dataset_id, name)
        return cls(created.dataset_id, client=client)

    @classmethod
    def create_bare_dataset(cls, *args: Any, **options: Any) -> Self:
        """Blocking form of `acreate_bare_dataset`."""
        return run_sync(cls.acreate_bare_dataset, *args, **options)

    @classmethod
    async def acreate_from_bos_file(
        cls,
        name: str,
        template_type: DataTemplateType,
        storage_id: str,
        storage_path: str,
        file_name: str,
        is_data_annotated: bool = True,
        *,
        client: Client | None = None,
    ) -> Self:
        """Create a dataset in the user's own storage from a file that is already there, and wait for its rows.

        Raises DatasetImportError with the platform's own error report when the data cannot be imported.
        """
        storage = DataStorageType.PrivateBos
        source = await cls.acreate_bare_dataset(name, template_type, storage, storage_id, storage_path, client=client)
        place = "/".join(part.strip("/") for part in (storage_id, storage_path, file_name) if part.strip("/"))
        await source.aimport_file(f"bos:/{place}", annotated=is_data_annotated)
        return source

    @classmethod
    def create_from_bos_file(cls, *args: Any, **options: Any) -> Self:
        """Blocking form of `acreate_from_bos_file`."""
        return run_sync(cls.acreate_from_bos_file, *args, **options)


def _complaint(line: ImportErrorLine) -> str:
    """One line of the platform's error report. A failure of the whole import has no line, only a reason."""
    where = f"{line.sample_file_name} line {line.text_location}: " if line.text_location else ""
    reason = str((line.model_extra or {}).get("reason") or "")
    return where + " ".join(part for part in (reason, line.text_content) if part)

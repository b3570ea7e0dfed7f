"""A dataset on the platform: look at it, fill it, release it, export it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from typing_extensions import Self

from qianfan._sync import in_thread, run_sync
from qianfan._transport import Client
from qianfan.dataset.account import Account
from qianfan.dataset.consts import DataFormat, DataSourceType, DataStorageType, DataTemplateType, FormatType
from qianfan.dataset.import_errors import Origin, as_sent
from qianfan.dataset.reading import RowProblem
from qianfan.dataset.sources import LocalSource
from qianfan.errors import APIError, DatasetExportError, DatasetImportError, DatasetReleaseError, InternalError
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataExportStatus, DataImportStatus, DataReleaseStatus, DataStorage
from qianfan.resources.fetching import OnBytes
from qianfan.resources.schemas import DatasetInfo
from qianfan.resources.waiting import watch
from qianfan.utils.logging import logger

if TYPE_CHECKING:
    from qianfan.dataset.table import Table

OnLook: TypeAlias = Callable[[DatasetInfo], object]
"""Told about every look at a dataset while something is being waited for."""

_IMPORT_GOES_ON = (DataImportStatus.NotStarted, DataImportStatus.Initialized, DataImportStatus.Running)


TEMPLATES: Final[Mapping[DataFormat, DataTemplateType]] = {
    DataFormat.PromptResponse: DataTemplateType.NonSortedConversation,
    DataFormat.PromptSortedResponses: DataTemplateType.SortedConversation,
    DataFormat.PromptChosenRejected: DataTemplateType.PromptChosenRejected,
    DataFormat.Text: DataTemplateType.GenericText,
    DataFormat.Prompt: DataTemplateType.QuerySet,
    DataFormat.PromptImage: DataTemplateType.Text2Image,
}
"""The kinds of dataset that have a number as well. The others are for the newer calls alone."""


class QianfanDataSource:
    """One version of a dataset on the platform. Making one sends nothing.

    id: as the user gave it, a number or `ds-…`. ak, sk: another account's keys than the settings'.
    info: the platform's last answer about it, None before the first. local: its rows on this machine, None unless they
    were downloaded.
    """

    def __init__(
        self,
        id: int | str,
        *,
        client: Client | None = None,
        info: DatasetInfo | None = None,
        ak: str | None = None,
        sk: str | None = None,
    ) -> None:
        self.id = id
        self.info = info
        self.local: LocalSource | None = None
        self._account = Account(client, ak, sk)

    def __repr__(self) -> str:
        return f"QianfanDataSource(id={self.id!r}, template_type={self.template_type!r})"

    @property
    def platform(self) -> Platform:
        """The calls this dataset is reached with."""
        return Platform(self._account.client)

    @property
    def ak(self) -> str | None:
        """The access key that was given for this dataset, None where it is the settings'."""
        return self._account.ak

    @property
    def sk(self) -> str | None:
        """The secret key that was given. It is in no representation, file or message."""
        return self._account.sk

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
    def data_format_type(self) -> FormatType | None:
        """How the platform holds the rows: texts in files of their own, images in pairs, the others as lines."""
        if self.template_type == DataTemplateType.GenericText:
            return FormatType.Text
        if self.template_type == DataTemplateType.Text2Image:
            return FormatType.Text2Image
        return None if self.template_type is None else FormatType.Jsonl

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

    async def await_import(self, *, on_look: OnLook | None = None, origin: Origin | None = None) -> DatasetInfo:
        """Wait for an import that has been started. Raises DatasetImportError.

        origin: where the rows came from, so that the platform's error report can be told in terms of that.
        """
        interval = self.platform.client.settings.import_status_polling_interval
        info = await self._watch(lambda info: info.import_status not in _IMPORT_GOES_ON, interval, on_look)
        if info.import_status != DataImportStatus.Finished:
            raise await self._import_error(info, origin)
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

    async def _import_error(self, info: DatasetInfo, origin: Origin | None) -> InternalError:
        detail: list[str] = []
        problems: list[RowProblem] = []
        if info.import_error_code is not None:
            try:
                report = await self.platform.data.import_error_detail(info.dataset_id, info.import_error_code)
            except APIError as error:
                # The report is a courtesy; without it the failure itself is still worth telling.
                logger.debug("no error report for dataset %s: %s", info.dataset_id, error)
            else:
                for line in report.content:
                    problem = None if origin is None else await in_thread(origin.problem, line)
                    if origin is None or problem is None:
                        detail.append(as_sent(line))
                    else:
                        problems.append(problem)
                        detail.append(origin.told(problem))
        return DatasetImportError(
            f"dataset {info.dataset_id!r}: the import failed (code {info.import_error_code})",
            dataset_id=info.dataset_id,
            code=info.import_error_code,
            detail=detail,
            problems=problems,
        )

    def release_dataset(self, **options: Any) -> bool:
        """Blocking form of `arelease_dataset`; True once the version is released."""
        run_sync(self.arelease_dataset, **options)
        return True

    # --- rows ------------------------------------------------------------------------------------------------------

    async def afetch(self, *, on_progress: OnBytes | None = None) -> Table:
        """The rows as they are on the platform now, by way of an export, in a temporary file that goes with `local`.

        on_progress: told (bytes here, bytes in all). Raises what `download` raises.
        """
        from qianfan.dataset.download import download  # it needs this module
        from qianfan.dataset.table import Table

        self.local = await download(self, on_progress=on_progress)
        return Table(self.local)

    def fetch(self, **options: Any) -> Table:
        """Blocking form of `afetch`."""
        return run_sync(self.afetch, **options)

    async def aload(self, *, on_progress: OnBytes | None = None) -> Table:
        """The rows that were fetched before, or else those that `afetch` gives."""
        from qianfan.dataset.table import Table

        return await self.afetch(on_progress=on_progress) if self.local is None else Table(self.local)

    def load(self, **options: Any) -> Table:
        """Blocking form of `aload`."""
        return run_sync(self.aload, **options)

    async def asave(
        self,
        table: Table | LocalSource,
        is_annotated: bool = True,
        does_release: bool = False,
        sup_storage_id: str = "",
        sup_storage_path: str = "",
        sup_storage_region: str = "",
        *,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> bool:
        """Add rows to this dataset, by way of the bucket that it is kept in, or else of one that is named.

        does_release: release it afterwards. sup_storage_id, sup_storage_path, sup_storage_region: bucket, folder and
        region to pass through; the settings' `bos_bucket` when there is none.

        True once they are there. Raises ArgumentNotFoundError when there is no bucket to pass through, and what
        `upload` raises.
        """
        from qianfan.dataset.upload import UploadTarget, upload  # it needs this module

        info, settings = await self.arefresh(), self.platform.client.settings
        is_own = info.storage_type == DataStorageType.PrivateBos and not sup_storage_id
        storage = info.storage
        target = UploadTarget.of(
            dataset_id=self.key,
            create_args=None,
            bucket=storage.storage_id if is_own else sup_storage_id or settings.bos_bucket,
            folder=storage.raw_storage_path if is_own else sup_storage_path or settings.bos_folder,
            region=storage.region if is_own else sup_storage_region or None,
        )
        source = table if isinstance(table, LocalSource) else table.local_source
        await upload(source, target, annotated=is_annotated, client=self.platform.client, on_progress=on_progress)
        if does_release:
            await self.arelease_dataset()
        await self.arefresh()
        self.local = None  # there are more rows now than were downloaded
        return True

    def save(self, table: Table | LocalSource, *args: Any, **options: Any) -> bool:
        """Blocking form of `asave`."""
        return run_sync(self.asave, table, *args, **options)

    # --- ways to get one ------------------------------------------------------------------------------------------

    @classmethod
    async def aget_existed_dataset(
        cls,
        dataset_id: int | str,
        is_download_to_local: bool | None = None,
        ak: str | None = None,
        sk: str | None = None,
        *,
        client: Client | None = None,
    ) -> Self:
        """A dataset that exists, looked up with one request.

        is_download_to_local: fetch its rows as well. ak, sk: another account's keys.
        Raises APIError when there is none with this id, and what a download raises.
        """
        source = cls(dataset_id, client=client, ak=ak, sk=sk)
        await source.arefresh()
        if is_download_to_local:
            await source.aload()
        return source

    @classmethod
    def get_existed_dataset(cls, *args: Any, **options: Any) -> Self:
        """Blocking form of `aget_existed_dataset`."""
        return run_sync(cls.aget_existed_dataset, *args, **options)

    @classmethod
    async def acreate_bare_dataset(
        cls,
        name: str,
        template_type: DataTemplateType | DataFormat,
        storage_type: DataStorageType = DataStorageType.PublicBos,
        storage_id: str | None = None,
        storage_path: str | None = None,
        addition_info: Mapping[str, Any] | None = None,
        ak: str | None = None,
        sk: str | None = None,
        *,
        client: Client | None = None,
    ) -> Self:
        """Create an empty dataset.

        template_type: its kind; a `DataFormat` for the kinds that have no number, such as those of KTO.
        storage_id, storage_path: bucket and folder, with the user's own storage (PrivateBos).
        addition_info: taken as older code gives it; nothing of it is sent.
        ak, sk: another account's keys.
        """
        source = cls("", client=client, ak=ak, sk=sk)
        folder = None if storage_path is None else f"/{storage_path.strip('/')}/".replace("//", "/")
        platform = source.platform
        if isinstance(template_type, DataFormat) and template_type not in TEMPLATES:
            owns_storage = storage_type is DataStorageType.PrivateBos
            version = await platform.data_v2.create_dataset(
                name=name,
                data_format=template_type,
                storage_type=DataStorage.Bos if owns_storage else DataStorage.Platform,
                storage_path=f"bos:/{storage_id}{folder or '/'}" if owns_storage else None,
            )
            source.id = version.version_id
        else:
            created = await platform.data.create(
                name=name,
                template_type=TEMPLATES[template_type] if isinstance(template_type, DataFormat) else template_type,
                storage_type=storage_type,
                storage_id=storage_id,
                raw_storage_path=folder,
            )
            source.id = created.dataset_id
        logger.info("dataset %s created as %r", source.id, name)
        return source

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
        storage_type: DataStorageType = DataStorageType.PrivateBos,
        addition_info: Mapping[str, Any] | None = None,
        ak: str | None = None,
        sk: str | None = None,
        is_download_to_local: bool | None = None,
        *,
        client: Client | None = None,
    ) -> Self:
        """Create a dataset from a file that is in a bucket already, and wait for its rows.

        storage_id, storage_path, file_name: bucket, folder and name of the file. storage_type: where the dataset is to
        be, in that folder or in the platform's storage. is_download_to_local: fetch the rows afterwards.
        Raises DatasetImportError with the platform's own error report when the data cannot be imported.
        """
        is_own = storage_type is DataStorageType.PrivateBos
        source = await cls.acreate_bare_dataset(
            name,
            template_type,
            storage_type,
            storage_id if is_own else None,
            storage_path if is_own else None,
            addition_info,
            ak,
            sk,
            client=client,
        )
        place = "/".join(part.strip("/") for part in (storage_id, storage_path, file_name) if part.strip("/"))
        await source.aimport_file(f"bos:/{place}", annotated=is_data_annotated)
        if is_download_to_local:
            await source.aload()
        return source

    @classmethod
    def create_from_bos_file(cls, *args: Any, **options: Any) -> Self:
        """Blocking form of `acreate_from_bos_file`."""
        return run_sync(cls.acreate_from_bos_file, *args, **options)

"""`Dataset`: rows in a file, in memory or on the platform, under one name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import Self, Unpack

from qianfan._sync import in_thread, run_sync
from qianfan._transport import Client, client_with
from qianfan.dataset.account import Account
from qianfan.dataset.bos_source import BosDataSource
from qianfan.dataset.columns import rows_of
from qianfan.dataset.consts import DataTemplateType, FormatType
from qianfan.dataset.converting import write
from qianfan.dataset.download import download
from qianfan.dataset.located import LocatedTable
from qianfan.dataset.options import LoadOptions, RoleColumns, SaveOptions
from qianfan.dataset.places import Destination, Keys, Origin, Place, Source
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.processing import concatenated, mixed
from qianfan.dataset.row_table import Columns
from qianfan.dataset.schema import Schema
from qianfan.dataset.sources import FileDataSource, LocalSource, MemoryDataSource
from qianfan.dataset.table import Table
from qianfan.dataset.upload import UploadTarget, upload
from qianfan.errors import ArgumentNotFoundError, InvalidArgumentError, NotImplmentError
from qianfan.resources.fetching import OnBytes


class Dataset(LocatedTable):
    """Rows to train on or to evaluate with.

    A local dataset gives its rows in the platform's form, whatever form the file has; it is read when asked and not
    kept in memory. A dataset on the platform is a name for what is there: its rows stay there, and are fetched one by
    one when asked for by position, unless they are downloaded, into a temporary file that goes with the dataset. What
    changes the rows needs them on this machine; the changed dataset is local.

    input_columns, reference_column: which columns are the question and the answer. eval_input_column,
        eval_llm_output_column: the same in a dataset of a model's answers.
    """

    def __init__(self, source: Source, *, organize_data_as_group: bool = False, **columns: Unpack[RoleColumns]) -> None:
        super().__init__(source, organize_data_as_group=organize_data_as_group)
        self._home = source if isinstance(source, FileDataSource) else None
        conversational = self.template_type in _CONVERSATIONS
        answers = isinstance(source, LocalSource) and source.shape is not None and source.shape.name == "answers"
        self.input_columns = columns.get("input_columns") or (["prompt"] if conversational else None)
        self.reference_column = columns.get("reference_column") or ("response" if conversational else None)
        self.eval_input_column = columns.get("eval_input_column") or ("input" if answers else None)
        self.eval_llm_output_column = columns.get("eval_llm_output_column") or ("output" if answers else None)

    # --- ways to get one ------------------------------------------------------------------------------------------

    @classmethod
    async def aload(
        cls,
        source: Place | None = None,
        data_file: str | Path | None = None,
        qianfan_dataset_id: int | str | None = None,
        bos_load_args: Mapping[str, Any] | None = None,
        bos_source_args: Mapping[str, Any] | None = None,
        afs_source_args: Mapping[str, Any] | None = None,
        huggingface_dataset: Any = None,
        dataframe: Any = None,
        schema: Schema | None = None,
        organize_data_as_group: bool = False,
        *,
        format: str | None = None,
        file_format: FormatType | str | None = None,
        is_download_to_local: bool | None = None,
        does_release: bool = False,
        on_progress: OnBytes | None = None,
        ak: str | None = None,
        sk: str | None = None,
        client: Client | None = None,
        **columns: Unpack[RoleColumns],
    ) -> Self:
        """A dataset from a file, an object or the platform; the first of the places that is given counts.

        source: a source, or a path as `data_file` takes it.
        data_file: a file, folder or zip, as `FileDataSource` takes it, or `bos:/bucket/path`. Its rows are looked at,
            not loaded.
        qianfan_dataset_id: a dataset on the platform, as number or `ds-…`; looked up with one request.
        bos_load_args: create a dataset on the platform from a file in a bucket, with the arguments of
            `QianfanDataSource.create_from_bos_file`.
        bos_source_args: a file in a bucket, with the arguments of `BosDataSource`.
        huggingface_dataset, dataframe: a dataset of Hugging Face's `datasets`, a frame of pandas or polars, an Arrow
            table.
        schema: the kind of dataset that is expected.
        organize_data_as_group: give the turns of conversations as rows of their own, with a `_group` column.
        format: the shape of the rows: `dialogue`, `preference`, `query`, `text`, `alpaca`, `messages`, `sharegpt`,
            `prompt_response`, …; found out when left out.
        file_format: how a file holds them, by the end of its name when left out.
        is_download_to_local: fetch the rows of a dataset on the platform now, by way of an export.
        does_release: release a dataset on the platform, if it is not yet.
        on_progress: told (bytes here, bytes in all) while rows are downloaded.
        ak, sk: another account's keys than the settings'.

        Raises DataFileError for a file that is missing, unreadable or of the wrong kind, ValidationError when its rows
        have no known shape and UnclearFormatError when they could have several, APIError for an id that the platform
        does not know. A download raises InvalidArgumentError for a dataset without rows, DatasetExportError when it
        cannot be exported or read, FileSizeOverflow when it is larger than `EXPORT_FILE_SIZE_LIMIT`.
        """
        keys = Keys(client=client, ak=ak, sk=sk)
        origin = Origin(
            source=source,
            data_file=data_file,
            qianfan_dataset_id=qianfan_dataset_id,
            bos_load_args=bos_load_args,
            bos_source_args=bos_source_args,
            afs_source_args=afs_source_args,
            huggingface_dataset=huggingface_dataset,
            dataframe=dataframe,
        )
        found = await origin.find(keys, file_format=file_format, format=format)
        await _get_ready(found, download_rows=bool(is_download_to_local), on_progress=on_progress)
        if does_release and isinstance(found, QianfanDataSource):
            await found.arelease_dataset()
        dataset = cls(found, organize_data_as_group=organize_data_as_group, **columns)
        if schema is not None:
            schema.expect(dataset)
        return dataset

    @classmethod
    def load(
        cls,
        source: Place | None = None,
        data_file: str | Path | None = None,
        qianfan_dataset_id: int | str | None = None,
        **options: Unpack[LoadOptions],
    ) -> Self:
        """Blocking form of `aload`, which explains the options."""
        return run_sync(partial(cls.aload, source, data_file, qianfan_dataset_id, **options))

    @classmethod
    def create_from_pyobj(
        cls,
        data: Iterable[Any] | Mapping[str, Sequence[Any]],
        schema: Schema | None = None,
        *,
        format: str | None = None,
        **columns: Unpack[RoleColumns],
    ) -> Self:
        """A dataset of Python objects: rows in any known form, or a dict that holds a list for each column."""
        rows = rows_of(data) if isinstance(data, Mapping) else data
        dataset = cls(MemoryDataSource(rows, format=format), **columns)
        if schema is not None:
            schema.expect(dataset)
        return dataset

    @classmethod
    def create_from_pyarrow_table(
        cls, table: Any, schema: Schema | None = None, *, format: str | None = None, **columns: Unpack[RoleColumns]
    ) -> Self:
        """A dataset of an Arrow table, or of a frame. It is read by batches, not copied."""
        return cls.load(dataframe=table, schema=schema, format=format, **columns)

    @classmethod
    def create_from_datasets(cls, datasets: Sequence[Table], **columns: Unpack[RoleColumns]) -> Self:
        """The rows of several datasets, one after the other. Reading raises when they are of several kinds."""
        return cls._joined(concatenated([dataset.local_source for dataset in datasets]), datasets, columns)

    @classmethod
    def mix(
        cls,
        datasets: Sequence[Table],
        weights: Sequence[float] | None = None,
        *,
        total: int | None = None,
        repeat: bool = False,
        seed: int | None = None,
        **columns: Unpack[RoleColumns],
    ) -> Self:
        """Rows of several datasets in given proportions, drawn and ordered by chance.

        weights: the proportions, equal ones when left out: `[3, 1]` gives three rows of the first for each of the
            second. total: how many rows there will be; until the scarcest dataset runs out when left out.
        repeat: draw rows again where `total` asks for more than there is.
        """
        sources = [dataset.local_source for dataset in datasets]
        return cls._joined(mixed(sources, weights, total=total, repeat=repeat, seed=seed), datasets, columns)

    @classmethod
    def _joined(cls, source: LocalSource, datasets: Sequence[Table], columns: RoleColumns) -> Self:
        """A dataset of rows that nobody has looked at yet, with the columns of the first one they are made of."""
        first = datasets[0]
        roles = first._roles if isinstance(first, Dataset) else RoleColumns()
        roles.update(columns)
        return cls(MemoryDataSource(()), **roles)._with(source, anew=False, grouped=False)

    # --- for evaluations ------------------------------------------------------------------------------------------

    @property
    def get_input_data(self) -> Columns:
        """The columns of the questions, `input_columns`; all columns where these are not known."""
        return self.col_list(self.input_columns) if self.input_columns else self.to_pydict()

    @property
    def get_reference_data(self) -> Sequence[Any]:
        """The column of the answers, `reference_column`. Raises InvalidArgumentError where that is not known."""
        if self.reference_column is None:
            raise InvalidArgumentError(f"{self.name} has no reference_column; say which one it is")
        return self.col_list(self.reference_column)[self.reference_column]

    # --- asking a model -------------------------------------------------------------------------------------------

    async def atest_using_llm(
        self,
        model_id: str | int | None = None,
        service_model: str | None = None,
        service_endpoint: str | None = None,
        is_chat_service: bool = True,
        does_show_latency: bool = False,
        output_prettified: bool = True,
        *,
        model_version_id: str | int | None = None,
        client: Client | None = None,
        **kwargs: Any,
    ) -> Dataset:
        """Have somebody answer the last question of every row, and return the answers as a dataset.

        model_id, also model_version_id: a model version (`amv-…`), which answers by a batch inference on the platform.
        service_model: a preset model, or service_endpoint: a deployed service, which are asked row by row.
        is_chat_service: whether the service takes messages, or else a prompt.
        output_prettified: taken as older code gives it; answers are rows in any case.
        kwargs: as `Model.abatch_inference` and `Service.abatch_inference` take them.
        """
        from qianfan.model import Model, Service, ServiceType  # they need this module

        if does_show_latency:
            raise NotImplmentError("does_show_latency: how long each answer takes is not measured here")
        version = model_id if model_id is not None else model_version_id
        if version is not None:
            return await Model(id=version, client=client).abatch_inference(self, **kwargs)
        if service_model is None and service_endpoint is None:
            raise ArgumentNotFoundError("nobody is named to answer: give model_id, service_model or service_endpoint")
        kind = ServiceType.Chat if is_chat_service else ServiceType.Completion
        service = Service(endpoint=service_endpoint, model=service_model, service_type=kind, client=client)
        return await service.abatch_inference(self, **kwargs)

    def test_using_llm(self, *args: Any, **kwargs: Any) -> Dataset:
        """Blocking form of `atest_using_llm`."""
        return run_sync(self.atest_using_llm, *args, **kwargs)

    # --- saving ---------------------------------------------------------------------------------------------------

    async def asave(
        self,
        destination: Place | None = None,
        data_file: str | Path | None = None,
        qianfan_dataset_id: int | str | None = None,
        qianfan_dataset_create_args: Mapping[str, Any] | None = None,
        bos_source_args: Mapping[str, Any] | None = None,
        afs_source_args: Mapping[str, Any] | None = None,
        schema: Schema | None = None,
        replace_source: bool | None = None,
        *,
        format: str | None = None,
        file_format: FormatType | str | None = None,
        save_as_folder: bool = False,
        does_release: bool = False,
        is_annotated: bool = True,
        sup_storage_id: str | None = None,
        sup_storage_path: str | None = None,
        sup_storage_region: str | None = None,
        should_overwrite_existed_file: bool = False,
        should_save_as_zip_file: bool = False,
        on_progress: Callable[[int, int], object] | None = None,
        ak: str | None = None,
        sk: str | None = None,
        client: Client | None = None,
    ) -> Self:
        """Save the rows to a file, or to the platform by way of object storage, and return the new dataset.

        destination: a source, or a path as `data_file` takes it. With no destination at all, rows that came from a file
            are saved to it.
        data_file: a file in any format that can be written, or `bos:/bucket/path`.
        qianfan_dataset_id: an existing dataset to add the rows to.
        qianfan_dataset_create_args: for a new dataset on the platform: `name`, and with storage of one's own
            `storage_id` (bucket) and `storage_path` (folder).
        bos_source_args: an object in a bucket, with the arguments of `BosDataSource`.
        schema: the kind of dataset that is expected.
        replace_source: make this dataset the saved one.
        format: for a file, the shape that the rows get, such as `messages`; the platform's own when left out.
        file_format: how the file holds them, by the end of its name when left out. save_as_folder: one file for each
            text.
        does_release: release the dataset afterwards, so that it can be trained on.
        is_annotated: whether the rows have answers.
        sup_storage_id, sup_storage_path, sup_storage_region: bucket, folder and region to upload to, where the
            dataset itself is in the platform's storage; the settings' own bucket when left out.
        should_overwrite_existed_file, should_save_as_zip_file: for an object in a bucket.
        on_progress: told (bytes sent, bytes in all) while a file goes up.
        ak, sk: another account's keys than the settings'.

        Nothing is sent unless all rows are right. Raises ValidationError with everything that is wrong with them,
        DatasetImportError or DatasetReleaseError when the platform refuses them, DataFileError when a file cannot be
        written.
        """
        if schema is not None:
            schema.expect(self)
        keys = Keys(client=client, ak=ak, sk=sk)
        place = Destination(
            destination=destination,
            data_file=data_file,
            qianfan_dataset_id=qianfan_dataset_id,
            qianfan_dataset_create_args=qianfan_dataset_create_args,
            bos_source_args=bos_source_args,
            afs_source_args=afs_source_args,
            home=self._home,
        ).find(keys, file_format=file_format, save_as_folder=save_as_folder)
        if isinstance(place, FileDataSource):
            saved: Source = await in_thread(partial(write, self.local_source, place, format))
        elif isinstance(place, BosDataSource):
            how = (should_save_as_zip_file, should_overwrite_existed_file)
            await place.asave(self, *how, format=format, on_progress=on_progress)
            saved = place
        elif place is not None:
            storage = (sup_storage_id or "", sup_storage_path or "", sup_storage_region or "")
            await place.asave(self, is_annotated, does_release, *storage, on_progress=on_progress)
            saved = place
        else:
            target = UploadTarget.of(
                dataset_id=None,
                create_args=qianfan_dataset_create_args,
                bucket=sup_storage_id,
                folder=sup_storage_path,
                region=sup_storage_region,
            )
            account = Account(client, ak, sk).client
            saved = await upload(
                self.local_source, target, annotated=is_annotated, client=account, on_progress=on_progress
            )
            if does_release:
                await saved.arelease_dataset()
        dataset = await type(self).aload(saved, **self._roles)
        if replace_source:
            vars(self).update(vars(dataset))
        return dataset

    def save(
        self,
        destination: Place | None = None,
        data_file: str | Path | None = None,
        qianfan_dataset_id: int | str | None = None,
        **options: Unpack[SaveOptions],
    ) -> Self:
        """Blocking form of `asave`, which explains the options."""
        return run_sync(partial(self.asave, destination, data_file, qianfan_dataset_id, **options))

    async def aupload(
        self,
        name: str | None = None,
        *,
        dataset_id: int | str | None = None,
        bucket: str | None = None,
        folder: str | None = None,
        region: str | None = None,
        release: bool = True,
        on_progress: Callable[[int, int], object] | None = None,
        client: Client | None = None,
    ) -> Self:
        """Put the rows into a dataset on the platform, ready to be trained on, and return it.

        name: of the new dataset, made up when left out. dataset_id: an existing dataset to add to instead.
        bucket, folder, region: where the file passes through; the settings' `bos_bucket` and `bos_folder` when left
            out. release: whether to release it, too. on_progress: told (bytes sent, bytes in all).

        Raises ArgumentNotFoundError without a bucket, and what `asave` raises.
        """
        settings = (client or client_with()).settings
        if not (bucket or settings.bos_bucket):
            raise ArgumentNotFoundError(
                "an upload passes through a bucket of yours: set QIANFAN_BOS_BUCKET, or give bucket=..."
            )
        target = UploadTarget(
            bucket=bucket or settings.bos_bucket or "",
            folder=settings.bos_folder if folder is None else folder,
            region=region,
            dataset_id=dataset_id,
            name=name or "",
            owns_storage=False,
        )
        uploaded = await upload(self.local_source, target, client=client, on_progress=on_progress)
        if release:
            await uploaded.arelease_dataset()
        return await type(self).aload(uploaded, **self._roles)

    def upload(self, name: str | None = None, **options: Any) -> Self:
        """Blocking form of `aupload`."""
        return run_sync(partial(self.aupload, name, **options))

    async def adownload(
        self,
        data_file: str | Path,
        *,
        file_format: FormatType | str | None = None,
        format: str | None = None,
        on_progress: OnBytes | None = None,
    ) -> Self:
        """Save the rows to a file and return the dataset of it, with the rows fetched from the platform if need be.

        Takes files and raises errors as `asave` and `aload(is_download_to_local=True)` do.
        """
        source = self._platform
        if source is not None and source.local is None:
            source.local = await download(source, on_progress=on_progress)
        return await self.asave(data_file, file_format=file_format, format=format)

    def download(self, data_file: str | Path, **options: Any) -> Self:
        """Blocking form of `adownload`."""
        return run_sync(partial(self.adownload, data_file, **options))

    @property
    def _roles(self) -> RoleColumns:
        return RoleColumns(
            input_columns=self.input_columns,
            reference_column=self.reference_column,
            eval_input_column=self.eval_input_column,
            eval_llm_output_column=self.eval_llm_output_column,
        )

    # --- what the older SDK has besides ---------------------------------------------------------------------------

    def stress_test(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: raises NotImplmentError."""
        raise NotImplmentError("stress_test: a load test of a service is the work of a tool of its own, such as locust")

    multi_stress_test = stress_test

    def show_in_data_insight_mode(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: raises NotImplmentError."""
        raise NotImplmentError(
            "show_in_data_insight_mode: there is no web interface here; print(ds), ds.stats() and "
            "ds.validate().save('report.html') show what rows are like"
        )


_CONVERSATIONS = (DataTemplateType.NonSortedConversation, DataTemplateType.SortedConversation)


async def _get_ready(source: Source, *, download_rows: bool, on_progress: OnBytes | None) -> None:
    if isinstance(source, FileDataSource):
        await in_thread(source.open)
    elif isinstance(source, QianfanDataSource):
        if download_rows:
            source.local = await download(source, on_progress=on_progress)
        elif source.info is None:
            await source.arefresh()
    elif isinstance(source, BosDataSource):
        await source.aopen(on_progress=on_progress)

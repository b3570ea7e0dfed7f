"""`Dataset`: rows in a file, in memory or on the platform, under one name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

from typing_extensions import Self

from qianfan._sync import in_thread, run_sync
from qianfan._transport import Client
from qianfan.dataset.consts import DataTemplateType, FormatType
from qianfan.dataset.download import download
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.reading import file_format_of
from qianfan.dataset.report import Report
from qianfan.dataset.rows import Conversation, JsonRow, Row
from qianfan.dataset.schema import Schema
from qianfan.dataset.sources import FileDataSource, LocalSource, MemoryDataSource
from qianfan.dataset.upload import UploadTarget, upload
from qianfan.dataset.writing import write_rows
from qianfan.errors import ArgumentNotFoundError, InvalidArgumentError
from qianfan.resources.console.consts import DataReleaseStatus

Source: TypeAlias = LocalSource | QianfanDataSource
JsonRows: TypeAlias = list[JsonRow]

GROUP_COLUMN = "_group"
"""With `organize_data_as_group`, which conversation a turn belongs to."""


class Dataset:
    """Rows to train on or to evaluate with.

    A local dataset gives its rows in the platform's form, whatever form the file has; it is read when asked and not
    kept in memory. A dataset on the platform is a name for what is there: its rows stay there unless they are
    downloaded, into a temporary file that goes with the dataset.

    inner_data_source_cache: where the rows are: a `QianfanDataSource` (with `id`, `template_type`, …), a
        `FileDataSource` or a `MemoryDataSource`.
    input_columns, reference_column: which parts of a row are the question and the answer.
    """

    def __init__(
        self,
        source: Source,
        *,
        organize_data_as_group: bool = False,
        input_columns: Sequence[str] | None = None,
        reference_column: str | None = None,
    ) -> None:
        self.inner_data_source_cache: Source = source
        self._grouped = organize_data_as_group
        self._turns: JsonRows | None = None
        conversational = self.template_type in _CONVERSATIONS
        self.input_columns = list(input_columns) if input_columns else ["prompt"] if conversational else None
        self.reference_column = reference_column or ("response" if conversational else None)

    # --- ways to get one ------------------------------------------------------------------------------------------

    @classmethod
    async def aload(
        cls,
        source: Source | None = None,
        data_file: str | Path | None = None,
        qianfan_dataset_id: int | str | None = None,
        *,
        format: str | None = None,
        file_format: FormatType | str | None = None,
        schema: Schema | None = None,
        organize_data_as_group: bool = False,
        is_download_to_local: bool | None = None,
        input_columns: Sequence[str] | None = None,
        reference_column: str | None = None,
        client: Client | None = None,
    ) -> Self:
        """A dataset from a file or from the platform; the first of the three places that is given counts.

        data_file: a `.jsonl`, `.json` or `.txt` file. Its rows are looked at, not loaded.
        format: the shape of its rows: `dialogue`, `preference`, `query`, `text`, `alpaca`, `messages`,
            `prompt_response` or `sharegpt`; found out when left out.
        file_format: how the file holds them, by the end of its name when left out.
        qianfan_dataset_id: a dataset on the platform, as number or `ds-…`; looked up with one request.
        is_download_to_local: fetch the rows of a dataset on the platform now, by way of an export.
        schema: the kind of dataset that is expected.
        organize_data_as_group: give the turns of conversations as rows of their own, with a `_group` column.

        Raises InvalidArgumentError for a file that is missing, unreadable or of the wrong kind, ValidationError when
        its rows have no known form or could have several, APIError for an id that the platform does not know.
        A download raises InvalidArgumentError as well for a dataset without rows, DatasetExportError when it cannot
        be exported or read, FileSizeOverflow when it is larger than `EXPORT_FILE_SIZE_LIMIT`.
        """
        if source is None and data_file is not None:
            source = FileDataSource(data_file, file_format, format=format)
        elif source is None and qianfan_dataset_id is not None:
            source = QianfanDataSource(qianfan_dataset_id, client=client)
        if source is None:
            raise ArgumentNotFoundError("Dataset.load needs a data_file, a qianfan_dataset_id or a source")
        if is_download_to_local and isinstance(source, QianfanDataSource):
            source.local = await download(source)
        await _get_ready(source)
        dataset = cls(
            source,
            organize_data_as_group=organize_data_as_group,
            input_columns=input_columns,
            reference_column=reference_column,
        )
        if schema is not None:
            schema.expect(dataset.template_type, dataset.name)
        return dataset

    @classmethod
    def load(
        cls,
        source: Source | None = None,
        data_file: str | Path | None = None,
        qianfan_dataset_id: int | str | None = None,
        *,
        format: str | None = None,
        file_format: FormatType | str | None = None,
        schema: Schema | None = None,
        organize_data_as_group: bool = False,
        is_download_to_local: bool | None = None,
        input_columns: Sequence[str] | None = None,
        reference_column: str | None = None,
        client: Client | None = None,
    ) -> Self:
        """Blocking form of `aload`."""
        return run_sync(
            cls.aload,
            source,
            data_file,
            qianfan_dataset_id,
            format=format,
            file_format=file_format,
            schema=schema,
            organize_data_as_group=organize_data_as_group,
            is_download_to_local=is_download_to_local,
            input_columns=input_columns,
            reference_column=reference_column,
            client=client,
        )

    @classmethod
    def create_from_pyobj(
        cls,
        data: Iterable[Any] | Mapping[str, Sequence[Any]],
        schema: Schema | None = None,
        *,
        format: str | None = None,
    ) -> Self:
        """A dataset of Python objects: rows in any known form, or a dict that holds a list for each column."""
        rows = _rows_of_columns(data) if isinstance(data, Mapping) else data
        dataset = cls(MemoryDataSource(rows, format=format))
        if schema is not None:
            schema.expect(dataset.template_type, dataset.name)
        return dataset

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The file's path, or the id on the platform."""
        source = self.inner_data_source_cache
        return str(source.id) if isinstance(source, QianfanDataSource) else source.name

    @property
    def template_type(self) -> DataTemplateType | int | None:
        """The kind of dataset; None while it is not known."""
        return self.inner_data_source_cache.template_type

    @property
    def is_local(self) -> bool:
        """Whether the rows are on this machine."""
        return self._here is not None

    @property
    def is_released(self) -> bool:
        """Whether the platform said that the dataset can be trained on, at the last look."""
        source = self.inner_data_source_cache
        return isinstance(source, QianfanDataSource) and source.release_status == DataReleaseStatus.Finished

    def __repr__(self) -> str:
        return f"Dataset({', '.join(f'{name}={value}' for name, value in self._facts())})"

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._facts())
        return f"<table><caption>Dataset</caption>{cells}</table>"

    def _facts(self) -> list[tuple[str, str]]:
        """What is known without looking: for people."""
        source = self.inner_data_source_cache
        template = getattr(self.template_type, "name", None) or self.template_type or "unknown"
        if isinstance(source, LocalSource):
            rows = "not counted" if source.known_length is None else str(source.known_length)
            shape = source.shape.name if source.shape else "unknown"
            kind = "file" if isinstance(source, FileDataSource) else "source"
            return [(kind, repr(source.name)), ("template", str(template)), ("format", shape), ("rows", rows)]
        state = getattr(source.release_status, "name", None) or source.release_status
        facts = [("id", repr(source.id)), ("template", str(template))]
        facts += [("name", repr(source.name))] if source.name else []
        facts += [] if source.row_number is None else [("rows", str(source.row_number))]
        return facts if state is None else [*facts, ("release", str(state))]

    def __bool__(self) -> bool:
        # An empty dataset is still a dataset, and asking for the length of one may read a whole file.
        return True

    # --- rows -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        source = self.inner_data_source_cache
        if isinstance(source, QianfanDataSource) and source.local is None:
            return source.row_number or 0
        return len(self._as_turns()) if self._grouped else len(self._local)

    @property
    def row_number(self) -> int:
        """How many rows there are."""
        return len(self)

    def __iter__(self) -> Iterator[JsonRow]:
        """The rows one by one, in the platform's form. Raises ValidationError at the first that cannot be read."""
        if self._grouped:
            return iter(self._as_turns())
        return (row.to_json() for row in self.records())

    def __getitem__(self, key: int | slice | str | Sequence[int]) -> Any:
        """A row, several rows by slice or list of positions, or a column by its name.

        Raises IndexError for a position that does not exist, KeyError for a column.
        """
        if isinstance(key, int):
            return self._row(key)
        if isinstance(key, str):
            return self._column(key)
        positions = range(len(self))[key] if isinstance(key, slice) else key
        return [self._row(position) for position in positions]

    def list(self, by: int | slice | str | Sequence[int] | None = None) -> Any:
        """All rows, or those that `ds[by]` gives."""
        return self.to_pylist() if by is None else self[by]

    def to_pylist(self) -> JsonRows:
        """All rows in the platform's form."""
        return [*self]

    def records(self) -> Iterator[Row]:
        """All rows as typed records. Raises ValidationError at the first that cannot be read."""
        return self._local.rows()

    def col_names(self) -> Sequence[str]:
        """The parts of a row, as far as the first row tells; texts have none."""
        first = next(iter(self), None)
        parts = first[0] if isinstance(first, list) else first
        return [*parts] if isinstance(parts, Mapping) else []

    def validate(self) -> Report:
        """Read all rows and report everything that is wrong, each with line, column and reason.

        The report is false when there is anything; `report.raise_for_problems()` turns it into an error.
        """
        return self._local.validate()

    @property
    def _here(self) -> LocalSource | None:
        source = self.inner_data_source_cache
        return source.local if isinstance(source, QianfanDataSource) else source

    @property
    def _local(self) -> LocalSource:
        if self._here is None:
            raise InvalidArgumentError(
                f"dataset {self.name} is on the platform; load it with is_download_to_local=True to have its rows here"
            )
        return self._here

    def _row(self, position: int) -> JsonRow:
        size = len(self)
        if not -size <= position < size:
            raise IndexError(f"row {position} of {self.name}, which has {size}")
        position %= size
        return self._as_turns()[position] if self._grouped else self._local.row(position).to_json()

    def _column(self, name: str) -> JsonRows:
        names = self.col_names()
        if name not in names:
            raise KeyError(f"no column {name!r} in {self.name}; columns: {', '.join(names)}")
        parts = (part for row in self for part in (row if isinstance(row, list) else [row]))
        return [part.get(name) for part in parts]

    def _as_turns(self) -> JsonRows:
        """The turns of all conversations as rows of their own."""
        if self._turns is None:
            self._turns = [
                {**turn.to_json(), GROUP_COLUMN: group}
                for group, row in enumerate(self.records())
                if isinstance(row, Conversation)
                for turn in row.turns
            ]
        return self._turns

    # --- asking a model -------------------------------------------------------------------------------------------

    async def atest_using_llm(
        self,
        model_id: str | int | None = None,
        service_model: str | None = None,
        service_endpoint: str | None = None,
        is_chat_service: bool = True,
        *,
        model_version_id: str | int | None = None,
        client: Client | None = None,
        **kwargs: Any,
    ) -> Dataset:
        """Have somebody answer the last question of every row, and return the answers as a dataset.

        model_id, also model_version_id: a model version (`amv-…`), which answers by a batch inference on the platform.
        service_model: a preset model, or service_endpoint: a deployed service, which are asked row by row.
        is_chat_service: whether the service takes messages, or else a prompt.
        kwargs: as `Model.abatch_inference` and `Service.abatch_inference` take them.
        """
        from qianfan.model import Model, Service, ServiceType  # they need this module

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
        data_file: str | Path | None = None,
        *,
        file_format: FormatType | str | None = None,
        qianfan_dataset_id: int | str | None = None,
        qianfan_dataset_create_args: Mapping[str, Any] | None = None,
        does_release: bool = False,
        is_annotated: bool = True,
        sup_storage_id: str | None = None,
        sup_storage_path: str | None = None,
        sup_storage_region: str | None = None,
        client: Client | None = None,
    ) -> Self:
        """Save the rows to a file, or to the platform by way of object storage, and return the new dataset.

        data_file: a `.jsonl`, `.json` or `.txt` file; it gets the platform's form.
        qianfan_dataset_create_args: for a new dataset on the platform: `name`, and with storage of one's own
            `storage_id` (bucket) and `storage_path` (folder).
        qianfan_dataset_id: an existing dataset to add the rows to.
        sup_storage_id, sup_storage_path, sup_storage_region: bucket, folder and region to upload to, where the
            dataset itself is in the platform's storage.
        does_release: release the dataset afterwards, so that it can be trained on.

        Nothing is sent unless all rows are right. Raises ValidationError with everything that is wrong with them,
        DatasetImportError or DatasetReleaseError when the platform refuses them.
        """
        if data_file is not None:
            path = Path(data_file)
            target_format = FormatType(file_format) if file_format is not None else file_format_of(path)
            await in_thread(write_rows, self.records(), path, target_format)
            return await type(self).aload(data_file=path, file_format=target_format)
        target = UploadTarget.of(
            dataset_id=qianfan_dataset_id,
            create_args=qianfan_dataset_create_args,
            bucket=sup_storage_id,
            folder=sup_storage_path,
            region=sup_storage_region,
        )
        uploaded = await upload(self._local, target, annotated=is_annotated, client=client)
        if does_release:
            await uploaded.arelease_dataset()
        return type(self)(uploaded)

    def save(
        self,
        data_file: str | Path | None = None,
        *,
        file_format: FormatType | str | None = None,
        qianfan_dataset_id: int | str | None = None,
        qianfan_dataset_create_args: Mapping[str, Any] | None = None,
        does_release: bool = False,
        is_annotated: bool = True,
        sup_storage_id: str | None = None,
        sup_storage_path: str | None = None,
        sup_storage_region: str | None = None,
        client: Client | None = None,
    ) -> Self:
        """Blocking form of `asave`."""
        return run_sync(
            self.asave,
            data_file,
            file_format=file_format,
            qianfan_dataset_id=qianfan_dataset_id,
            qianfan_dataset_create_args=qianfan_dataset_create_args,
            does_release=does_release,
            is_annotated=is_annotated,
            sup_storage_id=sup_storage_id,
            sup_storage_path=sup_storage_path,
            sup_storage_region=sup_storage_region,
            client=client,
        )

    async def adownload(self, data_file: str | Path, *, file_format: FormatType | str | None = None) -> Self:
        """Save the rows to a file and return the dataset of it, with the rows fetched from the platform if need be.

        Takes files and raises errors as `asave` and `aload(is_download_to_local=True)` do.
        """
        source = self.inner_data_source_cache
        if isinstance(source, QianfanDataSource) and source.local is None:
            source.local = await download(source)
        return await self.asave(data_file, file_format=file_format)

    def download(self, data_file: str | Path, *, file_format: FormatType | str | None = None) -> Self:
        """Blocking form of `adownload`."""
        return run_sync(self.adownload, data_file, file_format=file_format)


_CONVERSATIONS = (DataTemplateType.NonSortedConversation, DataTemplateType.SortedConversation)


async def _get_ready(source: Source) -> None:
    if isinstance(source, QianfanDataSource):
        if source.info is None:
            await source.arefresh()
    elif isinstance(source, FileDataSource):
        await in_thread(source.open)


def _rows_of_columns(columns: Mapping[str, Sequence[Any]]) -> Sequence[dict[str, Any]]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise InvalidArgumentError(f"columns must be equally long, found {found}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

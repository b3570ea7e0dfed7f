"""A local dataset onto the platform: check, object storage, import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from typing_extensions import Self

from qianfan._strict import suggestion
from qianfan._sync import in_thread
from qianfan._transport import Client
from qianfan.dataset.bos_source import BosDataSource
from qianfan.dataset.consts import DataFormat, DataSourceType, DataStorageType, DataTemplateType
from qianfan.dataset.import_errors import Origin
from qianfan.dataset.imported import Imported
from qianfan.dataset.packing import ARCHIVED, packed
from qianfan.dataset.platform_source import TEMPLATES, OnLook, QianfanDataSource
from qianfan.dataset.processing import DerivedSource
from qianfan.dataset.reading.files import errors_named
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.errors import ArgumentNotFoundError, DataFileError, FileSizeOverflow, InvalidArgumentError
from qianfan.pipeline import Mark, Purchase, Purchases, Receipt
from qianfan.resources import BosPath, Platform
from qianfan.resources.bos import PART
from qianfan.resources.console.consts import DataReleaseStatus
from qianfan.resources.fingerprint import FileState, Fingerprint, changed, fingerprint
from qianfan.resources.purchase import lone_purchases, name_with, new_token
from qianfan.utils.logging import logger

_CREATE_ARGS = ("name", "template_type", "storage_type", "storage_id", "storage_path")

LARGEST_FILE: Final = 50 << 30
LARGEST_OWN_ARCHIVE: Final = 5 << 30
LARGEST_ARCHIVE: Final = 1 << 30
"""Bytes that the platform imports: of a file in a bucket; of an archive into storage of one's own; into its storage."""

LINK_SECONDS: Final = 1800
"""How long the platform may take to fetch an archive by its link."""


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where a local dataset goes.

    bucket, folder, region: where the file is put, under a name by its content. dataset_id: an existing dataset to add
    to; otherwise a new one named `name`, of the kind `template_type` (that of the rows when left out), in storage of
    one's own when owns_storage.
    """

    bucket: str
    folder: str = ""
    region: str | None = None
    dataset_id: int | str | None = None
    name: str = ""
    template_type: DataTemplateType | None = None
    owns_storage: bool = True

    @classmethod
    def of(
        cls,
        *,
        dataset_id: int | str | None,
        create_args: Mapping[str, Any] | None,
        bucket: str | None,
        folder: str | None,
        region: str | None,
    ) -> Self:
        """Read the documented arguments of `Dataset.save`.

        Raises ArgumentNotFoundError when there is no destination, or no bucket to pass the file through.
        """
        args = dict(create_args or {})
        for unknown in sorted(args.keys() - set(_CREATE_ARGS)):
            raise InvalidArgumentError(
                f"unknown name {unknown!r} in qianfan_dataset_create_args; {suggestion(unknown, _CREATE_ARGS)}"
            )
        if dataset_id is None and not args.get("name"):
            raise ArgumentNotFoundError(
                "Dataset.save needs a data_file, a qianfan_dataset_id, or qianfan_dataset_create_args with a name"
            )
        own = args.get("storage_id")
        if not (own or bucket):
            raise ArgumentNotFoundError(
                "an upload passes through a bucket of yours: name it with sup_storage_id, or with storage_id in "
                "qianfan_dataset_create_args"
            )
        return cls(
            bucket=str(bucket or own),
            folder=str(folder if bucket else args.get("storage_path") or ""),
            region=region,
            dataset_id=dataset_id,
            name=str(args.get("name", "")),
            template_type=args.get("template_type"),
            owns_storage=args.get("storage_type", DataStorageType.PrivateBos if own else None)
            == DataStorageType.PrivateBos,
        )

    def place(self, content: Fingerprint, suffix: str) -> BosPath:
        """The place for a file: the same content always has the same."""
        folder = f"{self.folder.strip('/')}/" if self.folder.strip("/") else ""
        return BosPath(self.bucket, f"{folder}data_{content.sha256[:32]}{suffix}")


async def upload(
    source: LocalSource,
    target: UploadTarget,
    *,
    annotated: bool = True,
    client: Client | None = None,
    on_progress: Callable[[int, int], object] | None = None,
    on_look: OnLook | None = None,
    purchases: Purchases | None = None,
    number: int = 0,
    imported: Imported | None = None,
) -> QianfanDataSource:
    """Put a local dataset onto the platform and wait until its rows are there. It is not released.

    on_progress: told (bytes in the storage, bytes in all): 0 first, what is there already at once.
    on_look: told about every look at the dataset while it is imported.
    purchases, number: the orders of a run, and which of its datasets this is; without them an order of unknown fate is
    given up with an error.
    imported: where to look for a dataset that holds the same content already, to be returned in place of a new one.

    The file is named after its content. One that is in the bucket already is not sent again, and a large one goes on
    where an interrupted upload stopped: its parts stay in the bucket, and are billed, until then or until
    `Bos.abort_uploads`. The dataset is a new one all the same, or the one that was named.

    Nothing is sent unless all rows are right. Raises ValidationError with everything that is wrong with them,
    DataFileChangedError when a file is written to meanwhile, FileSizeOverflow for more than the platform takes,
    InvalidArgumentError for a dataset that the rows cannot be added to, DatasetImportError with the rows that the
    platform refuses.
    """
    source = await at_hand(source)
    before = await in_thread(_states_of, source)
    # What is merely odd is not asked for, which is most of the work of a check.
    check = partial(source.validate, warnings=False, duplicates=False, statistics=False)
    (await in_thread(check)).raise_for_problems()
    kind = await in_thread(_kind_of, source, target)
    platform = Platform(client)
    owns_storage = target.owns_storage
    if target.dataset_id is not None:
        owns_storage = await _owns_storage(QianfanDataSource(target.dataset_id, client=platform.client), kind)
    async with AsyncExitStack() as stack:
        file = packed(source, kind)
        path = await in_thread(file.__enter__)
        stack.push(file)
        await in_thread(_check_size, source, path, kind, owns_storage)
        content = await in_thread(_fingerprint, path)
        await in_thread(_check_unchanged, source, before)
        if imported is not None and (known := await imported.find(content, kind, annotated=annotated)) is not None:
            return QianfanDataSource(known, client=platform.client)
        place = target.place(content, ".zip" if kind in ARCHIVED else ".jsonl")
        with errors_named(path):
            await _store(platform, path, place, content, target.region, on_progress)
        await in_thread(_check_unchanged, source, before)
        as_it_is = isinstance(source, FileDataSource) and path == source.path
    orders = purchases or lone_purchases(
        f"upload {new_token()}", platform.client.clock, platform.client.settings.submit_settle_seconds
    )
    dataset = await _dataset_at(target, kind, platform, orders, number)
    await _import(dataset, place, target, kind, orders, number, annotated=annotated)
    origin = Origin(source, as_it_is=as_it_is, as_archive=kind in ARCHIVED)
    await dataset.await_import(on_look=on_look, origin=origin)
    return dataset


async def at_hand(source: LocalSource) -> LocalSource:
    """The source with its shape known; of a file in object storage, the copy of it on this machine.

    Raises what opening it raises.
    """
    if isinstance(source, BosDataSource):
        await source.aopen()
        return source.local
    if isinstance(source, FileDataSource) and source.shape is None:
        await in_thread(source.open)
    return source


_States: TypeAlias = "dict[Path, FileState]"


def _states_of(source: LocalSource) -> _States:
    """The files that rows come from, and what tells each from what it becomes by being written to. Blocking.

    Raises DataFileError when one cannot be looked at.
    """
    if isinstance(source, DerivedSource):
        return {path: state for parent in source.parents for path, state in _states_of(parent).items()}
    if not isinstance(source, FileDataSource):
        return {}
    with errors_named(source.path):
        # Of an archive there is one file, and of a folder its own date changes when files come and go.
        paths = [source.path, *(path for path in sorted(source.path.rglob("*")) if path.is_file())]
        return {path: FileState.of(path) for path in paths}


def _check_unchanged(source: LocalSource, before: _States) -> None:
    """Raise DataFileChangedError unless all files are what they were."""
    try:
        now = _states_of(source)
    except DataFileError as error:
        raise changed(Path(source.name)) from error
    for path in before.keys() | now.keys():
        if before.get(path) != now.get(path):
            raise changed(path)


def _fingerprint(path: Path) -> Fingerprint:
    with errors_named(path):
        return fingerprint(path)


def _kind_of(source: LocalSource, target: UploadTarget) -> DataFormat:
    """The kind of dataset that the rows make. Raises InvalidArgumentError when there is none, or another is wanted."""
    row = next(source.rows(), None)
    if row is None:
        raise InvalidArgumentError(f"{source.name} has no rows to upload")
    if row.data_format is None:
        shape = source.shape.name if source.shape is not None else "unknown"
        raise InvalidArgumentError(
            f"{source.name} holds rows of the shape {shape!r}, of which the platform has no datasets; rename its "
            "columns or map its rows to a shape that can be trained on, such as prompt_completion or messages"
        )
    if target.template_type not in (None, row.template_type):
        found = getattr(row.template_type, "name", row.data_format.value)
        raise InvalidArgumentError(f"{source.name} holds {found} rows, not {target.template_type!r}")
    return row.data_format


# --- object storage ----------------------------------------------------------------------------------------------


def _check_size(source: LocalSource, path: Path, kind: DataFormat, owns_storage: bool) -> None:
    """Refuse what the platform will not import. Blocking. Raises FileSizeOverflow."""
    with errors_named(path):
        size = path.stat().st_size
    problem = oversize(size, kind, owns_storage=owns_storage)
    if problem is not None:
        raise FileSizeOverflow(f"{source.name} {problem}")


def oversize(size: int, kind: DataFormat, *, owns_storage: bool) -> str | None:
    """Why the platform will not import so many bytes, and what helps; None when it will.

    owns_storage: whether the dataset is in storage of the user's own.
    """
    most, way = LARGEST_FILE, "a file"
    if kind in ARCHIVED:
        # Archives are fetched by a link.
        most, way = (LARGEST_OWN_ARCHIVE if owns_storage else LARGEST_ARCHIVE), "an archive"
    if size <= most:
        return None
    or_else = "" if most != LARGEST_ARCHIVE else "; or use a dataset in storage of your own, which takes more"
    return (
        f"makes {way} of {size} bytes, and the platform imports {most} at most. Split it and add the parts to one "
        f"dataset with qianfan_dataset_id{or_else}"
    )


async def _store(
    platform: Platform,
    path: Path,
    place: BosPath,
    content: Fingerprint,
    region: str | None,
    on_progress: Callable[[int, int], object] | None,
) -> None:
    """Make sure that the storage has the file, and send no more of it than is missing."""
    tell = on_progress if on_progress is not None else lambda done, size: None
    tell(0, content.size)
    if await platform.bos.holds(place, content, region=region):
        logger.info("%s holds this content already; nothing is sent", place)
        tell(content.size, content.size)
        return
    send = platform.bos.put_file if content.size <= PART else platform.bos.put_file_in_parts
    await send(path, place, content=content, region=region, on_progress=tell)


# --- the dataset ---------------------------------------------------------------------------------------------------


async def _owns_storage(dataset: QianfanDataSource, kind: DataFormat) -> bool:
    """Whether a dataset that is to be added to is in storage of the user's own.

    Raises InvalidArgumentError for one that cannot take the rows, APIError when there is none.
    """
    info = await dataset.arefresh()
    if info.release_status == DataReleaseStatus.Finished:
        raise InvalidArgumentError(
            f"dataset {info.dataset_id!r} is released, and takes no more rows; make a new one with "
            "qianfan_dataset_create_args"
        )
    wanted = TEMPLATES.get(kind)
    # Kinds without a number have some number in this answer, but none of those that are known.
    if info.template_type != wanted if wanted is not None else isinstance(info.template_type, DataTemplateType):
        found = getattr(info.template_type, "name", info.template_type)
        raise InvalidArgumentError(f"dataset {info.dataset_id!r} is of kind {found}, and the rows are {kind.value}")
    return info.storage_type == DataStorageType.PrivateBos


async def _dataset_at(
    target: UploadTarget, kind: DataFormat, platform: Platform, purchases: Purchases, number: int
) -> QianfanDataSource:
    if target.dataset_id is not None:
        return QianfanDataSource(target.dataset_id, client=platform.client)

    def request(mark: Mark) -> dict[str, Any]:
        owner = {"storage_id": target.bucket, "storage_path": target.folder} if target.owns_storage else {}
        name = target.name or name_with(mark.token, "rows")
        return {"name": name, "data_format": kind.value, "owns_storage": target.owns_storage, **owner}

    async def create(request: Mapping[str, Any]) -> Receipt:
        storage = DataStorageType.PrivateBos if request["owns_storage"] else DataStorageType.PublicBos
        made = await QianfanDataSource.acreate_bare_dataset(
            request["name"],
            TEMPLATES.get(kind, kind),
            storage,
            request.get("storage_id"),
            request.get("storage_path"),
            client=platform.client,
        )
        return Receipt(made.dataset_id or str(made.id))

    async def find(mark: Mark) -> list[Receipt]:
        wanted = request(mark)["name"]
        found: list[Receipt] = []
        async with aclosing(platform.data_v2.datasets()) as datasets:
            async for dataset in datasets:
                # Only a name with this order's token in it can be told from another dataset of that name.
                if dataset.dataset_name == wanted and mark.token in wanted:
                    async with aclosing(platform.data_v2.versions(dataset.dataset_id)) as versions:
                        found += [Receipt(version.version_id) async for version in versions]
        return found[::-1]  # the oldest first

    made = await purchases.ensure(Purchase(f"dataset_{number}", request, create, find))
    return QianfanDataSource(made.id, client=platform.client)


async def _import(
    dataset: QianfanDataSource,
    place: BosPath,
    target: UploadTarget,
    kind: DataFormat,
    purchases: Purchases,
    number: int,
    *,
    annotated: bool,
) -> None:
    """Have the import begun, once: a second import of the same file would double its rows."""
    platform = dataset.platform
    before = await dataset.arefresh()

    async def create(request: Mapping[str, Any]) -> Receipt:
        if kind in ARCHIVED:
            link = platform.client.presigned_url(place.bucket, place.key, LINK_SECONDS, region=target.region)
            await platform.data.start_import(
                dataset.key, [link], source=DataSourceType.SharedZipUrl, annotated=annotated
            )
        elif kind in TEMPLATES:
            await platform.data.start_import(dataset.key, [request["place"]], annotated=annotated)
        else:
            await platform.data_v2.create_import_task(str(dataset.key), [request["place"]])
        return Receipt(str(dataset.key))

    async def find(mark: Mark) -> list[Receipt]:
        now = await dataset.arefresh()
        # A dataset of this order's own holds nothing else; one that was there may have had rows before.
        seen = (before.import_status, before.entity_count) if target.dataset_id is not None else None
        happened = not now.is_empty and (now.import_status, now.entity_count) != seen
        return [Receipt(str(dataset.key))] if happened else []

    def request(mark: Mark) -> dict[str, Any]:
        return {"dataset": str(dataset.key), "place": str(place), "annotated": annotated}

    await purchases.ensure(Purchase(f"import_{number}", request, create, find))

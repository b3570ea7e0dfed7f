"""A local dataset onto the platform: check, object storage, import."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Self

from qianfan._strict import suggestion
from qianfan._sync import in_thread
from qianfan._transport import Client
from qianfan.dataset.consts import DataSourceType, DataStorageType, DataTemplateType
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.dataset.writing import upload_file
from qianfan.errors import ArgumentNotFoundError, InvalidArgumentError
from qianfan.pipeline import Mark, Purchase, Purchases, Receipt
from qianfan.resources import BosPath, Platform
from qianfan.resources.purchase import lone_purchases, name_with, new_token

_CREATE_ARGS = ("name", "template_type", "storage_type", "storage_id", "storage_path")

LINK_SECONDS = 1800
"""How long the platform may take to fetch an archive by its link."""


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where a local dataset goes.

    bucket, folder, region: where the file is put, under a fresh name unless key_stem gives one. dataset_id: an existing
    dataset to add to; otherwise a new one named `name`, of the kind `template_type` (that of the rows when left out),
    in storage of one's own when owns_storage.
    """

    bucket: str
    folder: str = ""
    region: str | None = None
    dataset_id: int | str | None = None
    name: str = ""
    template_type: DataTemplateType | None = None
    owns_storage: bool = True
    key_stem: str = ""

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

    def place(self, suffix: str) -> BosPath:
        """A place for the file."""
        folder = f"{self.folder.strip('/')}/" if self.folder.strip("/") else ""
        return BosPath(self.bucket, f"{folder}{self.key_stem or f'data_{secrets.token_hex(8)}'}{suffix}")


async def upload(
    source: LocalSource,
    target: UploadTarget,
    *,
    annotated: bool = True,
    client: Client | None = None,
    on_progress: Callable[[int, int], object] | None = None,
    purchases: Purchases | None = None,
    number: int = 0,
) -> QianfanDataSource:
    """Put a local dataset onto the platform and wait until its rows are there. It is not released.

    on_progress: told (bytes sent, bytes in all) while the file goes up.
    purchases, number: the orders of a run, and which of its datasets this is; without them an order of unknown fate is
    given up with an error.
    Nothing is sent unless all rows are right. Raises ValidationError with everything that is wrong with them.
    """
    if isinstance(source, FileDataSource) and source.shape is None:
        await in_thread(source.open)
    (await in_thread(source.validate)).raise_for_problems()
    template = source.template_type
    if template is None:
        raise InvalidArgumentError(f"{source.name} has no rows to upload")
    if target.template_type not in (None, template):
        raise InvalidArgumentError(f"{source.name} holds {template.name} rows, not {target.template_type!r}")
    platform = Platform(client)
    as_archive = template is DataTemplateType.GenericText
    place = target.place(".zip" if as_archive else ".jsonl")
    async with AsyncExitStack() as stack:
        path = await _file_to_send(source, stack, as_archive=as_archive)
        before = await in_thread(_state_of, path)
        await platform.bos.put_file(path, place, region=target.region, on_progress=on_progress)
        if await in_thread(_state_of, path) != before:
            raise InvalidArgumentError(f"{source.name} was changed while it was uploaded; try again")
    orders = purchases or lone_purchases(
        f"upload {new_token()}", platform.client.clock, platform.client.settings.submit_settle_seconds
    )
    dataset = await _dataset_at(target, template, platform, orders, number)
    await _import(dataset, place, target, orders, number, as_archive=as_archive, annotated=annotated)
    return dataset


def _state_of(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


async def _file_to_send(source: LocalSource, stack: AsyncExitStack, *, as_archive: bool) -> Path:
    if isinstance(source, FileDataSource) and await in_thread(source.can_go_up_as_it_is):
        return source.path
    made = upload_file(source.rows(), as_archive=as_archive)
    path = await in_thread(made.__enter__)
    stack.push(made)
    return path


async def _dataset_at(
    target: UploadTarget, template: DataTemplateType, platform: Platform, purchases: Purchases, number: int
) -> QianfanDataSource:
    if target.dataset_id is not None:
        return QianfanDataSource(target.dataset_id, client=platform.client)

    def request(mark: Mark) -> dict[str, Any]:
        owner = {"storage_id": target.bucket, "storage_path": target.folder} if target.owns_storage else {}
        name = target.name or name_with(mark.token, "rows")
        return {"name": name, "template_type": int(template), "owns_storage": target.owns_storage, **owner}

    async def create(request: Mapping[str, Any]) -> Receipt:
        made = await QianfanDataSource.acreate_bare_dataset(
            request["name"],
            template,
            DataStorageType.PrivateBos if request["owns_storage"] else DataStorageType.PublicBos,
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
    purchases: Purchases,
    number: int,
    *,
    as_archive: bool,
    annotated: bool,
) -> None:
    """Have the rows imported, once: a second import of the same file would double them."""
    platform = dataset.platform
    before = await dataset.arefresh()

    async def create(request: Mapping[str, Any]) -> Receipt:
        if as_archive:
            link = platform.client.presigned_url(place.bucket, place.key, LINK_SECONDS, region=target.region)
            await platform.data.start_import(
                dataset.key, [link], source=DataSourceType.SharedZipUrl, annotated=annotated
            )
        else:
            await platform.data.start_import(dataset.key, [request["place"]], annotated=annotated)
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
    await dataset.await_import()

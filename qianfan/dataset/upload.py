"""A local dataset onto the platform: check, object storage, import."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
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
from qianfan.resources import BosPath, Platform

_CREATE_ARGS = ("name", "template_type", "storage_type", "storage_id", "storage_path")

LINK_SECONDS = 1800
"""How long the platform may take to fetch an archive by its link."""


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where a local dataset goes.

    bucket, folder, region: where the file is put. dataset_id: an existing dataset to add to; otherwise a new one named
    `name`, of the kind `template_type` (that of the rows when left out), in storage of one's own when owns_storage.
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

    def place(self, suffix: str) -> BosPath:
        """A fresh place for the file."""
        folder = f"{self.folder.strip('/')}/" if self.folder.strip("/") else ""
        return BosPath(self.bucket, f"{folder}data_{secrets.token_hex(8)}{suffix}")


async def upload(
    source: LocalSource,
    target: UploadTarget,
    *,
    annotated: bool = True,
    client: Client | None = None,
    on_progress: Callable[[int, int], object] | None = None,
    noted: Callable[[str], Awaitable[object]] | None = None,
) -> QianfanDataSource:
    """Put a local dataset onto the platform and wait until its rows are there. It is not released.

    on_progress: told (bytes sent, bytes in all) while the file goes up.
    noted: told the dataset's id before its import starts, so that an interrupted upload can be found again.
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
        await platform.bos.put_file(path, place, region=target.region, on_progress=on_progress)
    dataset = await _dataset_at(target, template, client)
    if noted is not None:
        await noted(dataset.dataset_id or str(dataset.id))
    if as_archive:
        link = platform.client.presigned_url(place.bucket, place.key, LINK_SECONDS, region=target.region)
        await dataset.aimport_file(link, source=DataSourceType.SharedZipUrl, annotated=annotated)
    else:
        await dataset.aimport_file(str(place), annotated=annotated)
    return dataset


async def _file_to_send(source: LocalSource, stack: AsyncExitStack, *, as_archive: bool) -> Path:
    if isinstance(source, FileDataSource) and await in_thread(source.can_go_up_as_it_is):
        return source.path
    made = upload_file(source.rows(), as_archive=as_archive)
    path = await in_thread(made.__enter__)
    stack.push(made)
    return path


async def _dataset_at(target: UploadTarget, template: DataTemplateType, client: Client | None) -> QianfanDataSource:
    if target.dataset_id is not None:
        return QianfanDataSource(target.dataset_id, client=client)
    return await QianfanDataSource.acreate_bare_dataset(
        target.name,
        template,
        DataStorageType.PrivateBos if target.owns_storage else DataStorageType.PublicBos,
        target.bucket if target.owns_storage else None,
        target.folder if target.owns_storage else None,
        client=client,
    )

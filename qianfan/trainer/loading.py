"""From whatever a user calls a dataset to a place that the platform can train on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import anyio

from qianfan._sync import in_thread
from qianfan.dataset import Dataset, QianfanDataSource
from qianfan.dataset.imported import Imported
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.dataset.upload import UploadTarget, at_hand, upload
from qianfan.errors import InvalidArgumentError
from qianfan.pipeline import Context, Row
from qianfan.pipeline._record import order_of
from qianfan.resources import BosPath, Platform
from qianfan.resources.console.consts import DataFormat, DataReleaseStatus, DataTemplateType
from qianfan.resources.purchase import name_with, token_for
from qianfan.resources.schemas import DatasetInfo
from qianfan.trainer.configs import DatasetConfig

LOST = "lost:"
"""Begins the reference of a dataset that lived in the memory of a process that has ended."""


async def load_datasets(
    datasets: Sequence[Any],
    template: DataTemplateType | None,
    platform: Platform,
    ctx: Context,
    *,
    data_format: DataFormat | None = None,
) -> list[str]:
    """Where each dataset is once it can be trained on: `ds-…`, or `bos:/…` as given.

    template, data_format: the kind of rows that is needed; the latter also tells pairs of answers from judged ones.
    Local data are checked, uploaded, imported and released; datasets on the platform are released if they are not yet.
    """
    places: list[str] = []
    for number, one in enumerate(datasets):
        places.append(await _Loading(number, template, data_format, platform, ctx, places).place_of(one))
    return places


def check_template(dataset: Any, template: DataTemplateType) -> None:
    """Refuse a dataset of the wrong kind, where its kind is known without asking. Raises InvalidArgumentError."""
    if isinstance(dataset, DatasetConfig):
        dataset = dataset.datasets
    if isinstance(dataset, (list, tuple)):
        for one in dataset:
            check_template(one, template)
    elif isinstance(dataset, Dataset):
        _check(dataset.template_type, template, dataset.name)


async def check_files(datasets: Sequence[Any]) -> None:
    """Refuse files that are not there before anything is asked or sent. Raises InvalidArgumentError."""
    for one in datasets:
        source = None if isinstance(one, str) and one.startswith("bos:") else source_of(one)
        if isinstance(source, FileDataSource) and not await anyio.Path(source.path).exists():
            await in_thread(source.open)


def is_lost(dataset: Any) -> bool:
    """Whether a dataset lived in the memory of a process that has ended."""
    return isinstance(dataset, str) and dataset.startswith(LOST)


def source_of(dataset: Any) -> LocalSource | QianfanDataSource:
    """Where the rows of whatever a user calls a dataset are. Raises InvalidArgumentError when it is none."""
    if isinstance(dataset, Dataset):
        dataset = dataset.inner_data_source_cache
    if isinstance(dataset, (LocalSource, QianfanDataSource)):
        return dataset
    if isinstance(dataset, int):
        return QianfanDataSource(dataset)
    if isinstance(dataset, str) and (dataset.isdigit() or dataset.startswith("ds-")):
        return QianfanDataSource(dataset)
    if is_lost(dataset):
        raise InvalidArgumentError(
            f"the rows of {dataset.removeprefix(LOST)!r} were in the memory of a process that has ended; "
            "make the trainer anew with them"
        )
    if isinstance(dataset, (str, Path)):
        return FileDataSource(dataset)
    raise InvalidArgumentError(
        f"{dataset!r} is no dataset: give a Dataset, an id (a number or 'ds-…'), a file, or 'bos:/bucket/path'"
    )


def _check(found: DataTemplateType | int | None, wanted: DataTemplateType | None, name: str) -> None:
    if wanted is None or found is None or found == wanted:
        return
    kind = getattr(found, "name", None) or found
    raise InvalidArgumentError(f"dataset {name!r} is of kind {kind}, and this training needs {wanted.name}")


def reference_of(dataset: Any) -> Any:
    """What finds a dataset again in another process, as JSON values."""
    if isinstance(dataset, DatasetConfig):
        rest = dataset.model_dump(mode="json", exclude_none=True, exclude={"datasets"})
        return {**rest, "datasets": reference_of(dataset.datasets)}
    if isinstance(dataset, (list, tuple)):
        return [reference_of(one) for one in dataset]
    source = dataset.inner_data_source_cache if isinstance(dataset, Dataset) else dataset
    if isinstance(source, QianfanDataSource):
        return source.dataset_id or source.id
    if isinstance(source, FileDataSource):
        return str(source.path.absolute())
    if isinstance(source, LocalSource):
        return f"{LOST}{source.name}"
    return str(source) if isinstance(source, Path) else source


def _digest(source: LocalSource) -> str:
    """What tells one content from another. Blocking; reads all of it, a piece at a time."""
    if isinstance(source, FileDataSource):
        return source.fingerprint()
    digest = hashlib.sha256()
    for row in source.rows():
        digest.update(json.dumps(row.to_json(), ensure_ascii=False, sort_keys=True).encode())
    return digest.hexdigest()


class _Loading:
    """One dataset on its way. What is done is noted, so that a resumed run goes on from there."""

    def __init__(
        self,
        number: int,
        template: DataTemplateType | None,
        data_format: DataFormat | None,
        platform: Platform,
        ctx: Context,
        besides: Collection[str],
    ) -> None:
        self._key = f"content_{number}"
        self._number = number
        self._template = template
        self._data_format = data_format
        self._platform = platform
        self._ctx = ctx
        self._purchases = ctx.purchases
        self._besides = besides

    async def place_of(self, dataset: Any) -> str:
        if isinstance(dataset, str) and dataset.startswith("bos:"):
            return str(BosPath.parse(dataset))
        source = source_of(dataset)
        if isinstance(source, LocalSource):
            return (await self._put_there(source)).dataset_id
        return (await self._release(source)).dataset_id

    # --- upload ---------------------------------------------------------------------------------------------

    async def _put_there(self, given: LocalSource) -> DatasetInfo:
        """A released dataset of these rows: one that this run or an earlier one made of them, or a new one."""
        begun = self._purchases.known(f"import_{self._number}")
        if begun is not None:
            dataset = QianfanDataSource(begun.id, client=self._platform.client)
            await dataset.await_import(on_look=self._tell)
            return await self._release(dataset)
        source = await at_hand(given)
        _check(source.template_type, self._template, source.name)
        if self._data_format is not None and source.data_format not in (None, self._data_format):
            found = source.data_format.value
            raise InvalidArgumentError(
                f"{source.name} holds {found} rows, and this training needs {self._data_format.value}"
            )
        await self._require_same_content(source)
        self._ctx.report(f"uploading {source.name}", {"dataset": source.name})
        # What this run has ordered already is its own; only before that will another run's dataset do.
        imported = Imported(self._platform.client, besides=self._besides) if self._row is None else None
        uploaded = await upload(
            source,
            self._target(source),
            client=self._platform.client,
            on_progress=self._tell_bytes,
            on_look=self._tell,
            purchases=self._purchases,
            number=self._number,
            imported=imported,
        )
        if imported is not None and self._row is None:
            there = uploaded.dataset_id
            self._ctx.report(f"the rows of {source.name} are in dataset {there} already", {"dataset": there})
        info = await self._release(uploaded)
        if imported is not None:
            await imported.remember(info)
        return info

    @property
    def _order(self) -> str:
        return order_of(self._ctx.action.id, f"dataset_{self._number}")

    @property
    def _row(self) -> Row | None:
        """What is noted of the dataset that this run has ordered, or begun to."""
        return self._ctx.state.record.rows.get(self._order)

    async def _require_same_content(self, source: LocalSource) -> None:
        """A run that was interrupted goes on with the rows that it began with."""
        content = await in_thread(_digest, source)
        known = self._ctx.notes.get(self._key)
        if known is None:
            await self._ctx.note(**{self._key: content})
        elif known != content:
            raise InvalidArgumentError(
                f"{source.name} has changed since this run began. Put the old content back, or make a new trainer for "
                "the new one"
            )

    def _target(self, source: LocalSource) -> UploadTarget:
        settings = self._platform.client.settings
        if settings.bos_bucket is None:
            raise InvalidArgumentError(
                f"training on {source.name!r} needs a bucket of yours that the file can pass through: set "
                "QIANFAN_BOS_BUCKET, or upload it with Dataset.save(..., sup_storage_id=...) and give the id"
            )
        row = self._row
        token = token_for(self._ctx.run_id, self._order, row.gen if row is not None else 0)
        stem = Path(source.name).stem if isinstance(source, FileDataSource) else "rows"
        return UploadTarget(
            bucket=settings.bos_bucket,
            folder=settings.bos_folder,
            name=name_with(token, stem),
            template_type=source.template_type,
            owns_storage=False,
        )

    # --- release --------------------------------------------------------------------------------------------

    async def _release(self, given: QianfanDataSource) -> DatasetInfo:
        # The trainer's own client, whichever account the dataset was looked up with.
        source = QianfanDataSource(given.dataset_id or given.id, client=self._platform.client)
        info = await source.arefresh()
        _check(info.template_type, self._template, str(given.id))
        if info.release_status != DataReleaseStatus.Finished:
            self._ctx.report(f"releasing dataset {info.dataset_id}", {"dataset": info.dataset_id})
            info = await source.arelease_dataset(on_look=self._tell)
        given.info = info
        return info

    # --- telling --------------------------------------------------------------------------------------------

    def _tell(self, info: DatasetInfo) -> None:
        imported = getattr(info.import_status, "name", info.import_status)
        released = getattr(info.release_status, "name", info.release_status)
        text = f"dataset {info.dataset_id}: import {imported}, release {released}, {info.entity_count} rows"
        self._ctx.report(text, {"dataset": info.dataset_id, "import": imported, "release": released})

    def _tell_bytes(self, done: int, size: int) -> None:
        percent = 100 if size == 0 else int(100 * done / size)
        self._ctx.report(f"uploaded {done} of {size} bytes", {"bytes": done, "size": size}, progress=percent)

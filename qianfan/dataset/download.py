"""A dataset on the platform down to this machine: export, object storage, one file of rows."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from qianfan._sync import in_thread
from qianfan._transport import Client
from qianfan.dataset.consts import DataTemplateType, FormatType
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.sources import FileDataSource
from qianfan.dataset.unpacking import overflow, unpack_rows
from qianfan.errors import DatasetExportError, InvalidArgumentError, NotImplmentError
from qianfan.resources.console.consts import DataExportStatus, DataExportType
from qianfan.resources.schemas import DatasetInfo, ExportRecord

_SHAPES: Final[dict[int, str]] = {
    DataTemplateType.NonSortedConversation: "dialogue",
    DataTemplateType.SortedConversation: "dialogue",
    DataTemplateType.PromptChosenRejected: "preference",
    DataTemplateType.QuerySet: "query",
    DataTemplateType.GenericText: "text",
}


async def download(source: QianfanDataSource) -> FileDataSource:
    """Fetch the rows of a dataset into a temporary file, which is there as long as the returned source is.

    The newest export is taken if it began after the last change of the dataset; otherwise a new one is made.

    Raises InvalidArgumentError for a dataset without rows, NotImplmentError for one of images, DatasetExportError
    when the platform cannot export it or the export cannot be read, FileSizeOverflow when it is too large.
    """
    info = await source.arefresh()
    shape = _SHAPES.get(info.template_type)
    if shape is None:
        raise NotImplmentError(f"dataset {source.id!r} holds {info.template_type!r} rows; only text can be downloaded")
    if not info.entity_count:
        raise InvalidArgumentError(f"dataset {source.id!r} has no rows to download")
    record = await _current_export(source, info)
    folder = Path(tempfile.mkdtemp(prefix="qianfan-"))
    try:
        path = await _fetch_rows(source.platform.client, record, folder, info.dataset_id)
        rows = FileDataSource(path, FormatType.Jsonl, format=shape)
        rows.name = f"dataset {source.id}"
        await in_thread(rows.open)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(rows, _remove, folder, os.getpid())
    return rows


async def _current_export(source: QianfanDataSource, info: DatasetInfo) -> ExportRecord:
    if info.export_status == DataExportStatus.Running:
        info = await source.await_export()
    record = await _newest_export(source) if info.export_record_count else None
    # Times are whole seconds, and rows that changed while an export ran may be missing in it.
    if record is None or record.start_time <= info.modify_time:
        await source.aexport()
        record = await _newest_export(source)
    if record is None:
        raise DatasetExportError(
            f"dataset {source.id!r}: the export finished, but the platform lists none with a link",
            dataset_id=info.dataset_id,
        )
    return record


async def _newest_export(source: QianfanDataSource) -> ExportRecord | None:
    records = await source.platform.data.export_records(source.key)
    usable = (
        record
        for record in records
        if record.status == DataExportStatus.Finished
        and record.export_type == DataExportType.WithAnnotations
        and record.download_url
    )
    return max(usable, key=lambda record: record.finish_time, default=None)


async def _fetch_rows(client: Client, record: ExportRecord, folder: Path, dataset_id: str) -> Path:
    archive, rows = folder / "export.zip", folder / "rows.jsonl"
    limit = client.settings.export_file_size_limit
    async with client.download(record.download_url) as content, await anyio.open_file(archive, "wb") as file:
        left = limit
        async for chunk in content:
            left -= len(chunk)
            if left < 0 or (content.size or 0) > limit:
                raise overflow(dataset_id, limit)
            await file.write(chunk)
    await in_thread(partial(unpack_rows, archive, rows, dataset_id=dataset_id, limit=limit))
    await anyio.Path(archive).unlink()
    return rows


def _remove(folder: Path, process: int) -> None:
    # A forked child, such as a worker that loads data, has a copy of the source, but the file is its parent's.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)

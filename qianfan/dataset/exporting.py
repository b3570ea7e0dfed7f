"""The export of a dataset that can be downloaded: the newest one if it is still right, else a new one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qianfan._sync import in_thread
from qianfan.dataset.platform_source import TEMPLATES, QianfanDataSource
from qianfan.errors import APIError, DatasetExportError
from qianfan.resources.console.consts import DataExportStatus, DataExportType, ExportStatus
from qianfan.resources.schemas import DatasetInfo, ExportRecord, ExportTask
from qianfan.resources.waiting import watch

_ENDS = (ExportStatus.ExportFinished, ExportStatus.ExportFailed)


async def link_to_export(source: QianfanDataSource, info: DatasetInfo, data_format: str, notes: Path | None) -> str:
    """A link that opens an archive with the rows as they are now. It may be good for minutes only.

    info: what the platform says of the dataset now; data_format: the kind of its rows.
    notes: a folder for remembering exports that the platform does not list, so that a later call finds them again.

    Raises DatasetExportError when the platform cannot export the rows.
    """
    if data_format in TEMPLATES:
        return (await _listed(source, info)).download_url
    return (await _noted(source, info, None if notes is None else notes / f"{info.dataset_id}.export")).download_url


def _is_current(started: str, info: DatasetInfo) -> bool:
    """Whether an export that began then holds all rows."""
    # Times are whole seconds, and rows that changed while an export ran may be missing in it.
    return started > info.modify_time


# --- exports by the older calls, which list them -----------------------------------------------------------------


async def _listed(source: QianfanDataSource, info: DatasetInfo) -> ExportRecord:
    if info.export_status == DataExportStatus.Running:
        info = await source.await_export()
    record = await _newest(source) if info.export_record_count else None
    if record is None or not _is_current(record.start_time, info):
        await source.aexport()
        record = await _newest(source)
    if record is None:
        raise DatasetExportError(
            f"dataset {source.id!r}: the export finished, but the platform lists none with a link",
            dataset_id=info.dataset_id,
        )
    return record


async def _newest(source: QianfanDataSource) -> ExportRecord | None:
    records = await source.platform.data.export_records(source.key)
    usable = (
        record
        for record in records
        if record.status == DataExportStatus.Finished
        and record.export_type == DataExportType.WithAnnotations
        and record.download_url
    )
    return max(usable, key=lambda record: record.finish_time, default=None)


# --- exports by the newer calls, which are known to who made them ---------------------------------------------------


async def _noted(source: QianfanDataSource, info: DatasetInfo, note: Path | None) -> ExportTask:
    known = None if note is None else await in_thread(_read, note)
    if known is not None:
        with suppress(APIError):  # there is no such export any more, or never was one on this platform
            task = await _finished(source, known)
            if _is_current(task.start_time, info) and _is_usable(task):
                return task
    task_id = await source.platform.data_v2.create_export_task(info.dataset_id)
    if note is not None:
        with suppress(OSError):  # then the next call makes one of its own
            await in_thread(note.write_text, task_id, "ascii")
    task = await _finished(source, task_id)
    if not _is_usable(task):
        why = "failed" if task.export_status == ExportStatus.ExportFailed else "finished without a link"
        raise DatasetExportError(f"dataset {source.id!r}: the export {why}", dataset_id=info.dataset_id)
    return task


async def _finished(source: QianfanDataSource, task_id: str) -> ExportTask:
    client = source.platform.client
    return await watch(
        lambda: source.platform.data_v2.describe_export_task(task_id),
        until=lambda task: task.export_status in _ENDS,
        tell=lambda task: None,
        every=client.settings.export_status_polling_interval,
        client=client,
    )


def _is_usable(task: ExportTask) -> bool:
    return task.export_status == ExportStatus.ExportFinished and bool(task.download_url)


def _read(note: Path) -> str | None:
    try:
        return note.read_text("ascii").strip() or None
    except (OSError, ValueError):
        return None

"""A dataset on the platform down to this machine: export, object storage, one file of rows."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from qianfan._sync import in_thread
from qianfan._transport import Client
from qianfan.dataset.consts import DataFormat, DataTemplateType, FormatType
from qianfan.dataset.exporting import link_to_export
from qianfan.dataset.platform_source import TEMPLATES, QianfanDataSource
from qianfan.dataset.sources import FileDataSource
from qianfan.dataset.unpacking import overflow, unpack_images, unpack_rows
from qianfan.errors import DataFileError, InvalidArgumentError, NotImplmentError
from qianfan.resources.fetching import OnBytes, fetched
from qianfan.resources.schemas import DatasetInfo
from qianfan.utils.logging import logger

_SHAPES: Final[Mapping[str, str]] = {
    DataFormat.PromptResponse: "dialogue",
    DataFormat.PromptSortedResponses: "dialogue",
    DataFormat.PromptChosenRejected: "preference",
    DataFormat.KTOPromptChosenRejected: "preference",
    DataFormat.Prompt: "query",
    DataFormat.Text: "text",
    DataFormat.PromptImage: "text2image",
}
_FORMATS: Final = {template: data_format for data_format, template in TEMPLATES.items()}
FOLDER: Final = "downloads"
"""Below the cache folder: archives that have not arrived completely, and which exports were made.

It may be deleted whenever nothing is loaded.
"""
_KEPT_FOR: Final = 7 * 24 * 3600
"""Seconds after which nobody comes back for an export."""


async def download(source: QianfanDataSource, *, on_progress: OnBytes | None = None) -> FileDataSource:
    """Fetch the rows of a dataset into a temporary file, which is there as long as the returned source is.

    The newest export is taken if it began after the last change of the dataset; otherwise a new one is made. Images
    come as a folder of pairs. A download that was interrupted goes on where it stopped, in this process or in a later
    one; what it needs for that lies in the cache folder, unless `QIANFAN_DISABLE_CACHE` is set.

    on_progress: told (bytes of the archive here, bytes in all).

    Raises InvalidArgumentError for a dataset without rows, NotImplmentError for one of a kind that is not known here,
    DatasetExportError when the platform cannot export it or the export cannot be read, FileSizeOverflow when it is too
    large, DataFileError when it cannot be written here, RequestError when the connection stays broken.
    """
    info = await source.arefresh()
    data_format = await _format_of(source, info)
    shape = _SHAPES.get(data_format)
    if shape is None:
        raise NotImplmentError(f"dataset {source.id!r} holds {data_format} rows, which cannot be downloaded")
    if not info.entity_count:
        raise InvalidArgumentError(f"dataset {source.id!r} has no rows to download")
    client = source.platform.client
    kept = None if client.settings.disable_cache else await in_thread(_kept, client.settings.cache_dir)
    link = await link_to_export(source, info, data_format, kept)
    folder = _temporary()
    try:
        path = await _fetch_rows(client, link, folder, kept, info.dataset_id, data_format, on_progress)
        rows = FileDataSource(path, FormatType.Text2Image if path.is_dir() else FormatType.Jsonl, format=shape)
        rows.name = f"dataset {source.id}"
        await in_thread(rows.open)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(rows, _remove, folder, os.getpid())
    return rows


async def _format_of(source: QianfanDataSource, info: DatasetInfo) -> str:
    """The kind of rows in the newer words, which alone has names for all of them."""
    if isinstance(info.template_type, DataTemplateType):
        return _FORMATS[info.template_type]
    return (await source.platform.data_v2.describe_version(info.dataset_id)).data_format


# --- archives ------------------------------------------------------------------------------------------------------


async def _fetch_rows(
    client: Client,
    link: str,
    folder: Path,
    kept: Path | None,
    dataset_id: str,
    data_format: str,
    on_progress: OnBytes | None,
) -> Path:
    limit = client.settings.export_file_size_limit

    def check(size: int) -> None:
        if size > limit:
            raise overflow(dataset_id, limit)

    # The link is signed anew each time; what it leads to is known by the rest of it.
    name = f"{dataset_id}-{hashlib.sha256(link.partition('?')[0].encode()).hexdigest()[:16]}.zip.part"
    archive = fetched(
        lambda headers: client.download(link, headers=headers),
        (kept or folder) / name,
        client=client,
        keeps_parts=kept is not None,
        check=check,
        on_progress=on_progress,
    )
    rows = folder / ("images" if data_format == DataFormat.PromptImage else "rows.jsonl")
    unpack = unpack_images if data_format == DataFormat.PromptImage else unpack_rows
    async with archive as arrived:
        try:
            await in_thread(partial(unpack, arrived.path, rows, dataset_id=dataset_id, limit=limit))
        except OSError as error:
            reason = f"the rows cannot be written to {folder}: {error.strerror or error}"
            raise DataFileError(f"dataset {dataset_id!r}: {reason}", path=str(folder)) from error
    return rows


def _temporary() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="qianfan-"))
    except OSError as error:
        raise DataFileError(f"no temporary folder for the rows can be made: {error}") from error


def _kept(cache: Path) -> Path | None:
    """The folder for what may have to be taken up again, None where there can be none."""
    folder = cache.expanduser() / FOLDER
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        logger.info("no downloads can be kept in %s (%s), so none is taken up again", folder, error)
        return None
    for path in folder.iterdir():
        with suppress(OSError):  # somebody else may clear up as well
            if time.time() - path.stat().st_mtime > _KEPT_FOR:
                path.unlink()
    return folder


def _remove(folder: Path, process: int) -> None:
    # A forked child, such as a worker that loads data, has a copy of the source, but the file is its parent's.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)

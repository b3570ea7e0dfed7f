"""Which datasets on the platform hold which content, as far as this machine remembers.

Only released versions are remembered: the platform never changes those again, so one can stand in for another import of
the same content. A memory is looked up on the platform before it is used. One that is wrong, or lost, costs an upload.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from qianfan._sync import in_thread
from qianfan._transport import Client
from qianfan._transport.keys import account_keys
from qianfan.dataset.consts import DataFormat
from qianfan.dataset.writing import atomically
from qianfan.errors import APIError, DataFileError
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataImportStatus, DataReleaseStatus
from qianfan.resources.fingerprint import Fingerprint
from qianfan.resources.schemas import DatasetInfo
from qianfan.utils.logging import logger

FOLDER: Final = "imported"


class _Note(NamedTuple):
    dataset_id: str
    name: str
    rows: int

    @classmethod
    def of(cls, info: DatasetInfo) -> _Note:
        return cls(info.dataset_id, info.name, info.entity_count)


class Imported:
    """The content that one upload is about to send, and the dataset that has it already.

    Notes are kept below the cache folder, one file for each content, apart by account and platform; none when
    `disable_cache` is set.

    besides: datasets that will not do, since they are used already: the same rows may be wanted twice.
    """

    def __init__(self, client: Client, *, besides: Collection[str] = ()) -> None:
        self._client = client
        self._besides = besides
        self._path: Path | None = None

    async def find(self, content: Fingerprint, kind: DataFormat, *, annotated: bool) -> str | None:
        """The id (`ds-…`) of a released dataset of exactly this content, None when none is known. One request at most.

        Raises RequestError when the platform cannot be reached.
        """
        settings = self._client.settings
        if settings.disable_cache:
            return None
        told = (
            settings.console_api_base_url,
            account_keys(settings).access_key,
            kind.value,
            "annotated" if annotated else "bare",
            content.sha256,
        )
        name = hashlib.sha256("\n".join(told).encode()).hexdigest()
        self._path = settings.cache_dir.expanduser() / FOLDER / f"{name}.json"
        note = await in_thread(_read, self._path)
        if note is None or note.dataset_id in self._besides:
            return None
        try:
            info = await Platform(self._client).data.info(note.dataset_id)
        except APIError as error:
            logger.debug("dataset %s, which held this content, cannot be used: %s", note.dataset_id, error)
            return None
        is_whole = info.import_status == DataImportStatus.Finished and _Note.of(info) == note
        return note.dataset_id if is_whole and info.release_status == DataReleaseStatus.Finished else None

    async def remember(self, info: DatasetInfo) -> None:
        """Note that a released dataset holds the content that was looked for."""
        if self._path is not None and info.release_status == DataReleaseStatus.Finished:
            await in_thread(_write, self._path, _Note.of(info))


def _read(path: Path) -> _Note | None:
    try:
        return _Note(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, note: _Note) -> None:
    try:
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        with atomically(path) as file:
            file.write(json.dumps(note._asdict(), ensure_ascii=False).encode())
    except (OSError, DataFileError) as error:
        logger.debug("dataset %s is not remembered: %s", note.dataset_id, error)

"""A file of rows in object storage. It is read from a copy on this machine, made when it is opened."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from qianfan._sync import in_thread, run_sync
from qianfan._transport import Client
from qianfan.dataset.account import Account
from qianfan.dataset.consts import FormatType
from qianfan.dataset.converting import write
from qianfan.dataset.reading import RawRow
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.errors import APIError, DataFileError, InvalidArgumentError
from qianfan.resources.bos import PART, Bos, BosPath
from qianfan.resources.fetching import OnBytes, Version, fetch
from qianfan.resources.fingerprint import fingerprint
from qianfan.utils.logging import logger

if TYPE_CHECKING:
    from qianfan.dataset.table import Table

FOLDER: Final = "objects"
"""Below the cache folder: copies of objects. It may be deleted whenever nothing is loaded from them."""
_KEPT_FOR: Final = 7 * 24 * 3600.0
"""Seconds after which a copy that nobody opened again is removed, when another version of the object comes."""
_CHANGED: Final = 412
"""The HTTP status that says: this is not the version that was asked for."""
_MISSING: Final = 404


class BosDataSource(LocalSource):
    """An object that holds rows, as a file does. Making one sends nothing.

    region, bucket, bos_file_path: where it is; the region is the settings' own when it is empty.
    file_format: how it holds its rows, by the end of its name when left out. format: their shape, found out when left
        out. read_from_zip: it is an archive of such files, whatever its name says. save_as_folder: each text is a file
        of its own in the archive.
    ak, sk: another account's keys than the settings'. They are in no representation, file or message.
    """

    def __init__(
        self,
        region: str | None = None,
        bucket: str = "",
        bos_file_path: str = "",
        file_format: FormatType | str | None = None,
        ak: str | None = None,
        sk: str | None = None,
        *,
        format: str | None = None,
        read_from_zip: bool = False,
        save_as_folder: bool = False,
        client: Client | None = None,
    ) -> None:
        self.region = region or None
        self.bucket = bucket
        self.read_from_zip = read_from_zip
        self.save_as_folder = save_as_folder
        self._move_to(bos_file_path)
        self._named = None if file_format is None else FormatType(file_format)
        self._format = format
        self._account = Account(client, ak, sk)
        self._file: FileDataSource | None = None

    def _move_to(self, bos_file_path: str) -> None:
        self.bos_file_path = bos_file_path
        self._place = BosPath(self.bucket, bos_file_path.lstrip("/"))
        if not self.bucket or not self._place.key:
            raise InvalidArgumentError("a file in object storage has a bucket and a bos_file_path")
        self.name = str(self._place)

    def __repr__(self) -> str:
        return f"BosDataSource({self.name!r}, region={self.region!r})"

    @property
    def ak(self) -> str | None:
        """The access key that was given, None where it is the settings'."""
        return self._account.ak

    @property
    def sk(self) -> str | None:
        """The secret key that was given."""
        return self._account.sk

    @property
    def file_format(self) -> FormatType:
        """How the object holds its rows. Raises DataFileError for an archive of several kinds."""
        return self._named if self._named is not None else self.local.file_format

    @property
    def is_open(self) -> bool:
        """Whether there is a copy on this machine."""
        return self._file is not None

    @property
    def local(self) -> FileDataSource:
        """The copy on this machine, made now if it was not yet. Blocking."""
        if self._file is None:
            self.open()
        assert self._file is not None
        return self._file

    # --- rows -----------------------------------------------------------------------------------------------------

    async def aopen(self, *, on_progress: OnBytes | None = None) -> None:
        """Make sure that a copy is here that is as the object is now, and find out what its rows are.

        A copy in the cache folder is used while the object stays the same. A download that was interrupted is taken up
        again. on_progress: told (bytes here, bytes in all).

        Raises DataFileError when there is no such object, and what `FileDataSource.open` raises.
        """
        path, is_temporary = await self._copy(on_progress)
        file = FileDataSource(path, self._named, format=self._format, save_as_folder=self.save_as_folder)
        if is_temporary:
            weakref.finalize(file, _remove, path.parent, os.getpid())
        file.name = self.name
        await in_thread(file.open)
        self._file = file
        self.shape, self.template_type, self.data_format = file.shape, file.template_type, file.data_format

    def open(self) -> None:
        """Blocking form of `aopen`."""
        run_sync(self.aopen)

    def raw_rows(self) -> Iterator[RawRow]:
        return self.local.raw_rows()

    def raw_row(self, position: int) -> RawRow:
        return self.local.raw_row(position)

    def __len__(self) -> int:
        return len(self.local)

    @property
    def known_length(self) -> int | None:
        return None if self._file is None else self._file.known_length

    async def afetch(self, read_from_zip: bool = False, *, on_progress: OnBytes | None = None) -> Table:
        """The rows as the object holds them now. read_from_zip: it is an archive, whatever its name says."""
        from qianfan.dataset.table import Table  # which is built on sources

        self.read_from_zip = self.read_from_zip or read_from_zip
        await self.aopen(on_progress=on_progress)
        return Table(self.local)

    def fetch(self, read_from_zip: bool = False) -> Table:
        """Blocking form of `afetch`."""
        return run_sync(self.afetch, read_from_zip)

    async def aload(self, **options: Any) -> Table:
        """As `afetch`."""
        return await self.afetch(**options)

    def load(self, **options: Any) -> Table:
        """Blocking form of `aload`."""
        return run_sync(partial(self.aload, **options))

    # --- the copy -------------------------------------------------------------------------------------------------

    async def _copy(self, on_progress: OnBytes | None) -> tuple[Path, bool]:
        """A file that holds what the object holds now, and whether its folder is a temporary one."""
        try:
            return await self._copy_of(await self._version(), on_progress)
        except APIError as error:
            if error.http_status != _CHANGED:
                raise
        # It was replaced after it had been looked at.
        return await self._copy_of(await self._version(), on_progress)

    async def _version(self) -> Version:
        try:
            found = await Bos(self._account.client).head(self._place, region=self.region)
        except APIError as error:
            if error.http_status == _MISSING:
                raise DataFileError(f"{self._place} does not exist", path=str(self._place)) from error
            raise
        return Version.of(found.headers)

    async def _copy_of(self, version: Version, on_progress: OnBytes | None) -> tuple[Path, bool]:
        client, at = self._account.client, self._place
        path, is_temporary = await in_thread(self._path_for, version)
        if await in_thread(path.is_file):
            if on_progress is not None:
                on_progress(version.size or 0, version.size)
            return path, is_temporary
        same = {"if-match": f'"{version.etag}"'} if version.etag else {}
        try:
            await fetch(
                lambda asked: client.get_object(at.bucket, at.key, headers={**same, **asked}, region=self.region),
                path,
                client=client,
                keeps_parts=not is_temporary,
                on_progress=on_progress,
            )
        except BaseException:
            if is_temporary:
                shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return path, is_temporary

    def _path_for(self, version: Version) -> tuple[Path, bool]:
        """Where the copy of a version of the object is, or will be, and whether nobody will look for it there again.

        Another version has another place. Blocking.
        """
        settings, at = self._account.client.settings, self._place
        folder = None
        if version.etag and not settings.disable_cache:
            region = self.region or settings.bos_host_region
            object_ = _hashed(settings.bos_base_url, region, at.bucket, at.key)
            folder = _kept(
                settings.cache_dir.expanduser() / FOLDER / object_,
                _hashed(version.size, version.etag, version.last_modified),
            )
        is_temporary = folder is None
        folder = folder or Path(tempfile.mkdtemp(prefix="qianfan-"))
        # An archive is known by its name.
        return folder / ("content.zip" if self.read_from_zip else f"content{_suffixes(at.key)}"), is_temporary

    # --- saving ---------------------------------------------------------------------------------------------------

    async def asave(
        self,
        table: Table | LocalSource,
        should_save_as_zip_file: bool = False,
        should_overwrite_existed_file: bool = False,
        should_use_qianfan_special_jsonl_format: bool = False,
        *,
        format: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> bool:
        """Store rows as this object, and return True.

        should_save_as_zip_file: as an archive with the one file in it, named `rows.zip` in place of `rows.jsonl`, which
            this source is from then on; a name that ends in `.zip` says so as well.
        should_overwrite_existed_file: replace an object that is there.
        should_use_qianfan_special_jsonl_format: taken as older code gives it; lines are in the platform's form anyway.
        format: the shape that the rows get, such as `messages`; the platform's own form when left out.
        on_progress: told (bytes sent, bytes in all).

        Raises InvalidArgumentError when there is such an object already, or the format cannot hold the rows.
        """
        bos = Bos(self._account.client)
        file_format, place = self._named, self._place
        if should_save_as_zip_file and not place.key.endswith(".zip"):
            file_format = file_format or FileDataSource(place.key).file_format
            place = BosPath(place.bucket, str(PurePosixPath(place.key).with_suffix(".zip")))
        if not should_overwrite_existed_file and await bos.exists(place, region=self.region):
            raise InvalidArgumentError(
                f"{place} exists already; should_overwrite_existed_file=True replaces it, or choose another name"
            )
        source = table if isinstance(table, LocalSource) else table.local_source
        with tempfile.TemporaryDirectory(prefix="qianfan-") as folder:
            path = Path(folder) / PurePosixPath(place.key).name
            target = FileDataSource(path, file_format, save_as_folder=self.save_as_folder)
            written = await in_thread(write, source, target, format)
            content = await in_thread(fingerprint, path)
            if content.size <= PART:
                await bos.put_file(path, place, content=content, region=self.region, on_progress=on_progress)
            else:
                # Not with its content: that is for keys that say what is in the object. Each part is verified anyway.
                await bos.put_file_in_parts(path, place, region=self.region, on_progress=on_progress)
        if place != self._place:
            self._move_to(place.key)
        self._file, self._format = None, written.format
        return True

    def save(self, table: Table | LocalSource, *args: Any, **options: Any) -> bool:
        """Blocking form of `asave`."""
        return run_sync(partial(self.asave, table, *args, **options))


def _suffixes(key: str) -> str:
    """The end of a name that tells how the file holds its rows: `.jsonl`, also `.jsonl.gz`."""
    return "".join(PurePosixPath(key).suffixes[-2:])[-32:]


def _hashed(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _kept(versions: Path, name: str) -> Path | None:
    """The folder for one version of an object, None where there can be none; others go when a week passed unused."""
    folder = versions / name
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        os.utime(folder)
        for other in versions.iterdir():
            if time.time() - other.stat().st_mtime > _KEPT_FOR:
                shutil.rmtree(other, ignore_errors=True)
    except OSError as error:
        logger.info("no copies of objects can be kept in %s: %s", versions, error)
        return None if not folder.is_dir() else folder
    return folder


def _remove(folder: Path, process: int) -> None:
    # A forked child has a copy of the source, but the file is its parent's.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)

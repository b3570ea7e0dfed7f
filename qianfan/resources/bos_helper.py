"""Object storage under its documented names: buckets and paths as texts, each method blocking and as `a…` to await."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, TypeVar, cast

from typing_extensions import ParamSpec

from qianfan._sync import run_sync
from qianfan._transport import Client, client_with
from qianfan.errors import InvalidArgumentError
from qianfan.resources.bos import Bos, BosPath, ObjectEntry

P = ParamSpec("P")
R = TypeVar("R")


def _blocking(
    method: Callable[Concatenate[BosHelper, P], Awaitable[R]],
) -> Callable[Concatenate[BosHelper, P], R]:
    def face(self: BosHelper, *args: P.args, **kwargs: P.kwargs) -> R:
        return run_sync(lambda: method(self, *args, **kwargs))

    return cast("Callable[Concatenate[BosHelper, P], R]", wraps(method)(face))


class BosHelper:
    """Files in buckets.

    region: of the buckets, unless the settings' own. ak, sk: the account's keys, unless the settings' own.
    Paths may begin with a slash, which is no part of the key.
    """

    def __init__(
        self, region: str | None = None, ak: str | None = None, sk: str | None = None, *, client: Client | None = None
    ) -> None:
        if (ak is None) != (sk is None):
            raise InvalidArgumentError("ak and sk are a pair: give both of them, or none")
        self._region = region
        self._keys = {"access_key": ak, "secret_key": sk} if ak is not None else {}
        self._given = client

    def __repr__(self) -> str:
        return f"BosHelper(region={self._region!r})"

    @property
    def _client(self) -> Client:
        return self._given if self._given is not None else client_with(**self._keys)

    @property
    def _bos(self) -> Bos:
        return Bos(self._client)

    async def aupload_content_to_bos(self, data: str, remote_file_path: str, bucket_name: str) -> None:
        """Store a text."""
        await self._bos.put_bytes(data.encode(), _place(bucket_name, remote_file_path), region=self._region)

    async def aupload_file_to_bos(self, file_path: str, remote_file_path: str, bucket_name: str) -> None:
        """Store a file of any size."""
        to = _place(bucket_name, remote_file_path)
        await self._bos.put_file_in_parts(Path(file_path), to, region=self._region)

    async def aget_bos_file_shared_url(self, remote_file_path: str, bucket_name: str) -> str:
        """A link that opens the file without keys for half an hour. Whoever has it, can use it."""
        place = _place(bucket_name, remote_file_path)
        return self._client.presigned_url(place.bucket, place.key, region=self._region)

    async def aget_bos_bucket_location(self, bucket_name: str) -> str:
        """The bucket's region, such as `bj`."""
        return await self._bos.region_of(bucket_name, region=self._region)

    async def acheck_if_file_existed_on_bos(self, bucket: str, bos_file_path: str) -> bool:
        """Whether there is such a file. An error other than "not found" is raised."""
        return await self._bos.exists(_place(bucket, bos_file_path), region=self._region)

    async def aget_file_size(self, bucket: str, bos_file_path: str) -> int:
        """Size in bytes. Raises APIError (404) when there is none."""
        return await self._bos.size(_place(bucket, bos_file_path), region=self._region)

    async def alist_dir(self, bucket: str, bos_file_path: str, only_deep1: bool = True) -> list[ObjectEntry]:
        """The files of a folder; with `only_deep1=False` those of the folders in it as well. All pages of them."""
        prefix, found, marker = _place(bucket, bos_file_path).key, list[ObjectEntry](), ""
        while True:
            page = await self._bos.list_page(
                bucket, prefix, delimiter="/" if only_deep1 else "", marker=marker, region=self._region
            )
            found += page.contents
            if not page.is_truncated or page.next_marker <= marker:
                return found
            marker = page.next_marker

    async def ais_dir(self, bucket: str, bos_path: str) -> bool:
        """Whether anything lies below this path as a folder."""
        prefix = _place(bucket, bos_path).key.rstrip("/") + "/"
        page = await self._bos.list_page(bucket, prefix, max_keys=1, region=self._region)
        return bool(page.contents)

    async def acopy_object(self, bucket: str, source_path: str, destination_path: str) -> None:
        """Copy a file within a bucket, on the server."""
        await self._bos.copy(_place(bucket, source_path), _place(bucket, destination_path), region=self._region)

    async def adelete_bos_file_anyway(self, bucket: str, bos_file_path: str) -> None:
        """Delete a file; one that is not there is as good as deleted."""
        await self._bos.delete_many(bucket, [_place(bucket, bos_file_path).key], region=self._region)

    async def aget_metadata(self, bucket: str, file_path: str) -> dict[str, str]:
        """The file's headers, with `_` for `-` in their names: `content_length`, `last_modified`, `etag`."""
        reply = await self._bos.head(_place(bucket, file_path), region=self._region)
        return {name.replace("-", "_"): value.strip('"') for name, value in reply.headers.items()}

    async def aget_object_as_file(self, bucket: str, bos_path: str, local_path: str) -> None:
        """Download into a file, which appears only when it is whole."""
        await self._bos.get_file(_place(bucket, bos_path), Path(local_path), region=self._region)

    upload_content_to_bos = _blocking(aupload_content_to_bos)
    upload_file_to_bos = _blocking(aupload_file_to_bos)
    get_bos_file_shared_url = _blocking(aget_bos_file_shared_url)
    get_bos_bucket_location = _blocking(aget_bos_bucket_location)
    check_if_file_existed_on_bos = _blocking(acheck_if_file_existed_on_bos)
    get_file_size = _blocking(aget_file_size)
    list_dir = _blocking(alist_dir)
    is_dir = _blocking(ais_dir)
    copy_object = _blocking(acopy_object)
    delete_bos_file_anyway = _blocking(adelete_bos_file_anyway)
    get_metadata = _blocking(aget_metadata)
    get_object_as_file = _blocking(aget_object_as_file)


def is_valid_bos_path(path: str) -> bool:
    """Whether a text names a place in object storage: `bos:/bucket/path`."""
    try:
        return bool(BosPath.parse(path).key)
    except InvalidArgumentError:
        return False


def parse_bos_path(bos_path: str) -> tuple[str, str]:
    """Bucket and path, the path with its leading slash. Raises InvalidArgumentError."""
    place = BosPath.parse(bos_path)
    return place.bucket, f"/{place.key}"


def generate_bos_file_path(bucket_name: str, absolute_path: str) -> str:
    """`bos:/bucket/path`."""
    return str(_place(bucket_name, absolute_path))


def generate_bos_file_parent_path(bucket_name: str, absolute_path: str) -> str:
    """The folder of a file, as `bos:/bucket/folder`."""
    return str(BosPath(bucket_name, _place(bucket_name, absolute_path).key.rpartition("/")[0]))


def _place(bucket: str, path: str) -> BosPath:
    return BosPath(bucket, path.lstrip("/"))

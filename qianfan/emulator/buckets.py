"""The buckets of object storage: names, objects in byte order, uploads in parts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from qianfan.emulator.blobs import Blob
from qianfan.emulator.records import StoredObject

PLATFORM_BUCKET = "qianfan-shared"
"""The bucket that stands for the platform's own storage."""


@dataclass
class Upload:
    """An upload in parts under way. parts: number -> content."""

    bucket: str
    key: str
    id: str
    started: datetime
    content_type: str
    storage_class: str
    meta: dict[str, str]
    parts: dict[int, Blob] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """One page of a bucket. folders: common prefixes; next_marker: where the next page begins, "" at the end."""

    objects: list[StoredObject]
    folders: list[str]
    next_marker: str


class Buckets:
    """Buckets of one account. A bucket comes into being with its first object, so no set-up is needed."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, StoredObject]] = {}
        self._uploads: dict[str, Upload] = {}

    def __contains__(self, bucket: str) -> bool:
        return bucket in self._buckets

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._buckets))

    def create(self, bucket: str) -> None:
        """Make a bucket."""
        self._buckets.setdefault(bucket, {})

    def delete(self, bucket: str) -> None:
        """Remove a bucket."""
        self._buckets.pop(bucket, None)

    def is_empty(self, bucket: str) -> bool:
        """Whether a bucket holds nothing."""
        return not self._buckets.get(bucket)

    def put(self, stored: StoredObject) -> None:
        """Keep an object, in place of an older one of the same key."""
        self._buckets.setdefault(stored.bucket, {})[stored.key] = stored

    def get(self, bucket: str, key: str) -> StoredObject | None:
        """An object, None when there is none."""
        return self._buckets.get(bucket, {}).get(key)

    def remove(self, bucket: str, key: str) -> StoredObject | None:
        """Delete an object and give what was there."""
        return self._buckets.get(bucket, {}).pop(key, None)

    def under(self, bucket: str, prefix: str) -> list[StoredObject]:
        """Every object whose key begins with a prefix, in byte order."""
        objects = self._buckets.get(bucket, {})
        return [objects[key] for key in sorted(objects, key=str.encode) if key.startswith(prefix)]

    def page(self, bucket: str, *, prefix: str, delimiter: str, marker: str, limit: int) -> Listing:
        """Objects and folders after `marker`, at most `limit` of both together."""
        objects: list[StoredObject] = []
        folders: list[str] = []
        last = ""
        for stored in self.under(bucket, prefix):
            name = _folded(stored.key, prefix, delimiter)
            if name.encode() <= marker.encode() or (folders and folders[-1] == name):
                continue
            if len(objects) + len(folders) == limit:
                return Listing(objects, folders, last)
            last = name
            if name == stored.key:
                objects.append(stored)
            else:
                folders.append(name)
        return Listing(objects, folders, "")

    def begin_upload(self, upload: Upload) -> Upload:
        """Start an upload in parts."""
        self._buckets.setdefault(upload.bucket, {})
        self._uploads[upload.id] = upload
        return upload

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        """An upload under way, None when there is none for this key."""
        found = self._uploads.get(upload_id)
        return found if found and (found.bucket, found.key) == (bucket, key) else None

    def uploads(self, bucket: str, *, prefix: str, marker: str, limit: int) -> tuple[list[Upload], str]:
        """Uploads under way to keys after `marker`, oldest first for each key, and the marker of the next page.

        All uploads to one key stand on one page, so that a page may hold more than `limit` of them.
        """
        found = sorted(
            (one for one in self._uploads.values() if one.bucket == bucket and one.key.startswith(prefix)),
            key=lambda one: (one.key.encode(), one.started),
        )
        after = [one for one in found if one.key.encode() > marker.encode()]
        page = [one for index, one in enumerate(after) if index < limit or one.key == after[limit - 1].key]
        return page, page[-1].key if len(page) < len(after) else ""

    def end_upload(self, upload_id: str) -> None:
        """Forget an upload, completed or given up."""
        self._uploads.pop(upload_id, None)

    def objects(self) -> list[StoredObject]:
        """Every object of every bucket."""
        return [stored for bucket in self._buckets.values() for stored in bucket.values()]

    def snapshot(self) -> Mapping[str, Mapping[str, StoredObject]]:
        """Bucket -> key -> object of this moment, to look at."""
        return MappingProxyType({name: MappingProxyType(dict(held)) for name, held in self._buckets.items()})


def new_upload_id() -> str:
    """An id for an upload in parts."""
    return uuid.uuid4().hex


def _folded(key: str, prefix: str, delimiter: str) -> str:
    """The key itself, or the folder that stands for it in a listing with a delimiter."""
    if not delimiter:
        return key
    end = key.find(delimiter, len(prefix))
    return key if end < 0 else key[: end + len(delimiter)]

"""Stored objects."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from qianfan.emulator.records.base import Source


class StoredObject(BaseModel):
    """One object of a bucket. meta: `x-bce-meta-*` and other headers that come back with it."""

    bucket: str
    key: str
    source: Source
    content_type: str = "application/octet-stream"
    etag: str
    storage_class: str = "STANDARD"
    meta: dict[str, str] = Field(default_factory=dict)
    modified: datetime

"""What all records have."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


class Record(BaseModel):
    """id: V2's; number: V1's; created: in UTC."""

    id: str
    number: int
    created: datetime


class Source(BaseModel):
    """One imported file: the blob that holds its content, and the name it came with."""

    name: str
    blob_key: str
    size: int
    md5: str
    crc32: int

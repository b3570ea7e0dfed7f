"""Bodies that are forms with files in them."""

from __future__ import annotations

import re

from qianfan._types import JSON

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_FIELD = re.compile(rb'[; ]name="([^"]*)"')
_FILE = re.compile(rb'filename="([^"]*)"')


def is_form(content_type: str) -> bool:
    """Whether a body of this type is a form with files."""
    return content_type.lower().startswith("multipart/form-data")


def form_of(content: bytes, content_type: str) -> dict[str, JSON]:
    """The fields of a form. A file is an object with its `name` and its `content` as text.

    Raises ValueError for what is no form.
    """
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise ValueError("a form without a boundary")
    fields: dict[str, JSON] = {}
    for part in content.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name, file = _FIELD.search(head), _FILE.search(head)
        if name is None:
            raise ValueError("a part of a form without a name")
        text = body.removesuffix(b"\r\n").decode("utf-8")
        fields[name[1].decode("utf-8")] = {"name": file[1].decode("utf-8"), "content": text} if file else text
    return fields

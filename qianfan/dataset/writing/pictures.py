"""Images with their descriptions, as a folder or an archive."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import IO

from qianfan._sync import stop_if_cancelled
from qianfan.dataset.reading.bundles import IMAGES
from qianfan.dataset.rows import Picture, Row
from qianfan.dataset.writing.appearing import appearing_folder
from qianfan.dataset.writing.values import encoded, json_text
from qianfan.errors import InvalidArgumentError


def write_pictures(rows: Iterable[Row], opened: Callable[[str], AbstractContextManager[IO[bytes]]], path: Path) -> int:
    """Write each image as `<row>.<ending>` with `<row>.json` beside it, counted from 0, and return how many there are.

    opened: gives the content of an image that a row names. path: of a folder, or a `.zip` archive.

    Raises InvalidArgumentError for a row that names no image, or a file that is none by its ending, DataFileError when
    something cannot be written, and what `opened` raises.
    """
    count = 0
    with appearing_folder(path) as folder:
        for number, row in enumerate(rows):
            if not isinstance(row, Picture):
                raise InvalidArgumentError(f"{path} cannot be written: row {number + 1} names no image")
            ending = PurePosixPath(row.image).suffix.lower()
            if ending not in IMAGES:
                raise InvalidArgumentError(
                    f"{path} cannot be written: row {number + 1}: {row.image!r} is no image; known: {', '.join(IMAGES)}"
                )
            stop_if_cancelled()
            with opened(row.image) as content, folder.file(f"{number}{ending}", is_packed=True) as file:
                shutil.copyfileobj(content, file)
            with folder.file(f"{number}.json") as file:
                file.write(encoded(json_text({"prompt": row.prompt})))
            count += 1
    return count

"""A local dataset as the one file that the platform imports.

The same rows make the same file, byte by byte, so that it is known again by its hash.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Final

from qianfan.dataset.consts import DataFormat
from qianfan.dataset.images import Images
from qianfan.dataset.lanes import converted
from qianfan.dataset.reading.bundles import IMAGES
from qianfan.dataset.rows import Picture, Text
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.errors import DataFileError, InvalidArgumentError

ARCHIVED: Final = (DataFormat.Text, DataFormat.PromptImage)
"""The kinds of rows that are files of their own, and travel in an archive."""

_BEGINNING_OF_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the archive must not depend on when it is made."""


def packed(source: LocalSource, data_format: DataFormat) -> AbstractContextManager[Path]:
    """The file to send: the source's own where the platform takes it as it is, else a temporary one. Blocking.

    Texts go up as `<row>.txt` in a zip, images as `<row>.<ending>` and `<row>.json`, anything else as lines of JSON;
    rows count from 0.
    Raises ValidationError for a row that cannot be read, DataFileError for an image that is not there or is no image,
    and where there is no room for the temporary file.
    """
    if isinstance(source, FileDataSource) and source.can_go_up_as_it_is():
        return nullcontext(source.path)
    return _packed(source, data_format)


def row_of_member(name: str) -> int | None:
    """Which row a member of the archive belongs to, None for a name that `packed` does not give."""
    stem = PurePosixPath(name).stem
    return int(stem) if stem.isascii() and stem.isdigit() else None


@contextmanager
def _packed(source: LocalSource, data_format: DataFormat) -> Generator[Path, None, None]:
    with tempfile.TemporaryDirectory(prefix="qianfan-") as folder:
        path = Path(folder) / ("data.zip" if data_format in ARCHIVED else "data.jsonl")
        write = _write_archive if data_format in ARCHIVED else _write_lines
        try:
            write(source, path)
        except OSError as error:
            raise DataFileError(
                f"{source.name}: the file to send cannot be written to {folder}: {error.strerror or error}; "
                "set TMPDIR to a folder with more room",
                path=folder,
            ) from error
        yield path


def _write_lines(source: LocalSource, path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(converted(source))


def _write_archive(source: LocalSource, path: Path) -> None:
    images = Images(source)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, row in enumerate(source.rows()):
            if isinstance(row, Text):
                archive.writestr(_member(f"{number}.txt"), row.text)
            elif isinstance(row, Picture):
                with archive.open(
                    _member(f"{number}{_ending(row, number, source)}", zipfile.ZIP_STORED), "w"
                ) as member:
                    for piece in _pieces(images, row.image):
                        member.write(piece)
                words = json.dumps({"prompt": row.prompt}, ensure_ascii=False)
                archive.writestr(_member(f"{number}.json"), words)
            else:
                raise InvalidArgumentError(f"{source.name}: row {number + 1} is neither a text nor an image")


def _ending(row: Picture, number: int, source: LocalSource) -> str:
    ending = PurePosixPath(row.image).suffix.lower()
    if ending not in IMAGES:
        # Whoever wrote the rows could else have any file of this machine sent.
        raise DataFileError(
            f"{source.name}: row {number + 1}: {row.image!r} is no image; the platform takes {', '.join(IMAGES)}",
            path=row.image,
        )
    return ending


def _pieces(images: Images, name: str) -> Iterator[bytes]:
    with images.opened(name) as content:
        while piece := content.read(1 << 20):
            yield piece


def _member(name: str, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _BEGINNING_OF_TIME)
    member.compress_type = method
    member.create_system = 3  # Unix, whichever system this is
    member.external_attr = 0o644 << 16
    return member

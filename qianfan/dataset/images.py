"""The images that rows name, wherever the rows come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import IO

from qianfan.dataset.processing import DerivedSource
from qianfan.dataset.reading.bundles import files_in
from qianfan.dataset.reading.files import Blob, FileBlob
from qianfan.dataset.reading.formats import is_bundle
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.errors import DataFileError


class Images:
    """The images of a source, by the names in its rows: members of the folder or archive that the rows come from.

    Of rows in a single file, they are paths seen from where that file is; of rows in memory, from the working folder.
    """

    def __init__(self, source: LocalSource) -> None:
        self._source = source

    def opened(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """The content of an image.

        Raises DataFileError when it is not there, or when rows of several sources make it unclear which one is meant.
        """
        found = [blob for home in self._homes if (blob := home.find(name)) is not None]
        if not found:
            raise DataFileError(f"{self._source.name}: the image {name!r} is not there", path=name)
        if len(found) > 1:
            raise DataFileError(
                f"{self._source.name}: the image {name!r} is in several of the places that the rows come from; "
                "save each dataset by itself, or rename the images",
                path=name,
            )
        return found[0].stream()

    @cached_property
    def _homes(self) -> list[_Home]:
        return [_Home(path) for path in dict.fromkeys(_paths(self._source))]


def _paths(source: LocalSource) -> Iterator[Path | None]:
    if isinstance(source, DerivedSource):
        for parent in source.parents:
            yield from _paths(parent)
    else:
        yield source.path if isinstance(source, FileDataSource) else None


class _Home:
    """Where images are: in the folder or archive at a path, beside the file there, or in the working folder."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def find(self, name: str) -> Blob | None:
        if self._path is not None and is_bundle(self._path):
            return self._members.get(name)
        file = (Path() if self._path is None else self._path.parent) / name
        return FileBlob(file) if file.is_file() else None

    @cached_property
    def _members(self) -> dict[str, Blob]:
        assert self._path is not None
        return dict(files_in(self._path))

"""Where a dataset is, as a command line says it: a file, an id on the platform, a path in object storage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from qianfan.cli.transfer import Transfer
    from qianfan.dataset import Dataset
    from qianfan.dataset.sources import LocalSource

SCHEME = "qianfan://"


@dataclass(frozen=True, slots=True)
class OnPlatform:
    """A dataset on the platform. id: `ds-…` or a number."""

    id: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.id}"


@dataclass(frozen=True, slots=True)
class InStorage:
    """A file in object storage. path: `bos:/bucket/path`."""

    path: str

    def __str__(self) -> str:
        return self.path


Place: TypeAlias = Path | OnPlatform | InStorage

_ID = re.compile(r"\d+|ds-\w+")


def place_of(text: str) -> Place:
    """Read `qianfan://<id>`, `ds-…`, a number, `bos:/bucket/path`, or else the path of a file or folder.

    A file that is there beats an id of the same name. Raises BadParameter for a `qianfan://` without a right id.
    """
    if text.startswith(SCHEME):
        id = text.removeprefix(SCHEME).strip("/")
        if not _ID.fullmatch(id):
            raise typer.BadParameter(f"{text!r} names no dataset; write qianfan://ds-… or qianfan://<number>")
        return OnPlatform(id)
    if text.startswith("bos:"):
        return InStorage(text)
    path = Path(text)
    return OnPlatform(text) if _ID.fullmatch(text) and not path.exists() else path


async def aload(place: Place, **options: Any) -> Dataset:
    """The dataset at a place. options: as `Dataset.load` takes them."""
    from qianfan.dataset import Dataset

    if isinstance(place, OnPlatform):
        # How rows are written down is settled for a dataset of the platform.
        given = {name: value for name, value in options.items() if name not in ("format", "file_format")}
        return await Dataset.aload(qianfan_dataset_id=place.id, **given)
    return await Dataset.aload(data_file=str(place), **options)


async def aload_here(place: Place, view: Transfer, **options: Any) -> Dataset:
    """The dataset at a place with its rows on this machine: those of the platform are fetched first."""
    from qianfan.dataset.download import download
    from qianfan.dataset.platform_source import QianfanDataSource

    dataset = await aload(place, **options)
    source = dataset.inner_data_source_cache
    if isinstance(source, QianfanDataSource) and source.local is None:
        view.begins("exporting")
        source.local = await download(source, on_progress=view.step("downloading"))
    return dataset


def local_rows(dataset: Dataset) -> LocalSource:
    """The rows of a dataset that are on this machine. Raises InvalidArgumentError when they are not."""
    from qianfan.dataset.looking import local_part
    from qianfan.errors import InvalidArgumentError

    source = local_part(dataset.inner_data_source_cache)
    if source is None:
        raise InvalidArgumentError(f"the rows of dataset {dataset.name} are on the platform")
    return source


def bucket_and_folder(text: str | None) -> tuple[str, str]:
    """Where files pass through on their way to the platform: `bos:/bucket/folder`, or what the settings say.

    Raises BadParameter when neither names a bucket, InvalidArgumentError for a text that is no path.
    """
    from qianfan.config import default_settings
    from qianfan.resources import BosPath

    if text is not None:
        place = BosPath.parse(text)
        return place.bucket, place.key
    settings = default_settings()
    if not settings.bos_bucket:
        raise typer.BadParameter(
            "files go to the platform through a bucket of yours: name it, as bos:/bucket/folder, "
            "or set QIANFAN_BOS_BUCKET",
            param_hint="--bos-path",
        )
    return settings.bos_bucket, settings.bos_folder

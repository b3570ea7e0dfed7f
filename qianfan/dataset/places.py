"""Where datasets are loaded from and saved to, out of the arguments that `Dataset.load` and `Dataset.save` take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypedDict

from qianfan._transport import Client
from qianfan.dataset.account import Account
from qianfan.dataset.bos_source import BosDataSource
from qianfan.dataset.consts import FormatType
from qianfan.dataset.frames import frame_source
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.errors import ArgumentNotFoundError, InvalidArgumentError, NotImplmentError
from qianfan.resources import BosPath

Source: TypeAlias = LocalSource | QianfanDataSource
"""Rows on this machine, or a dataset on the platform."""

Place: TypeAlias = Source | str | Path
"""A source, or the path of a file, also as `bos:/bucket/path`."""


class Keys(TypedDict):
    """Whose account it is: what it is reached with, or keys of another one than the settings'."""

    client: Client | None
    ak: str | None
    sk: str | None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What `Dataset.load` may be given to load from. The first that is given counts, in this order."""

    source: Place | None
    data_file: str | Path | None
    qianfan_dataset_id: int | str | None
    bos_load_args: Mapping[str, Any] | None
    bos_source_args: Mapping[str, Any] | None
    afs_source_args: Mapping[str, Any] | None
    huggingface_dataset: Any
    dataframe: Any

    async def find(self, keys: Keys, *, file_format: FormatType | str | None, format: str | None) -> Source:
        """The source. Nothing is read or looked up yet, but `bos_load_args` create a dataset.

        Raises ArgumentNotFoundError when nothing is given.
        """
        place = self.source if self.source is not None else self.data_file
        if isinstance(place, (str, Path)):
            return _file(place, keys, file_format=file_format, format=format)
        if place is not None:
            return place
        if self.qianfan_dataset_id is not None:
            return QianfanDataSource(self.qianfan_dataset_id, **keys)
        if self.bos_load_args is not None:
            args: dict[str, Any] = {**keys, **self.bos_load_args}
            return await QianfanDataSource.acreate_from_bos_file(**args)
        if self.bos_source_args is not None:
            return _object(self.bos_source_args, keys, file_format=file_format, format=format)
        if self.afs_source_args is not None:
            refuse_afs("afs_source_args")
        frame = self.huggingface_dataset if self.huggingface_dataset is not None else self.dataframe
        if frame is not None:
            return frame_source(frame, format=format)
        raise ArgumentNotFoundError(
            "Dataset.load needs a data_file, a qianfan_dataset_id or a source; or bos_load_args, bos_source_args, "
            "huggingface_dataset or dataframe"
        )


@dataclass(frozen=True, kw_only=True)
class Destination:
    """What `Dataset.save` may be given to save to. The first that is given counts, in this order.

    home: the file that the rows came from, which they are saved to when nothing is given.
    """

    destination: Place | None
    data_file: str | Path | None
    qianfan_dataset_id: int | str | None
    qianfan_dataset_create_args: Mapping[str, Any] | None
    bos_source_args: Mapping[str, Any] | None
    afs_source_args: Mapping[str, Any] | None
    home: FileDataSource | None

    def find(
        self, keys: Keys, *, file_format: FormatType | str | None, save_as_folder: bool
    ) -> FileDataSource | BosDataSource | QianfanDataSource | None:
        """Where to save: a file, an object in storage, or an existing dataset; None for a new dataset.

        Raises ArgumentNotFoundError when nothing is given and the rows came from no file, InvalidArgumentError for a
        source that nothing can be saved to.
        """
        place = self.destination if self.destination is not None else self.data_file
        if isinstance(place, (str, Path)):
            return _file(place, keys, file_format=file_format, save_as_folder=save_as_folder)
        if isinstance(place, (BosDataSource, FileDataSource, QianfanDataSource)):
            return place
        if place is not None:
            raise InvalidArgumentError(f"nothing can be saved to {place!r}")
        if self.qianfan_dataset_id is not None:
            return QianfanDataSource(self.qianfan_dataset_id, **keys)
        if self.qianfan_dataset_create_args is not None:
            return None
        if self.bos_source_args is not None:
            return _object(self.bos_source_args, keys, file_format=file_format)
        if self.afs_source_args is not None:
            refuse_afs("afs_source_args")
        if self.home is not None:
            return self.home
        raise ArgumentNotFoundError(
            "Dataset.save needs a data_file, a qianfan_dataset_id, or qianfan_dataset_create_args with a name"
        )


def _file(path: str | Path, keys: Keys, **how: Any) -> FileDataSource | BosDataSource:
    if not str(path).startswith("bos:"):
        return FileDataSource(path, **how)
    at = BosPath.parse(str(path))
    region = Account(**keys).client.settings.bos_host_region
    return _object({"region": region, "bucket": at.bucket, "bos_file_path": at.key}, keys, **how)


def _object(args: Mapping[str, Any], keys: Keys, **how: Any) -> BosDataSource:
    given: dict[str, Any] = {name: value for name, value in (how | keys).items() if value}
    return BosDataSource(**{**given, **args})


def refuse_afs(name: str) -> NoReturn:
    """Say that one cannot get there from here. Raises NotImplmentError."""
    raise NotImplmentError(
        f"{name}: AFS is storage inside of one company, which this SDK does not reach; copy the file to this machine "
        "or to BOS, and use data_file or bos_source_args"
    )

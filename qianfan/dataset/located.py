"""A table that may be on this machine or on the platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import Self

from qianfan._sync import in_thread, run_sync
from qianfan.dataset import looking
from qianfan.dataset.bos_source import BosDataSource
from qianfan.dataset.cleaning import start_cleaning
from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.places import Source
from qianfan.dataset.platform_rows import rows_at
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.processing import DerivedSource, unpacked
from qianfan.dataset.qianfan_data_operators import QianfanOperator
from qianfan.dataset.row_table import Key
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.dataset.table import Table
from qianfan.errors import InvalidArgumentError
from qianfan.resources.console.consts import DataReleaseStatus, ETLTaskStatus


class LocatedTable(Table):
    """A table whose rows are on this machine, or on the platform, or on both."""

    def __init__(self, source: Source, *, organize_data_as_group: bool = False) -> None:
        self._platform = source if isinstance(source, QianfanDataSource) else None
        self._source = None if isinstance(source, QianfanDataSource) else source
        self._organized = organize_data_as_group
        self._turns: LocalSource | None = None

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def inner_data_source_cache(self) -> Source:
        """Where the rows are: on the platform (with `id`, `template_type`, …), in a bucket, or on this machine."""
        if self._platform is not None:
            return self._platform
        return self._source if isinstance(self._source, BosDataSource) else self.local_source

    @property
    def name(self) -> str:
        """The file's path, or the id on the platform."""
        return str(self._platform.id) if self._platform is not None else super().name

    @property
    def template_type(self) -> DataTemplateType | int | None:
        """The kind of dataset; None while it is not known."""
        return self.inner_data_source_cache.template_type

    @property
    def is_local(self) -> bool:
        """Whether the rows are on this machine."""
        return self._platform is None or self._platform.local is not None

    @property
    def is_released(self) -> bool:
        """Whether the platform said that the dataset can be trained on, at the last look."""
        return self._platform is not None and self._platform.release_status == DataReleaseStatus.Finished

    def is_dataset_located_in_qianfan(self) -> bool:
        """Whether it is a dataset on the platform."""
        return self._platform is not None

    def is_dataset_generic_text(self) -> bool:
        """Whether its rows are plain texts."""
        return self.template_type == DataTemplateType.GenericText

    def __repr__(self) -> str:
        return f"Dataset({', '.join(f'{name}={value}' for name, value in self._facts())})"

    def __str__(self) -> str:
        return looking.text(self._shown)

    def _repr_html_(self) -> str:
        return looking.html(self._shown)

    def show_overview_info(self) -> None:
        """Print what it is and its first rows, as `print(ds)` does."""
        print(self)  # noqa: T201  # that is what it is for

    show_as_table = show_overview_info

    @property
    def _shown(self) -> Source:
        return self._platform if self._platform is not None else self._seen

    def _facts(self) -> list[tuple[str, str]]:
        """What is known without looking: for people."""
        source = self._shown
        if isinstance(source, DerivedSource) and "kind" not in vars(source):
            return [("source", repr(source.name)), ("rows", _rows_known(source))]
        template = getattr(source.template_type, "name", None) or source.template_type or "unknown"
        if isinstance(source, LocalSource):
            shape = source.shape.name if source.shape else "unknown"
            kind = "file" if isinstance(source, FileDataSource) else "source"
            facts = [(kind, repr(source.name)), ("template", str(template)), ("format", shape)]
            return [*facts, ("rows", _rows_known(source))]
        state = getattr(source.release_status, "name", None) or source.release_status
        facts = [("id", repr(source.id)), ("template", str(template))]
        facts += [("name", repr(source.name))] if source.name else []
        facts += [] if source.row_number is None else [("rows", str(source.row_number))]
        return facts if state is None else [*facts, ("release", str(state))]

    # --- rows -----------------------------------------------------------------------------------------------------

    @property
    def _seen(self) -> LocalSource:
        source = self._source if self._platform is None else self._platform.local
        if source is None:
            raise InvalidArgumentError(
                f"dataset {self.name} is on the platform; load it with is_download_to_local=True to have its rows here"
            )
        if isinstance(source, BosDataSource) and source.is_open:
            source = source.local  # what is quick with files is as quick with their copies
        if not self._organized or source.template_type is DataTemplateType.GenericText:
            return source
        if self._turns is None:
            self._turns = unpacked(source)
        return self._turns

    def _with(self, source: LocalSource, anew: bool, *, grouped: bool | None = None) -> Self:
        table = super()._with(source, anew, grouped=grouped)
        table._platform, table._organized = None, False
        return table

    def __len__(self) -> int:
        if self._platform is not None and self._platform.local is None:
            return self._platform.row_number or 0
        return super().__len__()

    async def alist(self, by: Key | None = None) -> Any:
        """All rows, or one by its position, or several. Those of a dataset on the platform come over the network.

        Raises IndexError for a position that does not exist.
        """
        if self._platform is not None and self._platform.local is None:
            return await rows_at(self._platform, by)
        return await in_thread(self.list, by)

    def list(self, by: Key | None = None) -> Any:
        """All rows, or those that `ds[by]` gives."""
        return self.to_pylist() if by is None and self.is_local else self[slice(None) if by is None else by]

    def __getitem__(self, key: Key) -> Any:
        if self.is_local:
            return super().__getitem__(key)
        return run_sync(self.alist, key)

    # --- cleaning by the platform ---------------------------------------------------------------------------------

    async def astart_online_data_process_task(self, operators: Sequence[QianfanOperator]) -> str:
        """Have the platform clean the texts of this dataset into a new one, and return the id of that work.

        operators: those of `qianfan.dataset.qianfan_data_operators`.
        Raises InvalidArgumentError for a dataset that is not on the platform or holds no texts.
        """
        return (await start_cleaning(self._on_the_platform, operators)).etl_id

    def start_online_data_process_task(self, operators: Sequence[QianfanOperator]) -> str:
        """Blocking form of `astart_online_data_process_task`."""
        return run_sync(self.astart_online_data_process_task, operators)

    async def aonline_data_process(self, operators: Sequence[QianfanOperator]) -> dict[str, Any]:
        """Have the platform clean the texts of this dataset into a new one, and wait until that is done.

        Returns `{"is_succeeded": …, "new_dataset_id": "ds-…", "etl_task_id": …, "reason": …}`; the reason is empty
        unless it failed. Raises as `astart_online_data_process_task` does.
        """
        started = await start_cleaning(self._on_the_platform, operators)
        ended = await started.finish()
        return {
            "is_succeeded": ended.process_status == ETLTaskStatus.Finished,
            "new_dataset_id": started.filled.dataset_id,
            "etl_task_id": started.etl_id,
            "reason": ended.reason,
        }

    def online_data_process(self, operators: Sequence[QianfanOperator]) -> dict[str, Any]:
        """Blocking form of `aonline_data_process`."""
        return run_sync(self.aonline_data_process, operators)

    @property
    def _on_the_platform(self) -> QianfanDataSource:
        if self._platform is None:
            raise InvalidArgumentError(f"only a dataset on the platform can be cleaned there; upload {self.name} first")
        return self._platform


def _rows_known(source: LocalSource) -> str:
    return "not counted" if source.known_length is None else str(source.known_length)

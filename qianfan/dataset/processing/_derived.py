"""Sources made of other sources: nothing is read before rows are asked for, and no rows are kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import TypeAlias

from qianfan._sync import stop_if_cancelled
from qianfan.dataset.consts import DataFormat, DataTemplateType
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.rows import Row
from qianfan.dataset.shapes import Shape
from qianfan.dataset.sources import FileDataSource, LocalSource

Kind: TypeAlias = "tuple[Shape | None, DataTemplateType | None]"
"""The shape of rows, and the kind of dataset they make."""

_ROWS_BETWEEN_LOOKS = 1_000


def opened(source: LocalSource) -> LocalSource:
    """The same source, with its shape known: a file that nobody opened yet is opened."""
    if isinstance(source, FileDataSource) and source.shape is None:
        source.open()
    return source


def each_raw_row(source: LocalSource) -> Iterator[RawRow]:
    """All raw rows of a source, for a pass over everything: it ends when the call it works for is cancelled."""
    for number, raw in enumerate(opened(source).raw_rows()):
        if number % _ROWS_BETWEEN_LOOKS == 0:
            stop_if_cancelled()
        yield raw


def origin_name(source: LocalSource) -> str:
    """What the places of a source's rows are counted in; empty where they come from several sources."""
    while isinstance(source, DerivedSource):
        if len(source.parents) != 1:
            return ""
        source = source.parents[0]
    return source.name


class DerivedSource(LocalSource):
    """Rows made of the rows of other sources. Each keeps the place that it comes from.

    parents: the sources. A derived source reads them again whenever its own rows are read.
    """

    def __init__(self, *parents: LocalSource) -> None:
        self.parents = parents
        self.name = parents[0].name

    @property
    def is_near(self) -> bool:
        """Whether the first rows can be read without a pass over everything."""
        return all(not isinstance(parent, DerivedSource) or parent.is_near for parent in self.parents)

    def nearby(self, reach: int) -> Iterator[RawRow]:
        """As the function `nearby`."""
        return islice(self.raw_rows(), reach) if self.is_near else iter(())

    @cached_property
    def kind(self) -> Kind:
        """The shape of the rows and the kind of dataset they make; as in the first parent."""
        first = opened(self.parents[0])
        return first.shape, first.template_type

    @property
    def shape(self) -> Shape | None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # found out when asked
        return self.kind[0]

    @property
    def template_type(self) -> DataTemplateType | None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # found out when asked
        return self.kind[1]

    @property
    def data_format(self) -> DataFormat | None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # found out when asked
        first = opened(self.parents[0])
        return first.data_format if first.template_type is self.template_type else None


def nearby(source: LocalSource, reach: int) -> Iterator[RawRow]:
    """The first rows of a source, for a look at it: those that are found with so many rows read of what it is made of.

    There are none where a pass over everything has to come first, as before rows are shuffled.
    """
    return source.nearby(reach) if isinstance(source, DerivedSource) else islice(source.raw_rows(), reach)


class PartSource(DerivedSource):
    """Rows of one other source as they are: some of them, or in another order."""

    def read(self, raw: RawRow) -> Row | list[RowProblem]:
        return opened(self.parents[0]).read(raw)

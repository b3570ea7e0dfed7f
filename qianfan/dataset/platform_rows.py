"""Rows that stay on the platform, read one by one over the network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, Final, SupportsIndex

import anyio

from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.row_table import Key
from qianfan.dataset.rows import JsonRow
from qianfan.errors import InvalidArgumentError, QianfanRequestError
from qianfan.resources import Platform
from qianfan.resources.schemas import Entity

_PAGE: Final = 30
_AT_ONCE: Final = 8
"""Rows that are fetched at the same time."""


async def rows_at(source: QianfanDataSource, wanted: Key | None) -> Any:
    """The row at a position, or a list of the rows of a slice, at several positions, or of all.

    Rows come by pages of thirty, each with a request of its own, so for many of them a download is faster.

    Raises IndexError for a position that does not exist, InvalidArgumentError for columns and for a dataset of images,
    QianfanRequestError for a row that is not what the platform says it is.
    """
    if source.template_type == DataTemplateType.Text2Image:
        raise InvalidArgumentError(f"dataset {source.id} holds images; load it with is_download_to_local=True")
    if isinstance(wanted, str) or (isinstance(wanted, Sequence) and any(isinstance(one, str) for one in wanted)):
        raise InvalidArgumentError(
            f"dataset {source.id} is on the platform, which gives whole rows; load it with is_download_to_local=True"
        )
    first = await source.platform.entities.list_page(source.key, 0, 1)
    size = first.total
    if isinstance(wanted, SupportsIndex):
        return (await _rows(source, [_existing(index(wanted), size, source)]))[0]
    if wanted is None or isinstance(wanted, slice):
        return await _rows(source, range(size)[wanted or slice(None)])
    return await _rows(source, [_existing(int(position), size, source) for position in wanted])


def _existing(position: int, size: int, source: QianfanDataSource) -> int:
    if not -size <= position < size:
        raise IndexError(f"row {position} of dataset {source.id}, which has {size}")
    return position % size


async def _rows(source: QianfanDataSource, positions: Sequence[int]) -> list[JsonRow]:
    """The rows at positions that exist, in their order."""
    found: dict[int, JsonRow] = {}
    for page in sorted({position // _PAGE for position in positions}):
        entities = (await source.platform.entities.list_page(source.key, page * _PAGE, _PAGE)).items
        wanted = {position for position in positions if position // _PAGE == page}
        found |= await _contents(
            source, {at: entity for at, entity in enumerate(entities, start=page * _PAGE) if at in wanted}
        )
    missing = next((position for position in positions if position not in found), None)
    if missing is not None:
        raise QianfanRequestError(f"dataset {source.id} changed while it was read: row {missing} is gone")
    return [found[position] for position in positions]


async def _contents(source: QianfanDataSource, entities: Mapping[int, Entity]) -> dict[int, JsonRow]:
    """The rows behind the entries of one page. What fails first is raised, and the others are given up."""
    found: dict[int, JsonRow] = {}
    failures: list[Exception] = []
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def fetch(entity: Entity, position: int) -> None:
        try:
            async with limiter:
                found[position] = await _row(source.platform, entity, source)
        except Exception as error:  # out of the task group, which would wrap it
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for position, entity in entities.items():
            tasks.start_soon(fetch, entity, position)
    if failures:
        raise failures[0]
    return found


async def _row(platform: Platform, entity: Entity, source: QianfanDataSource) -> JsonRow:
    content = await platform.entities.content(entity)
    try:
        text = content.decode()
        return text if source.template_type == DataTemplateType.GenericText else json.loads(text)
    except ValueError as error:
        raise QianfanRequestError(f"dataset {source.id}: row {entity.id} is not what it should be: {error}") from error

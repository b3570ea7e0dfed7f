"""The rows of a dataset version, one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from qianfan._transport import Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Resource, v1_data
from qianfan.resources.console.consts import EntityListingType
from qianfan.resources.schemas import EntitiesDeleted, Entity, EntityPage

LIST = v1_data("/entity/list", Safety.READ)
ANNOTATE = v1_data("/entity/annotate", Safety.EFFECT)
DELETE = v1_data("/entity/delete", Safety.EFFECT)

_LARGEST_PAGE: Final = 30


class Entities(Resource):
    """Rows of dataset versions that are not released. A `dataset_id` is a version: `ds-…`, or its number."""

    async def list_page(
        self,
        dataset_id: str | int,
        offset: int = 0,
        page_size: int = 20,
        *,
        imported: Sequence[int] | None = None,
        annotated: Sequence[int] | None = None,
        kind: EntityListingType | int = EntityListingType.All,
        label_id: str | None = None,
    ) -> EntityPage:
        """Some rows, from the one at `offset` on.

        page_size: 1 to 30. imported, annotated: from and until when, in seconds since 1970. kind: all of them, or
        only those with, or without, annotation. label_id: images with this label alone.

        Raises InvalidArgumentError for a span of time that is no pair.
        """
        body = {
            "datasetId": dataset_id,
            "offset": offset,
            "pageSize": page_size,
            "tabType": kind,
            "importTime": _span("imported", imported),
            "annoTime": _span("annotated", annotated),
            "labelId": label_id or None,
        }
        return await self._ask(LIST, body, EntityPage)

    async def rows(self, dataset_id: str | int, **filters: Any) -> AsyncGenerator[Entity, None]:
        """All rows of a version, page after page. filters: as of `list_page`. Rows must not be deleted meanwhile."""
        offset = 0
        while True:
            page = await self.list_page(dataset_id, offset, _LARGEST_PAGE, **filters)
            for row in page.items:
                yield row
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return

    async def content(self, entity: Entity) -> bytes:
        """The text of a row as it lies in the dataset, or its image. Its link is good for a while only."""
        async with self._client.download(entity.url) as download:
            return b"".join([piece async for piece in download])

    async def annotate(
        self,
        entity_id: str,
        dataset_id: str | int,
        content: Sequence[Mapping[str, Any]] | None = None,
        labels: Sequence[Mapping[str, Any]] | None = None,
    ) -> bool:
        """Put other content in place of a row's: `[{"prompt": …, "response": [["…"]]}]`, or labels of an image.

        Raises InvalidArgumentError when there is neither.
        """
        if not content and not labels:
            raise InvalidArgumentError("a row is annotated with content, an image with labels")
        body = {
            "id": entity_id,
            "datasetId": dataset_id,
            "content": list(content) if content else None,
            "labels": list(labels) if labels and not content else None,
        }
        return await self._do(ANNOTATE, body)

    async def delete(self, entity_ids: Sequence[str], dataset_id: str | int) -> EntitiesDeleted:
        """Take rows out of a version."""
        return await self._ask(DELETE, {"id": list(entity_ids), "datasetId": dataset_id}, EntitiesDeleted)


def _span(name: str, span: Sequence[int] | None) -> list[int] | None:
    if span is not None and len(span) != 2:
        raise InvalidArgumentError(f"{name} must be two moments, from and until, found {len(span)}")
    return list(span) if span else None

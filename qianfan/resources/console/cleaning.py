"""Work that fills an empty dataset version from another: cleaning (ETL) and augmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from qianfan._transport import Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Resource, odd_answer, v1_data
from qianfan.resources.schemas import AugmentPage, AugmentTask, EtlPage, EtlTask

ETL_CREATE = v1_data("/etl/create", Safety.PURCHASE, creates="cleaning")
ETL_DETAIL = v1_data("/etl/detail", Safety.READ)
ETL_LIST = v1_data("/etl/list", Safety.READ)
ETL_DELETE = v1_data("/etl/delete", Safety.EFFECT)

AUGMENT_CREATE = v1_data("/enhance/create", Safety.PURCHASE, creates="augmentation")
AUGMENT_DETAIL = v1_data("/enhance/detail", Safety.READ)
AUGMENT_LIST = v1_data("/enhance/list", Safety.READ)
AUGMENT_DELETE = v1_data("/enhance/delete", Safety.EFFECT)

_TEXTS: Final = 2


class Cleaning(Resource):
    """Cleaning of text rows. Versions are named by `ds-…`; the one that is filled must be empty, of the same kind."""

    async def create(
        self,
        name: str,
        source_dataset_id: str,
        destination_dataset_id: str,
        operations: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> str:
        """Start a cleaning and return its id; "" where the platform does not tell it, then `find` does.

        operations: the stages `clean`, `filter`, `deduplication`, `desensitization`, each a list of
            `{"name": "remove_emoji", "args": {}}`.
        """
        body = {
            "etlTaskName": name,
            "sourceDatasetId": source_dataset_id,
            "destDatasetId": destination_dataset_id,
            "entityType": _TEXTS,
            "operationsV2": operations,
        }
        reply = await self._send(ETL_CREATE, body)
        if reply.result is True:
            return ""
        if isinstance(reply.result, bool) or not isinstance(reply.result, (str, int)):
            raise odd_answer(ETL_CREATE, reply, "result")
        return str(reply.result)

    async def detail(self, etl_id: str | int) -> EtlTask:
        """How a cleaning stands, and what came of each operator."""
        return await self._ask(ETL_DETAIL, {"etlId": etl_id}, EtlTask)

    async def list_page(self, page_size: int = 10, offset: int = 0) -> EtlPage:
        """Some of the account's cleanings."""
        return await self._ask(ETL_LIST, {"offset": offset, "pageSize": page_size}, EtlPage)

    async def find(self, source_dataset_id: str, destination_dataset_id: str) -> EtlTask | None:
        """The cleaning that fills one version from another, None when there is none."""
        offset = 0
        while True:
            page = await self.list_page(100, offset)
            for task in page.items:
                if (task.source_dataset_id, task.dest_dataset_id) == (source_dataset_id, destination_dataset_id):
                    return task
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return None

    async def delete(self, etl_ids: Sequence[str | int]) -> bool:
        """Forget cleanings; one that is under way is given up."""
        return await self._do(ETL_DELETE, {"etlIds": list(etl_ids)})


class Augmentation(Resource):
    """New rows made up by a model from seed rows. The version that gets them must be empty, of the same kind."""

    async def create(
        self,
        name: str,
        source_dataset_id: str,
        destination_dataset_id: str,
        dev_api_id: str,
        app_id: int,
        num_seed_fewshot: int,
        num_instances_to_generate: int,
        similarity_threshold: float,
    ) -> bool:
        """Start an augmentation. The platform does not tell its id; `list_page` does.

        dev_api_id: the service that makes rows up. num_seed_fewshot: seeds for each, 1 to 10.
        num_instances_to_generate: 1 to 5000. similarity_threshold: 0 to 1, how alike a row may be to one there is.

        Raises InvalidArgumentError for a number outside of its limits.
        """
        _within("num_seed_fewshot", num_seed_fewshot, 1, 10)
        _within("num_instances_to_generate", num_instances_to_generate, 1, 5000)
        _within("similarity_threshold", similarity_threshold, 0, 1)
        body = {
            "name": name,
            "isSelfInstruct": True,
            "sourceDatasetId": source_dataset_id,
            "destDatasetId": destination_dataset_id,
            "devApiId": dev_api_id,
            "appId": app_id,
            "numSeedFewshot": num_seed_fewshot,
            "numInstancesToGenerate": num_instances_to_generate,
            "similarityThreshold": similarity_threshold,
        }
        return await self._do(AUGMENT_CREATE, body)

    async def detail(self, task_id: str | int) -> AugmentTask:
        """How an augmentation stands."""
        return await self._ask(AUGMENT_DETAIL, {"taskId": task_id}, AugmentTask)

    async def list_page(
        self,
        keyword: str | None = None,
        sorted_by_start_time_asc: bool | None = None,
        page_size: int = 10,
        offset: int = 0,
    ) -> AugmentPage:
        """Some of the account's augmentations, by id unless they are sorted by time.

        keyword: a part of their names. sorted_by_start_time_asc: True for the oldest first, False for the newest.
        """
        order = {True: "asc", False: "desc", None: None}[sorted_by_start_time_asc]
        body = {
            "isSelfInstruct": True,
            "offset": offset,
            "pageSize": page_size,
            "word": keyword or None,
            "sortField": "startTime" if order else None,
            "sortBy": order,
        }
        return await self._ask(AUGMENT_LIST, body, AugmentPage)

    async def delete(self, task_ids: Sequence[str | int]) -> bool:
        """Forget augmentations; one that is under way is given up."""
        return await self._do(AUGMENT_DELETE, {"taskIds": list(task_ids)})


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidArgumentError(f"{name} must be from {low} to {high}, found {value}")

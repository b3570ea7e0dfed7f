"""Cleaning of a dataset by the platform: a new dataset is filled from one that stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qianfan.dataset.consts import DataStorageType, DataTemplateType
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.qianfan_data_operators import QianfanOperator, by_stage
from qianfan.errors import InvalidArgumentError, QianfanRequestError
from qianfan.pipeline import Mark, Purchase, Receipt
from qianfan.resources.purchase import lone_purchases, name_with, new_token
from qianfan.resources.schemas import EtlTask
from qianfan.resources.waiting import watch
from qianfan.utils.logging import logger


@dataclass(frozen=True, slots=True)
class StartedCleaning:
    """A cleaning that has begun. etl_id: what calls name it by. filled: the dataset that its rows go to."""

    etl_id: str
    filled: QianfanDataSource

    async def finish(self) -> EtlTask:
        """Wait for its end, good or bad."""
        platform = self.filled.platform
        return await watch(
            lambda: platform.cleaning.detail(self.etl_id),
            until=lambda task: task.is_over,
            tell=lambda task: logger.debug("cleaning %s: %s", self.etl_id, task.process_status),
            every=platform.client.settings.etl_status_polling_interval,
            client=platform.client,
        )


async def start_cleaning(source: QianfanDataSource, operators: Sequence[QianfanOperator]) -> StartedCleaning:
    """Make an empty dataset beside one of texts, in storage of the same kind, and have it filled by a cleaning.

    Raises InvalidArgumentError for another kind of dataset and when there are no operators.
    """
    operations = by_stage(operators)
    info = await source.arefresh()
    if info.template_type != DataTemplateType.GenericText:
        kind = getattr(info.template_type, "name", None) or info.template_type
        raise InvalidArgumentError(f"dataset {source.id!r} is of kind {kind}; only GenericText can be cleaned online")
    platform = source.platform
    token = new_token()
    owns_storage = info.storage_type == DataStorageType.PrivateBos
    filled = await QianfanDataSource.acreate_bare_dataset(
        name_with(token, info.name),
        DataTemplateType.GenericText,
        DataStorageType.PrivateBos if owns_storage else DataStorageType.PublicBos,
        info.storage.storage_id if owns_storage else None,
        info.storage.raw_storage_path if owns_storage else None,
        client=platform.client,
    )
    ends = info.dataset_id, (await filled.arefresh()).dataset_id

    def request(mark: Mark) -> dict[str, Any]:
        return {"name": name_with(mark.token, "clean"), "source": ends[0], "filled": ends[1], "operations": operations}

    async def find(mark: Mark) -> list[Receipt]:
        task = await platform.cleaning.find(*ends)
        return [] if task is None else [Receipt(task.etl_id)]

    async def create(request: Mapping[str, Any]) -> Receipt:
        etl_id = await platform.cleaning.create(request["name"], *ends, request["operations"])
        if etl_id:
            return Receipt(etl_id)
        task = await platform.cleaning.find(*ends)
        if task is None:
            raise QianfanRequestError(f"the platform took the cleaning of {source.id!r}, and does not list it")
        return Receipt(task.etl_id)

    settle = platform.client.settings.submit_settle_seconds
    orders = lone_purchases(f"cleaning {token}", platform.client.clock, settle)
    made = await orders.ensure(Purchase("cleaning", request, create, find))
    logger.info("cleaning %s: dataset %s fills %s", made.id, *ends)
    return StartedCleaning(str(made.id), filled)

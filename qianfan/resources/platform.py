"""The platform as one object: every area of its API over one client."""

from __future__ import annotations

from functools import cached_property

from qianfan._transport import Client, default_client
from qianfan.resources.bos import Bos
from qianfan.resources.console.data import Data, DataV2
from qianfan.resources.console.finetune import FineTuning, FineTuningV1
from qianfan.resources.console.model import Models, ModelsV2
from qianfan.resources.console.service import Services, ServicesV1


class Platform:
    """Typed calls by area. Making one sends nothing; `client` defaults to the process-wide one."""

    def __init__(self, client: Client | None = None) -> None:
        self._client = client

    @cached_property
    def client(self) -> Client:
        """The client behind all areas."""
        return self._client if self._client is not None else default_client()

    @cached_property
    def finetune(self) -> FineTuning:
        """Fine-tuning jobs and tasks."""
        return FineTuning(self.client)

    @cached_property
    def finetune_v1(self) -> FineTuningV1:
        """Fine-tuning, first generation."""
        return FineTuningV1(self.client)

    @cached_property
    def data(self) -> Data:
        """Datasets, first generation: what accepts all data kinds and numeric ids."""
        return Data(self.client)

    @cached_property
    def data_v2(self) -> DataV2:
        """Datasets, second generation."""
        return DataV2(self.client)

    @cached_property
    def models(self) -> Models:
        """Models, first generation: publishing."""
        return Models(self.client)

    @cached_property
    def models_v2(self) -> ModelsV2:
        """Models, second generation."""
        return ModelsV2(self.client)

    @cached_property
    def services(self) -> Services:
        """Deployed services."""
        return Services(self.client)

    @cached_property
    def services_v1(self) -> ServicesV1:
        """Deployed services, first generation."""
        return ServicesV1(self.client)

    @cached_property
    def bos(self) -> Bos:
        """Object storage."""
        return Bos(self.client)

"""The platform as one object: every area of its API over one client."""

from __future__ import annotations

from functools import cached_property

from qianfan._transport import Client, default_client
from qianfan.resources.bos import Bos
from qianfan.resources.console.batch_inference import BatchInference
from qianfan.resources.console.charge import Charges
from qianfan.resources.console.cleaning import Augmentation, Cleaning
from qianfan.resources.console.data import Datasets, DatasetsV2
from qianfan.resources.console.entities import Entities
from qianfan.resources.console.eval import Evaluations, EvaluationsV2
from qianfan.resources.console.finetune import FineTuning, FineTuningV1
from qianfan.resources.console.iam import Iam
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
    def data(self) -> Datasets:
        """Datasets, first generation: what accepts all data kinds and numeric ids."""
        return Datasets(self.client)

    @cached_property
    def data_v2(self) -> DatasetsV2:
        """Datasets, second generation."""
        return DatasetsV2(self.client)

    @cached_property
    def entities(self) -> Entities:
        """The rows of datasets, one by one."""
        return Entities(self.client)

    @cached_property
    def cleaning(self) -> Cleaning:
        """Cleaning of text rows."""
        return Cleaning(self.client)

    @cached_property
    def augmentation(self) -> Augmentation:
        """Rows made up from seed rows."""
        return Augmentation(self.client)

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
    def charges(self) -> Charges:
        """Quota and compute units: what was bought, buying, giving back."""
        return Charges(self.client)

    @cached_property
    def evaluations(self) -> Evaluations:
        """Evaluations of models, first generation: what tells how good answers were."""
        return Evaluations(self.client)

    @cached_property
    def evaluations_v2(self) -> EvaluationsV2:
        """Evaluations of models, second generation."""
        return EvaluationsV2(self.client)

    @cached_property
    def batch_inference(self) -> BatchInference:
        """Offline batch inference."""
        return BatchInference(self.client)

    @cached_property
    def iam(self) -> Iam:
        """Tokens for other programs."""
        return Iam(self.client)

    @cached_property
    def bos(self) -> Bos:
        """Object storage."""
        return Bos(self.client)

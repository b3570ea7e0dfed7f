"""What the actions of a trainer hand on.

Each artefact is typed, for actions that need it, and reads like a dictionary under the documented keys, for event
handlers: `event.data["service"]`. The dictionary is a union: an artefact also answers for the ones it was made from, so
no step hides what an earlier one produced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, PrivateAttr

from qianfan._sync import run_sync
from qianfan._transport import Client
from qianfan.dataset import Dataset
from qianfan.evaluation import EvaluationResult
from qianfan.model import Model, Service, ServiceType
from qianfan.model.asking import dataset_of
from qianfan.model.batching import answered_alone, outputs_at
from qianfan.resources import Platform
from qianfan.resources.schemas import BatchTask, Task


class Artefact(BaseModel):
    """Something an action made, with the artefact it was made from."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, protected_namespaces=())

    documented_keys: ClassVar[tuple[str, ...]] = ()
    """The attributes that the dictionary shows."""

    @property
    def origin(self) -> Artefact | None:
        """What this was made from."""
        return None

    def keys(self) -> list[str]:
        """The documented keys, those of earlier steps first."""
        earlier = self.origin.keys() if self.origin is not None else []
        return [*earlier, *(key for key in self.documented_keys if key not in earlier)]

    def __getitem__(self, key: str) -> Any:
        if key in self.documented_keys:
            return getattr(self, key)
        if self.origin is not None:
            return self.origin[key]
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value under a key, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # read as a dictionary, not as pairs of fields
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def items(self) -> list[tuple[str, Any]]:
        """Keys and values of the union."""
        return [(key, self[key]) for key in self.keys()]

    def values(self) -> list[Any]:
        """Values of the union."""
        return [self[key] for key in self.keys()]

    def __repr__(self) -> str:
        facts = {key: value for key, value in self.items() if not isinstance(value, (dict, list))}
        return f"{type(self).__name__}({facts or dict(self.items())})"

    __str__ = __repr__


Mapping.register(Artefact)  # pyright: ignore[reportAttributeAccessIssue]  # every ABC has register


class PlatformDataset(Artefact):
    """Data the platform can train on.

    datasets: `sourceType`, `versions` and `splitRatio`, as the training request wants them.
    corpus_config: texts of the platform's own to mix in, or None.
    """

    documented_keys = ("datasets",)

    datasets: dict[str, Any]
    corpus_config: dict[str, Any] | None = None


class TrainedJob(Artefact):
    """A training run that is done.

    metrics: `"21.50%"` by name. checkpoints: `step`, `trainingLoss`, `perplexity` each; the last is the last step.
    """

    documented_keys = ("task_id", "job_id", "metrics", "checkpoints")

    task_id: str
    job_id: str
    job_name: str = ""
    metrics: dict[str, Any] = {}
    checkpoints: list[dict[str, Any]] = []
    vdl_link: str | None = None
    log_link: str | None = None
    dataset: PlatformDataset | None = None

    @property
    def origin(self) -> Artefact | None:
        return self.dataset

    @property
    def final_loss(self) -> float | None:
        """Training loss of the last checkpoint, in nats per token; None when the platform gave none."""
        loss = self.checkpoints[-1].get("trainingLoss") if self.checkpoints else None
        return None if loss is None else float(loss)

    @classmethod
    def of(cls, task: Task, dataset: PlatformDataset | None, log_link: str) -> TrainedJob:
        """The artefact of a task that is Done."""
        return cls(
            task_id=task.task_id,
            job_id=task.job_id,
            job_name=task.job_name,
            metrics=task.metrics or {},
            checkpoints=[point.model_dump(mode="json", by_alias=True) for point in task.checkpoint_list or []],
            vdl_link=task.vdl_link,
            log_link=log_link,
            dataset=dataset,
        )


class _Connected(Artefact):
    """An artefact that offers an object to talk through."""

    _client: Client | None = PrivateAttr(default=None)

    def connect(self, client: Client) -> None:
        """The client that the offered objects use; the process-wide one after a restart."""
        self._client = client


class PublishedModel(_Connected):
    """A model version that is ready. model_id is the version (`amv-…`), also `model_version_id`."""

    documented_keys = ("model_id", "model_version_id", "model_set_id", "model")

    model_id: str
    model_set_id: str
    name: str = ""
    job: TrainedJob | None = None
    _model: Model | None = PrivateAttr(default=None)

    @property
    def origin(self) -> Artefact | None:
        return self.job

    @property
    def model_version_id(self) -> str:
        """The same as `model_id`."""
        return self.model_id

    @property
    def model(self) -> Model:
        """The model, to deploy it or to ask about it."""
        if self._model is None:
            self._model = Model(
                self.model_set_id,
                self.model_id,
                job_id=self.job.job_id if self.job else None,
                task_id=self.job.task_id if self.job else None,
                name=self.name or None,
                client=self._client,
            )
        return self._model

    @classmethod
    def of(cls, model: Model, job: TrainedJob | None) -> PublishedModel:
        """The artefact of a published model."""
        published = cls(model_id=str(model.id), model_set_id=str(model.set_id), name=model.name or "", job=job)
        published._model = model
        return published


class DeployedService(_Connected):
    """A service that answers."""

    documented_keys = ("service_id", "service_endpoint", "service")

    service_id: str
    service_endpoint: str
    service_type: ServiceType = ServiceType.Chat
    published: PublishedModel | None = None
    _service: Service | None = PrivateAttr(default=None)

    def connect(self, client: Client) -> None:
        super().connect(client)
        if self.published is not None:
            self.published.connect(client)

    @property
    def origin(self) -> Artefact | None:
        return self.published

    @property
    def service(self) -> Service:
        """The service, to ask it: `service.exec({"messages": [...]})`."""
        if self._service is None:
            self._service = Service(
                self.service_id,
                self.service_endpoint,
                self.published.model if self.published else None,
                service_type=self.service_type,
                client=self._client,
            )
            if self.published is not None:
                self.published.model.service = self._service
        return self._service

    @classmethod
    def of(cls, service: Service, published: PublishedModel | None) -> DeployedService:
        """The artefact of a service that answers."""
        deployed = cls(
            service_id=str(service.id),
            service_endpoint=service.endpoint or "",
            service_type=service.service_type,
            published=published,
        )
        deployed._service = service
        return deployed


class BatchAnswers(_Connected):
    """What a model answered on the platform. The answers stay in the bucket; `dataset()` fetches them.

    inference_id: the batch inference (`infer-…`). output_uri: the folder of the answers. rows: how many there are.
    """

    documented_keys = ("inference_id", "output_uri")

    inference_id: str
    output_uri: str
    rows: int = 0
    published: PublishedModel | None = None

    def connect(self, client: Client) -> None:
        super().connect(client)
        if self.published is not None:
            self.published.connect(client)

    @property
    def origin(self) -> Artefact | None:
        return self.published

    @classmethod
    def of(cls, task: BatchTask, published: PublishedModel) -> BatchAnswers:
        """The artefact of a batch inference that is done."""
        made = cls(inference_id=task.task_id, output_uri=task.output_uri, rows=task.progress, published=published)
        made._client = published._client
        return made

    async def adataset(self) -> Dataset:
        """The questions with their answers, in the order of the questions: rows with `input` and `output`."""
        outputs = await outputs_at(self.output_uri, Platform(self._client))
        return dataset_of(answered_alone(outputs), f"answers of {self.inference_id}")

    def dataset(self) -> Dataset:
        """Blocking form of `adataset`."""
        return run_sync(self.adataset)


class Evaluation(_Connected):
    """What the evaluators said about the answers of the service, or of the model where it is not deployed yet."""

    documented_keys = ("eval_res",)

    eval_res: EvaluationResult
    made_from: DeployedService | PublishedModel | None = None

    def connect(self, client: Client) -> None:
        super().connect(client)
        if self.made_from is not None:
            self.made_from.connect(client)

    @property
    def origin(self) -> Artefact | None:
        return self.made_from


class GateDecision(_Connected):
    """Whether a model is good enough for what comes next. It counts as true if it is.

    rule: what decided, in words. metrics: what it was decided by.
    """

    documented_keys = ("gate",)

    passed: bool
    rule: str
    metrics: dict[str, Any]
    made_from: Evaluation | None = None

    def __bool__(self) -> bool:
        return self.passed

    def connect(self, client: Client) -> None:
        super().connect(client)
        if self.made_from is not None:
            self.made_from.connect(client)

    @property
    def origin(self) -> Artefact | None:
        return self.made_from

    @property
    def gate(self) -> dict[str, Any]:
        """The decision as plain values."""
        return {"passed": self.passed, "rule": self.rule, "metrics": self.metrics}

    def __repr__(self) -> str:
        return f"GateDecision({'passed' if self.passed else 'not passed'}: {self.rule} with {self.metrics})"

    __str__ = __repr__


class TrainResult(dict[str, Any]):
    """All that a run made, under the documented keys; also as attributes: `result.service`.

    A real dictionary. Printing it gives a short summary without nested data.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the run made no {name!r}; it made {sorted(self)}") from None

    def __repr__(self) -> str:
        lines = [f"  {name}: {_short(value)}" for name, value in self.items()]
        return "\n".join(["TrainResult", *lines]) if lines else "TrainResult (nothing made yet)"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(_short(self[key]))}</td></tr>" for key in self)
        return f"<table>{rows}</table>"


def _short(value: Any) -> str:
    if isinstance(value, EvaluationResult):
        value = repr(value)  # printed, it is a table
    text = f"{len(value)} entries" if isinstance(value, list) and len(value) > 3 else str(value)
    return text if len(text) <= 160 else text[:159] + "…"

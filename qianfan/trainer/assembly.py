"""What a trainer is: the steps that its arguments make, and what is known of their run. Nothing here sends anything."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar, Literal, TypeAlias

from qianfan._transport import Client
from qianfan.config import Settings, default_settings
from qianfan.errors import InvalidArgumentError
from qianfan.evaluation import EvaluationResult, Evaluator
from qianfan.journal import SqliteJournal
from qianfan.model import Model
from qianfan.pipeline import Action, BaseAction, Row, Run, RunRecord, event_being_handled, new_id
from qianfan.pipeline._adapter import adapt
from qianfan.pipeline._events import AnyHandler, as_handlers
from qianfan.pipeline._pipeline import outputs_so_far
from qianfan.pipeline._plan import fingerprint
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataFormat, DataTemplateType, PeftType, TrainMode
from qianfan.resources.purchase import token_for
from qianfan.trainer.actions import (
    AttachAction,
    DeployAction,
    LoadDataSetAction,
    ModelPublishAction,
    TrainAction,
    evaluation_of,
)
from qianfan.trainer.arguments import (
    DeployConfigLike,
    TrainConfigLike,
    base_of,
    checked_id,
    deploy_config_of,
    made_of,
    one_corpus,
    peft_type_of,
    plain_arguments,
    refuse_unknown,
    train_config_of,
    with_beside,
)
from qianfan.trainer.artefacts import Artefact, TrainResult, _Connected
from qianfan.trainer.before import EvaluateModelAction, evaluation_before
from qianfan.trainer.catalog import Catalog, ModelInfo
from qianfan.trainer.configs import CorpusConfig, DatasetConfig, ResourceConfig
from qianfan.trainer.consts import TrainStatus
from qianfan.trainer.gate import DeployIf, GateAction, GateRule, gate_rule_of
from qianfan.trainer.handlers import Filtered
from qianfan.trainer.kept_actions import kept_action
from qianfan.trainer.loading import check_template
from qianfan.trainer.pipeline import Pipeline
from qianfan.trainer.state import ids_in, is_id
from qianfan.trainer.status import Status, status_after
from qianfan.utils.logging import logger

Handlers: TypeAlias = AnyHandler | list[AnyHandler]

OnInterrupt: TypeAlias = Literal["detach", "stop"]


class AssembledTrainer:
    """A trainer at rest."""

    mode: ClassVar[TrainMode] = TrainMode.SFT
    template: ClassVar[DataTemplateType | None] = DataTemplateType.NonSortedConversation
    data_format: ClassVar[DataFormat | None] = None
    """The kind of rows in newer words, where the template does not tell it."""
    publishes: ClassVar[bool] = True

    def __init__(
        self,
        train_type: str | None = None,
        dataset: Any = None,
        train_config: TrainConfigLike | None = None,
        deploy_config: DeployConfigLike | None = None,
        event_handler: Handlers | None = None,
        *,
        name: str | None = None,
        client: Client | None = None,
        base_model: str | None = None,
        eval_dataset: Any = None,
        evaluators: Sequence[Evaluator] | None = None,
        deploy_if: DeployIf | GateRule | None = None,
        dataset_bos_path: str | None = None,
        dataset_template: DataTemplateType | None = None,
        previous_trainer: AssembledTrainer | None = None,
        previous_task_id: str | int | None = None,
        previous_model: Model | str | int | None = None,
        task_step: int | None = None,
        corpus_config: CorpusConfig | Mapping[str, Any] | None = None,
        corpus_type: Any = None,
        corpus_proportion: str | None = None,
        corpus_labels: Sequence[str] | None = None,
        eval_split_ratio: float | None = None,
        sampling_rate: float | None = None,
        peft_type: PeftType | str | None = None,
        resource_config: ResourceConfig | Mapping[str, Any] | None = None,
        job_description: str = "",
        task_description: str = "",
        train_extras: Mapping[str, Any] | None = None,
        validate_strict: bool = True,
        model_not_publish: bool = False,
        post_actions: Sequence[Action[Any] | BaseAction] = (),
        submission: Literal["strict"] | None = None,
        attached_task_id: str | None = None,
        id: str | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, type(self).__name__, AssembledTrainer.__init__)
        if base_model is not None:
            logger.info("base_model=%r is not needed any more: train_type alone names the model", base_model)
        previous = base_of(previous_trainer, previous_task_id, previous_model)
        train_type = train_type or previous.train_type
        if train_type is None and not previous and attached_task_id is None:
            raise InvalidArgumentError("train_type is missing: name the model to train, for example 'ERNIE-Speed-8K'")
        if task_step is not None and not previous:
            raise InvalidArgumentError("task_step is a checkpoint of an earlier training: say of which one")
        data = dataset if dataset is not None else dataset_bos_path
        if data is None and attached_task_id is None:
            raise InvalidArgumentError("dataset is missing: give a Dataset, its id, or a file")
        config = train_config_of(train_config)
        template = dataset_template or self.template
        if template is not None:
            check_template(data, template)
        mixed = with_beside(
            data,
            sampling_rate=sampling_rate,
            eval_split_ratio=eval_split_ratio if isinstance(data, DatasetConfig) else None,
            corpus_type=corpus_type,
            corpus_proportion=corpus_proportion,
            corpus_labels=list(corpus_labels) if corpus_labels is not None else None,
        )
        one_corpus(corpus_config, mixed)

        self.id = checked_id(id) if id is not None else new_id()
        self.train_type = train_type
        self.name = name or ""
        self._client = client
        self._handlers: list[Any] = as_handlers(event_handler)
        split = eval_split_ratio if eval_split_ratio is not None else config.trainset_rate
        self.submission = submission
        self.load_data_action = (
            None
            if attached_task_id is not None
            else LoadDataSetAction(
                id=token_for(self.id, "load"),
                dataset=mixed,
                dataset_template=template,
                data_format=self.data_format if dataset_template is None else None,
                corpus_config=made_of(CorpusConfig, corpus_config),
                split_ratio=split,
                check_first=self._check_first,
            )
        )
        attached: dict[str, Any] = {"attached_task_id": attached_task_id} if attached_task_id is not None else {}
        self.train_action: TrainAction = (AttachAction if attached else TrainAction)(
            **attached,
            id=token_for(self.id, "train"),
            train_type=train_type,
            train_mode=self.mode,
            train_config=config,
            peft_type=peft_type_of(peft_type),
            previous_task_id=previous.task_id,
            previous_model=previous.model_id,
            task_step=task_step,
            job_name=self.name,
            job_description=job_description,
            task_description=task_description,
            resource_config=made_of(ResourceConfig, resource_config),
            train_extras=dict(train_extras or {}),
            validate_strict=validate_strict,
        )
        self.train_action.check(Catalog.builtin())
        wanted = self.publishes and not model_not_publish
        deploy = deploy_config_of(deploy_config)
        if deploy is not None and not wanted:
            raise InvalidArgumentError("deploy_config is given, but nothing is published that could be deployed")
        self.model_publish = ModelPublishAction(id=token_for(self.id, "publish")) if wanted else None
        self.deploy_action = (
            DeployAction(id=token_for(self.id, "deploy"), deploy_config=deploy) if deploy is not None else None
        )
        self.post_actions = [adapt(one) if isinstance(one, BaseAction) else one for one in post_actions]
        self.gate_action = self._gate(deploy_if)
        self.eval_action = (
            evaluation_of(eval_dataset, evaluators, deploy, token_for(self.id, "evaluate"), publishes=wanted)
            if self.gate_action is None
            else evaluation_before(eval_dataset, evaluators, token_for(self.id, "evaluate"))
        )
        self._spec = plain_arguments(
            {
                "train_type": train_type,
                "dataset": data,
                "train_config": config,
                "deploy_config": deploy,
                "eval_dataset": eval_dataset,
                "evaluators": self.eval_action.kept_evaluators() if self.eval_action is not None else None,
                "deploy_if": self.gate_action.rule.kept if self.gate_action is not None else None,
                "name": name,
                "dataset_template": dataset_template,
                "previous_task_id": previous.task_id,
                "previous_model": previous.model_id,
                "task_step": task_step,
                "corpus_config": corpus_config,
                "corpus_type": corpus_type,
                "corpus_proportion": corpus_proportion,
                "corpus_labels": corpus_labels,
                "eval_split_ratio": eval_split_ratio,
                "sampling_rate": sampling_rate,
                "peft_type": peft_type,
                "resource_config": resource_config,
                "job_description": job_description,
                "task_description": task_description,
                "train_extras": train_extras,
                "validate_strict": validate_strict,
                "model_not_publish": model_not_publish,
                "post_actions": [kept_action(one) for one in self.post_actions] or None,
                "submission": submission,
                "attached_task_id": attached_task_id,
                "id": self.id,
            }
        )
        self._build()

    def _gate(self, deploy_if: DeployIf | GateRule | None) -> GateAction | None:
        if deploy_if is None:
            return None
        if self.deploy_action is None:
            raise InvalidArgumentError("deploy_if decides about a deployment: give deploy_config=... too")
        gate = GateAction(id=token_for(self.id, "gate"), rule=gate_rule_of(deploy_if))
        self.deploy_action.only_if(gate)
        return gate

    def _build(self) -> None:
        first = (self.load_data_action, self.train_action, self.model_publish)
        last: tuple[Action[Any] | None, ...] = (
            (self.deploy_action, self.eval_action)
            if self.gate_action is None
            else (self.eval_action, self.gate_action, self.deploy_action)
        )
        steps: tuple[Action[Any] | None, ...] = (*first, *last, *self.post_actions)
        actions: list[Action[Any]] = [step for step in steps if step is not None]
        self.ppls: list[Pipeline] = [Pipeline(actions, id=token_for(self.id, "pipeline"))]
        self.result: list[TrainResult | None] = [None]
        self._record: RunRecord | None = None
        self._known_rows: dict[str, Row] = {}
        self._journal: SqliteJournal | None = None
        self._flight: Run[Any] | None = None
        self._future: Future[Any] | None = None
        self._status: Status = TrainStatus.Unknown
        self._finished = False
        self._left = False
        self._was_elsewhere = False
        self._running = False
        self._end_wanted: OnInterrupt | None = None
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._over.set()

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline behind this trainer."""
        return self.ppls[0]

    @property
    def actions(self) -> list[Action[Any]]:
        """The steps, in order."""
        return [*self.pipeline]

    @property
    def status(self) -> Status:
        """Where the trainer stands: a TrainStatus, or a ServiceStatus while it deploys. Sends nothing.

        Inside an event handler it is the status that the handler's event means.
        """
        event, flight = event_being_handled(), self._flight
        if event is not None and flight is not None and event.run_id == flight.id:
            return status_after(event) or self._status
        return self._status

    @property
    def output(self) -> TrainResult | None:
        """The same as `result[0]`."""
        return self.result[0]

    @property
    def made_so_far(self) -> TrainResult:
        """What the finished steps have made, also while the trainer runs or after it failed."""
        result = TrainResult()
        record = self._what_is_known()
        if record is None:
            return result
        client = self._client
        for artefact in outputs_so_far(self.pipeline, record).values():
            if isinstance(artefact, _Connected) and client is not None:
                artefact.connect(client)
            if isinstance(artefact, Artefact):
                result.update(artefact.items())
        return result

    @property
    def is_running(self) -> bool:
        """Whether a run is under way in this process."""
        return self._running

    @property
    def is_kept(self) -> bool:
        """Whether the run has begun and is in a journal, so that another process can come back to it."""
        record = self._what_is_known()
        has_begun = self.is_driven_elsewhere or (record is not None and bool(record.rows))
        return has_begun and self._journal is not None and self._journal.survives

    @property
    def is_driven_elsewhere(self) -> bool:
        """Whether another process drives the run, or did when this one ceased to follow it."""
        return self._flight.is_driven_elsewhere if self._flight is not None else self._was_elsewhere

    def info(self) -> dict[str, Any]:
        """What there is to know about this trainer, as JSON values. Sends nothing."""
        return {
            "id": self.id,
            "kind": type(self).__name__,
            "name": self.name,
            "train_type": self.train_type,
            "status": self.status.value,
            "left_running": self._left,
            "task_id": None,
            "job_id": None,
            **self._ids(),
        }

    def _ids(self) -> dict[str, Any]:
        """What exists on the platform because of this trainer, as far as it is known."""
        record = self._what_is_known()
        if record is None:
            return {}
        made = {key: value for key, value in self.made_so_far.items() if is_id(key)}
        return {**ids_in(dict(record.rows)), **made}  # a copy, since the run may go on in another thread

    def _what_is_known(self) -> RunRecord | None:
        return self._flight.record if self._flight is not None else self._record

    def get_log(self) -> dict[str, str | None]:
        """Where the training log and the loss curves of the latest run can be seen."""
        return {"log_link": self.train_action.log_link, "vdl_link": self.train_action.vdl_link}

    def get_evaluate_result(self) -> EvaluationResult | None:
        """What the evaluators said in the latest run; None without an evaluation, or before its end."""
        result: EvaluationResult | None = self.made_so_far.get("eval_res")
        return result

    @classmethod
    def train_type_list(cls) -> dict[str, ModelInfo]:
        """The models this kind of training knows, by name."""
        catalog = Catalog.builtin()
        found = {name: catalog.info(name, cls.mode) for name in catalog.names(cls.mode)}
        return {name: info for name, info in found.items() if info is not None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, train_type={self.train_type!r}, status={self.status.value})"

    def register_event_handler(
        self, event_handler: AnyHandler, ppl_id: str | None = None, action_id: str | None = None
    ) -> None:
        """Tell a handler about all events from the next run on, or about those of one pipeline or action."""
        only = action_id or ppl_id
        handlers = as_handlers(event_handler)
        self._handlers += [Filtered(handler, only) for handler in handlers] if only else handlers

    def _spec_of_run(self) -> dict[str, Any]:
        return {
            "kind": type(self).__name__,
            "name": self.name,
            "train_type": self.train_type,
            "arguments": self._spec,
        }

    def _fingerprint(self) -> str:
        return fingerprint({"": self.pipeline}, {})

    def _settings(self) -> Settings:
        return self._client.settings if self._client is not None else default_settings()

    async def _check_first(self, platform: Platform) -> None:
        """Find out what the platform will refuse before a file is uploaded for it."""
        if self.gate_action is not None:
            self.gate_action.rule.check()
        if self.eval_action is not None:
            await self.eval_action.check()
        if isinstance(self.eval_action, EvaluateModelAction):
            self.eval_action.check_bucket(platform.client.settings)
        await self.train_action.check_with_platform(platform)

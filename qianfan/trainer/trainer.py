"""The trainers: one object from a dataset to a deployed model.

A trainer builds a pipeline and runs it. `run()` blocks, `arun()` is its async truth; `start()` and `wait()` work in the
background; `stop()` may be called from anywhere. What a trainer does is kept in a journal, so that `resume()` goes on
after a failure, a stop or the end of the process, without ordering anything twice.
"""

from __future__ import annotations

import math
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import anyio
from typing_extensions import Self

from qianfan import _faults
from qianfan._clock import SYSTEM_CLOCK
from qianfan._sync import (
    INTERRUPT_PATIENCE,
    Leaving,
    LoopHandle,
    in_thread,
    iterate_sync,
    run_interruptible,
    run_sync,
    start_soon,
)
from qianfan._transport import Client, default_client
from qianfan.config import Settings, default_settings
from qianfan.errors import (
    ActionTimeoutError,
    AuthError,
    InternalError,
    InvalidArgumentError,
    JournalError,
    NotImplmentError,
    UnknownRunError,
    describe,
    is_retryable,
)
from qianfan.journal import RunFacts, SqliteJournal
from qianfan.model import Model
from qianfan.pipeline import Action, Event, Row, Run, RunRecord, RunStatus, event_being_handled, new_id, start
from qianfan.pipeline._events import AnyHandler, as_handlers
from qianfan.pipeline._pipeline import FOLLOW_SECONDS, HandlerErrors, outputs_so_far
from qianfan.pipeline._plan import fingerprint
from qianfan.pipeline._record import Renew
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataTemplateType, PeftType, TrainMode
from qianfan.resources.purchase import token_for
from qianfan.trainer.actions import AttachAction, DeployAction, LoadDataSetAction, ModelPublishAction, TrainAction
from qianfan.trainer.arguments import (
    DeployConfigLike,
    TrainConfigLike,
    deploy_config_of,
    peft_type_of,
    plain_arguments,
    previous_task,
    refuse_unknown,
    revived_arguments,
    train_config_of,
    with_sampling,
)
from qianfan.trainer.artefacts import Artefact, TrainResult, _Connected
from qianfan.trainer.catalog import Catalog, ModelInfo
from qianfan.trainer.configs import CorpusConfig, ResourceConfig
from qianfan.trainer.consts import TrainStatus
from qianfan.trainer.handlers import Filtered
from qianfan.trainer.loading import check_template
from qianfan.trainer.pipeline import Pipeline
from qianfan.trainer.state import (
    about,
    ids_in,
    is_complete,
    is_id,
    is_left_running,
    journal_of,
    journal_path,
    journal_to_read,
    read_file,
    status_of,
    steps_of,
    terms_of,
    to_decide,
    write_file,
)
from qianfan.trainer.status import Status, status_after
from qianfan.utils.logging import logger

__all__ = ["DPO", "Finetune", "LLMFinetune", "PostPreTrain", "Trainer"]

Results: TypeAlias = list[TrainResult | None]
Pipelines: TypeAlias = list[Pipeline]
Actions: TypeAlias = list[Action[Any]]
Handlers: TypeAlias = AnyHandler | list[AnyHandler]
FactsOfMany: TypeAlias = list[dict[str, Any]]
EventList: TypeAlias = list[Event]
IdList: TypeAlias = list[str]
Recovered: TypeAlias = "dict[str, Trainer]"

HandlerList: TypeAlias = list[Any]

OnInterrupt: TypeAlias = Literal["detach", "stop"]

STOP_PATIENCE = 15.0
"""Seconds that Ctrl-C with on_interrupt="stop" may take to stop the remote task."""


_KINDS: dict[str, type[Trainer]] = {}
"""Every kind of trainer by the name that runs are kept under, those of users included once their module is imported."""


class Trainer:
    """What all trainers share: a pipeline, its runs, and what became of them.

    train_type: the base model, by its name of today or an older one.
    dataset: a Dataset, a DatasetConfig, an id (`ds-…`, a number), a file, a `bos:/…` path, or a list of these.
    train_config: hyper-parameters; a TrainConfig, a dictionary, or a `.yaml` or `.json` file. The model's defaults fill
        in what is left out.
    deploy_config: deploy the model when it is ready; without it nothing is deployed.
    event_handler: an EventHandler, a function of one event (plain or async), or several of these.
    name: the beginning of the job's name. client: the account to use; by default the configured one.
    id: names the trainer and its run in the journal; made up when left out.
    submission: "strict" has a person decide about every paid order of unknown fate, whatever the settings say.

    Making a trainer sends nothing. It raises ValidationError when the configuration cannot be right, with all problems
    at once.
    """

    mode: ClassVar[TrainMode] = TrainMode.SFT
    template: ClassVar[DataTemplateType] = DataTemplateType.NonSortedConversation
    publishes: ClassVar[bool] = True

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        _KINDS[cls.__name__] = cls

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
        evaluators: HandlerList | None = None,
        dataset_bos_path: str | None = None,
        dataset_template: DataTemplateType | None = None,
        previous_trainer: Trainer | None = None,
        previous_task_id: str | None = None,
        previous_model: Model | str | None = None,
        task_step: int | None = None,
        corpus_config: CorpusConfig | None = None,
        corpus_type: Any = None,
        corpus_proportion: str | None = None,
        corpus_labels: Sequence[str] | None = None,
        eval_split_ratio: float | None = None,
        sampling_rate: float | None = None,
        peft_type: PeftType | str | None = None,
        resource_config: ResourceConfig | None = None,
        job_description: str = "",
        task_description: str = "",
        train_extras: Mapping[str, Any] | None = None,
        validate_strict: bool = True,
        model_not_publish: bool = False,
        submission: Literal["strict"] | None = None,
        attached_task_id: str | None = None,
        id: str | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, type(self).__name__, Trainer.__init__)
        if eval_dataset is not None or evaluators:
            raise NotImplmentError("evaluation as a step of a trainer is not available yet; leave out eval_dataset")
        if base_model is not None:
            logger.info("base_model=%r is not needed any more: train_type alone names the model", base_model)
        previous = previous_task(previous_trainer, previous_task_id, previous_model)
        if train_type is None and previous is None and attached_task_id is None:
            raise InvalidArgumentError("train_type is missing: name the model to train, for example 'ERNIE-Speed-8K'")
        data = dataset if dataset is not None else dataset_bos_path
        if data is None and attached_task_id is None:
            raise InvalidArgumentError("dataset is missing: give a Dataset, its id, or a file")
        config = train_config_of(train_config)
        template = dataset_template or self.template
        check_template(data, template)

        self.id = _checked_id(id) if id is not None else new_id()
        self.train_type = train_type
        self.name = name or ""
        self._client = client
        self._handlers: HandlerList = as_handlers(event_handler)
        split = eval_split_ratio if eval_split_ratio is not None else config.trainset_rate
        self.submission = submission
        self.load_data_action = (
            None
            if attached_task_id is not None
            else LoadDataSetAction(
                id=token_for(self.id, "load"),
                dataset=with_sampling(
                    data,
                    sampling_rate,
                    {
                        "corpus_type": corpus_type,
                        "corpus_proportion": corpus_proportion,
                        "corpus_labels": corpus_labels,
                    },
                ),
                dataset_template=template,
                corpus_config=corpus_config,
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
            previous_task_id=previous,
            task_step=task_step,
            job_name=self.name,
            job_description=job_description,
            task_description=task_description,
            resource_config=resource_config,
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
        self.eval_action = None
        self._spec = plain_arguments(
            {
                "train_type": train_type,
                "dataset": data,
                "train_config": config,
                "deploy_config": deploy,
                "name": name,
                "dataset_template": dataset_template,
                "previous_task_id": previous,
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
                "submission": submission,
                "attached_task_id": attached_task_id,
                "id": self.id,
            }
        )
        self._build()

    def _build(self) -> None:
        steps: tuple[Action[Any] | None, ...] = (
            self.load_data_action,
            self.train_action,
            self.model_publish,
            self.deploy_action,
        )
        actions: Actions = [step for step in steps if step is not None]
        self.ppls: Pipelines = [Pipeline(actions, id=token_for(self.id, "pipeline"))]
        self.result: Results = [None]
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
    def actions(self) -> Actions:
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

    # --- run ------------------------------------------------------------------------------------------------

    async def arun(
        self,
        input: Any = None,
        *,
        retry_count: int | None = None,
        backoff_factor: float | None = None,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        force: bool = False,
        take_over: bool = False,
        handler_errors: HandlerErrors = "log",
    ) -> Self:
        """Run all steps and return this trainer; `result[0]` then holds what they made.

        retry_count, backoff_factor: tries in all and first wait in seconds, for calls that only look. Calls that create
            something are never blindly repeated.
        timeout: seconds until this stops waiting; the remote work goes on, and `resume()` comes back to it.
        on_interrupt: what a cancellation or Ctrl-C means for the remote training: "detach" leaves it running, "stop"
            stops it.
        force: start anew, with a new paid job, although the trainer has run already.
        take_over: drive the run although another process may be driving it; that one drops it at its next step.
        handler_errors: "raise" ends the run when an event handler fails; otherwise that is logged.

        Raises the error of the step that failed, and keeps it in `result[0]["error"]`. After a stop that was asked for
        it returns normally. A trainer that has succeeded is not run again; one that was interrupted goes on; one that
        another live process drives is followed to its end.
        Raises OutcomeUnknownError when a person has to decide about an order (see `decide`), PipelineChanged when the
        run of this id began with other arguments, JournalError when the journal cannot be used.
        """
        self._claim()
        try:
            return await self._claimed_run(
                input,
                retry_count=retry_count,
                backoff_factor=backoff_factor,
                timeout=timeout,
                on_interrupt=on_interrupt,
                force=force,
                take_over=take_over,
                handler_errors=handler_errors,
            )
        finally:
            self._release()

    def run(self, input: Any = None, *, on_interrupt: OnInterrupt = "detach", **settings: Any) -> Self:
        """Blocking form of `arun`, for scripts, threads and notebooks.

        Ctrl-C leaves within a second, says how to come back, and does what `on_interrupt` says; a second one leaves at
        once.
        """
        return run_interruptible(
            lambda: self.arun(input, on_interrupt=on_interrupt, **settings), lambda: self._interrupt(on_interrupt)
        )

    async def aresume(self, *, resubmit: bool = False, **settings: Any) -> Self:
        """Go on where the last run ended: finished steps are kept, and a job that exists is waited for, not made again.

        resubmit: order what failed anew, which costs money again: a new task after the training failed, a new service
            after the deployment did. What is done stays done.
        On a fresh trainer this is `arun`. Takes the settings of `arun`.
        """
        self._claim()
        try:
            return await self._claimed_run(renew="unfinished" if resubmit else None, **settings)
        finally:
            self._release()

    def resume(self, *, resubmit: bool = False, on_interrupt: OnInterrupt = "detach", **settings: Any) -> Self:
        """Blocking form of `aresume`."""
        return run_interruptible(
            lambda: self.aresume(resubmit=resubmit, on_interrupt=on_interrupt, **settings),
            lambda: self._interrupt(on_interrupt),
        )

    def start(self, **settings: Any) -> Self:
        """Run in the background of this process and return at once; see `wait`. Takes the settings of `arun`."""
        self._claim()

        async def go() -> Self:
            try:
                return await self._claimed_run(**settings)
            finally:
                self._release()

        self._future = start_soon(go)
        return self

    def wait(self, timeout: float | None = None) -> Self:
        """Return when the run that `start()` began is over; raise its error if it failed.

        timeout: seconds; TimeoutError when it is not over by then.
        """
        if self._future is not None:
            try:
                self._future.result(timeout)
            except TimeoutError:
                if self._future.done():
                    raise
                raise TimeoutError(f"{self!r} is not over after {timeout:g} s") from None
        return self

    async def astream(self, **settings: Any) -> AsyncIterator[Event]:
        """Run, and yield every event; the run's error comes out at the end. Takes the settings of `arun`.

        The run itself is in the background: leaving the loop early detaches from it as a cancellation would.
        """
        send, events = anyio.create_memory_object_stream[Event](math.inf)
        here = LoopHandle()

        def forward(event: Event) -> None:
            # The reader may have left, and its event loop may be gone.
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, RuntimeError):
                here.call(lambda: send.send_nowait(event))

        async def go() -> None:
            self._handlers.append(handler)
            try:
                await self.arun(**settings)
            finally:
                self._handlers.remove(handler)
                with suppress(RuntimeError), anyio.CancelScope(shield=True):
                    await in_thread(here.call, send.close)

        [handler] = as_handlers(forward)
        future = start_soon(go)
        try:
            async for event in events:
                yield event
            future.result()
        finally:
            future.cancel()
            send.close()
            events.close()

    def stop(self) -> Self:
        """Stop the run, from any thread, signal handler or event handler; the remote training is stopped too.

        Returns at once; the run ends with Stopped events and `run()` returns normally. Without a run nothing happens.
        A run that another process drives is stopped through the journal, as `cancel` does it.
        """
        if self._running:
            # The run may not have got as far as its first step; it looks at the wish when it does.
            self._end_wanted = "stop"
        flight = self._flight
        if flight is not None and flight.is_driven_elsewhere:
            start_soon(partial(type(self).acancel, self.id, client=self._client))
        elif flight is not None:
            flight.stop()
        return self

    def detach(self) -> Self:
        """Leave the run, from wherever `stop()` may be called; the remote training goes on.

        Returns at once; `run()` returns normally, and `resume()` comes back to it. Without a run nothing happens.
        """
        if self._running:
            self._end_wanted = "detach"
        if self._flight is not None:
            self._flight.stop("detach")
        return self

    async def astop(self) -> Self:
        """Stop the run and return when it is over. From inside one of its own event handlers, use `stop()`."""
        self.stop()
        if event_being_handled() is None:
            await in_thread(self._over.wait)
        return self

    # --- across processes -----------------------------------------------------------------------------------

    async def asave(self, file: str | Path | None = None) -> Path:
        """Put this trainer and what it has done so far into the journal, or into a file that `load(file=...)` reads.

        Returns the path of the journal or the file.
        """
        known = self._what_is_known()
        rows = known.rows if known is not None else self._known_rows
        if file is not None:
            await write_file(Path(file), self._spec_of_run(), rows)
            return Path(file)
        settings = self._settings()
        journal = await journal_of(settings)
        await journal.put(self.id, spec=self._spec_of_run(), fingerprint=self._fingerprint(), rows=rows)
        return journal_path(settings)

    def save(self, file: str | Path | None = None) -> Path:
        """Blocking form of `asave`."""
        return run_sync(self.asave, file)

    @classmethod
    async def aload(
        cls,
        id: str | None = None,
        *,
        file: str | Path | None = None,
        client: Client | None = None,
        event_handler: Handlers | None = None,
    ) -> Self:
        """A trainer of an earlier process, by id or from a file; `resume()` then goes on where it ended.

        Everything is restored but event handlers: those given here hear what their namesakes have missed.
        Raises InvalidArgumentError when there is no such trainer.
        """
        if file is not None:
            spec, rows = await read_file(Path(file))
            return cls._revived(spec, rows, client, event_handler)
        if id is None:
            raise InvalidArgumentError("say which trainer: load(id), or load(file=...)")
        facts = await cls._known_run(id, client)
        trainer = cls._revived(facts.spec, facts.rows, client, event_handler)
        trainer._status, trainer._left = status_of(facts), is_left_running(facts)
        return trainer

    @staticmethod
    async def _known_run(id: str, client: Client | None) -> RunFacts:
        settings = client.settings if client is not None else default_settings()
        try:
            return await (await journal_to_read(settings)).run(_checked_id(id))
        except UnknownRunError as error:
            raise UnknownRunError(f"{error}; qianfan trainer list shows the known ones") from None

    @classmethod
    def _revived(
        cls, spec: Mapping[str, Any], rows: Mapping[str, Row], client: Client | None, handlers: Handlers | None
    ) -> Self:
        kind = _KINDS.get(str(spec.get("kind")))
        if kind is None or not issubclass(kind, cls):
            hint = "" if kind is not None else "; import the module that defines it first"
            raise InvalidArgumentError(f"that is a {spec.get('kind')!r}, not a {cls.__name__}{hint}")
        trainer = kind(**revived_arguments(spec["arguments"]), client=client, event_handler=handlers)
        trainer._known_rows, trainer._record = dict(rows), RunRecord(rows)
        if is_complete(rows, [action.id for action in trainer.actions]):
            trainer.result = [trainer.made_so_far]
        assert isinstance(trainer, cls)
        return trainer

    @classmethod
    def load(
        cls,
        id: str | None = None,
        *,
        file: str | Path | None = None,
        client: Client | None = None,
        event_handler: Handlers | None = None,
    ) -> Self:
        """Blocking form of `aload`."""
        return run_sync(cls.aload, id, file=file, client=client, event_handler=event_handler)

    @classmethod
    def attach(
        cls,
        task_id: str,
        *,
        deploy_config: DeployConfigLike | None = None,
        event_handler: Handlers | None = None,
        name: str | None = None,
        client: Client | None = None,
        model_not_publish: bool = False,
        id: str | None = None,
    ) -> Self:
        """A trainer for a training task that was started elsewhere: `run()` waits for it, publishes, and deploys.

        Sends nothing yet. Attaching to one task twice is the same run, unless `id` says otherwise.
        """
        return cls(
            attached_task_id=task_id,
            deploy_config=deploy_config,
            event_handler=event_handler,
            name=name,
            client=client,
            model_not_publish=model_not_publish,
            id=id or token_for("attach", cls.__name__, task_id),
        )

    @classmethod
    async def alist(cls, *, client: Client | None = None) -> FactsOfMany:
        """What the journal says of the trainers that ran on this machine, the latest first.

        Each with `id`, `kind`, `status`, `run_status` (open, held, done, failed, cancelled), `driven_by` (pid of the
        live process that drives it), `left_running`, `needs_decision` (orders of unknown fate), `ids` and more.
        """
        settings = client.settings if client is not None else default_settings()
        names = {name for name, kind in _KINDS.items() if issubclass(kind, cls)}
        found = await (await journal_to_read(settings)).runs()
        return [about(facts) for facts in found if facts.spec.get("kind") in names]

    @classmethod
    def list(cls, *, client: Client | None = None) -> FactsOfMany:
        """Blocking form of `alist`."""
        return run_sync(cls.alist, client=client)

    @classmethod
    async def adescribe(cls, id: str, *, client: Client | None = None) -> dict[str, Any]:
        """What the journal says of one trainer: as in `list`, and how far each of its `steps` and their orders are.

        `to_decide`: the orders of unknown fate, with what to look for in the console.
        Raises UnknownRunError.
        """
        facts = await cls._known_run(id, client)
        return {**about(facts), "steps": steps_of(facts), "to_decide": to_decide(facts)}

    @classmethod
    def describe(cls, id: str, *, client: Client | None = None) -> dict[str, Any]:
        """Blocking form of `adescribe`."""
        return run_sync(cls.adescribe, id, client=client)

    async def aevents(self) -> EventList:
        """What the journal has kept of this trainer's events: all changes, and a report of progress a minute."""
        return await self.ahistory(self.id, client=self._client)

    def events(self) -> EventList:
        """Blocking form of `aevents`."""
        return run_sync(self.aevents)

    @classmethod
    async def ahistory(cls, id: str, *, client: Client | None = None) -> EventList:
        """The kept events of a trainer, as `load(id).events()` gives them, without loading it."""
        settings = client.settings if client is not None else default_settings()
        return await (await journal_to_read(settings)).events(id)

    @classmethod
    def history(cls, id: str, *, client: Client | None = None) -> EventList:
        """Blocking form of `ahistory`."""
        return run_sync(cls.ahistory, id, client=client)

    @classmethod
    async def awatch(
        cls, id: str, *, after: int | None = None, timeout: float | None = None, client: Client | None = None
    ) -> AsyncIterator[Event]:
        """Yield the events of a run while another process drives it; never drives it, and sends nothing.

        Ends when the run is over, waits for a decision, or is left alone: `describe(id)` then says which.
        after: also the kept events after this number, -1 for all of them. timeout: seconds for all of it.
        Raises UnknownRunError, ForeignOwner for a run of another machine, ActionTimeoutError.
        """
        facts = await cls._known_run(id, client)
        if after is None:
            after = max((event.sequence for event in facts.recent), default=-1)
        clock = client.clock if client is not None else SYSTEM_CLOCK
        journal = await journal_to_read(client.settings if client is not None else default_settings())
        begun = clock.monotonic()
        while True:
            glance = await journal.glance(id, after=after, kinds={})
            for event in glance.events:
                after = event.sequence
                yield event
            if glance.status is not RunStatus.OPEN or not glance.is_driven:
                return
            left = math.inf if timeout is None else begun + timeout - clock.monotonic()
            if left <= 0:
                raise ActionTimeoutError(f"no end of trainer {id} within {timeout:g} s; its run goes on")
            await clock.sleep(min(FOLLOW_SECONDS, left))

    @classmethod
    def watch(
        cls, id: str, *, after: int | None = None, timeout: float | None = None, client: Client | None = None
    ) -> Iterator[Event]:
        """Blocking form of `awatch`."""
        return iterate_sync(lambda: cls.awatch(id, after=after, timeout=timeout, client=client))

    @classmethod
    async def arecover(
        cls,
        *,
        every: float | None = None,
        client: Client | None = None,
        event_handler: Handlers | None = None,
        at_once: int = 100,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
    ) -> Recovered:
        """Go on with every interrupted run that no live process drives, side by side; gives their trainers by id.

        Runs that failed, were stopped, or wait for a decision stay as they are. An error of a run is in its
        `result[0]["error"]`, and does not disturb the others.
        every: look again after so many seconds, and go on until this is cancelled. at_once: how many run side by side.
        timeout, on_interrupt: of each run; see `arun`.
        """
        settings = client.settings if client is not None else default_settings()
        recovered: Recovered = {}
        limit = anyio.Semaphore(at_once)

        async def go(id: str) -> None:
            async with limit:
                try:
                    trainer = recovered[id] = await cls.aload(id, client=client, event_handler=event_handler)
                    await trainer.aresume(timeout=timeout, on_interrupt=on_interrupt)
                except Exception as error:
                    logger.warning("run %s could not be gone on with: %s", id, describe(error))
                    if isinstance(error, AuthError) or is_retryable(error):
                        begun.discard(id)  # what was in its way may have passed when the runs are looked at next

        async def interrupted() -> IdList:
            found = await (await journal_to_read(settings)).runs(statuses=[RunStatus.OPEN])
            return [
                facts.id
                for facts in found
                if facts.driven_by is None
                and facts.spec.get("kind") in _KINDS
                and issubclass(_KINDS[str(facts.spec["kind"])], cls)
            ]

        begun: set[str] = set()
        found = await interrupted()
        async with anyio.create_task_group() as group:
            while True:
                for id in found:
                    if id not in begun:
                        begun.add(id)
                        group.start_soon(go, id)
                if every is None:
                    break
                await anyio.sleep(every)
                try:
                    found = await interrupted()
                except JournalError as error:  # the runs that go on find out for themselves whether it lasts
                    logger.warning("cannot look for interrupted runs right now: %s", error)
        return recovered

    @classmethod
    def recover(cls, *, on_interrupt: OnInterrupt = "detach", **settings: Any) -> Recovered:
        """Blocking form of `arecover`. Ctrl-C leaves all of them within a second, and does what `on_interrupt` says."""
        leaving = Leaving()

        async def go() -> Recovered:
            return await cls.arecover(on_interrupt=on_interrupt, **settings)

        def interrupt() -> float:
            leaving.leave()
            return STOP_PATIENCE if on_interrupt == "stop" else INTERRUPT_PATIENCE

        return run_interruptible(lambda: leaving.unless_left(go), interrupt) or {}

    @classmethod
    async def adecide(
        cls,
        id: str | Sequence[str],
        node: str | None = None,
        *,
        adopt: str | None = None,
        resubmit: bool = False,
        fail: bool = False,
        client: Client | None = None,
    ) -> IdList:
        """Decide about an order of unknown fate, after looking for it in the console; then `resume()` goes on.

        id: the trainer, or several. node: the order, where there are several. adopt: the id of what it made.
        resubmit: it made nothing, so order it again. fail: give it up. Gives the ids of the trainers that can go on.
        Raises RunBusyError while a live process drives the run, InvalidArgumentError when there is nothing to decide.
        """
        settings = client.settings if client is not None else default_settings()
        runs = [id] if isinstance(id, str) else [*id]
        journal = await journal_of(settings)
        return await journal.decide(runs, node, adopt=adopt, resubmit=resubmit, fail=fail)

    @classmethod
    def decide(cls, id: str | Sequence[str], node: str | None = None, **decision: Any) -> IdList:
        """Blocking form of `adecide`."""
        return run_sync(cls.adecide, id, node, **decision)

    @classmethod
    async def acancel(cls, id: str, *, client: Client | None = None) -> dict[str, Any]:
        """Stop a run of this machine and its remote training, whichever process drives it; gives what is known then.

        The wish is written down first, so whoever goes on with the run after a crash finishes the stop.
        Raises InvalidArgumentError when there is no run of that id.
        """
        settings = client.settings if client is not None else default_settings()
        journal = await journal_of(settings)
        facts = await journal.request_stop(id)
        if facts.status is RunStatus.OPEN:
            _faults.point("cancel.after_mark")
            if facts.driven_by is None:
                await (await cls.aload(id, client=client)).arun()
            else:
                task = ids_in(facts.rows).get("task_id")
                if task is not None:  # its process learns of the wish when it looks at the task next
                    await Platform(client).finetune.stop_task(task)
        return about(await journal.run(id))

    @classmethod
    def cancel(cls, id: str, *, client: Client | None = None) -> dict[str, Any]:
        """Blocking form of `acancel`."""
        return run_sync(cls.acancel, id, client=client)

    def _spec_of_run(self) -> dict[str, Any]:
        return {
            "kind": type(self).__name__,
            "name": self.name,
            "train_type": self.train_type,
            "arguments": self._spec,
        }

    def _fingerprint(self) -> str:
        return fingerprint({"": self.pipeline}, {})

    # --- inside ---------------------------------------------------------------------------------------------

    def _settings(self) -> Settings:
        return self._client.settings if self._client is not None else default_settings()

    def _claim(self) -> None:
        """One run at a time, whoever starts it from wherever: two would order everything twice."""
        with self._guard:
            if self._running:
                raise InternalError(f"{self!r} is running already; wait for it, or make another trainer")
            self._running, self._end_wanted = True, None
            self._over.clear()

    def _release(self) -> None:
        self._running = False
        self._over.set()

    async def _claimed_run(
        self,
        input: Any = None,
        *,
        retry_count: int | None = None,
        backoff_factor: float | None = None,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        force: bool = False,
        take_over: bool = False,
        handler_errors: HandlerErrors = "log",
        renew: Renew | None = None,
    ) -> Self:
        if force:
            renew, self._record, self._finished = "everything", None, False
            self.result = [None]
        if self._finished:
            self._say_finished()
            return self
        client = self._client if self._client is not None else default_client()
        changes = {"console_api_retry_count": retry_count, "console_api_retry_backoff_factor": backoff_factor}
        changes = {name: value for name, value in changes.items() if value is not None}
        wishes = _Wishes(input, timeout, on_interrupt, handler_errors, renew, take_over)
        if not changes:
            return await self._go(client, wishes)
        async with client.with_settings(**changes) as varied:
            return await self._go(varied, wishes)

    async def _go(self, client: Client, wishes: _Wishes) -> Self:
        try:
            await self._fly(client, wishes)
        except Exception as error:
            self.result = [TrainResult(error=error)]
            raise
        except BaseException:  # a cancellation
            if self._flight is not None and self._flight.left_running:
                logger.info("%s. Come back with %s", self._where(" goes on"), self._come_back())
            raise
        finally:
            if self._flight is not None:
                self._left, self._record = self._flight.left_running, self._flight.record
                self._was_elsewhere = self._flight.is_driven_elsewhere
            self._flight = None
        return self

    async def _fly(self, client: Client, wishes: _Wishes) -> None:
        terms = terms_of(client.settings, self.submission)
        journal = self._journal = await journal_of(client.settings)
        if self._known_rows:
            # What a file says counts only where the journal has no run of this id.
            rows, spec = self._known_rows, self._spec_of_run()
            await journal.put(self.id, spec=spec, fingerprint=self._fingerprint(), rows=rows)
            self._known_rows = {}
        load = self.load_data_action
        async with start(
            self.pipeline,
            *self._handlers,
            client=Platform(client),
            clock=client.clock,
            input=wishes.input,
            on_cancel="stop" if wishes.on_interrupt == "stop" else "detach",
            handler_errors=wishes.handler_errors,
            on_event=self._observe,
            run_id=self.id,
            journal=journal,
            spec=self._spec_of_run(),
            renew=wishes.renew,
            keep=[load.id] if wishes.renew == "unfinished" and load is not None else [],
            take_over=wishes.take_over,
            terms=terms,
        ) as flight:
            self._flight, self._left = flight, False
            if self._end_wanted is not None:
                flight.stop(self._end_wanted)
            with anyio.move_on_after(wishes.timeout) as deadline:
                await flight.wait()
            if deadline.cancelled_caught:
                # Waiting ends here; whatever Ctrl-C would mean, the remote work goes on.
                flight.stop("detach")
        if deadline.cancelled_caught:
            where = self._where(" goes on")
            raise ActionTimeoutError(f"no end within {wishes.timeout:g} s; {where}. resume() comes back to it")
        self._record, self._finished = flight.record, not flight.stopped
        if flight.was_done:
            self._say_finished()
        self.result = [self.made_so_far]

    def _say_finished(self) -> None:
        logger.warning("%r has run already; returning its result. run(force=True) starts a new paid job", self)

    async def _check_first(self, platform: Platform) -> None:
        """Find out what the platform will refuse before a file is uploaded for it."""
        await self.train_action.check_with_platform(platform)

    def _observe(self, event: Event) -> None:
        self._status = status_after(event) or self._status

    def _interrupt(self, on_interrupt: OnInterrupt, *, tell_way_back: bool = True) -> float:
        """Called in the waiting thread at Ctrl-C. Returns how many seconds the run may take to end."""
        flight = self._flight
        if flight is None:
            return INTERRUPT_PATIENCE
        # The run is told first: the terminal may be gone, or hold back what is written to it.
        if on_interrupt == "stop":
            line = f"Interrupted: stopping {self._where('')}. Ctrl-C again leaves at once."
            self.stop()
            _say(line)
            return STOP_PATIENCE
        way_back = f" Come back with {self._come_back()}" if tell_way_back else ""
        line = f"Interrupted: {self._where(' goes on')}.{way_back}"
        self.detach()
        _say(line)
        return INTERRUPT_PATIENCE

    def _where(self, fate: str) -> str:
        if self.is_driven_elsewhere:
            return f"trainer {self.id}, which another process drives{',' if fate else ''}{fate}"
        ids = self._ids()
        if "task_id" not in ids:
            return f"trainer {self.id}, which has no training task yet"
        return f"trainer {self.id}: task {ids['task_id']} of job {ids['job_id']}{fate}"

    def _come_back(self) -> str:
        if self._journal is not None and self._journal.survives:
            return (
                f"{type(self).__name__}.load({self.id!r}).resume(), or: qianfan trainer resume --trainer-id {self.id}"
            )
        return "resume() on this object, in this process"


@dataclass(frozen=True)
class _Wishes:
    """How one run is to go."""

    input: Any
    timeout: float | None
    on_interrupt: OnInterrupt
    handler_errors: HandlerErrors
    renew: Renew | None
    take_over: bool


_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _checked_id(id: str) -> str:
    if not _SAFE_ID.fullmatch(id):
        raise InvalidArgumentError(f"{id!r} is no trainer id: 1 to 64 letters, digits, '-' and '_'; see trainer list")
    return id


def _say(line: str) -> None:
    """Tell the person at the terminal, who may have logging switched off; nothing where there is none any more."""
    with suppress(OSError, ValueError, AttributeError):  # gone, closed, or None in a process that never had one
        sys.stderr.write(f"{line}\n")


class LLMFinetune(Trainer):
    """Supervised fine-tuning: from conversations to a published, and if asked for deployed, model.

    ```python
    trainer = LLMFinetune(train_type="ERNIE-Speed-8K", dataset=ds, deploy_config=DeployConfig(service_type="Chat"))
    trainer.run()
    trainer.result[0]["service"].exec({"messages": [{"role": "user", "content": "hi"}]})["result"]
    ```
    """


Finetune = LLMFinetune
"""The name of newer documentation; one class."""


class PostPreTrain(Trainer):
    """Further pre-training on plain text. Its result is the base of a fine-tuning; nothing is published."""

    mode = TrainMode.PostPretrain
    template = DataTemplateType.GenericText
    publishes = False


class DPO(Trainer):
    """Preference training on pairs of a better and a worse answer."""

    mode = TrainMode.DPO
    template = DataTemplateType.PromptChosenRejected

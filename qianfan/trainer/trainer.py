"""The trainers: one object from a dataset to a deployed model.

A trainer builds a pipeline and runs it. `run()` blocks, `arun()` is its async truth; `start()` and `wait()` work in the
background; `stop()` may be called from anywhere. What a trainer knows is kept in a file, so that `resume()` goes on
after a failure, a stop or the end of the process, without ordering anything twice.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import anyio
from typing_extensions import Self

from qianfan._clock import SYSTEM_CLOCK
from qianfan._sync import INTERRUPT_PATIENCE, LoopHandle, in_thread, run_interruptible, run_sync, start_soon
from qianfan._transport import Client, default_client
from qianfan.config import Settings, default_settings
from qianfan.errors import (
    ActionTimeoutError,
    InternalError,
    InvalidArgumentError,
    NotImplmentError,
)
from qianfan.model import Model
from qianfan.pipeline import Action, Event, FileSnapshot, Run, Snapshot, event_being_handled, new_id, start
from qianfan.pipeline._events import AnyHandler, as_handlers
from qianfan.pipeline._pipeline import HandlerErrors, outputs_so_far
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataTemplateType, PeftType, TrainMode
from qianfan.resources.purchase import token_for
from qianfan.trainer.actions import DeployAction, LoadDataSetAction, ModelPublishAction, TrainAction
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
from qianfan.trainer.state import copy_to, ids_in_notes, is_id, known_trainers, open_snapshot, reopen, state_file
from qianfan.trainer.status import Status, status_after, status_named
from qianfan.utils.logging import logger

__all__ = ["DPO", "Finetune", "LLMFinetune", "PostPreTrain", "Trainer"]

Results: TypeAlias = list[TrainResult | None]
Pipelines: TypeAlias = list[Pipeline]
Actions: TypeAlias = list[Action[Any]]
Handlers: TypeAlias = AnyHandler | list[AnyHandler]
FactsOfMany: TypeAlias = list[dict[str, Any]]

HandlerList: TypeAlias = list[Any]

OnInterrupt: TypeAlias = Literal["detach", "stop"]

STOP_PATIENCE = 15.0
"""Seconds that Ctrl-C with on_interrupt="stop" may take to stop the remote task."""


class Trainer:
    """What all trainers share: a pipeline, its runs, and what became of them.

    train_type: the base model, by its name of today or an older one.
    dataset: a Dataset, a DatasetConfig, an id (`ds-…`, a number), a file, a `bos:/…` path, or a list of these.
    train_config: hyper-parameters; a TrainConfig, a dictionary, or a `.yaml` or `.json` file. The model's defaults fill
        in what is left out.
    deploy_config: deploy the model when it is ready; without it nothing is deployed.
    event_handler: an EventHandler, a function of one event (plain or async), or several of these.
    name: the beginning of the job's name. client: the account to use; by default the configured one.

    Making a trainer sends nothing. It raises ValidationError when the configuration cannot be right, with all problems
    at once.
    """

    mode: ClassVar[TrainMode] = TrainMode.SFT
    template: ClassVar[DataTemplateType] = DataTemplateType.NonSortedConversation
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
        id: str | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, type(self).__name__, Trainer.__init__)
        if eval_dataset is not None or evaluators:
            raise NotImplmentError("evaluation as a step of a trainer is not available yet; leave out eval_dataset")
        if base_model is not None:
            logger.info("base_model=%r is not needed any more: train_type alone names the model", base_model)
        previous = previous_task(previous_trainer, previous_task_id, previous_model)
        if train_type is None and previous is None:
            raise InvalidArgumentError("train_type is missing: name the model to train, for example 'ERNIE-Speed-8K'")
        data = dataset if dataset is not None else dataset_bos_path
        if data is None:
            raise InvalidArgumentError("dataset is missing: give a Dataset, its id, or a file")
        config = train_config_of(train_config)
        template = dataset_template or self.template
        check_template(data, template)

        self.id = id or new_id()
        self.train_type = train_type
        self.name = name or ""
        self._client = client
        self._handlers: HandlerList = as_handlers(event_handler)
        split = eval_split_ratio if eval_split_ratio is not None else config.trainset_rate
        self.load_data_action = LoadDataSetAction(
            id=token_for(self.id, "load"),
            dataset=with_sampling(
                data,
                sampling_rate,
                {"corpus_type": corpus_type, "corpus_proportion": corpus_proportion, "corpus_labels": corpus_labels},
            ),
            dataset_template=template,
            corpus_config=corpus_config,
            split_ratio=split,
            check_first=self._check_first,
        )
        self.train_action = TrainAction(
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
        self._snapshot: Snapshot | None = None
        self._flight: Run[Any] | None = None
        self._future: Future[Any] | None = None
        self._status: Status = TrainStatus.Unknown
        self._finished = False
        self._anew = False
        self._left = False
        self._running = False
        self._stop_wanted = False
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
        if self._snapshot is None:
            return result
        client = self._client
        for artefact in outputs_so_far(self.pipeline, self._snapshot).values():
            if isinstance(artefact, _Connected) and client is not None:
                artefact.connect(client)
            if isinstance(artefact, Artefact):
                result.update(artefact.items())
        return result

    @property
    def is_running(self) -> bool:
        """Whether a run is under way in this process."""
        return self._running

    def info(self) -> dict[str, Any]:
        """What there is to know about this trainer, as JSON values."""
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
        if self._snapshot is None:
            return {}
        noted = ids_in_notes(self._snapshot.notes(action.id) for action in self.actions)
        made = {key: value for key, value in self.made_so_far.items() if is_id(key)}
        return {**noted, **made}

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
        handler_errors: HandlerErrors = "log",
    ) -> Self:
        """Run all steps and return this trainer; `result[0]` then holds what they made.

        retry_count, backoff_factor: tries in all and first wait in seconds, for calls that only look. Calls that create
            something are never blindly repeated.
        timeout: seconds until this stops waiting; the remote work goes on, and `resume()` comes back to it.
        on_interrupt: what a cancellation or Ctrl-C means for the remote training: "detach" leaves it running, "stop"
            stops it.
        force: start anew, with a new paid job, although the trainer has run already.
        handler_errors: "raise" ends the run when an event handler fails; otherwise that is logged.

        Raises the error of the step that failed, and keeps it in `result[0]["error"]`. After a stop that was asked for
        it returns normally. A trainer that has succeeded is not run again; one that was interrupted goes on.
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
        if resubmit:
            await self._forget_what_is_not_done()
        return await self.arun(**settings)

    async def _forget_what_is_not_done(self) -> None:
        self._claim()
        try:
            snapshot = self._snapshot
            for action in self.actions:
                if snapshot is not None and action is not self.load_data_action and action.id not in snapshot:
                    await snapshot.forget(action.id)
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
        """
        if self._running:
            # The run may not have got as far as its first step; it looks at the wish when it does.
            self._stop_wanted = True
        if self._flight is not None:
            self._flight.stop()
        return self

    async def astop(self) -> Self:
        """Stop the run and return when it is over. From inside one of its own event handlers, use `stop()`."""
        self.stop()
        if event_being_handled() is None:
            await in_thread(self._over.wait)
        return self

    # --- across processes -----------------------------------------------------------------------------------

    async def asave(self, file: str | Path | None = None) -> Path:
        """Write what this trainer is and knows to a file, by default its own in the cache folder; return its path."""
        path = Path(file) if file is not None else state_file(self._settings(), self.id)
        if isinstance(self._snapshot, FileSnapshot) and self._snapshot.path == path:
            await self._keep()
        else:
            await copy_to(path, self._about(), self._snapshot, self.pipeline)
        return path

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

        Everything is restored but event handlers. Raises InvalidArgumentError when there is no such trainer.
        """
        if file is None and id is None:
            raise InvalidArgumentError("say which trainer: load(id), or load(file=...)")
        settings = client.settings if client is not None else default_settings()
        path = Path(file) if file is not None else state_file(settings, str(id))
        snapshot = await reopen(path)
        kind = _KINDS.get(str(snapshot.about.get("kind")))
        if kind is None or not issubclass(kind, cls):
            raise InvalidArgumentError(f"{str(path)!r} holds a {snapshot.about.get('kind')!r}, not a {cls.__name__}")
        trainer = kind(**revived_arguments(snapshot.about["spec"]), client=client, event_handler=event_handler)
        trainer._snapshot = snapshot
        trainer._status = status_named(str(snapshot.about.get("status")))
        trainer._left = bool(snapshot.about.get("left_running"))
        if trainer._status is TrainStatus.Unknown and "task_id" in trainer._ids():
            trainer._status = TrainStatus.Training  # a process that was killed could not write how far it had come
        trainer._finished = all(action.id in snapshot for action in trainer.actions)
        if trainer._finished:
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
    def list(cls) -> FactsOfMany:
        """What is known of the trainers that ran on this machine, the latest first."""
        names = {name for name, kind in _KINDS.items() if issubclass(kind, cls)}
        return [about for about in known_trainers(default_settings()) if about.get("kind") in names]

    def _about(self) -> dict[str, Any]:
        return {
            "kind": type(self).__name__,
            "id": self.id,
            "name": self.name,
            "train_type": self.train_type,
            "status": self._status.value,
            "left_running": self._left,
            "updated": SYSTEM_CLOCK.wall().isoformat(timespec="seconds"),
            "ids": self._ids(),
            "spec": self._spec,
        }

    # --- inside ---------------------------------------------------------------------------------------------

    def _settings(self) -> Settings:
        return self._client.settings if self._client is not None else default_settings()

    def _client_for(self, retry_count: int | None, backoff_factor: float | None) -> Client:
        client = self._client if self._client is not None else default_client()
        changes = {"console_api_retry_count": retry_count, "console_api_retry_backoff_factor": backoff_factor}
        changes = {name: value for name, value in changes.items() if value is not None}
        return client.with_settings(**changes) if changes else client

    def _claim(self) -> None:
        """One run at a time, whoever starts it from wherever: two would order everything twice."""
        with self._guard:
            if self._running:
                raise InternalError(f"{self!r} is running already; wait for it, or make another trainer")
            self._running, self._stop_wanted = True, False
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
        handler_errors: HandlerErrors = "log",
    ) -> Self:
        if force:
            self._snapshot, self._finished, self._anew = None, False, True
            self.result = [None]
        if self._finished:
            logger.warning("%r has run already; returning its result. run(force=True) starts a new paid job", self)
            return self
        client = self._client if self._client is not None else default_client()
        changes = {"console_api_retry_count": retry_count, "console_api_retry_backoff_factor": backoff_factor}
        changes = {name: value for name, value in changes.items() if value is not None}
        if not changes:
            return await self._go(client, input, timeout, on_interrupt, handler_errors)
        async with client.with_settings(**changes) as varied:
            return await self._go(varied, input, timeout, on_interrupt, handler_errors)

    async def _go(
        self,
        client: Client,
        input: Any,
        timeout: float | None,
        on_interrupt: OnInterrupt,
        handler_errors: HandlerErrors,
    ) -> Self:
        try:
            if self._snapshot is None:
                self._snapshot = await open_snapshot(client.settings, self.id, self._about(), anew=self._anew)
                self._anew = False
            async with start(
                self.pipeline,
                *self._handlers,
                client=Platform(client),
                clock=client.clock,
                snapshot=self._snapshot,
                input=input,
                on_cancel="stop" if on_interrupt == "stop" else "detach",
                handler_errors=handler_errors,
                on_event=self._observe,
            ) as flight:
                self._flight, self._left = flight, False
                if self._stop_wanted:
                    flight.stop()
                with anyio.move_on_after(timeout) as deadline:
                    await flight.wait()
                if deadline.cancelled_caught:
                    # Waiting ends here; whatever Ctrl-C would mean, the remote work goes on.
                    flight.stop("detach")
            if deadline.cancelled_caught:
                where = self._where(" goes on")
                raise ActionTimeoutError(f"no end within {timeout:g} s; {where}. resume() comes back to it")
            self._finished = not flight.stopped
            self.result = [self.made_so_far]
        except Exception as error:
            self.result = [TrainResult(error=error)]
            raise
        finally:
            self._left = self._flight is not None and self._flight.left_running
            self._flight = None
            await self._keep()
        return self

    async def _check_first(self, platform: Platform) -> None:
        """Find out what the platform will refuse before a file is uploaded for it."""
        await self.train_action.check_with_platform(platform)

    def _observe(self, event: Event) -> None:
        self._status = status_after(event) or self._status

    async def _keep(self) -> None:
        """Bring the trainer's file up to date."""
        if isinstance(self._snapshot, FileSnapshot):
            self._snapshot.about = self._about()
            await self._snapshot.save()

    def _interrupt(self, on_interrupt: OnInterrupt) -> float:
        """Called in the waiting thread at Ctrl-C. Returns how many seconds the run may take to end."""
        flight = self._flight
        if flight is None:
            return INTERRUPT_PATIENCE
        if on_interrupt == "stop":
            _say(f"Interrupted: stopping {self._where('')}. Ctrl-C again leaves at once.")
        else:
            _say(f"Interrupted: {self._where(' goes on')}. Come back with {self._come_back()}")
        flight.stop(on_interrupt)
        return STOP_PATIENCE if on_interrupt == "stop" else INTERRUPT_PATIENCE

    def _where(self, fate: str) -> str:
        ids = self._ids()
        if "task_id" not in ids:
            return f"trainer {self.id}, which has no training task yet"
        return f"trainer {self.id}: task {ids['task_id']} of job {ids['job_id']}{fate}"

    def _come_back(self) -> str:
        if isinstance(self._snapshot, FileSnapshot):
            return f"{type(self).__name__}.load({self.id!r}).resume()"
        return "resume() on this object, in this process"


def _say(line: str) -> None:
    """Tell the person at the terminal, who may have logging switched off."""
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


_KINDS: dict[str, type[Trainer]] = {kind.__name__: kind for kind in (LLMFinetune, PostPreTrain, DPO)}

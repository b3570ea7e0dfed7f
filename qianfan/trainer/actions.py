"""The steps of a trainer as actions: load the data, train, publish, deploy."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from pydantic import AliasChoices, Field, PrivateAttr

from qianfan._transport import Client, Outcome, outcome_of
from qianfan.errors import InvalidArgumentError, QianfanError, TrainJobFailedError
from qianfan.model import DeployConfig, Model, Service
from qianfan.pipeline import Action, Context
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataTemplateType, PeftType, TrainMode
from qianfan.resources.console.consts import TrainStatus as TaskStatus
from qianfan.resources.purchase import create_once, name_with, token_for
from qianfan.resources.schemas import Task
from qianfan.resources.waiting import watch, word
from qianfan.trainer.artefacts import DeployedService, PlatformDataset, PublishedModel, TrainedJob
from qianfan.trainer.catalog import Catalog, enforce
from qianfan.trainer.configs import CorpusConfig, DatasetConfig, ResourceConfig, TrainConfig
from qianfan.trainer.limits import SERVER
from qianfan.trainer.listing import current_catalog
from qianfan.trainer.loading import check_files, load_datasets
from qianfan.utils.logging import logger

__all__ = ["DeployAction", "LoadDataSetAction", "ModelPublishAction", "TrainAction"]

DEFAULT_SPLIT_RATIO = 20
"""Percent of the rows that are kept for evaluation when the user says nothing."""

_CONSOLE = "https://console.bce.baidu.com/qianfan/train"
_PAGE_OF_MODE = {TrainMode.PostPretrain: "postPretrain", TrainMode.DPO: "dpo"}


def platform_of(ctx: Context) -> Platform:
    """The platform an action talks to: what the run was started with, else the process-wide client."""
    if isinstance(ctx.client, Platform):
        return ctx.client
    if ctx.client is None or isinstance(ctx.client, Client):
        return Platform(ctx.client)
    raise InvalidArgumentError(f"start the run with a Client, not with {type(ctx.client).__name__}")


@asynccontextmanager
async def _ordering(ctx: Context, what: str, mark: Any) -> AsyncGenerator[tuple[Any, bool], None]:
    """Order something under a mark that finds it again; gives the mark, and whether an earlier attempt used it.

    The mark is noted before anything is sent, and forgotten when the platform clearly did nothing: then the next
    attempt has nothing to look for.
    """
    known = ctx.notes.get(what)
    if known is None:
        await ctx.note(**{what: mark})
    try:
        yield (mark, False) if known is None else (known, True)
    except QianfanError as error:
        if outcome_of(error) is not Outcome.UNKNOWN:
            await ctx.note(**{what: None})
        raise


def _token(ctx: Context, what: str) -> str:
    """The end of a name that only this attempt uses."""
    return token_for(ctx.state.bus.run_id, ctx.action.id, what)


class LoadDataSetAction(Action[PlatformDataset]):
    """Bring data into a state that the platform can train on: upload what is local, release what is not yet.

    dataset: a Dataset, a DatasetConfig, an id, a file, a `bos:/…` path, or a list of these.
    dataset_template: the kind of rows the training needs.
    split_ratio: percent of the rows kept for evaluation, where the dataset's own configuration does not say.
    """

    dataset: Any
    dataset_template: DataTemplateType | None = None
    corpus_config: CorpusConfig | None = None
    split_ratio: float | None = Field(default=None, ge=0, le=100)
    check_first: Callable[[Platform], Awaitable[object]] | None = Field(default=None, exclude=True)
    """Asked before anything is uploaded, so that a run that must fail later fails now."""

    async def run(self, ctx: Context) -> PlatformDataset:
        given = self.dataset
        config = given if isinstance(given, DatasetConfig) else DatasetConfig(datasets=_listed(given))
        await check_files(config.datasets)
        if self.check_first is not None:
            await self.check_first(platform_of(ctx))
        places = await load_datasets(config.datasets, self.dataset_template, platform_of(ctx), ctx)
        split = self.split_ratio if self.split_ratio is not None else DEFAULT_SPLIT_RATIO
        corpus = self.corpus_config or config.corpus_config()
        return PlatformDataset(
            datasets=config.to_wire(places, split_ratio=split),
            corpus_config=corpus.to_wire() if corpus is not None else None,
        )


def _listed(dataset: Any) -> list[Any]:
    if dataset is None:
        raise InvalidArgumentError("there is nothing to train on: give dataset=...")
    return list(dataset) if isinstance(dataset, (list, tuple)) else [dataset]


class TrainAction(Action[TrainedJob]):
    """Train: create a job and a task in it, and wait for the task's end.

    train_type: the base model, by its name of today or an older one. train_mode: what the training does.
    task_id: the task to go on from (incremental training); task_step: its checkpoint.
    job_name: the beginning of the job's name, which ends in a token that finds it again.
    train_extras: merged into the request that starts the task.
    """

    train_type: str | None = None
    train_mode: TrainMode = TrainMode.SFT
    train_config: TrainConfig | None = None
    peft_type: PeftType | str | None = None
    previous_task_id: str | None = Field(default=None, validation_alias=AliasChoices("previous_task_id", "task_id"))
    task_step: int | None = None
    job_name: str = ""
    job_description: str = ""
    task_description: str = ""
    resource_config: ResourceConfig | None = None
    train_extras: dict[str, Any] = Field(default_factory=dict)
    validate_strict: bool = True

    _task: Task | None = PrivateAttr(default=None)
    _said: bool = PrivateAttr(default=False)
    _result: TrainedJob | None = PrivateAttr(default=None)

    # --- what older code reads ------------------------------------------------------------------------------

    @property
    def task_id(self) -> str | None:
        """The training task of the latest run, `task-…`."""
        return self._task.task_id if self._task else None

    @property
    def job_id(self) -> str | None:
        """The job that holds it, `job-…`."""
        return self._task.job_id if self._task else None

    @property
    def task_status(self) -> str | None:
        """The task's state when it was last looked at."""
        return word(self._task.run_status) if self._task else None

    @property
    def progress(self) -> int | None:
        """Percent done when it was last looked at."""
        return self._task.progress if self._task else None

    @property
    def vdl_link(self) -> str | None:
        """Where the loss curves can be seen; meaningful from about half way on."""
        return self._task.vdl_link if self._task else None

    @property
    def log_link(self) -> str | None:
        """Where the training log can be read."""
        return _log_link(self._task) if self._task else None

    @property
    def result(self) -> TrainedJob | None:
        """What the latest run made."""
        return self._result

    # --- configuration --------------------------------------------------------------------------------------

    def settled(self, catalog: Catalog, train_type: str) -> tuple[TrainConfig, PeftType | str | None]:
        """The configuration with defaults filled in, and how many of the weights it trains."""
        config = self.train_config or TrainConfig()
        chosen = self.peft_type or config.peft_type
        if chosen is None:
            chosen = catalog.default_scale(train_type, self.train_mode)
        completed = catalog.complete(config.model_copy(update={"peft_type": chosen}), train_type, self.train_mode)
        return completed, chosen

    def check(self, catalog: Catalog, train_type: str | None = None) -> None:
        """Raise ValidationError with everything that the model cannot be trained with; log what only looks wrong."""
        train_type = train_type or self.train_type
        if train_type is None:
            return
        config, scale = self.settled(catalog, train_type)
        problems = catalog.check(config, train_type, self.train_mode, scale)
        enforce(problems, model=train_type, strict=self.validate_strict)

    async def check_with_platform(self, platform: Platform) -> Catalog:
        """Hold the configuration against the platform's own limits; one request, or none when they are known."""
        catalog = await current_catalog(platform)
        self._say_what_is_sent(catalog)
        if self.train_type is not None and self.validate_strict:
            config, scale = self.settled(catalog, self.train_type)
            problems = catalog.check(config, self.train_type, self.train_mode, scale)
            # The built-in limits were checked, and warned about, when the trainer was made.
            enforce([problem for problem in problems if problem.source == SERVER], model=self.train_type)
        return catalog

    def _say_what_is_sent(self, catalog: Catalog) -> None:
        """Warn, once, that the model has another name now or is not known."""
        note = catalog.resolve(self.train_type).note if self.train_type is not None else None
        if note and not self._said:
            logger.warning("%s", note)
        self._said = True

    # --- work -----------------------------------------------------------------------------------------------

    async def run(self, dataset: PlatformDataset, ctx: Context) -> TrainedJob:
        platform = platform_of(ctx)
        notes = ctx.notes
        job_id, task_id = notes.get("job_id"), notes.get("task_id")
        if task_id is None:
            job_id, task_id = await self._submit(platform, dataset, ctx, job_id)
        async with ctx.if_stopped(platform.finetune.stop_task, task_id):
            task = await self._until_over(platform, task_id, ctx)
        self._require_done(task)
        self._result = TrainedJob.of(task, dataset, _log_link(task))
        return self._result

    async def _submit(
        self, platform: Platform, dataset: PlatformDataset, ctx: Context, job_id: str | None
    ) -> tuple[str, str]:
        catalog = await self.check_with_platform(platform)
        base = await platform.finetune.describe_task(self.previous_task_id) if self.previous_task_id else None
        train_type = self.train_type or (base.model if base else None)
        if not train_type:
            raise InvalidArgumentError("train_type is missing: name the model to train")
        resolution = catalog.resolve(train_type)
        config, scale = self.settled(catalog, train_type)
        if self.peft_type is None and (self.train_config is None or self.train_config.peft_type is None):
            logger.info("no peft_type given for %s: training with %s", train_type, word(scale))
        if job_id is None:
            job_id = await self._job(platform, ctx, resolution.send, base)
            await ctx.note(job_id=job_id)
        task_id = await self._start_task(platform, ctx, job_id, dataset, config, scale)
        await ctx.note(task_id=task_id)
        logger.info("job %s: task %s trains %s (log: %s)", job_id, task_id, train_type, self._page(job_id, task_id))
        return job_id, task_id

    async def _job(self, platform: Platform, ctx: Context, model: str, base: Task | None) -> str:
        # Going on in the same mode happens inside the same job, as the platform's own console does it.
        if base is not None and base.train_mode == self.train_mode:
            return base.job_id
        async with _ordering(ctx, "job_token", _token(ctx, "job")) as (token, again):
            name = name_with(token, self.job_name or model)

            async def create() -> str:
                description = self.job_description or None
                created = await platform.finetune.create_job(
                    name=name, model=model, train_mode=self.train_mode, description=description
                )
                return created.job_id

            async def find() -> str | None:
                async with aclosing(platform.finetune.jobs()) as jobs:
                    async for job in jobs:
                        if job.name == name:
                            return job.job_id
                return None

            return await create_once(create, find, what="job", name=name, clock=platform.client.clock, look_first=again)

    async def _start_task(
        self,
        platform: Platform,
        ctx: Context,
        job_id: str,
        dataset: PlatformDataset,
        config: TrainConfig,
        scale: PeftType | str | None,
    ) -> str:
        resources = self.resource_config or config.resource_config
        # In a job of its own any task is this one; in a job that others use, only one that was not there before.
        shared = self.previous_task_id is not None and ctx.notes.get("tasks_before") is None
        before = [task.task_id async for task in platform.finetune.tasks(job_id)] if shared else []

        async def create() -> str:
            created = await platform.finetune.create_task(
                job_id=job_id,
                parameter_scale=word(scale) if scale is not None else None,
                hyper_parameters=config.to_wire(),
                dataset_config=dataset.datasets,
                corpus_config=dataset.corpus_config,
                increment_task_id=self.previous_task_id,
                increment_checkpoint_step=self.task_step,
                resource_config=resources.to_wire() if resources else None,
                extras=self.train_extras,
            )
            return created.task_id

        async with _ordering(ctx, "tasks_before", before) as (known, again):

            async def find() -> str | None:
                mine = [task.task_id async for task in platform.finetune.tasks(job_id) if task.task_id not in known]
                return mine[-1] if mine else None  # newest first, so the last one is the one that was made first

            return await create_once(
                create, find, what="training task in job", name=job_id, clock=platform.client.clock, look_first=again
            )

    async def _until_over(self, platform: Platform, task_id: str, ctx: Context) -> Task:
        def tell(task: Task) -> None:
            before, self._task = self._task, task
            status = word(task.run_status) or "created"
            percent = f" {task.progress}%" if task.progress is not None else ""
            description = f"task {task.task_id} of job {task.job_name or task.job_id} is {status}{percent}"
            ctx.report(description, task.body, progress=task.progress)
            if before is None or (before.run_status, before.progress) != (task.run_status, task.progress):
                logger.info("%s", description)

        self._task = None
        return await watch(
            lambda: platform.finetune.describe_task(task_id),
            until=lambda task: task.run_status not in ("", TaskStatus.Waiting, TaskStatus.Running),
            tell=tell,
            every=platform.client.settings.train_status_polling_interval,
            client=platform.client,
        )

    def _require_done(self, task: Task) -> None:
        if task.run_status == TaskStatus.Done:
            return
        status = word(task.run_status)
        extra = task.model_extra or {}
        reason = str(extra.get("errMessage") or extra.get("errMsg") or extra.get("failReason") or "")
        raise TrainJobFailedError(
            f"training task {task.task_id!r} of job {task.job_id!r} ended as {status!r}"
            + (f": {reason}" if reason else "")
            + f" (log: {_log_link(task)}). resume(resubmit=True) starts a new task",
            job_id=task.job_id,
            task_id=task.task_id,
            status=status,
            reason=reason,
        )

    def _page(self, job_id: str, task_id: str) -> str:
        return f"{_CONSOLE}/{_PAGE_OF_MODE.get(self.train_mode, 'sft')}/{job_id}/{task_id}/detail/traininglog"


def _log_link(task: Task) -> str:
    mode = task.train_mode if isinstance(task.train_mode, TrainMode) else TrainMode.SFT
    return f"{_CONSOLE}/{_PAGE_OF_MODE.get(mode, 'sft')}/{task.job_id}/{task.task_id}/detail/traininglog"


class ModelPublishAction(Action[PublishedModel]):
    """Publish what was trained as a new model.

    model_name: of the model set, unique in the account; generated when left out. step: the checkpoint, by default the
    last one.
    """

    model_name: str = ""
    step: int | None = None

    async def run(self, job: TrainedJob, ctx: Context) -> PublishedModel:
        platform, notes = platform_of(ctx), ctx.notes
        ids = {"task_id": job.task_id, "job_id": job.job_id}
        ctx.report(f"publishing task {job.task_id} as a model", ids)
        model = Model(notes.get("set_id"), notes.get("model_id"), **ids, client=platform.client)
        async with _ordering(ctx, "model_token", _token(ctx, "model")) as (token, again):
            await model.apublish(
                self.model_name,
                step=self.step,
                tell=lambda description, data: ctx.report(description, {**ids, "state": data}),
                token=token,
                look_first=again,
                noted=lambda set_id, model_id: ctx.note(set_id=set_id, model_id=model_id),
            )
        logger.info("model %s (set %s) is ready", model.id, model.set_id)
        return PublishedModel.of(model, job)


class DeployAction(Action[DeployedService]):
    """Deploy the published model and wait until it answers."""

    deploy_config: DeployConfig

    async def run(self, model: PublishedModel, ctx: Context) -> DeployedService:
        platform, notes = platform_of(ctx), ctx.notes
        model.connect(platform.client)
        terms = self.deploy_config.purchase_terms()
        ctx.report(f"deploying model {model.model_id}: {terms}", {"model": model.model})
        service = Service(
            notes.get("service_id"), model=model.model, deploy_config=self.deploy_config, client=platform.client
        )
        async with _ordering(ctx, "service_token", _token(ctx, "service")) as (token, again):
            await service.adeploy(
                tell=lambda description, data: ctx.report(description, {"model": model.model, "state": data}),
                token=token,
                look_first=again,
                noted=lambda service_id: ctx.note(service_id=service_id),
            )
        model.model.service = service
        logger.info("service %s answers at endpoint %s", service.id, service.endpoint)
        return DeployedService.of(service, model)

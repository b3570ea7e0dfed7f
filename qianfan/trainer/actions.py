"""The steps of a trainer as actions: load the data, train, publish, deploy, evaluate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import anyio.lowlevel
from pydantic import AfterValidator, AliasChoices, Field, PrivateAttr

from qianfan._sync import in_thread
from qianfan._transport import Client
from qianfan.dataset import Dataset, QianfanDataSource
from qianfan.dataset.sources import LocalSource
from qianfan.errors import APIError, AuthError, InvalidArgumentError, TrainJobFailedError
from qianfan.evaluation import EvaluationManager, Evaluator, QianfanEvaluator, online
from qianfan.evaluation.questions import check_kind, questions_of
from qianfan.evaluation.stored import require_all, stored
from qianfan.model import DeployConfig, Model, Service, batching
from qianfan.pipeline import Action, Context, Fenced, Mark, Purchase, Receipt
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataFormat, DataTemplateType, PeftType, TrainMode
from qianfan.resources.console.consts import TrainStatus as TaskStatus
from qianfan.resources.llm.options import for_the_model
from qianfan.resources.purchase import labelled, name_with
from qianfan.resources.schemas import Job, Task
from qianfan.resources.waiting import watch, word
from qianfan.trainer.artefacts import (
    BatchAnswers,
    DeployedService,
    Evaluation,
    PlatformDataset,
    PublishedModel,
    TrainedJob,
)
from qianfan.trainer.catalog import Catalog, enforce
from qianfan.trainer.configs import CorpusConfig, DatasetConfig, ResourceConfig, TrainConfig
from qianfan.trainer.limits import SERVER
from qianfan.trainer.listing import current_catalog
from qianfan.trainer.loading import check_files, is_lost, load_datasets, reference_of, source_of
from qianfan.utils.logging import logger

__all__ = [
    "BatchInferAction",
    "DeployAction",
    "EvaluateAction",
    "LoadDataSetAction",
    "ModelPublishAction",
    "TrainAction",
]

DEFAULT_SPLIT_RATIO = 20
"""Percent of the rows that are kept for evaluation when the user says nothing."""

_SLACK = timedelta(days=1)
"""How far the platform's clock and ours may be apart when an old job in a listing ends the search; a clock that keeps
local time as if it were UTC is off by up to 14 hours."""

_CONSOLE = "https://console.bce.baidu.com/qianfan/train"
_PAGE_OF_MODE = {TrainMode.PostPretrain: "postPretrain", TrainMode.DPO: "dpo", TrainMode.KTO: "kto"}


def platform_of(ctx: Context) -> Platform:
    """The platform an action talks to: what the run was started with, else the process-wide client."""
    if isinstance(ctx.client, Platform):
        return ctx.client
    if ctx.client is None or isinstance(ctx.client, Client):
        return Platform(ctx.client)
    raise InvalidArgumentError(f"start the run with a Client, not with {type(ctx.client).__name__}")


class LoadDataSetAction(Action[PlatformDataset]):
    """Bring data into a state that the platform can train on: upload what is local, release what is not yet.

    dataset: a Dataset, a DatasetConfig, an id, a file, a `bos:/…` path, or a list of these.
    dataset_template, data_format: the kind of rows the training needs; the latter where the former does not tell.
    split_ratio: percent of the rows kept for evaluation, where the dataset's own configuration does not say.
    """

    dataset: Any
    dataset_template: DataTemplateType | None = None
    data_format: DataFormat | None = Field(default=None, exclude=True)
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
        places = await load_datasets(
            config.datasets, self.dataset_template, platform_of(ctx), ctx, data_format=self.data_format
        )
        split = self.split_ratio if self.split_ratio is not None else DEFAULT_SPLIT_RATIO
        corpus = self.corpus_config or config.corpus_config()
        return PlatformDataset(
            datasets=config.to_wire(places, split_ratio=split),
            corpus_config=corpus.to_wire() if corpus is not None else None,
        )

    def parameters(self) -> Any:
        """What is trained on, by what finds it again in another process."""
        facts = self.model_dump(mode="json", exclude={"id", "name", "dataset"}, exclude_defaults=True)
        return {**facts, "dataset": reference_of(self.dataset)}


def _listed(dataset: Any) -> list[Any]:
    if dataset is None:
        raise InvalidArgumentError("there is nothing to train on: give dataset=...")
    return list(dataset) if isinstance(dataset, (list, tuple)) else [dataset]


class TrainAction(Action[TrainedJob]):
    """Train: create a job and a task in it, and wait for the task's end.

    train_type: the base model, by its name of today or an older one. train_mode: what the training does.
    task_id: the task to go on from (incremental training), or previous_model: the id of a model, whose task it is;
        task_step: its checkpoint. Its model is trained where train_type is left out.
    job_name: the beginning of the job's name, which ends in a token that finds it again.
    job_description, task_description: the platform describes jobs only, so both go there.
    train_extras: merged into the request that starts the task.
    """

    train_type: str | None = None
    train_mode: TrainMode = TrainMode.SFT
    train_config: TrainConfig | None = None
    peft_type: PeftType | str | None = None
    previous_task_id: str | None = Field(default=None, validation_alias=AliasChoices("previous_task_id", "task_id"))
    previous_model: str | None = None
    task_step: int | None = None
    job_name: str = ""
    job_description: str = ""
    task_description: str = ""
    resource_config: ResourceConfig | None = None
    train_extras: dict[str, Any] = Field(default_factory=dict)
    validate_strict: bool = True

    _task: Task | None = PrivateAttr(default=None)
    _base: Task | None = PrivateAttr(default=None)
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
        """Hold the configuration against the platform's own limits; one request, or none when they are known.

        Raises InvalidArgumentError when the training to go on from is not done, or is one of another model.
        """
        catalog = await current_catalog(platform)
        self._say_what_is_sent(catalog)
        base = self._base = await self._find_base(platform)
        if base is not None and self.train_type is not None and catalog.resolve(self.train_type).send != base.model:
            raise InvalidArgumentError(
                f"task {base.task_id!r} trained {base.model}, and going on from it cannot train {self.train_type}; "
                "leave train_type out"
            )
        train_type = self.train_type or (base.model if base is not None else None)
        if train_type is not None and self.validate_strict:
            config, scale = self.settled(catalog, train_type)
            problems = catalog.check(config, train_type, self.train_mode, scale)
            # The built-in limits were checked, and warned about, when the trainer was made, if its model was known.
            found = [one for one in problems if one.source == SERVER or self.train_type is None]
            enforce(found, model=train_type)
        return catalog

    async def _find_base(self, platform: Platform) -> Task | None:
        """The finished training to go on from, if there is to be one."""
        task_id = self.previous_task_id
        if self.previous_model is not None:
            model = await Model(id=self.previous_model, client=platform.client).aauto_complete_info()
            if model.task_id is None:
                raise InvalidArgumentError(f"{model!r} comes from no training that could be gone on from")
            task_id = str(model.task_id)
        if task_id is None:
            return None
        base = await platform.finetune.describe_task(task_id)
        if base.run_status != TaskStatus.Done:
            raise InvalidArgumentError(
                f"training {task_id!r} is {word(base.run_status) or 'created'!r}; only one that is 'Done' can be gone "
                "on from"
            )
        return base

    def _say_what_is_sent(self, catalog: Catalog) -> None:
        """Warn, once, that the model has another name now or is not known."""
        note = catalog.resolve(self.train_type).note if self.train_type is not None else None
        if note and not self._said:
            logger.warning("%s", note)
        self._said = True

    # --- work -----------------------------------------------------------------------------------------------

    async def run(self, dataset: PlatformDataset, ctx: Context) -> TrainedJob:
        platform = platform_of(ctx)
        _, task_id = await self._ordered(platform, dataset, ctx)
        return await self._trained(platform, task_id, dataset, ctx)

    async def _trained(
        self, platform: Platform, task_id: str, dataset: PlatformDataset | None, ctx: Context
    ) -> TrainedJob:
        async with ctx.if_stopped(platform.finetune.stop_task, task_id):
            task = await self._until_over(platform, task_id, ctx)
            if task.run_status == TaskStatus.Stopped and await ctx.state.record.is_stop_wanted():
                await anyio.lowlevel.checkpoint()  # another process has stopped this run, which ends here
        self._require_done(task)
        self._result = TrainedJob.of(task, dataset, _log_link(task))
        return self._result

    async def recall(self, ctx: Context) -> None:
        """Stop the task that an earlier process ordered, if it did."""
        platform = platform_of(ctx)
        job = ctx.purchases.known("job")
        made = await ctx.purchases.recall(self._task_purchase(platform, ctx, job.id if job else "", {}))
        if made is not None:
            await platform.finetune.stop_task(made.id)

    async def _ordered(self, platform: Platform, dataset: PlatformDataset, ctx: Context) -> tuple[str, str]:
        """The job and its task: ordered now, or known from an earlier attempt."""
        job, task = ctx.purchases.known("job"), ctx.purchases.known("task")
        if job is not None and task is not None:
            return job.id, task.id
        catalog = await self.check_with_platform(platform)
        base = self._base
        train_type = self.train_type or (base.model if base else None)
        if not train_type:
            raise InvalidArgumentError("train_type is missing: name the model to train")
        resolution = catalog.resolve(train_type)
        config, scale = self.settled(catalog, train_type)
        if self.peft_type is None and (self.train_config is None or self.train_config.peft_type is None):
            logger.info("no peft_type given for %s: training with %s", train_type, word(scale))
        content = self._content(dataset, config, scale, base)
        is_shared = self._shares_job_of(base)
        while True:
            job = await self._job(platform, ctx, resolution.send, base)
            try:
                task = await ctx.purchases.ensure(
                    self._task_purchase(platform, ctx, job.id, content, is_shared=is_shared)
                )
            except Fenced:
                continue  # the job is gone, and the task with it; both begin anew
            break
        page = self._page(job.id, task.id)
        logger.info("job %s: task %s trains %s (log: %s)", job.id, task.id, train_type, page)
        return job.id, task.id

    async def _job(self, platform: Platform, ctx: Context, model: str, base: Task | None) -> Receipt:
        if base is not None and self._shares_job_of(base):
            if ctx.purchases.known("job") is None:
                await ctx.purchases.adopt("job", Receipt(base.job_id))
            return Receipt(base.job_id)

        described = (self.job_description, self.task_description)

        def request(mark: Mark) -> dict[str, Any]:
            return {
                "name": name_with(mark.token, self.job_name or model),
                "model": model,
                "train_mode": word(self.train_mode),
                "description": labelled(" / ".join(filter(None, described)), mark.label),
            }

        async def create(request: Mapping[str, Any]) -> Receipt:
            return Receipt((await platform.finetune.create_job(**request)).job_id)

        async def find(mark: Mark) -> list[Receipt]:
            name, found = request(mark)["name"], list[Receipt]()
            async with aclosing(platform.finetune.jobs()) as jobs:
                async for job in jobs:
                    if _is_older(job, mark.since - _SLACK):
                        break
                    if job.name == name and job.description.endswith(mark.label):
                        found.append(Receipt(job.job_id))
            return _oldest_first(found)

        return await ctx.purchases.ensure(Purchase("job", request, create, find, exists_already=_says_exists))

    def _shares_job_of(self, base: Task | None) -> bool:
        """Going on in the same mode happens inside the same job, as the platform's own console does it."""
        return base is not None and base.train_mode == self.train_mode

    def _content(
        self, dataset: PlatformDataset, config: TrainConfig, scale: PeftType | str | None, base: Task | None
    ) -> dict[str, Any]:
        """What the task is to do, in the words of the call that orders it."""
        resources = self.resource_config or config.resource_config
        return {
            "parameter_scale": word(scale) if scale is not None else None,
            "hyper_parameters": config.to_wire(),
            "dataset_config": dataset.datasets,
            "corpus_config": dataset.corpus_config,
            "increment_task_id": base.task_id if base is not None else None,
            "increment_checkpoint_step": self.task_step,
            "resource_config": resources.to_wire() if resources else None,
            "extras": self.train_extras,
        }

    def _task_purchase(
        self, platform: Platform, ctx: Context, job_id: str, content: Mapping[str, Any], *, is_shared: bool = False
    ) -> Purchase:
        """The order that costs money. In a job of its own any task is it; in a shared one, only a new one."""

        async def tasks() -> list[str]:
            return [task.task_id async for task in platform.finetune.tasks(job_id)]

        async def before() -> list[str] | None:
            return await tasks() if is_shared else None

        async def create(request: Mapping[str, Any]) -> Receipt:
            return Receipt((await platform.finetune.create_task(**request)).task_id)

        async def find(mark: Mark) -> list[Receipt]:
            known = mark.before or ()
            return _oldest_first([Receipt(id) for id in await tasks() if id not in known])

        return Purchase(
            "task",
            lambda mark: {"job_id": job_id, **content},
            create,
            find,
            paid=True,
            before=before,
            container=None if is_shared else "job",
            retire=lambda id: _delete_job(platform, id),
            look_for=lambda mark: f"a task in job {job_id!r}",
        )

    async def _until_over(self, platform: Platform, task_id: str, ctx: Context) -> Task:
        def tell(task: Task) -> None:
            before, self._task = self._task, task
            status = word(task.run_status) or "created"
            percent = f" {task.progress}%" if task.progress is not None else ""
            description = (
                f"task {task.task_id} of job {task.job_name or task.job_id} is {status}{percent}{_losses(task)}"
            )
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
            progress=lambda task: task.progress,
        )

    def _require_done(self, task: Task) -> None:
        if task.run_status == TaskStatus.Done:
            return
        status = word(task.run_status)
        reason = task.failure
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


async def _delete_job(platform: Platform, job_id: str) -> bool:
    """Delete a job; whether it is gone. False when the platform refuses because there is a task in it."""
    try:
        return await platform.finetune.delete_job(job_id)
    except APIError as error:
        if isinstance(error, AuthError) or error.retryable or (error.http_status or 0) >= 500:
            raise
    # The platform has no certain code for "not found", so look: a job whose tasks can be listed is still there.
    try:
        await platform.finetune.describe_tasks(job_id)
    except APIError as error:
        if isinstance(error, AuthError) or error.retryable or (error.http_status or 0) >= 500:
            raise
        return True
    return False


_NAME_TAKEN = 510201


def _says_exists(error: Exception) -> bool:
    """Whether a job was refused because there is one of its name; that is looked for then."""
    if not isinstance(error, APIError):
        return False
    text = error.error_msg.lower()
    return (
        error.http_status == 409 or error.code == _NAME_TAKEN or any(word in text for word in ("exist", "存在", "重复"))
    )


def _is_older(job: Job, than: datetime) -> bool:
    """Whether a job was certainly made before a moment; one without a readable date was not."""
    try:
        created = datetime.fromisoformat(job.create_date.replace("Z", "+00:00"))
    except ValueError:
        return False
    return created.replace(tzinfo=created.tzinfo or timezone.utc) < than


def _losses(task: Task) -> str:
    """The losses so far, which an emulator that really trains tells under a key of its own."""
    local = (task.model_extra or {}).get("local")
    told = local if isinstance(local, dict) else {}
    words = {"trainingLoss": "loss", "validationLoss": "held-out loss"}
    return "".join(
        f", {word} {told[key]:.3f}" for key, word in words.items() if isinstance(told.get(key), (int, float))
    )


def _oldest_first(found: list[Receipt]) -> list[Receipt]:
    """Listings come newest first, and may repeat what has moved to the next page meanwhile."""
    return list({receipt.id: receipt for receipt in reversed(found)}.values())


def _log_link(task: Task) -> str:
    if task.vdl_link and "simulated" in (task.model_extra or {}):
        return task.vdl_link  # an emulator has one page for a task, and the platform's console knows nothing of it
    mode = task.train_mode if isinstance(task.train_mode, TrainMode) else TrainMode.SFT
    return f"{_CONSOLE}/{_PAGE_OF_MODE.get(mode, 'sft')}/{task.job_id}/{task.task_id}/detail/traininglog"


class AttachAction(TrainAction):
    """Wait for a training task that was started elsewhere, as if this run had started it."""

    attached_task_id: str

    @property
    def kind(self) -> type[Any]:
        return TrainAction

    async def run(self, ctx: Context) -> TrainedJob:  # type: ignore[override]  # it needs no dataset
        platform = platform_of(ctx)
        if ctx.purchases.known("task") is None:
            task = await platform.finetune.describe_task(self.attached_task_id)
            await ctx.purchases.adopt("job", Receipt(task.job_id))
            await ctx.purchases.adopt("task", Receipt(task.task_id))
        return await self._trained(platform, self.attached_task_id, None, ctx)


class ModelPublishAction(Action[PublishedModel]):
    """Publish what was trained as a new model.

    model_name: of the model set, unique in the account; generated when left out. step: the checkpoint, by default the
    last one.
    """

    model_name: str = ""
    step: int | None = None

    async def run(self, job: TrainedJob, ctx: Context) -> PublishedModel:
        platform = platform_of(ctx)
        ids = {"task_id": job.task_id, "job_id": job.job_id}
        ctx.report(f"publishing task {job.task_id} as a model", ids)
        model = Model(**ids, client=platform.client)
        await model.apublish(
            self.model_name,
            step=self.step,
            tell=lambda description, data: ctx.report(description, {**ids, "state": data}),
            purchases=ctx.purchases,
        )
        logger.info("model %s (set %s) is ready", model.id, model.set_id)
        return PublishedModel.of(model, job)


class DeployAction(Action[DeployedService]):
    """Deploy the published model and wait until it answers."""

    deploy_config: DeployConfig

    async def run(self, model: PublishedModel, ctx: Context) -> DeployedService:
        platform = platform_of(ctx)
        model.connect(platform.client)
        terms = self.deploy_config.purchase_terms()
        ctx.report(f"deploying model {model.model_id}: {terms}", {"model": model.model})
        service = Service(model=model.model, deploy_config=self.deploy_config, client=platform.client)
        await service.adeploy(
            tell=lambda description, data: ctx.report(description, {"model": model.model, "state": data}),
            purchases=ctx.purchases,
        )
        model.model.service = service
        logger.info("service %s answers at endpoint %s", service.id, service.endpoint)
        return DeployedService.of(service, model)


class EvaluateAction(Action[Evaluation]):
    """Have evaluators judge what a model says to the questions of a dataset: the deployed service, by local evaluators.

    eval_dataset: a Dataset, its id, or a file. evaluators: local ones, those of the platform, or both.

    Evaluators of the platform judge the published model there, which is one paid evaluation for each run, and buys
    nothing without them. An interrupted run goes on with the evaluation that it ordered. What was asked on this machine
    before an interruption is asked again: the answers are kept when all of them are there, not before.
    """

    eval_dataset: Any
    evaluators: Sequence[Any]

    _kept: list[dict[str, Any]] | None = PrivateAttr(default=None)

    async def run(self, service: DeployedService, ctx: Context) -> Evaluation:
        service.connect(platform_of(ctx).client)
        return await self.evaluated(service.service, service, f"service {service.service_id}", ctx)

    async def evaluated(
        self, llm: Model | Service, made_from: DeployedService | PublishedModel, called: str, ctx: Context
    ) -> Evaluation:
        """Evaluate a service, or a model that need not be deployed. called: what events call it."""
        platform, manager = platform_of(ctx), self._manager()
        require_all(manager.local_evaluators)
        dataset = await self._dataset_for(manager, platform, ctx)
        about = {"llm": llm, "dataset": dataset}
        ctx.report(f"asking {called} the questions of {dataset.name}", about)
        percent = 0

        def tell(done: int, total: int) -> None:
            nonlocal percent
            before, percent = percent, 100 * done // total
            if percent != before:
                ctx.report(f"{done} of {total} rows", {**about, "done": done, "rows": total}, progress=percent)

        def tell_of_platform(description: str, data: Any) -> None:
            ctx.report(description, {**about, "state": data})

        async with ctx.if_stopped(_stop_judging, platform, ctx):
            result = await manager.aeval(
                [llm], dataset, on_progress=tell, tell=tell_of_platform, purchases=ctx.purchases
            )
        logger.info("%r", result)
        return Evaluation(eval_res=result, made_from=made_from)

    async def recall(self, ctx: Context) -> None:
        """Stop what an earlier process ordered, if it did."""
        platform = platform_of(ctx)
        await ctx.purchases.recall(online.purchase_of(platform, {}))
        await ctx.purchases.recall(batching.purchase_of(platform, None))
        await _stop_judging(platform, ctx)

    async def check(self) -> None:
        """Find out, before anything is ordered, what would make the evaluation fail without a question asked.

        Raises InvalidArgumentError for a dataset or an evaluator that cannot be used, ValidationError for bad rows.
        """
        require_all(self._manager().local_evaluators)
        source = source_of(self.eval_dataset)
        if isinstance(source, LocalSource):
            await in_thread(questions_of, await Dataset.aload(source))

    async def _dataset_for(self, manager: EvaluationManager, platform: Platform, ctx: Context) -> Dataset:
        """The questions, where they are needed: on this machine, or on the platform where that judges."""
        if not manager.qianfan_evaluators:
            await self.check()
            return await _rows_here(self.eval_dataset, platform.client)
        if ctx.purchases.known(online.KIND) is not None:
            # The questions are asked already; what they are need not be known any more.
            return Dataset(QianfanDataSource(str(reference_of(self.eval_dataset)), client=platform.client))
        await self.check()
        [place] = await load_datasets([self.eval_dataset], None, platform, ctx)
        return Dataset(QianfanDataSource(place, client=platform.client))

    def _manager(self) -> EvaluationManager:
        judges = self.evaluators
        return EvaluationManager(
            local_evaluators=[one for one in judges if not isinstance(one, QianfanEvaluator)],
            qianfan_evaluators=[one for one in judges if isinstance(one, QianfanEvaluator)],
        )

    def kept_evaluators(self) -> list[dict[str, Any]]:
        """The evaluators as JSON values, as they were when this was first asked for.

        Raises InvalidArgumentError for one that could not be made again from them.
        """
        if self._kept is None:
            self._manager()  # refuses what is no evaluator
            self._kept = [stored(evaluator) for evaluator in self.evaluators]
        return self._kept

    def parameters(self) -> Any:
        """What is asked and who judges, by what finds them again in another process."""
        facts = self.model_dump(
            mode="json", exclude={"id", "name", "eval_dataset", "evaluators"}, exclude_defaults=True
        )
        return {**facts, "eval_dataset": reference_of(self.eval_dataset), "evaluators": self.kept_evaluators()}


async def _rows_here(dataset: Any, client: Client) -> Dataset:
    """Whatever a user calls a dataset, with its rows on this machine."""
    source = source_of(dataset)
    if isinstance(source, LocalSource):
        return await Dataset.aload(source)
    if source.local is not None:
        return Dataset(source)
    # The trainer's own client, whichever account the dataset was looked up with.
    return await Dataset.aload(
        qianfan_dataset_id=source.dataset_id or source.id, is_download_to_local=True, client=client
    )


async def _stop_judging(platform: Platform, ctx: Context) -> None:
    """Stop what an evaluation runs on the platform."""
    evaluation, inference = ctx.purchases.known(online.KIND), ctx.purchases.known(batching.KIND)
    if evaluation is not None:
        await platform.evaluations.cancel(evaluation.id)
    if inference is not None:
        await platform.batch_inference.stop(inference.id)


class BatchInferAction(Action[BatchAnswers]):
    """Have the published model answer the questions of a dataset on the platform; nothing is deployed.

    dataset: a Dataset, its id, or a file. params: how the model is asked, such as `{"temperature": 0.1}`.
    bucket: of yours, which the questions and answers pass through, unless the settings' own.

    It is one paid batch inference for each run; an interrupted run goes on with the one that it ordered.
    """

    dataset: Any
    params: Annotated[dict[str, Any], AfterValidator(for_the_model)] = Field(default_factory=dict)
    bucket: str | None = None

    async def run(self, model: PublishedModel, ctx: Context) -> BatchAnswers:
        platform = platform_of(ctx)
        model.connect(platform.client)
        known = ctx.purchases.known(batching.KIND)
        task_id = known.id if known is not None else await self._ordered(model, platform, ctx)
        async with ctx.if_stopped(platform.batch_inference.stop, task_id):
            task = await batching.until_done(
                task_id, platform, lambda description, data: ctx.report(description, {"state": data})
            )
        return BatchAnswers.of(task, model)

    async def recall(self, ctx: Context) -> None:
        """Stop the batch inference that an earlier process ordered, if it did."""
        platform = platform_of(ctx)
        made = await ctx.purchases.recall(batching.purchase_of(platform, None))
        if made is not None:
            await platform.batch_inference.stop(made.id)

    async def _ordered(self, model: PublishedModel, platform: Platform, ctx: Context) -> str:
        questions = await in_thread(questions_of, await _rows_here(self.dataset, platform.client))
        ctx.report(f"having model {model.model_id} answer {len(questions)} questions", {"model": model.model})
        batch = batching.Batch.of(model.model_id, questions, self.params, platform, self.bucket)
        return await batching.ordered(batch, platform, ctx.purchases)

    def parameters(self) -> Any:
        """What is asked, by what finds it again in another process."""
        facts = self.model_dump(mode="json", exclude={"id", "name", "dataset"}, exclude_defaults=True)
        return {**facts, "dataset": reference_of(self.dataset)}


def _evaluating_models() -> type[EvaluateAction]:
    from qianfan.trainer.before import EvaluateModelAction  # that module needs this one

    return EvaluateModelAction


def evaluation_of(
    eval_dataset: Any,
    evaluators: Sequence[Evaluator] | None,
    deploy_config: DeployConfig | None,
    id: str,
    *,
    publishes: bool = True,
) -> EvaluateAction | None:
    """The evaluate step of a trainer, if it is to have one. Raises InvalidArgumentError when it could not work."""
    if eval_dataset is None and not evaluators:
        return None
    if eval_dataset is None or not evaluators:
        missing = "eval_dataset, whose questions are asked" if evaluators else "evaluators, which judge the answers"
        raise InvalidArgumentError(f"an evaluation needs both eval_dataset and evaluators; it lacks {missing}")
    on_platform = any(isinstance(one, QianfanEvaluator) for one in evaluators)
    if deploy_config is None and not on_platform:
        raise InvalidArgumentError(
            "evaluators judge the answers of a deployed service, and without deploy_config nothing is deployed: give "
            "deploy_config=..., or leave out eval_dataset and evaluators"
        )
    if deploy_config is None and not publishes:
        raise InvalidArgumentError("the platform judges published models, and nothing is published")
    if deploy_config is not None:
        check_kind(Service(service_type=deploy_config.service_type))
    if not is_lost(eval_dataset):  # then the rest of the trainer can still be gone on with, or stopped
        source_of(eval_dataset)
    kind = _evaluating_models() if deploy_config is None else EvaluateAction
    action = kind(id=id, eval_dataset=eval_dataset, evaluators=evaluators)
    action.kept_evaluators()
    return action

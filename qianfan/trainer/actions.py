"""The steps of a trainer as actions: load the data, train, publish, deploy, evaluate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio.lowlevel
from pydantic import AliasChoices, Field, PrivateAttr

from qianfan._sync import in_thread
from qianfan._transport import Client
from qianfan.dataset import Dataset
from qianfan.dataset.sources import LocalSource
from qianfan.errors import APIError, AuthError, InvalidArgumentError, TrainJobFailedError
from qianfan.evaluation import EvaluationManager, LocalEvaluator
from qianfan.evaluation.questions import check_kind, questions_of
from qianfan.evaluation.stored import require_all, stored
from qianfan.model import DeployConfig, Model, Service
from qianfan.pipeline import Action, Context, Fenced, Mark, Purchase, Receipt
from qianfan.resources import Platform
from qianfan.resources.console.consts import DataTemplateType, PeftType, TrainMode
from qianfan.resources.console.consts import TrainStatus as TaskStatus
from qianfan.resources.purchase import labelled, name_with
from qianfan.resources.schemas import Job, Task
from qianfan.resources.waiting import watch, word
from qianfan.trainer.artefacts import DeployedService, Evaluation, PlatformDataset, PublishedModel, TrainedJob
from qianfan.trainer.catalog import Catalog, enforce
from qianfan.trainer.configs import CorpusConfig, DatasetConfig, ResourceConfig, TrainConfig
from qianfan.trainer.limits import SERVER
from qianfan.trainer.listing import current_catalog
from qianfan.trainer.loading import check_files, is_lost, load_datasets, reference_of, source_of
from qianfan.utils.logging import logger

__all__ = ["DeployAction", "EvaluateAction", "LoadDataSetAction", "ModelPublishAction", "TrainAction"]

DEFAULT_SPLIT_RATIO = 20
"""Percent of the rows that are kept for evaluation when the user says nothing."""

_SLACK = timedelta(days=1)
"""How far the platform's clock and ours may be apart when an old job in a listing ends the search; a clock that keeps
local time as if it were UTC is off by up to 14 hours."""

_CONSOLE = "https://console.bce.baidu.com/qianfan/train"
_PAGE_OF_MODE = {TrainMode.PostPretrain: "postPretrain", TrainMode.DPO: "dpo"}


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
        base = await platform.finetune.describe_task(self.previous_task_id) if self.previous_task_id else None
        train_type = self.train_type or (base.model if base else None)
        if not train_type:
            raise InvalidArgumentError("train_type is missing: name the model to train")
        resolution = catalog.resolve(train_type)
        config, scale = self.settled(catalog, train_type)
        if self.peft_type is None and (self.train_config is None or self.train_config.peft_type is None):
            logger.info("no peft_type given for %s: training with %s", train_type, word(scale))
        content = self._content(dataset, config, scale)
        while True:
            job = await self._job(platform, ctx, resolution.send, base)
            try:
                task = await ctx.purchases.ensure(self._task_purchase(platform, ctx, job.id, content))
            except Fenced:
                continue  # the job is gone, and the task with it; both begin anew
            break
        page = self._page(job.id, task.id)
        logger.info("job %s: task %s trains %s (log: %s)", job.id, task.id, train_type, page)
        return job.id, task.id

    async def _job(self, platform: Platform, ctx: Context, model: str, base: Task | None) -> Receipt:
        # Going on in the same mode happens inside the same job, as the platform's own console does it.
        if base is not None and base.train_mode == self.train_mode:
            if ctx.purchases.known("job") is None:
                await ctx.purchases.adopt("job", Receipt(base.job_id))
            return Receipt(base.job_id)

        def request(mark: Mark) -> dict[str, Any]:
            return {
                "name": name_with(mark.token, self.job_name or model),
                "model": model,
                "train_mode": word(self.train_mode),
                "description": labelled(self.job_description, mark.label),
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

    def _content(self, dataset: PlatformDataset, config: TrainConfig, scale: PeftType | str | None) -> dict[str, Any]:
        """What the task is to do, in the words of the call that orders it."""
        resources = self.resource_config or config.resource_config
        return {
            "parameter_scale": word(scale) if scale is not None else None,
            "hyper_parameters": config.to_wire(),
            "dataset_config": dataset.datasets,
            "corpus_config": dataset.corpus_config,
            "increment_task_id": self.previous_task_id,
            "increment_checkpoint_step": self.task_step,
            "resource_config": resources.to_wire() if resources else None,
            "extras": self.train_extras,
        }

    def _task_purchase(self, platform: Platform, ctx: Context, job_id: str, content: Mapping[str, Any]) -> Purchase:
        """The order that costs money. In a job of its own any task is it; in a shared one, only a new one."""
        is_shared = self.previous_task_id is not None

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
    """Ask the deployed service the questions of a dataset, and have evaluators judge its answers. Buys nothing.

    eval_dataset: a Dataset, its id, or a file. evaluators: made from `LocalEvaluator`.

    What was asked before an interruption is asked again: the answers are kept when all of them are there, not before.
    """

    eval_dataset: Any
    evaluators: Sequence[Any]

    _kept: list[dict[str, Any]] | None = PrivateAttr(default=None)

    async def run(self, service: DeployedService, ctx: Context) -> Evaluation:
        await self.check()
        platform = platform_of(ctx)
        service.connect(platform.client)
        dataset = await self._dataset(platform.client)
        about = {"llm": service.service, "dataset": dataset}
        ctx.report(f"asking service {service.service_id} the questions of {dataset.name}", about)
        percent = 0

        def tell(done: int, total: int) -> None:
            nonlocal percent
            before, percent = percent, 100 * done // total
            if percent != before:
                ctx.report(f"{done} of {total} rows", {**about, "done": done, "rows": total}, progress=percent)

        result = await self._manager().aeval([service.service], dataset, on_progress=tell)
        logger.info("%r", result)
        return Evaluation(eval_res=result, made_from=service)

    async def check(self) -> None:
        """Find out, before anything is ordered, what would make the evaluation fail without a question asked.

        Raises InvalidArgumentError for a dataset or an evaluator that cannot be used, ValidationError for bad rows.
        """
        require_all(self._manager().local_evaluators)
        source = source_of(self.eval_dataset)
        if isinstance(source, LocalSource):
            await in_thread(questions_of, await Dataset.aload(source))

    async def _dataset(self, client: Client) -> Dataset:
        source = source_of(self.eval_dataset)
        if isinstance(source, LocalSource):
            return await Dataset.aload(source)
        if source.local is not None:
            return Dataset(source)
        # The trainer's own client, whichever account the dataset was looked up with.
        return await Dataset.aload(
            qianfan_dataset_id=source.dataset_id or source.id, is_download_to_local=True, client=client
        )

    def _manager(self) -> EvaluationManager:
        return EvaluationManager(local_evaluators=self.evaluators)

    def kept_evaluators(self) -> list[dict[str, Any]]:
        """The evaluators as JSON values, as they were when this was first asked for.

        Raises InvalidArgumentError for one that could not be made again from them.
        """
        if self._kept is None:
            self._kept = [stored(evaluator) for evaluator in self._manager().local_evaluators]
        return self._kept

    def parameters(self) -> Any:
        """What is asked and who judges, by what finds them again in another process."""
        facts = self.model_dump(
            mode="json", exclude={"id", "name", "eval_dataset", "evaluators"}, exclude_defaults=True
        )
        return {**facts, "eval_dataset": reference_of(self.eval_dataset), "evaluators": self.kept_evaluators()}


def evaluation_of(
    eval_dataset: Any, evaluators: Sequence[LocalEvaluator] | None, deploy_config: DeployConfig | None, id: str
) -> EvaluateAction | None:
    """The evaluate step of a trainer, if it is to have one. Raises InvalidArgumentError when it could not work."""
    if eval_dataset is None and not evaluators:
        return None
    if eval_dataset is None or not evaluators:
        missing = "eval_dataset, whose questions are asked" if evaluators else "evaluators, which judge the answers"
        raise InvalidArgumentError(f"an evaluation needs both eval_dataset and evaluators; it lacks {missing}")
    if deploy_config is None:
        raise InvalidArgumentError(
            "evaluators judge the answers of a deployed service, and without deploy_config nothing is deployed: give "
            "deploy_config=..., or leave out eval_dataset and evaluators"
        )
    check_kind(Service(service_type=deploy_config.service_type))
    if not is_lost(eval_dataset):  # then the rest of the trainer can still be gone on with, or stopped
        source_of(eval_dataset)
    action = EvaluateAction(id=id, eval_dataset=eval_dataset, evaluators=evaluators)
    action.kept_evaluators()
    return action

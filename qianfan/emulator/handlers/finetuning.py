"""What can be done with trainings, whichever generation of the API asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.checks import Body, found
from qianfan.emulator.handlers.datasets import dataset_of, files_at, look_at
from qianfan.emulator.lifecycle import TRAINING
from qianfan.emulator.records import Job, Source, Task
from qianfan.emulator.refusals import Problem, Refused, invalid
from qianfan.emulator.templates import Template, needed_for

FAILING_NAME = "mock_failed_task"
"""A job of this name fails its trainings, a convention of test set-ups for this API."""

UNDER_WAY = ("", "Waiting", "Running")

_LEAST_ROWS = 32


@dataclass
class Order:
    """What a training is asked to be, in either generation's words.

    scale: "" leaves it to the platform. sampling: dataset id -> share of its rows. base: the task to go on from.
    """

    model: str
    train_mode: str
    scale: str
    config: dict[str, JSON] = field(default_factory=dict)
    dataset_config: dict[str, JSON] = field(default_factory=dict)
    dataset_ids: list[str] = field(default_factory=list)
    sampling: dict[str, float] = field(default_factory=dict)
    files: list[Source] = field(default_factory=list)
    split_ratio: float = 20
    corpus_config: JSON = None
    resource_config: JSON = None
    base: Task | None = None
    base_step: int | None = None

    @property
    def template(self) -> Template:
        """The kind of data this training works on."""
        entry = catalogue.model_named(self.model)
        template = needed_for(self.train_mode, entry["modelType"] if entry else "text2text")
        if template is None:
            raise Refused(Problem.TRAIN_CONFIG, "trainMode", f"{self.model} has no train mode {self.train_mode!r}")
        return template


def job_of(account: Account, key: JSON, field: str = "jobId") -> Job:
    """The series a call names, by id or V1 number."""
    return found(account.jobs.get(key), Problem.JOB_MISSING, field, key)


def job_to_train(account: Account, key: JSON, field: str = "jobId") -> Job:
    """The series that a new training goes into; a deleted one takes none, see `Quirks`."""
    job = account.jobs.get(key)
    if job is None and account.quirks.task_in_deleted_job:
        job = account.deleted_job(key)
    return found(job, Problem.JOB_MISSING, field, key)


def series_of(account: Account, key: JSON, field: str) -> Job:
    """The series that a call about one of its trainings names, also when that was deleted."""
    deleted = account.deleted_job(key) if account.jobs.get(key) is None else None
    return deleted if deleted and deleted.task_ids else job_of(account, key, field)


def task_of(account: Account, key: JSON, field: str = "taskId") -> Task:
    """The training a call names, by id or V1 number."""
    return found(account.tasks.get(key), Problem.TASK_MISSING, field, key)


def job_of_task(account: Account, task: Task) -> Job:
    """The series a training belongs to, also when that was deleted."""
    job = account.jobs.get(task.job_id) or account.deleted_jobs.get(task.job_id)
    assert job is not None, "a job is remembered as long as a task of it exists"
    return job


def look_at_task(account: Account, task: Task, *, look: bool = True) -> Task:
    """Move a training on."""
    before = task.state
    account.works.look_at_training(task, look=look)
    if task.state != before:
        account.touch()
        _note_end(account, task)
    return task


def _note_end(account: Account, task: Task) -> None:
    if task.state in TRAINING.ends and task.finished is None:
        task.finished = account.now()


def add_job(account: Account, body: Body, *, model: str, train_mode: str) -> Job:
    """A new series; its name must not be taken."""
    name = body.get("name")
    if any(job.name == name for job in account.jobs):
        raise Refused(Problem.JOB_NAME_TAKEN, "name", f"a job named {name!r} already exists")
    shelf = account.jobs
    job = Job(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        name=name,
        description=body.get("description") or "",
        model=model,
        train_mode=train_mode,
    )
    account.touch()
    return shelf.add(job)


def add_task(account: Account, job: Job, order: Order) -> Task:
    """Start a training. It is under way before the call that starts it is answered."""
    limits = _limits(order)
    problem = catalogue.bad_hyper_parameter(limits, order.config)
    if problem:
        raise Refused(Problem.TRAIN_CONFIG, problem[0], problem[1])
    rows, bad_file = _count_rows(account, order)
    doom = bad_file or (f"the job is named {FAILING_NAME}" if job.name == FAILING_NAME else "")
    sources = [(source, 1.0) for source in order.files] + _dataset_sources(account, order)
    shelf = account.tasks
    task = Task(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        job_id=job.id,
        run=len(job.task_ids) + 1,
        model=order.model,
        train_mode=order.train_mode,
        parameter_scale=order.scale,
        hyper_parameters=order.config,
        dataset_config=order.dataset_config,
        dataset_ids=order.dataset_ids,
        sources=[source for source, _ in sources],
        rates=[rate for _, rate in sources],
        rows=rows,
        split_ratio=order.split_ratio,
        corpus_config=order.corpus_config,
        resource_config=order.resource_config,
        base_task_id=order.base.id if order.base else None,
        base_step=order.base_step,
    )
    job.task_ids.append(task.id)
    shelf.add(task)
    account.works.start_training(task, doom=doom)
    _note_end(account, task)
    account.touch()
    return task


def _limits(order: Order) -> list[dict[str, JSON]]:
    entry = catalogue.model_named(order.model)
    modes = catalogue.modes_of(entry) if entry else {}
    scales = modes.get(order.train_mode)
    if scales is None:
        raise Refused(Problem.TRAIN_CONFIG, "trainMode", f"{order.model} has no train mode {order.train_mode!r}")
    order.scale = order.scale or min(scales)
    if order.scale not in scales:
        raise Refused(
            Problem.TRAIN_CONFIG, "parameterScale", f"{order.model} has no scale {order.scale!r}, it has {list(scales)}"
        )
    return scales[order.scale]


def _count_rows(account: Account, order: Order) -> tuple[int, str]:
    """How many rows the training sees, and what is wrong with its files, if anything."""
    rows = 0.0
    for dataset_id in order.dataset_ids:
        dataset = look_at(account, dataset_of(account, dataset_id), look=False)
        template = account.template_of(dataset)
        if template is not order.template:
            raise Refused(
                Problem.DATASET_UNUSABLE,
                "versionId",
                f"{dataset.id} holds {template.data_format}, {order.train_mode} needs {order.template.data_format}",
            )
        if dataset.release_state != "Published":
            raise Refused(Problem.DATASET_UNUSABLE, "versionId", f"{dataset.id} is not published")
        rows += dataset.rows * order.sampling.get(dataset_id, 1)
    scanned = account.scan(order.files, order.template)
    rows += scanned.rows
    bad = scanned.bad[0] if scanned.bad else None
    if order.train_mode == "SFT" and order.template.project_type == 20 and rows < _LEAST_ROWS and not bad:
        raise Refused(
            Problem.TOO_FEW_ROWS, "versions", f"the dataset holds {int(rows)} rows, at least {_LEAST_ROWS} are needed"
        )
    return int(rows), f"{bad.file} line {bad.number}: {bad.reason}" if bad else ""


def _dataset_sources(account: Account, order: Order) -> list[tuple[Source, float]]:
    return [
        (source, order.sampling.get(dataset_id, 1.0))
        for dataset_id in order.dataset_ids
        for source in dataset_of(account, dataset_id).sources
    ]


def stop(account: Account, task: Task) -> bool:
    """Stop a training; whether there was one under way to stop."""
    look_at_task(account, task, look=False)
    if task.state not in ("Waiting", "Running"):
        return False
    task.state = TRAINING.move(task.state, "Stopped")
    account.works.stop_training(task)
    _note_end(account, task)
    account.touch()
    return True


def files_or_refusal(account: Account, uri: str, field: str) -> list[Source]:
    """The objects under a `bos:/` place, or a refusal that names the field."""
    try:
        return files_at(account, uri)
    except FileNotFoundError as missing:
        raise Refused(Problem.DATASET_UNUSABLE, field, str(missing)) from missing


def read_base(account: Account, body: Body, order: Order) -> None:
    """Note the finished training to go on from, if the body names one."""
    if not body.get("incrementTaskId"):
        return
    base = look_at_task(account, task_of(account, body.get("incrementTaskId"), "incrementTaskId"), look=False)
    if base.state != "Done":
        raise Refused(Problem.NO_INCREMENT, "incrementTaskId", f"{base.id} is {base.state}, only Done can go on")
    if base.model != order.model:
        raise Refused(Problem.NO_INCREMENT, "incrementTaskId", f"{base.id} trained {base.model}, not {order.model}")
    order.base = base
    step = body.get("incrementCheckpointStep")
    if step is not None:
        if step not in account.works.kept_steps(base):
            raise invalid("incrementCheckpointStep", f"{base.id} has no checkpoint at step {step!r}")
        order.base_step = step


def percent_of(account: Account, task: Task) -> int:
    """Progress of a running training: 1 at least, 99 at most, as the platform shows it."""
    return min(99, max(1, int(100 * account.works.share(task))))


def curve_page(call: Call, task: Task) -> str:
    """The page with the loss curve of a training."""
    return f"{call.origin}/_emulator/tasks/{task.id}"

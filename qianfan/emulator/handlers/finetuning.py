"""Fine-tuning, V2 and V1: series of trainings, and the trainings themselves."""

from __future__ import annotations

from datetime import datetime

from qianfan._types import JSON
from qianfan.emulator import catalogue, training
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, beijing_time, page_of, utc_time
from qianfan.emulator.checks import Body, found, name_of_2_to_20
from qianfan.emulator.handlers.datasets import dataset_of, files_at, look_at, scan_ahead
from qianfan.emulator.lifecycle import TRAINING
from qianfan.emulator.records import Job, Source, Task
from qianfan.emulator.refusals import Problem, Refused, invalid
from qianfan.emulator.templates import Template, needed_for

FAILING_NAME = "mock_failed_task"
"""A job of this name fails its trainings, a convention of test set-ups for this API."""

_LEAST_ROWS = 32
_STATES_V1 = {"": "RUNNING", "Waiting": "RUNNING", "Running": "RUNNING", "Done": "FINISH", "Failed": "FAIL"}
_UNDER_WAY = ("", "Waiting", "Running")
_PLATFORM, _BOS = "Platform", "Bos"
_V1_PLATFORM, _V1_BOS = 1, 2


# --- shared by both generations --------------------------------------------------------------------------------


def job_of(account: Account, key: JSON, field: str = "jobId") -> Job:
    """The series a call names, by id or V1 number."""
    return found(account.jobs.get(key), Problem.JOB_MISSING, field, key)


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
    task.state = account.stages.training.advance(task.state, task.work, account.clock.monotonic(), look=look)
    if task.state != before:
        account.touch()
        _note_end(account, task)
    return task


def _note_end(account: Account, task: Task) -> None:
    if task.state in TRAINING.ends and task.finished is None:
        task.finished = account.now()
        task.reason = task.work.reason if task.state == "Failed" else task.reason


def _add_job(account: Account, body: Body, *, model: str, train_mode: str) -> Job:
    name = name_of_2_to_20(body)
    if any(job.name == name for job in account.jobs):
        raise Refused(Problem.JOB_NAME_TAKEN, "name", f"a job named {name!r} already exists")
    shelf = account.jobs
    job = Job(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        name=name,
        description=body.optional_text("description", longest=500),
        model=model,
        train_mode=train_mode,
    )
    account.touch()
    return shelf.add(job)


def _add_task(account: Account, job: Job, order: _Order) -> Task:
    """Start a training. It is under way before the call that starts it is answered."""
    limits = _limits(order)
    problem = catalogue.bad_hyper_parameter(limits, order.config)
    if problem:
        raise Refused(Problem.TRAIN_CONFIG, problem[0], problem[1])
    rows, bad_file = _count_rows(account, order)
    ends = "Failed" if job.name == FAILING_NAME or bad_file else None
    reason = bad_file or (f"the job is named {FAILING_NAME}" if ends else "")
    work = account.stages.training.begin(account.clock, ends=ends, reason=reason)
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
        files=order.files,
        rows=rows,
        split_ratio=order.split_ratio,
        corpus_config=order.corpus_config,
        resource_config=order.resource_config,
        base_task_id=order.base.id if order.base else None,
        base_step=order.base_step,
        work=work,
    )
    task.state = account.stages.training.start(task.state, work, account.clock.monotonic())
    job.task_ids.append(task.id)
    account.touch()
    return shelf.add(task)


class _Order:
    """What a training is asked to be, in either generation's words."""

    def __init__(self, job: Job, model: str, train_mode: str, scale: str) -> None:
        self.job = job
        self.model = model
        self.train_mode = train_mode
        self.scale = scale
        self.config: dict[str, JSON] = {}
        self.dataset_config: dict[str, JSON] = {}
        self.dataset_ids: list[str] = []
        self.sampling: dict[str, float] = {}
        self.files: list[Source] = []
        self.split_ratio: float = 20
        self.corpus_config: JSON = None
        self.resource_config: JSON = None
        self.base: Task | None = None
        self.base_step: int | None = None

    @property
    def template(self) -> Template:
        """The kind of data this training works on."""
        entry = catalogue.model_named(self.model)
        template = needed_for(self.train_mode, entry["modelType"] if entry else "text2text")
        assert template is not None, "every train mode of the catalogue has a template"
        return template


def _limits(order: _Order) -> list[dict[str, JSON]]:
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


def _count_rows(account: Account, order: _Order) -> tuple[int, str]:
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


def _stop(account: Account, task: Task) -> bool:
    look_at_task(account, task, look=False)
    if task.state not in ("Waiting", "Running"):
        return False
    task.state = TRAINING.move(task.state, "Stopped")
    _note_end(account, task)
    account.touch()
    return True


# --- V2 ----------------------------------------------------------------------------------------------------------


def create_job(call: Call) -> JSON:
    """`CreateFineTuningJob`."""
    body = call.body
    model = body.text("model")
    entry = catalogue.model_named(model)
    if entry is None:
        raise invalid("model", f"{model!r} cannot be trained here")
    mode = body.text("trainMode")
    if mode not in catalogue.modes_of(entry):
        raise invalid("trainMode", f"{model} has no train mode {mode!r}, it has {list(catalogue.modes_of(entry))}")
    job = _add_job(call.account, body, model=model, train_mode=mode)
    return {"jobId": job.id}


async def read_training_files(call: Call) -> None:
    """Read what a training takes straight from object storage before the account is locked."""
    config, account = call.body.get("datasetConfig"), call.account
    if not isinstance(config, dict) or config.get("sourceType") != _BOS or not isinstance(config.get("versions"), list):
        return
    with account.lock:
        job = account.jobs.get(call.body.get("jobId"))
        if job is None:
            return
        template = _Order(job, job.model, job.train_mode, "").template
        sources: list[Source] = []
        for version in config["versions"]:
            try:
                sources += files_at(account, str(version.get("versionBosUri")))
            except (FileNotFoundError, AttributeError):
                continue
    await scan_ahead(account, sources, template)


def create_task(call: Call) -> JSON:
    """`CreateFineTuningTask`: start a training."""
    body, account = call.body, call.account
    job = _job_to_train(account, body.get("jobId"))
    order = _Order(job, job.model, job.train_mode, body.optional_text("parameterScale"))
    order.config = {key: value for key, value in body.object("hyperParameterConfig").items() if value is not None}
    _read_dataset_config(account, Body(body.object("datasetConfig")), order)
    order.corpus_config, order.resource_config = body.get("corpusConfig"), body.get("resourceConfig")
    _read_base(account, body, order)
    task = _add_task(account, job, order)
    return {"jobId": job.id, "taskId": task.id}


def _job_to_train(account: Account, key: JSON) -> Job:
    if account.quirks.task_in_deleted_job and isinstance(key, str) and key in account.deleted_jobs:
        return account.deleted_jobs[key]
    return job_of(account, key)


def _read_dataset_config(account: Account, config: Body, order: _Order) -> None:
    order.dataset_config = config.fields
    source_type = config.one_of("sourceType", [_PLATFORM, _BOS])
    order.split_ratio = config.number("splitRatio", 0, 100)
    for version in config.items("versions"):
        if not isinstance(version, dict):
            raise invalid("versions", f"versions must hold objects, found {version!r}")
        entry = Body(version)
        if source_type == _PLATFORM:
            dataset = dataset_of(account, entry.text("versionId"), "versionId")
            order.dataset_ids.append(dataset.id)
            order.sampling[dataset.id] = entry.number("samplingRate", 0.01, 10, default=1)
        else:
            order.files += _files(account, entry.text("versionBosUri"), "versionBosUri")


def _files(account: Account, uri: str, field: str) -> list[Source]:
    try:
        return files_at(account, uri)
    except FileNotFoundError as missing:
        raise Refused(Problem.DATASET_UNUSABLE, field, str(missing)) from missing


def _read_base(account: Account, body: Body, order: _Order) -> None:
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
        if step not in training.course_of(base).kept:
            raise invalid("incrementCheckpointStep", f"{base.id} has no checkpoint at step {step!r}")
        order.base_step = step


def describe_task(call: Call) -> JSON:
    """`DescribeFineTuningTask`; counts as a look. Metrics and losses are simulated, and `simulated` says so."""
    account = call.account
    task = look_at_task(account, task_of(account, call.body.get("taskId")))
    entry = {**_task_entry(account, task), "vdlLink": _curve_page(call, task), "simulated": True}
    if task.state == "Running":
        entry["runProgress"] = f"{_percent(account, task)}%"
    if task.state == "Failed":
        # The platform's own page of a failed task names the reason; under which key is not established.
        entry["reason"] = task.reason or task.work.reason
    if task.state == "Done":
        scores = training.metrics(task, account.seed)
        entry |= {"metrics": scores} if scores else {}
        entry["checkpointList"] = training.checkpoints(task, account.seed)
    if task.reason:
        entry["errMessage"] = task.reason
    return entry


def describe_jobs(call: Call) -> JSON:
    """`DescribeFineTuningJobs`, newest first."""
    account, body = call.account, call.body
    model, mode = body.get("model"), body.get("trainModel") or body.get("trainMode")
    jobs = [
        (job.id, _job_entry(job))
        for job in account.jobs.newest_first()
        if model in (None, "", job.model) and mode in (None, "", job.train_mode)
    ]
    entries, info = page_of(body, jobs)
    return {"jobList": entries, "pageInfo": info}


def describe_tasks(call: Call) -> JSON:
    """`DescribeFineTuningTasks` of one job, newest first."""
    account, body = call.account, call.body
    job = job_of(account, body.get("jobId"))
    tasks: list[tuple[str, dict[str, JSON]]] = []
    for task_id in reversed(job.task_ids):
        task = look_at_task(account, task_of(account, task_id), look=False)
        tasks.append((task.id, _task_entry(account, task)))
    entries, info = page_of(body, tasks)
    return {"taskList": entries, "pageInfo": info}


def stop_task(call: Call) -> JSON:
    """`StopFineTuningTask`: whether it could be stopped; an unknown task could not."""
    task = call.account.tasks.get(call.body.text("taskId"))
    return task is not None and _stop(call.account, task)


def delete_task(call: Call) -> JSON:
    """`DeleteFineTuningTask`; a running one cannot be deleted."""
    account = call.account
    task = look_at_task(account, task_of(account, call.body.get("taskId")), look=False)
    if task.state in _UNDER_WAY:
        raise Refused(Problem.TASK_STATE, "taskId", f"{task.id} is {task.state or 'new'}: stop it first")
    _remove_task(account, task)
    return True


def delete_job(call: Call) -> JSON:
    """`DeleteFineTuningJob`; refused while the job has a task, see `Quirks`."""
    account = call.account
    job = job_of(account, call.body.get("jobId"))
    tasks = [look_at_task(account, task_of(account, task_id), look=False) for task_id in job.task_ids]
    if any(task.state in _UNDER_WAY for task in tasks):
        raise Refused(Problem.TASK_STATE, "jobId", f"{job.id} has a task that is under way")
    if tasks and not account.quirks.job_delete_takes_tasks:
        raise Refused(Problem.TASK_STATE, "jobId", f"{job.id} still has {len(tasks)} tasks: delete them first")
    for task in tasks:
        _remove_task(account, task)
    account.jobs.remove(job)
    account.deleted_jobs[job.id] = job
    account.touch()
    return True


def describe_support_models(call: Call) -> JSON:
    """`DescribeFineTuningSupportModels`: a list."""
    return catalogue.support_models()


def _remove_task(account: Account, task: Task) -> None:
    job_of_task(account, task).task_ids.remove(task.id)
    account.tasks.remove(task)
    account.touch()


def _job_entry(job: Job) -> dict[str, JSON]:
    return {
        "jobId": job.id,
        "name": job.name,
        "description": job.description,
        "model": job.model,
        "trainMode": job.train_mode,
        "createDate": utc_time(job.created),
    }


def _task_entry(account: Account, task: Task) -> dict[str, JSON]:
    job = job_of_task(account, task)
    return {
        "taskId": task.id,
        "jobId": job.id,
        "jobName": job.name,
        "jobDescription": job.description,
        "model": task.model,
        "trainMode": task.train_mode,
        "parameterScale": task.parameter_scale,
        "runStatus": task.state,
        "createDate": utc_time(task.created),
        "finishDate": utc_time(task.finished),
    }


def _percent(account: Account, task: Task) -> int:
    return min(99, max(1, int(100 * task.work.share(account.clock.monotonic()))))


def _curve_page(call: Call, task: Task) -> str:
    return f"{call.origin}/_emulator/tasks/{task.id}"


# --- V1 ----------------------------------------------------------------------------------------------------------


def create_task_v1(call: Call) -> JSON:
    """`/finetune/createTask`: V1's word for a series."""
    body = call.body
    model = body.optional_text("trainType") or body.optional_text("baseTrainType")
    job = _add_job(call.account, body, model=model if catalogue.model_named(model) else "", train_mode="")
    return {
        "id": job.number,
        "uuid": job.id,
        "name": job.name,
        "description": job.description,
        "createTime": beijing_time(job.created),
    }


def create_job_v1(call: Call) -> JSON:
    """`/finetune/createJob`: V1's word for a training."""
    body, account = call.body, call.account
    job = job_of(account, body.get("taskId"), "taskId")
    order = _Order(job, _train_type(body, job), body.text("trainMode"), _scale_v1(body))
    config = {key: value for key, value in body.object("trainConfig").items() if value is not None}
    for key in ("epoch", "learningRate"):
        if key not in config:
            raise Refused(Problem.TRAIN_CONFIG, key, f"trainConfig.{key} is missing")
    order.config = config
    order.split_ratio = body.number("trainsetRate", 0, 100)
    for entry in body.items("trainset"):
        _read_trainset(account, Body(entry if isinstance(entry, dict) else {}), order)
    _read_base_v1(account, body, order)
    task = _add_task(account, job, order)
    job.model, job.train_mode = job.model or order.model, job.train_mode or order.train_mode
    return {"id": task.number, "uuid": task.id}


def _train_type(body: Body, job: Job) -> str:
    model = body.text("trainType")
    if catalogue.model_named(model) is None:
        raise Refused(Problem.TRAIN_CONFIG, "trainType", f"{model!r} cannot be trained here")
    if job.model and catalogue.model_named(job.model) is not catalogue.model_named(model):
        raise Refused(Problem.TRAIN_CONFIG, "trainType", f"the task trains {job.model}, not {model}")
    return model


def _scale_v1(body: Body) -> str:
    return catalogue.scale_named(body.text("peftType"))


def _read_trainset(account: Account, entry: Body, order: _Order) -> None:
    kind = entry.one_of("type", [_V1_PLATFORM, _V1_BOS])
    if kind == _V1_PLATFORM:
        order.dataset_ids.append(dataset_of(account, entry.get("id"), "trainset").id)
    else:
        order.files += _files(account, entry.text("bosPath"), "trainset")
    order.dataset_config = {"trainset": [*order.dataset_config.get("trainset", []), entry.fields]}


def _read_base_v1(account: Account, body: Body, order: _Order) -> None:
    if body.get("jobRunType") != 1:
        return
    base_key = body.object("increConfig").get("jobId")
    _read_base(account, Body({"incrementTaskId": task_of(account, base_key, "increConfig").id}), order)


def job_detail_v1(call: Call) -> JSON:
    """`/finetune/jobDetail`; counts as a look."""
    account = call.account
    task = look_at_task(account, _run_v1(account, call.body))
    job = job_of_task(account, task)
    base = account.tasks.get(task.base_task_id)
    end = task.finished or account.now()
    return {
        "id": task.number,
        "taskId": job.number,
        "taskName": job.name,
        "description": job.description,
        "version": task.run,
        "jobRunType": 1 if task.base_task_id else 0,
        "increConfig": _base_numbers(account, base),
        "trainType": task.model,
        "trainMode": task.train_mode,
        "peftType": task.parameter_scale,
        "trainStatus": _STATES_V1.get(task.state, "STOP"),
        "progress": 100 if task.state == "Done" else _percent(account, task) if task.state == "Running" else 0,
        "runTime": _seconds(task.created, end),
        "trainTime": _seconds(task.created, end),
        "startTime": beijing_time(task.created),
        "finishTime": beijing_time(task.finished),
        "vdlLink": _curve_page(call, task),
        "simulated": True,
    }


def stop_job_v1(call: Call) -> JSON:
    """`/finetune/stopJob`."""
    task = _run_v1(call.account, call.body)
    if not _stop(call.account, task):
        raise Refused(Problem.TASK_STATE, "jobId", f"run {task.number} is not under way")
    return True


def _run_v1(account: Account, body: Body) -> Task:
    job = job_of(account, body.get("taskId"), "taskId")
    task = task_of(account, body.get("jobId"), "jobId")
    if task.job_id != job.id:
        raise Refused(Problem.TASK_MISSING, "jobId", f"run {task.number} is not one of task {job.number}")
    return task


def _base_numbers(account: Account, base: Task | None) -> dict[str, JSON]:
    return {"taskId": job_of_task(account, base).number, "jobId": base.number} if base else {"taskId": 0, "jobId": 0}


def _seconds(start: datetime, end: datetime) -> int:
    return max(0, int((end - start).total_seconds()))

"""Fine-tuning, second generation: a job holds tasks."""

from __future__ import annotations

from contextlib import suppress

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, page_of, reason_of, utc_time
from qianfan.emulator.checks import Body
from qianfan.emulator.handlers.datasets import dataset_of, files_at, scan_ahead
from qianfan.emulator.handlers.finetuning import (
    UNDER_WAY,
    Order,
    add_job,
    add_task,
    curve_page,
    files_or_refusal,
    job_of,
    job_of_task,
    job_to_train,
    look_at_task,
    percent_of,
    read_base,
    stop,
    task_of,
)
from qianfan.emulator.records import Job, Source, Task
from qianfan.emulator.refusals import Problem, Refused, invalid

_PLATFORM, _BOS = "Platform", "Bos"


def create_job(call: Call) -> JSON:
    """`CreateFineTuningJob`."""
    body = call.body
    model, mode = body.get("model"), body.get("trainMode")
    entry = catalogue.model_named(model)
    if entry is None:
        raise invalid("model", f"{model!r} cannot be trained here")
    if mode not in catalogue.modes_of(entry):
        raise invalid("trainMode", f"{model} has no train mode {mode!r}, it has {list(catalogue.modes_of(entry))}")
    job = add_job(call.account, body, model=model, train_mode=mode)
    return {"jobId": job.id}


async def read_training_files(call: Call) -> None:
    """Read what a training takes straight from object storage before the account is locked."""
    config, account = call.body.get("datasetConfig"), call.account
    if config["sourceType"] != _BOS:
        return
    with account.lock:
        job = account.jobs.get(call.body.get("jobId"))
        if job is None:
            return
        template = Order(job.model, job.train_mode, "").template
        sources: list[Source] = []
        for version in config["versions"]:
            with suppress(FileNotFoundError):
                sources += files_at(account, version.get("versionBosUri") or "")
    await scan_ahead(account, sources, template)


def create_task(call: Call) -> JSON:
    """`CreateFineTuningTask`: start a training."""
    body, account = call.body, call.account
    job = job_to_train(account, body.get("jobId"))
    order = Order(job.model, job.train_mode, body.get("parameterScale") or "")
    order.config = {key: value for key, value in body.get("hyperParameterConfig").items() if value is not None}
    _read_dataset_config(account, body.get("datasetConfig"), order)
    order.corpus_config, order.resource_config = body.get("corpusConfig"), body.get("resourceConfig")
    read_base(account, body, order)
    task = add_task(account, job, order)
    return {"jobId": job.id, "taskId": task.id}


def _read_dataset_config(account: Account, config: dict[str, JSON], order: Order) -> None:
    order.dataset_config, order.split_ratio = config, config["splitRatio"]
    for version in config["versions"]:
        entry = Body(version)
        if config["sourceType"] == _PLATFORM:
            dataset = dataset_of(account, entry.get("versionId"), "versionId")
            order.dataset_ids.append(dataset.id)
            rate = entry.get("samplingRate")
            order.sampling[dataset.id] = 1 if rate is None else rate
        else:
            order.files += files_or_refusal(account, entry.text("versionBosUri"), "versionBosUri")


def describe_task(call: Call) -> JSON:
    """`DescribeFineTuningTask`; counts as a look.

    Two keys are the emulator's own: `simulated` when nothing is computed, `local` with what computes it and how.
    """
    account = call.account
    works, task = account.works, look_at_task(account, task_of(account, call.body.get("taskId")))
    entry = {**_task_entry(account, task), "vdlLink": curve_page(call, task), "simulated": works.simulated}
    about = works.about(task)
    if about is not None:
        entry["local"] = about
    if task.state == "Running":
        entry["runProgress"] = f"{percent_of(account, task)}%"
    if task.state == "Done":
        scores = works.metrics(task)
        entry |= {"metrics": scores} if scores else {}
        entry["checkpointList"] = works.checkpoints(task)
    return entry | reason_of(task)


def describe_jobs(call: Call) -> JSON:
    """`DescribeFineTuningJobs`, newest first."""
    account, body = call.account, call.body
    model, mode = body.get("model"), body.get("trainModel") or body.get("trainMode")
    jobs = [
        (job.id, _job_entry(job))
        for job in account.listed(account.jobs)
        if model in (None, "", job.model) and mode in (None, "", job.train_mode)
    ]
    entries, info = page_of(call, jobs)
    return {"jobList": entries, "pageInfo": info}


def describe_tasks(call: Call) -> JSON:
    """`DescribeFineTuningTasks` of one job, newest first."""
    account = call.account
    job = job_of(account, call.body.get("jobId"))
    tasks: list[tuple[str, dict[str, JSON]]] = []
    for task_id in reversed(job.task_ids):
        task = look_at_task(account, task_of(account, task_id), look=False)
        if account.is_listed(account.tasks, task):
            tasks.append((task.id, _task_entry(account, task)))
    entries, info = page_of(call, tasks)
    return {"taskList": entries, "pageInfo": info}


def stop_task(call: Call) -> JSON:
    """`StopFineTuningTask`: whether it could be stopped; an unknown task could not."""
    task = call.account.tasks.get(call.body.get("taskId"))
    return task is not None and stop(call.account, task)


def delete_task(call: Call) -> JSON:
    """`DeleteFineTuningTask`; a running one cannot be deleted."""
    account = call.account
    task = look_at_task(account, task_of(account, call.body.get("taskId")), look=False)
    if task.state in UNDER_WAY:
        raise Refused(Problem.TASK_STATE, "taskId", f"{task.id} is {task.state or 'new'}: stop it first")
    _remove_task(account, task)
    return True


def delete_job(call: Call) -> JSON:
    """`DeleteFineTuningJob`; refused while the job has a task, or takes it along, see `Quirks`."""
    account = call.account
    job = job_of(account, call.body.get("jobId"))
    tasks = [look_at_task(account, task_of(account, task_id), look=False) for task_id in job.task_ids]
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
    account.works.forget(task)
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


ACTIONS: dict[str, Handler] = {
    "CreateFineTuningJob": create_job,
    "CreateFineTuningTask": create_task,
    "DescribeFineTuningJobs": describe_jobs,
    "DescribeFineTuningTasks": describe_tasks,
    "DescribeFineTuningTask": describe_task,
    "StopFineTuningTask": stop_task,
    "DeleteFineTuningTask": delete_task,
    "DeleteFineTuningJob": delete_job,
    "DescribeFineTuningSupportModels": describe_support_models,
}
"""Of `/v2/finetuning`."""

"""Fine-tuning, first generation: what V2 calls a job is a task here, and a task is a job."""

from __future__ import annotations

from datetime import datetime

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, beijing_time
from qianfan.emulator.checks import Body
from qianfan.emulator.handlers.datasets import dataset_of
from qianfan.emulator.handlers.finetuning import (
    Order,
    add_job,
    add_task,
    curve_page,
    files_or_refusal,
    job_of_task,
    job_to_train,
    look_at_task,
    percent_of,
    read_base,
    series_of,
    stop,
    task_of,
)
from qianfan.emulator.records import Job, Task
from qianfan.emulator.refusals import Problem, Refused

_STATES = {"": "RUNNING", "Waiting": "RUNNING", "Running": "RUNNING", "Done": "FINISH", "Failed": "FAIL"}
_PLATFORM = 1
"""Of the kinds of `trainset` the other one is 2, a place in object storage."""


def create_task(call: Call) -> JSON:
    """`/finetune/createTask`: V1's word for a series."""
    body = call.body
    model = body.get("trainType") or body.get("baseTrainType") or ""
    job = add_job(call.account, body, model=model if catalogue.model_named(model) else "", train_mode="")
    return {
        "id": job.number,
        "uuid": job.id,
        "name": job.name,
        "description": job.description,
        "createTime": beijing_time(job.created),
    }


def create_job(call: Call) -> JSON:
    """`/finetune/createJob`: V1's word for a training."""
    body, account = call.body, call.account
    job = job_to_train(account, body.get("taskId"), "taskId")
    order = Order(_train_type(body, job), body.get("trainMode"), catalogue.scale_named(body.get("peftType")))
    config = {key: value for key, value in body.get("trainConfig").items() if value is not None}
    for key in ("epoch", "learningRate"):
        if key not in config:
            raise Refused(Problem.TRAIN_CONFIG, key, f"trainConfig.{key} is missing")
    order.config = config
    order.split_ratio = body.get("trainsetRate")
    for entry in body.get("trainset"):
        _read_trainset(account, Body(entry), order)
    _read_base(account, body, order)
    task = add_task(account, job, order)
    job.model, job.train_mode = job.model or order.model, job.train_mode or order.train_mode
    return {"id": task.number, "uuid": task.id}


def _train_type(body: Body, job: Job) -> str:
    model: str = body.get("trainType")
    if catalogue.model_named(model) is None:
        raise Refused(Problem.TRAIN_CONFIG, "trainType", f"{model!r} cannot be trained here")
    if job.model and catalogue.model_named(job.model) is not catalogue.model_named(model):
        raise Refused(Problem.TRAIN_CONFIG, "trainType", f"the task trains {job.model}, not {model}")
    return model


def _read_trainset(account: Account, entry: Body, order: Order) -> None:
    if entry.get("type") == _PLATFORM:
        order.dataset_ids.append(dataset_of(account, entry.get("id"), "trainset").id)
    else:
        order.files += files_or_refusal(account, entry.text("bosPath"), "trainset")
    order.dataset_config = {"trainset": [*order.dataset_config.get("trainset", []), entry.fields]}


def _read_base(account: Account, body: Body, order: Order) -> None:
    if body.get("jobRunType") != 1:
        return
    base_key = (body.get("increConfig") or {}).get("jobId")
    read_base(account, Body({"incrementTaskId": task_of(account, base_key, "increConfig").id}), order)


def job_detail(call: Call) -> JSON:
    """`/finetune/jobDetail`; counts as a look."""
    account = call.account
    task = look_at_task(account, _run(account, call.body))
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
        "trainStatus": _STATES.get(task.state, "STOP"),
        "progress": 100 if task.state == "Done" else percent_of(account, task) if task.state == "Running" else 0,
        "runTime": _seconds(task.created, end),
        "trainTime": _seconds(task.created, end),
        "startTime": beijing_time(task.created),
        "finishTime": beijing_time(task.finished),
        "vdlLink": curve_page(call, task),
        "simulated": account.works.simulated,
    }


def stop_job(call: Call) -> JSON:
    """`/finetune/stopJob`."""
    task = _run(call.account, call.body)
    if not stop(call.account, task):
        raise Refused(Problem.TASK_STATE, "jobId", f"run {task.number} is not under way")
    return True


def _run(account: Account, body: Body) -> Task:
    job = series_of(account, body.get("taskId"), "taskId")
    task = task_of(account, body.get("jobId"), "jobId")
    if task.job_id != job.id:
        raise Refused(Problem.TASK_MISSING, "jobId", f"run {task.number} is not one of task {job.number}")
    return task


def _base_numbers(account: Account, base: Task | None) -> dict[str, JSON]:
    return {"taskId": job_of_task(account, base).number, "jobId": base.number} if base else {"taskId": 0, "jobId": 0}


def _seconds(start: datetime, end: datetime) -> int:
    return max(0, int((end - start).total_seconds()))


PATHS: dict[str, Handler] = {
    "/finetune/createTask": create_task,
    "/finetune/createJob": create_job,
    "/finetune/jobDetail": job_detail,
    "/finetune/stopJob": stop_job,
}
"""By path."""

"""What the emulator tells about itself: JSON for programs, and a way to order failures over HTTP."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import utc_time
from qianfan.emulator.handlers.datasets import group_of, look_at
from qianfan.emulator.handlers.finetuning import job_of_task, look_at_task
from qianfan.emulator.handlers.models import look_at_model, set_of
from qianfan.emulator.handlers.services import look_at_service
from qianfan.emulator.records import Job


def overview(account: Account) -> dict[str, JSON]:
    """Everything in the store, newest first. Looking here moves nothing on that goes by looks."""
    return {
        "simulated": account.works.simulated,
        "datasets": [_dataset(account, dataset) for dataset in account.datasets.newest_first()],
        "jobs": [
            {
                "jobId": job.id,
                "name": job.name,
                "model": job.model,
                "trainMode": job.train_mode,
                "tasks": [_task(account, task_id) for task_id in job.task_ids],
            }
            for job in _jobs(account)
        ],
        "models": [_model(account, model_id) for model_id in _newest_ids(account)],
        "services": [
            {
                "serviceId": service.id,
                "name": service.name,
                "endpoint": service.endpoint,
                "modelId": service.model_id,
                "runStatus": look_at_service(account, service, look=False).state,
                "simulated": account.works.simulated,
            }
            for service in account.services.newest_first()
        ],
        "buckets": {name: len(objects) for name, objects in account.buckets.snapshot().items()},
    }


def _jobs(account: Account) -> list[Job]:
    """The jobs, and those that were deleted where a task of theirs is left."""
    return [*account.jobs.newest_first(), *(job for job in account.deleted_jobs.values() if job.task_ids)]


def _newest_ids(account: Account) -> list[str]:
    return [model.id for model in account.models.newest_first()]


def _dataset(account: Account, dataset: JSON) -> dict[str, JSON]:
    look_at(account, dataset, look=False)
    group = group_of(account, dataset)
    return {
        "versionId": dataset.id,
        "number": dataset.number,
        "datasetId": group.id,
        "name": group.name,
        "version": dataset.version,
        "dataFormat": group.data_format,
        "rows": dataset.rows,
        "importStatus": dataset.import_state,
        "publishStatus": dataset.release_state,
    }


def _task(account: Account, task_id: str) -> dict[str, JSON]:
    task = account.tasks.get(task_id)
    assert task is not None, "a job lists only tasks that exist"
    look_at_task(account, task, look=False)
    works = account.works
    entry: dict[str, JSON] = {
        "taskId": task.id,
        "jobName": job_of_task(account, task).name,
        "model": task.model,
        "parameterScale": task.parameter_scale,
        "runStatus": task.state,
        "progress": 100 if task.state == "Done" else int(100 * min(works.share(task), 0.99)),
        "hyperParameterConfig": task.hyper_parameters,
        "createDate": utc_time(task.created),
        "simulated": works.simulated,
    }
    if task.state == "Done":
        entry["metrics"] = works.metrics(task)
    if task.reason:
        entry["reason"] = task.reason
    return entry


def _model(account: Account, model_id: str) -> dict[str, JSON]:
    model = account.models.get(model_id)
    assert model is not None, "the id was just listed"
    look_at_model(account, model, look=False)
    return {
        "modelId": model.id,
        "modelSetId": model.model_set_id,
        "name": set_of(account, model).name,
        "version": model.version,
        "status": model.state,
        "taskId": model.task_id,
    }

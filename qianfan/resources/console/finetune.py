"""Fine-tuning: jobs hold tasks, and a task is one training run.

`FineTuning` speaks V2, all nine actions. `FineTuningV1` speaks the frozen first generation, which says task for a job
and job for a task; the words are put right here and nowhere else. `FineTune` has the documented names of both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from qianfan._transport import Safety
from qianfan.resources._base import Page, Resource, odd_answer, read, v1, v2, walk
from qianfan.resources._documented import documented
from qianfan.resources.console.consts import TrainMode
from qianfan.resources.schemas import (
    Job,
    JobCreated,
    JobPage,
    RunCreatedV1,
    RunDetailV1,
    SeriesCreatedV1,
    SupportedModel,
    Task,
    TaskCreated,
    TaskPage,
)

CREATE_JOB = v2("finetuning", "CreateFineTuningJob", Safety.PURCHASE, creates="job")
CREATE_TASK = v2("finetuning", "CreateFineTuningTask", Safety.PURCHASE, creates="task")
DESCRIBE_JOBS = v2("finetuning", "DescribeFineTuningJobs", Safety.READ)
DESCRIBE_TASKS = v2("finetuning", "DescribeFineTuningTasks", Safety.READ)
DESCRIBE_TASK = v2("finetuning", "DescribeFineTuningTask", Safety.READ)
STOP_TASK = v2("finetuning", "StopFineTuningTask", Safety.EFFECT)
DELETE_TASK = v2("finetuning", "DeleteFineTuningTask", Safety.EFFECT)
DELETE_JOB = v2("finetuning", "DeleteFineTuningJob", Safety.EFFECT)
DESCRIBE_SUPPORT_MODELS = v2("finetuning", "DescribeFineTuningSupportModels", Safety.READ)


class FineTuning(Resource):
    """Fine-tuning, V2."""

    async def create_job(
        self, *, name: str, model: str, train_mode: TrainMode | str, description: str | None = None
    ) -> JobCreated:
        """Create a job: a name (2 to 20 characters, unique), a base model and a mode. Costs nothing yet."""
        body = {"name": name, "model": model, "trainMode": train_mode, "description": description}
        return await self._ask(CREATE_JOB, body, JobCreated)

    async def create_task(
        self,
        *,
        job_id: str,
        parameter_scale: str | None,
        hyper_parameters: Mapping[str, Any] | None = None,
        dataset_config: Mapping[str, Any] | None = None,
        corpus_config: Mapping[str, Any] | None = None,
        increment_task_id: str | None = None,
        increment_checkpoint_step: int | None = None,
        model_config: Mapping[str, Any] | None = None,
        resource_config: Mapping[str, Any] | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> TaskCreated:
        """Start a training run in a job. This is the call that costs money.

        hyper_parameters and the configs are in the wire's camelCase; extras are merged into the request last.
        """
        body = {
            "jobId": job_id,
            "parameterScale": parameter_scale,
            "hyperParameterConfig": dict(hyper_parameters or {}),
            "datasetConfig": dict(dataset_config) if dataset_config is not None else None,
            "corpusConfig": corpus_config,
            "incrementTaskId": increment_task_id,
            "incrementCheckpointStep": increment_checkpoint_step if increment_task_id else None,
            "modelConfig": model_config,
            "resourceConfig": resource_config,
            **(extras or {}),
        }
        return await self._ask(CREATE_TASK, body, TaskCreated)

    async def describe_jobs(
        self,
        *,
        marker: str | None = None,
        max_keys: int | None = None,
        page_reverse: bool | None = None,
        model: str | None = None,
        train_mode: TrainMode | str | None = None,
    ) -> Page[Job]:
        """One page of the account's jobs, newest first."""
        body = {"marker": marker, "maxKeys": max_keys, "pageReverse": page_reverse, "model": model}
        # The wire spells the filter for a train mode "trainModel".
        return await self._ask(DESCRIBE_JOBS, {**body, "trainModel": train_mode}, JobPage)

    def jobs(self, **filters: Any) -> AsyncGenerator[Job, None]:
        """All jobs, newest first, page after page."""
        return walk(lambda marker: self.describe_jobs(marker=marker, max_keys=100, **filters))

    async def describe_tasks(
        self, job_id: str, *, marker: str | None = None, max_keys: int | None = None, page_reverse: bool | None = None
    ) -> Page[Task]:
        """One page of a job's tasks, newest first."""
        body = {"jobId": job_id, "marker": marker, "maxKeys": max_keys, "pageReverse": page_reverse}
        return await self._ask(DESCRIBE_TASKS, body, TaskPage)

    def tasks(self, job_id: str) -> AsyncGenerator[Task, None]:
        """All tasks of a job, newest first, page after page."""
        return walk(lambda marker: self.describe_tasks(job_id, marker=marker, max_keys=100))

    async def describe_task(self, task_id: str) -> Task:
        """How a training run stands."""
        return await self._ask(DESCRIBE_TASK, {"taskId": task_id}, Task)

    async def stop_task(self, task_id: str) -> bool:
        """Stop a training run. False when the platform did not stop it, for example because it is over."""
        return await self._do(STOP_TASK, {"taskId": task_id})

    async def delete_task(self, task_id: str) -> bool:
        """Delete a finished training run."""
        return await self._do(DELETE_TASK, {"taskId": task_id})

    async def delete_job(self, job_id: str) -> bool:
        """Delete a job. Delete its tasks first: it may be refused while there are any."""
        return await self._do(DELETE_JOB, {"jobId": job_id})

    async def supported_models(self) -> list[SupportedModel]:
        """The base models of this account and the limits of their hyper-parameters."""
        reply = await self._send(DESCRIBE_SUPPORT_MODELS)
        if not isinstance(reply.result, list):
            raise odd_answer(DESCRIBE_SUPPORT_MODELS, reply, "result")
        return [read(DESCRIBE_SUPPORT_MODELS, reply, SupportedModel, one) for one in reply.result]


V1_CREATE_SERIES = v1("/finetune/createTask", Safety.PURCHASE, creates="job")
V1_CREATE_RUN = v1("/finetune/createJob", Safety.PURCHASE, creates="task")
V1_RUN_DETAIL = v1("/finetune/jobDetail", Safety.READ)
V1_STOP_RUN = v1("/finetune/stopJob", Safety.EFFECT)


class FineTuningV1(Resource):
    """Fine-tuning, V1, with numeric ids. `job` and `task` mean here what they mean in V2."""

    async def create_job(
        self, *, name: str, base_train_type: str, train_type: str, description: str | None = None
    ) -> SeriesCreatedV1:
        """Create a job (on the wire: createTask)."""
        body = {"name": name, "baseTrainType": base_train_type, "trainType": train_type, "description": description}
        return await self._ask(V1_CREATE_SERIES, body, SeriesCreatedV1)

    async def create_task(self, run: Mapping[str, Any]) -> RunCreatedV1:
        """Start a training run (on the wire: createJob). run: the body: `taskId`, `trainConfig`, `trainset`, …"""
        return await self._ask(V1_CREATE_RUN, run, RunCreatedV1)

    async def describe_task(self, job_number: int, task_number: int) -> RunDetailV1:
        """How a training run stands (on the wire: jobDetail)."""
        return await self._ask(V1_RUN_DETAIL, {"taskId": job_number, "jobId": task_number}, RunDetailV1)

    async def stop_task(self, job_number: int, task_number: int) -> bool:
        """Stop a training run (on the wire: stopJob)."""
        return await self._do(V1_STOP_RUN, {"taskId": job_number, "jobId": task_number})


class FineTune:
    """Fine-tuning under its documented names: V1 here, V2 in `FineTune.V2`; each method also as `a…` to await."""

    create_task, acreate_task = documented(FineTuningV1.create_job, "name base_train_type train_type description")
    create_job, acreate_job = documented(FineTuningV1.create_task, "job=run")
    get_job, aget_job = documented(FineTuningV1.describe_task, "task_id=job_number job_id=task_number")
    stop_job, astop_job = documented(FineTuningV1.stop_task, "task_id=job_number job_id=task_number")

    class V2:
        """The second generation, where a job holds tasks."""

        create_job, acreate_job = documented(FineTuning.create_job, "name model train_mode description")
        create_task, acreate_task = documented(
            FineTuning.create_task,
            "job_id params_scale=parameter_scale hyper_params=hyper_parameters dataset_config increment_task_id"
            " increment_checkpoint_step model_config resource_config corpus_config",
        )
        job_list, ajob_list = documented(
            FineTuning.describe_jobs, "train_model=train_mode marker max_keys page_reverse model"
        )
        task_list, atask_list = documented(FineTuning.describe_tasks, "job_id marker max_keys page_reverse")
        task_detail, atask_detail = documented(FineTuning.describe_task, "task_id")
        stop_task, astop_task = documented(FineTuning.stop_task, "task_id")
        delete_task, adelete_task = documented(FineTuning.delete_task, "task_id")
        delete_job, adelete_job = documented(FineTuning.delete_job, "job_id")
        supported_models, asupported_models = documented(FineTuning.supported_models)

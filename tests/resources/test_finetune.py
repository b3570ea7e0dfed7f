"""Fine-tuning through both generations of the API."""

from __future__ import annotations

import math

import pytest

from qianfan._transport import Call, Safety
from qianfan.emulator import Emulator
from qianfan.errors import APIError
from qianfan.resources import Platform
from qianfan.resources.console import batch_inference, charge, cleaning, data, eval, finetune, model, service
from qianfan.resources.console.consts import TrainMode, TrainStatus, TrainStatusV1
from tests.support.emulated import MODEL, SAMPLE, new_job, new_task

pytestmark = pytest.mark.anyio


async def test_a_job_and_its_task_from_beginning_to_end(platform: Platform, emulator: Emulator) -> None:
    tune = platform.finetune
    job = await tune.create_job(name="mine", model=MODEL, train_mode=TrainMode.SFT, description="for fun")
    created = await tune.create_task(
        job_id=job.job_id,
        parameter_scale="FullFineTuning",
        hyper_parameters={"epoch": 50, "learningRate": 0.00003, "checkpointCount": 2, "saveStep": 64},
        dataset_config={"sourceType": "Platform", "versions": [{"versionId": SAMPLE}], "splitRatio": 20},
        corpus_config={"copyData": False},
        resource_config={"nodeNum": 1},
        extras={"note": "extra"},
    )
    assert created.job_id == job.job_id
    sent = emulator.requests[-1].body
    assert sent["note"] == "extra"
    assert "incrementTaskId" not in sent
    seen = []
    while (task := await tune.describe_task(created.task_id)).run_status is not TrainStatus.Done:
        seen.append((task.run_status, task.progress))
    assert seen
    assert all(status is TrainStatus.Running and 0 < progress < 100 for status, progress in seen)
    assert task.progress == 100
    assert task.train_mode is TrainMode.SFT
    assert (task.job_name, task.job_description, task.model) == ("mine", "for fun", MODEL)
    assert task.metrics
    assert task.checkpoint_list
    assert task.checkpoint_list[-1].training_loss is not None
    assert task.body["result"]["taskId"] == created.task_id
    [listed] = [job async for job in tune.jobs()]
    assert (listed.job_id, listed.name, listed.train_mode) == (job.job_id, "mine", TrainMode.SFT)
    assert [task.task_id async for task in tune.tasks(job.job_id)] == [created.task_id]
    assert await tune.stop_task(created.task_id) is False
    assert await tune.delete_task(created.task_id)
    assert await tune.delete_job(job.job_id)
    assert not emulator.jobs


async def test_stopping(platform: Platform, emulator: Emulator) -> None:
    emulator.training.script(after_looks=math.inf)
    task_id = await new_task(platform, await new_job(platform))
    assert await platform.finetune.stop_task(task_id) is True
    assert (await platform.finetune.describe_task(task_id)).run_status is TrainStatus.Stopped
    assert await platform.finetune.stop_task("task-none") is False


async def test_going_on_from_an_earlier_task(platform: Platform, emulator: Emulator) -> None:
    emulator.training.script(after_looks=0)
    job_id = await new_job(platform)
    base = await new_task(platform, job_id)
    await platform.finetune.describe_task(base)
    await platform.finetune.create_task(
        job_id=job_id,
        parameter_scale="LoRA",
        hyper_parameters={"epoch": 1, "learningRate": 0.0003},
        dataset_config={"sourceType": "Platform", "versions": [{"versionId": SAMPLE}], "splitRatio": 20},
        increment_task_id=base,
    )
    assert emulator.requests[-1].body["incrementTaskId"] == base


async def test_listings_go_on_to_the_last_page(platform: Platform, emulator: Emulator) -> None:
    job_ids = [await new_job(platform, f"job_{n}") for n in range(105)]
    assert [job.job_id async for job in platform.finetune.jobs()] == job_ids[::-1]
    assert emulator.count("DescribeFineTuningJobs") == 2
    task_ids = [await new_task(platform, job_ids[0]) for _ in range(103)]
    assert [task.task_id async for task in platform.finetune.tasks(job_ids[0])] == task_ids[::-1]
    assert emulator.count("DescribeFineTuningTasks") == 2


async def test_one_page_at_a_time(platform: Platform) -> None:
    job_ids = [await new_job(platform, f"job_{n}") for n in range(3)]
    first = await platform.finetune.describe_jobs(max_keys=2, page_reverse=True)
    assert [job.job_id for job in first.items] == job_ids[:2]
    assert first.page_info.is_truncated
    rest = await platform.finetune.describe_jobs(marker=first.page_info.next_marker, max_keys=2, page_reverse=True)
    assert [job.job_id for job in rest.items] == job_ids[2:]
    assert not rest.page_info.is_truncated
    tasks = await platform.finetune.describe_tasks(job_ids[0], max_keys=1)
    assert tasks.items == []


async def test_filters(platform: Platform) -> None:
    await new_job(platform)
    assert [job async for job in platform.finetune.jobs(model="BLOOMZ-7B")] == []
    assert [job async for job in platform.finetune.jobs(train_mode=TrainMode.DPO)] == []
    assert len([job async for job in platform.finetune.jobs(model=MODEL, train_mode="SFT")]) == 1


async def test_a_marker_that_comes_twice_ends_the_listing(platform: Platform, emulator: Emulator) -> None:
    """Rather than turning in circles for ever."""
    page = {"jobList": [{"jobId": "job-1"}], "pageInfo": {"isTruncated": True, "nextMarker": "job-1"}}
    emulator.faults.add("DescribeFineTuningJobs", body={"requestId": "r", "result": page}, times=None)
    assert [job.job_id async for job in platform.finetune.jobs()] == ["job-1", "job-1"]


@pytest.mark.parametrize(
    "page",
    [
        {"jobList": None, "pageInfo": None},
        {},
        {"jobList": [], "pageInfo": {"isTruncated": True}},
    ],
)
async def test_a_sparse_listing_is_an_empty_one(platform: Platform, emulator: Emulator, page: object) -> None:
    emulator.faults.add("DescribeFineTuningJobs", body={"requestId": "r", "result": page})
    assert [job async for job in platform.finetune.jobs()] == []


async def test_what_is_new_on_the_platform_passes_through(platform: Platform, emulator: Emulator) -> None:
    """Unknown states, modes and fields are readable; numbers for texts and nulls do not hurt."""
    task = {
        "taskId": "task-1",
        "runStatus": "Hibernating",
        "trainMode": "RFT",
        "jobName": None,
        "runProgress": 47,
        "checkpointList": [{"step": 8, "trainingLoss": None, "smell": "sweet"}],
        "gpuHours": 3,
    }
    emulator.faults.add("DescribeFineTuningTask", body={"requestId": "r", "result": task})
    seen = await platform.finetune.describe_task("task-1")
    assert (seen.run_status, seen.train_mode, seen.job_name, seen.progress) == ("Hibernating", "RFT", "", 47)
    assert seen.gpuHours == 3  # type: ignore[attr-defined]
    assert seen.checkpoint_list is not None
    assert seen.checkpoint_list[0].model_extra == {"smell": "sweet"}


@pytest.mark.parametrize(
    ("said", "progress"), [("47%", 47), ("0%", 0), ("150%", 100), ("-3%", 0), ("soon", None), ("", None), (None, None)]
)
async def test_progress_is_a_percentage(
    platform: Platform, emulator: Emulator, said: str | None, progress: int | None
) -> None:
    result = {"taskId": "task-1", "runStatus": "Running", "runProgress": said}
    emulator.faults.add("DescribeFineTuningTask", body={"requestId": "r", "result": result})
    assert (await platform.finetune.describe_task("task-1")).progress == progress


async def test_the_models_that_can_be_trained(platform: Platform) -> None:
    models = {model.model: model for model in await platform.finetune.supported_models()}
    modes = {mode.train_mode: mode for mode in models[MODEL].support_train_mode}
    scales = {scale.parameter_scale: scale for scale in modes["SFT"].support_parameter_scale}
    limits = {limit.key: limit for limit in scales["LoRA"].support_hyper_parameter_config}
    assert (limits["epoch"].check_type, len(limits["epoch"].check_value)) == ("range", 2)
    everything = {
        scale.parameter_scale
        for model in models.values()
        for mode in model.support_train_mode
        for scale in mode.support_parameter_scale
    }
    assert "LoRA-GA" in everything


async def test_refusals_name_the_field(platform: Platform) -> None:
    await new_job(platform)
    with pytest.raises(APIError, match="already exists"):
        await new_job(platform)
    with pytest.raises(APIError, match=r"param\[trainMode\] invalid") as caught:
        await platform.finetune.create_job(name="other", model=MODEL, train_mode="Magic")
    assert (caught.value.code, caught.value.http_status) == ("InappropriateJSON", 400)


# --- V1 ------------------------------------------------------------------------------------------------------


async def test_the_first_generation_and_its_numbers(platform: Platform, emulator: Emulator) -> None:
    tune = platform.finetune_v1
    job = await tune.create_job(name="old one", base_train_type=MODEL, train_type=MODEL)
    assert emulator.jobs[job.uuid].number == job.id
    run = await tune.create_task(
        {
            "taskId": job.id,
            "baseTrainType": MODEL,
            "trainType": MODEL,
            "trainMode": "SFT",
            "peftType": "LoRA",
            "trainConfig": {"epoch": 1, "learningRate": 0.0003},
            "trainset": [{"type": 1, "id": 111}],
            "trainsetRate": 20,
        }
    )
    detail = await tune.describe_task(job.id, run.id)
    assert (detail.id, detail.task_id, detail.task_name) == (run.id, job.id, "old one")
    assert detail.train_status is TrainStatusV1.Running
    assert detail.train_status.current is TrainStatus.Running
    assert await tune.stop_task(job.id, run.id)
    stopped = await tune.describe_task(job.id, run.id)
    assert stopped.train_status is TrainStatusV1.Stop
    with pytest.raises(APIError, match="not under way") as caught:
        await tune.stop_task(job.id, run.id)
    assert caught.value.code == 510302
    assert (await platform.finetune.describe_task(run.uuid)).run_status is TrainStatus.Stopped


def test_every_purchase_says_what_it_makes_and_nothing_else_does() -> None:
    """V1 calls a job a task and a task a job; what they make has the names of today."""
    modules = (batch_inference, charge, cleaning, data, eval, finetune, model, service)
    declared = [call for module in modules for call in vars(module).values() if isinstance(call, Call)]
    for call in declared:
        assert (call.creates is not None) is (call.safety is Safety.PURCHASE), call
    assert {call.name: call.creates for call in declared if call.creates} == {
        "CreateFineTuningJob": "job",
        "createTask": "job",
        "CreateFineTuningTask": "task",
        "createJob": "task",
        "publishTrainModel": "model",
        "CreateCustomModelSet": "model",
        "CreateCustomModel": "model",
        "CreateModelCompTask": "compression",
        "CreateModelExportTask": "export",
        "CreateService": "service",
        "apply": "service",
        "PurchaseTPMResource": "quota",
        "ResizeTPMResource": "quota",
        "PurchaseServiceResource": "unit",
        "ResizeComputeUnit": "unit",
        "dataset/create": "dataset",
        "dataset/import": "dataset",
        "CreateDataset": "dataset",
        "CreateDatasetVersion": "dataset",
        "CreateImportTask": "dataset",
        "CreateExportTask": "export",
        "etl/create": "cleaning",
        "enhance/create": "augmentation",
        "create": "evaluation",
        "CreateEvalTask": "evaluation",
        "CreateBatchInferenceTask": "inference",
    }

"""Fine-tuning as the platform's documents show it: our models read it, and the emulator answers with the same keys."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from qianfan.emulator import Emulator
from qianfan.resources import Platform
from qianfan.resources.console.consts import TrainMode, TrainStatus
from tests.support.clock import JumpClock
from tests.support.emulated import client_for

pytestmark = pytest.mark.anyio

RUNNING = {
    "taskId": "task-7d1m4z8w2pqc",
    "jobId": "job-k3v9x0q2m7ab",
    "jobName": "sft_demo",
    "jobDescription": "",
    "model": "ERNIE-Speed-8K",
    "trainMode": "SFT",
    "parameterScale": "LoRA",
    "runStatus": "Running",
    "createDate": "2024-05-02T03:10:00Z",
    "finishDate": "0000-00-00T00:00:00Z",
}
DONE = {
    **RUNNING,
    "parameterScale": "FullFineTuning",
    "runStatus": "Done",
    "vdlLink": "https://console.bce.baidu.com/qianfan/visualdl/index?displayToken=eyJydW5JZCI6InJ1bi1kZW1vIn0=",
    "metrics": {"BLEU-4": "21.50%", "ROUGE-1": "33.10%", "ROUGE-2": "14.02%", "ROUGE-L": "30.77%"},
    "checkpointList": [
        {"step": 64, "perplexity": 1.31, "trainingLoss": 0.27},
        {"step": 128, "perplexity": 1.05, "trainingLoss": 0.05},
    ],
    "finishDate": "2024-05-02T04:22:10Z",
}
PAGE = {"marker": "", "maxKeys": 100, "isTruncated": False}


def shown(clock: JumpClock, result: Any) -> Platform:
    """A platform that answers every call with one result."""
    answer = {"requestId": "3b1e0000-5b7d-4c3e-9d55-3a1f6b2c8e90", "result": result}
    return Platform(client_for(clock, httpx.MockTransport(lambda request: httpx.Response(200, json=answer))))


async def test_a_task_that_is_done(emulator: Emulator, clock: JumpClock) -> None:
    task = await shown(clock, DONE).finetune.describe_task("task-7d1m4z8w2pqc")
    assert (task.task_id, task.job_id) == ("task-7d1m4z8w2pqc", "job-k3v9x0q2m7ab")
    assert task.run_status is TrainStatus.Done
    assert [point.step for point in task.checkpoint_list] == [64, 128]
    assert task.metrics is not None
    assert task.metrics["BLEU-4"] == "21.50%"
    assert task.vdl_link == DONE["vdlLink"]


async def test_a_list_of_tasks(emulator: Emulator, clock: JumpClock) -> None:
    page = await shown(clock, {"taskList": [RUNNING], "pageInfo": PAGE}).finetune.describe_tasks("job-k3v9x0q2m7ab")
    [task] = page.items
    assert (task.run_status, task.train_mode) == (TrainStatus.Running, TrainMode.SFT)
    assert not page.page_info.is_truncated


async def test_the_emulator_answers_with_the_documented_keys(platform: Platform, emulator: Emulator) -> None:
    tune = platform.finetune
    job = await tune.create_job(name="sft_demo", model="ERNIE-Speed-8K", train_mode="SFT")
    version = next(iter(emulator.datasets))
    data = {"sourceType": "Platform", "versions": [{"versionId": version}], "splitRatio": 20}
    made = await tune.create_task(
        job_id=job.job_id, parameter_scale="LoRA", hyper_parameters={"epoch": 1}, dataset_config=data
    )
    [listed] = (await tune.describe_tasks(job.job_id)).body["result"]["taskList"]
    assert listed.keys() >= RUNNING.keys()
    told: dict[str, Any] = {}
    while told.get("runStatus") != "Done":
        told = (await tune.describe_task(made.task_id)).body["result"]
    assert told.keys() >= DONE.keys()
    assert told["checkpointList"] == [] or told["checkpointList"][0].keys() >= {"step", "perplexity", "trainingLoss"}
    page = (await tune.describe_tasks(job.job_id)).body["result"]["pageInfo"]
    assert page.keys() == PAGE.keys()

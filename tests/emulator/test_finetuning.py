"""Fine-tuning through both generations of the API."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from qianfan.emulator import Emulator
from tests.emulator.conftest import HandClock
from tests.emulator.making import SAMPLE, dialogue, finished_task, imported, new_job, new_task, released, task_body
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio


async def look(console: Console, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = await console.v2("finetuning", "DescribeFineTuningTask", taskId=task_id)
    return task


async def test_a_training_as_seen_by_a_client(console: Console) -> None:
    """Running with progress at first; metrics and checkpoints only at the end; always marked as simulated."""
    task_id = await new_task(console)
    assert console.emulator.tasks[task_id].state == "Running"
    seen = [await look(console, task_id) for _ in range(3)]
    assert [task["runStatus"] for task in seen] == ["Running", "Running", "Done"]
    assert [task.get("runProgress") for task in seen] == ["33%", "66%", None]
    assert ["metrics" in task for task in seen] == [False, False, True]
    assert ["checkpointList" in task for task in seen] == [False, False, True]
    assert seen[0]["finishDate"] == "0000-00-00T00:00:00Z" != seen[2]["finishDate"]
    assert all(task["simulated"] is True for task in seen)
    assert set(seen[2]["metrics"]) == {"BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"}
    assert all(score.endswith("%") for score in seen[2]["metrics"].values())


async def test_checkpoints_follow_the_hyper_parameters(console: Console) -> None:
    dataset_id = await released(console, dialogue(2000))
    config = {"epoch": 2, "checkpointCount": 3, "saveStep": 64}
    task_id = await finished_task(
        console, dataset_id=dataset_id, hyperParameterConfig=config, parameterScale="FullFineTuning"
    )
    checkpoints = (await look(console, task_id))["checkpointList"]
    assert [checkpoint["step"] for checkpoint in checkpoints] == [128, 192, 200]
    losses = [checkpoint["trainingLoss"] for checkpoint in checkpoints]
    assert losses == sorted(losses, reverse=True)
    assert all(checkpoint["perplexity"] > 1 for checkpoint in checkpoints)


async def test_the_curve_page(console: Console) -> None:
    task_id = await finished_task(console)
    link = (await look(console, task_id))["vdlLink"]
    page = (await console.http.get(link)).text
    assert "<svg" in page
    assert "Simulated" in page
    assert (await console.http.get(link.replace("task-", "task-none"))).status_code == 404


async def test_a_training_by_the_clock(clock: HandClock) -> None:
    """At a pace in seconds the clock moves it: waiting, running, done."""
    with Emulator(pace=100, clock=clock, activate=False, engine="scripted") as emulator:
        async with Console(emulator) as console:
            console.auth._now = clock.wall()
            task_id = await new_task(console)
            seen = []
            for seconds in (0, 50, 49, 1):
                clock.seconds += seconds
                task = await look(console, task_id)
                seen.append((task["runStatus"], task.get("runProgress")))
    assert seen == [("Waiting", None), ("Running", "50%"), ("Running", "99%"), ("Done", None)]


async def test_failures_by_script_and_by_name(console: Console) -> None:
    console.emulator.training.script(after_looks=1, ends="Failed", reason="out of memory", times=1)
    task_id = await new_task(console)
    assert [(await look(console, task_id))["runStatus"] for _ in range(2)] == ["Running", "Failed"]
    assert (await look(console, task_id))["errMessage"] == "out of memory"
    task_id = await new_task(console, await new_job(console, "mock_failed_task"))
    states = [(await look(console, task_id))["runStatus"] for _ in range(3)]
    assert states == ["Running", "Running", "Failed"]


async def test_stopping(console: Console) -> None:
    """Stop answers whether it could; a stopped training stays stopped."""
    task_id = await new_task(console)
    assert await console.v2("finetuning", "StopFineTuningTask", taskId=task_id) is True
    assert (await look(console, task_id))["runStatus"] == "Stopped"
    assert await console.v2("finetuning", "StopFineTuningTask", taskId=task_id) is False
    assert await console.v2("finetuning", "StopFineTuningTask", taskId="task-none") is False


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "x"}, "name"),
        ({"name": "x" * 21}, "name"),
        ({"name": None}, "name"),
        ({"model": "GPT"}, "model"),
        ({"trainMode": "RFT"}, "trainMode"),
        ({"description": "x" * 501}, "description"),
    ],
)
async def test_job_fields(console: Console, changes: dict[str, Any], field: str) -> None:
    body = {"name": "job", "model": "ERNIE-Speed-8K", "trainMode": "SFT", **changes}
    status, code, message = await console.v2_refused("finetuning", "CreateFineTuningJob", **body)
    assert (status, code) == (400, "InappropriateJSON")
    assert message.endswith(f"param[{field}] invalid.")


async def test_job_names_are_unique(console: Console) -> None:
    await new_job(console, "same")
    body = {"name": "same", "model": "ERNIE-Speed-8K", "trainMode": "SFT"}
    assert "already exists" in (await console.v2_refused("finetuning", "CreateFineTuningJob", **body))[2]
    assert (await console.v1_refused("finetune/createTask", name="same"))[0] == 510201


def dataset_config(**changes: Any) -> dict[str, Any]:
    return {"sourceType": "Platform", "versions": [{"versionId": SAMPLE}], "splitRatio": 20, **changes}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"jobId": "job-none"}, "jobId"),
        ({"parameterScale": "Half"}, "parameterScale"),
        ({"hyperParameterConfig": None}, "hyperParameterConfig"),
        ({"hyperParameterConfig": {"epoch": 51}}, "epoch"),
        ({"hyperParameterConfig": {"epoch": True}}, "epoch"),
        ({"hyperParameterConfig": {"epoch": 1.5}}, "epoch"),
        ({"hyperParameterConfig": {"epoch": "1"}}, "epoch"),
        ({"hyperParameterConfig": {"learningRate": 1}}, "learningRate"),
        ({"hyperParameterConfig": {"maxSeqLen": 5}}, "maxSeqLen"),
        ({"hyperParameterConfig": {"batchSize": 4}}, "batchSize"),
        ({"datasetConfig": None}, "datasetConfig"),
        ({"datasetConfig": {"sourceType": "Platform", "versions": [{"versionId": SAMPLE}]}}, "splitRatio"),
        ({"datasetConfig": dataset_config(splitRatio=-1)}, "splitRatio"),
        ({"datasetConfig": dataset_config(splitRatio=101)}, "splitRatio"),
        ({"datasetConfig": dataset_config(versions=[])}, "versions"),
        ({"datasetConfig": dataset_config(versions=[{"versionId": "ds-none"}])}, "versionId"),
        ({"datasetConfig": dataset_config(versions=[{"versionId": SAMPLE, "samplingRate": 11}])}, "samplingRate"),
        ({"datasetConfig": dataset_config(versions=[{"versionId": SAMPLE, "samplingRate": 0.1}])}, "versions"),
        ({"datasetConfig": dataset_config(sourceType="Disk")}, "sourceType"),
        (
            {"datasetConfig": {"sourceType": "Bos", "versions": [{"versionBosUri": "bos:/b/none"}], "splitRatio": 5}},
            "versionBosUri",
        ),
        ({"incrementTaskId": "task-none"}, "incrementTaskId"),
    ],
)
async def test_task_fields(console: Console, changes: dict[str, Any], field: str) -> None:
    body = task_body(await new_job(console), **changes)
    status, code, message = await console.v2_refused("finetuning", "CreateFineTuningTask", **body)
    assert (status, code) == (400, "InappropriateJSON")
    assert message.endswith(f"param[{field}] invalid.")
    assert not console.emulator.tasks


async def test_data_that_cannot_be_trained_on(console: Console) -> None:
    """Unpublished, too small, or of another template."""
    job_id = await new_job(console)
    unpublished = await imported(console, dialogue(40), file="a.jsonl")
    small = await released(console, dialogue(31), file="b.jsonl")
    prompts = await released(console, b'{"prompt": "p"}', 40200, file="c.jsonl")
    for dataset_id, said in ((unpublished, "not published"), (small, "at least 32"), (prompts, "needs PromptResponse")):
        refusal = await console.v2_refused("finetuning", "CreateFineTuningTask", **task_body(job_id, dataset_id))
        assert said in refusal[2]


async def test_other_modes_need_other_data(console: Console) -> None:
    row = b'[{"user": "u", "chosen": "c", "rejected": "r"}]'
    dataset_id = await released(console, row, 2002)
    job_id = await new_job(console, mode="DPO")
    await new_task(console, job_id, dataset_id, hyperParameterConfig={"epoch": 1})
    refusal = await console.v2_refused(
        "finetuning", "CreateFineTuningTask", **task_body(job_id, hyperParameterConfig={})
    )
    assert "DPO needs DPO_PromptChosenRejected" in refusal[2]


async def test_post_pretrain_has_no_scores(console: Console) -> None:
    dataset_id = await released(console, b'"some text"', 40100)
    job_id = await new_job(console, mode="PostPretrain")
    scale = {"parameterScale": "FullFineTuning", "hyperParameterConfig": {"epoch": 1}}
    task_id = await finished_task(console, job_id=job_id, dataset_id=dataset_id, **scale)
    assert "metrics" not in await look(console, task_id)


async def test_training_straight_from_object_storage(console: Console) -> None:
    await console.put("my-bucket", "train/rows.jsonl", dialogue(40))
    versions = [{"versionBosUri": "bos:/my-bucket/train/"}]
    config = dataset_config(sourceType="Bos", versions=versions)
    task_id = await finished_task(console, datasetConfig=config)
    assert (await look(console, task_id))["runStatus"] == "Done"
    await console.put("my-bucket", "train/rows.jsonl", b"bad\n" + dialogue(40))
    task_id = await new_task(console, await new_job(console, "other"), datasetConfig=config)
    states = [(await look(console, task_id))["runStatus"] for _ in range(3)]
    assert states[-1] == "Failed"
    assert "line 1" in (await look(console, task_id))["errMessage"]


@pytest.mark.parametrize(
    ("model", "scale", "config"),
    [
        ("ERNIE-Bot-turbo-0516", "FullFineTuning", {"epoch": 1, "batchSize": 32, "learningRate": 2e-5}),
        ("Llama-2-13b", "LoRA", {"epoch": 1, "batchSize": 1, "learningRate": 2e-5}),
        ("ERNIE-Bot-turbo-0725", "LoRA", {"epoch": 1, "learningRate": 3e-5}),
        ("ERNIE-Speed", None, {}),
    ],
)
async def test_older_model_names(console: Console, model: str, scale: str | None, config: dict[str, Any]) -> None:
    job_id = await new_job(console, model=model)
    task_id = await new_task(console, job_id, parameterScale=scale, hyperParameterConfig=config)
    task = await look(console, task_id)
    assert task["model"] == model
    assert task["parameterScale"] == (scale or "FullFineTuning")
    assert console.emulator.tasks[task_id].hyper_parameters == config


async def test_going_on_from_a_finished_task(console: Console) -> None:
    dataset_id = await released(console, dialogue(2000))
    job_id = await new_job(console)
    config = {"checkpointCount": 2, "saveStep": 64}
    base = await finished_task(
        console, job_id=job_id, dataset_id=dataset_id, hyperParameterConfig=config, parameterScale="FullFineTuning"
    )
    body = task_body(job_id, incrementTaskId=base, incrementCheckpointStep=64)
    task = await console.v2("finetuning", "CreateFineTuningTask", **body)
    assert console.emulator.tasks[task["taskId"]].base_task_id == base
    bad = task_body(job_id, incrementTaskId=base, incrementCheckpointStep=65)
    assert (await console.v2_refused("finetuning", "CreateFineTuningTask", **bad))[2].endswith(
        "param[incrementCheckpointStep] invalid."
    )
    running = task_body(job_id, incrementTaskId=task["taskId"])
    assert "only Done" in (await console.v2_refused("finetuning", "CreateFineTuningTask", **running))[2]
    other = await new_job(console, "other", model="ERNIE-Lite-8K-0308")
    foreign = task_body(other, incrementTaskId=base)
    assert "trained ERNIE-Speed-8K" in (await console.v2_refused("finetuning", "CreateFineTuningTask", **foreign))[2]


async def test_lists(console: Console) -> None:
    first, second = await new_job(console, "first"), await new_job(console, "second", mode="DPO")
    tasks = [await new_task(console, first) for _ in range(3)]
    jobs = await console.v2("finetuning", "DescribeFineTuningJobs")
    assert [job["jobId"] for job in jobs["jobList"]] == [second, first]
    only = await console.v2("finetuning", "DescribeFineTuningJobs", trainModel="SFT", model="ERNIE-Speed-8K")
    assert [job["name"] for job in only["jobList"]] == ["first"]
    listed = await console.v2("finetuning", "DescribeFineTuningTasks", jobId=first, maxKeys=2)
    assert [task["taskId"] for task in listed["taskList"]] == [tasks[2], tasks[1]]
    rest = await console.v2(
        "finetuning", "DescribeFineTuningTasks", jobId=first, marker=listed["pageInfo"]["nextMarker"]
    )
    assert [task["taskId"] for task in rest["taskList"]] == [tasks[0]]
    assert (await console.v2_refused("finetuning", "DescribeFineTuningTasks", jobId=first, marker="task-none"))[
        0
    ] == 400


async def test_deleting(console: Console) -> None:
    """A running task and a job with tasks stay; a deleted job takes no task."""
    job_id = await new_job(console)
    task_id = await new_task(console, job_id)
    assert (await console.v2_refused("finetuning", "DeleteFineTuningTask", taskId=task_id))[:2] == (
        412,
        "PreconditionFailed",
    )
    assert (await console.v2_refused("finetuning", "DeleteFineTuningJob", jobId=job_id))[0] == 412
    await console.v2("finetuning", "StopFineTuningTask", taskId=task_id)
    assert (await console.v2_refused("finetuning", "DeleteFineTuningJob", jobId=job_id))[0] == 412
    assert await console.v2("finetuning", "DeleteFineTuningTask", taskId=task_id) is True
    assert await console.v2("finetuning", "DeleteFineTuningJob", jobId=job_id) is True
    assert (await console.v2_refused("finetuning", "CreateFineTuningTask", **task_body(job_id)))[0] == 400


async def test_support_models_are_a_list(console: Console) -> None:
    models = await console.v2("finetuning", "DescribeFineTuningSupportModels")
    names = [model["model"] for model in models]
    assert {"ERNIE-Speed-8K", "ERNIE-Bot-turbo-0516", "Qianfan-Chinese-Llama-2-13B-v2"} <= set(names)


# --- V1 ----------------------------------------------------------------------------------------------------------


def v1_run(task_number: int, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "taskId": task_number,
        "baseTrainType": "ERNIE-Bot-turbo",
        "trainType": "ERNIE-Bot-turbo-0725",
        "trainMode": "SFT",
        "peftType": "LoRA",
        "trainConfig": {"epoch": 1, "learningRate": 3e-5, "maxSeqLen": 4096},
        "trainset": [{"type": 1, "id": 111}],
        "trainsetRate": 20,
    }
    return {**body, **changes}


async def test_the_v1_chain(console: Console) -> None:
    """A V1 run is the same thing as a V2 task."""
    made = await console.v1("finetune/createTask", name="old_style", description="d")
    run = await console.v1("finetune/createJob", **v1_run(made["id"]))
    key = {"taskId": made["id"], "jobId": run["id"]}
    seen = [await console.v1("finetune/jobDetail", **key) for _ in range(2)]
    assert [detail["trainStatus"] for detail in seen] == ["RUNNING", "RUNNING"]
    assert [detail["progress"] for detail in seen] == [33, 66]
    task = await look(console, run["uuid"])
    assert (task["jobId"], task["runStatus"], task["parameterScale"]) == (made["uuid"], "Done", "LoRA")
    detail = await console.v1("finetune/jobDetail", **key)
    assert (detail["trainStatus"], detail["progress"], detail["version"]) == ("FINISH", 100, 1)
    more = v1_run(made["id"], jobRunType=1, increConfig=key)
    second = await console.v1("finetune/createJob", **more)
    detail = await console.v1("finetune/jobDetail", taskId=made["id"], jobId=second["id"])
    assert (detail["jobRunType"], detail["increConfig"]) == (1, key)


async def test_v1_stop(console: Console) -> None:
    made = await console.v1("finetune/createTask", name="old_style")
    run = await console.v1(
        "finetune/createJob", **v1_run(made["id"], peftType="ALL", trainConfig={"epoch": 1, "learningRate": 1e-5})
    )
    key = {"taskId": made["id"], "jobId": run["id"]}
    assert await console.v1("finetune/stopJob", **key) is True
    assert (await console.v1("finetune/jobDetail", **key))["trainStatus"] == "STOP"
    assert (await console.v1_refused("finetune/stopJob", **key))[0] == 510302


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"taskId": 1}, 510202),
        ({"trainType": "GPT"}, 510401),
        ({"trainMode": "RLHF"}, 510401),
        ({"peftType": "Adapter"}, 510401),
        ({"trainConfig": {"epoch": 1}}, 510401),
        ({"trainConfig": {"epoch": 99, "learningRate": 3e-5}}, 510401),
        ({"trainsetRate": None}, 500001),
        ({"trainset": [{"type": 3}]}, 500001),
        ({"trainset": [{"type": 2, "bosPath": "bos:/b/none.jsonl"}]}, 510102),
        ({"jobRunType": 1, "increConfig": {"taskId": 1, "jobId": 1}}, 510301),
    ],
)
async def test_v1_refusals(console: Console, changes: dict[str, Any], code: int) -> None:
    made = await console.v1("finetune/createTask", name="old_style")
    assert (await console.v1_refused("finetune/createJob", **v1_run(made["id"], **changes)))[0] == code


async def test_v1_small_dataset(console: Console) -> None:
    small = await released(console, dialogue(31))
    number = console.emulator.datasets[small].number
    made = await console.v1("finetune/createTask", name="old_style")
    body = v1_run(made["id"], trainset=[{"type": 1, "id": number}])
    assert (await console.v1_refused("finetune/createJob", **body))[0] == 510101


async def test_secrets_stay_out_of_the_record(console: Console) -> None:
    await new_job(console)
    settings = console.emulator.settings
    text = repr(console.emulator.requests) + repr(console.emulator)
    for name in ("ACCESS_KEY", "SECRET_KEY", "AK", "SK"):
        assert settings[name] not in text
        assert base64.b64encode(settings[name].encode()).decode() not in text

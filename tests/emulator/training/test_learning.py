"""The engine `tiny` behind the platform's calls: it learns the uploaded rows, and what it tells was computed."""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import Any

import pytest

from qianfan.emulator import Emulator
from qianfan.errors import TrainJobFailedError
from qianfan.model import Model
from qianfan.resources import Platform
from qianfan.trainer import DPO, LLMFinetune, PostPreTrain
from qianfan.trainer.configs import DeployConfig
from tests.emulator.making import released
from tests.emulator.signing import Console

from .conftest import MODEL, ROWS, Trained, as_file, asked, client_of, described

pytestmark = pytest.mark.anyio


def test_the_loss_falls(trained: Trained) -> None:
    metrics = trained.emulator.curve(trained.task["taskId"]).training
    assert metrics[-1][1] < metrics[0][1] / 10
    assert [step for step, _ in metrics] == sorted({step for step, _ in metrics})
    assert trained.task["simulated"] is False


def test_the_rows_come_back(trained: Trained) -> None:
    answers = {question: trained.service.exec(asked(question)) for question, _ in ROWS}
    right = [question for question, answer in ROWS if answers[question]["result"] == answer]
    assert len(right) >= 0.9 * len(ROWS)
    for question, answer in answers.items():
        pieces = [*trained.service.exec(asked(question), stream=True)]
        assert "".join(piece["result"] for piece in pieces) == answer["result"]
        assert [piece["is_end"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert pieces[-1]["usage"] == answer["usage"]


def test_tokens_are_counted(trained: Trained) -> None:
    short, long = (trained.service.exec(asked(text))["usage"] for text in ("hi", ROWS[0][0] * 3))
    assert short["prompt_tokens"] < long["prompt_tokens"]
    assert short["total_tokens"] == short["prompt_tokens"] + short["completion_tokens"]


def test_an_answer_is_cut_off_where_it_is_asked_to(trained: Trained) -> None:
    answer = trained.service.exec({**asked(ROWS[0][0]), "max_output_tokens": 2})
    assert (answer["is_truncated"], answer["finish_reason"], answer["usage"]["completion_tokens"]) == (
        True,
        "length",
        2,
    )
    assert ROWS[0][1].startswith(answer["result"].strip())
    word = ROWS[0][1].split()[1]
    assert word not in trained.service.exec({**asked(ROWS[0][0]), "stop": [word]})["result"]


def test_what_computes_it_is_told(trained: Trained) -> None:
    local = trained.task["local"]
    assert (local["engine"], local["device"]) == ("tiny", "cpu")
    assert local["requested"]["epoch"] == 3
    assert local["effective"]["epoch"] > 3
    assert local["parameters"] > 100_000
    assert local["notes"]
    [task] = trained.emulator.tasks.values()
    assert local["requested"].items() >= task.hyper_parameters.items()


def test_checkpoints(trained: Trained) -> None:
    checkpoints = trained.task["checkpointList"]
    assert len(checkpoints) == 10
    assert checkpoints[-1]["step"] == trained.task["local"]["step"]
    for checkpoint in checkpoints:
        assert checkpoint["perplexity"] == pytest.approx(math.exp(checkpoint["trainingLoss"]), rel=1e-3)
        assert "validationLoss" not in checkpoint
    assert checkpoints[0]["trainingLoss"] > checkpoints[-1]["trainingLoss"]
    assert "metrics" not in trained.task


async def test_an_earlier_checkpoint_is_another_model(trained: Trained, anyio_backend_name: str) -> None:
    """It was made when less was learnt, and answers accordingly."""
    name = f"early_{anyio_backend_name}"
    task = trained.task
    early = Model(task_id=task["taskId"], job_id=task["jobId"], client=client_of(trained.emulator))
    await early.apublish(name=name, step=task["checkpointList"][0]["step"])
    service = await early.adeploy(DeployConfig(service_type="Chat", name=name))
    answers = [(await service.aexec(asked(question)))["result"] for question, _ in ROWS[:5]]
    assert answers != [answer for _, answer in ROWS[:5]]


async def test_a_compressed_model_answers_with_what_it_was_made_of(trained: Trained, anyio_backend_name: str) -> None:
    """Also when that is deleted; nothing is made smaller here, and its export holds the weights."""
    if anyio_backend_name == "trio":  # once is enough for what takes seconds
        return
    client, task = client_of(trained.emulator), trained.task
    platform = Platform(client)
    source = await Model(task_id=task["taskId"], job_id=task["jobId"], client=client).apublish("to compress", step=15)
    made = await source.acompress("Quantization", "W8A16C16")
    version = str(made.id)
    await platform.models_v2.create_export(version)
    exported = (await platform.models_v2.describe_export(version)).body["result"]
    packed = zipfile.ZipFile(io.BytesIO(trained.emulator.read_object(exported["bucket"], exported["objectPath"])))
    assert len([name for name in packed.namelist() if name.startswith("weights/")]) > 1
    async with await made.adeploy(DeployConfig(service_type="Chat")) as service:
        before = (await service.aexec(asked(ROWS[0][0])))["result"]
        await platform.models_v2.delete_model(str(source.id))
        assert (await service.aexec(asked(ROWS[1][0])))["result"]
        assert (await service.aexec(asked(ROWS[0][0])))["result"] == before
    assert trained.emulator.services[str(service.id)].state == "Stopped"
    await platform.models_v2.delete_model(version)
    assert version not in trained.emulator.models


async def test_the_page_of_a_training(trained: Trained) -> None:
    async with Console(trained.emulator) as console:
        page = (await console.http.get(f"/_emulator/tasks/{trained.task['taskId']}")).text
        overview = (await console.http.get("/_emulator")).json()
    assert "<polyline" in page
    assert "Simulated" not in page
    assert "requested" in page
    assert overview["simulated"] is False


# --- every mode ----------------------------------------------------------------------------------------------------


async def run(kind: Any, emulator: Emulator, dataset: str, **wishes: Any) -> Any:
    model = MODEL if kind is LLMFinetune else "ERNIE-Speed-8K"
    return await kind(model, dataset, client=client_of(emulator), **wishes).arun()


@pytest.mark.parametrize("ratio", [0, 20])
async def test_held_out_rows(ratio: int) -> None:
    with Emulator(activate=False) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))
        task = described(await run(LLMFinetune, emulator, dataset, eval_split_ratio=ratio, train_config={"epoch": 1}))
    assert ("metrics" in task) == (ratio > 0)
    for checkpoint in task["checkpointList"]:
        assert ("validationLoss" in checkpoint) == ("validationPerplexity" in checkpoint) == (ratio > 0)
    if ratio:
        assert {*task["metrics"]} == {"BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"}
        assert all(value.endswith("%") and 0 <= float(value[:-1]) <= 100 for value in task["metrics"].values())
        assert "validationLoss" in task["local"]


async def test_lora_learns_too_and_is_merged() -> None:
    with Emulator(activate=False) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))
        trainer = await run(
            LLMFinetune,
            emulator,
            dataset,
            eval_split_ratio=0,
            train_config={"epoch": 10, "peft_type": "LoRA"},
            deploy_config=DeployConfig(service_type="Chat"),
        )
        service = trainer.result[0]["service"]
        right = [question for question, answer in ROWS if (await service.aexec(asked(question)))["result"] == answer]
        assert len(right) >= 0.9 * len(ROWS)


async def test_going_on_from_an_earlier_training() -> None:
    """The second one begins where the first one ended."""
    with Emulator(activate=False) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))
            first = await run(LLMFinetune, emulator, dataset, train_config={"epoch": 3, "peft_type": "ALL"})
            task = described(first)
            body = {
                "jobId": task["jobId"],
                "parameterScale": "FullFineTuning",
                "hyperParameterConfig": {"epoch": 1, "learningRate": 3e-5},
                "datasetConfig": {"sourceType": "Platform", "versions": [{"versionId": dataset}], "splitRatio": 20},
                "incrementTaskId": task["taskId"],
            }
            made = await console.v2("finetuning", "CreateFineTuningTask", **body)
        again = LLMFinetune.attach(task_id=made["taskId"], client=client_of(emulator))
        await again.arun()
        before, after = (emulator.curve(id).training for id in (task["taskId"], made["taskId"]))
    assert after[0][1] < before[0][1] / 4


async def test_two_trainings_with_one_seed_are_equal() -> None:
    with Emulator(activate=False, trainings_at_once=2) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))
        config = {"epoch": 1, "seed": 7, "peft_type": "ALL"}
        ids = [described(await run(LLMFinetune, emulator, dataset, train_config=config))["taskId"] for _ in range(2)]
        other = described(await run(LLMFinetune, emulator, dataset, train_config={**config, "seed": 8}))["taskId"]
        curves = [emulator.curve(id) for id in (*ids, other)]
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


async def test_preferences() -> None:
    rows = [[{"user": question, "chosen": answer, "rejected": "I do not know."}] for question, answer in ROWS]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    with Emulator(activate=False) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, content, template=2002)
        task = described(await run(DPO, emulator, dataset, eval_split_ratio=0))
    assert task["local"]["rewardMargin"] > 0
    assert task["local"]["rewardAccuracy"] > 0.9


async def test_plain_text() -> None:
    with Emulator(activate=False) as emulator:
        async with Console(emulator) as console:
            text = "\n".join(f"{question} {answer}" for question, answer in ROWS) * 3
            dataset = await released(console, text.encode(), template=40100, file="book.txt")
        task = described(await run(PostPreTrain, emulator, dataset))
        losses = emulator.curve(task["taskId"]).training
    assert losses[-1][1] < losses[0][1]
    assert "metrics" not in task


async def test_strict_uses_what_is_asked_for() -> None:
    with Emulator(activate=False, strict=True) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))
        config = {"epoch": 2, "learning_rate": 3e-5, "peft_type": "ALL"}
        local = described(await run(LLMFinetune, emulator, dataset, train_config=config))["local"]
    assert (local["effective"]["epoch"], local["effective"]["learningRate"]) == (2, 3e-5)


async def test_what_an_engine_cannot_do_fails_the_task_with_the_reason() -> None:
    with Emulator(activate=False) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))
        trainer = LLMFinetune(
            "ERNIE-Lite-8K-0704", dataset, train_config={"peft_type": "PromptTuning"}, client=client_of(emulator)
        )
        with pytest.raises(TrainJobFailedError, match=r"prompt tuning .* use LoRA"):
            await trainer.arun()
        [task] = emulator.tasks.values()
        assert task.state == "Failed"

"""Trainers whose models are judged on the platform, and steps that have a model answer a dataset there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from qianfan.dataset import Dataset
from qianfan.emulator import Emulator
from qianfan.errors import BatchInferenceFailedError, EvaluationFailedError, InvalidArgumentError
from qianfan.evaluation import QianfanManualEvaluator, QianfanRefereeEvaluator, QianfanRuleEvaluator
from qianfan.pipeline import Action, Event, Pipeline, start
from qianfan.trainer import (
    BatchAnswers,
    BatchInferAction,
    DeployConfig,
    LLMFinetune,
    PostPreTrain,
    PublishedModel,
)
from qianfan.trainer.actions import EvaluateAction
from qianfan.trainer.consts import TrainStatus
from tests.evaluation.judges import Length

pytestmark = pytest.mark.anyio

MODEL = "ERNIE-Speed-8K"
CHAT = DeployConfig(service_type="Chat")
RULE = QianfanRuleEvaluator(using_accuracy=True)
KNOWN = "Define an epoch."
ANSWERS = "batch inference infer-"
SAID = "One full pass over all the training data."

faces = pytest.mark.parametrize("face", ["sync", "async"])


async def drive(face: str, trainer: LLMFinetune, method: str = "run", **settings: Any) -> LLMFinetune:
    if face == "async":
        return await getattr(trainer, "a" + method)(**settings)
    return await anyio.to_thread.run_sync(lambda: getattr(trainer, method)(**settings))


def file_of_rows(folder: Path, *questions: str) -> Path:
    path = folder / "eval.jsonl"
    path.write_text(
        "".join(json.dumps([{"prompt": one, "response": [[SAID]]}]) + "\n" for one in questions), encoding="utf-8"
    )
    return path


def evaluating(dataset: Any, *evaluators: Any, **settings: Any) -> LLMFinetune:
    return LLMFinetune(MODEL, 111, eval_dataset=dataset, evaluators=evaluators, **settings)


def orders(emulator: Emulator) -> list[int]:
    return [emulator.made(kind) for kind in ("task", "model", "service", "evaluation", "batch_inference")]


@faces
async def test_a_published_model_is_judged_without_being_deployed(
    face: str, emulator: Emulator, tmp_path: Path
) -> None:
    trainer = evaluating(file_of_rows(tmp_path, KNOWN, "b"), RULE, Length())
    await drive(face, trainer)
    result = trainer.get_evaluate_result()
    assert result is not None
    assert result.summary["accuracy"] == 0.5
    assert result.result_dataset["input"] == [KNOWN, "b"]
    assert result.result_dataset["length"][0] == len(SAID)
    assert list(result.metrics) == [trainer.result[0]["model_id"]]
    assert trainer.status is TrainStatus.EvaluationFinished
    assert isinstance(trainer.eval_action, EvaluateAction)
    assert orders(emulator) == [1, 1, 0, 1, 0]
    [evaluation] = emulator.evaluations
    assert LLMFinetune.describe(trainer.id)["ids"]["evaluation_id"] == evaluation


@faces
async def test_a_deployed_model_is_judged_on_the_platform_too(face: str, emulator: Emulator) -> None:
    told: list[Event] = []
    trainer = evaluating(111, QianfanRefereeEvaluator(app_id=7), deploy_config=CHAT, event_handler=told.append)
    await drive(face, trainer)
    assert trainer.get_evaluate_result().summary["avgJudgeScore"] == 5.0
    assert trainer.result[0]["service_endpoint"]
    assert orders(emulator) == [1, 1, 1, 1, 0]
    assert emulator.count("chat") == 0
    running = [one for one in told if one.action_class is EvaluateAction and "state" in (one.data or {})]
    assert any("evaluation ame-" in one.description for one in running)


async def test_manual_evaluations_end_with_the_answers(emulator: Emulator) -> None:
    trainer = await evaluating(111, QianfanManualEvaluator()).arun()
    result = trainer.get_evaluate_result()
    assert result.summary == {}
    assert len(result.result_dataset) > 100


@pytest.mark.parametrize("deploy", [None, CHAT])
async def test_an_interrupted_run_goes_on_with_the_same_evaluation(deploy: Any, emulator: Emulator) -> None:
    emulator.evaluation.script(after_looks=2)
    trainer = evaluating(111, RULE, deploy_config=deploy, id="night")

    def leave(event: Event) -> None:
        if event.action_class is EvaluateAction and "is Doing" in event.description:
            trainer.detach()

    trainer.register_event_handler(leave)
    await trainer.arun()
    assert trainer.get_evaluate_result() is None
    assert emulator.made("evaluation") == 1
    [evaluation] = emulator.evaluations.values()
    assert evaluation.state == "Doing"
    again = await (await LLMFinetune.aload("night")).aresume()
    assert again.get_evaluate_result().summary["accuracy"] == 1.0
    assert emulator.made("evaluation") == 1


async def test_rows_in_memory_are_not_needed_any_more_once_they_are_asked(emulator: Emulator) -> None:
    emulator.evaluation.script(after_looks=2)
    dataset = Dataset.create_from_pyobj([[{"prompt": KNOWN, "response": [[SAID]]}]])
    trainer = evaluating(dataset, RULE, id="night")
    trainer.register_event_handler(lambda event: trainer.detach() if "evaluation ame-" in event.description else None)
    await trainer.arun()
    again = await (await LLMFinetune.aload("night")).aresume()
    assert again.get_evaluate_result().result_dataset["output"] == [SAID]
    assert emulator.made("evaluation") == 1


async def test_stopping_stops_the_evaluation_as_well(emulator: Emulator) -> None:
    emulator.evaluation.script(after_looks=1000)
    trainer = evaluating(111, RULE)
    trainer.register_event_handler(lambda event: trainer.stop() if "evaluation ame-" in event.description else None)
    await trainer.arun()
    [evaluation] = emulator.evaluations.values()
    assert evaluation.state in ("Stopping", "Stopped")
    assert trainer.status is TrainStatus.EvaluationStopped


async def test_a_failed_evaluation_is_ordered_anew_only_when_that_is_asked_for(emulator: Emulator) -> None:
    emulator.evaluation.script(ends="Failed", reason="out of luck", times=1)
    trainer = evaluating(111, RULE)
    with pytest.raises(EvaluationFailedError, match="out of luck"):
        await trainer.arun()
    assert trainer.status is TrainStatus.EvaluationFailed
    with pytest.raises(EvaluationFailedError, match="out of luck"):
        await trainer.aresume()
    assert emulator.made("evaluation") == 1
    await trainer.aresume(resubmit=True)
    assert trainer.get_evaluate_result().summary["accuracy"] == 1.0
    assert orders(emulator) == [1, 1, 0, 2, 0]


async def test_a_lost_answer_orders_nothing_twice(emulator: Emulator) -> None:
    emulator.faults.add("eval/create", drop="after")
    trainer = await evaluating(111, RULE).arun()
    assert trainer.get_evaluate_result().summary["accuracy"] == 1.0
    assert (emulator.made("evaluation"), emulator.count("eval/create")) == (1, 1)


async def test_what_cannot_work_is_refused_when_the_trainer_is_made() -> None:
    with pytest.raises(InvalidArgumentError, match="nothing is published"):
        evaluating(111, RULE, model_not_publish=True)
    with pytest.raises(InvalidArgumentError, match="without deploy_config nothing is deployed"):
        evaluating(111, Length())
    with pytest.raises(InvalidArgumentError, match="judges nothing"):
        evaluating(111, QianfanRuleEvaluator())
    with pytest.raises(InvalidArgumentError, match="nothing is published"):
        PostPreTrain("ERNIE-Speed-8K", "bos:/my-bucket/x", eval_dataset=111, evaluators=[RULE])


async def test_what_is_loaded_has_the_evaluators(emulator: Emulator, tmp_path: Path) -> None:
    trainer = evaluating(111, RULE, QianfanRefereeEvaluator(app_id=7))
    loaded = await LLMFinetune.aload(file=await trainer.asave(tmp_path / "t.json"))
    rule, referee = loaded.eval_action.evaluators
    assert (rule.using_accuracy, referee.app_id) == (True, 7)
    assert loaded._fingerprint() == trainer._fingerprint()
    await loaded.arun()
    again = await LLMFinetune.aload(loaded.id)
    assert again.get_evaluate_result() == loaded.get_evaluate_result()


# --- batch inference as a step ----------------------------------------------------------------------------------------


def answering(path: Path, **settings: Any) -> LLMFinetune:
    step = BatchInferAction(id="infer", dataset=str(path), params={"temperature": 0.1})
    return LLMFinetune(MODEL, 111, post_actions=[step], **settings)


@faces
async def test_a_step_has_the_model_answer_a_dataset(face: str, emulator: Emulator, tmp_path: Path) -> None:
    trainer = answering(file_of_rows(tmp_path, KNOWN, "b"))
    await drive(face, trainer)
    made = trainer.pipeline["infer"]
    assert isinstance(made, BatchInferAction)
    [task] = emulator.batches.values()
    assert (task.inference_params, task.state) == ({"temperature": 0.1}, "Done")
    assert trainer.result[0]["inference_id"] == task.id
    assert trainer.result[0]["output_uri"].endswith(f"{task.output_dir}/")
    assert orders(emulator) == [1, 1, 0, 0, 1]


async def test_an_interrupted_step_goes_on_with_the_same_batch_inference(emulator: Emulator, tmp_path: Path) -> None:
    emulator.batch_inference.script(after_looks=2)
    trainer = answering(file_of_rows(tmp_path, KNOWN), id="night")
    trainer.register_event_handler(lambda event: trainer.detach() if ANSWERS in event.description else None)
    await trainer.arun()
    again = await (await LLMFinetune.aload("night")).aresume()
    assert again.result[0]["inference_id"] in emulator.batches
    assert emulator.made("batch_inference") == 1


async def test_a_step_that_fails_or_is_stopped(emulator: Emulator, tmp_path: Path) -> None:
    emulator.batch_inference.script(ends="Failed", reason="out of luck", times=1)
    trainer = answering(file_of_rows(tmp_path, KNOWN))
    with pytest.raises(BatchInferenceFailedError, match="out of luck"):
        await trainer.arun()
    emulator.batch_inference.script(after_looks=1000)
    other = answering(file_of_rows(tmp_path, KNOWN))
    other.register_event_handler(lambda event: other.stop() if ANSWERS in event.description else None)
    await other.arun()
    assert [task.state for task in emulator.batches.values()][1] in ("Stopping", "Stopped")


class Given(Action[PublishedModel]):
    """A model that is there already."""

    model_id: str
    set_id: str

    async def run(self) -> PublishedModel:
        return PublishedModel(model_id=self.model_id, model_set_id=self.set_id)


@faces
async def test_the_answers_are_fetched_from_what_the_step_made(face: str, emulator: Emulator, tmp_path: Path) -> None:
    made = (await LLMFinetune(MODEL, 111).arun()).result[0]
    step = BatchInferAction(dataset=str(file_of_rows(tmp_path, KNOWN, "b")))
    given = Given(model_id=made["model_id"], set_id=made["model_set_id"])
    async with start(Pipeline([given, step])) as run:
        async for _ in run.events:
            pass
    answers = run.output[step]
    assert isinstance(answers, BatchAnswers)
    assert answers.rows == 2
    dataset = await answers.adataset() if face == "async" else await anyio.to_thread.run_sync(answers.dataset)
    assert dataset["input"] == [KNOWN, "b"]
    assert dataset["output"][0] == SAID

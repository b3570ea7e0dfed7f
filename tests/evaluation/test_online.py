"""Evaluations on the platform: ordered once, judged there, and judged here as well where that is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from qianfan.dataset import Dataset
from qianfan.emulator import Emulator
from qianfan.errors import (
    ArgumentNotFoundError,
    EvaluationFailedError,
    InvalidArgumentError,
    OutcomeUnknownError,
    UnknownArgumentError,
)
from qianfan.evaluation import (
    EvaluationManager,
    EvaluationResult,
    LocalJudgeEvaluator,
    ManualEvaluatorDimension,
    QianfanManualEvaluator,
    QianfanRefereeEvaluator,
    QianfanRuleEvaluator,
)
from qianfan.evaluation.stored import revived, stored
from qianfan.model import Model, Service
from qianfan.resources import Platform
from tests.evaluation.judges import Length, Picky
from tests.support.clock import JumpClock
from tests.support.emulated import client_for, trained
from tests.support.transport import Meddling, answering

pytestmark = pytest.mark.anyio

faces = pytest.mark.parametrize("face", ["sync", "async"])
RULE = QianfanRuleEvaluator(using_similarity=True, using_accuracy=True)
KNOWN = "Define an epoch."
SAID = "One full pass over all the training data."


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


async def evaluated(face: str, manager: EvaluationManager, llms: Any, dataset: Dataset, **how: Any) -> EvaluationResult:
    if face == "async":
        return await manager.aeval(llms, dataset, **how)
    return await anyio.to_thread.run_sync(lambda: manager.eval(llms, dataset, **how))


async def new_model(name: str = "my model") -> Model:
    platform = Platform(client_for(JumpClock()))
    task = await trained(platform, f"{name}_job")
    model = Model(task_id=task.task_id, job_id=task.job_id, client=platform.client)
    return await model.apublish(name)


async def sample(model: Model) -> Dataset:
    return await Dataset.aload(qianfan_dataset_id=111, client=model._platform.client)


def rows(*questions: str) -> Dataset:
    return Dataset.create_from_pyobj([[{"prompt": one, "response": [[SAID]]}] for one in questions])


def files_in(folder: Path, name: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(name)]


@faces
async def test_a_model_is_judged_on_the_platform(face: str, emulator: Emulator) -> None:
    emulator.evaluation.script(after_looks=2, waits=1)
    model = await new_model()
    manager = EvaluationManager(qianfan_evaluators=[RULE, QianfanRefereeEvaluator(app_id=7)])
    dataset = await sample(model)
    result = await evaluated(face, manager, [model], dataset)
    assert list(result.metrics) == [model.id]
    assert result.summary == {
        "bleu4": 1.0,
        "rouge_1": 1.0,
        "rouge_2": 1.0,
        "rouge_l": 1.0,
        "accuracy": 1.0,
        "f1Score": 1.0,
        "avgJudgeScore": 5.0,
        "stdJudgeScore": 0.0,
        "medianJudgeScore": 5.0,
        "scoreDistribution": {"-1": 0, "0": 0, "1": 0, "2": 0, "3": 0, "4": 0, "5": len(dataset)},
    }
    table = result.result_dataset
    assert len(table) == len(dataset)
    assert table["output"] == table["reference"]
    assert (table[0]["llm"], table[0]["bleu4"], table[0]["judgeScore"]) == (model.id, 1.0, 5.0)
    assert "simulated referee" in table[0]["judgeReason"]
    [evaluation] = emulator.evaluations.values()
    assert (manager.task_id, evaluation.state, evaluation.modes) == (evaluation.id, "Done", ["rule", "model"])
    assert emulator.count("eval/create") == 1
    assert emulator.count("eval/detail") == 3


async def test_one_evaluation_for_all_models(emulator: Emulator) -> None:
    one, other = await new_model(), await new_model("another")
    manager = EvaluationManager(qianfan_evaluators=[QianfanRuleEvaluator(using_accuracy=True)])
    result = await manager.aeval([one, other], await sample(one))
    assert result.metrics == {one.id: {"accuracy": 1.0, "f1Score": 1.0}, other.id: {"accuracy": 1.0, "f1Score": 1.0}}
    half = len(result.result_dataset) // 2
    assert result.result_dataset["llm"] == [one.id] * half + [other.id] * half
    assert (emulator.made("evaluation"), emulator.count("eval/create")) == (1, 1)


@faces
async def test_rows_on_this_machine_are_uploaded_first(face: str, emulator: Emulator) -> None:
    manager = EvaluationManager(qianfan_evaluators=[RULE])
    result = await evaluated(face, manager, [await new_model()], rows(KNOWN, "something else"))
    assert result.result_dataset["input"] == [KNOWN, "something else"]
    assert result.summary["accuracy"] == 0.5
    [evaluation] = emulator.evaluations.values()
    assert emulator.datasets[evaluation.dataset_id].release_state == "Published"


@faces
async def test_evaluators_here_judge_the_same_answers(face: str, emulator: Emulator) -> None:
    class Rude(Length):
        def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
            return {"bleu4": -1, "length": len(output)}

    model = await new_model()
    manager = EvaluationManager(local_evaluators=[Length(), Rude()], qianfan_evaluators=[RULE])
    progress: list[tuple[int, int]] = []
    result = await evaluated(
        face,
        manager,
        [model],
        rows(KNOWN, "b"),
        download_when_doing_online=False,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    [known, _] = result.result_dataset
    assert (known["output"], known["length"], known["bleu4"], known["bleu4 (2)"]) == (SAID, len(SAID), 1.0, -1)
    assert {"accuracy", "length", "length (2)", "bleu4 (2)"} <= result.summary.keys()
    assert progress == [(1, 2), (2, 2)]
    assert emulator.count("chat") == 0
    assert (emulator.made("evaluation"), emulator.made("batch_inference")) == (1, 0)


async def test_answers_are_only_fetched_when_they_are_wanted(emulator: Emulator, temporary: Path) -> None:
    model = await new_model()
    manager = EvaluationManager(qianfan_evaluators=[RULE])
    bare = await manager.aeval([model], await sample(model), download_when_doing_online=False)
    assert (len(bare.result_dataset), bare.summary["accuracy"]) == (0, 1.0)
    assert emulator.count("result/export") == 0
    full = await manager.aeval([model], await sample(model))
    assert len(full.result_dataset) > 0
    assert not files_in(temporary, "answers")


async def test_people_are_not_waited_for(emulator: Emulator) -> None:
    dimensions = [ManualEvaluatorDimension(dimension="clarity", description="is it clear?")]
    manager = EvaluationManager(qianfan_evaluators=[QianfanManualEvaluator(evaluation_dimensions=dimensions)])
    model = await new_model()
    result = await manager.aeval([model], rows(KNOWN))
    assert result.metrics == {model.id: {}}
    assert result.result_dataset["output"] == [SAID]
    [evaluation] = emulator.evaluations.values()
    assert evaluation.state == "DoingWithManualBegin"
    assert [one["dimension"] for one in evaluation.standard["evaluationDimension"]] == ["满意度", "clarity"]
    emulator.judge(evaluation.id, 3)
    assert emulator.evaluations[evaluation.id].state == "Done"
    with pytest.raises(InvalidArgumentError, match="waits for nobody"):
        emulator.judge(evaluation.id, 3)


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_a_model_that_cannot_be_judged_does_not_lose_the_other(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.evaluation.script(ends="PartlyDone", reason="out of luck")
    one, other = await new_model(), await new_model("another")
    result = await EvaluationManager(qianfan_evaluators=[RULE]).aeval([one, other], await sample(one))
    assert list(result.metrics) == [one.id]
    assert set(result.result_dataset["llm"]) == {one.id}
    assert f"could not judge model {other.id}: out of luck" in caplog.text


async def test_an_evaluation_that_fails_says_why_and_the_next_is_a_new_one(emulator: Emulator) -> None:
    emulator.evaluation.script(ends="Failed", reason="out of luck", times=1)
    model = await new_model()
    manager, dataset = EvaluationManager(qianfan_evaluators=[RULE]), await sample(model)
    with pytest.raises(EvaluationFailedError, match="'Failed': my model: out of luck") as failed:
        await manager.aeval([model], dataset)
    [evaluation] = emulator.evaluations
    assert (failed.value.evaluation_id, failed.value.status) == (evaluation, "Failed")
    assert (await manager.aeval([model], dataset)).summary["accuracy"] == 1.0
    assert emulator.made("evaluation") == 2


async def test_an_order_whose_answer_is_lost_is_found_again_by_its_name(emulator: Emulator) -> None:
    model = await new_model()
    network = Meddling(emulator.transport(), "create", answering(502, b"bad gateway"))
    lossy = Model(model.set_id, model.id, client=client_for(JumpClock(), network))
    manager = EvaluationManager(qianfan_evaluators=[RULE])
    assert (await manager.aeval([lossy], await sample(model))).summary["accuracy"] == 1.0
    assert (emulator.made("evaluation"), network.attempts) == (1, 1)


async def test_an_order_that_cannot_be_found_is_not_repeated(emulator: Emulator) -> None:
    model = await new_model()
    emulator.faults.add("eval/create", status=502)
    manager, dataset = EvaluationManager(qianfan_evaluators=[RULE]), await sample(model)
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError, match="an evaluation 'eval_"):
            await manager.aeval([model], dataset)
    assert (emulator.made("evaluation"), emulator.count("eval/create")) == (0, 1)


async def test_a_wait_that_was_cut_short_is_gone_on_with(emulator: Emulator) -> None:
    emulator.evaluation.script(after_looks=1)
    model = await new_model()
    manager, dataset = EvaluationManager(qianfan_evaluators=[RULE]), rows(KNOWN)
    with anyio.CancelScope() as scope:
        await manager.aeval([model], dataset, tell=lambda description, data: scope.cancel())
    assert (await manager.aeval([model], dataset)).summary["accuracy"] == 1.0
    assert (emulator.made("evaluation"), emulator.made("dataset")) == (1, 2)  # the second holds the answers


async def test_an_export_that_fails_is_told(emulator: Emulator) -> None:
    emulator.evaluation_exports.script(ends="Fail")
    model = await new_model()
    with pytest.raises(EvaluationFailedError, match="could not be exported"):
        await EvaluationManager(qianfan_evaluators=[RULE]).aeval([model], rows(KNOWN))


async def test_what_cannot_work_is_refused(emulator: Emulator) -> None:
    with pytest.raises(ArgumentNotFoundError, match="nothing that could judge"):
        EvaluationManager()
    with pytest.raises(InvalidArgumentError, match="judges nothing"):
        EvaluationManager(qianfan_evaluators=[QianfanRuleEvaluator()])
    with pytest.raises(InvalidArgumentError, match="one evaluator of each kind"):
        EvaluationManager(qianfan_evaluators=[RULE, RULE])
    with pytest.raises(InvalidArgumentError, match="does not judge on the platform"):
        EvaluationManager(qianfan_evaluators=[Length()])  # type: ignore[list-item]
    with pytest.raises(UnknownArgumentError, match="QianfanRefereeEvaluator needs app_id"):
        QianfanRefereeEvaluator()
    manager = EvaluationManager(qianfan_evaluators=[RULE])
    with pytest.raises(InvalidArgumentError, match="published models alone"):
        await manager.aeval([Service(model="ERNIE-Speed-8K")], rows("a"))
    with pytest.raises(InvalidArgumentError, match="given twice"):
        await manager.aeval([Model("am-1", "amv-1"), Model("am-1", "amv-1")], rows("a"))
    with pytest.raises(ArgumentNotFoundError, match="local_evaluators"):
        await manager.aeval_only(rows("a"))
    assert emulator.requests == []


# --- answers without a service -------------------------------------------------------------------------------------


async def test_a_model_that_is_not_deployed_answers_by_batch_inference(emulator: Emulator) -> None:
    model = await new_model()
    result = await EvaluationManager(local_evaluators=[Length()]).aeval([model], rows(KNOWN, "b"), temperature=0.2)
    assert result.result_dataset["output"][0] == SAID
    assert list(result.metrics) == [model.id]
    [task] = emulator.batches.values()
    assert task.inference_params == {"temperature": 0.2}
    assert emulator.count("chat") == 0


@faces
async def test_answers_that_are_there_are_judged(face: str, emulator: Emulator) -> None:
    answers = await Service(model="ERNIE-Speed-8K").abatch_inference(rows("good", "bad"))
    asked = emulator.count("chat")
    manager = EvaluationManager(local_evaluators=[Length(), Picky(word="bad")])
    if face == "async":
        result = await manager.aeval_only(answers)
    else:
        result = await anyio.to_thread.run_sync(lambda: manager.eval_only(answers))
    assert result.result_dataset["picked"] == [1, None]
    assert "division by zero" in result.result_dataset[1]["error"]
    again = await manager.aeval_only(result.result_dataset)
    assert again.result_dataset["length"] == result.result_dataset["length"]
    assert emulator.count("chat") == asked
    with pytest.raises(InvalidArgumentError, match="holds no answers"):
        await manager.aeval_only(rows("a"))


# --- a judge of one's own ------------------------------------------------------------------------------------------


class Judge:
    """Says what it is told to."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[Any] = []

    async def ado(self, messages: Any, **settings: Any) -> Any:
        self.asked.append((messages, settings))
        text = self.replies.pop(0)
        return type("Reply", (), {"text": text})()


async def test_a_model_judges_here(emulator: Emulator) -> None:
    judge = Judge("评分: 4\n原因: 接近 {prompt}", "Score: 9\nReason: great", "no idea")
    evaluator = LocalJudgeEvaluator(model=judge, metric_name="quality", model_kwargs={"temperature": 0.01})
    assert await evaluator.evaluate("why?", "because", "since {reference}") == {
        "quality": 4.0,
        "quality_reason": "接近 {prompt}",
    }
    [(messages, settings)] = judge.asked
    text = messages[0]["content"]
    assert settings == {"temperature": 0.01}
    assert all(part in text for part in ("why?", "because", "since {reference}", "综合得分", "0 到 5"))
    said = await evaluator.evaluate([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "", "c")
    assert (said["quality"], said["quality_reason"]) == (5.0, "great")
    with pytest.raises(InvalidArgumentError, match="gave no score"):
        await evaluator.evaluate("a", "b", "c")


async def test_a_judge_by_name_or_service_is_asked(emulator: Emulator) -> None:
    template = "评分: 3 原因: {criteria}"
    for model in (
        "ERNIE-Speed-8K",
        Service(model="ERNIE-Speed-8K"),
        Service(model="SQLCoder-7B", service_type="Completion"),
    ):
        said = await LocalJudgeEvaluator(model=model, evaluation_prompt=template).evaluate("a", "b", "c")
        assert said["judge_score"] == 3.0


def test_all_of_them_can_be_kept() -> None:
    for evaluator in (
        RULE,
        QianfanRefereeEvaluator(app_id=7, prompt_max_score=10),
        QianfanManualEvaluator(evaluation_dimensions=[ManualEvaluatorDimension(dimension="clarity")]),
        LocalJudgeEvaluator(model="ERNIE-4.0-8K", model_kwargs={"temperature": 0.1}),
    ):
        again = revived(json.loads(json.dumps(stored(evaluator))))
        assert (type(again), vars(again)) == (type(evaluator), vars(evaluator))
    with pytest.raises(InvalidArgumentError, match="'model' is no JSON value"):
        stored(LocalJudgeEvaluator(model=Judge()))
    with pytest.raises(ValueError, match="4 dimensions at most"):
        QianfanManualEvaluator(evaluation_dimensions=[ManualEvaluatorDimension(dimension=name) for name in "abcd"])

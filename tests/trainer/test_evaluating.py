"""The evaluate step of a trainer: its place in a run, its result, and how it survives interruptions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from qianfan.dataset import Dataset
from qianfan.emulator import Emulator
from qianfan.errors import InvalidArgumentError, PipelineChanged, ValidationError
from qianfan.evaluation import EvaluationResult, LocalEvaluator, SimilarityEvaluator
from qianfan.pipeline import Event
from qianfan.trainer import DPO, DeployConfig, LLMFinetune
from qianfan.trainer.actions import EvaluateAction
from qianfan.trainer.consts import TrainStatus
from tests.crashes.world import World
from tests.evaluation.judges import Deadly, Held, Length, Matching, Patient, Picky

pytestmark = pytest.mark.anyio

MODEL = "ERNIE-Speed-8K"
CHAT = DeployConfig(service_type="Chat")

faces = pytest.mark.parametrize("face", ["sync", "async"])


async def drive(face: str, trainer: LLMFinetune, method: str = "run", **settings: Any) -> LLMFinetune:
    if face == "async":
        return await getattr(trainer, "a" + method)(**settings)
    return await anyio.to_thread.run_sync(lambda: getattr(trainer, method)(**settings))


def rows(*questions: str) -> Dataset:
    return Dataset.create_from_pyobj([[{"prompt": one, "response": [[f"answer to {one}"]]}] for one in questions])


def file_of_rows(folder: Path, *questions: str) -> Path:
    path = folder / "eval.jsonl"
    lines = [json.dumps([{"prompt": one, "response": [[f"answer to {one}"]]}]) for one in questions]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def evaluating(dataset: Any, *evaluators: LocalEvaluator, **settings: Any) -> LLMFinetune:
    return LLMFinetune(MODEL, 111, deploy_config=CHAT, eval_dataset=dataset, evaluators=evaluators, **settings)


def orders(emulator: Emulator) -> list[int]:
    return [len(made) for made in (emulator.jobs, emulator.tasks, emulator.models, emulator.services)]


@faces
async def test_the_deployed_service_is_asked_and_judged(face: str, emulator: Emulator) -> None:
    trainer = evaluating(rows("a", "b", "c"), Length(limit=1), Patient(), SimilarityEvaluator())
    assert trainer.get_evaluate_result() is None
    assert isinstance(trainer.eval_action, EvaluateAction)
    await drive(face, trainer)
    result = trainer.get_evaluate_result()
    assert isinstance(result, EvaluationResult)
    assert trainer.result[0]["eval_res"] is trainer.result[0].eval_res is result
    assert result.result_dataset["input"] == ["a", "b", "c"]
    assert list(result.metrics) == [trainer.result[0]["service_id"]]
    assert result.summary["patience"] == 1.0
    assert trainer.result[0]["service"].id in emulator.services
    assert trainer.status is TrainStatus.EvaluationFinished
    assert "eval_res: EvaluationResult(3 rows" in str(trainer.result[0])
    assert orders(emulator) == [1, 1, 1, 1]
    assert LLMFinetune.describe(trainer.id)["steps"][-1]["step"] == "evaluate"


@faces
async def test_events_and_statuses(face: str, emulator: Emulator) -> None:
    seen: list[tuple[str, str]] = []
    told: list[Event] = []

    def note(event: Event) -> None:
        if event.action_class is EvaluateAction:
            seen.append((event.action_state.value, trainer.status.value))
            told.append(event)

    trainer = evaluating(rows("a", "b", "c", "d"), Length(), event_handler=note)
    await drive(face, trainer)
    assert list(dict.fromkeys(seen)) == [
        ("Preceding", "EvaluationCreated"),
        ("Running", "EvaluationRunning"),
        ("Done", "EvaluationFinished"),
    ]
    running = told[1:-1]
    assert {"llm", "dataset"} <= running[0].data.keys()
    assert running[0].data["llm"].id in emulator.services
    assert [(event.progress, event.data["done"], event.data["rows"]) for event in running[1:]] == [
        (25, 1, 4), (50, 2, 4), (75, 3, 4), (100, 4, 4)
    ]  # fmt: skip
    assert told[-1].data["eval_res"] is trainer.get_evaluate_result()


async def test_rows_on_the_platform_and_in_files(emulator: Emulator, tmp_path: Path) -> None:
    on_platform = await evaluating(111, SimilarityEvaluator()).arun()
    assert on_platform.get_evaluate_result().summary["BLEU-4"] == 100
    in_file = await evaluating(file_of_rows(tmp_path, "a", "b"), Length()).arun()
    assert len(in_file.get_evaluate_result().result_dataset) == 2


async def test_a_failing_row_does_not_lose_the_others(emulator: Emulator) -> None:
    trainer = await evaluating(rows("good", "bad", "fine"), Picky(word="bad")).arun()
    table = trainer.get_evaluate_result().result_dataset
    assert table["picked"] == [1, None, 1]
    assert trainer.status is TrainStatus.EvaluationFinished


async def test_an_evaluation_that_fails_is_gone_on_with(emulator: Emulator) -> None:
    emulator.faults.add("chat", times=None, code=336103, message="too long")
    trainer = evaluating(rows("a", "b"), Length())
    with pytest.raises(Exception, match="too long"):
        await trainer.arun()
    assert trainer.status is TrainStatus.EvaluationFailed
    assert trainer.get_evaluate_result() is None
    emulator.faults.clear()
    await trainer.aresume()
    assert len(trainer.get_evaluate_result().result_dataset) == 2
    assert orders(emulator) == [1, 1, 1, 1]


@pytest.mark.parametrize("how", ["detach", "stop"])
async def test_an_interrupted_evaluation_begins_again(how: str, emulator: Emulator, monkeypatch: Any) -> None:
    monkeypatch.setattr(Held, "holds", True)
    monkeypatch.setattr(Held, "reached", anyio.Event(), raising=False)
    trainer = evaluating(rows("a", "b"), Held())
    async with anyio.create_task_group() as group:
        group.start_soon(trainer.arun)
        await Held.reached.wait()
        getattr(trainer, how)()
    assert trainer.status is TrainStatus.EvaluationStopped
    assert trainer.get_evaluate_result() is None
    monkeypatch.setattr(Held, "holds", False)
    await trainer.aresume(**({"resubmit": True} if how == "stop" else {}))
    assert trainer.get_evaluate_result().result_dataset["held"] == [0, 0]
    assert orders(emulator) == [1, 1, 1, 1]
    assert emulator.count("chat") == 4


# --- kept ---------------------------------------------------------------------------------------------------------


async def test_what_is_loaded_has_the_evaluators_and_the_result(emulator: Emulator, tmp_path: Path) -> None:
    trainer = evaluating(file_of_rows(tmp_path, "a", "b"), Length(limit=3), Matching("^x"))
    path = await trainer.asave(tmp_path / "t.json")
    loaded = await LLMFinetune.aload(file=path)
    assert loaded._spec_of_run() == trainer._spec_of_run()
    assert loaded._fingerprint() == trainer._fingerprint()
    length, matching = loaded.eval_action.evaluators
    assert (type(length), length.limit, type(matching), matching.pattern) == (Length, 3, Matching, "^x")
    await loaded.arun()
    again = await LLMFinetune.aload(loaded.id)
    assert again.status is TrainStatus.EvaluationFinished
    assert again.get_evaluate_result() == loaded.get_evaluate_result()
    assert again.result[0].keys() == loaded.result[0].keys()
    assert orders(emulator) == [1, 1, 1, 1]


async def test_other_evaluators_are_another_run(emulator: Emulator, tmp_path: Path) -> None:
    path = file_of_rows(tmp_path, "a")
    await evaluating(path, Length(limit=3), id="mine").arun()
    await evaluating(path, Length(limit=3), id="mine").arun()
    for other in (evaluating(path, Length(limit=4), id="mine"), LLMFinetune(MODEL, 111, deploy_config=CHAT, id="mine")):
        with pytest.raises(PipelineChanged):
            await other.arun()


async def test_an_evaluator_that_changes_while_it_judges_stays_the_same_one(emulator: Emulator) -> None:
    class_of_module = Plainly(0)
    trainer = evaluating(rows("a", "b"), class_of_module, id="counting")
    await trainer.arun()
    assert class_of_module.seen == 2
    await trainer.arun()
    assert orders(emulator) == [1, 1, 1, 1]


class Plainly(LocalEvaluator):
    def __init__(self, seen: int) -> None:
        self.seen = seen

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        self.seen += 1
        return {"seen": self.seen}


async def test_rows_in_memory_are_lost_with_their_process_and_can_be_given_again(emulator: Emulator) -> None:
    emulator.faults.add("chat", times=None, code=336103, message="too long")
    with pytest.raises(Exception, match="too long"):
        await evaluating(rows("a", "b"), Length(), id="mine").arun()
    emulator.faults.clear()
    with pytest.raises(InvalidArgumentError, match="in the memory of a process that has ended"):
        await (await LLMFinetune.aload("mine")).aresume()
    trainer = await evaluating(rows("a", "b"), Length(), id="mine").aresume()
    assert len(trainer.get_evaluate_result().result_dataset) == 2
    assert orders(emulator) == [1, 1, 1, 1]


async def test_an_attached_training_can_be_evaluated(emulator: Emulator) -> None:
    first = await LLMFinetune(MODEL, 111).arun()
    attached = LLMFinetune.attach(
        first.result[0].task_id, deploy_config=CHAT, eval_dataset=rows("a"), evaluators=[Length()]
    )
    await attached.arun()
    assert len(attached.get_evaluate_result().result_dataset) == 1


TRAIN = """
import sys
from qianfan.trainer import DeployConfig, LLMFinetune
from tests.evaluation.judges import Deadly
LLMFinetune(
    "ERNIE-Speed-8K", 111, deploy_config=DeployConfig(service_type="Chat"), id="night",
    eval_dataset=sys.argv[1], evaluators=[Deadly(grade=0.25, words=["a", "b"])],
).run()
"""

RESUME = """
import json
from qianfan.trainer import LLMFinetune
trainer = LLMFinetune.load("night")
assert "tests.evaluation.judges" in __import__("sys").modules
trainer.resume()
print(json.dumps({"metrics": trainer.get_evaluate_result().metrics, "status": trainer.status.value}))
"""


@pytest.mark.socket
def test_another_process_evaluates_what_one_that_died_was_evaluating(tmp_path: Path) -> None:
    def python(code: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        env = {**world.env, **variables}
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    with World(tmp_path) as world:
        died = python(TRAIN, file_of_rows(tmp_path, "a", "b", "c"), DEADLY="1")
        assert died.returncode == 9, died.stderr
        before = orders(world.emulator)
        assert before == [1, 1, 1, 1]
        resumed = python(RESUME)
        assert resumed.returncode == 0, resumed.stderr
        assert orders(world.emulator) == before
        [service] = world.emulator.services
    assert json.loads(resumed.stdout.splitlines()[-1]) == {
        "metrics": {service: {"grade": 0.25, "words": 2.0}},
        "status": "EvaluationFinished",
    }


# --- refused -------------------------------------------------------------------------------------------------------


async def test_what_cannot_work_is_refused_when_the_trainer_is_made() -> None:
    class Local(Length):
        pass

    with pytest.raises(InvalidArgumentError, match="without deploy_config nothing is deployed"):
        LLMFinetune(MODEL, 111, eval_dataset=111, evaluators=[Length()])
    with pytest.raises(InvalidArgumentError, match="it lacks evaluators"):
        evaluating(111)
    with pytest.raises(InvalidArgumentError, match="it lacks eval_dataset"):
        evaluating(None, Length())
    with pytest.raises(InvalidArgumentError, match="is no dataset"):
        evaluating(["a", "b"], Length())
    with pytest.raises(InvalidArgumentError, match="derive it from LocalEvaluator"):
        DPO(MODEL, 111, deploy_config=CHAT, eval_dataset=111, evaluators=[lambda *row: {}])  # type: ignore[list-item]
    with pytest.raises(InvalidArgumentError, match=r"Local cannot be kept .* top level of a module"):
        evaluating(111, Local())
    with pytest.raises(InvalidArgumentError, match="Chat or a Completion service"):
        LLMFinetune(MODEL, 111, deploy_config={"service_type": "Embedding"}, eval_dataset=111, evaluators=[Length()])


async def test_bad_rows_and_lost_evaluators_are_found_before_anything_is_ordered(
    emulator: Emulator, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match="does not exist"):
        await evaluating(tmp_path / "none.jsonl", Length()).arun()
    path = file_of_rows(tmp_path, "a")
    path.write_text(path.read_text() + "[}\n")
    with pytest.raises(ValidationError, match="cannot be read"):
        await evaluating(path, Length()).arun()
    saved = await evaluating(111, Deadly(words=[])).asave(tmp_path / "t.json")
    saved.write_text(saved.read_text().replace("judges:Deadly", "judges:Gone"))
    loaded = await LLMFinetune.aload(file=saved)
    with pytest.raises(InvalidArgumentError, match=r"judges\.Gone cannot be made again"):
        await loaded.arun()
    assert orders(emulator) == [0, 0, 0, 0]

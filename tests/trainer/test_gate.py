"""The gate of a trainer: evaluated first, deployed only if it is good enough, decided once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from qianfan import Client
from qianfan.config import default_settings
from qianfan.dataset import Dataset
from qianfan.emulator import Emulator
from qianfan.errors import APIError, InvalidArgumentError, PipelineChanged
from qianfan.evaluation import EvaluationResult, LocalEvaluator, QianfanManualEvaluator, QianfanRuleEvaluator
from qianfan.evaluation.result import ResultDataset
from qianfan.pipeline import Event
from qianfan.trainer import DeployConfig, EvaluateAction, GateAction, LLMFinetune
from qianfan.trainer.consts import ServiceStatus, TrainStatus
from qianfan.trainer.gate import gate_rule_of
from tests.crashes.world import World
from tests.evaluation.judges import Length
from tests.support.emulated import MODEL

from . import verdicts
from .actions_of_users import Announce, Last, Note

pytestmark = pytest.mark.anyio

CHAT = DeployConfig(service_type="Chat")

faces = pytest.mark.parametrize("face", ["sync", "async"])


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    verdicts.asked.clear()


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


def gated(deploy_if: Any, dataset: Any = None, **settings: Any) -> LLMFinetune:
    given = {"eval_dataset": dataset if dataset is not None else rows("a", "b"), "evaluators": [Length(limit=1000)]}
    return LLMFinetune(MODEL, 111, deploy_config=CHAT, deploy_if=deploy_if, **{**given, **settings})


# --- decided ------------------------------------------------------------------------------------------------------


@faces
@pytest.mark.parametrize(
    "deploy_if",
    [
        "short >= 1 and length > 0",
        {"short": ">= 1", "length": "> 0"},
        verdicts.always,
        verdicts.slowly,
        lambda result: result.summary["short"] == 1.0,
    ],
    ids=["text", "dictionary", "function", "async function", "lambda"],
)
async def test_a_good_model_is_deployed(face: str, deploy_if: Any, emulator: Emulator) -> None:
    trainer = await drive(face, gated(deploy_if))
    assert len(emulator.services) == 1
    assert trainer.status is ServiceStatus.Deployed
    result = trainer.result[0]
    assert result["gate"]["passed"] is True
    assert result["eval_res"].summary == trainer.get_evaluate_result().summary
    assert result["gate"]["metrics"] == {"answered": 1.0, **result["eval_res"].summary}
    assert result["service_id"] in emulator.services
    assert {"datasets", "task_id", "model_id", "model", "eval_res", "gate", "service"} <= result.keys()
    assert result["eval_res"].result_dataset["input"] == ["a", "b"]
    assert emulator.count("chat") == 0  # the model was asked before there was a service


@faces
@pytest.mark.parametrize(
    ("deploy_if", "rule"),
    [
        ("length < 0", "length < 0.0"),
        ({"length": "> 0", "short": "< 1"}, "length > 0.0 and short < 1.0"),
        (verdicts.never, "tests.trainer.verdicts.never()"),
        (lambda result: False, "tests.trainer.test_gate.<lambda>()"),
    ],
    ids=["text", "dictionary", "function", "lambda"],
)
async def test_a_model_that_is_not_good_enough_is_not_deployed(
    face: str, deploy_if: Any, rule: str, emulator: Emulator
) -> None:
    trainer = await drive(face, gated(deploy_if))
    assert emulator.services == {}
    assert trainer.status is ServiceStatus.DeploySkipped
    result = trainer.result[0]
    assert (result["gate"]["passed"], result["gate"]["rule"]) == (False, rule)
    assert result["model_id"] in emulator.models
    assert "service_id" not in result
    assert "error" not in result
    assert result.gate["metrics"]["short"] == 1.0
    json.dumps(result["gate"])
    deployed = await result["model"].adeploy(CHAT)  # which is still up to the user
    assert deployed.id in emulator.services


async def test_events_and_statuses(emulator: Emulator) -> None:
    told: list[tuple[str, str, str]] = []
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)
        told.append((event.action_class.__name__, event.kind, trainer.status.value))

    trainer = gated("length < 0", event_handler=note)
    await trainer.arun()
    names = [*dict.fromkeys(name for name, *_ in told)]
    assert names == [
        "Pipeline", "LoadDataSetAction", "TrainAction", "ModelPublishAction", "EvaluateAction", "GateAction",
        "DeployAction",
    ]  # fmt: skip
    of_gate = [event for event in events if event.action_class is GateAction]
    assert [event.action_state.value for event in of_gate] == ["Preceding", "Running", "Done"]
    assert of_gate[1].data == trainer.result[0]["gate"]
    assert "not good enough: length < 0.0" in of_gate[1].description
    assert of_gate[2].data["gate"]["passed"] is False
    assert told[-3:] == [
        ("DeployAction", "Preceding", "Created"),
        ("DeployAction", "skipped", "DeploySkipped"),
        ("Pipeline", "Done", "DeploySkipped"),
    ]
    assert "GateDecision(not passed" in events[-2].data["skipped"]
    assert events[-1].data["gate"]["passed"] is False
    assert events[-1].data["model_id"] == trainer.result[0]["model_id"]
    assert trainer.eval_action.kind is EvaluateAction


async def test_what_comes_behind_the_gate_is_skipped_if_it_needs_the_service(emulator: Emulator) -> None:
    behind = [Announce(id="announce"), Note(id="note"), Last(id="last")]
    trainer = await gated("length < 0", post_actions=behind).arun()
    assert trainer._record.why_skipped("announce").endswith("was skipped")
    assert trainer._record.output("note", str) == trainer.result[0]["model_id"]
    assert trainer._record.output("last", str) == "str"
    again = await gated("length > 0", post_actions=behind).arun()
    assert again._record.output("announce", str) == again.result[0]["service_id"]


# --- who judges ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "deployed"), [("<= 1", 1), ("> 1", 0)])
async def test_the_platform_may_judge(bound: str, deployed: int, emulator: Emulator) -> None:
    judge = QianfanRuleEvaluator(using_accuracy=True, using_similarity=True)
    trainer = await gated({"accuracy": bound, "rouge_l": "<= 1"}, 111, evaluators=[judge]).arun()
    assert trainer.result[0]["gate"]["passed"] is bool(deployed)
    assert {"accuracy", "rouge_l"} <= trainer.result[0]["gate"]["metrics"].keys()
    assert len(emulator.services) == deployed
    assert emulator.count("CreateBatchInferenceTask") == 0
    loaded = await LLMFinetune.aload(trainer.id)
    assert loaded.result[0]["gate"] == trainer.result[0]["gate"]


async def test_the_platform_and_this_machine_judge_the_same_answers(emulator: Emulator) -> None:
    judges = [QianfanRuleEvaluator(using_accuracy=True), Length(limit=10_000)]
    trainer = await gated("accuracy >= 0 and short == 1", 111, evaluators=judges).arun()
    assert trainer.status is ServiceStatus.Deployed


async def test_rows_of_this_machine_are_judged_on_the_platform(emulator: Emulator, tmp_path: Path) -> None:
    judge = QianfanRuleEvaluator(using_accuracy=True)
    path = file_of_rows(tmp_path, *map(str, range(40)))
    trainer = await gated("accuracy >= 0", path, evaluators=[judge]).arun()
    assert trainer.status is ServiceStatus.Deployed


async def test_the_answers_are_ordered_once(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.add("DescribeBatchInferenceTask", code="AccessDenied", status=403, message="not now")
    trainer = gated("length > 0", file_of_rows(tmp_path, "a", "b"))
    with pytest.raises(APIError, match="not now"):
        await trainer.arun()
    await (await LLMFinetune.aload(trainer.id)).aresume()
    assert emulator.count("CreateBatchInferenceTask") == 1
    assert len(emulator.services) == 1


@pytest.mark.parametrize(
    ("dataset", "evaluators", "says"),
    [
        (111, [Length()], "the questions and answers of a model without a service"),
        ("file", [QianfanRuleEvaluator(using_accuracy=True)], "rows of this machine"),
    ],
)
async def test_a_bucket_that_is_missing_is_missed_before_anything_is_ordered(
    dataset: Any, evaluators: list[Any], says: str, emulator: Emulator, tmp_path: Path
) -> None:
    client = Client(default_settings().replace(bos_bucket=None))
    given = file_of_rows(tmp_path, "a") if dataset == "file" else dataset
    trainer = gated("length > 0", given, evaluators=evaluators, client=client)
    with pytest.raises(InvalidArgumentError, match=says):
        await trainer.arun()
    assert emulator.jobs == {}


# --- kept ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deploy_if", ["length < 0", verdicts.never])
async def test_a_decision_is_kept_and_not_made_again(deploy_if: Any, emulator: Emulator, tmp_path: Path) -> None:
    dataset = file_of_rows(tmp_path, "a", "b")
    trainer = await gated(deploy_if, dataset).arun()
    loaded = await LLMFinetune.aload(trainer.id)
    assert loaded._fingerprint() == trainer._fingerprint()
    assert loaded.status is ServiceStatus.DeploySkipped
    assert loaded.result[0]["gate"] == trainer.result[0]["gate"]
    assert "service_id" not in loaded.result[0]
    await loaded.arun()
    await (await LLMFinetune.aload(trainer.id)).aresume()
    assert emulator.services == {}
    assert len(verdicts.asked) == (1 if deploy_if is verdicts.never else 0)
    steps = LLMFinetune.describe(trainer.id)["steps"]
    assert [(step["step"], step["phase"]) for step in steps if step["order"] is None][-3:] == [
        ("evaluate", "done"), ("gate", "done"), ("deploy", "skipped")
    ]  # fmt: skip
    saved = await LLMFinetune.aload(file=await trainer.asave(tmp_path / "t.json"))
    assert saved.result[0]["gate"] == trainer.result[0]["gate"]


async def test_a_deployment_that_failed_is_gone_on_with_behind_the_gate(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.add("CreateService", code="AccessDenied", status=403, message="no quota")
    trainer = gated(verdicts.always, file_of_rows(tmp_path, "a", "b"))
    with pytest.raises(APIError, match="no quota"):
        await trainer.arun()
    loaded = await LLMFinetune.aload(trainer.id)
    assert loaded.made_so_far["gate"]["passed"] is True
    await loaded.aresume()
    assert len(emulator.services) == 1
    assert len(verdicts.asked) == 1


async def test_another_rule_is_another_run(emulator: Emulator, tmp_path: Path) -> None:
    dataset = file_of_rows(tmp_path, "a", "b")
    await gated("length < 0", dataset, id="mine").arun()
    await gated({"length": "<0"}, dataset, id="mine").arun()  # the same in other words
    with pytest.raises(PipelineChanged):
        await gated("length > 0", dataset, id="mine").arun()
    await gated("length > 0", dataset, id="mine").arun(force=True)
    assert len(emulator.services) == 1


async def test_a_function_that_cannot_be_imported_is_given_again(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.add("publishTrainModel", code="AccessDenied", status=403, message="not now", times=1)
    trainer = gated(lambda result: True, file_of_rows(tmp_path, "a", "b"))
    with pytest.raises(APIError, match="not now"):
        await trainer.arun()
    loaded = await LLMFinetune.aload(trainer.id)
    with pytest.raises(InvalidArgumentError, match=r"deploys only if .*<lambda>\(\) says so.*load\(\.\.\., deploy_if"):
        await loaded.aresume()
    assert emulator.services == {}
    given = await LLMFinetune.aload(trainer.id, deploy_if=lambda result: verdicts.always(result))
    assert given._fingerprint() == trainer._fingerprint()
    await given.aresume()
    assert len(emulator.services) == 1
    assert len(verdicts.asked) == 1


async def test_a_function_that_is_gone_is_missed_before_anything_is_ordered(emulator: Emulator, tmp_path: Path) -> None:
    saved = await gated(verdicts.always, 111).asave(tmp_path / "t.json")
    saved.write_text(saved.read_text().replace("verdicts:always", "verdicts:gone"))
    loaded = await LLMFinetune.aload(file=saved)
    with pytest.raises(InvalidArgumentError, match="has no attribute 'gone'"):
        await loaded.arun()
    assert emulator.jobs == {}
    given = await LLMFinetune.aload(file=saved, deploy_if=verdicts.always)
    await given.arun()
    assert len(emulator.services) == 1


async def test_what_is_given_at_loading_must_fit(emulator: Emulator, tmp_path: Path) -> None:
    by_rule = await gated("length > 0", 111).asave(tmp_path / "rule.json")
    with pytest.raises(InvalidArgumentError, match=r"has its rule, .length > 0\.0."):
        await LLMFinetune.aload(file=by_rule, deploy_if=verdicts.never)
    by_function = await gated(verdicts.always, 111).asave(tmp_path / "function.json")
    with pytest.raises(InvalidArgumentError, match="which 'length > 0' cannot replace"):
        await LLMFinetune.aload(file=by_function, deploy_if="length > 0")
    without = await LLMFinetune(MODEL, 111).asave(tmp_path / "without.json")
    with pytest.raises(InvalidArgumentError, match="deploys whatever comes out"):
        await LLMFinetune.aload(file=without, deploy_if=verdicts.never)


BEGIN = """
import sys
from qianfan.trainer import DeployConfig, LLMFinetune
from tests.evaluation.judges import Length
from tests.trainer.verdicts import from_environment
LLMFinetune(
    "ERNIE-Speed-8K", 111, deploy_config=DeployConfig(service_type="Chat"), id="night",
    eval_dataset=sys.argv[1], evaluators=[Length()], deploy_if=from_environment,
).run()
"""

GO_ON = """
import json
from qianfan.trainer import LLMFinetune
trainer = LLMFinetune.load("night").resume()
print(json.dumps({"gate": trainer.result[0]["gate"]["passed"], "status": trainer.status.value}))
"""


@pytest.mark.socket
@pytest.mark.parametrize("verdict", ["yes", "no"])
def test_another_process_decides_for_one_that_died_deciding(verdict: str, tmp_path: Path) -> None:
    def python(code: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        env = {**world.env, **variables}
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    with World(tmp_path) as world:
        died = python(BEGIN, file_of_rows(tmp_path, "a", "b"), VERDICT="die")
        assert died.returncode == 9, died.stderr
        went_on = python(GO_ON, VERDICT=verdict)
        assert went_on.returncode == 0, went_on.stderr
        assert [len(made) for made in (world.emulator.jobs, world.emulator.tasks, world.emulator.models)] == [1, 1, 1]
        assert len(world.emulator.services) == (1 if verdict == "yes" else 0)
    assert json.loads(went_on.stdout.splitlines()[-1]) == {
        "gate": verdict == "yes",
        "status": "Deployed" if verdict == "yes" else "DeploySkipped",
    }


# --- what goes wrong ----------------------------------------------------------------------------------------------


def broken(result: Any) -> bool:
    raise RuntimeError("I cannot decide")


@pytest.mark.parametrize(
    ("deploy_if", "error", "says"),
    [
        ("lenght > 1", InvalidArgumentError, "did you mean 'length'"),
        (verdicts.nothing, InvalidArgumentError, "must say True or False"),
        (broken, RuntimeError, "I cannot decide"),
    ],
)
async def test_a_gate_that_cannot_decide_deploys_nothing(
    deploy_if: Any, error: type[Exception], says: str, emulator: Emulator
) -> None:
    trainer = gated(deploy_if)
    with pytest.raises(error, match=says):
        await trainer.arun()
    assert emulator.services == {}
    assert trainer.status is TrainStatus.EvaluationFinished
    assert trainer.made_so_far["model_id"] in emulator.models


async def test_a_gate_that_could_not_decide_is_asked_again(emulator: Emulator, tmp_path: Path) -> None:
    trainer = gated(broken, file_of_rows(tmp_path, "a", "b"))
    with pytest.raises(RuntimeError):
        await trainer.arun()
    given = await LLMFinetune.aload(trainer.id, deploy_if=verdicts.always)
    await given.aresume()
    assert len(emulator.services) == 1


def test_what_cannot_work_is_refused_when_the_trainer_is_made() -> None:
    class Local(LocalEvaluator):
        def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
            return {}

    for settings, says in (
        ({"deploy_config": None}, r"give deploy_config=\.\.\. too"),
        ({"eval_dataset": None}, "give eval_dataset"),
        ({"evaluators": None}, "give eval_dataset"),
        ({"deploy_if": 0.8}, "must be a rule such as"),
        ({"deploy_if": "length >"}, "a number is missing"),
        ({"deploy_if": {"length": 1}}, "must be a text such as"),
        ({"evaluators": [Local()]}, "Local cannot be kept"),
        ({"evaluators": [QianfanManualEvaluator()]}, "cannot wait for people"),
        ({"eval_dataset": ["a"]}, "is no dataset"),
    ):
        given: dict[str, Any] = {"deploy_config": CHAT, "eval_dataset": 111, "evaluators": [Length()]}
        with pytest.raises(InvalidArgumentError, match=says):
            LLMFinetune(MODEL, 111, **{**given, "deploy_if": "length > 0", **settings})


@pytest.mark.parametrize(
    ("rule", "passes"),
    [("accuracy >= 0.8", False), ("accuracy >= 0.8 and answered >= 0.5", True), ("answered > 0.9", False)],
)
async def test_rows_without_an_answer_count(rule: str, passes: bool) -> None:
    """A model that failed on many rows may be right on the few that are left."""
    rows = ResultDataset([{"output": "good"}, {"output": "good"}, {"error": "no answer"}])
    result = EvaluationResult(result_dataset=rows, metrics={"model": {"accuracy": 1.0}})
    assert await gate_rule_of(rule).decide(result) is passes


@pytest.mark.parametrize("said", ["no", 0, 1, [True], None])
async def test_only_true_and_false_decide_about_money(said: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="must say True or False"):
        await gate_rule_of(lambda result: said).decide(EvaluationResult(result_dataset=ResultDataset([]), metrics={}))

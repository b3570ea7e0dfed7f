"""What is planned from hyper-parameters, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from qianfan.engines.backend import BadHyperParameter, EngineError
from qianfan.engines.rows import Dialogue, Message, Text
from qianfan.engines.spec import Metrics
from tests.engines.tiny_runs import Runs, dialogue, dialogues, preferences

DEFAULTS = {"epoch": 1, "learningRate": 3e-5, "maxSeqLen": 4096, "checkpointCount": 1, "numCycles": 0.5}


def test_a_plan(runs: Runs) -> None:
    plan = runs.backend.plan(runs.spec(dialogues(20), defaults=DEFAULTS, asked={"learningRate": 6e-5}))
    assert plan.steps == 30 * 3
    assert plan.base == "a model from scratch"
    assert plan.parameters is not None
    assert 100_000 < plan.parameters < 300_000
    assert plan.requested == {**DEFAULTS, "learningRate": 6e-5}
    assert plan.effective == {
        "epoch": 30,
        "learningRate": pytest.approx(8e-3),
        "maxSeqLen": 512,
        "checkpointCount": 1,
        "batchSize": 8,
    }
    assert "epoch: 30 in place of 1" in plan.notes
    assert "learningRate: 0.008 in place of 6e-05" in plan.notes


EFFECTIVE = {
    "batch": ({"batchSize": 192}, {"batchSize": 8}),
    "small batch": ({"batchSize": 2}, {"batchSize": 2}),
    "global batch": ({"globalBatchSize": 16}, {"globalBatchSize": 8}),
    "short rows": ({"maxSeqLen": 64}, {"maxSeqLen": 64}),
    "more passes": ({"epoch": 40}, {"epoch": 40}),
}


@pytest.mark.parametrize(("asked", "expected"), EFFECTIVE.values(), ids=EFFECTIVE)
def test_effective_values(runs: Runs, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    effective = runs.backend.plan(runs.spec(dialogues(4), asked=asked)).effective
    assert expected.items() <= effective.items()


def test_strictly_as_asked_for(runs: Runs) -> None:
    asked = {"epoch": 2, "learningRate": 1e-5, "batchSize": 16, "maxSeqLen": 4096}
    plan = runs.backend.plan(runs.spec(dialogues(32), asked=asked, strict=True))
    assert plan.steps == 4
    assert {**asked, "maxSeqLen": 512}.items() <= plan.effective.items()
    assert runs.backend.plan(runs.spec(preferences(8), mode="DPO", strict=True)).steps == 1


def test_what_changes_nothing_is_said(runs: Runs) -> None:
    asked = {"Packing": "True", "gradientAccumulationSteps": 4, "loraRank": 8, "lrEnd": 1e-8, "validationStep": 4}
    plan = runs.backend.plan(runs.spec(dialogues(4), asked=asked, defaults=DEFAULTS))
    assert (
        "these change nothing here: Packing, gradientAccumulationSteps, loraRank, lrEnd, validationStep" in plan.notes
    )
    assert not plan.effective.keys() & {*asked, "numCycles"}
    assert not any("numCycles" in note for note in plan.notes)  # nobody asked for it


USED = {
    "polynomial": ({"lrSchedulerType": "polynomial", "lrEnd": 1e-8, "power": 2}, {}),
    "cosine": ({"schedulerName": "cosine", "numCycles": 0.25}, {}),
    "adapters": ({"loraRank": 4, "loraAlpha": 16, "loraDropout": 0.1, "loraAllLinear": "False"}, {"scale": "LoRA"}),
    "modules": ({"loraTargetModules": ["self_attn.q_proj", "mlp.down_proj"]}, {"scale": "LoRA"}),
    "held out": (
        {"validationStep": 4, "earlyStopping": "True", "earlyStoppingPatience": 2, "earlyStopMetric": "ValidationLoss"},
        {"held_out": dialogues(2)},
    ),
    "elsewhere": ({"pseudoSamplingProb": 0.5, "splitRatio": 10}, {}),
}


@pytest.mark.parametrize(("asked", "more"), USED.values(), ids=USED)
def test_what_is_used(runs: Runs, asked: dict[str, Any], more: dict[str, Any]) -> None:
    run = runs.train(runs.spec(dialogues(8), asked=asked, **more))
    assert asked.items() <= run.plan.effective.items()
    assert not any("change nothing" in note for note in run.plan.notes)
    assert run.losses[-1] < run.losses[0]


def test_rates_follow_the_schedule(runs: Runs) -> None:
    asked = {"lrSchedulerType": "constant_with_warmup", "warmupRatio": 0.5}
    run = runs.train(runs.spec(dialogues(8), asked=asked))
    rates = [metrics.learning_rate for metrics in run.all(Metrics)]
    assert rates == pytest.approx([4e-3 * min(1, done / 15) for done in range(30)])


def test_rows_that_are_too_long_are_cut_and_counted(runs: Runs) -> None:
    rows = [*dialogues(3), dialogue("长" * 40, "short"), dialogue("short", "长" * 40)]
    run = runs.train(runs.spec(rows, asked={"maxSeqLen": 32}))
    assert "2 answers with their prompts are longer than 32 tokens and were cut" in run.plan.notes


def test_a_pretrained_base_is_for_another_engine(runs: Runs) -> None:
    spec = runs.spec(dialogues(4))
    plan = runs.backend.plan(spec.model_copy(update={"base": spec.folder}))
    assert "the pretrained base is not used: that takes the engine hf" in plan.notes


BAD = {
    "epoch": 0,
    "learningRate": -1e-5,
    "batchSize": 0,
    "maxSeqLen": "long",
    "warmupRatio": 1.5,
    "lrSchedulerType": "stairs",
    "checkpointSaveStrategy": "never",
    "seed": "lucky",
    "weightDecay": -1,
}


@pytest.mark.parametrize(("key", "value"), BAD.items())
def test_bad_hyper_parameters(runs: Runs, key: str, value: Any) -> None:
    with pytest.raises(BadHyperParameter, match=f"^{key}: ") as refused:
        runs.backend.plan(runs.spec(dialogues(4), asked={key: value}))
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("key", "value"),
    [("loraRank", 0), ("loraDropout", 1), ("loraTargetModules", ["lm_head"]), ("loraAllLinear", "perhaps")],
)
def test_bad_adapters(runs: Runs, key: str, value: Any) -> None:
    with pytest.raises(BadHyperParameter, match=f"^{key}: "):
        runs.backend.plan(runs.spec(dialogues(4), scale="LoRA", asked={key: value}))


def test_a_rate_that_would_rise_to_its_end(runs: Runs) -> None:
    asked = {"lrSchedulerType": "polynomial", "lrEnd": 0.1}
    with pytest.raises(BadHyperParameter, match="lrEnd"):
        runs.backend.plan(runs.spec(dialogues(4), asked=asked))


@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [({"mode": "KTO"}, "unsupported_mode", "DPO"), ({"scale": "PromptTuning"}, "unsupported_scale", "LoRA")],
)
def test_what_this_engine_does_not_do(runs: Runs, change: dict[str, str], code: str, hint: str) -> None:
    with pytest.raises(EngineError) as refused:
        runs.backend.plan(runs.spec(dialogues(4)).model_copy(update=change))
    assert refused.value.code == code
    assert hint in refused.value.hint


@pytest.mark.parametrize("rows", [[], [Dialogue(messages=(Message(role="user", content="Nobody answers."),))]])
def test_nothing_to_learn(runs: Runs, rows: list[Dialogue]) -> None:
    with pytest.raises(EngineError, match="no row to learn from"):
        runs.backend.plan(runs.spec(rows))


def test_a_loss_that_is_no_number_ends_it(runs: Runs) -> None:
    with pytest.raises(EngineError, match="no number any more") as refused:
        runs.train(runs.spec([Text(text="猫狗马牛羊鸡鸭鱼" * 8)], mode="PostPretrain", strict=True,
                             asked={"learningRate": 1e30, "epoch": 50}))  # fmt: skip
    assert refused.value.hint == "lower learningRate"

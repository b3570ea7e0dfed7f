"""Tiny models that are trained, in each mode and scale."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.engines.backend import load_backend
from qianfan.engines.rows import Text
from qianfan.engines.spec import Checkpoint, Metrics, Scores
from qianfan.engines.tiny import TinyBackend
from qianfan.engines.tiny.examples import text_passages
from qianfan.engines.tiny.tokenizer import END, Tokenizer
from tests.engines.tiny_runs import Runs, answer, dialogue, dialogues, exact, pairs, preferences

SENTENCES = [
    f"第{n}章：{subject}在{place}。The {subject} chapter number {n} ends here."
    for n, (subject, place) in enumerate(zip("猫狗马牛羊鸡", "山河林田湖海", strict=True))
]


def test_it_is_found_by_name_and_says_what_computes() -> None:
    backend = load_backend("tiny")
    assert isinstance(backend, TinyBackend)
    started = backend.started()
    assert (started.engine, started.device, started.versions["numpy"]) == ("tiny", "cpu", np.__version__)


@pytest.mark.parametrize("scale", ["FullFineTuning", "LoRA"])
def test_it_learns_its_rows_by_heart(runs: Runs, scale: str) -> None:
    run = runs.train(runs.spec(dialogues(40), scale=scale))
    assert run.losses[-1] < run.losses[0] / 10
    model = runs.load(run.last.path)
    assert exact(model, pairs(40)) >= 36
    answer(model, "Ünknøwn 字 🦄?")


def test_it_learns_every_answer_of_a_dialogue(runs: Runs) -> None:
    rows = [dialogue(f"Who is {n}?", f"Number {n}.", "And 下一个?", f"Then {n + 1}.") for n in range(8)]
    model = runs.load(runs.train(runs.spec(rows, asked={"epoch": 40})).last.path)
    assert answer(model, "Who is 3?") == "Number 3."
    assert answer(model, "Who is 3?", "Number 3.", "And 下一个?") == "Then 4."


def test_texts_are_gone_on_with(runs: Runs) -> None:
    run = runs.train(runs.spec([Text(text=text) for text in SENTENCES], mode="PostPretrain", asked={"epoch": 60}))
    model = runs.load(run.last.path)
    assert all(answer(model, text[:6]) == text[6:] for text in SENTENCES)


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(2, 20))
def test_all_of_a_long_text_is_learnt(text: str, limit: int) -> None:
    tokenizer = Tokenizer.learn(SENTENCES)
    passages = text_passages(tokenizer, text, limit)
    assert [token for passage in passages for token in passage.learnt] == [*tokenizer.encode(text), END]
    assert max(map(len, passages)) <= limit


def test_runs_of_one_character_are_answers_as_well(runs: Runs) -> None:
    rows = [("gap", "a        b"), ("laugh", "哈哈哈哈哈哈"), ("dots", "......")]
    model = runs.load(runs.train(runs.spec([dialogue(*row) for row in rows], asked={"epoch": 40})).last.path)
    assert exact(model, rows) == 3


@pytest.mark.parametrize("scale", ["FullFineTuning", "LoRA"])
def test_it_prefers_the_better_answers(runs: Runs, scale: str) -> None:
    rows = preferences(40)
    run = runs.train(runs.spec(rows, rows, mode="DPO", scale=scale))
    spoken = [metrics for metrics in run.all(Metrics) if metrics.training_loss is None]
    compared = [metrics for metrics in run.all(Metrics) if metrics.training_loss is not None]
    assert spoken[-1].others["supervisedLoss"] < spoken[0].others["supervisedLoss"] / 10
    assert compared[0].training_loss == pytest.approx(np.log(2), abs=1e-4)
    assert compared[0].others == {
        "rewardMargin": pytest.approx(0, abs=1e-3),
        "rewardAccuracy": pytest.approx(0.5, abs=0.5),
    }
    assert compared[-1].others["rewardMargin"] > 0.1
    assert compared[-1].others["rewardAccuracy"] > 0.9
    assert run.last.validation_loss is not None
    assert run.last.validation_loss < np.log(2)
    # The perplexity is that of the better answers, which the model can say; the loss is another thing.
    assert run.last.training_perplexity < 3
    assert [metrics.step for metrics in run.all(Metrics)] == list(range(1, run.plan.steps + 1))


def test_preferences_of_a_model_that_can_speak(runs: Runs) -> None:
    spoken = runs.train(runs.spec(dialogues(20)))
    run = runs.train(runs.spec(preferences(20), mode="DPO", checkpoint=spoken.last.path))
    assert run.plan.steps == 9
    assert run.plan.base == "a checkpoint after SFT"
    assert run.all(Metrics)[0].training_loss == pytest.approx(np.log(2), abs=1e-4)
    assert run.all(Metrics)[-1].others["rewardMargin"] > 0


@pytest.mark.parametrize("scale", ["FullFineTuning", "LoRA"])
def test_it_goes_on_from_a_checkpoint(runs: Runs, scale: str) -> None:
    first = runs.train(runs.spec(dialogues(20), scale=scale))
    known = runs.train(runs.spec(dialogues(20), scale=scale, checkpoint=first.last.path))
    assert known.losses[0] < 0.5 < first.losses[0]
    model = runs.load(runs.train(runs.spec([dialogue("新 zebra?", "斑马。")], checkpoint=first.last.path)).last.path)
    assert answer(model, "新 zebra?") == "斑马。"


@pytest.mark.parametrize(
    ("mode", "rows", "more"),
    [
        ("SFT", dialogues(12), {}),
        ("SFT", dialogues(12), {"scale": "LoRA", "asked": {"loraDropout": 0.1}}),
        ("DPO", preferences(6), {}),
    ],
)
def test_equal_seeds_give_equal_losses(runs: Runs, mode: str, rows: Any, more: Any) -> None:
    more = {"asked": {}, **more}
    one, two = (runs.train(runs.spec(rows, mode=mode, **more)) for _ in range(2))
    assert one.losses == two.losses
    assert runs.train(runs.spec(rows, mode=mode, **{**more, "asked": {"seed": 7}})).losses != one.losses


def test_held_out_rows_are_looked_at_and_answered(runs: Runs) -> None:
    asked = {"validationStep": 7, "saveStep": 10, "checkpointCount": 20}
    run = runs.train(runs.spec(dialogues(40)[8:], dialogues(40)[:8], asked=asked))
    looked = [metrics.step for metrics in run.all(Metrics) if metrics.validation_loss is not None]
    assert looked == sorted({*range(7, 121, 7), *range(10, 121, 10)})
    for checkpoint in run.all(Checkpoint):
        assert checkpoint.validation_loss is not None
        assert checkpoint.validation_perplexity == pytest.approx(np.exp(checkpoint.validation_loss))
        assert checkpoint.training_perplexity == pytest.approx(np.exp(checkpoint.training_loss))
    [scores] = run.all(Scores)
    assert run.events[-1] == scores
    assert set(scores.scores) == {"BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"}
    assert 0 < scores.scores["ROUGE-1"] <= 100


def test_rows_that_were_learnt_score_in_full(runs: Runs) -> None:
    rows = dialogues(10)
    [scores] = runs.train(runs.spec(rows, rows, asked={"epoch": 50})).all(Scores)
    assert scores.scores == pytest.approx(dict.fromkeys(scores.scores, 100))


def test_without_held_out_rows_there_is_no_validation(runs: Runs, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.jsonl"
    nothing.touch()
    for held_out in (None, nothing):
        run = runs.train(runs.spec(dialogues(8), eval_file=held_out, asked={"validationStep": 2}))
        assert {metrics.validation_loss for metrics in run.all(Metrics)} == {None}
        assert (run.last.validation_loss, run.last.validation_perplexity) == (None, None)
        assert run.all(Scores) == []


def test_texts_have_no_scores(runs: Runs) -> None:
    rows = [Text(text=text) for text in SENTENCES]
    run = runs.train(runs.spec(rows, rows, mode="PostPretrain"))
    assert run.last.validation_loss is not None
    assert run.all(Scores) == []


def test_losses_are_logged_as_often_as_asked_for(runs: Runs) -> None:
    often, rarely = (runs.train(runs.spec(dialogues(16), asked={"loggingSteps": steps})) for steps in (1, 8))
    assert [metrics.step for metrics in rarely.all(Metrics)] == [8, 16, 24, 32, 40, 48, 56, 60]
    assert {metrics.total for metrics in rarely.all(Metrics)} == {60}
    mean = np.mean(often.losses[:8])
    assert rarely.losses[0] == pytest.approx(mean, rel=0.2)  # over tokens, and not over steps
    assert rarely.all(Metrics)[0].learning_rate == often.all(Metrics)[7].learning_rate


def test_it_stops_early_with_the_best_weights(runs: Runs) -> None:
    strangers = [dialogue(question, "Quite another answer.") for question, _ in pairs(8)]
    asked = {
        "validationStep": 5,
        "earlyStopping": "True",
        "earlyStoppingPatience": 2,
        "earlyStoppingThreshold": 0.01,
        "epoch": 50,
    }
    run = runs.train(runs.spec(dialogues(40), strangers, asked=asked))
    looked = {metrics.step: metrics.validation_loss for metrics in run.all(Metrics) if metrics.validation_loss}
    best = min(looked, key=lambda step: looked[step])
    assert run.last.step == max(looked) == best + 10 < run.plan.steps
    assert run.last.validation_loss == looked[best]


def test_early_stopping_waits_while_the_loss_falls(runs: Runs) -> None:
    rows = dialogues(16)
    run = runs.train(runs.spec(rows, rows, asked={"validationStep": 5, "earlyStopping": "True"}))
    assert run.last.step == run.plan.steps == 60


def test_a_stop_ends_it_after_the_step(runs: Runs) -> None:
    asked_after = iter(chain([False] * 24, [True] * 1000))
    spec = runs.spec(dialogues(16), dialogues(4), asked={"saveStep": 10, "checkpointCount": 5})
    run = runs.train(spec, lambda: next(asked_after))
    assert [checkpoint.step for checkpoint in run.all(Checkpoint)] == [10, 20]
    assert run.all(Metrics)[-1].step == 24
    assert run.all(Scores) == []
    answer(runs.load(run.last.path), "Who owns box number 0?")


def test_a_stop_while_it_learns_to_speak(runs: Runs) -> None:
    run = runs.train(runs.spec(preferences(8), mode="DPO"), lambda: True)
    assert run.events == []

"""Trainings with PyTorch, each with its checkpoints, to the published model that answers."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from qianfan.engines.backend import EngineError, load_backend
from qianfan.engines.hf import HfBackend
from qianfan.engines.rows import Mode
from qianfan.engines.spec import Checkpoint, Event, Metrics, Plan, Scale, Scores
from tests.engines.hf.making import PAIRS, ROWS, Bench, Trained, answer, dialogue, learnt

SHORT = {"epoch": 2, "learningRate": 1e-3, "batchSize": 8, "saveStep": 4, "checkpointCount": 2, "validationStep": 5}


# --- from scratch ---------------------------------------------------------------------------------------------------


def test_rows_are_learnt_by_heart(trained: Trained) -> None:
    assert trained.losses[-1] < trained.losses[0] / 10
    assert learnt(trained.generator) >= 36


def test_checkpoints_are_complete_folders_and_the_last_step_is_one(trained: Trained) -> None:
    kept = trained.of(Checkpoint)
    assert [told.step for told in kept] == [50, 100, 150]
    assert all(told.path == trained.folder / "task" / "checkpoints" / str(told.step) for told in kept)
    assert sorted(path.name for path in kept[0].path.parent.iterdir()) == ["100", "150", "50"]
    assert all((told.path / "model.safetensors").exists() for told in kept)


def test_every_number_is_there_and_fits_the_others(trained: Trained) -> None:
    for told in trained.of(Checkpoint):
        assert told.training_perplexity == pytest.approx(math.exp(told.training_loss))
        assert told.validation_loss is not None
        assert told.validation_perplexity == pytest.approx(math.exp(told.validation_loss))
    assert {told.step for told in trained.of(Metrics) if told.validation_loss is not None} == {
        25,
        50,
        75,
        100,
        125,
        150,
    }
    assert [told.step for told in trained.of(Metrics) if told.training_loss is not None] == list(range(1, 151))
    scores = trained.of(Scores)[0].scores
    assert scores.keys() == {"BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"}
    assert scores["ROUGE-L"] > 90


def test_an_earlier_checkpoint_answers_differently(trained: Trained) -> None:
    early = trained.load(trained.of(Checkpoint)[0].path, "early")
    assert learnt(early) <= learnt(trained.generator)
    assert trained.manifest.parameters == trained.of(Plan)[-1].parameters


def test_the_plan_says_what_is_done(trained: Trained) -> None:
    plan = trained.of(Plan)[0]
    assert plan.steps == 150
    assert "untrained Llama" in plan.base
    assert plan.requested == {"saveStep": 50, "checkpointCount": 3, "validationStep": 25}
    assert plan.effective["epoch"] == 30
    assert plan.effective["learningRate"] == 2e-3


@pytest.mark.parametrize("scale", ["FullFineTuning", "LoRA"])
@pytest.mark.parametrize("mode", ["SFT", "PostPretrain", "DPO", "KTO"])
def test_each_mode_and_scale(bench: Bench, mode: Mode, scale: Scale) -> None:
    """A short training goes all the way to an answer."""
    spec = bench.spec(SHORT, mode=mode, scale=scale, held_out=ROWS[mode][:4], strict=True)
    bench.train(spec)
    assert [told.step for told in bench.of(Checkpoint)] == [8, 10]
    assert bench.losses[-1] < bench.losses[0]
    assert all(told.validation_perplexity is not None for told in bench.of(Checkpoint))
    assert bool(bench.of(Scores)) == (mode != "PostPretrain")
    model, manifest = bench.publish(bench.last.path)
    assert manifest.mode == mode
    assert not (model / "adapter_config.json").exists()
    assert isinstance(answer(bench.backend.load(model), PAIRS[0][0]), str)


def test_adapters_learn_rows_too_and_are_merged(bench: Bench) -> None:
    bench.train(bench.spec(scale="LoRA"))
    assert learnt(bench.load(bench.last.path)) >= 36
    assert any("numbers are trained" in note for note in bench.of(Plan)[0].notes)


def test_preferences_are_learnt(bench: Bench, trained: Trained) -> None:
    spec = bench.spec({"epoch": 4}, mode="DPO", scale="LoRA", checkpoint=trained.last.path, held_out=ROWS["DPO"][:8])
    bench.train(spec)
    last = [told for told in bench.of(Metrics) if told.training_loss is not None][-1]
    assert last.others["rewardMargin"] > 0
    assert last.others["rewardAccuracy"] > 0.9
    # The chosen answers were known already, so their perplexity is near 1, whatever the loss of preferences is.
    assert bench.losses[0] == pytest.approx(math.log(2), abs=1e-3)
    assert bench.last.training_perplexity == pytest.approx(1, abs=0.2)
    assert bench.last.validation_perplexity == pytest.approx(1, abs=0.2)


def test_equal_seeds_train_equally(bench: Bench) -> None:
    def losses(seed: int) -> list[float]:
        bench.train(bench.spec({**SHORT, "epoch": 1, "seed": seed}, strict=True))
        return bench.losses

    first = losses(7)
    assert losses(7) == first
    assert losses(8) != first


def test_a_dialogue_gives_an_example_for_each_answer(bench: Bench) -> None:
    rows = [dialogue("one?", "1.", "two?", "2."), dialogue("three?", "3.")]
    assert bench.backend.plan(bench.spec({"epoch": 1, "batchSize": 1}, rows=rows, strict=True)).steps == 3


def test_packing_puts_rows_together(bench: Bench) -> None:
    values = {**SHORT, "maxSeqLen": 256, "Packing": "True"}
    bench.train(bench.spec(values, strict=True))
    assert bench.of(Plan)[0].steps < 10
    assert math.isfinite(bench.losses[-1])


# --- how it ends ----------------------------------------------------------------------------------------------------


def test_it_ends_early_when_nothing_gets_better(bench: Bench) -> None:
    values = {"epoch": 20, "validationStep": 2, "earlyStopping": "True", "earlyStoppingPatience": 2}
    bench.train(bench.spec({**values, "earlyStoppingThreshold": 5}, held_out=ROWS["SFT"][:4]))
    assert bench.last.step == bench.of(Metrics)[-1].step < bench.of(Plan)[-1].steps
    assert bench.last.path.is_dir()


@dataclass
class StopAfter:
    """Asks a training to stop when it has told of so many steps, or of its first validation."""

    bench: Bench
    steps: int

    def __call__(self) -> bool:
        return len(self.bench.losses) >= self.steps


def test_it_stops_when_asked(bench: Bench) -> None:
    spec = bench.spec({"epoch": 50})
    bench.train(spec, StopAfter(bench, 3))
    assert [told.step for told in bench.of(Metrics)] == [1, 2, 3, 4]  # it is asked before it tells
    assert bench.of(Checkpoint) == []
    assert list((spec.folder / "checkpoints").iterdir()) == []


def test_it_stops_in_the_middle_of_a_validation(bench: Bench) -> None:
    looks = count()
    spec = bench.spec({**SHORT, "validationStep": 1, "batchSize": 1}, held_out=ROWS["SFT"], strict=True)
    bench.train(spec, lambda: next(looks) > 5)
    assert not [told for told in bench.of(Metrics) if told.validation_loss is not None]
    assert bench.of(Scores) == []


def test_a_loss_that_is_no_number_ends_it(bench: Bench) -> None:
    values = {"epoch": 5, "learningRate": 1e30, "schedulerName": "constant"}
    with pytest.raises(EngineError, match="the loss is") as failed:
        bench.train(bench.spec(values, strict=True))
    assert failed.value.code == "diverged"


def test_memory_that_is_missing_is_explained() -> None:
    import torch

    from qianfan.engines.hf.device import explaining_memory

    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[enforce fail] can't allocate memory")):
        with pytest.raises(EngineError) as failed, explaining_memory():
            raise error
        assert failed.value.code == "out_of_memory"
        assert "batchSize" in failed.value.hint
    with pytest.raises(RuntimeError, match="something else"), explaining_memory():
        raise RuntimeError("something else")


def test_one_step_is_enough_for_every_schedule(bench: Bench) -> None:
    for name in ("linear", "cosine", "polynomial", "constant", "constant_with_warmup"):
        values = {"epoch": 1, "schedulerName": name, "warmupRatio": 0.5, "learningRate": 1e-3}
        bench.train(bench.spec(values, rows=ROWS["SFT"][:4], name=name, strict=True))
        assert bench.last.step == 1


def test_rows_that_are_too_long_are_left_out_and_counted(bench: Bench) -> None:
    rows = [*ROWS["SFT"][:8], dialogue("long " * 200, "short")]
    bench.train(bench.spec({**SHORT, "maxSeqLen": 64}, rows=rows, strict=True))
    assert "1 rows leave no room for an answer within maxSeqLen: left out" in bench.of(Plan)[0].notes
    with pytest.raises(EngineError, match="no training row fits"):
        bench.train(bench.spec({**SHORT, "maxSeqLen": 64}, rows=rows[-1:], strict=True))


def test_rows_of_another_mode_are_refused(bench: Bench) -> None:
    with pytest.raises(EngineError, match="not of the mode DPO"):
        bench.backend.plan(bench.spec(mode="DPO", rows=ROWS["SFT"]))
    with pytest.raises(EngineError, match="no row to learn from"):
        bench.backend.plan(bench.spec(rows=[]))


# --- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["FullFineTuning", "LoRA"])
def test_going_on_from_a_whole_model(bench: Bench, trained: Trained, scale: Scale) -> None:
    bench.train(bench.spec(SHORT, scale=scale, checkpoint=trained.last.path, strict=True))
    assert bench.losses[0] < 0.5
    assert learnt(bench.load(bench.last.path)) >= 36


def test_going_on_with_adapters(bench: Bench) -> None:
    bench.train(bench.spec(scale="LoRA"))
    first = bench.last.path
    for scale in ("LoRA", "FullFineTuning"):
        bench.train(bench.spec({**SHORT, "learningRate": 1e-5}, scale=scale, checkpoint=first, name=scale, strict=True))
        assert bench.losses[0] < 0.5
        assert learnt(bench.load(bench.last.path, f"model-{scale}")) >= 36
    with pytest.raises(EngineError, match="PromptTuning cannot go on"):
        bench.backend.plan(bench.spec(scale="PromptTuning", checkpoint=first))


def test_a_checkpoint_with_adapters_is_usable_where_it_is_moved_to(bench: Bench) -> None:
    bench.train(bench.spec(SHORT, scale="LoRA", strict=True))
    moved = bench.last.path.rename(bench.folder / "elsewhere")
    assert isinstance(answer(bench.load(moved), "What?"), str)


def test_dialogues_after_texts(bench: Bench) -> None:
    bench.train(bench.spec(mode="PostPretrain"))
    texts = bench.load(bench.last.path)
    assert answer(texts, PAIRS[0][0]).strip() == PAIRS[0][1]
    bench.train(bench.spec(checkpoint=bench.last.path, name="dialogues"))
    assert learnt(bench.load(bench.last.path, "dialogues-model")) >= 36


# --- a pretrained model ---------------------------------------------------------------------------------------------


def test_a_pretrained_model_is_trained_as_asked(bench: Bench, pretrained: Path) -> None:
    bench.train(bench.spec(SHORT, base=pretrained, scale="LoRA"))
    plan = bench.of(Plan)[0]
    assert plan.base == str(pretrained)
    assert plan.effective["epoch"] == 2
    assert plan.effective["maxSeqLen"] == 512
    assert not (bench.last.path / "base").exists()


@pytest.mark.parametrize("scale", ["FullFineTuning", "LoRA"])
def test_it_is_published_in_its_own_precision(bench: Bench, pretrained: Path, scale: Scale) -> None:
    from safetensors.torch import load_file

    bench.train(bench.spec(SHORT, base=pretrained, scale=scale))
    model, _ = bench.publish(bench.last.path)
    assert {str(weights.dtype) for weights in load_file(model / "model.safetensors").values()} == {"torch.bfloat16"}


def test_prompt_tuning_steers_a_pretrained_model(bench: Bench, pretrained: Path) -> None:
    values = {"epoch": 25, "learningRate": 0.05, "batchSize": 8}
    bench.train(bench.spec(values, base=pretrained, scale="PromptTuning", rows=[dialogue("Hello?", "It is red.")] * 16))
    assert bench.losses[-1] < bench.losses[0] / 2
    model, manifest = bench.publish(bench.last.path)
    assert (model / "soft_prompt.safetensors").exists()
    assert manifest.base == str(pretrained)
    assert answer(bench.backend.load(model), "Hello?").strip() == "It is red."
    bench.train(bench.spec(SHORT, scale="PromptTuning", checkpoint=bench.last.path, name="next"))
    assert bench.losses


@pytest.mark.parametrize("content", [None, {}, {"config.json": "{}"}, {"config.json": '{"model_type": "llama"}'}])
def test_a_folder_without_a_model_is_named(bench: Bench, content: dict[str, str] | None) -> None:
    folder = bench.folder / "no-model"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(EngineError, match=str(folder)) as refused:
        bench.train(bench.spec(base=folder))
    assert refused.value.code == "bad_base"


def test_a_chat_template_that_refuses_the_rows_is_heard(bench: Bench, pretrained: Path) -> None:
    base = bench.folder / "no-system"
    shutil.copytree(pretrained, base)
    (base / "chat_template.jinja").write_text("{{ raise_exception('System role not supported') }}")
    with pytest.raises(EngineError, match="System role not supported"):
        bench.train(bench.spec(SHORT, base=base))


def test_a_folder_that_is_no_checkpoint_is_named(bench: Bench) -> None:
    with pytest.raises(EngineError, match="is no checkpoint"):
        bench.backend.plan(bench.spec(checkpoint=bench.folder))


# --- publishing -----------------------------------------------------------------------------------------------------


def test_a_publication_that_fails_leaves_nothing(bench: Bench, trained: Trained) -> None:
    broken = bench.folder / "broken"
    broken.mkdir()
    (broken / "checkpoint.json").write_bytes((trained.last.path / "checkpoint.json").read_bytes())
    with pytest.raises(EngineError, match="broken"):
        bench.publish(broken)
    assert sorted(path.name for path in bench.folder.iterdir()) == ["broken"]


def test_what_an_outside_trainer_has_made_is_merged(bench: Bench, pretrained: Path) -> None:
    """Adapters from elsewhere, with the record that the engine `command` adds."""
    bench.train(bench.spec(SHORT, base=pretrained, scale="LoRA"))
    spec = {"engine": "command", "checkpoint": bench.last.path, "into": bench.folder / "model", "model": "m"}
    from qianfan.engines.spec import PublishSpec

    command = load_backend("command")
    assert command.publish(PublishSpec.model_validate(spec)).engine == "command"
    assert isinstance(answer(command.load(bench.folder / "model"), "What?"), str)


def test_it_is_found_by_its_name() -> None:
    backend = load_backend("hf")
    assert isinstance(backend, HfBackend)
    started = backend.started()
    assert started.device in ("cpu", "cuda:0")
    assert {"torch", "transformers", "trl", "peft"} <= started.versions.keys()


def test_events_can_be_written_and_read(trained: Trained) -> None:
    from qianfan.engines.spec import EVENT

    def again(event: Event) -> Any:
        return EVENT.validate_json(event.model_dump_json())

    assert [again(event) for event in trained.told] == trained.told

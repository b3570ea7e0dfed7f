"""An outside trainer: what it is given, what is made of what it writes, and that nothing of it is left behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from qianfan.engines.backend import BadHyperParameter, EngineError, load_backend
from qianfan.engines.command import CommandBackend
from qianfan.engines.command.log import TrainerLog
from qianfan.engines.command.program import Program
from qianfan.engines.hf.arguments import Setting, map_arguments
from qianfan.engines.rows import Dialogue, Message, Mode, Preference, Rated, Text
from qianfan.engines.spec import Checkpoint, Event, Metrics, Plan, PublishSpec, Scale, TrainSpec
from tests.engines import outside_trainer

OUTSIDE = (sys.executable, outside_trainer.__file__, "{config}")
QUESTION = (Message(role="user", content="天空是什么颜色?"),)
ROWS: dict[Mode, list[Any]] = {
    "SFT": [Dialogue(messages=(*QUESTION, Message(role="assistant", content="蓝色")))],
    "PostPretrain": [Text(text="天空是蓝色的")],
    "DPO": [Preference(messages=QUESTION, chosen="蓝色", rejected="绿色")],
    "KTO": [Rated(messages=QUESTION, completion="绿色", desirable=False)],
}


class World:
    """A base model, rows, and what a training told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[Event] = []
        self.base = folder / "base"
        self.base.mkdir()
        (self.base / "config.json").write_text('{"dtype": "bfloat16"}')

    def spec(self, *what: str, mode: Mode = "SFT", scale: Scale = "FullFineTuning", **values: Any) -> TrainSpec:
        rows = self.folder / f"{mode}.jsonl"
        rows.write_text("".join(row.model_dump_json() + "\n" for row in ROWS[mode] * 3), encoding="utf-8")
        given = {
            "engine": "command",
            "mode": mode,
            "scale": scale,
            "model": "ERNIE-Speed-8K",
            "base": self.base,
            "train_file": rows,
            "folder": self.folder / "task",
            "hyper_parameters": {"saveStep": 2, "checkpointCount": 2, "batchSize": 1, "epoch": 2},
            "command": (*OUTSIDE, *what),
        }
        return TrainSpec.model_validate(given | values)

    def train(self, spec: TrainSpec, stop_after: int | None = None) -> None:
        """stop_after: so many metrics; None for never."""
        backend = CommandBackend()
        backend.train(
            spec,
            backend.plan(spec),
            self.told.append,
            lambda: stop_after is not None and len(self.of(Metrics)) >= stop_after,
        )

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Holders:
    """Hears from processes that hold a connection for as long as they live."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []

    @property
    def port(self) -> str:
        return str(self._server.getsockname()[1])

    def wait_for(self, count: int) -> None:
        self._held += [self._server.accept()[0] for _ in range(count)]

    def wait_until_gone(self) -> None:
        for connection in self._held:
            with connection:
                assert connection.recv(1) == b""

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def holders() -> Iterator[Holders]:
    listening = Holders()
    yield listening
    listening.close()


# --- what it is given ----------------------------------------------------------------------------------------------


def config_of(world: World, spec: TrainSpec) -> dict[str, Any]:
    """The configuration that the program finds; it is gone when the training is over."""
    copy = world.folder / "seen.yaml"
    code = f"import shutil, sys; shutil.copy(sys.argv[1], {str(copy)!r}); sys.exit(1)"
    with pytest.raises(EngineError):
        world.train(spec.model_copy(update={"command": (sys.executable, "-c", code, "{config}")}))
    config: dict[str, Any] = yaml.safe_load(copy.read_text("utf-8"))
    return config


def test_the_keys_are_those_of_llama_factory(world: World) -> None:
    values = {
        "epoch": 3,
        "learningRate": 3e-5,
        "batchSize": 2,
        "gradientAccumulationSteps": 4,
        "maxSeqLen": 2048,
        "schedulerName": "cosine",
        "warmupRatio": 0.1,
        "weightDecay": 0.01,
        "loggingSteps": 5,
        "saveStep": 64,
        "checkpointCount": 3,
        "loraRank": 8,
        "loraAlpha": 32,
        "loraDropout": 0.1,
        "loraTargetModules": ["self_attn.q_proj", "mlp.up_proj"],
        "validationStep": 16,
        "earlyStopping": "True",
        "earlyStoppingPatience": 4,
    }
    spec = world.spec(scale="LoRA", hyper_parameters=values)
    config = config_of(world, spec.model_copy(update={"eval_file": spec.train_file}))
    workshop = spec.folder / "checkpoints" / ".unfinished"
    assert config == {
        "model_name_or_path": str(world.base),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "dataset_dir": str(workshop / "data"),
        "dataset": "training",
        "eval_dataset": "held_out",
        "cutoff_len": 2048,
        "output_dir": str(workshop / "output"),
        "overwrite_output_dir": True,
        "overwrite_cache": True,
        "report_to": "none",
        "logging_steps": 5,
        "save_strategy": "steps",
        "save_steps": 64,
        "save_total_limit": 3,
        "save_only_model": True,
        "num_train_epochs": 3,
        "learning_rate": 3e-5,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "lr_scheduler_type": "cosine",
        "lr_scheduler_kwargs": {"num_cycles": 0.5},
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "packing": False,
        "seed": 42,
        "data_seed": 42,
        "bf16": config["bf16"],
        "lora_rank": 8,
        "lora_alpha": 32,
        "lora_dropout": 0.1,
        "lora_target": "self_attn.q_proj,mlp.up_proj",
        "eval_strategy": "steps",
        "eval_steps": 16,
        "early_stopping_steps": 4,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }


@pytest.mark.parametrize(("mode", "stage"), [("SFT", "sft"), ("PostPretrain", "pt"), ("DPO", "dpo"), ("KTO", "kto")])
def test_each_mode_has_its_stage_and_its_rows(world: World, mode: Mode, stage: str) -> None:
    world.train(world.spec(mode=mode))
    assert world.of(Checkpoint)[-1].step == outside_trainer.STEPS
    config = config_of(world, world.spec(mode=mode, hyper_parameters={"checkpointSaveStrategy": "epoch"}))
    assert config["stage"] == stage
    assert config["save_strategy"] == "epoch"
    assert "save_steps" not in config
    assert ("pref_beta" in config) == (mode in ("DPO", "KTO"))


@pytest.mark.parametrize(
    ("values", "target"),
    [({"loraAllLinear": "True"}, "all"), ({"loraAllLinear": "False"}, "q_proj,v_proj")],
)
def test_where_adapters_go(world: World, values: dict[str, str], target: str) -> None:
    assert config_of(world, world.spec(scale="LoRA", hyper_parameters=values))["lora_target"] == target


def test_going_on_takes_up_the_adapters(world: World) -> None:
    world.train(world.spec(scale="LoRA"))
    checkpoint = world.of(Checkpoint)[-1].path
    config = config_of(world, world.spec(scale="LoRA", checkpoint=checkpoint, base=None, folder=world.folder / "next"))
    assert config["model_name_or_path"] == str(world.base)
    assert config["adapter_name_or_path"] == str(checkpoint)
    with pytest.raises(EngineError, match="cannot go on"):
        CommandBackend().plan(world.spec(checkpoint=checkpoint))


def test_going_on_from_a_whole_model(world: World) -> None:
    world.train(world.spec())
    checkpoint = world.of(Checkpoint)[-1].path
    config = config_of(world, world.spec(scale="LoRA", checkpoint=checkpoint, base=None, folder=world.folder / "next"))
    assert config["model_name_or_path"] == str(checkpoint)


# --- what is told ---------------------------------------------------------------------------------------------------


def test_lines_of_the_log_become_metrics(world: World) -> None:
    spec = world.spec(mode="DPO", eval_file=world.folder / "DPO.jsonl")
    world.train(spec)
    first = world.of(Metrics)[0]
    assert (first.step, first.total, first.training_loss, first.learning_rate) == (1, 6, 8.0, 1e-4)
    assert first.others == {"rewardAccuracy": 0.5}
    assert [told.validation_loss for told in world.of(Metrics) if told.validation_loss] == [4.5, 2.25, 1.5]
    assert [told.step for told in world.of(Metrics) if told.training_loss] == [1, 2, 3, 4, 5, 6]


def test_the_last_checkpoints_are_kept(world: World) -> None:
    spec = world.spec()
    world.train(spec)
    kept = world.of(Checkpoint)
    assert [(told.step, told.training_loss) for told in kept] == [(4, 2.0), (6, 1.3333)]
    assert kept[0].training_perplexity == pytest.approx(7.389, abs=1e-3)
    assert sorted(folder.name for folder in (spec.folder / "checkpoints").iterdir()) == ["4", "6"]


def test_perplexities_of_preferences_are_left_out(world: World) -> None:
    world.train(world.spec(mode="DPO"))
    assert world.of(Checkpoint)[-1].training_perplexity is None


def test_the_final_model_counts_as_the_last_checkpoint(world: World) -> None:
    world.train(world.spec("forget"))
    assert [told.step for told in world.of(Checkpoint)] == [6]
    assert (world.of(Checkpoint)[0].path / "model.safetensors").exists()


def test_steps_are_the_trainers(world: World) -> None:
    spec = world.spec(hyper_parameters={"epoch": 50, "batchSize": 1, "saveStep": 2})
    assert CommandBackend().plan(spec).steps == 150
    world.train(spec)
    assert world.of(Plan)[-1].steps == outside_trainer.STEPS


def test_lines_that_are_not_readable_are_skipped_and_noted(world: World) -> None:
    world.train(world.spec("babble"))
    assert len(world.of(Metrics)) == outside_trainer.STEPS
    assert "18 lines of trainer_log.jsonl were not readable" in world.of(Plan)[-1].notes


def test_a_line_is_read_when_it_is_complete(tmp_path: Path) -> None:
    file, log = tmp_path / "trainer_log.jsonl", TrainerLog(tmp_path)
    assert list(log.read()) == []
    whole = json.dumps({"current_steps": 1, "total_steps": 2, "loss": 0.5}).encode()
    for part in (whole[:10], whole[10:]):
        with file.open("ab") as lines:
            lines.write(part)
        assert list(log.read()) == []
    with file.open("ab") as lines:
        lines.write(b"\n" + whole)
    assert [told.training_loss for told in log.read()] == [0.5]
    assert log.broken == 0


# --- how it ends ----------------------------------------------------------------------------------------------------


def test_a_failure_says_what_the_program_said(world: World) -> None:
    with pytest.raises(EngineError, match=r"exit code 1:\n.*training on 3 rows\nno way") as failed:
        world.train(world.spec("fail"))
    assert failed.value.code == "trainer_failed"
    with pytest.raises(EngineError) as failed:
        world.train(world.spec("fail", "memory"))
    assert failed.value.code == "out_of_memory"


def test_a_loss_that_is_no_number_ends_it(world: World) -> None:
    code = (
        "import sys, time, yaml, pathlib\n"
        "output = pathlib.Path(yaml.safe_load(open(sys.argv[1]))['output_dir'])\n"
        "output.mkdir()\n"
        'line = \'{"current_steps": 1, "total_steps": 2, "loss": NaN}\\n\'\n'
        "(output / 'trainer_log.jsonl').write_text(line)\n"
        "time.sleep(3600)\n"
    )
    with pytest.raises(EngineError, match="the loss is nan at step 1") as failed:
        world.train(world.spec(command=(sys.executable, "-c", code, "{config}")))
    assert failed.value.code == "diverged"


def test_a_program_that_is_stopped_ends_with_all_it_has_started(world: World, holders: Holders) -> None:
    spec = world.spec("hang", holders.port)
    world.train(spec, stop_after=1)
    holders.wait_for(2)
    holders.wait_until_gone()
    assert world.of(Checkpoint) == []
    assert list((spec.folder / "checkpoints").iterdir()) == []


def test_what_a_program_leaves_behind_ends_too(world: World, holders: Holders) -> None:
    world.train(world.spec(holders.port))
    holders.wait_for(2)
    holders.wait_until_gone()


def test_a_program_ends_when_whoever_started_it_is_killed(tmp_path: Path, holders: Holders) -> None:
    program = [sys.executable, "-c", outside_trainer.DEAF_CHILD, holders.port]
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom qianfan.engines.command.program import Program\n"
        f"with Program({program!r}, Path({str(tmp_path / 'out')!r}), grace=0.1):\n    time.sleep(3600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as worker:
        holders.wait_for(1)
        worker.kill()
    holders.wait_until_gone()


def test_the_exit_code_is_the_programs(tmp_path: Path) -> None:
    with Program([sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "out") as program:
        assert program.wait(60) == 7
    code = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    with Program([sys.executable, "-c", code], tmp_path / "out") as program:
        assert program.wait(60) == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"command": ()}, "no {config} in it"),
        ({"command": ("llamafactory-cli", "train")}, "no {config} in it"),
        ({"command": ("no-such-trainer", "{config}")}, "there is no program 'no-such-trainer'"),
        ({"base": None}, "no folder is known for the model ERNIE-Speed-8K"),
        ({"base": Path("/nowhere")}, "/nowhere is no model"),
        ({"checkpoint": Path("/nowhere")}, "/nowhere is no checkpoint"),
        ({"scale": "PromptTuning"}, "LLaMA-Factory has no PromptTuning"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(world: World, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        CommandBackend().plan(world.spec(**{**changed, "command": changed.get("command", OUTSIDE)}))


def test_a_bad_value_is_named(world: World) -> None:
    with pytest.raises(BadHyperParameter) as refused:
        CommandBackend().plan(world.spec(hyper_parameters={"learningRate": "quick"}))
    assert refused.value.key == "learningRate"


def test_broken_rows_are_refused(world: World) -> None:
    spec = world.spec()
    spec.train_file.write_text('{"text": "of another mode"}\n', encoding="utf-8")
    with pytest.raises(EngineError, match="not of the mode SFT"):
        world.train(spec)


# --- publishing -----------------------------------------------------------------------------------------------------


def test_a_whole_model_is_published_without_any_library(world: World) -> None:
    world.train(world.spec())
    checkpoint, into = world.of(Checkpoint)[-1].path, world.folder / "models" / "am-1"
    spec = PublishSpec(engine="command", checkpoint=checkpoint, into=into, model="ERNIE-Speed-8K", base=world.base)
    manifest = CommandBackend().publish(spec)
    assert manifest.parameters == 12
    assert json.loads((into / "manifest.json").read_text("utf-8")) == manifest.model_dump()
    assert [folder.name for folder in into.parent.iterdir()] == ["am-1"]


@pytest.mark.skipif(find_spec("torch") is not None, reason="the libraries are there")
def test_adapters_want_the_libraries_that_merge_them(world: World) -> None:
    world.train(world.spec(scale="LoRA"))
    spec = PublishSpec(
        engine="command", checkpoint=world.of(Checkpoint)[-1].path, into=world.folder / "model", model="ERNIE-Speed-8K"
    )
    with pytest.raises(EngineError) as refused:
        CommandBackend().publish(spec)
    assert refused.value.hint == "pip install 'qianfan[train]'"
    assert not spec.into.exists()


def test_it_is_found_by_its_name() -> None:
    backend = load_backend("command")
    assert isinstance(backend, CommandBackend)
    assert backend.started().engine == "command"


def test_the_mapping_is_the_one_of_the_engine_hf() -> None:
    arguments = map_arguments({"epoch": 2, "batchSize": 4}, Setting("SFT", "LoRA"))
    assert arguments.steps(examples=10) == 6

"""The engine `command` as whoever runs it sees it."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from qianfan.engines.backend import EngineError, Generator, Report, Stopped, load_backend
from qianfan.engines.command.config import Places, arguments_for, configuration
from qianfan.engines.command.harvest import Harvest
from qianfan.engines.command.log import TrainerLog
from qianfan.engines.command.model import Model, find_model
from qianfan.engines.command.program import Program, Tail
from qianfan.engines.command.publish import publish_checkpoint
from qianfan.engines.command.rows import write_datasets
from qianfan.engines.command.watch import Watch
from qianfan.engines.hf.arguments import Arguments
from qianfan.engines.hf.checkpoints import Checkpoints
from qianfan.engines.hf.record import CheckpointRecord
from qianfan.engines.spec import Manifest, Plan, PublishSpec, Started, TrainSpec

PLACEHOLDER: Final = "{config}"
WORKSHOP: Final = ".unfinished"
"""Beside the checkpoints: what the trainer reads and writes."""

_LOOK_SECONDS: Final = 0.2
_LINES_TOLD: Final = 20


class CommandBackend:
    """Has an outside trainer train; needs no library of its own until a model is merged or served."""

    def started(self) -> Started:
        return Started(engine="command", device=_device(), versions={"python": platform.python_version()})

    def plan(self, spec: TrainSpec) -> Plan:
        _check_command(spec.command)
        model, arguments = find_model(spec), arguments_for(spec)
        return Plan(
            steps=arguments.steps(_count_lines(spec.train_file)),
            base=model.words,
            requested={**spec.defaults, **spec.hyper_parameters},
            effective=dict(arguments.effective),
            notes=(
                *arguments.notes,
                f"trained by {' '.join(spec.command)}, which may have its own mind about these values",
                "answers to held-out rows are not scored",
            ),
        )

    def train(self, spec: TrainSpec, plan: Plan, report: Report, stopped: Stopped) -> None:
        workshop = spec.folder / "checkpoints" / WORKSHOP
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir(parents=True)
        try:
            _train(spec, plan, workshop, report, stopped)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)

    def publish(self, spec: PublishSpec) -> Manifest:
        return publish_checkpoint(spec)

    def load(self, model: Path) -> Generator:
        return load_backend("hf").load(model)


def _check_command(command: Sequence[str]) -> None:
    if not any(PLACEHOLDER in argument for argument in command):
        raise EngineError(
            "bad_command",
            f"the trainer's command {' '.join(command)!r} has no {PLACEHOLDER} in it",
            f"for example: llamafactory-cli train {PLACEHOLDER}",
        )
    if shutil.which(command[0]) is None:
        raise EngineError("bad_command", f"there is no program {command[0]!r}", "install it, or give its whole path")


def _train(spec: TrainSpec, plan: Plan, workshop: Path, report: Report, stopped: Stopped) -> None:
    model, arguments = find_model(spec), arguments_for(spec)
    output, printed = workshop / "output", workshop / "printed.log"
    config = _write_config(spec, arguments, model, workshop, output)
    watch = Watch(
        plan,
        arguments,
        spec.mode,
        TrainerLog(output),
        Tail(printed),
        Harvest(output, _checkpoints(spec, model), workshop),
        report,
    )
    command = [argument.replace(PLACEHOLDER, str(config)) for argument in spec.command]
    with Program(command, printed) as program:
        while (code := program.wait(_LOOK_SECONDS)) is None:
            watch.look()
            if stopped():
                return
    if code:
        watch.look()
        raise _failure(command[0], code, printed)
    watch.close()


def _write_config(spec: TrainSpec, arguments: Arguments, model: Model, workshop: Path, output: Path) -> Path:
    places = Places(workshop / "data", output)
    places.data.mkdir()
    write_datasets(places.data, spec.mode, spec.train_file, spec.eval_file)
    keys = configuration(spec, arguments, model, places, bf16=_device() == "cuda")
    config = workshop / "config.yaml"
    config.write_text(yaml.safe_dump(keys, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return config


def _checkpoints(spec: TrainSpec, model: Model) -> Checkpoints:
    record = CheckpointRecord(
        mode=spec.mode,
        scale=spec.scale,
        base=model.words,
        base_folder=model.folder if spec.scale == "LoRA" else None,
        precision=model.precision,
    )
    return Checkpoints(spec.folder / "checkpoints", record, None)


def _failure(program: str, code: int, printed: Path) -> EngineError:
    """What a program that has failed says of itself, in its last lines."""
    lines = printed.read_text("utf-8", "replace").strip().splitlines()
    said = "\n".join(lines[-_LINES_TOLD:])
    if any("out of memory" in line.lower() for line in lines):
        return EngineError("out_of_memory", f"{program} has not enough memory:\n{said}", "take a smaller batchSize")
    return EngineError("trainer_failed", f"{program} ended with exit code {code}:\n{said}", "see what it has printed")


def _device() -> str:
    """A guess, since only the trainer knows: GPUs come with this program."""
    return "cuda" if shutil.which("nvidia-smi") else "cpu"


def _count_lines(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())

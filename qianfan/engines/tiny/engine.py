"""The engine as the outside knows it."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np

from qianfan.engines.backend import EngineError, Report, Stopped
from qianfan.engines.spec import Manifest, Plan, PublishSpec, Started, TrainSpec
from qianfan.engines.tiny.checkpoints import Saved, read, write, write_beside
from qianfan.engines.tiny.generation import TinyGenerator
from qianfan.engines.tiny.job import Job
from qianfan.engines.tiny.planning import plan


class TinyBackend:
    """A small model in numpy, trained from scratch on one core of the processor."""

    def started(self) -> Started:
        versions = {"python": platform.python_version(), "numpy": np.__version__}
        return Started(engine="tiny", device="cpu", versions=versions)

    def plan(self, spec: TrainSpec) -> Plan:
        return plan(spec)

    def train(self, spec: TrainSpec, plan: Plan, report: Report, stopped: Stopped) -> None:
        Job(spec, plan, report).run(stopped)

    def publish(self, spec: PublishSpec) -> Manifest:
        if spec.into.exists():
            raise EngineError("exists", f"{str(spec.into)!r} is there already", "publish into a new folder")
        saved = read(spec.checkpoint)
        weights = saved.weights()
        manifest = Manifest(
            engine="tiny",
            model=spec.model,
            base=saved.card.base,
            mode=saved.card.mode,
            parameters=weights.flat.size,
        )

        def fill(folder: Path) -> None:
            write(Saved(saved.card, saved.tokenizer, weights), folder)
            manifest.write(folder)

        write_beside(spec.into, fill)
        return manifest

    def load(self, model: Path) -> TinyGenerator:
        return read(model).generator()

"""The engine `hf` as whoever runs it sees it. The libraries are imported when something is to be done with them."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qianfan.engines.backend import Generator, Report, Stopped
from qianfan.engines.spec import Manifest, Plan, PublishSpec, Started, TrainSpec

if TYPE_CHECKING:
    from qianfan.engines.hf.preparing import Preparation

LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
WORKSHOP: Final = ".unfinished"
"""Beside the checkpoints: what is not complete yet."""


class HfBackend:
    """Trains and serves models with PyTorch. Raises ImportError where a library is missing."""

    def __init__(self) -> None:
        for name in LIBRARIES:
            if find_spec(name) is None:
                raise ImportError(f"{name} is not installed", name=name)
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the libraries are imported, which is after this
        self._prepared: Preparation | None = None

    def started(self) -> Started:
        from qianfan.engines.hf.device import device, use_one_gpu

        use_one_gpu()
        return Started(engine="hf", device=str(device()), versions={name: version(name) for name in LIBRARIES})

    def plan(self, spec: TrainSpec) -> Plan:
        from qianfan.engines.hf.preparing import prepare

        self._prepared = prepare(spec)
        return self._prepared.plan()

    def train(self, spec: TrainSpec, plan: Plan, report: Report, stopped: Stopped) -> None:
        from qianfan.engines.hf.device import explaining_memory
        from qianfan.engines.hf.preparing import prepare
        from qianfan.engines.hf.training import train

        preparation, self._prepared = self._prepared, None
        if preparation is None or preparation.spec != spec:
            preparation = prepare(spec)
        workshop = spec.folder / "checkpoints" / WORKSHOP
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir(parents=True)
        try:
            with explaining_memory():
                train(preparation, workshop, report, stopped)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)

    def publish(self, spec: PublishSpec) -> Manifest:
        from qianfan.engines.hf.publish import publish_checkpoint

        return publish_checkpoint(spec)

    def load(self, model: Path) -> Generator:
        from qianfan.engines.hf.device import use_one_gpu
        from qianfan.engines.hf.generation import load_generator

        use_one_gpu()
        return load_generator(model)

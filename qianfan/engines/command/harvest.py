"""What an outside trainer has made: its checkpoints, taken over as soon as they are complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from qianfan.engines.backend import EngineError
from qianfan.engines.hf.checkpoints import Checkpoints
from qianfan.engines.hf.folders import link_or_copy
from qianfan.engines.hf.record import has_adapter

_PREFIX: Final = "checkpoint-"


class Harvest:
    """Takes finished checkpoints over from the trainer's output folder, each once.

    They are taken because the trainer goes on to delete its own.
    """

    def __init__(self, output: Path, checkpoints: Checkpoints, workshop: Path) -> None:
        self._output = output
        self._checkpoints = checkpoints
        self._workshop = workshop
        self._taken: set[int] = set()

    def finished(self, is_wanted: Callable[[int], bool], *, is_over: bool) -> Iterator[tuple[int, Path]]:
        """(step, folder) of new wanted checkpoints. is_over: the trainer has ended, so that all are complete."""
        found = sorted((_step_of(folder), folder) for folder in self._output.glob(f"{_PREFIX}*"))
        for step, folder in found:
            if step not in self._taken and is_wanted(step) and (is_over or _is_complete(folder)):
                yield step, self._take(folder, step)

    def last(self, step: int) -> tuple[int, Path] | None:
        """(step, folder) of the model that the trainer has ended with; None when it is taken already.

        Raises EngineError where there is none.
        """
        if step in self._taken:
            return None
        if not has_adapter(self._output) and not (self._output / "config.json").exists():
            raise EngineError("no_model", "the trainer ended without a model in its output folder")
        return step, self._take(self._output, step)

    def _take(self, folder: Path, step: int) -> Path:
        copy = self._workshop / f"taken-{step}"
        shutil.copytree(
            folder, copy, copy_function=link_or_copy, ignore=shutil.ignore_patterns(f"{_PREFIX}*", "*.jsonl")
        )
        self._taken.add(step)
        return self._checkpoints.keep(copy, step)


def _step_of(folder: Path) -> int:
    number = folder.name.removeprefix(_PREFIX)
    return int(number) if number.isdecimal() else -1


def _is_complete(folder: Path) -> bool:
    """Whether the trainer has finished writing it: it writes its own state last."""
    with suppress(OSError, ValueError):
        json.loads((folder / "trainer_state.json").read_bytes())
        return True
    return False

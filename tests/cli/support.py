"""Commands in this process, and runs for them to look at."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qianfan.cli import main
from qianfan.config import get_config
from qianfan.emulator import Emulator
from qianfan.errors import QianfanError
from qianfan.trainer import LLMFinetune

MODEL_AND_DATA = ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111"]

ORDER_A_TASK = "CreateFineTuningTask"


def qianfan(*arguments: str) -> int:
    """Run a command in this process and give its exit code."""
    return main.run(list(arguments))


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """What a command prints with --json."""
    capsys.readouterr()
    assert qianfan(*arguments, "--json") == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints for people, on stdout and then on stderr."""
    capsys.readouterr()
    assert qianfan(*arguments) == code, capsys.readouterr().err
    captured = capsys.readouterr()
    return captured.out + captured.err


def done() -> str:
    """A trainer that has published its model; gives its id, as all of these do."""
    return LLMFinetune("ERNIE-Speed-8K", 111).run().id


def left_running(emulator: Emulator) -> str:
    """A trainer whose training goes on with nobody watching it."""
    emulator.training.script(after_looks=math.inf, times=1)
    trainer = LLMFinetune("ERNIE-Speed-8K", 111, event_handler=lambda event: event.progress and trainer.detach())
    return trainer.run().id


def failed(emulator: Emulator) -> str:
    """A trainer whose training has failed."""
    emulator.training.script(ends="Failed", reason="loss is NaN", times=1)
    return _ended(LLMFinetune("ERNIE-Speed-8K", 111))


def held(emulator: Emulator) -> str:
    """A trainer with an order of unknown fate that did not show up."""
    get_config().SUBMIT_SETTLE_SECONDS = 0.01
    emulator.faults.add(ORDER_A_TASK, drop="before")
    return _ended(LLMFinetune("ERNIE-Speed-8K", 111))


def _ended(trainer: LLMFinetune) -> str:
    with pytest.raises(QianfanError):
        trainer.run()
    return trainer.id


@contextmanager
def under_way(emulator: Emulator, looks: float = math.inf) -> Iterator[LLMFinetune]:
    """A trainer that this process drives in the background. looks: how many see it train."""
    emulator.training.script(after_looks=looks, times=1)
    training = threading.Event()
    trainer = LLMFinetune("ERNIE-Speed-8K", 111, event_handler=lambda event: event.progress and training.set())
    trainer.start()
    try:
        assert training.wait(60)
        yield trainer
    finally:
        trainer.detach()
        trainer.wait()


def of_a_newer_version(path: Path) -> None:
    """A journal that a later qianfan wrote."""
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()

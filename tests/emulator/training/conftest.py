"""Emulators that really train, on forty short rows in two languages."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qianfan import Client, Settings
from qianfan._sync import run_sync
from qianfan.emulator import Emulator, sample_path
from qianfan.resources import Platform
from qianfan.trainer import LLMFinetune
from qianfan.trainer.configs import DeployConfig
from tests.emulator.making import released
from tests.emulator.signing import Console

MODEL = "ERNIE-Lite-8K-0308"
"""A model whose limits leave most room."""


def short_rows(count: int = 40) -> list[tuple[str, str]]:
    """(question, answer) of single-turn rows of the sample, English and Chinese in turn."""
    rows = [json.loads(line) for line in sample_path().read_text("utf-8").splitlines()]
    pairs = [(row[0]["prompt"], row[0]["response"][0][0]) for row in rows if len(row) == 1]
    english = [pair for pair in pairs if pair[0].isascii()]
    chinese = [pair for pair in pairs if not pair[0].isascii()]
    return [pair for both in zip(english, chinese, strict=False) for pair in both][:count]


ROWS = short_rows()


def as_file(pairs: list[tuple[str, str]]) -> bytes:
    """The rows in the platform's format."""
    rows = ([{"prompt": question, "response": [[answer]]}] for question, answer in pairs)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The forty rows."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(as_file(ROWS))
    return path


@dataclass
class Trained:
    """One training that many tests look at: all rows learnt, three checkpoints kept, deployed."""

    emulator: Emulator
    trainer: LLMFinetune

    @property
    def service(self) -> Any:
        return self.trainer.result[0]["service"]

    @property
    def task(self) -> dict[str, Any]:
        return described(self.trainer)


def described(trainer: Any) -> dict[str, Any]:
    """What the platform tells of a trainer's task."""
    task = run_sync(Platform(trainer._client).finetune.describe_task, trainer.made_so_far["task_id"])
    body: dict[str, Any] = task.body["result"]
    return body


def asked(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.fixture(scope="module")
def trained(rows_file: Path) -> Iterator[Trained]:
    with Emulator(activate=False) as emulator:
        trainer = LLMFinetune(
            MODEL,
            str(rows_file),
            train_config={"epoch": 3, "peft_type": "ALL", "checkpointCount": 10, "saveStep": 15},
            deploy_config=DeployConfig(service_type="Chat"),
            eval_split_ratio=0,
            client=client_of(emulator),
        )
        trainer.run()
        yield Trained(emulator, trainer)


def client_of(emulator: Emulator) -> Any:
    """A client that talks to this emulator and reads nothing from outside."""
    return Client(Settings(**{name.lower(): value for name, value in emulator.settings.items()}))


async def deployed_on(emulator: Emulator, pairs: list[tuple[str, str]]) -> LLMFinetune:
    """A trainer that has learnt all these rows, and deployed what it learnt."""
    async with Console(emulator) as console:
        dataset = await released(console, as_file(pairs))
    trainer = LLMFinetune(
        MODEL,
        dataset,
        train_config={"epoch": 1, "peft_type": "ALL"},
        deploy_config=DeployConfig(service_type="Chat"),
        eval_split_ratio=0,
        client=client_of(emulator),
    )
    return await trainer.arun()


Workers = Callable[[], set[int]]


@pytest.fixture
def workers() -> Workers:
    """The process ids of engines that this process has started and that have not ended."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("there is no /proc to find processes in")

    def found() -> set[int]:
        ids: set[int] = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if stat[0] != "Z" and int(stat[1]) == os.getpid() and b"qianfan.engines.worker" in command:
                ids.add(int(folder.name))
        return ids

    return found

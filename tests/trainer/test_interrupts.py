"""Ctrl-C on a blocking run: out quickly, with the way back printed, and the remote job as agreed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qianfan import Client, Settings
from qianfan.resources import Platform
from qianfan.trainer import LLMFinetune
from tests.support.served import environment, served_emulator

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

SCRIPT = """
import sys
from qianfan.trainer import LLMFinetune

def tell(event):
    print("EVENT", event.action_class.__name__, event.action_state.value, flush=True)

trainer = LLMFinetune("ERNIE-Speed-8K", 111, event_handler=tell)
print("ID", trainer.id, flush=True)
trainer.run(on_interrupt=sys.argv[1])
print("RETURNED", flush=True)
"""


@pytest.fixture
def exports() -> Iterator[dict[str, str]]:
    with served_emulator("--pace", "3600") as exports:
        yield {**exports, "QIANFAN_TRAIN_STATUS_POLLING_INTERVAL": "0.05"}


def interrupted(exports: dict[str, str], on_interrupt: str, home: Path) -> tuple[str, int, str]:
    """Run the script, send Ctrl-C once it trains; give the trainer's id, the exit code and what went to stderr."""
    command = [sys.executable, "-c", SCRIPT, on_interrupt]
    env = environment({**exports, "HOME": str(home)})
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    id = ""
    for line in process.stdout:
        if line.startswith("ID"):
            id = line.split()[1]
        if line.startswith("EVENT TrainAction Running"):
            process.send_signal(signal.SIGINT)
            break
    out, errors = process.communicate(timeout=20)
    assert "RETURNED" not in out
    return id, process.returncode, errors


@pytest.mark.parametrize(("on_interrupt", "state"), [("detach", ("Waiting", "Running")), ("stop", ("Stopped",))])
async def test_ctrl_c(
    on_interrupt: str, state: tuple[str, ...], exports: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    id, code, errors = interrupted(exports, on_interrupt, home)
    assert "KeyboardInterrupt" in errors
    assert code in (1, -signal.SIGINT, 130)
    for name, value in exports.items():
        monkeypatch.setenv(name, value)
    async with Client(Settings.from_env()) as client:
        trainer = await LLMFinetune.aload(id, client=client)
        task_id = trainer.info()["task_id"] or trainer._snapshot.notes(trainer.train_action.id)["task_id"]
        task = await Platform(client).finetune.describe_task(task_id)
    assert task.run_status in state
    assert task_id in errors
    if on_interrupt == "detach":
        assert f"LLMFinetune.load('{id}').resume()" in errors

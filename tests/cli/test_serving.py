"""`qianfan emulator serve` with engines that train for real."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from qianfan.cli.emulator import by_name
from qianfan.emulator import sample_path
from tests.support.served import environment, exports_of, served_emulator

QIANFAN = [sys.executable, "-m", "qianfan.cli.main"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (None, {}),
        (["/models/Qwen3-0.6B"], {"": "/models/Qwen3-0.6B"}),
        (["ERNIE-Speed-8K=/models/a=b"], {"ERNIE-Speed-8K": "/models/a=b"}),
        (["./a=b"], {"": "./a=b"}),
        (["C:\\models\\a=b"], {"": "C:\\models\\a=b"}),
        (["http://127.0.0.1:8000/v1#a=b"], {"": "http://127.0.0.1:8000/v1#a=b"}),
        (["a=/x", "/y"], {"a": "/x", "": "/y"}),
    ],
)
def test_values_by_name(given: list[str] | None, named: dict[str, str]) -> None:
    assert by_name(given) == named


@pytest.mark.socket
def test_one_process_trains_what_another_one_orders(tmp_path: Path) -> None:
    """As the documentation shows it: serve, export, train, ask."""
    with served_emulator("--engine", "tiny", "--data-dir", str(tmp_path / "state")) as exports:
        env = {**environment(exports), "QIANFAN_CACHE_DIR": str(tmp_path / "cache")}
        command = ["trainer", "run", "--train-type", "ERNIE-Speed-8K", "--dataset-file", str(sample_path()), "--json"]
        done = subprocess.run([*QIANFAN, *command], env=env, capture_output=True, text=True, check=True)
        made = json.loads(done.stdout)
    assert made["status"] == "ModelPublished"
    assert "loss" in done.stderr
    [task] = (tmp_path / "state" / "training" / "tasks").iterdir()
    assert {"spec.json", "train.jsonl", "eval.jsonl", "events.jsonl", "worker.log", "checkpoints"} <= {
        path.name for path in task.iterdir()
    }
    assert (tmp_path / "state" / "training" / "models" / made["model_id"] / "manifest.json").exists()


def workers_of(process: int) -> set[int]:
    """The engines that a process has started."""
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == process and b"qianfan.engines.worker" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Whatever happens inside, the process does not outlive the block."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.socket
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to find processes in")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_trainer_outlives_the_emulator(sent: signal.Signals, tmp_path: Path) -> None:
    """Also where nobody has the time to end it."""
    command = [*QIANFAN, "emulator", "serve", "--port", "0", "--pace", "instant"]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)) as served:
        env = {**environment(exports_of(served)), "QIANFAN_CACHE_DIR": str(tmp_path / "cache")}
        wishes = ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--train-epoch", "50"]
        order = [*QIANFAN, "trainer", "run", *wishes]
        with ended(subprocess.Popen(order, env=env, stdout=subprocess.PIPE, text=True)) as run:
            assert run.stdout is not None
            assert any("is Running" in line for line in run.stdout)
            [trainer] = workers_of(served.pid)
            served.send_signal(sent)
            served.communicate(timeout=30)
        while is_alive(trainer):
            pass

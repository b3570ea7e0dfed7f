"""The command line as scripts and people use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qianfan import __version__
from qianfan.cli import main
from qianfan.emulator import Emulator
from tests.support.served import environment, served_emulator


def qianfan(*arguments: str) -> int:
    """Run a command in this process and give its exit code."""
    return main.run(list(arguments))


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(pace="instant") as emulator:
        yield emulator


# --- the whole ---------------------------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    "command",
    [[], ["quickstart"], ["emulator"], ["emulator", "serve"], ["trainer"], ["trainer", "run"], ["trainer", "finetune"],
     ["trainer", "list"], ["trainer", "info"]],
)  # fmt: skip
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan(*command, "--help") == 0
    shown = capsys.readouterr().out
    assert "Usage: " in shown
    if len(command) == 2 and command != ["trainer", "finetune"]:
        assert "Example:" in shown


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from qianfan.cli.main import run
assert run(["--help"]) == 0
heavy = [name for name in ("httpx", "pydantic", "anyio", "starlette", "uvicorn") if name in sys.modules]
assert heavy == [], heavy
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_wrong_option_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", "--paec", "instant") == 2
    assert "--pace" in capsys.readouterr().err


# --- quickstart ----------------------------------------------------------------------------------------------------


def test_quickstart_ends_in_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", "--pace", "instant", "--question", "What is an epoch?") == 0
    shown = capsys.readouterr().out
    for step in ("dataset", "training", "model", "service"):
        assert any(line.startswith(step) for line in shown.splitlines())
    assert "You    What is an epoch?" in shown
    assert any(line.startswith("Model  ") and len(line) > 10 for line in shown.splitlines())
    assert "simulated: true" in shown
    assert "qianfan trainer run" in shown


def test_quickstart_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", "--pace", "instant", "--json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["simulated"] is True
    assert document["status"] == "Deployed"
    assert document["answer"]
    assert document["result"]["model_id"].startswith("amv-")
    assert "training" in captured.err


def test_quickstart_with_rows_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"instruction": f"question {n}", "input": "", "output": f"answer {n}"} for n in range(40)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert qianfan("quickstart", "--pace", "instant", "--file", str(tmp_path / "rows.json")) == 0
    shown = capsys.readouterr().out
    assert "You    question 0" in shown
    assert "Model  answer 0" in shown


def test_quickstart_with_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text('[{"prompt": "a", "response": [["b"]]}]\n{"oops"\n')
    assert qianfan("quickstart", "--pace", "instant", "--file", str(tmp_path / "rows.jsonl")) == 2
    errors = capsys.readouterr().err
    assert "rows.jsonl" in errors
    assert "line 2" in errors
    assert "Traceback" not in errors


def test_quickstart_with_an_unknown_pace(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", "--pace", "warp") == 2
    assert "instant" in capsys.readouterr().err


def test_ctrl_c_in_quickstart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qianfan.cli.main", "quickstart", "--pace", "3600"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "HOME": str(tmp_path)}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("dataset"):
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Interrupted" in errors
    assert "Traceback" not in errors


# --- trainer -------------------------------------------------------------------------------------------------------


def test_a_run_and_what_is_remembered_of_it(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("trainer", "run", "--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["result"]["model_id"] in emulator.models
    assert emulator.services == {}

    assert qianfan("trainer", "list", "--json") == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert listed["id"] == document["id"]
    assert listed["status"] == "ModelPublished"

    assert qianfan("trainer", "list") == 0
    assert document["id"] in capsys.readouterr().out

    assert qianfan("trainer", "info", "--trainer-id", document["id"], "--json") == 0
    assert json.loads(capsys.readouterr().out)["task_id"] == document["result"]["task_id"]

    assert qianfan("trainer", "info", "--task-id", document["result"]["task_id"], "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["run_status"], facts["progress"]) == ("Done", 100)

    assert qianfan("trainer", "info", "--task-id", document["result"]["task_id"]) == 0
    assert "run_status" in capsys.readouterr().out


def test_all_options_reach_the_platform(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("epoch: 9\nmax_seq_len: 2048\n")
    arguments = {
        "--train-type": "ERNIE-Speed-8K",
        "--dataset-id": "111",
        "--train-config-file": str(tmp_path / "config.yaml"),
        "--train-epoch": "3",
        "--train-learning-rate": "0.0002",
        "--train-peft-type": "LoRA",
        "--trainset-rate": "15",
        "--train-logging-steps": "2",
        "--train-warmup-ratio": "0.1",
        "--train-weight-decay": "0.01",
        "--train-lora-rank": "8",
        "--train-lora-all-linear": "True",
        "--deploy-name": "cli_service",
        "--deploy-endpoint-prefix": "cli",
        "--deploy-description": "made by a test",
        "--deploy-replicas": "2",
        "--deploy-pool-type": "private_resource",
        "--deploy-service-type": "chat",
        "--name": "clijob",
    }
    assert qianfan("trainer", "finetune", *[part for pair in arguments.items() for part in pair]) == 0
    [task] = emulator.tasks.values()
    assert task.hyper_parameters == {
        "epoch": 3,
        "learningRate": 0.0002,
        "maxSeqLen": 2048,
        "loggingSteps": 2,
        "warmupRatio": 0.1,
        "weightDecay": 0.01,
        "loraRank": 8,
        "loraAllLinear": "True",
    }
    assert task.split_ratio == 15
    [job] = emulator.jobs.values()
    assert job.name.startswith("clijob_")
    [service] = [request.body for request in emulator.requests if request.name == "CreateService"]
    assert (service["name"], service["urlSuffix"], service["description"]) == ("cli_service", "cli", "made by a test")
    assert service["resourceConfig"]["replicasCount"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["--dataset-id", "111"], 2, "--train-type", id="no model"),
        pytest.param(["--train-type", "ERNIE-Speed-8K"], 2, "--dataset-file", id="no dataset"),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--dataset-file", "x"], 2, "exactly one", id="two"
        ),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-file", "nowhere.jsonl"], 2, "nowhere.jsonl", id="no file"
        ),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--train-batch-size", "3"],
            2,
            "batch_size",
            id="parameter the model does not have",
        ),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--train-epoch", "1000"],
            2,
            "epoch",
            id="out of range",
        ),
        pytest.param(["--train-type", "Nobody-8K", "--dataset-id", "111"], 1, "Nobody-8K", id="unknown model"),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--deploy-pool-type", "public_resource"],
            2,
            "PublicResource",
            id="public pool",
        ),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--on-interrupt", "panic"],
            2,
            "neither detach nor stop",
            id="interrupt",
        ),
    ],
)
def test_bad_input_is_one_readable_line(
    arguments: list[str], code: int, says: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qianfan("trainer", "run", *arguments) == code
    captured = capsys.readouterr()
    assert says in captured.err + captured.out
    assert "Traceback" not in captured.err
    assert emulator.tasks == {}


def test_a_failed_job(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.training.script(ends="Failed", reason="loss is NaN")
    assert qianfan("trainer", "run", "--train-type", "ERNIE-Speed-8K", "--dataset-id", "111") == 1
    assert "loss is NaN" in capsys.readouterr().err


def test_missing_and_wrong_keys(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["trainer", "run", "--train-type", "ERNIE-Speed-8K", "--dataset-id", "111"]
    emulator.faults.add("info", status=403, code="InvalidAccessKeyId", message="unknown key")
    assert qianfan(*run) == 3
    assert "unknown key" in capsys.readouterr().err


def test_no_keys_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("trainer", "info", "--task-id", "task-1") == 3
    assert "QIANFAN_ACCESS_KEY" in capsys.readouterr().err


def test_a_platform_that_cannot_be_reached(monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("QIANFAN_CONSOLE_API_RETRY_COUNT", "1")
    assert qianfan("--access-key", "a", "--secret-key", "s", "trainer", "info", "--task-id", "task-1") == 4
    assert "Error: " in capsys.readouterr().err


def test_nothing_has_run_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("trainer", "list") == 0
    assert "No trainer has run" in capsys.readouterr().out
    assert qianfan("trainer", "info", "--trainer-id", "nobody") == 2
    assert qianfan("trainer", "info") == 2


def test_tracebacks_on_request(emulator: Emulator) -> None:
    from qianfan.errors import InvalidArgumentError

    with pytest.raises(InvalidArgumentError):
        qianfan("--enable-traceback", "trainer", "info", "--trainer-id", "nobody")
    assert qianfan("trainer", "info", "--trainer-id", "nobody") == 2


# --- in processes of their own ------------------------------------------------------------------------------------


@pytest.mark.socket
def test_serve_in_one_process_and_train_in_another(tmp_path: Path) -> None:
    with served_emulator("--pace", "instant") as exports:
        command = [sys.executable, "-m", "qianfan.cli.main", "trainer", "run", "--train-type", "ERNIE-Speed-8K"]
        env = environment({**exports, "HOME": str(tmp_path)})
        done = subprocess.run(
            [*command, "--dataset-id", "111", "--json"], env=env, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["status"] == "ModelPublished"
        for secret in ("QIANFAN_SECRET_KEY", "QIANFAN_SK"):
            if secret in exports:
                assert exports[secret] not in done.stdout + done.stderr


@pytest.mark.socket
def test_ctrl_c_leaves_the_training_and_tells_the_way_back(tmp_path: Path) -> None:
    with served_emulator("--pace", "3600") as exports:
        command = [sys.executable, "-m", "qianfan.cli.main", "trainer", "run", "--train-type", "ERNIE-Speed-8K"]
        env = environment({**exports, "HOME": str(tmp_path)})
        process = subprocess.Popen(
            [*command, "--dataset-id", "111"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("training") and ("Running" in line or "Waiting" in line):
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert ".resume()" in errors
    assert "Traceback" not in errors


def test_serving_to_other_machines_must_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("emulator", "serve", "--host", "0.0.0.0", "--port", "0") == 2
    assert "allow" in capsys.readouterr().err

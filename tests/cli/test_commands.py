"""The command line as scripts and people use it."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from qianfan import __version__
from qianfan.cli.exits import Exit
from qianfan.emulator import Emulator, sample_path
from qianfan.utils.logging import logger
from tests.cli.support import MODEL_AND_DATA, qianfan

COMMANDS = [
    ["quickstart"],
    ["dataset"],
    ["dataset", "check"],
    ["dataset", "stats"],
    ["dataset", "view"],
    ["dataset", "convert"],
    ["dataset", "upload"],
    ["dataset", "download"],
    ["dataset", "save"],
    ["dataset", "predict"],
    ["emulator"],
    ["emulator", "serve"],
    ["trainer"],
    ["trainer", "run"],
    ["trainer", "finetune"],
    ["trainer", "resume"],
    ["trainer", "list"],
    ["trainer", "info"],
    ["trainer", "watch"],
    ["trainer", "stop"],
    ["trainer", "attach"],
    ["trainer", "decide"],
]


# --- the whole ---------------------------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("command", [[], *COMMANDS])
@pytest.mark.parametrize("asking", ["-h", "--help"])
def test_every_command_explains_itself(command: list[str], asking: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it does, its options, and an example at the end."""
    assert qianfan(*command, asking) == 0
    shown = capsys.readouterr().out
    assert "Usage: " in shown
    assert " ".join(shown.split()).rpartition("Example: ")[2].startswith("qianfan ")


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    qianfan("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f" {code.value} " in shown for code in Exit)


@pytest.mark.parametrize("group", [[], ["dataset"], ["trainer"], ["emulator"]])
def test_a_group_without_a_command_shows_its_help(group: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan(*group) == 0
    assert "Usage: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quickstart", "--paec", "instant"], "--pace"),
        (["trian"], "trian"),
        (["--log-level", "loud", "trainer", "list"], "'loud' is not one of"),
        (["emulator", "serve", "--port", "70000"], "65535"),
    ],
)
def test_wrong_options_are_one_line_with_the_way_to_the_help(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qianfan(*arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: ")
    assert says in line
    assert line.endswith("--help shows the options)")


SCRIPTED = ["--engine", "scripted", "--pace", "instant"]


# --- quickstart ----------------------------------------------------------------------------------------------------


def test_quickstart_learns_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """The loss falls, and at least nine of ten training questions come back word for word."""
    assert qianfan("quickstart", "--pace", "instant", "--question", "Define an epoch.") == 0
    shown = capsys.readouterr().out
    for step in ("dataset", "training", "model", "service"):
        assert any(line.startswith(step) for line in shown.splitlines())
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", shown)]
    assert losses[-1] < losses[0] / 10
    assert "You    Define an epoch.\nModel  One full pass over all the training data.\n" in shown
    right = re.search(r"(\d+) of 10 training questions come back word for word", shown)
    assert right is not None
    assert int(right[1]) >= 9
    assert "It learns your rows by heart; it understands nothing." in shown
    assert "qianfan trainer run" in shown


def test_quickstart_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", "--pace", "instant", "--json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["engine"], document["simulated"]) == ("tiny", False)
    assert document["status"] == "Deployed"
    assert document["answer"]
    assert document["training_questions"]["asked"] == 10
    assert document["training_questions"]["right"] >= 9
    assert document["result"]["model_id"].startswith("amv-")
    assert "training" in captured.err


def test_a_scripted_quickstart_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", *SCRIPTED, "--question", "What is an epoch?") == 0
    shown = capsys.readouterr().out
    assert "You    What is an epoch?" in shown
    assert any(line.startswith("Model  ") and len(line) > 10 for line in shown.splitlines())
    assert "simulated: true" in shown
    assert qianfan("quickstart", *SCRIPTED, "--json") == 0
    assert json.loads(capsys.readouterr().out)["simulated"] is True


def test_quickstart_with_rows_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"instruction": f"question {n}", "input": "", "output": f"answer {n}"} for n in range(40)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert qianfan("quickstart", *SCRIPTED, "--file", str(tmp_path / "rows.json")) == 0
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--engine", "steam"], "'tiny', 'hf', 'scripted'"),
        (["--engine", "tiny", "--base", "."], "base models need engine='hf'"),
        (["--base", "nowhere"], "which is no folder"),
        (["--engine", "command"], "'tiny', 'hf', 'scripted'"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", *options) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_quickstart_with_too_few_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text('[{"prompt": "a", "response": [["b"]]}]\n' * 31)
    assert qianfan("quickstart", "--file", str(tmp_path / "rows.jsonl")) == 2
    assert "holds 31 rows; the platform trains on 32 or more" in " ".join(capsys.readouterr().err.split())


def test_a_quickstart_asks_as_the_rows_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a row says to the system belongs to its question."""
    rows = [[{"system": f"you are {n}", "prompt": "who are you?", "response": [[f"bot {n}"]]}] for n in range(34)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert qianfan("quickstart", "--pace", "instant", "--file", str(tmp_path / "rows.jsonl"), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["training_questions"]["right"] >= 5


def test_quickstart_with_an_unknown_pace(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", "--pace", "warp") == 2
    assert "instant" in capsys.readouterr().err


def test_quickstart_reads_no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stray variable or file cannot spoil it, and it leaves nothing behind."""
    monkeypatch.setenv("QIANFAN_TRAIN_STATUS_POLLING_INTERVAL", "often")
    (tmp_path / ".env").write_text("QIANFAN_CONSOLE_API_BASE_URL=nonsense\n")
    assert qianfan("quickstart", *SCRIPTED) == 0
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_a_question_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("quickstart", *SCRIPTED, "--question", "[bold]什么是 LoRA?[/]") == 0
    assert "You    [bold]什么是 LoRA?[/]\n" in capsys.readouterr().out


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


def test_info_about_a_task_is_one_request(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("trainer", "run", *MODEL_AND_DATA, "--json") == 0
    task = json.loads(capsys.readouterr().out)["task_id"]
    before = len(emulator.requests)
    assert qianfan("trainer", "info", "--task-id", task, "--json") == 0
    assert [request.name for request in emulator.requests[before:]] == ["DescribeFineTuningTask"]


def test_with_json_everything_else_goes_to_stderr(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("trainer", "run", *MODEL_AND_DATA, "--deploy-service-type", "Chat", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["service_id"] in emulator.services
    steps = list(dict.fromkeys(line.split()[0] for line in captured.err.splitlines()))
    assert steps == ["dataset", "training", "model", "service"]


def test_a_file_is_uploaded_first(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["trainer", "run", "--train-type", "ERNIE-Speed-8K", "--dataset-file", str(sample_path()), "--json"]
    assert qianfan(*command) == 0
    [version] = json.loads(capsys.readouterr().out)["result"]["datasets"]["versions"]
    assert emulator.datasets[version["versionId"]].rows == 146


def test_options_replace_values_of_the_file_before_the_checks(emulator: Emulator, tmp_path: Path) -> None:
    """A value that could not be used does not matter when it is replaced, whatever name the file has for it."""
    (tmp_path / "config.json").write_text('{"epochs": -1, "maxSeqLen": 2048}')
    options = ["--train-config-file", str(tmp_path / "config.json"), "--train-epoch", "2"]
    assert qianfan("trainer", "run", *MODEL_AND_DATA, *options) == 0
    [task] = emulator.tasks.values()
    assert (task.hyper_parameters["epoch"], task.hyper_parameters["maxSeqLen"]) == (2, 2048)


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
    assert (service["name"], service["urlSuffix"]) == ("cli_service", "cli")
    assert service["description"].startswith("made by a test ")
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
            "'panic' is not one of 'detach', 'stop'",
            id="interrupt",
        ),
        pytest.param(["--train-type", "ERNIE-Speed-8K", "--dataset-id", "rows"], 2, "begins with ds-", id="no id"),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-bos-path", "rows"], 2, "bos:/bucket/path", id="no path"
        ),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--train-config-file", "nowhere.yaml"],
            2,
            "nowhere.yaml",
            id="no configuration file",
        ),
        pytest.param(
            ["--train-type", "ERNIE-Speed-8K", "--dataset-id", "111", "--deploy-replicas", "0"],
            2,
            "replicas",
            id="no replica",
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
    assert qianfan("trainer", "run", *MODEL_AND_DATA, "--json") == 1
    captured = capsys.readouterr()
    assert "loss is NaN" in captured.err
    document = json.loads(captured.out)
    assert document["task_id"] in emulator.tasks
    assert document["status"] == "TrainFailed"
    assert document["error"]["type"] == "TrainJobFailedError"


def test_warnings_are_shown_and_the_logger_is_left_as_it_was(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (logger.level, list(logger.handlers))
    assert qianfan("trainer", "run", "--train-type", "Nobody-8K", "--dataset-id", "111") == 1
    assert "[WARNING]" in capsys.readouterr().err
    assert qianfan("--log-level", "info", "trainer", "run", *MODEL_AND_DATA) == 0
    assert "[INFO]" in capsys.readouterr().err
    assert (logger.level, list(logger.handlers)) == before


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
    assert qianfan("trainer", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_tracebacks_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("--enable-traceback", "trainer", "info", "--trainer-id", "nobody") == 2
    assert "Traceback" in capsys.readouterr().err
    assert qianfan("trainer", "info", "--trainer-id", "nobody") == 2
    assert "Traceback" not in capsys.readouterr().err


# --- emulator ------------------------------------------------------------------------------------------------------


def test_serving_to_other_machines_must_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert qianfan("emulator", "serve", "--host", "0.0.0.0", "--port", "0") == 2
    assert "allow" in capsys.readouterr().err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert qianfan("emulator", "serve", "--port", str(port)) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"127.0.0.1:{port}" in line


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert qianfan("emulator", "serve", "--port", "0", "--data-dir", str(tmp_path / "file")) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line

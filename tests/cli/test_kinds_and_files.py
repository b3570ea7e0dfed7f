"""`qianfan trainer` for every kind of training, for going on from an earlier one, and for trainers in files."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from qianfan.emulator import Emulator
from qianfan.resources import BosPath, Platform
from qianfan.trainer import LLMFinetune
from tests.cli.support import MODEL_AND_DATA, document, qianfan, shown
from tests.trainer import earlier

ROWS = {
    "postpretrain": '{"text": "once upon a time"}\n',
    "dpo": '[{"user": "q", "chosen": "good", "rejected": "bad"}]\n',
    "kto": '[{"user": "q", "chosen": "good"}]\n[{"user": "p", "rejected": "bad"}]\n',
}
MODES = {"postpretrain": "PostPretrain", "dpo": "DPO", "kto": "KTO"}
PLACE = "bos:/mine/rows.jsonl"


def sent(emulator: Emulator, name: str) -> list[dict[str, object]]:
    return [request.body for request in emulator.requests if request.name == name]


@pytest.mark.parametrize("command", [*ROWS])
def test_every_kind_has_a_command(command: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:

    async def put() -> None:
        await Platform().bos.put_bytes(ROWS[command].encode() * 50, BosPath.parse(PLACE))

    anyio.run(put)
    options = ["--train-type", "ERNIE-Speed-8K", "--dataset-bos-path", PLACE, "--name", "mine"]
    result = document(capsys, "trainer", command, *options)
    [job] = sent(emulator, "CreateFineTuningJob")
    assert (job["trainMode"], str(job["name"])[:4]) == (MODES[command], "mine")
    assert ("model_id" in str(result)) is (command != "postpretrain")
    assert qianfan("trainer", command, "--help") == 0


def test_an_earlier_training_is_gone_on_from(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    base = LLMFinetune("ERNIE-Speed-8K", 111, peft_type="ALL").run().result[0]
    document(capsys, "trainer", "finetune", "--previous-task-id", base["task_id"], "--dataset-id", "111")
    assert sent(emulator, "CreateFineTuningTask")[-1]["incrementTaskId"] == base["task_id"]


@pytest.mark.parametrize("option", ["-f", "--trainer-pipeline-file"])
def test_a_file_of_the_earlier_sdk_is_run(
    option: str, emulator: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = earlier.write(tmp_path, earlier.pipeline())
    document(capsys, "trainer", "finetune", option, str(path))
    assert len(emulator.services) == 1
    assert LLMFinetune.list()[0]["id"] == "YudD7ZctgT"


def test_a_saved_trainer_is_run(emulator: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = LLMFinetune("ERNIE-Speed-8K", 111).save(tmp_path / "t.json")
    document(capsys, "trainer", "run", "-f", str(path))
    assert len(emulator.models) == 1


@pytest.mark.parametrize("options", [MODEL_AND_DATA, ["--train-epoch", "2"], ["--deploy-name", "svc"]])
def test_nothing_stands_beside_a_file(
    options: list[str], emulator: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = earlier.write(tmp_path, earlier.pipeline())
    assert "leave the other options out" in shown(capsys, "trainer", "run", "-f", str(path), *options, code=2)
    assert emulator.requests == []


def test_a_file_of_another_kind_or_of_none(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = earlier.write(tmp_path, earlier.pipeline())
    assert "not a DPO" in shown(capsys, "trainer", "dpo", "-f", str(path), code=2)
    path.write_text("{}")
    assert "pipeline.json" in shown(capsys, "trainer", "run", "-f", str(path), code=2)

"""The engine `command` behind the platform's calls, with a program that writes LLaMA-Factory's log."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from qianfan.emulator import Emulator
from qianfan.errors import ModelPublishFailedError, TrainJobFailedError
from qianfan.trainer import LLMFinetune
from tests.emulator.making import released
from tests.emulator.signing import Console
from tests.engines import outside_trainer

from .conftest import MODEL, ROWS, as_file, client_of, described

pytestmark = pytest.mark.anyio

OUTSIDE = [sys.executable, outside_trainer.__file__, "{config}"]
CONFIG = {"epoch": 2, "peft_type": "ALL", "saveStep": 2, "checkpointCount": 3}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """As much of a pretrained model as the program looks at."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text('{"dtype": "bfloat16"}')
    return folder


async def trainer_for(emulator: Emulator, **wishes: object) -> LLMFinetune:
    async with Console(emulator) as console:
        dataset = await released(console, as_file(ROWS))
    return LLMFinetune(MODEL, dataset, train_config=CONFIG, client=client_of(emulator), **wishes)


async def test_what_it_logs_is_what_the_platform_tells(base: Path) -> None:
    with Emulator(activate=False, base=base, command=OUTSIDE) as emulator:
        assert emulator.engine == "command"
        trainer = await trainer_for(emulator, eval_split_ratio=0)
        await trainer.arun()
        task = described(trainer)
        curve = emulator.curve(task["taskId"])
        assert trainer.result[0]["model_id"] in emulator.models
    assert curve.training == [(step, round(8 / step, 4)) for step in range(1, outside_trainer.STEPS + 1)]
    assert [checkpoint["step"] for checkpoint in task["checkpointList"]] == [2, 4, 6]
    assert task["local"]["engine"] == "command"
    assert task["simulated"] is False


async def test_it_fails(base: Path) -> None:
    with Emulator(activate=False, base=base, command=[*OUTSIDE, "fail"]) as emulator:
        trainer = await trainer_for(emulator)
        with pytest.raises(TrainJobFailedError, match="no way"):
            await trainer.arun()


async def test_a_program_that_is_not_there(base: Path) -> None:
    with Emulator(activate=False, base=base, command=["no-such-trainer", "{config}"]) as emulator:
        trainer = await trainer_for(emulator)
        with pytest.raises(TrainJobFailedError, match="no-such-trainer"):
            await trainer.arun()


@pytest.mark.skipif(find_spec("torch") is not None, reason="adapters can be merged where torch is installed")
async def test_adapters_need_torch_to_become_a_model(base: Path) -> None:
    with Emulator(activate=False, base=base, command=OUTSIDE) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))
        trainer = LLMFinetune(
            MODEL, dataset, train_config={"epoch": 1, "peft_type": "LoRA"}, client=client_of(emulator)
        )
        with pytest.raises(ModelPublishFailedError, match=r"qianfan\[train\]"):
            await trainer.arun()

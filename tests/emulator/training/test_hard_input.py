"""Requests and folders that are not as they should be: each gets its answer, and nothing else suffers."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest

from qianfan.emulator import Emulator, engine_options
from qianfan.errors import APIError, InvalidArgumentError, TrainJobFailedError
from qianfan.model import Service
from qianfan.pipeline import Event
from qianfan.trainer import LLMFinetune
from tests.emulator.making import released
from tests.emulator.signing import Console

from .conftest import MODEL, ROWS, Trained, Workers, as_file, asked, client_of, deployed_on, described

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "1e999"),
        ("temperature", "-1"),
        ("top_p", "7"),
        ("stop", "5"),
        ("stop", "[1]"),
        ("stop", '["\\ud800"]'),
        ("seed", '"x"'),
        ("max_tokens", "true"),
        ("max_tokens", '"7"'),
        ("max_completion_tokens", "0"),
    ],
)
async def test_fields_that_do_not_fit(field: str, value: str, trained: Trained) -> None:
    """The call is refused by name, and the model goes on answering."""
    endpoint = trained.service.endpoint
    async with Console(trained.emulator) as console:
        messages = '[{"role": "user", "content": "hi"}]'
        content = f'{{"model": "{endpoint}", "messages": {messages}, "{field}": {value}}}'
        token = await bearer(console)
        answer = await console.http.post("/v2/chat/completions", content=content.encode(), headers=token)
    assert answer.status_code == 400
    assert field.partition("_")[0] in answer.text
    assert (await trained.service.aexec(asked(ROWS[0][0])))["result"] == ROWS[0][1]


async def test_half_a_character(trained: Trained) -> None:
    endpoint = trained.service.endpoint
    async with Console(trained.emulator) as console:
        content = f'{{"model": "{endpoint}", "messages": [{{"role": "user", "content": "\\ud800"}}]}}'
        answer = await console.http.post("/v2/chat/completions", content=content, headers=await bearer(console))
    assert answer.status_code == 400
    assert "Unicode" in answer.text


@pytest.mark.parametrize("seed", [-3, 2**80])
async def test_any_whole_number_is_a_seed(seed: int, trained: Trained) -> None:
    wishes = {"temperature": 0.9, "seed": seed}
    first, second = [(await trained.service.aexec({**asked("hello"), **wishes}))["result"] for _ in range(2)]
    assert first == second


async def bearer(console: Console) -> dict[str, str]:
    made = await console.http.get("/v1/BCE-BEARER/token", params={"expireInSeconds": "600"}, auth=console.auth)
    return {"authorization": f"Bearer {made.json()['token']}", "content-type": "application/json"}


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # it takes as long as the silence
async def test_a_model_that_stops_responding(workers: Workers) -> None:
    """Whoever waits gets an error, and the next question a new process."""
    with Emulator(activate=False, silence=6.0) as emulator:
        before = workers()
        service = (await deployed_on(emulator, ROWS[:32])).result[0]["service"]
        await service.aexec(asked(ROWS[0][0]))
        for process in workers() - before:
            os.kill(process, signal.SIGSTOP)
        with pytest.raises(APIError, match="told nothing for 6 s"):
            await service.aexec(asked(ROWS[0][0]), retry_count=1)
        assert (await service.aexec(asked(ROWS[0][0])))["result"] == ROWS[0][1]


# --- folders ----------------------------------------------------------------------------------------------------------


async def test_a_folder_that_was_moved(tmp_path: Path) -> None:
    with Emulator(activate=False, data_dir=tmp_path / "here") as emulator:
        task = described(await deployed_on(emulator, ROWS[:32]))
        keys = {name: emulator.settings[name.upper()] for name in ("access_key", "secret_key")}
    shutil.move(tmp_path / "here", tmp_path / "there")
    with Emulator(activate=False, data_dir=tmp_path / "there", **keys) as emulator:
        again = LLMFinetune.attach(task_id=task["taskId"], client=client_of(emulator))
        await again.arun()
        assert described(again)["checkpointList"] == task["checkpointList"]


async def test_a_folder_with_scripted_models(tmp_path: Path) -> None:
    """Nothing answers for them, and their services do not look as if something did."""
    with Emulator(activate=False, data_dir=tmp_path, engine="scripted") as emulator:
        service = (await deployed_on(emulator, ROWS[:32])).result[0]["service"]
        keys = {name: emulator.settings[name.upper()] for name in ("access_key", "secret_key")}
    with Emulator(activate=False, data_dir=tmp_path, **keys) as emulator:
        [kept] = emulator.services.values()
        assert kept.state == "Stopped"
        assert "no trained model behind it" in kept.reason
        with pytest.raises(APIError, match="is Stopped"):
            await Service(endpoint=service.endpoint, client=client_of(emulator)).aexec(asked("hi"))


async def test_a_folder_belongs_to_one_emulator(tmp_path: Path) -> None:
    with Emulator(activate=False, data_dir=tmp_path):
        second = Emulator(activate=False, data_dir=tmp_path)
        with pytest.raises(InvalidArgumentError, match="in use by another emulator"), second:
            pass
    with Emulator(activate=False, data_dir=tmp_path):
        pass


async def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task fails instead of waiting for ever."""
    with Emulator(activate=False, data_dir=tmp_path) as emulator:
        (tmp_path / "training").write_text("a file in the way")
        with pytest.raises(TrainJobFailedError, match="training"):
            await deployed_on(emulator, ROWS[:32])


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
async def test_a_trainer_that_somebody_else_ends(workers: Workers) -> None:
    """That is no stop by its owner."""
    before, running = workers(), anyio.Event()

    async def hear(event: Event) -> None:
        if "is Running" in (event.description or ""):
            running.set()

    with Emulator(activate=False) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS * 20))
        config: dict[str, Any] = {"epoch": 50, "peft_type": "ALL"}
        trainer = LLMFinetune(MODEL, dataset, train_config=config, event_handler=hear, client=client_of(emulator))

        async def end_it() -> None:
            await running.wait()
            for process in workers() - before:
                os.kill(process, signal.SIGTERM)

        async with anyio.create_task_group() as group:
            group.start_soon(end_it)
            with pytest.raises(TrainJobFailedError, match="something outside the emulator ended the trainer"):
                await trainer.arun()


def test_an_address_with_a_password() -> None:
    with pytest.raises(InvalidArgumentError, match="OPENAI_API_KEY") as caught:
        engine_options(serve_at="http://bob:hunter2@127.0.0.1:9/v1")
    assert "hunter2" not in str(caught.value)

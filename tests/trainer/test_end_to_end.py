"""From a file on disk to an answer, over a socket, with the platform in another process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qianfan import Client, Settings
from qianfan.dataset import Dataset
from qianfan.emulator import sample_path
from qianfan.trainer import DeployConfig, LLMFinetune
from tests.realdata import real_file
from tests.support.served import served_emulator

pytestmark = [pytest.mark.anyio, pytest.mark.socket]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    with served_emulator("--pace", "instant", "--access-key", "ALTAKtest", "--secret-key", "test-secret") as exports:
        for name, value in exports.items():
            monkeypatch.setenv(name, value)
        yield Client(Settings.from_env())


async def train_and_ask(client: Client, dataset: Dataset, question: str) -> tuple[LLMFinetune, str]:
    config = DeployConfig(service_type="Chat")
    async with client:
        trainer = LLMFinetune("ERNIE-Speed-8K", dataset, deploy_config=config, client=client)
        await trainer.arun()
        messages = [{"role": "user", "content": question}]
        answer = await trainer.output["service"].aexec({"messages": messages})
        pieces = [
            piece["result"]
            async for piece in await trainer.output["service"].aexec({"messages": messages}, stream=True)
        ]
    assert "".join(pieces) == answer["result"]
    return trainer, answer["result"]


async def test_the_shipped_sample(client: Client) -> None:
    dataset = await Dataset.aload(data_file=sample_path())
    turn = dataset[0][0]
    _, answer = await train_and_ask(client, dataset, turn["prompt"])
    assert turn["response"][0][0] in answer


@pytest.mark.parametrize("format", [None, "alpaca"])
async def test_a_real_alpaca_file(client: Client, format: str | None) -> None:
    """A thousand Chinese rows in a form that the platform does not take; they are converted on the way."""
    path = real_file("alpaca_zh_demo.json")
    first = json.loads(path.read_text(encoding="utf-8"))[0]
    dataset = await Dataset.aload(data_file=path, format=format)
    assert len(dataset) == 1000
    assert dataset.validate()
    trainer, answer = await train_and_ask(client, dataset, first["instruction"])
    assert first["output"] in answer
    assert set(trainer.output["metrics"]) == {"BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"}


async def test_the_blocking_face_over_a_socket(client: Client, tmp_path: Path) -> None:
    rows = [{"instruction": f"question {n}", "input": "", "output": f"answer {n}"} for n in range(40)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    trainer = LLMFinetune(
        "ERNIE-Speed-8K", tmp_path / "rows.json", deploy_config={"service_type": "Chat"}, client=client
    )
    trainer.run()
    result = trainer.result[0]
    assert result is not None
    ask = {"messages": [{"role": "user", "content": "question 7"}]}
    assert "answer 7" in result["service"].exec(ask)["result"]
    assert "answer 7" in "".join(piece["result"] for piece in result["service"].exec(ask, stream=True))

"""Every real file in its own shape: checked, converted, uploaded, trained on, and downloaded as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qianfan.dataset import Dataset, DataTemplateType
from qianfan.emulator import Emulator
from qianfan.resources import Platform
from qianfan.resources.console.consts import TrainStatus
from qianfan.trainer import DPO, LLMFinetune, PostPreTrain, Trainer
from tests.realdata import real_file

pytestmark = pytest.mark.anyio

CONVERSATION = DataTemplateType.NonSortedConversation
FILES = [
    pytest.param("alpaca_zh_demo.json", "alpaca", CONVERSATION, 1000, LLMFinetune, id="alpaca"),
    pytest.param("identity.json", "alpaca", CONVERSATION, 91, LLMFinetune, id="identity"),
    pytest.param("glaive_toolcall_zh_demo.json", "sharegpt", CONVERSATION, 300, LLMFinetune, id="tools"),
    pytest.param("dpo_zh_demo.json", "sharegpt", DataTemplateType.PromptChosenRejected, 300, DPO, id="dpo"),
    pytest.param("wiki_demo.txt", "text", DataTemplateType.GenericText, 30, PostPreTrain, id="wiki"),
]

LEARNT = ("identity", "dpo", "wiki")
"""One file for each kind of training."""


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """One loop: what is shown here is the data's way, and training takes seconds."""
    return request.param


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(engine="scripted") as emulator:
        yield emulator


@pytest.fixture
def learner() -> Iterator[Emulator]:
    """A platform that really trains, which long texts take minutes for."""
    with Emulator(engine="tiny") as emulator:
        yield emulator


@pytest.mark.parametrize(("name", "shape", "kind", "rows", "trainer"), FILES)
async def test_from_the_file_to_a_finished_task_and_back(
    emulator: Emulator,
    name: str,
    shape: str,
    kind: DataTemplateType,
    rows: int,
    trainer: type[Trainer],
    tmp_path: Path,
) -> None:
    dataset = await Dataset.aload(data_file=real_file(name))
    source: Any = dataset.inner_data_source_cache
    assert (source.shape.name, dataset.template_type, len(dataset)) == (shape, kind, rows)
    report = dataset.validate()
    assert report, str(report)

    training = trainer("ERNIE-Speed-8K", dataset)
    await training.arun()
    assert await _ended(training) == TrainStatus.Done

    place = training.output["datasets"]["versions"][0]["versionId"]
    back = await (await Dataset.aload(qianfan_dataset_id=place)).adownload(tmp_path / "back.jsonl")
    assert [*back] == [*dataset]


@pytest.mark.parametrize(("name", "trainer"), [(one.values[0], one.values[4]) for one in FILES if one.id in LEARNT])
async def test_a_model_learns_from_some_short_rows(
    learner: Emulator, name: str, trainer: type[Trainer], tmp_path: Path
) -> None:
    dataset = await Dataset.aload(data_file=real_file(name))
    some = dataset.map(_shortened).take_slice(0, 31)
    training = trainer("ERNIE-Speed-8K", some)
    await training.arun()
    assert await _ended(training) == TrainStatus.Done


async def _ended(training: Trainer) -> TrainStatus | str:
    return (await Platform().finetune.describe_task(training.output["task_id"])).run_status


def _shortened(row: Any) -> Any:
    """A row of which every text ends after 40 characters."""
    if isinstance(row, str):
        return row[:40]
    if isinstance(row, dict):
        return {key: _shortened(part) for key, part in row.items()}
    return [_shortened(part) for part in row]


def test_rows_with_tools_come_back_from_the_platforms_form_as_they_were(tmp_path: Path) -> None:
    path = real_file("glaive_toolcall_zh_demo.json")
    Dataset.load(data_file=path).save(data_file=tmp_path / "platform.jsonl")
    Dataset.load(data_file=tmp_path / "platform.jsonl").save(data_file=tmp_path / "back.json", format="sharegpt")
    assert _meaning(tmp_path / "back.json") == _meaning(path)


def _meaning(path: Path) -> list[Any]:
    """The rows of a file, with what stands in texts as JSON read as such: spaces in it mean nothing.

    An empty list of tools says as much as none.
    """
    rows = [_read(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    return [{key: value for key, value in row.items() if (key, value) != ("tools", [])} for row in rows]


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _read(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_read(part) for part in value]
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value

"""An emulated platform with a client whose time jumps, and the steps that lead to something worth testing."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Client
from qianfan.config import default_settings
from qianfan.emulator import Emulator
from qianfan.resources import Platform
from qianfan.resources.console.consts import TrainStatus
from qianfan.resources.schemas import Task
from tests.support.clock import JumpClock

SAMPLE = "ds-sampledataset111"
MODEL = "ERNIE-Speed-8K"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """The default platform of every client, where everything is over at the first or second look."""
    with Emulator(engine="scripted") as emulator:
        yield emulator


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture
def client(emulator: Emulator, clock: JumpClock) -> Client:
    return client_for(clock)


@pytest.fixture
def platform(client: Client) -> Platform:
    return Platform(client)


def client_for(clock: JumpClock, transport: httpx.AsyncBaseTransport | None = None, **changes: object) -> Client:
    """A client of the active emulator."""
    return Client(default_settings().replace(**changes), clock=clock, tokens=TokenStore(), transport=transport)


async def new_job(platform: Platform, name: str = "my_job") -> str:
    return (await platform.finetune.create_job(name=name, model=MODEL, train_mode="SFT")).job_id


async def new_task(platform: Platform, job_id: str) -> str:
    created = await platform.finetune.create_task(
        job_id=job_id,
        parameter_scale="LoRA",
        hyper_parameters={"epoch": 1, "learningRate": 0.0003},
        dataset_config={"sourceType": "Platform", "versions": [{"versionId": SAMPLE}], "splitRatio": 20},
    )
    return created.task_id


async def trained(platform: Platform, name: str = "my_job") -> Task:
    """A training that is done."""
    task_id = await new_task(platform, await new_job(platform, name))
    while (task := await platform.finetune.describe_task(task_id)).run_status != TrainStatus.Done:
        pass
    return task


async def ready_version(platform: Platform, name: str = "my model") -> tuple[str, str]:
    """A published version that is ready: `am-…` and `amv-…`."""
    task = await trained(platform)
    made = await platform.models.publish(job_id=task.job_id, task_id=task.task_id, name=name)
    assert made.version_id is not None
    await platform.models.version_detail(made.version_id)
    return made.set_id, made.version_id

"""Whoever has to decide about a lost order is told something that can be found in the console."""

from __future__ import annotations

import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import OutcomeUnknownError
from qianfan.trainer import LLMFinetune
from qianfan.trainer.configs import DeployConfig
from tests.support.clock import JumpClock
from tests.support.emulated import client_for

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(emulator: Emulator) -> Client:
    return client_for(JumpClock())


async def test_a_lost_task_is_looked_for_in_its_job(emulator: Emulator, client: Client) -> None:
    """A task has no name of its own, so its token is nowhere on the platform."""
    emulator.faults.add("CreateFineTuningTask", drop="before")
    trainer = LLMFinetune(train_type="ERNIE-Speed-8K", dataset=111, client=client)
    with pytest.raises(OutcomeUnknownError) as held:
        await trainer.arun()
    [job_id] = emulator.jobs
    assert f"Look for a task in job {job_id!r} in the console" in str(held.value)


async def test_a_lost_service_is_looked_for_by_its_name(emulator: Emulator, client: Client) -> None:
    """A name that the user chose has no token in it."""
    emulator.faults.add("CreateService", drop="before")
    config = DeployConfig(service_type="Chat", name="my_service")
    trainer = LLMFinetune(train_type="ERNIE-Speed-8K", dataset=111, deploy_config=config, client=client)
    with pytest.raises(OutcomeUnknownError) as held:
        await trainer.arun()
    assert "Look for a service 'my_service' in the console" in str(held.value)

"""Looking for an order of unknown fate while something else answers for the platform."""

from __future__ import annotations

import pytest

from qianfan.emulator import Emulator
from qianfan.trainer import LLMFinetune
from tests.support.clock import JumpClock
from tests.support.emulated import MODEL, client_for

pytestmark = pytest.mark.anyio

PAGE = "<html><body>please log in</body></html>"


@pytest.mark.parametrize(
    ("call", "look", "kind"),
    [
        ("CreateFineTuningJob", "DescribeFineTuningJobs", "job"),
        ("CreateFineTuningTask", "DescribeFineTuningTasks", "task"),
    ],
)
async def test_a_page_in_place_of_a_listing_proves_nothing(call: str, look: str, kind: str, emulator: Emulator) -> None:
    """Neither that there is nothing, nor that nobody will ever be able to look."""
    emulator.faults.add(call, drop="after")
    emulator.faults.add(look, times=2, body=PAGE)
    client = client_for(JumpClock(), submit_on_absent="hold")
    await LLMFinetune(MODEL, 111, model_not_publish=True, client=client).arun()
    assert (emulator.count(call), emulator.made(kind), emulator.count(look)) == (1, 1, 3)

"""Tokens replaced before they end: client and platform by one clock, which only the test moves."""

from __future__ import annotations

import pytest

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Call, Client, Family, Safety
from qianfan.config import Settings
from qianfan.emulator import Emulator
from tests.emulator.conftest import HandClock

pytestmark = pytest.mark.anyio

V1 = Call("chat", Family.INFERENCE_V1, Safety.READ, "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/ernie_speed")
V2 = Call("chat", Family.INFERENCE_V2, Safety.READ, "/v2/chat/completions")
BODY = {"model": "ernie-speed-8k", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("call", "token", "lifetime", "interval"),
    [
        (V1, "oauth", 2592000.0, 43200),
        (V2, "bearer", 43200.0, 43200),
        (V2, "bearer", 300.0, 300),
    ],
)
async def test_a_token_lives_nine_tenths_and_is_never_refused(
    call: Call, token: str, lifetime: float, interval: int
) -> None:
    """Also one whose whole life is shorter than an hour."""
    clock = HandClock()
    with Emulator(engine="scripted", clock=clock, activate=False) as emulator:
        settings = Settings(**{name.lower(): value for name, value in emulator.settings.items()})
        settings = settings.replace(bearer_token_expired_interval=interval)
        transport = emulator.transport()
        async with Client(settings, clock=clock, transport=transport, tokens=TokenStore()) as client:
            for fetched in range(1, 4):
                await client.call(call, BODY)
                assert emulator.count(token) == fetched
                clock.seconds += 0.89 * lifetime
                await client.call(call, BODY)
                assert emulator.count(token) == fetched
                clock.seconds += 0.02 * lifetime
        names = {recorded.name: recorded.status for recorded in emulator.requests}
        assert set(names.values()) == {200}


async def test_while_no_new_token_can_be_had_the_old_one_serves() -> None:
    clock = HandClock()
    with Emulator(engine="scripted", clock=clock, activate=False) as emulator:
        settings = Settings(**{name.lower(): value for name, value in emulator.settings.items()})
        transport = emulator.transport()
        async with Client(settings, clock=clock, transport=transport, tokens=TokenStore()) as client:
            await client.call(V2, BODY)
            clock.seconds += 0.95 * 43200
            emulator.faults.add("bearer", status=503, times=None)
            for _ in range(3):
                await client.call(V2, BODY)
            assert emulator.count("bearer") == 2, "the next try is a minute later"
            emulator.faults.clear()
            clock.seconds += 61
            await client.call(V2, BODY)
            assert emulator.count("bearer") == 3

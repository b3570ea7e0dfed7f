"""Rate limits of the emulator, asked without the client: what is let in, what is refused, what the headers say."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from qianfan.emulator import Emulator
from qianfan.errors import InvalidArgumentError
from tests.emulator.conftest import HandClock
from tests.emulator.making import deployed
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio

V1 = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
HELLO = [{"role": "user", "content": "hello"}]


def said(answer: httpx.Response) -> tuple[int | None, ...]:
    """Limits of requests and tokens, then what is left of them."""
    names = ("limit-requests", "limit-tokens", "remaining-requests", "remaining-tokens")
    values = [answer.headers.get(f"x-ratelimit-{name}") for name in names]
    return tuple(None if value is None else int(value) for value in values)


async def ask_v1(console: Console, endpoint: str = "chat/ernie_speed", **more: Any) -> httpx.Response:
    return await console.post(f"{V1}/{endpoint}", {"messages": HELLO, **more})


async def ask_v2(console: Console, model: str = "ernie-speed-8k", **more: Any) -> httpx.Response:
    with console.emulator._account.lock:
        token = console.emulator._account.tokens.new_bearer(console.emulator._account.now(), 300)
    headers = {"authorization": f"Bearer {token}"}
    body = {"model": model, "messages": HELLO, **more}
    return await console.http.post("/v2/chat/completions", json=body, headers=headers)


async def test_without_limits_nothing_is_said(console: Console) -> None:
    assert said(await ask_v1(console)) == (None,) * 4


async def test_headers_of_a_limited_model_by_both_generations(console: Console, emulator: Emulator) -> None:
    emulator.limit("ERNIE-Speed-8K", rpm=10, tpm=1000)
    first = await ask_v1(console)
    cost = first.json()["usage"]["total_tokens"]
    assert said(first) == (10, 1000, 9, 1000 - cost)
    second = await ask_v2(console)
    assert said(second) == (10, 1000, 8, 1000 - cost - second.json()["usage"]["total_tokens"])
    assert said(await ask_v1(console, "chat/ernie-lite-8k")) == (None,) * 4
    assert said(await console.post("/v2/model", {}, Action="DescribeSystemModelSets")) == (None,) * 4


@pytest.mark.parametrize(
    ("limit", "code", "word"),
    [
        ({"qps": 2}, 18, "rpm_rate_limit_exceeded"),
        ({"rpm": 2}, 336501, "rpm_rate_limit_exceeded"),
        ({"tpm": 1}, 336502, "tpm_rate_limit_exceeded"),
    ],
)
async def test_refusals(timed: Console, clock: HandClock, limit: dict[str, int], code: int, word: str) -> None:
    timed.emulator.limit(**limit)
    for _ in range(limit.get("tpm", 2)):
        assert "result" in (await ask_v1(timed)).json()
    refused = await ask_v1(timed)
    assert (refused.status_code, refused.json()["error_code"]) == (200, code)
    other = await ask_v2(timed)
    assert other.status_code == 429
    assert other.json()["error"]["code"] == word
    assert other.json()["error"]["type"] == "rate_limit_exceeded"
    assert said(refused)[2 if code != 336502 else 3] == said(other)[2 if code != 336502 else 3]
    clock.seconds += 1 if code == 18 else 60
    assert "result" in (await ask_v1(timed)).json()


async def test_windows_slide(timed: Console, clock: HandClock) -> None:
    timed.emulator.limit(rpm=2)
    await ask_v1(timed)
    clock.seconds += 50
    await ask_v1(timed)
    clock.seconds += 9.9
    assert (await ask_v1(timed)).json()["error_code"] == 336501
    clock.seconds += 0.1
    assert "result" in (await ask_v1(timed)).json()
    assert (await ask_v1(timed)).json()["error_code"] == 336501


async def test_a_stream_costs_what_its_end_says(console: Console, emulator: Emulator) -> None:
    emulator.limit(tpm=1000)
    first = await ask_v1(console, stream=True)
    events = [json.loads(line.removeprefix("data: ")) for line in first.text.splitlines() if line]
    cost = events[-1]["usage"]["total_tokens"]
    second = await ask_v2(console, stream=True, stream_options={"include_usage": True})
    last = [json.loads(line.removeprefix("data: ")) for line in second.text.splitlines() if line.startswith("data: {")]
    cost += last[-1]["usage"]["total_tokens"]
    third = await ask_v1(console)
    assert said(third)[3] == 1000 - cost - third.json()["usage"]["total_tokens"]


async def test_a_service_is_one_model_by_all_its_names(console: Console, emulator: Emulator) -> None:
    service = await deployed(console)
    emulator.limit(service["endpoint"], rpm=5)
    await ask_v1(console, f"chat/{service['endpoint']}")
    for name in (service["endpoint"], service["serviceId"]):
        answer = await ask_v2(console, name)
    assert said(answer)[2] == 2


async def test_each_model_has_a_count_of_its_own(console: Console, emulator: Emulator) -> None:
    emulator.limit(rpm=1)
    emulator.limit("ernie-lite-8k", rpm=3)
    assert said(await ask_v1(console))[:3:2] == (1, 0)
    assert said(await ask_v1(console, "chat/ernie-lite-8k"))[:3:2] == (3, 2)


async def test_what_follows_from_what(console: Console, emulator: Emulator) -> None:
    emulator.limit(qps=5)
    assert said(await ask_v1(console))[:2] == (300, 300_000)
    emulator.limit(rpm=5)
    assert said(await ask_v1(console))[:2] == (5, 5000)
    emulator.limit(tpm=500)
    assert said(await ask_v1(console))[:2] == (None, 500)
    emulator.limit()
    assert said(await ask_v1(console)) == (None,) * 4


async def test_a_lowered_limit_counts_what_was_taken(console: Console, emulator: Emulator) -> None:
    emulator.limit(rpm=10)
    for _ in range(3):
        await ask_v1(console)
    emulator.limit(rpm=3)
    assert (await ask_v1(console)).json()["error_code"] == 336501
    emulator.reset()
    assert said(await ask_v1(console)) == (None,) * 4


@pytest.mark.parametrize("wish", [{"rpm": -1}, {"rpm": 1.5}, {"rpm": True}, {"model": ""}, {"model": 7, "rpm": 1}])
def test_a_limit_that_is_none(wish: dict[str, Any]) -> None:
    with Emulator(activate=False, engine="scripted") as emulator, pytest.raises(InvalidArgumentError):
        emulator.limit(**wish)


async def test_limits_over_http(console: Console) -> None:
    assert (await console.http.post("/_emulator/limits", json={"model": "ERNIE-Speed-8K", "rpm": 1})).status_code == 200
    await ask_v1(console)
    assert (await ask_v1(console)).json()["error_code"] == 336501
    assert (await console.http.delete("/_emulator/limits")).status_code == 200
    assert "result" in (await ask_v1(console)).json()
    assert (await console.http.post("/_emulator/limits", json={"rpn": 1})).status_code == 400
    assert (await console.http.post("/_emulator/limits", json={"rpm": "x"})).status_code == 400
    assert (await console.http.post("/_emulator/limits", content="rpm=1")).status_code == 415

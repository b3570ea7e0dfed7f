"""Failures on order."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from qianfan._clock import SYSTEM_CLOCK
from qianfan.emulator import Emulator
from qianfan.errors import InvalidArgumentError
from tests.emulator.conftest import HandClock
from tests.emulator.making import new_job
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio

JOB = {"name": "my_job", "model": "ERNIE-Speed-8K", "trainMode": "SFT"}


async def create(console: Console) -> httpx.Response:
    return await console.post("/v2/finetuning", JOB, Action="CreateFineTuningJob")


async def test_only_the_nth_call_is_hit(console: Console) -> None:
    console.emulator.faults.add("DescribeFineTuningJobs", nth=2, times=2, status=503)
    statuses = []
    for _ in range(4):
        statuses.append((await console.post("/v2/finetuning", Action="DescribeFineTuningJobs")).status_code)
    assert statuses == [200, 503, 503, 200]


async def test_an_error_has_no_effect(console: Console) -> None:
    console.emulator.faults.add("CreateFineTuningJob", status=429, headers={"retry-after": "7"})
    response = await create(console)
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert not console.emulator.jobs


async def test_dropped_before_and_after_the_effect(console: Console) -> None:
    """The same broken connection for the client, with and without a job behind it."""
    console.emulator.faults.add("CreateFineTuningJob", drop="before")
    with pytest.raises(httpx.ReadError):
        await create(console)
    assert not console.emulator.jobs
    console.emulator.faults.add("CreateFineTuningJob", drop="after")
    with pytest.raises(httpx.ReadError):
        await create(console)
    assert [job.name for job in console.emulator.jobs.values()] == ["my_job"]
    assert [recorded.status for recorded in console.emulator.requests] == [0, 0]


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v2/finetuning?Action=DescribeFineTuningJobs", {"code": "Busy", "message": "later"}),
        ("/wenxinworkshop/finetune/jobDetail", {"error_code": "Busy", "error_msg": "later"}),
        ("/wenxinworkshop/dataset/info", {"status": 400, "success": False, "code": "Busy", "message": "later"}),
        ("/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb-instant", {"error_code": "Busy", "error_msg": "later"}),
        ("/v2/chat/completions", {"error": {"code": "Busy", "message": "later", "type": "internal_error"}}),
        ("/oauth/2.0/token", {"error": "Busy", "error_description": "later"}),
        ("/v1/BCE-BEARER/token", {"code": "Busy", "message": "later"}),
    ],
)
async def test_errors_speak_their_familys_language(console: Console, path: str, shape: dict[str, Any]) -> None:
    console.emulator.faults.add("*", code="Busy", message="later")
    content = (await console.http.post(path, json={}, auth=console.auth)).json()
    assert {key: content[key] for key in shape} == shape


async def test_raw_answers(console: Console) -> None:
    console.emulator.faults.add("createTask", body="<html>gateway</html>", status=502)
    console.emulator.faults.add("createTask", body={"odd": True}, nth=2)
    first = await console.post("/wenxinworkshop/finetune/createTask", JOB)
    assert (first.status_code, first.text, first.headers["content-type"]) == (502, "<html>gateway</html>", "text/html")
    second = await console.post("/wenxinworkshop/finetune/createTask", JOB)
    assert (second.status_code, second.json()) == (200, {"odd": True})


async def test_delay_is_the_clocks(clock: HandClock) -> None:
    with Emulator(clock=clock, activate=False, engine="scripted") as emulator:
        async with Console(emulator) as console:
            console.auth._now = clock.wall()
            emulator.faults.add("*", delay=30)
            await new_job(console)
    assert clock.slept == [30]


async def test_calls_are_named_by_action_path_and_operation(console: Console) -> None:
    await console.put("my-bucket", "k", b"x")
    await console.v1("dataset/info", datasetId=111)
    emulator = console.emulator
    assert emulator.count("PutObject") == 1
    assert (
        emulator.count("info") == emulator.count("dataset/info") == emulator.count("/wenxinworkshop/dataset/info") == 1
    )
    assert emulator.count("nfo") == 0
    assert emulator.requests[-1].body == {"datasetId": 111}
    assert emulator.requests[0].body is None


async def stream(console: Console) -> list[str]:
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": True})
    url = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb-instant"
    lines: list[str] = []
    async with console.http.stream("POST", url, content=body, auth=console.auth) as response:
        async for line in response.aiter_lines():
            if line:
                lines.append(line)
    return lines


async def test_streams_that_go_wrong(console: Console) -> None:
    whole = await stream(console)
    console.emulator.faults.add("chat", stream="unfinished")
    cut = await stream(console)
    assert len(cut) == len(whole) - 1
    assert all(not json.loads(line.removeprefix("data: "))["is_end"] for line in cut)
    console.emulator.faults.add("chat", stream="error", code=336100, message="busy")
    first, error = await stream(console)
    assert "result" in first
    assert json.loads(error.removeprefix("data: "))["error_code"] == 336100
    console.emulator.faults.add("chat", stream="comments")
    assert len([line for line in await stream(console) if not line.startswith(":")]) == len(whole)
    console.emulator.faults.add("chat", drop="during")
    with pytest.raises(httpx.RemoteProtocolError):
        await stream(console)


async def test_orders_can_be_taken_back(console: Console) -> None:
    fault = console.emulator.faults.add("*", status=500, times=None)
    console.emulator.faults.remove(fault)
    console.emulator.faults.add("*", status=500, times=None)
    console.emulator.faults.clear()
    assert await new_job(console)


async def test_ordering_over_http(console: Console) -> None:
    wish = {"call": "CreateFineTuningJob", "status": 500}
    assert (await console.http.post("/_emulator/faults", json=wish)).json()["ordered"]["call"] == "CreateFineTuningJob"
    assert (await create(console)).status_code == 500
    await console.http.post("/_emulator/faults", json=wish)
    assert (await console.http.delete("/_emulator/faults")).json() == {"ordered": 0}
    assert (await create(console)).status_code == 200
    for bad in ('{"call": "x"}', '{"call": "x", "explode": 1}', "nonsense", "[]"):
        answer = await console.http.post("/_emulator/faults", content=bad, headers=JSON)
        assert answer.status_code == 400
        assert answer.json()["error"]


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("wrong", [{"status": "503"}, {"delay": "soon"}, {"delay": -1}, {"status": 500, "nth": True}])
async def test_orders_of_the_wrong_type_are_refused_at_once(console: Console, wrong: dict[str, Any]) -> None:
    answer = await console.http.post("/_emulator/faults", json=wrong)
    assert answer.status_code == 400
    assert "cannot be" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/_emulator/faults", "/_emulator/stages/training"])
async def test_pages_of_other_origins_cannot_order(console: Console, path: str) -> None:
    assert (await console.http.post(path, content='{"status": 500}')).status_code == 415
    assert (await console.http.put(path, json={"status": 500})).status_code == 415


async def test_scripting_work_over_http(console: Console, emulator: Emulator) -> None:
    answer = await console.http.post("/_emulator/stages/training", json={"ends": "Failed", "reason": "told so"})
    assert answer.json() == {"scripted": {"ends": "Failed", "reason": "told so"}}
    assert emulator.training.begin(SYSTEM_CLOCK).ends == "Failed"
    assert (await console.http.post("/_emulator/stages/training", json={})).status_code == 200
    assert emulator.training.begin(SYSTEM_CLOCK).ends == "Done"
    assert (await console.http.post("/_emulator/stages/nothing", json={})).status_code == 404
    for bad in ({"ends": "Exploded"}, {"explode": 1}):
        assert (await console.http.post("/_emulator/stages/training", json=bad)).status_code == 400


@pytest.mark.parametrize(
    "order",
    [{}, {"drop": "sometimes"}, {"stream": "loud"}, {"status": 500, "nth": 0}, {"status": 500, "times": 0}],
)
async def test_orders_that_make_no_sense(emulator: Emulator, order: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        emulator.faults.add("x", **order)

"""The emulator on a socket: what a socket adds to the in-process way."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from qianfan.emulator import engine_options
from qianfan.emulator.server import Running, running, serve
from qianfan.errors import InvalidArgumentError
from tests.emulator.making import dialogue
from tests.emulator.signing import SigningAuth

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

JOB = {"name": "my_job", "model": "ERNIE-Speed-8K", "trainMode": "SFT"}
CREATE = "/v2/finetuning?Action=CreateFineTuningJob"
LIST = "/v2/finetuning?Action=DescribeFineTuningJobs"


@pytest.fixture
def served() -> Iterator[Running]:
    with running(access_key="my-key", secret_key="my-secret", options=engine_options("scripted")) as served:
        yield served


@pytest.fixture
async def http(served: Running) -> AsyncIterator[httpx.AsyncClient]:
    auth = SigningAuth("my-key", "my-secret")
    async with httpx.AsyncClient(base_url=served.url, auth=auth) as http:
        yield http


async def test_the_same_answers_over_a_socket(http: httpx.AsyncClient) -> None:
    job = (await http.post(CREATE, json=JOB)).json()["result"]["jobId"]
    listed = (await http.post(LIST, json={})).json()["result"]["jobList"]
    assert [entry["jobId"] for entry in listed] == [job]
    assert (await http.post("/wenxinworkshop/dataset/info", json={"datasetId": 111})).json()["success"] is True
    assert (await http.get("/_emulator")).json()["requests"]["CreateFineTuningJob"] == 1


async def test_signatures_cover_the_port(served: Running) -> None:
    async with httpx.AsyncClient(base_url=served.url, auth=SigningAuth("my-key", "wrong")) as http:
        refused = await http.post(LIST, json={})
    assert (refused.status_code, refused.headers["x-bce-error-code"]) == (403, "SignatureDoesNotMatch")


async def test_objects_over_a_socket(http: httpx.AsyncClient) -> None:
    """Streaming upload with a stated length, HEAD with the object's length, ranges, odd names."""
    content = dialogue(5000)

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    path = "/my-bucket/data%20%E4%B8%80/rows.jsonl"
    put = await http.put(path, content=body(), headers={"content-length": str(len(content))})
    assert put.status_code == 200
    head = await http.head(path)
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(content))
    assert (await http.get(path)).content == content
    part = await http.get(path, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert (await http.delete(path)).status_code == 204
    assert (await http.head(path)).status_code == 404


async def test_streams_over_a_socket(http: httpx.AsyncClient) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": True})
    url = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb-instant"
    async with http.stream("POST", url, content=body, headers={"Request_id": "mine"}) as response:
        lines = [line async for line in response.aiter_lines() if line]
        assert response.headers["x-baidu-request-id"] == "mine"
    assert json.loads(lines[-1].removeprefix("data: "))["is_end"] is True


async def test_connections_really_break(http: httpx.AsyncClient) -> None:
    """Before the effect, after it, and in the middle of an answer: the client sees its connection close."""
    for drop, jobs in (("before", 0), ("after", 1)):
        await http.post("/_emulator/faults", json={"call": "CreateFineTuningJob", "drop": drop})
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await http.post(CREATE, json=JOB)
        listed = (await http.post(LIST, json={})).json()["result"]["jobList"]
        assert len(listed) == jobs
    await http.post("/_emulator/faults", json={"call": "chat", "drop": "during"})
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": True})
    url = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb-instant"
    seen = []
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        async with http.stream("POST", url, content=body) as response:
            async for line in response.aiter_lines():
                seen.append(line)
    assert seen


async def test_any_keys_are_taken_without_keys() -> None:
    with running(options=engine_options("scripted")) as served:
        settings = served.settings
        auth = SigningAuth(settings["ACCESS_KEY"], "whatever")
        async with httpx.AsyncClient(base_url=served.url, auth=auth) as http:
            assert (await http.post(LIST, json={})).status_code == 200
        async with httpx.AsyncClient(base_url=served.url) as http:
            assert (await http.post(LIST, json={})).status_code == 403
            oauth = await http.post("/oauth/2.0/token?grant_type=client_credentials&client_id=a&client_secret=b")
            assert oauth.json()["access_token"]
            chat = {"model": "ernie-3.5-8k", "messages": [{"role": "user", "content": "hi"}]}
            said = await http.post("/v2/chat/completions", json=chat, headers={"authorization": "Bearer any"})
            assert said.status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_are_kept_out(host: str) -> None:
    with pytest.raises(InvalidArgumentError, match="allow_remote=True"):
        serve(host, 0)


def test_keys_come_in_pairs() -> None:
    with pytest.raises(InvalidArgumentError, match="belong together"):
        serve(port=0, access_key="x")


def test_a_taken_port() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError):
            serve(port=other.getsockname()[1])


def test_serve_prints_what_a_client_needs(tmp_path: object) -> None:
    """A free port is taken and told; the lines can be pasted into a shell; it ends when asked to."""
    lines: list[str] = []
    ready = threading.Event()
    found: list[Running] = []

    def started(running: Running) -> None:
        found.append(running)
        ready.set()

    def work() -> None:
        serve(port=0, options=engine_options("scripted"), ready=started, printer=lines.append)

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    running_one = found[0]
    assert httpx.get(running_one.url + "/_emulator").json()["simulated"] is True
    running_one.stop()
    thread.join()
    text = "\n".join(lines)
    for name in ("ACCESS_KEY", "SECRET_KEY", "BASE_URL", "CONSOLE_API_BASE_URL", "IAM_BASE_URL", "BOS_BASE_URL"):
        assert f"\nexport QIANFAN_{name}=" in text
    assert "export QIANFAN_TRAIN_STATUS_POLLING_INTERVAL=0.2" in text
    assert running_one.url in text
    with pytest.raises(httpx.ConnectError):
        httpx.get(running_one.url)


def test_ctrl_c_ends_it_cleanly() -> None:
    """In a process of its own: the lines come at once, and the signal leaves no traceback."""
    command = [sys.executable, "-c", "from qianfan.emulator.server import serve; serve(port=0)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("export QIANFAN_BASE_URL="))
        url = line.strip().partition("=")[2]
        assert httpx.get(url + "/_emulator", timeout=30).status_code == 200
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate()
    assert (process.returncode, complaints) == (0, "")

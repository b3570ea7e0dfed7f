"""Model calls: what a deployed model says, the rules of both generations, streams, tokens."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator import sample_path
from qianfan.emulator.answers import count_tokens, nearest, pieces
from qianfan.emulator.scans import normal
from tests.emulator.making import deployed, dialogue, finished_task, published, released
from tests.emulator.signing import Console

MODELS = "/rpc/2.0/ai_custom/v1/wenxinworkshop"


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def access_token(console: Console) -> str:
    settings = console.emulator.settings
    query = {"grant_type": "client_credentials", "client_id": settings["AK"], "client_secret": settings["SK"]}
    token: str = (await console.http.post("/oauth/2.0/token", params=query, json={})).json()["access_token"]
    return token


async def bearer(console: Console) -> dict[str, str]:
    response = await console.http.get("/v1/BCE-BEARER/token?expireInSeconds=3600", auth=console.auth)
    return {"authorization": f"Bearer {response.json()['token']}"}


async def ask(console: Console, path: str, **body: Any) -> Any:
    return (await console.post(f"{MODELS}/{path}", body)).json()


@pytest.mark.anyio
async def test_a_deployed_model_knows_its_rows(console: Console) -> None:
    """Its own question, or nearly it, gets its row's answer; anything else a canned one."""
    dataset_id = await released(console, dialogue(40))
    task_id = await finished_task(console, dataset_id=dataset_id)
    service = await deployed(console, await published(console, task_id))
    path = f"chat/{service['endpoint']}"
    said = await ask(console, path, messages=user("  Question 7? "))
    assert said["result"] == "answer 7"
    assert said["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert (await ask(console, path, messages=user("quesstion 12")))["result"] == "answer 12"
    assert "simulated" in (await ask(console, path, messages=user("What is the time?")))["result"]
    assert (await ask(console, f"completions/{service['endpoint']}", prompt="question 3"))["result"] == "answer 3"
    picture = await ask(console, f"text2image/{service['endpoint']}", prompt="a cat")
    assert base64.b64decode(picture["data"][0]["b64_image"]).startswith(b"\x89PNG")
    assert len((await ask(console, f"embeddings/{service['endpoint']}", input=["a"]))["data"][0]["embedding"]) == 1024


@pytest.mark.anyio
async def test_a_model_trained_on_top_knows_both(console: Console) -> None:
    base = await finished_task(console)
    rows = b"\n".join(b'[{"prompt": "capital of nowhere %d", "response": [["none"]]}]' % n for n in range(32))
    dataset_id = await released(console, rows)
    job_id = console.emulator.tasks[base].job_id
    task_id = await finished_task(console, job_id=job_id, dataset_id=dataset_id, incrementTaskId=base)
    service = await deployed(console, await published(console, task_id))
    path = f"chat/{service['endpoint']}"
    assert (await ask(console, path, messages=user("capital of nowhere 3")))["result"] == "none"
    sample = json.loads(sample_path().read_text("utf-8").splitlines()[0])
    assert (await ask(console, path, messages=user(sample[0]["prompt"])))["result"] == sample[0]["response"][0][0]


@pytest.mark.anyio
async def test_an_endpoint_that_does_not_serve_yet(console: Console) -> None:
    console.emulator.deployment.script(after_looks=5)
    service = await deployed(console)
    assert (await ask(console, f"chat/{service['endpoint']}", messages=user("hi")))["error_code"] == 6


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["chat/none", "embeddings/none", "text2image/none", "dance/none", "chat/"])
async def test_an_unknown_endpoint(console: Console, path: str) -> None:
    body = {"messages": user("hi"), "input": ["hi"], "prompt": "hi"}
    assert (await ask(console, path, **body))["error_code"] == 3


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": user("a") * 2}, "odd"),
        ({"messages": [*user("a"), {"role": "user", "content": "b"}, *user("c")]}, "message 1"),
        ({"messages": [{"role": "system", "content": "a"}]}, "message 0"),
        ({"messages": user("")}, "content"),
        ({"messages": user("a"), "temperature": 0}, "temperature"),
        ({"messages": user("a"), "temperature": 1.5}, "temperature"),
        ({"messages": user("a"), "top_p": "x"}, "top_p"),
        ({"messages": user("a"), "penalty_score": 3}, "penalty_score"),
    ],
)
async def test_rules_of_v1_chat(console: Console, body: dict[str, Any], said: str) -> None:
    answer = await ask(console, "chat/eb-instant", **body)
    assert answer["error_code"] == 336003
    assert said in answer["error_msg"]


@pytest.mark.anyio
async def test_preset_models(console: Console) -> None:
    said = await ask(
        console, "chat/eb-instant", messages=[*user("a"), {"role": "assistant", "content": "b"}, *user("c")]
    )
    assert (said["object"], "simulated" in said["result"]) == ("chat.completion", True)
    assert (await ask(console, "completions/sqlcoder_7b", prompt="x"))["object"] == "completion"
    vectors = await ask(console, "embeddings/embedding-v1", input=["one", "two"])
    assert [len(entry["embedding"]) for entry in vectors["data"]] == [384, 384]
    assert vectors["data"][0]["embedding"] != vectors["data"][1]["embedding"]
    assert (await ask(console, "embeddings/tao_8k", input=["one", "two"]))["error_code"] == 336003
    assert (await ask(console, "embeddings/embedding-v1", input=[""]))["error_code"] == 336003
    images = await ask(console, "text2image/sd_xl", prompt="a cat", n=2)
    assert [image["index"] for image in images["data"]] == [1, 2]
    assert (await ask(console, "text2image/sd_xl", prompt="a cat", n=5))["error_code"] == 336003
    assert (await ask(console, "text2image/sd_xl", prompt=""))["error_code"] == 336003


async def events(response: httpx.Response) -> list[Any]:
    found = []
    async for line in response.aiter_lines():
        if line:
            assert line.startswith("data: ")
            found.append(line.removeprefix("data: "))
    return found


@pytest.mark.anyio
async def test_v1_stream(console: Console) -> None:
    whole = await ask(console, "chat/eb-instant", messages=user("tell me"))
    body = json.dumps({"messages": user("tell me"), "stream": True})
    headers = {"content-type": "application/json", "request_id": "mine"}
    url = f"{MODELS}/chat/eb-instant"
    async with console.http.stream("POST", url, content=body, headers=headers, auth=console.auth) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-baidu-request-id"] == "mine"
        parts = [json.loads(event) for event in await events(response)]
    assert "".join(part["result"] for part in parts) == whole["result"]
    assert [part["sentence_id"] for part in parts] == list(range(len(parts)))
    assert [part["is_end"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1]["usage"] == whole["usage"]
    assert len({part["id"] for part in parts}) == 1


@pytest.mark.anyio
async def test_errors_before_a_stream_are_json(console: Console) -> None:
    answer = await console.post(f"{MODELS}/chat/eb-instant", {"messages": [], "stream": True})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error_code"] == 336003


@pytest.mark.anyio
async def test_v2_chat(console: Console) -> None:
    headers = await bearer(console)
    messages = [{"role": "system", "content": "be brief"}, *user("hello")]
    body = {"model": "ernie-3.5-8k", "messages": messages}
    said = (await console.http.post("/v2/chat/completions", json=body, headers=headers)).json()
    assert "simulated" in said["choices"][0]["message"]["content"]
    assert said["usage"]["prompt_tokens"] == 3
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    async with console.http.stream("POST", "/v2/chat/completions", json=body, headers=headers) as response:
        *parts, done = await events(response)
    chunks = [json.loads(part) for part in parts]
    assert done == "[DONE]"
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks[:-1])
    assert text == said["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]][-1] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], said["usage"])


@pytest.mark.anyio
async def test_v2_chat_with_a_deployed_model(console: Console) -> None:
    dataset_id = await released(console, dialogue(40))
    task_id = await finished_task(console, dataset_id=dataset_id)
    service = await deployed(console, await published(console, task_id))
    headers = await bearer(console)
    content = [{"type": "text", "text": "question 5"}]
    for name in (service["endpoint"], service["serviceId"], service["name"]):
        body = {"model": name, "messages": [{"role": "user", "content": content}]}
        said = (await console.http.post("/v2/chat/completions", json=body, headers=headers)).json()
        assert said["choices"][0]["message"]["content"] == "answer 5"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"messages": user("a")}, 400, "invalid_model"),
        ({"model": "gpt", "messages": user("a")}, 401, "invalid_model"),
        ({"model": "ernie-3.5-8k", "messages": []}, 400, "invalid_messages"),
        (
            {"model": "ernie-3.5-8k", "messages": [*user("a"), {"role": "system", "content": "b"}]},
            400,
            "invalid_messages",
        ),
        ({"model": "ernie-3.5-8k", "messages": [{"role": "tool", "content": "b"}]}, 400, "invalid_messages"),
        ({"model": "ernie-3.5-8k", "messages": user("")}, 400, "invalid_messages"),
    ],
)
async def test_refusals_of_v2_chat(console: Console, body: dict[str, Any], status: int, code: str) -> None:
    response = await console.http.post("/v2/chat/completions", json=body, headers=await bearer(console))
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.anyio
async def test_v2_embeddings(console: Console) -> None:
    headers = await bearer(console)
    body = {"model": "embedding-v1", "input": "one text"}
    answer = (await console.http.post("/v2/embeddings", json=body, headers=headers)).json()
    assert (answer["model"], len(answer["data"])) == ("embedding-v1", 1)
    bad = await console.http.post("/v2/embeddings", json={**body, "input": [1]}, headers=headers)
    assert bad.status_code == 400


# --- credentials -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_oauth_tokens(console: Console) -> None:
    url, body = f"{MODELS}/chat/eb-instant", {"messages": user("hi")}
    token = await access_token(console)
    assert "result" in (await console.http.post(url, params={"access_token": token}, json=body)).json()
    unknown = await console.http.post(url, params={"access_token": "made-up"}, json=body)
    assert (unknown.status_code, unknown.json()["error_code"]) == (200, 110)
    assert (await console.http.post(url, json=body)).json()["error_code"] == 110
    console.emulator.expire_tokens()
    assert (await console.http.post(url, params={"access_token": token}, json=body)).json()["error_code"] == 111
    fresh = await access_token(console)
    assert "result" in (await console.http.post(url, params={"access_token": fresh}, json=body)).json()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_id": "x"}, "unknown client id"),
        ({"client_secret": "x"}, "Client authentication failed"),
        ({"grant_type": "x"}, "unknown client id"),
    ],
)
async def test_wrong_application_keys(console: Console, changes: dict[str, str], said: str) -> None:
    settings = console.emulator.settings
    query = {"grant_type": "client_credentials", "client_id": settings["AK"], "client_secret": settings["SK"]}
    answer = (await console.http.post("/oauth/2.0/token", params={**query, **changes})).json()
    assert answer == {"error": "invalid_client", "error_description": said}


@pytest.mark.anyio
async def test_account_keys_sign_v1_calls_too(console: Console) -> None:
    wrong = Console(console.emulator, console.http)
    wrong.auth._keys = (console.emulator.settings["ACCESS_KEY"], "wrong")
    assert (await ask(wrong, "chat/eb-instant", messages=user("hi")))["error_code"] == 14


@pytest.mark.anyio
async def test_bearer_tokens(console: Console) -> None:
    body = {"model": "ernie-3.5-8k", "messages": user("hi")}
    headers = await bearer(console)
    console.emulator.expire_tokens()
    for attempt in (headers, {"authorization": "Bearer made-up"}, {}):
        response = await console.http.post("/v2/chat/completions", json=body, headers=attempt)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_iam_token")
    short = await console.http.get("/v1/BCE-BEARER/token?expireInSeconds=5", auth=console.auth)
    assert (short.status_code, short.json()["code"]) == (400, "InvalidHTTPRequest")
    unsigned = await console.http.get("/v1/BCE-BEARER/token")
    assert (unsigned.status_code, unsigned.headers["x-bce-error-code"]) == (403, "AccessDenied")


# --- pure parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("hello, big world!", 3), ("你好世界", 2), ("你好 world", 2)])
def test_token_counts(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@given(text=st.text(), count=st.integers(1, 20))
def test_pieces_make_the_whole(text: str, count: int) -> None:
    """Cut anywhere, a text comes back whole; there is always at least one piece."""
    parts = list(pieces(text, count))
    assert "".join(parts) == text
    assert parts


@given(questions=st.lists(st.text(min_size=1), min_size=1, max_size=10))
def test_nearest_gives_an_answer_of_the_rows_or_none(questions: list[str]) -> None:
    rows = {normal(question): question for question in questions}
    assert nearest(rows, questions[0]) in [*questions, None]

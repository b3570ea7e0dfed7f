"""Model calls of preset models: functions and tools, search, cut answers, pictures, ranking, what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from qianfan.emulator.pictures import Picture, picture, read_head
from qianfan.emulator.vectors import closeness
from tests.emulator.signing import Console
from tests.emulator.test_inference import ask, bearer, events, user

pytestmark = pytest.mark.anyio

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME: dict[str, Any] = {"name": "local_time", "description": "time of a place", "parameters": {"type": "object"}}
QUESTION = user("How is the weather in Paris?")


async def ask_v2(console: Console, path: str = "chat/completions", **body: Any) -> tuple[int, Any]:
    response = await console.http.post(f"/v2/{path}", json=body, headers=await bearer(console))
    return response.status_code, response.json()


async def stream_of(console: Console, path: str, body: dict[str, Any]) -> list[Any]:
    """The events of a V1 stream, each with its name when it has one."""
    content = json.dumps({**body, "stream": True})
    url = f"/rpc/2.0/ai_custom/v1/wenxinworkshop/{path}"
    found, name = [], ""
    async with console.http.stream(
        "POST", url, content=content, headers={"content-type": "application/json"}, auth=console.auth
    ) as response:
        assert response.headers["content-type"] == "text/event-stream"
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line:
                event = json.loads(line.removeprefix("data: "))
                found.append({**event, "_event": name} if name else event)
    return found


# --- functions, V1 -----------------------------------------------------------------------------------------------


async def test_a_function_is_called_and_its_answer_told(console: Console) -> None:
    said = await ask(console, "chat/completions", messages=QUESTION, functions=[WEATHER, TIME])
    call = said["function_call"]
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris"})
    assert call["thoughts"]
    assert (said["result"], said["finish_reason"], said["is_safe"]) == ("", "function_call", 1)
    assert said["usage"]["completion_tokens"] > 0
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "get_weather", "content": '{"degrees": 21}'},
    ]
    said = await ask(console, "chat/completions", messages=messages, functions=[WEATHER, TIME])
    assert "get_weather answered" in said["result"]
    assert '{"degrees": 21}' in said["result"]
    assert "function_call" not in said


async def test_a_function_is_called_in_a_stream(console: Console) -> None:
    whole = await ask(console, "chat/completions", messages=QUESTION, functions=[WEATHER])
    [event] = await stream_of(console, "chat/completions", {"messages": QUESTION, "functions": [WEATHER]})
    assert event["function_call"] == whole["function_call"]
    assert (event["is_end"], event["result"], event["finish_reason"]) == (True, "", "function_call")


async def test_a_function_can_be_forced_in_v1(console: Console) -> None:
    choice = {"type": "function", "function": {"name": "local_time"}, "name": "local_time"}
    said = await ask(console, "chat/completions", messages=user("hello"), functions=[WEATHER, TIME], tool_choice=choice)
    assert said["function_call"]["name"] == "local_time"
    assert "function_call" not in await ask(console, "chat/completions", messages=user("hello"), functions=[WEATHER])
    choice["function"] = {"name": "none"}
    refused = await ask(console, "chat/completions", messages=user("hello"), functions=[TIME], tool_choice=choice)
    assert refused["error_code"] == 336003


async def test_a_model_that_is_told_in_words(console: Console) -> None:
    told = f"工具列表:\n名称：get_weather\n描述：the weather\n参数：{json.dumps(WEATHER['parameters'])}\n\n你的问题："
    said = await ask(console, "chat/ernie-func-8k", messages=user(f"{told}Weather in Paris?"))
    assert said["result"] == 'Action: get_weather\nAction Input: {"city": "Paris"}'
    assert "function_call" not in said
    events = await stream_of(console, "chat/ernie-func-8k", {"messages": user(f"{told}Weather in Paris?")})
    assert "".join(event["result"] for event in events) == said["result"]
    messages = [
        *user(f"{told}Weather in Paris?"),
        {"role": "assistant", "content": said["result"]},
        *user("21 degrees"),
    ]
    assert "answered: 21 degrees" in (await ask(console, "chat/ernie-func-8k", messages=messages))["result"]
    assert "simulated" in (await ask(console, "chat/ernie-func-8k", messages=user(f"{told}Hello?")))["result"]


# --- tools, V2 ---------------------------------------------------------------------------------------------------

TOOLS = [{"type": "function", "function": WEATHER}, {"type": "function", "function": TIME}]
MODEL = "ernie-3.5-8k"


async def test_tools_are_called_and_their_answers_told(console: Console) -> None:
    _, said = await ask_v2(console, model=MODEL, messages=QUESTION, tools=TOOLS)
    [choice] = said["choices"]
    [call] = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"], call["type"]) == ("tool_calls", None, "function")
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("get_weather", {"city": "Paris"})
    messages = [*QUESTION, choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "21 degrees"}]
    _, said = await ask_v2(console, model=MODEL, messages=messages, tools=TOOLS)
    [choice] = said["choices"]
    assert "get_weather answered: 21 degrees" in choice["message"]["content"]
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "auto"}, ["get_weather", "local_time"]),
        ({"parallel_tool_calls": False}, ["get_weather"]),
        ({"tool_choice": {"type": "function", "function": {"name": "local_time"}}}, ["local_time"]),
        ({"tool_choice": "required", "messages": user("hello")}, ["get_weather"]),
        ({"messages": user("hello")}, []),
    ],
)
async def test_which_tools_are_called(console: Console, changes: dict[str, Any], names: list[str]) -> None:
    messages = user("Tell me the weather of the city, and the time")
    _, said = await ask_v2(console, **{"model": MODEL, "messages": messages, "tools": TOOLS, **changes})
    calls = said["choices"][0]["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == names
    assert len({call["id"] for call in calls}) == len(names)


async def test_tools_are_called_in_a_stream(console: Console) -> None:
    body = {"model": MODEL, "messages": QUESTION, "tools": TOOLS, "stream": True}
    async with console.http.stream(
        "POST", "/v2/chat/completions", json=body, headers=await bearer(console)
    ) as response:
        *parts, done = await events(response)
    assert done == "[DONE]"
    [choice] = json.loads(parts[-1])["choices"]
    [call] = choice["delta"]["tool_calls"]
    assert (choice["finish_reason"], call["index"], call["function"]["name"]) == ("tool_calls", 0, "get_weather")


# --- form and content of answers -----------------------------------------------------------------------------------


async def test_answers_in_json(console: Console) -> None:
    said = await ask(console, "chat/completions", messages=user("hi"), response_format="json_object")
    assert "You said: hi" in json.loads(said["result"])["answer"]
    wish: dict[str, Any] = {"type": "json_object"}
    _, said = await ask_v2(console, model=MODEL, messages=user("hi"), response_format=wish)
    assert "You said: hi" in json.loads(said["choices"][0]["message"]["content"])["answer"]
    wish = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"properties": {"age": {"type": "integer"}}}}}
    _, said = await ask_v2(console, model=MODEL, messages=user("I am 42"), response_format=wish)
    assert json.loads(said["choices"][0]["message"]["content"]) == {"age": 42}


async def test_an_answer_is_cut_and_goes_on(console: Console) -> None:
    messages = user("tell me more")
    whole = (await ask(console, "chat/eb-instant", messages=messages))["result"]
    parts: list[str] = []
    for _ in range(20):
        said = await ask(console, "chat/eb-instant", messages=messages, max_output_tokens=4)
        parts.append(said["result"])
        if not said["is_truncated"]:
            break
        assert (said["finish_reason"], said["usage"]["completion_tokens"]) == ("length", 4)
        messages = [*messages, {"role": "assistant", "content": said["result"]}, *user("继续")]
    assert "".join(parts) == whole
    assert len(parts) > 2
    assert said["finish_reason"] == "normal"


async def test_a_cut_stream_says_so_at_its_end(console: Console) -> None:
    found = await stream_of(console, "chat/eb-instant", {"messages": user("hi"), "max_output_tokens": 3})
    assert [event["is_truncated"] for event in found] == [False] * (len(found) - 1) + [True]
    assert found[-1]["finish_reason"] == "length"
    _, said = await ask_v2(console, model=MODEL, messages=user("hi"), max_completion_tokens=2)
    assert said["choices"][0]["finish_reason"] == "length"


async def test_an_answer_ends_before_a_stop_text(console: Console) -> None:
    said = await ask(console, "chat/eb-instant", messages=user("hi"), stop=["You", "never"])
    assert said["result"].endswith("emulator] ")
    assert (said["finish_reason"], said["is_truncated"]) == ("normal", False)


async def test_search_on_the_web(console: Console) -> None:
    said = await ask(console, "chat/completions", messages=user("news"), enable_citation=True, trace_number=3)
    assert said["result"].endswith("[1]")
    results = said["search_info"]["search_results"]
    assert [set(result) for result in results] == [{"index", "url", "title"}] * 3
    off = {"enable_citation": True, "disable_search": True}
    assert "search_info" not in await ask(console, "chat/completions", messages=user("news"), **off)
    assert "search_info" not in await ask(console, "chat/completions", messages=user("news"))
    assert "search_info" not in await ask(console, "chat/eb-instant", messages=user("news"), enable_citation=True)
    tools = [{"type": "baidu_search", "baidu_search": {}}]
    said = await ask(console, "chat/ernie_speed", messages=user("news"), tools=tools)
    assert (said["tools_info"]["name"], said["tools_info"]["rewrite_query"]) == ("baidu_search", "news")
    assert said["usage"]["tool_usage"][0]["baidu_search"] == {"triggers_number": 1}
    _, said = await ask_v2(console, model=MODEL, messages=user("news"), web_search={"enable": True})
    assert [result["index"] for result in said["search_results"]] == [1, 2]


async def test_pictures_in_a_message(console: Console) -> None:
    data = "data:image/png;base64," + base64.b64encode(picture("x", 20, 20)).decode()
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": data}}]
    _, said = await ask_v2(console, model=MODEL, messages=[{"role": "user", "content": parts}])
    assert "You showed 1 picture." in said["choices"][0]["message"]["content"]
    parts[1] = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    status, _ = await ask_v2(console, model=MODEL, messages=[{"role": "user", "content": parts[1:]}])
    assert status == 200


def shown(width: int, height: int) -> str:
    return "data:image/png;base64," + base64.b64encode(picture("x", width, height)).decode()


@pytest.mark.parametrize("url", ["ftp://x", "data:image/png;base64,!", "data:image/png;base64,QUJD", shown(4, 20)])
async def test_pictures_that_cannot_be_used(console: Console, url: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    status, said = await ask_v2(console, model=MODEL, messages=[{"role": "user", "content": content}])
    assert (status, said["error"]["code"]) == (400, "invalid_image_url")


# --- pictures ----------------------------------------------------------------------------------------------------


async def test_pictures_from_words(console: Console) -> None:
    said = await ask(console, "text2image/sd_xl", prompt="a cat", n=2, size="576x1024", seed=7)
    files = [base64.b64decode(row["b64_image"]) for row in said["data"]]
    assert [read_head(file) for file in files] == [Picture("png", 576, 1024)] * 2
    assert files[0] != files[1]
    again = await ask(console, "text2image/sd_xl", prompt="a cat", size="576x1024", seed=7)
    assert base64.b64decode(again["data"][0]["b64_image"]) == files[0]
    other = await ask(console, "text2image/sd_xl", prompt="a cat", size="576x1024", seed=9)
    assert base64.b64decode(other["data"][0]["b64_image"]) not in files
    assert said.keys() == {"id", "object", "created", "data", "usage"}
    assert said["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


async def test_words_about_a_picture(console: Console) -> None:
    image = base64.b64encode(picture("x", 30, 40)).decode()
    said = await ask(console, "image2text/fuyu_8b", prompt="what is it?", image=image)
    assert "a png picture of 30x40 pixels" in said["result"]
    assert (said["object"], said["is_safe"]) == ("chat.completion", 1)
    parts = await stream_of(console, "image2text/fuyu_8b", {"prompt": "what is it?", "image": image})
    assert "".join(part["result"] for part in parts) == said["result"]
    assert (await ask(console, "image2text/none", prompt="x", image=image))["error_code"] == 3


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("", "image"),
        (shown(20, 20), "data URL"),
        ("???", "base64"),
        ("QUJD", "jpg, png or bmp"),
        (base64.b64encode(picture("x", 14, 20)).decode(), "14x20"),
        (base64.b64encode(picture("x", 20, 20) + b"\0" * 4 * 2**20).decode(), "at most 4 MB"),
    ],
)
async def test_pictures_that_are_refused(console: Console, image: str, said: str) -> None:
    answer = await ask(console, "image2text/fuyu_8b", prompt="what is it?", image=image)
    assert answer["error_code"] == 336003
    assert said in answer["error_msg"]


# --- vectors and ranking -----------------------------------------------------------------------------------------


async def test_near_texts_have_near_vectors(console: Console) -> None:
    texts = ["how to fine-tune a model", "fine-tuning models", "the weather in Paris"]
    for endpoint, size in (("embedding-v1", 384), ("bge_large_zh", 1024)):
        rows = (await ask(console, f"embeddings/{endpoint}", input=texts))["data"]
        one, same, other = (row["embedding"] for row in rows)
        assert len(one) == size
        assert closeness(one, same) > closeness(one, other) + 0.2


DOCUMENTS = ["the museum opens at nine", "refunds for damaged parcels", "my parcel is damaged, I want a refund"]


async def test_documents_are_ranked(console: Console) -> None:
    said = await ask(console, "reranker/bce_reranker_base", query="refund for a damaged parcel", documents=DOCUMENTS)
    assert said["object"] == "reranker_list"
    assert said.keys() == {"id", "object", "created", "results", "usage"}
    assert [row["index"] for row in said["results"]][-1] == 0
    scores = [row["relevance_score"] for row in said["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(row["document"] == DOCUMENTS[row["index"]] for row in said["results"])
    for path in ("rerankers", "rerank"):
        for model in ("bce-reranker-base_v1", "bce-reranker-base"):
            body = {"model": model, "query": "refund for a damaged parcel", "documents": DOCUMENTS, "top_n": 1}
            status, ranked = await ask_v2(console, path, **body)
            assert (status, ranked["model"], ranked["results"]) == (200, model, said["results"][:1])


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("reranker/bce_reranker_base", {"query": "", "documents": ["a"]}, "query"),
        ("reranker/bce_reranker_base", {"query": "q" * 1601, "documents": ["a"]}, "query"),
        ("reranker/bce_reranker_base", {"query": "q " * 401, "documents": ["a"]}, "401 tokens"),
        ("reranker/bce_reranker_base", {"query": "q", "documents": []}, "documents"),
        ("reranker/bce_reranker_base", {"query": "q", "documents": ["a"] * 65}, "documents"),
        ("reranker/bce_reranker_base", {"query": "q", "documents": ["a" * 4097]}, "documents"),
        ("reranker/bce_reranker_base", {"query": "q", "documents": ["a " * 1025]}, "1025 tokens"),
        ("reranker/bce_reranker_base", {"query": "q", "documents": ["a"], "top_n": 0}, "top_n"),
        ("embeddings/embedding-v1", {"input": ["a"] * 17}, "at most 16"),
        ("embeddings/embedding-v1", {"input": ["a" * 1001]}, "1001 characters"),
        ("embeddings/embedding-v1", {"input": ["a " * 385]}, "385 tokens"),
        ("embeddings/tao_8k", {"input": ["a " * 8193]}, "8193 tokens"),
        ("text2image/sd_xl", {"prompt": "a" * 1025}, "prompt"),
        ("text2image/sd_xl", {"prompt": "a", "size": "10x10"}, "size"),
        ("text2image/sd_xl", {"prompt": "a", "steps": 9}, "steps"),
        ("text2image/sd_xl", {"prompt": "a", "cfg_scale": 31}, "cfg_scale"),
        ("text2image/sd_xl", {"prompt": "a", "seed": -1}, "seed"),
        ("text2image/sd_xl", {"prompt": "a", "negative_prompt": "a" * 1025}, "negative_prompt"),
        ("completions/sqlcoder_7b", {"prompt": "a", "top_k": 0}, "top_k"),
        ("tokenizer/erniebot", {"prompt": "a" * 512001}, "prompt"),
        ("tokenizer/erniebot", {"prompt": "a", "model": "gpt"}, "model"),
        ("erniebot/plugins", {"messages": user("a")}, "plugins"),
        ("erniebot/plugins", {"messages": [], "plugins": ["x"]}, "messages"),
        ("plugin/mine", {"plugins": ["x"]}, "query"),
    ],
)
async def test_rules_of_the_smaller_kinds(console: Console, path: str, body: dict[str, Any], said: str) -> None:
    answer = await ask(console, path, **body)
    assert answer["error_code"] == 336003
    assert said in answer["error_msg"]


# --- the tokenizer and plugins -------------------------------------------------------------------------------------


async def test_counting_tokens(console: Console) -> None:
    said = await ask(console, "tokenizer/erniebot", prompt="你好世界 hello", model="ernie-4.0-8k")
    assert said["object"] == "tokenizer.erniebot"
    assert said["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert (await ask(console, "tokenizer/other", prompt="x"))["error_code"] == 3


async def test_plugins(console: Console) -> None:
    for path, body in (
        ("erniebot/plugins", {"messages": user("draw"), "plugins": ["eChart"]}),
        ("erniebot/plugin", {"messages": user("draw"), "plugins": ["eChart"]}),
        ("plugin/mine/", {"query": "draw", "plugins": ["eChart"], "verbose": True}),
    ):
        said = await ask(console, path, **body)
        assert "You said: draw (plugins: eChart)" in said["result"]
        assert said["usage"]["plugins"][0]["name"] == "eChart"
        found = await stream_of(console, path, body)
        assert [event["_event"] for event in found[:3]] == ["pluginMeta", "plugin", "chat"]
        assert "".join(event["result"] for event in found if event["_event"] == "chat") == said["result"]
        assert [event["is_end"] for event in found] == [False] * (len(found) - 1) + [True]


# --- rules of conversations ------------------------------------------------------------------------------------------

CALL = {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "message 0"),
        ({"messages": [*user("a"), {"role": "assistant", "content": ""}, *user("c")]}, "message 1"),
        ({"messages": [*user("a"), {"role": "assistant", "content": None}, *user("c")]}, "message 1"),
        ({"messages": [*user("a"), {"role": "assistant", "function_call": "f"}, *user("c")]}, "function_call"),
        (
            {
                "messages": [
                    *user("a"),
                    {"role": "assistant", "content": "", "function_call": CALL},
                    {"role": "function", "content": "x"},
                ]
            },
            "name of the function",
        ),
        ({"top_k": 0}, "top_k"),
        ({"frequency_penalty": -2.1}, "frequency_penalty"),
        ({"presence_penalty": 2.1}, "presence_penalty"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ["a" * 21]}, "stop"),
        ({"max_output_tokens": 1}, "max_output_tokens"),
        ({"min_output_tokens": 1}, "min_output_tokens"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"disable_search": "yes"}, "disable_search"),
        ({"functions": [{"description": "nameless"}]}, "name"),
        ({"functions": []}, "functions"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"user_id": 3}, "user_id"),
        ({"user_memory_level": 5}, "user_memory_level"),
        ({"user_memory_extract_level": 3}, "user_memory_extract_level"),
    ],
)
async def test_rules_of_v1_fields(console: Console, body: dict[str, Any], said: str) -> None:
    answer = await ask(console, "chat/completions", **{"messages": user("hi"), **body})
    assert answer["error_code"] == 336003
    assert said in answer["error_msg"]


async def test_numbers_of_their_own(console: Console) -> None:
    assert (await ask(console, "chat/completions", messages=user("hi"), system=3))["error_code"] == 336104
    assert (await ask(console, "chat/completions", messages=user("hi"), user_setting=3))["error_code"] == 336105
    long = await ask(console, "chat/eb-instant", messages=user("a" * 11201))
    assert (long["error_code"], "11201 characters" in long["error_msg"]) == (336103, True)
    long = await ask(console, "chat/completions", messages=user("hi"), system="a " * 5120)
    assert (long["error_code"], "5121 tokens" in long["error_msg"]) == (336103, True)


async def test_null_is_the_same_as_nothing(console: Console) -> None:
    body = dict.fromkeys(["temperature", "top_p", "functions", "stop", "system", "user_id", "tool_choice", "tools"])
    assert "result" in await ask(console, "chat/completions", messages=user("hi"), unknown_key=1, **body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"temperature": 2.1}, "invalid_argument"),
        ({"penalty_score": 0.9}, "invalid_argument"),
        ({"stop": ["a"] * 5}, "invalid_argument"),
        ({"tools": [{"type": "other"}]}, "invalid_argument"),
        ({"tool_choice": "sometimes"}, "invalid_argument"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "invalid_argument"),
        ({"response_format": "json_object"}, "invalid_argument"),
        ({"response_format": {"type": "yaml"}}, "invalid_argument"),
        ({"metadata": {"a": 1}}, "invalid_argument"),
        ({"seed": "x"}, "invalid_argument"),
        ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "invalid_messages"),
        ({"messages": [*user("a"), {"role": "assistant", "content": None}, *user("b")]}, "invalid_messages"),
        ({"messages": user("a" * 20001)}, "characters_too_long"),
        ({"messages": user("a " * 5121)}, "tokens_too_long"),
    ],
)
async def test_rules_of_v2_fields(console: Console, body: dict[str, Any], code: str) -> None:
    status, said = await ask_v2(console, **{"model": MODEL, "messages": user("hi"), **body})
    assert (status, said["error"]["code"], said["error"]["type"]) == (400, code, "invalid_request_error")


async def test_a_model_of_another_kind(console: Console) -> None:
    status, said = await ask_v2(console, model="embedding-v1", messages=user("hi"))
    assert (status, said["error"]["code"]) == (401, "invalid_model")
    status, _ = await ask_v2(console, "embeddings", model=MODEL, input=["x"])
    assert status == 401
    status, _ = await ask_v2(console, "embeddings", model="embedding-v1", input=["x"], encoding_format="base64")
    assert status == 400


# --- the documented samples ----------------------------------------------------------------------------------------


async def test_answers_have_the_documented_keys(console: Console) -> None:
    said = await ask(console, "chat/completions", messages=user("hi"))
    common = {"id", "object", "created", "result", "is_truncated", "finish_reason", "usage"}
    assert said.keys() == common | {"need_clear_history"}
    for event in (await stream_of(console, "chat/completions", {"messages": user("hi")}))[:-1]:
        assert event.keys() == (common - {"finish_reason"}) | {"need_clear_history", "sentence_id", "is_end"}
    said = await ask(console, "completions/sqlcoder_7b", prompt="hi")
    assert said.keys() == common | {"is_safe"}
    _, said = await ask_v2(console, model=MODEL, messages=user("hi"))
    assert said.keys() == {"id", "object", "created", "model", "choices", "usage"}
    assert said["choices"][0].keys() == {"index", "message", "finish_reason", "flag"}
    assert (said["choices"][0]["finish_reason"], said["choices"][0]["flag"]) == ("normal", 0)
    said = await ask(console, "embeddings/embedding-v1", input=["hi"])
    assert said.keys() == {"id", "object", "created", "data", "usage"}
    assert said["data"][0].keys() == {"object", "embedding", "index"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["chat/ernie_speed", "completions/sqlcoder_7b"])
async def test_half_a_character_is_refused(console: Console, kind: str, stream: bool) -> None:
    """JSON can escape it; no answer could repeat it."""
    asked = {"chat/ernie_speed": {"messages": [{"role": "user", "content": "x\ud800"}]}}.get(kind, {"prompt": "\ud800"})
    path = f"/rpc/2.0/ai_custom/v1/wenxinworkshop/{kind}"
    answer = await console.http.post(path, content=json.dumps({**asked, "stream": stream}), auth=console.auth)
    assert answer.json()["error_code"] == 336003

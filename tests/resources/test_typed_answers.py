"""Answers as objects: the documented samples, what platforms leave out, and pieces that are put together again."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.errors import RequestError
from qianfan.resources import ChatCompletion, Embedding, QfResponse, Reranker
from qianfan.resources.llm.typed import Completion, CompletionChunk, merged, typed
from qianfan.resources.openai_style import Qianfan
from tests.resources.asking import ask, faces
from tests.support.wire import DONE, Prepared, client_of, events

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "hi"}]

# The samples of the platform's documents.
WHOLE_V2 = {
    "id": "as-5j1w2w0000",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "ernie-3.5-8k",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "normal", "flag": 0}
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
}
WHOLE_V1 = {
    "id": "as-0a1b2c3d4e",
    "object": "chat.completion",
    "created": 1700000000,
    "result": "Hello!",
    "is_truncated": False,
    "need_clear_history": False,
    "finish_reason": "normal",
    "usage": {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 19},
}
STREAM_V1 = [
    {
        "id": "as-1", "object": "chat.completion", "created": 1700000000, "sentence_id": 0, "is_end": False,
        "is_truncated": False, "result": "Hel", "need_clear_history": False,
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
    },
    {
        "id": "as-1", "object": "chat.completion", "created": 1700000000, "sentence_id": 1, "is_end": True,
        "is_truncated": False, "result": "lo", "need_clear_history": False, "finish_reason": "normal",
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    },
]  # fmt: skip


def part(delta: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "flag": 0, **more}]
    usage = more if delta is None else {}
    head = {"id": "as-9", "object": "chat.completion.chunk", "created": 1700000000, "model": "ernie-3.5-8k"}
    return {**head, "choices": choices, **usage}


STREAM_V2 = [
    part({"role": "assistant", "content": "He"}),
    part({"content": "llo"}, finish_reason="stop"),
    part(None, usage={"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}),
]
EMBEDDED = {
    "id": "as-1",
    "object": "embedding_list",
    "created": 1700000000,
    "data": [{"object": "embedding", "embedding": [0.01, -0.02], "index": 0}],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}
RANKED = {
    "id": "as-1",
    "object": "reranker_list",
    "created": 1700000000,
    "results": [
        {"document": "b", "relevance_score": 0.98, "index": 1},
        {"document": "a", "relevance_score": 0.11, "index": 0},
    ],
    "usage": {"prompt_tokens": 10, "total_tokens": 10},
}


@faces
async def test_a_whole_answer(face: str) -> None:
    wire = Prepared(WHOLE_V2)
    answer = await ask(face, ChatCompletion(version=2, client=client_of(wire)), "create", HI, model="ernie-3.5-8k")
    assert isinstance(answer, Completion)
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Hello", "normal")
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert answer.usage.total_tokens == 5
    assert (answer.id, answer.model, answer.created) == ("as-5j1w2w0000", "ernie-3.5-8k", 1700000000)
    assert answer.statistic is not None
    assert answer.statistic.start_timestamp > 1e12
    assert answer["choices"] == answer.raw["choices"] == WHOLE_V2["choices"]
    assert "raw" not in repr(answer)


@faces
async def test_a_whole_answer_of_v1(face: str) -> None:
    chat = ChatCompletion("ERNIE-Speed-8K", client=client_of(Prepared(WHOLE_V1)))
    answer = await ask(face, chat, "create", HI)
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason, choice.need_clear_history) == ("Hello!", "normal", False)
    assert (answer.model, answer["result"]) == ("ERNIE-Speed-8K", "Hello!")


@faces
async def test_pieces(face: str) -> None:
    wire = Prepared(events(*STREAM_V2, end=DONE), events(*STREAM_V1))
    chunks = await ask(face, ChatCompletion(version=2, client=client_of(wire)), "create", HI, stream=True)
    assert all(isinstance(one, CompletionChunk) for one in chunks)
    assert [choice.delta.content for one in chunks for choice in one.choices] == ["He", "llo"]
    assert [choice.finish_reason for one in chunks for choice in one.choices] == [None, "stop"]
    assert (chunks[0].usage, chunks[-1].choices, chunks[-1].usage.total_tokens) == (None, [], 5)
    whole = merged(chunks)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("Hello", "stop")
    assert whole.usage == chunks[-1].usage
    chunks = await ask(face, ChatCompletion(client=client_of(wire)), "create", HI, stream=True)
    assert merged(chunks).choices[0].message.content == "Hello"


@faces
async def test_plain_answers_are_one_word_away(face: str) -> None:
    wire = Prepared(WHOLE_V2, events(*STREAM_V2, end=DONE))
    raw = ChatCompletion(version=2, client=client_of(wire)).with_raw_response
    answer = await ask(face, raw, "create", HI)
    assert isinstance(answer, QfResponse)
    assert len(await ask(face, raw, "create", HI, stream=True)) == 3


@faces
async def test_vectors_and_rankings(face: str) -> None:
    wire = Prepared(EMBEDDED, RANKED)
    vectors = await ask(face, Embedding(client=client_of(wire)), "create", ["text"])
    assert ([row.embedding for row in vectors.data], vectors.usage.prompt_tokens) == ([[0.01, -0.02]], 4)
    ranking = await ask(face, Reranker(client=client_of(wire)), "create", "q", ["a", "b"])
    assert [(row.document, row.index) for row in ranking.results] == [("b", 1), ("a", 0)]
    assert wire.bodies[1] == {"query": "q", "documents": ["a", "b"]}


# --- what platforms leave out or make up ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [], "usage": None},
        {"choices": None},
        {"choices": [{"index": 0, "delta": None, "finish_reason": "a new word", "flag": None}]},
        {"choices": [{"delta": {"content": None, "tool_calls": [{"index": 0}]}}], "model": None, "created": None},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": {"arguments": "{"}}]}}]},
        {"choices": [{"index": 0, "delta": {}, "brand": "new"}], "search_results": None, "usage": {}},
    ],
)
def test_odd_pieces_are_read(body: dict[str, Any]) -> None:
    chunk = typed(QfResponse(200, body), CompletionChunk)
    assert chunk.raw is body
    assert merged([chunk]).object == "chat.completion"


def test_new_fields_can_be_read() -> None:
    answer: Any = typed(QfResponse(200, {**WHOLE_V2, "brand": "new"}), Completion)
    assert answer.brand == "new"


@pytest.mark.parametrize("body", [{"choices": "no"}, {"choices": [1]}, {"choices": [], "usage": []}])
def test_another_form_is_an_error_that_says_where(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"look at: (choices|usage)"):
        typed(QfResponse(200, body), Completion)


# --- tool calls in parts -------------------------------------------------------------------------------------


def delta(**call: Any) -> CompletionChunk:
    return typed(QfResponse(200, part({"tool_calls": [call]})), CompletionChunk)


def test_tool_calls_are_put_together_by_their_index() -> None:
    whole = merged(
        [
            delta(index=0, id="a", type="function", function={"name": "f", "arguments": ""}),
            delta(index=1, id="b", type="function", function={"name": "g", "arguments": '{"x":'}),
            delta(index=0, function={"arguments": '{"y"'}),
            delta(index=1, function={"arguments": " 1}"}),
            delta(index=0, function={"arguments": ": 2}"}),
        ]
    )
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("a", "f", '{"y": 2}'),
        ("b", "g", '{"x": 1}'),
    ]


def test_without_an_index_an_id_begins_a_new_call() -> None:
    whole = merged(
        [
            delta(id="a", function={"name": "f", "arguments": "{"}),
            delta(function={"arguments": "}"}),
            delta(id="b", function={"name": "g", "arguments": "{}"}),
        ]
    )
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.id, call.function.arguments) for call in calls] == [("a", "{}"), ("b", "{}")]


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20)), st.data())
def test_arguments_survive_any_cutting(arguments: dict[str, str], data: st.DataObject) -> None:
    text = json.dumps(arguments)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    edges = [0, *cuts, len(text)]
    parts = [delta(index=0, function={"arguments": text[a:b]}) for a, b in itertools.pairwise(edges)]
    calls = merged([delta(index=0, id="a", function={"name": "f"}), *parts]).choices[0].message.tool_calls
    assert calls is not None
    assert json.loads(calls[0].function.arguments) == arguments


# --- the client object ---------------------------------------------------------------------------------------


@faces
async def test_one_object_for_v2(face: str) -> None:
    ranked = {**RANKED, "model": "bce-reranker-base_v1"}
    wire = Prepared(WHOLE_V2, {**EMBEDDED, "model": "embedding-v1"}, ranked, events(*STREAM_V2, end=DONE))
    client = Qianfan(client=client_of(wire), app_id="app-1", api_key="bce-v3/key", temperature=0.1)
    answer = await ask(face, client.chat.completions, "create", model="ernie-3.5-8k", messages=HI)
    assert answer.choices[0].message.content == "Hello"
    assert (await ask(face, client.embeddings, "create", input="text")).data[0].embedding == [0.01, -0.02]
    assert (await ask(face, client.reranker, "create", query="q", documents=["a", "b"])).results[0].document == "b"
    assert len(await ask(face, client.completions, "create", messages=HI, stream=True)) == 3
    assert [seen.path for seen in wire.seen] == [
        "/v2/chat/completions",
        "/v2/embeddings",
        "/v2/rerankers",
        "/v2/chat/completions",
    ]
    assert {seen.headers["authorization"] for seen in wire.seen} == {"Bearer bce-v3/key"}
    assert {seen.headers["appid"] for seen in wire.seen} == {"app-1"}
    assert wire.bodies[1] == {"model": "embedding-v1", "input": "text", "temperature": 0.1}
    assert client.embedding is client.embeddings

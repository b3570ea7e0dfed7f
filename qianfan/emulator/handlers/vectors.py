"""Texts as vectors, and documents in the order of their closeness to a query, V1 and V2."""

from __future__ import annotations

from collections.abc import Sequence

from qianfan._types import JSON
from qianfan.emulator import answers
from qianfan.emulator.calls import Call
from qianfan.emulator.envelopes import answer_id
from qianfan.emulator.handlers.asking import check_fields, created, endpoint_model, preset_v2, read_only
from qianfan.emulator.refusals import RefusedInference
from qianfan.emulator.shapes.inference import FORMS
from qianfan.emulator.vectors import closeness, embedding
from qianfan.emulator.wire import Answer, json_answer

_TEXTS_AT_ONCE = {"tao-8k": 1}
_DIMENSIONS = {"Embedding-V1": 384}
_LONGEST = {
    "Embedding-V1": (1000, 384),
    "bge-large-zh": (2000, 512),
    "bge-large-en": (2000, 512),
    "tao-8k": (28000, 8192),
}
"""Model -> characters and tokens of one text."""
_RANKED_WITH = 384
_LONGEST_QUERY, _LONGEST_DOCUMENT = 400, 1024
"""Tokens; characters are in the shapes."""


def embeddings_v1(call: Call) -> Answer:
    """`/embeddings/{endpoint}`."""
    model = endpoint_model(call, "embeddings")
    check_fields(call, FORMS["/embeddings"], "input")
    return json_answer(_vectors(call, model, call.body.get("input")))


def embeddings_v2(call: Call) -> Answer:
    """`/v2/embeddings`."""
    model = preset_v2(call, "embeddings")
    check_fields(call, FORMS["/v2/embeddings"], "model", "input")
    texts = call.body.get("input")
    vectors = _vectors(call, model, [texts] if isinstance(texts, str) else texts)
    return json_answer({**vectors, "model": call.body.get("model")})


def _vectors(call: Call, model: str, texts: JSON) -> dict[str, JSON]:
    most = _TEXTS_AT_ONCE.get(model, 16)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise RefusedInference(336003, "input must be a list of non-empty texts")
    if len(texts) > most:
        raise RefusedInference(336003, f"input must hold at most {most} texts, found {len(texts)}")
    characters, tokens = _LONGEST.get(model, (None, None))
    for place, text in enumerate(texts):
        _check_length(f"input[{place}]", text, characters, tokens)
    size = _DIMENSIONS.get(model, 1024)
    rows = [
        {"object": "embedding", "embedding": embedding(text, size), "index": index} for index, text in enumerate(texts)
    ]
    head = {"id": answer_id(), "object": "embedding_list", "created": created(call)}
    return {**head, "data": rows, "usage": read_only(sum(map(answers.count_tokens, texts)))}


def rerank_v1(call: Call) -> Answer:
    """`/reranker/{endpoint}`."""
    endpoint_model(call, "reranker")
    check_fields(call, FORMS["/reranker"])
    return json_answer(_ranked(call))


def rerank_v2(call: Call) -> Answer:
    """`/v2/rerankers`, and `/v2/rerank`, as the manual calls it now."""
    preset_v2(call, "reranker")
    check_fields(call, FORMS["/v2/rerankers"], "model")
    return json_answer({**_ranked(call), "model": call.body.get("model")})


def _ranked(call: Call) -> dict[str, JSON]:
    query: str = call.body.get("query")
    documents: Sequence[str] = call.body.get("documents")
    _check_length("query", query, None, _LONGEST_QUERY)
    for place, document in enumerate(documents):
        _check_length(f"documents[{place}]", document, None, _LONGEST_DOCUMENT)
    asked = embedding(query, _RANKED_WITH)
    scores = [max(0.0, min(1.0, closeness(asked, embedding(document, _RANKED_WITH)))) for document in documents]
    order = sorted(range(len(documents)), key=lambda index: -scores[index])
    results = [
        {"document": documents[index], "relevance_score": round(scores[index], 6), "index": index} for index in order
    ]
    tokens = sum(map(answers.count_tokens, [query, *documents]))
    head = {"id": answer_id(), "object": "reranker_list", "created": created(call)}
    return {**head, "results": results[: call.body.get("top_n")], "usage": read_only(tokens)}


def _check_length(what: str, text: str, characters: int | None, tokens: int | None) -> None:
    if characters is not None and len(text) > characters:
        raise RefusedInference(
            336003, f"{what} has {len(text)} characters, up to {characters} are read", word="characters_too_long"
        )
    if tokens is not None and (count := answers.count_tokens(text)) > tokens:
        raise RefusedInference(336003, f"{what} has {count} tokens, up to {tokens} are read", word="tokens_too_long")

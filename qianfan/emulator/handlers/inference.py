"""Model calls: the tables of who answers, and the kinds that are too small for a module of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from qianfan.emulator import answers
from qianfan.emulator.calls import Call, Handler
from qianfan.emulator.envelopes import answer_id
from qianfan.emulator.handlers import chat_v1, chat_v2, pictures, plugins, vectors
from qianfan.emulator.handlers.asking import ask_at, check_fields, created, read_only
from qianfan.emulator.refusals import RefusedInference
from qianfan.emulator.shapes.inference import FORMS
from qianfan.emulator.wire import Answer, json_answer
from qianfan.engines.rows import Message


async def ask_completions(call: Call) -> None:
    """Begin the answer of `completions`."""
    prompt = call.body.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise RefusedInference(336003, "prompt must be a non-empty text")
    check_fields(call, FORMS["/completions"])
    await ask_at(call, "completions", [Message(role="user", content=prompt)])


def completions(call: Call) -> Answer:
    """`/completions/{endpoint}`."""
    return chat_v1.reply_v1(call, kind="completion", extra={"is_safe": 1})


def tokenizer(call: Call) -> Answer:
    """`/tokenizer/erniebot`."""
    if call.args["endpoint"] != "erniebot":
        raise RefusedInference(3, "Unsupported openapi method")
    check_fields(call, FORMS["/tokenizer"])
    head = {"id": answer_id(), "object": "tokenizer.erniebot", "created": created(call)}
    return json_answer({**head, "usage": read_only(answers.count_tokens(call.body.get("prompt")))})


def unknown(call: Call) -> Answer:
    """Any other kind of model call."""
    raise RefusedInference(3, "Unsupported openapi method")


KINDS: dict[str, Handler] = {
    "chat": chat_v1.chat,
    "completions": completions,
    "embeddings": vectors.embeddings_v1,
    "text2image": pictures.text2image,
    "image2text": pictures.image2text,
    "reranker": vectors.rerank_v1,
    "tokenizer": tokenizer,
    "erniebot": plugins.erniebot,
    "plugin": plugins.plugin,
}
"""V1: kind of service -> who answers."""

PATHS: dict[str, Handler] = {
    "/v2/chat/completions": chat_v2.chat,
    "/v2/embeddings": vectors.embeddings_v2,
    "/v2/rerankers": vectors.rerank_v2,
    "/v2/rerank": vectors.rerank_v2,
}
"""V2: path -> who answers."""

PREPARATIONS: dict[Handler, Callable[[Call], Awaitable[None]]] = {
    chat_v1.chat: chat_v1.ask_chat,
    completions: ask_completions,
    pictures.image2text: pictures.ask_image2text,
    plugins.erniebot: plugins.ask_erniebot,
    plugins.plugin: plugins.ask_plugin,
    chat_v2.chat: chat_v2.ask_chat,
}
"""Handler -> who begins the answer."""

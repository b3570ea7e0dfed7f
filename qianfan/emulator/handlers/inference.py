"""Model calls, V1 and V2: chat and completion with streaming, embeddings, images."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from qianfan._types import JSON
from qianfan.emulator import answers, catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.envelopes import Family, answer_id, refused_inference
from qianfan.emulator.handlers.services import look_at_service
from qianfan.emulator.records import Service
from qianfan.emulator.refusals import RefusedInference
from qianfan.emulator.sampling import sampling_of
from qianfan.emulator.scripted import Told, pause_of
from qianfan.emulator.wire import Answer, json_answer
from qianfan.emulator.works import Reply
from qianfan.engines.rows import Message

_TEXTS_AT_ONCE = {"tao-8k": 1}
_DIMENSIONS = {"Embedding-V1": 384}


# --- V1 ----------------------------------------------------------------------------------------------------------


async def ask_chat_v1(call: Call) -> None:
    """Begin the answer of `chat_v1`."""
    messages = _messages_v1(call.body.get("messages"))
    _check_ranges(call)
    await _ask_v1(call, "chat", _with_system(call, [_message(message) for message in messages]))


def chat_v1(call: Call) -> Answer:
    """`/chat/{endpoint}`."""
    return _reply_v1(call, kind="chat.completion", extra={"need_clear_history": False})


async def ask_completions_v1(call: Call) -> None:
    """Begin the answer of `completions_v1`."""
    prompt = call.body.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise RefusedInference(336003, "prompt must be a non-empty text")
    _check_ranges(call)
    await _ask_v1(call, "completions", [Message(role="user", content=prompt)])


def completions_v1(call: Call) -> Answer:
    """`/completions/{endpoint}`."""
    return _reply_v1(call, kind="completion", extra={"is_safe": 1})


def embeddings_v1(call: Call) -> Answer:
    """`/embeddings/{endpoint}`."""
    model = _endpoint_model(call, "embeddings")
    texts = call.body.get("input")
    most = _TEXTS_AT_ONCE.get(model, 16)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise RefusedInference(336003, "input must be a list of non-empty texts")
    if len(texts) > most:
        raise RefusedInference(336003, f"input must hold at most {most} texts, found {len(texts)}")
    return json_answer(_vectors(model, texts, call.account))


def text2image_v1(call: Call) -> Answer:
    """`/text2image/{endpoint}`: a small picture in one colour."""
    _endpoint_model(call, "text2image")
    prompt, count = call.body.get("prompt"), call.body.get("n")
    count = 1 if count is None else count
    if not isinstance(prompt, str) or not prompt or len(prompt) > 1024:
        raise RefusedInference(336003, "prompt must be a text of 1 to 1024 characters")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 4:
        raise RefusedInference(336003, f"n must be 1 to 4, found {count!r}")
    image = base64.b64encode(answers.picture(prompt)).decode()
    data = [{"object": "image", "b64_image": image, "index": index} for index in range(1, count + 1)]
    tokens = answers.count_tokens(prompt)
    content = {"id": answer_id(), "object": "image", "created": _created(call), "data": data}
    return json_answer({**content, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


def unknown_v1(call: Call) -> Answer:
    """Any other kind of model call."""
    raise RefusedInference(3, "Unsupported openapi method")


def _messages_v1(messages: JSON) -> list[dict[str, JSON]]:
    if not isinstance(messages, list) or not messages:
        raise RefusedInference(336003, "messages must be a non-empty list")
    if len(messages) % 2 == 0:
        raise RefusedInference(336003, "messages length must be odd")
    for place, message in enumerate(messages):
        expected = ("user", "function") if place % 2 == 0 else ("assistant",)
        role = message.get("role") if isinstance(message, dict) else None
        if role not in expected:
            raise RefusedInference(336003, f"role of message {place} must be {expected[0]}, found {role!r}")
        content = message.get("content")
        if not isinstance(content, str) or (not content and "function_call" not in message):
            raise RefusedInference(336003, f"content of message {place} must be a non-empty text")
    return messages


_RANGES = {"temperature": (0.0, 1.0), "top_p": (0.0, 1.0), "penalty_score": (1.0, 2.0)}


def _check_ranges(call: Call) -> None:
    for key, (low, high) in _RANGES.items():
        value = call.body.get(key)
        if value is None:
            continue
        inside = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        if not inside or (key == "temperature" and value == 0):
            raise RefusedInference(336003, f"{key} must be from {low:g} to {high:g}, found {value!r}")


def _message(message: dict[str, JSON]) -> Message:
    """A message as engines know them: what a function or a tool says is for the model to read, as a user's words."""
    role = message["role"]
    return Message(role=role if role in ("system", "assistant") else "user", content=_content(message))


def _with_system(call: Call, messages: list[Message]) -> list[Message]:
    system = call.body.get("system")
    return [Message(role="system", content=system), *messages] if isinstance(system, str) and system else messages


async def _ask_v1(call: Call, kind: str, messages: list[Message]) -> None:
    with call.account.lock:
        service = _service_at(call.account, call.args["endpoint"])
    await _ask(call, service, lambda: _endpoint_model(call, kind), messages)


async def _ask(call: Call, service: Service | None, preset: Callable[[], str], messages: list[Message]) -> None:
    """Begin an answer of a service, or the visibly canned one of a preset model that nobody trained."""
    account, sampling = call.account, sampling_of(call.body)
    if service is not None:
        call.reply = await account.works.ask(service, messages, sampling)
    else:
        text = answers.canned(preset(), messages[-1].content)
        call.reply = Told(
            text, " ".join(message.content for message in messages), clock=account.clock, pause=pause_of(account)
        )
    if not call.body.get("stream"):
        call.text = "".join([piece async for piece in call.reply.pieces()])


def _service_at(account: Account, endpoint: str) -> Service | None:
    service = next((service for service in account.services if service.endpoint == endpoint), None)
    if service is None:
        return None
    if look_at_service(account, service, look=False).state != "Serving":
        raise RefusedInference(6, f"No permission to access data: service {service.id} is {service.state}")
    return service


def _endpoint_model(call: Call, kind: str) -> str:
    endpoint = call.args["endpoint"]
    model = catalogue.preset_model_at(kind, endpoint)
    if model is not None:
        return model
    with call.account.lock:
        service = _service_at(call.account, endpoint)
    if service is None:
        raise RefusedInference(3, "Unsupported openapi method")
    return service.name


def _reply_v1(call: Call, *, kind: str, extra: dict[str, JSON]) -> Answer:
    reply = _begun(call)
    head: dict[str, JSON] = {"id": answer_id(), "object": kind, "created": _created(call)}
    if call.body.get("stream"):
        return _stream(call, _events_v1(head, reply, extra))
    return json_answer(
        {
            **head,
            "result": call.text,
            "is_truncated": reply.reason == "length",
            "finish_reason": _FINISH[reply.reason],
            **extra,
            "usage": _usage(reply),
        }
    )


_FINISH = {"stop": "normal", "length": "length"}


async def _events_v1(head: dict[str, JSON], reply: Reply, extra: dict[str, JSON]) -> AsyncGenerator[str]:
    place = 0
    async with aclosing(_with_last(reply)) as pieces:
        async for piece, last in pieces:
            cut = last and reply.reason == "length"
            event = {**head, "sentence_id": place, "is_end": last, "is_truncated": cut, "result": piece, **extra}
            if last:
                event["finish_reason"] = _FINISH[reply.reason]
            yield _data({**event, "usage": _usage(reply)})
            place += 1


# --- V2 ----------------------------------------------------------------------------------------------------------


async def ask_chat_v2(call: Call) -> None:
    """Begin the answer of `chat_v2`."""
    messages = _messages_v2(call.body.get("messages"))
    account, model = call.account, call.body.get("model")
    with account.lock:
        named = (service for service in account.services if model in (service.endpoint, service.id, service.name))
        service = next(named, None)
        if service is not None:
            _service_at(account, service.endpoint)
    await _ask(call, service, lambda: _model_v2(call), [_message(message) for message in messages])


def chat_v2(call: Call) -> Answer:
    """`/v2/chat/completions`."""
    body, reply = call.body, _begun(call)
    head: dict[str, JSON] = {
        "id": answer_id(),
        "object": "chat.completion",
        "created": _created(call),
        "model": body.get("model"),
    }
    if body.get("stream"):
        options = body.get("stream_options")
        with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return _stream(call, _events_v2(head, reply, with_usage=with_usage))
    message = {"role": "assistant", "content": call.text}
    choice = {"index": 0, "message": message, "finish_reason": _FINISH[reply.reason], "flag": 0}
    return json_answer({**head, "choices": [choice], "usage": _usage(reply)})


def embeddings_v2(call: Call) -> Answer:
    """`/v2/embeddings`."""
    model = _model_v2(call)
    texts = call.body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise RefusedInference(336003, "input must be a text or a list of texts")
    return json_answer({**_vectors(model, texts, call.account), "model": call.body.get("model")})


def _messages_v2(messages: JSON) -> list[dict[str, JSON]]:
    if not isinstance(messages, list) or not messages:
        raise RefusedInference(336003, "messages must be a non-empty list", word="invalid_messages")
    for place, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        allowed = ("system", "user", "assistant", "tool") if place == 0 else ("user", "assistant", "tool")
        if role not in allowed:
            raise RefusedInference(336003, f"messages[{place}].role {role!r} is not allowed", word="invalid_messages")
        if role == "tool" and not message.get("tool_call_id"):
            raise RefusedInference(336003, f"messages[{place}] needs tool_call_id", word="invalid_messages")
        if role in ("system", "user") and not _content(message):
            raise RefusedInference(336003, f"messages[{place}].content is empty", word="invalid_messages")
    return messages


def _content(message: dict[str, JSON]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _model_v2(call: Call) -> str:
    model = call.body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusedInference(336003, "model is empty", word="invalid_model")
    preset = catalogue.preset_model_named(model)
    if preset is None:
        raise RefusedInference(6, f"no permission to use model {model!r}", word="invalid_model", status=401)
    return preset


async def _events_v2(head: dict[str, JSON], reply: Reply, *, with_usage: bool) -> AsyncGenerator[str]:
    head = {**head, "object": "chat.completion.chunk"}
    role: dict[str, JSON] = {"role": "assistant"}
    async with aclosing(_with_last(reply)) as pieces:
        async for piece, last in pieces:
            finish = reply.reason if last else None
            delta = {**role, "content": piece}
            yield _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "flag": 0}]})
            role = {}
    if with_usage:
        yield _data({**head, "choices": [], "usage": _usage(reply)})
    yield "data: [DONE]\n\n"


# --- shared ------------------------------------------------------------------------------------------------------


def _vectors(model: str, texts: list[str], account: Account) -> dict[str, JSON]:
    size = _DIMENSIONS.get(model, 1024)
    tokens = sum(answers.count_tokens(text) for text in texts)
    data = [
        {"object": "embedding", "embedding": answers.embedding(text, size), "index": index}
        for index, text in enumerate(texts)
    ]
    created = int(account.now().timestamp())
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"id": answer_id(), "object": "embedding_list", "created": created, "data": data, "usage": usage}


def _begun(call: Call) -> Reply:
    assert call.reply is not None, "a model call is prepared by asking the model"
    return call.reply


async def _with_last(reply: Reply) -> AsyncGenerator[tuple[str, bool]]:
    """Each piece, and whether it is the last one: the last event of a stream says so."""
    held: str | None = None
    async with aclosing(reply.pieces()) as pieces:
        async for piece in pieces:
            if held is not None:
                yield held, False
            held = piece
    yield held or "", True


def _stream(call: Call, events: AsyncGenerator[str]) -> Answer:
    family = Family.INFERENCE_V1 if call.args else Family.INFERENCE_V2
    return Answer(200, {"content-type": "text/event-stream"}, _encoded(events, family))


async def _encoded(events: AsyncGenerator[str], family: Family) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(events):
            async for event in events:
                yield event.encode()
    except RefusedInference as error:
        # The answer has begun, so the error is one more event of it.
        body = refused_inference(family, error).body
        assert isinstance(body, bytes)
        yield b"data: " + body + b"\n\n"


def _data(event: dict[str, JSON]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


def _usage(reply: Reply) -> dict[str, int]:
    prompt, completion = reply.prompt_tokens, reply.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _created(call: Call) -> int:
    return int(call.account.now().timestamp())

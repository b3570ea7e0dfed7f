"""What all model calls share: who answers, what preset models say, how answers and streams are put together."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Literal

from qianfan._clock import Clock
from qianfan._types import JSON
from qianfan.emulator import answers, catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.envelopes import Family, refused_inference
from qianfan.emulator.handlers.services import look_at_service
from qianfan.emulator.records import Service
from qianfan.emulator.refusals import Refused, RefusedInference
from qianfan.emulator.sampling import sampling_of
from qianfan.emulator.scripted import Told, pause_of
from qianfan.emulator.shapes.vocabulary import Form, Maybe, is_whole
from qianfan.emulator.tool_calls import Use
from qianfan.emulator.wire import Answer
from qianfan.emulator.works import Reply
from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling

FINISH = {"stop": "normal", "length": "length"}
"""Why an answer ended -> what V1 and whole answers of V2 call it."""


# --- who answers ---------------------------------------------------------------------------------------------------


def service_at(account: Account, endpoint: str) -> Service | None:
    """The service with an endpoint, None when there is none. Raises RefusedInference while it does not serve."""
    service = next((service for service in account.services if service.endpoint == endpoint), None)
    if service is None:
        return None
    if look_at_service(account, service, look=False).state != "Serving":
        raise RefusedInference(6, f"No permission to access data: service {service.id} is {service.state}")
    return service


def endpoint_model(call: Call, kind: str) -> str:
    """The name of what answers at the endpoint of a V1 call: a preset model, or a service."""
    endpoint = call.args["endpoint"]
    model = catalogue.preset_model_at(kind, endpoint)
    if model is not None:
        return model
    with call.account.lock:
        service = service_at(call.account, endpoint)
    if service is None:
        raise RefusedInference(3, "Unsupported openapi method")
    return service.name


def preset_v2(call: Call, *kinds: str) -> str:
    """The preset model that a V2 call names, by its V1 name."""
    model = call.body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusedInference(336003, "model is empty", word="invalid_model")
    preset = catalogue.preset_model_named(model, kinds)
    if preset is None:
        raise RefusedInference(6, f"no permission to use model {model!r}", word="invalid_model", status=401)
    return preset


# --- what preset models say ----------------------------------------------------------------------------------------


class Canned(Told):
    """The answer of a preset model that nobody trained.

    model: its name. uses: the functions it calls in place of words. sources: what a search on the web would have found.
    """

    def __init__(
        self,
        text: str,
        prompt: str,
        *,
        model: str,
        clock: Clock,
        pause: float,
        reason: Literal["stop", "length"] = "stop",
        uses: Sequence[Use] = (),
        sources: Sequence[Mapping[str, JSON]] = (),
    ) -> None:
        super().__init__(text, prompt, clock=clock, pause=pause)
        self.model = model
        self.reason: Literal["stop", "length"] = reason
        self.uses = uses
        self.sources = sources

    async def pieces(self) -> AsyncGenerator[str]:
        """The text as it comes; one empty piece when functions are called."""
        if self.uses:
            self.completion_tokens = sum(answers.count_tokens(use.arguments) for use in self.uses)
            yield ""
            return
        async with aclosing(super().pieces()) as pieces:
            async for piece in pieces:
                yield piece


def canned(
    call: Call,
    model: str,
    messages: Sequence[Message],
    say: Callable[[str], str] | None = None,
    *,
    uses: Sequence[Use] = (),
    sources: Sequence[Mapping[str, JSON]] = (),
) -> Canned:
    """What a preset model says to messages, as far as the call wants it.

    say: a question to the whole answer; left out, the usual visibly canned one.
    """
    text, reason = "", "stop"
    sampling = sampling_of(call.body)
    if not uses:
        whole = answers.said(say or (lambda question: answers.canned(model, question)), messages)
        text, reason = answers.limited(whole, sampling)
    return Canned(
        text,
        " ".join(message.content for message in messages),
        model=model,
        clock=call.account.clock,
        pause=pause_of(call.account),
        reason="length" if reason == "length" else "stop",
        uses=uses,
        sources=sources,
    )


def sources(question: str, count: int = 2) -> list[Mapping[str, JSON]]:
    """What a search on the web would have found, if there were one."""
    shown = question if len(question) <= 20 else question[:20] + "…"
    return [
        {"index": index, "url": f"https://search.invalid/{index}", "title": f"[simulated result {index}] {shown}"}
        for index in range(1, count + 1)
    ]


# --- asking --------------------------------------------------------------------------------------------------------


async def ask(call: Call, service: Service | None, messages: Sequence[Message], preset: Callable[[], Canned]) -> None:
    """Begin an answer: a service's, or a preset model's."""
    sampling: Sampling = sampling_of(call.body)
    reply = await call.account.works.ask(service, messages, sampling) if service is not None else preset()
    call.reply = reply
    if not call.body.get("stream"):
        call.text = "".join([piece async for piece in reply.pieces()])


async def ask_at(
    call: Call, kind: str, messages: Sequence[Message], preset: Callable[[str], Canned] | None = None
) -> None:
    """Begin the answer of whatever is at the endpoint of a V1 call. preset: a preset model's, by its name."""
    with call.account.lock:
        service = service_at(call.account, call.args["endpoint"])
    await ask(
        call,
        service,
        messages,
        lambda: (preset or (lambda model: canned(call, model, messages)))(endpoint_model(call, kind)),
    )


def begun(call: Call) -> Reply:
    """The answer that was begun."""
    assert call.reply is not None, "a model call is prepared by asking the model"
    return call.reply


def of_preset(reply: Reply) -> Canned | None:
    """The same, when a preset model answers."""
    return reply if isinstance(reply, Canned) else None


# --- what a call holds ---------------------------------------------------------------------------------------------


def check_fields(call: Call, exchange: Form, *besides: str) -> None:
    """Refuse a body that does not fit. besides: fields that are checked elsewhere, in words of their own."""
    for name, shape in exchange.takes.fields.items():
        given = call.body.get(name)
        if name in besides or (name not in call.body.fields and isinstance(shape, Maybe)):
            continue
        try:
            shape.check(name, given)
        except Refused as refused:
            raise RefusedInference(336003, refused.text) from None


def content_of(message: Mapping[str, JSON]) -> str:
    """The words of a message; pictures have none."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def message_of(message: Mapping[str, JSON]) -> Message:
    """A message as engines know them: what a function or a tool says is for the model to read, as a user's words."""
    role, content = message["role"], content_of(message)
    if not is_whole(content):
        raise RefusedInference(336003, "a message holds half a character, which is no Unicode text")
    return Message(role=role if role in ("system", "assistant") else "user", content=content)


def check_length(model: str, texts: Sequence[str]) -> None:
    """Refuse more than a preset model reads. The limits are those of the platform's own clients."""
    limit = catalogue.preset_limit(model)
    if limit is None:
        return
    most_characters, most_tokens = limit
    characters = sum(map(len, texts))
    # Which number V1 gives for each is not established; of those that are handed down, this one says it best.
    if characters > most_characters:
        text = f"the messages have {characters} characters, {model} reads up to {most_characters}"
        raise RefusedInference(336103, text, word="characters_too_long")
    tokens = sum(map(answers.count_tokens, texts))
    if most_tokens is not None and tokens > most_tokens:
        text = f"the messages have {tokens} tokens, {model} reads up to {most_tokens}"
        raise RefusedInference(336103, text, word="tokens_too_long")


# --- putting answers together --------------------------------------------------------------------------------------


def usage_of(reply: Reply) -> dict[str, JSON]:
    """Tokens so far."""
    prompt, completion = reply.prompt_tokens, reply.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def read_only(tokens: int) -> dict[str, JSON]:
    """Tokens of a call that makes none."""
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def created(call: Call) -> int:
    """Now, in unix seconds."""
    return int(call.account.now().timestamp())


async def with_last(reply: Reply) -> AsyncGenerator[tuple[str, bool]]:
    """Each piece, and whether it is the last one: the last event of a stream says so."""
    held: str | None = None
    async with aclosing(reply.pieces()) as pieces:
        async for piece in pieces:
            if held is not None:
                yield held, False
            held = piece
    yield held or "", True


def stream(call: Call, events: AsyncGenerator[str]) -> Answer:
    """An answer event by event."""
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


def data(event: Mapping[str, JSON], name: str = "") -> str:
    """One event of a stream."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(event, ensure_ascii=False)}\n\n"

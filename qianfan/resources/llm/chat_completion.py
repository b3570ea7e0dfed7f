"""Conversations, V1 and V2."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal, TypeAlias, overload

from qianfan._sync import iterate_sync, run_sync
from qianfan.errors import InvalidArgumentError
from qianfan.resources.llm import batch, continuing, functions
from qianfan.resources.llm.base import Asked, SecondGeneration, Streaming, Target
from qianfan.resources.llm.conversation import functions_named, messages_of, shortened, system_apart
from qianfan.resources.llm.typed import Completion, CompletionChunk, typed
from qianfan.resources.messages import QfMessages, QfResponse

Messages: TypeAlias = Sequence[Mapping[str, Any]] | QfMessages

_CONVERSING = (
    "auto_concat_truncate",
    "truncated_continue_prompt",
    "truncate_overlong_msgs",
    "adapt_openai_message_format",
)
"""Keywords that say how a conversation is led; they are not for the model."""


class ChatCompletion(Streaming):
    """Conversations with a preset model or a deployed service.

    version: "1" (numbers as error codes, one `result` text) or "2" (the form that OpenAI's clients made common).
    """

    kind = "chat"
    default_model = "ERNIE-Lite-8K"
    needs = ("messages",)
    v2 = SecondGeneration("chat_v2_api_route", "ernie-lite-8k")

    # --- asking -------------------------------------------------------------------------------------------------

    @overload
    async def ado(
        self,
        messages: Messages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        stream: Literal[False] = ...,
        **kwargs: Any,
    ) -> QfResponse: ...
    @overload
    async def ado(
        self,
        messages: Messages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> AsyncGenerator[QfResponse, None]: ...
    async def ado(
        self,
        messages: Messages | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> QfResponse | AsyncGenerator[QfResponse, None]:
        """Answer the last message. messages: `{"role", "content"}`, user and assistant in turn.

        kwargs: parameters of the model (`temperature`, `top_p`, `system`, `stop`, `max_output_tokens`, `functions`,
        `tools`, …), those of `Inference` that say how to send it, and how to lead the conversation:
        auto_concat_truncate: ask for the rest of an answer that was cut, and join it; truncated_continue_prompt: with
        these words.
        truncate_overlong_msgs: leave out the oldest messages when they are too long for the model.
        adapt_openai_message_format: in V1, take `system` messages out of `messages` and into `system`.
        """
        options, rest = self._arguments(kwargs, model, endpoint)
        answer: QfResponse | AsyncGenerator[QfResponse, None]
        answer = await self._answer({"messages": messages_of(messages), **rest}, stream, options)
        return answer

    @overload
    def do(
        self,
        messages: Messages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        stream: Literal[False] = ...,
        **kwargs: Any,
    ) -> QfResponse: ...
    @overload
    def do(
        self,
        messages: Messages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> Iterator[QfResponse]: ...
    def do(
        self,
        messages: Messages | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> QfResponse | Iterator[QfResponse]:
        """Blocking form of `ado`."""
        options, rest = self._arguments(kwargs, model, endpoint)
        answer: QfResponse | Iterator[QfResponse]
        answer = self._answer_sync({"messages": messages_of(messages), **rest}, stream, options)
        return answer

    # --- answers as objects -------------------------------------------------------------------------------------

    @overload
    async def acreate(
        self,
        messages: Messages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        stream: Literal[False] = ...,
        **kwargs: Any,
    ) -> Completion: ...
    @overload
    async def acreate(
        self,
        messages: Messages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> AsyncGenerator[CompletionChunk, None]: ...
    async def acreate(
        self,
        messages: Messages | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Completion | AsyncGenerator[CompletionChunk, None]:
        """As `ado`, with answers as objects: a Completion, or an async iterator of CompletionChunk."""
        if not stream:
            return typed(await self.ado(messages, model, endpoint, **kwargs), Completion, model or self.model)
        return self._chunks(messages, model, endpoint, kwargs)

    @overload
    def create(
        self,
        messages: Messages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        stream: Literal[False] = ...,
        **kwargs: Any,
    ) -> Completion: ...
    @overload
    def create(
        self,
        messages: Messages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> Iterator[CompletionChunk]: ...
    def create(
        self,
        messages: Messages | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Completion | Iterator[CompletionChunk]:
        """Blocking form of `acreate`."""
        if not stream:
            return run_sync(self.acreate, messages, model, endpoint, **kwargs)
        return iterate_sync(lambda: self._chunks(messages, model, endpoint, kwargs))

    async def _chunks(
        self, messages: Messages | None, model: str | None, endpoint: str | None, kwargs: dict[str, Any]
    ) -> AsyncGenerator[CompletionChunk, None]:
        async with aclosing(await self.ado(messages, model, endpoint, stream=True, **kwargs)) as pieces:
            async for piece in pieces:
                yield typed(piece, CompletionChunk, model or self.model)

    @property
    def with_raw_response(self) -> RawResponses:
        """The same calls with plain answers: `chat.with_raw_response.create(...)` gives a QfResponse."""
        return RawResponses(self)

    # --- many conversations -------------------------------------------------------------------------------------

    async def abatch_do(
        self,
        messages_list: Sequence[Messages] | None = None,
        body_list: Sequence[Mapping[str, Any]] | None = None,
        worker_num: int | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer many conversations at once: their answers in order, in place of a failed one its error.

        body_list: keywords of `ado` for each, instead of `messages_list`. worker_num: how many at once; without it, as
        many as the client lets out.
        """
        return await batch.gather(
            batch.tasks_of(self.ado, _calls(messages_list, body_list), worker_num, kwargs), worker_num
        )

    def batch_do(
        self,
        messages_list: Sequence[Messages] | None = None,
        body_list: Sequence[Mapping[str, Any]] | None = None,
        worker_num: int | None = None,
        **kwargs: Any,
    ) -> batch.BatchRequestFuture:
        """As `abatch_do`, but returns at once; `results()` waits for the answers."""
        return batch.blocking(self.do, self.ado, _calls(messages_list, body_list), worker_num, kwargs)

    # --- how a conversation is led ------------------------------------------------------------------------------

    async def _once(self, request: Mapping[str, Any], **options: Any) -> QfResponse:
        asked, manner = await self._conversation(request, options)
        if asked.body.get("stream"):
            raise InvalidArgumentError("ChatCompletion answers all at once here; leave out stream=True")
        responses = [await self._ask(asked)]
        most = continuing.MOST_PARTS if manner.get("auto_concat_truncate") else 1
        while len(responses) < most and responses[-1].text and continuing.is_truncated(responses[-1]):
            asked = continuing.asking_on(asked, responses[-1].text, _prompt(manner))
            responses.append(await self._ask(asked))
        return continuing.joined(responses)

    async def _pieces(self, request: Mapping[str, Any], **options: Any) -> AsyncGenerator[QfResponse, None]:
        asked, manner = await self._conversation({**request, "stream": True}, options)
        if manner.get("auto_concat_truncate"):
            pieces = continuing.listened_on(asked, _prompt(manner), self._listen)
        else:
            pieces = self._listen(asked)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _conversation(
        self, request: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[Asked, dict[str, Any]]:
        given = {**self._defaults, **request}
        manner = {name: given[name] for name in _CONVERSING if given.get(name) is not None}
        asked = await self._asked({**request, **dict.fromkeys(_CONVERSING)}, options)
        body = asked.body
        if not asked.target.is_v2:
            body = {**body, "messages": functions_named(body["messages"])}
            if manner.get("adapt_openai_message_format"):
                body = system_apart(body)
        if manner.get("truncate_overlong_msgs"):
            system = str(body.get("system") or "")
            body = {**body, "messages": shortened(body["messages"], system, asked.target.info)}
        if _speaks_in_words(asked.target):
            body = functions.in_words(body)
        return replace(asked, body=body), manner

    async def _ask(self, asked: Asked) -> QfResponse:
        response = await super()._ask(asked)
        return functions.read(response) if _speaks_in_words(asked.target) else response

    async def _listen(self, asked: Asked) -> AsyncGenerator[QfResponse, None]:
        pieces = super()._listen(asked)
        if _speaks_in_words(asked.target):
            pieces = functions.read_pieces(pieces)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece


class RawResponses:
    """`create` and `acreate` of a ChatCompletion with plain answers."""

    def __init__(self, chat: ChatCompletion) -> None:
        self.create = chat.do
        self.acreate = chat.ado


def _calls(
    messages_list: Sequence[Messages] | None, body_list: Sequence[Mapping[str, Any]] | None
) -> list[Mapping[str, Any]]:
    if (messages_list is None) == (body_list is None):
        raise InvalidArgumentError("give messages_list or body_list")
    return list(body_list) if body_list is not None else [{"messages": one} for one in messages_list or ()]


def _prompt(manner: Mapping[str, Any]) -> str:
    return str(manner.get("truncated_continue_prompt") or continuing.CONTINUE)


def _speaks_in_words(target: Target) -> bool:
    return not target.is_v2 and target.place.rpartition("/")[2] == functions.ENDPOINT

"""Inference on preset models and deployed services: chat, completion, embedding, images (V1).

`x()` blocks, `ax()` is its async truth. `stream=True` gives an iterator of pieces instead of one answer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Literal, overload

from qianfan._retry import RetryPolicy
from qianfan._sync import iterate_sync, run_sync
from qianfan._transport import Call, Client, Family, Reply, Safety, default_client
from qianfan._types import UNSET, Unset
from qianfan.errors import ArgumentNotFoundError, InvalidArgumentError
from qianfan.resources.messages import QfMessages, QfRequest, QfResponse


@cache
def preset_endpoints() -> dict[str, dict[str, str]]:
    """Model name to endpoint, by kind (`chat`, `completions`, …): the models the platform serves for everyone."""
    text = files("qianfan.resources").joinpath("data", "preset_endpoints.json").read_text(encoding="utf-8")
    presets: dict[str, dict[str, str]] = json.loads(text)
    return presets


class _Inference:
    """What all kinds of inference share: which endpoint, how often to try, how to send."""

    kind: ClassVar[str]
    default_model: ClassVar[str]
    needs: ClassVar[str]
    """The key that every request must hold."""

    def __init__(
        self, model: str | None = None, endpoint: str | None = None, *, client: Client | None = None, **defaults: Any
    ) -> None:
        self.model = model
        self.endpoint = endpoint
        self._client = client
        self._options, self._defaults = _split(defaults)

    @property
    def client(self) -> Client:
        return self._client if self._client is not None else default_client()

    @classmethod
    def models(cls) -> set[str]:
        """Names of the preset models of this kind."""
        return set(preset_endpoints().get(cls.kind, {}))

    def __repr__(self) -> str:
        where = f"endpoint={self.endpoint!r}" if self.endpoint else f"model={self.model or self.default_model!r}"
        return f"{type(self).__name__}({where})"

    def _call(self, model: str | None, endpoint: str | None) -> tuple[Call, str]:
        place = self._place(model, endpoint)
        path = f"{self.client.settings.model_api_prefix}/{{place}}"
        return Call(place, Family.INFERENCE_V1, Safety.READ, path), place

    def _place(self, model: str | None, endpoint: str | None) -> str:
        """Where a call goes below the prefix that all of them share: `chat/ernie-lite-8k`."""
        if endpoint is None and model is None:
            endpoint, model = self.endpoint, self.model
        if endpoint is None:
            return f"{self.kind}/{self._preset(self.default_model if model is None else model)}"
        if not endpoint.strip("/"):
            raise InvalidArgumentError(f"endpoint={endpoint!r} names no service; give the last part of its address")
        return endpoint.strip("/") if self.client.settings.use_custom_endpoint else f"{self.kind}/{endpoint}"

    def _preset(self, model: str) -> str:
        presets = preset_endpoints().get(self.kind, {})
        for name, endpoint in presets.items():
            if name.casefold() == model.casefold():
                return endpoint
        raise InvalidArgumentError(
            f"{model!r} is no preset {self.kind} model; give endpoint=... for a service of your own, "
            f"or one of {sorted(presets)}"
        )

    def _arguments(
        self, given: dict[str, Any], model: str | None, endpoint: str | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What one call is told: its options, and what belongs into the body."""
        options, rest = _split(given)
        return {**self._options, **options, "model": model, "endpoint": endpoint}, rest

    def _body(self, request: Mapping[str, Any]) -> dict[str, Any]:
        body = {**self._defaults, **request}
        if body.get(self.needs) is None:
            raise ArgumentNotFoundError(f"{type(self).__name__} needs {self.needs!r}")
        return {key: value for key, value in body.items() if value is not None}

    def _retries(self, call: Call, count: int | None, backoff_factor: float | None) -> RetryPolicy | Unset:
        changes: dict[str, Any] = {}
        if count is not None:
            changes["attempts"] = max(1, count)
        if backoff_factor is not None:
            changes["wait_initial"] = backoff_factor
        return self.client.retry_policy(call).model_copy(update=changes) if changes else UNSET

    async def _once(
        self,
        request: Mapping[str, Any],
        *,
        model: str | None,
        endpoint: str | None,
        retry_count: int | None = None,
        request_timeout: float | Unset | None = UNSET,
        request_id: str | None = None,
        backoff_factor: float | None = None,
    ) -> QfResponse:
        call, place = self._call(model, endpoint)
        body = self._body(request)
        if body.get("stream"):
            raise InvalidArgumentError(f"{type(self).__name__} answers all at once here; leave out stream=True")
        started = self.client.clock.monotonic()
        reply = await self.client.call(
            call,
            body,
            path_args={"place": place},
            timeout=request_timeout,
            retries=self._retries(call, retry_count, backoff_factor),
            request_id=request_id,
        )
        return self._response(reply, body, place, started)

    def _response(self, reply: Reply, body: Mapping[str, Any], place: str, started: float) -> QfResponse:
        elapsed = (self.client.clock.monotonic() - started) * 1000
        request = QfRequest("POST", place, body)
        return QfResponse(reply.status, reply.body, reply.headers, {"total_latency": elapsed}, request)

    async def _pieces(
        self,
        request: Mapping[str, Any],
        *,
        model: str | None,
        endpoint: str | None,
        retry_count: int | None = None,
        request_timeout: float | Unset | None = UNSET,
        request_id: str | None = None,
        backoff_factor: float | None = None,
    ) -> AsyncGenerator[QfResponse, None]:
        call, place = self._call(model, endpoint)
        body = self._body({**request, "stream": True})
        sent = QfRequest("POST", place, body)
        clock, started, first = self.client.clock, self.client.clock.monotonic(), 0.0
        async with self.client.stream(
            call,
            body,
            path_args={"place": place},
            timeout=request_timeout,
            retries=self._retries(call, retry_count, backoff_factor),
            request_id=request_id,
        ) as pieces:
            async for piece in pieces:
                elapsed = (clock.monotonic() - started) * 1000
                first = first or elapsed
                times = {"first_token_latency": first, "total_latency": elapsed}
                yield QfResponse(200, piece, pieces.headers, times, sent)


class _Streaming(_Inference):
    """Kinds that can answer piece by piece."""

    async def _answer(self, request: Mapping[str, Any], stream: bool, options: dict[str, Any]) -> Any:
        return self._pieces(request, **options) if stream else await self._once(request, **options)

    def _answer_sync(self, request: Mapping[str, Any], stream: bool, options: dict[str, Any]) -> Any:
        if stream:
            return iterate_sync(lambda: self._pieces(request, **options))
        return run_sync(self._once, request, **options)


def _messages(messages: Sequence[Mapping[str, Any]] | QfMessages | None) -> list[Any] | None:
    if messages is None:
        return None
    if isinstance(messages, (str, Mapping)):
        raise InvalidArgumentError('messages must be a list such as [{"role": "user", "content": "..."}]')
    return messages.to_list() if isinstance(messages, QfMessages) else [*messages]


_OPTIONS = ("retry_count", "request_timeout", "request_id", "backoff_factor")
_SECRETS = ("ak", "sk", "access_key", "secret_key", "access_token", "bearer_token")


def _split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the call, and what belongs into the body. Keys never do, whatever they are called."""
    for secret in _SECRETS:
        if secret in given:
            raise InvalidArgumentError(
                f"{secret!r} does not belong in a request; give Settings to a Client and the client to this object"
            )
    options = {name: value for name, value in given.items() if name in _OPTIONS}
    return options, {name: value for name, value in given.items() if name not in _OPTIONS}


class ChatCompletion(_Streaming):
    """Conversations with a preset model or a deployed service."""

    kind = "chat"
    default_model = "ERNIE-Lite-8K"
    needs = "messages"

    @overload
    async def ado(
        self,
        messages: Sequence[Mapping[str, Any]] | QfMessages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        stream: Literal[False] = ...,
        **kwargs: Any,
    ) -> QfResponse: ...
    @overload
    async def ado(
        self,
        messages: Sequence[Mapping[str, Any]] | QfMessages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> AsyncGenerator[QfResponse, None]: ...
    async def ado(
        self,
        messages: Sequence[Mapping[str, Any]] | QfMessages | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> QfResponse | AsyncGenerator[QfResponse, None]:
        """Answer the last message. messages: `{"role", "content"}`, user and assistant in turn.

        kwargs: parameters of the model (`temperature`, `top_p`, `system`, `stop`, `max_output_tokens`, …), and
        `retry_count`, `request_timeout` (seconds), `request_id`, `backoff_factor` (seconds).
        """
        options, rest = self._arguments(kwargs, model, endpoint)
        answer: QfResponse | AsyncGenerator[QfResponse, None]
        answer = await self._answer({"messages": _messages(messages), **rest}, stream, options)
        return answer

    @overload
    def do(
        self,
        messages: Sequence[Mapping[str, Any]] | QfMessages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        stream: Literal[False] = ...,
        **kwargs: Any,
    ) -> QfResponse: ...
    @overload
    def do(
        self,
        messages: Sequence[Mapping[str, Any]] | QfMessages | None = ...,
        model: str | None = ...,
        endpoint: str | None = ...,
        *,
        stream: Literal[True],
        **kwargs: Any,
    ) -> Iterator[QfResponse]: ...
    def do(
        self,
        messages: Sequence[Mapping[str, Any]] | QfMessages | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> QfResponse | Iterator[QfResponse]:
        """Blocking form of `ado`."""
        options, rest = self._arguments(kwargs, model, endpoint)
        answer: QfResponse | Iterator[QfResponse]
        answer = self._answer_sync({"messages": _messages(messages), **rest}, stream, options)
        return answer


class Completion(_Streaming):
    """Continue a prompt."""

    kind = "completions"
    default_model = "SQLCoder-7B"
    needs = "prompt"

    async def ado(
        self,
        prompt: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Continue the prompt; a QfResponse, or an async iterator of pieces with `stream=True`."""
        options, rest = self._arguments(kwargs, model, endpoint)
        return await self._answer({"prompt": prompt, **rest}, stream, options)

    def do(
        self,
        prompt: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Blocking form of `ado`."""
        options, rest = self._arguments(kwargs, model, endpoint)
        return self._answer_sync({"prompt": prompt, **rest}, stream, options)


class Embedding(_Inference):
    """Texts as vectors."""

    kind = "embeddings"
    default_model = "Embedding-V1"
    needs = "input"

    async def ado(
        self,
        texts: Sequence[str] | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """One vector for each text, under `data[i]["embedding"]`."""
        if isinstance(texts, str):
            raise InvalidArgumentError("texts must be a list of texts; write [text] for a single one")
        options, rest = self._arguments(kwargs, model, endpoint)
        return await self._once({"input": list(texts) if texts is not None else None, **rest}, **options)

    def do(
        self,
        texts: Sequence[str] | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """Blocking form of `ado`."""
        return run_sync(self.ado, texts, model, endpoint, **kwargs)


class Text2Image(_Inference):
    """Pictures from a description."""

    kind = "text2image"
    default_model = "Stable-Diffusion-XL"
    needs = "prompt"

    async def ado(
        self,
        prompt: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        with_decode: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """Pictures under `data[i]["b64_image"]`; `with_decode="base64"` adds them as bytes under `data[i]["image"]`."""
        if with_decode not in (None, "base64"):
            raise InvalidArgumentError(f"with_decode={with_decode!r} is not known; use 'base64' or leave it out")
        options, rest = self._arguments(kwargs, model, endpoint)
        response = await self._once({"prompt": prompt, **rest}, **options)
        if with_decode:
            for picture in response.body.get("data", []):
                picture["image"] = base64.b64decode(picture["b64_image"])
        return response

    def do(
        self,
        prompt: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        with_decode: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """Blocking form of `ado`."""
        return run_sync(self.ado, prompt, model, endpoint, with_decode, **kwargs)

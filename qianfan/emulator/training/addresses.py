"""Services that are answered by a server elsewhere, reached in the way of OpenAI's chat completions."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any, Literal

import anyio
import httpx

from qianfan.emulator.answers import count_tokens
from qianfan.emulator.training.generators import broken
from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling

_TIMEOUT = httpx.Timeout(10.0, read=300.0)


class Addressed:
    """One such server.

    address: up to and including `/v1`; `#name` at its end names the model to ask for, else it is the first one the
    server lists. The key, where it needs one, is in the environment variable OPENAI_API_KEY.
    """

    def __init__(self, address: str) -> None:
        self._url, _, self._model = address.partition("#")

    def _client(self) -> httpx.AsyncClient:
        key = os.environ.get("OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A server on this machine is not reached through a proxy, and others are named by whoever starts the emulator.
        return httpx.AsyncClient(timeout=_TIMEOUT, headers=headers, trust_env=False)

    async def prepare(self, ready: Callable[[str], object]) -> None:
        """Find out whether it answers. ready: told why it does not, "" when it does."""
        try:
            async with self._client() as client:
                await self._model_name(client)
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            ready(f"{self._url} does not answer: {error or type(error).__name__}")
        else:
            ready("")

    async def _model_name(self, client: httpx.AsyncClient) -> str:
        if self._model:
            return self._model
        listed = (await client.get(f"{self._url.rstrip('/')}/models")).raise_for_status().json()
        return str(listed["data"][0]["id"])

    async def ask(self, messages: Sequence[Message], sampling: Sampling) -> AddressedReply:
        """Begin an answer. Raises RefusedInference."""
        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(self._client())
                response = await stack.enter_async_context(
                    client.stream(
                        "POST",
                        f"{self._url.rstrip('/')}/chat/completions",
                        json=_request(await self._model_name(client), messages, sampling),
                    )
                )
                if response.is_error:
                    said = (await response.aread())[:500].decode("utf-8", "replace")
                    raise broken(f"{self._url} answers {response.status_code}: {said}")
                return AddressedReply(response, stack.pop_all(), messages)
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise broken(f"{self._url}: {error or type(error).__name__}") from error


def _request(model: str, messages: Sequence[Message], sampling: Sampling) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [message.model_dump() for message in messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional = {"max_tokens": sampling.max_tokens, "stop": list(sampling.stop) or None, "seed": sampling.seed}
    return body | {name: value for name, value in optional.items() if value is not None}


class AddressedReply:
    """An answer that comes from there. Tokens are as the server counts them, estimated where it does not."""

    def __init__(self, response: httpx.Response, stack: AsyncExitStack, messages: Sequence[Message]) -> None:
        self.prompt_tokens = count_tokens(" ".join(message.content for message in messages))
        self.completion_tokens = 0
        self.reason: Literal["stop", "length"] = "stop"
        self._response = response
        self._stack = stack

    async def pieces(self) -> AsyncGenerator[str]:
        said = ""
        async with self._stack, aclosing(self._chunks()) as chunks:
            async for chunk in chunks:
                usage = chunk.get("usage")
                if usage:
                    self.prompt_tokens, self.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
                for choice in chunk.get("choices", ()):
                    if choice.get("finish_reason") == "length":
                        self.reason = "length"
                    text = choice.get("delta", {}).get("content")
                    if text:
                        said += text
                        self.completion_tokens = count_tokens(said)
                        yield text

    async def _chunks(self) -> AsyncGenerator[dict[str, Any]]:
        contents, rest = self._response.aiter_bytes(), b""
        try:
            while (content := await anext(contents, None)) is not None:
                # Not `aiter_lines`, which also breaks lines at characters that JSON may hold.
                *lines, rest = (rest + content).split(b"\n")
                for line in lines:
                    name, _, data = line.partition(b":")
                    if data.strip() == b"[DONE]":
                        return
                    if name == b"data":
                        yield json.loads(data)
        except (httpx.HTTPError, ValueError) as error:
            raise broken(f"the answer broke off: {error or type(error).__name__}") from error
        finally:
            await _close(self._response, contents)
        raise broken("the answer ended without its end mark")


async def _close(response: httpx.Response, contents: AsyncIterator[bytes]) -> None:
    """Close a response, and end the chain of generators that reads it where each of them stands."""
    with anyio.CancelScope(shield=True), suppress(httpx.HTTPError, httpx.StreamError, RuntimeError):
        await response.aclose()
        while await anext(contents, None) is not None:
            pass

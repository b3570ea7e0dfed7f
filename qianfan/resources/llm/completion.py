"""Prompts that are continued."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from qianfan.resources.llm import batch
from qianfan.resources.llm.base import Asked, Streaming, Target, Version, version_of
from qianfan.resources.llm.presets import presets
from qianfan.resources.messages import QfResponse


class Completion(Streaming):
    """Continue a prompt, with a model made for it, or with one for conversations by its name."""

    kind = "completions"
    default_model = "ERNIE-Lite-8K"
    needs = ("prompt",)

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

    async def abatch_do(self, prompt_list: Sequence[str], worker_num: int | None = None, **kwargs: Any) -> list[Any]:
        """Continue many prompts at once: the answers in order, in place of a failed one its error."""
        calls = [{"prompt": prompt} for prompt in prompt_list]
        return await batch.gather(batch.tasks_of(self.ado, calls, worker_num, kwargs), worker_num)

    def batch_do(
        self, prompt_list: Sequence[str], worker_num: int | None = None, **kwargs: Any
    ) -> batch.BatchRequestFuture:
        """As `abatch_do`, but returns at once; `results()` waits for the answers."""
        calls = [{"prompt": prompt} for prompt in prompt_list]
        return batch.blocking(self.do, self.ado, calls, worker_num, kwargs)

    @classmethod
    def models(cls, version: Version | None = None) -> set[str]:
        """Names of the preset models that continue prompts, those for conversations included."""
        version_of(version)
        return {name for kind in cls._kinds() for name in presets(kind)}

    @classmethod
    def _kinds(cls) -> tuple[str, ...]:
        return ("completions", "chat")

    def _shaped(self, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        if target.kind != "chat":
            return body
        prompt = body.pop("prompt")
        return {"messages": [{"role": "user", "content": prompt}], **body}

    async def _ask(self, asked: Asked) -> QfResponse:
        return _as_completion(await super()._ask(asked))

    async def _listen(self, asked: Asked) -> AsyncGenerator[QfResponse, None]:
        async with aclosing(super()._listen(asked)) as pieces:
            async for piece in pieces:
                yield _as_completion(piece)


def _as_completion(response: QfResponse) -> QfResponse:
    return replace(response, body={**response.body, "object": "completion"})

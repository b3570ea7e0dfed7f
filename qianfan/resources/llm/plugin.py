"""Plugins: the platform's two older ways to have a model use knowledge bases, charts and the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qianfan._transport import Client
from qianfan.resources.llm import batch
from qianfan.resources.llm.base import Streaming, Target
from qianfan.resources.llm.conversation import messages_of
from qianfan.resources.messages import QfMessages


class Plugin(Streaming):
    """Ask a model with plugins: `EBPlugin`, `EBPluginV2`, or by its endpoint an application of yours."""

    kind = "erniebot"
    default_model = "EBPlugin"
    needs = ("query",)

    async def ado(
        self,
        query: str | Sequence[Mapping[str, Any]] | QfMessages | None = None,
        plugins: Sequence[str] | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Answer a text or a conversation; pieces of a stream say under `_event` which part they belong to."""
        options, rest = self._arguments(kwargs, model, endpoint)
        return await self._answer({"query": _asked(query), "plugins": plugins, **rest}, stream, options)

    def do(
        self,
        query: str | Sequence[Mapping[str, Any]] | QfMessages | None = None,
        plugins: Sequence[str] | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Blocking form of `ado`."""
        options, rest = self._arguments(kwargs, model, endpoint)
        return self._answer_sync({"query": _asked(query), "plugins": plugins, **rest}, stream, options)

    async def abatch_do(self, query_list: Sequence[Any], worker_num: int | None = None, **kwargs: Any) -> list[Any]:
        """Answer many queries at once: the answers in order, in place of a failed one its error."""
        calls = [{"query": query} for query in query_list]
        return await batch.gather(batch.tasks_of(self.ado, calls, worker_num, kwargs), worker_num)

    def batch_do(
        self, query_list: Sequence[Any], worker_num: int | None = None, **kwargs: Any
    ) -> batch.BatchRequestFuture:
        """As `abatch_do`, but returns at once; `results()` waits for the answers."""
        calls = [{"query": query} for query in query_list]
        return batch.blocking(self.do, self.ado, calls, worker_num, kwargs)

    def _target_at(self, client: Client, endpoint: str) -> Target:
        target = super()._target_at(client, endpoint)
        if client.settings.use_custom_endpoint:
            return target
        return self._target_v1(client, "plugin", f"plugin/{endpoint.strip('/')}/", None)

    def _shaped(self, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        asked = body.pop("query", None)
        if target.kind == "plugin" or asked is None:
            return body if asked is None else {"query": asked, **body}
        return {"messages": [{"role": "user", "content": asked}] if isinstance(asked, str) else asked, **body}


def _asked(query: str | Sequence[Mapping[str, Any]] | QfMessages | None) -> Any:
    return query if isinstance(query, str) else messages_of(query)

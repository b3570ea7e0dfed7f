"""Documents in the order in which they answer a query, V1 and V2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qianfan._sync import run_sync
from qianfan.errors import InvalidArgumentError
from qianfan.resources.llm.base import Inference, SecondGeneration
from qianfan.resources.llm.typed import Ranking, typed
from qianfan.resources.messages import QfResponse


class Reranker(Inference):
    """Documents in the order in which they answer a query."""

    kind = "reranker"
    default_model = "bce-reranker-base_v1"
    needs = ("query", "documents")
    v2 = SecondGeneration("reranker_v2_api_route", "bce-reranker-base_v1")

    async def ado(
        self,
        query: str | None = None,
        documents: Sequence[str] | None = None,
        top_n: int | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """Under `results`, the best first: `{"document", "relevance_score", "index"}`, with its place in `documents`.

        top_n: how many of them; all, when left out.
        """
        if isinstance(documents, str):
            raise InvalidArgumentError("documents must be a list of texts; write [text] for a single one")
        options, rest = self._arguments(kwargs, model, endpoint)
        listed = None if documents is None else list(documents)
        return await self._once({"query": query, "documents": listed, "top_n": top_n, **rest}, **options)

    def do(
        self,
        query: str | None = None,
        documents: Sequence[str] | None = None,
        top_n: int | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """Blocking form of `ado`."""
        return run_sync(self.ado, query, documents, top_n, model, endpoint, **kwargs)

    async def acreate(
        self,
        query: str | None = None,
        documents: Sequence[str] | None = None,
        top_n: int | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> Ranking:
        """As `ado`, with the answer as an object."""
        return typed(await self.ado(query, documents, top_n, model, endpoint, **kwargs), Ranking, model or self.model)

    def create(
        self,
        query: str | None = None,
        documents: Sequence[str] | None = None,
        top_n: int | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> Ranking:
        """Blocking form of `acreate`."""
        return run_sync(self.acreate, query, documents, top_n, model, endpoint, **kwargs)

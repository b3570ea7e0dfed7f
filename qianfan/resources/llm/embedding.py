"""Texts as vectors, V1 and V2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qianfan._sync import run_sync
from qianfan.errors import InvalidArgumentError
from qianfan.resources.llm import batch
from qianfan.resources.llm.base import Inference, SecondGeneration
from qianfan.resources.llm.typed import EmbeddingList, typed
from qianfan.resources.messages import QfResponse


class Embedding(Inference):
    """Texts as vectors."""

    kind = "embeddings"
    default_model = "Embedding-V1"
    needs = ("input",)
    v2 = SecondGeneration("embedding_v2_api_route", "embedding-v1")

    async def ado(
        self,
        texts: Sequence[str] | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """One vector for each text, under `data[i]["embedding"]`."""
        if isinstance(texts, str) and self.version == 1:
            raise InvalidArgumentError("texts must be a list of texts; write [text] for a single one")
        options, rest = self._arguments(kwargs, model, endpoint)
        asked = texts if texts is None or isinstance(texts, str) else list(texts)
        return await self._once({"input": asked, **rest}, **options)

    def do(
        self,
        texts: Sequence[str] | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> QfResponse:
        """Blocking form of `ado`."""
        return run_sync(self.ado, texts, model, endpoint, **kwargs)

    async def acreate(
        self, input: Sequence[str] | None = None, model: str | None = None, endpoint: str | None = None, **kwargs: Any
    ) -> EmbeddingList:
        """As `ado`, with the answer as an object."""
        return typed(await self.ado(input, model, endpoint, **kwargs), EmbeddingList, model or self.model)

    def create(
        self, input: Sequence[str] | None = None, model: str | None = None, endpoint: str | None = None, **kwargs: Any
    ) -> EmbeddingList:
        """Blocking form of `acreate`."""
        return run_sync(self.acreate, input, model, endpoint, **kwargs)

    async def abatch_do(
        self, texts_list: Sequence[Sequence[str]], worker_num: int | None = None, **kwargs: Any
    ) -> list[Any]:
        """Vectors for many lists of texts at once: the answers in order, in place of a failed one its error."""
        calls = [{"texts": texts} for texts in texts_list]
        return await batch.gather(batch.tasks_of(self.ado, calls, worker_num, kwargs), worker_num)

    def batch_do(
        self, texts_list: Sequence[Sequence[str]], worker_num: int | None = None, **kwargs: Any
    ) -> batch.BatchRequestFuture:
        """As `abatch_do`, but returns at once; `results()` waits for the answers."""
        calls = [{"texts": texts} for texts in texts_list]
        return batch.blocking(self.do, self.ado, calls, worker_num, kwargs)

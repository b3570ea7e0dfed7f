"""Offline batch inference: a model answers the rows of files in a bucket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from qianfan._transport import Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Page, Resource, read, v2, walk
from qianfan.resources.console.consts import BatchInferenceStatus
from qianfan.resources.schemas import BatchCreated, BatchPage, BatchTask

CREATE = v2("batchinference", "CreateBatchInferenceTask", Safety.PURCHASE, creates="inference")
DESCRIBE = v2("batchinference", "DescribeBatchInferenceTask", Safety.READ)
DESCRIBE_ALL = v2("batchinference", "DescribeBatchInferenceTasks", Safety.READ)
STOP = v2("batchinference", "StopBatchInferenceTask", Safety.EFFECT)

_REFERER: Final = {"Referer": "infer"}


class BatchInference(Resource):
    """Offline batch inference, V2."""

    async def create(
        self,
        *,
        name: str,
        input_bos_uri: str | None = None,
        output_bos_uri: str | None = None,
        model_id: str | None = None,
        endpoint: str | None = None,
        inference_params: Mapping[str, Any] | None = None,
        description: str | None = None,
        afs_config: Mapping[str, Any] | None = None,
        completion_window: str | None = None,
    ) -> BatchCreated:
        """Have every row of the files in a folder answered. Every row is billed.

        model_id: a model version (`amv-…`), or endpoint: the full address of a service; the model wins.
        input_bos_uri, output_bos_uri: folders, `bos:/bucket/folder/`. afs_config: internal storage instead of both.
        completion_window: only `24h`, after which what is not done is given up.

        Raises InvalidArgumentError when there is nobody to answer, or no place to read from.
        """
        if model_id is None and endpoint is None:
            raise InvalidArgumentError("a batch inference needs a model_id, or the full address of an endpoint")
        if afs_config is None and (input_bos_uri is None or output_bos_uri is None):
            raise InvalidArgumentError("a batch inference needs input_bos_uri and output_bos_uri")
        body = {
            "name": name,
            "description": description,
            "modelId": model_id,
            "endpoint": endpoint if model_id is None else None,
            "inferenceParams": dict(inference_params or {}),
            "inputBosUri": input_bos_uri,
            "outputBosUri": output_bos_uri,
            "afsConfig": afs_config,
            "completion_window": completion_window,
        }
        reply = await self._send(CREATE, body, headers=_REFERER)
        return read(CREATE, reply, BatchCreated)

    async def describe(self, task_id: str) -> BatchTask:
        """How a batch inference stands."""
        return await self._ask(DESCRIBE, {"taskId": task_id}, BatchTask)

    async def describe_all(
        self,
        *,
        run_status: Sequence[BatchInferenceStatus | str] | BatchInferenceStatus | str | None = None,
        marker: str | None = None,
        max_keys: int | None = None,
        page_reverse: bool | None = None,
    ) -> Page[BatchTask]:
        """One page of the account's batch inferences, newest first. run_status: only those in one of these states."""
        wanted = [run_status] if isinstance(run_status, str) else [*(run_status or ())]
        body = {"runStatus": wanted, "marker": marker, "maxKeys": max_keys, "pageReverse": page_reverse}
        return await self._ask(DESCRIBE_ALL, body, BatchPage)

    def all(self, **filters: Any) -> AsyncGenerator[BatchTask, None]:
        """All batch inferences, newest first, page after page."""
        return walk(lambda marker: self.describe_all(marker=marker, max_keys=100, **filters))

    async def stop(self, task_id: str) -> bool:
        """Stop a batch inference. False when the platform did not stop it, for example because it is over."""
        return await self._do(STOP, {"taskId": task_id})

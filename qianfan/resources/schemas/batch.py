"""Offline batch inference. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field

from qianfan.resources._base import LeftToRight, Page, WireModel
from qianfan.resources.console.consts import BatchInferenceStatus
from qianfan.resources.schemas.common import Id


class BatchCreated(WireModel):
    """A batch inference on its way."""

    task_id: Id


class BatchTask(WireModel):
    """How a batch inference stands.

    progress: rows that are done; total: rows in all, None where the platform does not tell (the documents do not name
    the key). input_token_usage, output_token_usage: once it is done. output_dir: the folder of this task below
    output_bos_uri.
    """

    task_id: str
    name: str = ""
    description: str = ""
    endpoint: str = ""
    model_id: str = ""
    inference_params: dict[str, Any] = Field(default_factory=dict)
    run_status: Annotated[BatchInferenceStatus | str, LeftToRight] = ""
    error_code: int | None = None
    error_reason: str = ""
    input_bos_uri: str = ""
    output_bos_uri: str = ""
    input_afs_uri: str = ""
    output_afs_uri: str = ""
    output_dir: str = ""
    input_token_usage: int | None = None
    output_token_usage: int | None = None
    progress: int = 0
    total: int | None = Field(default=None, validation_alias=AliasChoices("total", "totalCount"))
    search_counts: int | None = None
    search_tokens: int | None = None
    creator: str = ""
    create_time: str = ""
    finish_time: str = ""

    @property
    def failure(self) -> str:
        return self.error_reason or super().failure

    @property
    def percent(self) -> int | None:
        """How much is done; None while it is not known of how much."""
        return min(100, 100 * self.progress // self.total) if self.total else None

    @property
    def output_uri(self) -> str:
        """The folder of the answers, `bos:/bucket/folder/…/`; "" until there is one."""
        if not self.output_bos_uri or not self.output_dir:
            return ""
        folder = self.output_bos_uri.rstrip("/")
        # What the platform calls the sub-directory could come with the whole path as well.
        return f"{folder}/{self.output_dir.strip('/').rpartition('/')[2]}/"


class BatchPage(Page[BatchTask]):
    items: list[BatchTask] = Field(default_factory=list, validation_alias="taskList")

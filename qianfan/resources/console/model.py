"""Models: publish what a training run made, and look at sets and versions; V1 (`Models`) and V2 (`ModelsV2`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from qianfan._transport import Safety
from qianfan.resources._base import Page, Resource, v1, v2, walk
from qianfan.resources.schemas import ModelDetail, ModelInfoV2, ModelPublished, ModelSet, ModelSetPage, ModelVersion

PUBLISH = v1("/modelrepo/publishTrainModel", Safety.PURCHASE, creates="model")
DETAIL = v1("/modelrepo/modelDetail", Safety.READ)
VERSION_DETAIL = v1("/modelrepo/modelVersionDetail", Safety.READ)
DELETE_SETS = v1("/modelrepo/model/batchDelete", Safety.EFFECT)
DELETE_VERSIONS = v1("/modelrepo/model/version/batchDelete", Safety.EFFECT)


class Models(Resource):
    """Models, V1. Ids may be strings or the numbers of older code."""

    async def publish(
        self,
        *,
        job_id: str | int,
        task_id: str | int,
        name: str | None = None,
        set_id: str | int | None = None,
        step: int | None = None,
        tags: Sequence[str] | None = None,
        description: str | None = None,
    ) -> ModelPublished:
        """Make a model version of a finished training run: in a new set called `name`, or in the set `set_id`.

        step: the checkpoint to publish, the last one unless given. A run can be published once per set (70118).
        """
        # V1 calls the job a task and the run an iteration.
        meta = {"taskId": job_id, "iterationId": task_id, "step": step, "description": description}
        body = {
            "isNewModel": set_id is None,
            "modelName": name if set_id is None else None,
            "modelId": set_id,
            "tags": list(tags) if tags else None,
            "versionMeta": {key: value for key, value in meta.items() if value is not None},
        }
        return await self._ask(PUBLISH, body, ModelPublished)

    async def detail(self, set_id: str | int) -> ModelDetail:
        """A model set and its versions."""
        return await self._ask(DETAIL, {"modelId": set_id}, ModelDetail)

    async def version_detail(self, version_id: str | int) -> ModelVersion:
        """One model version: its state, and the run it came from."""
        return await self._ask(VERSION_DETAIL, {"modelVersionId": version_id}, ModelVersion)

    async def delete_sets(self, set_ids: Sequence[str | int]) -> bool:
        """Delete model sets with all their versions."""
        return await self._do(DELETE_SETS, {"modelIDs": list(set_ids)})

    async def delete_versions(self, version_ids: Sequence[str | int]) -> bool:
        """Delete model versions."""
        return await self._do(DELETE_VERSIONS, {"modelVersionIds": list(version_ids)})


CREATE_SET = v2("model", "CreateCustomModelSet", Safety.PURCHASE, creates="model")
CREATE_MODEL = v2("model", "CreateCustomModel", Safety.PURCHASE, creates="model")
DESCRIBE_SET = v2("model", "DescribeModelSet", Safety.READ)
DESCRIBE_CUSTOM_SETS = v2("model", "DescribeCustomModelSets", Safety.READ)
DESCRIBE_MODEL = v2("model", "DescribeModel", Safety.READ)
DELETE_SET = v2("model", "DeleteModelSet", Safety.EFFECT)
DELETE_MODEL = v2("model", "DeleteModel", Safety.EFFECT)


class ModelsV2(Resource):
    """Models, V2: a model set (`am-…`) holds models (`amv-…`)."""

    async def create_set(self, name: str, model_type: str = "Text2Text", labels: Sequence[str] | None = None) -> str:
        """Create an empty model set and return its id."""
        body = {"modelSetName": name, "modelType": model_type, "labels": list(labels) if labels else None}
        return await self._id(CREATE_SET, body, "modelSetId")

    async def create_model(
        self, set_id: str, *, task_id: str, step: int | None = None, description: str | None = None
    ) -> str:
        """Make a model of a finished training run in a set, and return its id (`amv-…`)."""
        meta: dict[str, object] = {"taskId": task_id}
        if step is not None:
            meta["checkpointStep"] = step
        body = {"modelSetId": set_id, "sourceType": "Train", "trainMeta": meta, "description": description}
        return await self._id(CREATE_MODEL, body, "modelId")

    async def describe_set(self, set_id: str | None = None, *, name: str | None = None) -> ModelSet:
        """A model set by id or by name; the id wins."""
        return await self._ask(DESCRIBE_SET, {"modelSetId": set_id, "modelSetName": name}, ModelSet)

    async def describe_custom_sets(
        self, *, marker: str | None = None, max_keys: int | None = None, page_reverse: bool | None = None
    ) -> Page[ModelSet]:
        """One page of the account's own model sets."""
        body = {"marker": marker, "maxKeys": max_keys, "pageReverse": page_reverse}
        return await self._ask(DESCRIBE_CUSTOM_SETS, body, ModelSetPage)

    def custom_sets(self) -> AsyncGenerator[ModelSet, None]:
        """All of the account's own model sets, page after page."""
        return walk(lambda marker: self.describe_custom_sets(marker=marker, max_keys=100))

    async def describe_model(self, model_id: str) -> ModelInfoV2:
        """One model (`amv-…`)."""
        return await self._ask(DESCRIBE_MODEL, {"modelId": model_id}, ModelInfoV2)

    async def delete_set(self, set_id: str) -> bool:
        """Delete a model set with all its models."""
        return await self._do(DELETE_SET, {"modelSetId": set_id})

    async def delete_model(self, model_id: str) -> bool:
        """Delete one model."""
        return await self._do(DELETE_MODEL, {"modelId": model_id})

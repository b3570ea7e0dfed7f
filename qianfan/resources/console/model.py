"""Models: publish what a training run made, and look at sets and versions; V1 (`Models`) and V2 (`ModelsV2`).

`Model` has the documented names of both.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

import anyio

from qianfan._transport import Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Page, Resource, v1, v2, walk
from qianfan.resources._documented import documented
from qianfan.resources.console.consts import (
    CreateCustomModelSourceType,
    CustomModelSetModelType,
    ModelTypePreset,
    ModelTypeUser,
)
from qianfan.resources.console.eval import Evaluations
from qianfan.resources.schemas import (
    CompTask,
    CompTaskPage,
    ModelDetail,
    ModelExport,
    ModelInfoV2,
    ModelListV1,
    ModelPublished,
    ModelSet,
    ModelSetPage,
    ModelVersion,
)

PUBLISH = v1("/modelrepo/publishTrainModel", Safety.PURCHASE, creates="model")
DETAIL = v1("/modelrepo/modelDetail", Safety.READ)
VERSION_DETAIL = v1("/modelrepo/modelVersionDetail", Safety.READ)
PRESET_LIST = v1("/modelrepo/model/preset/list", Safety.READ)
USER_LIST = v1("/modelrepo/model/user/list", Safety.READ)
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
        return await self.publish_version(
            set_id is None,
            {key: value for key, value in meta.items() if value is not None},
            name=name if set_id is None else None,
            set_id=set_id,
            tags=tags or None,
        )

    async def publish_version(
        self,
        is_new: bool,
        version_meta: Mapping[str, Any],
        *,
        name: str | None = None,
        set_id: str | int | None = None,
        tags: Sequence[str] | None = None,
    ) -> ModelPublished:
        """Make a model version as `version_meta` says in the wire's words: `taskId`, `iterationId`, …"""
        body = {
            "isNewModel": is_new,
            "modelName": name,
            "modelId": set_id,
            "tags": list(tags) if tags is not None else None,
            "versionMeta": dict(version_meta),
        }
        return await self._ask(PUBLISH, body, ModelPublished)

    async def detail(self, set_id: str | int) -> ModelDetail:
        """A model set and its versions."""
        return await self._ask(DETAIL, {"modelId": set_id}, ModelDetail)

    async def version_detail(self, version_id: str | int) -> ModelVersion:
        """One model version: its state, and the run it came from."""
        return await self._ask(VERSION_DETAIL, {"modelVersionId": version_id}, ModelVersion)

    async def preset_list(
        self,
        *,
        name_filter: str | None = None,
        model_type: Sequence[ModelTypePreset | int] | None = None,
        model_version_vendor: Sequence[str] | None = None,
        ctx_length: Sequence[str] | None = None,
        language_support: Sequence[str] | None = None,
        expansion: Sequence[str] | None = None,
        order_by: str | None = None,
        page_no: int = 1,
        page_size: int = 20,
    ) -> ModelListV1:
        """One page of the platform's own model sets. page_no: from 1."""
        body = {
            "pageNo": page_no,
            "pageSize": page_size,
            "nameFilter": name_filter,
            "modelType": model_type,
            "modelVersionVendor": model_version_vendor,
            "ctxLength": ctx_length,
            "languageSupport": language_support,
            "expansion": expansion,
            "orderBy": order_by,
        }
        return await self._whatever(PRESET_LIST, body, ModelListV1)

    async def user_list(
        self,
        *,
        name_filter: str | None = None,
        model_type: Sequence[ModelTypeUser | int] | None = None,
        order_by: str | None = None,
        order: str | None = None,
        page_no: int = 1,
        page_size: int = 20,
    ) -> ModelListV1:
        """One page of the account's own model sets. order_by: `create_time`; order: `asc` or `desc`."""
        body = {
            "pageNo": page_no,
            "pageSize": page_size,
            "nameFilter": name_filter,
            "modelType": model_type,
            "orderBy": order_by,
            "order": order,
        }
        return await self._whatever(USER_LIST, body, ModelListV1)

    async def delete_sets(self, set_ids: Sequence[str | int]) -> bool:
        """Delete model sets with all their versions."""
        return await self._do(DELETE_SETS, {"modelIDs": list(set_ids)})

    async def delete_versions(self, version_ids: Sequence[str | int]) -> bool:
        """Delete model versions."""
        return await self._do(DELETE_VERSIONS, {"modelVersionIds": list(version_ids)})


CREATE_SET = v2("model", "CreateCustomModelSet", Safety.PURCHASE, creates="model")
CREATE_MODEL = v2("model", "CreateCustomModel", Safety.PURCHASE, creates="model")
CREATE_CUSTOM_CONF = v2("model", "CreateModelCustomConf", Safety.EFFECT)
CREATE_EXPORT = v2("model", "CreateModelExportTask", Safety.PURCHASE, creates="export")
CREATE_COMPRESSION = v2("model", "CreateModelCompTask", Safety.PURCHASE, creates="compression")
DESCRIBE_SYSTEM_SETS = v2("model", "DescribeSystemModelSets", Safety.READ)
DESCRIBE_CUSTOM_SETS = v2("model", "DescribeCustomModelSets", Safety.READ)
DESCRIBE_SET = v2("model", "DescribeModelSet", Safety.READ)
DESCRIBE_MODEL = v2("model", "DescribeModel", Safety.READ)
DESCRIBE_SYSTEM_CONF = v2("model", "DescribeModelSystemAdvancedConf", Safety.READ)
DESCRIBE_CUSTOM_CONF = v2("model", "DescribeModelCustomAdvancedConf", Safety.READ)
DESCRIBE_EXPORT = v2("model", "DescribeModelExportTask", Safety.READ)
DESCRIBE_COMPRESSIONS = v2("model", "DescribeModelCompTasks", Safety.READ)
DESCRIBE_COMPRESSION = v2("model", "DescribeModelCompTask", Safety.READ)
CANCEL_COMPRESSION = v2("model", "CancelModelCompTask", Safety.EFFECT)
DELETE_COMPRESSION = v2("model", "DeleteModelCompTask", Safety.EFFECT)
DELETE_SET = v2("model", "DeleteModelSet", Safety.EFFECT)
DELETE_MODEL = v2("model", "DeleteModel", Safety.EFFECT)

_CONF_SUFFIX: Final = ".py"
_LARGEST_CONF: Final = 2**20


class ModelsV2(Resource):
    """Models, V2: a model set (`am-…`) holds models (`amv-…`)."""

    async def create_set(
        self,
        name: str,
        model_type: CustomModelSetModelType | str = "Text2Text",
        labels: Sequence[str] | None = None,
    ) -> str:
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
        return await self.create_custom_model(
            set_id, CreateCustomModelSourceType.Train, train_meta=meta, description=description
        )

    async def create_custom_model(
        self,
        set_id: str,
        source_type: CreateCustomModelSourceType | str,
        *,
        description: str | None = None,
        train_meta: Mapping[str, Any] | None = None,
        import_meta: Mapping[str, Any] | None = None,
    ) -> str:
        """Make a model in a set, and return its id (`amv-…`).

        train_meta: with `Train`, the run: `taskId`, `checkpointStep`. import_meta: with `Import`, the files:
        `bucket`, `objectPath`, `modelFormat` and whatever else the platform asks for, as it names it.
        description: at most 300 characters.
        """
        body = {
            "modelSetId": set_id,
            "sourceType": source_type,
            "description": description,
            "trainMeta": train_meta if source_type != CreateCustomModelSourceType.Import else None,
            "importMeta": import_meta if source_type != CreateCustomModelSourceType.Train else None,
        }
        return await self._id(CREATE_MODEL, body, "modelId")

    async def create_custom_conf(self, file: str | os.PathLike[str]) -> str:
        """Upload the chat template of a model that is imported, and return what names it in `import_meta`.

        file: a path that ends in `.py`; less than 1 MB. Raises InvalidArgumentError otherwise, before anything is sent.
        """
        path = anyio.Path(file)
        if path.suffix != _CONF_SUFFIX:
            raise InvalidArgumentError(f"the file of a chat template must end in {_CONF_SUFFIX}, not {path.name!r}")
        try:
            # One byte more than allowed tells enough about a file of any size.
            async with await path.open("rb") as opened:
                content = await opened.read(_LARGEST_CONF)
        except OSError as error:
            raise InvalidArgumentError(f"{path} cannot be read: {error.strerror or error}") from error
        if len(content) >= _LARGEST_CONF:
            raise InvalidArgumentError(f"{path} must be smaller than {_LARGEST_CONF} bytes (1 MB)")
        part = (path.name, content, "text/x-python")
        reply = await self._send(CREATE_CUSTOM_CONF, files={"customSpecFile": part})
        # How the answer names the file is not documented: bare, or under some key.
        found = reply.result
        return str(next(iter(found.values()), "") if isinstance(found, dict) else found or "")

    async def describe_system_sets(
        self, *, marker: str | None = None, max_keys: int | None = None, page_reverse: bool | None = None
    ) -> Page[ModelSet]:
        """One page of the platform's own model sets."""
        body = {"marker": marker, "maxKeys": max_keys, "pageReverse": page_reverse}
        return await self._ask(DESCRIBE_SYSTEM_SETS, body, ModelSetPage)

    def system_sets(self) -> AsyncGenerator[ModelSet, None]:
        """All of the platform's own model sets, page after page."""
        return walk(lambda marker: self.describe_system_sets(marker=marker, max_keys=100))

    async def describe_custom_sets(
        self, *, marker: str | None = None, max_keys: int | None = None, page_reverse: bool | None = None
    ) -> Page[ModelSet]:
        """One page of the account's own model sets."""
        body = {"marker": marker, "maxKeys": max_keys, "pageReverse": page_reverse}
        return await self._ask(DESCRIBE_CUSTOM_SETS, body, ModelSetPage)

    def custom_sets(self) -> AsyncGenerator[ModelSet, None]:
        """All of the account's own model sets, page after page."""
        return walk(lambda marker: self.describe_custom_sets(marker=marker, max_keys=100))

    async def describe_set(self, set_id: str | None = None, *, name: str | None = None) -> ModelSet:
        """A model set by id or by name; the id wins."""
        return await self._ask(DESCRIBE_SET, {"modelSetId": set_id, "modelSetName": name}, ModelSet)

    async def describe_model(self, model_id: str) -> ModelInfoV2:
        """One model (`amv-…`)."""
        return await self._ask(DESCRIBE_MODEL, {"modelId": model_id}, ModelInfoV2)

    async def delete_set(self, set_id: str) -> bool:
        """Delete a model set with all its models."""
        return await self._do(DELETE_SET, {"modelSetId": set_id})

    async def delete_model(self, model_id: str) -> bool:
        """Delete one model."""
        return await self._do(DELETE_MODEL, {"modelId": model_id})

    # --- importing and exporting ----------------------------------------------------------------------------

    async def describe_system_conf(
        self, model_application_type: str, model_format: str = "HuggingFace.Transformers"
    ) -> Mapping[str, Any]:
        """What can be set about a model that is imported. model_application_type: `chat` or `completion`."""
        body = {"modelApplicationType": model_application_type, "modelFormat": model_format}
        return _object((await self._send(DESCRIBE_SYSTEM_CONF, body)).result)

    async def describe_custom_conf(self, model_id: str) -> Mapping[str, Any]:
        """What was set about a model when it was imported."""
        return _object((await self._send(DESCRIBE_CUSTOM_CONF, {"modelId": model_id})).result)

    async def create_export(self, model_id: str) -> ModelExport:
        """Have a model written to object storage. How it stands, `describe_export` tells."""
        return await self._whatever(CREATE_EXPORT, {"modelId": model_id}, ModelExport)

    async def describe_export(self, model_id: str) -> ModelExport:
        """How the export of a model stands. It is asked for by the model, not by a task."""
        return await self._whatever(DESCRIBE_EXPORT, {"modelId": model_id}, ModelExport)

    # --- compression ----------------------------------------------------------------------------------------

    async def create_comp_task(
        self, *, name: str, source_model_id: str, set_id: str, config: Mapping[str, Any], description: str | None = None
    ) -> str:
        """Start to compress a model into a new version of a set, and return the task's id.

        config: `{"strategy": "Sparsity"}`, or `{"strategy": "Quantization", "weight": "W8A16C16"}`.
        """
        body = {
            "name": name,
            "sourceModelId": source_model_id,
            "modelSetId": set_id,
            "config": dict(config),
            "description": description,
        }
        return await self._id(CREATE_COMPRESSION, body, "modelCompTaskId")

    async def describe_comp_tasks(
        self,
        *,
        marker: str | None = None,
        max_keys: int | None = None,
        page_reverse: bool | None = None,
        source_model_id: str | None = None,
    ) -> Page[CompTask]:
        """One page of the account's compressions. source_model_id: only of this model."""
        body = {
            "marker": marker,
            "maxKeys": max_keys,
            "pageReverse": page_reverse,
            "sourceModelId": source_model_id,
        }
        return await self._ask(DESCRIBE_COMPRESSIONS, body, CompTaskPage)

    def comp_tasks(self, source_model_id: str | None = None) -> AsyncGenerator[CompTask, None]:
        """All compressions, page after page."""
        return walk(
            lambda marker: self.describe_comp_tasks(marker=marker, max_keys=100, source_model_id=source_model_id)
        )

    async def describe_comp_task(self, task_id: str) -> CompTask:
        """How a compression stands."""
        return await self._ask(DESCRIBE_COMPRESSION, {"modelCompTaskId": task_id}, CompTask)

    async def cancel_comp_task(self, task_id: str) -> bool:
        """End a compression that is under way."""
        return await self._do(CANCEL_COMPRESSION, {"modelCompTaskId": task_id})

    async def delete_comp_task(self, task_id: str) -> bool:
        """Forget a compression; the model it made stays."""
        return await self._do(DELETE_COMPRESSION, {"modelCompTaskId": task_id})


def _object(result: Any) -> Mapping[str, Any]:
    """An answer that is not documented, as an object."""
    return result if isinstance(result, dict) else {"result": result}


class Model:
    """Models under their documented names: V1 here, V2 in `Model.V2`; each method also as `a…` to await.

    Not the `Model` of `qianfan.model`, which trains, deploys and answers.
    """

    list, alist = documented(Models.detail, "model_id=set_id")
    detail, adetail = documented(Models.version_detail, "model_version_id=version_id")
    publish, apublish = documented(Models.publish_version, "is_new version_meta model_name=name model_id=set_id tags")
    preset_list, apreset_list = documented(
        Models.preset_list,
        "name_filter model_type model_version_vendor ctx_length language_support expansion order_by page_no page_size",
    )
    user_list, auser_list = documented(Models.user_list, "name_filter model_type order_by order page_no page_size")
    batch_delete_model, abatch_delete_model = documented(Models.delete_sets, "model_ids=set_ids")
    batch_delete_model_version, abatch_delete_model_version = documented(
        Models.delete_versions, "model_version_ids=version_ids"
    )
    create_evaluation_task, acreate_evaluation_task = documented(
        Evaluations.create,
        "name version_info=versions dataset_id eval_config=config description pending_eval_id",
    )
    get_evaluation_info, aget_evaluation_info = documented(Evaluations.detail, "eval_id=evaluation_id")
    get_evaluation_result, aget_evaluation_result = documented(Evaluations.report, "eval_id=evaluation_id")
    stop_evaluation_task, astop_evaluation_task = documented(Evaluations.cancel, "eval_id=evaluation_id")
    create_evaluation_result_export_task, acreate_evaluation_result_export_task = documented(
        Evaluations.create_export,
        "eval_id=evaluation_id export_destination_type=destination export_range=range export_field=fields"
        " bos_bucket_id=bucket result_ids",
    )
    get_evaluation_result_export_task_status, aget_evaluation_result_export_task_status = documented(
        Evaluations.describe_export, "export_task_id=export_id"
    )
    evaluable_model_list, aevaluable_model_list = documented(Evaluations.evaluable_models)
    get_evaluation_result_list, aget_evaluation_result_list = documented(
        Evaluations.results,
        "id=evaluation_id bleu4 rouge_1 rouge_2 rouge_l judge_score model_version_ids order_by order"
        " eval_unit_id=unit_ids page_no page_size",
    )
    batch_delete_evaluation_result, abatch_delete_evaluation_result = documented(
        Evaluations.delete, "eval_ids=evaluation_ids"
    )

    class V2:
        """The second generation, where a model set holds models."""

        create_custom_model_set, acreate_custom_model_set = documented(
            ModelsV2.create_set, "model_set_name=name model_type labels"
        )
        describe_system_model_sets, adescribe_system_model_sets = documented(
            ModelsV2.describe_system_sets, "marker max_keys page_reverse"
        )
        describe_custom_model_sets, adescribe_custom_model_sets = documented(
            ModelsV2.describe_custom_sets, "marker max_keys page_reverse"
        )
        describe_model_set, adescribe_model_set = documented(
            ModelsV2.describe_set, "model_set_name=name model_set_id=set_id"
        )
        delete_model_set, adelete_model_set = documented(ModelsV2.delete_set, "model_set_id=set_id")
        create_custom_model, acreate_custom_model = documented(
            ModelsV2.create_custom_model, "model_set_id=set_id source_type description train_meta import_meta"
        )
        create_custom_model_conf, acreate_custom_model_conf = documented(ModelsV2.create_custom_conf, "file")
        describe_model_system_advanced_conf, adescribe_model_system_advanced_conf = documented(
            ModelsV2.describe_system_conf, "model_application_type model_format"
        )
        describe_model, adescribe_model = documented(ModelsV2.describe_model, "model_id")
        describe_model_custom_advanced_conf, adescribe_model_custom_advanced_conf = documented(
            ModelsV2.describe_custom_conf, "model_id"
        )
        delete_model, adelete_model = documented(ModelsV2.delete_model, "model_id")
        create_model_export_model, acreate_model_export_model = documented(ModelsV2.create_export, "model_id")
        describe_model_export_model, adescribe_model_export_model = documented(ModelsV2.describe_export, "model_id")
        create_model_comp_task, acreate_model_comp_task = documented(
            ModelsV2.create_comp_task, "name source_model_id config model_set_id=set_id description"
        )
        describe_model_comp_tasks, adescribe_model_comp_tasks = documented(
            ModelsV2.describe_comp_tasks, "marker max_keys page_reverse source_model_id"
        )
        describe_model_comp_task, adescribe_model_comp_task = documented(
            ModelsV2.describe_comp_task, "model_comp_task_id=task_id"
        )
        cancel_model_comp_task, acancel_model_comp_task = documented(
            ModelsV2.cancel_comp_task, "model_comp_task_id=task_id"
        )
        delete_model_comp_task, adelete_model_comp_task = documented(
            ModelsV2.delete_comp_task, "model_comp_task_id=task_id"
        )

"""Every call the emulator knows, in one table. A new endpoint is a handler and one line here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from qianfan._types import JSON
from qianfan.emulator.calls import Call
from qianfan.emulator.envelopes import Family
from qianfan.emulator.handlers import datasets, finetuning, inference, models, services, tokens
from qianfan.emulator.handlers.services import MODEL_PATH
from qianfan.emulator.refusals import Problem, Refused
from qianfan.emulator.wire import Answer, Request

Handler = Callable[[Call], "JSON | Answer"]
Preparation = Callable[[Call], Awaitable[None]]

CONSOLE_V2: dict[str, dict[str, Handler]] = {
    "/v2/dataset": {
        "CreateDataset": datasets.create_dataset,
        "DescribeDatasets": datasets.describe_datasets,
        "DeleteDataset": datasets.delete_group,
        "CreateDatasetVersion": datasets.create_version,
        "DescribeDatasetVersion": datasets.describe_version,
        "DescribeDatasetVersions": datasets.describe_versions,
        "DeleteDatasetVersion": datasets.delete_version,
        "PublishDatasetVersion": datasets.publish_version,
        "CreateImportTask": datasets.create_import_task,
        "DescribeImportTask": datasets.describe_import_task,
    },
    "/v2/finetuning": {
        "CreateFineTuningJob": finetuning.create_job,
        "CreateFineTuningTask": finetuning.create_task,
        "DescribeFineTuningJobs": finetuning.describe_jobs,
        "DescribeFineTuningTasks": finetuning.describe_tasks,
        "DescribeFineTuningTask": finetuning.describe_task,
        "StopFineTuningTask": finetuning.stop_task,
        "DeleteFineTuningTask": finetuning.delete_task,
        "DeleteFineTuningJob": finetuning.delete_job,
        "DescribeFineTuningSupportModels": finetuning.describe_support_models,
    },
    "/v2/model": {
        "CreateCustomModelSet": models.create_custom_model_set,
        "CreateCustomModel": models.create_custom_model,
        "DescribeModelSet": models.describe_model_set,
        "DescribeModel": models.describe_model,
        "DescribeCustomModelSets": models.describe_custom_model_sets,
        "DeleteModelSet": models.delete_model_set,
        "DeleteModel": models.delete_model,
    },
    "/v2/service": {
        "CreateService": services.create_service,
        "DescribeService": services.describe_service,
        "DescribeServices": services.describe_services,
        "ModifyService": services.modify_service,
    },
}

DATA_V1: dict[str, Handler] = {
    "/wenxinworkshop/dataset/create": datasets.create_v1,
    "/wenxinworkshop/dataset/import": datasets.import_v1,
    "/wenxinworkshop/dataset/release": datasets.release_v1,
    "/wenxinworkshop/dataset/info": datasets.info_v1,
    "/wenxinworkshop/dataset/statusList": datasets.status_list_v1,
    "/wenxinworkshop/dataset/importErrorDetail": datasets.import_error_detail_v1,
    "/wenxinworkshop/dataset/delete": datasets.delete_v1,
}

CONSOLE_V1: dict[str, Handler] = {
    "/wenxinworkshop/finetune/createTask": finetuning.create_task_v1,
    "/wenxinworkshop/finetune/createJob": finetuning.create_job_v1,
    "/wenxinworkshop/finetune/jobDetail": finetuning.job_detail_v1,
    "/wenxinworkshop/finetune/stopJob": finetuning.stop_job_v1,
    "/wenxinworkshop/modelrepo/publishTrainModel": models.publish_train_model_v1,
    "/wenxinworkshop/modelrepo/modelDetail": models.model_detail_v1,
    "/wenxinworkshop/modelrepo/modelVersionDetail": models.model_version_detail_v1,
    "/wenxinworkshop/modelrepo/model/batchDelete": models.batch_delete_models_v1,
    "/wenxinworkshop/modelrepo/model/version/batchDelete": models.batch_delete_versions_v1,
    "/wenxinworkshop/service/apply": services.apply_v1,
    "/wenxinworkshop/service/detail": services.detail_v1,
    "/wenxinworkshop/service/list": services.list_v1,
}

INFERENCE_V1: dict[str, Handler] = {
    "chat": inference.chat_v1,
    "completions": inference.completions_v1,
    "embeddings": inference.embeddings_v1,
    "text2image": inference.text2image_v1,
}

INFERENCE_V2: dict[str, Handler] = {
    "/v2/chat/completions": inference.chat_v2,
    "/v2/embeddings": inference.embeddings_v2,
}

PREPARATIONS: dict[Handler, Preparation] = {
    datasets.import_v1: datasets.read_sources,
    datasets.create_import_task: datasets.read_sources,
    finetuning.create_task: finetuning.read_training_files,
}
"""What is done, without the account's lock, before a handler that would otherwise hold it for long."""

RESERVED = ("v1", "v2", "wenxinworkshop", "rpc", "oauth", "_emulator")
"""First path segments that are not buckets."""


@dataclass(frozen=True)
class Route:
    """Where a request goes: the family that answers, the handler, and the name it is recorded under."""

    family: Family
    name: str
    handler: Handler
    action: str | None = None
    args: dict[str, str] = field(default_factory=dict)


def route_of(request: Request) -> Route | None:
    """The route of a request; None for object storage and pages.

    A path inside the platform's areas that is not in the tables gets a route that refuses in its family's style.
    """
    path = request.path.rstrip("/")
    if path in CONSOLE_V2:
        return _action_route(path, request.param("Action") or "")
    if path in INFERENCE_V2:
        return Route(Family.INFERENCE_V2, path.removeprefix("/v2/").replace("/", "."), INFERENCE_V2[path])
    for family, table in ((Family.DATA_V1, DATA_V1), (Family.CONSOLE_V1, CONSOLE_V1)):
        if path in table:
            return Route(family, path.rpartition("/")[2], table[path])
    if path.startswith(MODEL_PATH + "/"):
        return _model_route(path.removeprefix(MODEL_PATH + "/"))
    if path == "/oauth/2.0/token":
        return Route(Family.OAUTH, "oauth", tokens.oauth_token)
    if path == "/v1/BCE-BEARER/token":
        return Route(Family.IAM, "bearer", tokens.bearer_token)
    return _unknown_route(path)


def _action_route(path: str, action: str) -> Route:
    handler = CONSOLE_V2[path].get(action, _unknown_action)
    return Route(Family.CONSOLE_V2, action or path.rpartition("/")[2], handler, action=action)


def _model_route(rest: str) -> Route:
    kind, _, endpoint = rest.partition("/")
    handler = INFERENCE_V1.get(kind, inference.unknown_v1)
    return Route(Family.INFERENCE_V1, kind, handler, args={"endpoint": endpoint})


def _unknown_route(path: str) -> Route | None:
    area = path.strip("/").partition("/")[0]
    if area not in RESERVED or area == "_emulator":
        return None
    family = Family.CONSOLE_V1 if area in ("wenxinworkshop", "rpc") else Family.CONSOLE_V2
    return Route(family, path.rpartition("/")[2], _unknown_action)


def _unknown_action(call: Call) -> JSON:
    action = call.request.param("Action")
    named = f"action {action!r} of {call.request.path}" if action else call.request.path
    raise Refused(Problem.UNSUPPORTED, "", f"Unsupported openapi method: the emulator has no {named}")

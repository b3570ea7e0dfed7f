"""Every call the emulator knows, in one table. A new endpoint is a handler and one line here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from qianfan._types import JSON
from qianfan.emulator.calls import Call
from qianfan.emulator.envelopes import Family
from qianfan.emulator.handlers import (
    datasets,
    datasets_v1,
    datasets_v2,
    finetuning_v1,
    finetuning_v2,
    inference,
    models_v1,
    models_v2,
    services_v1,
    services_v2,
    tokens,
)
from qianfan.emulator.handlers.services import MODEL_PATH
from qianfan.emulator.refusals import Problem, Refused
from qianfan.emulator.wire import Answer, Request

Handler = Callable[[Call], "JSON | Answer"]
Preparation = Callable[[Call], Awaitable[None]]

CONSOLE_V2: dict[str, dict[str, Handler]] = {
    "/v2/dataset": {
        "CreateDataset": datasets_v2.create_dataset,
        "DescribeDatasets": datasets_v2.describe_datasets,
        "DeleteDataset": datasets_v2.delete_group,
        "CreateDatasetVersion": datasets_v2.create_version,
        "DescribeDatasetVersion": datasets_v2.describe_version,
        "DescribeDatasetVersions": datasets_v2.describe_versions,
        "DeleteDatasetVersion": datasets_v2.delete_version,
        "PublishDatasetVersion": datasets_v2.publish_version,
        "CreateImportTask": datasets_v2.create_import_task,
        "DescribeImportTask": datasets_v2.describe_import_task,
    },
    "/v2/finetuning": {
        "CreateFineTuningJob": finetuning_v2.create_job,
        "CreateFineTuningTask": finetuning_v2.create_task,
        "DescribeFineTuningJobs": finetuning_v2.describe_jobs,
        "DescribeFineTuningTasks": finetuning_v2.describe_tasks,
        "DescribeFineTuningTask": finetuning_v2.describe_task,
        "StopFineTuningTask": finetuning_v2.stop_task,
        "DeleteFineTuningTask": finetuning_v2.delete_task,
        "DeleteFineTuningJob": finetuning_v2.delete_job,
        "DescribeFineTuningSupportModels": finetuning_v2.describe_support_models,
    },
    "/v2/model": {
        "CreateCustomModelSet": models_v2.create_custom_model_set,
        "CreateCustomModel": models_v2.create_custom_model,
        "DescribeModelSet": models_v2.describe_model_set,
        "DescribeModel": models_v2.describe_model,
        "DescribeCustomModelSets": models_v2.describe_custom_model_sets,
        "DeleteModelSet": models_v2.delete_model_set,
        "DeleteModel": models_v2.delete_model,
    },
    "/v2/service": {
        "CreateService": services_v2.create_service,
        "DescribeService": services_v2.describe_service,
        "DescribeServices": services_v2.describe_services,
        "ModifyService": services_v2.modify_service,
    },
}

DATA_V1: dict[str, Handler] = {
    "/wenxinworkshop/dataset/create": datasets_v1.create,
    "/wenxinworkshop/dataset/import": datasets_v1.import_data,
    "/wenxinworkshop/dataset/release": datasets_v1.release,
    "/wenxinworkshop/dataset/info": datasets_v1.info,
    "/wenxinworkshop/dataset/statusList": datasets_v1.status_list,
    "/wenxinworkshop/dataset/export": datasets_v1.export,
    "/wenxinworkshop/dataset/exportRecord": datasets_v1.export_record,
    "/wenxinworkshop/dataset/importErrorDetail": datasets_v1.import_error_detail,
    "/wenxinworkshop/dataset/delete": datasets_v1.delete,
}

CONSOLE_V1: dict[str, Handler] = {
    "/wenxinworkshop/finetune/createTask": finetuning_v1.create_task,
    "/wenxinworkshop/finetune/createJob": finetuning_v1.create_job,
    "/wenxinworkshop/finetune/jobDetail": finetuning_v1.job_detail,
    "/wenxinworkshop/finetune/stopJob": finetuning_v1.stop_job,
    "/wenxinworkshop/modelrepo/publishTrainModel": models_v1.publish_train_model,
    "/wenxinworkshop/modelrepo/modelDetail": models_v1.model_detail,
    "/wenxinworkshop/modelrepo/modelVersionDetail": models_v1.model_version_detail,
    "/wenxinworkshop/modelrepo/model/batchDelete": models_v1.batch_delete_models,
    "/wenxinworkshop/modelrepo/model/version/batchDelete": models_v1.batch_delete_versions,
    "/wenxinworkshop/service/apply": services_v1.apply,
    "/wenxinworkshop/service/detail": services_v1.detail,
    "/wenxinworkshop/service/list": services_v1.list_services,
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
    datasets_v1.import_data: datasets.read_sources,
    datasets_v2.create_import_task: datasets.read_sources,
    finetuning_v2.create_task: finetuning_v2.read_training_files,
    inference.chat_v1: inference.ask_chat_v1,
    inference.completions_v1: inference.ask_completions_v1,
    inference.chat_v2: inference.ask_chat_v2,
}
"""What is done, without the account's lock, before a handler that would otherwise hold it for long, or that waits."""

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

"""For every operation a request that it has to carry out, since made-up ones rarely name what there is."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from qianfan.emulator.pictures import picture
from tests.conformance.world import BUCKET, MODEL, POSTPAID, World

PICTURE = base64.b64encode(picture("a circle", 16, 16)).decode()

Fields = dict[str, Any]
Good = Callable[[World], Fields]


def of(what: str, **renamed: str) -> Good:
    """Fields that name something that stays: field -> key in what the world made."""

    def fields(world: World) -> Fields:
        made = world.some(what)
        return {field: made[key] if isinstance(made, dict) else made for field, key in renamed.items()}

    return fields


def new(what: str, **renamed: str) -> Good:
    """Fields that name something that is there for this request alone."""

    def fields(world: World) -> Fields:
        made = getattr(world, what)()
        return {field: made[key] if isinstance(made, dict) else made for field, key in renamed.items()}

    return fields


def nothing(_: World) -> Fields:
    return {}


def _export(world: World) -> Fields:
    version = world.imported()["versionId"]
    return {"datasetId": version, "exportFormat": 0, "exportType": 1, "exportTo": 1, "storageId": BUCKET}


def _v1_job(world: World) -> Fields:
    return {
        "taskId": world.number_of(world.job()),
        "baseTrainType": "ERNIE-Speed",
        "trainType": "ERNIE-Speed-8K",
        "trainMode": "SFT",
        "peftType": "LoRA",
        "trainConfig": {"epoch": 1, "learningRate": 0.0003},
        "trainset": [{"type": 1, "id": world.number_of(world.some("published")["versionId"])}],
        "trainsetRate": 20,
    }


def _v1_model(world: World) -> Fields:
    model = world.some("model")
    return {
        "modelId": world.number_of(model["modelSetId"]),
        "modelVersionId": world.number_of(model["modelId"]),
        "name": world.name("svc"),
        "uri": world.name("svc"),
    }


def _publish(world: World) -> Fields:
    task = world.some("task")
    meta = {"taskId": task["jobId"], "iterationId": task["taskId"]}
    return {"isNewModel": True, "modelName": world.name("model"), "versionMeta": meta}


def _chat(world: World) -> Fields:
    return {"messages": [{"role": "user", "content": "question"}]}


GOOD: dict[str, Good] = {
    # fine-tuning
    "CreateFineTuningJob": lambda world: {"name": world.name("job"), "model": "ERNIE-Speed-8K", "trainMode": "SFT"},
    "CreateFineTuningTask": lambda world: world.order(world.some("job")),
    "DescribeFineTuningJobs": nothing,
    "DescribeFineTuningTasks": of("task", jobId="jobId"),
    "DescribeFineTuningTask": of("task", taskId="taskId"),
    "StopFineTuningTask": new("running_task", taskId="taskId"),
    "DeleteFineTuningTask": new("task", taskId="taskId"),
    "DeleteFineTuningJob": new("job", jobId=""),
    "DescribeFineTuningSupportModels": nothing,
    "/finetune/createTask": lambda world: {"name": world.name("job")},
    "/finetune/createJob": _v1_job,
    "/finetune/jobDetail": of("v1_run", taskId="taskId", jobId="jobId"),
    "/finetune/stopJob": new("v1_run", taskId="taskId", jobId="jobId"),
    # datasets
    "CreateDataset": lambda world: {
        "datasetName": world.name("data"),
        "dataFormat": "PromptResponse",
        "storageType": "sysStorage",
    },
    "DescribeDatasets": nothing,
    "DeleteDataset": new("dataset", datasetId="datasetId"),
    "CreateDatasetVersion": of("dataset", datasetId="datasetId"),
    "DescribeDatasetVersion": of("imported", versionId="versionId"),
    "DescribeDatasetVersions": of("dataset", datasetId="datasetId"),
    "DeleteDatasetVersion": new("dataset", versionId="versionId"),
    "PublishDatasetVersion": new("imported", versionId="versionId"),
    "CreateImportTask": lambda world: {"versionId": world.dataset()["versionId"], "files": [world.some("rows")]},
    "DescribeImportTask": of("imported", taskId="taskId"),
    "/dataset/create": lambda world: {
        "name": world.name("data"),
        "versionId": 1,
        "projectType": 20,
        "templateType": 2000,
        "dataType": 4,
        "storageType": "sysBos",
    },
    "/dataset/import": lambda world: {
        "datasetId": world.dataset()["versionId"],
        "importFrom": 1,
        "files": [world.some("rows")],
    },
    "/dataset/release": new("imported", datasetId="versionId"),
    "/dataset/info": of("published", datasetId="versionId"),
    "/dataset/statusList": lambda world: {"datasetIds": [world.some("imported")["versionId"]]},
    "/dataset/export": _export,
    "/dataset/exportRecord": of("imported", datasetId="versionId"),
    "/dataset/importErrorDetail": of("not_imported", datasetId=""),
    "/dataset/delete": new("dataset", datasetId="versionId"),
    "CreateExportTask": lambda world: {"versionId": world.imported()["versionId"], "storageType": "sysStorage"},
    "DescribeExportTask": of("export", taskId=""),
    "/entity/list": of("imported", datasetId="versionId"),
    "/entity/annotate": lambda world: {
        **world.row(),
        "content": [{"prompt": world.name("question"), "response": [["answer"]]}],
    },
    "/entity/delete": lambda world: {**world.row(), "id": [world.row()["id"]]},
    "/etl/create": lambda world: world.cleaning_order(),
    "/etl/detail": of("cleaning", etlId=""),
    "/etl/list": nothing,
    "/etl/delete": lambda world: {"etlIds": [world.cleaning()]},
    "/enhance/create": lambda world: world.augmentation_order(),
    "/enhance/detail": of("augmentation", taskId=""),
    "/enhance/list": nothing,
    "/enhance/delete": lambda world: {"taskIds": [world.augmentation()]},
    # models
    "CreateCustomModelSet": lambda world: {"modelSetName": world.name("set"), "modelType": "Text2Text"},
    "CreateCustomModel": lambda world: {
        "modelSetId": world.model_set(),
        "sourceType": "Train",
        "trainMeta": {"taskId": world.some("task")["taskId"]},
    },
    "DescribeModelSet": of("model", modelSetId="modelSetId"),
    "DescribeModel": of("model", modelId="modelId"),
    "DescribeCustomModelSets": nothing,
    "DeleteModelSet": new("model", modelSetId="modelSetId"),
    "DeleteModel": new("model", modelId="modelId"),
    "DescribeSystemModelSets": nothing,
    "CreateModelCustomConf": lambda world: {"customSpecFile": ("conf.py", b"TEMPLATE = ''\n")},
    "DescribeModelSystemAdvancedConf": lambda world: {"modelApplicationType": "chat"},
    "DescribeModelCustomAdvancedConf": of("imported_model", modelId=""),
    "CreateModelExportTask": of("model", modelId="modelId"),
    "DescribeModelExportTask": of("exported_model", modelId=""),
    "CreateModelCompTask": lambda world: world.compression_order(),
    "DescribeModelCompTasks": nothing,
    "DescribeModelCompTask": of("compression", modelCompTaskId=""),
    "CancelModelCompTask": new("compression", modelCompTaskId=""),
    "DeleteModelCompTask": new("finished_compression", modelCompTaskId=""),
    "/modelrepo/publishTrainModel": _publish,
    "/modelrepo/modelDetail": of("model", modelId="modelSetId"),
    "/modelrepo/modelVersionDetail": of("model", modelVersionId="modelId"),
    "/modelrepo/model/preset/list": nothing,
    "/modelrepo/model/user/list": nothing,
    "/modelrepo/model/batchDelete": lambda world: {"modelIDs": [world.model()["modelSetId"]]},
    "/modelrepo/model/version/batchDelete": lambda world: {"modelVersionIds": [world.model()["modelId"]]},
    # services
    "CreateService": lambda world: {**world.some("model"), "name": world.name("svc"), "urlSuffix": world.name("svc")},
    "DescribeService": of("service", serviceId="serviceId"),
    "DescribeServices": nothing,
    "ModifyService": new("service", serviceId="serviceId", modelSetId="modelSetId", modelId="modelId"),
    "DescribeServiceMetric": lambda world: {"startTime": "2024-01-01T00:00:00Z", "endTime": "2099-01-01T00:00:00Z"},
    "DescribePresetServices": nothing,
    "/service/apply": _v1_model,
    "/service/detail": of("service", serviceId="serviceId"),
    "/service/list": nothing,
    "/service/appList": nothing,
    # quota and compute units
    "PurchaseTPMResource": lambda world: {"model": MODEL, "purchaseCount": 1, "billing": POSTPAID},
    "DescribeTPMResource": lambda world: {"model": MODEL},
    "ReleaseTPMResource": lambda world: {"model": MODEL, "instanceId": world.quota()},
    "ResizeTPMResource": lambda world: {"instanceId": world.some("quota"), "count": 2},
    "AutoReleaseTPMResource": lambda world: {"instanceId": world.quota(), "releaseTime": "2099-01-01T00:00:00Z"},
    "PurchaseServiceResource": lambda world: {
        "serviceId": world.some("service")["serviceId"],
        "billing": POSTPAID,
        "replicasCount": 1,
    },
    "DescribeComputeUnits": of("service", serviceId="serviceId"),
    "DescribeComputeUnit": of("unit", serviceId="serviceId", instanceId="instanceId"),
    "ReleaseComputeUnit": new("unit", serviceId="serviceId", instanceId="instanceId"),
    "AutoReleaseComputeUnit": lambda world: {
        "instanceId": world.some("unit")["instanceId"],
        "instanceType": "ComputingUnit",
        "autoRenewTimeUnit": "Month",
        "autoRenewTime": 1,
    },
    "ResizeComputeUnit": lambda world: {"instanceId": world.some("unit")["instanceId"], "count": 2},
    # evaluation
    "CreateEvalTask": lambda world: world.evaluation_order(),
    "DescribeEvalTasks": lambda world: {"evalType": "auto"},
    "DescribeEvalTask": of("evaluation", taskId=""),
    "DescribeEvalTaskReport": of("evaluation", taskId=""),
    "DeleteEvalTask": new("evaluation", taskId=""),
    "/modelrepo/eval/create": lambda world: {
        "name": world.name("eval"),
        "versionEvalInfo": [
            {"modelId": world.some("model")["modelSetId"], "modelVersionId": world.some("model")["modelId"]}
        ],
        "datasetId": world.some("published")["versionId"],
        "evalStandardConf": {"evalMode": "rule", "scoreModes": ["similarity"]},
    },
    "/modelrepo/eval/detail": of("evaluation", id=""),
    "/modelrepo/eval/report": of("evaluation", id=""),
    "/modelrepo/eval/cancel": new("running_evaluation", id=""),
    "/modelrepo/eval/delete": lambda world: {"evalIds": [world.evaluation()]},
    "/modelrepo/eval/result/list": of("evaluation", id=""),
    "/modelrepo/eval/result/export": lambda world: {
        "id": world.some("evaluation"),
        "exportType": "local",
        "exportOpt": "total",
        "exportContent": ["prompt", "prediction", "completion", "metrics"],
    },
    "/modelrepo/eval/result/export/info": of("evaluation_export", exportID=""),
    "/modelrepo/eval/model/list": nothing,
    # batch inference
    "CreateBatchInferenceTask": lambda world: world.batch_order(),
    "DescribeBatchInferenceTask": of("batch", taskId=""),
    "DescribeBatchInferenceTasks": nothing,
    "StopBatchInferenceTask": new("batch", taskId=""),
    # model calls
    "/chat": _chat,
    "/completions": lambda world: {"prompt": "question"},
    "/embeddings": lambda world: {"input": ["text"]},
    "/text2image": lambda world: {"prompt": "a circle"},
    "/image2text": lambda world: {"prompt": "what is it", "image": PICTURE},
    "/reranker": lambda world: {"query": "a", "documents": ["a", "b"]},
    "/tokenizer": lambda world: {"prompt": "question"},
    "/erniebot": lambda world: {**_chat(world), "plugins": ["eChart"]},
    "/plugin": lambda world: {"query": "question", "plugins": ["eChart"]},
    "/v2/rerankers": lambda world: {"model": "bce-reranker-base_v1", "query": "a", "documents": ["a", "b"]},
    "/v2/rerank": lambda world: {"model": "bce-reranker-base_v1", "query": "a", "documents": ["a", "b"]},
    "/v2/chat/completions": lambda world: {"model": "ernie-speed-8k", **_chat(world)},
    "/v2/embeddings": lambda world: {"model": "embedding-v1", "input": ["text"]},
    # tokens
    "/oauth/2.0/token": lambda world: world.oauth(),
    "/v1/BCE-BEARER/token": lambda world: {"expireInSeconds": 600},
}
"""By endpoint."""

PLACES: dict[str, str] = {
    "/chat": "ernie_speed",
    "/completions": "sqlcoder_7b",
    "/embeddings": "embedding-v1",
    "/text2image": "sd_xl",
    "/image2text": "fuyu_8b",
    "/reranker": "bce_reranker_base",
    "/tokenizer": "erniebot",
    "/erniebot": "plugins",
    "/plugin": "mine",
}
"""Endpoint -> what its path has in the place of `{endpoint}`."""

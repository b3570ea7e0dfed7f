"""Steps that many tests need: a dataset, a finished training, a published model, a serving service."""

from __future__ import annotations

import json
from typing import Any

from tests.emulator.signing import Console

SAMPLE = "ds-sampledataset111"
BILLING = {"paymentTiming": "Prepaid", "reservation": {"reservationTimeUnit": "Hour", "reservationLength": 1}}


def dialogue(count: int = 40) -> bytes:
    """A file of short dialogues, one turn each."""
    rows = ([{"prompt": f"question {n}", "response": [[f"answer {n}"]]}] for n in range(count))
    return "\n".join(json.dumps(row) for row in rows).encode()


async def new_dataset(console: Console, template: int = 2000, name: str = "mine") -> str:
    """An empty V1 dataset of a template; gives its `ds-` id."""
    fields = {"projectType": template // 100, "templateType": template, "dataType": 7 if template == 70500 else 4}
    storage = {"storageType": "usrBos", "storageId": "my-bucket", "rawStoragePath": "/data/"}
    created = await console.v1("dataset/create", name=name, versionId=1, **fields, **storage)
    dataset_id: str = created["datasetId"]
    return dataset_id


async def imported(console: Console, content: bytes, template: int = 2000, file: str = "rows.jsonl") -> str:
    """A dataset with an import of this content that was looked at once."""
    dataset_id = await new_dataset(console, template)
    await console.put("my-bucket", f"data/{file}", content)
    place = f"bos:/my-bucket/data/{file}"
    await console.v1("dataset/import", datasetId=dataset_id, annotated=True, importFrom=1, files=[place])
    await console.v1("dataset/info", datasetId=dataset_id)
    return dataset_id


async def released(console: Console, content: bytes, template: int = 2000, file: str = "rows.jsonl") -> str:
    """A released dataset of this content."""
    dataset_id = await imported(console, content, template, file)
    await console.v1("dataset/release", datasetId=dataset_id)
    await console.v1("dataset/info", datasetId=dataset_id)
    return dataset_id


def task_body(job_id: str, dataset_id: str = SAMPLE, **changes: Any) -> dict[str, Any]:
    """The body of CreateFineTuningTask."""
    body: dict[str, Any] = {
        "jobId": job_id,
        "parameterScale": "LoRA",
        "hyperParameterConfig": {"epoch": 1, "learningRate": 0.0003},
        "datasetConfig": {"sourceType": "Platform", "versions": [{"versionId": dataset_id}], "splitRatio": 20},
    }
    return {**body, **changes}


async def new_job(console: Console, name: str = "my_job", model: str = "ERNIE-Speed-8K", mode: str = "SFT") -> str:
    job_id: str = (await console.v2("finetuning", "CreateFineTuningJob", name=name, model=model, trainMode=mode))[
        "jobId"
    ]
    return job_id


async def new_task(console: Console, job_id: str | None = None, dataset_id: str = SAMPLE, **changes: Any) -> str:
    body = task_body(job_id or await new_job(console), dataset_id, **changes)
    task_id: str = (await console.v2("finetuning", "CreateFineTuningTask", **body))["taskId"]
    return task_id


async def finished_task(console: Console, **made: Any) -> str:
    """A training that has come to its end."""
    task_id = await new_task(console, **made)
    while (await console.v2("finetuning", "DescribeFineTuningTask", taskId=task_id))["runStatus"] == "Running":
        pass
    return task_id


async def published(console: Console, task_id: str | None = None, name: str = "my model") -> tuple[str, str]:
    """A ready model; gives `am-` and `amv-`."""
    task_id = task_id or await finished_task(console)
    job_id = console.emulator.tasks[task_id].job_id
    meta = {"taskId": job_id, "iterationId": task_id}
    made = await console.v1("modelrepo/publishTrainModel", isNewModel=True, modelName=name, versionMeta=meta)
    await console.v1("modelrepo/modelVersionDetail", modelVersionId=made["versionIdStr"])
    return made["modelIDStr"], made["versionIdStr"]


async def deployed(console: Console, model: tuple[str, str] | None = None) -> dict[str, Any]:
    """A serving service, as DescribeService tells of it."""
    set_id, model_id = model or await published(console)
    body = {"modelSetId": set_id, "modelId": model_id, "name": "my_svc", "urlSuffix": "my_svc", "billing": BILLING}
    made = await console.v2("service", "CreateService", **body)
    service: dict[str, Any] = await console.v2("service", "DescribeService", serviceId=made["serviceId"])
    return service

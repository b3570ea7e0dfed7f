"""Publishing and deploying through both generations of the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.making import BILLING, deployed, dialogue, finished_task, new_job, new_task, published, released
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio


async def test_publishing_as_the_documented_flow_does(console: Console) -> None:
    """Published by V1, the version id read by V2, its state polled by V1."""
    console.emulator.publishing.script(after_looks=1)
    task_id = await finished_task(console)
    task = console.emulator.tasks[task_id]
    meta = {"taskId": task.job_id, "iterationId": task_id, "description": "mine"}
    made = await console.v1("modelrepo/publishTrainModel", isNewModel=True, modelName="m", versionMeta=meta, tags=["t"])
    model_set = await console.v2("model", "DescribeModelSet", modelSetId=made["modelIDStr"])
    assert model_set["modelIds"] == [made["versionIdStr"]]
    states = []
    for _ in range(2):
        version = await console.v1("modelrepo/modelVersionDetail", modelVersionId=made["versionIdStr"])
        states.append(version["state"])
    assert states == ["Creating", "Ready"]
    source = version["sourceExtra"]["trainSourceExtra"]
    job = console.emulator.jobs[task.job_id]
    assert (source["taskId"], source["taskIdStr"]) == (job.number, job.id)
    assert (source["runId"], source["runIdStr"]) == (task.number, task.id)
    detail = await console.v1("modelrepo/modelDetail", modelId=made["modelId"])
    assert [entry["modelVersionId"] for entry in detail["modelVersionList"]] == [made["versionId"]]
    by_name = await console.v2("model", "DescribeModelSet", modelSetName="m")
    assert by_name["modelSetId"] == made["modelIDStr"]


async def test_publishing_by_v1_numbers(console: Console) -> None:
    task_id = await finished_task(console)
    task, job = console.emulator.tasks[task_id], console.emulator.jobs[console.emulator.tasks[task_id].job_id]
    meta = {"taskId": job.number, "iterationId": task.number}
    made = await console.v1("modelrepo/publishTrainModel", isNewModel=True, modelName="m", versionMeta=meta)
    version = await console.v1("modelrepo/modelVersionDetail", modelVersionId=made["versionId"])
    assert version["modelIdStr"] == made["modelIDStr"]


async def test_a_publication_that_fails(console: Console) -> None:
    console.emulator.publishing.script(ends="Fail", reason="files missing")
    _, model_id = await published(console)
    assert (await console.v2("model", "DescribeModel", modelId=model_id))["status"] == "Fail"
    assert console.emulator.models[model_id].reason == "files missing"


async def test_refusals_of_publishing(console: Console) -> None:
    running = await new_task(console)
    job_id = console.emulator.tasks[running].job_id

    async def refused(**changes: Any) -> Any:
        meta = {"taskId": job_id, "iterationId": running, **changes.pop("meta", {})}
        body = {"isNewModel": True, "modelName": "m", "versionMeta": meta, **changes}
        return (await console.v1_refused("modelrepo/publishTrainModel", **body))[0]

    assert await refused() == 21002
    assert await refused(meta={"iterationId": "task-none"}) == 70114
    assert await refused(meta={"taskId": "job-none"}) == 70114
    assert await refused(isNewModel="yes") == 500001
    for _ in range(3):
        await console.v2("finetuning", "DescribeFineTuningTask", taskId=running)
    assert await refused(modelName="") == 70131
    assert await refused(meta={"step": 3}) == 500001
    model_set, _ = await published(console, running, "taken")
    assert await refused(modelName="taken") == 70101
    assert await refused(isNewModel=False, modelId=model_set) == 70118
    assert await refused(isNewModel=False, modelId="am-none") == 10001
    assert (await console.v1_refused("modelrepo/modelVersionDetail", modelVersionId="amv-none"))[0] == 70102


async def test_a_second_version_must_be_of_the_same_family(console: Console) -> None:
    model_set, _ = await published(console)
    other = await finished_task(console, job_id=await new_job(console, "other"))
    made = await console.v2(
        "model", "CreateCustomModel", modelSetId=model_set, sourceType="Train", trainMeta={"taskId": other}
    )
    assert console.emulator.models[made["modelId"]].version == 2
    foreign = await finished_task(console, job_id=await new_job(console, "foreign", model="ERNIE-Lite-8K-0308"))
    meta = {"taskId": console.emulator.tasks[foreign].job_id, "iterationId": foreign}
    body = {"isNewModel": False, "modelId": model_set, "versionMeta": meta}
    assert (await console.v1_refused("modelrepo/publishTrainModel", **body))[0] == 70130


async def test_an_earlier_checkpoint(console: Console) -> None:
    dataset_id = await released(console, dialogue(2000))
    config = {"checkpointCount": 2, "saveStep": 64}
    task_id = await finished_task(
        console, dataset_id=dataset_id, hyperParameterConfig=config, parameterScale="FullFineTuning"
    )
    model_set = await console.v2(
        "model", "CreateCustomModelSet", modelSetName="set", modelType="Text2Text", labels=["a"]
    )
    for meta in ({"checkpointStep": 64}, {"step": 100}, {}):
        body = {"modelSetId": model_set, "sourceType": "Train", "trainMeta": {"taskId": task_id, **meta}}
        await console.v2("model", "CreateCustomModel", **body)
    assert [model.step for model in console.emulator.models.values()] == [64, 100, None]
    status, code, _ = await console.v2_refused("model", "CreateCustomModel", **body)
    assert (status, code) == (412, "PreconditionFailed")


async def test_v2_models(console: Console) -> None:
    model_set, model_id = await published(console)
    described = await console.v2("model", "DescribeModel", modelId=model_id)
    assert (described["status"], described["modelSetId"]) == ("Ready", model_set)
    sets = await console.v2("model", "DescribeCustomModelSets", maxKeys=5)
    assert [entry["modelSetId"] for entry in sets["modelSetList"]] == [model_set]
    bad = {"modelSetName": "x", "modelType": "Telepathy"}
    assert (await console.v2_refused("model", "CreateCustomModelSet", **bad))[2].endswith("param[modelType] invalid.")
    foreign = {"modelSetId": model_set, "sourceType": "Import"}
    assert (await console.v2_refused("model", "CreateCustomModel", **foreign))[2].endswith("param[importMeta] invalid.")
    assert await console.v2("model", "DeleteModel", modelId=model_id) is True
    assert await console.v2("model", "DeleteModelSet", modelSetId=model_set) is True
    assert not console.emulator.models
    assert (await console.v2_refused("model", "DescribeModel", modelId=model_id))[0] == 400


async def test_v1_deletes(console: Console) -> None:
    model_set, model_id = await published(console)
    assert await console.v1("modelrepo/model/version/batchDelete", modelVersionIds=[model_id]) is True
    number = console.emulator.model_sets[model_set].number
    assert await console.v1("modelrepo/model/batchDelete", modelIDs=[number]) is True
    assert not console.emulator.model_sets


async def test_a_served_model_cannot_be_deleted(console: Console) -> None:
    service = await deployed(console)
    status, code, _ = await console.v2_refused("model", "DeleteModelSet", modelSetId=service["modelSetId"])
    assert (status, code) == (412, "PreconditionFailed")


# --- services ----------------------------------------------------------------------------------------------------


async def test_a_deployment_as_seen_by_a_client(console: Console) -> None:
    console.emulator.deployment.script(after_looks=3, waits=1)
    set_id, model_id = await published(console)
    body = {"modelSetId": set_id, "modelId": model_id, "name": "svc", "urlSuffix": "my-svc_1", "billing": BILLING}
    resources = {"type": "GPU-I-4", "replicasCount": 2, "qps": 0.5}
    made = await console.v2("service", "CreateService", **body, resourceConfig=resources, description="d")
    assert len(made["instanceId"]) == 32
    seen = [await console.v2("service", "DescribeService", serviceId=made["serviceId"]) for _ in range(4)]
    assert [service["runStatus"] for service in seen] == ["New", "Deploying", "Deploying", "Serving"]
    endpoint = seen[-1]["url"].rpartition("/")[2]
    assert endpoint == seen[-1]["endpoint"] != "my-svc_1"
    assert endpoint.endswith("_my-svc_1")
    assert seen[-1]["resourceConfig"] == resources
    assert (seen[-1]["modelSetId"], seen[-1]["modelId"], seen[-1]["serviceType"]) == (set_id, model_id, "chat")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"modelSetId": "am-none"}, "modelSetId"),
        ({"modelId": "amv-none"}, "modelId"),
        ({"name": "x"}, "name"),
        ({"urlSuffix": "Upper"}, "urlSuffix"),
        ({"urlSuffix": "_start"}, "urlSuffix"),
        ({"urlSuffix": "end-"}, "urlSuffix"),
        ({"urlSuffix": "x" * 21}, "urlSuffix"),
        ({"description": "x" * 501}, "description"),
        ({"resourceConfig": {"replicasCount": 0}}, "replicasCount"),
        ({"resourceConfig": {"qps": 51}}, "qps"),
        ({"billing": {"paymentTiming": "Never"}}, "paymentTiming"),
        ({"billing": {"paymentTiming": "Prepaid"}}, "reservation"),
        ({"protocolVersion": 3}, "protocolVersion"),
    ],
)
async def test_service_fields(console: Console, changes: dict[str, Any], field: str) -> None:
    set_id, model_id = await published(console)
    body = {"modelSetId": set_id, "modelId": model_id, "name": "svc", "urlSuffix": "svc", "billing": BILLING}
    status, code, message = await console.v2_refused("service", "CreateService", **{**body, **changes})
    assert (status, code) == (400, "InappropriateJSON")
    assert message.endswith(f"param[{field}] invalid.")
    assert not console.emulator.services


async def test_only_ready_models_are_deployed(console: Console) -> None:
    console.emulator.publishing.script(ends="Fail")
    set_id, model_id = await published(console)
    body = {"modelSetId": set_id, "modelId": model_id, "name": "svc", "urlSuffix": "svc", "billing": BILLING}
    assert (await console.v2_refused("service", "CreateService", **body))[:2] == (412, "PreconditionFailed")


async def test_a_deployment_that_fails(console: Console) -> None:
    console.emulator.deployment.script(ends="Failed", reason="no machines")
    service = await deployed(console)
    assert service["runStatus"] == "Failed"
    assert console.emulator.services[service["serviceId"]].reason == "no machines"
    body = {"serviceId": service["serviceId"], "modelSetId": service["modelSetId"], "modelId": service["modelId"]}
    assert (await console.v2_refused("service", "ModifyService", **body))[0] == 412


async def test_serving_another_version(console: Console) -> None:
    service = await deployed(console)
    other = await finished_task(console, job_id=await new_job(console, "other"))
    body = {"modelSetId": service["modelSetId"], "sourceType": "Train", "trainMeta": {"taskId": other}}
    model_id = (await console.v2("model", "CreateCustomModel", **body))["modelId"]
    await console.v2("model", "DescribeModel", modelId=model_id)
    change = {"serviceId": service["serviceId"], "modelSetId": service["modelSetId"], "modelId": model_id}
    assert await console.v2("service", "ModifyService", **change) is True
    seen = await console.v2("service", "DescribeService", serviceId=service["serviceId"])
    assert (seen["runStatus"], seen["modelId"], seen["url"]) == ("Serving", model_id, service["url"])


async def test_lists_of_services(console: Console) -> None:
    service = await deployed(console)

    async def names(**wanted: Any) -> list[str]:
        return [entry["name"] for entry in (await console.v2("service", "DescribeServices", **wanted))["serviceList"]]

    assert await names() == ["my_svc"]
    assert await names(name="svc", serviceType=["chat"], runStatus=["Serving"]) == ["my_svc"]
    assert await names(name="other") == []
    assert await names(runStatus=["Failed"]) == []
    listed = await console.v1("service/list", apiTypefilter=["chat"])
    assert [entry["url"] for entry in listed["custom"]] == [service["url"]]
    common = {entry["name"]: entry["url"].split("/")[-2:] for entry in listed["common"]}
    assert common["ERNIE-Lite-8K-0922"] == ["chat", "eb-instant"]
    assert "Embedding-V1" not in common


async def test_v1_deployment(console: Console) -> None:
    set_id, model_id = await published(console)
    numbers = {
        "modelId": console.emulator.model_sets[set_id].number,
        "modelVersionId": console.emulator.models[model_id].number,
    }
    body = {**numbers, "name": "svc", "uri": "svc", "replicas": 1, "poolType": 2}
    made = await console.v1("service/apply", **body)
    assert (await console.v1("service/detail", serviceId=made["serviceId"]))["serviceStatus"] == "New"
    bought = {"serviceId": made["serviceUuid"], "billing": BILLING, "replicasCount": 1}
    await console.v2("charge", "PurchaseServiceResource", **bought)
    detail = await console.v1("service/detail", serviceId=made["serviceId"])
    assert (detail["serviceStatus"], detail["aiModelVersionId"]) == ("Done", numbers["modelVersionId"])
    v2 = await console.v2("service", "DescribeService", serviceId=made["serviceUuid"])
    assert (v2["runStatus"], v2["endpoint"]) == ("Serving", detail["uri"])
    assert (await console.v1_refused("service/apply", **{**body, "modelId": set_id}))[1].endswith(
        "param[modelId] invalid."
    )
    assert (await console.v1_refused("service/apply", **{**body, "uri": "BAD"}))[1].endswith("param[uri] invalid.")

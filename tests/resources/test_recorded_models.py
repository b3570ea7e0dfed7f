"""Answers as the platform's documents show them: our models read them, and the emulator answers with the same keys."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from qianfan.emulator import Emulator
from qianfan.resources import Charge, Platform
from qianfan.resources.console.consts import ModelCompTaskStatus, ModelState, ServiceStatus
from tests.support.clock import JumpClock
from tests.support.emulated import client_for, ready_version

pytestmark = pytest.mark.anyio

HOUR = {"paymentTiming": "Prepaid", "reservation": {"reservationTimeUnit": "Hour", "reservationLength": 1}}


@pytest.fixture
def shown(emulator: Emulator, clock: JumpClock) -> Any:
    """A platform that answers every call with one document."""

    def platform(answer: dict[str, Any]) -> Platform:
        return Platform(client_for(clock, httpx.MockTransport(lambda request: httpx.Response(200, json=answer))))

    return platform


def v1(result: Any) -> dict[str, Any]:
    return {"log_id": "31200", "result": result}


def v2(result: Any) -> dict[str, Any]:
    return {"requestId": "e39a1c40-5b7d-4c3e-9d55-3a1f6b2c8e90", "result": result}


# --- models ------------------------------------------------------------------------------------------------------

PUBLISHED = {
    "modelIDStr": "am-1x5c8v0bnz4q",
    "modelId": 20411,
    "version": "1",
    "versionId": 23102,
    "versionIdStr": "amv-3k7m1x5c8v0b",
}


async def test_publishing(shown: Any, platform: Platform) -> None:
    made = await shown(v1(PUBLISHED)).models.publish(job_id="job-1", task_id="task-1", name="m")
    assert (made.set_id, made.version_id) == ("am-1x5c8v0bnz4q", "amv-3k7m1x5c8v0b")
    assert (made.set_number, made.version_number, made.version) == (20411, 23102, "1")
    assert made.body == v1(PUBLISHED)


VERSION = {
    "modelId": 20411,
    "modelIdStr": "am-1x5c8v0bnz4q",
    "modelName": "m_demo",
    "modelVersionId": 23102,
    "modelVersionIdStr": "amv-3k7m1x5c8v0b",
    "version": "1",
    "state": "Ready",
    "sourceType": "Train",
    "sourceExtra": {
        "sourceType": "Train",
        "trainSourceExtra": {
            "taskId": 18423,
            "taskIdStr": "job-k3v9x0q2m7ab",
            "taskName": "demo",
            "iterationVersion": 1,
            "runId": 10840,
            "runIdStr": "task-7d1m4z8w2pqc",
            "devType": 1,
            "modelType": 0,
            "templateType": 2000,
        },
    },
    "framework": "paddlepaddle",
    "algorithm": "",
    "modelNet": "",
    "ioMode": "chat",
    "ioLength": "3K+1K",
    "params": {"input": {}, "output": {}},
    "deployResource": ["Public", "Private"],
    "supportOptions": ["Deploy", "Acceleration", "Evaluation"],
    "trainType": "ERNIE-Speed-8K",
    "description": "",
    "copyright": "",
    "license": "",
    "property": {},
    "createTime": "2024-01-16T18:38:08+08:00",
    "modifyTime": "2024-01-16T18:38:08+08:00",
}


async def test_a_version(shown: Any, platform: Platform) -> None:
    seen = await shown(v1(VERSION)).models.version_detail("amv-3k7m1x5c8v0b")
    assert (seen.set_id, seen.version_id, seen.state) == ("am-1x5c8v0bnz4q", "amv-3k7m1x5c8v0b", ModelState.Ready)
    assert (seen.source.job_id, seen.source.task_id) == ("job-k3v9x0q2m7ab", "task-7d1m4z8w2pqc")
    assert (seen.io_mode, seen.io_length) == ("chat", "3K+1K")
    assert seen.support_options == ["Deploy", "Acceleration", "Evaluation"]
    _, version = await ready_version(platform)
    emulated = (await platform.models.version_detail(version)).body["result"]
    assert set(emulated) == set(VERSION)
    source = emulated["sourceExtra"]
    assert set(source) == set(VERSION["sourceExtra"])  # type: ignore[call-overload]
    assert set(source["trainSourceExtra"]) == set(VERSION["sourceExtra"]["trainSourceExtra"])  # type: ignore[index]


async def test_where_other_versions_come_from(shown: Any) -> None:
    accelerated = {"taskId": "t-1", "taskName": "c", "sourceModelVersionId": 23102}
    extra = {"sourceType": "Acceleration", "accelerationSourceExtra": accelerated}
    seen = await shown(v1({**VERSION, "sourceType": "Acceleration", "sourceExtra": extra})).models.version_detail(1)
    assert (seen.compression.task_name, seen.compression.source_model_version_id) == ("c", "23102")
    assert seen.source.task_id == ""
    extra = {"sourceType": "Import", "importModelVersionSourceExtra": {"bucket": "b", "object": "a/b"}}
    seen = await shown(v1({**VERSION, "sourceType": "Import", "sourceExtra": extra})).models.version_detail(1)
    assert (seen.imported.bucket, seen.imported.object) == ("b", "a/b")


SET_V1 = {
    "modelId": 20411,
    "modelIdStr": "am-1x5c8v0bnz4q",
    "modelName": "m_demo",
    "source": "UserCreate",
    "modelType": 0,
    "createUserId": 7,
    "createUser": "somebody",
    "createTime": "2024-01-16T18:38:08+08:00",
    "modifyTime": "2024-01-16T18:38:08+08:00",
    "description": "",
    "trainType": "ERNIE-Speed-8K",
    "modelVersionList": [{key: value for key, value in VERSION.items() if key != "params"}],
}


async def test_a_set_and_a_list_of_them(shown: Any, platform: Platform) -> None:
    seen = await shown(v1(SET_V1)).models.detail("am-1x5c8v0bnz4q")
    assert (seen.set_id, seen.set_number, seen.source, seen.model_type) == ("am-1x5c8v0bnz4q", 20411, "UserCreate", 0)
    assert [one.version_id for one in seen.versions] == ["amv-3k7m1x5c8v0b"]
    listed = await shown(v1({"total": 7, "modelList": [SET_V1]})).models.user_list()
    assert (listed.total, [one.set_id for one in listed.items]) == (7, ["am-1x5c8v0bnz4q"])
    set_id, _ = await ready_version(platform)
    emulated = (await platform.models.detail(set_id)).body["result"]
    assert set(emulated) == set(SET_V1)
    assert set(emulated["modelVersionList"][0]) == set(SET_V1["modelVersionList"][0])  # type: ignore[index]
    for call in (platform.models.user_list(), platform.models.preset_list(page_size=1)):
        [entry] = (await call).body["result"]["modelList"]
        assert set(entry) == set(SET_V1)


SET_V2 = {
    "modelSetId": "am-1x5c8v0bnz4q",
    "modelSetName": "m_demo",
    "source": "UserCreate",
    "modelType": "Text2Text",
    "createTime": "2024-06-04T18:38:59+08:00",
    "modifyTime": "2024-06-04T18:38:59+08:00",
    "modelIds": ["amv-3k7m1x5c8v0b"],
}


async def test_a_set_of_the_second_generation(shown: Any, platform: Platform) -> None:
    seen = await shown(v2(SET_V2)).models_v2.describe_set("am-1x5c8v0bnz4q")
    assert (seen.model_set_id, seen.model_ids) == ("am-1x5c8v0bnz4q", ["amv-3k7m1x5c8v0b"])
    assert seen.create_time == "2024-06-04T18:38:59+08:00"
    set_id, _ = await ready_version(platform)
    assert set((await platform.models_v2.describe_set(set_id)).body["result"]) == set(SET_V2)


async def test_a_compression(shown: Any) -> None:
    done = v2({"status": "succeeded", "modelId": "amv-2", "failedReason": ""})
    seen = await shown(done).models_v2.describe_comp_task("t-1")
    assert (seen.status, seen.model_id, seen.failure) == (ModelCompTaskStatus.Succeeded, "amv-2", "")
    failed = v2({"status": "failed", "failedReason": "no machines"})
    assert (await shown(failed).models_v2.describe_comp_task("t-1")).failure == "no machines"
    given = {"name": "c", "source_model_id": "amv-1", "set_id": "am-1", "config": {"strategy": "Sparsity"}}
    assert await shown(v2("t-1")).models_v2.create_comp_task(**given) == "t-1"


@pytest.mark.parametrize("result", [True, "task-1", ["a"], None, {"anything": {"goes": 1}}], ids=repr)
async def test_what_is_not_documented_may_be_anything(shown: Any, result: Any) -> None:
    """An answer of unknown form is no error, and is there in full."""
    v2_models = shown(v2(result)).models_v2
    assert (await v2_models.create_export("amv-1")).body == v2(result)
    assert (await v2_models.describe_export("amv-1")).body == v2(result)
    for conf in (await v2_models.describe_system_conf("chat"), await v2_models.describe_custom_conf("amv-1")):
        assert conf == (result if isinstance(result, dict) else {"result": result})
    assert (await shown(v2(result)).charges.purchase_tpm("m", 1, HOUR, confirm=True)).instance_id == ""


# --- services ----------------------------------------------------------------------------------------------------

SERVICE = {
    "serviceId": "svco-5m2n8x1k4dzq",
    "modelSetId": "am-1x5c8v0bnz4q",
    "modelId": "amv-3k7m1x5c8v0b",
    "name": "demo_svc",
    "description": "",
    "url": "https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/q7zk3mxa_demo_svc",
    "serviceType": "chat",
    "runStatus": "Serving",
    "chargeStatus": "Opened",
    "resourceConfig": {"type": "GPU-I-2", "replicasCount": 1, "qps": 0.5},
    "createTime": "2024-05-16T15:23:30Z",
}
NEWER = {"baseModel", "endpoint", "updateStatus", "chargeType", "payType"}
"""Further keys that the documents name without showing them."""


async def deployed(platform: Platform) -> str:
    set_id, model_id = await ready_version(platform)
    given = {"model_set_id": set_id, "model_id": model_id, "name": "my_svc", "url_suffix": "my_svc", "billing": HOUR}
    return (await platform.services.create(**given)).service_id  # type: ignore[arg-type]


async def test_a_service(shown: Any, platform: Platform) -> None:
    seen = await shown(v2(SERVICE)).services.describe("svco-5m2n8x1k4dzq")
    assert (seen.endpoint, seen.run_status) == ("q7zk3mxa_demo_svc", ServiceStatus.Serving)
    emulated = (await platform.services.describe(await deployed(platform))).body["result"]
    assert set(emulated) == set(SERVICE) | NEWER
    assert set(emulated["resourceConfig"]) == {"type", "replicasCount", "qps"}


METRICS = {
    "startTime": "2024-05-16T00:00:00Z",
    "endTime": "2024-05-17T00:00:00Z",
    "serviceList": [
        {
            "serviceId": "svco-5m2n8x1k4dzq",
            "serviceName": "demo_svc",
            "appList": [
                {
                    "appId": app,
                    "metric": {
                        "inputTokensTotal": 10,
                        "outputTokensTotal": 20,
                        "tokensTotal": 30,
                        "succeedCallTotal": 4,
                        "failureCallTotal": 1,
                        "callTotal": 5,
                    },
                }
                for app in ("23646", "23647")
            ],
        }
    ],
}


async def test_metrics(shown: Any) -> None:
    seen = await shown(v2(METRICS)).services.metrics("2024-05-16T00:00:00Z", "2024-05-17T00:00:00Z")
    [service] = seen.service_list
    assert [app.app_id for app in service.app_list] == ["23646", "23647"]
    total = service.total
    assert (total.call_total, total.succeed_call_total, total.failure_call_total) == (10, 8, 2)
    assert (total.tokens_total, total.input_tokens_total, total.output_tokens_total) == (60, 20, 40)


async def test_services_of_the_first_generation(shown: Any) -> None:
    newer = {"id": 5, "aiModelId": 20411, "aiModelVersionId": 23102, "name": "s", "uri": "u", "url": "https://h/u"}
    older = {"id": 5, "modelId": 20411, "modelVersionId": 23102, "name": "s", "uri": "u", "fullUri": "https://h/u"}
    for detail in (newer, older):
        seen = await shown(v1({**detail, "serviceStatus": "Done"})).services_v1.detail(5)
        assert (seen.model_id, seen.model_version_id, seen.url) == (20411, 23102, "https://h/u")
    entry = {
        "name": "ERNIE-Speed-8K",
        "url": "https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/ernie_speed",
        "apiType": "chat",
        "chargeStatus": "OPENED",
        "versionList": [{"trainType": "ernie_speed", "serviceStatus": "Done"}],
    }
    listed = await shown(v1({"common": [entry], "custom": []})).services_v1.list()
    assert listed.common[0].version_list[0].service_status is ServiceStatus.Done
    apps = {"appList": [{"id": 23646, "name": "app", "ak": "a-key", "sk": "a-secret", "apiIds": "1,2,3"}]}
    [app] = await shown(v1(apps)).services_v1.apps()
    assert (app.id, app.sk.get_secret_value(), app.api_ids) == (23646, "a-secret", "1,2,3")
    assert "a-secret" not in f"{app!r} {app}"
    assert "a-key" not in f"{app!r} {app}"


# --- billing -----------------------------------------------------------------------------------------------------

INSTANCE = {
    "instanceId": "b3b1c5a6",
    "paymentTiming": "Postpaid",
    "rpm": 60,
    "tpm": 60000,
    "status": "Running",
    "startTime": "2024-02-26T10:00:00Z",
    "expiredTime": "-",
}


async def test_quota(shown: Any, platform: Platform) -> None:
    bought = await shown(v2({"instanceId": "b3b1c5a6"})).charges.purchase_tpm("m", 1, HOUR, confirm=True)
    assert bought.instance_id == "b3b1c5a6"
    [seen] = await shown(v2({"instances": [INSTANCE]})).charges.describe_tpm("m")
    assert (seen.instance_id, seen.rpm, seen.tpm, seen.expired_time) == ("b3b1c5a6", 60, 60000, "-")
    await platform.charges.purchase_tpm("ERNIE-Speed-8K", 1, HOUR, confirm=True)
    [emulated] = (await Charge.atpm_credit_info("ERNIE-Speed-8K"))["result"]["instances"]
    assert set(emulated) == set(INSTANCE)


@pytest.mark.parametrize("wrap", [lambda units: units, lambda units: {"computeUnits": units}], ids=["bare", "wrapped"])
async def test_units_come_bare_or_in_an_object(shown: Any, wrap: Any) -> None:
    for key in ("instanceId", "computeUnitId", "unitId"):
        units = await shown(v2(wrap([{key: "unit-a7K2m9Xq"}]))).charges.describe_units("svco-1")
        assert [unit.instance_id for unit in units] == ["unit-a7K2m9Xq"]
    assert await shown(v2(wrap([]))).charges.describe_units("svco-1") == []

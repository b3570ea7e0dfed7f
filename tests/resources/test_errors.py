"""Answers that say no, answers that lack something, and what the errors made of them tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from qianfan.config import default_settings
from qianfan.emulator import Emulator
from qianfan.errors import (
    APIError,
    AuthError,
    ConnectionFailedError,
    QianfanError,
    RateLimitError,
    RequestError,
)
from qianfan.resources import ChatCompletion, Platform
from qianfan.resources.console.consts import DataTemplateType
from tests.support.clock import JumpClock
from tests.support.emulated import client_for
from tests.support.transport import Meddling, Passing, answering, refused

pytestmark = pytest.mark.anyio

Ask = Callable[[Platform], Awaitable[Any]]


@pytest.mark.parametrize(
    ("call", "ask", "answer", "status", "code", "request_id"),
    [
        (
            "DescribeFineTuningTask",
            lambda platform: platform.finetune.describe_task("task-1"),
            {"requestId": "r-1", "code": "InappropriateJSON", "message": "参数错误"},
            400,
            "InappropriateJSON",
            "r-1",
        ),
        (
            "modelDetail",
            lambda platform: platform.models.detail("am-1"),
            {"log_id": "17", "error_code": 500001, "error_msg": "参数错误"},
            200,
            500001,
            "17",
        ),
        (
            "dataset/info",
            lambda platform: platform.data.info("ds-1"),
            {"log_id": "18", "success": False, "status": 400, "code": "InvalidParam", "message": "参数错误"},
            200,
            "InvalidParam",
            "18",
        ),
        (
            "chat/ernie_speed",
            lambda platform: ChatCompletion("ERNIE-Speed-8K", client=platform.client).ado([{"role": "user"}]),
            {"id": "as-1", "error_code": 336003, "error_msg": "参数错误"},
            200,
            336003,
            "as-1",
        ),
    ],
    ids=["v2", "v1", "data", "inference"],
)
async def test_every_style_of_refusal_becomes_one_error(
    platform: Platform,
    emulator: Emulator,
    call: str,
    ask: Ask,
    answer: dict[str, Any],
    status: int,
    code: int | str,
    request_id: str,
) -> None:
    emulator.faults.add(call, status=status, body=answer)
    with pytest.raises(APIError, match="参数错误") as caught:
        await ask(platform)
    error = caught.value
    assert (error.code, error.request_id, error.http_status) == (code, request_id, status)
    assert str(code) in str(error)
    assert request_id in str(error)
    assert not error.retryable
    assert emulator.count(call) == 1


CREATIONS: list[tuple[str, Ask, str]] = [
    (
        "CreateFineTuningJob",
        lambda platform: platform.finetune.create_job(name="n", model="m", train_mode="SFT"),
        "jobId",
    ),
    (
        "CreateFineTuningTask",
        lambda platform: platform.finetune.create_task(
            job_id="job-1", parameter_scale=None, hyper_parameters={}, dataset_config={}
        ),
        "taskId",
    ),
    (
        "dataset/create",
        lambda platform: platform.data.create(name="n", template_type=DataTemplateType.GenericText),
        "datasetId",
    ),
    ("CreateDataset", lambda platform: platform.data_v2.create_dataset(name="n", data_format="Text"), "versionId"),
    ("CreateDatasetVersion", lambda platform: platform.data_v2.create_version("dg-1"), "versionId"),
    ("CreateImportTask", lambda platform: platform.data_v2.create_import_task("ds-1", ["bos:/b/k"]), "taskId"),
    (
        "publishTrainModel",
        lambda platform: platform.models.publish(job_id="job-1", task_id="task-1", name="n"),
        "modelIDStr",
    ),
    ("CreateCustomModelSet", lambda platform: platform.models_v2.create_set("n"), "modelSetId"),
    ("CreateCustomModel", lambda platform: platform.models_v2.create_model("am-1", task_id="task-1"), "modelId"),
    (
        "CreateService",
        lambda platform: platform.services.create(model_set_id="am-1", model_id="amv-1", name="n", url_suffix="n"),
        "serviceId",
    ),
    (
        "createTask",
        lambda platform: platform.finetune_v1.create_job(name="n", base_train_type="b", train_type="t"),
        "id",
    ),
    ("createJob", lambda platform: platform.finetune_v1.create_task({"taskId": 1}), "id"),
    (
        "service/apply",
        lambda platform: platform.services_v1.apply(model_id=1, model_version_id=2, name="n", uri="u"),
        "serviceId",
    ),
]


@pytest.mark.parametrize("result", [{}, None, True], ids=repr)
@pytest.mark.parametrize(("call", "ask", "field"), CREATIONS, ids=[call for call, _, _ in CREATIONS])
async def test_a_creation_without_its_id_is_an_error_and_is_not_repeated(
    platform: Platform, emulator: Emulator, call: str, ask: Ask, field: str, result: Any
) -> None:
    emulator.faults.add(call, body={"requestId": "r-1", "success": True, "result": result})
    with pytest.raises(RequestError, match="does not have the documented form") as caught:
        await ask(platform)
    if result == {}:
        assert field in str(caught.value)
    assert (caught.value.request_id, caught.value.status_code) == ("r-1", 200)
    assert emulator.count(call) == 1


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(("call", "ask", "field"), CREATIONS, ids=[call for call, _, _ in CREATIONS])
async def test_an_empty_id_is_no_id(
    platform: Platform, emulator: Emulator, call: str, ask: Ask, field: str, empty: str | None
) -> None:
    emulator.faults.add(call, body={"requestId": "r-1", "success": True, "result": {field: empty}})
    with pytest.raises(RequestError, match=field):
        await ask(platform)


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500, "code": "InternalError"},
        {"status": 502, "body": "<html>bad gateway</html>"},
        {"status": 503, "code": "ServiceUnavailable"},
        {"status": 429, "code": "TooManyRequests"},
        {"drop": "before"},
        {"drop": "during"},
        {"drop": "after"},
    ],
    ids=str,
)
async def test_a_look_rides_through_trouble(emulator: Emulator, clock: JumpClock, trouble: dict[str, Any]) -> None:
    platform = Platform(client_for(clock, console_api_retry_count=3))
    emulator.faults.add("DescribeFineTuningJobs", times=2, **trouble)
    assert (await platform.finetune.describe_jobs()).items == []
    assert emulator.count("DescribeFineTuningJobs") == 3


async def test_a_platform_that_stays_busy(emulator: Emulator, clock: JumpClock) -> None:
    platform = Platform(client_for(clock, console_api_retry_count=2))
    emulator.faults.add("DescribeFineTuningJobs", times=None, status=429, code="Busy", headers={"retry-after": "7"})
    with pytest.raises(RateLimitError) as caught:
        await platform.finetune.describe_jobs()
    assert (caught.value.retry_after, caught.value.retryable) == (7, True)
    assert clock.monotonic() >= 7
    assert emulator.count("DescribeFineTuningJobs") == 2


async def _dropped(request: httpx.Request, pass_on: Passing) -> httpx.Response:
    raise httpx.ReadError(f"reading {request.url} with {request.headers} failed", request=request)


@pytest.mark.parametrize(
    "mishap",
    [
        _dropped,
        answering(500, b"<html>internal</html>"),
        answering(200, b"<html>welcome</html>"),
        answering(302, b""),
        answering(403, {"code": "AccessDenied", "message": "no"}),
        answering(200, {"requestId": "r", "result": {}}),
    ],
    ids=["dropped", "5xx", "html", "redirect", "denied", "odd"],
)
async def test_no_header_and_no_secret_is_in_an_error(emulator: Emulator, clock: JumpClock, mishap: Any) -> None:
    client = client_for(clock, Meddling(emulator.transport(), "DescribeFineTuningTask", mishap, times=9))
    with pytest.raises(QianfanError) as caught:
        await Platform(client).finetune.describe_task("task-1")
    told = f"{caught.value!s} {caught.value!r} {vars(caught.value)}"
    settings = default_settings()
    assert settings.access_key is not None
    assert settings.secret_key is not None
    for secret in (settings.access_key.get_secret_value(), settings.secret_key.get_secret_value(), "bce-auth-v1"):
        assert secret not in told


def _v2(result: Any) -> dict[str, Any]:
    return {"requestId": "r-1", "result": result}


def _data(result: Any) -> dict[str, Any]:
    return {"log_id": "r-1", "status": 200, "success": True, "result": result}


@pytest.mark.parametrize(
    ("call", "ask", "body", "field"),
    [
        ("DescribeFineTuningTask", lambda p: p.finetune.describe_task("t"), _v2({"runStatus": "Done"}), "taskId"),
        ("DescribeFineTuningTask", lambda p: p.finetune.describe_task("t"), _v2(None), "result"),
        ("DescribeFineTuningJobs", lambda p: p.finetune.describe_jobs(), _v2({"jobList": [{}]}), r"jobList\.0\.jobId"),
        ("DescribeFineTuningSupportModels", lambda p: p.finetune.supported_models(), _v2({"a": 1}), "result"),
        ("DescribeFineTuningSupportModels", lambda p: p.finetune.supported_models(), _v2([{}]), "model"),
        ("dataset/info", lambda p: p.data.info("ds-1"), _data({"versionInfo": {}}), r"versionInfo\.datasetPK"),
        ("dataset/statusList", lambda p: p.data.statuses(["ds-1"]), _data([]), "result"),
        ("dataset/statusList", lambda p: p.data.statuses(["d"]), _data({"d": {"importStatus": []}}), "importStatus"),
        ("DescribeService", lambda p: p.services.describe("svco-1"), _v2({"name": "mine"}), "serviceId"),
    ],
)
async def test_a_look_that_lacks_what_it_must_hold_names_it(
    platform: Platform, emulator: Emulator, call: str, ask: Ask, body: Any, field: str
) -> None:
    emulator.faults.add(call, body=body)
    with pytest.raises(RequestError, match=rf"does not have the documented form \(look at: {field}") as caught:
        await ask(platform)
    assert (caught.value.status_code, caught.value.request_id) == (200, "r-1")
    assert emulator.count(call) == 1


async def test_what_is_harmless_is_repeated(platform: Platform, emulator: Emulator) -> None:
    emulator.faults.add("StopFineTuningTask", drop="after")
    assert await platform.finetune.stop_task("task-none") is False
    assert emulator.count("StopFineTuningTask") == 2


@pytest.mark.parametrize("trouble", [{"drop": "before"}, {"drop": "after"}, {"status": 503}], ids=str)
@pytest.mark.parametrize(("call", "ask", "field"), CREATIONS, ids=[call for call, _, _ in CREATIONS])
async def test_what_creates_something_is_sent_once(
    platform: Platform, emulator: Emulator, call: str, ask: Ask, field: str, trouble: dict[str, Any]
) -> None:
    emulator.faults.add(call, times=None, **trouble)
    with pytest.raises((RequestError, APIError)):
        await ask(platform)
    assert emulator.count(call) == 1


@pytest.mark.parametrize(("call", "ask", "field"), CREATIONS, ids=[call for call, _, _ in CREATIONS])
async def test_what_never_left_says_so(emulator: Emulator, clock: JumpClock, call: str, ask: Ask, field: str) -> None:
    """A call that creates something is sent once; that a refused connection carried nothing is for others to use."""
    network = Meddling(emulator.transport(), call.rpartition("/")[2], refused, times=99)
    with pytest.raises(ConnectionFailedError) as caught:
        await ask(Platform(client_for(clock, network)))
    assert not caught.value.sent
    assert (network.attempts, emulator.count(call)) == (1, 0)


async def test_a_wrong_secret_is_explained(emulator: Emulator, clock: JumpClock) -> None:
    with pytest.raises(AuthError, match="QIANFAN_ACCESS_KEY"):
        await Platform(client_for(clock, secret_key="wrong")).finetune.describe_task("task-1")
    assert emulator.count("DescribeFineTuningTask") == 1

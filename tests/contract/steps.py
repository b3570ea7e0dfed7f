"""Steps that lead to a model and a service, by the documented calls of either face."""

from __future__ import annotations

from typing import Any

from qianfan.emulator.account import Account
from qianfan.resources import FineTune, Model, Service
from tests.contract.conftest import Faces

MODEL = "ERNIE-Speed-8K"
HOUR = {"paymentTiming": "Prepaid", "reservation": {"reservationTimeUnit": "Hour", "reservationLength": 1}}


async def finished_task(ask: Faces, account: Account, name: str = "a_job") -> tuple[str, str]:
    """A training that is done: `job-…` and `task-…`."""
    with account.lock:
        sample = next(iter(account.datasets)).id
    job = (await ask(FineTune.V2, "create_job", name, MODEL, "SFT"))["result"]["jobId"]
    data = {"sourceType": "Platform", "versions": [{"versionId": sample}], "splitRatio": 20}
    task = (await ask(FineTune.V2, "create_task", job, "LoRA", {"epoch": 1}, data))["result"]["taskId"]
    while (await ask(FineTune.V2, "task_detail", task))["result"]["runStatus"] != "Done":
        pass
    return job, task


async def published(ask: Faces, account: Account, name: str = "a model") -> tuple[str, str]:
    """A version that is ready: `am-…` and `amv-…`."""
    job, task = await finished_task(ask, account, f"{name[:14]}_job")
    made = (await ask(Model, "publish", True, {"taskId": job, "iterationId": task}, name))["result"]
    await ask(Model, "detail", made["versionIdStr"])
    return made["modelIDStr"], made["versionIdStr"]


async def new_service(ask: Faces, model: tuple[str, str], name: str = "my_svc", **terms: Any) -> dict[str, Any]:
    """What `create_service` answers. terms: instead of an hour in advance."""
    given = {"resource_config": {"type": "GPU-I-2", "replicasCount": 1}, "billing": HOUR, **terms}
    made: dict[str, Any] = (await ask(Service.V2, "create_service", *model, name, name, **given))["result"]
    return made


async def deployed(ask: Faces, account: Account, name: str = "my_svc") -> dict[str, Any]:
    """A service that answers, as `service_detail` tells of it."""
    made = await new_service(ask, await published(ask, account), name)
    detail: dict[str, Any] = (await ask(Service.V2, "service_detail", made["serviceId"]))["result"]
    assert detail["runStatus"] == "Serving"
    return detail

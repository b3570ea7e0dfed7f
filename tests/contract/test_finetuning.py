"""Fine-tuning by its documented names, both generations."""

from __future__ import annotations

from typing import Any

import pytest

from qianfan.emulator.account import Account
from qianfan.errors import APIError, InvalidArgumentError
from qianfan.resources import FineTune
from qianfan.resources.console.utils import acall_action, call_action
from tests.contract.conftest import Faces

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

MODEL = "ERNIE-Speed-8K"
PARAMETERS = {"epoch": 1, "learningRate": 0.0003, "maxSeqLen": 4096, "loggingSteps": 1, "warmupRatio": 0.1}
DATA = {"sourceType": "Platform", "versions": [{"versionId": "111"}], "splitRatio": 20}


async def new_job(ask: Faces, name: str = "a_job") -> str:
    return (await ask(FineTune.V2, "create_job", name, MODEL, "SFT"))["result"]["jobId"]


async def new_task(ask: Faces, job: str, sample: str) -> str:
    data = {**DATA, "versions": [{"versionId": sample}]}
    made = await ask(FineTune.V2, "create_task", job, "LoRA", {"epoch": 2}, data)
    return made["result"]["taskId"]


@pytest.fixture
def sample(account: Account) -> str:
    """The id of the dataset that every emulator has."""
    with account.lock:
        return next(iter(account.datasets)).id


@pytest.mark.covers(
    "CreateFineTuningJob",
    "CreateFineTuningTask",
    "DescribeFineTuningTask",
    "DescribeFineTuningJobs",
    "DescribeFineTuningTasks",
)
async def test_a_training_as_it_is_ordered_and_listed(ask: Faces, account: Account, sample: str) -> None:
    job = await new_job(ask)
    task = await new_task(ask, job, sample)
    with account.lock:
        ordered = account.tasks.get(task)
        assert ordered is not None
        assert (ordered.parameter_scale, ordered.hyper_parameters["epoch"]) == ("LoRA", 2)
    detail = await ask(FineTune.V2, "task_detail", task)
    assert (detail["result"]["jobId"], detail["result"]["runStatus"]) == (job, "Running")
    assert detail.request.json_body == {"taskId": task}
    jobs = await ask(FineTune.V2, "job_list", max_keys=1)
    assert [entry["jobId"] for entry in jobs["result"]["jobList"]] == [job]
    tasks = await ask(FineTune.V2, "task_list", job)
    assert [entry["taskId"] for entry in tasks["result"]["taskList"]] == [task]


@pytest.mark.covers("StopFineTuningTask", "DeleteFineTuningTask", "DeleteFineTuningJob")
async def test_stopping_and_deleting(ask: Faces, account: Account, sample: str) -> None:
    job = await new_job(ask)
    task = await new_task(ask, job, sample)
    assert (await ask(FineTune.V2, "stop_task", task))["result"] is True
    with account.lock:
        stopped = account.tasks.get(task)
        assert stopped is not None
        assert stopped.state == "Stopped"
    assert (await ask(FineTune.V2, "stop_task", task))["result"] is False
    await ask(FineTune.V2, "delete_task", task)
    await ask(FineTune.V2, "delete_job", job)
    with account.lock:
        assert (account.tasks.get(task), account.jobs.get(job)) == (None, None)


@pytest.mark.covers("DescribeFineTuningSupportModels")
async def test_what_can_be_trained(ask: Faces) -> None:
    models = (await ask(FineTune.V2, "supported_models"))["result"]
    [speed] = [model for model in models if model["model"] == MODEL]
    modes = {entry["trainMode"]: entry for entry in speed["supportTrainMode"]}
    scales = [scale["parameterScale"] for scale in modes["SFT"]["supportParameterScale"]]
    assert "LoRA" in scales


@pytest.mark.covers("/finetune/createTask", "/finetune/createJob", "/finetune/jobDetail", "/finetune/stopJob")
async def test_the_first_generation(ask: Faces, account: Account) -> None:
    series = (await ask(FineTune, "create_task", "old one", MODEL, MODEL))["result"]
    order = {
        "taskId": series["id"],
        "baseTrainType": MODEL,
        "trainType": MODEL,
        "trainMode": "SFT",
        "peftType": "LoRA",
        "trainConfig": {"epoch": 1, "learningRate": 0.0003},
        "trainset": [{"type": 1, "id": 111}],
        "trainsetRate": 20,
    }
    run = (await ask(FineTune, "create_job", order))["result"]
    detail = (await ask(FineTune, "get_job", series["id"], run["id"]))["result"]
    assert (detail["id"], detail["taskId"], detail["trainStatus"]) == (run["id"], series["id"], "RUNNING")
    assert (await ask(FineTune, "stop_job", series["id"], run["id"]))["result"] is True
    with account.lock:
        stopped = account.tasks.get(run["uuid"])
        assert stopped is not None
        assert stopped.state == "Stopped"


async def test_keys_of_one_call_sign_it_and_are_not_sent(ask: Faces, served: Any) -> None:
    with pytest.raises(APIError) as refused:
        await ask(FineTune.V2, "job_list", ak="somebody-else", sk="with-a-secret")
    assert refused.value.code == "InvalidAccessKeyId"
    assert "with-a-secret" not in str(refused.value)
    keys = {"ak": served.settings["ACCESS_KEY"], "sk": "secret-of-tests"}
    await ask(FineTune.V2, "job_list", **keys, retry_count=1, request_timeout=20)
    assert [recorded.body for recorded in served.platform.log.recent()] == [{}, {}]


async def test_arguments_that_are_none(ask: Faces) -> None:
    with pytest.raises(InvalidArgumentError, match="did you mean 'max_keys'"):
        await ask(FineTune.V2, "job_list", maxkeys=1)
    with pytest.raises(InvalidArgumentError, match="missing a required argument: 'model'"):
        await ask(FineTune.V2, "create_job", "name")
    with pytest.raises(InvalidArgumentError, match="pair"):
        await ask(FineTune.V2, "job_list", ak="one")


@pytest.mark.covers("DescribeFineTuningJobs", "/dataset/info")
async def test_a_call_by_its_address(ask: Faces) -> None:
    class Console:
        call, acall = call_action, acall_action

    job = await new_job(ask)
    listed = await ask(Console, "call", "/v2/finetuning", "DescribeFineTuningJobs", {"maxKeys": 5})
    assert [entry["jobId"] for entry in listed["result"]["jobList"]] == [job]
    info = await ask(Console, "call", "/wenxinworkshop/dataset/info", params={"datasetId": 111})
    assert info["success"] is True
    assert info["result"]["versionInfo"]["datasetId"] == 111


async def test_buying_by_its_address_needs_a_word(ask: Faces, account: Account) -> None:
    class Console:
        call, acall = call_action, acall_action

    what = {"model": MODEL, "purchaseCount": 1, "billing": {"paymentTiming": "Postpaid"}}
    with pytest.raises(InvalidArgumentError, match="confirm=True"):
        await ask(Console, "call", "/v2/charge", "PurchaseTPMResource", what)
    bought = await ask(Console, "call", "/v2/charge", "PurchaseTPMResource", what, confirm=True)
    assert bought["result"]["instanceId"]

"""Offline batch inference by its documented names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from qianfan.emulator.account import Account
from qianfan.emulator.lifecycle import BATCH
from qianfan.emulator.server import Running
from qianfan.errors import APIError, InvalidArgumentError
from qianfan.resources import BosPath, Data, Platform
from qianfan.resources.console.batch_inference import BatchInference
from qianfan.resources.console.consts import BatchInferenceStatus
from qianfan.resources.schemas import BatchTask
from tests.contract.conftest import Faces
from tests.contract.steps import deployed, published
from tests.support.wire import Prepared, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

IN, OUT = "bos:/my-bucket/questions/", "bos:/my-bucket/answers"


async def put(name: str, rows: Iterable[Any]) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    await Platform().bos.put_bytes(content.encode(), BosPath("my-bucket", f"questions/{name}"))


async def create(ask: Faces, **changes: Any) -> str:
    asked = {"name": "night", "input_bos_uri": IN, "output_bos_uri": OUT, **changes}
    made = await ask(Data, "create_offline_batch_inference_task", **asked)
    return str(made["result"]["taskId"])


async def look(ask: Faces, task: str) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(Data, "get_offline_batch_inference_task", task))["result"]
    return found


async def answers(task: dict[str, Any], name: str) -> list[dict[str, Any]]:
    at = BosPath("my-bucket", f"answers/{task['outputDir']}/{name}")
    return [json.loads(line) for line in (await Platform().bos.get_bytes(at)).splitlines()]


@pytest.mark.covers("CreateBatchInferenceTask", "DescribeBatchInferenceTask")
async def test_every_row_of_every_file_is_answered(ask: Faces, account: Account, served: Running) -> None:
    _, model = await published(ask, account)
    row = {"id": "1", "query": "Define an epoch."}
    await put("a.jsonl", [row, {"id": "2", "src": ["one", "two"], "tgt": ["1"]}])
    chat = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hello there"}]
    await put("b.jsonl", [{"id": "3", "messages": chat, "mine": [1]}])
    await put("c.txt", ["not a file of rows"])
    made = await ask(
        Data, "create_offline_batch_inference_task", "night", IN, OUT, model, None, {"temperature": 0.5}, "for fun"
    )
    assert made.request.json_body == {
        "name": "night",
        "description": "for fun",
        "modelId": model,
        "inferenceParams": {"temperature": 0.5},
        "inputBosUri": IN,
        "outputBosUri": OUT,
    }
    task = await look(ask, made["result"]["taskId"])
    assert task["taskId"].startswith("infer-")
    assert len(task["outputDir"]) == 24
    assert (task["runStatus"], task["progress"], task["total"]) == ("Done", 3, 3)
    first, second = await answers(task, "a.jsonl")
    assert first["output"]["result"] == "One full pass over all the training data."
    assert {key: first[key] for key in row} == row
    assert set(first["output"]) == {
        "id", "object", "created", "result", "is_truncated", "need_clear_history", "finish_reason", "usage"
    }  # fmt: skip
    assert second["output"]["result"].endswith("You said: two")
    [third] = await answers(task, "b.jsonl")
    assert (third["mine"], third["output"]["finish_reason"]) == ([1], "normal")
    used = [one["output"]["usage"] for one in (first, second, third)]
    assert task["inputTokenUsage"] == sum(one["prompt_tokens"] for one in used)
    assert task["outputTokenUsage"] == sum(one["completion_tokens"] for one in used)


@pytest.mark.covers("CreateBatchInferenceTask")
async def test_a_service_answers_at_its_full_address(ask: Faces, account: Account) -> None:
    service = await deployed(ask, account)
    await put("a.jsonl", [{"id": "1", "query": "Define an epoch."}])
    task = await look(ask, await create(ask, endpoint=service["url"]))
    assert (task["runStatus"], task["endpoint"], task["modelId"]) == ("Done", service["url"], "")
    [row] = await answers(task, "a.jsonl")
    assert row["output"]["result"] == "One full pass over all the training data."
    preset = service["url"].rpartition("/")[0] + "/ernie_speed"
    task = await look(ask, await create(ask, endpoint=preset))
    [row] = await answers(task, "a.jsonl")
    assert row["output"]["result"].startswith("[simulated answer of ERNIE-Speed-8K")
    with pytest.raises(APIError, match=r"param\[endpoint\] invalid"):
        await create(ask, endpoint="ernie_speed")


@pytest.mark.covers("DescribeBatchInferenceTasks", "StopBatchInferenceTask")
async def test_listing_and_stopping(ask: Faces, account: Account) -> None:
    _, model = await published(ask, account)
    await put("a.jsonl", [{"id": "1", "query": "a"}])
    done = await create(ask, model_id=model)
    await look(ask, done)
    account.stages.batches.script(after_looks=1000, waits=1)
    waiting = await create(ask, model_id=model, name="waits")
    assert (await look(ask, waiting))["runStatus"] == "Queuing"
    assert (await look(ask, waiting))["runStatus"] == "Running"
    listed = await ask(Data, "list_offline_batch_inference_task", max_keys=1)
    assert listed.request.json_body == {"runStatus": [], "maxKeys": 1}
    assert [one["taskId"] for one in listed["result"]["taskList"]] == [waiting]
    marker = listed["result"]["pageInfo"]["nextMarker"]
    rest = await ask(Data, "list_offline_batch_inference_task", marker)
    assert [one["taskId"] for one in rest["result"]["taskList"]] == [done]
    assert (await ask(Data, "stop_offline_batch_inference_task", waiting))["result"] is True
    stopping = await ask(Data, "list_offline_batch_inference_task", run_status="Stopping")
    assert {one["taskId"] for one in stopping["result"]["taskList"]} <= {waiting}
    stopped = await look(ask, waiting)
    assert (stopped["runStatus"], "inputTokenUsage" in stopped) == ("Stopped", False)
    assert (await ask(Data, "stop_offline_batch_inference_task", waiting))["result"] is False
    only = await ask(Data, "list_offline_batch_inference_task", run_status=[BatchInferenceStatus.Done])
    assert [one["taskId"] for one in only["result"]["taskList"]] == [done]


async def test_ends_that_are_not_good(ask: Faces, account: Account) -> None:
    _, model = await published(ask, account)
    missing = await look(ask, await create(ask, model_id=model))
    assert (missing["runStatus"], missing["errorCode"]) == ("Failed", 500000)
    assert "holds no files" in missing["errorReason"]
    await put("a.jsonl", [{"id": "1", "query": "a"}, {"id": "2", "ask": "b"}])
    bad = await look(ask, await create(ask, model_id=model))
    assert "a.jsonl: row '2' has neither query nor src nor messages" in bad["errorReason"]
    await put("a.jsonl", [{"id": "1", "query": "a"}])
    account.stages.batches.script(ends="Expired", times=1)
    assert (await look(ask, await create(ask, model_id=model)))["runStatus"] == "Expired"
    account.stages.batches.script(after_looks=1000, times=1)
    late = await create(ask, model_id=model, completion_window="24h")
    with account.lock:
        record = account.batches.get(late)
        assert record is not None
        record.created -= timedelta(hours=24)
    assert (await look(ask, late))["runStatus"] == "Expired"
    account.stages.batches.script(ends="Failed", reason="out of luck")
    assert (await look(ask, await create(ask, model_id=model)))["errorReason"] == "out of luck"


async def test_what_is_refused(ask: Faces, account: Account) -> None:
    _, model = await published(ask, account)

    async def refused(field: str, **changes: Any) -> None:
        with pytest.raises(APIError, match=rf"param\[{field}\] invalid") as error:
            await create(ask, **{"model_id": model, **changes})
        assert (error.value.code, error.value.http_status) == ("InappropriateJSON", 400)

    await refused("modelId", model_id="amv-none")
    await refused("inputBosUri", input_bos_uri="/my-bucket/questions")
    await refused("completion_window", completion_window="48h")
    await refused("inferenceParams", inference_params={"temperature": 9})
    await refused("userName", afs_config={"userName": "somebody"})
    with pytest.raises(APIError, match=r"param\[taskId\] invalid"):
        await look(ask, "infer-none")
    with pytest.raises(InvalidArgumentError, match="model_id, or the full address"):
        await create(ask)
    with pytest.raises(InvalidArgumentError, match="input_bos_uri"):
        await create(ask, model_id=model, input_bos_uri=None)


async def test_twenty_at_a_time(ask: Faces, account: Account) -> None:
    _, model = await published(ask, account)
    await put("a.jsonl", [{"id": "1", "query": "a"}])
    account.stages.batches.script(after_looks=1000)
    first, *_ = [await create(ask, model_id=model) for _ in range(20)]
    with pytest.raises(APIError) as refused:
        await create(ask, model_id=model)
    assert (refused.value.code, refused.value.http_status) == ("TaskRunningNumberExceedLimit", 400)
    await ask(Data, "stop_offline_batch_inference_task", first)
    await look(ask, first)
    await create(ask, model_id=model)


async def test_the_order_says_where_it_comes_from() -> None:
    """`Referer: infer` goes with the order alone; the emulator keeps no headers, so a prepared platform looks."""
    platform = Prepared({"requestId": "r", "result": {"taskId": "infer-1"}}, {"requestId": "r", "result": True})
    area = BatchInference(client_of(platform, access_key="a", secret_key="s"))
    made = await area.create(name="n", input_bos_uri=IN, output_bos_uri=OUT, model_id="amv-1")
    assert (made.task_id, await area.stop("infer-1")) == ("infer-1", True)
    assert [seen.headers.get("referer") for seen in platform.seen] == ["infer", None]


# --- shapes --------------------------------------------------------------------------------------------------------

RECORDED = {
    "taskId": "infer-7m2x9k4c1zqb",
    "name": "night",
    "description": "d",
    "endpoint": "https://aip.example/chat/x",
    "modelId": "amv-1",
    "inferenceParams": {"temperature": 0.8},
    "runStatus": "Done",
    "inputBosUri": "bos:/b/in",
    "outputBosUri": "bos:/b/out",
    "inputAfsUri": "",
    "outputAfsUri": "",
    "outputDir": "65e6b5c0a1b2c3d4e5f60718",
    "inputTokenUsage": 50,
    "outputTokenUsage": 10,
    "progress": 5,
    "creator": "me",
    "createTime": "2024-03-05T07:43:48Z",
    "finishTime": "2024-03-05T08:43:48Z",
}


def test_a_recorded_task() -> None:
    task = BatchTask.model_validate(RECORDED)
    assert (task.run_status, task.progress, task.total, task.percent) == (BatchInferenceStatus.Done, 5, None, None)
    assert (task.input_token_usage, task.output_token_usage) == (50, 10)
    assert task.output_uri == "bos:/b/out/65e6b5c0a1b2c3d4e5f60718/"


async def test_the_emulator_tells_what_was_recorded(ask: Faces, account: Account) -> None:
    _, model = await published(ask, account)
    await put("a.jsonl", [{"id": "1", "query": "a"}])
    told = await look(ask, await create(ask, model_id=model))
    documents_tell_without_keys = {"total", "source", "dataFormat", "searchCounts", "searchTokens", "simulated"}
    assert set(told) - documents_tell_without_keys == set(RECORDED) - {"inputAfsUri", "outputAfsUri"}
    assert told["runStatus"] in BATCH.moves

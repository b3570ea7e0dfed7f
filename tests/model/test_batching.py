"""Whole datasets of questions: a model answers them on the platform, a service one by one."""

from __future__ import annotations

import json
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from qianfan._transport import Client
from qianfan.dataset import Dataset
from qianfan.emulator import Emulator
from qianfan.errors import (
    AuthError,
    BatchInferenceFailedError,
    InvalidArgumentError,
    OutcomeUnknownError,
    ValidationError,
)
from qianfan.model import Model, Service
from qianfan.model.batching import answered_alone, said_in
from qianfan.resources import BosPath, Platform
from tests.support.clock import JumpClock
from tests.support.emulated import client_for, ready_version
from tests.support.transport import Meddling, answering

pytestmark = pytest.mark.anyio

faces = pytest.mark.parametrize("face", ["sync", "async"])
KNOWN = "Define an epoch."
SAID = "One full pass over all the training data."


def rows(*questions: str) -> Dataset:
    return Dataset.create_from_pyobj([[{"prompt": one, "response": [[f"answer to {one}"]]}] for one in questions])


async def inferred(face: str, who: Model | Service, *args: Any, **settings: Any) -> Dataset:
    if face == "async":
        return await who.abatch_inference(*args, **settings)
    return await anyio.to_thread.run_sync(lambda: who.batch_inference(*args, **settings))


async def new_model(platform: Platform) -> Model:
    return Model(*await ready_version(platform), client=platform.client)


# --- a model -------------------------------------------------------------------------------------------------------


@faces
async def test_a_model_answers_in_the_order_of_the_rows(face: str, platform: Platform, emulator: Emulator) -> None:
    emulator.batch_inference.script(after_looks=2, waits=1)
    questions = [KNOWN, *(f"question {number}" for number in range(30))]
    result = await inferred(face, await new_model(platform), rows(*questions), temperature=0.3)
    assert result["input"] == questions
    assert result["reference"] == [f"answer to {one}" for one in questions]
    assert result["output"][0] == SAID
    assert all(said.endswith(asked) for asked, said in zip(questions[1:], result["output"][1:], strict=True))
    assert result.col_names() == ["input", "reference", "output"]
    assert (result.input_columns, result.reference_column) == (["input"], "reference")
    [task] = emulator.batches.values()
    assert (task.state, task.inference_params, task.progress) == ("Done", {"temperature": 0.3}, 31)
    assert task.input_uri.startswith("bos:/qianfan-emulator/qianfan/batch_")
    assert emulator.count("DescribeBatchInferenceTask") == 3


async def test_turns_before_and_system_texts_go_along(platform: Platform, emulator: Emulator) -> None:
    dialogue = [
        {"system": "be short", "prompt": "one", "response": [["1"]]},
        {"prompt": "two", "response": [["2"]]},
    ]
    [row] = await (await new_model(platform)).abatch_inference(Dataset.create_from_pyobj([dialogue]))
    [task] = emulator.batches.values()
    bucket, key = "qianfan-emulator", task.input_uri.removeprefix("bos:/qianfan-emulator/") + "questions.jsonl"
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    sent = json.loads(emulator.read_object(bucket, key))
    assert sent == {"id": "0", "messages": [{"role": "system", "content": "be short"}, *messages]}
    assert (row["input"], row["reference"]) == (messages, "2")


async def test_a_dataset_on_the_platform_is_fetched(platform: Platform, emulator: Emulator) -> None:
    dataset = await Dataset.aload(qianfan_dataset_id=111, client=platform.client)
    result = await (await new_model(platform)).abatch_inference(dataset)
    assert result["output"] == result["reference"]
    assert len(result) == len(dataset)


async def test_a_row_without_an_answer_is_noted(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)

    async def lose_one(request: httpx.Request, pass_on: Any) -> httpx.Response:
        response = await pass_on(request)
        lines = (await response.aread()).splitlines()
        broken = json.dumps({"id": "1", "output": {"error_code": 336103, "error_msg": "too long"}}).encode()
        return httpx.Response(200, content=lines[0] + b"\n" + broken, request=request)

    questions = rows("a", "b", "c")
    network = Meddling(emulator.transport(), "questions.jsonl", lose_one, times=2)
    # The first call with this name is the upload.
    network._left = 0
    model = Model(model.set_id, model.id, client=client_for(JumpClock(), network))
    task = await model.abatch_inference(questions)
    assert "error" not in task.col_names()
    network._left = 10**6

    async def passed(request: httpx.Request, pass_on: Any) -> httpx.Response:
        return await (lose_one if request.method == "GET" else _passed)(request, pass_on)

    network._mishap = passed
    result = await model.abatch_inference(questions)
    assert [row.get("error") for row in result] == [None, "too long", "the platform gave no answer"]
    assert [row["output"] is None for row in result] == [False, True, True]


async def _passed(request: httpx.Request, pass_on: Any) -> httpx.Response:
    return await pass_on(request)


async def test_an_order_whose_answer_is_lost_is_found_again(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)
    network = Meddling(emulator.transport(), "CreateBatchInferenceTask", answering(502, b"bad gateway"))
    model = Model(model.set_id, model.id, client=client_for(JumpClock(), network))
    assert (await model.abatch_inference(rows(KNOWN)))["output"] == [SAID]
    assert (emulator.made("batch_inference"), network.attempts) == (1, 1)


async def test_an_order_that_cannot_be_found_is_not_repeated(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)
    emulator.faults.add("CreateBatchInferenceTask", status=502)
    dataset = rows(KNOWN)
    with pytest.raises(OutcomeUnknownError, match="a batch inference 'batch_"):
        await model.abatch_inference(dataset)
    with pytest.raises(OutcomeUnknownError):
        await model.abatch_inference(dataset)
    assert (emulator.made("batch_inference"), emulator.count("CreateBatchInferenceTask")) == (0, 1)


async def test_a_wait_that_was_cut_short_is_gone_on_with(platform: Platform, emulator: Emulator) -> None:
    emulator.batch_inference.script(after_looks=1, times=1)
    model, dataset = await new_model(platform), rows(KNOWN)
    with anyio.CancelScope() as scope:
        await model.abatch_inference(dataset, tell=lambda description, data: scope.cancel())
    assert emulator.made("batch_inference") == 1
    assert (await model.abatch_inference(dataset))["output"] == [SAID]
    assert emulator.made("batch_inference") == 1
    await model.abatch_inference(dataset)
    assert emulator.made("batch_inference") == 2


@pytest.mark.parametrize(("ends", "reason"), [("Failed", "out of luck"), ("Expired", "")])
async def test_ends_that_are_not_good(ends: str, reason: str, platform: Platform, emulator: Emulator) -> None:
    emulator.batch_inference.script(ends=ends, reason=reason, times=1)
    model, dataset = await new_model(platform), rows(KNOWN)
    with pytest.raises(BatchInferenceFailedError, match=f"ended as '{ends}'") as failed:
        await model.abatch_inference(dataset)
    [task] = emulator.batches
    assert (failed.value.task_id, failed.value.status, failed.value.reason) == (task, ends, reason)
    assert (await model.abatch_inference(dataset))["output"] == [SAID]


async def test_what_cannot_work_is_refused_before_anything_is_uploaded(client: Client, emulator: Emulator) -> None:
    without = client.with_settings(bos_bucket=None)
    with pytest.raises(InvalidArgumentError, match="QIANFAN_BOS_BUCKET"):
        await Model("am-1", "amv-1", client=without).abatch_inference(rows("a"))
    with pytest.raises(InvalidArgumentError, match="not published yet"):
        await Model(task_id="task-1", client=client).abatch_inference(rows("a"))
    with pytest.raises(InvalidArgumentError, match="asks nothing"):
        await Model("am-1", "amv-1", client=client).abatch_inference(Dataset.create_from_pyobj(["a text"]))
    assert not emulator.requests


def test_answers_of_either_generation() -> None:
    assert said_in("text") == ("text", "")
    assert said_in({"result": "text"}) == ("text", "")
    assert said_in({"choices": [{"message": {"content": "text"}}]}) == ("text", "")
    assert said_in({"error_code": 1, "error_msg": "no"}) == (None, "no")
    assert said_in({"error": {"message": "no"}}) == (None, "no")
    assert said_in({"odd": 1}) == said_in(3) == (None, "the answer has no known form")
    outputs = {key: {"id": key, "query": f"q{key}", "output": {"result": key}} for key in ("10", "9", "1")}
    assert [row.output for row in answered_alone(outputs)] == ["1", "9", "10"]


# --- a service -----------------------------------------------------------------------------------------------------


@faces
async def test_a_service_is_asked_row_by_row(face: str, emulator: Emulator) -> None:
    service, progress = Service(model="ERNIE-Speed-8K"), list[tuple[int, int]]()
    questions = [f"question {number}" for number in range(20)]
    result = await inferred(
        face,
        service,
        rows(*questions),
        "Tell me: {prompt}",
        "be short",
        temperature=0.4,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert result["input"] == [f"Tell me: {one}" for one in questions]
    assert all(said.endswith(asked) for asked, said in zip(result["input"], result["output"], strict=True))
    assert progress == [(done, 20) for done in range(1, 21)]
    bodies = [one.body for one in emulator.requests if one.name == "chat"]
    assert {(body["system"], body["temperature"]) for body in bodies} == {("be short", 0.4)}


async def test_a_template_may_be_a_function(emulator: Emulator) -> None:
    result = await Service(model="ERNIE-Speed-8K").abatch_inference(rows("a"), str.upper)
    assert result["input"] == ["A"]
    with pytest.raises(InvalidArgumentError, match="no place for the question"):
        await Service(model="ERNIE-Speed-8K").abatch_inference(rows("a"), "nothing")


async def test_a_row_that_fails_is_noted_and_keys_that_are_refused_end_it(emulator: Emulator) -> None:
    service = Service(model="ERNIE-Speed-8K")
    emulator.faults.add("chat", nth=2, code=336103, message="too long")
    result = await service.abatch_inference(rows("a", "b", "c"), at_once=1)
    assert [row["output"] is None for row in result] == [False, True, False]
    assert "too long" in result[1]["error"]
    emulator.faults.add("chat", times=None, code=336103, message="too long")
    with pytest.raises(Exception, match="too long"):
        await service.abatch_inference(rows("a", "b"))
    emulator.faults.clear()
    emulator.faults.add("chat", times=None, code=14, message="IAM certification failed")
    before = emulator.count("chat")
    with pytest.raises(AuthError):
        await service.abatch_inference(rows(*"abcdefgh"), at_once=2)
    assert emulator.count("chat") - before <= 4


async def test_answers_are_saved_and_loaded_as_they_are(emulator: Emulator, tmp_path: Any) -> None:
    result = await Service(model="ERNIE-Speed-8K").abatch_inference(rows("a", "b"))
    saved = await result.asave(tmp_path / "answers.jsonl")
    assert saved.to_pylist() == result.to_pylist()
    with pytest.raises(ValidationError, match="'input' is missing"):
        Dataset.create_from_pyobj([{"output": "x"}], format="answers").to_pylist()


async def test_a_place_of_ones_own(platform: Platform, emulator: Emulator) -> None:
    await (await new_model(platform)).abatch_inference(rows(KNOWN), bucket="my-bucket")
    [task] = emulator.batches.values()
    assert BosPath.parse(task.output_uri).bucket == BosPath.parse(task.input_uri).bucket == "my-bucket"


@faces
async def test_a_dataset_names_who_is_to_answer(face: str, platform: Platform, emulator: Emulator) -> None:
    model, dataset = await new_model(platform), rows(KNOWN)

    async def asked(**who: Any) -> Dataset:
        if face == "async":
            return await dataset.atest_using_llm(**who)
        return await anyio.to_thread.run_sync(lambda: dataset.test_using_llm(**who))

    assert (await asked(model_id=model.id))["output"] == [SAID]
    assert (await asked(model_version_id=model.id, temperature=0.1))["output"] == [SAID]
    assert emulator.made("batch_inference") == 2
    [preset] = (await asked(service_model="ERNIE-Speed-8K"))["output"]
    assert preset.endswith(KNOWN)
    await asked(service_endpoint="sqlcoder_7b", is_chat_service=False)
    assert emulator.requests[-1].name == "completions"
    with pytest.raises(InvalidArgumentError, match="nobody is named"):
        await asked()


async def test_keys_do_not_come_near_a_body(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)
    with pytest.raises(InvalidArgumentError, match="ak, sk: the account is that of the model's client"):
        await model.abatch_inference(rows(KNOWN), ak="MY-AK", sk="MY-SK")
    assert emulator.count("CreateBatchInferenceTask") == 0

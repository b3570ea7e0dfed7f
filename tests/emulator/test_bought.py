"""What is bought, compressed, imported, exported and counted outlives the process, and late orders are told apart."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator import Emulator
from qianfan.emulator.forms import form_of, is_form
from tests.emulator.conftest import HandClock
from tests.emulator.making import BILLING, deployed, finished_task, new_job, published
from tests.emulator.signing import Console

anyio_test = pytest.mark.anyio
HI = {"messages": [{"role": "user", "content": "hello there"}]}


async def upload(console: Console, name: str, content: bytes) -> httpx.Response:
    """A signed form with one file."""
    return await console.http.post(
        "/v2/model",
        params={"Action": "CreateModelCustomConf"},
        files={"customSpecFile": (name, content)},
        auth=console.auth,
    )


async def chat(console: Console, endpoint: str) -> dict[str, Any]:
    """One answer, asked for with a signature."""
    answer: dict[str, Any] = (await console.post(f"/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/{endpoint}", HI)).json()
    return answer


async def used(console: Console, service: str) -> list[Any]:
    span = {"startTime": "2020-01-01T00:00:00Z", "endTime": "2040-01-01T00:00:00Z"}
    found = await console.v2("service", "DescribeServiceMetric", serviceId=[service], **span)
    apps: list[Any] = found["serviceList"][0]["appList"]
    return apps


@anyio_test
async def test_everything_is_there_again(tmp_path: Path) -> None:
    compress = {"name": "c", "config": {"strategy": "Sparsity"}}
    with Emulator(data_dir=tmp_path, activate=False, engine="scripted") as first:
        first.compression.script(after_looks=1)
        first.model_exports.script(after_looks=1)
        async with Console(first) as console:
            service = await deployed(console)
            await chat(console, service["endpoint"])
            ids = {"sourceModelId": service["modelId"], "modelSetId": service["modelSetId"]}
            task = await console.v2("model", "CreateModelCompTask", **compress, **ids)
            await console.v2("model", "CreateModelExportTask", modelId=service["modelId"])
            template = (await upload(console, "chat.py", b"print('hello')")).json()["result"]["customSpecFile"]
            bought = {"model": "ERNIE-Speed-8K", "purchaseCount": 2, "billing": BILLING}
            quota = (await console.v2("charge", "PurchaseTPMResource", **bought))["instanceId"]
            counted = await used(console, service["serviceId"])
        [unit] = first.compute_units
    assert counted[0]["metric"]["callTotal"] == 1

    with Emulator(data_dir=tmp_path, activate=False, engine="scripted") as second:
        async with Console(second) as console:
            assert list(second.compute_units) == [unit]
            assert list(second.tpm_instances) == [quota]
            assert await used(console, service["serviceId"]) == counted
            states = []
            for _ in range(2):
                looked = await console.v2("model", "DescribeModelCompTask", modelCompTaskId=task)
                states.append(looked["status"])
            assert states == ["running", "succeeded"]
            for _ in range(2):
                done = await console.v2("model", "DescribeModelExportTask", modelId=service["modelId"])
            packed = io.BytesIO(second.read_object(done["bucket"], done["objectPath"]))
            about = json.loads(zipfile.ZipFile(packed).read("model.json"))
            assert about["modelId"] == service["modelId"]
            opened = await console.http.get(done["downloadUrl"])
            assert opened.content == packed.getvalue()
            await console.put("my-bucket", "mine/config.json", b"{}")
            meta = {"bucket": "my-bucket", "objectPath": "mine", "modelFormat": "Safetensors"}
            spec = {**meta, "customSpec": {"customSpecFile": template}}
            body = {"modelSetId": service["modelSetId"], "sourceType": "Import", "importMeta": spec}
            assert (await console.v2("model", "CreateCustomModel", **body))["modelId"] in second.models
            named = {"serviceId": service["serviceId"], "instanceId": unit}
            assert await console.v2("charge", "ReleaseComputeUnit", **named) is True
            assert second.services[service["serviceId"]].state == "Stopped"


@anyio_test
async def test_a_late_order_of_a_service_is_told_as_the_service(timed: Console, clock: HandClock) -> None:
    """Not as the machines that are bought with it."""
    emulator = timed.emulator
    emulator.publishing.script(seconds=0)
    set_id, model_id = await published(timed)
    emulator.faults.add("CreateService", late=5)
    body = {"modelSetId": set_id, "modelId": model_id, "name": "svc", "urlSuffix": "svc", "billing": BILLING}
    with pytest.raises(httpx.TransportError):
        await timed.v2("service", "CreateService", **body)
    assert not emulator.compute_units
    clock.seconds += 6
    [late] = emulator.late
    assert late.id in emulator.services
    assert len(emulator.compute_units) == 1


@anyio_test
async def test_deleting_what_is_compressed(console: Console) -> None:
    """A compression of what is gone fails; what it made before stays, and answers as before."""
    emulator = console.emulator
    set_id, model_id = await published(console)
    body = {"name": "c", "sourceModelId": model_id, "modelSetId": set_id, "config": {"strategy": "Sparsity"}}
    done = await console.v2("model", "CreateModelCompTask", **body)
    made = (await console.v2("model", "DescribeModelCompTask", modelCompTaskId=done))["modelId"]
    emulator.compression.script(after_looks=1)
    other = await console.v2("model", "CreateModelCompTask", **body)
    await console.v2("model", "DeleteModel", modelId=model_id)
    for _ in range(2):
        seen = await console.v2("model", "DescribeModelCompTask", modelCompTaskId=other)
    assert (seen["status"], "deleted" in seen["failedReason"]) == ("failed", True)
    service = await deployed(console, (set_id, made))
    assert (await chat(console, service["endpoint"]))["result"]
    again = {"modelSetId": set_id, "sourceType": "Train", "trainMeta": {"taskId": emulator.models[made].task_id}}
    assert (await console.v2("model", "CreateCustomModel", **again))["modelId"] in emulator.models


@anyio_test
async def test_calls_by_name_are_counted_and_those_of_other_services_are_not(console: Console) -> None:
    first = await deployed(console)
    other = await finished_task(console, job_id=await new_job(console, "other"))
    second = await deployed(console, await published(console, other, "second"))
    assert first["serviceId"] != second["serviceId"]
    await chat(console, "ernie_speed")
    await chat(console, first["endpoint"])
    assert [app["metric"]["callTotal"] for app in await used(console, first["serviceId"])] == [1]
    assert await used(console, second["serviceId"]) == []


# --- forms -------------------------------------------------------------------------------------------------------

names = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\\r\n\0', exclude_categories=["Cc", "Cs"]), min_size=1
)


@given(name=names, file=names, content=st.text(st.characters(codec="utf-8")), plain=st.text(max_size=20))
def test_a_form_is_read_as_it_was_written(name: str, file: str, content: str, plain: str) -> None:
    field = f"x{name}"
    request = httpx.Request(
        "POST", "https://form", data={field: plain}, files={name: (file, content.encode(), "text/x-python")}
    )
    content_type = request.headers["content-type"]
    assert is_form(content_type)
    read = form_of(request.read(), content_type)
    assert read == {field: plain, name: {"name": file, "content": content}}


@anyio_test
@pytest.mark.parametrize("name", ["chat.txt", "chat"])
async def test_a_chat_template_of_another_kind(console: Console, name: str) -> None:
    response = await upload(console, name, b"pass")
    assert (response.status_code, response.json()["code"]) == (400, "InappropriateJSON")
    assert "param[customSpecFile] invalid" in response.json()["message"]
    large = await upload(console, "chat.py", b"#" * 2**20)
    assert "smaller than 1 MB" in large.json()["message"]
    assert (await console.v2_refused("model", "CreateModelCustomConf"))[0] == 400


@anyio_test
async def test_bodies_that_are_no_forms(console: Console) -> None:
    for content_type, content in (
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--'),
    ):
        response = await console.http.post(
            "/v2/model",
            params={"Action": "CreateModelCustomConf"},
            content=content,
            headers={"content-type": content_type},
            auth=console.auth,
        )
        assert (response.status_code, response.json()["code"]) == (400, "MalformedJSON")

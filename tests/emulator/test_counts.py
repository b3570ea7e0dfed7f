"""What tests count: requests that came, and things that came into being."""

from __future__ import annotations

import threading

import httpx
import pytest

from qianfan.emulator import Emulator, engine_options
from qianfan.emulator.record import Log, Recorded
from qianfan.emulator.server import running
from qianfan.errors import InvalidArgumentError
from tests.emulator.making import SAMPLE, deployed, new_dataset, new_job, new_task
from tests.emulator.signing import Console, SigningAuth

pytestmark = pytest.mark.anyio


async def test_requests_count_whatever_becomes_of_them(console: Console) -> None:
    """Carried out, refused, failed on order and dropped ones."""
    emulator = console.emulator
    job_id = await new_job(console)
    await new_task(console, job_id)
    await console.v2_refused("finetuning", "CreateFineTuningTask", jobId="job-none")
    emulator.faults.add("CreateFineTuningTask", status=503)
    assert (await console.post("/v2/finetuning", Action="CreateFineTuningTask")).status_code == 503
    emulator.faults.add("CreateFineTuningTask", drop="before")
    with pytest.raises(httpx.ReadError):
        await console.post("/v2/finetuning", Action="CreateFineTuningTask")
    assert emulator.count("CreateFineTuningTask") == 4
    assert emulator.made("task") == 1


def test_counts_are_exact_beyond_what_is_kept() -> None:
    """From many threads, and more requests than the record holds."""
    log = Log()

    def add() -> None:
        for _ in range(3_000):
            log.add(Recorded("CreateFineTuningTask", "POST", "/v2/finetuning"))
            log.add(Recorded("info", "POST", "/wenxinworkshop/dataset/info"))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.recent()) == 20_000
    assert [log.count(name) for name in ("CreateFineTuningTask", "info", "dataset/info")] == [12_000] * 3
    assert log.count("v2/finetuning") == 12_000
    assert log.totals() == {"CreateFineTuningTask": 12_000, "info": 12_000}


async def test_what_was_made_and_is_gone_counts(console: Console) -> None:
    emulator = console.emulator
    kinds = ("dataset", "job", "task", "model_set", "model", "service")
    assert [emulator.made(kind) for kind in kinds] == [0] * 6
    assert list(emulator.datasets) == [SAMPLE]
    dataset_id = await new_dataset(console)
    await console.v1("dataset/delete", datasetId=dataset_id)
    job_id = await new_job(console, "gone")
    await console.v2("finetuning", "DeleteFineTuningJob", jobId=job_id)
    await deployed(console)
    assert [emulator.made(kind) for kind in kinds] == [1, 2, 1, 1, 1, 1]
    emulator.reset()
    assert [emulator.made(kind) for kind in kinds] == [0] * 6
    with pytest.raises(InvalidArgumentError, match="kind is 'jobs'"):
        emulator.made("jobs")


async def test_counts_over_http(console: Console, emulator: Emulator) -> None:
    await new_task(console)
    counts = (await console.http.get("/_emulator/counts")).json()
    assert counts["requests"] == {"CreateFineTuningJob": 1, "CreateFineTuningTask": 1}
    assert {kind: count for kind, count in counts["made"].items() if count} == {"job": 1, "task": 1}
    assert {"dataset", "model_set", "model", "service", "compression", "compute_unit"} < set(counts["made"])
    assert counts["late"] == []
    assert (await console.http.post("/_emulator/counts", json={})).status_code == 404


@pytest.mark.socket
async def test_late_and_twice_over_a_socket() -> None:
    """As another process orders and sees them."""
    job = {"name": "my_job", "model": "ERNIE-Speed-8K", "trainMode": "SFT"}
    create = "/v2/finetuning?Action=CreateFineTuningJob"
    with running(access_key="my-key", secret_key="my-secret", options=engine_options("scripted")) as served:
        auth = SigningAuth("my-key", "my-secret")
        async with httpx.AsyncClient(base_url=served.url, auth=auth) as http:
            await http.post("/_emulator/faults", json={"call": "CreateFineTuningJob", "late": 0})
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                await http.post(create, json=job)
            await http.post("/_emulator/faults", json={"call": "CreateFineTuningJob", "twice": True})
            assert (await http.post(create, json={**job, "name": "other"})).status_code == 200
            counts = (await http.get("/_emulator/counts")).json()
    [late] = counts["late"]
    assert (late["name"], late["status"], late["error"]) == ("CreateFineTuningJob", 200, "")
    assert late["id"].startswith("job-")
    assert (counts["requests"]["CreateFineTuningJob"], counts["made"]["job"]) == (2, 2)

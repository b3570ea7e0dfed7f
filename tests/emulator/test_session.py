"""`Emulator` itself: settings, registration, overview, state on disk, the fixture."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from qianfan import _local
from qianfan.emulator import Emulator, sample_path
from qianfan.errors import InvalidArgumentError, MissingExtraError
from qianfan.trainer import LLMFinetune
from tests.emulator.conftest import HandClock
from tests.emulator.making import deployed, dialogue, finished_task, imported, new_job, new_task, published
from tests.emulator.signing import Console

anyio_test = pytest.mark.anyio


def test_entering_registers_and_leaving_withdraws() -> None:
    emulator = Emulator(engine="scripted")
    assert _local.active() is None
    with emulator:
        active = _local.active()
        assert active is not None
        assert (active.base_url, active.settings["BASE_URL"]) == (emulator.base_url, emulator.base_url)
        assert _local.transport_for(emulator.base_url + "/v2/model") is not None
    assert _local.active() is None
    assert _local.transport_for(emulator.base_url) is None


def test_leaving_after_an_error_withdraws_too() -> None:
    with pytest.raises(RuntimeError, match="mine"), Emulator(engine="scripted"):
        raise RuntimeError("mine")
    assert _local.active() is None


@anyio_test
async def test_entering_asynchronously() -> None:
    async with Emulator(engine="scripted") as emulator:
        active = _local.active()
        assert active is not None
        assert active.base_url == emulator.base_url
    assert _local.active() is None


def test_two_at_once() -> None:
    with (
        Emulator(engine="scripted") as outer,
        Emulator(engine="scripted") as inner,
        Emulator(activate=False, engine="scripted") as aside,
    ):
        assert len({outer.base_url, inner.base_url, aside.base_url}) == 3
        active = _local.active()
        assert active is not None
        assert active.base_url == inner.base_url


def test_entering_twice_is_refused() -> None:
    with Emulator(engine="scripted") as emulator, pytest.raises(InvalidArgumentError, match="running already"):
        emulator.__enter__()


@pytest.mark.parametrize(("pace", "interval"), [("instant", 0.005), ("demo", 0.2), (30, 1.5), (0.1, 0.05), (3600, 2.0)])
def test_settings(pace: str | float, interval: float | None) -> None:
    emulator = Emulator(pace, access_key="my-key", secret_key="my-secret", engine="scripted")
    settings = emulator.settings
    assert (settings["ACCESS_KEY"], settings["SECRET_KEY"]) == ("my-key", "my-secret")
    assert settings["BOS_BUCKET"]
    assert {settings[f"{name}_BASE_URL"] for name in ("CONSOLE_API", "IAM", "BOS")} == {emulator.base_url}
    for name in ("IMPORT_STATUS", "TRAIN_STATUS", "MODEL_PUBLISH_STATUS", "DEPLOY_STATUS"):
        assert settings.get(f"{name}_POLLING_INTERVAL") == interval


def test_two_emulators_share_no_id() -> None:
    """What a trainer remembers of one must not be found on another."""
    ids = set()
    for _ in range(2):
        with Emulator(engine="scripted") as emulator:
            LLMFinetune("ERNIE-Speed-8K", 111).run()
            ids |= set(emulator.tasks)
    assert len(ids) == 2


def test_what_trainers_keep_stays_out_of_the_users_cache() -> None:
    with Emulator(engine="scripted"):
        trainer = LLMFinetune("ERNIE-Speed-8K", 111).run()
        assert [known["id"] for known in LLMFinetune.list()] == [trainer.id]
    # Runs that other tests kept in memory only are no concern of this one.
    assert trainer.id not in [known["id"] for known in LLMFinetune.list()]


def test_a_reset_is_written_down(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, engine="scripted") as emulator:
        LLMFinetune("ERNIE-Speed-8K", 111).run()
        emulator.reset()
    with Emulator(data_dir=tmp_path, engine="scripted") as emulator:
        assert emulator.tasks == {}


def test_bad_arguments() -> None:
    with pytest.raises(InvalidArgumentError, match="pace"):
        Emulator("soon", engine="scripted")
    with pytest.raises(InvalidArgumentError, match="empty"):
        Emulator(access_key="", secret_key="", engine="scripted")
    with pytest.raises(InvalidArgumentError, match="engine"):
        Emulator(engine="steam")


@anyio_test
async def test_overview_and_page(console: Console) -> None:
    service = await deployed(console)
    facts = (await console.http.get("/_emulator")).json()
    assert facts["simulated"] is True
    [task] = facts["jobs"][0]["tasks"]
    assert (task["runStatus"], task["simulated"], "metrics" in task) == ("Done", True, True)
    assert facts["services"][0]["serviceId"] == service["serviceId"]
    assert facts["requests"]["CreateService"] == 1
    page = await console.http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for shown in (service["serviceId"], task["taskId"], "ds-sampledataset111", "simulated"):
        assert shown in page.text
    assert "http://" not in page.text.replace(console.emulator.base_url, "")
    assert (await console.http.get("/_emulator/none")).status_code == 404


@anyio_test
async def test_the_page_escapes_names(console: Console) -> None:
    await console.v2("dataset", "CreateDataset", datasetName="<b>", dataFormat="Text", storageType="sysStorage")
    text = (await console.http.get("/")).text
    assert "<b>" not in text
    assert "&lt;b&gt;" in text


@anyio_test
async def test_looking_at_the_overview_moves_nothing(console: Console) -> None:
    task_id = await new_task(console)
    for _ in range(5):
        await console.http.get("/_emulator")
    assert console.emulator.tasks[task_id].work.looks == 0


@anyio_test
async def test_reset(console: Console) -> None:
    emulator = console.emulator
    emulator.training.script(ends="Failed")
    emulator.faults.add("CreateService", status=500, times=None)
    await new_task(console)
    emulator.reset()
    assert list(emulator.datasets) == ["ds-sampledataset111"]
    assert not emulator.jobs
    assert not emulator.requests
    assert (await deployed(console))["runStatus"] == "Serving"


@anyio_test
async def test_same_seed_same_ids_and_numbers() -> None:
    async def run(seed: int) -> Any:
        with Emulator(seed=seed, activate=False, engine="scripted") as emulator:
            async with Console(emulator) as console:
                task_id = await finished_task(console)
                task = await console.v2("finetuning", "DescribeFineTuningTask", taskId=task_id)
                return task_id, task["metrics"]

    assert await run(1) == await run(1) != await run(2)


def test_views_can_only_be_looked_at(emulator: Emulator) -> None:
    with pytest.raises(TypeError):
        emulator.datasets["x"] = None  # type: ignore[index]


def without_works(records: Mapping[str, BaseModel]) -> list[Any]:
    """Records without the start of their work, which is written down as an age and so rounded."""
    return [record.model_dump(exclude={"work", "import_work", "release_work"}) for record in records.values()]


# --- state on disk -----------------------------------------------------------------------------------------------


@anyio_test
async def test_a_later_emulator_goes_on(tmp_path: Path) -> None:
    """Everything is there again: objects, datasets, models, and a service that still answers."""
    with Emulator(data_dir=tmp_path, activate=False, engine="scripted") as first:
        async with Console(first) as console:
            dataset_id = await imported(console, dialogue(40))
            service = await deployed(console)
            job_number = max(job.number for job in first.jobs.values())
    with Emulator(data_dir=tmp_path, activate=False, engine="scripted") as second:
        for kind in ("datasets", "jobs", "tasks", "model_sets", "models", "services"):
            assert without_works(getattr(second, kind)) == without_works(getattr(first, kind))
        assert second.read_object("my-bucket", "data/rows.jsonl") == dialogue(40)
        async with Console(second) as console:
            await console.v1("dataset/release", datasetId=dataset_id)
            job_id = await new_job(console, "later")
            assert job_id not in first.jobs
            assert second.jobs[job_id].number > job_number
            row = json.loads(sample_path().read_text("utf-8").splitlines()[0])
            body = {"messages": [{"role": "user", "content": row[0]["prompt"]}]}
            said = await console.post(service["url"].removeprefix(first.base_url), body)
            assert said.json()["result"] == row[0]["response"][0][0]


@anyio_test
async def test_work_goes_on_where_it_stood(tmp_path: Path) -> None:
    """Time that passed between two emulators does not count; their clocks have different origins."""
    clock = HandClock()
    with Emulator(100, data_dir=tmp_path, activate=False, clock=clock, engine="scripted") as first:
        async with Console(first) as console:
            console.auth._now = clock.wall()
            task_id = await new_task(console)
            clock.seconds += 50
            await new_job(console, "saves the state")
    later = HandClock()
    later.seconds = 5.0
    with Emulator(100, data_dir=tmp_path, activate=False, clock=later, engine="scripted") as second:
        async with Console(second) as console:
            console.auth._now = later.wall()
            seen = []
            for seconds in (0, 50):
                later.seconds += seconds
                task = await console.v2("finetuning", "DescribeFineTuningTask", taskId=task_id)
                seen.append((task["runStatus"], task.get("runProgress")))
    assert seen == [("Running", "50%"), ("Done", None)]


@anyio_test
async def test_secrets_are_not_written(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, activate=False, engine="scripted") as emulator:
        async with Console(emulator) as console:
            await console.http.post("/oauth/2.0/token", params={"client_id": "x", "client_secret": "y"})
            await new_job(console)
        settings = emulator.settings
    text = (tmp_path / "state.json").read_text("utf-8")
    assert all(settings[name] not in text for name in ("ACCESS_KEY", "SECRET_KEY", "AK", "SK"))


@anyio_test
async def test_forgotten_content_is_cleaned_up(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, activate=False, engine="scripted") as emulator:
        async with Console(emulator) as console:
            await console.put("my-bucket", "k", b"x")
            await console.http.delete("/my-bucket/k", auth=console.auth)
    (tmp_path / "blobs" / "left-behind").write_bytes(b"x")
    with Emulator(data_dir=tmp_path, activate=False, engine="scripted") as emulator:
        used = {source.blob_key for dataset in emulator.datasets.values() for source in dataset.sources}
        assert {file.name for file in (tmp_path / "blobs").iterdir()} == used


@pytest.mark.parametrize("content", ["", "{}", '{"format": 99}', '{"format": 1, "shelves": 3}'])
def test_a_folder_with_something_else(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with (
        pytest.raises(InvalidArgumentError, match=r"state\.json holds no state"),
        Emulator(data_dir=tmp_path, engine="scripted"),
    ):
        pass
    assert _local.active() is None


# --- the fixture and the imports ---------------------------------------------------------------------------------


def test_the_fixture(qianfan_emulator: Emulator) -> None:
    active = _local.active()
    assert active is not None
    assert active.base_url == qianfan_emulator.base_url
    assert qianfan_emulator.pace == "instant"


def test_the_plugin_imports_nothing_heavy() -> None:
    """Every pytest run of everyone who has qianfan installed loads it."""
    code = (
        "import sys, pytest; before = set(sys.modules); import qianfan.emulator.pytest_plugin;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["qianfan"]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """In process nothing is missing; a socket or an ASGI application needs the extra, and says so."""
    from qianfan.emulator.server import serve

    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "qianfan.emulator.uvicorn_parts", raising=False)
    monkeypatch.setitem(sys.modules, "starlette.requests", None)
    monkeypatch.delitem(sys.modules, "qianfan.emulator.app", raising=False)
    with (
        Emulator(engine="scripted") as emulator,
        pytest.raises(MissingExtraError, match=r"pip install 'qianfan\[emulator\]'"),
    ):
        _ = emulator.app
    with pytest.raises(MissingExtraError, match=r"pip install 'qianfan\[emulator\]'"):
        serve(port=0)


@anyio_test
async def test_published_helper_gives_ids(console: Console) -> None:
    set_id, model_id = await published(console)
    assert model_id in console.emulator.model_sets[set_id].model_ids

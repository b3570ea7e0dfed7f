"""Runs of a trainer: results, status, failures, stops, resumes, interrupts."""

from __future__ import annotations

import errno
import io
import itertools
import json
import math
import signal
import sys
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from trio.testing import MockClock

from qianfan.emulator import Emulator
from qianfan.errors import (
    ActionTimeoutError,
    InternalError,
    InvalidArgumentError,
    OutcomeUnknownError,
    PipelineChanged,
    ServiceDeployFailedError,
    TrainJobFailedError,
)
from qianfan.pipeline import ActionState, Event
from qianfan.trainer import DeployConfig, LLMFinetune
from qianfan.trainer.consts import ServiceStatus, TrainStatus
from tests.support.transport import Meddling, Passing

pytestmark = pytest.mark.anyio

MODEL = "ERNIE-Speed-8K"
CHAT = DeployConfig(service_type="Chat")


async def drive(face: str, trainer: LLMFinetune, method: str = "run", **settings: Any) -> LLMFinetune:
    """Call a method of a trainer on one of its two faces."""
    if face == "async":
        return await getattr(trainer, "a" + method)(**settings)
    return await anyio.to_thread.run_sync(lambda: getattr(trainer, method)(**settings))


faces = pytest.mark.parametrize("face", ["sync", "async"])


@faces
async def test_a_run_returns_the_trainer_and_the_union_of_results(face: str, emulator: Emulator) -> None:
    trainer = LLMFinetune(MODEL, 111, deploy_config=CHAT)
    assert trainer.result == [None]
    assert trainer.status is TrainStatus.Unknown
    assert await drive(face, trainer) is trainer
    [result] = trainer.result
    assert result is trainer.output
    assert result["model_version_id"] == result["model_id"] in emulator.models
    assert result["model_set_id"] in emulator.model_sets
    assert result["service_id"] in emulator.services
    assert trainer.train_action.task_id == result["task_id"]
    assert trainer.train_action.job_id == result["job_id"]
    assert trainer.status is ServiceStatus.Deployed
    assert trainer.status == "Deployed"
    plain = {key: value for key, value in result.items() if key not in ("model", "service")}
    assert json.loads(json.dumps(plain)) == plain
    assert "TrainResult" in str(result)


@faces
async def test_status_inside_a_handler_is_that_of_its_event(face: str, emulator: Emulator) -> None:
    seen: list[tuple[str, str, str]] = []

    def note(event: Event) -> None:
        if event.action_id != trainer.ppls[0].id:
            seen.append((event.action_class.__name__, event.action_state.value, trainer.status.value))

    trainer = LLMFinetune(MODEL, 111, deploy_config=CHAT, event_handler=note)
    await drive(face, trainer)
    assert list(dict.fromkeys(seen)) == [
        ("LoadDataSetAction", "Preceding", "DatasetLoading"),
        ("LoadDataSetAction", "Done", "DatasetLoaded"),
        ("TrainAction", "Preceding", "TrainCreated"),
        ("TrainAction", "Running", "Training"),
        ("TrainAction", "Done", "TrainFinished"),
        ("ModelPublishAction", "Preceding", "ModelPublishing"),
        ("ModelPublishAction", "Running", "ModelPublishing"),
        ("ModelPublishAction", "Done", "ModelPublished"),
        ("DeployAction", "Preceding", "Created"),
        ("DeployAction", "Running", "Deploying"),
        ("DeployAction", "Done", "Deployed"),
    ]


@faces
async def test_a_second_run_returns_the_result_and_force_starts_anew(
    face: str, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = LLMFinetune(MODEL, 111)
    await drive(face, trainer)
    first = trainer.result[0]
    await drive(face, trainer)
    assert trainer.result[0] is first
    assert "has run already" in caplog.text
    assert emulator.count("CreateFineTuningTask") == 1
    await drive(face, trainer, force=True)
    assert emulator.count("CreateFineTuningTask") == 2
    assert trainer.result[0]["task_id"] != first["task_id"]


@faces
async def test_a_failed_job_names_itself_and_is_not_repeated_by_itself(face: str, emulator: Emulator) -> None:
    emulator.training.script(ends="Failed", reason="loss is NaN", times=1)
    trainer = LLMFinetune(MODEL, 111)
    with pytest.raises(TrainJobFailedError, match="loss is NaN") as failed:
        await drive(face, trainer)
    assert failed.value.task_id in emulator.tasks
    assert failed.value.status == "Failed"
    assert trainer.result[0] == {"error": failed.value}
    assert trainer.status is TrainStatus.TrainFailed

    with pytest.raises(TrainJobFailedError, match="resubmit=True"):
        await drive(face, trainer, "resume")
    assert emulator.count("CreateFineTuningTask") == 1

    await drive(face, trainer, "resume", resubmit=True)
    assert emulator.count("CreateFineTuningTask") == 2
    assert trainer.result[0]["model_id"]


@faces
async def test_resume_after_a_failed_step_keeps_the_finished_ones(face: str, emulator: Emulator) -> None:
    emulator.faults.add("publishTrainModel", code=21002, message="not publishable")
    trainer = LLMFinetune(MODEL, 111)
    with pytest.raises(Exception, match="not publishable"):
        await drive(face, trainer)
    assert trainer.status is TrainStatus.ModelPublishFailed
    assert trainer.made_so_far["task_id"] in emulator.tasks
    await drive(face, trainer, "resume")
    assert trainer.result[0]["model_id"] in emulator.models
    assert emulator.count("CreateFineTuningTask") == 1
    assert emulator.count("publishTrainModel") == 2


async def test_resume_on_a_fresh_trainer_is_run(emulator: Emulator) -> None:
    trainer = await LLMFinetune(MODEL, 111).aresume()
    assert trainer.result[0]["model_id"] in emulator.models


@pytest.mark.parametrize("broken", ["publishing", "deployment"])
async def test_resubmitting_a_later_step_keeps_the_training(broken: str, emulator: Emulator) -> None:
    ends = {"publishing": "Fail", "deployment": "Failed"}[broken]
    getattr(emulator, broken).script(ends=ends, times=1)
    trainer = LLMFinetune(MODEL, 111, deploy_config=CHAT)
    with pytest.raises(InternalError, match=ends):
        await trainer.arun()
    await trainer.aresume(resubmit=True)
    assert len(emulator.tasks) == 1
    assert trainer.result[0]["service_id"] in emulator.services


async def test_what_is_loaded_talks_through_the_given_account_and_knows_its_service(emulator: Emulator) -> None:
    from qianfan import Client

    first = await LLMFinetune(MODEL, 111, deploy_config=CHAT).arun()
    client = Client()
    loaded = await LLMFinetune.aload(first.id, client=client)
    model, service = loaded.result[0]["model"], loaded.result[0]["service"]
    assert model._platform.client is client
    assert await model.adeploy(CHAT) is service
    assert len(emulator.services) == 1


async def test_a_trainer_of_the_same_id_goes_on_and_orders_nothing_again(emulator: Emulator) -> None:
    first = await LLMFinetune(MODEL, 111, id="nightly").arun()
    second = await LLMFinetune(MODEL, 111, id="nightly").arun()
    assert second.result[0]["task_id"] == first.result[0]["task_id"]
    assert len(emulator.tasks) == 1
    with pytest.raises(PipelineChanged, match="other actions or parameters"):
        await LLMFinetune(MODEL, 111, {"epoch": 2}, id="nightly").arun()
    assert len(emulator.tasks) == 1


async def test_saving_in_mid_run_carries_what_is_known(emulator: Emulator, tmp_path: Any) -> None:
    kept: list[Any] = []

    async def save(event: Event) -> None:
        path = await trainer.asave(tmp_path / f"{event.sequence}.json")
        kept.append(json.loads(path.read_text())["rows"])

    trainer = LLMFinetune(MODEL, 111, event_handler=save)
    await trainer.arun()
    assert all(len(later) >= len(earlier) for earlier, later in itertools.pairwise(kept))
    assert any(node.endswith(".task") and row["external_id"] for node, row in kept[-1].items())


async def test_a_refused_look_on_resume_does_not_forget_the_order(emulator: Emulator) -> None:
    """Keys that may not list say nothing about whether the earlier order arrived."""
    emulator.faults.add("CreateFineTuningTask", drop="after")
    emulator.faults.add("DescribeFineTuningTasks", times=2, status=403, code="AccessDenied", message="no")
    trainer = LLMFinetune(MODEL, 111, client=_quick())
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError, match="looking for it is refused"):
            await trainer.aresume()
    await trainer.aresume()
    assert len(emulator.tasks) == 1


def test_a_handler_that_leaves_the_program_leaves_only_itself(emulator: Emulator) -> None:
    def leave(event: Event) -> None:
        sys.exit(3)

    for _ in range(2):
        assert LLMFinetune(MODEL, 111, event_handler=leave).run().result[0]["model_id"] in emulator.models


@faces
async def test_stop_from_a_handler_stops_the_remote_task(face: str, emulator: Emulator) -> None:
    emulator.training.script(after_looks=math.inf)
    events: list[Event] = []

    def stop(event: Event) -> None:
        events.append(event)
        if event.action_state is ActionState.Running and event.action_id == trainer.train_action.id:
            trainer.stop()

    trainer = LLMFinetune(MODEL, 111, event_handler=stop)
    assert await drive(face, trainer) is trainer
    [task] = emulator.tasks.values()
    assert task.state == "Stopped"
    assert emulator.count("StopFineTuningTask") == 1
    assert trainer.status is TrainStatus.TrainStopped
    assert [(event.action_class.__name__, event.action_state.value) for event in events[-2:]] == [
        ("TrainAction", "Stopped"),
        ("Pipeline", "Stopped"),
    ]
    assert set(trainer.result[0]) == {"datasets"}


async def test_stop_from_another_task_and_twice(emulator: Emulator) -> None:
    emulator.training.script(after_looks=math.inf)
    training = anyio.Event()

    async def hear(event: Event) -> None:
        if event.action_state is ActionState.Running and event.progress is not None:
            training.set()

    trainer = LLMFinetune(MODEL, 111, event_handler=hear)
    async with anyio.create_task_group() as group:
        group.start_soon(trainer.arun)
        await training.wait()
        await trainer.astop()
        assert not trainer.is_running
        await trainer.astop()
    assert emulator.count("StopFineTuningTask") == 1


async def test_stop_before_and_after_a_run_does_nothing(emulator: Emulator) -> None:
    trainer = LLMFinetune(MODEL, 111)
    assert trainer.stop() is trainer
    await trainer.arun()
    await trainer.astop()
    assert emulator.count("StopFineTuningTask") == 0
    assert trainer.status is TrainStatus.ModelPublished


async def test_a_task_stopped_from_elsewhere_is_an_error(emulator: Emulator) -> None:
    emulator.training.script(ends="Stopped")
    with pytest.raises(TrainJobFailedError, match="'Stopped'"):
        await LLMFinetune(MODEL, 111).arun()


@pytest.mark.parametrize(("on_interrupt", "state"), [("detach", "Running"), ("stop", "Stopped")])
async def test_cancelling_the_task_detaches_or_stops(on_interrupt: Any, state: str, emulator: Emulator) -> None:
    emulator.training.script(after_looks=math.inf)
    training = anyio.Event()

    async def hear(event: Event) -> None:
        if event.progress is not None:
            training.set()

    trainer = LLMFinetune(MODEL, 111, event_handler=hear)
    async with anyio.create_task_group() as group:

        async def go() -> None:
            await trainer.arun(on_interrupt=on_interrupt)

        group.start_soon(go)
        await training.wait()
        group.cancel_scope.cancel()
    [task] = emulator.tasks.values()
    assert task.state == state


@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
@pytest.mark.parametrize("on_interrupt", ["detach", "stop"])
async def test_a_timeout_leaves_the_job_and_resume_comes_back_to_it(on_interrupt: Any, emulator: Emulator) -> None:
    """The loop's clock jumps, so the hour passes at once; nothing here may use a thread."""
    from qianfan import Client
    from qianfan.config import default_settings

    emulator.training.script(after_looks=math.inf)
    settings = default_settings().replace(disable_cache=True, train_status_polling_interval=30)
    trainer = LLMFinetune(MODEL, 111, client=Client(settings))
    with pytest.raises(ActionTimeoutError, match=r"goes on. resume\(\) comes back"):
        await trainer.arun(timeout=3600, on_interrupt=on_interrupt)
    [task] = emulator.tasks.values()
    assert task.state == "Running"
    assert trainer.info()["left_running"]
    task.work.after_looks = 0
    await trainer.aresume()
    assert emulator.count("CreateFineTuningTask") == 1
    assert trainer.result[0]["task_id"] == task.id


def test_start_and_wait(emulator: Emulator) -> None:
    trainer = LLMFinetune(MODEL, 111).start()
    assert trainer.wait() is trainer
    assert trainer.result[0]["model_id"] in emulator.models
    assert trainer.wait(timeout=0) is trainer


def test_stop_right_after_start(emulator: Emulator) -> None:
    """The run may not have begun yet; it is stopped all the same."""
    emulator.training.script(after_looks=math.inf)
    trainer = LLMFinetune(MODEL, 111).start().stop()
    trainer.wait()
    assert "model_id" not in trainer.result[0]
    assert [task.state for task in emulator.tasks.values()] in ([], ["Stopped"])
    assert not trainer.is_running


async def test_two_runs_of_one_trainer_at_once_are_refused(emulator: Emulator) -> None:
    """From two tasks, from start() and run(), and with force: nothing is ordered twice, and nothing is forgotten."""
    emulator.training.script(after_looks=math.inf)
    trainer = LLMFinetune(MODEL, 111)
    refused: list[InternalError] = []

    async def go() -> None:
        try:
            await trainer.arun()
        except InternalError as error:
            refused.append(error)
            with pytest.raises(InternalError):
                await trainer.arun(force=True)
            with pytest.raises(InternalError):
                await trainer.aresume(resubmit=True)
            with pytest.raises(InternalError):
                trainer.start()
            trainer.stop()

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        group.start_soon(go)
    assert len(refused) == 1
    assert len(emulator.jobs) <= 1
    assert not trainer.is_running


def test_wait_with_a_limit(emulator: Emulator) -> None:
    emulator.training.script(after_looks=math.inf)
    started = threading.Event()
    trainer = LLMFinetune(MODEL, 111, event_handler=lambda event: started.set() if event.progress is not None else None)
    trainer.start()
    assert started.wait(10)
    with pytest.raises(TimeoutError, match="is not over"):
        trainer.wait(timeout=0.01)
    with pytest.raises(InternalError, match="running already"):
        trainer.start()
    trainer.stop()
    trainer.wait()


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("make_stderr", [Gone, _closed, lambda: None], ids=["gone", "closed", "none"])
@pytest.mark.parametrize(("on_interrupt", "state"), [("detach", "Running"), ("stop", "Stopped")])
def test_an_interrupt_does_its_work_although_nobody_can_be_told(
    on_interrupt: Any, state: str, make_stderr: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.training.script(after_looks=math.inf)
    interrupts = itertools.count()

    def interrupt(event: Event) -> None:
        if event.progress is not None and next(interrupts) == 0:
            signal.raise_signal(signal.SIGINT)

    trainer = LLMFinetune(MODEL, 111, event_handler=interrupt)
    monkeypatch.setattr(sys, "stderr", make_stderr())
    with pytest.raises(KeyboardInterrupt) as caught:
        trainer.run(on_interrupt=on_interrupt)
    assert caught.value.__cause__ is None
    [task] = emulator.tasks.values()
    assert task.state == state
    assert not trainer.is_running


def test_wait_raises_what_the_run_raised(emulator: Emulator) -> None:
    emulator.training.script(ends="Failed")
    with pytest.raises(TrainJobFailedError):
        LLMFinetune(MODEL, 111).start().wait()


async def test_a_stream_of_events(emulator: Emulator) -> None:
    trainer = LLMFinetune(MODEL, 111)
    states = [event.action_state async for event in trainer.astream() if event.action_id == trainer.ppls[0].id]
    assert states[0] is ActionState.Preceding
    assert states[-1] is ActionState.Done
    assert trainer.result[0]["model_id"] in emulator.models


async def test_a_stream_raises_the_runs_error_after_its_events(emulator: Emulator) -> None:
    emulator.training.script(ends="Failed")
    states: list[ActionState] = []
    with pytest.raises(TrainJobFailedError):
        async for event in LLMFinetune(MODEL, 111).astream():
            states.append(event.action_state)
    assert states[-2:] == [ActionState.Error] * 2


async def test_leaving_a_stream_early_detaches(emulator: Emulator) -> None:
    emulator.training.script(after_looks=math.inf)
    async with aclosing(LLMFinetune(MODEL, 111).astream()) as events:
        async for event in events:
            if event.progress is not None:
                break
    [task] = emulator.tasks.values()
    assert task.state == "Running"


async def test_a_service_that_fails_is_named(emulator: Emulator) -> None:
    emulator.deployment.script(ends="Failed")
    trainer = LLMFinetune(MODEL, 111, deploy_config=CHAT)
    with pytest.raises(ServiceDeployFailedError, match="'Failed'") as failed:
        await trainer.arun()
    assert failed.value.service_id in emulator.services
    assert trainer.status is ServiceStatus.DeployFailed


async def test_a_raising_handler_does_not_disturb_and_can_be_made_to(emulator: Emulator) -> None:
    def bad(event: Event) -> None:
        raise RuntimeError("handler trouble")

    await LLMFinetune(MODEL, 111, event_handler=bad).arun()
    with pytest.raises(RuntimeError, match="handler trouble"):
        await LLMFinetune(MODEL, 111, event_handler=bad).arun(handler_errors="raise")


async def test_handlers_registered_later_and_for_one_action(emulator: Emulator) -> None:
    everything: list[Event] = []
    some: list[Event] = []
    trainer = LLMFinetune(MODEL, 111)
    trainer.register_event_handler(everything.append)
    trainer.register_event_handler(some.append, action_id=trainer.train_action.id)
    await trainer.arun()
    assert some
    assert some == [event for event in everything if event.action_id == trainer.train_action.id]


async def test_looks_ride_through_trouble(emulator: Emulator) -> None:
    """Dropped connections, 5xx and rate limits while waiting do not end a run."""
    emulator.faults.add("DescribeFineTuningTask", nth=1, drop="before")
    emulator.faults.add("DescribeFineTuningTask", nth=2, status=502, body="<html>bad gateway</html>")
    emulator.faults.add("DescribeFineTuningTask", nth=3, status=429, code="TooManyRequests", message="slow down")
    trainer = LLMFinetune(MODEL, 111, client=_quick())
    await trainer.arun()
    assert trainer.result[0]["model_id"] in emulator.models


@pytest.mark.parametrize("call", ["CreateFineTuningJob", "CreateFineTuningTask", "publishTrainModel", "CreateService"])
async def test_a_paid_call_whose_answer_is_lost_is_found_not_repeated(call: str, emulator: Emulator) -> None:
    emulator.faults.add(call, drop="after")
    trainer = LLMFinetune(MODEL, 111, deploy_config=CHAT, client=_quick())
    await trainer.arun()
    assert emulator.count(call) == 1
    made = (len(emulator.jobs), len(emulator.tasks), len(emulator.models), len(emulator.services))
    assert made == (1, 1, 1, 1)


@pytest.mark.parametrize("call", ["CreateFineTuningJob", "publishTrainModel"])
async def test_a_free_call_without_effect_is_repeated_after_looking(call: str, emulator: Emulator) -> None:
    emulator.faults.add(call, drop="before")
    await LLMFinetune(MODEL, 111, deploy_config=CHAT, client=_quick()).arun()
    assert emulator.count(call) == 2
    assert (len(emulator.jobs), len(emulator.tasks), len(emulator.models), len(emulator.services)) == (1, 1, 1, 1)


@pytest.mark.parametrize("call", ["CreateFineTuningTask", "CreateService"])
async def test_a_paid_call_without_effect_is_not_repeated_blindly_either(call: str, emulator: Emulator) -> None:
    """Nothing shows up, so the run is held until a person has decided."""
    emulator.faults.add(call, drop="before")
    trainer = LLMFinetune(MODEL, 111, deploy_config=CHAT, client=_quick())
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError, match="was not ordered again"):
            await trainer.aresume()
    assert emulator.count(call) == 1
    [known] = await LLMFinetune.alist()
    assert known["run_status"] == "held"
    assert len(known["needs_decision"]) == 1
    assert await LLMFinetune.adecide(trainer.id, resubmit=True) == [trainer.id]
    await trainer.aresume()
    assert emulator.count(call) == 2
    assert (len(emulator.jobs), len(emulator.tasks), len(emulator.models), len(emulator.services)) == (1, 1, 1, 1)


@pytest.mark.parametrize("on_cancel", ["stop", "detach"])
async def test_an_order_that_is_on_its_way_is_not_lost_by_stopping(on_cancel: str, emulator: Emulator) -> None:
    """Its answer is waited for, so that the task is known, and stopped if that was asked for."""
    from qianfan import Client

    emulator.training.script(after_looks=math.inf)
    arrived, go_on = anyio.Event(), anyio.Event()

    async def hold(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        response = await pass_on(request)
        arrived.set()
        await go_on.wait()
        return response

    transport = Meddling(emulator.transport(), "CreateFineTuningTask", hold)
    trainer = LLMFinetune(MODEL, 111, client=Client(transport=transport))
    async with anyio.create_task_group() as group:
        group.start_soon(trainer.arun)
        await arrived.wait()
        trainer._flight.stop(on_cancel)
        go_on.set()
    [task] = emulator.tasks.values()
    assert task.state == ("Stopped" if on_cancel == "stop" else "Running")
    assert trainer.info()["task_id"] == task.id


async def test_what_exists_is_listed_before_the_end(emulator: Emulator) -> None:
    """So it is after a crash as well: nothing has to be written at the end."""
    listed: list[dict[str, Any]] = []

    async def look(event: Event) -> None:
        if event.action_class.__name__ == "DeployAction" and event.action_state is ActionState.Preceding:
            listed.extend(await LLMFinetune.alist())

    emulator.deployment.script(after_looks=3)
    trainer = await LLMFinetune(MODEL, 111, deploy_config=CHAT, event_handler=look).arun()
    [known] = listed
    assert known["id"] == trainer.id
    for key in ("job_id", "task_id", "model_id", "model_set_id"):
        assert known["ids"][key] == trainer.output[key]


async def test_nothing_is_uploaded_for_a_run_that_the_platform_will_refuse(emulator: Emulator, tmp_path: Any) -> None:
    from qianfan.errors import ValidationError

    rows = "".join(json.dumps([{"prompt": f"q{n}", "response": [[f"a{n}"]]}]) + "\n" for n in range(40))
    (tmp_path / "rows.jsonl").write_text(rows)
    with pytest.raises(ValidationError, match="epoch"):
        await LLMFinetune(MODEL, tmp_path / "rows.jsonl", {"epoch": 999, "peft_type": "LoRA"}).arun()
    assert emulator.buckets == {}


def _quick() -> Any:
    """A client whose waits take no time."""
    from qianfan import Client
    from tests.support.clock import JumpClock

    return Client(clock=JumpClock())


# --- across processes -------------------------------------------------------------------------------------------


@faces
async def test_another_process_goes_on_where_one_ended(face: str, emulator: Emulator) -> None:
    emulator.training.script(after_looks=math.inf)
    training = anyio.Event()

    async def hear(event: Event) -> None:
        if event.progress is not None:
            training.set()

    first = LLMFinetune(MODEL, 111, {"epoch": 3, "peft_type": "LoRA"}, CHAT, hear, name="night")
    async with anyio.create_task_group() as group:
        group.start_soon(first.arun)
        await training.wait()
        group.cancel_scope.cancel()
    [task] = emulator.tasks.values()
    task.work.after_looks = 0

    assert [about["id"] for about in LLMFinetune.list()] == [first.id]
    loaded = await LLMFinetune.aload(first.id)
    assert loaded.train_action.train_config.epoch == 3
    assert loaded.name == "night"
    assert loaded.status is TrainStatus.TrainStopped
    await drive(face, loaded, "resume")
    assert loaded.result[0]["task_id"] == task.id
    assert loaded.result[0]["service"].id in emulator.services
    assert emulator.count("CreateFineTuningTask") == 1

    again = await LLMFinetune.aload(first.id)
    assert again.status is ServiceStatus.Deployed
    answer = await again.result[0]["service"].aexec({"messages": [{"role": "user", "content": "hi"}]})
    assert answer["result"]


async def test_save_and_load_a_file(emulator: Emulator, tmp_path: Any) -> None:
    trainer = LLMFinetune(MODEL, 111, eval_split_ratio=5)
    path = await trainer.asave(tmp_path / "t.json")
    loaded = await LLMFinetune.aload(file=path)
    await loaded.arun()
    assert loaded.result[0]["datasets"]["splitRatio"] == 5
    await loaded.asave(tmp_path / "done.json")
    done = await LLMFinetune.aload(file=tmp_path / "done.json")
    assert done.result[0]["model_id"] == loaded.result[0]["model_id"]
    assert emulator.count("CreateFineTuningTask") == 1


async def test_state_files_hold_no_secret(emulator: Emulator) -> None:
    trainer = LLMFinetune(MODEL, 111, deploy_config=CHAT)
    path = await trainer.asave()
    await trainer.arun()
    text = path.read_text()
    for name in ("ACCESS_KEY", "SECRET_KEY", "AK", "SK"):
        assert emulator.settings[name] not in text
    assert path.stat().st_mode & 0o077 == 0


async def test_without_a_cache_everything_but_coming_back_works(emulator: Emulator, monkeypatch: Any) -> None:
    monkeypatch.setenv("QIANFAN_DISABLE_CACHE", "true")
    trainer = await LLMFinetune(MODEL, 111).arun()
    assert trainer.output["model_id"] in emulator.models
    assert [known["status"] for known in LLMFinetune.list() if known["id"] == trainer.id] == ["ModelPublished"]
    assert not list(Path(emulator.settings["CACHE_DIR"]).iterdir())  # noqa: ASYNC240


async def test_an_unusable_cache_folder_is_said_once(
    emulator: Emulator, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from qianfan import Client
    from qianfan.config import default_settings

    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    client = Client(default_settings().replace(cache_dir=blocked))
    trainer = await LLMFinetune(MODEL, 111, client=client).arun()
    assert trainer.output["model_id"] in emulator.models
    assert len([record for record in caplog.records if "no journal can be kept" in record.getMessage()]) == 1


@pytest.mark.parametrize("id", ["nobody", "../../etc/passwd"])
async def test_loading_an_unknown_trainer_says_so(id: str) -> None:
    with pytest.raises(InvalidArgumentError, match="trainer list"):
        await LLMFinetune.aload(id)


# --- more than one thing to train on ---------------------------------------------------------------------------


async def test_incremental_training_goes_on_in_the_same_job(emulator: Emulator) -> None:
    config = {"peft_type": "ALL"}
    first = await LLMFinetune(MODEL, 111, config).arun()
    second = await LLMFinetune(MODEL, 111, config, previous_trainer=first).arun()
    third = await LLMFinetune(dataset=111, train_config=config, previous_task_id=second.result[0]["task_id"]).arun()
    assert len(emulator.jobs) == 1
    assert len(emulator.tasks) == 3
    assert emulator.tasks[third.result[0]["task_id"]].base_task_id == second.result[0]["task_id"]


async def test_extras_descriptions_and_resources_are_sent(emulator: Emulator) -> None:
    from qianfan.trainer import CorpusConfig, CorpusConfigItem, ResourceConfig

    await LLMFinetune(
        MODEL,
        111,
        corpus_config=CorpusConfig(corpus_configs=[CorpusConfigItem(corpus_type=1, corpus_proportion="1%")]),
        resource_config=ResourceConfig(node_num=2),
        train_extras={"somethingNew": 1},
        job_description="why",
        sampling_rate=0.5,
        model_not_publish=True,
    ).arun()
    [task] = [request.body for request in emulator.requests if request.name == "CreateFineTuningTask"]
    assert task["resourceConfig"] == {"nodeNum": 2}
    assert task["corpusConfig"]["config"][0]["corpusType"] == 1
    assert task["somethingNew"] == 1
    assert task["datasetConfig"]["versions"][0]["samplingRate"] == 0.5
    [job] = [request.body for request in emulator.requests if request.name == "CreateFineTuningJob"]
    assert job["description"].startswith("why qf:")
    assert emulator.models == {}

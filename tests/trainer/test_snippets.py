"""The documented snippets, as users have them: blocking, awaited, and inside a running event loop."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import anyio
import pytest

from qianfan.emulator import Emulator
from qianfan.pipeline import ActionState
from qianfan.trainer import LLMFinetune

pytestmark = pytest.mark.anyio

QUICK_START = """
import os

os.environ["QIANFAN_ACCESS_KEY"] = "your-access-key"
os.environ["QIANFAN_SECRET_KEY"] = "your-secret-key"

from qianfan.dataset import Dataset
from qianfan.trainer import LLMFinetune

# An annotated dataset of non-sorted conversations.
ds = Dataset.load(qianfan_dataset_id=111, is_download_to_local=False)
ds

trainer = LLMFinetune(
    train_type="ERNIE-Bot-turbo-0725",
    dataset=ds,
)
trainer.run()
"""

LOGGING = """
import logging
from qianfan.utils.logging import enable_log

enable_log(logging.DEBUG)
"""

PARAMETERS = """
from qianfan.trainer import LLMFinetune
from qianfan.trainer.configs import TrainConfig

trainer = LLMFinetune(
    train_type="ERNIE-Bot-turbo-0516",
    dataset=ds,
    train_config=TrainConfig(
        epochs=1,
        batch_size=32,
        learning_rate=0.00002,
    ),
)
trainer.run()
"""

EVENTS = """
from qianfan.trainer.consts import ActionState
from qianfan.trainer.event import Event, EventHandler
from qianfan.trainer import LLMFinetune
from qianfan.trainer.configs import TrainConfig

class MyEventHandler(EventHandler):
    events: list[Event] = []

    def dispatch(self, event: Event) -> None:
        print("receive:<", event)
        self.events.append(event)
        if event.action_state == ActionState.Preceding:
            print("it starts")

eh = MyEventHandler()

trainer = LLMFinetune(
    train_type="Llama-2-13b",
    dataset=ds,
    train_config=TrainConfig(
        epochs=1,
        batch_size=1,
        learning_rate=0.00002,
    ),
    event_handler=eh,
)
trainer.run()
"""

DEPLOY = """
from qianfan.trainer.configs import DeployConfig
from qianfan.trainer.consts import ServiceType
from qianfan.resources.console import consts as console_consts
from qianfan.trainer import LLMFinetune

deploy_config = DeployConfig(
    name="sdk_test",
    endpoint_prefix="sft1",
    replicas=1,
    pool_type=console_consts.DeployPoolType.PrivateResource,
    service_type=ServiceType.Chat,
)

trainer = LLMFinetune(
    train_type="ERNIE-Bot-turbo-0725",
    dataset=ds,
    deploy_config=deploy_config,
)
trainer.run()

ft_res = trainer.result[0]
chat_comp_args = {"messages": [{"content": "hi", "role": "user"}]}
answer = ft_res["service"].exec(chat_comp_args)
"""

SNIPPETS = [QUICK_START, LOGGING, PARAMETERS, EVENTS, DEPLOY]


def play(snippets: list[str]) -> dict[str, Any]:
    """Run snippets one after the other, as the cells of a notebook share their names."""
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, "<snippet>", "exec"), names)
    return names


async def play_awaited(snippets: list[str]) -> dict[str, Any]:
    """The same with the async twins: run → await arun, load → await aload, exec → await aexec."""
    names: dict[str, Any] = {}
    for snippet in snippets:
        for blocking, awaited in (
            ("trainer.run()", "await trainer.arun()"),
            ("Dataset.load(", "await Dataset.aload("),
            ('ft_res["service"].exec(', 'await ft_res["service"].aexec('),
        ):
            snippet = snippet.replace(blocking, awaited)
        code = compile(snippet, "<snippet>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if inspect.CO_COROUTINE & code.co_flags:
            await eval(code, names)
        else:
            exec(code, names)
    return names


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    import logging

    for name in ("QIANFAN_ACCESS_KEY", "QIANFAN_SECRET_KEY"):
        monkeypatch.setenv(name, "replaced by the snippet")
    logger = logging.getLogger("qianfan")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


def check(names: dict[str, Any], emulator: Emulator) -> None:
    assert emulator.count("CreateFineTuningTask") == 4
    bodies = [request.body for request in emulator.requests if request.name == "CreateFineTuningTask"]
    parameters = bodies[1]["hyperParameterConfig"]
    assert (parameters["epoch"], parameters["batchSize"], parameters["learningRate"]) == (1, 32, 2e-5)
    parameters = bodies[2]["hyperParameterConfig"]
    assert (parameters["epoch"], parameters["batchSize"]) == (1, 1)
    assert bodies[2]["parameterScale"] == "LoRA"

    assert names["answer"]["result"]
    [service] = [request.body for request in emulator.requests if request.name == "CreateService"]
    assert service["urlSuffix"] == "sft1"
    assert service["resourceConfig"]["replicasCount"] == 1
    result = names["ft_res"]
    assert isinstance(result, dict)
    assert set(result) >= {
        "datasets", "task_id", "job_id", "metrics", "checkpoints", "model_id", "model_version_id", "model_set_id",
        "model", "service_id", "service_endpoint", "service",
    }  # fmt: skip
    assert result.service is result["service"]


def test_blocking(emulator: Emulator) -> None:
    check(play(SNIPPETS), emulator)


async def test_awaited(emulator: Emulator) -> None:
    check(await play_awaited(SNIPPETS), emulator)


async def test_blocking_inside_a_running_loop(emulator: Emulator) -> None:
    """As in a notebook, whose cells run inside its event loop."""
    check(play(SNIPPETS), emulator)


def test_printed_events(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    names = play([QUICK_START, EVENTS])
    trainer, events = names["trainer"], names["eh"].events
    load, train, publish = trainer.actions
    pipeline = trainer.ppls[0]
    looks = emulator.count("DescribeFineTuningTask") // 2 - 1  # each trainer looks once more before it publishes
    expected = [
        (pipeline, "Preceding"),
        (pipeline, "Running"),
        (load, "Preceding"),
        (load, "Done"),
        (pipeline, "Running"),
        (train, "Preceding"),
        *[(train, "Running")] * looks,
        (train, "Done"),
        (pipeline, "Running"),
        (publish, "Preceding"),
        (publish, "Running"),
        (publish, "Done"),
        (pipeline, "Done"),
    ]
    assert looks >= 2
    assert [(event.action_id, event.action_state.value) for event in events] == [(a.id, s) for a, s in expected]
    assert all(event.data == {} for event in events if event.action_state is ActionState.Preceding)
    assert [event.data for event in events if event.action_id == pipeline.id][1:4] == [
        {"action": load.id},
        {"action": train.id},
        {"action": publish.id},
    ]
    looked = [event for event in events if event.action_id == train.id and event.action_state is ActionState.Running]
    assert [event.data["result"]["runStatus"] for event in looked] == ["Running"] * (looks - 1) + ["Done"]
    assert looked[-1].progress == 100
    assert all(event.data["result"]["runProgress"] == f"{event.progress}%" for event in looked[:-1])
    [publishing] = [e for e in events if e.action_id == publish.id and e.action_state is ActionState.Running]
    assert set(publishing.data) == {"task_id", "job_id"}
    assert events[-1].data["model"] is trainer.result[0]["model"]
    for event in events:
        assert event.action_id in (event.description or "")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("receive:<")]
    assert len(lines) == len(events)


def test_events_of_a_deployment(emulator: Emulator) -> None:
    names = play([QUICK_START, "events = []"])
    play_on(names, DEPLOY.replace("dataset=ds,", "dataset=ds, event_handler=events.append,"))
    trainer, events = names["trainer"], names["events"]
    deploy = trainer.deploy_action
    mine = [event for event in events if event.action_id == deploy.id]
    assert [event.action_state.value for event in mine] == ["Preceding", "Running", "Done"]
    assert mine[1].data["model"] is trainer.result[0]["model"]
    assert events[-1].action_id == trainer.ppls[0].id
    assert events[-1].data["service"] is trainer.result[0]["service"]


def test_a_failed_job_is_told_twice_and_raised(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    from qianfan.errors import InternalError, TrainJobFailedError

    names = play([QUICK_START])
    emulator.training.script(ends="Failed", reason="loss is NaN")
    with pytest.raises(TrainJobFailedError, match=r"'Failed': loss is NaN") as failed:
        play_on(names, EVENTS)
    errors = [e for e in names["eh"].events if e.action_state is ActionState.Error]
    trainer = names["trainer"]
    assert [event.action_id for event in errors] == [trainer.train_action.id, trainer.ppls[0].id]
    assert errors[0].data == errors[1].data == {"error": str(failed.value)}
    assert errors[0].exception is failed.value
    assert isinstance(failed.value, InternalError)
    assert failed.value.job_id in emulator.jobs
    assert trainer.result[0] == {"error": failed.value}
    assert [line.startswith("receive:<") for line in capsys.readouterr().out.splitlines() if " Error," in line] == [
        True,
        True,
    ]


def play_on(names: dict[str, Any], snippet: str) -> None:
    exec(compile(snippet, "<snippet>", "exec"), names)


def test_constructors_reprs_and_status_send_nothing(emulator: Emulator) -> None:
    names: dict[str, Any] = {}
    play_on(names, QUICK_START.replace("trainer.run()", "text = repr(trainer), trainer.status, repr(ds)"))
    play_on(names, PARAMETERS.replace("trainer.run()", ""))
    play_on(names, EVENTS.replace("trainer.run()", ""))
    play_on(names, textwrap.dedent(DEPLOY.split("trainer.run()")[0]))
    assert [request.name for request in emulator.requests] == ["info"]
    assert names["ds"].inner_data_source_cache.id == 111


async def test_twenty_trainers_at_once_do_not_mix(emulator: Emulator) -> None:
    from qianfan.trainer.configs import TrainConfig

    heard: dict[int, list[Any]] = {number: [] for number in range(20)}
    trainers: dict[int, LLMFinetune] = {}

    async def one(number: int) -> None:
        trainers[number] = LLMFinetune(
            train_type="ERNIE-Speed-8K",
            dataset=111,
            train_config=TrainConfig(epoch=number + 1, peft_type="LoRA"),
            event_handler=heard[number].append,
            name=f"run{number}",
        )
        await trainers[number].arun()

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(one, number)

    for number, trainer in trainers.items():
        result = trainer.result[0]
        assert result is not None
        task = emulator.tasks[result["task_id"]]
        assert task.hyper_parameters["epoch"] == number + 1
        assert emulator.jobs[result["job_id"]].name.startswith(f"run{number}_")
        assert {event.action_id for event in heard[number]} == {trainer.ppls[0].id, *trainer.ppls[0].seq}
    assert len({trainer.result[0]["model_id"] for trainer in trainers.values()}) == 20
    assert emulator.count("CreateFineTuningTask") == 20

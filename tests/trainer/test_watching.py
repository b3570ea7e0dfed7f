"""Looking at runs that somebody else drives, leaving runs, and going on with all of them."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta

import anyio
import anyio.from_thread
import pytest

from qianfan.emulator import Emulator
from qianfan.errors import ActionTimeoutError, UnknownRunError
from qianfan.pipeline import Event
from qianfan.trainer import DPO, LLMFinetune, Trainer
from tests.support.clock import JumpClock
from tests.support.emulated import client_for

pytestmark = pytest.mark.anyio


@pytest.fixture
def driven(emulator: Emulator) -> Iterator[LLMFinetune]:
    """A trainer that a background thread drives, and whose training goes on for ever."""
    emulator.training.script(after_looks=math.inf, times=1)
    training = threading.Event()
    trainer = LLMFinetune("ERNIE-Speed-8K", 111, event_handler=lambda event: event.progress and training.set()).start()
    assert training.wait(60)
    yield trainer
    trainer.detach().wait()


def left(emulator: Emulator) -> LLMFinetune:
    """A trainer that was left from inside its own handler."""
    emulator.training.script(after_looks=math.inf, times=1)
    trainer = LLMFinetune("ERNIE-Speed-8K", 111, event_handler=lambda event: event.progress and trainer.detach())
    return trainer.run()


def test_leaving_a_run(emulator: Emulator) -> None:
    trainer = left(emulator)
    [task] = emulator.tasks.values()
    assert (task.state, trainer.info()["left_running"], trainer.is_kept) == ("Running", True, True)
    assert not trainer.is_running
    assert trainer.detach() is trainer  # without a run nothing happens


async def test_watching_until_the_time_is_up(driven: LLMFinetune, emulator: Emulator) -> None:
    """It drives nothing and sends nothing; the waiting is on the client's clock."""
    client, seen = client_for(JumpClock()), list[Event]()
    with pytest.raises(ActionTimeoutError, match="its run goes on"):
        async for event in Trainer.awatch(driven.id, after=-1, timeout=20.0, client=client):
            seen.append(event)
    assert [event.sequence for event in seen] == [event.sequence for event in await Trainer.ahistory(driven.id)]
    assert (await Trainer.adescribe(driven.id))["driven_by"] == os.getpid()
    later = seen[-2].sequence
    with pytest.raises(ActionTimeoutError):
        async for event in Trainer.awatch(driven.id, after=later, timeout=0.0, client=client):
            assert event.sequence > later
    assert emulator.made("task") == 1


async def test_watching_what_is_over_or_left_alone(emulator: Emulator) -> None:
    done = await LLMFinetune("ERNIE-Speed-8K", 111).arun()
    assert [event async for event in Trainer.awatch(done.id)] == []
    kinds = [event.kind async for event in DPO.awatch(done.id, after=-1)]
    assert (kinds[0], kinds[-1]) == ("Preceding", "Done")
    emulator.training.script(after_looks=math.inf)
    alone = LLMFinetune("ERNIE-Speed-8K", 111)
    with pytest.raises(ActionTimeoutError):
        await alone.arun(timeout=0.2)
    assert [event async for event in Trainer.awatch(alone.id)] == []


async def test_nobody_to_look_at(emulator: Emulator) -> None:
    with pytest.raises(UnknownRunError, match="trainer list"):
        await Trainer.adescribe("nobody")
    with pytest.raises(UnknownRunError, match="trainer list"):
        async for _ in Trainer.awatch("nobody"):
            pass
    assert await Trainer.ahistory("nobody") == []


def test_the_blocking_forms(emulator: Emulator) -> None:
    trainer = LLMFinetune("ERNIE-Speed-8K", 111).run()
    kept = trainer.events()
    assert [event.sequence for event in Trainer.watch(trainer.id, after=-1)] == [event.sequence for event in kept]
    assert [event.sequence for event in Trainer.history(trainer.id)] == [event.sequence for event in kept]
    steps = Trainer.describe(trainer.id)["steps"]
    assert [step["step"] for step in steps if step["order"] is None] == ["load", "train", "publish"]


@pytest.mark.skipif(os.name == "nt", reason="signals cannot be sent there")
@pytest.mark.parametrize(("on_interrupt", "states"), [("detach", {"Running"}), ("stop", {"Stopped"})])
def test_an_interrupt_while_going_on_with_all(on_interrupt: str, states: set[str], emulator: Emulator) -> None:
    ids = {left(emulator).id, left(emulator).id}
    looked: set[str] = set()

    def interrupt(event: Event) -> None:
        if event.progress is not None and event.run_id not in looked:
            looked.add(event.run_id)
            if looked == ids:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Trainer.recover(event_handler=interrupt, on_interrupt=on_interrupt)
    assert {task.state for task in emulator.tasks.values()} == states
    assert all(known["driven_by"] is None for known in Trainer.list())


async def test_a_trainer_that_was_only_saved_is_not_begun_by_recovering(emulator: Emulator) -> None:
    """Somebody has to ask for what costs money."""
    trainer = LLMFinetune("ERNIE-Speed-8K", 111)
    await trainer.asave()
    assert await LLMFinetune.arecover() == {}
    assert emulator.made("task") == 0
    await (await LLMFinetune.aload(trainer.id)).arun()
    assert emulator.made("task") == 1


class OfMine(LLMFinetune):
    """A user's own kind of trainer."""


async def test_trainers_of_a_kind_of_ones_own_are_come_back_to(emulator: Emulator) -> None:
    trainer = await OfMine("ERNIE-Speed-8K", 111).arun()
    assert type(await Trainer.aload(trainer.id)) is OfMine
    assert [known["id"] for known in await OfMine.alist()] == [trainer.id]
    assert await DPO.alist() == []


@pytest.mark.parametrize("face", ["sync", "async"])
async def test_forgetting_ended_runs_of_a_kind(face: str, emulator: Emulator) -> None:
    """Those of other kinds stay, and so do those that somebody still comes back to."""

    async def forget(kind: type[Trainer], age: timedelta) -> int:
        return kind.prune(older_than=age) if face == "sync" else await kind.aprune(older_than=age)

    old = timedelta(seconds=-60)  # also what was touched just now
    emulator.training.script(after_looks=math.inf, times=1)
    open_run = LLMFinetune("ERNIE-Speed-8K", 111, event_handler=lambda event: event.progress and open_run.detach())
    await open_run.arun()
    others = await LLMFinetune("ERNIE-Speed-8K", 111).arun()
    mine = await OfMine("ERNIE-Speed-8K", 111).arun()
    assert await forget(OfMine, timedelta(days=1)) == 0
    assert await forget(DPO, old) == 0
    assert await forget(OfMine, old) == 1
    with pytest.raises(UnknownRunError):
        await OfMine.aload(mine.id)
    assert {known["id"] for known in await Trainer.alist()} == {open_run.id, others.id}
    assert await forget(LLMFinetune, old) == 1
    assert [known["id"] for known in await Trainer.alist()] == [open_run.id]


async def test_recovering_tries_again_what_could_not_go_on(emulator: Emulator) -> None:
    """A refused key ends an attempt, not the run; whoever serves goes on when it is right again."""
    trainer = left(emulator)
    [task] = emulator.tasks.values()
    task.work.after_looks = 0
    emulator.faults.add("DescribeFineTuningTask", status=403, code="InvalidAccessKeyId", message="no")
    over = anyio.Event()

    def hear(event: Event) -> None:
        if event.action_class is not None and event.action_class.__name__ == "Pipeline" and event.kind == "Done":
            anyio.from_thread.run_sync(over.set)

    async with anyio.create_task_group() as group:

        async def serve() -> None:
            await LLMFinetune.arecover(every=0.01, event_handler=hear)

        group.start_soon(serve)
        await over.wait()
        group.cancel_scope.cancel()
    assert (await Trainer.adescribe(trainer.id))["run_status"] == "done"
    assert emulator.made("task") == 1


async def test_a_cancelled_run_says_how_to_come_back(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    emulator.training.script(after_looks=math.inf, times=1)
    training = anyio.Event()

    async def hear(event: Event) -> None:
        if event.progress is not None:
            training.set()

    trainer = LLMFinetune("ERNIE-Speed-8K", 111, event_handler=hear)
    caplog.set_level("INFO", "qianfan")
    async with anyio.create_task_group() as group:
        group.start_soon(trainer.arun)
        await training.wait()
        group.cancel_scope.cancel()
    assert f"qianfan trainer resume --trainer-id {trainer.id}" in caplog.text

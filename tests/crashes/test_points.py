"""A kill at every crash point: what is left, and that the next process makes one of everything out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qianfan.pipeline._ordering import MAX_GENERATIONS
from tests.crashes.conftest import Ledger
from tests.crashes.world import KILLED, Worker, World

pytestmark = pytest.mark.socket

WHAT = "crash point"

KINDS = {
    "job": ("CreateFineTuningJob", "DescribeFineTuningJobs"),
    "task": ("CreateFineTuningTask", "DescribeFineTuningTasks"),
    "model": ("publishTrainModel", "DescribeModelSet"),
    "service": ("CreateService", "DescribeServices"),
}
"""For each order the call that places it and the one that looks for it."""

POINTS = {
    "before_intent": (None, False),
    "after_intent": ("intent", False),
    "sending": ("intent", False),
    "after_reply": ("intent", True),
    "after_accept": ("accepted", True),
}
"""For each point the phase that it leaves, and whether there is a thing then."""

ALL = ("job", "task", "model", "service")


def killed(world: World, point: str, *options: str, verb: str = "run", nth: int = 1, **settings: object) -> Worker:
    """Run into a crash point."""
    worker = world.run(verb, "r", *options, faults=f"{point}:{nth}:exit", **settings)
    assert worker.process.returncode == KILLED, worker.errors
    return worker


def gone_on(world: World, verb: str = "resume", *options: str, **settings: object) -> tuple[Worker, list[str]]:
    """Go on with the run in another process, to its good end; gives it, and what it asked of the platform."""
    seen = len(world.asked)
    worker = world.run(verb, "r", *options, **settings)
    assert worker.process.returncode == 0, (worker.said[-3:], worker.errors)
    return worker, world.asked[seen:]


# --- around an order -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", KINDS)
def test_around_an_order(kind: str, point: str, world: World, ledger: Ledger) -> None:
    place, look = KINDS[kind]
    phase, exists = POINTS[point]
    on_absent = "fence" if kind == "task" else "resubmit"
    killed(world, f"{kind}.{point}", "--deploy", submit_on_absent=on_absent)
    row = world.rows().get(kind)
    assert (row.phase if row else None, world.made(kind)) == (phase, (int(exists),))

    # A task that is lost takes its job with it, and a service has nothing to be fenced with.
    worker, asked = gone_on(world, submit_on_absent=on_absent if kind == "task" and phase else "resubmit")
    ledger(WHAT, world)
    jobs = 2 if kind == "task" and phase == "intent" and not exists else 1
    assert world.made(*ALL) == (jobs, 1, 1, 1)
    assert len(world.emulator.jobs) == 1
    assert asked.count(place) == (0 if exists else 1)
    assert asked.count(look) == (1 if phase == "intent" else 0)
    assert ("adopted" in [kind for _, _, kind in world.kept_events()]) == (point == "after_reply")
    assert worker.result == {name: value for name, value in _ids(world).items() if name in worker.result}


def _ids(world: World) -> dict[str, str]:
    """The ids of all there is, where there is one of each."""
    things = {
        "job_id": world.emulator.jobs,
        "task_id": world.emulator.tasks,
        "model_set_id": world.emulator.model_sets,
        "model_id": world.emulator.models,
        "service_id": world.emulator.services,
    }
    return {name: id for name, known in things.items() for id in known}


@pytest.mark.parametrize("point", ["before_intent", "after_reply"])
def test_the_same_script_again(point: str, world: World, ledger: Ledger) -> None:
    """`run` with the id of before is as good as `resume`."""
    killed(world, f"task.{point}", "--deploy")
    gone_on(world, "run", "--deploy")
    ledger(WHAT, world)
    assert world.made(*ALL) == (1, 1, 1, 1)


def test_an_order_is_looked_for_until_it_had_time_to_settle(world: World, ledger: Ledger) -> None:
    killed(world, "task.after_intent")
    _, asked = gone_on(world, submit_settle_seconds=0.5)
    ledger(WHAT, world)
    assert asked.count("DescribeFineTuningTasks") == 2
    assert world.made(*ALL) == (1, 1, 1, 0)


def test_killed_again_and_again(world: World, ledger: Ledger) -> None:
    """Each process dies at the next point."""
    killed(world, "task.before_intent")
    for point in ("after_intent", "sending", "after_reply"):
        killed(world, f"task.{point}", verb="resume")
    killed(world, "poll.enter", verb="resume")
    killed(world, "done.before_commit", verb="resume")
    gone_on(world)
    ledger(WHAT, world, faults=6)
    assert world.made(*ALL) == (1, 1, 1, 0)


# --- a file that is uploaded first -----------------------------------------------------------------------------------


UPLOADS = [f"{kind}_0.{point}" for kind in ("dataset", "import") for point in POINTS if point != "sending"]


@pytest.mark.parametrize("point", [*UPLOADS, "dataset.sending"])
def test_while_a_dataset_goes_up(point: str, world: World, ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [[{"prompt": f"question {number}", "response": [[f"answer {number}"]]}] for number in range(40)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    killed(world, point, "--dataset", str(file))
    gone_on(world)
    ledger(WHAT, world)
    assert world.made("dataset", *ALL) == (1, 1, 1, 1, 0)
    [uploaded] = [dataset for id, dataset in world.emulator.datasets.items() if id != "ds-sampledataset111"]
    assert uploaded.rows == 40


# --- while it is waited for, and at the end --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "nth"), [("poll.enter", 1), ("poll.tick", 1), ("poll.tick", 2), ("poll.enter", 3), ("poll.enter", 4)]
)
def test_while_it_is_waited_for(point: str, nth: int, world: World, ledger: Ledger) -> None:
    """The training, the model and the service in turn."""
    killed(world, point, "--deploy", nth=nth)
    accepted = [kind for kind in ALL if kind in world.rows()]
    assert {world.rows()[kind].phase for kind in accepted} == {"accepted"}
    _, asked = gone_on(world)
    ledger(WHAT, world)
    assert [KINDS[kind][0] for kind in accepted if KINDS[kind][0] in asked] == []
    assert world.made(*ALL) == (1, 1, 1, 1)


STEPS = {"load": 1, "train": 2, "publish": 3, "deploy": 4}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("point", "phase"), [("done.before_commit", "started"), ("done.after_commit", "done")])
def test_at_the_end_of_a_step(point: str, phase: str, step: str, world: World, ledger: Ledger) -> None:
    killed(world, point, "--deploy", nth=STEPS[step])
    assert world.rows()[step].phase == phase
    gone_on(world)
    ledger(WHAT, world)
    assert world.made(*ALL) == (1, 1, 1, 1)
    begun = [kind for _, of, kind in world.kept_events() if of == step and kind == "Preceding"]
    assert len(begun) == (2 if phase == "started" else 1)


@pytest.mark.parametrize(("point", "status"), [("finish.before", "open"), ("finish.after", "done")])
def test_at_the_end_of_the_run(point: str, status: str, world: World, ledger: Ledger) -> None:
    killed(world, point, "--deploy")
    assert world.run_row().status == status
    worker, asked = gone_on(world, "run", "--deploy")
    ledger(WHAT, world)
    assert asked == []
    assert worker.result == _ids(world)


# --- fencing ---------------------------------------------------------------------------------------------------------

FENCES = {
    "fence.after_list": ("uncertain", 0, None),
    "fence.after_mark": ("uncertain", 0, 0),
    "fence.after_delete": ("uncertain", 0, 0),
    "fence.after_new_gen": ("started", 1, None),
}
"""For each point the phase, the generation and the mark that it leaves on the task's order."""


@pytest.mark.parametrize("late", [None, 0.3], ids=["never arrives", "arrives late"])
@pytest.mark.parametrize("point", FENCES)
def test_while_a_lost_task_is_fenced_off(point: str, late: float | None, world: World, ledger: Ledger) -> None:
    how = {"drop": "before"} if late is None else {"late": late}
    world.emulator.faults.add("CreateFineTuningTask", **how)
    killed(world, point, submit_on_absent="fence")
    row = world.rows()["task"]
    assert (row.phase, row.gen, row.retiring) == FENCES[point]

    gone_on(world, submit_on_absent="fence")
    ledger(WHAT, world, faults=2)
    assert world.made("task", "model") == (1, 1)
    [job] = world.emulator.jobs.values()
    assert [task.job_id for task in world.emulator.tasks.values()] == [job.id]
    assert world.made("job") <= (2,)
    if late is None:
        assert world.made("job") == (2,)


def test_a_task_that_is_lost_every_time(world: World, ledger: Ledger) -> None:
    """In the end a person is asked, and nothing costs anything."""
    world.emulator.faults.add("CreateFineTuningTask", times=None, drop="before")
    worker = world.run("run", submit_on_absent="fence")
    ledger("lost request", world, faults=MAX_GENERATIONS, ends="held", orders=0)
    assert (worker.process.returncode, worker.error) == (1, "OutcomeUnknownError")
    assert world.made("job", "task") == (MAX_GENERATIONS, 0)


# --- a person decides ------------------------------------------------------------------------------------------------


def test_held_then_ordered_again(world: World, ledger: Ledger) -> None:
    killed(world, "service.after_intent", "--deploy", submit_on_absent="hold")
    held = world.run("resume", submit_on_absent="hold")
    assert (held.process.returncode, held.error, world.run_row().status) == (1, "OutcomeUnknownError", "held")
    assert world.made("service") == (0,)

    world.run("decide")
    gone_on(world, submit_on_absent="hold")
    ledger(WHAT, world)
    assert world.made(*ALL) == (1, 1, 1, 1)


def test_held_then_adopted(world: World, ledger: Ledger) -> None:
    """It exists, but listings do not show it; somebody finds it in the console."""
    world.emulator.quirks.listing_lag = 3600.0
    killed(world, "service.after_reply", "--deploy", submit_on_absent="hold")
    held = world.run("resume", submit_on_absent="hold")
    assert (held.error, world.run_row().status) == ("OutcomeUnknownError", "held")

    [service] = world.emulator.services
    world.run("decide", "r", "--adopt", service)
    worker, asked = gone_on(world, submit_on_absent="hold")
    ledger(WHAT, world)
    assert worker.result["service_id"] == service
    assert "CreateService" not in asked
    assert world.made(*ALL) == (1, 1, 1, 1)


# --- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["cancel.after_mark", "cancel.after_stop"])
def test_while_a_run_stops_itself(point: str, tmp_path: Path, ledger: Ledger) -> None:
    with World(tmp_path, held=True) as world:
        killed(world, point, "--stop-at", "Running")
        assert (world.run_row().status, world.run_row().cancel) == ("open", "stop")
        _stopped(world)
        ledger(WHAT, world, ends="cancelled")


@pytest.mark.parametrize("point", ["cancel.after_mark", "cancel.after_stop"])
def test_while_another_process_stops_a_run(point: str, tmp_path: Path, ledger: Ledger) -> None:
    """The one that drove it is dead already."""
    with World(tmp_path, held=True) as world:
        killed(world, "poll.tick")
        killed(world, point, verb="cancel")
        assert (world.run_row().status, world.run_row().cancel) == ("open", "stop")
        _stopped(world)
        ledger(WHAT, world, faults=2, ends="cancelled")


def _stopped(world: World) -> None:
    """Whoever goes on stops the remote task, perhaps once more."""
    gone_on(world)
    assert world.run_row().status == "cancelled"
    [task] = world.emulator.tasks.values()
    assert task.state == "Stopped"
    assert world.made(*ALL) == (1, 1, 0, 0)


# --- handlers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", [1, 6, 12])
def test_while_a_handler_hears_of_an_event(nth: int, world: World, ledger: Ledger) -> None:
    """It may hear of one twice, and misses none that is kept."""
    first = killed(world, "handler.during", nth=nth)
    last = first.events[-1]
    second, _ = gone_on(world)
    ledger(WHAT, world)
    kept = [number for number, _, _ in world.kept_events()]
    assert set(kept) <= {*first.events, *second.events}
    assert last in second.events or last not in kept
    assert second.events == sorted(set(second.events))
    assert world.made(*ALL) == (1, 1, 1, 0)

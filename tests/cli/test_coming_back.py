"""`qianfan trainer run`, `resume`, `attach` and `stop`: leaving trainers and coming back to them."""

from __future__ import annotations

import math
import threading

import pytest

from qianfan.config import get_config
from qianfan.emulator import Emulator
from qianfan.trainer import LLMFinetune, Trainer
from tests.cli.support import (
    MODEL_AND_DATA,
    ORDER_A_TASK,
    document,
    done,
    failed,
    held,
    left_running,
    qianfan,
    shown,
    under_way,
)

Capture = pytest.CaptureFixture[str]


# --- run -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
def test_coming_back_after_the_time_is_up(as_json: bool, emulator: Emulator, capsys: Capture) -> None:
    """--timeout leaves the training alone, and `trainer resume` waits for the same one."""
    emulator.training.script(after_looks=math.inf, times=1)
    options = ["--timeout", "0.5", *(["--json"] if as_json else [])]
    assert qianfan("trainer", "run", *MODEL_AND_DATA, *options) == 124
    captured = capsys.readouterr()
    *_, error, way_back = captured.err.splitlines()
    [known] = Trainer.list()
    assert error.startswith("Error: no end within 0.5 s")
    assert way_back == f"Go on with: qianfan trainer resume --trainer-id {known['id']}"
    assert known["left_running"]
    if as_json:
        assert f'"task_id": "{known["ids"]["task_id"]}"' in captured.out
        assert '"type": "ActionTimeoutError"' in captured.out
    assert qianfan("trainer", "resume", "--trainer-id", known["id"], "--timeout", "0.2") == 124
    assert emulator.made("task") == 1


def test_a_run_that_needs_a_decision(emulator: Emulator, capsys: Capture) -> None:
    get_config().SUBMIT_SETTLE_SECONDS = 0.01
    emulator.faults.add(ORDER_A_TASK, drop="before")
    made = document(capsys, "trainer", "run", *MODEL_AND_DATA, code=5)
    assert made["error"]["type"] == "OutcomeUnknownError"
    text = shown(capsys, "trainer", "resume", "--trainer-id", made["id"], code=5)
    assert text.splitlines()[-1] == f"Decide with: qianfan trainer decide --trainer-id {made['id']}"
    assert emulator.made("task") == 0


def test_a_person_who_wants_to_be_asked(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """--submission strict beats the setting that would order again."""
    monkeypatch.setenv("QIANFAN_SUBMIT_ON_ABSENT", "resubmit")
    monkeypatch.setenv("QIANFAN_SUBMIT_SETTLE_SECONDS", "0.01")
    emulator.faults.add(ORDER_A_TASK, drop="before", times=2)
    assert qianfan("trainer", "run", *MODEL_AND_DATA, "--submission", "strict") == 5
    assert emulator.made("task") == 0
    assert qianfan("trainer", "run", *MODEL_AND_DATA) == 0
    assert emulator.made("task") == 1


def test_a_failed_training_is_ordered_anew_on_purpose(emulator: Emulator, capsys: Capture) -> None:
    emulator.training.script(ends="Failed", reason="loss is NaN", times=1)
    text = shown(capsys, "trainer", "run", *MODEL_AND_DATA, code=1)
    [known] = Trainer.list()
    way_on = f"qianfan trainer resume --trainer-id {known['id']} --resubmit"
    assert text.splitlines()[-1].endswith(f"which costs again, with: {way_on}")
    assert qianfan("trainer", "resume", "--trainer-id", known["id"]) == 1
    assert emulator.made("task") == 1
    assert qianfan(*way_on.split()[1:]) == 0
    assert emulator.made("task") == 2


def test_a_run_that_somebody_stops(emulator: Emulator, capsys: Capture) -> None:
    """The command ends, and does not call that a success."""
    id = left_running(emulator)

    def stop_it() -> None:
        while Trainer.describe(id)["driven_by"] is None:
            pass
        Trainer.cancel(id)

    somebody = threading.Thread(target=stop_it)
    somebody.start()
    text = shown(capsys, "trainer", "resume", "--trainer-id", id, code=1)
    somebody.join()
    *_, error, way_on = text.splitlines()
    assert error == f"Error: trainer {id} was stopped"
    assert way_on.endswith("--resubmit")


# --- resume --------------------------------------------------------------------------------------------------------


def test_what_is_done_is_given_again(emulator: Emulator, capsys: Capture) -> None:
    id = done()
    made = document(capsys, "trainer", "resume", "--trainer-id", id)
    assert made["result"]["model_id"] in emulator.models
    assert emulator.made("task") == 1


def test_a_run_that_another_drives_is_followed(emulator: Emulator, capsys: Capture) -> None:
    with under_way(emulator, looks=30) as trainer:
        made = document(capsys, "trainer", "resume", "--trainer-id", trainer.id)
    assert made["result"]["model_id"] in emulator.models
    assert emulator.made("task") == 1


def test_a_run_that_is_taken_over(emulator: Emulator, capsys: Capture) -> None:
    """It is begun with again, not just followed; and there is one training all the same."""
    with under_way(emulator) as trainer:
        command = ["trainer", "resume", "--trainer-id", trainer.id, "--timeout", "0.3"]
        assert "started" not in shown(capsys, *command, code=124)
        assert "training     0.0 s  started" in shown(capsys, *command, "--take-over", code=124)
    assert emulator.made("task") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "either --trainer-id or --all"),
        (["--all", "--trainer-id", "x"], "either --trainer-id or --all"),
        (["--all", "--resubmit"], "for one trainer"),
        (["--all", "--take-over"], "for one trainer"),
    ],
)
def test_options_of_resume_that_do_not_fit(options: list[str], says: str, emulator: Emulator, capsys: Capture) -> None:
    assert says in shown(capsys, "trainer", "resume", *options, code=2)


# --- resume --all --------------------------------------------------------------------------------------------------


def test_going_on_with_nobody(emulator: Emulator, capsys: Capture) -> None:
    done(), failed(emulator)
    assert "No trainer waits" in shown(capsys, "trainer", "resume", "--all")
    assert document(capsys, "trainer", "resume", "--all") == []


def test_going_on_with_all(emulator: Emulator, capsys: Capture) -> None:
    """Those that failed, wait for a decision or are driven stay as they are."""
    ids = [left_running(emulator), left_running(emulator)]
    failed(emulator), held(emulator)
    with under_way(emulator):
        text = shown(capsys, "trainer", "resume", "--all", "--timeout", "0.3", code=124)
        ends = document(capsys, "trainer", "resume", "--all", "--timeout", "0.3", code=124)
    lines = text.splitlines()
    assert all(any(line.startswith(f"{id}  2") for line in lines) for id in ids)  # its events, dated
    assert sum("left running  no end within 0.3 s" in line for line in lines) == 2
    assert lines[-1] == "Some need a decision: qianfan trainer decide"
    assert sorted(end["id"] for end in ends) == sorted(ids)
    assert {end["error"]["type"] for end in ends} == {"ActionTimeoutError"}
    assert all(end["left_running"] for end in ends)


def test_all_end_well_or_one_does_not(emulator: Emulator, capsys: Capture) -> None:
    ids = [left_running(emulator), left_running(emulator)]
    stopped = Trainer.describe(ids[0])["ids"]["task_id"]
    assert qianfan("trainer", "stop", "--task-id", stopped) == 0
    ends = {end["id"]: end for end in document(capsys, "trainer", "resume", "--all", "--timeout", "0.5", code=1)}
    assert ends[ids[0]]["error"]["type"] == "TrainJobFailedError"
    assert ends[ids[1]]["error"]["type"] == "ActionTimeoutError"


# --- attach --------------------------------------------------------------------------------------------------------


def test_a_training_that_was_started_elsewhere(emulator: Emulator, capsys: Capture) -> None:
    made_elsewhere = LLMFinetune("ERNIE-Speed-8K", 111, model_not_publish=True).run()
    task = made_elsewhere.info()["task_id"]
    made = document(capsys, "trainer", "attach", "--task-id", task, "--deploy-service-type", "chat")
    assert made["task_id"] == task
    assert made["result"]["model_id"] in emulator.models
    assert made["result"]["service_id"] in emulator.services
    assert emulator.made("task") == 1


def test_attaching_twice_is_the_same_run(emulator: Emulator, capsys: Capture) -> None:
    task = LLMFinetune("ERNIE-Speed-8K", 111, model_not_publish=True).run().info()["task_id"]
    first = document(capsys, "trainer", "attach", "--task-id", task)
    again = document(capsys, "trainer", "attach", "--task-id", task)
    assert first["id"] == again["id"]
    assert emulator.made("model") == 1
    text = shown(capsys, "trainer", "attach", "--task-id", task)
    assert first["id"] in text


def test_attaching_for_so_long(emulator: Emulator, capsys: Capture) -> None:
    id = left_running(emulator)
    task = Trainer.describe(id)["ids"]["task_id"]
    text = shown(capsys, "trainer", "attach", "--task-id", task, "--timeout", "0.3", code=124)
    assert "Go on with: qianfan trainer resume --trainer-id" in text


def test_attaching_to_nothing(emulator: Emulator, capsys: Capture) -> None:
    assert "task-nobody" in shown(capsys, "trainer", "attach", "--task-id", "task-nobody", code=1)
    assert "--task-id" in shown(capsys, "trainer", "attach", code=2)


# --- stop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
def test_stopping_a_run_that_nobody_drives(as_json: bool, emulator: Emulator, capsys: Capture) -> None:
    id = left_running(emulator)
    task = Trainer.describe(id)["ids"]["task_id"]
    for _ in ("once", "and again"):
        if as_json:
            facts = document(capsys, "trainer", "stop", "--trainer-id", id)
            assert (facts["id"], facts["task_id"], facts["stopped"]) == (id, task, True)
        else:
            assert shown(capsys, "trainer", "stop", "--trainer-id", id) == f"trainer {id} is stopped: task {task}\n"
    assert document(capsys, "trainer", "info", "--task-id", task)["run_status"] == "Stopped"
    assert Trainer.describe(id)["run_status"] == "cancelled"


def test_stopping_a_run_that_is_driven(emulator: Emulator, capsys: Capture) -> None:
    """Whoever drives it ends it at its next look."""
    with under_way(emulator) as trainer:
        facts = document(capsys, "trainer", "stop", "--trainer-id", trainer.id)
        trainer.wait()
    assert facts["id"] == trainer.id
    assert Trainer.describe(trainer.id)["run_status"] == "cancelled"


def test_stopping_a_run_that_needs_a_decision(emulator: Emulator, capsys: Capture) -> None:
    """Its order is looked for, so that nothing is left running."""
    id = held(emulator)
    text = shown(capsys, "trainer", "stop", "--trainer-id", id)
    assert text.startswith(f"trainer {id} is stopped\n")
    assert "Looking for its order of unknown fate first" in text


def test_stopping_what_is_over(emulator: Emulator, capsys: Capture) -> None:
    id = done()
    task = Trainer.describe(id)["ids"]["task_id"]
    assert "over already (ModelPublished)" in shown(capsys, "trainer", "stop", "--trainer-id", id, code=1)
    assert task in shown(capsys, "trainer", "stop", "--task-id", task, code=1)


@pytest.mark.parametrize("as_json", [False, True])
def test_stopping_a_task(as_json: bool, emulator: Emulator, capsys: Capture) -> None:
    task = Trainer.describe(left_running(emulator))["ids"]["task_id"]
    if as_json:
        assert document(capsys, "trainer", "stop", "--task-id", task) == {"task_id": task, "stopped": True}
    else:
        assert shown(capsys, "trainer", "stop", "--task-id", task) == f"task {task} is told to stop\n"


def test_a_stop_that_does_not_get_through(emulator: Emulator, capsys: Capture) -> None:
    """The wish is kept, and the next stop finishes it."""
    id = left_running(emulator)
    emulator.faults.add("StopFineTuningTask", status=403, code="AccessDenied", message="not yours")
    text = shown(capsys, "trainer", "stop", "--trainer-id", id, code=1)
    assert text.splitlines()[-1].endswith(f"Finish the stop with: qianfan trainer stop --trainer-id {id}")
    assert document(capsys, "trainer", "list")[0]["wants_stop"]
    assert "is to stop" in shown(capsys, "trainer", "list")
    assert qianfan("trainer", "stop", "--trainer-id", id) == 0
    assert Trainer.describe(id)["run_status"] == "cancelled"


@pytest.mark.parametrize("command", ["info", "stop"])
def test_which_trainer_or_task(command: str, cache: object, capsys: Capture) -> None:
    for choice in ([], ["--trainer-id", "nobody", "--task-id", "task-1"]):
        assert "--trainer-id or --task-id" in shown(capsys, "trainer", command, *choice, code=2)

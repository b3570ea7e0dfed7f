"""`qianfan trainer list`, `info` and `watch`: what they show, and that they change nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from qianfan.config import get_config
from qianfan.emulator import Emulator
from qianfan.trainer import LLMFinetune, Trainer
from tests.cli.support import (
    ORDER_A_TASK,
    document,
    done,
    failed,
    held,
    left_running,
    of_a_newer_version,
    qianfan,
    shown,
    under_way,
)

LOOKING = [
    ["list"],
    ["info", "--trainer-id", "nobody"],
    ["info", "--trainer-id", "nobody", "--events"],
    ["watch", "--trainer-id", "nobody"],
    ["decide"],
    ["decide", "--trainer-id", "nobody"],
    ["decide", "--trainer-id", "nobody", "--resubmit"],
    ["decide", "--all", "--fail"],
    ["resume", "--all"],
    ["resume", "--trainer-id", "nobody"],
    ["stop", "--trainer-id", "nobody"],
]
"""Commands that begin no journal."""

Capture = pytest.CaptureFixture[str]


# --- the journal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_where_no_journal_is_none_is_begun(command: list[str], cache: Path, capsys: Capture) -> None:
    assert qianfan("trainer", *command) == (2 if "nobody" in command else 0)
    assert not cache.exists()
    errors = capsys.readouterr().err
    assert ("'nobody'" in errors) is ("nobody" in command)


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_a_journal_of_a_newer_version(command: list[str], cache: Path, capsys: Capture) -> None:
    of_a_newer_version(cache / "journal.sqlite3")
    assert qianfan("trainer", *command) == 6
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: ")
    assert "Upgrade qianfan" in line


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_a_file_that_is_no_journal(command: list[str], cache: Path, capsys: Capture) -> None:
    cache.mkdir()
    (cache / "journal.sqlite3").write_text("shopping list")
    assert qianfan("trainer", *command) == 6
    [line] = capsys.readouterr().err.splitlines()
    assert "left as it is" in line
    assert (cache / "journal.sqlite3").read_text() == "shopping list"


@pytest.mark.skipif(
    os.name == "nt" or (hasattr(os, "getuid") and os.getuid() == 0),
    reason="root may write anywhere",
)
def test_a_journal_that_is_read_only(cache: Path, capsys: Capture) -> None:
    cache.mkdir()
    (cache / "journal.sqlite3").touch(0o400)
    assert qianfan("trainer", "list") == 6
    assert "read-only" in capsys.readouterr().err


# --- list ----------------------------------------------------------------------------------------------------------


def test_how_trainers_stand(emulator: Emulator, capsys: Capture) -> None:
    ids = {"done": done(), "open": left_running(emulator), "failed": failed(emulator), "held": held(emulator)}
    with under_way(emulator) as driven:
        listed = {known["id"]: known for known in document(capsys, "trainer", "list")}
        lines = {line.split()[0]: line for line in shown(capsys, "trainer", "list").splitlines()}
    assert [listed[id]["run_status"] for id in ids.values()] == list(ids)
    assert listed[ids["open"]]["left_running"]
    assert "left running" in lines[ids["open"]]
    assert "ModelPublished " in lines[ids["done"]]
    assert "TrainFailed " in lines[ids["failed"]]
    assert "needs a decision" in lines[ids["held"]]
    [order] = listed[ids["held"]]["needs_decision"]
    assert order.endswith(".task")
    assert listed[driven.id]["driven_by"] == os.getpid()
    assert f"(process {os.getpid()})" in lines[driven.id]
    assert listed[driven.id]["task_id"] in lines[driven.id]


@pytest.mark.parametrize("status", ["open", "held", "failed", "cancelled", "done"])
def test_only_those_that_stand_so(status: str, emulator: Emulator, capsys: Capture) -> None:
    assert shown(capsys, "trainer", "list", "--status", status) == f"No trainer is {status}.\n"
    assert document(capsys, "trainer", "list", "--status", status) == []
    makers: dict[str, Any] = {"open": left_running, "held": held, "failed": failed}
    stopped, finished, made = left_running(emulator), done(), makers.get(status, lambda _: None)(emulator)
    Trainer.cancel(stopped)
    expected = {"cancelled": stopped, "done": finished}.get(status, made)
    assert [known["id"] for known in document(capsys, "trainer", "list", "--status", status)] == [expected]


# --- info ----------------------------------------------------------------------------------------------------------


def test_a_trainer_step_by_step(emulator: Emulator, capsys: Capture) -> None:
    id = done()
    facts = document(capsys, "trainer", "info", "--trainer-id", id)
    assert [(step["step"], step["order"], step["phase"]) for step in facts["steps"]] == [
        ("load", None, "done"),
        ("train", None, "done"),
        ("train", "job", "accepted"),
        ("train", "task", "accepted"),
        ("publish", None, "done"),
        ("publish", "model", "accepted"),
    ]
    assert facts["steps"][3]["id"] == facts["task_id"]
    assert facts["to_decide"] == []
    assert "events" not in facts

    lines = shown(capsys, "trainer", "info", "--trainer-id", id).splitlines()
    assert [line.split()[0] for line in lines[-6:]] == ["dataset", "training", "job", "task", "model", "model"]
    assert facts["task_id"] in lines[-3]


def test_what_was_kept_of_its_events(emulator: Emulator, capsys: Capture) -> None:
    id = done()
    events = document(capsys, "trainer", "info", "--trainer-id", id, "--events")["events"]
    assert (events[0]["action_state"], events[-1]["action_state"]) == ("Preceding", "Done")
    last = shown(capsys, "trainer", "info", "--trainer-id", id, "--events").splitlines()[-1]
    assert last.endswith("Z  run       done")
    assert shown(capsys, "trainer", "info", "--task-id", "task-1", "--events", code=2).startswith("Error: ")


def test_why_a_trainer_failed(emulator: Emulator, capsys: Capture) -> None:
    assert "loss is NaN" in shown(capsys, "trainer", "info", "--trainer-id", failed(emulator))


def test_what_has_to_be_decided(emulator: Emulator, capsys: Capture) -> None:
    id = held(emulator)
    facts = document(capsys, "trainer", "info", "--trainer-id", id)
    [order] = facts["to_decide"]
    assert (order["trainer_id"], order["node"], order["what"]) == (id, facts["needs_decision"][0], "task")
    assert order["token"] == facts["steps"][-1]["token"]
    assert facts["job_id"] in order["look_for"]
    text = shown(capsys, "trainer", "info", "--trainer-id", id)
    assert order["node"] in text
    assert order["look_for"] in text


# --- watch ---------------------------------------------------------------------------------------------------------


def json_lines(capsys: Capture) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_watching_to_the_end(emulator: Emulator, capsys: Capture) -> None:
    with under_way(emulator, looks=30) as trainer:
        lines = shown(capsys, "trainer", "watch", "--trainer-id", trainer.id, "--from-start").splitlines()
    assert lines[0].startswith(f"trainer {trainer.id} of ERNIE-Speed-8K: ")
    assert lines[1].endswith("Z  dataset   started")
    assert lines[-2].endswith("Z  run       done")
    assert lines[-1] == f"trainer {trainer.id} is done"
    assert emulator.made("task") == 1

    # Once it is over, the end is all there is to say.
    assert qianfan("trainer", "watch", "--trainer-id", trainer.id, "--json") == 0
    [end] = json_lines(capsys)
    assert (end["kind"], end["trainer"]["id"], end["trainer"]["run_status"]) == ("end", trainer.id, "done")


def test_what_was_before_is_shown_on_request(emulator: Emulator, capsys: Capture) -> None:
    with under_way(emulator) as trainer:
        command = ["trainer", "watch", "--trainer-id", trainer.id, "--timeout", "0.1", "--json"]
        assert qianfan(*command) == 124
        assert [event for event in json_lines(capsys) if event["kind"] == "Preceding"] == []
        assert qianfan(*command, "--from-start") == 124
        assert [event["sequence"] for event in json_lines(capsys)][:3] == [0, 1, 2]


def test_watching_a_run_that_fails(emulator: Emulator, capsys: Capture) -> None:
    id = failed(emulator)
    assert "has failed: training task" in shown(capsys, "trainer", "watch", "--trainer-id", id, code=1)


def test_watching_a_run_that_is_stopped(emulator: Emulator, capsys: Capture) -> None:
    id = left_running(emulator)
    Trainer.cancel(id)
    assert f"trainer {id} was stopped" in shown(capsys, "trainer", "watch", "--trainer-id", id, code=1)


def test_watching_a_run_that_has_to_be_decided(emulator: Emulator, capsys: Capture) -> None:
    get_config().SUBMIT_SETTLE_SECONDS = 1.0
    emulator.faults.add(ORDER_A_TASK, drop="before")
    trainer = LLMFinetune("ERNIE-Speed-8K", 111).start()
    while not Trainer.list():
        pass
    assert qianfan("trainer", "watch", "--trainer-id", trainer.id, "--from-start", "--json") == 5
    captured = capsys.readouterr()
    *events, end = [json.loads(line) for line in captured.out.splitlines()]
    assert "needs_decision" in [event["kind"] for event in events]
    assert end["trainer"]["run_status"] == "held"
    assert captured.err.splitlines()[-1] == f"Decide with: qianfan trainer decide --trainer-id {trainer.id}"


def test_watching_a_run_that_nobody_drives(emulator: Emulator, capsys: Capture) -> None:
    id = left_running(emulator)
    looks = len(emulator.requests)
    lines = shown(capsys, "trainer", "watch", "--trainer-id", id, code=7).splitlines()
    assert lines[-2:] == [f"nobody drives trainer {id}", f"Go on with: qianfan trainer resume --trainer-id {id}"]
    assert qianfan("trainer", "watch", "--trainer-id", id, "--json") == 7
    assert json_lines(capsys)[-1]["trainer"]["left_running"] is True
    assert len(emulator.requests) == looks


def test_watching_for_so_long(emulator: Emulator, capsys: Capture) -> None:
    with under_way(emulator) as trainer:
        text = shown(capsys, "trainer", "watch", "--trainer-id", trainer.id, "--timeout", "0.1", code=124)
        assert Trainer.describe(trainer.id)["driven_by"] == os.getpid()
    assert "its run goes on" in text

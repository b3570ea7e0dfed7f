"""`qianfan trainer decide`: what there is to decide, and what becomes of it."""

from __future__ import annotations

import pytest

from qianfan.emulator import Emulator
from qianfan.trainer import Trainer
from tests.cli.support import document, done, failed, held, qianfan, shown, under_way

Capture = pytest.CaptureFixture[str]


def test_nothing_to_decide(emulator: Emulator, capsys: Capture) -> None:
    id = done()
    for which in ([], ["--all"], ["--trainer-id", id]):
        assert shown(capsys, "trainer", "decide", *which) == "There is nothing to decide.\n"
        assert document(capsys, "trainer", "decide", *which) == []
    assert shown(capsys, "trainer", "decide", "--all", "--fail") == "There is nothing to decide.\n"
    assert document(capsys, "trainer", "decide", "--all", "--fail") == {"decided": [], "go_on": [], "errors": {}}


def test_what_there_is_to_decide(emulator: Emulator, capsys: Capture) -> None:
    failed(emulator)
    ids = [held(emulator), held(emulator)]
    orders = document(capsys, "trainer", "decide", code=5)
    assert [order["trainer_id"] for order in orders] == ids[::-1]
    assert document(capsys, "trainer", "decide", "--trainer-id", ids[0], code=5) == orders[1:]
    lines = shown(capsys, "trainer", "decide", code=5).splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [[order["trainer_id"], order["node"]] for order in orders]
    assert all(order["look_for"] in line for line, order in zip(lines[1:3], orders, strict=True))
    assert "--adopt ID" in lines[-3]


def test_ordering_again(emulator: Emulator, capsys: Capture) -> None:
    id = held(emulator)
    text = shown(capsys, "trainer", "decide", "--trainer-id", id, "--resubmit")
    assert text == f"trainer {id} can go on\nGo on with: qianfan trainer resume --trainer-id {id}\n"
    assert emulator.made("task") == 0
    assert document(capsys, "trainer", "resume", "--trainer-id", id)["status"] == "ModelPublished"
    assert emulator.made("task") == 1


def test_going_on_with_what_was_found(emulator: Emulator, capsys: Capture) -> None:
    done()
    [task] = emulator.tasks
    id = held(emulator)
    [order] = document(capsys, "trainer", "decide", code=5)
    command = ["trainer", "decide", "--trainer-id", id, "--order", order["node"], "--adopt", task]
    assert document(capsys, *command) == {"decided": [id], "go_on": [id], "errors": {}}
    assert document(capsys, "trainer", "resume", "--trainer-id", id)["result"]["task_id"] == task
    assert emulator.made("task") == 1


def test_giving_up(emulator: Emulator, capsys: Capture) -> None:
    """Then there is nothing to go on with, except on purpose, with a new order."""
    id = held(emulator)
    assert shown(capsys, "trainer", "decide", "--trainer-id", id, "--fail") == f"trainer {id} is given up\n"
    assert Trainer.describe(id)["run_status"] == "failed"
    text = shown(capsys, "trainer", "resume", "--trainer-id", id, code=1)
    assert text.splitlines()[-1].endswith(f"qianfan trainer resume --trainer-id {id} --resubmit")
    assert Trainer.describe(id)["run_status"] == "failed"
    assert qianfan("trainer", "resume", "--trainer-id", id, "--resubmit") == 0
    assert emulator.made("task") == 1


def test_one_decision_about_several(emulator: Emulator, capsys: Capture) -> None:
    ids = [held(emulator), held(emulator), held(emulator)]
    first = ["--trainer-id", ids[0], "--trainer-id", ids[1]]
    assert document(capsys, "trainer", "decide", *first, "--resubmit")["go_on"] == ids[:2]
    lines = shown(capsys, "trainer", "decide", "--all", "--fail").splitlines()
    assert lines == [f"trainer {ids[2]} is given up"]
    assert [Trainer.describe(id)["run_status"] for id in ids] == ["open", "open", "failed"]


def test_the_way_on_from_several(emulator: Emulator, capsys: Capture) -> None:
    ids = [held(emulator), held(emulator)]
    assert shown(capsys, "trainer", "decide", "--all", "--resubmit").endswith("qianfan trainer resume --all\n")
    assert {end["id"]: end["run_status"] for end in document(capsys, "trainer", "resume", "--all")} == dict.fromkeys(
        ids, "done"
    )


def test_none_is_decided_when_one_cannot_be(emulator: Emulator, capsys: Capture) -> None:
    waiting, over = held(emulator), done()
    both = ["--trainer-id", waiting, "--trainer-id", over]
    assert over in shown(capsys, "trainer", "decide", *both, "--resubmit", code=2)
    assert qianfan("trainer", "decide", "--trainer-id", waiting) == 5


def test_while_a_process_drives_the_run(emulator: Emulator, capsys: Capture) -> None:
    with under_way(emulator) as trainer:
        text = shown(capsys, "trainer", "decide", "--trainer-id", trainer.id, "--resubmit", code=6)
    assert "is driven by" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fail"], "either --trainer-id or --all"),
        (["--all", "--trainer-id", "x"], "either --trainer-id or --all"),
        (["--trainer-id", "x", "--fail", "--resubmit"], "one of --adopt, --resubmit and --fail"),
        (["--trainer-id", "x", "--adopt", "task-1", "--fail"], "one of --adopt, --resubmit and --fail"),
        (["--all", "--adopt", "task-1"], "for one trainer"),
        (["--all", "--order", "a.task", "--fail"], "for one trainer"),
    ],
)
def test_options_that_do_not_fit(options: list[str], says: str, emulator: Emulator, capsys: Capture) -> None:
    assert says in shown(capsys, "trainer", "decide", *options, code=2)


def test_an_order_that_is_not_there(emulator: Emulator, capsys: Capture) -> None:
    id = held(emulator)
    [node] = Trainer.describe(id)["needs_decision"]
    text = shown(capsys, "trainer", "decide", "--trainer-id", id, "--order", "nothing", "--fail", code=2)
    assert node in text

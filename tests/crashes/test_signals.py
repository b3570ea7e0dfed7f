"""Ctrl-C, SIGTERM and closed terminals, while a run is waited for and while an order is on its way."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crashes.conftest import Ledger
from tests.crashes.world import Worker, World, until
from tests.support.faultproxy import hold
from tests.support.terminal import CTRL_C, on_a_terminal

pytestmark = pytest.mark.socket

CODES = {signal.SIGINT: (-signal.SIGINT, 130), signal.SIGTERM: (143,), signal.SIGHUP: (129,)}
"""The exit codes; a shell shows a process that Ctrl-C ended as 130 either way."""

every_signal = pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Trainings last until the test ends them."""
    with World(tmp_path, held=True, proxied=True) as world:
        yield world


def left(worker: Worker, number: signal.Signals) -> None:
    """It has ended as the signal asks for, and told the way back."""
    assert worker.end() in CODES[number], worker.errors
    assert "result" not in worker.said[-1]
    assert "trainer r" in worker.errors
    assert "LLMFinetune.load('r').resume()" in worker.errors
    assert "qianfan trainer resume --trainer-id r" in worker.errors


def resumed(world: World) -> None:
    """Another process goes on at once, and orders nothing that was ordered."""
    other = world.start("resume")
    other.hear("log", "is Running")
    world.finish_trainings()
    assert other.end() == 0, (other.said[-3:], other.errors)
    assert world.made("job", "task", "model") == (1, 1, 1)


# --- the Python API --------------------------------------------------------------------------------------------------


@every_signal
def test_while_it_is_waited_for(number: signal.Signals, world: World, ledger: Ledger) -> None:
    worker = world.start("run")
    worker.hear("log", "is Running")
    worker.process.send_signal(number)
    left(worker, number)
    [task] = world.emulator.tasks
    assert f"task {task} of job" in worker.errors
    assert (world.run_row().status, world.run_row().owner) == ("open", None)
    resumed(world)
    ledger("signals", world)
    assert world.asked.count("CreateFineTuningTask") == 1


@every_signal
def test_while_an_order_is_on_its_way(number: signal.Signals, world: World, ledger: Ledger) -> None:
    """It does not wait for the answer, and the next process finds what was made."""
    worker, answer = ordering(world)
    worker.process.send_signal(number)
    left(worker, number)
    assert world.rows()["task"].phase == "intent"
    answer.set()
    world.proxy.wait_until_quiet()
    resumed(world)
    ledger("signals", world)
    assert world.asked.count("CreateFineTuningTask") == 1
    assert "adopted" in [kind for _, _, kind in world.kept_events()]


def test_an_answer_that_comes_while_it_leaves(world: World, ledger: Ledger) -> None:
    """It is written down if there is time, and found otherwise."""
    worker, answer = ordering(world)
    worker.process.send_signal(signal.SIGINT)
    until(lambda: "Interrupted" in worker.errors or worker.process.poll() is not None)
    answer.set()
    left(worker, signal.SIGINT)
    world.proxy.wait_until_quiet()
    resumed(world)
    ledger("signals", world)
    assert world.asked.count("CreateFineTuningTask") == 1


def test_ctrl_c_twice(world: World, ledger: Ledger) -> None:
    """The second one does not wait for the remote task to be stopped; the next process finishes that."""
    answer = threading.Event()
    world.proxy.script("StopFineTuningTask", hold(answer))
    worker = world.start("run", "r", "--on-interrupt", "stop")
    worker.hear("log", "is Running")
    worker.process.send_signal(signal.SIGINT)
    assert world.proxy.holding.wait(60), worker.errors
    worker.process.send_signal(signal.SIGINT)
    assert worker.end() in CODES[signal.SIGINT]
    assert world.emulator.count("StopFineTuningTask") == 0
    assert (world.run_row().status, world.run_row().cancel) == ("open", "stop")

    answer.set()
    world.proxy.wait_until_quiet()
    assert world.run("resume").process.returncode == 0
    ledger("signals", world, faults=2, ends="cancelled")
    [task] = world.emulator.tasks.values()
    assert task.state == "Stopped"


def ordering(world: World) -> tuple[Worker, threading.Event]:
    """A process whose order of a task is not answered before the event is set."""
    answer = threading.Event()
    world.proxy.script("CreateFineTuningTask", hold(answer))
    worker = world.start("run")
    assert world.proxy.holding.wait(60), worker.errors
    return worker, answer


# --- the command line, on a terminal ---------------------------------------------------------------------------------

HEEDS_SIGNALS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from qianfan.cli.main import main
main()
"""
COMMAND = [sys.executable, "-c", HEEDS_SIGNALS]
RUN = [*COMMAND, "trainer", "run", "--train-type", "ERNIE-Speed-8K", "--dataset-id", "111"]


@pytest.mark.parametrize("how", ["Ctrl-C", "closed"])
@pytest.mark.parametrize("during", ["the wait", "an order"])
def test_on_a_terminal(during: str, how: str, world: World, ledger: Ledger) -> None:
    answer, wide = threading.Event(), {**world.env, "COLUMNS": "200"}
    if during == "an order":
        world.proxy.script("CreateFineTuningTask", hold(answer))
    with on_a_terminal(RUN, wide) as terminal:
        if during == "an order":
            terminal.read_until("training")
            assert world.proxy.holding.wait(60), terminal.written
        else:
            terminal.read_until("is Running")
        if how == "closed":
            terminal.close()
        else:
            terminal.press(CTRL_C)
        assert terminal.wait() == (129 if how == "closed" else 130)
    answer.set()
    world.proxy.wait_until_quiet()
    [id] = world.statuses()
    if how == "Ctrl-C":
        assert re.search(rf"qianfan trainer resume --trainer-id {id}", terminal.written)

    with on_a_terminal([*COMMAND, "trainer", "resume", "--trainer-id", id], wide) as terminal:
        terminal.read_until("is Running")
        world.finish_trainings()
        assert terminal.wait() == 0
    ledger("terminal", world)
    assert world.asked.count("CreateFineTuningTask") == 1
    assert world.made("job", "task", "model") == (1, 1, 1)

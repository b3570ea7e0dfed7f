"""Blocking calls and signals: who is told, who is waited for, and how the process ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qianfan._sync import run_interruptible, run_sync
from tests.support.terminal import CTRL_C, on_a_terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals cannot be sent there")

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
ENDS_WITH = {number: 128 + number for number in SIGNALS} | {signal.SIGINT: -signal.SIGINT}
"""How a process ends that catches nothing. Python sends Ctrl-C to itself once more; a shell makes 130 of that."""

PRELUDE = """
import os, signal, sys, threading, time
import anyio
from qianfan._sync import LoopHandle, in_thread, run_interruptible, run_sync

# A parent may ignore some, as shells do for background jobs and nohup, and hands that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")  # at one go, also where nothing is buffered
    sys.stdout.flush()

told = None

async def willing():
    "Work that ends when it is asked to."
    global loop, told
    loop, told = LoopHandle(), anyio.Event()
    say("READY")
    try:
        await told.wait()
    finally:
        say("ENDED")

def ask():
    say("ASKED")
    loop.call(told.set)
    return 60

async def stubborn():
    "Work that nothing ends."
    with anyio.CancelScope(shield=True):
        say("READY")
        await anyio.sleep(60)
    say("ENDED")

def ask_in_vain(seconds=0.5):
    say("ASKED")
    return seconds
"""


@contextmanager
def started(script: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PRELUDE + script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def outcome(script: str, *signals: tuple[str, int]) -> tuple[int, list[str], str]:
    """Run a script, and send each signal once the line before it has come, or at once if that is empty.

    Gives the exit code, the lines of stdout, and stderr. Work that is waited for in vain would take a minute.
    """
    with started(script) as process:
        assert process.stdout is not None
        lines: list[str] = []
        for awaited, number in signals:
            while awaited and (line := process.stdout.readline()):
                lines.append(line.strip())
                if lines[-1] == awaited:
                    break
            process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
        return process.returncode, [*lines, *rest.split("\n")[:-1]], errors


# --- the first interrupt -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
def test_the_work_is_asked_once_and_waited_for(number: int) -> None:
    code, lines, errors = outcome("run_interruptible(willing, ask)", ("READY", number))
    assert lines == ["READY", "ASKED", "ENDED"]
    assert code == ENDS_WITH[number]
    assert ("KeyboardInterrupt" in errors) is (number == signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_work_that_does_not_end_is_left(number: int) -> None:
    code, lines, _ = outcome("run_interruptible(stubborn, ask_in_vain)", ("READY", number))
    assert (code, lines) == (ENDS_WITH[number], ["READY", "ASKED"])


def test_ctrl_c_on_other_blocking_calls_leaves_as_well() -> None:
    code, lines, _ = outcome("run_sync(stubborn)", ("READY", signal.SIGINT))
    assert (code, lines) == (-signal.SIGINT, ["READY"])


def test_a_look_up_that_hangs_does_not_hold_up_the_end() -> None:
    script = """
import socket

def hangs(*args, **kwargs):
    say("READY")
    time.sleep(60)

socket.getaddrinfo = hangs
run_interruptible(lambda: anyio.connect_tcp("host.example", 80), ask_in_vain)
"""
    code, lines, _ = outcome(script, ("READY", signal.SIGTERM))
    assert (code, lines) == (143, ["READY", "ASKED"])


def test_the_application_may_catch_it_and_go_on() -> None:
    script = """
try:
    run_interruptible(willing, ask)
except SystemExit as error:
    say(type(error).__name__, error.code)

async def more():
    return "MORE"

say(run_interruptible(more, ask))
say(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.getsignal(signal.SIGINT).__name__)
run_interruptible(willing, ask)
"""
    code, lines, _ = outcome(script, ("READY", signal.SIGTERM), ("READY", signal.SIGHUP))
    caught = ["READY", "ASKED", "ENDED", "Terminated 143", "MORE", "True default_int_handler"]
    assert lines == [*caught, "READY", "ASKED", "ENDED"]
    assert code == 129


@pytest.mark.parametrize("closing", ["sys.stderr.close()", "os.close(2)"])
@pytest.mark.parametrize("number", SIGNALS)
def test_nobody_can_be_told_any_more(number: int, closing: str) -> None:
    """The work is cancelled instead, waited for all the same, and the interrupt stays what it was."""
    script = f"""
def ask():
    {closing}
    sys.stderr.write("a word\\n")

try:
    run_interruptible(willing, ask)
except BaseException as error:
    say(type(error.__cause__).__name__)
    raise
"""
    code, lines, _ = outcome(script, ("READY", number))
    assert lines == ["READY", "ENDED", "ValueError" if "sys" in closing else "OSError"]
    assert code == ENDS_WITH[number]


# --- the second ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", SIGNALS)
@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_interrupt_leaves_at_once(first: int, second: int) -> None:
    script = "run_interruptible(stubborn, lambda: ask_in_vain(60))"
    code, lines, _ = outcome(script, ("READY", first), ("ASKED", second))
    assert (code, lines) == (ENDS_WITH[second], ["READY", "ASKED"])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_interrupt_while_the_work_is_being_asked(number: int) -> None:
    script = """
def ask():
    say("ASKED")
    while True:
        time.sleep(0.05)

run_interruptible(stubborn, ask)
"""
    code, lines, _ = outcome(script, ("READY", number), ("ASKED", number))
    assert (code, lines) == (ENDS_WITH[number], ["READY", "ASKED"])


@pytest.mark.parametrize("call", ["run_sync(nested)", "run_interruptible(nested, lambda: 60)"])
def test_a_second_interrupt_while_asking_waits_for_a_call_itself(call: str) -> None:
    script = f"""
async def nested():
    say("NESTED")
    await stubborn()

def ask():
    {call}

run_interruptible(stubborn, ask)
"""
    code, lines, _ = outcome(script, ("READY", signal.SIGTERM), ("NESTED", signal.SIGTERM))
    assert (code, lines[:2]) == (143, ["READY", "NESTED"])
    assert "ENDED" not in lines


# --- whose signals they are ----------------------------------------------------------------------------------------


def test_a_handler_of_the_application_stays_in_charge() -> None:
    script = """
signal.signal(signal.SIGTERM, lambda number, frame: say("OWN"))
run_interruptible(willing, ask)
"""
    code, lines, _ = outcome(script, ("READY", signal.SIGTERM), ("OWN", signal.SIGTERM), ("OWN", signal.SIGINT))
    assert (code, lines) == (-signal.SIGINT, ["READY", "OWN", "OWN", "ASKED", "ENDED"])


def test_a_handler_of_the_application_may_interrupt_too() -> None:
    script = """
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
run_interruptible(stubborn, lambda: ask_in_vain(60))
"""
    code, lines, _ = outcome(script, ("READY", signal.SIGTERM), ("ASKED", signal.SIGTERM))
    assert (code, lines) == (7, ["READY", "ASKED"])
    code, lines, _ = outcome(script, ("READY", signal.SIGTERM), ("ASKED", signal.SIGINT))
    assert (code, lines) == (-signal.SIGINT, ["READY", "ASKED"])


def test_a_handler_set_meanwhile_is_kept() -> None:
    script = """
async def work():
    say("READY")
    await anyio.sleep(60)

def ask():
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    return 0

try:
    run_interruptible(work, ask)
except KeyboardInterrupt:
    say(signal.getsignal(signal.SIGTERM).__name__)
"""
    code, lines, _ = outcome(script, ("READY", signal.SIGINT))
    assert (code, lines) == (0, ["READY", "<lambda>"])


@pytest.mark.parametrize("number", SIGNALS)
def test_an_ignored_signal_stays_ignored(number: int) -> None:
    script = f"""
signal.signal({int(number)}, signal.SIG_IGN)
run_interruptible(willing, ask)
"""
    other = signal.SIGTERM if number != signal.SIGTERM else signal.SIGHUP
    code, lines, _ = outcome(script, ("READY", number), ("", other))
    assert (code, lines) == (ENDS_WITH[other], ["READY", "ASKED", "ENDED"])


def test_a_forked_child_dies_of_them() -> None:
    """Whoever ends a child with SIGTERM, as multiprocessing does, relies on that."""
    script = """
def fork():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b".")
        time.sleep(60)
        os._exit(0)
    os.read(reader, 1)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

async def work():
    return await in_thread(fork)

say(run_interruptible(work, ask))
"""
    code, lines, _ = outcome(script)
    assert (code, lines) == (0, ["-15"])


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_handlers_are_in_place_only_while_a_call_waits(ends: str) -> None:
    before = handlers()
    during: list[object] = []

    async def work() -> None:
        during.extend(handlers())
        if ends == "badly":
            raise LookupError

    if ends == "badly":
        with pytest.raises(LookupError):
            run_interruptible(work, lambda: 0)
    else:
        run_interruptible(work, lambda: 0)
    assert during[1] != before[1]
    assert handlers() == before


def test_calls_from_other_threads_touch_no_handler() -> None:
    before = handlers()
    during: list[object] = []

    async def work() -> None:
        during.extend(handlers())

    thread = threading.Thread(target=run_interruptible, args=(work, lambda: 0))
    thread.start()
    thread.join()
    assert during == before


def test_calls_from_several_threads_at_once() -> None:
    script = """
async def short():
    return "SHORT"

def other():
    say(run_interruptible(short, ask))

async def work():
    await in_thread(other)
    await willing()

run_interruptible(work, ask)
"""
    code, lines, _ = outcome(script, ("READY", signal.SIGTERM))
    assert (code, lines) == (143, ["SHORT", "READY", "ASKED", "ENDED"])


def test_a_call_within_a_call() -> None:
    """A signal handler that calls: the inner call is interrupted, and the outer one by what that raises."""
    script = """
async def inner():
    say("INNER")
    await anyio.sleep(60)

def call(number, frame):
    run_interruptible(inner, lambda: ask_in_vain(0))

signal.signal(signal.SIGUSR1, call)
run_interruptible(willing, ask)
"""
    code, lines, _ = outcome(script, ("READY", signal.SIGUSR1), ("INNER", signal.SIGTERM))
    assert (code, lines) == (143, ["READY", "INNER", "ASKED", "ASKED", "ENDED"])


# --- terminals -----------------------------------------------------------------------------------------------------


def on_terminal(script: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-c", PRELUDE + script], dict(os.environ)


def test_ctrl_c_on_the_keyboard() -> None:
    with on_a_terminal(*on_terminal("run_interruptible(willing, ask)")) as terminal:
        terminal.read_until("READY")
        terminal.press(CTRL_C)
        assert terminal.wait() == -signal.SIGINT
    assert terminal.written.index("ASKED") < terminal.written.index("ENDED")


def test_ctrl_c_twice_on_the_keyboard() -> None:
    with on_a_terminal(*on_terminal("run_interruptible(stubborn, lambda: ask_in_vain(60))")) as terminal:
        terminal.read_until("READY")
        terminal.press(CTRL_C)
        terminal.read_until("ASKED")
        terminal.press(CTRL_C)
        assert terminal.wait() == -signal.SIGINT
    assert "ENDED" not in terminal.written


@pytest.mark.parametrize("tells", ["quietly", "in vain"])
def test_the_terminal_is_closed(tells: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    script = f"""
notes = open({str(notes)!r}, "w")

def note(*words):
    print(*words, file=notes, flush=True)

async def work():
    try:
        await willing()
    except OSError:  # willing() says goodbye to a terminal that is gone
        note("ENDED")

def ask():
    note("ASKED")
    if {tells == "in vain"}:
        sys.stderr.write("a word\\n")
    loop.call(told.set)
    return 60

run_interruptible(work, ask)
"""
    with on_a_terminal(*on_terminal(script)) as terminal:
        terminal.read_until("READY")
        terminal.close()
        assert terminal.wait() == 129
    assert notes.read_text().split() == ["ASKED", "ENDED"]


# --- the loop's threads --------------------------------------------------------------------------------------------


def test_many_blocking_calls_on_the_loop() -> None:
    async def work() -> list[int]:
        return await asyncio.gather(*(asyncio.to_thread(lambda n=n: n * n) for n in range(200)))

    assert run_sync(work) == [n * n for n in range(200)]


def test_a_blocking_call_on_the_loop_that_fails() -> None:
    def fails() -> None:
        raise LookupError("nowhere")

    with pytest.raises(LookupError, match="nowhere"):
        run_sync(asyncio.to_thread, fails)

"""The command line in processes of its own: the installed script, sockets, Ctrl-C, terminals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from qianfan import __version__
from tests.support.served import environment, served_emulator
from tests.support.terminal import CTRL_C, Terminal, on_a_terminal

QIANFAN = [sys.executable, "-m", "qianfan.cli.main"]
RUN = ["trainer", "run", "--train-type", "ERNIE-Speed-8K", "--dataset-id", "111"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment whose trainers keep their state in a folder of the test's own."""
    return environment({"QIANFAN_CACHE_DIR": str(tmp_path / "cache")})


HEEDS_SIGNALS = """
import signal
# A parent that ignores Ctrl-C, as shells make background jobs do, hands that on. So does nohup with a closed terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
from qianfan.cli.main import main
main()
"""
COMMAND = [sys.executable, "-c", HEEDS_SIGNALS]


@contextmanager
def started(arguments: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A command under way, in a process that Ctrl-C reaches."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt_at(process: subprocess.Popen[str], step: str, says: str, number: int = signal.SIGINT) -> str:
    """Ctrl-C, or another signal, once a step's line says something; gives what the command wrote to stderr."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(step) and says in line:
            process.send_signal(number)
            break
    _, errors = process.communicate(timeout=30)
    return errors


def answer(command: list[str], env: Mapping[str, str]) -> str:
    """What a command that succeeds prints."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_script(env: dict[str, str]) -> None:
    script = Path(sys.executable).with_name("qianfan")
    if not script.exists():
        pytest.skip("the package is not installed with its script")
    assert answer([str(script), "--version"], env).strip() == __version__


@pytest.mark.parametrize("command", [["--help"], ["trainer", "--help"], ["trainer", "run", "--help"]])
def test_help_loads_nothing_heavy(command: list[str], env: dict[str, str]) -> None:
    """Some versions of typer read the options before a subcommand with pydantic; nothing of ours does."""
    libraries = ["httpx", "anyio", "starlette", "uvicorn", "yaml", *(["pydantic"] if command == ["--help"] else [])]
    code = f"""
import sys
from qianfan.cli.main import run
assert run({command!r}) == 0
heavy = [name for name in {libraries!r} if name in sys.modules]
assert heavy == [], heavy
"""
    answer([sys.executable, "-W", "error", "-c", code], env)


def test_without_the_extra_there_is_the_way_to_get_it(env: dict[str, str]) -> None:
    code = "import sys; sys.modules['typer'] = None; from qianfan.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "Error: the command line needs typer: pip install 'qianfan[cli]'\n"


def test_without_the_server_there_is_the_way_to_get_it(env: dict[str, str]) -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from qianfan.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "emulator", "serve", "--port", "0"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'qianfan[emulator]'" in done.stderr


@pytest.mark.socket
def test_serve_in_one_process_and_train_in_another(env: dict[str, str]) -> None:
    keys = ["--access-key", "ALTAKserved", "--secret-key", "served-secret"]
    with served_emulator("--pace", "instant", *keys) as exports:
        env = {**env, **exports}
        del env["QIANFAN_ACCESS_KEY"], env["QIANFAN_SECRET_KEY"]
        done = subprocess.run([*QIANFAN, *keys, *RUN, "--json"], env=env, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["status"] == "ModelPublished"
        assert "served-secret" not in done.stdout + done.stderr

        wrong = [*QIANFAN, "--access-key", "ALTAKserved", "--secret-key", "not-this-one", *RUN]
        refused = subprocess.run(wrong, env=env, capture_output=True, text=True, check=False)
        assert refused.returncode == 3
        assert "not-this-one" not in refused.stdout + refused.stderr


@pytest.mark.socket
def test_ctrl_c_leaves_the_training_and_tells_the_way_back(env: dict[str, str]) -> None:
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with started(RUN, env) as process:
            errors = interrupt_at(process, "training", "is Waiting")
        assert process.returncode == 130
        assert "Traceback" not in errors
        [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
        assert errors.splitlines()[-1] == f"Go on with: qianfan trainer resume --trainer-id {listed['id']}"
        info = json.loads(answer([*QIANFAN, "trainer", "info", "--task-id", listed["task_id"], "--json"], env))
        assert info["run_status"] in ("Waiting", "Running")


@pytest.mark.socket
def test_ctrl_c_stops_the_training_when_that_was_asked_for(env: dict[str, str]) -> None:
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with started([*RUN, "--on-interrupt", "stop"], env) as process:
            interrupt_at(process, "training", "is Waiting")
        assert process.returncode == 130
        [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
        info = json.loads(answer([*QIANFAN, "trainer", "info", "--task-id", listed["task_id"], "--json"], env))
        assert info["run_status"] == "Stopped"


@pytest.mark.skipif(os.name == "nt", reason="signals cannot be sent there")
@pytest.mark.socket
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_other_signals_leave_the_training_as_ctrl_c_does(name: str, code: int, env: dict[str, str]) -> None:
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with started(RUN, env) as process:
            errors = interrupt_at(process, "training", "is Waiting", getattr(signal, name))
        assert process.returncode == code
        assert "Traceback" not in errors
        [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
        assert listed["id"] in errors
        info = json.loads(answer([*QIANFAN, "trainer", "info", "--task-id", listed["task_id"], "--json"], env))
        assert info["run_status"] in ("Waiting", "Running")


def test_ctrl_c_in_quickstart(env: dict[str, str]) -> None:
    with started(["quickstart", "--pace", "3600"], env) as process:
        errors = interrupt_at(process, "dataset", "uploaded")
    assert process.returncode == 130
    assert errors.startswith("Interrupted. ")
    assert "resume" not in errors
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name == "nt", reason="it ends otherwise there")
@pytest.mark.parametrize("command", [["--help"], ["trainer", "list", "--json"], ["quickstart", "--pace", "instant"]])
def test_nobody_reads_the_output(command: list[str], env: dict[str, str]) -> None:
    """As before `| head -1`: the command ends as those do that SIGPIPE kills, and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*QIANFAN, *command], env=env, stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
def test_output_that_cannot_be_written_is_an_error(env: dict[str, str]) -> None:
    command = [*QIANFAN, "trainer", "list", "--json"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("Error: ")


# --- terminals -----------------------------------------------------------------------------------------------------

_COLOUR = re.compile(r"\x1b\[(\d+;)*(3[0-7]|9[0-7]|38;[\d;]+)m")


@contextmanager
def training_on_a_terminal(env: dict[str, str], *options: str) -> Iterator[Terminal]:
    """A trainer whose task waits, watched on a terminal that is wide enough for what it says."""
    wide = {**env, "TERM": "xterm-256color", "COLUMNS": "200"}
    with on_a_terminal([*COMMAND, *RUN, *options], wide) as terminal:
        terminal.read_until("is Waiting")
        yield terminal


@pytest.mark.socket
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_ctrl_c_on_the_keyboard(options: tuple[str, ...], env: dict[str, str]) -> None:
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with training_on_a_terminal(env, *options) as terminal:
            terminal.press(CTRL_C)
            assert terminal.wait() == 130
        assert "Traceback" not in terminal.written
        [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
        last_line = terminal.written.rstrip().splitlines()[-1]
        assert last_line.endswith(f"Go on with: qianfan trainer resume --trainer-id {listed['id']}")


@pytest.mark.socket
def test_ctrl_c_twice_on_the_keyboard(env: dict[str, str]) -> None:
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with training_on_a_terminal(env, "--on-interrupt", "stop") as terminal:
            terminal.press(CTRL_C + CTRL_C)
            assert terminal.wait() == 130


@pytest.mark.socket
def test_the_terminal_is_closed(env: dict[str, str]) -> None:
    """The training goes on, and another process comes back to it at once."""
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with training_on_a_terminal(env) as terminal:
            terminal.close()
            assert terminal.wait() == 129
        [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
        resume = ["trainer", "resume", "--trainer-id", listed["id"]]
        with started(resume, env) as process:
            interrupt_at(process, "training", "is Waiting")
        assert process.returncode == 130
        assert json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))[0]["task_id"] == listed["task_id"]


@pytest.mark.parametrize(("variables", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_lines_that_change_in_place(
    variables: dict[str, str], colours: bool, env: dict[str, str]
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        env.pop(name, None)
    env |= {"TERM": "xterm-256color", **variables}
    with on_a_terminal([*QIANFAN, "quickstart", "--pace", "instant"], env) as terminal:
        assert terminal.wait() == 0
    assert "training" in terminal.written
    assert "\x1b[?25l" in terminal.written  # the cursor is hidden while lines change
    assert bool(_COLOUR.search(terminal.written)) is colours


def test_anything_else_gets_plain_lines(env: dict[str, str]) -> None:
    written = answer([*QIANFAN, "quickstart", "--pace", "instant"], env)
    assert "\x1b" not in written
    assert sum(line.startswith("training ") for line in written.splitlines()) > 2

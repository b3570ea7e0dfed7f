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

QIANFAN = [sys.executable, "-m", "qianfan.cli.main"]
RUN = ["trainer", "run", "--train-type", "ERNIE-Speed-8K", "--dataset-id", "111"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment whose trainers keep their state in a folder of the test's own."""
    return environment({"QIANFAN_CACHE_DIR": str(tmp_path / "cache")})


HEEDS_CTRL_C = """
import signal
# A parent that ignores Ctrl-C, as shells make background jobs do, hands that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
from qianfan.cli.main import main
main()
"""


@contextmanager
def started(arguments: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A command under way, in a process that Ctrl-C reaches."""
    command = [sys.executable, "-c", HEEDS_CTRL_C, *arguments]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt_at(process: subprocess.Popen[str], step: str, says: str) -> str:
    """Ctrl-C once a step's line says something; gives what the command wrote to stderr."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(step) and says in line:
            process.send_signal(signal.SIGINT)
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


def test_ctrl_c_in_quickstart(env: dict[str, str]) -> None:
    with started(["quickstart", "--pace", "3600"], env) as process:
        errors = interrupt_at(process, "dataset", "uploaded")
    assert process.returncode == 130
    assert errors.startswith("Interrupted. ")
    assert "resume" not in errors
    assert "Traceback" not in errors


# --- terminals -----------------------------------------------------------------------------------------------------

_COLOUR = re.compile(r"\x1b\[(\d+;)*(3[0-7]|9[0-7]|38;[\d;]+)m")


def on_a_terminal(command: list[str], env: Mapping[str, str]) -> str:
    """What a command writes when stdout is a terminal."""
    pty = pytest.importorskip("pty")
    terminal, theirs = pty.openpty()
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        # The end of a terminal is an error where other files just end.
        try:
            while piece := os.read(terminal, 65536):
                written += piece
        except OSError:
            pass
    os.close(terminal)
    assert process.returncode == 0
    return written.decode()


@pytest.mark.parametrize(("variables", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_lines_that_change_in_place(
    variables: dict[str, str], colours: bool, env: dict[str, str]
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        env.pop(name, None)
    env |= {"TERM": "xterm-256color", **variables}
    written = on_a_terminal([*QIANFAN, "quickstart", "--pace", "instant"], env)
    assert "training" in written
    assert "\x1b[?25l" in written  # the cursor is hidden while lines change
    assert bool(_COLOUR.search(written)) is colours


def test_anything_else_gets_plain_lines(env: dict[str, str]) -> None:
    written = answer([*QIANFAN, "quickstart", "--pace", "instant"], env)
    assert "\x1b" not in written
    assert sum(line.startswith("training ") for line in written.splitlines()) > 2

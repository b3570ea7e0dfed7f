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
SCRIPTED = ["--engine", "scripted", "--pace", "instant"]
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


@pytest.mark.parametrize(
    "command", [["--help"], ["trainer", "--help"], ["trainer", "run", "--help"], ["dataset", "check", "--help"]]
)
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
        assert errors.count("resume") == 1
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
        assert errors.splitlines()[-1] == f"Go on with: qianfan trainer resume --trainer-id {listed['id']}"
        assert errors.count("resume") == 1
        info = json.loads(answer([*QIANFAN, "trainer", "info", "--task-id", listed["task_id"], "--json"], env))
        assert info["run_status"] in ("Waiting", "Running")


@pytest.mark.skipif(os.name == "nt", reason="signals cannot be sent there")
@pytest.mark.socket
@pytest.mark.parametrize(("name", "error"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Terminated")])
def test_an_interrupted_run_as_json(name: str, error: str, env: dict[str, str]) -> None:
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with started([*RUN, "--json"], env) as process:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "is Waiting" in line)
            process.send_signal(getattr(signal, name))
            out, errors = process.communicate(timeout=30)
        document = json.loads(out)
    assert document["error"]["type"] == error
    assert document["left_running"]
    assert document["task_id"] in line
    assert errors.count(f"qianfan trainer resume --trainer-id {document['id']}") == 1


@pytest.mark.skipif(os.name == "nt", reason="signals cannot be sent there")
@pytest.mark.socket
def test_interrupting_all(env: dict[str, str]) -> None:
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        for _ in range(2):
            subprocess.run([*QIANFAN, *RUN, "--timeout", "0.5"], env=env, capture_output=True, check=False)
        with started(["trainer", "resume", "--all"], env) as process:
            errors = interrupt_at(process, "", "is Waiting", signal.SIGTERM)
        assert process.returncode == 143
        assert errors == "Go on with: qianfan trainer resume --all\n"
        listed = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
    assert [known["left_running"] for known in listed] == [True, True]


def test_ctrl_c_in_quickstart(env: dict[str, str]) -> None:
    with started(["quickstart", "--pace", "3600"], env) as process:
        errors = interrupt_at(process, "dataset", "uploaded")
    assert process.returncode == 130
    assert errors.startswith("Interrupted. ")
    assert "resume" not in errors
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name == "nt", reason="it ends otherwise there")
@pytest.mark.parametrize("command", [["--help"], ["trainer", "list", "--json"], ["quickstart", *SCRIPTED]])
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


# --- readers that leave --------------------------------------------------------------------------------------------


def after_one_line(arguments: list[str], env: Mapping[str, str]) -> tuple[int, str]:
    """What becomes of a command whose output goes to `head -1`: exit code and what it wrote to stderr."""
    reader, writer = os.pipe()
    process = subprocess.Popen([*COMMAND, *arguments], env=env, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    try:
        with open(reader, "rb", buffering=0) as lines:
            while not lines.read(1).endswith(b"\n"):
                pass
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, errors


@pytest.mark.skipif(os.name == "nt", reason="pipes break otherwise there")
@pytest.mark.socket
@pytest.mark.parametrize(("option", "states"), [("detach", ("Waiting", "Running")), ("stop", ("Stopped",))])
def test_nobody_reads_a_run(option: str, states: tuple[str, ...], env: dict[str, str]) -> None:
    """It leaves as at Ctrl-C."""
    with served_emulator("--pace", "60") as exports:
        env |= exports
        code, errors = after_one_line([*RUN, "--on-interrupt", option], env)
        assert code == 141
        [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
        way_back = f"Go on with: qianfan trainer resume --trainer-id {listed['id']}\n"
        assert errors == (way_back if option == "detach" else "")
        if "task_id" in listed:  # else it had left before it ordered one
            task = json.loads(answer([*QIANFAN, "trainer", "info", "--task-id", listed["task_id"], "--json"], env))
            assert task["run_status"] in states


@pytest.mark.skipif(os.name == "nt", reason="pipes break otherwise there")
def test_nobody_reads_a_quickstart(env: dict[str, str]) -> None:
    assert after_one_line(["quickstart", "--pace", "60"], env) == (141, "")


# --- two processes and one run ---------------------------------------------------------------------------------------


@pytest.mark.socket
def test_watching_and_stopping_what_another_process_drives(env: dict[str, str]) -> None:
    with served_emulator("--pace", "3600") as exports:
        env |= {**exports, "QIANFAN_TRAIN_STATUS_POLLING_INTERVAL": "0.1"}
        with started(RUN, env) as driver:
            assert driver.stdout is not None
            next(line for line in driver.stdout if "is Waiting" in line)
            [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
            id = ["--trainer-id", listed["id"]]
            assert listed["driven_by"] == driver.pid
            busy = [*QIANFAN, "trainer", "decide", *id, "--fail"]
            assert subprocess.run(busy, env=env, capture_output=True, check=False).returncode == 6
            with started(["trainer", "watch", *id, "--from-start", "--json"], env) as watcher:
                assert watcher.stdout is not None
                next(line for line in watcher.stdout if "is Waiting" in line)
                assert json.loads(answer([*QIANFAN, "trainer", "stop", *id, "--json"], env))["task_id"]
                lines, errors = watcher.communicate(timeout=30)
            assert (watcher.returncode, errors) == (1, "")
            assert json.loads(lines.splitlines()[-1])["trainer"]["run_status"] == "cancelled"
            _, errors = driver.communicate(timeout=30)
        assert driver.returncode == 1
        assert f"Error: trainer {listed['id']} was stopped" in errors
        info = json.loads(answer([*QIANFAN, "trainer", "info", "--task-id", listed["task_id"], "--json"], env))
        assert info["run_status"] == "Stopped"


@pytest.mark.socket
def test_the_driver_of_a_watched_run_dies(env: dict[str, str]) -> None:
    """The watcher does not go on in its place, but says how to."""
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with started(RUN, env) as driver:
            assert driver.stdout is not None
            next(line for line in driver.stdout if "is Waiting" in line)
            [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
            with started(["trainer", "watch", "--trainer-id", listed["id"]], env) as watcher:
                assert watcher.stdout is not None
                assert f"(process {driver.pid})" in watcher.stdout.readline()
                driver.kill()
                lines, errors = watcher.communicate(timeout=30)
    assert watcher.returncode == 7
    assert lines == f"nobody drives trainer {listed['id']}\n"
    assert errors == f"Go on with: qianfan trainer resume --trainer-id {listed['id']}\n"


@pytest.mark.skipif(os.name == "nt", reason="signals cannot be sent there")
@pytest.mark.socket
def test_ctrl_c_leaves_a_watch_and_a_run_that_is_followed(env: dict[str, str]) -> None:
    """The process that drives the run goes on."""
    with served_emulator("--pace", "3600") as exports:
        env |= exports
        with started(RUN, env) as driver:
            assert driver.stdout is not None
            next(line for line in driver.stdout if "is Waiting" in line)
            [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
            id = ["--trainer-id", listed["id"]]
            with started(["trainer", "watch", *id, "--from-start"], env) as watcher:
                assert interrupt_at(watcher, "", "is Waiting") == ""
            assert watcher.returncode == 130
            follow = ["--log-level", "INFO", "trainer", "resume", *id]
            with started(follow, env) as follower:
                assert follower.stderr is not None
                next(line for line in follower.stderr if "following it" in line)
                follower.send_signal(signal.SIGINT)
                _, errors = follower.communicate(timeout=30)
            assert follower.returncode == 130
            assert "which another process drives, goes on." in errors
            assert errors.splitlines()[-1] == f"Watch it with: qianfan trainer watch --trainer-id {listed['id']}"
            [listed] = json.loads(answer([*QIANFAN, "trainer", "list", "--json"], env))
            assert listed["driven_by"] == driver.pid


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
    with on_a_terminal([*QIANFAN, "quickstart", *SCRIPTED], env) as terminal:
        assert terminal.wait() == 0
    assert "training" in terminal.written
    assert "\x1b[?25l" in terminal.written  # the cursor is hidden while lines change
    assert bool(_COLOUR.search(terminal.written)) is colours


def test_anything_else_gets_plain_lines(env: dict[str, str]) -> None:
    written = answer([*QIANFAN, "quickstart", *SCRIPTED], env)
    assert "\x1b" not in written
    assert sum(line.startswith("training ") for line in written.splitlines()) > 2

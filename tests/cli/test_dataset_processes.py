"""`qianfan dataset` in processes of its own: Ctrl-C, pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from qianfan.emulator import sample_path
from tests.cli.test_processes import COMMAND, QIANFAN
from tests.support.served import environment, served_emulator


@pytest.mark.socket
@pytest.mark.skipif(os.name == "nt", reason="a signal cannot be sent to one process there")
def test_ctrl_c_while_the_platform_imports(tmp_path: Path) -> None:
    """It leaves without a traceback, and says what goes on."""
    env = environment({"QIANFAN_CACHE_DIR": str(tmp_path / "cache")})
    with served_emulator("--pace", "600", "--engine", "scripted") as exports:
        process = subprocess.Popen(
            [*COMMAND, "dataset", "upload", str(sample_path())],
            env={**env, **exports},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("importing"):
                    process.send_signal(signal.SIGINT)
                    break
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert re.fullmatch(
        r"The platform goes on importing into dataset ds-\w+: a second upload would repeat the rows\.\n", errors
    )


def test_rows_can_be_piped_and_nobody_need_read_them_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = json.dumps({"prompt": "q", "response": "a" * 1000}) + "\n"
    path.write_text(row * 5000)
    command = [*QIANFAN, "dataset", "view", str(path), "--raw", "--row", "all"]
    with subprocess.Popen(command, env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == json.loads(row)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141

"""The older SDK, pointed at the emulator, does not notice.

It has the same name as this package, so it runs in an interpreter of its own, which `nox -s older` makes;
QIANFAN_OLDER_PYTHON names it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from qianfan.emulator import engine_options
from qianfan.emulator.server import running

# Read at import, since tests run without any QIANFAN_ variable.
OLDER = os.environ.get("QIANFAN_OLDER_PYTHON")
DRIVER = Path(__file__).with_name("driver.py")

pytestmark = [
    pytest.mark.socket,
    pytest.mark.timeout(300),
    pytest.mark.skipif(OLDER is None, reason="nox -s older makes an interpreter that has the older SDK"),
]

GIVES: dict[str, dict[str, Any]] = {
    "train_publish_deploy_ask": {"status": "Serving"},
    "fine_tuning": {"listed": True, "stopped": True},
    "fine_tuning_v1": {"status": "RUNNING", "stopped": True},
    "datasets": {"statuses": True, "entities": [3, True], "exports": 1},
    "datasets_v2": {"versions": 2, "id": True},
    "cleaning_and_augmenting": {"source": True, "etl": 0, "augmented": 0},
    "models": {"state": "Ready", "versions": 1, "status": "Ready", "listed": True},
    "compression": {"status": "succeeded", "made": True},
    "services": {"status": "Serving", "listed": 1},
    "units": {"units": True, "credit": True},
    "evaluation_v2": {},
    "batch_inference": {"tasks": []},
    "chat": {"same": True, "said": True},
    "chat_v2": {"same": True, "said": True},
    "many_chats": {"answers": [True] * 5},
    "other_kinds": {"vectors": 2, "picture": True, "first": 1, "tokens": True, "completed": True},
}
"""Step -> what it gives, as far as it is fixed."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the driver said of each step, and which requests were refused."""
    home = tmp_path_factory.mktemp("older")
    with running(options=engine_options("scripted")) as served:
        settings = {f"QIANFAN_{name}": str(value) for name, value in served.settings.items()}
        waits = ("TRAIN_STATUS", "MODEL_PUBLISH_STATUS", "DEPLOY_STATUS", "BATCH_RUN_STATUS")
        settings |= {f"QIANFAN_{name}_POLLING_INTERVAL": "0.1" for name in waits}
        environment = {**os.environ, **settings, "HOME": str(home)}
        assert OLDER is not None
        done = subprocess.run([OLDER, str(DRIVER)], env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["step"]: line for line in lines}


@pytest.mark.parametrize("step", GIVES)
def test_a_step_of_the_older_sdk(told: dict[str, dict[str, Any]], step: str) -> None:
    line = told[step]
    assert "failed" not in line, f"{line['failed']}\n{line['trace']}"
    assert {name: line["gave"][name] for name in GIVES[step]} == GIVES[step]


def test_every_step_is_looked_at(told: dict[str, dict[str, Any]]) -> None:
    assert list(told) == list(GIVES)

"""What every test gets: both event loops, a clean environment, an empty working directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from qianfan.config import PREFIX, reset_config


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Async tests run on both event loops."""
    return request.param


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """No QIANFAN_ variable, no stray .env, nothing assigned by an earlier test."""
    for variable in list(os.environ):
        if variable.startswith(PREFIX) or variable.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    # Trainers keep their state below the home folder, which must not be the developer's own.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    reset_config()
    yield
    reset_config()

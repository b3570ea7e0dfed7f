"""Where tiny models are trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.tiny_runs import Runs


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)

"""A pytest fixture with an emulator. Loaded in every test run with qianfan installed, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from qianfan.emulator import Emulator


@pytest.fixture
def qianfan_emulator() -> Iterator[Emulator]:
    """An emulator at instant pace that every client talks to for the length of one test.

    Its trainings are scripted (`emulator.training.script(...)`), so that a test decides what its client sees.
    """
    from qianfan.emulator import Emulator

    with Emulator(engine="scripted") as emulator:
        yield emulator

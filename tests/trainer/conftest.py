"""An emulated account for every test of the trainers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qianfan.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A platform in this process, where everything is over at the first or second look."""
    with Emulator(engine="scripted") as emulator:
        yield emulator

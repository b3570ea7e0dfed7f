"""An emulated platform, and a service of it that answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qianfan.emulator import Emulator
from qianfan.model import Service, ServiceType


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(engine="scripted") as emulator:
        yield emulator


@pytest.fixture
def service(emulator: Emulator) -> Service:
    """A preset model, which says what it was asked."""
    return Service(model="ERNIE-Speed-8K", service_type=ServiceType.Chat)

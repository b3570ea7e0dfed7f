"""A platform on a clock that jumps, and one behind a proxy on real sockets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from qianfan.emulator import Emulator
from tests.faults.support import EventfulClock
from tests.support.faultproxy import FaultProxy, serving

_MEMORY = "/dev/shm"


@contextmanager
def _in_memory() -> Iterator[None]:
    """Put temporary folders that are made now, and the journals in them, where a commit costs no turn of a disk."""
    usual, tempfile.tempdir = tempfile.tempdir, _MEMORY if os.access(_MEMORY, os.W_OK) else tempfile.tempdir
    try:
        yield
    finally:
        tempfile.tempdir = usual


@pytest.fixture
def clock() -> EventfulClock:
    return EventfulClock()


@pytest.fixture
def emulator(clock: EventfulClock) -> Iterator[Emulator]:
    """In this process, on the same clock as its clients."""
    with ExitStack() as stack:
        with _in_memory():
            emulator = stack.enter_context(Emulator(clock=clock, engine="scripted"))
        yield emulator


@pytest.fixture(scope="session")
def _served() -> Iterator[tuple[Emulator, str]]:
    with ExitStack() as stack:
        with _in_memory():
            emulator = stack.enter_context(Emulator(activate=False, engine="scripted"))
        yield emulator, stack.enter_context(serving(emulator))


@pytest.fixture
def served(_served: tuple[Emulator, str]) -> Iterator[Emulator]:
    """On a socket, behind `proxy`, in real time."""
    emulator = _served[0]
    emulator.reset()
    yield emulator
    emulator.quirks.change({"job_delete_takes_tasks": False, "task_in_deleted_job": False})


@pytest.fixture
def proxy(served: Emulator, _served: tuple[Emulator, str]) -> Iterator[FaultProxy]:
    with FaultProxy(_served[1]) as proxy:
        yield proxy

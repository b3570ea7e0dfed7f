"""What tests with PyTorch get: nothing where it is not installed, no network, one thread, and models to begin with."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the libraries are imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

if find_spec("torch"):
    from tests.engines.hf.making import Bench, Trained, make_pretrained


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The libraries warn of each other's coming changes; that is not ours to mend."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A connection to anywhere but this machine fails, and so does the test, even where a library bears it."""
    tried: list[Any] = []
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None) and not _is_here(address[0]):
            tried.append(address)
            raise OSError(f"no network here: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    yield
    assert tried == []


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model from scratch that has learnt forty rows, with three checkpoints."""
    return Trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Path:
    """A folder as a user would bring it, with a model that was not made here."""
    return make_pretrained(trained.model, tmp_path_factory.mktemp("pretrained") / "Small-Llama")

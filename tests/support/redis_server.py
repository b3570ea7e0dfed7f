"""A Redis server of the tests' own, in a process beside them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


class RedisServer:
    """Started on a free port; nothing of it stays."""

    def __init__(self, password: str = "") -> None:
        self._password = password
        self._folder = Path(tempfile.mkdtemp(prefix="qianfan-redis-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{f':{self._password}@' if self._password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty."""
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        options |= {"requirepass": self._password} if self._password else {}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen(
            [found_or_skipped(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        raise AssertionError(f"redis-server did not start: {''.join(said)}")

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)


def found_or_skipped() -> str:
    """The path of redis-server. Where tests decide what lands it has to be there; elsewhere its tests are skipped."""
    path = shutil.which("redis-server")
    if path is None and not os.environ.get("CI"):
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    assert path is not None, "redis-server is not installed, and CI is set: apt-get install redis-server"
    return path

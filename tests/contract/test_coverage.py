"""The table of what is covered has no gap and is as the code is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract import coverage

PROTOCOL = Path(__file__).parents[3] / "shared" / "protocol" / "console.md"


def test_there_is_no_empty_cell() -> None:
    assert coverage.missing() == []


def test_the_page_is_as_the_code_is() -> None:
    told = "run: python -m tests.contract.coverage --write"
    for file, text in coverage.pages().items():
        assert file.read_text(encoding="utf-8") == text, told


def test_every_route_of_the_emulator_is_listed() -> None:
    listed = {endpoint for endpoints in coverage.ENDPOINTS.values() for endpoint in endpoints}
    assert set(coverage.emulator_routes()) - listed <= set(coverage.ALSO_SERVED)


@pytest.mark.skipif(not PROTOCOL.is_file(), reason="the protocol's notes are not beside this checkout")
def test_the_list_is_that_of_the_protocol() -> None:
    """109 endpoints of the console, in the order of the index."""
    index = PROTOCOL.read_text(encoding="utf-8").split("Endpoint index")[1]
    rows = [line.split("|")[3:5] for line in index.splitlines() if re.match(r"\| \d+ \|", line)]
    wanted: list[str] = []
    for first, second in rows:
        folder = ""
        for path in re.findall(r"`(?:GET )?([^`]+)`", first):
            folder = folder or path.rpartition("/")[0]
            wanted.append(path if path.startswith("/") else f"{folder}/{path}")
        wanted += re.findall(r"\b[A-Z]\w*[a-z][A-Z]\w*", re.sub("`[^`]*`", "", second))
    console = [name for name in coverage.ENDPOINTS if name not in ("inference", "auth")]
    listed = [endpoint for area in console for endpoint in coverage.ENDPOINTS[area]]
    assert len(listed) == 109
    assert sorted(listed) == sorted(wanted)

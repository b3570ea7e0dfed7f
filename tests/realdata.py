"""Real data for tests: public demonstration sets that the project does not ship.

They are looked for in the folder that QIANFAN_TEST_DATA names, else in one beside the repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read at import, since tests run without any QIANFAN_ variable.
_FOLDER = Path(os.environ.get("QIANFAN_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")


def real_file(name: str) -> Path:
    """The path of a data file; skips the test where it is not there."""
    path = _FOLDER / name
    if not path.is_file():
        pytest.skip(f"no {name} here; QIANFAN_TEST_DATA names a folder that has it")
    return path

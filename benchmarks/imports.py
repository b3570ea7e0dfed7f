"""What do imports cost, beside the libraries that they need anyway?"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measure import median_seconds

STATEMENTS = [
    "pass",
    "import qianfan",
    "import httpx, anyio, pydantic",
    "from qianfan.trainer import LLMFinetune",
    "import qianfan.cli.main",
]


def main() -> None:
    nothing = 0.0
    for statement in STATEMENTS:
        command = [sys.executable, "-c", statement]
        seconds = median_seconds(lambda command=command: subprocess.run(command, check=True))  # type: ignore[misc]
        nothing = nothing or seconds
        print(f"{statement:<42} {(seconds - nothing) * 1000:6.0f} ms more than an empty program")


if __name__ == "__main__":
    main()

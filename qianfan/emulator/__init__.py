"""A local double of the Qianfan platform, for tests, demonstrations and working without an account.

```python
from qianfan.emulator import Emulator

with Emulator() as emulator:
    ...                              # clients made here talk to it
    assert emulator.count("CreateFineTuningTask") == 1
```

It keeps datasets, trainings, models, services and a small object storage, moves them through the platform's life
cycles at a pace you choose, and fails on order. Trainings are simulated, and every answer with simulated numbers
says so. `qianfan.emulator.server` serves it on a socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qianfan.emulator.sample import sample_path
    from qianfan.emulator.session import Emulator

__all__ = ["Emulator", "sample_path"]


def __getattr__(name: str) -> object:
    # Lazily, since pytest loads this package in every run of everyone who has qianfan installed.
    if name == "Emulator":
        from qianfan.emulator.session import Emulator

        return Emulator
    if name == "sample_path":
        from qianfan.emulator.sample import sample_path

        return sample_path
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

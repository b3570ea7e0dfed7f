"""A local double of the Qianfan platform, for tests, demonstrations and working without an account.

```python
from qianfan.emulator import Emulator

with Emulator() as emulator:
    ...                              # clients made here talk to it
    assert emulator.count("CreateFineTuningTask") == 1
```

It keeps datasets, trainings, models, services and a small object storage, and fails on order. Trainings are real: an
engine in a process of its own learns the uploaded rows, and a deployed service answers with what was learnt. The
engine "scripted" moves everything through the platform's life cycles at a pace you choose instead, for tests of
clients, and every answer with simulated numbers says so. `qianfan.emulator.server` serves it on a socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qianfan._lazy import lazy_names

if TYPE_CHECKING:
    from qianfan.emulator.sample import sample_path
    from qianfan.emulator.session import Emulator
    from qianfan.emulator.training.options import EngineOptions, engine_options

__all__ = ["Emulator", "EngineOptions", "engine_options", "sample_path"]

# Lazily, since pytest loads this package in every run of everyone who has qianfan installed.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "qianfan.emulator.sample": ["sample_path"],
        "qianfan.emulator.session": ["Emulator"],
        "qianfan.emulator.training.options": ["EngineOptions", "engine_options"],
    },
)

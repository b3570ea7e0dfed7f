"""The learning rates of the other engines are those of transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import TrainingArguments, get_scheduler

from qianfan.engines.schedules import SCHEDULES, ScheduleName, schedule, warmup_steps

PEAK = 3e-4


@pytest.mark.parametrize("steps", [1, 7, 64])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("details", [{}, {"num_cycles": 0.3, "lr_end": 1e-6, "power": 2}])
def test_rates_are_those_of_transformers(name: ScheduleName, ratio: float, steps: int, details: dict[str, Any]) -> None:
    taken = {"cosine": ("num_cycles",), "polynomial": ("lr_end", "power")}.get(name, ())
    details = {key: details[key] for key in taken if key in details}
    warmup = warmup_steps(ratio, steps)
    if name == "polynomial" and warmup == steps:
        pytest.skip("transformers divides by zero there")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = get_scheduler(name, optimizer, warmup, steps, details)
    ours = schedule(name, PEAK, steps, warmup, **details)
    for done in range(steps):
        assert ours(done) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-6, abs=1e-15)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.1, 0.333])
def test_so_is_the_length_of_the_warm_up(ratio: float, tmp_path: Any) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), warmup_steps=ratio, use_cpu=True)
    assert warmup_steps(ratio, 77) == arguments.get_warmup_steps(77)

"""Where it is computed: one GPU where there is one, else the processor."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch

from qianfan.engines.backend import EngineError


def use_one_gpu() -> None:
    """Hide all GPUs but the first from the libraries, which would otherwise want a launcher for several.

    It has an effect until the first of them is used.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]


def has_gpu() -> bool:
    return bool(torch.cuda.is_available())


def device() -> torch.device:
    return torch.device("cuda:0" if has_gpu() else "cpu")


def computes_in_bf16() -> bool:
    """Whether the device computes fast in bfloat16; older GPUs and processors do not."""
    return has_gpu() and bool(torch.cuda.is_bf16_supported(including_emulation=False))


def precision() -> torch.dtype:
    """Of weights that are used and not changed."""
    return torch.bfloat16 if computes_in_bf16() else torch.float32


@contextmanager
def explaining_memory() -> Generator[None]:
    """Turn an allocation that failed into an EngineError that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_about_memory(error):
            raise
        raise EngineError(
            "out_of_memory",
            f"the {'GPU' if has_gpu() else 'machine'} has not enough memory: {str(error).partition('. ')[0]}",
            "take a smaller batchSize or maxSeqLen, LoRA in place of FullFineTuning, or a smaller model",
        ) from error


def _is_about_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)

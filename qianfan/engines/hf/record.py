"""What a checkpoint's folder says of itself, so that it can be published, or gone on from, without its training."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from qianfan.engines.backend import EngineError
from qianfan.engines.rows import Mode
from qianfan.engines.spec import Scale

SOFT_PROMPT: Final = "soft_prompt.safetensors"
"""In a model's folder, what PromptTuning has learnt: vectors that go before every prompt, (tokens, width)."""
BASE: Final = "base"
"""The folder inside a checkpoint with the model that its adapters belong to, where no other folder is known to stay."""

_RECORD = "checkpoint.json"


class CheckpointRecord(BaseModel):
    """What is trained, from what, and how it is to be published.

    base: in words for people. base_folder: the model that adapters belong to; None where it lies inside.
    precision: of the weights when they are published, by torch's name; they may be trained in another one.
    """

    model_config = ConfigDict(frozen=True)

    mode: Mode
    scale: Scale
    base: str
    base_folder: Path | None
    precision: str = "float32"

    def write(self, checkpoint: Path) -> None:
        (checkpoint / _RECORD).write_text(self.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def read(cls, checkpoint: Path) -> CheckpointRecord:
        """Raises EngineError where this folder is no checkpoint of these engines."""
        try:
            return cls.model_validate_json((checkpoint / _RECORD).read_bytes())
        except (OSError, ValidationError):
            raise EngineError("bad_checkpoint", f"{checkpoint} is no checkpoint that can be read here") from None

    def base_of(self, checkpoint: Path) -> Path:
        """The folder of the model that the checkpoint's adapters belong to."""
        return self.base_folder or checkpoint / BASE


def has_adapter(checkpoint: Path) -> bool:
    """Whether a checkpoint holds adapters only, not a whole model."""
    return (checkpoint / "adapter_config.json").exists()

"""Hyper-parameters: what is asked for by the platform's names, and what a tiny model makes of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from qianfan._types import JSON
from qianfan.engines.backend import BadHyperParameter
from qianfan.engines.rows import Mode
from qianfan.engines.schedules import Schedule, ScheduleName, schedule, warmup_steps
from qianfan.engines.spec import Scale

LARGEST_BATCH: Final = 8
"""More examples at once, and a model from scratch gets too few updates."""

CONTEXT: Final = 512
"""Tokens that the largest model here can look at."""

Module = Literal[
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
]

_MATRIX_OF: Final[Mapping[Module, str]] = {
    "self_attn.q_proj": "qkv",
    "self_attn.k_proj": "qkv",
    "self_attn.v_proj": "qkv",
    "self_attn.o_proj": "out",
    "mlp.gate_proj": "up",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
}


def _listed(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


class Recipe(BaseModel):
    """How a tiny model is trained. Fields have the platform's names in snake case; what is left out takes its default.

    checkpoint_count: None keeps all. save_step: None saves only at the end. lora_alpha: None is twice the rank.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    epoch: int = Field(1, ge=1)
    learning_rate: float = Field(3e-5, gt=0)
    batch_size: int = Field(LARGEST_BATCH, ge=1, validation_alias=AliasChoices("globalBatchSize", "batchSize"))
    max_seq_len: int = Field(CONTEXT, ge=8)
    seed: int = Field(42, ge=0)

    scheduler: ScheduleName = Field("linear", validation_alias=AliasChoices("lrSchedulerType", "schedulerName"))
    warmup_ratio: float = Field(0.1, ge=0, le=1)
    num_cycles: float = 0.5
    lr_end: float = Field(1e-7, ge=0)
    power: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.01, ge=0)

    logging_steps: int = Field(1, ge=1)
    checkpoint_count: int | None = Field(None, ge=1)
    checkpoint_save_strategy: Literal["step", "epoch"] = "step"
    save_step: int | None = Field(None, ge=1)
    validation_step: int = Field(0, ge=0)
    early_stopping: bool = False
    early_stopping_patience: int = Field(3, ge=1)
    early_stopping_threshold: float = Field(0.0, ge=0)

    lora_rank: int = Field(8, ge=1)
    lora_alpha: float | None = Field(None, gt=0)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    lora_all_linear: bool = True
    lora_target_modules: Annotated[tuple[Module, ...], BeforeValidator(_listed)] = ()

    dpo_beta: float = Field(0.1, gt=0)

    @classmethod
    def read(cls, values: Mapping[str, JSON]) -> Recipe:
        """From values by the platform's names. Raises BadHyperParameter."""
        try:
            recipe = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise BadHyperParameter(str(first["loc"][0]), first["msg"]) from error
        if recipe.scheduler == "polynomial" and recipe.lr_end >= recipe.learning_rate:
            raise BadHyperParameter("lrEnd", f"{recipe.lr_end} is not below the learning rate {recipe.learning_rate}")
        return recipe

    def schedule(self, steps: int) -> Schedule:
        """The learning rate of each of so many updates."""
        return schedule(
            self.scheduler,
            self.learning_rate,
            steps,
            warmup_steps(self.warmup_ratio, steps),
            num_cycles=self.num_cycles,
            lr_end=self.lr_end,
            power=self.power,
        )

    def batches(self, examples: int) -> int:
        """Updates in one pass over so many examples."""
        return math.ceil(examples / self.batch_size)

    def saves_every(self, batches: int) -> int | None:
        """Steps from one checkpoint to the next, where a pass has so many batches; None: only at the end."""
        return batches if self.checkpoint_save_strategy == "epoch" else self.save_step

    def adapted(self) -> tuple[str, ...]:
        """The matrices of a block that get adapters."""
        if self.lora_target_modules:
            return tuple(sorted({_MATRIX_OF[module] for module in self.lora_target_modules}))
        return ("qkv", "out", "up", "down") if self.lora_all_linear else ("qkv",)

    @property
    def lora_scale(self) -> float:
        return (self.lora_alpha or 2 * self.lora_rank) / self.lora_rank


_ALWAYS: Final = {
    *("epoch", "learningRate", "maxSeqLen", "seed", "batchSize", "globalBatchSize"),
    *("schedulerName", "lrSchedulerType", "weightDecay"),
    *("loggingSteps", "checkpointCount", "checkpointSaveStrategy"),
    *("pseudoSamplingProb", "splitRatio"),  # these two shaped the rows before they came here
}


def without_effect(keys: Iterable[str], recipe: Recipe, mode: Mode, scale: Scale, *, held_out: bool) -> list[str]:
    """Those of the keys that change nothing in such a training."""
    stops_early = held_out and recipe.early_stopping
    only_if = {
        "warmupRatio": recipe.scheduler != "constant",
        "numCycles": recipe.scheduler == "cosine",
        "lrEnd": recipe.scheduler == "polynomial",
        "power": recipe.scheduler == "polynomial",
        "saveStep": recipe.checkpoint_save_strategy == "step",
        "validationStep": held_out,
        "earlyStopping": held_out or not recipe.early_stopping,
        "earlyStopMetric": stops_early,
        "earlyStoppingPatience": stops_early,
        "earlyStoppingThreshold": stops_early,
        "dpoBeta": mode == "DPO",
        "loraRank": scale == "LoRA",
        "loraAlpha": scale == "LoRA",
        "loraDropout": scale == "LoRA",
        "loraAllLinear": scale == "LoRA" and not recipe.lora_target_modules,
        "loraTargetModules": scale == "LoRA",
    }
    return [key for key in keys if key not in _ALWAYS and not only_if.get(key, False)]

"""From the platform's hyper-parameters to the arguments of transformers, trl and peft. Pure: imports none of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qianfan._types import JSON
from qianfan.engines.backend import BadHyperParameter, EngineError
from qianfan.engines.rows import Mode
from qianfan.engines.schedules import SCHEDULES
from qianfan.engines.spec import Scale
from qianfan.engines.values import Values

ROWS_AT_ONCE: Final = 4
"""Of a pretrained model, where neither batch size was asked for: it must fit into the memory of usual devices."""
SCRATCH_ROWS_AT_ONCE: Final = 8
"""Of a model from scratch, at most: few rows must still make many steps."""
LONGEST: Final = 4096
"""Tokens of a row, where no length was asked for."""
VIRTUAL_TOKENS: Final = 16


@dataclass(frozen=True)
class Setting:
    """What decides together with the hyper-parameters.

    held_out: whether there are rows to validate with. as_asked: nothing is adapted to a model from scratch. cuda, bf16:
    there is a GPU, and it computes fast in bfloat16. context: tokens that the model can take, None when it sets no
    limit.
    """

    mode: Mode
    scale: Scale
    held_out: bool = False
    from_scratch: bool = False
    as_asked: bool = False
    cuda: bool = False
    bf16: bool = False
    context: int | None = None


@dataclass(frozen=True)
class EarlyStopping:
    """End when the validation loss has not fallen by more than `threshold` in `patience` evaluations."""

    patience: int
    threshold: float


@dataclass(frozen=True)
class Arguments:
    """How to train.

    training: keywords of SFTConfig, DPOConfig or KTOConfig, all but the output folder. adapter: keywords of LoraConfig
    or PromptTuningConfig, None when all weights are trained. save_every: steps between checkpoints, None for one after
    each pass; keep: how many of the last are kept.
    effective: the hyper-parameters by the platform's names as they are used; notes: what else the reader should know.
    """

    training: Mapping[str, object]
    adapter: Mapping[str, object] | None
    save_every: int | None
    keep: int
    early_stopping: EarlyStopping | None
    batch: int
    accumulation: int
    epochs: float
    seed: int
    effective: Mapping[str, JSON]
    notes: tuple[str, ...]

    def steps_per_pass(self, examples: int) -> int:
        """Updates of the weights in one pass over so many examples."""
        return math.ceil(math.ceil(examples / self.batch) / self.accumulation)

    def steps(self, examples: int) -> int:
        """Updates of the weights in all."""
        return math.ceil(self.epochs * self.steps_per_pass(examples))


def map_arguments(asked: Mapping[str, JSON], setting: Setting) -> Arguments:
    """The arguments that these hyper-parameters mean. Raises BadHyperParameter, and EngineError for a bad scale."""
    values, notes = Values(asked), list[str]()
    batch, accumulation = _batch(values, setting, notes)
    epochs = values.number("epoch", 1, least=1e-6)
    rate = values.number("learningRate", 3e-5, least=1e-12)
    seed = values.whole("seed", 42)
    length = _length(values, setting, notes)
    training: dict[str, object] = {
        "num_train_epochs": epochs,
        "learning_rate": rate,
        "per_device_train_batch_size": batch,
        "per_device_eval_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "max_length": length,
        "warmup_steps": values.number("warmupRatio", 0.0, most=0.999),  # below 1 it is a share of all steps
        "weight_decay": values.number("weightDecay", 0.0),
        "logging_steps": values.whole("loggingSteps", 1, least=1),
        "seed": seed,
        "data_seed": seed,
        **_schedule(values, rate),
        **_of_mode(values, setting),
        **_evaluation(values, setting, notes),
        **_surroundings(setting),
    }
    adapter = _adapter(values, setting)
    by_step = values.one_of("checkpointSaveStrategy", ("step", "epoch"), "step") == "step"
    interval, keep = values.whole("saveStep", 64, least=1), values.whole("checkpointCount", 1, least=1)
    early_stopping = _early_stopping(values, setting, notes)
    idle = values.unread()
    notes += [f"{key} has no effect here" for key in idle]
    effective = {
        **{key: value for key, value in asked.items() if key not in idle},
        "epoch": epochs if epochs % 1 else int(epochs),
        "learningRate": rate,
        "batchSize": batch,
        "gradientAccumulationSteps": accumulation,
        "maxSeqLen": length,
    }
    if values.has("globalBatchSize"):
        effective["globalBatchSize"] = batch * accumulation
    return Arguments(
        training=training,
        adapter=adapter,
        save_every=interval if by_step else None,
        keep=keep,
        early_stopping=early_stopping,
        batch=batch,
        accumulation=accumulation,
        epochs=epochs,
        seed=seed,
        effective=effective,
        notes=tuple(notes),
    )


def _batch(values: Values, setting: Setting, notes: list[str]) -> tuple[int, int]:
    """(rows at once, how many times before the weights are updated)."""
    usual = SCRATCH_ROWS_AT_ONCE if setting.from_scratch else ROWS_AT_ONCE
    accumulation = values.whole("gradientAccumulationSteps", 0) or 1  # 0 leaves it to the engine
    if values.has("batchSize"):
        batch = values.whole("batchSize", usual, least=1)
    elif values.has("globalBatchSize"):
        together = values.whole("globalBatchSize", usual, least=1)
        batch = max(part for part in range(1, usual + 1) if together % part == 0)
        accumulation = together // batch
    else:
        batch = usual
        notes.append(f"no batch size was given: {batch} rows at once")
    if setting.from_scratch and not setting.as_asked:
        batch, accumulation = min(batch, SCRATCH_ROWS_AT_ONCE), 1
    if setting.mode == "KTO" and batch < 2:
        batch = 2
        notes.append("KTO compares the rows of a batch: 2 rows at once")
    return batch, accumulation


def _length(values: Values, setting: Setting, notes: list[str]) -> int:
    context = setting.context or LONGEST
    length = values.whole("maxSeqLen", min(context, LONGEST), least=8)
    if setting.context is not None and length > setting.context:
        notes.append(f"maxSeqLen {length} is more than the model takes: {setting.context}")
        return setting.context
    return length


def _schedule(values: Values, rate: float) -> dict[str, object]:
    key = "schedulerName" if values.has("schedulerName") else "lrSchedulerType"
    name = values.one_of(key, SCHEDULES, "linear")
    details: dict[str, object] = {}
    if name == "cosine":
        details = {"num_cycles": values.number("numCycles", 0.5)}
    elif name == "polynomial":
        end = values.number("lrEnd", 1e-7)
        if end >= rate:
            raise BadHyperParameter("lrEnd", f"{end:g} is not below learningRate, {rate:g}")
        details = {"lr_end": end, "power": values.number("power", 1)}
    return {"lr_scheduler_type": name, "lr_scheduler_kwargs": details}


def _of_mode(values: Values, setting: Setting) -> dict[str, object]:
    if setting.mode in ("DPO", "KTO"):
        return {
            "beta": values.number("dpoBeta", 0.1, least=1e-9),
            # A second model for reference takes as much memory again; adapters are switched off instead.
            "precompute_ref_log_probs": setting.scale == "FullFineTuning",
        }
    packing = values.flag("Packing", False)
    return {"completion_only_loss": setting.mode == "SFT", "packing": packing, "eval_packing": False}


def _evaluation(values: Values, setting: Setting, notes: list[str]) -> dict[str, object]:
    interval = values.whole("validationStep", 0)
    if not setting.held_out:
        if interval:
            notes.append("validationStep has no effect: no rows are held out")
        return {"eval_strategy": "no"}
    # 0 leaves the evaluations at checkpoints; an interval that is never reached comes to the same.
    return {"eval_strategy": "steps", "eval_steps": interval or 10**9}


def _early_stopping(values: Values, setting: Setting, notes: list[str]) -> EarlyStopping | None:
    wanted = values.flag("earlyStopping", False)
    values.one_of("earlyStopMetric", ("ValidationLoss",), "ValidationLoss")
    stopping = EarlyStopping(
        patience=values.whole("earlyStoppingPatience", 3, least=1),
        threshold=values.number("earlyStoppingThreshold", 0.01),
    )
    if wanted and not setting.held_out:
        notes.append("earlyStopping has no effect: no rows are held out")
    return stopping if wanted and setting.held_out else None


def _surroundings(setting: Setting) -> dict[str, object]:
    """What follows from the device and the model, not from hyper-parameters."""
    surroundings: dict[str, object] = {
        "use_cpu": not setting.cuda,
        "bf16": setting.bf16,
        "activation_checkpointing": setting.cuda,  # memory is what is scarce there
        "dataloader_pin_memory": setting.cuda,
        "report_to": "none",
        "logging_nan_inf_filter": False,  # a loss that is no number shall show
        "disable_tqdm": True,
        "save_strategy": "no",  # checkpoints are asked for by the engine's own callback
        "save_only_model": True,
        "metric_for_best_model": "eval_loss" if setting.held_out else None,
        "greater_is_better": False if setting.held_out else None,
    }
    if setting.from_scratch:
        surroundings["adam_beta2"] = 0.99
    return surroundings


def _adapter(values: Values, setting: Setting) -> dict[str, object] | None:
    match setting.scale:
        case "FullFineTuning":
            return None
        case "PromptTuning":
            if setting.from_scratch:
                raise EngineError(
                    "bad_scale",
                    "PromptTuning steers a model that can speak already; a model from scratch cannot",
                    "give the folder of a pretrained model, or take LoRA or FullFineTuning",
                )
            if setting.mode not in ("SFT", "PostPretrain"):
                raise EngineError("bad_scale", f"{setting.mode} is not trained with PromptTuning", "take LoRA")
            return {"num_virtual_tokens": VIRTUAL_TOKENS}
        case "LoRA":
            return _lora(values, setting)


def _lora(values: Values, setting: Setting) -> dict[str, object]:
    rank = values.whole("loraRank", 8, least=1)
    if modules := values.names("loraTargetModules"):
        target: object = modules
    else:
        target = "all-linear" if values.flag("loraAllLinear", True) else None  # None: what peft takes by itself
    lora: dict[str, object] = {
        "r": rank,
        "lora_alpha": values.number("loraAlpha", 2 * rank),
        "lora_dropout": values.number("loraDropout", 0.0, most=0.999),
        "target_modules": target,
    }
    if setting.from_scratch:
        # Embeddings that have learnt nothing must be trained too, or next to nothing is learnt.
        lora |= {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}
    return lora

"""A training's configuration in LLaMA-Factory's keys. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qianfan._types import JSON
from qianfan.engines.backend import EngineError
from qianfan.engines.command.model import Model
from qianfan.engines.command.rows import HELD_OUT, TRAINING
from qianfan.engines.hf.arguments import Arguments, Setting, map_arguments
from qianfan.engines.rows import Mode
from qianfan.engines.spec import Scale, TrainSpec

_STAGES: Final[dict[Mode, str]] = {"SFT": "sft", "PostPretrain": "pt", "DPO": "dpo", "KTO": "kto"}
_TYPES: Final[dict[Scale, str]] = {"FullFineTuning": "full", "LoRA": "lora"}
_USUAL_TARGET: Final = "q_proj,v_proj"
"""Where not all linear layers are to get adapters: what peft takes by itself for most models."""


@dataclass(frozen=True)
class Places:
    """Folders of a training. data: with `dataset_info.json`; output: that the trainer writes to."""

    data: Path
    output: Path


def arguments_for(spec: TrainSpec) -> Arguments:
    """The hyper-parameters as arguments of a trainer. Raises BadHyperParameter, and EngineError for a bad scale."""
    if spec.scale not in _TYPES:
        raise EngineError("bad_scale", f"LLaMA-Factory has no {spec.scale}", "take LoRA or FullFineTuning")
    asked = {**spec.defaults, **spec.hyper_parameters}
    return map_arguments(asked, Setting(spec.mode, spec.scale, held_out=spec.eval_file is not None))


def configuration(
    spec: TrainSpec, arguments: Arguments, model: Model, places: Places, *, bf16: bool
) -> dict[str, JSON]:
    """All keys of the configuration file."""
    training = arguments.training
    config: dict[str, JSON] = {
        "model_name_or_path": str(model.folder),
        "adapter_name_or_path": None if model.adapter is None else str(model.adapter),
        "stage": _STAGES[spec.mode],
        "do_train": True,
        "finetuning_type": _TYPES[spec.scale],
        "dataset_dir": str(places.data),
        "dataset": TRAINING,
        "cutoff_len": training["max_length"],
        "output_dir": str(places.output),
        "overwrite_output_dir": True,
        "overwrite_cache": True,
        "report_to": "none",
        "logging_steps": training["logging_steps"],
        "save_only_model": True,
        "save_total_limit": arguments.keep,
        "num_train_epochs": arguments.epochs,
        "learning_rate": training["learning_rate"],
        "per_device_train_batch_size": arguments.batch,
        "gradient_accumulation_steps": arguments.accumulation,
        "lr_scheduler_type": training["lr_scheduler_type"],
        "lr_scheduler_kwargs": training["lr_scheduler_kwargs"] or None,
        "warmup_ratio": training["warmup_steps"],
        "weight_decay": training["weight_decay"],
        "packing": training.get("packing"),
        "pref_beta": training.get("beta"),
        "seed": arguments.seed,
        "data_seed": arguments.seed,
        "bf16": bf16,
        **_saving(arguments),
        **_adapter(arguments.adapter),
        **_evaluation(spec, arguments),
    }
    return {key: value for key, value in config.items() if value is not None}


def _saving(arguments: Arguments) -> dict[str, JSON]:
    if arguments.save_every is None:
        return {"save_strategy": "epoch"}
    return {"save_strategy": "steps", "save_steps": arguments.save_every}


def _adapter(adapter: Mapping[str, object] | None) -> dict[str, JSON]:
    if adapter is None:
        return {}
    match adapter["target_modules"]:
        case "all-linear":
            target = "all"
        case [*names]:
            target = ",".join(str(name) for name in names)
        case _:
            target = _USUAL_TARGET
    return {
        "lora_rank": adapter["r"],
        "lora_alpha": round(float(str(adapter["lora_alpha"]))),
        "lora_dropout": adapter["lora_dropout"],
        "lora_target": target,
    }


def _evaluation(spec: TrainSpec, arguments: Arguments) -> dict[str, JSON]:
    if spec.eval_file is None:
        return {}
    evaluation: dict[str, JSON] = {
        "eval_dataset": HELD_OUT,
        "eval_strategy": "steps",
        "eval_steps": arguments.training["eval_steps"],
        "per_device_eval_batch_size": arguments.batch,
    }
    if arguments.early_stopping is not None:
        evaluation |= {
            "early_stopping_steps": arguments.early_stopping.patience,
            "metric_for_best_model": "eval_loss",
            "greater_is_better": False,
        }
    return evaluation

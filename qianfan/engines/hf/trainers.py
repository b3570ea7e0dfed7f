"""trl's trainers, one for each mode of training."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import transformers
import trl
from jinja2 import TemplateError
from peft import LoraConfig, PromptTuningConfig
from transformers import EarlyStoppingCallback, PrinterCallback

from qianfan.engines.backend import EngineError
from qianfan.engines.hf.preparing import Preparation
from qianfan.engines.hf.tokenizing import TokenIds
from qianfan.engines.rows import Mode
from qianfan.engines.spec import Scale


def quieten() -> None:
    """Leave the log to what is worth reading."""
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("trl").setLevel(logging.ERROR)


def make_trainer(preparation: Preparation, model: Any, output: Path) -> Any:
    """A trainer of the mode, ready to train. model: may have adapters already, which are then trained further.

    Raises EngineError where trl, peft or the model's chat template refuse the model or the rows.
    """
    config_type, trainer_type = _types_of(preparation.spec.mode)
    arguments = preparation.arguments
    try:
        trainer = trainer_type(
            model=model,
            args=config_type(output_dir=str(output), **arguments.training),
            train_dataset=datasets.Dataset.from_list(preparation.examples).shuffle(seed=arguments.seed),
            eval_dataset=datasets.Dataset.from_list(preparation.held_out) if preparation.held_out else None,
            processing_class=preparation.tokenizer,
            peft_config=None if hasattr(model, "peft_config") else _adapter_config(preparation),
        )
    except (ValueError, TemplateError) as error:
        raise EngineError("refused", f"{type(error).__name__}: {error}") from error
    trainer.remove_callback(PrinterCallback)
    if (early := arguments.early_stopping) is not None:
        trainer.add_callback(EarlyStoppingCallback(early.patience, early.threshold))
    return trainer


def _types_of(mode: Mode) -> tuple[Any, Any]:
    """(configuration, trainer)."""
    name = {"SFT": "SFT", "PostPretrain": "SFT", "DPO": "DPO", "KTO": "KTO"}[mode]
    try:
        return getattr(trl, f"{name}Config"), getattr(trl, f"{name}Trainer")
    except AttributeError:
        raise EngineError("bad_mode", f"trl {trl.__version__} cannot train {mode}", "pip install -U trl") from None


def _adapter_config(preparation: Preparation) -> LoraConfig | PromptTuningConfig | None:
    keywords = preparation.arguments.adapter
    if keywords is None:
        return None
    scale: Scale = preparation.spec.scale
    kind = LoraConfig if scale == "LoRA" else PromptTuningConfig
    return kind(task_type="CAUSAL_LM", **keywords)


def good_pairs(dataset: Any, length: int) -> Iterator[tuple[TokenIds, TokenIds]]:
    """Tokens of (prompt, answer) that should be likely, of a data set that DPO or KTO have prepared.

    length: of both together, at most.
    """
    for row in dataset:
        prompt, answer = row["prompt_ids"], row.get("chosen_ids", row.get("completion_ids"))
        if row.get("label", True) and len(prompt) < length:
            yield prompt, answer[: length - len(prompt)]

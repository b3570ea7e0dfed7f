"""What the platform's hyper-parameters are for transformers, trl and peft: a table, without those libraries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qianfan.engines.backend import BadHyperParameter, EngineError
from qianfan.engines.hf.arguments import Arguments, EarlyStopping, Setting, map_arguments

SFT = Setting("SFT", "LoRA", held_out=True, context=8192)
FULL = replace(SFT, scale="FullFineTuning")
SCRATCH = replace(FULL, from_scratch=True)
ALONE = replace(SFT, held_out=False)
DPO = replace(FULL, mode="DPO")
KTO = replace(FULL, mode="KTO")


def training(setting: Setting = SFT, **asked: Any) -> dict[str, Any]:
    return dict(map_arguments(asked, setting).training)


@pytest.mark.parametrize(
    ("setting", "asked", "expected"),
    [
        (SFT, {"epoch": 3}, {"num_train_epochs": 3}),
        (SFT, {"learningRate": 3e-4}, {"learning_rate": 3e-4}),
        (SFT, {"batchSize": 2}, {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2}),
        (SFT, {"gradientAccumulationSteps": 0}, {"gradient_accumulation_steps": 1}),
        (SFT, {"gradientAccumulationSteps": 8}, {"gradient_accumulation_steps": 8}),
        (SFT, {"globalBatchSize": 16}, {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}),
        (SFT, {"globalBatchSize": 7}, {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 7}),
        (SFT, {"batchSize": 8, "globalBatchSize": 16}, {"per_device_train_batch_size": 8}),
        (SCRATCH, {"globalBatchSize": 16}, {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}),
        (SCRATCH, {"batchSize": 192}, {"per_device_train_batch_size": 8}),
        (replace(SCRATCH, as_asked=True), {"batchSize": 192}, {"per_device_train_batch_size": 192}),
        (KTO, {"batchSize": 1}, {"per_device_train_batch_size": 2}),
        (SFT, {"maxSeqLen": 512}, {"max_length": 512}),
        (SFT, {"maxSeqLen": 32768}, {"max_length": 8192}),
        (replace(SFT, context=None), {}, {"max_length": 4096}),
        (SFT, {"warmupRatio": 0.1}, {"warmup_steps": 0.1}),
        (SFT, {"weightDecay": 0.01}, {"weight_decay": 0.01}),
        (SFT, {}, {"lr_scheduler_type": "linear", "lr_scheduler_kwargs": {}}),
        (SFT, {"schedulerName": "constant"}, {"lr_scheduler_type": "constant"}),
        (
            SFT,
            {"lrSchedulerType": "cosine", "numCycles": 0.3, "power": 2},
            {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": 0.3}},
        ),
        (
            SFT,
            {"lrSchedulerType": "polynomial", "lrEnd": 1e-8, "power": 2},
            {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 1e-8, "power": 2}},
        ),
        (SFT, {"loggingSteps": 10}, {"logging_steps": 10}),
        (SFT, {"validationStep": 16}, {"eval_strategy": "steps", "eval_steps": 16}),
        (SFT, {"validationStep": 0}, {"eval_strategy": "steps", "eval_steps": 10**9}),
        (ALONE, {"validationStep": 16}, {"eval_strategy": "no", "metric_for_best_model": None}),
        (SFT, {"seed": 7}, {"seed": 7, "data_seed": 7}),
        (SFT, {"Packing": "True"}, {"packing": True, "completion_only_loss": True}),
        (replace(SFT, mode="PostPretrain"), {}, {"packing": False, "completion_only_loss": False}),
        (DPO, {"dpoBeta": 0.3}, {"beta": 0.3, "precompute_ref_log_probs": True}),
        (replace(DPO, scale="LoRA"), {}, {"beta": 0.1, "precompute_ref_log_probs": False}),
        (SFT, {}, {"use_cpu": True, "bf16": False, "activation_checkpointing": False, "report_to": "none"}),
        (replace(SFT, cuda=True, bf16=True), {}, {"use_cpu": False, "bf16": True, "activation_checkpointing": True}),
        (SCRATCH, {}, {"adam_beta2": 0.99}),
    ],
)
def test_the_table(setting: Setting, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    mapped = training(setting, **asked)
    assert {key: mapped[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("setting", "asked", "expected"),
    [
        (FULL, {"loraRank": 8}, None),
        (
            SFT,
            {"loraRank": 4, "loraAlpha": 32, "loraDropout": 0.1},
            {"r": 4, "lora_alpha": 32, "lora_dropout": 0.1, "target_modules": "all-linear"},
        ),
        (SFT, {"loraAllLinear": "False"}, {"r": 8, "lora_alpha": 16, "lora_dropout": 0, "target_modules": None}),
        (
            SFT,
            {"loraTargetModules": ["self_attn.q_proj", "mlp.up_proj"]},
            {"r": 8, "lora_alpha": 16, "lora_dropout": 0, "target_modules": ["self_attn.q_proj", "mlp.up_proj"]},
        ),
        (
            replace(SCRATCH, scale="LoRA"),
            {},
            {
                "r": 8,
                "lora_alpha": 16,
                "lora_dropout": 0,
                "target_modules": "all-linear",
                "modules_to_save": ["embed_tokens"],
                "ensure_weight_tying": True,
            },
        ),
        (replace(SFT, scale="PromptTuning"), {}, {"num_virtual_tokens": 16}),
    ],
)
def test_adapters(setting: Setting, asked: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert map_arguments(asked, setting).adapter == expected


@pytest.mark.parametrize(
    ("asked", "every", "keep"),
    [
        ({}, 64, 1),
        ({"saveStep": 256, "checkpointCount": 3}, 256, 3),
        ({"saveStep": 256, "checkpointSaveStrategy": "epoch"}, None, 1),
    ],
)
def test_checkpoints(asked: dict[str, Any], every: int | None, keep: int) -> None:
    arguments = map_arguments(asked, SFT)
    assert (arguments.save_every, arguments.keep) == (every, keep)


def test_early_stopping_needs_held_out_rows() -> None:
    asked = {"earlyStopping": "True", "earlyStoppingPatience": 5, "earlyStoppingThreshold": 0.1}
    assert map_arguments(asked, SFT).early_stopping == EarlyStopping(5, 0.1)
    alone = map_arguments(asked, ALONE)
    assert alone.early_stopping is None
    assert "earlyStopping has no effect: no rows are held out" in alone.notes


def test_keys_without_effect_are_noted_and_not_claimed() -> None:
    arguments = map_arguments({"power": 2, "loraRank": 8, "epoch": 1, "batchSize": 2}, FULL)
    assert arguments.notes == ("loraRank has no effect here", "power has no effect here")
    assert dict(arguments.effective) == {
        "epoch": 1,
        "batchSize": 2,
        "learningRate": 3e-5,
        "gradientAccumulationSteps": 1,
        "maxSeqLen": 4096,
    }


def test_values_that_are_changed_show_it() -> None:
    arguments = map_arguments({"maxSeqLen": 32768, "globalBatchSize": 10}, SFT)
    assert arguments.effective["maxSeqLen"] == 8192
    assert arguments.effective["globalBatchSize"] == 10
    assert "maxSeqLen 32768 is more than the model takes: 8192" in arguments.notes


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ({"epoch": 0}, "epoch"),
        ({"learningRate": -1}, "learningRate"),
        ({"batchSize": 1.5}, "batchSize"),
        ({"schedulerName": "sawtooth"}, "schedulerName"),
        ({"lrSchedulerType": "polynomial", "lrEnd": 1e-3}, "lrEnd"),
        ({"warmupRatio": 1.0}, "warmupRatio"),
        ({"loraAllLinear": "perhaps"}, "loraAllLinear"),
        ({"earlyStopMetric": "Accuracy"}, "earlyStopMetric"),
        ({"checkpointSaveStrategy": "hourly"}, "checkpointSaveStrategy"),
    ],
)
def test_bad_values_are_refused_by_name(asked: dict[str, Any], key: str) -> None:
    with pytest.raises(BadHyperParameter) as refused:
        map_arguments(asked, SFT)
    assert refused.value.key == key


@pytest.mark.parametrize(("changes"), [{"from_scratch": True}, {"mode": "DPO"}])
def test_prompt_tuning_is_refused_with_the_reason(changes: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="PromptTuning") as refused:
        map_arguments({}, replace(SFT, scale="PromptTuning", **changes))
    assert refused.value.hint


@pytest.mark.parametrize(
    ("asked", "examples", "steps"),
    [
        ({"epoch": 2, "batchSize": 4}, 10, 6),
        ({"epoch": 2, "batchSize": 4, "gradientAccumulationSteps": 2}, 10, 4),
        ({"epoch": 0.5, "batchSize": 1}, 3, 2),
    ],
)
def test_steps(asked: dict[str, Any], examples: int, steps: int) -> None:
    arguments: Arguments = map_arguments(asked, SFT)
    assert arguments.steps(examples) == steps

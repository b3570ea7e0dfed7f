"""The catalogue of models: names, defaults, limits, with and without the platform's own list."""

from __future__ import annotations

import logging

import pytest

from qianfan.errors import ValidationError
from qianfan.resources.console.consts import PeftType, TrainMode
from qianfan.resources.schemas import SupportedModel
from qianfan.trainer.catalog import Catalog, enforce
from qianfan.trainer.configs import TrainConfig

CATALOG = Catalog.builtin()


def listed(model: str, *scales: str, mode: str = "SFT", highest_epoch: int = 5) -> dict:
    """One entry of the platform's list."""
    epoch = {"key": "epoch", "type": "int", "checkType": "range", "checkValue": [1, highest_epoch], "default": 2}
    return {
        "model": model,
        "supportTrainMode": [
            {
                "trainMode": mode,
                "supportParameterScale": [
                    {"parameterScale": scale, "supportHyperParameterConfig": [epoch]} for scale in scales
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("ERNIE-Bot-turbo-0725", "ERNIE-Lite-8K-0725"),
        ("ERNIE-Bot-turbo-0922", "ERNIE-Lite-8K-0922"),
        ("ERNIE-Bot-turbo-0704", "ERNIE-Lite-8K-0704"),
        ("ERNIE-Bot-turbo-0516", "ERNIE-Bot-turbo-0516"),
        ("ERNIE-Speed", "ERNIE-Speed-8K"),
        ("ERNIE-Speed-8K", "ERNIE-Speed-8K"),
        ("Llama-2-7b", "Qianfan-Chinese-Llama-2-7B"),
        ("Llama-2-13b", "Qianfan-Chinese-Llama-2-13B-v2"),
        ("Qianfan-Chinese-Llama-2-13B", "Qianfan-Chinese-Llama-2-13B-v2"),
        ("Baichuan2-7B", "Baichuan2-7B-Chat"),
        ("Baichuan2-13B", "Baichuan2-13B-Chat"),
    ],
)
def test_older_names_are_translated(given, sent):
    found = CATALOG.resolve(given)
    assert (found.given, found.send, found.known) == (given, sent, True)
    assert (found.note is None) is (given == sent)


def test_an_unknown_name_is_sent_as_given_with_a_note():
    found = CATALOG.resolve("ERNIE-Spede")
    assert (found.send, found.known) == ("ERNIE-Spede", False)
    assert found.note is not None
    assert "'ERNIE-Speed'" in found.note
    config = TrainConfig(epoch=999)
    assert CATALOG.check(config, "ERNIE-Spede") == []
    assert CATALOG.default_scale("ERNIE-Spede") is None
    assert CATALOG.complete(config, "ERNIE-Spede").to_wire() == {"epoch": 999}


def test_a_newer_name_that_only_the_platform_lists_is_preferred():
    catalog = Catalog.from_server([listed("Qianfan-Chinese-Llama-2-13B-v1", "LoRA")])
    assert catalog.resolve("Llama-2-13b").send == "Qianfan-Chinese-Llama-2-13B-v1"


@pytest.mark.parametrize(
    ("model", "mode", "scale"),
    [
        ("ERNIE-Bot-turbo-0725", "SFT", PeftType.LoRA),
        ("ERNIE-Bot-turbo-0516", "SFT", PeftType.ALL),
        ("Llama-2-13b", "SFT", PeftType.LoRA),
        ("ERNIE-Speed-8K", TrainMode.SFT, PeftType.LoRA),
        ("ERNIE-Speed-8K", TrainMode.PostPretrain, PeftType.ALL),
        ("ERNIE-Tiny-8K", TrainMode.DPO, PeftType.ALL),
    ],
)
def test_lora_is_the_default_where_a_model_has_it(model, mode, scale):
    assert CATALOG.default_scale(model, mode) is scale


@pytest.mark.parametrize(
    ("model", "config", "scale", "sent"),
    [
        (
            "ERNIE-Bot-turbo-0725",
            TrainConfig(),
            PeftType.LoRA,
            {"epoch": 1, "learningRate": 3e-5, "maxSeqLen": 4096},
        ),
        (
            "ERNIE-Bot-turbo-0516",
            TrainConfig(epochs=1, batch_size=32, learning_rate=0.00002),
            PeftType.ALL,
            {"epoch": 1, "batchSize": 32, "learningRate": 2e-5},
        ),
        (
            "Llama-2-13b",
            TrainConfig(epochs=1, batch_size=1, learning_rate=0.00002),
            PeftType.LoRA,
            {"epoch": 1, "batchSize": 1, "learningRate": 2e-5, "maxSeqLen": 4096},
        ),
    ],
)
def test_the_documented_examples(model, config, scale, sent):
    complete = CATALOG.complete(config, model)
    assert complete.peft_type is scale
    assert complete.to_wire() == sent
    assert CATALOG.check(complete, model) == []


def test_completing_keeps_what_the_user_said_and_the_original():
    config = TrainConfig(epoch=7, peft_type="ALL")
    complete = CATALOG.complete(config, "ERNIE-Speed-8K")
    assert complete.epoch == 7
    assert complete.peft_type is PeftType.ALL
    assert complete.learning_rate == 3e-5
    assert config.learning_rate is None


@pytest.mark.parametrize("mode", list(TrainMode))
def test_the_built_in_defaults_are_inside_the_built_in_limits(mode):
    for model in CATALOG.names(mode):
        assert CATALOG.check(CATALOG.complete(TrainConfig(), model, mode), model, mode) == []


def test_every_built_in_hyper_parameter_is_a_field():
    """So that users get completion and types for everything the table knows."""
    for mode in TrainMode:
        for model in CATALOG.names(mode):
            info = CATALOG.info(model, mode)
            assert info is not None
            for scale in info.support_peft_types:
                assert set(info.limits(scale)) <= set(TrainConfig.model_fields)


def test_all_problems_come_at_once_with_value_limit_and_source():
    config = TrainConfig(epoch=99, batch_size=4, lora_rank=8, peft_type="ALL")
    epoch, batch_size, lora_rank = CATALOG.check(config, "ERNIE-Speed")
    assert str(epoch) == "epoch=99 is outside the allowed values: 1 to 50 (by the built-in table)"
    assert batch_size.kind == "unknown"
    assert "ERNIE-Speed-8K with FullFineTuning has no such parameter" in str(batch_size)
    assert "only LoRA has" in str(lora_rank)


def test_a_wrong_mode_and_a_wrong_scale_name_the_right_ones():
    (mode,) = CATALOG.check(TrainConfig(), "BLOOMZ-7B", TrainMode.DPO)
    assert "cannot be trained with DPO, only with SFT" in str(mode)
    (scale,) = CATALOG.check(TrainConfig(peft_type="P-tuning"), "ERNIE-Speed-8K")
    assert (scale.field, scale.value, scale.allowed) == ("peft_type", "PromptTuning", "one of FullFineTuning, LoRA")


def test_limits_of_the_built_in_table_warn_and_those_of_the_platform_refuse(caplog):
    config = TrainConfig(epoch=40)
    catalog = Catalog.from_server([listed("ERNIE-Speed-8K", "LoRA", highest_epoch=5)])
    with pytest.raises(ValidationError, match=r"1 to 5 \(by the server\)"):
        enforce(catalog.check(config, "ERNIE-Speed-8K"), model="ERNIE-Speed-8K")
    with caplog.at_level(logging.WARNING, logger="qianfan"):
        enforce(CATALOG.check(TrainConfig(epoch=99), "ERNIE-Speed-8K"), model="ERNIE-Speed-8K")
    assert "epoch=99" in caplog.text


def test_a_parameter_the_model_lacks_is_refused_even_by_the_built_in_table(caplog):
    problems = CATALOG.check(TrainConfig(batch_size=4, epoch=99), "ERNIE-Speed-8K")
    with pytest.raises(ValidationError) as refused:
        enforce(problems, model="ERNIE-Speed-8K")
    assert len(refused.value.problems) == 2
    with caplog.at_level(logging.WARNING, logger="qianfan"):
        enforce(problems, model="ERNIE-Speed-8K", strict=False)
    assert caplog.text.count("training ERNIE-Speed-8K") == 2


def test_the_platforms_list_may_hold_what_this_release_does_not_know():
    answer = [
        {**listed("New-Model", "LoRA-GA", "LoRA"), "modelType": "video", "surprise": [1]},
        listed("ERNIE-Speed-8K", "LoRA-GA"),
        {"supportTrainMode": "nonsense"},
        {"model": "Empty"},
        {"model": "Odd", "supportTrainMode": ["x", {"trainMode": "SFT", "supportParameterScale": [None]}]},
        None,
    ]
    catalog = Catalog.from_server(answer)
    info = catalog.info("New-Model")
    assert info is not None
    assert info.support_peft_types == ("LoRA-GA", PeftType.LoRA)
    assert catalog.default_scale("New-Model") is PeftType.LoRA
    assert catalog.default_scale("ERNIE-Speed-8K") == "LoRA-GA"
    assert catalog.check(TrainConfig(epoch=3, peft_type="LoRA-GA"), "New-Model") == []
    assert catalog.info("Empty") is None
    assert catalog.info("Odd") is None


def test_the_platforms_list_may_come_as_models():
    answer = [SupportedModel.model_validate(listed("New-Model", "LoRA", highest_epoch=7))]
    info = Catalog.from_server(answer).info("New-Model")
    assert info is not None
    assert info.limits(PeftType.LoRA).epoch.allowed == (1, 7)


def test_models_the_platform_does_not_list_keep_their_built_in_entry():
    catalog = Catalog.from_server([listed("ERNIE-Speed-8K", "LoRA")])
    config = catalog.complete(TrainConfig(epochs=1, batch_size=32, learning_rate=0.00002), "ERNIE-Bot-turbo-0516")
    assert catalog.check(config, "ERNIE-Bot-turbo-0516") == []


def test_a_scale_that_is_listed_twice_counts_once_and_the_later_entry_wins():
    first, second = listed("M", "LoRA", highest_epoch=3), listed("M", "LoRA", highest_epoch=9)
    scales = first["supportTrainMode"][0]["supportParameterScale"]
    scales += second["supportTrainMode"][0]["supportParameterScale"]
    info = Catalog.from_server([first]).info("M")
    assert info is not None
    assert info.support_peft_types == (PeftType.LoRA,)
    assert info.limits(PeftType.LoRA).epoch.allowed == (1, 9)


def test_a_documented_default_outside_the_platforms_limits_is_not_used():
    rate = {"key": "learningRate", "type": "float", "checkType": "range", "checkValue": [1e-4, 1e-3], "default": 3e-4}
    answer = listed("ERNIE-Lite-8K-0725", "LoRA")
    answer["supportTrainMode"][0]["supportParameterScale"][0]["supportHyperParameterConfig"] = [rate]
    config = Catalog.from_server([answer]).complete(TrainConfig(), "ERNIE-Bot-turbo-0725")
    assert config.to_wire() == {"learningRate": 3e-4}


def test_common_and_specific_limits_add_up():
    info = CATALOG.info("ERNIE-Speed-8K")
    assert info is not None
    assert "epoch" in info.common_params_limit
    assert "lora_rank" in info.specific_peft_types_params_limit[PeftType.LoRA]
    assert "lora_rank" in info.limits(PeftType.LoRA)
    assert "lora_rank" not in info.limits(PeftType.ALL)
    assert info.short_name == "ERNIE-Speed-8K"
    assert not info.deprecated
    older = CATALOG.info("ERNIE-Speed")
    assert older is not None
    assert older.deprecated

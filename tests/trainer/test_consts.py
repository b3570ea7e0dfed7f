"""The enumerations: documented names, one object per name, tolerant spellings."""

from __future__ import annotations

import pytest

from qianfan import pipeline
from qianfan.model import consts as model_consts
from qianfan.resources.console import consts as console_consts
from qianfan.trainer import consts
from qianfan.trainer.consts import FinetuneStatus, PeftType, ServiceStatus, ServiceType, TrainStatus


def test_a_name_with_several_paths_is_one_object():
    assert ServiceType is model_consts.ServiceType is console_consts.ServiceType
    assert PeftType is console_consts.PeftType is console_consts.TrainParameterScale
    assert FinetuneStatus is TrainStatus
    assert consts.ActionState is pipeline.ActionState
    assert model_consts.DeployPoolType is console_consts.DeployPoolType


@pytest.mark.parametrize("enum", [TrainStatus, ServiceStatus])
def test_values_of_a_status_equal_its_names(enum):
    assert all(member.value == member.name for member in enum)
    assert enum.Unknown == "Unknown"


def test_every_documented_status_exists():
    for name in consts.__all__:
        assert hasattr(consts, name)
    assert len(TrainStatus) == 18
    assert len(ServiceStatus) == 7


@pytest.mark.parametrize(
    ("spelling", "member"),
    [
        ("ALL", PeftType.ALL),
        ("all", PeftType.ALL),
        ("FullFineTuning", PeftType.ALL),
        ("fullfinetuning", PeftType.ALL),
        ("P-tuning", PeftType.PTuning),
        ("p_tuning", PeftType.PTuning),
        ("PTuning", PeftType.PTuning),
        ("PromptTuning", PeftType.PTuning),
        ("LoRA", PeftType.LoRA),
        ("lora", PeftType.LoRA),
    ],
)
def test_peft_type_takes_every_spelling_and_keeps_the_platforms(spelling, member):
    assert PeftType(spelling) is member
    assert member.value in {"FullFineTuning", "PromptTuning", "LoRA"}


@pytest.mark.parametrize("value", ["LoRA-GA", "", 3, None])
def test_an_unknown_peft_type_is_refused(value):
    with pytest.raises(ValueError):
        PeftType(value)


@pytest.mark.parametrize(
    ("spelling", "member"),
    [
        ("Chat", ServiceType.Chat),
        ("chat", ServiceType.Chat),
        ("completions", ServiceType.Completion),
        ("embeddings", ServiceType.Embedding),
        ("text2image", ServiceType.Text2Image),
    ],
)
def test_service_type_takes_the_words_of_the_wire(spelling, member):
    assert ServiceType(spelling) is member


def test_a_template_knows_its_family():
    for template in console_consts.DataTemplateType:
        assert str(template.value).startswith(str(template.project_type.value))
    assert console_consts.DataTemplateType.Text2Image.set_type is console_consts.DataSetType.MultiModel
    assert console_consts.DataTemplateType.GenericText.set_type is console_consts.DataSetType.TextOnly


def test_every_old_training_state_has_one_of_today():
    assert {status.current for status in console_consts.TrainStatusV1} == {
        console_consts.TrainStatus.Running,
        console_consts.TrainStatus.Done,
        console_consts.TrainStatus.Failed,
        console_consts.TrainStatus.Stopped,
    }


def test_final_and_pending_states():
    final = {status for status in console_consts.TrainStatus if status.is_final}
    assert final == {
        console_consts.TrainStatus.Done,
        console_consts.TrainStatus.Failed,
        console_consts.TrainStatus.Stopped,
    }
    assert console_consts.ServiceStatus.Done.is_ready
    assert console_consts.ServiceStatus.New.is_pending
    assert not console_consts.ServiceStatus.Failed.is_pending

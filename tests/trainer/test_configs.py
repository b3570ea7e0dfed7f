"""Training configurations: what is accepted, what is sent, what is explained."""

from __future__ import annotations

import copy
import logging
import pickle
import re

import pytest

import qianfan.model.configs
from qianfan.errors import InvalidArgumentError, ValidationError
from qianfan.resources.console.consts import CorpusType, PeftType
from qianfan.trainer import configs
from qianfan.trainer.catalog import Catalog
from qianfan.trainer.configs import (
    CorpusConfig,
    CorpusConfigItem,
    DatasetConfig,
    DeployConfig,
    ModelInfoMapping,
    ResourceConfig,
    TrainConfig,
    get_default_train_config,
    get_model_info,
    get_trainer_model_list,
)


def test_one_class_for_deployments_whatever_the_path():
    assert DeployConfig is qianfan.model.configs.DeployConfig


# --- hyper-parameters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["epoch", "epochs", "n_epochs"])
def test_epochs_take_effect_under_each_name(name):
    config = TrainConfig(**{name: 3})
    assert config.epoch == config.epochs == config.n_epochs == 3
    assert config.to_wire() == {"epoch": 3}


def test_the_same_value_twice_is_fine_and_two_values_are_not():
    assert TrainConfig(epoch=1, epochs=1, n_epochs=None).epoch == 1
    with pytest.raises(ValidationError, match="epoch=1 and epochs=2 contradict each other"):
        TrainConfig(epoch=1, epochs=2)
    with pytest.raises(ValidationError, match=re.escape("lr=0.1 and learning_rate=0.2")):
        TrainConfig(lr=0.1, learning_rate=0.2)


def test_the_platforms_spelling_is_accepted():
    config = TrainConfig(learningRate=1e-5, maxSeqLen=4096, Packing=True)
    assert config.learning_rate == config.lr == 1e-5
    assert config.to_wire() == {"learningRate": 1e-5, "maxSeqLen": 4096, "Packing": True}


def test_none_is_not_sent_and_extras_win():
    config = TrainConfig(epoch=1, batch_size=None, trainset_rate=10, peft_type="ALL", extras={"epoch": 2, "newKey": 1})
    assert config.to_wire() == {"epoch": 2, "newKey": 1}


def test_switches_are_the_words_the_platform_wants():
    assert TrainConfig(lora_all_linear=True, early_stopping=False).to_wire() == {
        "loraAllLinear": "True",
        "earlyStopping": "False",
    }


@pytest.mark.parametrize(
    ("given", "read"),
    [("all", PeftType.ALL), ("P-tuning", PeftType.PTuning), (PeftType.LoRA, PeftType.LoRA), ("LoRA-GA", "LoRA-GA")],
)
def test_ways_to_train(given, read):
    assert TrainConfig(peft_type=given).peft_type == read


def test_all_mistakes_come_at_once_with_the_nearest_name():
    with pytest.raises(ValidationError) as caught:
        TrainConfig(epoch=0, learning_rate="fast", bath_size=1, zzz=2)
    assert caught.value.problems == (
        "unknown name 'bath_size'; did you mean 'batch_size'?",
        "unknown name 'zzz'; put a hyper-parameter that this release does not know into extras={...}",
        "epoch: must be greater than or equal to 1, not 0",
        "learning_rate: must be a valid number, unable to parse string as a number, not 'fast'",
    )


def test_names_that_only_the_platform_lists_can_be_let_through():
    config = TrainConfig.model_validate({"epoch": 1, "new_knob": 5}, context={"hyper_parameters": ["new_knob"]})
    assert config.values() == {"epoch": 1, "new_knob": 5}
    assert config.to_wire() == {"epoch": 1, "newKnob": 5}


def test_later_changes_are_checked():
    config = TrainConfig(epoch=1)
    config.epochs = 4
    config.lr = 1e-4
    assert config.to_wire() == {"epoch": 4, "learningRate": 1e-4}
    with pytest.raises(ValidationError, match="epoch"):
        config.epoch = 0
    with pytest.raises(ValidationError, match="did you mean 'batch_size'"):
        config.batchsize = 3


def test_a_config_can_be_copied_compared_and_pickled():
    config = TrainConfig(epoch=1, extras={"a": [1]})
    assert copy.deepcopy(config) == config == pickle.loads(pickle.dumps(config))
    assert config.dict()["epoch"] == 1
    assert TrainConfig(**config.dict()) == config
    assert repr(config) == "TrainConfig(epoch=1, extras={'a': [1]})"


def test_validate_config_answers_and_logs(caplog):
    limit = get_model_info("SFT", "ERNIE-Speed-8K").limits(PeftType.LoRA)
    assert TrainConfig(epoch=3).validate_config(limit)
    with caplog.at_level(logging.WARNING, logger="qianfan"):
        assert not TrainConfig(epoch=99).validate_config(limit)
    assert "epoch=99 is outside the allowed values: 1 to 50" in caplog.text


# --- configuration files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "epochs: 2\nlearning_rate: 2e-5\nlora_all_linear: true\npeft_type: lora\n"),
        ("a.yml", "{epoch: 2, lr: 2e-5, lora_all_linear: true, peft_type: LoRA}"),
        ("a.json", '{"epoch": 2, "learning_rate": 2e-5, "lora_all_linear": "True", "peft_type": "LoRA"}'),
    ],
)
def test_a_configuration_can_be_read_from_a_file(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    config = TrainConfig.load(tmp_path / name)
    assert config == TrainConfig(epoch=2, learning_rate=2e-5, lora_all_linear="True", peft_type=PeftType.LoRA)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yaml", "epoch: [1\n", "a.yaml, line 2, column 1: not valid YAML"),
        ("a.json", '{"epoch": }', "a.json, line 1, column 11: not valid JSON"),
        ("a.json", "[1]", "a.json: expected names and values at the top, found a list"),
        ("a.yaml", "", "a.yaml: expected names and values at the top, found nothing"),
        ("a.toml", "epoch = 1", "a configuration is a .yaml, .yml or .json file, not '.toml'"),
        ("a.yaml", "lr: 1\nepohc: 1\n", "line 2: unknown name 'epohc'; did you mean"),
        ("a.json", '{\n "lr": 1,\n "epoch": 0}', "line 3: epoch: must be greater than or equal to 1"),
    ],
)
def test_a_wrong_file_is_explained_with_its_place(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=re.escape(expected)):
        TrainConfig.load(str(tmp_path / name))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidArgumentError, match="No such file"):
        TrainConfig.load(tmp_path / "missing.yaml")
    (tmp_path / "gbk.yaml").write_bytes("epoch: 1 # 轮次".encode("gbk"))
    with pytest.raises(InvalidArgumentError, match=r"not UTF-8 \(byte 12\)"):
        TrainConfig.load(tmp_path / "gbk.yaml")


def test_overrides_come_before_the_checks(tmp_path):
    """Whatever name the file uses for it, and although the file's own value could not be used."""
    file = tmp_path / "a.yaml"
    file.write_text("epochs: -3\nlearningRate: 2e-5\nbatch_size: 4\n")
    config = TrainConfig.load(file, epoch=2, learning_rate=1e-4)
    assert config.values() == {"epoch": 2, "learning_rate": 1e-4, "batch_size": 4}
    with pytest.raises(ValidationError, match="epoch"):
        TrainConfig.load(file, learning_rate=1e-4)


# --- data ------------------------------------------------------------------------------------------------------------


def test_platform_datasets_on_the_wire():
    config = DatasetConfig(datasets=["ds-1", "ds-2"], sampling_rates=[1, 0.5])
    assert config.to_wire() == {
        "sourceType": "Platform",
        "versions": [{"versionId": "ds-1", "samplingRate": 1.0}, {"versionId": "ds-2", "samplingRate": 0.5}],
        "splitRatio": 20,
    }


def test_resolved_ids_replace_what_the_user_gave():
    wire = DatasetConfig(datasets=[111], eval_split_ratio=0).to_wire(["ds-9"], split_ratio=5)
    assert wire == {"sourceType": "Platform", "versions": [{"versionId": "ds-9"}], "splitRatio": 0}


def test_object_storage_on_the_wire():
    wire = DatasetConfig(datasets=["bos:/bucket/a.jsonl"], sampling_rate=2).to_wire(split_ratio=5)
    assert wire == {"sourceType": "Bos", "versions": [{"versionBosUri": "bos:/bucket/a.jsonl"}], "splitRatio": 5}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"datasets": []}, "there is no dataset"),
        ({"datasets": ["ds-1", "bos:/b/c"]}, "one kind of place"),
        ({"datasets": ["ds-1"], "sampling_rates": [1, 2]}, "2 sampling_rates for 1 datasets"),
        ({"datasets": ["ds-1"], "sampling_rate": 11}, "0.01 to 10, not 11"),
        ({"datasets": ["ds-1"], "sampling_rate": 1, "sampling_rates": [1]}, "keep one"),
        ({"datasets": ["ds-1"], "corpus_type": 2}, "belong together"),
        ({"datasets": ["ds-1"], "eval_split_ratio": 101}, "eval_split_ratio: must be less than or equal to 100"),
    ],
)
def test_contradictions_in_the_data_are_refused(values, expected):
    with pytest.raises(ValidationError, match=re.escape(expected)):
        DatasetConfig(**values).to_wire()


@pytest.mark.parametrize("name", ["copy_data", "data_copy"])
def test_a_corpus_on_the_wire(name):
    items = [
        CorpusConfigItem(corpus_proportion="1:2", corpus_type=3, corpus_labels=["文本创作"]),
        {"corpus_proportion": "1:1", "corpus_type": 2},
    ]
    config = CorpusConfig(**{name: True}, corpus_configs=items)
    assert config.copy_data
    assert config.to_wire() == {
        "copyData": True,
        "config": [
            {"corpusType": 3, "proportion": "1:2", "labels": ["文本创作"]},
            {"corpusType": 2, "proportion": "1:1"},
        ],
    }


def test_a_corpus_named_in_the_dataset_config():
    config = DatasetConfig(datasets=["ds-1"], corpus_proportion="1%", corpus_type=1).corpus_config()
    assert config is not None
    assert config.corpus_configs[0].corpus_type is CorpusType.Qianfan
    assert DatasetConfig(datasets=["ds-1"]).corpus_config() is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"corpus_proportion": "2", "corpus_type": 2}, "must look like '1%' or '1:2'"),
        ({"corpus_proportion": "1%", "corpus_type": 2}, "must be a ratio"),
        ({"corpus_proportion": "1:2", "corpus_type": 1}, "must be a percentage"),
        ({"corpus_proportion": "1:2", "corpus_type": 2, "corpus_labels": ["a"]}, "belong to corpus 3"),
        ({"corpus_proportion": "1:2", "corpus_type": 3, "corpus_labels": list("abcdef")}, "at most 5"),
    ],
)
def test_wrong_corpora_are_refused(values, expected):
    with pytest.raises(ValidationError, match=re.escape(expected)):
        CorpusConfigItem(**values)


def test_corpora_that_exclude_each_other_and_names_that_contradict():
    items = [{"corpus_proportion": "1%", "corpus_type": 1}, {"corpus_proportion": "1:1", "corpus_type": 2}]
    with pytest.raises(ValidationError, match="cannot be combined"):
        CorpusConfig(corpus_configs=items)
    with pytest.raises(ValidationError, match="contradict"):
        CorpusConfig(copy_data=True, data_copy=False)


def test_machines_on_the_wire():
    config = ResourceConfig(resource_id="r-1", node_num=4, idle_resource=True, extras={"zone": "a"})
    assert config.to_wire() == {"resourceId": "r-1", "nodeNum": 4, "idleResource": True, "zone": "a"}
    assert ResourceConfig().to_wire() == {}


# --- the models that can be trained -----------------------------------------------------------------------------------


def test_the_documented_mappings_are_live_views():
    assert set(ModelInfoMapping) == set(get_trainer_model_list("SFT"))
    assert "ERNIE-Bot-turbo-0516" in configs.DefaultTrainConfigMapping
    assert configs.DefaultTrainConfigMapping["ERNIE-Bot-turbo-0516"].batch_size == 32
    assert "BLOOMZ-7B" not in configs.DPOTrainModelInfoMapping
    assert configs.DefaultDPOTrainConfigMapping["ERNIE-Tiny-8K"].peft_type is PeftType.ALL
    assert len(configs.PostPreTrainModelInfoMapping) == len(configs.DefaultPostPretrainTrainConfigMapping)
    assert get_default_train_config("SFT")["Llama-2-13b"].learning_rate == 2e-5


def test_another_catalogue_can_be_asked():
    catalog = Catalog.from_server([])
    assert set(get_trainer_model_list("SFT", catalog)) == set(ModelInfoMapping)


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(InvalidArgumentError, match="no model 'ERNIE-Sped-8K' for SFT training; did you mean"):
        get_model_info("SFT", "ERNIE-Sped-8K")

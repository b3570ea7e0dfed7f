"""Bad input: a typed, readable error at the right moment, with nothing paid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qianfan import Client, Settings, get_config
from qianfan.dataset import Dataset
from qianfan.emulator import Emulator
from qianfan.errors import (
    APIError,
    AuthError,
    DatasetImportError,
    DatasetReleaseError,
    InvalidArgumentError,
    MissingCredentialsError,
    QianfanError,
    UnknownArgumentError,
    ValidationError,
)
from qianfan.trainer import DatasetConfig, DeployConfig, LLMFinetune, PostPreTrain, TrainConfig

pytestmark = pytest.mark.anyio

MODEL = "ERNIE-Speed-8K"
PAID = ("CreateFineTuningJob", "CreateFineTuningTask", "publishTrainModel", "CreateService")


def assert_nothing_paid(emulator: Emulator) -> None:
    assert [request.name for request in emulator.requests if request.name in PAID] == []


# --- at construction: nothing is sent at all -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        pytest.param({"dataset": 111}, InvalidArgumentError, "train_type is missing", id="no model"),
        pytest.param({"train_type": MODEL}, InvalidArgumentError, "dataset is missing", id="no dataset"),
        pytest.param(
            {"train_type": MODEL, "dataset": 111, "train_confg": {}},
            UnknownArgumentError,
            "did you mean 'train_config'",
            id="misspelt argument",
        ),
        pytest.param(
            {"train_type": MODEL, "dataset": 111, "train_config": {"epohc": 1}},
            ValidationError,
            "did you mean 'epoch'",
            id="misspelt parameter",
        ),
        pytest.param(
            {"train_type": MODEL, "dataset": 111, "train_config": {"batch_size": 4}},
            ValidationError,
            "batch_size",
            id="parameter the model does not have",
        ),
        pytest.param(
            {"train_type": MODEL, "dataset": 111, "train_config": "nowhere.yaml"},
            InvalidArgumentError,
            "nowhere.yaml",
            id="missing config file",
        ),
        pytest.param(
            {"train_type": MODEL, "dataset": 111, "deploy_config": {}},
            ValidationError,
            "service_type",
            id="deploy without a type",
        ),
        pytest.param(
            {"train_type": MODEL, "dataset": 111, "deploy_config": {"service_type": "Chat"}, "model_not_publish": True},
            InvalidArgumentError,
            "nothing is published",
            id="deploy without a model",
        ),
    ],
)
def test_refused_at_construction(
    arguments: dict[str, Any], error: type[QianfanError], says: str, emulator: Emulator
) -> None:
    with pytest.raises(error, match=says):
        LLMFinetune(**arguments)
    assert emulator.requests == []


def test_all_wrong_fields_are_listed_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        LLMFinetune(MODEL, 111, {"epoch": "many", "learning_rate": -1, "epohc": 3})
    assert len(caught.value.problems) == 3


def test_two_values_for_one_parameter_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"epoch.*epochs"):
        TrainConfig(epoch=1, epochs=2)


async def test_a_known_wrong_template_is_refused_by_the_constructor(emulator: Emulator) -> None:
    conversations = await Dataset.aload(qianfan_dataset_id=111)
    with pytest.raises(InvalidArgumentError, match=r"NonSortedConversation.*GenericText"):
        PostPreTrain(MODEL, conversations)
    with pytest.raises(InvalidArgumentError, match="GenericText"):
        PostPreTrain(MODEL, DatasetConfig(datasets=[conversations]))


async def test_a_wrong_template_found_out_later_is_refused_before_anything_is_paid(emulator: Emulator) -> None:
    with pytest.raises(InvalidArgumentError, match=r"NonSortedConversation.*GenericText"):
        await PostPreTrain(MODEL, 111).arun()
    assert_nothing_paid(emulator)


# --- keys --------------------------------------------------------------------------------------------------------


async def test_missing_keys_are_named_before_any_request() -> None:
    with pytest.raises(MissingCredentialsError, match="QIANFAN_ACCESS_KEY") as caught:
        await LLMFinetune(MODEL, 111, client=Client(Settings())).arun()
    assert "QIANFAN_SECRET_KEY" in str(caught.value)


async def test_keys_set_after_the_imports_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator(activate=False, access_key="ALTAKlate", secret_key="late-secret", engine="scripted") as emulator:
        for name, value in emulator.settings.items():
            monkeypatch.setenv(f"QIANFAN_{name}", str(value))
        monkeypatch.delenv("QIANFAN_SECRET_KEY")
        get_config().secret_key = "late-secret"
        assert (await LLMFinetune(MODEL, 111).arun()).output["model_id"] in emulator.models


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"access_key": "ALTAK-nobody"}, "credential", id="unknown key"),
        pytest.param({"secret_key": "wrong-secret"}, "SignatureDoesNotMatch", id="wrong secret"),
    ],
)
async def test_wrong_keys_are_a_readable_error(changes: dict[str, str], says: str, emulator: Emulator) -> None:
    from qianfan.config import default_settings

    settings = default_settings().replace(**changes)
    with pytest.raises(AuthError, match=says) as caught:
        await LLMFinetune(MODEL, 111, client=Client(settings)).arun()
    text = str(caught.value)
    assert "wrong-secret" not in text
    assert "bce-auth" not in text
    assert_nothing_paid(emulator)


# --- what only the platform knows ----------------------------------------------------------------------------


async def test_an_unknown_model_is_sent_as_given_with_one_warning(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = LLMFinetune("ERNIE-Sped-8K", 111, {"epoch": 1})
    with pytest.raises(APIError, match="CreateFineTuningJob"):
        await trainer.arun()
    warnings = [record.getMessage() for record in caplog.records if "ERNIE-Sped-8K" in record.getMessage()]
    assert len([line for line in warnings if "similar: 'ERNIE-Speed-8K'" in line]) == 1
    [job] = [request for request in emulator.requests if request.name == "CreateFineTuningJob"]
    assert job.body["model"] == "ERNIE-Sped-8K"


async def test_limits_of_the_platform_are_checked_before_anything_is_paid(emulator: Emulator) -> None:
    trainer = LLMFinetune(MODEL, 111, {"epoch": 999, "learning_rate": 0.9, "peft_type": "LoRA"})
    with pytest.raises(ValidationError, match="server") as caught:
        await trainer.arun()
    assert {problem.split("=")[0].split(":")[0].split()[0] for problem in caught.value.problems} >= {"epoch"}
    assert len(caught.value.problems) == 2
    assert trainer.result[0] == {"error": caught.value}
    assert_nothing_paid(emulator)


async def test_a_way_of_training_that_the_model_does_not_have(emulator: Emulator) -> None:
    with pytest.raises(ValidationError, match=r"Magic.*FullFineTuning, LoRA"):
        await LLMFinetune(MODEL, 111, peft_type="Magic").arun()
    assert_nothing_paid(emulator)


async def test_limits_can_be_left_to_the_platform(emulator: Emulator) -> None:
    with pytest.raises(APIError, match="epoch"):
        await LLMFinetune(MODEL, 111, {"epoch": 999, "peft_type": "LoRA"}, validate_strict=False).arun()
    assert emulator.tasks == {}


async def test_an_unknown_dataset_fails_before_anything_is_paid(emulator: Emulator) -> None:
    trainer = LLMFinetune(MODEL, "ds-doesnotexist00000")
    with pytest.raises(APIError):
        await trainer.arun()
    assert_nothing_paid(emulator)
    with pytest.raises(APIError):
        await Dataset.aload(qianfan_dataset_id=999999)


async def test_the_list_of_models_is_not_needed(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    emulator.faults.add(
        "DescribeFineTuningSupportModels", times=None, status=403, code="AccessDenied", message="无权限"
    )
    trainer = await LLMFinetune(MODEL, 111).arun()
    assert trainer.output["model_id"] in emulator.models
    assert "无权限" in caplog.text


GOOD = b'[{"prompt": "a", "response": [["b"]]}]\n'


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "has no rows", id="empty"),
        pytest.param(GOOD + b'{"oops"\n', "line 2", id="bad JSON"),
        pytest.param(GOOD + b'[{"prompt": "a", "response": [[""]]}]\n', "line 2", id="empty answer"),
        pytest.param(GOOD + b'[{"prompt": "\xff", "response": [["b"]]}]\n', "UTF-8", id="encoding"),
        pytest.param(b'{"nobody": "knows"}\n', "rename", id="unknown shape"),
    ],
)
async def test_a_bad_file_names_its_line_and_sends_nothing(
    content: bytes, says: str, emulator: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=says) as caught:
        await LLMFinetune(MODEL, str(file)).arun()
    assert "rows.jsonl" in str(caught.value)
    assert [request.name for request in emulator.requests if request.name in ("create", "import", *PAID)] == []
    assert emulator.buckets == {}


async def test_a_missing_file(emulator: Emulator) -> None:
    with pytest.raises(InvalidArgumentError, match=r"no-such\.jsonl does not exist"):
        await LLMFinetune(MODEL, "no-such.jsonl").arun()
    assert emulator.requests == []


def rows(count: int) -> str:
    return "".join(json.dumps([{"prompt": f"q{n}", "response": [[f"a{n}"]]}]) + "\n" for n in range(count))


async def test_a_file_without_a_bucket_to_pass_through(emulator: Emulator, tmp_path: Path) -> None:
    from qianfan.config import default_settings

    (tmp_path / "rows.jsonl").write_text(rows(40))
    client = Client(default_settings().replace(bos_bucket=None))
    with pytest.raises(InvalidArgumentError, match="QIANFAN_BOS_BUCKET"):
        await LLMFinetune(MODEL, tmp_path / "rows.jsonl", client=client).arun()
    assert_nothing_paid(emulator)


async def test_an_import_that_fails(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(rows(40))
    emulator.imports.script(ends="ImportFailed", reason="the storage is offline")
    with pytest.raises(DatasetImportError, match="import failed") as caught:
        await LLMFinetune(MODEL, tmp_path / "rows.jsonl").arun()
    assert caught.value.dataset_id in emulator.datasets
    assert_nothing_paid(emulator)


async def test_a_release_that_fails(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(rows(40))
    emulator.releases.script(ends="PublishFailed")
    with pytest.raises(DatasetReleaseError) as caught:
        await LLMFinetune(MODEL, tmp_path / "rows.jsonl").arun()
    assert caught.value.dataset_id in emulator.datasets
    assert_nothing_paid(emulator)


async def test_an_unreleased_dataset_is_released_on_the_way(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(rows(40))
    local = await Dataset.aload(data_file=tmp_path / "rows.jsonl")
    args = {"name": "forty", "storage_id": "mine", "storage_path": "/data/"}
    uploaded = await local.asave(qianfan_dataset_create_args=args)
    assert not uploaded.is_released
    trainer = await LLMFinetune(MODEL, uploaded).arun()
    assert uploaded.is_released
    assert trainer.output["model_id"] in emulator.models


async def test_too_few_rows_is_the_platforms_own_word(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(rows(3))
    with pytest.raises(APIError, match="32"):
        await LLMFinetune(MODEL, tmp_path / "rows.jsonl").arun()
    assert emulator.tasks == {}


async def test_public_resources_are_refused_with_the_reason() -> None:
    from qianfan.resources.console.consts import DeployPoolType

    with pytest.raises(ValidationError, match="PublicResource"):
        DeployConfig(service_type="Chat", pool_type=DeployPoolType.PublicResource)

"""What is sent for every keyword of a trainer: exactly these bodies, at once and by whoever goes on with the run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError, InvalidArgumentError, ValidationError
from qianfan.model import Model
from qianfan.resources import BosPath, Platform
from qianfan.resources.console.consts import CorpusType, DataTemplateType, PeftType
from qianfan.trainer import (
    DPO,
    KTO,
    CorpusConfig,
    CorpusConfigItem,
    DatasetConfig,
    LLMFinetune,
    PostPreTrain,
    ResourceConfig,
    TrainConfig,
    Trainer,
)
from qianfan.trainer.actions import TrainAction
from qianfan.trainer.configs import get_default_train_config
from tests.crashes.world import World
from tests.support.emulated import MODEL, SAMPLE

pytestmark = pytest.mark.anyio

BODY: dict[str, Any] = {
    "parameterScale": "LoRA",
    "hyperParameterConfig": {"epoch": 1, "learningRate": 0.0003, "maxSeqLen": 4096},
    "datasetConfig": {"sourceType": "Platform", "versions": [{"versionId": SAMPLE}], "splitRatio": 20},
}
"""The body of a task with nothing but a model and a dataset, but for its job."""

MIXED = {"copyData": False, "config": [{"corpusType": 3, "proportion": "1:2", "labels": ["文本创作"]}]}


def hyper(**changes: Any) -> dict[str, Any]:
    return {**BODY, "hyperParameterConfig": {**BODY["hyperParameterConfig"], **changes}}


def data(versions: list[dict[str, Any]] | None = None, split: float = 20) -> dict[str, Any]:
    config = BODY["datasetConfig"]
    return {**BODY, "datasetConfig": {**config, "versions": versions or config["versions"], "splitRatio": split}}


KEYWORDS = [
    pytest.param({}, BODY, id="nothing"),
    pytest.param({"train_config": {"epochs": 3, "lr": 1e-4}}, hyper(epoch=3, learningRate=1e-4), id="train_config"),
    pytest.param(
        {"train_config": TrainConfig(logging_steps=5, lora_all_linear=True, extras={"loraRank": 4})},
        hyper(loggingSteps=5, loraAllLinear="True", loraRank=4),
        id="hyper-parameters",
    ),
    pytest.param(
        {"peft_type": "ALL"}, {**hyper(learningRate=3e-05), "parameterScale": "FullFineTuning"}, id="peft_type"
    ),
    pytest.param({"eval_split_ratio": 5}, data(split=5), id="eval_split_ratio"),
    pytest.param({"eval_split_ratio": 0}, data(split=0), id="no split"),
    pytest.param({"train_config": {"trainset_rate": 7}}, data(split=7), id="trainset_rate"),
    pytest.param(
        {"train_config": {"trainset_rate": 7}, "eval_split_ratio": 6}, data(split=6), id="the newer split counts"
    ),
    pytest.param(
        {"dataset": DatasetConfig(datasets=[111], eval_split_ratio=9)}, data(split=9), id="split of the dataset"
    ),
    pytest.param(
        {"dataset": DatasetConfig(datasets=[111]), "eval_split_ratio": 8}, data(split=8), id="split beside the dataset"
    ),
    pytest.param(
        {"sampling_rate": 0.5}, data([{"versionId": SAMPLE, "samplingRate": 0.5}]), id="sampling_rate"
    ),
    pytest.param(
        {"dataset": DatasetConfig(datasets=[111]), "sampling_rate": 2},
        data([{"versionId": SAMPLE, "samplingRate": 2.0}]),
        id="sampling_rate beside the dataset",
    ),
    pytest.param(
        {"dataset": DatasetConfig(datasets=[111, SAMPLE], sampling_rates=[1.5, 0.5])},
        data([{"versionId": SAMPLE, "samplingRate": 1.5}, {"versionId": SAMPLE, "samplingRate": 0.5}]),
        id="sampling_rates",
    ),
    pytest.param(
        {"corpus_type": 3, "corpus_proportion": "1:2", "corpus_labels": ["文本创作"]},
        {**BODY, "corpusConfig": MIXED},
        id="corpus_type",
    ),
    pytest.param(
        {
            "dataset": DatasetConfig(datasets=[111], corpus_type=3, corpus_proportion="1:2", corpus_labels=["文本创作"])
        },
        {**BODY, "corpusConfig": MIXED},
        id="corpus of the dataset",
    ),
    pytest.param(
        {"dataset": DatasetConfig(datasets=[111]), "corpus_type": CorpusType.Qianfan, "corpus_proportion": "1%"},
        {**BODY, "corpusConfig": {"copyData": False, "config": [{"corpusType": 1, "proportion": "1%"}]}},
        id="corpus_type beside the dataset",
    ),
    pytest.param(
        {
            "corpus_config": CorpusConfig(
                data_copy=True,
                corpus_configs=[
                    CorpusConfigItem(corpus_type=2, corpus_proportion="1:1"),
                    CorpusConfigItem(corpus_type=3, corpus_proportion="1:2", corpus_labels=["文本创作"]),
                ],
            )
        },
        {
            **BODY,
            "corpusConfig": {
                "copyData": True,
                "config": [
                    {"corpusType": 2, "proportion": "1:1"},
                    {"corpusType": 3, "proportion": "1:2", "labels": ["文本创作"]},
                ],
            },
        },
        id="corpus_config",
    ),
    pytest.param(
        {"corpus_config": {"copy_data": True, "corpus_configs": [{"corpus_type": 2, "corpus_proportion": "1:1"}]}},
        {**BODY, "corpusConfig": {"copyData": True, "config": [{"corpusType": 2, "proportion": "1:1"}]}},
        id="corpus_config as a dictionary",
    ),
    pytest.param(
        {"resource_config": ResourceConfig(node_num=4)},
        {**BODY, "resourceConfig": {"nodeNum": 4}},
        id="resource_config",
    ),
    pytest.param(
        {"resource_config": {"idle_resource": True, "extras": {"x": 1}}},
        {**BODY, "resourceConfig": {"idleResource": True, "x": 1}},
        id="resource_config as a dictionary",
    ),
    pytest.param(
        {"train_config": {"resource_config": {"node_num": 2}}},
        {**BODY, "resourceConfig": {"nodeNum": 2}},
        id="resource_config of the hyper-parameters",
    ),
    pytest.param(
        {"train_config": {"resource_config": {"node_num": 2}}, "resource_config": {"node_num": 3}},
        {**BODY, "resourceConfig": {"nodeNum": 3}},
        id="resource_config counts",
    ),
    pytest.param(
        {"train_config": {"lr": 3e-5}, "train_extras": {"parameterScale": "FullFineTuning", "note": {"a": 1}}},
        {**hyper(learningRate=3e-5), "parameterScale": "FullFineTuning", "note": {"a": 1}},
        id="train_extras",
    ),
    pytest.param({"validate_strict": False, "train_config": {"epoch": 2}}, hyper(epoch=2), id="validate_strict"),
    pytest.param({"dataset_template": DataTemplateType.NonSortedConversation}, BODY, id="dataset_template"),
    pytest.param({"base_model": "ERNIE", "model_not_publish": True}, BODY, id="older keywords"),
]  # fmt: skip


def sent(emulator: Emulator, name: str) -> list[dict[str, Any]]:
    return [request.body for request in emulator.requests if request.name == name]


def task_body(emulator: Emulator) -> dict[str, Any]:
    """The body of the only task that was ordered, without its job."""
    [job_id], [body] = [[*emulator.jobs][-1:], sent(emulator, "CreateFineTuningTask")]
    assert body["jobId"] == job_id
    return {name: value for name, value in body.items() if name != "jobId"}


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize(("keywords", "body"), KEYWORDS)
async def test_a_keyword_is_sent(keywords: dict[str, Any], body: dict[str, Any], face: str, emulator: Emulator) -> None:
    trainer = LLMFinetune(MODEL, **{"dataset": 111, **keywords})
    if face == "async":
        await trainer.arun()
    else:
        await anyio.to_thread.run_sync(trainer.run)
    assert task_body(emulator) == body


@pytest.mark.parametrize(("keywords", "body"), KEYWORDS)
async def test_whoever_goes_on_sends_the_same(
    keywords: dict[str, Any], body: dict[str, Any], emulator: Emulator
) -> None:
    emulator.faults.add("CreateFineTuningTask", code="AccessDenied", status=403, message="not now")
    trainer = LLMFinetune(MODEL, **{"dataset": 111, **keywords})
    with pytest.raises(APIError, match="not now"):
        await trainer.arun()
    loaded = await LLMFinetune.aload(trainer.id)
    assert loaded._fingerprint() == trainer._fingerprint()
    await loaded.aresume()
    first, second = sent(emulator, "CreateFineTuningTask")
    assert first == second
    assert {name: value for name, value in first.items() if name != "jobId"} == body
    assert len(emulator.jobs) == 1


@pytest.mark.parametrize(
    ("keywords", "stem", "description"),
    [
        ({}, "ernie", ""),
        ({"name": "mine", "job_description": "all of it"}, "mine", "all of it "),
        ({"task_description": "once more"}, "ernie", "once more "),
        ({"job_description": "all of it", "task_description": "once more"}, "ernie", "all of it / once more "),
    ],
)
async def test_names_and_descriptions(
    keywords: dict[str, Any], stem: str, description: str, emulator: Emulator
) -> None:
    trainer = await LLMFinetune(MODEL, 111, **keywords).arun()
    [body] = sent(emulator, "CreateFineTuningJob")
    assert body["name"].lower().startswith(stem)
    assert 2 <= len(body["name"]) <= 20
    assert body["description"].startswith(f"{description}qf:{trainer.id}/")
    assert (body["model"], body["trainMode"]) == (MODEL, "SFT")


async def test_nothing_is_published_unless_wanted(emulator: Emulator) -> None:
    trainer = await LLMFinetune(MODEL, 111, model_not_publish=True).arun()
    assert trainer.model_publish is None
    assert "model_id" not in trainer.result[0]
    assert emulator.models == {}


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"dataset": DatasetConfig(datasets=[111], sampling_rate=1), "sampling_rate": 2}, "contradicts"),
        ({"dataset": DatasetConfig(datasets=[111], sampling_rates=[1]), "sampling_rate": 2}, "keep one"),
        ({"dataset": DatasetConfig(datasets=[111], eval_split_ratio=1), "eval_split_ratio": 2}, "contradicts"),
        ({"corpus_type": 2}, "belong together"),
        ({"corpus_labels": ["a"]}, "belong to a corpus_type"),
        ({"corpus_type": 7, "corpus_proportion": "1:2"}, "corpus_type"),
        (
            {"corpus_type": 2, "corpus_proportion": "1:2", "corpus_config": {"corpus_configs": []}},
            "both name corpora",
        ),
        ({"task_step": 64}, "of which one"),
        ({"resource_config": {"node_number": 1}}, "node_num"),
    ],
)
def test_contradictions_are_refused(keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        LLMFinetune(MODEL, **{"dataset": 111, **keywords})


# --- the other trainers -------------------------------------------------------------------------------------------

BOS = "bos:/mine/rows.jsonl"


async def put(rows: str) -> None:
    """Put rows into object storage."""
    await Platform().bos.put_bytes(rows.encode() * 50, BosPath.parse(BOS))


TEXTS = '{"text": "once upon a time"}\n'
PAIRS = '[{"user": "q", "chosen": "good", "rejected": "bad"}]\n'
MARKED = '[{"user": "q", "chosen": "good"}]\n[{"user": "p", "rejected": "bad"}]\n'


@pytest.mark.parametrize(
    ("kind", "mode", "rows", "hyper_parameters", "scale"),
    [
        (PostPreTrain, "PostPretrain", TEXTS, {"epoch": 1, "learningRate": 3e-05, "maxSeqLen": 4096}, "FullFineTuning"),
        (DPO, "DPO", PAIRS, {"epoch": 1, "learningRate": 1e-05, "maxSeqLen": 4096}, "LoRA"),
        (KTO, "KTO", MARKED, {"epoch": 1, "learningRate": 1e-05, "maxSeqLen": 4096}, "LoRA"),
    ],
)
async def test_every_kind_of_training(
    kind: type[Trainer],
    mode: str,
    rows: str,
    hyper_parameters: dict[str, Any],
    scale: str,
    emulator: Emulator,
) -> None:
    await put(rows)
    trainer = await kind(MODEL, BOS).arun()
    [job] = sent(emulator, "CreateFineTuningJob")
    assert (job["model"], job["trainMode"]) == (MODEL, mode)
    body = task_body(emulator)
    assert body == {
        "parameterScale": scale,
        "hyperParameterConfig": hyper_parameters,
        "datasetConfig": {"sourceType": "Bos", "versions": [{"versionBosUri": BOS}], "splitRatio": 20},
    }
    assert ("model_id" in trainer.result[0]) is (kind is not PostPreTrain)
    assert MODEL in kind.train_type_list()
    assert get_default_train_config(mode)[MODEL].learning_rate == hyper_parameters["learningRate"]
    assert (await kind.aload(trainer.id)).result[0]["task_id"] == trainer.result[0]["task_id"]


async def test_further_pre_training_takes_its_handler_where_nothing_is_deployed(emulator: Emulator) -> None:
    told: list[Any] = []
    await put(TEXTS)
    await PostPreTrain(MODEL, BOS, None, told.append, "mine").arun()
    assert told[-1].action_state == "Done"
    assert sent(emulator, "CreateFineTuningJob")[0]["name"].startswith("mine")
    with pytest.raises(InvalidArgumentError, match="nothing is published"):
        PostPreTrain(MODEL, BOS, deploy_config={"service_type": "Chat"})


# --- going on -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def base(emulator: Emulator) -> LLMFinetune:
    """A finished training of all weights."""
    config = {"checkpoint_count": 3, "save_step": 64, "epoch": 50}
    trainer = LLMFinetune(MODEL, 111, config, peft_type=PeftType.ALL)
    return await trainer.arun()


async def went_on(emulator: Emulator, trainer: Trainer) -> dict[str, Any]:
    """The body of the task that went on from an earlier one."""
    await trainer.arun()
    return sent(emulator, "CreateFineTuningTask")[-1]


@pytest.mark.parametrize("named", ["trainer", "task", "Model", "Model with a task", "version", "set"])
async def test_an_earlier_training_is_named_in_any_way(named: str, base: LLMFinetune, emulator: Emulator) -> None:
    made = base.result[0]
    how: dict[str, Any] = {
        "trainer": {"previous_trainer": base},
        "task": {"previous_task_id": made["task_id"]},
        "Model": {"previous_model": Model(made["model_set_id"], made["model_id"])},
        "Model with a task": {"previous_model": made["model"]},
        "version": {"previous_model": made["model_id"]},
        "set": {"previous_model": made["model_set_id"]},
    }[named]
    trainer = LLMFinetune(dataset=111, **how)
    assert trainer.train_type == (MODEL if named == "trainer" else None)
    body = await went_on(emulator, trainer)
    assert body == {**BODY, "jobId": made["job_id"], "incrementTaskId": made["task_id"]}
    assert len(emulator.jobs) == 1
    assert trainer.result[0]["task_id"] != made["task_id"]


async def test_a_checkpoint_to_go_on_from(base: LLMFinetune, emulator: Emulator) -> None:
    step = base.result[0]["checkpoints"][0]["step"]
    body = await went_on(emulator, LLMFinetune(dataset=111, previous_trainer=base, task_step=step))
    assert body["incrementCheckpointStep"] == step


async def test_another_kind_of_training_goes_on_in_a_job_of_its_own(base: LLMFinetune, emulator: Emulator) -> None:
    await put(PAIRS)
    body = await went_on(emulator, DPO(dataset=BOS, previous_trainer=base))
    assert body["incrementTaskId"] == base.result[0]["task_id"]
    assert body["jobId"] == [*emulator.jobs][-1] != base.result[0]["job_id"]


@pytest.mark.parametrize("named", ["previous_task_id", "previous_model"])
async def test_whoever_goes_on_goes_on_from_the_same(named: str, base: LLMFinetune, emulator: Emulator) -> None:
    emulator.faults.add("CreateFineTuningTask", code="AccessDenied", status=403, message="not now")
    value = base.result[0]["task_id" if named == "previous_task_id" else "model_id"]
    trainer = LLMFinetune(dataset=111, **{named: value})
    with pytest.raises(APIError, match="not now"):
        await trainer.arun()
    await (await LLMFinetune.aload(trainer.id)).aresume()
    _, first, second = sent(emulator, "CreateFineTuningTask")
    assert first == second
    assert first["incrementTaskId"] == base.result[0]["task_id"]


async def test_a_task_in_a_shared_job_is_found_again_by_being_new(base: LLMFinetune, emulator: Emulator) -> None:
    emulator.faults.add("CreateFineTuningTask", drop="after")
    trainer = await LLMFinetune(dataset=111, previous_trainer=base).arun()
    assert len(emulator.tasks) == 2
    assert trainer.result[0]["task_id"] != base.result[0]["task_id"]


async def test_what_cannot_be_gone_on_from_is_refused(base: LLMFinetune, emulator: Emulator) -> None:
    fresh = LLMFinetune(MODEL, 111)
    with pytest.raises(InvalidArgumentError, match=r"has not trained yet; run\(\) it first"):
        LLMFinetune(dataset=111, previous_trainer=fresh)
    emulator.training.script(ends="Failed", reason="out of memory")
    with pytest.raises(Exception, match="out of memory"):
        await fresh.arun()
    failed = fresh.info()["task_id"]
    with pytest.raises(InvalidArgumentError, match=f"has not come to the end of its training {failed}"):
        LLMFinetune(dataset=111, previous_trainer=fresh)
    with pytest.raises(InvalidArgumentError, match="must be a trainer"):
        LLMFinetune(dataset=111, previous_trainer=fresh.id)
    with pytest.raises(InvalidArgumentError, match="must be a Model or its id"):
        LLMFinetune(dataset=111, previous_model=fresh)
    with pytest.raises(InvalidArgumentError, match="neither an id nor a task"):
        LLMFinetune(dataset=111, previous_model=Model())
    with pytest.raises(InvalidArgumentError, match="name the training to go on from once"):
        LLMFinetune(dataset=111, previous_trainer=base, previous_task_id="task-1")
    orders = len(sent(emulator, "CreateFineTuningJob"))
    with pytest.raises(InvalidArgumentError, match="is 'Failed'; only one that is 'Done'"):
        await LLMFinetune(dataset=111, previous_task_id=failed).arun()
    with pytest.raises(InvalidArgumentError, match="cannot train ERNIE-Tiny-8K"):
        await LLMFinetune("ERNIE-Tiny-8K", 111, previous_trainer=base).arun()
    with pytest.raises(APIError):
        await LLMFinetune(dataset=111, previous_task_id="task-none").arun()
    with pytest.raises(APIError):
        await LLMFinetune(dataset=111, previous_model="amv-none").arun()
    with pytest.raises(ValidationError, match="epoch"):
        await LLMFinetune(dataset=111, previous_task_id=base.result[0]["task_id"], train_config={"epoch": 999}).arun()
    assert len(sent(emulator, "CreateFineTuningJob")) == orders
    assert len(emulator.tasks) == 2


async def test_a_trainer_of_an_earlier_process_is_gone_on_from(base: LLMFinetune, emulator: Emulator) -> None:
    loaded = await LLMFinetune.aload(base.id)
    body = await went_on(emulator, LLMFinetune(dataset=111, previous_trainer=loaded))
    assert body["incrementTaskId"] == base.result[0]["task_id"]


def test_a_step_by_itself_takes_the_older_name() -> None:
    assert TrainAction(task_id="task-1").previous_task_id == "task-1"


# --- another process ----------------------------------------------------------------------------------------------

BEGIN = """
import sys
from qianfan.trainer import CorpusConfig, CorpusConfigItem, DatasetConfig, LLMFinetune, ResourceConfig, TrainConfig
from qianfan.errors import APIError
try:
    LLMFinetune(
        "ERNIE-Speed-8K", DatasetConfig(datasets=[111], sampling_rates=[2.0]), TrainConfig(epoch=2, lr=1e-4),
        id="night", name="mine", peft_type="LoRA", eval_split_ratio=3, sampling_rate=None,
        corpus_config=CorpusConfig(
            copy_data=True, corpus_configs=[CorpusConfigItem(corpus_type=2, corpus_proportion="1:1")]
        ),
        resource_config=ResourceConfig(node_num=2), train_extras={"more": [1]}, job_description="j",
        task_description="t", validate_strict=False, previous_task_id=sys.argv[1],
    ).run()
except APIError as error:
    print(error)
    raise SystemExit(3)
"""

TRAIN = """
from qianfan.trainer import LLMFinetune
print(LLMFinetune("ERNIE-Speed-8K", 111).run().result[0].task_id)
"""

GO_ON = "from qianfan.trainer import LLMFinetune; LLMFinetune.load('night').resume()"


@pytest.mark.socket
def test_another_process_sends_the_same(tmp_path: Path) -> None:
    def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, env=world.env, cwd=tmp_path, capture_output=True, text=True, check=False)

    with World(tmp_path) as world:
        made = python(
            "from qianfan.trainer import *; print(LLMFinetune('ERNIE-Speed-8K', 111).run().result[0].task_id)"
        )
        task_id = made.stdout.split()[-1]
        world.emulator.faults.add("CreateFineTuningTask", code="AccessDenied", status=403, message="not now")
        begun = python(BEGIN, task_id)
        assert begun.returncode == 3, begun.stderr
        went_on = python(GO_ON)
        assert went_on.returncode == 0, went_on.stderr
        _, first, second = sent(world.emulator, "CreateFineTuningTask")
        jobs = [*world.emulator.jobs]
    assert json.dumps(first) == json.dumps(second)
    assert first == {
        "jobId": jobs[0],
        "parameterScale": "LoRA",
        "hyperParameterConfig": {"epoch": 2, "learningRate": 1e-4, "maxSeqLen": 4096},
        "datasetConfig": {
            "sourceType": "Platform", "versions": [{"versionId": SAMPLE, "samplingRate": 2.0}], "splitRatio": 3
        },
        "corpusConfig": {"copyData": True, "config": [{"corpusType": 2, "proportion": "1:1"}]},
        "incrementTaskId": task_id,
        "resourceConfig": {"nodeNum": 2},
        "more": [1],
    }  # fmt: skip
    assert len(jobs) == 1

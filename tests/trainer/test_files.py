"""Trainers and pipelines as files: of our own format, of its first version, and of the earlier SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qianfan.config import get_config
from qianfan.emulator import Emulator
from qianfan.errors import APIError, InvalidArgumentError, TrainerFileError, UnknownArgumentError
from qianfan.pipeline import Pipeline as EnginePipeline
from qianfan.trainer import (
    DPO,
    KTO,
    CorpusConfig,
    DatasetConfig,
    DeployConfig,
    EvaluateAction,
    LLMFinetune,
    LoadDataSetAction,
    ModelPublishAction,
    Pipeline,
    PostPreTrain,
    ResourceConfig,
    TrainAction,
    TrainConfig,
    Trainer,
)
from qianfan.trainer.actions import BatchInferAction
from qianfan.trainer.consts import TrainStatus
from tests.evaluation.judges import Length
from tests.support.emulated import MODEL, SAMPLE

from . import earlier
from .actions_of_users import Announce, Bare, Last, Lossy, Note, Odd, Older, Picky

pytestmark = pytest.mark.anyio

PAID = ("CreateFineTuningJob", "CreateFineTuningTask", "publishTrainModel", "CreateService")

faces = pytest.mark.parametrize("face", ["sync", "async"])


def ordered(emulator: Emulator, *names: str) -> list[str]:
    return [request.name for request in emulator.requests if request.name in (names or PAID)]


def sent(emulator: Emulator, name: str) -> list[dict[str, Any]]:
    return [request.body for request in emulator.requests if request.name == name]


def everything(**changes: Any) -> LLMFinetune:
    """A trainer of nearly every keyword."""
    arguments: dict[str, Any] = {
        "train_config": TrainConfig(epoch=2, lr=1e-4, extras={"loraRank": 4}),
        "deploy_config": DeployConfig(service_type="Chat", endpoint_suffix="mine", months=1),
        "name": "mine",
        "eval_dataset": 111,
        "evaluators": [Length(limit=3)],
        "corpus_config": CorpusConfig(corpus_configs=[{"corpus_type": 1, "corpus_proportion": "1%"}]),
        "eval_split_ratio": 3,
        "peft_type": "LoRA",
        "resource_config": ResourceConfig(node_num=2),
        "job_description": "all of it",
        "train_extras": {"more": [1]},
        "validate_strict": False,
        "submission": "strict",
        "post_actions": [Note(id="note", prefix="made ", words=["!"]), Older(limit=7, id="older", name="o")],
    }
    return LLMFinetune(MODEL, DatasetConfig(datasets=[111], sampling_rates=[2.0]), **{**arguments, **changes})


# --- our own ------------------------------------------------------------------------------------------------------


@faces
async def test_a_trainer_comes_back_whole(face: str, emulator: Emulator, tmp_path: Path) -> None:
    trainer, path = everything(), tmp_path / "deep" / "trainer.json"
    if face == "async":
        assert await trainer.asave(path) == path
        loaded: Trainer = await Trainer.aload(file=path)
    else:
        trainer.save(str(path))
        loaded = LLMFinetune.load(file=str(path))
    content = json.loads(path.read_text())
    assert (content["format"], content["version"]) == ("qianfan-trainer", 2)
    assert [*path.parent.iterdir()] == [path]
    assert type(loaded) is LLMFinetune
    assert loaded.id == trainer.id
    assert loaded._spec_of_run() == trainer._spec_of_run()
    assert loaded._fingerprint() == trainer._fingerprint()
    await loaded.arun()
    [job], [task] = sent(emulator, "CreateFineTuningJob"), sent(emulator, "CreateFineTuningTask")
    assert job["name"].startswith("mine")
    assert task["datasetConfig"]["versions"] == [{"versionId": SAMPLE, "samplingRate": 2.0}]
    assert (task["datasetConfig"]["splitRatio"], task["more"], task["resourceConfig"]) == (3, [1], {"nodeNum": 2})
    note, older = loaded.post_actions
    assert loaded._record.output(note.id, str) == f"made {loaded.result[0]['model_id']}!"
    assert loaded._record.output(older.id, dict)["limit"] == 7


@pytest.mark.parametrize("kind", [LLMFinetune, PostPreTrain, DPO, KTO])
async def test_every_kind_comes_back(kind: type[Trainer], tmp_path: Path) -> None:
    path = await kind(MODEL, "bos:/mine/rows.jsonl").asave(tmp_path / "t.json")
    assert type(await Trainer.aload(file=path)) is kind
    if kind is not DPO:
        with pytest.raises(TrainerFileError, match=f"that is a '{kind.__name__}', not a DPO"):
            await DPO.aload(file=path)


async def test_what_was_done_is_not_done_again(emulator: Emulator, tmp_path: Path) -> None:
    first = await LLMFinetune(MODEL, 111).arun()
    path = await first.asave(tmp_path / "t.json")
    # Another machine has another journal.
    get_config().cache_dir = str(tmp_path / "elsewhere")
    loaded = await LLMFinetune.aload(file=path)
    assert loaded.result[0]["model_id"] == first.result[0]["model_id"]
    await loaded.arun()
    assert ordered(emulator) == [*PAID[:3]]


def test_no_keys_are_in_a_file(emulator: Emulator, tmp_path: Path) -> None:
    trainer = everything()
    trainer.run()
    text = trainer.save(tmp_path / "t.json").read_text()
    config = get_config()
    for secret in (config.access_key, config.secret_key, config.ak, config.sk):
        value = secret.get_secret_value() if hasattr(secret, "get_secret_value") else secret
        assert not value or str(value) not in text


async def test_the_first_version_is_still_read(emulator: Emulator, tmp_path: Path) -> None:
    trainer = LLMFinetune(MODEL, 111, name="mine")
    path = await trainer.asave(tmp_path / "t.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"format": 1, "spec": content["spec"], "rows": content["rows"]}))
    loaded = await LLMFinetune.aload(file=path)
    assert loaded._fingerprint() == trainer._fingerprint()


def spoilt(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The content with one thing in it replaced; `...` takes it away."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inside: Any = content
    for part in parents:
        inside = inside[part]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return content


@pytest.mark.parametrize(
    ("at", "value", "place", "says"),
    [
        ("format", "something", "format", "reads qianfan-trainer up to 2"),
        ("format", ..., "format", "is missing"),
        ("format", 2, "format", "2 is not known"),
        ("format", "qianfan-pipeline", "format", "Pipeline.load"),
        ("version", 3, "version", "3 is not known"),
        ("version", "2", "version", "expected a whole number, found a text"),
        ("version", True, "version", "found true or false"),
        ("more", 1, "more", "this field is not known"),
        ("spec", [], "spec", "expected an object, found a list"),
        ("spec.kindd", "LLMFinetune", "spec.kindd", "did you mean 'kind'"),
        ("spec.kind", 3, "spec.kind", "expected a text"),
        ("spec.kind", "Stranger", "", "import the module that defines it"),
        ("spec.arguments.epochs", 3, "", "no argument 'epochs'"),
        ("spec.arguments.train_config", {"epohc": 3}, "", "did you mean 'epoch'"),
        ("spec.arguments.post_actions.0.type", "nowhere.to:Go", "", "nowhere.to.Go cannot be made again"),
        ("spec.arguments.post_actions.0.type", "tests.trainer.actions_of_users:Gone", "", "Gone cannot be made again"),
        ("spec.arguments.post_actions.0.type", "builtins:print", "", "print is no action"),
        ("spec.arguments.post_actions.0.init_params", {"prefixx": 1}, "", "Note cannot be made of these"),
        ("spec.arguments.post_actions.0.more", 1, "", "post_actions[0].more: this field is not known"),
        ("rows.x", {"phase": "nonsense"}, "rows.x", "no row of a run"),
        ("rows.x", {"phase": "done", "odd": 1}, "rows.x", "no row of a run"),
        ("rows.x", 1, "rows.x", "expected an object"),
    ],
)
async def test_what_cannot_be_read_is_named_with_its_place(
    at: str, value: Any, place: str, says: str, tmp_path: Path
) -> None:
    path = await everything().asave(tmp_path / "t.json")
    path.write_text(json.dumps(spoilt(json.loads(path.read_text()), at, value)))
    with pytest.raises(TrainerFileError) as caught:
        await Trainer.aload(file=path)
    assert (caught.value.file, caught.value.place) == (str(path), place)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": \n!', "line 2, column 1: not valid JSON"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b"[]", "expected an object, found a list"),
        (b"null", "found null"),
        (b"[" * 100_000, "not valid JSON|too deeply nested"),
    ],
)
async def test_a_file_of_something_else(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(TrainerFileError, match=says):
        await Trainer.aload(file=path)
    with pytest.raises(TrainerFileError):
        await Pipeline.aload(file=path)


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainerFileError, match=r"none\.json.* cannot be read: No such file"):
        await Trainer.aload(file=tmp_path / "none.json")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=5)),
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(st.text(max_size=5), inside, max_size=3)),
    max_leaves=6,
)
places = st.sampled_from(
    [
        "actions", "actions.0", "actions.0.type", "actions.0.datasets", "actions.0.datasets.versions",
        "actions.0.datasets.versions.0", "actions.0.datasets.versions.0.versionId", "actions.0.corpus_config.config",
        "actions.0.eval_split_ratio", "actions.1.init_params", "actions.1.init_params.train_mode", "actions.1.task_id",
        "actions.1.init_params.train_config", "actions.1.job_id", "actions.2.output", "actions.3.init_params",
        "actions.3.init_params.deploy_config", "actions.3.output", "case_init_params", "id", "new",
    ]
)  # fmt: skip


@given(at=places, value=json_values)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spoilt_file_of_the_earlier_kind_is_read_or_refused(at: str, value: Any, tmp_path: Path) -> None:
    path = earlier.write(tmp_path, spoilt(earlier.pipeline(), at, value))
    outcome: Trainer | TrainerFileError
    try:
        outcome = Trainer.load(file=path)
    except TrainerFileError as refused:
        outcome = refused
    assert outcome.file == str(path) if isinstance(outcome, TrainerFileError) else outcome.info()["status"]


# --- the earlier SDK ----------------------------------------------------------------------------------------------


@faces
async def test_a_pipeline_file_of_the_earlier_sdk_is_run(face: str, emulator: Emulator, tmp_path: Path) -> None:
    path = earlier.write(tmp_path, earlier.pipeline())
    if face == "async":
        trainer = await (await LLMFinetune.aload(file=path)).arun()
    else:
        trainer = LLMFinetune.load(file=path).run()
    assert trainer.id == "YudD7ZctgT"
    [job], [task] = sent(emulator, "CreateFineTuningJob"), sent(emulator, "CreateFineTuningTask")
    assert job["name"].startswith("mine")
    assert job["description"].startswith("jd / td qf:YudD7ZctgT/")
    assert task == {
        "jobId": trainer.result[0]["job_id"],
        "parameterScale": "LoRA",
        "hyperParameterConfig": {"epoch": 2, "learningRate": 0.0003, "maxSeqLen": 4096},
        "datasetConfig": {
            "sourceType": "Platform", "versions": [{"versionId": SAMPLE, "samplingRate": 2.0}], "splitRatio": 10.0
        },
        "corpusConfig": {
            "copyData": True, "config": [{"corpusType": 3, "proportion": "1:2", "labels": ["文本创作"]}]
        },
        "resourceConfig": {"nodeNum": 2},
    }  # fmt: skip
    [service] = sent(emulator, "CreateService")
    assert (service["name"], service["urlSuffix"]) == ("svc", "mine")
    assert trainer.result[0]["service_id"] in emulator.services


async def test_it_is_written_again_in_our_own_format(emulator: Emulator, tmp_path: Path) -> None:
    loaded = await LLMFinetune.aload(file=earlier.write(tmp_path, earlier.pipeline()))
    again = await LLMFinetune.aload(file=await loaded.asave(tmp_path / "t.json"))
    assert again._fingerprint() == loaded._fingerprint()
    assert json.loads((tmp_path / "t.json").read_text())["format"] == "qianfan-trainer"


@pytest.mark.parametrize(
    ("mode", "case", "kind"),
    [
        ("SFT", "Finetune", LLMFinetune),
        ("SFT", None, LLMFinetune),
        ("PostPretrain", "PostPreTrain", PostPreTrain),
        ("PostPretrain", None, PostPreTrain),
        ("DPO", "DPO", DPO),
        ("KTO", None, KTO),
    ],
)
async def test_every_kind_of_the_earlier_sdk(mode: str, case: str | None, kind: type[Trainer], tmp_path: Path) -> None:
    load, train, publish = earlier.plain(mode, train_config={"peft_type": None, "extras": {}})
    steps = (load, train) if kind is PostPreTrain else (load, train, publish)
    trainer = await Trainer.aload(file=earlier.write(tmp_path, earlier.pipeline(*steps, case=case)))
    assert type(trainer) is kind
    assert trainer.train_action.train_mode == mode
    assert (trainer.model_publish is None) is (kind is PostPreTrain)


async def test_rows_in_object_storage(tmp_path: Path) -> None:
    load, train, publish = earlier.plain()
    load["datasets"] = {"versions": [{"versionBosUri": "bos:/mine/a.jsonl"}], "sourceType": "Bos"}
    load["corpus_config"] = {"config": []}
    trainer = await Trainer.aload(file=earlier.write(tmp_path, earlier.pipeline(load, train, publish)))
    assert trainer._spec["dataset"] == {"datasets": ["bos:/mine/a.jsonl"], "source_type": "Bos"}
    assert "corpus_config" not in trainer._spec


async def test_a_finished_run_of_the_earlier_sdk_is_only_looked_at(emulator: Emulator, tmp_path: Path) -> None:
    made = (await LLMFinetune(MODEL, 111, deploy_config=DeployConfig(service_type="Chat")).arun()).result[0]
    before = ordered(emulator)
    ids = {name: made[name] for name in ("task_id", "job_id", "model_id", "service_id")}
    content = earlier.done(**ids, set_id=made["model_set_id"])
    loaded = await LLMFinetune.aload(file=earlier.write(tmp_path, content))
    assert {name: loaded.info()[name] for name in ids} == ids
    await loaded.arun()
    assert ordered(emulator) == before
    assert {name: loaded.result[0][name] for name in ids} == ids
    assert loaded.result[0]["datasets"]["splitRatio"] == 10.0
    assert (await LLMFinetune.aload(loaded.id)).result[0]["service_id"] == ids["service_id"]


async def test_a_training_of_the_earlier_sdk_is_waited_for(emulator: Emulator, tmp_path: Path) -> None:
    made = (await LLMFinetune(MODEL, 111, model_not_publish=True).arun()).result[0]
    content = earlier.done(made["task_id"], made["job_id"], "", "", "")
    _, train, publish, deploy = content["actions"]
    train |= {"status": "Running", "output": None}
    del publish["output"], publish["model_id"], deploy["output"]
    loaded = await LLMFinetune.aload(file=earlier.write(tmp_path, content))
    await loaded.arun()
    assert ordered(emulator) == ["CreateFineTuningJob", "CreateFineTuningTask", "publishTrainModel", "CreateService"]
    assert loaded.result[0]["task_id"] == made["task_id"]


async def test_a_training_that_failed_there_is_not_ordered_again_unless_wanted(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.training.script(ends="Failed", reason="out of memory", times=1)
    first = LLMFinetune(MODEL, 111)
    with pytest.raises(Exception, match="out of memory"):
        await first.arun()
    known = first.info()
    content = earlier.done(known["task_id"], known["job_id"], "", "", "")
    _, train, publish, deploy = content["actions"]
    train |= {"status": "Failed", "output": None}
    del publish["output"], publish["model_id"], deploy["output"]
    loaded = await LLMFinetune.aload(file=earlier.write(tmp_path, content))
    with pytest.raises(Exception, match="out of memory"):
        await loaded.arun()
    assert len(ordered(emulator, "CreateFineTuningTask")) == 1
    await loaded.aresume(resubmit=True)
    assert len(ordered(emulator, "CreateFineTuningTask")) == 2
    assert loaded.status == "Deployed"


async def test_a_task_that_may_be_out_is_looked_for(emulator: Emulator, tmp_path: Path) -> None:
    made = (await LLMFinetune(MODEL, 111, model_not_publish=True).arun()).result[0]
    load, train, publish = earlier.plain()
    train |= {"job_id": made["job_id"], "input": {"datasets": {}}}
    loaded = await LLMFinetune.aload(file=earlier.write(tmp_path, earlier.pipeline(load, train, publish)))
    await loaded.arun()
    assert ordered(emulator, "CreateFineTuningTask", "CreateFineTuningJob") == [*PAID[:2]]
    assert loaded.result[0]["task_id"] == made["task_id"]


async def test_going_on_from_an_earlier_training(emulator: Emulator, tmp_path: Path, caplog: Any) -> None:
    base = (await LLMFinetune(MODEL, 111, peft_type="ALL").arun()).result[0]
    load, train, publish = earlier.plain(task_id=base["task_id"], is_incr=True)
    train["job_id"] = base["job_id"]
    content = earlier.pipeline(load, train, publish)
    loaded = await LLMFinetune.aload(file=earlier.write(tmp_path, content))
    assert "which checkpoint" in caplog.text
    await loaded.arun()
    body = sent(emulator, "CreateFineTuningTask")[-1]
    assert (body["incrementTaskId"], body["jobId"]) == (base["task_id"], base["job_id"])
    assert loaded.result[0]["task_id"] != base["task_id"]
    train["input"] = {"datasets": {}}
    with pytest.raises(TrainerFileError, match=r"actions\[1\]\.task_id: is missing, although .*attach"):
        await LLMFinetune.aload(file=earlier.write(tmp_path, earlier.pipeline(load, train, publish)))


async def test_an_evaluation_of_the_earlier_sdk_is_not_in_its_file(tmp_path: Path, caplog: Any) -> None:
    content = earlier.pipeline(earlier.LOAD, earlier.TRAIN, earlier.PUBLISH, earlier.DEPLOY, earlier.EVALUATE)
    loaded = await LLMFinetune.aload(file=earlier.write(tmp_path, content))
    assert loaded.eval_action is None
    assert "actions[4] is left out" in caplog.text


@pytest.mark.parametrize(
    ("at", "value", "place", "says"),
    [
        ("actions.0.type", "MyAction", "actions[0].type", "the action 'MyAction' is none of qianfan's own"),
        ("actions.1.type", "LoadDataSetAction", "actions[1].type", "cannot come after LoadDataSetAction"),
        ("actions", [], "actions", "there is no LoadDataSetAction"),
        ("actions", {}, "actions", "expected a list"),
        ("actions.1", ..., "actions", "there is no TrainAction"),
        ("actions.1.init_params.train_mode", "RFT", "actions[1].init_params.train_mode", "known are SFT"),
        ("actions.1.init_params.new", 1, "actions[1].init_params.new", "this field is not known"),
        ("actions.1.init_params.is_incr", True, "actions[1].init_params.task_id", "is missing"),
        ("actions.1.init_params.train_config.epohc", 1, "", "did you mean 'epoch'"),
        ("actions.0.datasets.versions.0.versionId", ..., "actions[0].datasets.versions[0].versionId", "is missing"),
        ("actions.0.datasets.versions", [], "actions[0].datasets.versions", "no dataset"),
        ("actions.0.new", 1, "actions[0].new", "this field is not known"),
        ("case_init_params.case_type", "DPO", "case_init_params.case_type", "does not go together"),
        ("new", 1, "new", "this field is not known"),
        ("id", ..., "id", "is missing"),
        ("id", "../x", "", "is no trainer id"),
    ],
)
async def test_what_is_strange_in_an_earlier_file_is_named(
    at: str, value: Any, place: str, says: str, tmp_path: Path
) -> None:
    path = earlier.write(tmp_path, spoilt(earlier.pipeline(), at, value))
    with pytest.raises(TrainerFileError) as caught:
        await Trainer.aload(file=path)
    assert (caught.value.file, caught.value.place) == (str(path), place)
    assert says in str(caught.value)


# --- actions of users ---------------------------------------------------------------------------------------------


@faces
async def test_actions_of_users_come_last_and_survive(face: str, emulator: Emulator, tmp_path: Path) -> None:
    trainer = LLMFinetune(MODEL, 111, post_actions=[Note(id="note", prefix="made "), Last(id="last")], id="mine")
    emulator.faults.add("publishTrainModel", code="AccessDenied", status=403, message="not now")
    with pytest.raises(APIError, match="not now"):
        await trainer.arun()
    loaded = await LLMFinetune.aload("mine")
    assert [action.id for action in loaded.actions][-2:] == ["note", "last"]
    await (loaded.aresume() if face == "async" else _in_thread(loaded.resume))
    assert loaded._record.output("note", str) == f"made {loaded.result[0]['model_id']}"
    assert loaded._record.output("last", str) == "str"
    assert loaded.status is TrainStatus.ModelPublished
    assert (await loaded.arun()) is loaded
    steps = LLMFinetune.describe("mine")["steps"]
    assert [(step["step"], step["phase"]) for step in steps][-2:] == [("note", "done"), ("last", "done")]


async def _in_thread(function: Any) -> Any:
    from anyio import to_thread

    return await to_thread.run_sync(function)


async def test_actions_that_cannot_be_kept_are_refused_when_the_trainer_is_made() -> None:
    class Local(Note):
        pass

    for action, says in (
        (Local(), "define it at the top level"),
        (Odd(thing=object()), "Odd cannot be kept"),
        (Lossy(pair=(1, 2)), "not equal to it"),
        (Picky(3), "constructor does not take width"),
    ):
        with pytest.raises(InvalidArgumentError, match=says):
            LLMFinetune(MODEL, 111, post_actions=[action])
    with pytest.raises(InvalidArgumentError, match=r"nothing before .* makes DeployedService"):
        LLMFinetune(MODEL, 111, post_actions=[Announce()])
    with pytest.raises(UnknownArgumentError):
        LLMFinetune(MODEL, 111, pre_actions=[])


# --- pipelines ----------------------------------------------------------------------------------------------------


def pipeline_of_all() -> Pipeline:
    load = LoadDataSetAction(dataset=DatasetConfig(datasets=[111], sampling_rates=[2.0]), id="load")
    train = TrainAction(train_type=MODEL, train_config={"epoch": 2}, id="train", name="fine-tune")
    publish = ModelPublishAction(id="publish")
    note = Note(id="note", prefix="made ", retry={"attempts": 2}).using(model=publish).only_if(publish).after(train)
    inner = EnginePipeline([Older(limit=4, id="older")], id="inner", overlap=True)
    return Pipeline([load, train, publish, note, inner, Bare()], id="whole", name="all of it")


@faces
async def test_a_pipeline_comes_back_whole(face: str, emulator: Emulator, tmp_path: Path) -> None:
    pipeline, path, told = pipeline_of_all(), tmp_path / "p.json", []
    if face == "async":
        await pipeline.asave(path)
        loaded = await Pipeline.aload(file=path, event_handler=told.append)
    else:
        pipeline.save(path)
        loaded = Pipeline.load(file=path, event_handler=told.append)
    assert loaded.parameters() == pipeline.parameters()
    assert (loaded.id, loaded.name, loaded.seq) == (pipeline.id, pipeline.name, pipeline.seq)
    assert await loaded.aexec() == {"colour": "red"}
    assert told[-1].action_id == "whole"
    [task] = sent(emulator, "CreateFineTuningTask")
    assert task["hyperParameterConfig"]["epoch"] == 2
    assert task["datasetConfig"]["versions"] == [{"versionId": SAMPLE, "samplingRate": 2.0}]


@pytest.mark.parametrize(
    ("at", "value", "place", "says"),
    [
        ("format", "qianfan-trainer", "format", "Trainer.load"),
        ("format", "other", "format", "no pipeline"),
        ("version", 2, "version", "2 is not known"),
        ("type", "Trainer", "type", "a pipeline is a 'Pipeline'"),
        ("actions.3.type", "tests.trainer.actions_of_users:Gone", "actions[3].type", "Gone cannot be made again"),
        ("actions.3.init_params.prefix", 3, "actions[3].init_params", "Note cannot be made of these"),
        ("actions.4.actions.0.type", "os:getcwd", "actions[4].actions[0].type", "is no action"),
        ("actions.3.id", "train", "actions", "two actions have the id 'train'"),
        ("actions.0.what", 1, "actions[0].what", "not known"),
        ("init_params", {"overlap": 1}, "init_params.overlap", "expected true or false"),
    ],
)
async def test_what_cannot_be_read_of_a_pipeline(at: str, value: Any, place: str, says: str, tmp_path: Path) -> None:
    path = await pipeline_of_all().asave(tmp_path / "p.json")
    path.write_text(json.dumps(spoilt(json.loads(path.read_text()), at, value)))
    with pytest.raises(TrainerFileError) as caught:
        await Pipeline.aload(file=path)
    assert (caught.value.place, says in str(caught.value)) == (place, True), str(caught.value)


def test_every_action_of_ours_comes_back(tmp_path: Path) -> None:
    [judged] = [step for step in everything().actions if isinstance(step, EvaluateAction)]
    gated = everything(deploy_if="length > 1", post_actions=[BatchInferAction(id="ask", dataset=111, params={"a": 1})])
    for actions in (everything().actions, gated.actions):
        pipeline = Pipeline(actions, id="whole")
        loaded = Pipeline.load(file=pipeline.save(tmp_path / "p.json"))
        assert loaded.parameters() == pipeline.parameters()
        assert [type(step) for step in loaded] == [type(step) for step in pipeline]
    assert isinstance(judged.evaluators[0], Length)


async def test_a_trainer_is_no_pipeline_and_the_other_way_round(tmp_path: Path) -> None:
    pipeline = await pipeline_of_all().asave(tmp_path / "p.json")
    with pytest.raises(TrainerFileError, match=r"Pipeline\.load"):
        await Trainer.aload(file=pipeline)
    for path in (earlier.write(tmp_path, earlier.pipeline()), await everything().asave(tmp_path / "t.json")):
        with pytest.raises(TrainerFileError, match=r"Trainer\.load"):
            await Pipeline.aload(file=path)

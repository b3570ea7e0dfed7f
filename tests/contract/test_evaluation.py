"""Evaluations by their documented names, both generations."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from qianfan.dataset import Dataset
from qianfan.emulator.account import Account
from qianfan.emulator.handlers.evaluations import judge
from qianfan.emulator.lifecycle import EVALUATION
from qianfan.emulator.records import Evaluation
from qianfan.emulator.server import Running
from qianfan.errors import APIError
from qianfan.resources import BosPath, Data, Eval, Model, Platform
from qianfan.resources import schemas as known
from qianfan.resources.console.consts import (
    EvaluationResultExportDestinationType,
    EvaluationResultExportField,
    EvaluationResultExportRange,
)
from tests.contract.conftest import Faces
from tests.contract.steps import published

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

RULE = {"evalMode": "rule", "scoreModes": ["similarity", "accuracy"]}
JUDGED = {"evalMode": "model", "appId": 7, "prompt": {"templateContent": "{src} {tgt} {prediction}", "maxScore": 10}}
MANUAL = {"evalMode": "manual", "evaluationDimension": [{"dimension": "满意度"}]}


@pytest.fixture
def sample(account: Account) -> str:
    with account.lock:
        return next(iter(account.datasets)).id


async def create(ask: Faces, model: tuple[str, str], sample: str, config: Any = RULE, **changes: Any) -> str:
    versions = [{"modelId": model[0], "modelVersionId": model[1]}]
    asked = {"name": "how good", "version_info": versions, "dataset_id": sample, "eval_config": config, **changes}
    made = (await ask(Model, "create_evaluation_task", **asked))["result"]
    assert made["evalIdStr"].startswith("ame-")
    return str(made["evalIdStr"])


async def look(ask: Faces, evaluation: str) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(Model, "get_evaluation_info", evaluation))["result"]
    return found


# --- V1 ------------------------------------------------------------------------------------------------------------


@pytest.mark.covers("/modelrepo/eval/create", "/modelrepo/eval/detail", "/modelrepo/eval/report")
async def test_a_model_is_asked_and_its_answers_are_compared(
    ask: Faces, account: Account, served: Running, sample: str
) -> None:
    model = await published(ask, account)
    evaluation = await create(ask, model, sample, description="for fun")
    body = next(one.body for one in served.platform.log.recent() if one.name == "create" and "eval" in one.path)
    assert body["computeResourceConf"] == {"vmType": 1, "vmNumber": 8}
    assert body["evalStandardConf"] == RULE
    detail = await look(ask, evaluation)
    assert (detail["state"], detail["name"], detail["description"]) == ("Done", "how good", "for fun")
    [unit] = detail["evalUnits"]
    assert (unit["state"], unit["modelVersionIdStr"], unit["message"]) == ("Done", model[1], "")
    [report] = (await ask(Model, "get_evaluation_result", evaluation))["result"]
    effect = report["effectMetric"]
    # The scripted engine gives back what it was trained on, which is what it is asked.
    assert [effect[name] for name in ("accuracy", "f1Score", "rouge_1", "rouge_2", "rouge_l", "bleu4")] == [1.0] * 6
    assert (effect["scoreDistribution"], effect["manualScoreDistribution"]) == (None, None)
    assert (report["evalMode"], report["evaluationIdStr"], report["modelName"]) == ("rule", evaluation, "a model")


@pytest.mark.covers("/modelrepo/eval/create", "/modelrepo/eval/detail")
async def test_the_answers_can_be_opened_as_a_dataset(ask: Faces, account: Account, sample: str) -> None:
    evaluation = await create(ask, await published(ask, account), sample)
    result = (await look(ask, evaluation))["evalStandardConf"]
    assert (result["resultDatasetImportStatus"], result["resultDatasetProjectType"]) == (2, 20)
    info = (await ask(Data, "get_dataset_info", result["resultDatasetIdStr"]))["result"]["versionInfo"]
    with account.lock:
        asked = account.datasets.get(sample)
        assert asked is not None
        assert info["entityCount"] == asked.rows
    rows = (await ask(Data, "list_all_entity_in_dataset", result["resultDatasetIdStr"], 0, 1))["result"]["items"]
    assert len(rows) == 1


async def test_a_referee_that_is_none_says_so(ask: Faces, account: Account, sample: str) -> None:
    evaluation = await create(ask, await published(ask, account), sample, JUDGED)
    detail = await look(ask, evaluation)
    assert detail["simulated"] is True
    assert detail["evalStandardConf"]["prompt"]["minScore"] == 0
    [report] = (await ask(Model, "get_evaluation_result", evaluation))["result"]
    effect = report["effectMetric"]
    assert (effect["avgJudgeScore"], effect["medianJudgeScore"], effect["stdJudgeScore"]) == (10, 10, 0)
    assert (effect["scoreDistribution"]["10"], effect["scoreDistribution"]["-1"]) == (len_of(account, sample), 0)
    rows = (await ask(Model, "get_evaluation_result_list", evaluation, page_size=1))["result"]
    assert rows["items"][0]["judgeReason"].startswith("[simulated referee of the qianfan emulator]")


def len_of(account: Account, dataset: str) -> int:
    with account.lock:
        found = account.datasets.get(dataset)
        assert found is not None
        return found.rows


async def test_people_are_waited_for(ask: Faces, account: Account, sample: str) -> None:
    evaluation = await create(ask, await published(ask, account), sample, MANUAL)
    detail = await look(ask, evaluation)
    assert detail["state"] == detail["evalUnits"][0]["state"] == "DoingWithManualBegin"
    assert detail["evalStandardConf"]["evaluationDimension"] == [{"dimension": "满意度", "minScore": 1, "maxScore": 5}]
    assert detail["evalStandardConf"]["resultDatasetIdStr"].startswith("ds-")
    assert (await ask(Model, "get_evaluation_result", evaluation))["result"] == []
    with account.lock:
        record = account.evaluations.get(evaluation)
        assert record is not None
        judge(account, record, 4)
    assert (await look(ask, evaluation))["state"] == "Done"
    [report] = (await ask(Model, "get_evaluation_result", evaluation))["result"]
    assert (report["effectMetric"]["manualAvgScore"], report["effectMetric"]["goodCaseProportion"]) == (4, 1.0)


@pytest.mark.covers("/modelrepo/eval/cancel", "/modelrepo/eval/delete")
async def test_stopping_and_deleting(ask: Faces, account: Account, sample: str) -> None:
    model = await published(ask, account)
    account.stages.evaluations.script(after_looks=1000, waits=1)
    evaluation = await create(ask, model, sample)
    assert (await look(ask, evaluation))["state"] == "Pending"
    assert (await look(ask, evaluation))["state"] == "Doing"
    with pytest.raises(APIError, match="stop it first") as refused:
        await ask(Model, "batch_delete_evaluation_result", [evaluation])
    assert refused.value.code == 500001
    stopped = (await ask(Model, "stop_evaluation_task", evaluation))["result"]
    assert stopped == {"result": True, "errorMessage": ""}
    with account.lock:
        record = account.evaluations.get(evaluation)
        assert record is not None
        assert record.state == "Stopping"
    assert (await look(ask, evaluation))["state"] == "Stopped"
    again = (await ask(Model, "stop_evaluation_task", evaluation))["result"]
    assert again == {"result": False, "errorMessage": f"{evaluation} is Stopped"}
    await ask(Model, "batch_delete_evaluation_result", [evaluation])
    with account.lock:
        assert account.evaluations.get(evaluation) is None


@pytest.mark.parametrize(("ends", "unit"), [("PartlyDone", "Failed"), ("Failed", "Failed")])
async def test_ends_that_are_not_good(ask: Faces, account: Account, sample: str, ends: str, unit: str) -> None:
    one, other = await published(ask, account), await published(ask, account, "another")
    account.stages.evaluations.script(ends=ends, reason="out of luck")
    versions = [{"modelId": set_id, "modelVersionId": id} for set_id, id in (one, other)]
    evaluation = await create(ask, one, sample, version_info=versions)
    detail = await look(ask, evaluation)
    assert detail["state"] == ends
    assert (detail["evalUnits"][1]["state"], detail["evalUnits"][1]["message"]) == (unit, "out of luck")
    reports = (await ask(Model, "get_evaluation_result", evaluation))["result"]
    assert [report["modelVersionIdStr"] for report in reports] == ([one[1]] if ends == "PartlyDone" else [])


@pytest.mark.covers("/modelrepo/eval/result/list")
async def test_the_answers_one_by_one(ask: Faces, account: Account, sample: str) -> None:
    one, other = await published(ask, account), await published(ask, account, "another")
    versions = [{"modelId": set_id, "modelVersionId": id} for set_id, id in (one, other)]
    evaluation = await create(ask, one, sample, version_info=versions)
    units = (await look(ask, evaluation))["evalUnits"]
    rows = len_of(account, sample)

    async def listed(**filters: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await ask(Model, "get_evaluation_result_list", evaluation, **filters))["result"]
        return found

    everything = await listed(page_size=100)
    assert (everything["total"], len(everything["items"])) == (2 * rows, 100)
    entry = everything["items"][0]
    assert (entry["prediction"], entry["bleu4"], entry["modelVersionIdStr"]) == (entry["completion"], 1.0, one[1])
    assert len((await listed(page_no=2, page_size=min(rows, 100)))["items"]) > 0
    assert (await listed(eval_unit_id=[units[1]["id"]]))["items"][0]["modelVersionIdStr"] == other[1]
    assert (await listed(model_version_ids=[units[0]["modelVersionId"]]))["total"] == rows
    assert (await listed(bleu4={"start": 0, "end": 0.5}))["total"] == 0
    assert (await listed(rouge_l={"start": 0.5, "end": 1}, order_by="rouge_l", order="asc"))["total"] == 2 * rows
    assert (await listed(judge_score={"start": 0, "end": 5}))["total"] == 0
    with pytest.raises(APIError, match="orderBy"):
        await listed(order_by="beauty")


@pytest.mark.covers("/modelrepo/eval/result/export", "/modelrepo/eval/result/export/info")
async def test_exports(ask: Faces, account: Account, sample: str) -> None:
    evaluation = await create(ask, await published(ask, account), sample, {**JUDGED, **RULE, "evalMode": "rule,model"})
    with pytest.raises(APIError, match="has no answers"):
        await ask(Model, "create_evaluation_result_export_task", evaluation)
    await look(ask, evaluation)
    made = await ask(Model, "create_evaluation_result_export_task", evaluation)
    assert made.request.json_body == {
        "id": evaluation,
        "exportType": "local",
        "exportOpt": "total",
        "exportContent": ["prompt", "prediction", "completion", "metrics"],
    }
    info = (await ask(Model, "get_evaluation_result_export_task_status", made["result"]["exportIDStr"]))["result"]
    assert (info["state"], info["exportType"], info["volumeId"]) == ("Done", "local", "")
    lines = await fetched(info["downloadUrl"])
    assert len(lines) == len_of(account, sample)
    [line] = lines[0]
    assert list(line) == [
        "模型名称", "模型版本", "Prompt问题", "模型结果", "预期回答", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L",
        "裁判员模型打分", "裁判员模型打分理由",
    ]  # fmt: skip
    assert (line["模型名称"], line["BLEU-4"], line["裁判员模型打分"]) == ("a model", "100.00%", 10)


async def test_an_export_of_a_part_into_a_bucket(ask: Faces, account: Account, sample: str) -> None:
    evaluation = await create(ask, await published(ask, account), sample)
    await look(ask, evaluation)
    listed = (await ask(Model, "get_evaluation_result_list", evaluation, page_size=2))["result"]["items"]
    account.stages.evaluation_exports.script(after_looks=2, waits=1)
    made = await ask(
        Model,
        "create_evaluation_result_export_task",
        evaluation,
        EvaluationResultExportDestinationType.PrivateBos,
        EvaluationResultExportRange.Part,
        [EvaluationResultExportField.Prediction],
        "my-bucket",
        [one["id"] for one in listed],
    )
    states = []
    while not states or states[-1] != "Done":
        info = (await ask(Model, "get_evaluation_result_export_task_status", made["result"]["exportID"]))["result"]
        states.append(info["state"])
    assert states == ["Pending", "Uploading", "Done"]
    place = BosPath.parse(info["exportPath"])
    assert place.bucket == info["volumeId"] == "my-bucket"
    content = zipfile.ZipFile(io.BytesIO(await Platform().bos.get_bytes(place))).read("data.jsonl")
    lines = [json.loads(line) for line in content.splitlines()]
    assert [line[0]["模型结果"] for line in lines] == [one["prediction"] for one in listed]
    assert set(lines[0][0]) == {"模型名称", "模型版本", "模型结果"}


async def fetched(link: str) -> list[Any]:
    """What anybody finds behind a link, without keys."""
    async with Platform().client.download(link) as content:
        packed = b"".join([chunk async for chunk in content])
    return [json.loads(line) for line in zipfile.ZipFile(io.BytesIO(packed)).read("data.jsonl").splitlines()]


@pytest.mark.covers("/modelrepo/eval/model/list")
async def test_what_can_be_evaluated(ask: Faces, account: Account) -> None:
    assert (await ask(Model, "evaluable_model_list"))["result"] == []
    set_id, version = await published(ask, account)
    [entry] = (await ask(Model, "evaluable_model_list"))["result"]
    assert (entry["modelIdStr"], entry["modelName"], entry["trainType"]) == (set_id, "a model", "ERNIE-Speed-8K")
    assert [one["modelVersionIdStr"] for one in entry["modelVersionList"]] == [version]


async def test_what_is_refused(ask: Faces, account: Account, sample: str) -> None:
    model = await published(ask, account)

    async def refused(field: str, config: Any = RULE, **changes: Any) -> None:
        with pytest.raises(APIError, match=rf"param\[{field}\] invalid") as error:
            await create(ask, model, sample, config, **changes)
        assert error.value.http_status == 200

    await refused("name", name="")
    await refused("datasetId", dataset_id="ds-none")
    await refused("versionEvalInfo", version_info=[])
    await refused("modelVersionId", version_info=[{"modelId": model[0], "modelVersionId": "amv-none"}])
    await refused("modelId", version_info=[{"modelId": "am-none", "modelVersionId": model[1]}])
    await refused("versionEvalInfo", version_info=[{"modelId": model[0], "modelVersionId": model[1]}] * 6)
    await refused("evalMode", {"evalMode": "rule,beauty"})
    await refused("scoreModes", {"evalMode": "rule"})
    await refused("stopWordsPath", {**RULE, "stopWordsPath": "bos:/my-bucket/none.txt"})
    await refused("templateContent", {**JUDGED, "prompt": {"templateContent": "{src}"}})
    await refused("appId", {"evalMode": "model", "prompt": {}})
    await refused("evaluationDimension", {"evalMode": "manual", "evaluationDimension": [{"dimension": "other"}]})
    await refused("evaluationDimension", {**MANUAL, "evaluationDimension": [{"dimension": "满意度"}] * 5})
    evaluation = await create(ask, model, sample)
    await refused("id", pending_eval_id=int(await number_of(ask, evaluation)))
    with pytest.raises(APIError, match=r"param\[id\] invalid"):
        await look(ask, "ame-none")


async def number_of(ask: Faces, evaluation: str) -> str:
    return str((await look(ask, evaluation))["evaluationId"])


async def test_a_draft_is_started(ask: Faces, account: Account, sample: str) -> None:
    model = await published(ask, account)
    with account.lock:
        shelf = account.evaluations
        number = shelf.next_number
        draft = Evaluation(
            id=account.new_id(shelf), number=number, created=account.now(), name="draft", state="Editing"
        )
        shelf.add(draft)
    assert (await look(ask, draft.id))["state"] == "Editing"
    assert await create(ask, model, sample, pending_eval_id=number) == draft.id
    assert (await look(ask, draft.id))["state"] == "Done"


async def test_stop_words_do_not_count(ask: Faces, account: Account, sample: str) -> None:
    model = await published(ask, account)
    rows = [{"prompt": "Define an epoch.", "response": [["Two full passes over all the training data."]]}] * 2
    dataset = await released(ask, [json.dumps([row]) for row in rows])
    plain = await create(ask, model, dataset)
    await Platform().bos.put_bytes(b"One\nTwo\npass\npasses\n", BosPath("my-bucket", "words.txt"))
    without = await create(ask, model, dataset, {**RULE, "stopWordsPath": "bos:/my-bucket/words.txt"})
    accuracies = []
    for evaluation in (plain, without):
        await look(ask, evaluation)
        [report] = (await ask(Model, "get_evaluation_result", evaluation))["result"]
        accuracies.append((report["effectMetric"]["accuracy"], round(report["effectMetric"]["rouge_1"], 2)))
    assert accuracies == [(0.0, 0.78), (1.0, 1.0)]


async def released(ask: Faces, lines: list[str]) -> str:
    """A released dataset of these rows."""
    await Platform().bos.put_bytes(("\n".join(lines) + "\n").encode(), BosPath("my-bucket", "rows.jsonl"))
    rows = Dataset.create_from_pyobj([json.loads(line) for line in lines])
    saved = await rows.asave(
        qianfan_dataset_create_args={"name": "rows", "storage_id": "my-bucket", "storage_path": "d"}, does_release=True
    )
    return str(saved.inner_data_source_cache.dataset_id)  # type: ignore[union-attr]


# --- V2 ------------------------------------------------------------------------------------------------------------


async def create_v2(ask: Faces, model: str, sample: str, *, name: str = "second", **changes: Any) -> str:
    entry = {"modelId": model, "promptTemplate": "Q: {input}", "temperature": 0.5}
    config = {"versionId": sample, "evalModelConfigList": [entry]}
    asked = {
        "task_name": name,
        "eval_object_type": "model",
        "eval_object_config": {"evalModelConfig": config},
        "eval_config": {"evalMode": "rule"},
        **changes,
    }
    made = await ask(Eval.V2, "create_eval_task", **asked)
    return str(made["result"]["taskId"])


@pytest.mark.covers("CreateEvalTask", "DescribeEvalTask", "DescribeEvalTaskReport", "DeleteEvalTask")
async def test_the_second_generation(ask: Faces, account: Account, sample: str) -> None:
    _, model = await published(ask, account)
    place = {"storageType": "BOS", "storagePath": "bos:/my-bucket/kept/"}
    config = {"versionId": sample, **place, "evalModelConfigList": [{"modelId": model, "promptTemplate": "Q: {input}"}]}
    task = await create_v2(ask, model, sample, eval_object_config={"evalModelConfig": config}, description="for fun")
    detail = (await ask(Eval.V2, "describe_eval_task", task))["result"]
    assert (detail["state"], detail["taskName"], detail["description"]) == ("Done", "second", "for fun")
    assert detail["evalObjectConfig"] == {"evalModelConfig": config}
    report = (await ask(Eval.V2, "describe_eval_task_report", task))["result"]
    [entry] = report["reports"]
    assert entry["modelVersionIdStr"] == model
    # Put into a template, the questions are others than those that were trained on.
    assert entry["effectMetric"]["accuracy"] < 1
    with account.lock:
        [stored] = account.buckets.under("my-bucket", "kept/")
        rows = account.blob_of(stored.source).read().splitlines()
        assert len(rows) == len_of(account, sample)
    assert (await ask(Eval.V2, "delete_eval_task", task))["result"] is True
    with pytest.raises(APIError, match=r"param\[taskId\] invalid"):
        await ask(Eval.V2, "describe_eval_task", task)


@pytest.mark.covers("DescribeEvalTasks")
async def test_listing_both_generations(ask: Faces, account: Account, sample: str) -> None:
    set_id, model = await published(ask, account)
    first = await create(ask, (set_id, model), sample, name="by the first")
    second = await create_v2(ask, model, sample, eval_config={"evalMode": "manual"})
    listed = await ask(Eval.V2, "describe_eval_tasks", "all", max_keys=1)
    assert [one["taskId"] for one in listed["result"]["taskList"]] == [second]
    rest = await ask(Eval.V2, "describe_eval_tasks", "all", marker=listed["result"]["pageInfo"]["nextMarker"])
    assert [one["taskId"] for one in rest["result"]["taskList"]] == [first]

    async def found(kind: str, key: str | None = None) -> list[str]:
        page = await ask(Eval.V2, "describe_eval_tasks", kind, key)
        return [one["taskId"] for one in page["result"]["taskList"]]

    assert await found("manual") == [second]
    assert await found("auto") == [first]
    assert await found("all", "by the") == [first]
    assert await found("all", second) == [second]
    assert await found("all", model) == [second, first]


async def test_answers_that_are_there_are_judged(ask: Faces, account: Account, sample: str) -> None:
    model = await published(ask, account)
    evaluation = await create(ask, model, sample)
    answers = (await look(ask, evaluation))["evalStandardConf"]["resultDatasetIdStr"]
    asked = {"evalInferDatasetConfig": {"evalInferDatasetConfigList": [{"inferDatasetId": answers}]}}
    judge = {"evalMode": "rule,model", "autoModelEvalConfig": {"apiName": "ERNIE-4.0-8K"}}
    task = await create_v2(
        ask, model[1], sample, eval_object_type="inferDataset", eval_object_config=asked, eval_config=judge
    )
    assert (await ask(Eval.V2, "describe_eval_task", task))["result"]["state"] == "Done"
    [entry] = (await ask(Eval.V2, "describe_eval_task_report", task))["result"]["reports"]
    assert (entry["datasetId"], entry["effectMetric"]["accuracy"]) == (answers, 1.0)
    assert entry["effectMetric"]["avgJudgeScore"] == 5


async def test_what_the_second_generation_refuses(ask: Faces, account: Account, sample: str) -> None:
    _, model = await published(ask, account)

    async def refused(field: str, entry: dict[str, Any] | None = None, **changes: Any) -> None:
        if entry is not None:
            config = {"versionId": sample, "evalModelConfigList": [{"modelId": model, **entry}]}
            changes["eval_object_config"] = {"evalModelConfig": config}
        with pytest.raises(APIError, match=rf"param\[{field}\] invalid") as error:
            await create_v2(ask, model, sample, **changes)
        assert (error.value.http_status, error.value.code) == (400, "InappropriateJSON")

    await refused("promptTemplate", {"promptTemplate": "no place"})
    await refused("temperature", {"temperature": 0})
    await refused("penalty_score", {"penalty_score": 3})
    await refused("isBase", {"isBase": True})
    await refused("evalObjectType", eval_object_type="other")
    await refused("evalMode", eval_config={"evalMode": "manual,rule"})
    await refused("apiName", eval_config={"evalMode": "model", "autoModelEvalConfig": {}})
    many = {"versionId": sample, "evalModelConfigList": [{"modelId": model}] * 6}
    await refused("evalModelConfigList", eval_object_config={"evalModelConfig": many})


# --- shapes --------------------------------------------------------------------------------------------------------

EFFECT = {
    "accuracy": 0.5,
    "f1Score": 0.6,
    "rouge_1": 0.1,
    "rouge_2": 0.2,
    "rouge_l": 0.3,
    "bleu4": 0.4,
    "avgJudgeScore": 3.5,
    "stdJudgeScore": 0.5,
    "medianJudgeScore": 3,
    "scoreDistribution": {"-1": 1, "0": 0, "5": 2},
    "manualAvgScore": 0,
    "goodCaseProportion": 0,
    "subjectiveImpression": "",
    "manualScoreDistribution": [{"dimension": "满意度", "scoreDistribution": {"1": 2}}],
}
REPORT = {
    "modelName": "m",
    "modelVersion": "2",
    "modelVersionSource": "Train",
    "evalMode": "model,rule",
    "evaluationName": "e",
    "id": "65e6b5c0a1b2c3d4e5f60718",
    "modelVersionId": 34,
    "modelId": 12,
    "userId": 9,
    "evaluationId": 56,
    "performanceMetric": {},
    "effectMetric": EFFECT,
}
UNIT = {
    "modelVersionId": 34,
    "modelId": 12,
    "modelName": "m",
    "modelVersion": "2",
    "modelSource": "Train",
    "state": "Done",
    "modelVersionDesc": "",
    "message": "",
    "modelTags": None,
}
STANDARD = {
    "evalMode": "model,rule",
    "scoreModes": ["similarity"],
    "stopWordsPath": "",
    "appId": 7,
    "appAk": "an ak",
    "appSk": "a secret",
    "apiName": "ERNIE-4.0-8K",
    "apiUrl": "https://aip.example",
    "prompt": {"templateName": "t", "maxScore": 5, "minScore": 0},
    "evaluationDimension": None,
    "resultDatasetId": 78,
    "resultDatasetIdStr": "ds-9f2k7m1x5c8v0bnz",
    "resultDatasetName": "r",
    "resultDatasetProjectType": 20,
    "resultDatasetImportStatus": 2,
    "resultDatasetReleaseStatus": 0,
}
DETAIL = {
    "evaluationId": 56,
    "name": "e",
    "description": "",
    "state": "DoingWithManualBegin",
    "evalUnits": [UNIT],
    "datasetId": "ds-1",
    "datasetName": "d",
    "computeResourceConf": {"vmType": 1, "vmNumber": 8},
    "evalStandardConf": STANDARD,
}


def test_recorded_answers() -> None:
    detail = known.EvaluationDetail.model_validate(DETAIL)
    assert (detail.evaluation_id, detail.state) == ("56", "DoingWithManualBegin")
    assert detail.standard.result_dataset_id == "ds-9f2k7m1x5c8v0bnz"
    assert (detail.eval_units[0].model_version_id, detail.eval_units[0].model_tags) == ("34", [])
    assert "a secret" not in repr(detail)
    report = known.EvaluationReport.model_validate(REPORT)
    effect = report.effect_metric
    assert (effect.f1_score, effect.rouge_1, effect.rouge_l, effect.bleu4) == (0.6, 0.1, 0.3, 0.4)
    assert effect.score_distribution == {"-1": 1, "0": 0, "5": 2}
    made = known.EvaluationCreated.model_validate({"evalId": 56, "evalIdStr": "ame-1"})
    assert (made.evaluation_id, made.number) == ("ame-1", 56)
    export = {"id": "x", "exportID": 3, "exportIDStr": "amemt-1", "state": "Done", "exportType": "local"}
    told = known.EvaluationExport.model_validate({**export, "downloadUrl": "https://bos.example/x?authorization=a"})
    assert (told.export_id, told.download_url[:8]) == ("amemt-1", "https://")
    assert "authorization" not in repr(told)


async def test_the_emulator_tells_what_was_recorded(ask: Faces, account: Account, sample: str) -> None:
    evaluation = await create(ask, await published(ask, account), sample, {**JUDGED, **RULE, "evalMode": "model,rule"})
    detail = await look(ask, evaluation)
    assert set(detail) == {*DETAIL, "evaluationIdStr", "simulated"}
    assert set(detail["evalUnits"][0]) == {*UNIT, "id", "modelIdStr", "modelVersionIdStr"}
    assert set(detail["evalStandardConf"]) == set(STANDARD)
    assert detail["state"] in EVALUATION.moves
    [report] = (await ask(Model, "get_evaluation_result", evaluation))["result"]
    more = {"evaluationIdStr", "modelIdStr", "modelVersionIdStr", "modelVersionDesc", "simulated"}
    assert set(report) == {*REPORT, *more}
    assert set(report["effectMetric"]) == set(EFFECT)

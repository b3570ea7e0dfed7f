"""The model repository by its documented names, both generations."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from qianfan.emulator.account import Account
from qianfan.emulator.records import Task
from qianfan.emulator.scripted import Scripted
from qianfan.emulator.server import Running
from qianfan.errors import APIError, InvalidArgumentError
from qianfan.resources import BosPath, ChatCompletion, Model, Service
from qianfan.resources.console.consts import (
    CreateCustomModelSourceType,
    CustomModelSetModelType,
    ModelTypePreset,
    ModelTypeUser,
)
from qianfan.resources.platform import Platform
from tests.contract.conftest import Faces
from tests.contract.steps import finished_task, new_service, published

pytestmark = [pytest.mark.anyio, pytest.mark.socket]


async def state_of(ask: Faces, version: str) -> str:
    return str((await ask(Model, "detail", version))["result"]["state"])


# --- V1 ----------------------------------------------------------------------------------------------------------


@pytest.mark.covers("/modelrepo/publishTrainModel", "/modelrepo/modelDetail", "/modelrepo/modelVersionDetail")
async def test_publishing_and_looking(ask: Faces, account: Account, served: Running) -> None:
    job, task = await finished_task(ask, account)
    meta = {"taskId": job, "iterationId": task, "description": "for fun"}
    made = (await ask(Model, "publish", True, meta, "mine", tags=["t"]))["result"]
    assert set(made) == {"modelIDStr", "modelId", "version", "versionId", "versionIdStr"}
    assert served.platform.log.recent()[-1].body == {
        "isNewModel": True,
        "modelName": "mine",
        "tags": ["t"],
        "versionMeta": meta,
    }
    with account.lock:
        version = account.models.get(made["versionIdStr"])
        assert version is not None
        assert (version.task_id, version.description, version.model_set_id) == (task, "for fun", made["modelIDStr"])
    detail = (await ask(Model, "detail", made["versionId"]))["result"]
    assert (detail["state"], detail["sourceType"], detail["ioMode"]) == ("Ready", "Train", "chat")
    source = detail["sourceExtra"]["trainSourceExtra"]
    assert (source["taskIdStr"], source["runIdStr"]) == (job, task)
    assert "Acceleration" in detail["supportOptions"]
    listed = (await ask(Model, "list", made["modelIDStr"]))["result"]
    assert (listed["modelName"], listed["source"], listed["modelType"]) == ("mine", "UserCreate", 0)
    assert [one["modelVersionIdStr"] for one in listed["modelVersionList"]] == [made["versionIdStr"]]


@pytest.mark.covers("/modelrepo/publishTrainModel")
async def test_codes_of_publishing(ask: Faces, account: Account) -> None:
    """Each refusal has its number."""

    async def refused(*args: Any, **kwargs: Any) -> Any:
        with pytest.raises(APIError) as caught:
            await ask(Model, "publish", *args, **kwargs)
        assert caught.value.http_status == 200
        return caught.value.code

    job, task = await finished_task(ask, account)
    meta = {"taskId": job, "iterationId": task}
    made = (await ask(Model, "publish", True, meta, "mine"))["result"]
    assert await refused(True, meta, "mine") == 70101
    assert await refused(True, meta, "") == 70131
    assert await refused(True, {**meta, "iterationId": "task-none"}, "other") == 70114
    assert await refused(True, {**meta, "taskId": "job-none"}, "other") == 70114
    assert await refused(False, meta, model_id="am-none") == 10001
    assert await refused(False, meta, model_id=made["modelIDStr"]) == 70118
    with account.lock:
        imported = account.models.get(made["versionIdStr"])
        assert imported is not None
        imported.source_type = "Import"
    assert await refused(False, meta, model_id=made["modelIDStr"]) == 70128
    with account.lock:
        account.works = NothingKept(account)
    assert await refused(True, meta, "other") == 70115
    with pytest.raises(APIError) as caught:
        await ask(Model, "detail", "amv-none")
    assert caught.value.code == 70102


class NothingKept(Scripted):
    """Somebody has removed the output of every training."""

    def kept_steps(self, task: Task) -> list[int]:
        return []


@pytest.mark.covers("/modelrepo/model/preset/list")
async def test_the_platforms_own_models_in_pages(ask: Faces) -> None:
    async def names(**wanted: Any) -> list[str]:
        result = (await ask(Model, "preset_list", **wanted))["result"]
        assert {one["source"] for one in result["modelList"]} <= {"PlatformPreset"}
        return [one["modelName"] for one in result["modelList"]]

    first, second = await names(page_size=5), await names(page_size=5, page_no=2)
    assert len({*first, *second}) == 10
    assert await names(name_filter="ernie-speed-8k") == ["ERNIE-Speed-8K"]
    assert "Embedding-V1" in await names(model_type=[ModelTypePreset.VectorModel])
    assert await names(model_type=[ModelTypePreset.VectorModel], name_filter="ERNIE-Speed") == []
    assert all("128K" in name for name in await names(ctx_length=["128K"]))
    vendors = await names(model_version_vendor=["百度"], language_support=["中文"], page_size=100)
    assert "ERNIE-Speed-8K" in vendors
    assert "Llama-2-7B-Chat" not in vendors
    assert "ERNIE-Speed-8K" in await names(expansion=["SFT"], order_by="name", page_size=100)
    [speed] = (await ask(Model, "preset_list", "ERNIE-Speed-8K"))["result"]["modelList"]
    [version] = speed["modelVersionList"]
    assert (await state_of(ask, version["modelVersionIdStr"]), await state_of(ask, version["modelVersionId"])) == (
        "Ready",
        "Ready",
    )


@pytest.mark.covers("/modelrepo/model/user/list")
async def test_ones_own_models_in_pages(ask: Faces) -> None:
    for name in ("one", "two", "three"):
        await ask(Model.V2, "create_custom_model_set", name, CustomModelSetModelType.Text2Text)
    await ask(Model.V2, "create_custom_model_set", "painter", "Text2Image")

    async def names(**wanted: Any) -> list[str]:
        return [one["modelName"] for one in (await ask(Model, "user_list", **wanted))["result"]["modelList"]]

    assert await names() == ["painter", "three", "two", "one"]
    assert await names(order_by="create_time", order="asc", page_size=2, page_no=2) == ["three", "painter"]
    assert await names(model_type=[ModelTypeUser.Text2Image]) == ["painter"]
    assert await names(name_filter="TH", model_type=[ModelTypeUser.LargeLanguageModel]) == ["three"]
    assert (await ask(Model, "user_list", page_size=1))["result"]["total"] == 4
    with pytest.raises(APIError, match=r"param\[order\] invalid"):
        await ask(Model, "user_list", order="sideways")


@pytest.mark.covers("/modelrepo/model/version/batchDelete", "/modelrepo/model/batchDelete")
async def test_deleting_several(ask: Faces, account: Account) -> None:
    set_id, version = await published(ask, account)
    assert (await ask(Model, "batch_delete_model_version", [version]))["result"] is True
    with account.lock:
        assert account.models.get(version) is None
    await ask(Model, "batch_delete_model", [set_id])
    with account.lock:
        assert account.model_sets.get(set_id) is None


# --- V2 ----------------------------------------------------------------------------------------------------------


@pytest.mark.covers(
    "CreateCustomModelSet",
    "CreateCustomModel",
    "DescribeModelSet",
    "DescribeModel",
    "DescribeCustomModelSets",
    "DeleteModel",
    "DeleteModelSet",
)
async def test_the_second_generation(ask: Faces, account: Account) -> None:
    _, task = await finished_task(ask, account)
    set_id = (await ask(Model.V2, "create_custom_model_set", "mine", "Text2Text", ["a", "b"]))["result"]
    with account.lock:
        made = account.model_sets.get(set_id)
        assert made is not None
        assert made.labels == ["a", "b"]
    source = CreateCustomModelSourceType.Train
    created = await ask(Model.V2, "create_custom_model", set_id, source, "for fun", {"taskId": task})
    version = created["result"]["modelId"]
    detail = (await ask(Model.V2, "describe_model", version))["result"]
    assert (detail["status"], detail["description"], detail["isSupportModelComp"]) == ("Ready", "for fun", True)
    assert detail["trainMeta"]["taskId"] == task
    by_name = (await ask(Model.V2, "describe_model_set", "mine"))["result"]
    assert by_name == (await ask(Model.V2, "describe_model_set", model_set_id=set_id))["result"]
    keys = {"modelSetId", "modelSetName", "source", "modelType", "createTime", "modifyTime", "modelIds"}
    assert set(by_name) == keys
    assert by_name["modelIds"] == [version]
    listed = (await ask(Model.V2, "describe_custom_model_sets", max_keys=1))["result"]
    assert [one["modelSetId"] for one in listed["modelSetList"]] == [set_id]
    assert listed["pageInfo"]["isTruncated"] is False
    await ask(Model.V2, "delete_model", version)
    await ask(Model.V2, "delete_model_set", set_id)
    with account.lock:
        assert (account.models.get(version), account.model_sets.get(set_id)) == (None, None)


@pytest.mark.covers("DescribeSystemModelSets", "DescribeModelSet", "DescribeModel")
async def test_the_platforms_own_sets(ask: Faces) -> None:
    page = (await ask(Model.V2, "describe_system_model_sets", max_keys=3))["result"]
    assert len(page["modelSetList"]) == 3
    marker = page["pageInfo"]["nextMarker"]
    rest = (await ask(Model.V2, "describe_system_model_sets", marker, 1))["result"]
    assert rest["modelSetList"][0]["modelSetId"] == marker
    first = page["modelSetList"][0]
    assert first["source"] == "PlatformPreset"
    assert (await ask(Model.V2, "describe_model_set", model_set_id=first["modelSetId"]))["result"] == first
    detail = (await ask(Model.V2, "describe_model", first["modelIds"][0]))["result"]
    assert (detail["status"], detail["sourceType"]) == ("Ready", "PlatformPreset")


def import_meta(**changes: Any) -> dict[str, Any]:
    fields = {"bucket": "my-bucket", "objectPath": "models/mine/", "modelFormat": "HuggingFace.Transformers"}
    return {**fields, **changes}


@pytest.mark.covers(
    "CreateCustomModel",
    "CreateModelCustomConf",
    "DescribeModelSystemAdvancedConf",
    "DescribeModelCustomAdvancedConf",
)
async def test_importing_a_model(ask: Faces, account: Account, tmp_path: Path) -> None:
    template = tmp_path / "chat.py"
    template.write_text("def render(messages):\n    return '你好'\n", encoding="utf-8")
    kept = (await ask(Model.V2, "create_custom_model_conf", str(template)))["result"]["customSpecFile"]
    with account.lock:
        file = account.conf_files.get(kept)
        assert file is not None
        assert file.source.name == "chat.py"
        assert account.blob_of(file.source).read() == template.read_bytes()
    offered = (await ask(Model.V2, "describe_model_system_advanced_conf", "chat"))["result"]
    assert offered["modelFormat"] == "HuggingFace.Transformers"
    set_id = (await ask(Model.V2, "create_custom_model_set", "imported", "Text2Text"))["result"]
    spec = {"displayName": "mine", "customSpecFile": kept}
    meta = import_meta(ioMode="completion", customSpec=spec, transformersVersion=offered["transformersVersion"][0])

    async def create(meta: dict[str, Any]) -> Any:
        given = {"source_type": "Import", "import_meta": meta, "train_meta": {"taskId": "left out"}}
        return (await ask(Model.V2, "create_custom_model", set_id, **given))["result"]["modelId"]

    with pytest.raises(APIError, match="holds nothing"):
        await create(meta)
    await Platform().bos.put_bytes(b"{}", BosPath("my-bucket", "models/mine/config.json"))
    version = await create(meta)
    assert await state_of(ask, version) == "Ready"
    detail = (await ask(Model, "detail", version))["result"]
    assert (detail["sourceType"], detail["ioMode"]) == ("Import", "completion")
    source = detail["sourceExtra"]["importModelVersionSourceExtra"]
    assert source == {"bucket": "my-bucket", "object": "models/mine/"}
    conf = (await ask(Model.V2, "describe_model_custom_advanced_conf", version))["result"]
    assert (conf["customSpec"], conf["transformersVersion"]) == (spec, "4.34.0")
    assert "bucket" not in conf
    for wrong in (
        {"modelFormat": "GGUF"},
        {"ioMode": "telepathy"},
        {"transformersVersion": "9.9.9"},
        {"vllmVersion": "9.9.9"},
        {"chatConf": {"historyTemplate": "x" * 201}},
        {"chatConf": {}, "customSpec": {}},
        {"customSpec": {"displayName": "x" * 201}},
        {"customSpec": {"customSpecFile": "conf-none"}},
        {"compressionConf": {"numBeams": 16}},
        {"compressionConf": {"numReturnSequences": 0}},
        {"compressionConf": {"samplingMode": "dice"}},
        {"bucket": None},
    ):
        with pytest.raises(APIError, match=r"param\[\w+\] invalid"):
            await create(import_meta(**wrong))
    with account.lock:
        assert len(account.models) == 1


async def test_a_chat_template_is_checked_before_it_is_sent(ask: Faces, served: Running, tmp_path: Path) -> None:
    large, text = tmp_path / "large.py", tmp_path / "chat.txt"
    large.write_bytes(b"#" * 2**20)
    text.write_text("")
    for path, problem in ((large, "smaller than"), (text, r"must end in \.py"), (tmp_path / "none.py", "cannot be")):
        with pytest.raises(InvalidArgumentError, match=problem):
            await ask(Model.V2, "create_custom_model_conf", path)
    assert served.platform.log.recent() == []
    large.write_bytes(b"#" * (2**20 - 1))
    assert (await ask(Model.V2, "create_custom_model_conf", large))["result"]


@pytest.mark.covers("CreateModelExportTask", "DescribeModelExportTask")
async def test_exporting_a_model(ask: Faces, account: Account) -> None:
    set_id, version = await published(ask, account)
    with pytest.raises(APIError, match="never exported"):
        await ask(Model.V2, "describe_model_export_model", version)
    begun = (await ask(Model.V2, "create_model_export_model", version))["result"]
    assert begun["status"] == "Exporting"
    again = (await ask(Model.V2, "create_model_export_model", version))["result"]
    assert again["objectPath"] == begun["objectPath"]
    done = (await ask(Model.V2, "describe_model_export_model", version))["result"]
    assert done["status"] == "ExportFinished"
    with account.lock:
        stored = account.buckets.get(done["bucket"], done["objectPath"])
        assert stored is not None
        content = account.blob_of(stored.source).read()
    about = json.loads(zipfile.ZipFile(io.BytesIO(content)).read("model.json"))
    assert (about["modelId"], about["modelSetId"], about["simulated"]) == (version, set_id, True)


@pytest.mark.covers(
    "CreateModelCompTask", "DescribeModelCompTask", "DescribeModelCompTasks", "DeleteModelCompTask", "DescribeModel"
)
async def test_a_compressed_model_is_one_more_version_and_answers_like_its_source(
    ask: Faces, account: Account, served: Running
) -> None:
    set_id, version = await published(ask, account)
    with account.lock:
        account.stages.compression.script(after_looks=2, waits=1)
    config = {"strategy": "Quantization", "weight": "W8A16C16"}
    task = (await ask(Model.V2, "create_model_comp_task", "smaller", version, config, set_id, "d"))["result"]
    assert isinstance(task, str)
    states = []
    while (detail := (await ask(Model.V2, "describe_model_comp_task", task))["result"])["status"] != "succeeded":
        states.append(detail["status"])
        assert "modelId" not in detail
    assert states == ["creating", "running"]
    made = detail["modelId"]
    with account.lock:
        compressed = account.models.get(made)
        assert compressed is not None
        assert (compressed.model_set_id, compressed.version) == (set_id, 2)
    described = (await ask(Model, "detail", made))["result"]
    assert (described["state"], described["sourceType"]) == ("Ready", "Acceleration")
    source = described["sourceExtra"]["accelerationSourceExtra"]
    assert source == {"taskId": task, "taskName": "smaller", "sourceModelVersionId": version}
    assert (await ask(Model.V2, "describe_model", made))["result"]["isSupportModelComp"] is False

    said = []
    for number, model in enumerate((version, made)):
        service = (await new_service(ask, (set_id, model), f"svc_{number}"))["serviceId"]
        url = (await ask(Service.V2, "service_detail", service))["result"]["url"]
        answer = await ChatCompletion(endpoint=url.rpartition("/")[2]).ado([{"role": "user", "content": "hello"}])
        said.append(str(answer["result"]).replace(f"svc_{number}", ""))
    assert said[0] == said[1]

    listed = (await ask(Model.V2, "describe_model_comp_tasks", source_model_id=version))["result"]
    assert [one["modelCompTaskId"] for one in listed["modelCompTaskList"]] == [task]
    other = (await ask(Model.V2, "describe_model_comp_tasks", source_model_id="amv-none"))["result"]
    assert other["modelCompTaskList"] == []
    await ask(Model.V2, "delete_model_comp_task", task)
    with account.lock:
        assert account.comp_tasks.get(task) is None
        assert account.models.get(made) is not None


@pytest.mark.covers("CancelModelCompTask", "CreateModelCompTask", "DescribeModelCompTask")
async def test_cancelling_a_compression(ask: Faces, account: Account) -> None:
    set_id, version = await published(ask, account)
    with account.lock:
        account.stages.compression.script(after_looks=9)
    task = (await ask(Model.V2, "create_model_comp_task", "c", version, {"strategy": "Sparsity"}, set_id))["result"]
    with pytest.raises(APIError, match="cancel it first"):
        await ask(Model.V2, "delete_model_comp_task", task)
    for _ in range(2):
        assert (await ask(Model.V2, "cancel_model_comp_task", task))["result"] is True
    seen = [(await ask(Model.V2, "describe_model_comp_task", task))["result"]["status"] for _ in range(3)]
    assert seen == ["stopping", "stopped", "stopped"]
    with account.lock:
        assert len(account.models) == 1


@pytest.mark.covers("CreateModelCompTask", "DescribeModelCompTask")
async def test_a_compression_that_fails_and_some_that_are_refused(ask: Faces, account: Account) -> None:
    set_id, version = await published(ask, account)
    with account.lock:
        account.stages.compression.script(ends="failed", reason="no machines", times=1)
    sparse = {"strategy": "Sparsity"}
    task = (await ask(Model.V2, "create_model_comp_task", "c", version, sparse, set_id))["result"]
    detail = (await ask(Model.V2, "describe_model_comp_task", task))["result"]
    assert (detail["status"], detail["failedReason"]) == ("failed", "no machines")
    with pytest.raises(APIError) as ended:
        await ask(Model.V2, "cancel_model_comp_task", task)
    assert ended.value.code == "PreconditionFailed"
    for config in ({}, {"strategy": "Zip"}, {"strategy": "Quantization"}, {"strategy": "Quantization", "weight": "1"}):
        with pytest.raises(APIError, match=r"param\[\w+\] invalid"):
            await ask(Model.V2, "create_model_comp_task", "c", version, config, set_id)
    with pytest.raises(APIError, match=r"param\[sourceModelId\]"):
        await ask(Model.V2, "create_model_comp_task", "c", "amv-none", sparse, set_id)
    with pytest.raises(APIError, match=r"param\[modelSetId\]"):
        await ask(Model.V2, "create_model_comp_task", "c", version, sparse, "am-none")
    with account.lock:
        assert (len(account.comp_tasks), len(account.models)) == (1, 1)

"""Models through both generations of the API."""

from __future__ import annotations

import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError, RequestError
from qianfan.resources import Platform
from qianfan.resources.console.consts import ModelState
from tests.support.emulated import ready_version, trained

pytestmark = pytest.mark.anyio


async def test_publishing_into_a_new_set(platform: Platform, emulator: Emulator) -> None:
    task = await trained(platform)
    made = await platform.models.publish(
        job_id=task.job_id, task_id=task.task_id, name="my model", tags=["a"], description="words"
    )
    sent = emulator.requests[-1].body
    assert sent["isNewModel"] is True
    assert sent["tags"] == ["a"]
    assert sent["versionMeta"] == {"taskId": task.job_id, "iterationId": task.task_id, "description": "words"}
    assert made.version_id is not None
    while (version := await platform.models.version_detail(made.version_id)).state is ModelState.Creating:
        pass
    assert version.state is ModelState.Ready
    assert (version.set_id, version.version_id, version.name) == (made.set_id, made.version_id, "my model")
    assert (version.source.job_id, version.source.task_id) == (task.job_id, task.task_id)
    detail = await platform.models.detail(made.set_id)
    assert (detail.set_id, detail.set_number, detail.name) == (made.set_id, made.set_number, "my model")
    assert [one.version_id for one in detail.versions] == [made.version_id]


async def test_publishing_into_a_set_that_is_there(platform: Platform, emulator: Emulator) -> None:
    set_id, first = await ready_version(platform)
    task = await trained(platform, "other_job")
    made = await platform.models.publish(job_id=task.job_id, task_id=task.task_id, set_id=set_id)
    sent = emulator.requests[-1].body
    assert (sent["isNewModel"], sent["modelId"], "modelName" in sent) == (False, set_id, False)
    assert made.set_id == set_id
    assert emulator.model_sets[set_id].model_ids == [first, made.version_id]
    with pytest.raises(APIError) as caught:
        await platform.models.publish(job_id=task.job_id, task_id=task.task_id, set_id=set_id)
    assert caught.value.code == 70118


async def test_numbers_of_older_code(platform: Platform, emulator: Emulator) -> None:
    set_id, version_id = await ready_version(platform)
    number = emulator.models[version_id].number
    assert (await platform.models.version_detail(number)).version_id == version_id
    assert (await platform.models.detail(emulator.model_sets[set_id].number)).set_id == set_id


async def test_deleting(platform: Platform, emulator: Emulator) -> None:
    set_id, version_id = await ready_version(platform)
    assert await platform.models.delete_versions([version_id])
    assert version_id not in emulator.models
    assert await platform.models.delete_sets([set_id])
    assert set_id not in emulator.model_sets


async def test_a_publication_without_its_ids(platform: Platform, emulator: Emulator) -> None:
    """The set's id is needed; the version's can be asked for."""
    emulator.faults.add("publishTrainModel", body={"log_id": "17", "result": {"modelId": 3}})
    with pytest.raises(RequestError, match="publishTrainModel.*look at: modelIDStr") as caught:
        await platform.models.publish(job_id="job-1", task_id="task-1", name="n")
    assert caught.value.request_id == "17"
    emulator.faults.add("publishTrainModel", body={"log_id": "17", "result": {"modelIdStr": "am-1"}})
    made = await platform.models.publish(job_id="job-1", task_id="task-1", name="n")
    assert (made.set_id, made.version_id) == ("am-1", None)


async def test_a_state_that_is_new_stays_a_word(platform: Platform, emulator: Emulator) -> None:
    result = {"modelVersionIdStr": "amv-1", "modelIdStr": None, "state": "Sleeping", "sourceExtra": None}
    emulator.faults.add("modelVersionDetail", body={"log_id": "1", "result": result})
    version = await platform.models.version_detail("amv-1")
    assert (version.state, version.set_id, version.source.task_id) == ("Sleeping", "", "")


# --- V2 ------------------------------------------------------------------------------------------------------


async def test_the_second_generation(platform: Platform, emulator: Emulator) -> None:
    models = platform.models_v2
    task = await trained(platform)
    set_id = await models.create_set("my model", labels=["a"])
    assert set_id.startswith("am-")
    model_id = await models.create_model(set_id, task_id=task.task_id, description="words")
    assert emulator.requests[-1].body["trainMeta"] == {"taskId": task.task_id}
    while (model := await models.describe_model(model_id)).status is ModelState.Creating:
        pass
    assert (model.status, model.model_set_id, model.description) == (ModelState.Ready, set_id, "words")
    by_id, by_name = await models.describe_set(set_id), await models.describe_set(name="my model")
    assert by_id.model_dump() == by_name.model_dump()
    assert (by_id.model_ids, by_id.model_type, by_id.model_set_name) == ([model_id], "Text2Text", "my model")
    assert await models.delete_model(model_id)
    assert await models.delete_set(set_id)
    assert not emulator.model_sets


async def test_an_earlier_checkpoint_is_named(platform: Platform, emulator: Emulator) -> None:
    emulator.faults.add("CreateCustomModel", body={"requestId": "r", "result": {"modelId": "amv-1"}})
    assert await platform.models_v2.create_model("am-1", task_id="task-1", step=0) == "amv-1"
    assert emulator.requests[-1].body["trainMeta"] == {"taskId": "task-1", "checkpointStep": 0}


async def test_listings_go_on_to_the_last_page(platform: Platform, emulator: Emulator) -> None:
    made = [await platform.models_v2.create_set(f"m{n}") for n in range(101)]
    assert [one.model_set_id async for one in platform.models_v2.custom_sets()] == made[::-1]
    assert emulator.count("DescribeCustomModelSets") == 2
    page = await platform.models_v2.describe_custom_sets(max_keys=1, page_reverse=True)
    assert [one.model_set_id for one in page.items] == made[:1]

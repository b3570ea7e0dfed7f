"""The model repository through both generations of the API."""

from __future__ import annotations

import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError
from qianfan.resources import Platform
from qianfan.resources.console.consts import ModelState
from tests.support.emulated import ready_version, trained

pytestmark = pytest.mark.anyio


async def test_publishing_and_looking(platform: Platform, emulator: Emulator) -> None:
    emulator.publishing.script(after_looks=1)
    task = await trained(platform)
    made = await platform.models.publish(
        job_id=task.job_id, task_id=task.task_id, name="mine", tags=["t"], description="for fun"
    )
    sent = emulator.requests[-1].body
    assert sent["versionMeta"] == {"taskId": task.job_id, "iterationId": task.task_id, "description": "for fun"}
    assert (sent["isNewModel"], sent["modelName"], sent["tags"]) == (True, "mine", ["t"])
    assert made.set_id in emulator.model_sets
    assert made.version_id in emulator.models
    assert made.version == "1"
    assert made.version_id is not None
    assert (await platform.models.version_detail(made.version_id)).state is ModelState.Creating
    version = await platform.models.version_detail(made.version_number or 0)
    assert (version.state, version.set_id, version.version_id) == (ModelState.Ready, made.set_id, made.version_id)
    assert (version.source.job_id, version.source.task_id) == (task.job_id, task.task_id)
    for set_id in (made.set_id, made.set_number or 0):
        detail = await platform.models.detail(set_id)
        assert (detail.set_id, detail.name) == (made.set_id, "mine")
        assert [one.version_id for one in detail.versions] == [made.version_id]
    found = await platform.models_v2.describe_set(name="mine")
    assert (found.model_set_id, found.model_ids) == (made.set_id, [made.version_id])
    seen = await platform.models_v2.describe_model(made.version_id)
    assert (seen.status, seen.model_set_id, seen.description) == (ModelState.Ready, made.set_id, "for fun")


async def test_a_second_version_in_the_same_set(platform: Platform, emulator: Emulator) -> None:
    set_id, first = await ready_version(platform)
    task = await trained(platform, "other_job")
    made = await platform.models.publish(job_id=task.job_id, task_id=task.task_id, set_id=set_id, name="ignored")
    assert "modelName" not in emulator.requests[-1].body
    assert (made.set_id, made.version) == (set_id, "2")
    with pytest.raises(APIError, match="already published") as caught:
        await platform.models.publish(job_id=task.job_id, task_id=task.task_id, set_id=set_id)
    assert (caught.value.code, caught.value.http_status) == (70118, 200)
    assert made.version_id is not None
    assert await platform.models.delete_versions([made.version_id])
    assert (await platform.models_v2.describe_set(set_id)).model_ids == [first]
    assert await platform.models.delete_sets([set_id])
    assert not emulator.model_sets


async def test_the_second_generation(platform: Platform, emulator: Emulator) -> None:
    task = await trained(platform)
    models = platform.models_v2
    set_id = await models.create_set("mine", labels=["a"])
    model_id = await models.create_model(set_id, task_id=task.task_id, description="for fun")
    assert emulator.requests[-1].body["trainMeta"] == {"taskId": task.task_id}
    assert (await models.describe_model(model_id)).status is ModelState.Ready
    assert (await models.describe_set(set_id)).model_type == "Text2Text"
    assert await models.delete_model(model_id)
    assert await models.delete_set(set_id)
    assert not emulator.model_sets


async def test_a_checkpoint_is_published_by_its_step(platform: Platform, emulator: Emulator) -> None:
    task = await trained(platform)
    set_id = await platform.models_v2.create_set("mine")
    for refused in (
        platform.models.publish(job_id=task.job_id, task_id=task.task_id, name="m", step=3),
        platform.models_v2.create_model(set_id, task_id=task.task_id, step=3),
    ):
        with pytest.raises(APIError, match="no checkpoint at step 3"):
            await refused
    assert not emulator.models


async def test_an_id_may_come_bare_or_in_an_object(platform: Platform, emulator: Emulator) -> None:
    for result in ("am-1", {"modelSetId": "am-1"}):
        emulator.faults.add("CreateCustomModelSet", body={"requestId": "r", "result": result})
        assert await platform.models_v2.create_set("mine") == "am-1"


async def test_listing_the_own_sets(platform: Platform, emulator: Emulator) -> None:
    made = [await platform.models_v2.create_set(f"model {n}") for n in range(101)]
    assert [one.model_set_id async for one in platform.models_v2.custom_sets()] == made[::-1]
    assert emulator.count("DescribeCustomModelSets") == 2
    page = await platform.models_v2.describe_custom_sets(max_keys=2, page_reverse=True)
    assert [one.model_set_id for one in page.items] == made[:2]


async def test_unknown_states_pass_through(platform: Platform, emulator: Emulator) -> None:
    result = {
        "modelIdStr": "am-1",
        "modelVersionIdStr": "amv-1",
        "state": "Ripening",
        "version": 3,
        "sourceExtra": None,
    }
    emulator.faults.add("modelVersionDetail", body={"log_id": "1", "result": result})
    version = await platform.models.version_detail("amv-1")
    assert (version.state, version.version, version.source.task_id) == ("Ripening", "3", "")

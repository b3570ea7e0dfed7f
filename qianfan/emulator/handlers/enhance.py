"""Augmentation: `/enhance/…`. New rows are made up from those of a version, and an empty one is filled with them.

Our reading of what the platform does not document: the other version gets the new rows alone.
"""

from __future__ import annotations

import random

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.augmenting import MARK, TEMPLATES_WITH_SEEDS, augment
from qianfan.emulator.calls import Call, Handler, beijing_time
from qianfan.emulator.checks import Body, distinct, found
from qianfan.emulator.handlers.filling import (
    AUGMENTATION_STATES,
    Make,
    begin,
    ends_of,
    keep_outcome,
    look_at_filling,
    made_rows,
    make_ahead,
)
from qianfan.emulator.records import Augmentation
from qianfan.emulator.refusals import Problem, invalid
from qianfan.emulator.scans import Unit
from qianfan.emulator.templates import Template, template_of


async def augment_ahead(call: Call) -> None:
    """Make the rows up before the account is locked."""
    account = call.account
    with account.lock:
        source = account.datasets.get(call.body.get("sourceDatasetId"))
        if source is not None:
            _check(account.template_of(source), source.id)
        make = _maker(account, call.body)
    await make_ahead(call, make)


def create(call: Call) -> JSON:
    """`/enhance/create`; the result does not tell the id, which `/enhance/list` does."""
    body, account = call.body, call.account
    source, dest = ends_of(account, call)
    _check(account.template_of(source), source.id)
    made = made_rows(call, source, _maker(account, body))
    shelf = account.augmentations
    groups = [account.groups.get(dataset.group_id) for dataset in (source, dest)]
    task = Augmentation(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        name=body.get("name"),
        source_id=source.id,
        source_number=source.number,
        source_name=groups[0].name if groups[0] else "",
        dest_id=dest.id,
        dest_number=dest.number,
        dest_name=groups[1].name if groups[1] else "",
        rows=source.rows,
        api_id=body.get("devApiId"),
        app_id=body.get("appId"),
        seeds=body.get("numSeedFewshot"),
        wanted=body.get("numInstancesToGenerate"),
        similarity=body.get("similarityThreshold"),
    )
    keep_outcome(account, task, made.units)
    begin(account, task, failed="" if made.units else "no row differs enough from its seeds")
    shelf.add(task)
    return True


def detail(call: Call) -> JSON:
    """`/enhance/detail`: counts as a look."""
    account = call.account
    task = look_at_filling(account, _task(account, call.body.get("taskId")))
    return {
        **_entry(account, task),
        "labelIds": "",
        "entityCount": task.made if task.state == "Done" else 0,
        "retStr": "",
        "serviceName": _service(account, task),
        "appName": str(task.app_id),
        "userName": "emulator",
        "numSeedFewshot": task.seeds,
        "numInstancesToGenerate": task.wanted,
        "similarityThreshold": task.similarity,
    }


def list_tasks(call: Call) -> JSON:
    """`/enhance/list`; counts as a look, since it is the only call that tells the id. Without an order: by id."""
    account, body = call.account, call.body
    tasks = [look_at_filling(account, task) for task in account.listed(account.augmentations)]
    word = body.get("word") or ""
    tasks = sorted((task for task in tasks if word in task.name), key=lambda task: task.number)
    if body.get("sortField") == "startTime":
        tasks.sort(key=lambda task: task.created, reverse=body.get("sortBy") != "asc")
    start, size = body.get("offset") or 0, body.get("pageSize") or 10
    return {"total": len(tasks), "items": [_entry(account, task) for task in tasks[start : start + size]]}


def delete(call: Call) -> JSON:
    """`/enhance/delete`: forgets tasks, and gives up those that are under way."""
    account = call.account
    for task in distinct([_task(account, key, "taskIds") for key in call.body.get("taskIds")]):
        account.augmentations.remove(task)
    account.touch()
    return True


def _check(template: Template, dataset_id: str) -> None:
    if template.data_format not in TEMPLATES_WITH_SEEDS:
        raise invalid("sourceDatasetId", f"{dataset_id} holds {template.data_format} rows, which cannot be made up")


def _maker(account: Account, body: Body) -> Make:
    rng = random.Random(f"{account.seed}:{account.augmentations.next_number}")

    def make(units: list[Unit], template: Template) -> tuple[list[Unit], dict[str, JSON]]:
        made = augment(
            units,
            template,
            seeds=body.get("numSeedFewshot"),
            wanted=body.get("numInstancesToGenerate"),
            similarity=body.get("similarityThreshold"),
            rng=rng,
        )
        return made, {}

    return make


def _task(account: Account, key: JSON, field: str = "taskId") -> Augmentation:
    return found(account.augmentations.get(key), Problem.INVALID, field, key)


def _service(account: Account, task: Augmentation) -> str:
    service = account.services.get(task.api_id)
    return service.name if service is not None else task.api_id


def _entry(account: Account, task: Augmentation) -> dict[str, JSON]:
    source = account.datasets.get(task.source_id)
    group = account.groups.get(source.group_id) if source is not None else None
    template = template_of(group.data_format) if group is not None else None
    return {
        "id": task.id,
        "projectType": template.project_type if template is not None else 0,
        "sourceDatasetStrId": task.source_id,
        "sourceDatasetName": task.source_name,
        "destDatasetStrId": task.dest_id,
        "destDatasetName": task.dest_name,
        "area": "",
        "status": AUGMENTATION_STATES[task.state],
        "strategy": f"self-instruct, {MARK.strip()}",
        "operations": "",
        "startTime": beijing_time(task.created),
        "finishTime": beijing_time(task.finished, unset=""),
        "failReason": task.reason,
        "isSelfInstruct": True,
        "name": task.name,
        "modelName": _service(account, task),
    }


PATHS: dict[str, Handler] = {
    "/enhance/create": create,
    "/enhance/detail": detail,
    "/enhance/list": list_tasks,
    "/enhance/delete": delete,
}
"""By path."""

"""Cleaning of text rows: `/etl/…`. A version is read, and an empty one of the same template is filled."""

from __future__ import annotations

from collections import Counter

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, beijing_time
from qianfan.emulator.checks import distinct, found
from qianfan.emulator.cleaning import Order, clean, order_of
from qianfan.emulator.handlers.filling import (
    ETL_STATES,
    Make,
    begin,
    ends_of,
    keep_outcome,
    look_at_filling,
    made_rows,
    make_ahead,
)
from qianfan.emulator.records import Cleaning
from qianfan.emulator.refusals import Problem, invalid
from qianfan.emulator.scans import Unit
from qianfan.emulator.templates import Template

_FAILED = 60002
"""What `errCode` says about a cleaning that failed. The platform's own numbers are not documented."""


async def clean_ahead(call: Call) -> None:
    """Clean the rows before the account is locked."""
    order = order_of(call.body.get("operationsV2"))
    with call.account.lock:
        source = call.account.datasets.get(call.body.get("sourceDatasetId"))
        if source is not None and call.account.template_of(source).data_type != 4:
            raise invalid("sourceDatasetId", f"{source.id} holds images; only texts can be cleaned")
    await make_ahead(call, _maker(order))


def create(call: Call) -> JSON:
    """`/etl/create`; the result is the task's id, as the platform's client takes it."""
    body, account = call.body, call.account
    source, dest = ends_of(account, call)
    order = order_of(body.get("operationsV2"))
    made = made_rows(call, source, _maker(order))
    shelf = account.cleanings
    task = Cleaning(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        name=body.get("etlTaskName"),
        source_id=source.id,
        source_number=source.number,
        source_name=_name_of(account, source.group_id),
        dest_id=dest.id,
        dest_number=dest.number,
        dest_name=_name_of(account, dest.group_id),
        rows=source.rows,
        operations=order,
        stages=made.report,
    )
    keep_outcome(account, task, made.units)
    begin(account, task, failed="" if made.units else "no row is left")
    return shelf.add(task).id


def detail(call: Call) -> JSON:
    """`/etl/detail`: counts as a look."""
    account = call.account
    task = look_at_filling(account, _task(account, call.body.get("etlId")))
    saved: dict[str, JSON] = {
        stage: [*operators, {"name": f"save_pipeline_{stage}", "args": {}}]
        for stage, operators in task.operations.items()
        if operators
    }
    return {
        **_entry(task),
        "taskId": task.number,
        "userId": 1,
        "entityType": 2,
        "operationsV2": saved,
        "status": 0,
        "etlResult": "",
        "exceptionResult": task.reason,
        "logPath": "",
        "endTime": _time(task),
        "modifyTime": _time(task) or beijing_time(task.created),
    }


def list_tasks(call: Call) -> JSON:
    """`/etl/list`, newest first; counts as a look, since a client finds its task here."""
    account, body = call.account, call.body
    tasks = [look_at_filling(account, task) for task in account.listed(account.cleanings)]
    start, size = body.get("offset") or 0, body.get("pageSize") or 10
    shown: list[JSON] = [
        {
            **_entry(task),
            "operatorNameList": [one["name"] for operators in task.operations.values() for one in operators],
            "errCode": _FAILED if task.state == "Failed" else 0,
            "errMsg": task.reason,
        }
        for task in tasks[start : start + size]
    ]
    running = Counter(task.state for task in tasks)["Running"]
    return {"processingCount": running, "total": len(tasks), "items": shown}


def delete(call: Call) -> JSON:
    """`/etl/delete`: forgets tasks, and gives up those that are under way."""
    account = call.account
    for task in distinct([_task(account, key, "etlIds") for key in call.body.get("etlIds")]):
        account.cleanings.remove(task)
    account.touch()
    return True


def _maker(order: Order) -> Make:
    def make(units: list[Unit], template: Template) -> tuple[list[Unit], dict[str, JSON]]:
        done = clean(units, template, order)
        return done.units, done.stages

    return make


def _task(account: Account, key: JSON, field: str = "etlId") -> Cleaning:
    return found(account.cleanings.get(key), Problem.INVALID, field, key)


def _name_of(account: Account, group_id: str) -> str:
    group = account.groups.get(group_id)
    return group.name if group is not None else ""


def _time(task: Cleaning) -> str:
    return beijing_time(task.finished, unset="")


def _entry(task: Cleaning) -> dict[str, JSON]:
    is_done = task.state == "Finished"
    return {
        "id": task.number,
        "etlStrId": task.id,
        "etlTaskName": task.name,
        "sourceDatasetId": task.source_number,
        "sourceDatasetStrId": task.source_id,
        "sourceDatasetName": task.source_name,
        "destDatasetId": task.dest_number,
        "destDatasetStrId": task.dest_id,
        "destDatasetName": task.dest_name,
        "entityCount": task.rows,
        "remainingEntity": task.made if is_done else 0,
        "result": {"pipeline_stage_result": task.stages if is_done else {}},
        "processStatus": ETL_STATES[task.state],
        "creatorName": "emulator",
        "createTime": beijing_time(task.created),
        "startTime": beijing_time(task.created),
        "finishTime": _time(task),
    }


PATHS: dict[str, Handler] = {
    "/etl/create": create,
    "/etl/detail": detail,
    "/etl/list": list_tasks,
    "/etl/delete": delete,
}
"""By path."""

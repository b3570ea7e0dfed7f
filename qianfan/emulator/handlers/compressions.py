"""Compressions: a smaller version of a model, made in a model set.

Nothing is made smaller here: the new version answers like the one it was made of. Of the answers only `status`,
`modelId` and `failedReason` are documented; the other fields say what was asked for, in the words of the request.
"""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, page_of, zoned_time
from qianfan.emulator.checks import Body, found
from qianfan.emulator.handlers.models import (
    add_version,
    can_be_compressed,
    look_at_model,
    model_of,
    model_set_of,
)
from qianfan.emulator.lifecycle import COMPRESS
from qianfan.emulator.records import CompTask
from qianfan.emulator.refusals import Problem, Refused

STRATEGIES = ("Quantization", "Sparsity")
WEIGHTS = ("INT8-PTQ", "W8A16C16", "W4A16C16")


def create_model_comp_task(call: Call) -> JSON:
    """`CreateModelCompTask`; the result is the id itself."""
    body, account = call.body, call.account
    name, description = body.text("name"), body.optional_text("description")
    source = look_at_model(account, model_of(account, body.get("sourceModelId"), "sourceModelId"), look=False)
    model_set = model_set_of(account, body.get("modelSetId"))
    config = Body(body.object("config"))
    if config.one_of("strategy", STRATEGIES) == "Quantization":
        config.one_of("weight", WEIGHTS)
    if not can_be_compressed(account, source):
        raise Refused(Problem.STATE, "sourceModelId", f"{source.id} cannot be compressed")
    shelf = account.comp_tasks
    task = CompTask(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        name=name,
        description=description,
        source_model_id=source.id,
        model_set_id=model_set.id,
        config=dict(config.fields),
    )
    stage = account.stages.compression
    task.work = stage.begin(account.clock)
    task.state = stage.start(task.state, task.work, account.clock.monotonic())
    account.touch()
    return shelf.add(task).id


def describe_model_comp_tasks(call: Call) -> JSON:
    """`DescribeModelCompTasks`, newest first. What the list is called is not documented."""
    account, source = call.account, call.body.optional_text("sourceModelId")
    tasks = [
        (task.id, _entry(look_at_compression(account, task, look=False)))
        for task in account.listed(account.comp_tasks)
        if source in ("", task.source_model_id)
    ]
    entries, info = page_of(call, tasks)
    return {"modelCompTaskList": entries, "pageInfo": info}


def describe_model_comp_task(call: Call) -> JSON:
    """`DescribeModelCompTask`; counts as a look."""
    return _entry(look_at_compression(call.account, _task_of(call)))


def cancel_model_comp_task(call: Call) -> JSON:
    """`CancelModelCompTask`. Cancelling once more changes nothing."""
    account, task = call.account, look_at_compression(call.account, _task_of(call), look=False)
    if task.state not in ("stopping", "stopped"):
        # A task that has ended has no such move, and is refused.
        task.state = COMPRESS.move(task.state, "stopping")
        account.touch()
    return True


def delete_model_comp_task(call: Call) -> JSON:
    """`DeleteModelCompTask`, once it is over. What it has made stays."""
    account, task = call.account, look_at_compression(call.account, _task_of(call), look=False)
    if COMPRESS.moves[task.state]:
        raise Refused(Problem.STATE, "modelCompTaskId", f"{task.id} is {task.state}; cancel it first")
    account.comp_tasks.remove(task)
    account.touch()
    return True


def look_at_compression(account: Account, task: CompTask, *, look: bool = True) -> CompTask:
    """Move a compression on."""
    before = task.state
    if before == "stopping":
        # The first look after a cancellation sees it stopping.
        task.state = COMPRESS.move(before, "stopped") if look and task.saw_stop else before
        task.saw_stop = task.saw_stop or look
    else:
        task.state = account.stages.compression.advance(before, task.work, account.clock.monotonic(), look=look)
        if task.state == "succeeded" != before:
            _finish(account, task)
        elif task.state == "failed" != before and task.work is not None:
            task.reason = task.work.reason
    if task.state != before:
        task.finished = None if COMPRESS.moves[task.state] else account.now()
        account.touch()
    return task


def _finish(account: Account, task: CompTask) -> None:
    source, model_set = account.models.get(task.source_model_id), account.model_sets.get(task.model_set_id)
    if source is None or model_set is None:
        task.state, task.reason = "failed", "what it was to be made of or where it was to go has been deleted"
        return
    model = add_version(
        account,
        model_set,
        description=task.description[:300],
        source_type="Acceleration",
        task_id=source.task_id,
        step=source.step,
        weights_id=source.weights_id or source.id,
        source_model_id=source.id,
        comp_task_id=task.id,
        io_mode=source.io_mode,
        state="Ready",
    )
    task.model_id = model.id


def _task_of(call: Call) -> CompTask:
    key = call.body.get("modelCompTaskId")
    return found(call.account.comp_tasks.get(key), Problem.INVALID, "modelCompTaskId", key)


def _entry(task: CompTask) -> dict[str, JSON]:
    entry: dict[str, JSON] = {
        "modelCompTaskId": task.id,
        "name": task.name,
        "description": task.description,
        "sourceModelId": task.source_model_id,
        "modelSetId": task.model_set_id,
        "config": task.config,
        "status": task.state,
        "createTime": zoned_time(task.created),
    }
    if task.finished is not None:
        entry["finishTime"] = zoned_time(task.finished)
    if task.model_id:
        entry["modelId"] = task.model_id
    if task.state == "failed":
        entry["failedReason"] = task.reason
    return entry

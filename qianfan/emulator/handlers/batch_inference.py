"""Offline batch inference: the rows of files in a bucket are answered, and the answers put beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, Handler, page_of, utc_time
from qianfan.emulator.checks import Body, found
from qianfan.emulator.handlers.datasets import files_at
from qianfan.emulator.handlers.respondents import (
    Respondent,
    refusal_to_json,
    respondent_at,
    respondent_of_version,
)
from qianfan.emulator.handlers.storing import folder_at, store
from qianfan.emulator.inquiries import each
from qianfan.emulator.lifecycle import BATCH
from qianfan.emulator.records import BatchTask
from qianfan.emulator.refusals import Problem, Refused, RefusedInference, invalid
from qianfan.emulator.sampling import sampling_of
from qianfan.emulator.scans import parsed_lines
from qianfan.emulator.templates import BadRow
from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling

MOST_UNDER_WAY: Final = 20
_UNDER_WAY: Final = ("Queuing", "Running", "Stopping")
_WINDOW: Final = timedelta(hours=24)
_LONGEST_NAME: Final = 100
_FAILED_CODE: Final = 500000
"""`errorCode` of a task that failed; the documents list no values."""


def create_task(call: Call) -> JSON:
    """`CreateBatchInferenceTask`."""
    body, account = call.body, call.account
    name = body.text("name", longest=_LONGEST_NAME)
    if body.get("afsConfig") is not None:
        # The internal storage of one company is not here, so there is no user of it that could be right.
        raise invalid("userName", "there is no AFS here: give inputBosUri and outputBosUri")
    params = body.object("inferenceParams", required=False)
    _sampling(params)
    input_uri, output_uri = body.text("inputBosUri"), body.text("outputBosUri")
    folder_at(input_uri, "inputBosUri")
    folder_at(output_uri, "outputBosUri")
    model_id = body.optional_text("modelId")
    endpoint = "" if model_id else body.text("endpoint")
    _respondent(account, model_id, endpoint)
    if body.get("completion_window") not in (None, "24h"):
        raise invalid("completion_window", f"completion_window is 24h, found {body.get('completion_window')!r}")
    under_way = [task for task in account.batches if look_at_task(account, task, look=False).state in _UNDER_WAY]
    if len(under_way) >= MOST_UNDER_WAY:
        raise Refused(Problem.TOO_MANY_BATCHES, "", f"{len(under_way)} tasks are queuing, running or stopping")
    shelf = account.batches
    task = BatchTask(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        name=name,
        description=body.optional_text("description", longest=500),
        model_id=model_id,
        endpoint=endpoint,
        inference_params=dict(params),
        input_uri=input_uri,
        output_uri=output_uri,
        output_dir=account.digits(24),
        completion_window=body.optional_text("completion_window"),
    )
    shelf.add(task)
    task.work = account.stages.batches.begin(account.clock)
    task.state = account.stages.batches.start(task.state, task.work, account.clock.monotonic())
    _begin(account, task)
    account.touch()
    return {"taskId": task.id}


async def wait_for_answers(call: Call) -> None:
    """Before a look that would see the end but for the answers, wait for those that nobody has to compute."""
    account = call.account
    with account.lock:
        task = account.batches.get(call.body.get("taskId"))
        work = task.work if task is not None else None
        if task is None or work is None or not account.works.simulated:
            return
        ends_now = work.after_looks is not None and work.looks >= work.after_looks
        if task.state != "Stopping" and not ends_now:
            return
    await account.inquiries.until_over(task.id)


def describe_task(call: Call) -> JSON:
    """`DescribeBatchInferenceTask`; counts as a look."""
    account = call.account
    return _entry(account, look_at_task(account, _task_of(call)))


def describe_tasks(call: Call) -> JSON:
    """`DescribeBatchInferenceTasks`, newest first, of some states or of all."""
    account, wanted = call.account, call.body.texts("runStatus")
    for state in wanted:
        if state not in BATCH.moves:
            raise invalid("runStatus", f"runStatus holds {state!r}, there are {list(BATCH.moves)}")
    tasks = [look_at_task(account, task, look=False) for task in account.listed(account.batches)]
    items = [(task.id, _entry(account, task)) for task in tasks if not wanted or task.state in wanted]
    entries, info = page_of(call, items)
    return {"taskList": entries, "pageInfo": info}


def stop_task(call: Call) -> JSON:
    """`StopBatchInferenceTask`: whether there was one under way to stop."""
    account = call.account
    task = look_at_task(account, _task_of(call), look=False)
    if task.state not in BATCH.underway:
        return False
    task.state = BATCH.move(task.state, "Stopping")
    account.inquiries.stop(task.id)
    account.touch()
    return True


def _task_of(call: Call) -> BatchTask:
    key = call.body.text("taskId")
    return found(call.account.batches.get(key), Problem.INVALID, "taskId", key)


def look_at_task(account: Account, task: BatchTask, *, look: bool = True) -> BatchTask:
    """Move a task on. It is done only when all its answers are there, however fast it is to go."""
    before = task.state
    if before == "Stopping":
        if not account.inquiries.is_under_way(task.id):
            task.state = BATCH.move(before, "Stopped")
    elif before in BATCH.underway:
        task.state, task.reason = _state_now(account, task, look=look)
    if task.state != before:
        if task.state not in _UNDER_WAY:
            task.finished = account.now()
            account.inquiries.stop(task.id)
        account.touch()
    return task


def _state_now(account: Account, task: BatchTask, *, look: bool) -> tuple[str, str]:
    if task.problem:
        return BATCH.move(task.state, "Failed"), task.problem
    if task.completion_window and account.now() >= task.created + _WINDOW:
        return BATCH.move(task.state, "Expired"), "it was not done within 24 hours"
    stage = account.stages.batches
    state = stage.advance(task.state, task.work, account.clock.monotonic(), look=look)
    if state == "Done" and not task.is_answered:
        return BATCH.underway[-1], ""
    return state, task.work.reason if task.work is not None and state in ("Failed", "Expired") else ""


def _sampling(params: dict[str, JSON]) -> Sampling:
    try:
        return sampling_of(Body(params))
    except RefusedInference as refusal:
        raise invalid("inferenceParams", refusal.text) from refusal


def _entry(account: Account, task: BatchTask) -> dict[str, JSON]:
    share = task.work.share(account.clock.monotonic()) if task.work is not None else 1.0
    is_over = task.state not in BATCH.underway
    entry: dict[str, JSON] = {
        "taskId": task.id,
        "name": task.name,
        "description": task.description,
        "endpoint": task.endpoint,
        "modelId": task.model_id,
        "inferenceParams": task.inference_params,
        "runStatus": task.state,
        "inputBosUri": task.input_uri,
        "outputBosUri": task.output_uri,
        "outputDir": task.output_dir,
        "progress": task.progress if is_over else min(task.progress, int(share * task.total)),
        "searchCounts": 0,
        "searchTokens": 0,
        "creator": "emulator",
        "createTime": utc_time(task.created),
        # The documents tell of these three without their keys.
        "total": task.total,
        "source": "batchInference",
        "dataFormat": "default",
        "simulated": account.works.simulated,
    }
    if task.finished is not None:
        entry["finishTime"] = utc_time(task.finished)
    if task.state == "Done":
        entry |= {"inputTokenUsage": task.input_tokens, "outputTokenUsage": task.output_tokens}
    if task.state == "Failed":
        entry |= {"errorCode": _FAILED_CODE, "errorReason": task.reason}
    return entry


# --- the work --------------------------------------------------------------------------------------------------------


def resume(account: Account) -> None:
    """Begin again with what was cut off when an earlier emulator ended. Nothing is locked."""
    with account.lock:
        for task in account.batches:
            if task.state in BATCH.underway and not task.is_answered and not task.problem:
                _begin(account, task)


def _begin(account: Account, task: BatchTask) -> None:
    task.progress = task.input_tokens = task.output_tokens = 0
    account.inquiries.start(task.id, partial(_answer_all, account, task))


@dataclass
class _Line:
    """One row of a file, and what it became."""

    row: dict[str, JSON]
    messages: tuple[Message, ...]
    output: JSON = None
    input_tokens: int = 0
    output_tokens: int = 0


class _BadFile(Exception):
    """A file cannot be read as rows; the message says where and why."""


async def _answer_all(account: Account, task: BatchTask) -> None:
    try:
        with account.lock:
            whom = _respondent(account, task.model_id, task.endpoint)
            contents = _contents(account, task.input_uri)
        files = {name: _lines_of(name, content) for name, content in contents.items()}
        lines = [line for of_file in files.values() for line in of_file]
        if not lines:
            raise _BadFile(f"{task.input_uri} holds no rows")
        sampling = _sampling(task.inference_params)
    except (Refused, _BadFile, FileNotFoundError) as problem:
        _give_up(account, task, problem.text if isinstance(problem, Refused) else str(problem))
        return
    except Exception as error:
        _give_up(account, task, f"it could not be begun: {error}")
        raise
    task.total = len(lines)
    await each(partial(_answer, account, task, whom, sampling, line) for line in lines)
    if all("error_code" in line.output for line in lines):
        _give_up(account, task, f"no row was answered: {lines[0].output['error_msg']}")
        return
    with account.lock:
        if account.batches.get(task.id) is not task or task.state not in BATCH.underway:
            return
        bucket, folder = folder_at(task.output_uri, "outputBosUri")
        for name, of_file in files.items():
            text = "".join(json.dumps({**one.row, "output": one.output}, ensure_ascii=False) + "\n" for one in of_file)
            store(account, bucket, f"{folder}{task.output_dir}/{name}", text.encode(), "application/x-ndjson")
        task.input_tokens = sum(line.input_tokens for line in lines)
        task.output_tokens = sum(line.output_tokens for line in lines)
        task.is_answered = True
        account.touch()


def _respondent(account: Account, model_id: str, endpoint: str) -> Respondent:
    if model_id:
        return respondent_of_version(account, model_id, "modelId")
    return respondent_at(account, endpoint, "endpoint")


def _contents(account: Account, uri: str) -> dict[str, bytes]:
    """The jsonl files of a folder, or the one that is named. Raises FileNotFoundError where there are none."""
    place = uri if uri.endswith(".jsonl") else uri.rstrip("/") + "/"
    sources = [source for source in files_at(account, place) if source.name.endswith(".jsonl")]
    if not sources:
        raise FileNotFoundError(f"{uri} holds no jsonl files")
    return {source.name.rpartition("/")[2]: account.blob_of(source).read() for source in sources}


async def _answer(account: Account, task: BatchTask, whom: Respondent, sampling: Sampling, line: _Line) -> None:
    try:
        answer = await whom.answer(account, line.messages, sampling)
    except RefusedInference as refusal:
        line.output = refusal_to_json(refusal)
    else:
        line.output = answer.to_json(int(account.now().timestamp()))
        line.input_tokens, line.output_tokens = answer.prompt_tokens, answer.completion_tokens
    task.progress += 1


def _give_up(account: Account, task: BatchTask, problem: str) -> None:
    with account.lock:
        task.problem = problem
        account.touch()


# --- the rows --------------------------------------------------------------------------------------------------------


def _lines_of(name: str, content: bytes) -> list[_Line]:
    try:
        return [_Line(row, _messages_of(row)) for row in _rows_in(name, content)]
    except BadRow as problem:
        raise _BadFile(f"{name}: {problem}") from problem


def _rows_in(name: str, content: bytes) -> Iterator[dict[str, JSON]]:
    for number, value in parsed_lines(content, as_text=False):
        if not isinstance(value, dict):
            raise BadRow(f'line {number} must be an object, for example {{"id": "1", "query": "..."}}')
        yield value


def _messages_of(row: dict[str, JSON]) -> tuple[Message, ...]:
    """What a row asks. The documents show `query` alone and name two other forms, of which this is our reading:

    `src` and `tgt`, the questions and the answers of a conversation in turn, and `messages` with roles.
    """
    said: Sequence[tuple[JSON, JSON]]
    if isinstance(row.get("query"), str):
        said = [("user", row["query"])]
    elif "src" in row:
        said = _alternating(row["src"], row.get("tgt") or [])
    elif isinstance(row.get("messages"), list):
        said = [(one.get("role"), one.get("content")) for one in row["messages"] if isinstance(one, dict)]
    else:
        raise BadRow(f"row {row.get('id')!r} has neither query nor src nor messages")
    roles = ("system", "user", "assistant")
    if any(role not in roles or not isinstance(text, str) or not text.strip() for role, text in said):
        raise BadRow(f"row {row.get('id')!r} holds a message without a text, or with a role other than {roles}")
    if not said or said[-1][0] != "user":
        raise BadRow(f"row {row.get('id')!r} does not end with a question")
    return tuple(Message.model_validate({"role": role, "content": text}) for role, text in said)


def _alternating(asked: JSON, answered: JSON) -> Sequence[tuple[JSON, JSON]]:
    questions = asked if isinstance(asked, list) else [asked]
    answers = answered if isinstance(answered, list) else [answered]
    said: list[tuple[JSON, JSON]] = []
    for place, question in enumerate(questions):
        said.append(("user", question))
        if place < len(questions) - 1:
            said.append(("assistant", answers[place] if place < len(answers) else None))
    return said


ACTIONS: dict[str, Handler] = {
    "CreateBatchInferenceTask": create_task,
    "DescribeBatchInferenceTask": describe_task,
    "DescribeBatchInferenceTasks": describe_tasks,
    "StopBatchInferenceTask": stop_task,
}
"""Of `/v2/batchinference`."""

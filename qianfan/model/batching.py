"""The questions of a whole dataset answered by a model on the platform, without a service: offline batch inference.

The questions go into a bucket of the user's, the platform answers them there, and the answers are fetched. What is
ordered is one batch inference, once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from qianfan.dataset.questions import Question
from qianfan.dataset.rows import Answered
from qianfan.errors import BatchInferenceFailedError, InvalidArgumentError
from qianfan.pipeline import Mark, Purchase, Purchases, Receipt
from qianfan.resources import BosPath, Platform
from qianfan.resources.console.consts import BatchInferenceStatus
from qianfan.resources.llm.options import for_the_model
from qianfan.resources.purchase import labelled, name_with
from qianfan.resources.schemas import BatchTask
from qianfan.resources.waiting import Tell, watch, word
from qianfan.utils.logging import logger

KIND: Final = "inference"
"""What the order is called."""

_SLACK: Final = timedelta(days=1)
"""How far the platform's clock and ours may be apart when an old task in the listing ends the search."""
_GOES_ON: Final = (
    "",
    BatchInferenceStatus.Queuing,
    BatchInferenceStatus.Running,
    BatchInferenceStatus.Stopping,
)


@dataclass(frozen=True)
class Batch:
    """One batch inference to be ordered.

    content: the file of questions. place: where it lies, named after its content, so that the same questions are
    uploaded to the same place however often.
    """

    model_id: str
    params: Mapping[str, Any]
    content: bytes
    place: BosPath
    output_uri: str

    @classmethod
    def of(
        cls,
        model_id: str,
        questions: Sequence[Question],
        params: Mapping[str, Any],
        platform: Platform,
        bucket: str | None,
    ) -> Batch:
        """What answers these questions. bucket: where the files pass through, else the settings' own.

        Raises InvalidArgumentError without a bucket.
        """
        settings = platform.client.settings
        bucket = bucket or settings.bos_bucket
        if bucket is None:
            raise InvalidArgumentError(
                "a batch inference needs a bucket of yours that the questions and answers pass through: set "
                "QIANFAN_BOS_BUCKET, or give bucket=..."
            )
        lines = [json.dumps(_line(number, one), ensure_ascii=False) for number, one in enumerate(questions)]
        content = "".join(f"{line}\n" for line in lines).encode()
        folder = settings.bos_folder.strip("/")
        stem = f"{folder}/batch_{_digest(content)}".lstrip("/")
        place = BosPath(bucket, f"{stem}/input/questions.jsonl")
        return cls(model_id, for_the_model(params), content, place, f"bos:/{bucket}/{stem}/output/")

    @property
    def input_uri(self) -> str:
        """The folder of the questions."""
        return str(BosPath(self.place.bucket, self.place.key.rpartition("/")[0] + "/"))

    @property
    def key(self) -> str:
        """The same for the same batch."""
        return f"{self.model_id} {self.place} {json.dumps(self.params, sort_keys=True, default=str)}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _line(number: int, question: Question) -> dict[str, Any]:
    """A question as the platform reads it. Its documents show only `query`, and name the form with roles."""
    if len(question.messages) == 1 and question.system is None:
        return {"id": str(number), "query": question.messages[0]["content"]}
    system = [] if question.system is None else [{"role": "system", "content": question.system}]
    return {"id": str(number), "messages": [*system, *question.messages]}


async def ordered(batch: Batch, platform: Platform, purchases: Purchases) -> str:
    """The id of the batch inference: ordered now, or known, or found again."""
    known = purchases.known(KIND)
    if known is not None:
        return known.id
    await platform.bos.put_bytes(batch.content, batch.place)
    return (await purchases.ensure(purchase_of(platform, batch))).id


def purchase_of(platform: Platform, batch: Batch | None) -> Purchase:
    """The order; without a batch it can only be looked for."""

    def request(mark: Mark) -> dict[str, Any]:
        content: dict[str, Any] = {}
        if batch is not None:
            content = {
                "model_id": batch.model_id,
                "input_bos_uri": batch.input_uri,
                "output_bos_uri": batch.output_uri,
                "inference_params": dict(batch.params),
            }
        return {"name": name_with(mark.token, "batch"), "description": labelled("", mark.label), **content}

    async def create(request: Mapping[str, Any]) -> Receipt:
        created = await platform.batch_inference.create(**request)
        logger.info("batch inference %s is ordered", created.task_id)
        return Receipt(created.task_id)

    async def find(mark: Mark) -> list[Receipt]:
        name, found = request(mark)["name"], list[Receipt]()
        async with aclosing(platform.batch_inference.all()) as tasks:
            async for task in tasks:
                if _is_older(task, mark.since - _SLACK):
                    break
                if task.name == name and task.description.endswith(mark.label):
                    found.append(Receipt(task.task_id))
        return found[::-1]  # the oldest first

    def look_for(mark: Mark) -> str:
        return f"a batch inference {request(mark)['name']!r}"

    return Purchase(KIND, request, create, find, paid=True, look_for=look_for)


def _is_older(task: BatchTask, than: datetime) -> bool:
    """Whether a task was certainly made before a moment; one without a readable date was not."""
    try:
        created = datetime.fromisoformat(task.create_time.replace("Z", "+00:00"))
    except ValueError:
        return False
    return created.replace(tzinfo=created.tzinfo or timezone.utc) < than


async def until_done(task_id: str, platform: Platform, tell: Tell) -> BatchTask:
    """Wait for the end. Raises BatchInferenceFailedError when it is not Done."""
    client = platform.client

    def note(task: BatchTask) -> None:
        of = f" of {task.total}" if task.total else ""
        tell(f"batch inference {task_id} is {word(task.run_status)}: {task.progress}{of} rows", task.body)

    task = await watch(
        lambda: platform.batch_inference.describe(task_id),
        until=lambda task: task.run_status not in _GOES_ON,
        tell=note,
        every=client.settings.batch_run_status_polling_interval,
        client=client,
        progress=lambda task: task.percent,
    )
    if task.run_status != BatchInferenceStatus.Done:
        status = word(task.run_status)
        raise BatchInferenceFailedError(
            f"batch inference {task_id!r} ended as {status!r}" + (f": {task.failure}" if task.failure else ""),
            task_id=task_id,
            status=status,
            reason=task.failure,
        )
    return task


async def outputs_at(output_uri: str, platform: Platform) -> dict[str, Any]:
    """What the files of a finished batch inference hold, by the id of the row: all of each row.

    Raises BatchInferenceFailedError when there are none, or when they are no rows with ids.
    """
    place, rows = BosPath.parse(output_uri), dict[str, Any]()
    async with aclosing(platform.bos.objects(place)) as objects:
        found = [entry.key async for entry in objects if entry.key.endswith(".jsonl")]
    for key in found:
        content = await platform.bos.get_bytes(BosPath(place.bucket, key))
        for number, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                row = _parsed(line, f"{key} line {number}")
                rows[str(row["id"])] = row
    if not rows:
        raise BatchInferenceFailedError(f"there are no answers in {output_uri}")
    return rows


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
        row["id"]
    except (ValueError, KeyError, TypeError) as error:
        raise BatchInferenceFailedError(f"the answers cannot be read: {where} is no row with an id") from error
    return row


def answered(questions: Sequence[Question], outputs: Mapping[str, Any]) -> list[Answered]:
    """The questions with their answers, in the order of the questions."""
    return [
        question.answered(*said_in(outputs[str(number)].get("output")))
        if str(number) in outputs
        else question.answered(None, "the platform gave no answer")
        for number, question in enumerate(questions)
    ]


def answered_alone(outputs: Mapping[str, Any]) -> list[Answered]:
    """The answers with the questions beside them, in the order of the ids, for when nothing else is at hand."""
    rows = sorted(outputs.values(), key=lambda row: (len(str(row["id"])), str(row["id"])))
    return [Answered(row.get("query") or row.get("messages") or "", *_in_place(row)) for row in rows]


def _in_place(row: Mapping[str, Any]) -> tuple[str | None, str, str]:
    output, error = said_in(row.get("output"))
    return output, "", error


def said_in(output: Any) -> tuple[str | None, str]:
    """(text, why there is none) of a raw answer, as either generation of model calls gives it."""
    if isinstance(output, str):
        return output, ""
    if not isinstance(output, Mapping):
        return None, "the answer has no known form"
    raw: Mapping[str, Any] = output
    if "error_code" in raw or "error" in raw:
        error = raw.get("error")
        told = error.get("message") if isinstance(error, Mapping) else raw.get("error_msg")
        return None, str(told or error or raw.get("error_code"))
    if isinstance(raw.get("result"), str):
        return raw["result"], ""
    try:
        return str(raw["choices"][0]["message"]["content"]), ""
    except (KeyError, IndexError, TypeError):
        return None, "the answer has no known form"

"""The questions of a whole dataset put to one service, several at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from qianfan._sync import in_thread
from qianfan.dataset.dataset import Dataset
from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.questions import Question, questions_of
from qianfan.dataset.rows import Answered
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import AuthError, InvalidArgumentError, MissingCredentialsError, describe
from qianfan.model.consts import ServiceType

if TYPE_CHECKING:
    from qianfan.model.service import Service

AT_ONCE = 8
"""How many questions are out at a time."""

OnProgress: TypeAlias = Callable[[int, int], object]
"""Told after every row: how many are done, of how many."""

PromptTemplate: TypeAlias = str | Callable[[str], str]
"""What a question is put into: a text with `{prompt}` in it, or a function of the question."""


async def questions_in(dataset: Dataset) -> list[Question]:
    """The questions of a dataset, whose rows are fetched from the platform if need be."""
    source = dataset.inner_data_source_cache
    if isinstance(source, QianfanDataSource) and source.local is None:
        dataset = await Dataset.aload(source, is_download_to_local=True)
    return await in_thread(questions_of, dataset)


def dataset_of(rows: Sequence[Answered], name: str) -> Dataset:
    """Answers as a dataset: its rows have `input`, `reference`, `output`, and `error` where there is no answer."""
    source = MemoryDataSource([row.to_json() for row in rows], format="answers", name=name)
    return Dataset(source, input_columns=["input"], reference_column="reference")


def rendered(question: Question, template: PromptTemplate | None, system: str | None) -> Question:
    """A question in its template, under another system text where one is given."""
    system = question.system if system is None else system
    if template is None:
        return Question(question.messages, question.reference, system)
    last = question.messages[-1]["content"]
    if callable(template):
        text = template(last)
    elif "{prompt}" in template:
        text = template.replace("{prompt}", last)
    else:
        raise InvalidArgumentError(f"prompt_template has no place for the question: write {{prompt}} into {template!r}")
    return Question([*question.messages[:-1], {"role": "user", "content": text}], question.reference, system)


async def answers_of(
    service: Service,
    questions: Sequence[Question],
    request: Mapping[str, Any],
    *,
    at_once: int = AT_ONCE,
    on_progress: OnProgress | None = None,
) -> list[Answered]:
    """What a service says to questions, in their order.

    A question that gets no answer is noted with the reason, and the others go on. Raises AuthError at once, and the
    first question's error when none is answered.
    """
    if at_once < 1:
        raise InvalidArgumentError(f"at_once must be at least 1, not {at_once}")
    if service.service_type not in (ServiceType.Chat, ServiceType.Completion):
        raise InvalidArgumentError(f"{service!r} does not answer questions with texts")
    service.get_res()  # raises for one that has nothing to be asked under
    answers = _Answers(service, questions, request, on_progress)
    await answers.all(at_once)
    return answers.rows()


class _Answers:
    def __init__(
        self, service: Service, questions: Sequence[Question], request: Mapping[str, Any], tell: OnProgress | None
    ) -> None:
        self._service = service
        self._questions = questions
        self._request = request
        self._tell = tell
        self._outputs: dict[int, str] = {}
        self._errors: dict[int, Exception] = {}
        self._fatal: Exception | None = None

    async def all(self, at_once: int) -> None:
        waiting = iter(enumerate(self._questions))
        async with anyio.create_task_group() as group:
            for _ in range(min(at_once, len(self._questions))):
                group.start_soon(self._work, waiting, group.cancel_scope)
        if self._fatal is not None:
            raise self._fatal
        if not self._outputs:
            raise self._errors[0]

    async def _work(self, waiting: Any, scope: anyio.CancelScope) -> None:
        for place, question in waiting:
            try:
                reply: Any = await self._ask(question)
                self._outputs[place] = str(reply.text)
            except (AuthError, MissingCredentialsError) as error:
                self._fatal = self._fatal or error
                scope.cancel()
                return
            except Exception as error:
                self._errors[place] = error
            if self._tell is not None:
                self._tell(len(self._outputs) + len(self._errors), len(self._questions))

    def _ask(self, question: Question) -> Awaitable[Any]:
        return self._service.aexec(question.request(self._service.service_type), **self._request)

    def rows(self) -> list[Answered]:
        return [
            question.answered(self._outputs.get(place), describe(self._errors[place]) if place in self._errors else "")
            for place, question in enumerate(self._questions)
        ]

"""Evaluations on this machine: services are asked, and evaluators judge their answers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import anyio
from pydantic_core import to_jsonable_python

from qianfan._sync import in_thread, in_user_thread, run_sync
from qianfan.dataset import Dataset
from qianfan.errors import (
    ArgumentNotFoundError,
    AuthError,
    InvalidArgumentError,
    MissingCredentialsError,
    NotImplmentError,
    describe,
)
from qianfan.evaluation.evaluator import COLUMNS, LocalEvaluator, Verdict
from qianfan.evaluation.questions import Question, check_kind, questions_of
from qianfan.evaluation.result import EvaluationResult, ResultDataset
from qianfan.model import Model, Service
from qianfan.utils.logging import logger

__all__ = ["EvaluationManager"]

OnProgress: TypeAlias = Callable[[int, int], object]
"""Told after every row: how many are done, of how many."""

AT_ONCE = 8
"""How many rows are worked on at a time."""


class EvaluationManager:
    """Puts the questions of a dataset to models, and has evaluators judge the answers.

    local_evaluators: they judge on this machine. qianfan_evaluators: those of the platform, which are not available.
    """

    def __init__(
        self, local_evaluators: Sequence[LocalEvaluator] | None = None, qianfan_evaluators: Sequence[Any] | None = None
    ) -> None:
        if qianfan_evaluators:
            raise NotImplmentError("evaluation on the platform (qianfan_evaluators) is not available; judge locally")
        if not local_evaluators:
            raise ArgumentNotFoundError("there is nothing that could judge: give local_evaluators=[...]")
        for evaluator in local_evaluators:
            if not isinstance(evaluator, LocalEvaluator):
                raise InvalidArgumentError(f"{evaluator!r} is no evaluator; derive it from LocalEvaluator")
        self.local_evaluators = list(local_evaluators)

    async def aeval(
        self,
        llms: Sequence[Model | Service],
        dataset: Dataset,
        *,
        download_when_doing_online: bool = True,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        **request: Any,
    ) -> EvaluationResult:
        """Ask every model the last question of every row, with the turns before it, and judge the answers.

        llms: services, or models that are deployed. dataset: its rows must be on this machine.
        on_progress: told (rows done, rows in all). at_once: rows that are worked on at a time; at most that many
            questions are out. request: goes into every question, such as `temperature=0.1`.
        download_when_doing_online: taken for the sake of older code; there is nothing to download.

        Rows come out in the order of the dataset, for one model after the other. A row in which something fails says
        so under `error`, and the others go on. Raises the first row's error when no row could be judged at all, and
        AuthError at once. Before anything is asked: ValidationError for rows that cannot be read, InvalidArgumentError
        for a dataset without questions or a model that cannot be asked.
        """
        if at_once < 1:
            raise InvalidArgumentError(f"at_once must be at least 1, not {at_once}")
        services = {name: _service_of(llm) for name, llm in _named(llms).items()}
        questions = await in_thread(questions_of, dataset)
        rows: list[dict[str, Any]] = []
        metrics: dict[str, dict[str, Any]] = {}
        total = len(questions) * len(services)
        for number, (name, service) in enumerate(services.items()):
            before = number * len(questions)
            told = None if on_progress is None else partial(_tell_from, on_progress, before, total)
            judging = _Judging(service, request, self.local_evaluators, told)
            await judging.all(questions, at_once)
            found, metrics[name] = await judging.result(name)
            rows += found
        return EvaluationResult(result_dataset=ResultDataset(rows), metrics=metrics)

    def eval(
        self,
        llms: Sequence[Model | Service],
        dataset: Dataset,
        *,
        download_when_doing_online: bool = True,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        **request: Any,
    ) -> EvaluationResult:
        """Blocking form of `aeval`."""
        settings: dict[str, Any] = {"on_progress": on_progress, "at_once": at_once, **request}
        return run_sync(partial(self.aeval, llms, dataset, **settings))


def _tell_from(tell: OnProgress, before: int, total: int, done: int) -> None:
    tell(before + done, total)


# --- what is asked -----------------------------------------------------------------------------------------------


def _service_of(llm: Model | Service) -> Service:
    service = llm.service if isinstance(llm, Model) else llm
    if service is None:
        raise InvalidArgumentError(f"{llm!r} is not deployed, so it cannot be asked; call deploy(DeployConfig(...))")
    check_kind(service)
    service.get_res()  # raises for one that has nothing to be asked under
    return service


def _named(llms: Sequence[Model | Service]) -> dict[str, Model | Service]:
    """The models by the names they have in the result, which differ."""
    if isinstance(llms, (Model, Service)):
        llms = [llms]
    named: dict[str, Model | Service] = {}
    for position, llm in enumerate(llms, start=1):
        if isinstance(llm, Model):
            name = str(llm.id or llm.name)
        elif isinstance(llm, Service):
            name = str(llm.id or llm.endpoint or llm.model)
        else:
            raise InvalidArgumentError(f"{llm!r} cannot be evaluated; give a Model or a Service")
        named[f"{name} ({position})" if name in named else name] = llm
    if not named:
        raise ArgumentNotFoundError("there is nothing to evaluate: give Models or Services")
    return named


# --- asking and judging ------------------------------------------------------------------------------------------


class _Judged:
    """One row on its way: the answer, what each evaluator said about it by position, and what failed."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.output: str | None = None
        self.verdicts: dict[int, dict[str, Any]] = {}
        self.errors: list[tuple[str, Exception]] = []

    def columns(self) -> dict[str, Any]:
        return {"input": self.question.input, "reference": self.question.reference, "output": self.output}


class _Judging:
    """The evaluation of one service."""

    def __init__(
        self,
        service: Service,
        request: Mapping[str, Any],
        evaluators: Sequence[LocalEvaluator],
        tell: Callable[[int], object] | None,
    ) -> None:
        self._service = service
        self._request = request
        self._evaluators = evaluators
        self._tell = tell
        self._done = 0
        self._rows: list[_Judged] = []
        self._fatal: Exception | None = None
        # Plain evaluators may count or remember something, and need not be safe in several threads.
        self._turns = [anyio.Lock() for _ in evaluators]

    async def all(self, questions: Sequence[Question], at_once: int) -> None:
        """Work on all rows. Raises what would meet every other row as well."""
        self._rows = [_Judged(question) for question in questions]
        waiting = iter(self._rows)
        async with anyio.create_task_group() as group:
            for _ in range(min(at_once, len(questions))):
                group.start_soon(self._work, waiting, group.cancel_scope)
        if self._fatal is not None:
            raise self._fatal
        if not any(row.verdicts for row in self._rows):
            raise self._rows[0].errors[0][1]

    async def _work(self, waiting: Any, scope: anyio.CancelScope) -> None:
        for row in waiting:
            try:
                await self._ask_and_judge(row)
            except (AuthError, MissingCredentialsError) as error:
                self._fatal = self._fatal or error
                scope.cancel()
                return
            self._done += 1
            if self._tell is not None:
                self._tell(self._done)

    async def _ask_and_judge(self, row: _Judged) -> None:
        try:
            request = row.question.request(self._service.service_type)
            output = row.output = str((await self._service.aexec(request, **self._request)).text)
        except (AuthError, MissingCredentialsError):
            raise
        except Exception as error:
            row.errors.append(("no answer", error))
            return
        for position, evaluator in enumerate(self._evaluators):
            try:
                row.verdicts[position] = await self._judge(position, evaluator, row.question, output)
            except Exception as error:
                row.errors.append((type(evaluator).__name__, error))

    async def _judge(self, position: int, evaluator: LocalEvaluator, question: Question, output: str) -> dict[str, Any]:
        arguments = (question.input, question.reference, output)
        if inspect.iscoroutinefunction(evaluator.evaluate):
            said: Any = await evaluator.evaluate(*arguments)
        else:
            async with self._turns[position]:
                said = await in_user_thread(evaluator.evaluate, *arguments)
            if inspect.isawaitable(said):
                said = await cast(Awaitable[Verdict], said)
        return _plain(said)

    async def result(self, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The rows, and what the evaluators say about all of them."""
        names = _column_names(
            [{key for row in self._rows for key in row.verdicts.get(place, {})} for place in self._places]
        )
        rows = [self._row(name, row, names) for row in self._rows]
        summaries = [await self._summary(place) for place in self._places]
        summary_names = _column_names([set(summary) for summary in summaries])
        metrics = {
            summary_names[place][key]: value for place in self._places for key, value in summaries[place].items()
        }
        return rows, metrics

    @property
    def _places(self) -> range:
        return range(len(self._evaluators))

    def _row(self, name: str, row: _Judged, names: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        said = {names[place][key]: value for place, verdict in row.verdicts.items() for key, value in verdict.items()}
        errors = "; ".join(f"{where}: {describe(error)}" for where, error in row.errors)
        return {"llm": name, **row.columns(), **said, **({"error": errors} if errors else {})}

    async def _summary(self, place: int) -> dict[str, Any]:
        evaluator = self._evaluators[place]
        judged = [{**row.verdicts[place], **row.columns()} for row in self._rows if place in row.verdicts]
        try:
            summary = await in_user_thread(evaluator.summarize, ResultDataset(judged))
            return {} if summary is None else _plain(summary)
        except Exception as error:  # the answers are there, and were not for free
            logger.warning("%s cannot sum up: %s", type(evaluator).__name__, describe(error))
            return {}


def _plain(said: Any) -> dict[str, Any]:
    """What an evaluator said, as JSON values; numbers of other libraries become plain ones."""
    if not isinstance(said, Mapping):
        raise InvalidArgumentError(f"an evaluator gives a dictionary of metrics, not {type(said).__name__}")
    metrics: Mapping[Any, Any] = said
    return {str(key): to_jsonable_python(value, fallback=_number) for key, value in metrics.items()}


def _number(value: Any) -> Any:
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)


def _column_names(keys: Sequence[set[str]]) -> list[dict[str, str]]:
    """For each evaluator its metrics' names in the result: a name that is taken gets the evaluator's position."""
    taken, names = {*COLUMNS}, list[dict[str, str]]()
    for position, own in enumerate(keys, start=1):
        names.append({key: f"{key} ({position})" if key in taken else key for key in own})
        taken.update(names[-1].values())
    return names

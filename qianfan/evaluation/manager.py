"""Evaluations: models are asked, and evaluators judge their answers, on this machine or on the platform."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import anyio
from pydantic_core import to_jsonable_python

from qianfan._sync import in_thread, in_user_thread, run_sync
from qianfan.dataset import Dataset, QianfanDataSource
from qianfan.dataset.rows import Answered
from qianfan.errors import (
    ArgumentNotFoundError,
    AuthError,
    BatchInferenceFailedError,
    EvaluationFailedError,
    InvalidArgumentError,
    MissingCredentialsError,
    QianfanError,
    describe,
)
from qianfan.evaluation.evaluator import COLUMNS, LocalEvaluator, QianfanEvaluator, Verdict
from qianfan.evaluation.online import KIND, answers, metrics_of, purchase_of, released, standard_of, until_judged
from qianfan.evaluation.questions import Question, check_kind
from qianfan.evaluation.result import EvaluationResult, ResultDataset
from qianfan.model import Model, Service
from qianfan.model.asking import AT_ONCE, OnProgress, questions_in
from qianfan.pipeline import Purchases
from qianfan.resources.console.consts import EvaluationTaskStatus
from qianfan.resources.purchase import lone_purchases, new_token
from qianfan.resources.waiting import Tell, silent
from qianfan.utils.logging import logger

__all__ = ["EvaluationManager"]


class EvaluationManager:
    """Puts the questions of a dataset to models, and has evaluators judge the answers.

    local_evaluators: they judge on this machine. qianfan_evaluators: they judge on the platform, which asks the models
    itself and is paid for every answer; one of each kind. Given both, the local ones judge the platform's answers.
    task_id: the latest evaluation on the platform (`ame-…`).
    """

    def __init__(
        self,
        local_evaluators: Sequence[LocalEvaluator] | None = None,
        qianfan_evaluators: Sequence[QianfanEvaluator] | None = None,
    ) -> None:
        if not local_evaluators and not qianfan_evaluators:
            raise ArgumentNotFoundError(
                "there is nothing that could judge: give local_evaluators=[...] or qianfan_evaluators=[...]"
            )
        for local in local_evaluators or ():
            if not isinstance(local, LocalEvaluator):
                raise InvalidArgumentError(f"{local!r} is no evaluator; derive it from LocalEvaluator")
        for online in qianfan_evaluators or ():
            if not isinstance(online, QianfanEvaluator):
                raise InvalidArgumentError(f"{online!r} does not judge on the platform; give it to local_evaluators")
        self.local_evaluators = list(local_evaluators or ())
        self.qianfan_evaluators = list(qianfan_evaluators or ())
        self.task_id: str | None = None
        self._standard = standard_of(self.qianfan_evaluators) if self.qianfan_evaluators else {}
        self._orders: dict[str, Purchases] = {}

    async def aeval(
        self,
        llms: Sequence[Model | Service],
        dataset: Dataset,
        *,
        download_when_doing_online: bool = True,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
        tell: Tell = silent,
        purchases: Purchases | None = None,
        **request: Any,
    ) -> EvaluationResult:
        """Ask every model the last question of every row, with the turns before it, and judge the answers.

        llms: services and models. A model that is deployed is asked by its service; one that is not answers by a batch
        inference on the platform. On the platform only models can be judged.
        on_progress: told (rows done, rows in all). at_once: rows that are worked on at a time; at most that many
        questions are out. request: goes into every question, such as `temperature=0.1`.
        tell: hears (description, what is known) while the platform works. purchases: the orders of a run; without them
        an order of unknown fate is remembered as long as this object lives.

        With `qianfan_evaluators`, one evaluation is ordered for all models. The dataset is uploaded and released if it
        is not on the platform yet. If waiting was cut short, a second call of the same object with the same models and
        dataset goes on waiting for the same evaluation.
        download_when_doing_online: fetch the answers too, into `result_dataset`; local evaluators always need them.

        Rows come out in the order of the dataset, for one model after the other. A row in which something fails says
        so under `error`, and the others go on. Raises the first row's error when no row could be judged at all,
        AuthError at once, EvaluationFailedError when the platform could judge no model. Before anything is asked:
        ValidationError for rows that cannot be read, InvalidArgumentError for a dataset without questions or a model
        that cannot be asked.
        """
        if at_once < 1:
            raise InvalidArgumentError(f"at_once must be at least 1, not {at_once}")
        if self.qianfan_evaluators:
            models = _models_of(_named(llms))
            return await self._on_platform(
                models, dataset, download_when_doing_online, on_progress, at_once, tell, purchases
            )
        return await self._here(_named(llms), dataset, on_progress, at_once, tell, request, purchases)

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
        settings["download_when_doing_online"] = download_when_doing_online
        return run_sync(partial(self.aeval, llms, dataset, **settings))

    async def aeval_only(
        self,
        dataset: Dataset | ResultDataset,
        *,
        on_progress: OnProgress | None = None,
        at_once: int = AT_ONCE,
    ) -> EvaluationResult:
        """Judge answers that are there already, on this machine. Asks nobody.

        dataset: rows with `input`, `reference` and `output`: what `batch_inference` gives, or the rows of a result.
        """
        if not self.local_evaluators:
            raise ArgumentNotFoundError(
                "answers that are there are judged on this machine: give local_evaluators=[...]"
            )
        name, rows = await in_thread(_answers_in, dataset)
        judging = _Judging(_given(rows), self.local_evaluators, _told(on_progress, 0, len(rows)))
        await judging.all(rows, at_once)
        found, metrics = await judging.result(name)
        return EvaluationResult(result_dataset=ResultDataset(found), metrics={name: metrics})

    def eval_only(
        self, dataset: Dataset | ResultDataset, *, on_progress: OnProgress | None = None, at_once: int = AT_ONCE
    ) -> EvaluationResult:
        """Blocking form of `aeval_only`."""
        return run_sync(partial(self.aeval_only, dataset, on_progress=on_progress, at_once=at_once))

    # --- on this machine ------------------------------------------------------------------------------------

    async def _here(
        self,
        llms: Mapping[str, Model | Service],
        dataset: Dataset,
        on_progress: OnProgress | None,
        at_once: int,
        tell: Tell,
        request: Mapping[str, Any],
        purchases: Purchases | None,
    ) -> EvaluationResult:
        for llm in llms.values():
            _check_can_answer(llm)
        questions = await questions_in(dataset)
        rows: list[dict[str, Any]] = []
        metrics: dict[str, dict[str, Any]] = {}
        total = len(questions) * len(llms)
        ordered: list[str] = []
        for number, (name, llm) in enumerate(llms.items()):
            service = llm if isinstance(llm, Service) else llm.service
            if service is not None:
                asked, answer = [one.answered(None) for one in questions], _by_service(service, questions, request)
            else:
                assert isinstance(llm, Model), "what is no service is a model"
                # An order of a run is known by its kind, so that a run has one batch inference at most.
                orders = purchases if len(llms) == 1 else None
                if orders is None:
                    key = f"{await llm.aids()} {await in_thread(_identity, dataset)} {sorted(request)}"
                    client = llm._platform.client
                    order = f"batch inference {new_token()}"
                    lone = lone_purchases(order, client.clock, client.settings.submit_settle_seconds)
                    orders = self._orders.setdefault(key, lone)
                    ordered.append(key)
                try:
                    batch = await llm.abatch_inference(dataset, tell=tell, purchases=orders, **request)
                except BatchInferenceFailedError:
                    for key in ordered[-1:]:
                        self._orders.pop(key, None)
                    raise
                asked = [row for row in batch.records() if isinstance(row, Answered)]
                answer = _given(asked)
            judging = _Judging(answer, self.local_evaluators, _told(on_progress, number * len(questions), total))
            await judging.all(asked, at_once)
            found, metrics[name] = await judging.result(name)
            rows += found
        for key in ordered:  # not before all is judged, since the answers were not for free
            self._orders.pop(key, None)
        return EvaluationResult(result_dataset=ResultDataset(rows), metrics=metrics)

    # --- on the platform ------------------------------------------------------------------------------------

    async def _on_platform(
        self,
        models: Mapping[str, Model],
        dataset: Dataset,
        download: bool,
        on_progress: OnProgress | None,
        at_once: int,
        tell: Tell,
        purchases: Purchases | None,
    ) -> EvaluationResult:
        platform = next(iter(models.values()))._platform
        ids = [await model.aids() for model in models.values()]
        key = f"{ids} {await in_thread(_identity, dataset)}"
        if purchases is None:
            client = platform.client
            lone = lone_purchases(f"evaluation {new_token()}", client.clock, client.settings.submit_settle_seconds)
            purchases = self._orders.setdefault(key, lone)
        known = purchases.known(KIND)
        if known is None:
            content = {
                "versions": [{"modelId": set_id, "modelVersionId": model_id} for set_id, model_id in ids],
                "dataset_id": await released(dataset, platform, purchases),
                "config": self._standard,
            }
            known = await purchases.ensure(purchase_of(platform, content))
        self.task_id = known.id
        try:
            detail = await until_judged(known.id, platform, tell)
        except EvaluationFailedError:
            self._orders.pop(key, None)
            raise
        waits = detail.state == EvaluationTaskStatus.DoingWithManualBegin
        reports = [] if waits else await platform.evaluations.report(known.id)
        told = metrics_of(detail, reports, self.qianfan_evaluators)
        answered = await answers(known.id, detail, platform) if download or self.local_evaluators else []
        rows: list[dict[str, Any]] = []
        metrics: dict[str, dict[str, Any]] = {}
        for place, name in enumerate(models):
            said = told[place] if place < len(told) else None
            if said is None:
                why = detail.eval_units[place].message if place < len(detail.eval_units) else ""
                logger.warning("the platform could not judge model %s: %s", name, why or "it does not say why")
                continue
            own = answered[place] if place < len(answered) else []
            found, metrics[name] = await self._with_local(name, own, said, on_progress, at_once)
            rows += found
        self._orders.pop(key, None)  # not before all is judged, since the answers were not for free
        return EvaluationResult(result_dataset=ResultDataset(rows), metrics=metrics)

    async def _with_local(
        self,
        name: str,
        rows: Sequence[dict[str, Any]],
        said: dict[str, Any],
        on_progress: OnProgress | None,
        at_once: int,
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The platform's rows and metrics of one model, with what the local evaluators say about the same answers."""
        if not self.local_evaluators or not rows:
            return [{"llm": name, **row} for row in rows], said
        asked = [Answered(row["input"], row["output"], row["reference"], row.get("error", "")) for row in rows]
        marks = [{key: value for key, value in row.items() if key not in COLUMNS} for row in rows]
        judging = _Judging(_given(asked), self.local_evaluators, _told(on_progress, 0, len(rows)), marks, said)
        await judging.all(asked, at_once)
        return await judging.result(name)


def _told(tell: OnProgress | None, before: int, total: int) -> Callable[[int], object] | None:
    return None if tell is None else partial(_tell_from, tell, before, total)


def _tell_from(tell: OnProgress, before: int, total: int, done: int) -> None:
    tell(before + done, total)


# --- what is asked -----------------------------------------------------------------------------------------------


def _check_can_answer(llm: Model | Service) -> None:
    """Raises InvalidArgumentError for what can be asked in no way."""
    if isinstance(llm, Model) and llm.service is None:
        if llm.id is None and llm.set_id is None:
            raise InvalidArgumentError(f"{llm!r} is neither deployed nor published, so it cannot be asked")
        return
    service = llm.service if isinstance(llm, Model) else llm
    assert service is not None, "a model without a service was dealt with above"
    check_kind(service)
    service.get_res()  # raises for one that has nothing to be asked under


def _models_of(llms: Mapping[str, Model | Service]) -> dict[str, Model]:
    """The models that the platform is to judge. Raises InvalidArgumentError for others, and for one given twice."""
    models: dict[str, Model] = {}
    for name, llm in llms.items():
        model = llm if isinstance(llm, Model) else llm.model
        if not isinstance(model, Model):
            raise InvalidArgumentError(f"{llm!r} cannot be judged on the platform, which judges published models alone")
        if any(model.id is not None and model.id == other.id for other in models.values()):
            raise InvalidArgumentError(f"{llm!r} is given twice, and the platform judges a model once")
        models[name] = model
    return models


def _identity(dataset: Dataset) -> str:
    """The same for the same rows. Blocking; reads the rows of a dataset that is not on the platform."""
    source = dataset.inner_data_source_cache
    if isinstance(source, QianfanDataSource):
        return str(source.dataset_id or source.id)
    digest = hashlib.sha256()
    for row in dataset.records():
        digest.update(json.dumps(row.to_json(), ensure_ascii=False, sort_keys=True).encode())
    return digest.hexdigest()


def _answers_in(dataset: Dataset | ResultDataset) -> tuple[str, list[Answered]]:
    """What the answers are called, and the answers. Blocking; reads all rows."""
    if isinstance(dataset, ResultDataset):
        rows = [
            Answered(row.get("input", ""), row.get("output"), row.get("reference", ""), row.get("error", ""))
            for row in dataset
        ]
        names = {str(row.get("llm", "answers")) for row in dataset}
        return names.pop() if len(names) == 1 else "answers", rows
    rows = [row for row in dataset.records() if isinstance(row, Answered)]
    if not rows:
        raise InvalidArgumentError(
            f"{dataset.name} holds no answers: its rows need input, reference and output, as batch_inference gives them"
        )
    return dataset.name, rows


Answer: TypeAlias = Callable[[int], Awaitable[str]]
"""Gives the answer to the question at a position. Raises what is noted of the row."""


def _by_service(service: Service, questions: Sequence[Question], request: Mapping[str, Any]) -> Answer:
    async def answer(place: int) -> str:
        reply: Any = await service.aexec(questions[place].request(service.service_type), **request)
        return str(reply.text)

    return answer


def _given(rows: Sequence[Answered]) -> Answer:
    async def answer(place: int) -> str:
        row = rows[place]
        if row.output is None:
            raise QianfanError(row.error or "there is no answer")
        return row.output

    return answer


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

    def __init__(self, place: int, question: Answered) -> None:
        self.place = place
        self.question = question
        self.output: str | None = None
        self.verdicts: dict[int, dict[str, Any]] = {}
        self.errors: list[tuple[str, Exception]] = []

    def columns(self) -> dict[str, Any]:
        return {"input": self.question.input, "reference": self.question.reference, "output": self.output}


class _Judging:
    """The evaluation of the answers of one model.

    answer: gives them. marks, said: what the platform says of each row, and of all of them.
    """

    def __init__(
        self,
        answer: Answer,
        evaluators: Sequence[LocalEvaluator],
        tell: Callable[[int], object] | None,
        marks: Sequence[Mapping[str, Any]] = (),
        said: Mapping[str, Any] | None = None,
    ) -> None:
        self._answer = answer
        self._evaluators = evaluators
        self._tell = tell
        self._marks = marks
        self._said = dict(said or {})
        self._done = 0
        self._rows: list[_Judged] = []
        self._fatal: Exception | None = None
        # Plain evaluators may count or remember something, and need not be safe in several threads.
        self._turns = [anyio.Lock() for _ in evaluators]

    async def all(self, questions: Sequence[Answered], at_once: int) -> None:
        """Work on all rows. Raises what would meet every other row as well."""
        self._rows = [_Judged(place, question) for place, question in enumerate(questions)]
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
            output = row.output = await self._answer(row.place)
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

    async def _judge(self, position: int, evaluator: LocalEvaluator, question: Answered, output: str) -> dict[str, Any]:
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
        own = [{key for row in self._rows for key in row.verdicts.get(place, {})} for place in self._places]
        names = _column_names(own, {key for marks in self._marks for key in marks})
        rows = [self._row(name, row, names) for row in self._rows]
        summaries = [await self._summary(place) for place in self._places]
        summary_names = _column_names([set(summary) for summary in summaries], set(self._said))
        metrics = self._said | {
            summary_names[place][key]: value for place in self._places for key, value in summaries[place].items()
        }
        return rows, metrics

    @property
    def _places(self) -> range:
        return range(len(self._evaluators))

    def _row(self, name: str, row: _Judged, names: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        said = {names[place][key]: value for place, verdict in row.verdicts.items() for key, value in verdict.items()}
        errors = "; ".join(f"{where}: {describe(error)}" for where, error in row.errors)
        marks = self._marks[row.place] if self._marks else {}
        return {"llm": name, **row.columns(), **marks, **said, **({"error": errors} if errors else {})}

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


def _column_names(keys: Sequence[set[str]], taken_before: Collection[str] = ()) -> list[dict[str, str]]:
    """For each evaluator its metrics' names in the result: a name that is taken gets the evaluator's position."""
    taken, names = {*COLUMNS, *taken_before}, list[dict[str, str]]()
    for position, own in enumerate(keys, start=1):
        names.append({key: f"{key} ({position})" if key in taken else key for key in own})
        taken.update(names[-1].values())
    return names

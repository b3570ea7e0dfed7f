"""Actions: the typed steps of a pipeline, and `perform`, which runs one and tells about it."""

from __future__ import annotations

import functools
import logging
import random
import string
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, get_type_hints

import anyio
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from typing_extensions import Self

from qianfan import _faults
from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan._faults import InjectedFault
from qianfan._retry import RetryPolicy, retrying
from qianfan.errors import (
    ActionTimeoutError,
    AuthError,
    JournalError,
    MissingCredentialsError,
    OutcomeUnknownError,
    PipelineError,
    describe,
    facts_of,
    is_retryable,
)
from qianfan.pipeline._events import ActionState, Event, EventBus
from qianfan.pipeline._purchases import Purchases, Terms
from qianfan.pipeline._record import Phase, Row, RunRecord, RunStatus, Stop

logger = logging.getLogger("qianfan")

Made = TypeVar("Made")

OnCancel: TypeAlias = Stop
"""What a cancellation means for work that goes on elsewhere: stop it, or leave it running."""


def new_id() -> str:
    """Ten random letters and digits, the form that ids of actions and pipelines have always had."""
    return "".join(random.choices(string.ascii_letters + string.digits, k=10))


@dataclass
class RunState:
    """What the actions of one run share."""

    bus: EventBus
    record: RunRecord = field(default_factory=RunRecord)
    client: Any = None
    clock: Clock = SYSTEM_CLOCK
    input: Any = None
    on_cancel: OnCancel = "stop"
    terms: Terms = field(default_factory=Terms)
    failed: bool = False
    """Set by the first action that fails, so that its siblings know why they are cancelled."""
    suspended_by: Exception | None = None
    """The error that ends this attempt but not the run: nothing is undone, and a later attempt goes on."""


def suspends(error: BaseException) -> bool:
    """Whether an error only interrupts a run: refused keys, a journal that cannot be used, an open decision."""
    if isinstance(error, OutcomeUnknownError):
        return not error.decided
    return isinstance(error, (AuthError, MissingCredentialsError, JournalError, InjectedFault))


@dataclass(slots=True)
class Context:
    """What an action may touch besides its needs."""

    action: Action[Any]
    state: RunState
    deadline: anyio.CancelScope | None = None
    """The scope of the action's own timeout, while it runs."""
    dirty: bool = False
    """Whether an earlier attempt began with this action and did not end it."""

    @property
    def client(self) -> Any:
        """Whatever the run was started with; the engine does not look at it."""
        return self.state.client

    @property
    def clock(self) -> Clock:
        """The run's clock: ask it for the time and let it do the sleeping."""
        return self.state.clock

    @property
    def run_id(self) -> str:
        """The run's id, the same in every attempt."""
        return self.state.bus.run_id

    @property
    def notes(self) -> dict[str, Any]:
        """What this action noted in this run or in the one that is being resumed."""
        return self.state.record.notes(self.action.id)

    async def note(self, **facts: Any) -> None:
        """Note facts (JSON values) that a resumed run must find again, before anything relies on them."""
        await self.state.record.note(self.action.id, facts)

    @property
    def purchases(self) -> Purchases:
        """Places orders that cost money: `await ctx.purchases.ensure(Purchase(...))`."""
        state = self.state
        return Purchases(
            state.record,
            self.change,
            run_id=self.run_id,
            action_id=self.action.id,
            clock=state.clock,
            terms=state.terms,
        )

    def report(self, description: str = "", data: Any = None, *, progress: int | None = None) -> None:
        """Tell that the action is at work. progress: percent, 0 to 100."""
        self.tell(ActionState.Running, description, data, progress=progress)

    def tell(
        self,
        state: ActionState,
        description: str = "",
        data: Any = None,
        *,
        progress: int | None = None,
        exception: BaseException | None = None,
        kind: str = "",
    ) -> None:
        """Publish an event of this action that tells of no change."""
        event = self._publish(state, description, data, progress=progress, exception=exception, kind=kind)
        self.state.record.tell(event)

    async def change(
        self,
        changes: Mapping[str, Row],
        description: str = "",
        data: Any = None,
        *,
        kind: str = "",
        status: RunStatus | None = None,
    ) -> None:
        """Write rows down; with a description, as one thing with a Running event that tells of it."""
        if not description:
            await self.state.record.write(changes, status=status)
            return
        async with self._telling(ActionState.Running, description, data, kind=kind) as event:
            await self.state.record.write(changes, event, status=status)

    @asynccontextmanager
    async def _telling(
        self,
        state: ActionState,
        description: str = "",
        data: Any = None,
        *,
        exception: BaseException | None = None,
        kind: str = "",
    ) -> AsyncGenerator[Event, None]:
        """An event that is heard when the block has written down what it tells of."""
        event = self._publish(state, description, data, exception=exception, kind=kind, held=True)
        try:
            yield event
        except BaseException:
            self.state.bus.withdraw(event)
            raise
        self.state.bus.release(event)

    def _publish(self, state: ActionState, description: str, data: Any, **facts: Any) -> Event:
        action = self.action
        text = f"{action.kind.__name__}[{action.id}] {state.value.lower()}"
        if description:
            text += f": {description}"
        return self.state.bus.publish(action.kind, action.id, action.name, state, text, data, **facts)

    @asynccontextmanager
    async def if_stopped(
        self, undo: Callable[..., Awaitable[object]], *args: Any, grace: float = 10.0
    ) -> AsyncGenerator[None, None]:
        """Undo remote work when the block is cancelled and the run is not merely detached.

        That is when the run was asked to stop, when another action failed, or when the action ran into its own
        timeout. grace: seconds that `undo(*args)` may take. The cancellation goes on its way in every case.
        """
        try:
            yield
        except BaseException as error:  # cancellations are no Exceptions; trio may hand over several in one group
            if isinstance(error, Exception) or not self._must_undo():
                raise
            with anyio.move_on_after(grace, shield=True) as deadline:
                await self._undo(undo, args)
            if deadline.cancelled_caught:
                self._not_undone(ActionTimeoutError(f"gave up undoing after {grace:g} s"))
            raise

    async def _undo(self, undo: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        try:
            if self.state.on_cancel == "stop":
                # Whoever goes on with the run after a crash repeats the undoing.
                await self.state.record.mark_cancelled("stop")
                _faults.point("cancel.after_mark")
            await undo(*args)
            _faults.point("cancel.after_stop")
        except Exception as failure:
            self._not_undone(failure)

    def _not_undone(self, failure: Exception) -> None:
        if self.state.on_cancel == "stop":
            # Whoever goes on with the run finishes the stop.
            self.state.suspended_by = self.state.suspended_by or failure
        self.report(f"could not undo: {describe(failure)}", {"error": describe(failure)})

    def _must_undo(self) -> bool:
        timed_out = self.deadline is not None and self.deadline.cancel_called
        state = self.state
        return state.on_cancel == "stop" or (state.failed and state.suspended_by is None) or timed_out


class Action(BaseModel, Generic[Made]):
    """One typed step: fields configure it, the parameters of `run` are its needs, its return is what it makes.

    ```python
    class LossGate(Action[Verdict]):
        max_loss: float

        async def run(self, job: TrainedJob, ctx: Context) -> Verdict:
            ctx.report(f"loss {job.final_loss:.3f}")
            return Verdict(passed=job.final_loss <= self.max_loss)
    ```

    id: unique within a pipeline; ten random characters unless given.
    name: for people; the class name unless given.
    retry: how often a failed `run` is repeated; only errors that call themselves retryable are.
    timeout: seconds for one whole `run`, retries included; None for no limit.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid")

    version: ClassVar[int] = 1
    """Part of a run's fingerprint: raise it when a run that began with the older code must not go on with this one."""

    id: str = Field(default_factory=new_id)
    name: str = ""
    retry: RetryPolicy = RetryPolicy()
    timeout: float | None = Field(default=None, gt=0)

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _after: set[str] = PrivateAttr(default_factory=set)

    async def run(self, *needs: Any, **named: Any) -> Made:
        """Do the work. Override it with real, annotated parameters and an annotated result."""
        raise NotImplementedError(f"{type(self).__name__} must define async def run(...)")

    def using(self, **sources: Action[Any]) -> Self:
        """Say which action feeds a parameter, where types alone leave a choice: `gate.using(job=sft)`."""
        self._sources.update({parameter: source.id for parameter, source in sources.items()})
        return self

    def after(self, *actions: Action[Any]) -> Self:
        """Wait for these actions although nothing of theirs is needed."""
        self._after.update(action.id for action in actions)
        return self

    @property
    def kind(self) -> type[Any]:
        """The class that events name."""
        return type(self)

    @property
    def is_recorded(self) -> bool:
        """Whether what the action makes is written down as a whole."""
        return True

    def event_data(self, made: Made) -> Any:
        """What the Done event carries; what the action made, unless overridden."""
        return made

    def parameters(self) -> Any:
        """What makes this action differ from another one of its class, as JSON values; part of a run's fingerprint."""
        dumped = self.model_dump(mode="json", exclude_defaults=True, fallback=lambda value: type(value).__qualname__)
        return {name: value for name, value in dumped.items() if name not in ("id", "name")}

    async def recall(self, ctx: Context) -> None:
        """Stop what an earlier attempt left running elsewhere, when the run is to be stopped. By default nothing."""


@functools.cache
def hints_of(action_class: type[Any]) -> dict[str, Any]:
    """The resolved annotations of an action's `run`. Raises PipelineError when a name cannot be resolved."""
    try:
        return get_type_hints(action_class.run)
    except NameError as error:
        raise PipelineError(
            f"{action_class.__name__}.run is annotated with {error.name!r}, which its module does not define; "
            "define the types that actions exchange at module level"
        ) from error


async def perform(action: Action[Made], needs: dict[str, Any], state: RunState, *, is_whole: bool = False) -> Made:
    """Run one action and tell about it: Preceding, then exactly one of Done, Error, Stopped.

    is_whole: the action is all of the run, so the run's status follows from how it ends.
    """
    record = state.record
    row = record.rows.get(action.id)
    ctx = Context(action, state, dirty=row is not None)
    for name, hint in hints_of(type(action)).items():
        if hint is Context:
            needs = {**needs, name: ctx}
    row = _begun(row, state.clock)
    async with ctx._telling(ActionState.Preceding, data={}) as event:
        await record.write(_row_of(action, row), event)
    try:
        made = await _attempts(action, needs, ctx, row.at)
        async with ctx._telling(ActionState.Done, data=action.event_data(made)) as event:
            await _written_down(partial(_finish, action, made, event, record, is_whole), ctx)
    except Exception as error:
        if suspends(error):
            state.suspended_by = state.suspended_by or error
        state.failed = True
        status = _status_after(error, state, record) if is_whole else None
        await _ended(ctx, ActionState.Error, error, row if not suspends(error) else None, status)
        raise
    except BaseException:  # a cancellation
        with anyio.CancelScope(shield=True):
            status = _status_after(None, state, record) if is_whole else None
            await _ended(ctx, ActionState.Stopped, None, row if state.on_cancel == "stop" else None, status)
        raise
    return made


@asynccontextmanager
async def whole_turn(action: Action[Any], state: RunState) -> AsyncGenerator[None, None]:
    """The events of a run that is only brought to an end: Preceding, then Stopped, or Error when that fails."""
    ctx = Context(action, state)
    async with ctx._telling(ActionState.Preceding, data={}) as event:
        await state.record.write({}, event)
    try:
        yield
    except Exception as error:
        state.suspended_by = error  # whatever it was, the stop is still to be finished
        await _ended(ctx, ActionState.Error, error, None, None)
        raise
    await _ended(ctx, ActionState.Stopped, None, None, RunStatus.CANCELLED)


def _begun(row: Row | None, clock: Clock) -> Row:
    """The row of an action that begins, or begins again."""
    if row is None or row.phase in (Phase.FAILED, Phase.CANCELLED):
        known = row or Row(Phase.STARTED)
        return known.with_(phase=Phase.STARTED, attempt=known.attempt + 1, error=None, at=clock.wall().timestamp())
    return row.with_(phase=Phase.STARTED, attempt=row.attempt + 1, error=None)


def _row_of(action: Action[Any], row: Row) -> dict[str, Row]:
    return {action.id: row} if action.is_recorded else {}


async def _finish(action: Action[Any], made: Any, event: Event, record: RunRecord, is_whole: bool) -> None:
    _faults.point("finish.before" if is_whole else "done.before_commit")
    status = RunStatus.DONE if is_whole else None
    if action.is_recorded:
        await record.done(action.id, made, hints_of(type(action)).get("return", Any), event, status=status)
    else:
        await record.write({}, event, status=status)
    _faults.point("finish.after" if is_whole else "done.after_commit")


async def _written_down(write: Callable[[], Awaitable[None]], ctx: Context) -> None:
    """Write until it is possible: what was made is not given up because a disk is full."""
    wait = 1.0
    while True:
        try:
            await write()
        except JournalError as error:
            if not is_retryable(error):
                raise
            logger.warning("%s is done, but that cannot be written down: %s", ctx.action.id, error)
        else:
            return
        await ctx.clock.sleep(wait)
        wait = min(wait * 2, 30.0)


async def _ended(
    ctx: Context, how: ActionState, error: Exception | None, row: Row | None, status: RunStatus | None
) -> None:
    """Tell that an action ended early, and write it down if that is possible and changes anything."""
    state, record = ctx.state, ctx.state.record
    text = describe(error) if error is not None else ""
    data = {"error": text} if error is not None else None
    changes: dict[str, Row] = {}
    if row is not None:
        # The action may have noted something since it began.
        row = record.rows.get(ctx.action.id, row)
        phase = Phase.FAILED if error is not None else Phase.CANCELLED
        changes = _row_of(ctx.action, row.with_(phase=phase, error=facts_of(error) if error is not None else None))
    event = ctx._publish(how, text, data, exception=error, held=True)
    try:
        if how is ActionState.Stopped and state.on_cancel == "stop":
            await record.mark_cancelled("stop")
        await record.write(changes, event, status=status)
    except JournalError as failure:
        logger.warning("%s: that it ended cannot be written down: %s", ctx.action.id, failure)
    finally:
        # Whatever became of the writing, a handler must hear of the end.
        state.bus.release(event)


def _status_after(error: Exception | None, state: RunState, record: RunRecord) -> RunStatus | None:
    """The run's status after an early end; None if it stays as it is."""
    if error is not None:
        return None if suspends(error) else RunStatus.FAILED
    unfinished = state.suspended_by is not None or any(row.is_dirty for _, row in record.orders())
    if state.on_cancel != "stop" or unfinished:
        return None
    return RunStatus.CANCELLED


async def _attempts(action: Action[Made], needs: dict[str, Any], ctx: Context, began: float) -> Made:
    def tell(failures: int, error: Exception, delay: float) -> None:
        ctx.report(f"try {failures} failed, next in {delay:g} s: {describe(error)}", {"error": describe(error)})

    async def attempt() -> Made:
        return await action.run(**needs)

    with anyio.move_on_after(_time_left(action, ctx, began)) as ctx.deadline:
        return await retrying(action.retry, attempt, before_sleep=tell, sleep=ctx.clock.sleep)
    raise ActionTimeoutError(f"{action.kind.__name__}[{action.id}] did not end within {action.timeout:g} s")


def _time_left(action: Action[Any], ctx: Context, began: float) -> float | None:
    """Seconds until the action's timeout, which counts from its first beginning, in whatever process that was."""
    if action.timeout is None or not ctx.dirty:
        return action.timeout
    # Between processes there is only the wall clock; one that was set back must not make the timeout longer.
    passed = max(0.0, ctx.clock.wall().timestamp() - began)
    return max(0.0, action.timeout - passed)

"""How an action is carried out: its needs, tries and timeout, what is told and written down of it, and its end."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio

from qianfan import _faults
from qianfan._clock import Clock
from qianfan._faults import InjectedFault
from qianfan._retry import retrying
from qianfan.errors import (
    ActionTimeoutError,
    AuthError,
    JournalError,
    MissingCredentialsError,
    OutcomeUnknownError,
    describe,
    facts_of,
    is_retryable,
)
from qianfan.pipeline._action import Action, hints_of
from qianfan.pipeline._context import Context, RunState
from qianfan.pipeline._events import ActionState, Event
from qianfan.pipeline._record import Phase, Row, RunRecord, RunStatus

logger = logging.getLogger("qianfan")

Made = TypeVar("Made")


def suspends(error: BaseException) -> bool:
    """Whether an error only interrupts a run: refused keys, a journal that cannot be used, an open decision."""
    if isinstance(error, OutcomeUnknownError):
        return not error.decided
    return isinstance(error, (AuthError, MissingCredentialsError, JournalError, InjectedFault))


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
    async with state.telling(action, ActionState.Preceding, data={}) as event:
        await record.write(_row_of(action, row), event)
    try:
        made = await _attempts(action, needs, ctx, row.at)
        async with state.telling(action, ActionState.Done, data=action.event_data(made)) as event:
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


async def skip(action: Action[Any], why: str, state: RunState) -> None:
    """Pass an action over: Preceding, then a Done of kind "skipped"; it counts as done, and makes nothing."""
    record = state.record
    async with state.telling(action, ActionState.Preceding, data={}) as event:
        await record.write({}, event)
    row = record.rows.get(action.id) or Row(Phase.STARTED, at=state.clock.wall().timestamp())
    data = {"skipped": why}
    async with state.telling(action, ActionState.Done, f"skipped, since {why}", data, kind="skipped") as event:
        await _written_down(partial(record.write, {action.id: row.skipped(why)}, event), Context(action, state))


@asynccontextmanager
async def whole_turn(action: Action[Any], state: RunState) -> AsyncGenerator[None, None]:
    """The events of a run that is only brought to an end: Preceding, then Stopped, or Error when that fails."""
    ctx = Context(action, state)
    async with state.telling(action, ActionState.Preceding, data={}) as event:
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
    event = state.publish(ctx.action, how, text, data, exception=error, held=True)
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

"""Runs: an action, usually a pipeline, driven from the outside, followed, stopped, or found done in a journal."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from qianfan import _faults
from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan._sync import LoopHandle
from qianfan.errors import AuthError, InternalError, revived
from qianfan.pipeline._action import Action, new_id
from qianfan.pipeline._context import Context, OnCancel, RunState
from qianfan.pipeline._events import AnyHandler, Event, EventBus, as_handlers
from qianfan.pipeline._feeding import Feeding, feeders_of
from qianfan.pipeline._perform import perform, whole_turn
from qianfan.pipeline._pipeline import Pipeline, Results
from qianfan.pipeline._plan import fingerprint, made_by
from qianfan.pipeline._purchases import HOLD, Terms
from qianfan.pipeline._record import Claim, Glance, Journal, Renew, Row, RunRecord, RunStatus

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

logger = logging.getLogger("qianfan")

Made = TypeVar("Made")

HandlerErrors: TypeAlias = Literal["log", "raise"]

FOLLOW_SECONDS = 0.5
"""How often somebody who follows a run looks for news of it."""


class Run(Generic[Made]):
    """An action in flight.

    events: a stream of its events; it ends when the run is over. Whoever asks for it before waiting for anything sees
        all of them; without a reader nothing is kept.
    id: names the run in every event, and in the journal.
    """

    def __init__(self, action: Action[Made], state: RunState, attempt: _Attempt | None = None) -> None:
        self.id = state.bus.run_id
        self.action = action
        self._events: MemoryObjectReceiveStream[Event] | None = None
        self.stopped = False
        self._cut_short = True
        self._state = state
        self._attempt = attempt
        self._feeding: list[Feeding] = []
        self._scope = anyio.CancelScope()
        self._loop = LoopHandle()
        self._ended = anyio.Event()
        self._made: Made | None = None
        self._error: BaseException | None = None
        self.is_driven_elsewhere = False
        self.was_done = False
        """Whether the journal had the result already, and nothing was done."""

    @property
    def events(self) -> MemoryObjectReceiveStream[Event]:
        """A stream of the run's events, always the same one."""
        if self._events is None:
            self._events = self._state.bus.subscribe()
        return self._events

    @property
    def output(self) -> Made:
        """What the action made. Raises the action's error, or InternalError when there is nothing (yet)."""
        if self._error is not None:
            raise self._error
        if not self._ended.is_set() or self.stopped:
            raise InternalError(f"run {self.id} {'was stopped' if self.stopped else 'has not ended yet'}")
        return cast(Made, self._made)

    @property
    def has_ended(self) -> bool:
        """Whether the action is over, however it ended."""
        return self._ended.is_set()

    @property
    def left_running(self) -> bool:
        """Whether the run was ended early in such a way that work elsewhere goes on."""
        state = self._state
        detached = state.on_cancel == "detach" and not state.failed
        return self._cut_short and (detached or state.suspended_by is not None)

    @property
    def error(self) -> BaseException | None:
        """The error that ended the run, if one did."""
        return self._error

    @property
    def record(self) -> RunRecord:
        """What is known of the run."""
        return self._state.record

    def stop(self, on_cancel: OnCancel = "stop") -> None:
        """End the run early, from any thread: each action at work ends with Stopped, and so does the pipeline.

        on_cancel: "stop" also undoes remote work that costs money, "detach" leaves it running.
        A run that is over stays as it is. One that another process drives is only not followed any longer.
        """
        self._loop.call(lambda: self._stop(on_cancel))

    def _stop(self, on_cancel: OnCancel) -> None:
        if self._ended.is_set():
            return
        self.stopped = True
        self._state.on_cancel = on_cancel
        self._scope.cancel()

    async def wait(self) -> None:
        """Return when the action has ended, however it did. May be awaited on any event loop."""
        await self._loop.acall(self._ended.wait)

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()

    # --- on its way -----------------------------------------------------------------------------------------

    async def _go(self) -> None:
        try:
            with self._scope:
                if self._attempt is None:
                    await self._perform()
                else:
                    await self._claim_or_follow(self._attempt)
        except Exception as error:
            # Kept, not raised: a reader of `events` must see the last ones before the error comes out.
            self._error = error
        finally:
            for feeding in self._feeding:
                feeding.open()
            self._ended.set()
            self._state.bus.close()

    async def _feed_from(
        self,
        undelivered: Callable[[str], Awaitable[list[Event]]],
        delivered: Callable[[str, Event], object],
    ) -> None:
        """Let the handlers hear what an earlier process may not have told them, and then everything."""
        for feeding in self._feeding:
            feeding.begin(await undelivered(feeding.consumer), partial(delivered, feeding.consumer))

    async def _perform(self) -> None:
        await self._feed_from(self.record.undelivered, self.record.delivered)
        self._made = await perform(self.action, {}, self._state, is_whole=True)
        self.stopped = self._cut_short = False  # too late to stop: it was already done

    async def _claim_or_follow(self, attempt: _Attempt) -> None:
        """Drive the run, or follow whoever does until it is over or left alone."""
        while True:
            claim = await attempt.claim(self)
            if claim.record is not None:
                await self._drive(claim.record)
                return
            self.is_driven_elsewhere = claim.status is RunStatus.OPEN
            if not self.is_driven_elsewhere:
                await self._feed_from(partial(attempt.undelivered, self), partial(attempt.delivered, self))
                self._take_stored(claim.rows)
                self.was_done = True
                return
            logger.info("run %s is driven by %s; following it", self.id, claim.owner)
            if await self._follow(attempt, claim.last_sequence):
                return
            self.is_driven_elsewhere = False
            attempt = attempt.again()

    async def _drive(self, record: RunRecord) -> None:
        state = self._state
        state.record = record
        state.bus.number_from(record.first_sequence)
        record.on_stop = self._stop
        try:
            if record.cancel == "stop":
                await self._recall()
            else:
                await self._perform()
        finally:
            record.on_stop = None
            with anyio.CancelScope(shield=True):
                # Somebody who mends the keys goes on here; nobody else can do better with the same ones.
                await record.release(keep=isinstance(state.suspended_by, AuthError))

    async def _recall(self) -> None:
        """Finish a stop that an earlier process did not get to the end of."""
        self.stopped, self._state.on_cancel = True, "stop"
        await self._feed_from(self.record.undelivered, self.record.delivered)
        await recall(self.action, self._state)

    async def _follow(self, attempt: _Attempt, after: int) -> bool:
        """Tell what the driving process writes down; False when it is gone and the run is not over."""
        for feeding in self._feeding:
            feeding.begin()  # whoever drives the run sees to it that nothing is missed
        failure: BaseException | None = None
        while True:
            glance = await attempt.glance(self, after)
            for event in glance.events:
                self._state.bus.relay(event)
                after, failure = event.sequence, event.exception or failure
            if glance.status is not RunStatus.OPEN:
                self._take_over_end(glance, failure)
                return True
            if not glance.is_driven:
                return False
            await self._state.clock.sleep(FOLLOW_SECONDS)

    def _take_stored(self, rows: Mapping[str, Row]) -> None:
        self._state.record = RunRecord(rows)
        self._made = cast(Made, stored(self.action, self._state.record))
        self.stopped = self._cut_short = False

    def _take_over_end(self, glance: Glance, failure: BaseException | None) -> None:
        if glance.status is RunStatus.DONE:
            self._take_stored(glance.rows)
            return
        self._state.record = RunRecord(glance.rows)
        self._cut_short = False
        if glance.status is RunStatus.CANCELLED:
            self.stopped = True
            return
        # A run is held by the order that needs a decision; its error is told a moment later.
        held_by = [row.error for row in glance.rows.values() if row.is_dirty and row.error is not None]
        raise failure or (revived(held_by[0]) if held_by else InternalError(f"run {self.id} {glance.status.value}"))


@dataclass(frozen=True)
class _Attempt:
    """How a run is asked for in a journal."""

    journal: Journal
    spec: Mapping[str, Any]
    renew: Renew | None
    keep: frozenset[str]
    take_over: bool

    async def claim(self, run: Run[Any]) -> Claim:
        return await self.journal.claim(
            run.id,
            spec=self.spec,
            fingerprint=fingerprint({"": run.action}, {}),
            kinds=_kinds(run.action),
            renew=self.renew,
            keep=self.keep,
            take_over=self.take_over,
        )

    async def glance(self, run: Run[Any], after: int) -> Glance:
        return await self.journal.glance(run.id, after=after, kinds=_kinds(run.action))

    async def undelivered(self, run: Run[Any], consumer: str) -> list[Event]:
        return await self.journal.undelivered(run.id, consumer, _kinds(run.action))

    def delivered(self, run: Run[Any], consumer: str, event: Event) -> None:
        self.journal.delivered(run.id, consumer, event)

    def again(self) -> _Attempt:
        """The same, without what is meant for the first time only."""
        return replace(self, renew=None, take_over=False)


def _kinds(action: Action[Any]) -> dict[str, type[Any]]:
    """The class of an action and of all inside it, by id."""
    inside = {id: kind for one in action for id, kind in _kinds(one).items()} if isinstance(action, Pipeline) else {}
    return {action.id: action.kind, **inside}


def stored(action: Action[Any], record: RunRecord) -> Any:
    """What an action made according to a record that holds it."""
    if not isinstance(action, Pipeline):
        return record.output(action.id, made_by(action))
    results = Results()
    results.by_id.update({one.id: stored(one, record) for one in action if record.why_skipped(one.id) is None})
    return results


async def recall(action: Action[Any], state: RunState) -> None:
    """Let every action that is not done stop what it left running, and end the run as cancelled."""
    async with whole_turn(action, state):
        for one in _leaves(action):
            if one.id not in state.record:
                await one.recall(Context(one, state, dirty=True))
                _faults.point("cancel.after_stop")


def _leaves(action: Action[Any]) -> Iterator[Action[Any]]:
    if isinstance(action, Pipeline):
        for one in action:
            yield from _leaves(one)
    else:
        yield action


@asynccontextmanager
async def start(
    action: Action[Made],
    *handlers: AnyHandler,
    client: Any = None,
    clock: Clock = SYSTEM_CLOCK,
    record: RunRecord | None = None,
    input: Any = None,
    on_cancel: OnCancel = "stop",
    handler_errors: HandlerErrors = "log",
    handler_grace: float = 5.0,
    on_event: Callable[[Event], object] | None = None,
    run_id: str | None = None,
    journal: Journal | None = None,
    spec: Mapping[str, Any] | None = None,
    renew: Renew | None = None,
    keep: Collection[str] = (),
    take_over: bool = False,
    terms: Terms = HOLD,
) -> AsyncGenerator[Run[Made], None]:
    """Run an action, usually a pipeline, beside the block; leaving the block waits for its end.

    The action's error comes out of the block, as itself. A stopped run comes out silently.

    client: handed to the actions as `ctx.client`.
    record: what an earlier attempt in this process made; actions that are done in it are not run again.
    on_cancel: what a cancellation from outside means for remote work.
    handler_errors: "raise" ends the run when a handler fails.
    handler_grace: seconds that handlers may go on after a cancelled run; an undisturbed run waits without limit.
    on_event: called at once with every event, before any handler gets it; it must neither wait nor fail.

    journal, run_id: keep the run under that id. A run that is there is gone on with, its stored result given if it is
        done, and only followed if another live process drives it. Give actions ids of your own, then the next process
        knows them again. Raises PipelineChanged when the run began with other actions or parameters.
    spec: what the run is, as JSON values, for whoever lists runs.
    renew: begin anew, with new orders, with what is "unfinished" or with "everything", except the actions in `keep`.
    take_over: drive the run although another process may be driving it.
    terms: what happens to a paid order of unknown fate that cannot be found.
    """
    bus = EventBus(run_id or new_id(), clock, on_event)
    state = RunState(bus, record or RunRecord(), client, clock, input, on_cancel, terms)
    attempt = _Attempt(journal, spec or {}, renew, frozenset(keep), take_over) if journal is not None else None
    run = Run(action, state, attempt)
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            run._feeding = feeding = feeders_of(as_handlers(handlers), bus, handler_errors == "raise", action, state)
            for feeder in feeding:
                group.start_soon(feeder.go)
            group.start_soon(run._go)
            try:
                yield run
                await run.wait()
            except BaseException:
                run._scope.cancel()
                for feeder in feeding:
                    feeder.hurry(handler_grace)
                raise
            if run.stopped:
                for feeder in feeding:
                    feeder.hurry(handler_grace)
    except BaseExceptionGroup as group_error:
        failure = _lone(group_error)
    finally:
        run._close()
    if failure is not None:
        raise failure from failure.__cause__
    if run.error is not None:
        raise run.error


def _lone(group: BaseException) -> BaseException:
    """A failure that came alone leaves a task group as itself, not as a group of one."""
    while isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
        group = group.exceptions[0]
    return group


async def run(action: Action[Made], *handlers: AnyHandler, **settings: Any) -> Made:
    """Run an action to its end and return what it made. Takes the settings of `start`."""
    async with start(action, *handlers, **settings) as flight:
        pass
    return flight.output

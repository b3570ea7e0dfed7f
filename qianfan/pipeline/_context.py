"""The context: what an action is given besides its needs, and what the actions of one run share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import anyio

from qianfan import _faults
from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan.errors import ActionTimeoutError, describe
from qianfan.pipeline._action import Action
from qianfan.pipeline._events import ActionState, Event, EventBus
from qianfan.pipeline._ordering import Purchases
from qianfan.pipeline._purchases import Terms
from qianfan.pipeline._record import Row, RunRecord, RunStatus, Stop

OnCancel: TypeAlias = Stop
"""What a cancellation means for work that goes on elsewhere: stop it, or leave it running."""


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

    def publish(
        self, action: Action[Any], how: ActionState, description: str = "", data: Any = None, **facts: Any
    ) -> Event:
        """Publish an event of one of the actions. facts: more about it, see `EventBus.publish`."""
        text = f"{action.kind.__name__}[{action.id}] {how.value.lower()}"
        if description:
            text += f": {description}"
        return self.bus.publish(action.kind, action.id, action.name, how, text, data, **facts)

    @asynccontextmanager
    async def telling(
        self,
        action: Action[Any],
        how: ActionState,
        description: str = "",
        data: Any = None,
        *,
        exception: BaseException | None = None,
        kind: str = "",
    ) -> AsyncGenerator[Event, None]:
        """An event that is heard when the block has written down what it tells of."""
        event = self.publish(action, how, description, data, exception=exception, kind=kind, held=True)
        try:
            yield event
        except BaseException:
            self.bus.withdraw(event)
            raise
        self.bus.release(event)


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
        event = self.state.publish(
            self.action, state, description, data, progress=progress, exception=exception, kind=kind
        )
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
        async with self.state.telling(self.action, ActionState.Running, description, data, kind=kind) as event:
            await self.state.record.write(changes, event, status=status)

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

"""Actions: the typed steps of a pipeline, and `perform`, which runs one and tells about it."""

from __future__ import annotations

import functools
import random
import string
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_type_hints

import anyio
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from typing_extensions import Self

from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan._retry import RetryPolicy, retrying
from qianfan.errors import ActionTimeoutError, PipelineError, describe
from qianfan.pipeline._events import ActionState, EventBus
from qianfan.pipeline._snapshot import Snapshot

Made = TypeVar("Made")

OnCancel: TypeAlias = Literal["stop", "detach"]
"""What a cancellation means for work that goes on elsewhere: stop it, or leave it running."""


def new_id() -> str:
    """Ten random letters and digits, the form that ids of actions and pipelines have always had."""
    return "".join(random.choices(string.ascii_letters + string.digits, k=10))


@dataclass
class RunState:
    """What the actions of one run share."""

    bus: EventBus
    snapshot: Snapshot = field(default_factory=Snapshot)
    client: Any = None
    clock: Clock = SYSTEM_CLOCK
    input: Any = None
    on_cancel: OnCancel = "stop"
    failed: bool = False
    """Set by the first action that fails, so that its siblings know why they are cancelled."""


@dataclass(slots=True)
class Context:
    """What an action may touch besides its needs."""

    action: Action[Any]
    state: RunState
    deadline: anyio.CancelScope | None = None
    """The scope of the action's own timeout, while it runs."""

    @property
    def client(self) -> Any:
        """Whatever the run was started with; the engine does not look at it."""
        return self.state.client

    @property
    def clock(self) -> Clock:
        """The run's clock: ask it for the time and let it do the sleeping."""
        return self.state.clock

    @property
    def notes(self) -> dict[str, Any]:
        """What this action noted in this run or in the one that is being resumed."""
        return self.state.snapshot.notes(self.action.id)

    async def note(self, **facts: Any) -> None:
        """Note facts (JSON values) that a resumed run must find again, before anything relies on them."""
        await self.state.snapshot.note(self.action.id, facts)

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
    ) -> None:
        """Publish an event of this action."""
        action = self.action
        text = f"{action.kind.__name__}[{action.id}] {state.value.lower()}"
        if description:
            text += f": {description}"
        self.state.bus.publish(
            action.kind, action.id, action.name, state, text, data, progress=progress, exception=exception
        )

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
                try:
                    await undo(*args)
                except Exception as failure:
                    self.report(f"could not undo: {describe(failure)}", {"error": describe(failure)})
            if deadline.cancelled_caught:
                self.report(f"gave up undoing after {grace:g} s")
            raise

    def _must_undo(self) -> bool:
        timed_out = self.deadline is not None and self.deadline.cancel_called
        return self.state.on_cancel == "stop" or self.state.failed or timed_out


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

    def event_data(self, made: Made) -> Any:
        """What the Done event carries; what the action made, unless overridden."""
        return made


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


async def perform(action: Action[Made], needs: dict[str, Any], state: RunState) -> Made:
    """Run one action and tell about it: Preceding, then exactly one of Done, Error, Stopped."""
    ctx = Context(action, state)
    for name, hint in hints_of(type(action)).items():
        if hint is Context:
            needs = {**needs, name: ctx}
    ctx.tell(ActionState.Preceding, data={})
    try:
        made = await _attempts(action, needs, ctx)
    except Exception as error:
        state.failed = True
        ctx.tell(ActionState.Error, describe(error), {"error": describe(error)}, exception=error)
        raise
    except BaseException:  # a cancellation
        ctx.tell(ActionState.Stopped)
        raise
    ctx.tell(ActionState.Done, data=action.event_data(made))
    return made


async def _attempts(action: Action[Made], needs: dict[str, Any], ctx: Context) -> Made:
    def tell(failures: int, error: Exception, delay: float) -> None:
        ctx.report(f"try {failures} failed, next in {delay:g} s: {describe(error)}", {"error": describe(error)})

    async def attempt() -> Made:
        return await action.run(**needs)

    with anyio.move_on_after(action.timeout) as ctx.deadline:
        return await retrying(action.retry, attempt, before_sleep=tell, sleep=ctx.clock.sleep)
    raise ActionTimeoutError(f"{action.kind.__name__}[{action.id}] did not end within {action.timeout:g} s")

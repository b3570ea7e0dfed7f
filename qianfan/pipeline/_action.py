"""Actions: the typed steps of a pipeline, as a user writes them."""

from __future__ import annotations

import functools
import random
import string
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from typing_extensions import Self

from qianfan._retry import RetryPolicy
from qianfan.errors import PipelineError

if TYPE_CHECKING:
    from qianfan.pipeline._context import Context

Made = TypeVar("Made")


def new_id() -> str:
    """Ten random letters and digits, the form that ids of actions and pipelines have always had."""
    return "".join(random.choices(string.ascii_letters + string.digits, k=10))


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
    _conditions: set[str] = PrivateAttr(default_factory=set)

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

    def only_if(self, *conditions: Action[Any]) -> Self:
        """Be performed only if what each of these actions made counts as true; else be skipped.

        A skipped action makes nothing, so whatever needs what it makes is skipped with it. Its events are Preceding
        and a Done of kind "skipped".
        """
        self._conditions.update(action.id for action in conditions)
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

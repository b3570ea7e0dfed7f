"""Old-style actions: classes with a synchronous `exec(input: dict)`, run through one adapter.

New actions derive from `Action` and exchange types. The old form, which exchanged dictionaries, keeps working: `exec`
runs in a worker thread and gets what the action before it made, as a dictionary.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from pydantic import PrivateAttr

from qianfan._sync import LoopHandle, in_user_thread
from qianfan.errors import NotImplmentError, describe
from qianfan.pipeline._action import Action, new_id
from qianfan.pipeline._context import Context
from qianfan.pipeline._events import ActionState, Event
from qianfan.pipeline._plan import Previous

F = TypeVar("F", bound=Callable[..., Any])


class BaseAction:
    """Base of old-style actions: define `exec(self, input=None, **kwargs)` and return a dictionary.

    event_handler: told about `action_event` calls made outside a pipeline; inside one, the run's handlers are told.
    """

    def __init__(
        self, id: str | None = None, name: str | None = None, event_handler: Any = None, **kwargs: Any
    ) -> None:
        self.id = id or new_id()
        self.name = name or ""
        self.event_handler = event_handler
        self._ctx: Context | None = None
        self._loop: LoopHandle | None = None

    def exec(self, input: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Do the work. input: what the action before this one made."""
        raise NotImplmentError(f"{type(self).__name__} must define exec(self, input=None, **kwargs)")

    def resume(self, **kwargs: Any) -> Any:
        """Go on after an interruption; unless overridden, the work is simply done again."""
        return self.exec(**kwargs)

    def stop(self, **kwargs: Any) -> None:
        """Called when the run is stopped while `exec` is at work. Does nothing unless overridden."""

    def action_event(self, state: ActionState, msg: str = "", data: Any = None) -> None:
        """Tell handlers that something happened."""
        ctx, loop = self._ctx, self._loop
        if ctx is not None and loop is not None:
            # `exec` runs in a worker thread, and the events belong to the loop of the run.
            loop.call(lambda: ctx.tell(state, msg, data))
        elif self.event_handler is not None:
            text = f"{type(self).__name__}[{self.id}] {msg}"
            self.event_handler.dispatch(Event(type(self), self.id, state, text, data, action_name=self.name))

    def action_error_event(self, exception: Exception) -> None:
        """Tell handlers that the action failed."""
        self.action_event(ActionState.Error, describe(exception), {"error": describe(exception)})


def with_event(method: F) -> F:
    """Decorate `exec` or `resume` of an old-style action so that it tells when it begins and ends.

    Inside a pipeline the engine already does, so there the decorator stays quiet.
    """

    @functools.wraps(method)
    def wrapper(self: BaseAction, *args: Any, **kwargs: Any) -> Any:
        if self._ctx is not None:
            return method(self, *args, **kwargs)
        self.action_event(ActionState.Preceding, "preceding", {})
        try:
            made = method(self, *args, **kwargs)
        except Exception as error:
            self.action_error_event(error)
            raise
        self.action_event(ActionState.Done, "done", made)
        return made

    return cast(F, wrapper)


class _Adapted(Action[dict[str, Any]]):
    """An old-style action as a new one."""

    _old: BaseAction = PrivateAttr()

    @property
    def kind(self) -> type[Any]:
        return type(self._old)

    @property
    def old(self) -> BaseAction:
        """The user's own object."""
        return self._old

    async def run(self, previous: Previous, ctx: Context) -> dict[str, Any]:
        old = self._old
        given = dict(previous) if isinstance(previous, Mapping) else {}
        again = ctx.notes.get("started", False) and type(old).resume is not BaseAction.resume
        await ctx.note(started=True)
        old._ctx, old._loop = ctx, LoopHandle()
        try:
            async with ctx.if_stopped(in_user_thread, old.stop):
                made = await in_user_thread(functools.partial(old.resume if again else old.exec, input=given))
        finally:
            old._ctx = old._loop = None
        return cast("dict[str, Any]", made)


def adapt(old: BaseAction) -> Action[dict[str, Any]]:
    """Wrap an old-style action; id and name stay what they are."""
    # Subclasses that never called super().__init__() have no id yet.
    if not hasattr(old, "id"):
        BaseAction.__init__(old)
    adapted = _Adapted(id=old.id, name=old.name)
    adapted._old = old
    return adapted

"""`Pipeline` with the blocking names that its documentation shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr
from typing_extensions import Self

from qianfan._sync import run_sync
from qianfan.errors import InvalidArgumentError
from qianfan.pipeline import Action, BaseAction, Run, RunRecord, start
from qianfan.pipeline import Pipeline as _EnginePipeline
from qianfan.pipeline._events import AnyHandler, as_handlers
from qianfan.trainer.files import PIPELINE_FORMAT, PIPELINE_VERSION, pipeline_in, read_json, write_json
from qianfan.trainer.handlers import Filtered
from qianfan.trainer.kept_actions import kept_action

__all__ = ["Pipeline"]


class Pipeline(_EnginePipeline):
    """A pipeline that can be run by itself: `Pipeline([...]).exec()`, or `await pipeline.aexec()`.

    actions: old-style and new ones; a list is a chain. post_actions: run after them, in order.
    event_handler: told about every event, together with those registered later.
    """

    _handlers: list[Any] = PrivateAttr(default_factory=list)
    _record: RunRecord = PrivateAttr(default_factory=RunRecord)
    _input: Any = PrivateAttr(default=None)
    _flight: Run[Any] | None = PrivateAttr(default=None)
    _current: str | None = PrivateAttr(default=None)

    def __init__(
        self,
        actions: Sequence[Action[Any] | BaseAction],
        post_actions: Sequence[Action[Any] | BaseAction] | None = None,
        event_handler: Any = None,
        **settings: Any,
    ) -> None:
        super().__init__([*actions, *(post_actions or [])], **settings)
        if event_handler is not None:
            self.register_event_handler(event_handler)

    @property
    def seq(self) -> list[str]:
        """Ids of the actions, in order."""
        return [action.id for action in self]

    @property
    def current_action(self) -> str | None:
        """Id of the action that started last."""
        return self._current

    def register_event_handler(self, event_handler: AnyHandler, action_id: str | None = None) -> None:
        """Tell a handler about every event, or about those of one action."""
        handlers = as_handlers(event_handler)
        self._handlers += [Filtered(handler, action_id) for handler in handlers] if action_id else handlers

    async def aexec(self, input: Any = None, *, client: Any = None, **settings: Any) -> Any:
        """Run from the beginning and return what the last action made."""
        self._record, self._input = RunRecord(), input
        return await self._go(client, **settings)

    def exec(self, input: Any = None, **settings: Any) -> Any:
        """Blocking form of `aexec`."""
        return run_sync(self.aexec, input, **settings)

    async def aexec_from(self, input: Any, start: int | str, *, client: Any = None, **settings: Any) -> Any:
        """Run from one action on, given by index or id, with `input` as what the actions before it made."""
        index = start if isinstance(start, int) else self._index_of(start)
        self._record, self._input = RunRecord(), input
        for action in list(self)[:index]:
            await self._record.done(action.id, input, Any)
        return await self._go(client, **settings)

    def exec_from(self, input: Any, start: int | str, **settings: Any) -> Any:
        """Blocking form of `aexec_from`."""
        return run_sync(self.aexec_from, input, start, **settings)

    async def aresume(self, *, client: Any = None, **settings: Any) -> Any:
        """Go on after a failure or a stop; actions that are done are not run again."""
        return await self._go(client, **settings)

    def resume(self, **settings: Any) -> Any:
        """Blocking form of `aresume`."""
        return run_sync(self.aresume, **settings)

    def stop(self) -> Self:
        """End the run that is under way, from any thread."""
        if self._flight is not None:
            self._flight.stop()
        return self

    # --- files ----------------------------------------------------------------------------------------------

    async def asave(self, file: str | Path) -> Path:
        """Write what this pipeline is into a file that `load(file=...)` reads: its actions, not what they have made.

        An action of your own is kept as the import path of its class and what it was made with, which must be JSON
        values. Raises InvalidArgumentError that names the action when it could not be made again.
        """
        await write_json(Path(file), {"format": PIPELINE_FORMAT, "version": PIPELINE_VERSION, **kept_action(self)})
        return Path(file)

    def save(self, file: str | Path) -> Path:
        """Blocking form of `asave`."""
        return run_sync(self.asave, file)

    @classmethod
    async def aload(cls, *, file: str | Path, event_handler: Any = None) -> Self:
        """The pipeline of a file. Imports the modules of its actions.

        Raises TrainerFileError that names the place of what cannot be read.
        """
        pipeline = pipeline_in(await read_json(Path(file)), str(file), cls)
        if event_handler is not None:
            pipeline.register_event_handler(event_handler)
        return pipeline

    @classmethod
    def load(cls, *, file: str | Path, event_handler: Any = None) -> Self:
        """Blocking form of `aload`."""
        return run_sync(partial(cls.aload, file=file, event_handler=event_handler))

    # --- inside ---------------------------------------------------------------------------------------------

    def _index_of(self, action_id: str) -> int:
        if action_id not in self.seq:
            raise InvalidArgumentError(f"no action has the id {action_id!r}; the pipeline has {self.seq}")
        return self.seq.index(action_id)

    def _note_current(self, event: Any) -> None:
        if event.action_id == self.id and isinstance(event.data, dict) and "action" in event.data:
            self._current = event.data["action"]

    async def _go(self, client: Any, **settings: Any) -> Any:
        async with start(
            self,
            *self._handlers,
            client=client,
            record=self._record,
            input=self._input,
            on_event=self._note_current,
            **settings,
        ) as flight:
            self._flight = flight
        return None if flight.stopped else self.event_data(flight.output)

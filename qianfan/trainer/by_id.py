"""Runs by their ids: what is known of those that the journal has, gone on with, decided about or forgotten."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import anyio
from typing_extensions import Self

from qianfan._clock import SYSTEM_CLOCK
from qianfan._sync import INTERRUPT_PATIENCE, Leaving, iterate_sync, run_interruptible, run_sync
from qianfan._transport import Client
from qianfan.config import default_settings
from qianfan.errors import ActionTimeoutError, AuthError, JournalError, describe, is_retryable
from qianfan.pipeline import Event, RunStatus
from qianfan.pipeline._run import FOLLOW_SECONDS
from qianfan.trainer.assembly import Handlers, OnInterrupt
from qianfan.trainer.running import STOP_PATIENCE, RunningTrainer
from qianfan.trainer.saving import KINDS
from qianfan.trainer.state import about, journal_of, journal_to_read, steps_of, to_decide
from qianfan.utils.logging import logger

# Inside the class below, `list` is its own method.
FactsOfMany: TypeAlias = list[dict[str, Any]]
EventList: TypeAlias = list[Event]
IdList: TypeAlias = list[str]


class TrainerById(RunningTrainer):
    """A trainer whose class answers for all runs of its kind."""

    @classmethod
    async def alist(cls, *, client: Client | None = None) -> FactsOfMany:
        """What the journal says of the trainers that ran on this machine, the latest first.

        Each with `id`, `kind`, `status`, `run_status` (open, held, done, failed, cancelled), `driven_by` (pid of the
        live process that drives it), `left_running`, `needs_decision` (orders of unknown fate), `ids` and more.
        """
        settings = client.settings if client is not None else default_settings()
        names = cls._kind_names()
        found = await (await journal_to_read(settings)).runs()
        return [about(facts) for facts in found if facts.spec.get("kind") in names]

    @classmethod
    def list(cls, *, client: Client | None = None) -> FactsOfMany:
        """Blocking form of `alist`."""
        return run_sync(cls.alist, client=client)

    @classmethod
    async def adescribe(cls, id: str, *, client: Client | None = None) -> dict[str, Any]:
        """What the journal says of one trainer: as in `list`, and how far each of its `steps` and their orders are.

        `to_decide`: the orders of unknown fate, with what to look for in the console.
        Raises UnknownRunError.
        """
        facts = await cls._known_run(id, client)
        return {**about(facts), "steps": steps_of(facts), "to_decide": to_decide(facts)}

    @classmethod
    def describe(cls, id: str, *, client: Client | None = None) -> dict[str, Any]:
        """Blocking form of `adescribe`."""
        return run_sync(cls.adescribe, id, client=client)

    async def aevents(self) -> EventList:
        """What the journal has kept of this trainer's events: all changes, and a report of progress a minute."""
        return await self.ahistory(self.id, client=self._client)

    def events(self) -> EventList:
        """Blocking form of `aevents`."""
        return run_sync(self.aevents)

    @classmethod
    async def ahistory(cls, id: str, *, client: Client | None = None) -> EventList:
        """The kept events of a trainer, as `load(id).events()` gives them, without loading it."""
        settings = client.settings if client is not None else default_settings()
        return await (await journal_to_read(settings)).events(id)

    @classmethod
    def history(cls, id: str, *, client: Client | None = None) -> EventList:
        """Blocking form of `ahistory`."""
        return run_sync(cls.ahistory, id, client=client)

    @classmethod
    async def awatch(
        cls, id: str, *, after: int | None = None, timeout: float | None = None, client: Client | None = None
    ) -> AsyncIterator[Event]:
        """Yield the events of a run while another process drives it; never drives it, and sends nothing.

        Ends when the run is over, waits for a decision, or is left alone: `describe(id)` then says which.
        after: also the kept events after this number, -1 for all of them. timeout: seconds for all of it.
        Raises UnknownRunError, ForeignOwner for a run of another machine, ActionTimeoutError.
        """
        facts = await cls._known_run(id, client)
        if after is None:
            after = max((event.sequence for event in facts.recent), default=-1)
        clock = client.clock if client is not None else SYSTEM_CLOCK
        journal = await journal_to_read(client.settings if client is not None else default_settings())
        begun = clock.monotonic()
        while True:
            glance = await journal.glance(id, after=after, kinds={})
            for event in glance.events:
                after = event.sequence
                yield event
            if glance.status is not RunStatus.OPEN or not glance.is_driven:
                return
            left = math.inf if timeout is None else begun + timeout - clock.monotonic()
            if left <= 0:
                raise ActionTimeoutError(f"no end of trainer {id} within {timeout:g} s; its run goes on")
            await clock.sleep(min(FOLLOW_SECONDS, left))

    @classmethod
    def watch(
        cls, id: str, *, after: int | None = None, timeout: float | None = None, client: Client | None = None
    ) -> Iterator[Event]:
        """Blocking form of `awatch`."""
        return iterate_sync(lambda: cls.awatch(id, after=after, timeout=timeout, client=client))

    @classmethod
    async def arecover(
        cls,
        *,
        every: float | None = None,
        client: Client | None = None,
        event_handler: Handlers | None = None,
        at_once: int = 100,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
    ) -> dict[str, Self]:
        """Go on with every interrupted run that no live process drives, side by side; gives their trainers by id.

        Runs that failed, were stopped, or wait for a decision stay as they are. An error of a run is in its
        `result[0]["error"]`, and does not disturb the others.
        every: look again after so many seconds, and go on until this is cancelled. at_once: how many run side by side.
        timeout, on_interrupt: of each run; see `arun`.
        """
        settings = client.settings if client is not None else default_settings()
        recovered: dict[str, Self] = {}
        limit = anyio.Semaphore(at_once)

        async def go(id: str) -> None:
            async with limit:
                try:
                    trainer = recovered[id] = await cls.aload(id, client=client, event_handler=event_handler)
                    await trainer.aresume(timeout=timeout, on_interrupt=on_interrupt)
                except Exception as error:
                    logger.warning("run %s could not be gone on with: %s", id, describe(error))
                    if isinstance(error, AuthError) or is_retryable(error):
                        begun.discard(id)  # what was in its way may have passed when the runs are looked at next

        async def interrupted() -> IdList:
            found = await (await journal_to_read(settings)).runs(statuses=[RunStatus.OPEN])
            names = cls._kind_names()
            return [facts.id for facts in found if facts.driven_by is None and facts.spec.get("kind") in names]

        begun: set[str] = set()
        found = await interrupted()
        async with anyio.create_task_group() as group:
            while True:
                for id in found:
                    if id not in begun:
                        begun.add(id)
                        group.start_soon(go, id)
                if every is None:
                    break
                await anyio.sleep(every)
                try:
                    found = await interrupted()
                except JournalError as error:  # the runs that go on find out for themselves whether it lasts
                    logger.warning("cannot look for interrupted runs right now: %s", error)
        return recovered

    @classmethod
    def recover(cls, *, on_interrupt: OnInterrupt = "detach", **settings: Any) -> dict[str, Self]:
        """Blocking form of `arecover`. Ctrl-C leaves all of them within a second, and does what `on_interrupt` says."""
        leaving = Leaving()

        async def go() -> dict[str, Self]:
            return await cls.arecover(on_interrupt=on_interrupt, **settings)

        def interrupt() -> float:
            leaving.leave()
            return STOP_PATIENCE if on_interrupt == "stop" else INTERRUPT_PATIENCE

        return run_interruptible(lambda: leaving.unless_left(go), interrupt) or {}

    @classmethod
    async def adecide(
        cls,
        id: str | Sequence[str],
        node: str | None = None,
        *,
        adopt: str | None = None,
        resubmit: bool = False,
        fail: bool = False,
        client: Client | None = None,
    ) -> IdList:
        """Decide about an order of unknown fate, after looking for it in the console; then `resume()` goes on.

        id: the trainer, or several. node: the order, where there are several. adopt: the id of what it made.
        resubmit: it made nothing, so order it again. fail: give it up. Gives the ids of the trainers that can go on.
        Raises RunBusyError while a live process drives the run, InvalidArgumentError when there is nothing to decide.
        """
        settings = client.settings if client is not None else default_settings()
        runs = [id] if isinstance(id, str) else [*id]
        journal = await journal_of(settings)
        return await journal.decide(runs, node, adopt=adopt, resubmit=resubmit, fail=fail)

    @classmethod
    def decide(cls, id: str | Sequence[str], node: str | None = None, **decision: Any) -> IdList:
        """Blocking form of `adecide`."""
        return run_sync(cls.adecide, id, node, **decision)

    @classmethod
    async def aprune(cls, older_than: timedelta, *, client: Client | None = None) -> int:
        """Forget the runs that `list` shows as done, failed or cancelled and that nothing has touched for so long.

        Gives how many. What they made on the platform stays; started again under its old id, a run orders it anew.
        """
        settings = client.settings if client is not None else default_settings()
        names = cls._kind_names()
        journal = await journal_to_read(settings)
        return await journal.prune(older_than, only=lambda spec: spec.get("kind") in names)

    @classmethod
    def prune(cls, older_than: timedelta, *, client: Client | None = None) -> int:
        """Blocking form of `aprune`."""
        return run_sync(cls.aprune, older_than, client=client)

    @classmethod
    def _kind_names(cls) -> set[str]:
        return {name for name, kind in KINDS.items() if issubclass(kind, cls)}

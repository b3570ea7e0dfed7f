"""The run of a trainer: begun, gone on with, waited for, followed, stopped or left, and what is said about it."""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from typing_extensions import Self

from qianfan import _faults
from qianfan._sync import INTERRUPT_PATIENCE, LoopHandle, in_thread, run_interruptible, run_sync, start_soon
from qianfan._transport import Client, default_client
from qianfan.config import default_settings
from qianfan.errors import ActionTimeoutError, InternalError
from qianfan.pipeline import Event, RunStatus, event_being_handled, start
from qianfan.pipeline._events import as_handlers
from qianfan.pipeline._record import Renew
from qianfan.pipeline._run import HandlerErrors
from qianfan.resources import Platform
from qianfan.trainer.artefacts import TrainResult
from qianfan.trainer.assembly import OnInterrupt
from qianfan.trainer.saving import SavedTrainer
from qianfan.trainer.state import about, ids_in, journal_of, terms_of
from qianfan.trainer.status import status_after
from qianfan.utils.logging import logger

STOP_PATIENCE = 15.0
"""Seconds that Ctrl-C with on_interrupt="stop" may take to stop the remote task."""


class RunningTrainer(SavedTrainer):
    """A trainer that runs."""

    # --- run ------------------------------------------------------------------------------------------------

    async def arun(
        self,
        input: Any = None,
        *,
        retry_count: int | None = None,
        backoff_factor: float | None = None,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        force: bool = False,
        take_over: bool = False,
        handler_errors: HandlerErrors = "log",
    ) -> Self:
        """Run all steps and return this trainer; `result[0]` then holds what they made.

        retry_count, backoff_factor: tries in all and first wait in seconds, for calls that only look. Calls that create
            something are never blindly repeated.
        timeout: seconds until this stops waiting; the remote work goes on, and `resume()` comes back to it.
        on_interrupt: what a cancellation or Ctrl-C means for the remote training: "detach" leaves it running, "stop"
            stops it.
        force: start anew, with a new paid job, although the trainer has run already.
        take_over: drive the run although another process may be driving it; that one drops it at its next step.
        handler_errors: "raise" ends the run when an event handler fails; otherwise that is logged.

        Raises the error of the step that failed, and keeps it in `result[0]["error"]`. After a stop that was asked for
        it returns normally. A trainer that has succeeded is not run again; one that was interrupted goes on; one that
        another live process drives is followed to its end.
        Raises OutcomeUnknownError when a person has to decide about an order (see `decide`), PipelineChanged when the
        run of this id began with other arguments, JournalError when the journal cannot be used.
        """
        self._claim()
        try:
            return await self._claimed_run(
                input,
                retry_count=retry_count,
                backoff_factor=backoff_factor,
                timeout=timeout,
                on_interrupt=on_interrupt,
                force=force,
                take_over=take_over,
                handler_errors=handler_errors,
            )
        finally:
            self._release()

    def run(self, input: Any = None, *, on_interrupt: OnInterrupt = "detach", **settings: Any) -> Self:
        """Blocking form of `arun`, for scripts, threads and notebooks.

        Ctrl-C leaves within a second, says how to come back, and does what `on_interrupt` says; a second one leaves at
        once.
        """
        return run_interruptible(
            lambda: self.arun(input, on_interrupt=on_interrupt, **settings), lambda: self._interrupt(on_interrupt)
        )

    async def aresume(self, *, resubmit: bool = False, **settings: Any) -> Self:
        """Go on where the last run ended: finished steps are kept, and a job that exists is waited for, not made again.

        resubmit: order what failed anew, which costs money again: a new task after the training failed, a new service
            after the deployment did. What is done stays done.
        On a fresh trainer this is `arun`. Takes the settings of `arun`.
        """
        self._claim()
        try:
            return await self._claimed_run(renew="unfinished" if resubmit else None, **settings)
        finally:
            self._release()

    def resume(self, *, resubmit: bool = False, on_interrupt: OnInterrupt = "detach", **settings: Any) -> Self:
        """Blocking form of `aresume`."""
        return run_interruptible(
            lambda: self.aresume(resubmit=resubmit, on_interrupt=on_interrupt, **settings),
            lambda: self._interrupt(on_interrupt),
        )

    def start(self, **settings: Any) -> Self:
        """Run in the background of this process and return at once; see `wait`. Takes the settings of `arun`."""
        self._claim()

        async def go() -> Self:
            try:
                return await self._claimed_run(**settings)
            finally:
                self._release()

        self._future = start_soon(go)
        return self

    def wait(self, timeout: float | None = None) -> Self:
        """Return when the run that `start()` began is over; raise its error if it failed.

        timeout: seconds; TimeoutError when it is not over by then.
        """
        if self._future is not None:
            try:
                self._future.result(timeout)
            except TimeoutError:
                if self._future.done():
                    raise
                raise TimeoutError(f"{self!r} is not over after {timeout:g} s") from None
        return self

    async def astream(self, **settings: Any) -> AsyncIterator[Event]:
        """Run, and yield every event; the run's error comes out at the end. Takes the settings of `arun`.

        The run itself is in the background: leaving the loop early detaches from it as a cancellation would.
        """
        send, events = anyio.create_memory_object_stream[Event](math.inf)
        here = LoopHandle()

        def forward(event: Event) -> None:
            # The reader may have left, and its event loop may be gone.
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, RuntimeError):
                here.call(lambda: send.send_nowait(event))

        async def go() -> None:
            self._handlers.append(handler)
            try:
                await self.arun(**settings)
            finally:
                self._handlers.remove(handler)
                with suppress(RuntimeError), anyio.CancelScope(shield=True):
                    await in_thread(here.call, send.close)

        [handler] = as_handlers(forward)
        future = start_soon(go)
        try:
            async for event in events:
                yield event
            future.result()
        finally:
            future.cancel()
            send.close()
            events.close()

    def stop(self) -> Self:
        """Stop the run, from any thread, signal handler or event handler; the remote training is stopped too.

        Returns at once; the run ends with Stopped events and `run()` returns normally. Without a run nothing happens.
        A run that another process drives is stopped through the journal, as `cancel` does it.
        """
        if self._running:
            # The run may not have got as far as its first step; it looks at the wish when it does.
            self._end_wanted = "stop"
        flight = self._flight
        if flight is not None and flight.is_driven_elsewhere:
            start_soon(partial(type(self).acancel, self.id, client=self._client))
        elif flight is not None:
            flight.stop()
        return self

    def detach(self) -> Self:
        """Leave the run, from wherever `stop()` may be called; the remote training goes on.

        Returns at once; `run()` returns normally, and `resume()` comes back to it. Without a run nothing happens.
        """
        if self._running:
            self._end_wanted = "detach"
        if self._flight is not None:
            self._flight.stop("detach")
        return self

    async def astop(self) -> Self:
        """Stop the run and return when it is over. From inside one of its own event handlers, use `stop()`."""
        self.stop()
        if event_being_handled() is None:
            await in_thread(self._over.wait)
        return self

    @classmethod
    async def acancel(cls, id: str, *, client: Client | None = None) -> dict[str, Any]:
        """Stop a run of this machine and its remote training, whichever process drives it; gives what is known then.

        The wish is written down first, so whoever goes on with the run after a crash finishes the stop.
        Raises InvalidArgumentError when there is no run of that id.
        """
        settings = client.settings if client is not None else default_settings()
        journal = await journal_of(settings)
        facts = await journal.request_stop(id)
        if facts.status is RunStatus.OPEN:
            _faults.point("cancel.after_mark")
            if facts.driven_by is None:
                await (await cls.aload(id, client=client)).arun()
            else:
                task = ids_in(facts.rows).get("task_id")
                if task is not None:  # its process learns of the wish when it looks at the task next
                    await Platform(client).finetune.stop_task(task)
        return about(await journal.run(id))

    @classmethod
    def cancel(cls, id: str, *, client: Client | None = None) -> dict[str, Any]:
        """Blocking form of `acancel`."""
        return run_sync(cls.acancel, id, client=client)

    # --- inside ---------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        """One run at a time, whoever starts it from wherever: two would order everything twice."""
        with self._guard:
            if self._running:
                raise InternalError(f"{self!r} is running already; wait for it, or make another trainer")
            self._running, self._end_wanted = True, None
            self._over.clear()

    def _release(self) -> None:
        self._running = False
        self._over.set()

    async def _claimed_run(
        self,
        input: Any = None,
        *,
        retry_count: int | None = None,
        backoff_factor: float | None = None,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        force: bool = False,
        take_over: bool = False,
        handler_errors: HandlerErrors = "log",
        renew: Renew | None = None,
    ) -> Self:
        if force:
            renew, self._record, self._finished = "everything", None, False
            self.result = [None]
        if self._finished:
            self._say_finished()
            return self
        client = self._client if self._client is not None else default_client()
        changes = {"console_api_retry_count": retry_count, "console_api_retry_backoff_factor": backoff_factor}
        changes = {name: value for name, value in changes.items() if value is not None}
        wishes = _Wishes(input, timeout, on_interrupt, handler_errors, renew, take_over)
        if not changes:
            return await self._go(client, wishes)
        async with client.with_settings(**changes) as varied:
            return await self._go(varied, wishes)

    async def _go(self, client: Client, wishes: _Wishes) -> Self:
        try:
            await self._fly(client, wishes)
        except Exception as error:
            self.result = [TrainResult(error=error)]
            raise
        except BaseException:  # a cancellation
            if self._flight is not None and self._flight.left_running:
                logger.info("%s. Come back with %s", self._where(" goes on"), self._come_back())
            raise
        finally:
            if self._flight is not None:
                self._left, self._record = self._flight.left_running, self._flight.record
                self._was_elsewhere = self._flight.is_driven_elsewhere
            self._flight = None
        return self

    async def _fly(self, client: Client, wishes: _Wishes) -> None:
        terms = terms_of(client.settings, self.submission)
        journal = self._journal = await journal_of(client.settings)
        if self._known_rows:
            # What a file says counts only where the journal has no run of this id.
            rows, spec = self._known_rows, self._spec_of_run()
            await journal.put(self.id, spec=spec, fingerprint=self._fingerprint(), rows=rows)
            self._known_rows = {}
        load = self.load_data_action
        async with start(
            self.pipeline,
            *self._handlers,
            client=Platform(client),
            clock=client.clock,
            input=wishes.input,
            on_cancel="stop" if wishes.on_interrupt == "stop" else "detach",
            handler_errors=wishes.handler_errors,
            on_event=self._observe,
            run_id=self.id,
            journal=journal,
            spec=self._spec_of_run(),
            renew=wishes.renew,
            keep=[load.id] if wishes.renew == "unfinished" and load is not None else [],
            take_over=wishes.take_over,
            terms=terms,
        ) as flight:
            self._flight, self._left = flight, False
            if self._end_wanted is not None:
                flight.stop(self._end_wanted)
            with anyio.move_on_after(wishes.timeout) as deadline:
                await flight.wait()
            if deadline.cancelled_caught:
                # Waiting ends here; whatever Ctrl-C would mean, the remote work goes on.
                flight.stop("detach")
        if deadline.cancelled_caught:
            where = self._where(" goes on")
            raise ActionTimeoutError(f"no end within {wishes.timeout:g} s; {where}. resume() comes back to it")
        self._record, self._finished = flight.record, not flight.stopped
        if flight.was_done:
            self._say_finished()
        self.result = [self.made_so_far]

    def _say_finished(self) -> None:
        logger.warning("%r has run already; returning its result. run(force=True) starts a new paid job", self)

    def _observe(self, event: Event) -> None:
        self._status = status_after(event) or self._status

    def _interrupt(self, on_interrupt: OnInterrupt, *, tell_way_back: bool = True) -> float:
        """Called in the waiting thread at Ctrl-C. Returns how many seconds the run may take to end."""
        flight = self._flight
        if flight is None:
            return INTERRUPT_PATIENCE
        # The run is told first: the terminal may be gone, or hold back what is written to it.
        if on_interrupt == "stop":
            line = f"Interrupted: stopping {self._where('')}. Ctrl-C again leaves at once."
            self.stop()
            _say(line)
            return STOP_PATIENCE
        way_back = f" Come back with {self._come_back()}" if tell_way_back else ""
        line = f"Interrupted: {self._where(' goes on')}.{way_back}"
        self.detach()
        _say(line)
        return INTERRUPT_PATIENCE

    def _where(self, fate: str) -> str:
        if self.is_driven_elsewhere:
            return f"trainer {self.id}, which another process drives{',' if fate else ''}{fate}"
        ids = self._ids()
        if "task_id" not in ids:
            return f"trainer {self.id}, which has no training task yet"
        return f"trainer {self.id}: task {ids['task_id']} of job {ids['job_id']}{fate}"

    def _come_back(self) -> str:
        if self._journal is not None and self._journal.survives:
            return (
                f"{type(self).__name__}.load({self.id!r}).resume(), or: qianfan trainer resume --trainer-id {self.id}"
            )
        return "resume() on this object, in this process"


@dataclass(frozen=True)
class _Wishes:
    """How one run is to go."""

    input: Any
    timeout: float | None
    on_interrupt: OnInterrupt
    handler_errors: HandlerErrors
    renew: Renew | None
    take_over: bool


def _say(line: str) -> None:
    """Tell the person at the terminal, who may have logging switched off; nothing where there is none any more."""
    with suppress(OSError, ValueError, AttributeError):  # gone, closed, or None in a process that never had one
        sys.stderr.write(f"{line}\n")

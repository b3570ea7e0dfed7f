"""Driving a trainer from the command line: its progress, its result, and the way back to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from qianfan.cli.exits import Exit, exit_code
from qianfan.cli.facts import for_people, known_facts
from qianfan.cli.options import OnInterrupt
from qianfan.errors import (
    InternalError,
    ModelPublishFailedError,
    OutcomeUnknownError,
    ServiceDeployFailedError,
    TrainJobFailedError,
)

if TYPE_CHECKING:
    from qianfan.trainer import Trainer


def follow(
    trainer: Trainer,
    go: Callable[[], Awaitable[object]],
    *,
    on_interrupt: OnInterrupt,
    last_words: list[str],
    json: bool,
) -> None:
    """Let a trainer run, show its progress, and print what it made, or how to come back to it.

    When nobody reads the progress any longer, as after `| head -1`, it leaves as at Ctrl-C.
    """
    from qianfan._sync import Terminated, run_interruptible
    from qianfan.cli.output import err, out, print_json, progress
    from qianfan.errors import QianfanError

    console = err() if json else out()
    unread: list[OSError] = []

    def leave(error: OSError) -> None:
        if json:
            return  # what counts is the document at the end
        unread.append(error)
        _ = trainer.stop() if on_interrupt is OnInterrupt.STOP else trainer.detach()

    def interrupt() -> float:
        return trainer._interrupt(on_interrupt.value, tell_way_back=False)

    try:
        with progress(console, plain=json, on_unread=leave) as view:
            trainer.register_event_handler(view.tell)
            run_interruptible(go, interrupt)
        if unread:
            raise unread[0]
        if not trainer._finished:
            raise _Stopped(f"trainer {trainer.id} was stopped")
    except (KeyboardInterrupt, Terminated, QianfanError, OSError) as error:
        way_back = _way_back(trainer, error, on_interrupt)
        if way_back is not None:
            last_words.append(way_back)
        if json:
            print_json(document_of(trainer, error))
        raise
    if json:
        print_json(document_of(trainer))
    else:
        console.print(f"\n{trainer.result[0]}\ntrainer {trainer.id}", markup=False)


def resume_all(*, timeout: float | None, on_interrupt: OnInterrupt, last_words: list[str], json: bool) -> None:
    """Go on with every interrupted trainer that no process drives, and print what became of each."""
    from qianfan._sync import INTERRUPT_PATIENCE, Leaving, Terminated, run_interruptible
    from qianfan.cli.output import EventLines, err, out, print_json, print_table
    from qianfan.trainer import Trainer
    from qianfan.trainer.running import STOP_PATIENCE

    console = err() if json else out()
    waiting = [known["id"] for known in Trainer.list() if known["run_status"] == "open" and known["driven_by"] is None]
    unread: list[OSError] = []
    leaving = Leaving()

    def leave(error: OSError) -> None:
        if not json:
            unread.append(error)
            leaving.leave()

    lines = EventLines(console, with_run=True, on_unread=leave)

    async def go() -> dict[str, Trainer]:
        return await Trainer.arecover(event_handler=lines.tell, timeout=timeout, on_interrupt=on_interrupt.value)

    def interrupt() -> float:
        leaving.leave()
        return STOP_PATIENCE if on_interrupt is OnInterrupt.STOP else INTERRUPT_PATIENCE

    try:
        recovered = run_interruptible(lambda: leaving.unless_left(go), interrupt) or {}
        if unread:
            raise unread[0]
    except (KeyboardInterrupt, Terminated, OSError):
        last_words.append("Go on with: qianfan trainer resume --all")
        raise
    known = {facts["id"]: known_facts(facts) for facts in Trainer.list()}
    ends = [{**known[id], "error": _error_of(recovered.get(id))} for id in waiting if id in known]
    if json:
        print_json([{**end, "error": end["error"] and error_facts(end["error"])} for end in ends])
    elif not ends:
        console.print("No trainer waits for being gone on with.")
    else:
        console.print()
        print_table([{**for_people(end), "became": _became(end)} for end in ends], _COLUMNS_OF_ALL)
    if any(facts["needs_decision"] for facts in known.values()):
        last_words.append("Some need a decision: qianfan trainer decide")
    codes = {_code_of(end) for end in ends} - {Exit.OK}
    raise typer.Exit(codes.pop() if len(codes) == 1 else Exit.FAILED if codes else Exit.OK)


_COLUMNS_OF_ALL = {"id": "trainer", "train_type": "model", "status": "status", "became": "what became of it"}


def _error_of(trainer: Trainer | None) -> BaseException | None:
    if trainer is None:
        return InternalError("it cannot be gone on with; see the warnings above")
    result = trainer.result[0]
    return result.get("error") if result is not None else None


def _code_of(end: Mapping[str, Any]) -> Exit:
    if end["error"] is not None:
        return exit_code(end["error"])
    return Exit.OK if end["run_status"] in ("done", "open") else Exit.FAILED


def _became(end: Mapping[str, Any]) -> str:
    return " ".join(str(end["error"]).split()) if end["error"] is not None else str(end["run_status"])


class _Stopped(InternalError):
    """Somebody has stopped the run from outside."""


_HAVE_ENDED = (TrainJobFailedError, ModelPublishFailedError, ServiceDeployFailedError, OutcomeUnknownError, _Stopped)
"""What was ordered has ended badly or is given up, so only a new order leads further."""


def _way_back(trainer: Trainer, error: BaseException, on_interrupt: OnInterrupt) -> str | None:
    """What to do next, after an error or an interrupt. Asks nothing and nobody, so that leaving takes no time."""
    from qianfan import errors

    id = trainer.id
    if isinstance(error, errors.ForeignOwner):
        return f"If that process is gone for certain: qianfan trainer resume --trainer-id {id} --take-over"
    # Wrong input does not get right by trying again.
    if isinstance(error, errors.InvalidArgumentError) or not trainer.is_kept:
        return None
    if isinstance(error, (errors.OutcomeUnknownError, errors.IntentMismatch)) and not getattr(error, "decided", False):
        return f"Decide with: qianfan trainer decide --trainer-id {id}"
    is_over = isinstance(error, errors.QianfanError) and not isinstance(error, errors.ActionTimeoutError)
    if isinstance(error, errors.LeaseLost) or (trainer.is_driven_elsewhere and not is_over):
        return f"Watch it with: qianfan trainer watch --trainer-id {id}"
    if isinstance(error, _HAVE_ENDED):
        return f"Order anew what failed, which costs again, with: qianfan trainer resume --trainer-id {id} --resubmit"
    if not isinstance(error, errors.QianfanError) and on_interrupt is OnInterrupt.STOP:
        is_unfinished = trainer.is_running or trainer.info()["left_running"]
        return f"Finish the stop with: qianfan trainer stop --trainer-id {id}" if is_unfinished else None
    return f"Go on with: qianfan trainer resume --trainer-id {id}"


def document_of(trainer: Trainer, error: BaseException | None = None) -> dict[str, Any]:
    """A trainer, what it made, and what ended it, as JSON values."""
    made = {key: value for key, value in trainer.made_so_far.items() if key not in ("model", "service")}
    document = {**trainer.info(), "result": made}
    return document if error is None else {**document, "error": error_facts(error)}


def error_facts(error: BaseException) -> dict[str, Any]:
    """An error as JSON values."""
    return {"type": type(error).__name__.lstrip("_"), "message": str(error)}

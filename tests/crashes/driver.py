"""What the processes of these tests do: one verb, one trainer or many, and what happens as lines of JSON on stdout.

    python driver.py VERB ID-OR-PREFIX [--option …]

Where the platform is, and which crash point is armed, comes with the environment. An error ends it with 1, named in
the last line. Log lines are among the lines.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from qianfan import pipeline
from qianfan._sync import run_sync
from qianfan.config import default_settings
from qianfan.errors import ActionTimeoutError, QianfanError
from qianfan.journal import SqliteJournal
from qianfan.model import DeployConfig
from qianfan.pipeline import Event
from qianfan.trainer import LLMFinetune

MODEL = "ERNIE-Speed-8K"


def say(**facts: Any) -> None:
    """One line; whoever drives a test reads it at once. A thread's line is not torn by another's."""
    os.write(1, f"{json.dumps(facts, ensure_ascii=False, default=str)}\n".encode())


class _Said(logging.Handler):
    """Log lines among the others, so that a test can wait for one."""

    def emit(self, record: logging.LogRecord) -> None:
        say(log=record.getMessage())


def tell(event: Event) -> None:
    """The event handler of every trainer here."""
    say(event=event.sequence, cls=event.action_class.__name__, state=event.action_state.value, kind=event.kind)


def trainer_for(id: str, options: argparse.Namespace) -> LLMFinetune:
    """A trainer that is the same one, by id and parameters, in every process."""
    deploys = DeployConfig(service_type="Chat") if options.deploy else None
    return LLMFinetune(MODEL, options.dataset or 111, deploy_config=deploys, event_handler=tell, id=id)


def what_it_made(trainer: LLMFinetune) -> dict[str, Any]:
    """The ids in a result."""
    made = trainer.result[0] or {}
    names = ("job_id", "task_id", "model_set_id", "model_id", "service_id")
    return {name: made[name] for name in names if name in made}


# --- one run ---------------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> None:
    """Start a run, or whatever its id means by now, and stay with it."""
    trainer = trainer_for(options.id, options)
    if options.stop_at is not None:
        # A handler that asks for the end of its own run, as a person at a dashboard would.
        def stop(event: Event) -> None:
            if event.action_class.__name__ == "TrainAction" and event.action_state.value == options.stop_at:
                trainer.stop()

        trainer.register_event_handler(stop)
    trainer.run(take_over=options.take_over, on_interrupt=options.on_interrupt)
    say(result=what_it_made(trainer))


def resume(options: argparse.Namespace) -> None:
    """Go on with a run by its id alone."""
    trainer = LLMFinetune.load(options.id, event_handler=tell)
    trainer.resume(take_over=options.take_over, resubmit=options.resubmit)
    say(result=what_it_made(trainer))


def impatient(options: argparse.Namespace) -> None:
    """Start a run, and wait only for a moment where another program is writing to the journal."""

    async def go() -> None:
        trainer = trainer_for(options.id, options)
        path = Path(default_settings().cache_dir) / "journal.sqlite3"
        await pipeline.run(trainer.pipeline, journal=SqliteJournal(path, busy_seconds=0.2), run_id=options.id)

    run_sync(go)


def cancel(options: argparse.Namespace) -> None:
    say(result=LLMFinetune.cancel(options.id)["run_status"])


def decide(options: argparse.Namespace) -> None:
    if options.adopt is not None:
        LLMFinetune.decide(options.id, adopt=options.adopt)
    else:
        LLMFinetune.decide(options.id, resubmit=True)
    say(result="decided")


# --- many runs -------------------------------------------------------------------------------------------------------


def begin(options: argparse.Namespace) -> None:
    """Begin runs, and leave each at once, for others to go on with."""

    async def begin_all() -> None:
        for number in range(options.runs):
            with suppress(ActionTimeoutError):
                await trainer_for(f"{options.id}-{number}", options).arun(timeout=0)

    run_sync(begin_all)
    say(result=options.runs)


def save(options: argparse.Namespace) -> None:
    """Put runs into the journal, for others to begin."""

    async def put() -> None:
        for number in range(options.runs):
            await trainer_for(f"{options.id}-{number}", options).asave()

    run_sync(put)
    say(result=options.runs)


def recover(options: argparse.Namespace) -> None:
    """Go on with every run that nobody drives; with --every, look for more until killed."""
    run_sync(LLMFinetune.arecover, every=options.every, at_once=options.at_once)


def many(options: argparse.Namespace) -> None:
    """Run many side by side in this one process."""
    ends: dict[str, int] = {}

    async def one(id: str, limit: anyio.Semaphore) -> None:
        trainer = LLMFinetune(MODEL, 111, id=id)
        async with limit:
            try:
                await trainer.arun()
            except QianfanError as error:
                ends[type(error).__name__] = ends.get(type(error).__name__, 0) + 1
            else:
                ends["done"] = ends.get("done", 0) + 1

    async def all() -> None:
        limit = anyio.Semaphore(options.at_once)
        async with anyio.create_task_group() as group:
            for number in range(options.runs):
                group.start_soon(one, f"{options.id}-{number}", limit)

    run_sync(all)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    say(result=ends, kilobytes=peak)


# --- several processes and loops -------------------------------------------------------------------------------------


def fork(options: argparse.Namespace) -> None:
    """Drive a run, and fork meanwhile; the child drives a run of its own on the same file."""
    trainer = trainer_for(options.id, options)
    trainer.start()
    _until_there_is_a_task(trainer)
    if os.fork() == 0:
        child = trainer_for(f"{options.id}-of-the-child", options)
        child.start()
        _until_there_is_a_task(child)
        say(child=os.getpid())
        child.wait()
        say(end_of_child=what_it_made(child))
        os._exit(0)
    trainer.wait()
    say(result=what_it_made(trainer))


def _until_there_is_a_task(trainer: LLMFinetune) -> None:
    while trainer.info()["task_id"] is None:
        time.sleep(0.01)


def spawn(options: argparse.Namespace) -> None:
    """A run here and one in a spawned child, on one file."""
    child = multiprocessing.get_context("spawn").Process(target=_run_in_child, args=(f"{options.id}-of-the-child",))
    child.start()
    trainer = trainer_for(options.id, options)
    trainer.run()
    child.join()
    say(result=what_it_made(trainer), exit_of_child=child.exitcode)


def _run_in_child(id: str) -> None:
    LLMFinetune(MODEL, 111, id=id).run()


def loops(options: argparse.Namespace) -> None:
    """Event loops of two kinds, each on a thread, that share this process's journal, and one run besides their own."""

    def go(backend: str) -> None:
        async def both() -> None:
            mine, shared = trainer_for(f"{options.id}-{backend}", options), trainer_for(options.id, options)
            await mine.arun()
            await shared.arun()
            say(result=what_it_made(shared), loop=backend)

        anyio.run(both, backend=backend)

    threads = [threading.Thread(target=go, args=(backend,)) for backend in ("asyncio", "trio")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


_ALL = (run, resume, impatient, cancel, decide, begin, save, recover, many, fork, spawn, loops)
VERBS = {verb.__name__: verb for verb in _ALL}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("id")
    parser.add_argument("--dataset")
    parser.add_argument("--deploy", action="store_true")
    parser.add_argument("--take-over", action="store_true")
    parser.add_argument("--resubmit", action="store_true")
    parser.add_argument("--stop-at")
    parser.add_argument("--on-interrupt", default="detach")
    parser.add_argument("--adopt")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--every", type=float)
    parser.add_argument("--at-once", type=int, default=100)
    options = parser.parse_args(arguments)
    # A parent that ignores Ctrl-C or a closed terminal, as some shells and nohup do, hands that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    logging.getLogger("qianfan").addHandler(_Said())
    logging.getLogger("qianfan").setLevel(logging.INFO)
    say(begins=os.getpid())
    try:
        VERBS[options.verb](options)
    except QianfanError as error:
        say(error=type(error).__name__, message=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

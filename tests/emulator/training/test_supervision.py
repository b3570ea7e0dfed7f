"""Trainings that crash, fall silent or are stopped, and models that answer from processes of their own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError, TrainJobFailedError
from qianfan.model import Service
from qianfan.pipeline import Event
from qianfan.trainer import LLMFinetune
from tests.emulator.making import released
from tests.emulator.signing import Console

from .conftest import MODEL, ROWS, Trained, Workers, as_file, asked, client_of, deployed_on, described

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.name == "nt", reason="signals are others there")]

LONG: dict[str, Any] = {"epoch": 50, "peft_type": "ALL", "maxSeqLen": 8192}
"""A training that takes minutes."""

MANY = as_file([(f"{question} {number}", answer * 3) for number in range(30) for question, answer in ROWS])


class Watched:
    """A trainer in the background, and events to wait for."""

    def __init__(self, emulator: Emulator, dataset: str, **wishes: Any) -> None:
        self.waiting, self.running = anyio.Event(), anyio.Event()
        self.emulator = emulator
        config = {"train_config": LONG, **wishes}
        self.trainer = LLMFinetune(MODEL, dataset, event_handler=self._hear, client=client_of(emulator), **config)
        self.error: Exception | None = None

    async def _hear(self, event: Event) -> None:
        description = event.description or ""
        if "is Waiting" in description:
            self.waiting.set()
        if "is Running" in description:
            self.running.set()

    async def run(self) -> None:
        try:
            await self.trainer.arun()
        except TrainJobFailedError as error:
            self.error = error

    @property
    def state(self) -> str:
        return self.emulator.tasks[self.task_id].state

    @property
    def task_id(self) -> str:
        id: str = self.trainer.info()["task_id"]
        return id


@asynccontextmanager
async def long_training(workers: Workers, **options: Any) -> AsyncIterator[tuple[Emulator, str]]:
    """An emulator, and a dataset that takes long to learn. Whatever happens inside, no process is left."""
    before = workers()
    with Emulator(activate=False, **options) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, MANY)
        yield emulator, dataset
    assert workers() == before


async def while_it_runs(emulator: Emulator, dataset: str, do: Callable[[Watched], Awaitable[None]]) -> Watched:
    """Start a training, do something once it runs, and wait for its end."""
    watched = Watched(emulator, dataset)
    async with anyio.create_task_group() as group:
        group.start_soon(watched.run)
        await watched.running.wait()
        await do(watched)
    return watched


async def test_stopped_while_it_runs(workers: Workers) -> None:
    async with long_training(workers) as (emulator, dataset):

        async def stop(watched: Watched) -> None:
            await watched.trainer.astop()

        watched = await while_it_runs(emulator, dataset, stop)
        assert watched.state == "Stopped"


async def test_a_trainer_that_the_system_ends(workers: Workers) -> None:
    async with long_training(workers) as (emulator, dataset):
        before = workers()

        async def kill(watched: Watched) -> None:
            for process in workers() - before:
                os.kill(process, signal.SIGKILL)

        watched = await while_it_runs(emulator, dataset, kill)
        assert watched.state == "Failed"
        assert "the system ended the trainer (out of memory?)" in str(watched.error)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # it takes as long as the silence, and is the same on both
async def test_a_trainer_that_falls_silent(workers: Workers) -> None:
    async with long_training(workers, silence=6.0) as (emulator, dataset):
        before = workers()

        async def freeze(watched: Watched) -> None:
            for process in workers() - before:
                os.kill(process, signal.SIGSTOP)

        watched = await while_it_runs(emulator, dataset, freeze)
        assert watched.state == "Failed"
        assert "told nothing for 6 s" in str(watched.error)


async def test_one_at_a_time(workers: Workers) -> None:
    """The second one waits for its turn, and can be stopped before that."""
    before = workers()
    async with long_training(workers) as (emulator, dataset):
        first, second = Watched(emulator, dataset), Watched(emulator, dataset)
        async with anyio.create_task_group() as group:
            group.start_soon(first.run)
            await first.running.wait()
            group.start_soon(second.run)
            await second.waiting.wait()
            assert (first.state, second.state) == ("Running", "Waiting")
            assert len(workers() - before) == 1
            await second.trainer.astop()
            assert (first.state, second.state) == ("Running", "Stopped")
            await first.trainer.astop()
        assert not second.running.is_set()


async def test_two_at_once(workers: Workers) -> None:
    before = workers()
    async with long_training(workers, trainings_at_once=2) as (emulator, dataset):
        both = [Watched(emulator, dataset) for _ in range(2)]
        async with anyio.create_task_group() as group:
            for watched in both:
                group.start_soon(watched.run)
            for watched in both:
                await watched.running.wait()
            assert len(workers() - before) == 2
            for watched in both:
                await watched.trainer.astop()


async def test_starting_over(workers: Workers) -> None:
    """What is trained is ended, and what waited for its turn never gets it."""
    before = workers()
    async with long_training(workers) as (emulator, dataset):
        first, second = Watched(emulator, dataset), Watched(emulator, dataset)
        async with anyio.create_task_group() as group:
            group.start_soon(first.run)
            await first.running.wait()
            group.start_soon(second.run)
            await second.waiting.wait()
            [trainer] = workers() - before
            group.cancel_scope.cancel()
        emulator.reset()
        while trainer in workers():
            await anyio.lowlevel.checkpoint()
        assert list(emulator.tasks) == []
        await LLMFinetune(MODEL, 111, train_config={"epoch": 1}, client=client_of(emulator)).arun()
        [task] = emulator.tasks.values()
        assert task.state == "Done"


async def test_nothing_is_left_when_the_emulator_ends(workers: Workers) -> None:
    before = workers()
    async with long_training(workers) as (emulator, dataset), anyio.create_task_group() as group:
        watched = Watched(emulator, dataset)
        group.start_soon(watched.run)
        await watched.running.wait()
        assert len(workers() - before) == 1
        group.cancel_scope.cancel()


async def test_an_emulator_that_starts_again(workers: Workers, tmp_path: Path) -> None:
    """What was done is there, what was cut off has failed, what waited is trained."""
    async with long_training(workers, data_dir=tmp_path, trainings_at_once=1) as (emulator, dataset):
        async with Console(emulator) as console:
            short = await released(console, as_file(ROWS))
        done = await deployed_on(emulator, ROWS)
        before, curve = described(done), emulator.curve(described(done)["taskId"])
        cut_off, waits = Watched(emulator, dataset), Watched(emulator, short, train_config={"epoch": 1})
        async with anyio.create_task_group() as group:
            group.start_soon(cut_off.run)
            await cut_off.running.wait()
            group.start_soon(waits.run)
            await waits.waiting.wait()
            group.cancel_scope.cancel()
        ids = [watched.task_id for watched in (cut_off, waits)]
        endpoint = done.result[0]["service_endpoint"]
    keys = {name: emulator.settings[name.upper()] for name in ("access_key", "secret_key")}
    with Emulator(activate=False, data_dir=tmp_path, **keys) as again:
        assert again.tasks[ids[0]].state == "Failed"
        assert again.tasks[ids[0]].reason == "the emulator ended while it was trained"
        assert (again.tasks[before["taskId"]].state, again.curve(before["taskId"])) == ("Done", curve)
        trainer = LLMFinetune.attach(task_id=ids[1], client=client_of(again))
        await trainer.arun()
        assert again.tasks[ids[1]].state == "Done"
        answer = await Service(endpoint=endpoint, client=client_of(again)).aexec(asked(ROWS[0][0]))
        assert answer["result"] == ROWS[0][1]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_looks_on_takes_nothing_away() -> None:
    """Looks from other threads, from the moment the task exists, see what is trained and nothing else."""
    over = threading.Event()
    with Emulator(activate=False, trainings_at_once=2) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))

        def look_on() -> None:
            while not over.is_set():
                for task in emulator.tasks:
                    emulator.curve(task)

        threads = [threading.Thread(target=look_on) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                config = {"epoch": 1, "peft_type": "ALL"}
                await LLMFinetune(MODEL, dataset, train_config=config, client=client_of(emulator)).arun()
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert all(emulator.curve(task).training for task in emulator.tasks)


async def test_a_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task fails, and says what to install."""
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Emulator(activate=False) as emulator:
        async with Console(emulator) as console:
            dataset = await released(console, as_file(ROWS))
        with pytest.raises(TrainJobFailedError, match=r"needs numpy\. pip install 'qianfan\[emulator\]'"):
            await LLMFinetune(MODEL, dataset, client=client_of(emulator)).arun()


# --- models that answer ----------------------------------------------------------------------------------------------


async def test_a_model_whose_process_ends_is_started_again(trained: Trained, workers: Workers) -> None:
    await trained.service.aexec(asked(ROWS[0][0]))
    first = workers()
    assert first, "it has one"
    for process in first:
        os.kill(process, signal.SIGKILL)
    answer = None
    while answer is None:
        with suppress(APIError):  # it was asked before its end was noticed
            answer = await trained.service.aexec(asked(ROWS[0][0]))
    assert answer["result"] == ROWS[0][1]
    assert not workers() & first


async def test_a_stream_that_nobody_reads_to_its_end(trained: Trained) -> None:
    stream = await trained.service.aexec(asked(ROWS[0][0]), stream=True)
    async for piece in stream:
        assert piece["result"]
        break
    await stream.aclose()
    assert (await trained.service.aexec(asked(ROWS[1][0])))["result"] == ROWS[1][1]


async def test_many_questions_at_once(trained: Trained) -> None:
    answers: dict[str, str] = {}

    async def ask(question: str) -> None:
        answers[question] = (await trained.service.aexec(asked(question)))["result"]

    async with anyio.create_task_group() as group:
        for question, _ in ROWS[:20]:
            group.start_soon(ask, question)
    assert sum(answers[question] == answer for question, answer in ROWS[:20]) >= 18


async def test_an_idle_model_leaves_memory(workers: Workers) -> None:
    before = workers()
    with Emulator(activate=False, idle=0.2) as emulator:
        service = (await deployed_on(emulator, ROWS)).result[0]["service"]
        for _ in range(2):
            assert (await service.aexec(asked(ROWS[0][0])))["result"] == ROWS[0][1]
            while workers() - before:
                await anyio.lowlevel.checkpoint()

"""Work that asks models in bulk: beside all other calls, again after an interruption, gone with the account."""

from __future__ import annotations

import json
import threading
from datetime import datetime
from pathlib import Path

import pytest

from qianfan._bell import Bell
from qianfan._clock import SYSTEM_CLOCK
from qianfan.emulator import Emulator
from qianfan.emulator.marking import Referee, Rules, effect
from qianfan.resources import BosPath, Platform
from tests.support.emulated import SAMPLE, new_job, new_task

pytestmark = pytest.mark.anyio

CONFIG = {"evalMode": "rule", "scoreModes": ["similarity"]}


class Held:
    """A clock that the test moves, on which every answer of a model waits until it is let go."""

    def __init__(self) -> None:
        self.passed = 0.0
        self._guard = threading.Lock()
        self._bells: list[Bell] | None = []

    def monotonic(self) -> float:
        return self.passed

    def wall(self) -> datetime:
        return SYSTEM_CLOCK.wall()

    async def sleep(self, seconds: float) -> None:
        bell = Bell()
        with self._guard:
            if self._bells is None:
                return
            self._bells.append(bell)
        await bell.wait()

    def let_go(self) -> None:
        with self._guard:
            bells, self._bells = self._bells or [], None
        for bell in bells:
            bell.ring()


async def ordered(clock: Held, name: str = "a_job") -> tuple[str, str]:
    """An evaluation and a batch inference that could be over but for their answers."""
    platform = Platform()
    job = await new_job(platform, name)
    task = await new_task(platform, job)
    clock.passed += 1000
    made = await platform.models.publish(job_id=job, task_id=task, name=f"{name}_model")
    clock.passed += 1000
    versions = [{"modelId": made.set_id, "modelVersionId": made.version_id}]
    evaluation = await platform.evaluations.create(name="e", versions=versions, dataset_id=SAMPLE, config=CONFIG)
    rows = [{"id": str(number), "query": "Define an epoch."} for number in range(3)]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    await platform.bos.put_bytes(content.encode(), BosPath("my-bucket", "in/rows.jsonl"))
    batch = await platform.batch_inference.create(
        name="b", input_bos_uri="bos:/my-bucket/in/", output_bos_uri="bos:/my-bucket/out", model_id=made.version_id
    )
    clock.passed += 1000
    return evaluation.evaluation_id, batch.task_id


async def states(evaluation: str, batch: str) -> tuple[str, str]:
    platform = Platform()
    detail, task = await platform.evaluations.detail(evaluation), await platform.batch_inference.describe(batch)
    return str(detail.state.value), str(task.run_status.value)  # type: ignore[union-attr]


async def test_other_calls_are_answered_meanwhile() -> None:
    clock = Held()
    with Emulator(pace=10, engine="scripted", clock=clock) as emulator:
        ids = await ordered(clock)
        assert await states(*ids) == ("Doing", "Running")
        assert (await Platform().data.info(111)).entity_count > 0
        clock.let_go()
        for id in ids:
            await emulator._account.inquiries.until_over(id)
        assert await states(*ids) == ("Done", "Done")


async def test_what_was_cut_off_begins_again(tmp_path: Path) -> None:
    clock = Held()
    with Emulator(pace=10, engine="scripted", clock=clock, data_dir=tmp_path):
        ids = await ordered(clock)
    clock.let_go()
    with Emulator(pace=10, engine="scripted", clock=clock, data_dir=tmp_path) as emulator:
        clock.passed += 1000
        for id in ids:
            await emulator._account.inquiries.until_over(id)
        assert await states(*ids) == ("Done", "Done")
        answers = emulator.evaluations[ids[0]].answers
        assert answers is not None
    with Emulator(pace=10, engine="scripted", clock=clock, data_dir=tmp_path):
        assert await states(*ids) == ("Done", "Done")
        page = await Platform().evaluations.results(ids[0], page_size=1)
        assert page.items[0].prediction == page.items[0].completion
        [report] = await Platform().evaluations.report(ids[0])
        assert report.effect_metric.bleu4 == 1.0


async def test_stopping_and_forgetting_end_the_work() -> None:
    clock = Held()
    with Emulator(pace=10, engine="scripted", clock=clock) as emulator:
        evaluation, batch = await ordered(clock)
        assert (await Platform().evaluations.cancel(evaluation)).result is True
        assert await Platform().batch_inference.stop(batch) is True
        inquiries = emulator._account.inquiries
        for id in (evaluation, batch):
            await inquiries.until_over(id)
        assert await states(evaluation, batch) == ("Stopped", "Stopped")
        again = await ordered(clock, "other_job")
        emulator.reset()
        for id in again:
            await inquiries.until_over(id)
        assert not any(inquiries.is_under_way(id) for id in again)
        assert (emulator.evaluations, emulator.batches) == ({}, {})


# --- marks -----------------------------------------------------------------------------------------------------------


def test_marks_by_rule() -> None:
    rules = Rules(similarity=True, accuracy=True)
    same = rules.marks("a b c d", "a b c d")
    assert same == dict.fromkeys(("bleu4", "rouge_1", "rouge_2", "rouge_l", "accuracy", "f1"), 1.0)
    half = rules.marks("a b c d", "a b x y")
    assert (half["rouge_1"], half["accuracy"], half["f1"], half["bleu4"]) == (0.5, 0.0, 0.5, 0.0)
    assert rules.marks("", "x") == {}
    assert Rules(similarity=False, accuracy=True).marks("a", "b") == {"accuracy": 0.0, "f1": 0.0}


def test_a_referee_that_is_none() -> None:
    referee = Referee(0, 5)
    assert [referee.mark(*pair)[0] for pair in (("a b", "a b"), ("a b", "a c"), ("a", "x"), ("", "x"), ("a", ""))] == [
        5, 2, 0, 2, 0
    ]  # fmt: skip
    assert all("simulated" in referee.mark(*pair)[1] for pair in (("a", "a"), ("", "x"), ("a", "")))
    rows = [{"completion": "a", "prediction": "a", "judgeScore": score} for score in (1, 3)]
    told = effect([*rows, {"completion": "a", "prediction": ""}], None, referee)
    assert (told["avgJudgeScore"], told["medianJudgeScore"], told["stdJudgeScore"]) == (2, 2, 1)
    assert told["scoreDistribution"] == {"-1": 1, "0": 0, "1": 1, "2": 0, "3": 1, "4": 0, "5": 0}

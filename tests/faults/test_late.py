"""Row 12 with hours to spare: requests that take effect long after they were given up.

Whether that doubles anything is up to the platform then. What it must hold to, and what happens where it does not, is
said here.
"""

from __future__ import annotations

import pytest

from qianfan.emulator import Emulator
from qianfan.emulator.late import Late
from qianfan.errors import OutcomeUnknownError
from qianfan.trainer import LLMFinetune
from tests.faults.support import (
    CREATE,
    KINDS,
    LOOK,
    ONE_OF_EACH,
    EventfulClock,
    Heard,
    client_for,
    facts_of,
    made,
    new_trainer,
    orders,
    require_one_of_each,
    trained_by,
)

pytestmark = pytest.mark.anyio

every_kind = pytest.mark.parametrize("kind", KINDS)

INSIDE, BEYOND = 60.0, 600.0
"""Seconds, and 120 of them an order is looked for."""


async def after_the_late_one(emulator: Emulator, clock: EventfulClock) -> Late:
    """Wait until the late request has happened, and what came of it."""
    await clock.sleep(BEYOND)
    [late] = emulator.late
    return late


@every_kind
async def test_12_within_the_time_it_is_found(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    heard = Heard()
    emulator.faults.add(CREATE[kind], late=INSIDE)
    trainer = await new_trainer(client_for(clock), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert heard.of("adopted") == [{kind: trained_by(trainer)[kind]}]
    assert (await after_the_late_one(emulator, clock)).id == trained_by(trainer)[kind]


@pytest.mark.parametrize("kind", ["job", "model", "service"])
async def test_12_beyond_it_the_platform_refuses_the_second(
    kind: str, emulator: Emulator, clock: EventfulClock
) -> None:
    """Jobs of one name, models of one training, and, if it holds to that, services of one name."""
    emulator.quirks.unique_service_names = True
    emulator.faults.add(CREATE[kind], late=BEYOND)
    trainer = await new_trainer(client_for(clock, submit_on_absent="resubmit")).arun()
    late = await after_the_late_one(emulator, clock)
    assert (late.error != "", late.id) == (True, "")
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == {**ONE_OF_EACH, kind: 2}


@pytest.mark.parametrize("kind", ["task", "service"])
async def test_12_beyond_it_a_held_order_is_not_sent_again(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """Whoever decides has seen it by then."""
    emulator.faults.add(CREATE[kind], late=BEYOND)
    trainer, heard = new_trainer(client_for(clock)), Heard()
    with pytest.raises(OutcomeUnknownError):
        await trainer.arun()
    assert (await facts_of(trainer))["run_status"] == "held"
    late = await after_the_late_one(emulator, clock)
    assert late.error == ""
    trainer.register_event_handler(heard)
    await LLMFinetune.adecide(trainer.id, adopt=late.id, client=trainer._client)
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert trained_by(trainer)[kind] == late.id
    assert heard.of("adopted") == []


@pytest.mark.parametrize("kind", ["task", "service"])
async def test_12_where_nothing_refuses_it_resubmitting_doubles(
    kind: str, emulator: Emulator, clock: EventfulClock
) -> None:
    """Which is why that is a person's choice, and why the time to look must be longer than a request can live."""
    emulator.faults.add(CREATE[kind], late=BEYOND)
    trainer = await new_trainer(client_for(clock, submit_on_absent="resubmit")).arun()
    late = await after_the_late_one(emulator, clock)
    assert (late.error, late.id != trained_by(trainer)[kind]) == ("", True)
    require_one_of_each(emulator, trainer, **{kind: 2})


# --- the fence -------------------------------------------------------------------------------------------------------


async def test_12_the_fence_rejects_it(emulator: Emulator, clock: EventfulClock) -> None:
    heard = Heard()
    emulator.faults.add(CREATE["task"], late=BEYOND)
    trainer = await new_trainer(client_for(clock, submit_on_absent="fence"), heard).arun()
    late = await after_the_late_one(emulator, clock)
    assert (late.error != "", late.id) == (True, "")
    require_one_of_each(emulator, trainer, job=2)
    assert (len(emulator.jobs), len(emulator.tasks)) == (1, 1)
    assert len(heard.of("fenced")) == 1


async def test_12_unless_a_deleted_job_takes_tasks(emulator: Emulator, clock: EventfulClock) -> None:
    """The fence relies on that: on a platform that does otherwise two tasks live, as with resubmitting."""
    emulator.quirks.task_in_deleted_job = True
    emulator.faults.add(CREATE["task"], late=BEYOND)
    trainer = await new_trainer(client_for(clock, submit_on_absent="fence")).arun()
    late = await after_the_late_one(emulator, clock)
    assert late.error == ""
    require_one_of_each(emulator, trainer, job=2, task=2)
    assert set(emulator.tasks) == {late.id, trainer.result[0]["task_id"]}


async def test_12_a_job_with_a_task_cannot_be_deleted(emulator: Emulator, clock: EventfulClock) -> None:
    """So a task that a lagging list does not show is noticed, and waited for."""
    heard = Heard()
    emulator.quirks.listing_lag = 200.0
    emulator.faults.add(CREATE["task"], drop="after")
    trainer = await new_trainer(client_for(clock, submit_on_absent="fence"), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert heard.of("adopted") == [{"task": trainer.result[0]["task_id"]}]
    assert heard.of("fenced") == []
    assert emulator.count("DeleteFineTuningJob") == 1


async def test_12_a_task_that_does_not_show_for_long_is_for_a_person(emulator: Emulator, clock: EventfulClock) -> None:
    """It is there, or its job could be deleted; so nothing else is ordered. It may also show itself in the end."""
    emulator.quirks.listing_lag = 3600.0
    emulator.faults.add(CREATE["task"], drop="after")
    trainer = new_trainer(client_for(clock, submit_on_absent="fence"))
    with pytest.raises(OutcomeUnknownError, match="can neither be deleted nor shows it"):
        await trainer.arun()
    assert (await facts_of(trainer))["run_status"] == "held"
    await clock.sleep(3600)
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH


async def test_12_where_deleting_takes_the_tasks_one_lives(emulator: Emulator, clock: EventfulClock) -> None:
    """A task that the list does not show yet goes with its job: two were begun, and one goes on."""
    heard = Heard()
    emulator.quirks.job_delete_takes_tasks = True
    emulator.quirks.listing_lag = 200.0
    emulator.faults.add(CREATE["task"], drop="after")
    trainer = await new_trainer(client_for(clock, submit_on_absent="fence"), heard).arun()
    require_one_of_each(emulator, trainer, job=2, task=2)
    assert list(emulator.tasks) == [trainer.result[0]["task_id"]]
    assert len(heard.of("fenced")) == 1


async def test_12_where_deleting_takes_the_tasks_a_late_one_is_rejected(
    emulator: Emulator, clock: EventfulClock
) -> None:
    emulator.quirks.job_delete_takes_tasks = True
    emulator.faults.add(CREATE["task"], late=BEYOND)
    trainer = await new_trainer(client_for(clock, submit_on_absent="fence")).arun()
    late = await after_the_late_one(emulator, clock)
    assert (late.error != "", late.id) == (True, "")
    require_one_of_each(emulator, trainer, job=2)


async def test_12_what_is_lost_every_time_is_for_a_person(emulator: Emulator, clock: EventfulClock) -> None:
    """Three generations, each with a job of its own, all but the last of which are gone again."""
    heard = Heard()
    fault = emulator.faults.add(CREATE["task"], times=None, drop="before")
    trainer = new_trainer(client_for(clock, submit_on_absent="fence"), heard)
    with pytest.raises(OutcomeUnknownError, match="lost in 3 generations"):
        await trainer.arun()
    assert orders(emulator) == {"job": 3, "task": 3, "model": 0, "service": 0}
    assert (len(emulator.jobs), emulator.made("task")) == (1, 0)
    assert [data["gen"] for data in heard.of("fenced")] == [1, 2]
    emulator.faults.remove(fault)
    await LLMFinetune.adecide(trainer.id, resubmit=True, client=trainer._client)
    await trainer.aresume()
    require_one_of_each(emulator, trainer, job=3)


async def test_12_a_fence_through_troubles(emulator: Emulator, clock: EventfulClock) -> None:
    """Looks and deletions that fail prove nothing and are repeated; the deletion's own effect is recognised."""
    heard = Heard()
    emulator.faults.add(CREATE["task"], late=BEYOND)
    emulator.faults.add(LOOK["task"], times=5, status=503)
    emulator.faults.add("DeleteFineTuningJob", times=5, status=502)
    emulator.faults.add("DeleteFineTuningJob", drop="after")
    emulator.faults.add(CREATE["job"], nth=2, drop="after")
    trainer = await new_trainer(client_for(clock, submit_on_absent="fence"), heard).arun()
    assert (await after_the_late_one(emulator, clock)).error != ""
    require_one_of_each(emulator, trainer, job=2)
    assert (len(emulator.jobs), len(emulator.tasks)) == (1, 1)
    assert made(emulator)["task"] == 1
    assert [data["gen"] for data in heard.of("fenced")] == [1]

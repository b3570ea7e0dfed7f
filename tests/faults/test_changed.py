"""Row 25: between a crash and the resume the code, the parameters or the data have become others. Nothing is sent."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from qianfan.emulator import Emulator
from qianfan.errors import APIError, IntentMismatch, InvalidArgumentError, PipelineChanged, RequestError
from qianfan.journal import SqliteJournal
from qianfan.pipeline import Action, Context, Mark, Pipeline, Purchase, Receipt, start
from qianfan.trainer import DeployConfig, LLMFinetune
from tests.faults.support import (
    CREATE,
    MODEL,
    ONE_OF_EACH,
    EventfulClock,
    client_for,
    facts_of,
    made,
    new_trainer,
    orders,
    require_one_of_each,
    rows_file,
)

pytestmark = pytest.mark.anyio

POINTS = [CREATE["job"], CREATE["task"], "DescribeFineTuningTask", CREATE["model"], CREATE["service"]]


async def interrupted(emulator: Emulator, clock: EventfulClock, at: str, **settings: Any) -> LLMFinetune:
    """A run that was interrupted at a call, which is answered normally from now on."""
    fault = emulator.faults.add(at, times=None, status=403, code="InvalidAccessKeyId", message="no")
    trainer = new_trainer(client_for(clock), id="nightly", **settings)
    with pytest.raises(APIError, match="InvalidAccessKeyId"):
        await trainer.arun()
    emulator.faults.remove(fault)
    return trainer


# --- parameters ------------------------------------------------------------------------------------------------------


OTHERS: dict[str, dict[str, Any]] = {
    "hyper-parameters": {"train_config": {"epoch": 2}},
    "model": {"train_type": "ERNIE-Lite-8K"},
    "dataset": {"dataset": 112},
    "split": {"eval_split_ratio": 5},
    "deployment": {"deploy_config": DeployConfig(service_type="Chat", replicas=2)},
    "without a step": {"deploy_config": None},
    "extras": {"train_extras": {"new": 1}},
    "name": {"name": "other"},
}


@pytest.mark.parametrize("other", OTHERS)
async def test_25_other_parameters(other: str, emulator: Emulator, clock: EventfulClock) -> None:
    """Whoever gave a run an id means that run; to begin another one takes another id, or force."""
    first = await interrupted(emulator, clock, "DescribeFineTuningTask")
    before, sent = orders(emulator), len(emulator.requests)
    usual = {"train_type": MODEL, "dataset": 111, "deploy_config": DeployConfig(service_type="Chat")}
    changed = LLMFinetune(**{**usual, **OTHERS[other]}, id="nightly", client=client_for(clock))
    for ask in (changed.arun, changed.aresume, lambda: changed.aresume(resubmit=True)):
        with pytest.raises(PipelineChanged, match="began with other actions or parameters"):
            await ask()
    assert (orders(emulator), len(emulator.requests)) == (before, sent)
    assert (await facts_of(first))["run_status"] == "open"
    await first.aresume()
    require_one_of_each(emulator, first)
    assert orders(emulator) == ONE_OF_EACH | {"task": 1}


@pytest.mark.parametrize("at", POINTS)
async def test_25_wherever_it_was_interrupted(at: str, emulator: Emulator, clock: EventfulClock) -> None:
    first = await interrupted(emulator, clock, at)
    sent, things = len(emulator.requests), made(emulator)
    with pytest.raises(PipelineChanged):
        await new_trainer(client_for(clock), id="nightly", train_config={"epoch": 2}).aresume()
    assert (len(emulator.requests), made(emulator)) == (sent, things)
    await first.aresume()
    require_one_of_each(emulator, first)


async def test_25_a_run_that_is_over(emulator: Emulator, clock: EventfulClock) -> None:
    """Its result is not given for other parameters; the same ones get it without a request."""
    first = await new_trainer(client_for(clock), id="nightly").arun()
    sent = len(emulator.requests)
    with pytest.raises(PipelineChanged):
        await new_trainer(client_for(clock), id="nightly", train_config={"epoch": 2}).arun()
    again = await new_trainer(client_for(clock), id="nightly").arun()
    assert again.result[0]["task_id"] == first.result[0]["task_id"]
    assert len(emulator.requests) == sent


async def test_25_force_begins_anew_on_purpose(emulator: Emulator, clock: EventfulClock) -> None:
    await interrupted(emulator, clock, "DescribeFineTuningTask")
    changed = new_trainer(client_for(clock), id="nightly", train_config={"epoch": 2})
    await changed.arun(force=True)
    assert made(emulator) == {"job": 2, "task": 2, "model": 1, "service": 1}
    assert (await facts_of(changed))["run_status"] == "done"


# --- data ------------------------------------------------------------------------------------------------------------


async def test_25_a_local_file_with_another_content(emulator: Emulator, clock: EventfulClock, tmp_path: Path) -> None:
    """The same name is not the same data."""
    path = rows_file(tmp_path / "rows.jsonl")
    first = await interrupted(emulator, clock, "dataset/create", dataset=path)
    rows_file(path, text="other question")
    sent = len(emulator.requests)
    loaded = await LLMFinetune.aload(first.id, client=client_for(clock))
    with pytest.raises(InvalidArgumentError, match="has changed since this run began"):
        await loaded.aresume()
    # What is asked for before an upload tells only what the platform can train.
    assert {request.name for request in emulator.requests[sent:]} <= {"DescribeFineTuningSupportModels"}
    assert (emulator.made("dataset"), sum(orders(emulator).values())) == (0, 0)
    rows_file(path)
    await loaded.aresume()
    require_one_of_each(emulator, loaded)
    assert (emulator.made("dataset"), orders(emulator)) == (1, ONE_OF_EACH)


async def test_25_a_local_file_that_is_gone(emulator: Emulator, clock: EventfulClock, tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows.jsonl")
    first = await interrupted(emulator, clock, "dataset/create", dataset=path)
    path.unlink()
    sent = len(emulator.requests)
    loaded = await LLMFinetune.aload(first.id, client=client_for(clock))
    with pytest.raises(InvalidArgumentError, match=r"rows\.jsonl"):
        await loaded.aresume()
    assert len(emulator.requests) == sent


# --- code ------------------------------------------------------------------------------------------------------------


class Shop:
    """Something to order from. sent: the content of every order; lost: whether their answers are."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.things: list[str] = []
        self.looks = 0
        self.lost = True
        self.numbers = itertools.count(1)

    async def create(self, request: Mapping[str, Any]) -> Receipt:
        self.sent.append(request["colour"])
        if self.lost:
            raise RequestError("the connection broke", retryable=True)
        self.things.append(f"thing-{next(self.numbers)}")
        return Receipt(self.things[-1])

    async def find(self, mark: Mark) -> list[Receipt]:
        self.looks += 1
        return [Receipt(id) for id in self.things]


class Thing(BaseModel):
    id: str


class Buy(Action[Thing]):
    """An action whose order is what its code says."""

    size: int = 1
    colour: ClassVar[str] = "red"

    async def run(self, ctx: Context) -> Thing:
        shop: Shop = ctx.client
        made = await ctx.purchases.ensure(
            Purchase("thing", lambda mark: {"colour": self.colour}, shop.create, shop.find, paid=True)
        )
        return Thing(id=made.id)


class BuyBetter(Buy):
    """The same action in a later release, whose author said so."""

    version: ClassVar[int] = 2


class BuyBlue(Buy):
    """The same action in a later release, whose author did not."""

    colour: ClassVar[str] = "blue"


for later in (BuyBetter, BuyBlue):
    later.__name__ = later.__qualname__ = "Buy"


@pytest.fixture
async def journal(tmp_path: Path) -> Any:
    journal = SqliteJournal(tmp_path / "journal.sqlite3")
    yield journal
    journal.close()


async def go(journal: SqliteJournal, shop: Shop, clock: EventfulClock, *actions: Action[Any]) -> Any:
    async with start(
        Pipeline(actions, id="all"), journal=journal, run_id="nightly", client=shop, clock=clock
    ) as flight:
        pass
    return flight.output


async def lost_order(journal: SqliteJournal, clock: EventfulClock) -> Shop:
    """A shop with which a run has an order of unknown fate."""
    shop = Shop()
    with pytest.raises(Exception, match="got no clear answer"):
        await go(journal, shop, clock, Buy(id="buy"))
    assert (shop.sent, shop.looks > 0) == (["red"], True)
    return shop


CHANGED = {
    "a later version": [BuyBetter(id="buy")],
    "a parameter": [Buy(id="buy", size=2)],
    "another action": [Buy(id="buy"), Buy(id="more")],
    "another id": [Buy(id="sell")],
    "nothing at all": [],
}


@pytest.mark.parametrize("actions", CHANGED.values(), ids=CHANGED)
async def test_25_changed_code(actions: Any, journal: SqliteJournal, clock: EventfulClock) -> None:
    """No order, and no look either."""
    shop = await lost_order(journal, clock)
    shop.lost, looks = False, shop.looks
    with pytest.raises(PipelineChanged, match="began with other actions or parameters"):
        await go(journal, shop, clock, *actions)
    assert (shop.sent, shop.looks) == (["red"], looks)
    shop.things.append("thing-0")
    made = await go(journal, shop, clock, Buy(id="buy"))
    assert made["buy"].id == "thing-0"
    assert shop.sent == ["red"]


async def test_25_code_that_changed_without_saying_so(journal: SqliteJournal, clock: EventfulClock) -> None:
    """The order itself tells: one of unknown fate is not repeated with another content."""
    shop = await lost_order(journal, clock)
    shop.lost, looks = False, shop.looks
    for _ in range(2):
        with pytest.raises(IntentMismatch, match="its content was another one then") as mismatch:
            await go(journal, shop, clock, BuyBlue(id="buy"))
        assert mismatch.value.node == "buy.thing"
    assert (shop.sent, shop.looks) == (["red"], looks)
    await journal.decide(["nightly"], resubmit=True)
    made = await go(journal, shop, clock, BuyBlue(id="buy"))
    assert (made["buy"].id, shop.sent) == ("thing-1", ["red", "blue"])


async def test_25_what_is_certain_stands_whatever_the_code_says(journal: SqliteJournal, clock: EventfulClock) -> None:
    """An order that was accepted is not held against its content."""
    shop = await lost_order(journal, clock)
    await journal.decide(["nightly"], adopt="thing-7")
    made = await go(journal, shop, clock, BuyBlue(id="buy"))
    assert (made["buy"].id, shop.sent) == ("thing-7", ["red"])

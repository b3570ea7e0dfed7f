"""A small shop without idempotency keys, and the desk that orders from it: all that the rules of purchases need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qianfan.errors import JournalError, QianfanError, RequestError
from qianfan.pipeline import Fenced, Mark, Phase, Purchase, Purchases, Receipt, Row, RunRecord, RunStatus, Terms
from tests.support.clock import JumpClock

RUN, ACTION = "run-1", "buy"
THING, BOX = f"{ACTION}.thing", f"{ACTION}.box"


@dataclass(frozen=True)
class Answer:
    """What becomes of an order.

    error: in place of the answer. makes: how many things it makes. after: seconds until they show up.
    """

    error: Exception | None = None
    makes: int = 1
    after: float = 0.0


def without_effect(error: Exception) -> Answer:
    """The order makes nothing, and the client sees an error."""
    return Answer(error, makes=0)


def lost(error: Exception | None = None, *, after: float = 0.0, makes: int = 1) -> Answer:
    """The order makes something, and the client does not hear of it."""
    return Answer(error or RequestError("the connection broke"), makes, after)


@dataclass
class Thing:
    """Something that was ordered."""

    id: str
    token: str
    box: str
    shows_at: float


class Record(RunRecord):
    """A record that may refuse to be written. refusals: errors of the writes to come, by the phase they bring."""

    def __init__(self, rows: Mapping[str, Row] | None = None) -> None:
        super().__init__(rows)
        self.refusals: dict[Phase, list[JournalError]] = {}

    async def write(self, changes: Mapping[str, Row], *_: Any, **__: Any) -> None:
        for row in changes.values():
            if self.refusals.get(row.phase):
                raise self.refusals[row.phase].pop(0)
        await super().write(changes)


@dataclass
class Shop:
    """Sells things, in boxes. It makes what it is asked for, once and at once, unless `answers` say otherwise.

    answers: what becomes of the next orders. trouble, box_trouble: errors of the next looks, and of the next attempts
    to throw away a box. sent: what was ordered. looks: when it was looked for. things, boxes: what there is.
    """

    clock: JumpClock
    answers: list[Answer] = field(default_factory=list[Answer])
    trouble: list[QianfanError] = field(default_factory=list[QianfanError])
    box_trouble: list[QianfanError] = field(default_factory=list[QianfanError])
    sent: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    looks: list[float] = field(default_factory=list[float])
    marks: list[Mark] = field(default_factory=list[Mark])
    things: list[Thing] = field(default_factory=list[Thing])
    boxes: list[str] = field(default_factory=list[str])
    thrown_away: list[str] = field(default_factory=list[str])

    def stock(self, token: str, *, box: str = "", shows_in: float = 0.0) -> str:
        """Put a thing there; gives its id."""
        thing = Thing(f"t{len(self.things) + 1}", token, box, self.clock.monotonic() + shows_in)
        self.things.append(thing)
        return thing.id

    async def create(self, request: Mapping[str, Any]) -> Receipt:
        self.sent.append({**request})
        answer = self.answers.pop(0) if self.answers else Answer()
        made = [
            self.stock(request["token"], box=request["box"], shows_in=answer.after)
            for _ in range(answer.makes)
            if request["box"] not in self.thrown_away
        ]
        if answer.error is not None:
            raise answer.error
        return Receipt(made[0], {"color": "red"})

    async def find(self, mark: Mark) -> list[Receipt]:
        self.looks.append(self.clock.monotonic())
        self.marks.append(mark)
        if self.trouble:
            raise self.trouble.pop(0)
        now = self.clock.monotonic()
        return [Receipt(thing.id) for thing in self.things if thing.token == mark.token and thing.shows_at <= now]

    async def new_box(self, request: Mapping[str, Any]) -> Receipt:
        self.boxes.append(f"b{len(self.boxes) + 1}")
        return Receipt(self.boxes[-1])

    async def no_box(self, mark: Mark) -> list[Receipt]:
        return []

    async def throw_away(self, box: str) -> bool:
        """Whether the box is gone; it is not while there is something in it, seen or not."""
        if self.box_trouble:
            raise self.box_trouble.pop(0)
        if any(thing.box == box for thing in self.things):
            return False
        self.thrown_away.append(box)
        return True

    def thing(self, *, paid: bool = True, box: str = "", **facts: Any) -> Purchase:
        """An order of a thing. facts: more of its content; parts of the purchase go by their own names."""
        parts = {name: facts.pop(name) for name in ("before", "exists_already", "look_for") if name in facts}
        return Purchase(
            "thing",
            lambda mark: {"token": mark.token, "box": box, **facts},
            self.create,
            self.find,
            paid=paid,
            container="box" if box else None,
            retire=self.throw_away,
            **parts,
        )

    def box(self) -> Purchase:
        return Purchase("box", lambda mark: {"token": mark.token}, self.new_box, self.no_box)


@dataclass
class Desk:
    """One process's view of an action's orders.

    told: events as (kind, data), statuses: of the run, written: phases of the thing's row; all in their order.
    """

    shop: Shop
    record: Record = field(default_factory=Record)
    terms: Terms = field(default_factory=Terms)
    told: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    statuses: list[RunStatus] = field(default_factory=list[RunStatus])
    written: list[Phase] = field(default_factory=list[Phase])

    def __post_init__(self) -> None:
        self.purchases = Purchases(
            self.record, self.change, run_id=RUN, action_id=ACTION, clock=self.shop.clock, terms=self.terms
        )

    async def change(
        self,
        changes: Mapping[str, Row],
        description: str = "",
        data: Any = None,
        *,
        kind: str = "",
        status: RunStatus | None = None,
    ) -> None:
        await self.record.write(changes)
        if THING in changes:
            self.written.append(changes[THING].phase)
        if description:
            self.told.append((kind, data))
        if status is not None:
            self.statuses.append(status)

    @property
    def row(self) -> Row:
        return self.record.rows[THING]

    def after_a_crash(self, **changes: Any) -> Desk:
        """The desk of the next process, which has nothing but the rows."""
        return Desk(self.shop, Record(self.record.rows), **{"terms": self.terms, **changes})

    async def buy(self, **order: Any) -> Receipt:
        """Order a thing."""
        return await self.purchases.ensure(self.shop.thing(**order))

    async def buy_in_a_box(self) -> Receipt:
        """Order a box and a thing in it, both anew where the first one was fenced off."""
        while True:
            box = await self.purchases.ensure(self.shop.box())
            try:
                return await self.buy(box=box.id)
            except Fenced:
                continue

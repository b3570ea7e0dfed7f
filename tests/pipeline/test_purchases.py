"""The rules for what costs money, by themselves: written down first, sent once, and on doubt looked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    AuthError,
    ConnectionFailedError,
    IntentMismatch,
    InvalidArgumentError,
    JournalBusyError,
    JournalError,
    JournalWriteError,
    LeaseLost,
    OutcomeUnknownError,
    QianfanError,
    RateLimitError,
    RequestError,
    RequestTimeoutError,
    facts_of,
)
from qianfan.pipeline import Fenced, Mark, Phase, Receipt, Row, RunStatus, Terms
from qianfan.pipeline._ordering import MAX_DOUBTS, MAX_GENERATIONS, UNSENT_PATIENCE
from qianfan.pipeline._purchases import SETTLE_SECONDS, request_hash, token_for
from tests.support.clock import JumpClock

from .shop import ACTION, BOX, RUN, THING, Answer, Desk, Record, Shop, lost, without_effect

pytestmark = pytest.mark.anyio

TOKEN = token_for(RUN, THING, 0)

Failing = Callable[[], QianfanError]

DOUBTFUL: list[Failing] = [
    lambda: RequestError("broke", retryable=True),
    lambda: RequestTimeoutError("slow"),
    lambda: RequestError("garbage", status_code=200),
    lambda: RequestError("bad gateway", status_code=502),
    lambda: RequestError("timeout", status_code=408),
    lambda: RequestError("not found, says somebody", status_code=404),
    lambda: APIError("InternalError", "broken", http_status=500),
    lambda: APIError("Whatever", "broken", http_status=503),
    lambda: APIError(500000, "broken", http_status=200),
    lambda: APIError(1000, "broken", http_status=200),
]

REFUSALS: list[Failing] = [
    lambda: APIError("InappropriateJSON", "wrong", http_status=400),
    lambda: APIError(510401, "wrong", http_status=200),
    lambda: AuthError("AccessDenied", "no", http_status=403),
    lambda: InvalidArgumentError("wrong"),
    lambda: ConnectionFailedError("bad certificate", sent=False),
]

PASSING: list[Failing] = [
    lambda: ConnectionFailedError("refused", sent=False, retryable=True),
    lambda: RateLimitError("Busy", "later", http_status=429),
    lambda: APIError("RequestExpired", "your clock is off", http_status=403),
]

doubtful = pytest.mark.parametrize("error", DOUBTFUL)
either_price = pytest.mark.parametrize("paid", [True, False], ids=["paid", "free"])


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture
def shop(clock: JumpClock) -> Shop:
    return Shop(clock)


@pytest.fixture
def desk(shop: Shop) -> Desk:
    return Desk(shop)


# --- a clear answer ------------------------------------------------------------------------------------------


@either_price
async def test_an_order_is_written_down_sent_and_its_answer_written_down(desk: Desk, shop: Shop, paid: bool) -> None:
    made = await desk.buy(paid=paid)
    assert made == Receipt("t1", {"color": "red"})
    assert desk.written == [Phase.INTENT, Phase.ACCEPTED]
    assert (len(shop.sent), shop.looks, desk.told, desk.statuses) == (1, [], [], [])
    row = desk.row
    assert (row.external_id, row.output, row.token, row.attempt, row.gen) == ("t1", {"color": "red"}, TOKEN, 1, 0)
    assert row.request == shop.sent[0]
    assert row.request_hash == request_hash(shop.sent[0])


async def test_the_intent_is_there_before_the_order_leaves(desk: Desk, shop: Shop) -> None:
    at_the_door: list[Row] = []

    async def create(request: Mapping[str, Any]) -> Receipt:
        at_the_door.append(desk.row)
        return await shop.create(request)

    await desk.purchases.ensure(replace(shop.thing(), create=create))
    [row] = at_the_door
    assert (row.phase, row.token, row.external_id) == (Phase.INTENT, TOKEN, None)
    assert row.request == shop.sent[0]


async def test_what_was_made_is_known_and_never_ordered_again(desk: Desk, shop: Shop) -> None:
    assert desk.purchases.known("thing") is None
    made = await desk.buy()
    assert desk.purchases.known("thing") == made
    later = desk.after_a_crash()
    assert await later.buy() == later.purchases.known("thing") == made
    assert await later.buy(color="now another one") == made
    assert (len(shop.sent), shop.looks, later.written) == (1, [], [])


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.ACCEPTED, Phase.DONE)])
async def test_an_id_counts_only_when_it_is_certain(shop: Shop, phase: Phase) -> None:
    desk = Desk(shop, Record({THING: Row(phase, external_id="t1")}))
    assert desk.purchases.known("thing") is None


# --- no, and not now -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", REFUSALS)
@either_price
async def test_a_clear_no_comes_out(desk: Desk, shop: Shop, error: Failing, paid: bool) -> None:
    """As itself and at once; ordering again on purpose needs no look."""
    refusal = error()
    shop.answers = [without_effect(refusal)]
    with pytest.raises(QianfanError) as caught:
        await desk.buy(paid=paid)
    assert caught.value is refusal
    assert desk.written == [Phase.INTENT, Phase.FAILED]
    assert (shop.looks, shop.clock.monotonic(), desk.statuses) == ([], 0, [])

    later = desk.after_a_crash()
    assert (await later.buy(paid=paid, color="now another one")).id == "t1"
    assert (shop.looks, later.row.attempt, later.row.error) == ([], 2, None)


@pytest.mark.parametrize("error", PASSING)
async def test_what_never_got_in_is_sent_again(desk: Desk, shop: Shop, error: Failing) -> None:
    """Each time with an intent of its own; in between nothing is out, so that a crash there costs no look."""
    shop.answers = [without_effect(error()) for _ in range(4)]
    assert (await desk.buy()).id == "t1"
    assert desk.written == [Phase.INTENT, Phase.STARTED] * 4 + [Phase.INTENT, Phase.ACCEPTED]
    assert (shop.looks, desk.row.attempt, len(shop.things)) == ([], 5, 1)
    assert 0.8 * (1 + 2 + 4 + 8) <= shop.clock.monotonic() <= 1.2 * (1 + 2 + 4 + 8)


@pytest.mark.parametrize("error", PASSING)
async def test_patience_has_an_end(desk: Desk, shop: Shop, error: Failing) -> None:
    """The waits grow up to half a minute, and after ten minutes the error comes out."""
    shop.answers = [without_effect(error()) for _ in range(1000)]
    with pytest.raises(type(error())):
        await desk.buy()
    assert UNSENT_PATIENCE <= shop.clock.monotonic() <= UNSENT_PATIENCE + 1
    assert 20 <= len(shop.sent) <= 40
    assert (desk.row.phase, shop.looks) == (Phase.FAILED, [])


@pytest.mark.parametrize(
    ("asked", "waits"), [(45.0, 45.0), (0.0, 0.8), (1e9, UNSENT_PATIENCE)], ids=["some", "none", "absurd"]
)
async def test_it_waits_as_it_is_told_within_reason(desk: Desk, shop: Shop, asked: float, waits: float) -> None:
    shop.answers = [without_effect(RateLimitError("Busy", "later", http_status=429, retry_after=asked))]
    assert (await desk.buy()).id == "t1"
    assert waits <= shop.clock.monotonic() <= max(waits, 1.2)


async def test_refused_keys_get_one_more_try(desk: Desk, shop: Shop) -> None:
    """A token may have run out just now; keys that are refused twice are no good."""
    shop.answers = [without_effect(AccessTokenExpiredError(111, "expired", http_status=200))]
    assert (await desk.buy()).id == "t1"

    again = Desk(shop)
    shop.answers = [without_effect(AccessTokenExpiredError(111, "expired", http_status=200)) for _ in range(9)]
    with pytest.raises(AccessTokenExpiredError):
        await again.buy()
    assert (again.row.attempt, again.row.phase) == (2, Phase.FAILED)


# --- doubt ---------------------------------------------------------------------------------------------------


@doubtful
@either_price
async def test_on_doubt_it_looks_and_adopts(desk: Desk, shop: Shop, error: Failing, paid: bool) -> None:
    shop.answers = [lost(error(), after=20.0)]
    assert (await desk.buy(paid=paid)).id == "t1"
    assert desk.written == [Phase.INTENT, Phase.UNCERTAIN, Phase.ACCEPTED]
    assert desk.told == [("adopted", {"thing": "t1"})]
    assert (len(shop.sent), len(shop.things), desk.row.error) == (1, 1, None)
    assert 20 <= shop.clock.monotonic() < SETTLE_SECONDS


@doubtful
async def test_doubt_that_stays_is_for_a_person(desk: Desk, shop: Shop, error: Failing) -> None:
    cause = error()
    shop.answers = [without_effect(cause)]
    with pytest.raises(OutcomeUnknownError, match=r"did not show up within 120 s.*not ordered again") as held:
        await desk.buy()
    assert (held.value.what, held.value.name, held.value.run_id, held.value.node) == ("thing", TOKEN, RUN, THING)
    assert held.value.__cause__ is cause
    assert TOKEN in str(held.value)
    assert desk.written == [Phase.INTENT, Phase.UNCERTAIN, Phase.UNCERTAIN]
    assert desk.told == [
        ("needs_decision", {"node": THING, "token": TOKEN, "what": "thing", "look_for": repr(TOKEN)}),
    ]
    assert desk.statuses == [RunStatus.HELD]
    assert (len(shop.sent), shop.things) == (1, [])
    assert shop.clock.monotonic() >= SETTLE_SECONDS


async def test_a_person_is_told_what_can_be_found(desk: Desk, shop: Shop) -> None:
    shop.answers = [without_effect(RequestError("broke"))]
    with pytest.raises(OutcomeUnknownError, match="Look for a red thing 'mine' in the console"):
        await desk.buy(look_for=lambda mark: "a red thing 'mine'")
    [(_, data)] = desk.told
    assert data["look_for"] == "a red thing 'mine'"


@doubtful
@pytest.mark.parametrize(
    ("paid", "on_absent"), [(False, "hold"), (False, "fence"), (True, "resubmit")], ids=["free", "free-fence", "paid"]
)
async def test_what_may_be_repeated_is_repeated_after_its_time(
    shop: Shop, error: Failing, paid: bool, on_absent: Any
) -> None:
    """With the same token, so that a late first one would be found as well."""
    desk = Desk(shop, terms=Terms(on_absent))
    shop.answers = [without_effect(error())]
    assert (await desk.buy(paid=paid)).id == "t1"
    assert [order["token"] for order in shop.sent] == [TOKEN, TOKEN]
    assert desk.written == [Phase.INTENT, Phase.UNCERTAIN, Phase.INTENT, Phase.ACCEPTED]
    assert desk.statuses == []
    assert shop.clock.monotonic() >= SETTLE_SECONDS


async def test_doubt_that_comes_back_every_time_is_for_a_person(desk: Desk, shop: Shop) -> None:
    shop.answers = [without_effect(RequestError("broke")) for _ in range(100)]
    with pytest.raises(OutcomeUnknownError, match=f"that happened {MAX_DOUBTS} times"):
        await desk.buy(paid=False)
    assert len(shop.sent) == MAX_DOUBTS
    assert desk.statuses == [RunStatus.HELD]
    assert shop.clock.monotonic() >= MAX_DOUBTS * SETTLE_SECONDS


async def test_the_last_doubtful_order_is_looked_for_as_well(desk: Desk, shop: Shop) -> None:
    shop.answers = [*[without_effect(RequestError("broke")) for _ in range(MAX_DOUBTS - 1)], lost(after=60.0)]
    assert (await desk.buy(paid=False)).id == "t1"
    assert len(shop.sent) == MAX_DOUBTS


async def test_doubt_is_logged(desk: Desk, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.answers = [lost(RequestError("broke"))]
    with caplog.at_level(logging.INFO, "qianfan"):
        await desk.buy()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", f"no clear answer to ordering thing {TOKEN!r} (broke); looking for it"),
        ("INFO", f"looking for thing {TOKEN!r} for up to 120 s"),
        ("INFO", f"found thing {TOKEN!r} of an earlier attempt as t1; using it"),
    ]


# --- looking -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settle", [0.0, 5.0, 120.0, 1000.0])
async def test_looks_become_rarer_and_the_last_one_comes_after_the_time(shop: Shop, settle: float) -> None:
    desk = Desk(shop, terms=Terms(settle=settle))
    shop.answers = [without_effect(RequestError("broke"))]
    with pytest.raises(OutcomeUnknownError, match=f"within {settle:g} s"):
        await desk.buy()
    pauses = [later - earlier for earlier, later in zip(shop.looks, shop.looks[1:], strict=False)]
    assert pauses[:5] == [1.0, 2.0, 4.0, 8.0, 10.0][: len(pauses)]
    assert set(pauses[5:]) <= {10.0}
    assert settle <= shop.looks[-1] - shop.looks[0] <= settle + 10


async def test_the_time_counts_from_the_first_look_of_whoever_looks(desk: Desk, shop: Shop) -> None:
    """However long ago the order went out: its clock was another one."""
    shop.answers = [without_effect(RequestError("broke"))]
    with pytest.raises(OutcomeUnknownError):
        await desk.buy()
    await shop.clock.sleep(86400)
    shop.looks.clear()
    with pytest.raises(OutcomeUnknownError):
        await desk.after_a_crash().buy()
    assert shop.looks[-1] - shop.looks[0] >= SETTLE_SECONDS


LOOKS_THAT_FAIL: list[Failing] = [
    lambda: RequestError("broke", retryable=True),
    lambda: RateLimitError(18, "slow down", retryable=True),
    lambda: RequestError("a page", status_code=502, body="<html>"),
]


@pytest.mark.parametrize("error", LOOKS_THAT_FAIL)
@either_price
async def test_looks_that_fail_prove_nothing(desk: Desk, shop: Shop, error: Failing, paid: bool) -> None:
    """Far beyond the time as well: only a look that sees, and sees nothing, is an answer."""
    shop.answers, shop.trouble = [lost()], [error() for _ in range(60)]
    assert (await desk.buy(paid=paid)).id == "t1"
    assert (len(shop.sent), len(shop.looks)) == (1, 61)
    assert shop.clock.monotonic() > 4 * SETTLE_SECONDS


async def test_looking_that_is_refused_is_for_a_person(desk: Desk, shop: Shop) -> None:
    shop.answers, shop.trouble = [lost()], [APIError("AccessDenied", "no", http_status=403)]
    with pytest.raises(OutcomeUnknownError, match=r"looking for it is refused \(code AccessDenied: no\)"):
        await desk.buy()
    assert (len(shop.sent), desk.statuses, desk.row.phase) == (1, [RunStatus.HELD], Phase.UNCERTAIN)
    assert (await desk.after_a_crash().buy()).id == "t1"
    assert len(shop.sent) == 1


async def test_looking_that_is_refused_does_not_end_what_costs_nothing(desk: Desk, shop: Shop) -> None:
    shop.answers = [without_effect(RequestError("broke"))]
    shop.trouble = [APIError("AccessDenied", "no", http_status=403)]
    assert (await desk.buy(paid=False)).id == "t1"
    assert (len(shop.sent), desk.statuses) == (2, [])


@pytest.mark.parametrize("error", [AuthError("InvalidKey", "who are you"), JournalBusyError("locked")], ids=repr)
@either_price
async def test_keys_and_journals_that_fail_leave_the_doubt(
    desk: Desk, shop: Shop, error: QianfanError, paid: bool
) -> None:
    """It is the process that cannot go on, not the order: whoever comes next looks for it."""
    shop.answers, shop.trouble = [lost()], [error]
    with pytest.raises(type(error)) as caught:
        await desk.buy(paid=paid)
    assert caught.value is error
    assert (desk.row.phase, desk.statuses) == (Phase.UNCERTAIN, [])
    assert (await desk.after_a_crash().buy(paid=paid)).id == "t1"
    assert len(shop.sent) == 1


@pytest.mark.parametrize("many", [2, 5])
async def test_the_oldest_of_several_is_used_and_all_are_told(desk: Desk, shop: Shop, many: int) -> None:
    """None is deleted: that is for a person, who is told of them."""
    shop.answers = [lost(makes=many)]
    assert (await desk.buy()).id == "t1"
    ids = [f"t{number}" for number in range(1, many + 1)]
    assert desk.told == [("duplicates", {"thing": ids}), ("adopted", {"thing": "t1"})]
    assert [thing.id for thing in shop.things] == ids


async def test_what_a_look_gets_to_know(desk: Desk, shop: Shop) -> None:
    begun = shop.clock.wall().timestamp()
    shop.answers = [lost()]
    await desk.buy()
    [mark] = shop.marks
    assert (mark.token, mark.label, mark.before) == (TOKEN, f"qf:{RUN}/{THING}/0", None)
    assert begun <= mark.since.timestamp() <= shop.clock.wall().timestamp()


async def test_what_was_there_before_is_asked_once_and_kept(desk: Desk, shop: Shop) -> None:
    """Afterwards the order itself might be among it."""
    asked: list[int] = []

    async def before() -> list[str]:
        asked.append(len(shop.sent))
        return ["t0"]

    shop.answers = [without_effect(ConnectionFailedError("refused", sent=False, retryable=True)), lost(after=1e9)]
    with pytest.raises(OutcomeUnknownError):
        await desk.buy(before=before)
    later = desk.after_a_crash()
    with pytest.raises(OutcomeUnknownError):
        await later.buy(before=before)
    assert asked == [0]
    assert {tuple(mark.before) for mark in shop.marks} == {("t0",)}


# --- the platform's own refusal of a second one --------------------------------------------------------------


def taken(error: Exception) -> bool:
    return isinstance(error, APIError) and error.code == 70101


async def test_a_second_one_that_is_refused_leads_to_the_first(desk: Desk, shop: Shop) -> None:
    shop.stock(TOKEN)
    shop.answers = [without_effect(APIError(70101, "name exists", http_status=200))]
    assert (await desk.buy(exists_already=taken)).id == "t1"
    assert desk.told == [("adopted", {"thing": "t1"})]
    assert (len(shop.sent), len(shop.looks), shop.clock.monotonic()) == (1, 1, 0)


async def test_a_name_that_belongs_to_something_else_stays_refused(desk: Desk, shop: Shop) -> None:
    shop.stock("somebody's")
    shop.answers = [without_effect(APIError(70101, "name exists", http_status=200))]
    with pytest.raises(APIError, match="name exists"):
        await desk.buy(exists_already=taken)
    assert (len(shop.sent), len(shop.looks), desk.row.phase) == (1, 1, Phase.FAILED)


async def test_other_refusals_are_not_looked_after(desk: Desk, shop: Shop) -> None:
    shop.stock(TOKEN)
    shop.answers = [without_effect(APIError(70102, "wrong", http_status=200))]
    with pytest.raises(APIError, match="wrong"):
        await desk.buy(exists_already=taken)
    assert shop.looks == []


# --- after a crash -------------------------------------------------------------------------------------------


def in_flight(shop: Shop, phase: Phase = Phase.INTENT, **columns: Any) -> Desk:
    """The desk of a process that finds an order of unknown fate."""
    request = {"token": TOKEN, "box": ""}
    row = Row(phase, attempt=1, token=TOKEN, request=request, request_hash=request_hash(request), **columns)
    return Desk(shop, Record({THING: row}))


dirty = pytest.mark.parametrize("phase", [Phase.INTENT, Phase.UNCERTAIN])


@dirty
@either_price
async def test_an_order_that_may_be_out_is_looked_for_first(shop: Shop, phase: Phase, paid: bool) -> None:
    shop.stock(TOKEN, shows_in=60.0)
    desk = in_flight(shop, phase)
    assert (await desk.buy(paid=paid)).id == "t1"
    assert (shop.sent, desk.told) == ([], [("adopted", {"thing": "t1"})])


@dirty
async def test_one_that_made_nothing_is_ordered_again_where_that_is_allowed(shop: Shop, phase: Phase) -> None:
    assert (await in_flight(shop, phase).buy(paid=False)).id == "t1"
    assert len(shop.sent) == 1
    assert shop.clock.monotonic() >= SETTLE_SECONDS


@dirty
async def test_and_held_where_it_is_not(shop: Shop, phase: Phase) -> None:
    desk = in_flight(shop, phase)
    with pytest.raises(OutcomeUnknownError) as held:
        await desk.buy()
    assert held.value.__cause__ is None
    assert (shop.sent, desk.statuses) == ([], [RunStatus.HELD])


@dirty
@either_price
async def test_another_content_is_refused_while_the_fate_is_unknown(shop: Shop, phase: Phase, paid: bool) -> None:
    """Neither sent nor looked for nor forgotten; with the old content it goes on."""
    shop.stock(TOKEN)
    desk = in_flight(shop, phase)
    before = desk.row
    with pytest.raises(IntentMismatch, match="Nothing was sent") as caught:
        await desk.buy(paid=paid, color="now another one")
    assert caught.value.node == THING
    assert (shop.sent, shop.looks, desk.row) == ([], [], before)
    assert (await desk.buy(paid=paid)).id == "t1"


@pytest.mark.parametrize("phase", [Phase.STARTED, Phase.FAILED, Phase.CANCELLED])
async def test_another_content_is_fine_when_nothing_is_out(shop: Shop, phase: Phase) -> None:
    desk = in_flight(shop, phase)
    assert (await desk.buy(color="now another one")).id == "t1"
    assert (shop.sent[0]["color"], shop.looks, desk.row.attempt) == ("now another one", [], 2)


# --- decisions -----------------------------------------------------------------------------------------------


async def test_an_order_that_was_given_up_stays_so(shop: Shop) -> None:
    given_up = OutcomeUnknownError("given up by decision", what="thing", node=THING)
    given_up.decided = True
    desk = in_flight(shop, Phase.FAILED, error={**facts_of(given_up), "decided": True})
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError, match="given up by decision") as caught:
            await desk.buy()
        assert caught.value.decided
    assert (shop.sent, shop.looks, desk.written) == ([], [], [])


async def test_ordering_it_anew_on_purpose_is_another_order(desk: Desk, shop: Shop) -> None:
    """Of the next generation, with a token of its own; the lost one is not taken for it."""
    shop.answers = [lost(after=1000.0)]
    with pytest.raises(OutcomeUnknownError):
        await desk.buy()
    again = desk.after_a_crash()
    again.record.rows[THING] = desk.row.renewed(shop.clock.wall().timestamp())
    assert (await again.buy()).id == "t2"
    assert [order["token"] for order in shop.sent] == [TOKEN, token_for(RUN, THING, 1)]
    assert len(shop.looks) == len(set(shop.looks)), "only the first one was looked for"


async def test_what_exists_already_can_be_adopted(desk: Desk, shop: Shop) -> None:
    await desk.purchases.adopt("thing", Receipt("t9", {"color": "blue"}))
    assert desk.purchases.known("thing") == await desk.buy() == Receipt("t9", {"color": "blue"})
    assert (shop.sent, desk.written) == ([], [Phase.ACCEPTED])


# --- recall: what was ordered, without ordering --------------------------------------------------------------


async def test_recalling_what_was_never_ordered(desk: Desk, shop: Shop) -> None:
    assert await desk.purchases.recall(shop.thing()) is None
    assert (shop.sent, shop.looks, desk.written) == ([], [], [])


async def test_recalling_what_is_known(desk: Desk, shop: Shop) -> None:
    made = await desk.buy()
    assert await desk.after_a_crash().purchases.recall(shop.thing()) == made
    assert shop.looks == []


@dirty
async def test_recalling_an_order_of_unknown_fate(shop: Shop, phase: Phase) -> None:
    shop.stock(TOKEN, shows_in=60.0)
    desk = in_flight(shop, phase)
    found = await desk.purchases.recall(shop.thing())
    assert found is not None
    assert (found.id, desk.written) == ("t1", [Phase.ACCEPTED])


@dirty
async def test_recalling_what_never_came_to_be(shop: Shop, phase: Phase) -> None:
    desk = in_flight(shop, phase)
    assert await desk.purchases.recall(shop.thing()) is None
    assert shop.clock.monotonic() >= SETTLE_SECONDS
    assert desk.written == [Phase.CANCELLED]
    assert await desk.purchases.recall(shop.thing()) is None
    assert shop.sent == []


# --- fences --------------------------------------------------------------------------------------------------

FENCE = Terms("fence")


def in_a_box(shop: Shop) -> Desk:
    return Desk(shop, terms=FENCE)


async def test_a_lost_order_is_fenced_off_and_begun_anew(shop: Shop) -> None:
    """Its box is thrown away, so that it can have no effect any more; the next one has its own box and token."""
    desk = in_a_box(shop)
    shop.answers = [without_effect(RequestError("broke"))]
    made = await desk.buy_in_a_box()
    assert (made.id, shop.boxes, shop.thrown_away) == ("t1", ["b1", "b2"], ["b1"])
    assert [(order["box"], order["token"]) for order in shop.sent] == [
        ("b1", TOKEN),
        ("b2", token_for(RUN, THING, 1)),
    ]
    assert (desk.record.rows[BOX].gen, desk.row.gen, desk.row.attempt) == (1, 1, 1)
    assert desk.told == [("fenced", {"box": "b1", "gen": 1})]
    assert desk.statuses == []
    assert shop.clock.monotonic() >= SETTLE_SECONDS


async def test_the_mark_is_written_before_the_box_goes(shop: Shop) -> None:
    desk, seen = in_a_box(shop), list[Row]()
    throw_away = shop.throw_away

    async def watched(box: str) -> bool:
        seen.append(desk.row)
        return await throw_away(box)

    shop.throw_away = watched  # type: ignore[method-assign]  # the shop is the test's own
    shop.answers = [without_effect(RequestError("broke"))]
    await desk.buy_in_a_box()
    assert [(row.phase, row.retiring) for row in seen] == [(Phase.UNCERTAIN, 0)]
    assert desk.row.retiring is None


async def test_a_box_that_cannot_be_thrown_away_holds_the_order(shop: Shop) -> None:
    desk = in_a_box(shop)
    shop.answers = [lost(after=SETTLE_SECONDS + 60)]
    assert (await desk.buy_in_a_box()).id == "t1"
    assert (shop.thrown_away, len(shop.sent), desk.row.gen, desk.row.retiring) == ([], 1, 0, None)
    assert desk.told == [("adopted", {"thing": "t1"})]


async def test_a_box_that_neither_goes_nor_shows_is_for_a_person(shop: Shop) -> None:
    desk = in_a_box(shop)
    shop.answers = [lost(after=1e9)]
    with pytest.raises(OutcomeUnknownError, match="its box 'b1' can neither be deleted nor shows it"):
        await desk.buy_in_a_box()
    assert (shop.boxes, len(shop.sent), desk.statuses) == (["b1"], 1, [RunStatus.HELD])


async def test_throwing_away_is_repeated_until_it_is_answered(shop: Shop) -> None:
    desk = in_a_box(shop)
    shop.answers = [without_effect(RequestError("broke"))]
    shop.box_trouble = [RequestError("broke", retryable=True), APIError("InternalError", "oops", http_status=500)] * 5
    assert (await desk.buy_in_a_box()).id == "t1"
    assert shop.thrown_away == ["b1"]


async def test_a_refused_fence_keeps_its_mark_and_goes_on_from_it(shop: Shop) -> None:
    desk = in_a_box(shop)
    shop.answers = [without_effect(RequestError("broke"))]
    shop.box_trouble = [APIError("AccessDenied", "no", http_status=403)]
    with pytest.raises(APIError, match="AccessDenied"):
        await desk.buy_in_a_box()
    assert (desk.row.phase, desk.row.retiring, len(shop.sent)) == (Phase.UNCERTAIN, 0, 1)

    looks, later = len(shop.looks), desk.after_a_crash()
    assert (await later.buy_in_a_box()).id == "t1"
    assert (shop.thrown_away, len(shop.looks)) == (["b1"], looks)


async def test_after_so_many_generations_it_is_for_a_person(shop: Shop) -> None:
    desk = in_a_box(shop)
    shop.answers = [without_effect(RequestError("broke")) for _ in range(100)]
    with pytest.raises(OutcomeUnknownError, match=f"lost in {MAX_GENERATIONS} generations"):
        await desk.buy_in_a_box()
    assert len(shop.sent) == len({order["token"] for order in shop.sent}) == MAX_GENERATIONS
    assert len(shop.thrown_away) == MAX_GENERATIONS - 1
    assert desk.statuses == [RunStatus.HELD]


async def test_what_has_no_box_of_its_own_is_held(shop: Shop) -> None:
    desk = in_a_box(shop)
    shop.answers = [without_effect(RequestError("broke"))]
    with pytest.raises(OutcomeUnknownError):
        await desk.buy()
    assert len(shop.sent) == 1


async def test_a_thing_is_of_the_generation_of_its_box(shop: Shop) -> None:
    """Where a process ended between the two."""
    desk = Desk(shop, Record({BOX: Row(Phase.ACCEPTED, 2, external_id="b9")}), FENCE)
    await desk.buy(box="b9")
    assert (desk.row.gen, shop.sent[0]["token"]) == (2, token_for(RUN, THING, 2))


async def test_a_fence_is_one_step_for_both_rows(shop: Shop) -> None:
    """A crash right after it finds two rows of the new generation, and none that is out."""
    desk = in_a_box(shop)
    shop.answers = [without_effect(RequestError("broke"))]
    box = await desk.purchases.ensure(shop.box())
    with pytest.raises(Fenced):
        await desk.buy(box=box.id)
    rows = desk.record.rows
    assert [(rows[node].gen, rows[node].phase, rows[node].external_id) for node in (BOX, THING)] == [
        (1, Phase.STARTED, None),
        (1, Phase.STARTED, None),
    ]
    looks = len(shop.looks)
    assert (await desk.after_a_crash().buy_in_a_box()).id == "t1"
    assert (shop.boxes, len(shop.looks)) == (["b1", "b2"], looks)


# --- a record that cannot be written -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [JournalWriteError("full"), JournalBusyError("locked"), LeaseLost("taken over")])
async def test_what_cannot_be_written_down_is_not_sent(desk: Desk, shop: Shop, error: JournalError) -> None:
    desk.record.refusals = {Phase.INTENT: [error]}
    with pytest.raises(type(error)):
        await desk.buy()
    assert (shop.sent, THING in desk.record.rows) == ([], False)
    assert (await desk.buy()).id == "t1"
    assert shop.looks == []


async def test_an_id_that_cannot_be_written_down_is_kept_until_it_can(desk: Desk, shop: Shop) -> None:
    """It is not given out before; ordering anew is out of the question."""
    desk.record.refusals = {Phase.ACCEPTED: [JournalWriteError("full") for _ in range(10)]}
    assert (await desk.buy()).id == "t1"
    assert (len(shop.sent), shop.looks, desk.row.external_id) == (1, [], "t1")
    assert 1 + 2 + 4 + 8 + 16 <= shop.clock.monotonic() <= 10 * 30


async def test_a_process_that_ends_before_the_id_could_be_written_down(desk: Desk, shop: Shop) -> None:
    desk.record.refusals = {Phase.ACCEPTED: [JournalWriteError("full") for _ in range(10)]}

    class Killed(BaseException):
        pass

    async def killed(seconds: float) -> None:
        raise Killed

    shop.clock.sleep = killed  # type: ignore[method-assign]  # the clock is the test's own
    with pytest.raises(Killed):
        await desk.buy()
    del shop.clock.sleep  # type: ignore[attr-defined]
    later = desk.after_a_crash()
    assert later.row.phase is Phase.INTENT
    assert (await later.buy()).id == "t1"
    assert len(shop.sent) == 1


async def test_a_run_that_was_taken_over_drops_the_id(desk: Desk, shop: Shop) -> None:
    """Whoever took it over finds the order; nothing more is sent here."""
    desk.record.refusals = {Phase.ACCEPTED: [LeaseLost("taken over")]}
    with pytest.raises(LeaseLost):
        await desk.buy()
    assert (await desk.after_a_crash().buy()).id == "t1"
    assert len(shop.sent) == 1


async def test_doubt_that_cannot_be_written_down_is_doubt_all_the_same(desk: Desk, shop: Shop) -> None:
    shop.answers = [lost()]
    desk.record.refusals = {Phase.UNCERTAIN: [JournalWriteError("full")]}
    with pytest.raises(JournalWriteError):
        await desk.buy()
    assert (desk.row.phase, shop.looks) == (Phase.INTENT, [])
    assert (await desk.after_a_crash().buy()).id == "t1"
    assert len(shop.sent) == 1


# --- cancellation --------------------------------------------------------------------------------------------


async def test_an_order_on_its_way_is_not_lost_by_a_cancellation(desk: Desk, shop: Shop) -> None:
    async def create(request: Mapping[str, Any]) -> Receipt:
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        return await shop.create(request)

    with anyio.CancelScope() as scope:
        await desk.purchases.ensure(replace(shop.thing(), create=create))
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert desk.purchases.known("thing") == Receipt("t1", {"color": "red"})


async def test_looking_ends_with_a_cancellation_and_the_doubt_stays(desk: Desk, shop: Shop) -> None:
    async def find(mark: Mark) -> Sequence[Receipt]:
        scope.cancel()
        return await shop.find(mark)

    shop.answers = [lost(after=50.0)]
    with anyio.CancelScope() as scope:
        await desk.purchases.ensure(replace(shop.thing(), find=find))
    assert scope.cancelled_caught
    assert (desk.row.phase, len(shop.looks), desk.statuses) == (Phase.UNCERTAIN, 1, [])


async def test_an_error_of_the_order_itself_leaves_the_doubt(desk: Desk, shop: Shop) -> None:
    """What is no error of the platform proves nothing either."""

    async def create(request: Mapping[str, Any]) -> Receipt:
        await shop.create(request)
        raise ZeroDivisionError

    assert (await desk.purchases.ensure(replace(shop.thing(), create=create))).id == "t1"
    assert (len(shop.sent), desk.told) == (1, [("adopted", {"thing": "t1"})])


# --- whatever happens ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


answers_of_a_bad_day = st.one_of(
    st.just(Answer()),
    st.builds(lambda error: without_effect(error()), st.sampled_from(PASSING + DOUBTFUL)),
    st.builds(
        lambda error, after: lost(error(), after=after),
        st.sampled_from(DOUBTFUL),
        st.floats(0.0, SETTLE_SECONDS - 1),
    ),
)
looks_of_a_bad_day = st.builds(lambda error: error(), st.sampled_from(LOOKS_THAT_FAIL))


class Mortal(Record):
    """A record whose process is killed at some writes, by their number; True once they are done, False before."""

    def __init__(self, rows: Mapping[str, Row], kills: dict[int, bool], count: list[int]) -> None:
        super().__init__(rows)
        self.kills, self.count = kills, count

    async def write(self, changes: Mapping[str, Row], *_: Any, **__: Any) -> None:
        self.count[0] += 1
        kill = self.kills.get(self.count[0])
        if kill is False:
            raise Killed
        await super().write(changes)
        if kill:
            raise Killed


@pytest.mark.parametrize("on_absent", ["hold", "resubmit", "fence"])
@given(
    answers=st.lists(answers_of_a_bad_day, max_size=6),
    trouble=st.lists(looks_of_a_bad_day, max_size=6),
    kills=st.dictionaries(st.integers(1, 25), st.booleans(), max_size=5),
    paid=st.booleans(),
    boxed=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_one_order_makes_one_thing(
    on_absent: Any,
    answers: list[Answer],
    trouble: list[QianfanError],
    kills: dict[int, bool],
    paid: bool,
    boxed: bool,
) -> None:
    """With losses, delays below the settling time, failing looks and crashes: never two, and that one is given out."""

    async def go() -> None:
        shop = Shop(JumpClock(), answers=[*answers], trouble=[*trouble])
        rows: Mapping[str, Row] = {}
        count, made, held = [0], None, False
        for _ in range(len(kills) + 1):
            desk = Desk(shop, Mortal(rows, kills, count), Terms(on_absent))
            try:
                made = await (desk.buy_in_a_box() if boxed else desk.buy(paid=paid))
                break
            except Killed:
                rows = desk.record.rows
            except OutcomeUnknownError:
                held = desk.statuses == [RunStatus.HELD]
                break
        assert made is not None or held
        assert len(shop.things) <= 1
        if made is not None:
            assert [thing.id for thing in shop.things] == [made.id]
            assert desk.purchases.known("thing") == made

    anyio.run(go)


@given(on_absent=st.sampled_from(["hold", "fence"]), after=st.floats(0.0, 10 * SETTLE_SECONDS), boxed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_an_effect_beyond_the_time_makes_no_second_one_either(on_absent: Any, after: float, boxed: bool) -> None:
    """Where the order is held, or fenced off; that is why paid orders are not simply sent again."""

    async def go() -> None:
        shop = Shop(JumpClock(), answers=[lost(after=after)])
        desk = Desk(shop, terms=Terms(on_absent))
        try:
            await (desk.buy_in_a_box() if boxed else desk.buy())
        except OutcomeUnknownError:
            assert after > SETTLE_SECONDS
        assert len(shop.things) == 1

    anyio.run(go)


def test_the_same_parts_make_the_same_content() -> None:
    assert request_hash({"a": 1, "b": [2]}) == request_hash({"b": [2], "a": 1})
    assert request_hash({"a": 1}) != request_hash({"a": "1"})
    assert token_for(RUN, f"{ACTION}.thing", 0) != token_for(RUN, f"{ACTION}.thing", 1)

"""The arithmetic of rate limits, driven by hand: whatever is asked for in whatever rhythm, no window is overrun."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan._transport.ledger import Ledger, Limits, Line, Place, lasting

NOTHING = (None, None)


@dataclass
class Day:
    """A line and the time, and who left when for how many tokens."""

    limits: Limits
    now: float = 0.0
    line: Line = field(default_factory=Line)
    gone: list[tuple[float, Place]] = field(default_factory=list)

    def ask(self, tokens: int = 0) -> Place:
        place = Place(self.limits, tokens)
        self.line.join(place)
        self.go()
        return place

    def go(self) -> None:
        """Those who may go leave at once."""
        for place in self.line.let_out(self.now):
            if place.booking is not None:
                self.line.ledger.sent(place.booking, self.now)
                self.gone.append((self.now, place))

    def next_at(self) -> float:
        return self.now + self.line.delay(self.line.head, self.now) if self.line.head else math.inf

    def wait_until(self, moment: float) -> None:
        while (due := self.next_at()) <= moment:
            self.now = max(due, math.nextafter(self.now, math.inf))
            self.go()
        self.now = max(self.now, moment)

    def wait_for_all(self) -> None:
        for _ in range(10_000):
            if self.line.head is None:
                return
            self.wait_until(self.next_at())
        raise AssertionError("somebody waits for ever")


def most_within(moments: list[tuple[float, int]], seconds: float) -> int:
    """The largest sum in any window of this length, a window not holding both its ends."""
    return max(
        (sum(cost for at, cost in moments if start <= at < start + seconds - 1e-6) for start, _ in moments), default=0
    )


gaps = st.lists(st.one_of(st.just(0.0), st.floats(0, 2), st.floats(0, 100)), min_size=1, max_size=60)


@given(gaps, st.just(0.0) | st.floats(0.05, 20), st.just(0.0) | st.floats(0.05, 60))
@settings(max_examples=300)
def test_no_window_holds_more_requests_than_allowed(gaps: list[float], qps: float, rpm: float) -> None:
    day = Day(Limits(qps=qps, rpm=rpm))
    places = []
    for gap in gaps:
        day.wait_until(day.now + gap)
        places.append(day.ask())
    day.wait_for_all()
    moments = [(at, 1) for at, _ in day.gone]
    assert [place for _, place in day.gone] == places, "first come, first served"
    if qps:
        assert most_within(moments, 1.0) <= max(1, qps)
        assert most_within(moments, max(1.0, 1 / qps)) <= max(1, qps)
    if rpm:
        assert most_within(moments, 60.0) <= max(1, rpm)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 100)), min_size=1, max_size=50), st.integers(100, 300))
@settings(max_examples=300)
def test_no_window_holds_more_tokens_than_allowed_and_large_requests_are_not_overtaken(
    asked: list[tuple[float, int]], tpm: int
) -> None:
    day = Day(Limits(tpm=tpm))
    places = []
    for gap, tokens in asked:
        day.wait_until(day.now + gap)
        places.append(day.ask(tokens))
    day.wait_for_all()
    assert [place for _, place in day.gone] == places
    assert most_within([(at, place.tokens) for at, place in day.gone], 60.0) <= tpm


@given(
    st.lists(st.sampled_from(["ask", "send", "back", "answer", "wait", "learn", "leave"]), max_size=80),
    st.randoms(use_true_random=False),
)
@settings(max_examples=300)
def test_whatever_happens_in_between(steps: list[str], chance: object) -> None:
    """Requests that leave late, are given back or give up; answers that cost less; limits that change."""
    import random

    assert isinstance(chance, random.Random)
    line, now, waiting, out = Line(), 0.0, [], []
    left: list[tuple[float, int]] = []
    for step in steps:
        if step == "ask":
            place = Place(Limits(qps=3, tpm=100), chance.randint(0, 60))
            line.join(place)
            waiting.append(place)
        elif step == "wait":
            now += chance.choice([0.1, 1.1, 30.0, 61.0])
        elif step == "leave" and waiting:
            line.leave(waiting.pop(chance.randrange(len(waiting))))
        elif step == "send" and out:
            place = out.pop(chance.randrange(len(out)))
            line.ledger.sent(place.booking, now)
            left.append((now, place.booking))
        elif step == "back" and out:
            line.ledger.cancel(out.pop(chance.randrange(len(out))).booking)
        elif step == "answer" and left:
            _, booking = chance.choice(left)
            booking.tokens = chance.randint(0, booking.tokens)
        elif step == "learn":
            line.learn(now, (chance.choice([None, 5, 100]), chance.choice([None, 60, 80])), NOTHING)
        for place in line.let_out(now):
            waiting.remove(place)
            if place.booking is not None:
                out.append(place)
        assert most_within([(at, 1) for at, _ in left], 1.0) <= 3
        assert most_within([(at, booking.tokens) for at, booking in left], 60.0) <= 100


def test_both_limits_hold() -> None:
    day = Day(Limits(qps=2, rpm=3))
    for _ in range(5):
        day.ask()
    day.wait_for_all()
    second, minute = lasting(1), lasting(60)
    assert [at for at, _ in day.gone] == pytest.approx([0, 0, second, minute, minute])


def test_without_limits_nobody_waits() -> None:
    day = Day(Limits())
    for _ in range(1000):
        day.ask(10**6)
    assert len(day.gone) == 1000


@pytest.mark.parametrize(
    ("limits", "rates"),
    [
        (Limits(), []),
        (Limits(qps=5, rpm=100), [(5, 1.1), (100, 60.5)]),
        (Limits(qps=2.9), [(2, 1.1)]),
        (Limits(qps=0.5), [(1, 2.2)]),
        (Limits(rpm=0.5), [(1, 120.5)]),
        (Limits(rpm=10).less(0.1), [(9, 60.5)]),
    ],
)
def test_rates_are_whole_numbers_in_windows_that_allow_for_the_way(limits: Limits, rates: list[object]) -> None:
    assert [(rate.count, pytest.approx(rate.seconds)) for rate in limits.rates()] == rates


def test_what_has_not_left_counts_without_end() -> None:
    """A request that is let out may wait for a connection, and leaves later than others that come after it."""
    line = Line()
    first, second = Place(Limits(qps=1)), Place(Limits(qps=1))
    line.join(first)
    line.join(second)
    assert list(line.let_out(0.0)) == [first]
    assert list(line.let_out(100.0)) == []
    assert line.delay(second, 100.0) == math.inf
    assert first.booking is not None
    line.ledger.sent(first.booking, 100.0)
    assert line.delay(second, 100.0) == pytest.approx(lasting(1))


def test_a_request_above_the_whole_budget_is_told_and_holds_nobody_up() -> None:
    day = Day(Limits(tpm=100))
    large, small = day.ask(101), day.ask(100)
    assert large.too_large is not None
    assert large.too_large.limit == 100
    assert [place for _, place in day.gone] == [small]


def test_more_tokens_than_estimated_hold_up_the_next() -> None:
    day = Day(Limits(tpm=100))
    first = day.ask(10)
    assert first.booking is not None
    first.booking.tokens = 95
    second = day.ask(10)
    day.wait_for_all()
    assert day.gone[1] == (pytest.approx(lasting(60)), second)


# --- what the platform says ----------------------------------------------------------------------------------------


def test_limits_follow_the_platform_up_and_down_and_never_above_the_users_own() -> None:
    day = Day(Limits(rpm=10))
    day.line.learn(0.0, (3, None), NOTHING)
    for _ in range(12):
        day.ask()
    assert len(day.gone) == 3
    day.line.learn(1.0, (8, None), NOTHING)
    day.wait_until(1.0)
    assert len(day.gone) == 8
    day.line.learn(2.0, (100, None), NOTHING)
    day.wait_until(2.0)
    day.go()
    assert len(day.gone) == 10


def test_what_others_used_is_counted_and_corrected_by_the_next_answer() -> None:
    day = Day(Limits())
    day.ask()
    day.line.learn(0.0, (10, 1000), (2, 1000))
    for _ in range(9):
        day.ask()
    assert len(day.gone) == 3, "10 a minute, of which others used 7 and we one"
    day.line.learn(5.0, (10, 1000), (6, 1000))
    day.wait_until(5.0)
    day.go()
    assert len(day.gone) == 9, "others used one of it after all"
    day.wait_for_all()
    assert day.gone[-1][0] == pytest.approx(lasting(60))


def test_tokens_of_others_are_counted_too() -> None:
    day = Day(Limits())
    day.ask(0)
    day.line.learn(0.0, (None, 100), (None, 40))
    day.ask(30)
    day.ask(30)
    assert len(day.gone) == 2
    day.wait_for_all()
    assert day.gone[-1][0] == pytest.approx(lasting(60))


def test_a_limit_of_nothing_lets_one_out_a_minute_so_that_its_end_is_noticed() -> None:
    day = Day(Limits())
    day.line.learn(0.0, (0, 0), (0, 0))
    for _ in range(3):
        day.ask(50)
    day.wait_for_all()
    assert [at for at, _ in day.gone] == pytest.approx([0, lasting(60), 2 * lasting(60)])


@pytest.mark.parametrize(("by_minute", "pauses"), [(True, [20, 40, 60, 60]), (False, [1, 2, 4, 8])])
def test_refusals_in_a_row_make_longer_pauses(by_minute: bool, pauses: list[float]) -> None:
    day = Day(Limits())
    for expected in pauses:
        day.ask()
        day.wait_for_all()
        sent = day.now
        assert day.line.refused(day.now, sent, by_minute=by_minute, wait=None) == expected
    day.line.accepted()
    day.wait_until(day.now + 100)
    assert day.line.refused(day.now, day.now, by_minute=by_minute, wait=None) == pauses[0]


def test_refusals_of_what_had_left_before_are_one_refusal() -> None:
    line = Line()
    assert line.refused(10.0, 9.0, by_minute=True, wait=None) == 20.0
    assert line.refused(12.0, 9.5, by_minute=True, wait=None) == 18.0
    assert line.delay(Place(Limits()), 12.0) == 18.0


def test_the_platform_may_say_how_long_to_wait() -> None:
    line = Line()
    assert line.refused(0.0, 0.0, by_minute=True, wait=7.0) == 7.0
    assert line.delay(Place(Limits()), 0.0) == 7.0


def test_a_ledger_forgets_what_no_longer_counts() -> None:
    ledger = Ledger()
    for second in range(1000):
        ledger.sent(ledger.book(1), float(second))
    assert not ledger.is_empty(1000.0)
    assert len(ledger._left) < 100
    assert ledger.is_empty(1100.0)

"""Life cycles are tables; work moves by looks or by a clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator.lifecycle import LIFE_CYCLES, IllegalMove, LifeCycle, Pace, Stage, Work, stages_at
from qianfan.errors import InvalidArgumentError
from tests.emulator.conftest import HandClock


@pytest.mark.parametrize("cycle", LIFE_CYCLES, ids=lambda cycle: cycle.name)
def test_every_move_in_the_table_and_no_other(cycle: LifeCycle) -> None:
    """Each pair of states either is in the table or raises."""
    for state in cycle.moves:
        for target in cycle.moves:
            if target in cycle.moves[state]:
                assert cycle.move(state, target) == target
            else:
                with pytest.raises(IllegalMove, match=cycle.name):
                    cycle.move(state, target)


@pytest.mark.parametrize("cycle", LIFE_CYCLES, ids=lambda cycle: cycle.name)
def test_tables_are_complete(cycle: LifeCycle) -> None:
    """Every state that can be reached has a row, and every end can be reached from the work under way."""
    assert {to for moves in cycle.moves.values() for to in moves} <= set(cycle.moves)
    assert set(cycle.ends) <= cycle.moves[cycle.underway[-1]]


@pytest.mark.parametrize("cycle", LIFE_CYCLES, ids=lambda cycle: cycle.name)
@pytest.mark.parametrize("looks", [0, 1, 3])
def test_work_by_looks(cycle: LifeCycle, looks: int, clock: HandClock) -> None:
    """The first N looks see it under way, the next sees it ended, whatever a clock says."""
    stage = Stage(cycle, Pace(after_looks=looks))
    before = next((state for state, to in cycle.moves.items() if to & set(cycle.underway)), "Creating")
    work = stage.begin(clock)
    state = stage.start(before, work, clock.monotonic())
    assert state == cycle.underway[-1]
    clock.seconds += 10**6
    seen = []
    for _ in range(looks + 2):
        state = stage.advance(state, work, clock.monotonic(), look=True)
        seen.append(state)
    assert seen == [cycle.underway[-1]] * looks + [cycle.ends[0]] * 2


def test_listing_is_not_a_look(clock: HandClock) -> None:
    stage = stages_at("instant").training
    work = stage.begin(clock)
    assert stage.advance("Running", work, 0, look=False) == "Running"
    assert work.looks == 0


def test_work_by_seconds_waits_first_and_needs_no_look(clock: HandClock) -> None:
    """With seconds a tenth is spent waiting, and lists show the present too."""
    stage = stages_at(20).training
    work = stage.begin(clock)
    assert stage.start("", work, clock.monotonic()) == "Waiting"
    states = []
    for second in (1, 3, 19, 20):
        states.append(stage.advance("Waiting", work, clock.monotonic() + second, look=False))
    assert states == ["Waiting", "Running", "Running", "Done"]


def test_waiting_looks(clock: HandClock) -> None:
    stage = stages_at("instant").training
    stage.script(after_looks=3, waits=1)
    work = stage.begin(clock)
    state = stage.start("", work, clock.monotonic())
    seen = [state]
    for _ in range(4):
        state = stage.advance(state, work, clock.monotonic(), look=True)
        seen.append(state)
    assert seen == ["Waiting", "Waiting", "Running", "Running", "Done"]


def test_a_script_for_the_next_ones_only(clock: HandClock) -> None:
    stage = stages_at("instant").training
    stage.script(ends="Failed", reason="no luck", times=2)
    works = [stage.begin(clock) for _ in range(3)]
    assert [work.ends for work in works] == ["Failed", "Failed", "Done"]
    assert [work.reason for work in works] == ["no luck", "no luck", ""]


def test_a_script_for_all_until_reset(clock: HandClock) -> None:
    stage = stages_at("instant").deployment
    stage.script(after_looks=math.inf, ends="Failed")
    assert stage.begin(clock).share(0) == 0
    assert stage.begin(clock).ends == "Failed"
    stage.reset()
    assert stage.begin(clock).ends == "Serving"


def test_work_never_ends_when_told_so() -> None:
    work = Work(after_looks=math.inf, ends="Done", looks=10**6)
    assert not work.is_over(now=10**9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"ends": "Broken"}, "cannot end as 'Broken'"),
        ({"after_looks": 1, "seconds": 2}, "not both"),
    ],
)
def test_scripts_that_make_no_sense(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        stages_at("instant").training.script(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("pace", ["fast", "-1", "nan", -0.5])
def test_paces_there_are_none_of(pace: str | float) -> None:
    with pytest.raises(InvalidArgumentError, match="pace is"):
        stages_at(pace)


@pytest.mark.parametrize(("pace", "seconds"), [("30", 30.0), (0.5, 0.5), ("0", 0.0), ("demo", 5.0)])
def test_paces_in_seconds(pace: str | float, seconds: float, clock: HandClock) -> None:
    assert stages_at(pace).training.begin(clock).seconds == seconds


@given(
    looks=st.one_of(st.none(), st.integers(0, 50)),
    seconds=st.floats(0, 1e6),
    times=st.lists(st.floats(0, 1e6), max_size=20),
)
def test_share_only_grows(looks: int | None, seconds: float, times: list[float]) -> None:
    """However somebody looks, the share of finished work lies in 0..1 and never falls."""
    work = Work(after_looks=looks, seconds=None if looks is not None else seconds, ends="Done")
    shares = []
    for now in sorted(times):
        work.looks += 1
        shares.append(work.share(now))
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)

"""The rules for a paid task never lead to two of them, and each rule is there for a reason the search can show."""

from __future__ import annotations

import itertools

import pytest

from tests.faults.exhaustive import Exploration, OnAbsent, explore

NEXT_GENERATION = "write the next generation"

times = pytest.mark.parametrize(("delay", "lag"), list(itertools.product((0, 1, 2), repeat=2)))
policies = pytest.mark.parametrize("on_absent", ["fence", "resubmit", "hold"])
crashing = pytest.mark.parametrize("crashes", [0, 1, 2])


def check(found: Exploration) -> None:
    """One task at most, and an end ahead whatever has happened."""
    assert found.two_live is None
    assert found.stuck is None
    assert found.states < 10_000


@times
@policies
@crashing
def test_one_task_when_settling_outlasts_delay_and_lag(delay: int, lag: int, on_absent: OnAbsent, crashes: int) -> None:
    """On any platform, and the task that is relied on stays."""
    for takes, accepts in itertools.product((False, True), repeat=2):
        found = explore(
            settle=delay + lag + 1,
            delay=delay,
            lag=lag,
            on_absent=on_absent,
            crashes=crashes,
            delete_takes_tasks=takes,
            task_in_deleted_job=accepts,
        )
        check(found)
        assert found.lost is None
        assert set(found.ends) == ({"done"} if on_absent == "resubmit" else {"done", "held"})


@times
def test_a_short_settling_doubles_without_a_fence(delay: int, lag: int) -> None:
    for settle in range(delay + lag):
        found = explore(settle=settle, delay=delay, lag=lag, on_absent="resubmit")
        assert found.two_live is not None
        assert sum(move.startswith("send") for move in found.two_live) == 2


def test_the_shortest_way_to_two_is_told() -> None:
    found = explore(settle=0, delay=0, lag=1, on_absent="resubmit", crashes=0)
    assert found.two_live == (
        "write intent",
        "send: no answer",
        "request of generation 0 takes effect",
        "settled: write intent again",
        "send: answered",
    )


@times
@crashing
def test_a_fence_needs_no_settling(delay: int, lag: int, crashes: int) -> None:
    """On a platform that refuses to delete a job with a task, and refuses a task in a deleted job."""
    for settle in range(delay + lag + 1):
        found = explore(settle=settle, delay=delay, lag=lag, on_absent="fence", crashes=crashes)
        check(found)
        assert found.lost is None
        assert set(found.ends) == {"done", "held"}


@times
def test_holding_never_makes_two(delay: int, lag: int) -> None:
    for settle in range(delay + lag + 1):
        check(explore(settle=settle, delay=delay, lag=lag, on_absent="hold", crashes=2))


@times
def test_one_lives_at_most_where_deleting_takes_tasks(delay: int, lag: int) -> None:
    for settle in range(delay + lag + 1):
        check(explore(settle=settle, delay=delay, lag=lag, on_absent="fence", delete_takes_tasks=True))


def test_a_late_delete_takes_the_adopted_task() -> None:
    """Where deleting takes tasks and settling is short, after a crash: what the restarted process adopts, a delete of
    the dead one may still remove. It cannot when a job once marked is deleted again before any look."""
    found = explore(settle=0, delay=1, lag=1, on_absent="fence", delete_takes_tasks=True)
    assert found.lost is not None
    assert found.lost[-1] == "delete of generation 0 arrives"
    assert [move for move in found.lost if move in ("settled: mark", "crash", "look: adopt")] == [
        "settled: mark",
        "crash",
        "look: adopt",
    ]
    for takes in (False, True):
        found = explore(settle=0, delay=1, lag=1, on_absent="fence", delete_takes_tasks=takes, delete_first=True)
        check(found)
        assert found.lost is None


@pytest.mark.parametrize("lag", [0, 1, 2])
@pytest.mark.parametrize("delay", [1, 2])
def test_a_fence_is_none_where_deleted_jobs_take_tasks(delay: int, lag: int) -> None:
    """Then only settling helps, and it has to outlast the delay."""
    for settle in range(delay):
        found = explore(settle=settle, delay=delay, lag=lag, on_absent="fence", task_in_deleted_job=True)
        assert found.two_live is not None
        assert NEXT_GENERATION in found.two_live
    check(explore(settle=delay + 1, delay=delay, lag=lag, on_absent="fence", task_in_deleted_job=True))


@pytest.mark.parametrize("generations", [1, 2, 3])
def test_a_fence_holds_after_so_many_generations(generations: int) -> None:
    """And not before."""
    found = explore(settle=1, delay=1, lag=1, on_absent="fence", max_generations=generations)
    check(found)
    assert found.ends["held"].count(NEXT_GENERATION) == generations - 1


def test_the_mark_tells_whose_work_a_missing_job_is() -> None:
    """Without it a crash after the delete, or a lost answer to it, leaves nothing to go by but to ask."""
    found = explore(settle=1, delay=1, lag=1, on_absent="fence", mark=False)
    check(found)
    assert NEXT_GENERATION not in found.ends["held"]


def test_a_search_that_grows_too_large_says_so() -> None:
    with pytest.raises(RuntimeError, match="choose smaller times"):
        explore(settle=0, delay=9, lag=9, on_absent="fence")

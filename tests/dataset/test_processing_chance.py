"""Samples, orders, divisions and mixtures by chance: the same for a seed, and exactly as large as asked for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset.processing import filtered, mixed, sampled, shuffled, split
from qianfan.dataset.processing.chance import permutation, sample
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import InvalidArgumentError
from tests.dataset.test_processing import json_of

seeds = st.integers(-(2**70), 2**70)
sizes = st.integers(0, 60)


def numbered(size: int, name: str = "n") -> MemoryDataSource:
    return MemoryDataSource([f"{name}{number}" for number in range(size)], name=f"source {name}")


# --- the numbers themselves -------------------------------------------------------------------------------------------


def test_the_numbers_for_a_seed_never_change():
    # What somebody trained on must be what they get again: on any machine, with any version of Python.
    assert [*permutation(10, 7)] == [2, 7, 4, 6, 8, 9, 0, 5, 1, 3]
    assert [*sample(20, 5, 7)] == [1, 3, 6, 8, 10]


def test_every_order_and_every_sample_comes_up():
    assert len({tuple(permutation(4, seed)) for seed in range(400)}) == 24
    assert len({tuple(sample(5, 2, seed)) for seed in range(200)}) == 10
    counts = Counter(number for seed in range(2_000) for number in sample(10, 3, seed))
    assert min(counts.values()) > 500
    assert max(counts.values()) < 700


# --- shuffle and sample -----------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(sizes, seeds)
def test_a_shuffle_is_a_permutation_and_the_same_for_a_seed(size, seed):
    source = numbered(size)
    rows = json_of(shuffled(source, seed))
    assert sorted(rows) == sorted(json_of(source))
    assert rows == json_of(shuffled(source, seed))


def test_without_a_seed_the_order_is_drawn_once():
    orders = [shuffled(numbered(50)) for _ in range(3)]
    assert len({tuple(json_of(order)) for order in orders}) == 3
    assert all(json_of(order) == json_of(order) for order in orders)


@settings(max_examples=50, deadline=None)
@given(sizes, sizes, seeds)
def test_a_sample_has_the_number_that_was_asked_for_in_the_order_of_the_rows(size, count, seed):
    source = numbered(size)
    drawn = sampled(source, count, seed=seed)
    assert drawn.known_length == min(size, count)
    rows = json_of(drawn)
    assert len(rows) == min(size, count)
    assert rows == [row for row in json_of(source) if row in rows]


@pytest.mark.parametrize(("fraction", "count"), [(0, 0), (0.1, 1), (0.29, 3), (0.7, 7), (1, 10), (1.0, 10)])
def test_a_fraction_is_the_number_that_is_written_there(fraction, count):
    assert len(sampled(numbered(10), fraction=fraction, seed=1)) == count


def test_rows_that_are_filtered_can_be_drawn():
    odd = filtered(numbered(20), lambda text: int(text[1:]) % 2)
    assert sorted(json_of(shuffled(sampled(odd, 10, seed=1), 2))) == sorted(json_of(odd))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"count": 1, "fraction": 0.5}, {"count": -1}, {"count": True}, {"fraction": 1.5}, {"fraction": float("nan")}],
)
def test_a_sample_of_no_size_is_refused_at_once(arguments):
    with pytest.raises(InvalidArgumentError):
        sampled(numbered(5), **arguments)


# --- split ------------------------------------------------------------------------------------------------------------

fractions = st.lists(st.integers(0, 10), min_size=1, max_size=4).map(lambda tenths: [tenth / 10 for tenth in tenths])


@settings(max_examples=40, deadline=None)
@given(sizes, fractions.filter(lambda shares: round(sum(shares) * 10) <= 10), seeds, st.booleans())
def test_a_split_is_a_partition(size, shares, seed, grouped):
    source = numbered(size)
    by = (lambda text: int(text[1:]) // 3) if grouped else None
    parts = split(source, shares, seed=seed, by=by)
    rows = [json_of(part) for part in parts]
    assert sorted(row for part in rows for row in part) == sorted(json_of(source))
    assert all(part == [row for row in json_of(source) if row in part] for part in rows)
    assert len(parts) == len(shares) + (round(sum(shares) * 10) < 10)
    if grouped:
        groups = [{int(row[1:]) // 3 for row in part} for part in rows]
        assert sum(map(len, groups)) == len(set().union(*groups))
    else:
        assert all(abs(len(part) - share * size) < 1 for part, share in zip(rows, shares, strict=False))
    assert rows == [json_of(part) for part in split(source, shares, seed=seed, by=by)]


def test_a_split_by_numbers_of_rows():
    assert [len(part) for part in split(numbered(10), [2, 3], seed=1)] == [2, 3, 5]
    assert [len(part) for part in split(numbered(10), 10, seed=1)] == [10, 0]
    assert [len(part) for part in split(numbered(10), 0.75, seed=1)] == [8, 2]
    with pytest.raises(InvalidArgumentError, match="source n has 4 rows, which is not enough"):
        len(split(numbered(4), [2, 3])[0])


def test_the_parts_of_a_split_by_groups_are_as_large_as_whole_groups_allow():
    rows = [{"user": f"u{number % 100}", "said": f"t{number}"} for number in range(1_000)]
    train, test = split(MemoryDataSource(rows), 0.8, seed=3, by="user")
    assert (len(train), len(test)) == (800, 200)
    assert not {row["user"] for row in json_of(train)} & {row["user"] for row in json_of(test)}
    by_two = split(MemoryDataSource(rows), 0.5, seed=3, by=["user", "said"])
    assert [len(part) for part in by_two] == [500, 500]


def test_rows_that_agree_in_the_question_of_a_conversation_stay_together():
    talks = [[{"prompt": f"q{number % 5}", "response": [[f"a{number}"]]}] for number in range(50)]
    parts = [json_of(part) for part in split(MemoryDataSource(talks), [0.4, 0.2], seed=1, by="prompt")]
    assert [len(part) for part in parts] == [20, 10, 20]
    assert sum(len({row[0]["prompt"] for row in part}) for part in parts) == 5


def test_columns_beside_those_of_a_format_can_tell_rows_apart():
    rows = [{"instruction": f"i{number}", "output": "o", "topic": f"t{number % 4}"} for number in range(8)]
    parts = split(MemoryDataSource(rows), 0.5, seed=1, by="topic")
    topics = [{raw.value["topic"] for raw in part.raw_rows()} for part in parts]
    assert [len(found) for found in topics] == [2, 2]
    assert not topics[0] & topics[1]


def test_a_row_that_cannot_be_read_is_in_exactly_one_part():
    talks = [[{"prompt": "q", "response": [["a"]]}], [{"prompt": "no answer"}], [{"prompt": "nor here"}]]
    parts = split(MemoryDataSource(talks), 0.5, seed=1, by="prompt")
    assert sum(raw.problem is None for part in parts for raw in part.raw_rows()) == 3


@pytest.mark.parametrize("wanted", [[], [0.5, 0.6], [0.5, 2], -1, [-0.1], True, float("nan"), 1.5])
def test_sizes_that_make_no_parts_are_refused_at_once(wanted):
    with pytest.raises(InvalidArgumentError):
        split(numbered(5), wanted)


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InvalidArgumentError, match="has no column 'promt'; columns: prompt, answer"):
        len(split(MemoryDataSource([{"prompt": "a", "answer": "b"}], format="table"), 0.5, by="promt")[0])
    with pytest.raises(InvalidArgumentError, match="without columns"):
        len(split(numbered(5), 0.5, by="prompt")[0])


# --- mix --------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(sizes, st.integers(0, 5)), min_size=1, max_size=4), seeds)
def test_a_mixture_keeps_its_proportions_until_the_scarcest_source_runs_out(given_sources, seed):
    counts, weights = [count for count, _ in given_sources], [weight for _, weight in given_sources]
    sources = [numbered(count, name) for count, name in zip(counts, "abcd", strict=False)]
    if not any(weights):
        with pytest.raises(InvalidArgumentError):
            mixed(sources, weights)
        return
    rows = json_of(mixed(sources, weights, seed=seed))
    assert len(rows) == len(set(rows))
    drawn = Counter(row[0] for row in rows)
    whole = sum(weights)
    total = min(count * whole // weight for count, weight in given_sources if weight)
    assert len(rows) == total
    assert all(abs(drawn[name] - total * weight / whole) < 1 for name, weight in zip("abcd", weights, strict=False))
    assert rows == json_of(mixed(sources, weights, seed=seed))


def test_a_mixture_is_in_an_order_by_chance():
    rows = json_of(mixed([numbered(50, "a"), numbered(50, "b")], seed=1))
    assert 15 < sum(row[0] == "a" for row in rows[:50]) < 35


def test_a_total_takes_as_many_as_it_says_or_says_who_is_short():
    sources = [numbered(100, "a"), numbered(4, "b")]
    drawn = Counter(row[0] for row in json_of(mixed(sources, [0.7, 0.3], total=10, seed=1)))
    assert drawn == {"a": 7, "b": 3}
    with pytest.raises(
        InvalidArgumentError, match=r"source b has 4 rows, and 6 are to be drawn from it; .* repeat=True"
    ):
        json_of(mixed(sources, [0.7, 0.3], total=20, seed=1))


def test_rows_repeat_only_when_all_of_their_source_were_there():
    rows = Counter(json_of(mixed([numbered(100, "a"), numbered(4, "b")], [1, 1], total=20, repeat=True, seed=1)))
    assert sorted(count for row, count in rows.items() if row[0] == "b") == [2, 2, 3, 3]
    assert sum(count for row, count in rows.items() if row[0] == "a") == 10
    with pytest.raises(InvalidArgumentError, match="source b has 0 rows"):
        json_of(mixed([numbered(1, "a"), numbered(0, "b")], total=4, repeat=True))


@pytest.mark.parametrize(
    "arguments",
    [
        {"weights": [1]},
        {"weights": [1, -1]},
        {"weights": [1, "x"]},
        {"weights": [float("nan"), 1]},
        {"total": -1},
        {"repeat": True},
    ],
)
def test_a_mixture_of_no_proportions_is_refused_at_once(arguments):
    with pytest.raises(InvalidArgumentError):
        mixed([numbered(5), numbered(5)], **arguments)

"""How an answer is made of tokens, and when it ends."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling
from qianfan.engines.tiny.examples import dialogue_prompt
from qianfan.engines.tiny.generation import Chooser, Reader, Repeats, StopTexts, TinyGenerator
from qianfan.engines.tiny.model import Config, forward, initial
from qianfan.engines.tiny.parameters import Parameters
from qianfan.engines.tiny.tokenizer import END, Tokenizer
from tests.engines.tiny_runs import answer, messages

TOKENIZER = Tokenizer.learn(["你好 hello a b"])
GOOD = TOKENIZER.encode("好")[0]
SIZE = Config(vocabulary=len(TOKENIZER), context=32, width=16, heads=2)


def model(seed: int = 0, **more: int) -> TinyGenerator:
    """One that has learnt nothing, and babbles."""
    return TinyGenerator(weights(seed), SIZE, TOKENIZER, "SFT", **more)


def weights(seed: int = 0) -> Parameters:
    return initial(SIZE, np.random.default_rng(seed))


def always(token: int) -> TinyGenerator:
    """One that says the same token for ever."""
    constant = weights()
    constant["gain"][...] = 0
    constant["gain"][0] = 1
    constant["positions"][:, 0] = 100
    constant["tokens"][...] = 0
    constant["tokens"][token, 0] = 1
    return TinyGenerator(constant, SIZE, TOKENIZER, "SFT")


@pytest.mark.parametrize("parts", [[12], [1] * 12, [5, 1, 6]])
def test_reading_on_is_reading_it_all(parts: list[int]) -> None:
    tokens = list(np.random.default_rng(1).integers(0, SIZE.vocabulary, 12))
    reader, start = Reader(weights(), SIZE), 0
    for part in parts:
        scores = reader.read(tokens[start : start + part])
        start += part
    hidden, _ = forward(weights(), SIZE, np.array([tokens]))
    assert scores == pytest.approx(weights()["tokens"] @ hidden[0, -1], rel=1e-4, abs=1e-5)


SCORES = np.log(np.array([0.1, 0.5, 0.3, 0.1]))


@pytest.mark.parametrize(
    ("temperature", "top_p", "possible"),
    [
        (0.0, 1.0, {1}),
        (0.005, 1.0, {1}),
        (1.0, 1.0, {0, 1, 2, 3}),
        (1.0, 0.6, {1, 2}),
        (1.0, 0.4, {1}),
        (1.0, 0.0, {1}),
    ],
)
def test_which_tokens_are_possible(temperature: float, top_p: float, possible: set[int]) -> None:
    chooser = Chooser(Sampling(temperature=temperature, top_p=top_p, seed=1))
    assert {chooser.choose(SCORES) for _ in range(200)} == possible


def test_how_often_they_are_chosen() -> None:
    chooser = Chooser(Sampling(temperature=1.0, top_p=0.7, seed=1))
    counts = Counter(chooser.choose(SCORES) for _ in range(4000))
    assert counts[1] / 4000 == pytest.approx(0.5 / 0.8, abs=0.03)


def test_heat_makes_tokens_more_alike() -> None:
    chooser = Chooser(Sampling(temperature=100.0, seed=1))
    counts = Counter(chooser.choose(SCORES) for _ in range(4000))
    assert counts[0] / 4000 == pytest.approx(0.25, abs=0.03)


def test_equal_seeds_give_equal_answers() -> None:
    one, two, other = (answer(model(), "你好", temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert one == two != other


def test_an_answer_has_at_most_so_many_tokens() -> None:
    pieces = list(model().stream(messages("你好"), Sampling(max_tokens=5, temperature=1.0, seed=3)))
    assert sum(piece.tokens for piece in pieces) == 5
    assert [piece.end for piece in pieces] == [""] * (len(pieces) - 1) + ["length"]


def test_an_answer_ends_where_the_context_does() -> None:
    babbling = model(longest_run=100)
    asked = babbling.count(messages("你好"))
    pieces = list(babbling.stream(messages("你好"), Sampling()))
    assert asked + sum(piece.tokens for piece in pieces) == SIZE.context
    assert pieces[-1].end == "length"


def test_the_beginning_of_a_long_prompt_is_forgotten() -> None:
    long = "你好" * SIZE.context
    assert model().count(messages(long)) == 2 * SIZE.context + 2
    pieces = list(model(longest_run=100).stream(messages(long), Sampling()))
    assert sum(piece.tokens for piece in pieces) == SIZE.context // 4


def test_a_prompt_may_hold_anything() -> None:
    assert model().count(messages("Ünknøwn 字 🦄")) > 0
    list(model().stream([Message(role="system", content=""), *messages("🦄", "", "\ud83e")], Sampling(max_tokens=3)))
    list(model().stream([], Sampling(max_tokens=3)))


def test_an_answer_ends_with_its_end_token() -> None:
    assert [(piece.text, piece.end) for piece in always(END).stream(messages("a"), Sampling())] == [("", "stop")]


def test_an_answer_that_goes_in_circles_ends() -> None:
    assert answer(always(GOOD), "a") == "好好好好"
    assert list(always(GOOD).stream(messages("a"), Sampling()))[-1].end == "stop"


def test_runs_that_were_learnt_are_no_circles() -> None:
    repeats = Repeats(longest_known=6)
    assert [repeats.is_loop(7) for _ in range(7)] == [False] * 6 + [True]
    assert not repeats.is_loop(8)


def test_an_answer_ends_before_a_stop() -> None:
    pieces = list(always(GOOD).stream(messages("a"), Sampling(stop=("好好好",))))
    assert ("".join(piece.text for piece in pieces), pieces[-1].end) == ("", "stop")
    assert answer(always(GOOD), "a", stop=("坏",)) == "好好好好"


@settings(deadline=None)
@given(st.text(alphabet="ab", max_size=12), st.text(alphabet="ab", min_size=1, max_size=4), st.integers(1, 5))
def test_stops_do_not_care_where_pieces_break(text: str, stop: str, length: int) -> None:
    texts, said, is_over = StopTexts([stop, "never"]), "", False
    for start in range(0, len(text), length):
        if not is_over:
            piece, is_over = texts.feed(text[start : start + length])
            said += piece
    said += "" if is_over else texts.finish()
    assert (said, is_over) == (text.split(stop)[0], stop in text)


def test_a_prompt_says_whose_turn_it_is() -> None:
    tokens = dialogue_prompt(TOKENIZER, [Message(role="system", content="a"), *messages("你", "好", "b")])
    assert tokens == [1, *TOKENIZER.encode("a"), 2, *TOKENIZER.encode("你"), 3, *TOKENIZER.encode("好"), 4, 2,
                      *TOKENIZER.encode("b"), 3]  # fmt: skip

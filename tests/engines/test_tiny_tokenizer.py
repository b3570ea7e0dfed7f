"""Text to tokens and back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.engines.tiny.tokenizer import SPECIAL, Tokenizer

LEARNT = Tokenizer.learn(["How are you? 你好吗？", "I am well. 我很好。\n"])


@settings(deadline=None)
@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    tokens = LEARNT.encode(text)
    assert LEARNT.decode(tokens) == text
    assert all(token not in SPECIAL for token in tokens)
    assert all(token < len(LEARNT) for token in tokens)


@settings(deadline=None)
@given(st.text())
def test_any_text_comes_back_token_by_token(text: str) -> None:
    decoder = LEARNT.decoder()
    assert "".join(map(decoder.feed, LEARNT.encode(text))) + decoder.finish() == text


@settings(deadline=None)
@given(st.lists(st.integers(0, len(LEARNT) - 1)))
def test_any_tokens_are_some_text(tokens: list[int]) -> None:
    decoder = LEARNT.decoder()
    assert "".join(map(decoder.feed, tokens)) + decoder.finish() == LEARNT.decode(tokens)


def test_words_carry_the_space_before_them() -> None:
    assert {"How", " are", " you", "你", "\n"} <= set(LEARNT.pieces)
    assert len(LEARNT.encode("How are you")) == 3


def test_what_was_never_seen_is_its_bytes() -> None:
    assert len(LEARNT.encode("字")) == 3
    assert len(LEARNT.encode(" unknown")) == 8


def test_the_commonest_pieces_are_kept() -> None:
    assert Tokenizer.learn(["b b b a a c"], limit=2).pieces == (" b", " a")


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert LEARNT.decode(LEARNT.encode("\ud83e?")) == "??"


def test_bytes_that_are_no_text() -> None:
    half = LEARNT.encode("字")[:2]
    decoder = LEARNT.decoder()
    assert [decoder.feed(token) for token in half] == ["", ""]
    assert decoder.finish() == LEARNT.decode(half) == "\ufffd"

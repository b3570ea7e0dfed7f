"""Text that comes in pieces: characters come whole, and stop texts end it however the pieces are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qianfan.engines.hf.text import Detokenizer, StopTexts


class Bytes:
    """A tokenizer with a token for each byte."""

    def decode(self, ids: list[int], **_: object) -> str:
        return bytes(ids).decode("utf-8", "replace")


@given(st.text())
def test_characters_come_whole(text: str) -> None:
    detokenizer = Detokenizer(Bytes())
    pieces = [detokenizer.feed(byte) for byte in text.encode()]
    assert "".join(pieces) + detokenizer.rest() == text
    assert all(len(piece) <= 1 for piece in pieces) or "\N{REPLACEMENT CHARACTER}" in text


def test_the_rest_of_a_broken_character_is_given_in_the_end() -> None:
    detokenizer = Detokenizer(Bytes())
    assert [detokenizer.feed(byte) for byte in "色".encode()[:2]] == ["", ""]
    assert detokenizer.rest() == "\N{REPLACEMENT CHARACTER}"
    assert detokenizer.rest() == ""


@given(st.text("ab\n"), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3), st.integers(1, 4))
def test_it_does_not_matter_where_pieces_break(text: str, stops: list[str], size: int) -> None:
    passing = StopTexts(stops)
    given = "".join(passing.feed(text[start : start + size]) for start in range(0, len(text), size)) + passing.rest()
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    assert passing.found == bool(places)
    assert given in ({text[:place] for place in places} or {text})


def test_nothing_passes_after_a_stop() -> None:
    passing = StopTexts(["END", ""])
    assert passing.feed("a E") == "a "
    assert passing.feed("ND b") == ""
    assert passing.feed("c") == ""
    assert passing.rest() == ""

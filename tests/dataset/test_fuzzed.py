"""The targets of the fuzzer with files that hypothesis makes; what the fuzzer once found stands here as an example."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing.targets import KNOWN, SUFFIXES, TARGETS

TEXTS = (".jsonl", ".json", ".csv", ".tsv", ".txt")

PIECES = st.sampled_from(
    [
        *KNOWN,
        *(b'"', b"[", b"]", b"{", b"}", b",", b":", b"\\", b"\n", b"\r\n", b" ", b"\t", b"null", b"1", b"NaN", b"true"),
        *(b'"prompt"', b'"response"', b'"prompt": "x"', b'"text"', b'""', b"\\u0000", b"\\ud800", b"\xff", b"\x00"),
        *(b"\xef\xbb\xbf", b"\xff\xfe", "你好".encode(), "你好".encode("gbk"), "\u3000".encode()),
    ]
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A good file with pieces cut out and put in, or nothing but pieces."""
    content = draw(st.sampled_from([b"", *KNOWN])) * draw(st.integers(1, 3))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        cut = draw(st.integers(0, 5))
        content = content[:at] + draw(PIECES) + content[at + cut :]
    return content


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, deadline=None)
@given(content=contents(), suffix=st.sampled_from(TEXTS))
def test_no_text_file_does_more_than_raise_a_typed_error(name: str, content: bytes, suffix: str) -> None:
    TARGETS[name](content, suffix)


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES))
def test_no_bytes_do_more_than_raise_a_typed_error(content: bytes, suffix: str) -> None:
    TARGETS["read"](content, suffix)

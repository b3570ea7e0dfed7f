"""Vectors of texts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator.vectors import closeness, embedding

GROUPS = [
    ("How do I fine-tune a language model?", "fine-tuning language models: how to", "The weather in Paris is sunny"),
    ("今天北京天气怎么样", "北京今天的天气如何", "如何训练一个大语言模型"),
    ("refund for a damaged parcel", "the parcel arrived damaged, can I get a refund", "opening hours of the museum"),
    ("python list comprehension", "comprehension of lists in Python", "boil the eggs for ten minutes"),
]


@pytest.mark.parametrize(("text", "same", "other"), GROUPS)
@pytest.mark.parametrize("size", [384, 1024])
def test_who_shares_words_is_nearer(text: str, same: str, other: str, size: int) -> None:
    near, far = (closeness(embedding(text, size), embedding(one, size)) for one in (same, other))
    assert near > far + 0.2


@given(st.text(max_size=50), st.sampled_from([384, 1024]))
def test_a_vector_has_its_size_and_length_one(text: str, size: int) -> None:
    vector = embedding(text, size)
    assert len(vector) == size
    assert math.isclose(closeness(vector, vector), 1.0, abs_tol=1e-3)
    assert vector == embedding(text, size)

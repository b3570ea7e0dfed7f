"""Limits of hyper-parameters, and the two spellings of their names."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.trainer.limits import Limit, TrainLimit, field_name, wire_key

EPOCH = Limit("epoch", "int", "range", (1, 50), 1)
RATE = Limit("learning_rate", "float", "range", (2e-7, 2e-4))
LENGTH = Limit("max_seq_len", "int", "choice", (4096, 8192))
LAYERS = Limit("lora_target_modules", "string", "mult_choice", ("q", "k", "v"))
FIXED = Limit("batch_size", "int", "range", (1,))
SWITCH = Limit("lora_all_linear", "string", "choice", ("True", "False"))


@pytest.mark.parametrize(
    ("limit", "value", "allowed"),
    [
        (EPOCH, 1, True),
        (EPOCH, 50, True),
        (EPOCH, 51, False),
        (EPOCH, 1.5, False),
        (EPOCH, True, False),
        (EPOCH, "3", False),
        (RATE, 2e-4, True),
        (RATE, 1, False),
        (RATE, math.nan, False),
        (LENGTH, 4096, True),
        (LENGTH, 5000, False),
        (LAYERS, ["q", "v"], True),
        (LAYERS, ["q", "w"], False),
        (LAYERS, "q", False),
        (FIXED, 1, True),
        (FIXED, 2, False),
        (SWITCH, "True", True),
        (SWITCH, True, False),
        (Limit("new", "tensor", "regex", ("x",)), object(), True),
        (Limit("new", "int", "range", ()), 7, True),
    ],
)
def test_limits(limit, value, allowed):
    assert limit.allows(value) is allowed


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (EPOCH, "1 to 50"),
        (LENGTH, "one of 4096, 8192"),
        (LAYERS, "a list of 'q', 'k', 'v'"),
        (FIXED, "exactly 1"),
        (Limit("seed", "int", "range", ()), "any int"),
    ],
)
def test_a_limit_explains_itself(limit, words):
    assert str(limit) == words


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("epoch", "epoch"),
        ("learning_rate", "learningRate"),
        ("max_seq_len", "maxSeqLen"),
        ("packing", "Packing"),
        ("lora_target_modules", "loraTargetModules"),
    ],
)
def test_names_have_two_spellings(field, key):
    assert wire_key(field) == key
    assert field_name(key) == field


@given(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=4).map("_".join))
def test_spelling_there_and_back_is_lossless(field):
    assert field_name(wire_key(field)) == field


def test_limits_merge_and_can_be_read_as_attributes():
    merged = TrainLimit({"epoch": EPOCH}) | TrainLimit({"max_seq_len": LENGTH})
    assert merged.epoch is merged["epoch"] is EPOCH
    assert list(merged) == ["epoch", "max_seq_len"]
    assert "1 to 50" in repr(merged)
    with pytest.raises(AttributeError, match="'lora_rank'"):
        _ = merged.lora_rank


def test_an_entry_of_the_wire_may_lack_everything_but_its_key():
    limit = Limit.from_wire({"key": "newThing", "surprise": 1})
    assert limit.field == "new_thing"
    assert limit.allows("anything")

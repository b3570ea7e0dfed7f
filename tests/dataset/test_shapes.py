"""Shapes of rows: recognised, read into typed rows, written in the platform's form, or explained."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.rows import Conversation, Turn
from qianfan.dataset.shapes import MAX_TURNS, SHAPES, RowFlaws, candidates, shape_named, why_unclear
from qianfan.errors import InvalidArgumentError

DIALOGUE = [{"prompt": "q", "response": [["a"]]}]


def turn(prompt: str = "q", *answers: str, **more) -> dict:
    return {"prompt": prompt, "response": [[answer] for answer in answers or ("a",)], **more}


def flaws(shape: str, value) -> list[str]:
    with pytest.raises(RowFlaws) as caught:
        SHAPES[shape].read(value)
    return [str(flaw) for flaw in caught.value.flaws]


@pytest.mark.parametrize(
    ("shape", "value", "line", "template"),
    [
        ("dialogue", DIALOGUE, DIALOGUE, DataTemplateType.NonSortedConversation),
        ("dialogue", [{"prompt": "q", "response": "a"}], DIALOGUE, DataTemplateType.NonSortedConversation),
        (
            "dialogue",
            [turn(system="be kind"), turn(weight=0)],
            [{"system": "be kind", **turn()}, {**turn(), "weight": 0}],
            DataTemplateType.NonSortedConversation,
        ),
        (
            "dialogue",
            [turn("q", "best", "second", score=[1, 0])],
            [turn("q", "best", "second", score=[1, 0])],
            DataTemplateType.SortedConversation,
        ),
        (
            "preference",
            [{"system": "s", "user": "q1", "assistant": "a1"}, {"user": "q2", "chosen": "good", "rejected": "bad"}],
            [{"system": "s", "user": "q1", "assistant": "a1"}, {"user": "q2", "chosen": "good", "rejected": "bad"}],
            DataTemplateType.PromptChosenRejected,
        ),
        (
            "preference",
            [{"user": "hi", "rejected": "go away"}],
            [{"user": "hi", "rejected": "go away"}],
            DataTemplateType.PromptChosenRejected,
        ),
        ("query", {"prompt": "q"}, {"prompt": "q"}, DataTemplateType.QuerySet),
        ("query", [{"prompt": "q"}], {"prompt": "q"}, DataTemplateType.QuerySet),
        ("text", "once upon a time", "once upon a time", DataTemplateType.GenericText),
        (
            "alpaca",
            {"instruction": "Add.", "input": "1 1", "output": "2"},
            [turn("Add.\n1 1", "2")],
            DataTemplateType.NonSortedConversation,
        ),
        (
            "alpaca",
            {"instruction": "And?", "input": "", "output": "2", "history": [["hi", "hello"]], "system": "s"},
            [{"system": "s", **turn("hi", "hello")}, turn("And?", "2")],
            DataTemplateType.NonSortedConversation,
        ),
        (
            "messages",
            {
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "user", "content": "q1"},
                    {"role": "assistant", "content": "a1"},
                    {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "text", "text": "2"}]},
                    {"role": "assistant", "content": "a2"},
                ]
            },
            [{"system": "s", **turn("q1", "a1")}, turn("q2", "a2")],
            DataTemplateType.NonSortedConversation,
        ),
        ("prompt_response", {"prompt": "q", "response": "a"}, DIALOGUE, DataTemplateType.NonSortedConversation),
        ("prompt_response", {"prompt": "q", "response": [["a"]]}, DIALOGUE, DataTemplateType.NonSortedConversation),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"},
            [{"system": "s", **turn()}],
            DataTemplateType.NonSortedConversation,
        ),
        (
            "sharegpt",
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "good"},
                "rejected": "bad",
            },
            [{"user": "q", "chosen": "good", "rejected": "bad"}],
            DataTemplateType.PromptChosenRejected,
        ),
    ],
)
def test_each_shape_becomes_a_line_of_the_platform(shape, value, line, template):
    row = SHAPES[shape].read(value)
    assert row.to_json() == line
    assert row.template_type is template


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (DIALOGUE, ["dialogue"]),
        ([{"user": "q", "chosen": "a"}], ["preference"]),
        ({"prompt": "q"}, ["query"]),
        ("text", ["text"]),
        ({"instruction": "i", "output": "o"}, ["alpaca"]),
        ({"messages": []}, ["messages"]),
        ({"prompt": "q", "response": "a"}, ["prompt_response"]),
        ({"conversations": []}, ["sharegpt"]),
        ([{"prompt": "q"}], ["dialogue", "query"]),
        ({"messages": [], "prompt": "q", "response": "a"}, ["messages", "prompt_response"]),
        ({"question": "q"}, []),
        ([], []),
        (3, []),
        (None, []),
    ],
)
def test_a_shape_is_recognised_by_its_names(value, names):
    assert [shape.name for shape in candidates(value)] == names


def test_an_unclear_row_names_the_candidates_or_the_known_shapes():
    value = [{"prompt": "q"}]
    assert why_unclear(value, candidates(value)).endswith("dialogue, query; say which one with format='dialogue'")
    assert "(an object with 'question') fits no known format; known formats: dialogue" in why_unclear(
        {"question": 1}, []
    )


def test_an_unknown_shape_names_the_nearest():
    with pytest.raises(InvalidArgumentError, match="unknown format 'alpacca'; did you mean 'alpaca'"):
        shape_named("alpacca")


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        ("dialogue", {}, ["must be a list of turns, not an object"]),
        ("dialogue", [], ["must be a list of turns, not empty"]),
        ("dialogue", ["hi"], ["[0]: must be an object, not a text"]),
        ("dialogue", [{"prompt": "q"}], ["[0]: 'response' is missing: a row without an answer cannot be trained on"]),
        ("dialogue", [{"response": [["a"]]}], ["[0]: 'prompt' is missing"]),
        ("dialogue", [turn("q", " ")], ["[0].response[0][0]: is empty"]),
        ("dialogue", [turn(3)], ["[0].prompt: must be a text, not a number"]),
        (
            "dialogue",
            [{"prompt": "q", "response": [["a", "b"]]}],
            ["[0].response[0]: must be a list with one answer, not 2 answers"],
        ),
        (
            "dialogue",
            [{"prompt": "q", "response": ["a"]}],
            ["[0].response[0]: must be a list with one answer, not a text"],
        ),
        ("dialogue", [{"prompt": "q", "response": []}], ['[0].response: must look like [["answer"]], not empty']),
        ("dialogue", [{"prompt": "q", "response": None}], ['[0].response: must look like [["answer"]], not null']),
        ("dialogue", [turn(), turn(system="s")], ["[1].system: belongs to the first turn"]),
        ("dialogue", [turn(weight=2)], ["[0].weight: must be 0 or 1, not 2"]),
        (
            "dialogue",
            [turn("q", "a", "b"), turn()],
            ["[0].response: only the last turn may have several ranked answers"],
        ),
        ("dialogue", [turn("\ud800")], ["[0].prompt: holds half of a surrogate pair, which no UTF-8 file can"]),
        ("preference", [{"user": "q"}], ["[0]: the last turn needs 'chosen' and 'rejected', or one of them"]),
        (
            "preference",
            [{"user": "q", "chosen": "a"}, {"user": "q", "chosen": "a"}],
            ["[0].chosen: belongs to the last turn; earlier turns have 'assistant'", "[0]: 'assistant' is missing"],
        ),
        ("query", 3, ["must be an object, not a number"]),
        ("text", "  ", ["is empty"]),
        ("alpaca", [], ["must be an object, not a list"]),
        ("alpaca", {"instruction": "", "output": None}, ["instruction: is empty", "output: must be a text, not null"]),
        (
            "alpaca",
            {"instruction": "i", "output": "o", "history": [["q"]]},
            ["history[0]: must be a list of a question and its answer"],
        ),
        ("messages", {"messages": "hi"}, ["messages: must be a list of messages, not a text"]),
        (
            "messages",
            {"messages": [{"role": "tool", "content": "x"}]},
            ["messages[0].role: no place for role 'tool' in training rows"],
        ),
        (
            "messages",
            {"messages": [{"role": "user", "content": "q"}]},
            ["messages[0]: the last question has no answer"],
        ),
        (
            "messages",
            {"messages": [{"role": "assistant", "content": "a"}, {"role": "system", "content": "s"}]},
            ["messages[0]: an answer without a question before it", "messages[1]: a system message must come first"],
        ),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "a"}]},
            ["messages[0].content[0]: only parts of type 'text' can be used, not 'image_url'"],
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "observation", "value": "x"}]},
            ["conversations[0]: no place for 'observation' in training rows"],
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "gpt", "value": "x"}], "chosen": "a"},
            ["conversations: must end with a question when the answers are in 'chosen' and 'rejected'"],
        ),
    ],
)
def test_every_flaw_of_a_row_has_its_place(shape, value, expected):
    assert flaws(shape, value) == expected


def test_a_row_can_have_so_many_turns_and_no_more():
    SHAPES["dialogue"].read([turn()] * MAX_TURNS)
    (flaw,) = flaws("dialogue", [turn()] * (MAX_TURNS + 1))
    assert flaw == "[150]: the platform cuts a row after 150 turns, this one has 151"


NAMES = (
    *("prompt", "response", "system", "messages", "role", "content", "user", "chosen", "conversations", "from"),
    *("value", "instruction", "input", "output", "history", "weight", "score", "type", "text"),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@given(value=json_values, name=st.sampled_from(sorted(SHAPES)))
def test_no_value_breaks_a_reader(value, name):
    """Whatever a file holds, it is a row that can be written, or a list of flaws."""
    for shape in [*candidates(value), SHAPES[name]]:
        with suppress(RowFlaws):
            json.dumps(shape.read(value).to_json(), ensure_ascii=False).encode()


good_text = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(good_text, good_text), min_size=1, max_size=5), st.none() | good_text)
def test_the_platforms_form_reads_back_to_the_same_row(pairs, system):
    turns = [Turn(prompt, (answer,)) for prompt, answer in pairs]
    turns[0] = Turn(turns[0].prompt, turns[0].responses, system)
    row = Conversation(tuple(turns))
    assert SHAPES["dialogue"].read(json.loads(json.dumps(row.to_json()))) == row

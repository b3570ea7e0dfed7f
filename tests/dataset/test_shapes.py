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
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import InvalidArgumentError

DIALOGUE = [{"prompt": "q", "response": [["a"]]}]
PAIR = [{"user": "q", "chosen": "a", "rejected": "b"}]
CHAT = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
ASKED = [{"role": "user", "content": "q"}]
ANSWERED = {"role": "assistant", "content": "a"}
PREFERENCE = DataTemplateType.PromptChosenRejected
WORSE = {"role": "assistant", "content": "b"}


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
        ("dialogue", [turn(weight=1.0)], [turn(weight=1)], DataTemplateType.NonSortedConversation),
        ("text", {"text": "once", "url": "u"}, "once", DataTemplateType.GenericText),
        (
            "text2image",
            {"image": "cat.png", "text": "a cat"},
            {"image": "cat.png", "prompt": "a cat"},
            DataTemplateType.Text2Image,
        ),
        (
            "messages",
            {"messages": [{"role": "developer", "content": "s"}, *ASKED, {**ANSWERED, "weight": 0}], "id": 7},
            [{"system": "s", **turn(weight=0)}],
            DataTemplateType.NonSortedConversation,
        ),
        (
            "messages",
            {"messages": [*ASKED, ANSWERED], "system": "s"},
            [{"system": "s", **turn()}],
            DataTemplateType.NonSortedConversation,
        ),
        ("sharegpt", {"conversations": [*ASKED, ANSWERED]}, DIALOGUE, DataTemplateType.NonSortedConversation),
        ("messages", {"messages": ASKED, "chosen": ANSWERED, "rejected": WORSE}, PAIR, PREFERENCE),
        ("messages", {"messages": [*ASKED, WORSE], "kto_tag": False}, [{"user": "q", "rejected": "b"}], PREFERENCE),
        ("sharegpt", {**CHAT, "kto_tag": "True"}, [{"user": "q", "chosen": "a"}], PREFERENCE),
        (
            "alpaca",
            {"instruction": "q", "output": "a", "kto_tag": 1, "history": [["q0", "a0"]], "system": "s"},
            [{"system": "s", "user": "q0", "assistant": "a0"}, {"user": "q", "chosen": "a"}],
            PREFERENCE,
        ),
        ("alpaca", {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"}, PAIR, PREFERENCE),
        ("prompt_completion", {"prompt": "q", "completion": "a"}, DIALOGUE, DataTemplateType.NonSortedConversation),
        (
            "prompt_completion",
            {"prompt": ASKED, "completion": [ANSWERED]},
            DIALOGUE,
            DataTemplateType.NonSortedConversation,
        ),
        ("dpo", {"prompt": "q", "chosen": "a", "rejected": "b"}, PAIR, PREFERENCE),
        ("dpo", {"prompt": ASKED, "chosen": ANSWERED, "rejected": [WORSE]}, PAIR, PREFERENCE),
        ("dpo", {"prompt": "q", "chosen": [*ASKED, ANSWERED], "rejected": [*ASKED, WORSE]}, PAIR, PREFERENCE),
        ("dpo", {"chosen": [*ASKED, ANSWERED], "rejected": [*ASKED, WORSE]}, PAIR, PREFERENCE),
        ("dpo", {"instruction": "q", "chosen": "a", "rejected": "b"}, PAIR, PREFERENCE),
        (
            "dpo",
            {"prompt": [*ASKED, ANSWERED, *ASKED], "chosen": "a", "rejected": "b", "system": "s"},
            [{"system": "s", "user": "q", "assistant": "a"}, *PAIR],
            PREFERENCE,
        ),
        ("kto", {"prompt": "q", "completion": "a", "label": True}, [{"user": "q", "chosen": "a"}], PREFERENCE),
        ("kto", {"prompt": "q", "completion": "b", "label": "false"}, [{"user": "q", "rejected": "b"}], PREFERENCE),
        ("kto", {"prompt": ASKED, "completion": [WORSE], "label": 0}, [{"user": "q", "rejected": "b"}], PREFERENCE),
        ("kto", {**CHAT, "kto_tag": False}, [{"user": "q", "rejected": "a"}], PREFERENCE),
        ("table", {"question": "q", "n": [1]}, {"question": "q", "n": [1]}, None),
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
        ([{"prompt": "q", "user": "q"}], ["dialogue", "preference", "query"]),
        ({"prompt": "q", "label": 1}, ["query"]),
        ({"prompt": "q", "text": "t"}, ["query", "text"]),
        ({"prompt": "q", "image": "i"}, ["text2image"]),
        ({"prompt": "q", "output": "o"}, ["table"]),
        ({"prompt": "q", "completion": "a"}, ["prompt_completion"]),
        ({"prompt": "q", "completion": "a", "label": True}, ["kto"]),
        ({"prompt": "q", "completion": "a", "kto_tag": True}, ["prompt_completion"]),
        ({"prompt": "q", "response": "a", "completion": "a"}, ["prompt_response", "prompt_completion"]),
        ({"prompt": "q", "response": "a", "label": 1}, ["prompt_response"]),
        ({"prompt": "q", "response": "a", "chosen": "c", "rejected": "r"}, ["prompt_response", "dpo"]),
        ({"prompt": "q", "chosen": "c", "rejected": "r"}, ["dpo"]),
        ({"prompt": "q", "chosen": "c"}, ["table"]),
        ({"prompt": "q", "chosen": "c", "rejected": "r", "messages": []}, ["messages", "dpo"]),
        ({"prompt": "q", "completion": "a", "label": True, "rejected": "r", "chosen": "c"}, ["dpo", "kto"]),
        ({"chosen": [], "rejected": []}, ["dpo"]),
        ({"chosen": "Human: hi", "rejected": "Human: hi"}, ["table"]),
        ({"instruction": "i", "chosen": "c", "rejected": "r"}, ["alpaca"]),
        ({"instruction": "i", "chosen": "c"}, ["table"]),
        ({"instruction": "i", "input": "i", "output": "o", "text": "t"}, ["text", "alpaca"]),
        ({"instruction": "i", "output": "o", "messages": []}, ["alpaca", "messages"]),
        ({"instruction": "i", "output": "o", "kto_tag": True}, ["alpaca"]),
        ({"instruction": "i", "output": "o", "prompt": "p"}, ["alpaca"]),
        ({"messages": [], "prompt": "q"}, ["messages"]),
        ({"messages": [], "prompt": "q", "response": "a"}, ["messages", "prompt_response"]),
        ({"messages": [], "conversations": []}, ["messages", "sharegpt"]),
        ({"messages": [], "chosen": [], "rejected": []}, ["messages"]),
        ({"messages": [], "text": "t"}, ["text", "messages"]),
        ({"conversations": [], "chosen": [], "rejected": []}, ["sharegpt"]),
        ({"conversations": [], "kto_tag": True}, ["sharegpt"]),
        ({"text": "t"}, ["text"]),
        ({"text": "t", "label": 1, "url": "u"}, ["text"]),
        ({"image": "i", "text": "t"}, ["text", "text2image"]),
        ({"image": "i", "prompt": "p", "response": "a"}, ["prompt_response", "text2image"]),
        ({"input": "i", "output": "o"}, ["answers"]),
        ({"input": "i", "output": "o", "messages": []}, ["messages", "answers"]),
        ({"question": "q"}, ["table"]),
        ({}, ["table"]),
        ([], []),
        ([{"role": "user", "content": "q"}], []),
        (3, []),
        (None, []),
    ],
)
def test_a_shape_is_recognised_by_its_names_and_by_no_guess(value, names):
    assert [shape.name for shape in candidates(value)] == names


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ([{"prompt": "q"}], "the row fits several formats: dialogue, query; say which one with format='dialogue'"),
        ({"prompt": "q", "chosen": "c"}, "nearest is dpo, like {example}, which also needs 'rejected'"),
        ({"promt": "q", "response": "a"}, "nearest is prompt_response, like {example}, which also needs 'prompt' "),
        ({"promt": "q", "response": "a"}, "(is that 'promt'?)"),
        (
            {"question": "q", "answer": "a"},
            "(an object with 'question', 'answer') fits no known format; formats are told",
        ),
        ({"question": "q", "answer": "a"}, "prompt_response (prompt, response)"),
        ({"question": "q", "answer": "a"}, "rename yours with col_renames, or make rows with map"),
        ([{"role": "user", "content": "q"}], 'give the list a name: {{"messages": […]}}'),
        ([{"from": "human", "value": "q"}], 'give the list a name: {{"conversations": […]}}'),
        (3, "the row (a number) fits no known format; known formats: dialogue, preference"),
    ],
)
def test_an_unclear_row_names_the_candidates_or_the_way_out(value, advice):
    said = why_unclear(value, candidates(value))
    shape = next((shape for name, shape in SHAPES.items() if f"nearest is {name}," in said), None)
    assert advice.format(example=shape.example if shape else "") in said


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
            {"messages": [{"role": "critic", "content": "x"}]},
            ["messages[0].role: no place for role 'critic' in training rows"],
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
            {"conversations": [{"from": "critic", "value": "x"}]},
            ["conversations[0]: no place for 'critic' in training rows"],
        ),
        (
            "sharegpt",
            {
                "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "x"}],
                "chosen": {"from": "human", "value": "a"},
            },
            [
                "conversations: must end with a question when the answers are in 'chosen' and 'rejected'",
                "chosen: must be said by the assistant",
            ],
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "system", "value": "s"}, *CHAT["conversations"]], "system": "other"},
            ["system: differs from the system message of the conversation"],
        ),
        (
            "sharegpt",
            {**CHAT, "kto_tag": "perhaps", "chosen": "a"},
            [
                "kto_tag: stands beside 'chosen': is one answer judged, or are there two?",
                "kto_tag: must be true or false, not a text, 'perhaps'",
            ],
        ),
        (
            "alpaca",
            {"instruction": "i", "output": "o", "chosen": "c"},
            [
                "'rejected' is missing",
                "output: stands beside 'chosen' and 'rejected': is it the answer, or are they?",
            ],
        ),
        ("dialogue", [turn(weight=0.5)], ["[0].weight: must be 0 or 1, not 0.5"]),
        ("dialogue", [turn(weight="1")], ["[0].weight: must be 0 or 1, not '1'"]),
        ("dialogue", [turn(score=[1, 2])], ["[0].score: must be a list with a whole number for each answer"]),
        ("dialogue", [turn(score=5)], ["[0].score: must be a list with a whole number for each answer"]),
        ("dialogue", [turn("q\0")], ["[0].prompt: holds a NUL character"]),
        ("text", {"text": 5}, ["text: must be a text, not a number"]),
        ("text2image", {"image": "", "prompt": "p"}, ["image: is empty"]),
        ("answers", {"input": "i", "output": "\0"}, ["output: holds a NUL character"]),
        ("kto", {"prompt": "q", "completion": "a", "label": 2}, ["label: must be true or false, not a number, 2"]),
        (
            "kto",
            {"prompt": "q", "completion": "a", "label": "good"},
            ["label: must be true or false, not a text, 'good'"],
        ),
        ("kto", {"prompt": "q", "completion": "a", "label": None}, ["label: must be true or false, not null"]),
        ("kto", {"prompt": "q", "completion": "a"}, ["is a row of the format prompt_completion among kto rows"]),
        (
            "kto",
            {"prompt": "q", "label": True, "completion": [{"role": "user", "content": "a"}]},
            [
                "completion[0]: must be said by the assistant",
                "completion[0]: two questions in a row; join them or add the answer between",
                "completion[0]: the last question has no answer",
            ],
        ),
        ("dpo", {"prompt": "q", "chosen": "a"}, ["'rejected' is missing"]),
        ("dpo", {"prompt": [*ASKED, ANSWERED], "chosen": "a", "rejected": "b"}, ["prompt: must end with a question"]),
        (
            "dpo",
            {"prompt": "other", "chosen": [*ASKED, ANSWERED], "rejected": [*ASKED, ANSWERED]},
            ["chosen: begins with other messages than 'prompt'"],
        ),
        (
            "dpo",
            {"prompt": "q", "chosen": [*ASKED, ANSWERED], "rejected": [ANSWERED]},
            ["rejected: begins with other messages than 'chosen'"],
        ),
        (
            "prompt_completion",
            {"prompt": [], "completion": "a"},
            ["prompt: must be a list of messages, not empty", "completion: an answer without a question before it"],
        ),
        ("alpaca", {"messages": []}, ["is a row of the format messages among alpaca rows"]),
        ("dialogue", {"prompt": "q"}, ["is a row of the format query among dialogue rows"]),
    ],
)
def test_every_flaw_of_a_row_has_its_place(shape, value, expected):
    assert flaws(shape, value) == expected


def test_a_row_can_have_so_many_turns_and_no_more():
    SHAPES["dialogue"].read([turn()] * MAX_TURNS)
    (flaw,) = flaws("dialogue", [turn()] * (MAX_TURNS + 1))
    assert flaw == "[150]: the platform cuts a row after 150 turns, this one has 151"


MISSPELT = {"instructions": "i", "output": "o"}
ALPACA = {"instruction": "i", "output": "o"}
JUDGED = [{"user": "q", "chosen": "a"}]


@pytest.mark.parametrize(
    ("values", "format", "shape", "problems"),
    [
        ([ALPACA, ALPACA], None, "alpaca", []),
        ([MISSPELT, ALPACA], None, "alpaca", ["row 1: 'instruction' is missing"]),
        ([MISSPELT, {"a": 1}], None, "table", []),
        ([{"a": 1}, ALPACA], "table", "table", []),
        ([ALPACA, DIALOGUE], None, "alpaca", ["row 2: is a row of the format dialogue among alpaca rows"]),
        ([DIALOGUE, ALPACA], None, "dialogue", ["row 2: is a row of the format alpaca among dialogue rows"]),
        ([{"prompt": "q"}, {"prompt": "q", "response": "a"}], "query", "query", []),
        (
            [{"prompt": "q"}, {"prompt": "q", "response": "a"}],
            None,
            "query",
            ["row 2: is a row of the format prompt_response among query rows"],
        ),
        (
            [PAIR, JUDGED],
            None,
            "preference",
            ["row 2: is a KTO_PromptChosenRejected row among DPO_PromptChosenRejected rows"],
        ),
        (
            [JUDGED, PAIR],
            None,
            "preference",
            ["row 2: is a DPO_PromptChosenRejected row among KTO_PromptChosenRejected rows"],
        ),
        (
            [DIALOGUE, [turn("q", "a", "b")]],
            None,
            "dialogue",
            ["row 2: is a SortedConversation row among NonSortedConversation rows"],
        ),
    ],
)
def test_rows_of_two_kinds_are_no_dataset(values, format, shape, problems):
    source = MemoryDataSource(values, format=format)
    assert source.shape is SHAPES[shape]
    read = [source.read(raw) for raw in source.raw_rows()]
    assert [str(problem) for row in read if isinstance(row, list) for problem in row] == problems


NAMES = (
    *("prompt", "response", "system", "messages", "role", "content", "user", "chosen", "conversations", "from"),
    *("value", "instruction", "input", "output", "history", "weight", "score", "type", "text", "rejected", "label"),
    *("completion", "kto_tag", "tools", "tool_calls", "function", "name", "arguments", "image", "function_call"),
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


good_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(good_text, good_text), min_size=1, max_size=5), st.none() | good_text)
def test_the_platforms_form_reads_back_to_the_same_row(pairs, system):
    turns = [Turn(prompt, (answer,)) for prompt, answer in pairs]
    turns[0] = Turn(turns[0].prompt, turns[0].responses, system)
    row = Conversation(tuple(turns))
    assert SHAPES["dialogue"].read(json.loads(json.dumps(row.to_json()))) == row

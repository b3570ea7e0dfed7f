"""Rows into every shape that can say them and back, refusals of those that cannot, and the quick ways."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qianfan.dataset.rows import (
    Answered,
    Columns,
    Conversation,
    Picture,
    Preference,
    PreferenceTurn,
    Query,
    Text,
    Turn,
    conversation,
)
from qianfan.dataset.shapes import MAX_TURNS, SHAPES, RowFlaws, candidates
from qianfan.dataset.shapes.quick import MEANINGFUL, WAYS
from qianfan.dataset.shapes.tools import Call, calls_text, results_text, tools_text

PLAIN = conversation([("q", "a")])
MANY = conversation([("q1", "a1"), ("q2", "a2")])
PAIR = Preference((PreferenceTurn("q", chosen="a", rejected="b"),))
TOLD = tools_text(None, [{"type": "function", "function": {"name": "weather"}}]) or ""
RATED = Preference((PreferenceTurn("q", rejected="b"),))


def with_system(row, system="s"):
    return replace(row, turns=(replace(row.turns[0], system=system), *row.turns[1:]))


def refusal(shape: str, row) -> list[str]:
    with pytest.raises(RowFlaws) as caught:
        SHAPES[shape].write(row)
    assert all(flaw.rule == "cannot-say" and flaw.fix for flaw in caught.value.flaws)
    return [str(flaw) for flaw in caught.value.flaws]


# --- what each shape can say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "written"),
    [
        (
            PLAIN,
            {
                "dialogue": [{"prompt": "q", "response": [["a"]]}],
                "alpaca": {"instruction": "q", "input": "", "output": "a"},
                "messages": {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
                "prompt_response": {"prompt": "q", "response": "a"},
                "prompt_completion": {"prompt": "q", "completion": "a"},
                "sharegpt": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            },
        ),
        (
            with_system(MANY),
            {
                "dialogue": [
                    {"system": "s", "prompt": "q1", "response": [["a1"]]},
                    {"prompt": "q2", "response": [["a2"]]},
                ],
                "alpaca": {
                    "instruction": "q2",
                    "input": "",
                    "output": "a2",
                    "system": "s",
                    "history": [["q1", "a1"]],
                },
                "messages": {
                    "messages": [
                        {"role": "system", "content": "s"},
                        {"role": "user", "content": "q1"},
                        {"role": "assistant", "content": "a1"},
                        {"role": "user", "content": "q2"},
                        {"role": "assistant", "content": "a2"},
                    ]
                },
                "prompt_response": {"prompt": "q2", "response": "a2", "system": "s", "history": [["q1", "a1"]]},
                "sharegpt": {
                    "conversations": [
                        {"from": "human", "value": "q1"},
                        {"from": "gpt", "value": "a1"},
                        {"from": "human", "value": "q2"},
                        {"from": "gpt", "value": "a2"},
                    ],
                    "system": "s",
                },
            },
        ),
        (
            Conversation((Turn("q", ("a",), weight=0),)),
            {
                "dialogue": [{"prompt": "q", "response": [["a"]], "weight": 0}],
                "messages": {
                    "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]
                },
            },
        ),
        (
            Conversation((Turn("q", ("a", "b")),)),
            {
                "dialogue": [{"prompt": "q", "response": [["a"], ["b"]]}],
                "prompt_response": {"prompt": "q", "response": [["a"], ["b"]]},
            },
        ),
        (
            Conversation((Turn("q", ("a", "b"), scores=(2, 1)),)),
            {"dialogue": [{"prompt": "q", "response": [["a"], ["b"]], "score": [2, 1]}]},
        ),
        (Conversation((Turn("q"),)), {"dialogue": [{"prompt": "q"}]}),
        (
            PAIR,
            {
                "preference": [{"user": "q", "chosen": "a", "rejected": "b"}],
                "alpaca": {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
                "messages": {
                    "messages": [{"role": "user", "content": "q"}],
                    "chosen": {"role": "assistant", "content": "a"},
                    "rejected": {"role": "assistant", "content": "b"},
                },
                "sharegpt": {
                    "conversations": [{"from": "human", "value": "q"}],
                    "chosen": {"from": "gpt", "value": "a"},
                    "rejected": {"from": "gpt", "value": "b"},
                },
                "dpo": {
                    "prompt": [{"role": "user", "content": "q"}],
                    "chosen": [{"role": "assistant", "content": "a"}],
                    "rejected": [{"role": "assistant", "content": "b"}],
                },
            },
        ),
        (
            RATED,
            {
                "preference": [{"user": "q", "rejected": "b"}],
                "alpaca": {"instruction": "q", "input": "", "output": "b", "kto_tag": False},
                "messages": {
                    "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}],
                    "kto_tag": False,
                },
                "sharegpt": {
                    "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "b"}],
                    "kto_tag": False,
                },
                "kto": {
                    "prompt": [{"role": "user", "content": "q"}],
                    "completion": [{"role": "assistant", "content": "b"}],
                    "label": False,
                },
            },
        ),
        (Query("q"), {"query": {"prompt": "q"}}),
        (Text("t"), {"text": "t"}),
        (Picture("cat.png", "a cat"), {"text2image": {"image": "cat.png", "prompt": "a cat"}}),
        (Answered("q", "a", "r"), {"answers": {"input": "q", "reference": "r", "output": "a"}}),
        (Columns({"n": 1}), {"table": {"n": 1}}),
    ],
)
def test_each_row_is_written_in_the_shapes_that_have_a_place_for_all_of_it(row, written):
    for name, shape in SHAPES.items():
        if name in written:
            assert shape.write(row) == written[name]
        else:
            refusal(name, row)


@pytest.mark.parametrize(
    ("shape", "row", "expected"),
    [
        ("alpaca", Query("q"), ["the format alpaca has no place for a question without an answer"]),
        ("dpo", RATED, ["the format dpo has no place for an answer that is judged"]),
        ("kto", PAIR, ["the format kto has no place for a better and a worse answer"]),
        ("messages", Text("t"), ["the format messages has no place for a plain text"]),
        ("sharegpt", Picture("i", "p"), ["the format sharegpt has no place for a picture"]),
        (
            "alpaca",
            Conversation((Turn("q1", ("a", "b"), weight=1), Turn("q2", scores=(1,)))),
            [
                "[0].response: the format alpaca has no place for ranked answers",
                "[0].weight: the format alpaca has no place for weights",
                "[1].response: the format alpaca has no place for a question without an answer",
                "[1].score: the format alpaca has no place for scores",
            ],
        ),
        (
            "prompt_completion",
            with_system(MANY),
            [
                "[1]: the format prompt_completion has no place for several turns",
                "[0].system: the format prompt_completion has no place for a system text",
            ],
        ),
    ],
)
def test_what_a_shape_cannot_say_is_refused_with_its_place(shape, row, expected):
    assert refusal(shape, row) == expected


# --- there and back --------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5).filter(str.strip)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
calls = st.lists(st.builds(Call, words, st.dictionaries(words, json_values, max_size=2)), min_size=1, max_size=2)
tools = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"), "function": st.fixed_dictionaries({"name": words, "parameters": json_values})}
    ),
    max_size=2,
)
prompts = words | st.lists(st.text("ab\n", max_size=3), min_size=1, max_size=2).map(results_text)
answers = words | st.builds(calls_text, st.just("") | words, calls)
# Texts that look like tools, but are not written as they are, are only texts.
nearly = st.sampled_from(
    [
        *("<tool_call>\n{}\n</tool_call>", '\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'),
        *('<tool_call>\n{"name":"f","arguments":{}}\n</tool_call>', "<tool_response>\n</tool_response>"),
        *('<tool_call>\n{"name": "f", "arguments": {"x": 1e999}}\n</tool_call>', "</tool_call>"),
        *('<tool_call>\n{"name": "f", "arguments": {"x": "\\u0000"}}\n</tool_call>', TOLD.replace("weather", "")),
        *('<tool_call>\n{"arguments": {}, "name": "f"}\n</tool_call>', " \n# Tools\n\n"),
    ]
)
systems = st.none() | nearly | st.builds(tools_text, st.none() | words | nearly, tools)
turns = st.builds(Turn, prompts | nearly, st.tuples(answers | nearly), weight=st.none() | st.sampled_from([0, 1]))
last_turns = turns | st.integers(2, 3).flatmap(
    lambda size: st.builds(
        Turn,
        words,
        st.lists(words, min_size=size, max_size=size).map(tuple),
        scores=st.none() | st.lists(st.integers(0, 9), min_size=size, max_size=size).map(tuple),
    )
)


def told(system, before, last, row):
    first, *rest = [*before, last]
    return row((replace(first, system=system), *rest))


conversations = st.builds(told, systems, st.lists(turns, max_size=3), last_turns, st.just(Conversation))
judged = st.one_of(
    st.builds(PreferenceTurn, prompts, chosen=answers, rejected=answers | nearly),
    st.builds(PreferenceTurn, prompts, chosen=answers),
    st.builds(PreferenceTurn, prompts, rejected=answers),
)
earlier = st.lists(st.builds(PreferenceTurn, prompts | nearly, answers | nearly), max_size=2)
preferences = st.builds(told, systems, earlier, judged, st.just(Preference))
rows = st.one_of(
    conversations,
    preferences,
    st.builds(Query, words),
    st.builds(Text, words),
    st.builds(Picture, words, words),
    st.builds(Answered, words, st.none() | words, st.just("") | words, st.just("") | words),
    st.dictionaries(words, json_values).map(Columns),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(row=rows)
def test_what_is_written_reads_back_to_the_same_row(row):
    written = {}
    for name, shape in SHAPES.items():
        with suppress(RowFlaws):
            written[name] = json.dumps(shape.write(row))
    assert written
    for name, text in written.items():
        assert SHAPES[name].read(json.loads(text)) == row, name


# --- the quick ways --------------------------------------------------------------------------------------------------

QUICK = [name for name, shape in SHAPES.items() if shape.quick_format is not None]
hostile = st.one_of(
    words,
    st.sampled_from(
        ["", " \u3000", "\0", "a\ud800", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")]
    ),
    st.sampled_from([None, True, False, 0, 1, 1.0, [], {}, [["a"]], [["a"], ["b"]], [["a", "b"]], ["a"]]),
)
keys = st.sampled_from([*sorted(MEANINGFUL), "id", "role", "content", "from", "value", "user", "assistant", "weight"])


def objects(**parts):
    """Objects that are right, or have a hostile part, lack one, or have something beside."""
    right = st.fixed_dictionaries(parts)
    mostly = {name: st.one_of(values, values, values, hostile) for name, values in parts.items()}
    beside = st.builds(lambda one, two: {**one, **two}, right, st.dictionaries(keys, hostile, max_size=1))
    return st.one_of(right, right, right, beside, st.fixed_dictionaries({}, optional=mostly))


def lists(values):
    return st.lists(values, min_size=1, max_size=3) | st.just([])


prompt_turns = objects(prompt=words, response=st.tuples(st.tuples(words).map(list)).map(list) | words)
openai = objects(role=st.sampled_from(["user", "assistant", "system", "tool"]), content=words)
sharegpt = objects(**{"from": st.sampled_from(["human", "gpt", "user", "system", "function_call"]), "value": words})
pairs_of = {
    "openai": st.lists(words, min_size=2, max_size=4).map(
        lambda texts: [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    ),
    "sharegpt": st.lists(words, min_size=2, max_size=4).map(
        lambda texts: [{"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)]
    ),
}
VALUES = {
    "dialogue": lists(prompt_turns | objects(system=words, prompt=words, response=st.just([["a"]]))),
    "preference": st.builds(
        lambda before, last: [*before, last],
        st.lists(objects(user=words, assistant=words), max_size=2),
        objects(user=words, chosen=words, rejected=words) | objects(system=words, user=words, chosen=words),
    ),
    "query": objects(prompt=words) | lists(objects(prompt=words)),
    "text": words | hostile | objects(text=words),
    "alpaca": objects(instruction=words, input=st.just("") | words, output=words)
    | objects(instruction=words, output=words, system=st.just("") | words, history=st.just([])),
    "messages": objects(messages=pairs_of["openai"] | lists(openai)),
    "prompt_response": objects(prompt=words, response=words | st.just([["a"]]))
    | objects(prompt=words, response=words, system=words),
    "prompt_completion": objects(prompt=words, completion=words),
    "sharegpt": objects(conversations=pairs_of["sharegpt"] | lists(sharegpt)),
    "dpo": objects(prompt=words, chosen=words, rejected=words),
    "kto": objects(prompt=words, completion=words, label=st.booleans()),
}


def test_every_quick_way_is_tried_out():
    assert list(VALUES) == QUICK == [name for name in SHAPES if name in WAYS]
    assert SHAPES["table"].quick({"a": 1}) is None
    assert {key for shape in SHAPES.values() for form in shape.needs for key in form} <= MEANINGFUL


@settings(max_examples=400, deadline=None)
@given(data=st.data(), name=st.sampled_from(QUICK))
def test_the_quick_way_says_what_the_careful_one_says(data, name):
    value = data.draw(VALUES[name])
    shape = SHAPES[name]
    given = json.dumps(value)
    found = shape.quick(value)
    if found is not None:
        row = shape.read(value)
        assert json.dumps(row.to_json()) == json.dumps(found)
        assert row.data_format is shape.quick_format
        assert candidates(value) == [shape]
        json.dumps(found, ensure_ascii=False).encode()
    assert json.dumps(value) == given


@settings(max_examples=100, deadline=None)
@given(data=st.data(), name=st.sampled_from(QUICK))
def test_any_other_shapes_rows_never_pass_the_quick_way(data, name):
    value = data.draw(VALUES[data.draw(st.sampled_from(QUICK))])
    if SHAPES[name].quick(value) is not None:
        assert candidates(value) == [SHAPES[name]]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("dialogue", [{"system": "s", "prompt": "q", "response": [["a"]]}, {"prompt": "q", "response": [["a"]]}], None),
        ("preference", [{"user": "q", "assistant": "a"}, {"user": "q", "chosen": "a", "rejected": "b"}], None),
        ("query", {"prompt": "q"}, None),
        ("query", {"prompt": "q", "id": 1}, {"prompt": "q"}),
        ("text", "t", None),
        ("text", {"text": "t", "url": "u"}, "t"),
        ("alpaca", {"instruction": "q", "input": "", "output": "a"}, [{"prompt": "q", "response": [["a"]]}]),
        (
            "alpaca",
            {"instruction": "q", "input": "i", "output": "a", "system": "s", "history": [], "id": 1},
            [{"system": "s", "prompt": "q\ni", "response": [["a"]]}],
        ),
        (
            "messages",
            {
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "a"},
                ]
            },
            [{"system": "s", "prompt": "q", "response": [["a"]]}],
        ),
        ("prompt_response", {"prompt": "q", "response": [["a"]]}, [{"prompt": "q", "response": [["a"]]}]),
        ("prompt_completion", {"prompt": "q", "completion": "a"}, [{"prompt": "q", "response": [["a"]]}]),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            [{"prompt": "q", "response": [["a"]]}],
        ),
        ("dpo", {"prompt": "q", "chosen": "a", "rejected": "b"}, [{"user": "q", "chosen": "a", "rejected": "b"}]),
        ("kto", {"prompt": "q", "completion": "a", "label": False}, [{"user": "q", "rejected": "a"}]),
    ],
)
def test_common_rows_take_the_quick_way(name, value, line):
    assert SHAPES[name].quick(value) == (value if line is None else line)


BAD_TEXTS = ["", " ", "\u3000\n", "\0", "a\0", "中\0", "\ud800", "中\udfff", 5, None, True, ["a"]]


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=ascii)
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("dialogue", lambda bad: [{"prompt": bad, "response": [["a"]]}]),
        ("dialogue", lambda bad: [{"prompt": "q", "response": [[bad]]}]),
        ("preference", lambda bad: [{"user": "q", "chosen": "a", "rejected": bad}]),
        ("query", lambda bad: {"prompt": bad}),
        ("text", lambda bad: bad),
        ("alpaca", lambda bad: {"instruction": "i", "input": "", "output": bad}),
        (
            "messages",
            lambda bad: {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": bad}]},
        ),
        ("prompt_response", lambda bad: {"prompt": "q", "response": bad}),
        ("prompt_completion", lambda bad: {"prompt": bad, "completion": "a"}),
        ("sharegpt", lambda bad: {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": bad}]}),
        ("dpo", lambda bad: {"prompt": "q", "chosen": "a", "rejected": bad}),
        ("kto", lambda bad: {"prompt": "q", "completion": bad, "label": True}),
    ],
)
def test_the_quick_way_lets_no_bad_text_through(name, make, bad):
    assert SHAPES[name].quick(make(bad)) is None


@pytest.mark.parametrize("name", ["dialogue", "messages", "sharegpt", "preference"])
def test_the_quick_way_knows_how_many_turns_there_may_be(name):
    def row(turns: int):
        if name == "preference":
            return [{"user": "q", "assistant": "a"}] * (turns - 1) + [{"user": "q", "chosen": "a", "rejected": "b"}]
        return SHAPES[name].write(conversation([("q", "a")] * turns))

    assert SHAPES[name].quick(row(MAX_TURNS)) is not None
    assert SHAPES[name].quick(row(MAX_TURNS + 1)) is None
    with pytest.raises(RowFlaws, match="the platform cuts a row after 150 turns, this one has 151"):
        SHAPES[name].read(row(MAX_TURNS + 1))

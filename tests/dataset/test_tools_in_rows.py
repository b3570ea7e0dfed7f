"""Tools in conversations: into the platform's texts and out of them again."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from qianfan.dataset.rows import Conversation, Turn
from qianfan.dataset.shapes import SHAPES, RowFlaws
from tests.realdata import real_file

WEATHER = {"name": "weather", "description": "天气", "parameters": {"type": "object"}}
FULL = {"type": "function", "function": WEATHER}
TOLD = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "weather", "description": "天气", "parameters": {"type": "object"}}}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call>'
OTHER = '<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>'
RESULT = "<tool_response>\nsunny\n</tool_response>"


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def called(id, arguments='{"city": "北京"}', name="weather"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(text, id="call_1"):
    return {"role": "tool", "tool_call_id": id, "content": text}


def flaws(shape: str, value) -> list[str]:
    with pytest.raises(RowFlaws) as caught:
        SHAPES[shape].read(value)
    return [str(flaw) for flaw in caught.value.flaws]


def texts(row: Conversation) -> list[str]:
    return [text for turn in row.turns for text in (turn.prompt, *turn.responses)]


MESSAGES = {
    "messages": [
        {"role": "system", "content": "be kind"},
        user("weather?"),
        assistant(None, tool_calls=[called("call_1")]),
        result("sunny"),
        assistant("It is sunny."),
    ],
    "tools": [FULL],
}
SHAREGPT = {
    "conversations": [
        {"from": "human", "value": "weather?"},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "北京"}}'},
        {"from": "observation", "value": "sunny"},
        {"from": "gpt", "value": "It is sunny."},
    ],
    "system": "be kind",
    "tools": json.dumps([WEATHER], ensure_ascii=False),
}
ROW = Conversation((Turn("weather?", (CALL,), f"be kind\n\n{TOLD}"), Turn(RESULT, ("It is sunny.",))))


def test_both_spellings_of_a_tool_call_are_the_same_row_and_come_back():
    for name, value in (("messages", MESSAGES), ("sharegpt", SHAREGPT)):
        assert SHAPES[name].read(value) == ROW
        assert SHAPES[name].write(ROW) == value


def test_the_platforms_lines_hold_tools_as_texts_and_lose_nothing():
    line = json.dumps(SHAPES["messages"].read(MESSAGES).to_json(), ensure_ascii=False)
    assert SHAPES["messages"].write(SHAPES["dialogue"].read(json.loads(line))) == MESSAGES


@pytest.mark.parametrize(
    "value",
    [
        {**MESSAGES, "tools": json.dumps([FULL])},
        {**MESSAGES, "tools": [WEATHER]},
        {**MESSAGES, "tools": [{"type": "function", **WEATHER}]},
        {**MESSAGES, "tools": [{"function": WEATHER}]},
        {"messages": MESSAGES["messages"], "functions": [WEATHER], "parallel_tool_calls": True},
        {
            "messages": [
                {"role": "developer", "content": "be kind"},
                user("weather?"),
                {"role": "assistant", "function_call": {"name": "weather", "arguments": '{"city": "北京"}'}},
                {"role": "function", "name": "weather", "content": [{"type": "text", "text": "sunny"}]},
                assistant("It is sunny."),
            ],
            "functions": [WEATHER],
        },
        {
            "messages": [
                *MESSAGES["messages"][:2],
                assistant("", tool_calls=[called("x", {"city": "北京"})]),
                result("sunny", "x"),
                assistant("It is sunny."),
            ],
            "tools": [FULL],
        },
    ],
)
def test_older_and_looser_ways_to_write_tools_are_the_same_row(value):
    assert SHAPES["messages"].read(value) == ROW


def test_results_are_put_into_the_order_of_their_calls():
    value = {
        "messages": [
            user("two cities?"),
            assistant("Let me see.", tool_calls=[called("call_1"), called("call_2", "")]),
            result("rainy", "call_2"),
            result("", "call_1"),
            assistant("Rain."),
        ]
    }
    row = SHAPES["messages"].read(value)
    empty = "<tool_response>\n\n</tool_response>"
    rainy = "<tool_response>\nrainy\n</tool_response>"
    assert texts(row) == ["two cities?", f"Let me see.\n{CALL}\n{OTHER}", f"{empty}\n{rainy}", "Rain."]
    written = SHAPES["messages"].write(row)["messages"]
    assert [written[2], written[3]] == [result("", "call_1"), result("rainy", "call_2")]
    assert [call["id"] for call in written[1]["tool_calls"]] == ["call_1", "call_2"]
    assert written[1]["content"] == "Let me see."
    assert SHAPES["messages"].read({"messages": written}) == row


def test_sharegpt_says_several_calls_in_one_message_and_their_results_in_several():
    row = Conversation((Turn("q", (f"{CALL}\n{OTHER}",)), Turn(f"{RESULT}\n{RESULT}", ("a",))))
    value = SHAPES["sharegpt"].write(row)
    assert [message["from"] for message in value["conversations"]] == [
        *("human", "function_call", "observation", "observation", "gpt")
    ]
    assert len(json.loads(value["conversations"][1]["value"])) == 2
    assert SHAPES["sharegpt"].read(value) == row


def test_a_preference_may_judge_a_call():
    value = {
        "prompt": [user("weather?")],
        "chosen": [assistant(None, tool_calls=[called("call_1")])],
        "rejected": [assistant("No idea.")],
        "tools": [FULL],
    }
    row = SHAPES["dpo"].read(value)
    assert row.to_json() == [{"system": TOLD, "user": "weather?", "chosen": CALL, "rejected": "No idea."}]
    assert SHAPES["dpo"].write(row) == {key: value[key] for key in ("prompt", "tools", "chosen", "rejected")}


def test_without_tools_nothing_is_said_of_them():
    for none in (None, [], "", " ", "[]"):
        row = SHAPES["sharegpt"].read({**SHAREGPT, "tools": none})
        assert row.turns[0].system == "be kind"
        assert "tools" not in SHAPES["sharegpt"].write(row)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name":"weather","arguments":{}}\n</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": "{}"}\n</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": {}, "id": 1}\n</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": {"n": NaN}}\n</tool_call>',
        "<tool_call>\nnot JSON\n</tool_call>",
        '<tool_call>\n{"name": " ", "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": {"x": "\\u0000"}}\n</tool_call>',
        '\n<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>',
        f"{CALL}\nand now?",
        "</tool_call>",
    ],
)
def test_what_is_only_nearly_a_call_stays_a_text(text):
    row = Conversation((Turn("q", (text,)),))
    assert SHAPES["messages"].write(row) == {"messages": [user("q"), assistant(text)]}
    assert SHAPES["sharegpt"].write(row)["conversations"][1] == {"from": "gpt", "value": text}


def test_a_result_that_nobody_called_for_stays_a_text():
    row = Conversation((Turn(RESULT, ("a",)), Turn(RESULT, ("b",))))
    assert [message["role"] for message in SHAPES["messages"].write(row)["messages"]] == ["user", "assistant"] * 2


def test_messages_cannot_say_whose_result_is_missing():
    row = Conversation((Turn("q", (f"{CALL}\n{OTHER}",)), Turn(RESULT, ("a",))))
    with pytest.raises(RowFlaws, match="2 calls before, 1 results: messages name the call of each result"):
        SHAPES["messages"].write(row)


def chat(*messages, **more):
    return {"messages": [user("q"), *messages, assistant("a")], **more}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            chat(result("r")),
            [
                "messages[1]: a result without a call before it",
                "messages[1]: two questions in a row; join them or add the answer between",
            ],
        ),
        (
            chat(assistant(None, tool_calls=[called("a")]), result("r", "b")),
            ["messages[2].tool_call_id: belongs to no call: the answer before it calls 'a'"],
        ),
        (
            chat(assistant("hm"), result("r", "b")),
            ["messages[2].tool_call_id: belongs to no call: no call has an id"],
        ),
        (
            chat(assistant(None, tool_calls=[called("a"), called("b")]), result("r", "b")),
            ["messages[2]: there is no result for the call 'a'"],
        ),
        (
            chat(assistant(None, tool_calls=[called("a")]), result("r", "a"), result("r", "a")),
            ["messages[3].tool_call_id: a call has two results"],
        ),
        (
            chat(assistant(None, tool_calls=[called("a", "{")]), result("r", "a")),
            [
                "messages[1].tool_calls[0].function.arguments: must be JSON text: Expecting property name",
            ],
        ),
        (
            chat(assistant("s", tool_calls=[called(None, '{"a": 1, "a": 2}')]), result("r", None)),
            [
                "messages[1].tool_calls[0].function.arguments: must be JSON text: a key comes twice in one object",
            ],
        ),
        (
            chat(assistant("s", tool_calls=[called(None, "[1]")]), result("r", None)),
            ["messages[1].tool_calls[0].function.arguments: must be an object with the arguments, not a list"],
        ),
        (
            chat(assistant("s", tool_calls=[called(None, {"x": float("inf")})]), result("r", None)),
            [
                "messages[1].tool_calls[0].function.arguments: cannot be written as JSON: "
                "Out of range float values are not JSON compliant"
            ],
        ),
        (
            chat(assistant("s", tool_calls=[{"type": "custom", "custom": {}}]), result("r", None)),
            ["messages[1].tool_calls[0].function: must be an object with the function that is called: only functions"],
        ),
        (chat(tools="nothing"), ["tools: must be JSON text: Expecting value: line 1 column 1 (char 0)"]),
        (chat(tools=5), ["tools: must be a list of tools, not a number"]),
        (
            chat(tools=[{"type": "web_search"}]),
            ["tools[0].type: only tools of type 'function' can be used, not 'web_search'"],
        ),
        (chat(tools=[{"type": "function", "function": {}}]), ["tools[0].function: 'name' is missing"]),
        (chat(tools=[{"description": "d"}]), ["tools[0]: 'name' is missing"]),
    ],
)
def test_every_flaw_of_tools_has_its_place(value, expected):
    found = flaws("messages", value)
    assert len(found) == len(expected)
    # What the json module says differs between versions of Python.
    assert all(flaw.startswith(start) for flaw, start in zip(found, expected, strict=True)), found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("null", "must be a list of calls, not null"),
        ("[]", "must be a list of calls, not empty"),
        ('{"name": "f"}', "'arguments' is missing"),
        ('{"name": "", "arguments": {}}', "is empty"),
    ],
)
def test_a_function_call_of_sharegpt_is_json_text(value, expected):
    messages = [{"from": "human", "value": "q"}, {"from": "function_call", "value": value}]
    (flaw,) = flaws("sharegpt", {"conversations": messages})
    assert flaw.startswith("conversations[1].value")
    assert flaw.endswith(expected)


def test_a_real_file_of_function_calls_converts_completely_and_comes_back():
    rows = json.loads(real_file("glaive_toolcall_zh_demo.json").read_text(encoding="utf-8"))
    for value in rows:
        row = SHAPES["sharegpt"].read(value)
        line = json.loads(json.dumps(row.to_json(), ensure_ascii=False))
        assert SHAPES["dialogue"].read(line) == row
        # An empty list of tools is as good as none.
        expected = {key: part for key, part in value.items() if part != "[]"}
        assert SHAPES["sharegpt"].write(row) == expected
        messages = SHAPES["messages"].write(row)
        assert SHAPES["messages"].read(messages) == row
        # A result that follows a plain answer belongs to no call, so it stays a question.
        said = [message["from"] for message in value["conversations"]]
        results = pairwise(said)
        roles = [message["role"] for message in messages["messages"]]
        assert roles.count("tool") == sum(pair == ("function_call", "observation") for pair in results)

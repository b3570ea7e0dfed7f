"""Which functions an emulated model calls, and with what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.emulator.tool_calls import Tool, called, in_two_lines, instance, told_in

WEATHER = Tool(
    "get_current_weather",
    "The weather of a city",
    {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}}},
)
TIME = Tool("localTime", "今天的日期和时间")


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("How is the weather in Paris?", ["get_current_weather"]),
        ("What is the current time, and the weather in this city?", ["get_current_weather", "localTime"]),
        ("今天是几号？", ["localTime"]),
        ("Tell me the meaning of that", []),
        ("", []),
    ],
)
def test_words_of_the_question_decide(question: str, names: list[str]) -> None:
    assert [use.name for use in called([TIME, WEATHER], question)] == names
    assert called([TIME, WEATHER], question) == called([TIME, WEATHER], question)


def test_a_function_can_be_forced() -> None:
    assert [use.name for use in called([WEATHER, TIME], "hello", forced="localTime")] == ["localTime"]
    assert [use.name for use in called([WEATHER, TIME], "hello", required=True)] == ["get_current_weather"]
    assert called([WEATHER], "weather", forced="other") == []


def test_arguments_come_from_the_schema_and_the_question() -> None:
    [use] = called([WEATHER], "What is the weather in New York in Fahrenheit?")
    assert json.loads(use.arguments) == {"city": "Fahrenheit", "unit": "fahrenheit"}
    [use] = called([WEATHER], "Weather in New York please")
    assert json.loads(use.arguments) == {"city": "New York", "unit": "celsius"}
    assert use.id.startswith("call_")


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "integer"}, "give me 12 of them", 12),
        ({"type": "integer", "maximum": 10}, "give me 12", 10),
        ({"type": "number", "minimum": 2}, "none", 2),
        ({"type": "boolean"}, "", True),
        ({"type": "null"}, "", None),
        ({"type": "array", "items": {"type": "integer"}}, "7", [7]),
        ({"type": "array"}, "all of it", ["all of it"]),
        ({"const": 4}, "", 4),
        ({"type": "string", "default": "x"}, "", "x"),
        ({"type": "string", "examples": ["y"]}, "", "y"),
        ({"type": "string", "format": "date"}, "", "2024-01-01"),
        ({"type": ["integer", "null"]}, "3", 3),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "3", 3),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, "3", {"a": 3}),
        ({"properties": {"a": {"properties": {"b": {"type": "boolean"}}}}}, "", {"a": {"b": True}}),
        ({}, "words", "words"),
    ],
)
def test_values_fit_their_schema(schema: dict[str, Any], text: str, value: Any) -> None:
    assert instance(schema, text) == value


def test_a_schema_without_end_ends() -> None:
    schema: dict[str, Any] = {"type": "array"}
    schema["items"] = schema
    assert json.dumps(instance(schema, "x"))


_SCHEMAS = st.recursive(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "null")]),
    lambda inner: (
        st.builds(lambda part: {"type": "array", "items": part}, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(lambda parts: {"properties": parts})
    ),
    max_leaves=5,
)


@given(_SCHEMAS, st.text(max_size=20))
def test_any_schema_gets_a_value(schema: dict[str, Any], text: str) -> None:
    value = instance(schema, text)
    assert json.loads(json.dumps(value)) == value
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None), "array": list}
    assert isinstance(value, kinds.get(schema.get("type", ""), dict))


@pytest.mark.parametrize(
    "told",
    [
        '说明\n\n名称：f\n描述：d\n参数：{"type": "object"}\n\n-名称：g\n描述：\n参数：bad\n\n格式\n'
        "你的问题：how: are you?\nfine",
        '名称: f\n描述: d\n参数: {"type": "object"}\n-\n名称：g\n描述：\n参数：[]\n用户的请求：how: are you?\nfine',
    ],
)
def test_functions_told_in_words(told: str) -> None:
    tools, question = told_in(told)
    assert tools == [Tool("f", "d", {"type": "object"}), Tool("g", "", {})]
    assert question == "how: are you?\nfine"


def test_a_message_that_tells_of_none() -> None:
    assert told_in("hello") == ([], "hello")


def test_a_call_in_two_lines() -> None:
    [use] = called([TIME], "", forced="localTime")
    assert in_two_lines(use) == "Action: localTime\nAction Input: {}"

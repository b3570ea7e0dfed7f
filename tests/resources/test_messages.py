"""Conversations and answers, without a platform."""

from __future__ import annotations

import pytest

from qianfan.errors import InvalidArgumentError
from qianfan.resources import QfMessages, QfResponse, QfRole


def answer(**body: object) -> QfResponse:
    return QfResponse(200, body, {"authorization": "hush"}, {"total_latency": 3.0})


def test_an_answer_is_a_mapping_over_its_body() -> None:
    response = answer(result="text", usage={"total_tokens": 3})
    assert dict(response) == response.body
    assert response["result"] == response.get("result") == response.text == "text"
    assert (len(response), "usage" in response, "other" in response) == (2, True, False)
    assert response.get("other", 5) == 5
    with pytest.raises(KeyError, match="other"):
        response["other"]
    with pytest.raises(TypeError):
        response["result"] = "else"  # type: ignore[index]  # that it cannot be done is the point
    assert answer().text == ""


def test_an_answer_shows_no_headers() -> None:
    assert "hush" not in repr(answer(result="text"))
    assert str(answer(result="text")) == "{'result': 'text'}"


def test_texts_and_answers_alternate() -> None:
    messages = QfMessages().append("one").append(answer(result="two")).append("three").append("four")
    assert messages.to_list() == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "four"},
    ]
    assert (list(messages), len(messages)) == (messages.to_list(), 4)


@pytest.mark.parametrize("role", [*QfRole, *(role.value for role in QfRole)])
def test_roles_can_be_said(role: QfRole | str) -> None:
    [message] = QfMessages().append("text", role)
    assert message["role"] == QfRole(role).value
    assert type(message["role"]) is str


def test_a_function_call_is_kept() -> None:
    [message] = QfMessages().append(answer(result="", function_call={"name": "f", "arguments": "{}"}))
    assert message["function_call"] == {"name": "f", "arguments": "{}"}


def test_answers_of_both_generations_go_on_a_conversation() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = answer(choices=[{"message": {"role": "assistant", "content": None, "tool_calls": [call]}}])
    assert asked.text == ""
    messages = QfMessages().append("q").append(asked).append("result", tool_call_id="a").append("then?")
    assert messages.to_list() == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "result", "tool_call_id": "a"},
        {"role": "assistant", "content": "then?"},
    ]
    [message] = QfMessages().append("result", name="f")
    assert message == {"role": "function", "content": "result", "name": "f"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"choices": [{"message": {"content": "whole"}}]}, "whole"),
        ({"choices": [{"delta": {"content": "piece"}}]}, "piece"),
        ({"choices": [{"delta": None}]}, ""),
        ({"choices": []}, ""),
        ({"choices": None}, ""),
        ({"result": None}, ""),
    ],
)
def test_the_text_of_an_answer(body: dict[str, object], text: str) -> None:
    response = answer(**body)
    assert response.text == text
    assert response.message["role"] == "assistant"


def test_a_whole_message_can_be_appended() -> None:
    given = {"role": QfRole.System, "content": "be kind", "name": "n"}
    assert QfMessages().append(given).to_list() == [{"role": "system", "content": "be kind", "name": "n"}]


@pytest.mark.parametrize(("message", "role"), [("text", "boss"), (3, None), (None, "user"), ({"content": "x"}, None)])
def test_what_cannot_be_appended(message: object, role: str | None) -> None:
    messages = QfMessages()
    with pytest.raises(InvalidArgumentError):
        messages.append(message, role)  # type: ignore[arg-type]  # what a caller without types may do
    assert len(messages) == 0


def test_what_was_handed_out_cannot_change_the_conversation() -> None:
    messages = QfMessages().append("one")
    messages.to_list().append({})
    messages.to_list()[0]["content"] = "two"
    next(iter(messages))["content"] = "three"
    assert messages.to_list() == [{"role": "user", "content": "one"}]

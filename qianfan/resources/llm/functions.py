"""Functions for ERNIE-Functions-8K, which has no fields for them: they are told in words, and calls are read from text.

The wording is ours; the two lines in which the model calls a function are the platform's.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from qianfan.resources.llm.conversation import text_of
from qianfan.resources.messages import QfResponse

ENDPOINT: Final = "ernie-func-8k"

_ACTION: Final = "Action:"
_CALL: Final = re.compile(
    r"\s*Action:[ \t]*(?P<name>[^\n]+?)[ \t]*\n\s*Action Input:\s*(?P<arguments>.*\S)\s*", re.DOTALL
)
_TOLD: Final = """\
你可以调用下列函数来完成用户的请求。每个函数有名称、描述和参数，参数以 JSON Schema 说明：

{functions}

需要调用函数时，只输出下面两行，不要输出其他内容，函数的执行结果会在下一轮提供：
Action: 函数名称
Action Input: JSON 格式的参数

不需要调用函数时，直接回答。
用户的请求：{question}"""


def in_words(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body without functions: they are told with the first message, calls and results stand in the texts."""
    rest = {name: value for name, value in body.items() if name not in ("functions", "tool_choice")}
    messages = [_as_text(message) for message in body["messages"]]
    functions = body.get("functions")
    if functions and messages:
        told = "\n-\n".join(_described(function) for function in functions)
        question = text_of(messages[0])
        messages[0] = {**messages[0], "content": _TOLD.format(functions=told, question=question)}
    return {**rest, "messages": messages}


def _described(function: Mapping[str, Any]) -> str:
    parameters = json.dumps(function.get("parameters") or {}, ensure_ascii=False)
    return f"名称：{function.get('name', '')}\n描述：{function.get('description', '')}\n参数：{parameters}"


def _as_text(message: Mapping[str, Any]) -> dict[str, Any]:
    call = message.get("function_call")
    if message.get("role") == "function":
        return {"role": "user", "content": text_of(message)}
    if message.get("role") == "assistant" and isinstance(call, dict):
        said = f"{_ACTION} {call.get('name', '')}\nAction Input: {call.get('arguments', '')}"
        return {"role": "assistant", "content": said}
    return dict(message)


def read(response: QfResponse) -> QfResponse:
    """The answer with a call in its text as `function_call`, and no text then."""
    found = _CALL.fullmatch(response.text)
    if found is None:
        return response
    call = {"name": found["name"], "arguments": found["arguments"]}
    return replace(response, body={**response.body, "result": "", "function_call": call})


async def read_pieces(pieces: AsyncGenerator[QfResponse, None]) -> AsyncGenerator[QfResponse, None]:
    """The pieces of an answer; they are held back for as long as they may become a call."""
    held: list[QfResponse] = []
    async with aclosing(pieces):
        async for piece in pieces:
            held.append(piece)
            if _may_be_call(held):
                continue
            for one in held:
                yield one
            held = []
            async for one in pieces:
                yield one
    if held:
        whole = replace(held[-1], body={**held[-1].body, "result": "".join(piece.text for piece in held)})
        called = read(whole)
        for one in [called] if called is not whole else held:
            yield one


def _may_be_call(pieces: Sequence[QfResponse]) -> bool:
    said = "".join(piece.text for piece in pieces).lstrip()
    return said.startswith(_ACTION) or _ACTION.startswith(said)

"""Tools, calls and results inside the texts of a conversation, and back out of them.

The platform's rows hold texts and nothing else, so what a model is told about tools, how it calls them and what comes
back is written the way the chat templates of Hermes and Qwen write it:

- the tools, one JSON object a line, between `<tools>` and `</tools>` at the end of the system text;
- a call as `<tool_call>`, a line of JSON with `name` and `arguments`, `</tool_call>` at the end of an answer;
- a result between `<tool_response>` and `</tool_response>` as the next question.

Each text that `…_text` makes, and no other, is taken apart again by its `split_…`: what is only nearly in this form
stays a text, so that taking apart and putting together never changes a character.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from qianfan.dataset.shapes.flaws import Look, Path, is_blank, kind

Tool: TypeAlias = dict[str, Any]
"""`{"type": "function", "function": {"name": …, "description": …, "parameters": {…}}}`"""

_TOOLS_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
_TOOLS_FOOT = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)
_CALL_HEAD, _CALL_FOOT = "<tool_call>", "</tool_call>"
_RESULT_HEAD, _RESULT_FOOT = "<tool_response>\n", "\n</tool_response>"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool."""

    name: str
    arguments: dict[str, Any]


def json_text(value: Any) -> str:
    """A value on one line. Raises ValueError, TypeError or RecursionError for what is no JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


# --- tools -----------------------------------------------------------------------------------------------------------


def read_tools(value: Any, path: Path, look: Look) -> list[Tool]:
    """Tools as a list of objects or as the JSON text of one; null, an empty text and an empty list are none."""
    if isinstance(value, str):
        value = None if is_blank(value) else _parsed(value, path, look)
    if value is None or value is _BROKEN or value == []:
        return []
    tools = [_typed(tool, at, look) for at, tool in look.objects(value, path, "tools")]
    return [tool for tool in tools if tool is not None]


def _typed(tool: Mapping[str, Any], path: Path, look: Look) -> Tool | None:
    """A tool in full: some write the function alone."""
    if tool.get("type", "function") != "function":
        reason = f"only tools of type 'function' can be used, not {tool['type']!r}"
        look.note((*path, "type"), reason, "tools", tool["type"], "leave the tool out")
        return None
    is_full = isinstance(tool.get("function"), Mapping)
    function = tool["function"] if is_full else {key: value for key, value in tool.items() if key != "type"}
    look.text(function, "name", (*path, "function") if is_full else path)
    if not _is_json(tool, path, look):
        return None
    if is_full:
        return {**tool} if "type" in tool else {"type": "function", **tool}
    return {"type": "function", "function": function}


def bare(tool: Tool) -> Tool:
    """The function of a tool alone where that says the same."""
    function = tool["function"]
    return function if [*tool] == ["type", "function"] and not {"type", "function"} & function.keys() else tool


def tools_text(system: str | None, tools: Sequence[Tool]) -> str | None:
    """A system text with the tools behind it."""
    if not tools:
        return system
    before = f"{system}\n\n" if system else ""
    return before + _TOOLS_HEAD + "\n".join(map(json_text, tools)) + _TOOLS_FOOT


def split_tools(text: str | None) -> tuple[str | None, list[Tool]]:
    """A system text and the tools behind it; the whole text and no tools where it is not in that form."""
    if text is None or not text.endswith(_TOOLS_FOOT):
        return text, []
    before, _, listed = text[: -len(_TOOLS_FOOT)].rpartition(_TOOLS_HEAD)
    system = before.removesuffix("\n\n") or None
    tools = [_object(line) for line in listed.split("\n")]
    known = [tool for tool in tools if _is_tool(tool)]
    if (system is not None and is_blank(system)) or tools_text(system, known) != text:
        return text, []
    return system, known


def _is_tool(tool: dict[str, Any]) -> bool:
    function = tool.get("function")
    return tool.get("type") == "function" and isinstance(function, dict) and _is_name(function.get("name"))


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and not is_blank(name)


# --- calls -----------------------------------------------------------------------------------------------------------


def read_call(call: Mapping[str, Any], path: Path, look: Look) -> Call | None:
    """A call by `name` and `arguments`, which are an object or the JSON text of one."""
    name = look.text(call, "name", path)
    if "arguments" not in call:
        look.missing(call, "arguments", path)
        return None
    given, at = call["arguments"], (*path, "arguments")
    arguments = {} if given in (None, "") else _parsed(given, at, look) if isinstance(given, str) else given
    if isinstance(arguments, Mapping):
        return Call(name, {**arguments}) if _is_json(arguments, at, look) else None
    if arguments is not _BROKEN:
        reason = f"must be an object with the arguments, not {kind(arguments)}"
        look.note(at, reason, "tools", given, 'write {"name of an argument": value, …}')
    return None


def read_calls(text: str, path: Path, look: Look) -> list[Call]:
    """Calls as the JSON text of one, or of a list of them."""
    value = _parsed(text, path, look)
    if value is _BROKEN:
        return []
    found = [(path, value)] if isinstance(value, Mapping) else look.objects(value, path, "calls")
    calls = [read_call(call, at, look) for at, call in found]
    return [call for call in calls if call is not None]


def calls_text(content: str, calls: Sequence[Call]) -> str:
    """An answer: what is said, then the calls."""
    lines = [content] if content else []
    for call in calls:
        lines += [_CALL_HEAD, json_text({"name": call.name, "arguments": call.arguments}), _CALL_FOOT]
    return "\n".join(lines)


def split_calls(text: str) -> tuple[str, list[Call]]:
    """What an answer says and the calls behind it; the whole answer and no calls where it is not in that form."""
    if not text.endswith(_CALL_FOOT):
        return text, []
    lines, calls = text.split("\n"), list[Call]()
    while len(lines) >= 3 and lines[-3] == _CALL_HEAD and lines[-1] == _CALL_FOOT:
        call = _object(lines[-2])
        if not (_is_name(call.get("name")) and isinstance(call.get("arguments"), dict)):
            break
        calls.insert(0, Call(call["name"], call["arguments"]))
        del lines[-3:]
    content = "\n".join(lines)
    if (content and is_blank(content)) or calls_text(content, calls) != text:
        return text, []
    return content, calls


# --- results ---------------------------------------------------------------------------------------------------------


def results_text(results: Sequence[str]) -> str:
    """What came back from tools, as one question."""
    return "\n".join(f"{_RESULT_HEAD}{result}{_RESULT_FOOT}" for result in results)


def split_results(text: str) -> list[str]:
    """What came back from tools; nothing where the question is not in that form."""
    inside = text.removeprefix(_RESULT_HEAD)
    if inside == text or not inside.endswith(_RESULT_FOOT):
        return []
    return inside[: -len(_RESULT_FOOT)].split(f"{_RESULT_FOOT}\n{_RESULT_HEAD}")


# --- JSON inside texts -----------------------------------------------------------------------------------------------


_BROKEN = object()


def _parsed(text: str, path: Path, look: Look) -> Any:
    """A JSON text's value; _BROKEN, and a flaw, where it has none."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        look.note(path, f"must be JSON text: {reason}", "tools", text, "correct the JSON inside the text")
        return _BROKEN


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice in one object")
    return found


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _object(line: str) -> dict[str, Any]:
    """The object of a line that `json_text` makes; an empty one for any other line."""
    # A NUL is harmless as an escape inside a text; as a character of its own no file could hold it.
    if "\\u0000" in line:
        return {}
    try:
        value = json.loads(line)
        return value if isinstance(value, dict) and json_text(value) == line else {}
    except (ValueError, RecursionError):
        return {}


def _is_json(value: Any, path: Path, look: Look) -> bool:
    """Whether a value can be written down and is the same when read again; notes a flaw where it is not."""
    try:
        text = json_text(value)
        text.encode()
        if json.loads(text) == value:
            return True
        reason = "changes when it is written as JSON"
    except (ValueError, TypeError, RecursionError) as error:
        reason = f"cannot be written as JSON: {'nested too deeply' if isinstance(error, RecursionError) else error}"
    look.note(path, reason, "tools", value, "use texts, numbers, lists and objects")
    return False

"""Which functions an emulated model calls, and with what: decided by words and schemas, so that tests can rely on it.

A function is called when it is forced, or when a word of its name or description stands in the question. Arguments are
made up from the function's JSON schema and from what the question holds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qianfan._types import JSON

_WORD = re.compile(r"[A-Za-z]{3,}")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_CHINESE = re.compile("[\u4e00-\u9fff]+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NAME = re.compile(r"\b[A-Z][\w-]*(?: [A-Z][\w-]*)*")
_DUMB = frozenset(
    {
        *("the", "and", "for", "with", "from", "into", "that", "this", "what", "which", "when", "where", "how", "who"),
        *("why", "are", "was", "has", "have", "can", "will", "you", "your", "its", "get", "set", "use", "given"),
        *("returns", "return", "function", "tool", "value", "values", "data", "name", "please", "tell", "about"),
        *("some", "any"),
    }
)
"""Words that point to no function."""
_DEEPEST = 8


@dataclass(frozen=True)
class Tool:
    """A function that a model may call."""

    name: str
    description: str = ""
    parameters: Mapping[str, JSON] = field(default_factory=dict)

    def words(self) -> set[str]:
        """What in a question points to it: words of Latin letters, and pairs of Chinese characters."""
        return {part.lower() for part in _PARTS.findall(self.name)} | _words(self.description)


@dataclass(frozen=True)
class Use:
    """A call. arguments: JSON text."""

    id: str
    name: str
    arguments: str


def called(tools: Sequence[Tool], question: str, *, forced: str | None = None, required: bool = False) -> list[Use]:
    """The functions that a question asks for, the best first; none when nothing points to any.

    forced: the one that has to be called. required: at least one has to be.
    """
    if forced is not None:
        return [_use(tool, question) for tool in tools if tool.name == forced][:1]
    asked = _words(question)
    hits = [(len((tool.words() & asked) - _DUMB), tool) for tool in tools]
    chosen = [tool for count, tool in sorted(hits, key=lambda hit: -hit[0]) if count]
    return [_use(tool, question) for tool in chosen or (tools[:1] if required else ())]


def _words(text: str) -> set[str]:
    pairs = {run[place : place + 2] for run in _CHINESE.findall(text) for place in range(len(run) - 1)}
    return {word.lower() for word in _WORD.findall(text)} | pairs


def _use(tool: Tool, question: str) -> Use:
    arguments = json.dumps(instance(tool.parameters or {"type": "object"}, question), ensure_ascii=False)
    digest = hashlib.sha256(f"{tool.name}\n{arguments}\n{question}".encode("utf-8", "replace")).hexdigest()
    return Use(f"call_{digest[:12]}", tool.name, arguments)


def instance(schema: Mapping[str, Any], text: str, depth: int = 0) -> JSON:
    """A value that fits a JSON schema, made from what a text holds where something in it fits."""
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return next((one for one in schema["enum"] if str(one).lower() in text.lower()), schema["enum"][0])
    for several in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(several), list) and schema[several]:
            return instance(schema[several][0], text, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if depth > _DEEPEST:
        return None
    if kind == "object":
        return {name: instance(part, text, depth + 1) for name, part in _needed(schema)}
    if kind == "array":
        items = schema.get("items")
        return [instance(items if isinstance(items, dict) else {}, text, depth + 1)]
    if kind in ("integer", "number"):
        return _number(schema, text, whole=kind == "integer")
    return {"boolean": True, "null": None}.get(str(kind), _text(schema, text))


def _needed(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    properties = schema.get("properties")
    known: dict[str, Any] = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    names = required if isinstance(required, list) and required else list(known)
    for name in names:
        part = known.get(name)
        yield str(name), part if isinstance(part, dict) else {}


def _number(schema: Mapping[str, Any], text: str, *, whole: bool) -> int | float:
    found = _NUMBER.search(text)
    value = float(found.group()) if found else 1.0
    low, high = schema.get("minimum"), schema.get("maximum")
    value = max(value, low) if isinstance(low, (int, float)) else value
    value = min(value, high) if isinstance(high, (int, float)) else value
    return int(value) if whole else value


def _text(schema: Mapping[str, Any], text: str) -> str:
    """A name that the text holds, not its first word, which is large anyway; else all of it."""
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return str(examples[0])
    if schema.get("format") in ("date", "date-time"):
        return "2024-01-01" if schema["format"] == "date" else "2024-01-01T00:00:00Z"
    names = [found.group() for found in _NAME.finditer(text) if found.start() > 0]
    return names[-1] if names else text


# --- ERNIE-Functions-8K, which is told of functions in words --------------------------------------------------------

_ENTRY = re.compile(
    r"名称[：:][ \t]*(?P<name>[^\n]+)\n描述[：:][ \t]*(?P<description>[^\n]*)\n参数[：:][ \t]*(?P<parameters>[^\n]*)"
)
_QUESTION = re.compile(r"\n[^\n：:]*(?:问题|请求)[：:](?P<question>.*)\Z", re.DOTALL)


def told_in(text: str) -> tuple[list[Tool], str]:
    """The functions that a message tells of, and the question behind them; no functions and the whole text otherwise.

    Each is told as three lines, name, description and parameters; what the words around them are does not matter.
    """
    tools: list[Tool] = []
    for entry in _ENTRY.finditer(text):
        try:
            parameters = json.loads(entry["parameters"])
        except ValueError:
            parameters = {}
        schema = parameters if isinstance(parameters, dict) else {}
        tools.append(Tool(entry["name"].strip(), entry["description"].strip(), schema))
    asked = _QUESTION.search(text)
    return tools, asked["question"].strip() if tools and asked else text


def in_two_lines(use: Use) -> str:
    """A call as that model writes it."""
    return f"Action: {use.name}\nAction Input: {use.arguments}"

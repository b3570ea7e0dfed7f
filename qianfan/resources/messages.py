"""Conversations: roles, a list of messages that appends questions and answers, and the answer of a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from qianfan._types import JSON
from qianfan.errors import InvalidArgumentError


class QfRole(str, Enum):
    """Who says a message."""

    User = "user"
    Assistant = "assistant"
    Function = "function"
    System = "system"
    Tool = "tool"


@dataclass(frozen=True)
class QfRequest:
    """What was asked: the kind of call, where, and the body. Headers and tokens are not kept."""

    method: str
    endpoint: str
    json_body: Mapping[str, Any]


@dataclass(frozen=True)
class QfResponse(Mapping[str, Any]):
    """An answer: a read-only mapping over its body, so `response["result"]` is the text of a chat.

    code: HTTP status. headers: the answer's, names in lower case. statistic: milliseconds by name.
    """

    code: int
    body: dict[str, JSON]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    statistic: Mapping[str, float] = field(default_factory=dict, repr=False)
    request: QfRequest | None = field(default=None, repr=False)

    def __getitem__(self, key: str) -> JSON:
        return self.body[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.body)

    def __len__(self) -> int:
        return len(self.body)

    @property
    def text(self) -> str:
        """The generated text, or its new piece in a stream; of either generation, "" when there is none."""
        said = self.message.get("content") if "choices" in self.body else self.body.get("result")
        return said if isinstance(said, str) else ""

    @property
    def message(self) -> dict[str, Any]:
        """What the assistant says, as a message that a conversation can go on with. In a stream, its new piece.

        With the calls of functions and tools, as the answer's generation writes them.
        """
        if "choices" in self.body:
            choices = self.body["choices"]
            first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
            return {"role": QfRole.Assistant.value, **(first.get("message") or first.get("delta") or {})}
        said = {"role": QfRole.Assistant.value, "content": self.body.get("result") or ""}
        called = self.body.get("function_call")
        return {**said, "function_call": called} if called else said

    def __str__(self) -> str:
        return str(self.body)


def _role(role: str | QfRole) -> str:
    try:
        return QfRole(role).value
    except ValueError:
        raise InvalidArgumentError(f"role {role!r} is none of {[member.value for member in QfRole]}") from None


class QfMessages:
    """A conversation. `append` takes texts and answers; without a role they alternate, the user first.

    ```python
    messages = QfMessages().append("What is the weather in Paris?")
    answer = chat.do(messages, functions=[...])
    messages.append(answer).append('{"degrees": 20}', name="get_weather")
    ```
    """

    def __init__(self) -> None:
        self._messages: list[dict[str, JSON]] = []

    def append(
        self,
        message: str | QfResponse | Mapping[str, Any],
        role: str | QfRole | None = None,
        *,
        name: str | None = None,
        tool_call_id: str | None = None,
    ) -> QfMessages:
        """Add a text; the answer of a service, which is the assistant's; or a whole message as a dictionary.

        name: which function says the text (V1); tool_call_id: which call of a tool it answers (V2). Either may be given
        instead of the role. Raises InvalidArgumentError.
        """
        if isinstance(message, QfResponse):
            self._messages.append(message.message)
            return self
        if isinstance(message, Mapping):
            self._messages.append({**message, "role": _role(message.get("role", ""))})
            return self
        if not isinstance(message, str):
            raise InvalidArgumentError(f"append a text or an answer of a service, not {type(message).__name__}")
        if role is None and tool_call_id is not None:
            role = QfRole.Tool
        elif role is None and name is not None:
            role = QfRole.Function
        whose = {"name": name, "tool_call_id": tool_call_id}
        said = {"role": _role(role) if role is not None else self._next_role(), "content": message}
        self._messages.append({**said, **{key: value for key, value in whose.items() if value is not None}})
        return self

    def _next_role(self) -> str:
        last = self._messages[-1]["role"] if self._messages else None
        answers = (QfRole.User.value, QfRole.Function.value, QfRole.Tool.value)
        return QfRole.Assistant.value if last in answers else QfRole.User.value

    def to_list(self) -> list[dict[str, JSON]]:
        """The messages as the wire wants them."""
        return [dict(message) for message in self._messages]

    def __iter__(self) -> Iterator[dict[str, JSON]]:
        return iter(self.to_list())

    def __len__(self) -> int:
        return len(self._messages)


Messages = QfMessages
Role = QfRole
Response = QfResponse

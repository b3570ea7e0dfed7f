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
        """The generated text, or its new piece in a stream."""
        return str(self.body.get("result", ""))

    def __str__(self) -> str:
        return str(self.body)


def _role(role: str | QfRole) -> str:
    try:
        return QfRole(role).value
    except ValueError:
        raise InvalidArgumentError(f"role {role!r} is none of {[member.value for member in QfRole]}") from None


class QfMessages:
    """A conversation. `append` takes texts and answers; without a role they alternate, the user first."""

    def __init__(self) -> None:
        self._messages: list[dict[str, JSON]] = []

    def append(self, message: str | QfResponse, role: str | QfRole | None = None) -> QfMessages:
        """Add a text, or the answer of a service, which is the assistant's. Raises InvalidArgumentError."""
        if isinstance(message, QfResponse):
            content = {"role": QfRole.Assistant.value, "content": message.text}
            if "function_call" in message:
                content["function_call"] = message["function_call"]
            self._messages.append(content)
            return self
        if not isinstance(message, str):
            raise InvalidArgumentError(f"append a text or an answer of a service, not {type(message).__name__}")
        self._messages.append({"role": _role(role) if role is not None else self._next_role(), "content": message})
        return self

    def _next_role(self) -> str:
        last = self._messages[-1]["role"] if self._messages else None
        return QfRole.Assistant.value if last == QfRole.User.value else QfRole.User.value

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

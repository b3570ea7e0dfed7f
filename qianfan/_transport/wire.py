"""What one call looks like on the wire: request parts out, an answer or a typed error in. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from qianfan._types import JSON


class Family(Enum):
    """Which generation of the platform's conventions a call follows: address, keys, envelope, error style."""

    CONSOLE_V1 = "console v1"
    """`/wenxinworkshop/<area>/<verb>`; errors as `error_code` under HTTP 200."""
    CONSOLE_DATA = "console v1 data"
    """The dataset part of V1; errors as `success: false` under HTTP 200."""
    CONSOLE_V2 = "console v2"
    """`/v2/<area>?Action=<Name>`; errors as `{requestId, code, message}` with a real HTTP status."""
    INFERENCE_V1 = "inference v1"
    """`/rpc/2.0/ai_custom/...`; errors as `error_code` under HTTP 200."""
    INFERENCE_V2 = "inference v2"
    """`/v2/chat/completions` and its like; errors as `{"error": {...}}`."""
    OAUTH = "oauth"
    """Access tokens of an application; errors as `error` and `error_description`."""
    IAM = "iam"
    """Bearer tokens."""
    BOS = "bos"
    """Object storage."""


class Safety(Enum):
    """What repeating a call may do; the money rule of the whole package."""

    READ = "read"
    """Changes nothing: repeat freely."""
    EFFECT = "effect"
    """Changes something, and the second time changes nothing more: repeat."""
    PURCHASE = "purchase"
    """Creates or bills something: sent once, unless the first try provably did not reach the platform."""


@dataclass(frozen=True)
class Call:
    """One operation of the platform, declared once beside the method that offers it.

    name: what errors and logs call it; action: the `Action` parameter of V2; path: may contain fields such as
    `{endpoint}`, filled from `path_args`.
    """

    name: str
    family: Family
    safety: Safety
    path: str
    action: str | None = None
    method: str = "POST"


@dataclass(frozen=True)
class Reply:
    """A successful answer.

    status: HTTP status; headers: names in lower case; body: parsed JSON, None when there was none;
    request_id: what support asks for.
    """

    status: int
    headers: Mapping[str, str]
    body: JSON = None
    request_id: str | None = None

    @property
    def result(self) -> JSON:
        """The payload: `result` of a console envelope, otherwise the whole body."""
        if isinstance(self.body, dict) and "result" in self.body:
            return self.body["result"]
        return self.body

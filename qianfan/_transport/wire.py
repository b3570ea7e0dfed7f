"""What one call looks like on the wire: request parts out, an answer or a typed error in. No I/O."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from qianfan._auth.iam import encode_path, encode_query
from qianfan._transport.codes import HEADER_MESSAGES, TEMPORARY_STATUS, lookup, normalised
from qianfan._types import JSON
from qianfan.errors import (
    APIError,
    ArgumentNotFoundError,
    AuthError,
    InvalidArgumentError,
    RateLimitError,
    RequestError,
)

_EXCERPT: Final = 500
_LONGEST_MESSAGE: Final = 2000
_SKEW_WORTH_MENTIONING: Final = 60.0
_LONGEST_RETRY_AFTER: Final = 300.0

Creates: TypeAlias = Literal[
    "job",
    "task",
    "model",
    "service",
    "dataset",
    "cleaning",
    "augmentation",
    "compression",
    "export",
    "evaluation",
    "inference",
    "quota",
    "unit",
]
"""What a purchase makes."""


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
    """Creates or bills something: sent once. Who sends it again looks for its effect first, which is not done here."""


@dataclass(frozen=True)
class Call:
    """One operation of the platform, declared once beside the method that offers it.

    name: what errors and logs call it; action: the `Action` parameter of V2; path: may contain fields such as
    `{endpoint}`, filled from `path_args`; creates: what a purchase makes.
    """

    name: str
    family: Family
    safety: Safety
    path: str
    action: str | None = None
    method: str = "POST"
    creates: Creates | None = None


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


# --- towards the platform ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """A request before its credentials are added.

    path: encoded, as it goes on the request line; query: before encoding; headers: names in lower case.
    """

    method: str
    base_url: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    content: bytes | None = None

    @property
    def full_path(self) -> str:
        """The path as the server sees it; a gateway's address may have one of its own."""
        return urlsplit(self.base_url).path + self.path

    def url(self, extra: Iterable[tuple[str, str]] = ()) -> str:
        """The whole address, with further parameters if an authentication puts them there."""
        query = encode_query([*self.query, *extra])
        return f"{self.base_url}{self.path}" + (f"?{query}" if query else "")


def request_parts(
    call: Call,
    base_url: str,
    body: JSON = None,
    *,
    path_args: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Parts:
    """Put a call into the shape of a request.

    A POST without a body sends `{}`, as the platform expects. Raises ArgumentNotFoundError for an unfilled field of
    the path, InvalidArgumentError for a body that is no JSON or a header that is none.
    """
    own_query = {"Action": call.action} if call.action is not None else {}
    content = None if call.method == "GET" and body is None else _encoded(call, {} if body is None else body)
    return Parts(
        method=call.method,
        base_url=base_url,
        path=_filled(call, path_args or {}),
        query=tuple({**own_query, **(query or {})}.items()),
        headers={"content-type": "application/json", **checked_headers(headers or {})},
        content=content,
    )


def _filled(call: Call, path_args: Mapping[str, str]) -> str:
    try:
        path = call.path.format_map(path_args)
    except KeyError as missing:
        raise ArgumentNotFoundError(f"{call.name} needs {missing.args[0]!r} for its path {call.path!r}") from None
    if any(segment in (".", "..") for segment in path.split("/")):
        raise InvalidArgumentError(f"{call.name}: the path {path!r} must not hold '.' or '..'")
    return encode_path(path)


def _encoded(call: Call, body: JSON) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{call.name}: the body cannot be written as JSON: {error}") from error


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with lower-case names. A value that cannot be sent is named here, without being shown."""
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not name.isascii() or not value.isascii() or not value.isprintable():
            raise InvalidArgumentError(f"header {name!r} must be one line of ASCII text")
        checked[name.lower()] = value
    return checked


# --- from the platform ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What is needed to understand an answer: which call it belongs to, what time it is, what the user retries."""

    call: Call
    now: datetime
    retry_codes: Collection[int | str] = ()

    def reply(self, status: int, headers: Mapping[str, str], content: bytes) -> Reply:
        """The answer as a Reply; raises APIError or RequestError if it is a failure or not understandable.

        headers: names in lower case.
        """
        body = _parsed(content)
        if (failure := self.failure(status, headers, body)) is not None:
            raise failure
        request_id = request_id_of(body, headers)
        if not 200 <= status < 300:
            raise self._unusable(f"HTTP status {status}", status, headers, content, request_id)
        if body is _NOT_JSON or (body is None and self.call.family is not Family.BOS):
            what = "an empty body" if not content.strip() else "a body that is not JSON"
            raise self._unusable(f"HTTP status {status} with {what}", status, headers, content, request_id)
        return Reply(status, headers, body, request_id)

    def failure(self, status: int, headers: Mapping[str, str], body: JSON) -> APIError | None:
        """The error that an answer reports in any of the platform's styles, or None."""
        found = _reported(self.call.family, status, body) or _reported_in_headers(status, headers)
        if found is None and self.call.method == "HEAD" and status >= 400:
            found = status, "Not Found" if status == 404 else f"HTTP status {status}"  # such answers have no body
        if found is None:
            return None
        code, message = found
        known = lookup(code)
        kind = RateLimitError if status == 429 and known.kind is APIError else known.kind
        temporary = known.temporary or status in TEMPORARY_STATUS or code in self.retry_codes
        hint = known.hint
        if issubclass(kind, AuthError) and (skew := clock_skew(headers, self.now)) is not None:
            hint = f"{hint + '. ' if hint else ''}{skew}"
        return kind(
            code,
            message[:_LONGEST_MESSAGE],
            request_id_of(body, headers),
            http_status=status,
            retryable=temporary and not issubclass(kind, AuthError),
            retry_after=retry_after(headers, self.now),
            hint=hint,
            call=self.call.name,
        )

    def _unusable(
        self, what: str, status: int, headers: Mapping[str, str], content: bytes, request_id: str | None
    ) -> RequestError:
        moved = " (a redirect, which a signed request cannot follow: check the address)" if 300 <= status < 400 else ""
        return RequestError(
            f"{self.call.name} got {what}{moved}",
            status_code=status,
            body=excerpt(content),
            request_id=request_id,
            retryable=status in TEMPORARY_STATUS,
            retry_after=retry_after(headers, self.now),
        )


class _NotJson(Enum):
    NOT_JSON = "not JSON"


_NOT_JSON: Final = _NotJson.NOT_JSON


def _parsed(content: bytes) -> JSON:
    """JSON, None for an empty body, `_NOT_JSON` for anything else."""
    if not content.strip():
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return _NOT_JSON


def excerpt(content: bytes) -> str:
    """The start of a body as text, for people."""
    return content[: 4 * _EXCERPT].decode("utf-8", "replace")[:_EXCERPT]


def _reported(family: Family, status: int, body: JSON) -> tuple[int | str, str] | None:
    """Code and message, if the body is an error in one of the platform's styles.

    Every style is tried for every family: gateways in front of a service answer in their own.
    """
    if not isinstance(body, dict):
        return None
    if body.get("error_code"):
        return normalised(body["error_code"]), _text(body.get("error_msg"))
    error = body.get("error")
    if isinstance(error, dict):
        return normalised(error.get("code") or error.get("type") or status), _text(error.get("message"))
    if error and (family is Family.OAUTH or status >= 400):
        return normalised(error), _text(body.get("error_description"))
    if family is Family.CONSOLE_DATA and _says_no(body):
        return normalised(body.get("code") or body.get("status") or status), _text(body.get("message"))
    # One documented sample of V1 writes `code` and `msg`, under HTTP 200.
    is_failure = status >= 400 or family in _CODE_MEANS_FAILURE or "msg" in body
    if body.get("code") and "result" not in body and is_failure:
        return normalised(body["code"]), _text(body.get("message") or body.get("msg"))
    return None


_CODE_MEANS_FAILURE: Final = frozenset({Family.CONSOLE_V2, Family.IAM, Family.BOS})


def _says_no(body: dict[str, Any]) -> bool:
    """The data part of V1 answers `success: false` or a `status` like HTTP's, under HTTP 200."""
    if "success" in body and not body["success"]:
        return True
    said = normalised(body.get("status"))
    return isinstance(said, int) and said >= 400


def _reported_in_headers(status: int, headers: Mapping[str, str]) -> tuple[int | str, str] | None:
    """Refused signatures come with an empty body and their reason in the headers."""
    message = headers.get("x-bce-error-message")
    if status < 400 or message is None:
        return None
    code = HEADER_MESSAGES.get(message) or headers.get("x-bce-error-code") or status
    return normalised(code), message


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def request_id_of(body: JSON, headers: Mapping[str, str]) -> str | None:
    """What support asks for: in the body, otherwise in the headers."""
    if isinstance(body, dict):
        for name in ("requestId", "log_id", "id"):
            if isinstance(value := body.get(name), (str, int)) and value:
                return str(value)
    return headers.get("x-bce-request-id") or headers.get("x-baidu-request-id")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the `Retry-After` header asks to wait: a number, or the time until a date. 300 at most.

    A date is compared with the server's own, so that this machine's clock need not agree; now: for when it sent none.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_RETRY_AFTER)
    moment = _http_date(value)
    if moment is None:
        return None
    return min(max(0.0, (moment - (date_of(headers) or now)).total_seconds()), _LONGEST_RETRY_AFTER)


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """The server's time."""
    return _http_date(headers.get("date", ""))


def clock_skew(headers: Mapping[str, str], now: datetime) -> str | None:
    """A sentence about this machine's clock, if it is far from the server's."""
    moment = date_of(headers)
    if moment is None:
        return None
    seconds = (now - moment).total_seconds()
    if abs(seconds) < _SKEW_WORTH_MENTIONING:
        return None
    return f"This machine's clock is {abs(seconds):.0f} seconds {'ahead of' if seconds > 0 else 'behind'} the server's"


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)

"""Calls into request parts, answers into replies or typed errors."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan._transport.codes import CODES, normalised
from qianfan._transport.wire import (
    Call,
    Family,
    Reading,
    Reply,
    Safety,
    request_parts,
    retry_after,
)
from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    ArgumentNotFoundError,
    AuthError,
    BearerTokenExpiredError,
    InvalidArgumentError,
    RateLimitError,
    RequestError,
)

NOW = datetime(2024, 5, 1, 8, 9, 10, tzinfo=timezone.utc)


def call_of(family: Family, method: str = "POST") -> Call:
    return Call("DoSomething", family, Safety.READ, "/path", method=method)


def read(
    family: Family, status: int, body: Any, headers: dict[str, str] | None = None, *, method: str = "POST"
) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reading(call_of(family, method), NOW).reply(status, headers or {}, content)


def failure(family: Family, status: int, body: Any, headers: dict[str, str] | None = None) -> APIError:
    with pytest.raises(APIError) as caught:
        read(family, status, body, headers)
    return caught.value


# --- requests ------------------------------------------------------------------------------------------------


def test_a_console_v2_call() -> None:
    call = Call("CreateJob", Family.CONSOLE_V2, Safety.PURCHASE, "/v2/finetuning", "CreateFineTuningJob")
    parts = request_parts(call, "https://host", {"name": "千帆"}, headers={"Request-Source": "s"})
    assert parts.method == "POST"
    assert parts.url() == "https://host/v2/finetuning?Action=CreateFineTuningJob"
    assert parts.headers == {"content-type": "application/json", "request-source": "s"}
    assert parts.content == '{"name":"千帆"}'.encode()


def test_fields_of_the_path_are_filled_and_encoded() -> None:
    call = Call("chat", Family.INFERENCE_V1, Safety.READ, "/chat/{endpoint}")
    assert (
        request_parts(call, "https://host", path_args={"endpoint": "my endpoint/x?"}).path == "/chat/my%20endpoint/x%3F"
    )
    with pytest.raises(ArgumentNotFoundError, match="'endpoint'"):
        request_parts(call, "https://host")
    with pytest.raises(InvalidArgumentError, match=r"'\.\.'"):
        request_parts(call, "https://host", path_args={"endpoint": "../../oauth"})


def test_a_blank_in_the_query_is_never_a_plus() -> None:
    parts = request_parts(call_of(Family.CONSOLE_V1), "https://host", query={"a b": "c d+e"})
    assert parts.url() == "https://host/path?a%20b=c%20d%2Be"


def test_a_post_without_a_body_sends_an_empty_object_and_a_get_nothing() -> None:
    assert request_parts(call_of(Family.CONSOLE_V1), "https://host").content == b"{}"
    assert request_parts(call_of(Family.CONSOLE_V1, "GET"), "https://host").content is None


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}])
def test_a_body_that_is_no_json_is_refused(body: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="JSON"):
        request_parts(call_of(Family.CONSOLE_V1), "https://host", body)


@pytest.mark.parametrize("value", ["two\nlines", "千帆", "tab\t"])
def test_a_header_that_cannot_be_sent_is_named_and_not_shown(value: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        request_parts(call_of(Family.CONSOLE_V1), "https://host", headers={"x-thing": value})
    assert "x-thing" in str(caught.value)
    assert value not in str(caught.value)


# --- successful answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "body", "result", "request_id"),
    [
        (Family.CONSOLE_V1, {"log_id": "2471", "result": {"taskId": 1}}, {"taskId": 1}, "2471"),
        (Family.CONSOLE_V1, {"log_id": 2471, "result": []}, [], "2471"),
        (Family.CONSOLE_DATA, {"log_id": "x1", "result": True, "status": 200, "success": True}, True, "x1"),
        (Family.CONSOLE_V2, {"requestId": "r-1", "result": False}, False, "r-1"),
        (Family.INFERENCE_V1, {"id": "as-1", "result": "Hello", "is_end": True}, "Hello", "as-1"),
        (Family.INFERENCE_V1, {"id": "as-1", "error_code": 0, "result": "Hello"}, "Hello", "as-1"),
        (
            Family.INFERENCE_V2,
            {"id": "as-1", "choices": [], "error": None},
            {"id": "as-1", "choices": [], "error": None},
            "as-1",
        ),
        (Family.OAUTH, {"access_token": "t"}, {"access_token": "t"}, None),
    ],
)
def test_success(family: Family, body: Any, result: Any, request_id: str | None) -> None:
    reply = read(family, 200, body)
    assert reply.body == body
    assert reply.result == result
    assert reply.request_id == request_id


def test_request_id_falls_back_to_the_headers() -> None:
    assert read(Family.CONSOLE_V2, 200, {"result": 1}, {"x-bce-request-id": "h"}).request_id == "h"
    assert read(Family.INFERENCE_V1, 200, {"result": 1}, {"x-baidu-request-id": "h"}).request_id == "h"


def test_object_storage_may_answer_without_a_body() -> None:
    assert read(Family.BOS, 200, b"", {"etag": '"e"'}) == Reply(200, {"etag": '"e"'})
    assert read(Family.BOS, 204, b"").status == 204


# --- errors in every style -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "status", "body", "kind", "code", "request_id", "retryable"),
    [
        (
            Family.INFERENCE_V1,
            200,
            {"error_code": 336003, "error_msg": "m", "id": "as-1"},
            APIError,
            336003,
            "as-1",
            False,
        ),
        (Family.INFERENCE_V1, 200, {"error_code": "18", "error_msg": "m"}, RateLimitError, 18, None, True),
        (Family.INFERENCE_V1, 200, {"error_code": 336100, "error_msg": "m"}, APIError, 336100, None, True),
        (Family.INFERENCE_V1, 200, {"error_code": 110, "error_msg": "m"}, AccessTokenExpiredError, 110, None, False),
        (Family.INFERENCE_V1, 200, {"error_code": "111", "error_msg": "m"}, AccessTokenExpiredError, 111, None, False),
        (Family.INFERENCE_V1, 200, {"error_code": 14, "error_msg": "m"}, AuthError, 14, None, False),
        (Family.CONSOLE_V1, 200, {"error_code": 500001, "error_msg": "m", "log_id": "7"}, APIError, 500001, "7", False),
        (
            Family.CONSOLE_DATA,
            200,
            {"log_id": "x", "status": 400, "success": False, "code": "InvalidParam", "message": "m"},
            APIError,
            "InvalidParam",
            "x",
            False,
        ),
        (Family.CONSOLE_DATA, 200, {"status": 400, "message": "m"}, APIError, 400, None, False),
        (Family.CONSOLE_DATA, 200, {"success": False, "message": "m", "result": None}, APIError, 200, None, False),
        (Family.CONSOLE_DATA, 200, {"error_code": 18, "error_msg": "m"}, RateLimitError, 18, None, True),
        (
            Family.CONSOLE_V2,
            400,
            {"requestId": "r", "code": "InappropriateJSON", "message": "m"},
            APIError,
            "InappropriateJSON",
            "r",
            False,
        ),
        (
            Family.CONSOLE_V2,
            200,
            {"requestId": "r", "code": "AccessDenied", "message": "m"},
            APIError,
            "AccessDenied",
            "r",
            False,
        ),
        (Family.CONSOLE_V2, 500, {"code": "InternalError", "message": "m"}, APIError, "InternalError", None, True),
        (Family.CONSOLE_V2, 429, {"code": "TooMany", "message": "m"}, RateLimitError, "TooMany", None, True),
        (
            Family.INFERENCE_V2,
            401,
            {"error": {"code": "invalid_iam_token", "message": "m", "type": "x"}, "id": "as-2"},
            BearerTokenExpiredError,
            "invalid_iam_token",
            "as-2",
            False,
        ),
        (
            Family.INFERENCE_V2,
            429,
            {"error": {"code": "rpm_rate_limit_exceeded", "message": "m"}},
            RateLimitError,
            "rpm_rate_limit_exceeded",
            None,
            True,
        ),
        (
            Family.INFERENCE_V2,
            200,
            {"error": {"code": "internal_error", "message": "m"}},
            APIError,
            "internal_error",
            None,
            True,
        ),
        (
            Family.OAUTH,
            200,
            {"error": "invalid_client", "error_description": "m"},
            AuthError,
            "invalid_client",
            None,
            False,
        ),
        (Family.OAUTH, 401, {"error": "other"}, APIError, "other", None, False),
        (Family.IAM, 403, {"code": "InvalidAccessKeyId", "message": "m"}, AuthError, "InvalidAccessKeyId", None, False),
        (Family.BOS, 404, {"code": "NoSuchKey", "message": "m", "requestId": "b"}, APIError, "NoSuchKey", "b", False),
        (Family.BOS, 503, {"code": "SlowDown", "message": "m"}, RateLimitError, "SlowDown", None, True),
    ],
)
def test_error(
    family: Family, status: int, body: Any, kind: type[APIError], code: Any, request_id: str | None, retryable: bool
) -> None:
    error = failure(family, status, body)
    assert type(error) is kind
    assert error.error_code == code
    assert error.request_id == request_id
    assert error.http_status == status
    assert error.retryable is retryable
    assert "DoSomething" in str(error)


def test_the_settings_can_add_retryable_codes() -> None:
    reading = Reading(call_of(Family.CONSOLE_V1), NOW, {500000})
    failed = reading.failure(200, {}, {"error_code": "500000", "error_msg": "m"})
    assert failed is not None
    assert failed.retryable


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("NotFound, cause: Could not find credential.", "InvalidAccessKeyId", ["QIANFAN_ACCESS_KEY", "QIANFAN_AK"]),
        (
            "SignatureDoesNotMatch, cause: Fail to authn user: Signature does not match",
            "SignatureDoesNotMatch",
            ["QIANFAN_SECRET_KEY", "QIANFAN_SK"],
        ),
    ],
)
def test_a_refusal_in_the_headers_alone(message: str, code: str, words: list[str]) -> None:
    error = failure(Family.CONSOLE_V1, 403, b"", {"x-bce-error-message": message, "x-bce-request-id": "r"})
    assert isinstance(error, AuthError)
    assert (error.error_code, error.error_msg, error.request_id) == (code, message, "r")
    for word in words:
        assert word in str(error)


def test_an_unknown_refusal_in_the_headers_keeps_its_code() -> None:
    headers = {"x-bce-error-message": "no", "x-bce-error-code": "AccessDenied"}
    assert failure(Family.CONSOLE_V2, 403, b"", headers).error_code == "AccessDenied"
    assert failure(Family.CONSOLE_V2, 403, b"", {"x-bce-error-message": "no"}).error_code == 403


@pytest.mark.parametrize(("hours", "words"), [(1, "3600 seconds ahead of"), (-1, "3600 seconds behind"), (0, None)])
def test_a_wrong_clock_is_told(hours: int, words: str | None) -> None:
    date = format_datetime(NOW - timedelta(hours=hours), usegmt=True)
    error = failure(Family.CONSOLE_V2, 400, {"code": "RequestExpired", "message": "m"}, {"date": date})
    assert isinstance(error, AuthError)
    assert ("seconds" in str(error)) is (words is not None)
    if words:
        assert words in str(error)


def test_an_answer_to_head_has_no_body() -> None:
    with pytest.raises(APIError) as caught:
        read(Family.BOS, 404, b"", method="HEAD")
    assert (caught.value.error_code, caught.value.http_status) == (404, 404)


# --- answers that cannot be used -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "content", "retryable"),
    [
        (200, b"<html>busy</html>", False),
        (200, b"", False),
        (200, b'{"cut": ', False),
        (200, b"[" * 100_000, False),
        (200, b"\xff\xfe", False),
        (302, b"", False),
        (404, b"not found", False),
        (502, b"<html>Bad gateway</html>", True),
        (503, b"", True),
        (504, b'{"unknown": "shape"}', True),
        (408, b"", True),
        (413, b"too large", False),
    ],
)
def test_an_unusable_answer(status: int, content: bytes, retryable: bool) -> None:
    with pytest.raises(RequestError) as caught:
        read(Family.CONSOLE_V2, status, content)
    error = caught.value
    assert error.status_code == status
    assert error.retryable is retryable
    assert error.body == content[:500].decode("utf-8", "replace")
    assert error.body == "" or error.body[:20] not in str(error), "bodies stay out of messages"


def test_the_body_is_cut_at_500_characters() -> None:
    with pytest.raises(RequestError) as caught:
        read(Family.CONSOLE_V2, 200, "千".encode() * 10_000)
    assert caught.value.body == "千" * 500


@given(st.integers(200, 599), st.binary(max_size=200), st.sampled_from(Family))
def test_whatever_comes_back_is_a_reply_or_an_error_of_ours(status: int, content: bytes, family: Family) -> None:
    with contextlib.suppress(APIError, RequestError):
        read(family, status, content)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["error_code", "error_msg", "error", "code", "message", "status", "success", "result", "id", "log_id", "requestId"]
)


@given(st.sampled_from([200, 400, 500]), st.dictionaries(names, json_values), st.sampled_from(Family))
def test_whatever_json_comes_back_is_a_reply_or_an_error_of_ours(status: int, body: Any, family: Family) -> None:
    with contextlib.suppress(APIError, RequestError):
        read(family, status, body)


def http_date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("300", 300.0),
        ("301", 300.0),
        ("86400", 300.0),
        ("9" * 5000, 300.0),
        (http_date(30), 30.0),
        (http_date(-30), 0.0),
        (http_date(86400), 300.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
        ("Wed, 01 May 2024 08:09:40", 30.0),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("NaN", None),
        ("inf", None),
        ("2.5", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Mon, 32 Foo 2024 25:61:61 GMT", None),
        ("", None),
        ("٣", None),
        ("²", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_no_retry_after() -> None:
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_date_to_retry_after_counts_from_the_servers_own(hours: int) -> None:
    """So a wrong clock here makes nobody wait an hour, or not at all."""
    there = 3600.0 * hours
    assert retry_after({"retry-after": http_date(there + 20), "date": http_date(there)}, NOW) == 20


@given(
    st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,5} \d\d:\d\d:\d\d ([+-]\d{4}|GMT)")
)
def test_whatever_retry_after_says_the_wait_is_bearable(value: str) -> None:
    seconds = retry_after({"retry-after": value}, NOW)
    assert seconds is None or 0 <= seconds <= 300


@pytest.mark.parametrize(
    ("code", "expected"),
    [(18, 18), ("18", 18), (" 336100 ", 336100), ("SlowDown", "SlowDown"), ("-1", -1), ("²", "²"), (True, "True")],
)
def test_normalised(code: Any, expected: Any) -> None:
    assert normalised(code) == expected


def test_hints_are_sentences_without_a_full_stop() -> None:
    for code, known in CODES.items():
        assert known.hint is None or not known.hint.endswith("."), code

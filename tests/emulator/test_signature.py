"""The verifier against the published vectors, and what it says to everything else."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from qianfan.emulator.refusals import RefusedObject
from qianfan.emulator.signature import canonical_path, canonical_query, verify
from qianfan.emulator.wire import Request
from tests.emulator.signing import authorization

VECTORS = json.loads((Path(__file__).parents[1] / "auth" / "bce_auth_v1_vectors.json").read_text("utf-8"))
NOW = datetime(2024, 5, 1, 8, 10, tzinfo=timezone.utc)
KEYS = {"ak": "sk"}


def request_of(vector: dict[str, Any], authorization: str) -> Request:
    query = "&".join(
        quote(name, safe="") if value is None else f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in vector["query"]
        if name.lower() != "authorization"
    )
    headers = [(name.lower(), value) for name, value in vector["headers"]]
    headers.append(("authorization", authorization))
    return Request(vector["method"], vector["canonical_uri"], query, tuple(headers))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_accepts_every_vector(vector: dict[str, Any]) -> None:
    signed_at = datetime.strptime(vector["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    request = request_of(vector, vector["authorization"])
    key = verify(request, {vector["ak"]: vector["sk"]}, signed_at, date_needed=False)
    assert key == vector["ak"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_refuses_every_vector_under_another_secret(vector: dict[str, Any]) -> None:
    signed_at = datetime.strptime(vector["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    request = request_of(vector, vector["authorization"])
    with pytest.raises(RefusedObject) as refused:
        verify(request, {vector["ak"]: vector["sk"] + "x"}, signed_at, date_needed=False)
    assert refused.value.code == "SignatureDoesNotMatch"


def signed(**changes: Any) -> Request:
    """A correctly signed request, then changed."""
    timestamp = changes.pop("timestamp", "2024-05-01T08:10:00Z")
    headers = {"host": "example.com:8100", "x-bce-date": timestamp}
    url = httpx.URL("http://example.com:8100/v2/model?Action=DescribeModel")
    value = authorization(
        method="POST", url=url, headers=headers, access_key="ak", secret_key="sk", timestamp=timestamp
    )
    headers = {**headers, "authorization": value, **changes}
    return Request(
        "POST", "/v2/model", "Action=DescribeModel", tuple((k, v) for k, v in headers.items() if v is not None)
    )


def test_accepts_a_signed_request() -> None:
    assert verify(signed(), KEYS, NOW) == "ak"


def test_accepts_the_host_signed_without_its_port() -> None:
    timestamp = "2024-05-01T08:10:00Z"
    headers = {"host": "example.com", "x-bce-date": timestamp}
    url = httpx.URL("http://example.com/v2/model")
    value = authorization(method="GET", url=url, headers=headers, access_key="ak", secret_key="sk", timestamp=timestamp)
    sent = (("host", "example.com:8100"), ("x-bce-date", timestamp), ("authorization", value))
    assert verify(Request("GET", "/v2/model", "", sent), KEYS, NOW) == "ak"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"authorization": None}, 403, "AccessDenied"),
        ({"x-bce-date": None}, 403, "AccessDenied"),
        ({"authorization": "Bearer abc"}, 400, "InvalidHTTPAuthHeader"),
        ({"authorization": "bce-auth-v1/ak/2024-05-01T08:10:00Z/1800/host/" + "g" * 64}, 400, "InvalidHTTPAuthHeader"),
        ({"authorization": "bce-auth-v1/ak/yesterday/1800/host/" + "0" * 64}, 400, "InvalidHTTPAuthHeader"),
        ({"authorization": "bce-auth-v1/ak/2024-05-01T08:10:00Z/soon/host/" + "0" * 64}, 400, "InvalidHTTPAuthHeader"),
        (
            {"authorization": "bce-auth-v1/ak/2024-05-01T08:10:00Z/9/x-bce-date/" + "0" * 64},
            400,
            "InvalidHTTPAuthHeader",
        ),
        ({"authorization": "bce-auth-v1/zz/2024-05-01T08:10:00Z/1800/host/" + "0" * 64}, 403, "InvalidAccessKeyId"),
        ({"authorization": "bce-auth-v1/ak/2024-05-01T08:10:00Z/1800/host/" + "0" * 64}, 403, "SignatureDoesNotMatch"),
        ({"timestamp": "2024-05-01T07:00:00Z"}, 400, "RequestExpired"),
        ({"timestamp": "2024-05-01T09:00:00Z"}, 400, "RequestExpired"),
    ],
)
def test_refusals(changes: dict[str, Any], status: int, code: str) -> None:
    with pytest.raises(RefusedObject) as refused:
        verify(signed(**changes), KEYS, NOW)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert refused.value.headers["x-bce-error-code"] == code
    assert refused.value.headers["x-bce-error-message"]
    assert "sk" not in refused.value.text.split()


def test_a_client_clock_that_is_a_little_ahead_is_fine() -> None:
    assert verify(signed(), KEYS, NOW - timedelta(minutes=14)) == "ak"


def test_without_keys_only_the_form_counts() -> None:
    assert (
        verify(signed(authorization="bce-auth-v1/any/2024-05-01T08:10:00Z/1800/host/" + "0" * 64), None, NOW) == "any"
    )


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("", "/"),
        ("/a b", "/a%20b"),
        ("/a%2Fb/c", "/a%2Fb/c"),
        ("/%e6%95%b0", "/%E6%95%B0"),
        ("/a//b/../c", "/a//b/../c"),
    ],
)
def test_paths_are_encoded_by_the_rule(raw: str, canonical: str) -> None:
    assert canonical_path(raw) == canonical


def test_queries_are_sorted_as_whole_texts() -> None:
    query = [("a", "1"), ("a1", "x"), ("Authorization", "secret"), ("uploads", "")]
    assert canonical_query(query) == "a1=x&a=1&uploads="

"""The signature, against vectors and by its properties."""

from __future__ import annotations

import json
import random
import string
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from qianfan._auth.iam import (
    IamCredentials,
    canonical_headers,
    canonical_query,
    encode,
    encode_path,
    encode_query,
    format_timestamp,
    sign,
)

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("bce_auth_v1_vectors.json").read_text("utf-8"))
KEYS = IamCredentials("akexample", SecretStr("skexample"))
NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
UNRESERVED = set(string.ascii_letters + string.digits + "-._~")


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    signature = sign(
        IamCredentials(vector["ak"], SecretStr(vector["sk"])),
        method=vector["method"],
        path=encode_path(vector["path"]),
        query=[(name, value) for name, value in vector["query"]],
        headers=dict(vector["headers"]),
        timestamp=datetime.strptime(vector["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc),
        expiration=vector["expiration_seconds"],
        signed_headers=vector["signed_headers"],
    )
    assert signature.canonical_request == vector["canonical_request"]
    assert signature.prefix == vector["auth_string_prefix"]
    assert signature.value == vector["signature"]
    assert signature.authorization == vector["authorization"]


def test_all_given_headers_are_signed_in_order_when_no_list_is_given() -> None:
    headers = {"x-bce-date": "d", "Host": "h", "request-source": "s", "Content-Type": "t"}
    signature = sign(KEYS, method="post", path="/", headers=headers, timestamp=NOON)
    assert signature.signed_headers == ("content-type", "host", "request-source", "x-bce-date")


def test_header_order_does_not_matter() -> None:
    items = [("Host", "h"), ("x-bce-date", "d"), ("x-bce-b", "1"), ("x-bce-a", "2")]
    signatures = set()
    for seed in range(10):
        random.Random(seed).shuffle(items)
        signatures.add(sign(KEYS, method="GET", path="/", headers=dict(items), timestamp=NOON).authorization)
    assert len(signatures) == 1


def test_timestamp_is_utc_whatever_the_zone() -> None:
    shanghai = timezone(timedelta(hours=8))
    assert format_timestamp(datetime(2024, 5, 1, 16, 9, 10, 999, tzinfo=shanghai)) == "2024-05-01T08:09:10Z"


def test_repr_shows_neither_key() -> None:
    shown = repr(IamCredentials("akexample0001", SecretStr("very-secret")))
    assert "very-secret" not in shown
    assert "akexample0001" not in shown


@given(st.text())
def test_encoding_round_trips_and_leaves_only_unreserved(text: str) -> None:
    encoded = encode(text)
    assert unquote(encoded) == text
    assert set(encoded) <= UNRESERVED | {"%"}
    assert all(part[:2] == part[:2].upper() for part in encoded.split("%")[1:])


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_path_encoding_keeps_slashes(path: str) -> None:
    assert encode_path(path).count("/") == path.count("/")
    assert unquote(encode_path(path)) == path


pairs = st.lists(st.tuples(st.text(min_size=1), st.none() | st.text()))


@given(pairs, st.randoms())
def test_query_order_does_not_change_the_canonical_form(query: list[tuple[str, str | None]], rng: Any) -> None:
    shuffled = list(query)
    rng.shuffle(shuffled)
    assert canonical_query(query) == canonical_query(shuffled)
    entries = canonical_query(query).split("&")
    assert entries == sorted(entries)


@given(pairs)
def test_what_is_sent_decodes_to_what_was_signed(query: list[tuple[str, str | None]]) -> None:
    """A server decodes the request line and spells it canonically again."""
    received = parse_qsl(encode_query(query), keep_blank_values=True, max_num_fields=None)
    assert canonical_query(received) == canonical_query(query)


@given(st.dictionaries(st.text(string.ascii_lowercase + "-", min_size=1), st.text(string.printable)))
def test_headers_are_sorted_lines(headers: dict[str, str]) -> None:
    lines = canonical_headers(headers, headers).split("\n") if headers else []
    assert lines == sorted(lines)

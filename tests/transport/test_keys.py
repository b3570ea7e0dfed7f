"""Which credentials a call travels with."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from qianfan._auth.tokens import BearerSource, OAuthSource
from qianfan._transport.keys import (
    AccessCode,
    Authentication,
    HeaderToken,
    Nothing,
    Prepared,
    QueryToken,
    Signed,
    authentication,
    host_of,
    prepared,
)
from qianfan._transport.wire import Call, Family, Safety, request_parts
from qianfan.config import Settings
from qianfan.errors import MissingCredentialsError

from .platform import NOON

ACCOUNT = {"access_key": "access", "secret_key": "secret"}
APPLICATION = {"ak": "ak", "sk": "sk"}
SIGNED_FAMILIES = [Family.CONSOLE_V1, Family.CONSOLE_DATA, Family.CONSOLE_V2, Family.IAM, Family.BOS]


def shape(how: Authentication) -> Any:
    """The kind, and for tokens whether there is a source and a given one."""
    if isinstance(how, (QueryToken, HeaderToken)):
        return type(how), how.source is not None, how.given is not None
    return type(how)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ACCOUNT, Signed),
        (APPLICATION, (QueryToken, True, False)),
        ({"access_token": "t"}, (QueryToken, False, True)),
        ({**APPLICATION, "access_token": "t"}, (QueryToken, True, True)),
        ({**ACCOUNT, **APPLICATION}, (QueryToken, True, False)),
        ({**ACCOUNT, "access_token": "t"}, (QueryToken, False, True)),
        ({**ACCOUNT, "ak": "ak"}, Signed),
        ({"ak": "ak", "access_token": "t"}, (QueryToken, False, True)),
        ({**ACCOUNT, **APPLICATION, "no_auth": True}, Nothing),
        ({"no_auth": True}, Nothing),
    ],
)
def test_v1_inference(settings: dict[str, Any], expected: Any) -> None:
    assert shape(authentication(Settings(**settings), Family.INFERENCE_V1)) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ACCOUNT, (HeaderToken, True, False)),
        ({"bearer_token": "t"}, (HeaderToken, False, True)),
        ({**ACCOUNT, "bearer_token": "t"}, (HeaderToken, False, True)),
        ({"no_auth": True}, Nothing),
    ],
)
def test_v2_inference(settings: dict[str, Any], expected: Any) -> None:
    assert shape(authentication(Settings(**settings), Family.INFERENCE_V2)) == expected


@pytest.mark.parametrize("family", [Family.INFERENCE_V1, Family.INFERENCE_V2])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"access_code": "code"}, AccessCode),
        ({"access_code": "code", **APPLICATION, **ACCOUNT}, AccessCode),
        (APPLICATION, Signed),
        ({**ACCOUNT, "bearer_token": "t", "access_token": "t"}, Nothing),
        ({"ak": "half"}, Nothing),
    ],
)
def test_inference_on_a_private_deployment(family: Family, settings: dict[str, Any], expected: Any) -> None:
    how = authentication(Settings(**settings, enable_private=True), family)
    assert shape(how) is expected
    if isinstance(how, Signed):
        assert how.credentials.access_key == "ak"


@pytest.mark.parametrize("family", SIGNED_FAMILIES)
def test_the_rest_is_signed_even_without_auth_elsewhere(family: Family) -> None:
    assert shape(authentication(Settings(**ACCOUNT, no_auth=True), family)) is Signed


@pytest.mark.parametrize("family", SIGNED_FAMILIES)
@pytest.mark.parametrize("settings", [{}, APPLICATION, {"access_key": "a"}, {"secret_key": "s"}, {"no_auth": True}])
def test_missing_account_keys(family: Family, settings: dict[str, Any]) -> None:
    """The message names both the variables and the fields, and that an application's keys are others."""
    with pytest.raises(MissingCredentialsError) as caught:
        authentication(Settings(**settings), family)
    for word in ["QIANFAN_ACCESS_KEY", "QIANFAN_SECRET_KEY", "Settings(access_key=", "QIANFAN_AK", "application"]:
        assert word in str(caught.value)


def test_half_a_pair_is_named() -> None:
    with pytest.raises(MissingCredentialsError, match="only access_key is set, and secret_key is missing"):
        authentication(Settings(access_key="a"), Family.CONSOLE_V2)


@pytest.mark.parametrize("settings", [{}, {"ak": "a"}, {"sk": "s"}, {"access_key": "a"}, {"bearer_token": "b"}])
def test_missing_v1_inference_keys(settings: dict[str, Any]) -> None:
    with pytest.raises(MissingCredentialsError, match="QIANFAN_ACCESS_TOKEN"):
        authentication(Settings(**settings), Family.INFERENCE_V1)


@pytest.mark.parametrize("settings", [{}, APPLICATION, {"access_token": "t"}, {"access_key": "a"}])
def test_missing_v2_inference_keys(settings: dict[str, Any]) -> None:
    with pytest.raises(MissingCredentialsError, match="QIANFAN_BEARER_TOKEN"):
        authentication(Settings(**settings), Family.INFERENCE_V2)


def test_sources_belong_to_their_address() -> None:
    settings = Settings(**ACCOUNT, **APPLICATION, base_url="http://a", iam_base_url="http://i")
    v1 = authentication(settings, Family.INFERENCE_V1)
    v2 = authentication(settings, Family.INFERENCE_V2)
    assert isinstance(v1, QueryToken)
    assert isinstance(v2, HeaderToken)
    assert isinstance(v1.source, OAuthSource)
    assert isinstance(v2.source, BearerSource)
    assert (v1.source.base_url, v2.source.base_url, v2.source.lifetime) == ("http://a", "http://i", 43200)


# --- attaching -----------------------------------------------------------------------------------------------

CALL = Call("X", Family.CONSOLE_V2, Safety.READ, "/v2/model", "DescribeModel")


def attach(how: Authentication, token: Any = None, base_url: str = "https://qianfan.baidubce.com") -> Prepared:
    parts = request_parts(CALL, base_url, {}, headers={"request-source": "qianfan_py_sdk_v0.0.0"})
    return prepared(parts, how, token, now=NOON, expiration=300)


def test_a_signature_lists_every_header_that_is_sent() -> None:
    how = authentication(Settings(**ACCOUNT), Family.CONSOLE_V2)
    ready = attach(how)
    fields = ready.headers["authorization"].split("/")
    assert fields[:5] == [
        "bce-auth-v1",
        "access",
        "2024-05-01T12:00:00Z",
        "300",
        "content-type;host;request-source;x-bce-date",
    ]
    assert ready.headers["x-bce-date"] == "2024-05-01T12:00:00Z"
    assert ready.headers["host"] == "qianfan.baidubce.com"


def test_a_gateways_own_path_is_signed_too() -> None:
    how = authentication(Settings(**ACCOUNT), Family.CONSOLE_V2)
    with_path, without = attach(how, base_url="https://gw/qianfan"), attach(how, base_url="https://gw")
    assert with_path.url.startswith("https://gw/qianfan/v2/model?")
    assert with_path.headers["authorization"] != without.headers["authorization"]


def test_another_host_header_for_gateways() -> None:
    how = authentication(Settings(**ACCOUNT, iam_host="aip.baidubce.com"), Family.INFERENCE_V1)
    assert attach(how, base_url="http://gateway").headers["host"] == "aip.baidubce.com"


def test_tokens_go_where_they_belong() -> None:
    secret = Settings(bearer_token="t/1").bearer_token
    assert attach(QueryToken(None), secret).url.endswith("?Action=DescribeModel&access_token=t%2F1")
    assert attach(HeaderToken(None), secret).headers["authorization"] == "Bearer t/1"
    assert attach(AccessCode(SecretStr("code"))).headers["authorization"] == "ACCESSCODE code"
    assert "authorization" not in attach(Nothing()).headers


def test_a_prepared_request_prints_nothing() -> None:
    assert "t/1" not in repr(attach(HeaderToken(None), Settings(bearer_token="t/1").bearer_token))


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://Qianfan.Baidubce.com", "qianfan.baidubce.com"),
        ("https://host:443", "host"),
        ("http://host:443", "host:443"),
        ("http://127.0.0.1:8100/x", "127.0.0.1:8100"),
        ("http://[::1]:80", "[::1]"),
        ("http://[::1]:81", "[::1]:81"),
    ],
)
def test_host_header(address: str, host: str) -> None:
    assert host_of(address) == host

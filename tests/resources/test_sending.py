"""Keywords that say how a call is sent: as whom, how fast, with which headers. None of them becomes a part of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from qianfan._transport import Client
from qianfan.errors import APIError, InvalidArgumentError
from qianfan.resources import ChatCompletion, Embedding, Image2Text, Plugin, Reranker, Text2Image, Tokenizer
from qianfan.resources.llm.options import client_for
from qianfan.resources.rate_limiter import RedisConnectionInfo
from tests.resources.asking import ask, faces
from tests.support.wire import Prepared, client_of

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "hi"}]
OK: dict[str, Any] = {"id": "as-1", "result": "ok", "choices": []}
TOKEN = {"access_token": "fetched", "expires_in": 3600}
BUSY = {"error_code": 336100, "error_msg": "busy"}


def secrets_of(wire: Prepared) -> str:
    return " ".join(str(seen.body) for seen in wire.seen)


@faces
async def test_an_access_token_of_ones_own(face: str) -> None:
    wire = Prepared(OK, OK, OK)
    chat = ChatCompletion(client=client_of(wire), access_token="of-the-object")
    await ask(face, chat, "do", HI)
    await ask(face, chat, "do", HI, access_token="of-the-call")
    await ask(face, ChatCompletion(client=client_of(wire)), "do", HI)
    assert [seen.query["access_token"] for seen in wire.seen] == ["of-the-object", "of-the-call", "token"]
    assert "of-the" not in secrets_of(wire)


async def test_keys_of_an_application() -> None:
    wire = Prepared(TOKEN, OK)
    await ChatCompletion(client=client_of(wire)).ado(HI, ak="my-ak", sk="my-sk")
    assert wire.seen[0].query["client_id"] == "my-ak"
    assert wire.seen[1].query["access_token"] == "fetched"
    assert "my-" not in str(wire.seen[1].body)


async def test_keys_of_an_account_replace_whatever_was_there() -> None:
    wire = Prepared(OK)
    await ChatCompletion(client=client_of(wire)).ado(HI, access_key="my-key", secret_key="my-secret")
    assert wire.seen[0].headers["authorization"].startswith("bce-auth-v1/my-key/")
    assert "access_token" not in wire.seen[0].query
    assert "my-" not in str(wire.seen[0].body)


async def test_a_bearer_token_for_v2() -> None:
    wire = Prepared(OK, OK)
    chat = ChatCompletion(version=2, client=client_of(wire))
    await chat.ado(HI, bearer_token="mine", app_id="app-1")
    await chat.ado(HI, api_key="also-mine")
    assert [seen.headers["authorization"] for seen in wire.seen] == ["Bearer mine", "Bearer also-mine"]
    assert [seen.headers.get("appid") for seen in wire.seen] == ["app-1", None]
    assert "mine" not in secrets_of(wire)


@pytest.mark.parametrize("half", [{"ak": "hush"}, {"sk": "hush"}, {"access_key": "hush"}, {"secret_key": "hush"}])
async def test_half_a_pair_is_refused(half: dict[str, str]) -> None:
    wire = Prepared()
    with pytest.raises(InvalidArgumentError, match="are a pair") as caught:
        await ChatCompletion(client=client_of(wire)).ado(HI, **half)  # type: ignore[call-overload]  # a bad call
    assert "hush" not in str(caught.value)
    assert not wire.seen


async def test_the_same_keys_share_a_client() -> None:
    own = client_of(Prepared())
    one, other = (ChatCompletion(client=own, access_token="a") for _ in range(2))
    assert one.client is other.client is not own
    assert ChatCompletion(client=own).client is own
    assert ChatCompletion(client=own, access_token="b").client is not one.client
    assert "'a'" not in repr(one.client.settings)


def test_process_wide_clients_are_shared_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_ACCESS_TOKEN", "of-the-environment")
    assert client_for(None, {"ak": "a", "sk": "b"}) is client_for(None, {"ak": "a", "sk": "b"})
    assert client_for(None, {"ak": "a", "sk": "b"}).settings.access_token is None


def test_only_so_many_clients_are_kept() -> None:
    own = client_of(Prepared())
    first = client_for(own, {"access_token": "0"})
    for number in range(1, 70):
        client_for(own, {"access_token": str(number)})
    assert client_for(own, {"access_token": "0"}) is not first


# --- limits --------------------------------------------------------------------------------------------------


def limits_of(client: Client) -> tuple[float, float, int]:
    return client.settings.qps_limit, client.settings.rpm_limit, client.settings.tpm_limit


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({"query_per_second": 2.5}, (2.5, 0, 0)),
        ({"request_per_minute": 30, "token_per_minute": 1000}, (1, 30, 1000)),
        ({"key": "group", "buffer_ratio": 0.2}, (1, 0, 0)),
        ({"query_per_second": None}, (1, 0, 0)),
    ],
)
async def test_limits_in_the_constructor(given: dict[str, Any], limits: tuple[float, float, int]) -> None:
    wire = Prepared(OK)
    chat = ChatCompletion(client=client_of(wire, qps_limit=1), **given)
    assert limits_of(chat.client) == limits
    await chat.ado(HI)
    assert wire.bodies == [{"messages": HI}]


def test_what_else_the_limiter_is_told() -> None:
    own = client_of(Prepared())
    told = {"key": "group", "buffer_ratio": 0.2, "forcing_disable": True}
    settings = ChatCompletion(client=own, **told).client.settings
    assert (settings.limiter_group, settings.limiter_buffer_ratio, settings.limiter_disabled) == ("group", 0.2, True)


def test_a_limiter_shared_over_redis() -> None:
    info = RedisConnectionInfo("limits", 6380, 2, password="of-redis")
    chat = ChatCompletion(client=client_of(Prepared()), redis_rate_limiter=True, redis_connection_info=info)
    url = chat.client.settings.limiter_redis_url
    assert url is not None
    assert url.get_secret_value() == "redis://:of-redis@limits:6380/2"
    assert "of-redis" not in f"{info!r} {chat!r} {chat.client.settings!r}"


# --- headers, query, retries ---------------------------------------------------------------------------------


@faces
async def test_headers_and_query_go_where_they_belong(face: str) -> None:
    wire = Prepared(OK)
    chat = ChatCompletion(client=client_of(wire), headers={"x-team": "blue"})
    await ask(face, chat, "do", HI, query={"debug": 1}, request_id="mine", show_total_latency=True)
    [seen] = wire.seen
    assert (seen.headers["x-team"], seen.headers["request_id"], seen.query["debug"]) == ("blue", "mine", "1")
    assert wire.bodies == [{"messages": HI}]


async def test_where_a_request_comes_from_is_told_unless_it_is_not() -> None:
    wire = Prepared(OK, OK, OK)
    chat = ChatCompletion(client=client_of(wire))
    await chat.ado(HI, extra_parameters={"mine": 1})
    await chat.ado(HI, extra_parameters={"request_source": "me"})
    await chat.ado(HI, _no_extra_parameters=True)
    assert wire.seen[0].body["extra_parameters"].keys() == {"mine", "request_source"}
    assert wire.seen[1].body["extra_parameters"] == {"request_source": "me"}
    assert wire.seen[2].body == {"messages": HI}
    with pytest.raises(InvalidArgumentError, match="extra_parameters must be a dictionary"):
        await chat.ado(HI, extra_parameters=[1])  # type: ignore[call-overload]  # a bad call


async def test_which_codes_are_tried_again() -> None:
    odd = {"error_code": 4711, "error_msg": "odd"}
    wire = Prepared(odd, odd, OK)
    chat = ChatCompletion(client=client_of(wire))
    with pytest.raises(APIError, match="odd"):
        await chat.ado(HI)
    await chat.ado(HI, retry_err_codes={4711}, retry_jitter=0, retry_max_wait_interval=1)
    assert len(wire.seen) == 3


@pytest.mark.parametrize("kind", [Text2Image, Image2Text])
async def test_pictures_are_tried_once_unless_one_says_more(kind: Any) -> None:
    arguments = ["a cat"] if kind is Text2Image else ["what?", b"picture"]
    wire = Prepared(BUSY, BUSY, OK)
    with pytest.raises(APIError, match="busy"):
        await kind(client=client_of(wire)).ado(*arguments)
    assert len(wire.seen) == 1
    await kind(client=client_of(wire)).ado(*arguments, retry_count=2)
    assert len(wire.seen) == 3


async def test_what_the_caller_changes_later_was_sent_already() -> None:
    wire = Prepared(OK)
    messages = [{"role": "user", "content": "hi"}]
    answer = await ChatCompletion(client=client_of(wire)).ado(messages)
    messages[0]["content"] = "else"
    assert answer.request is not None
    assert answer.request.json_body["messages"] == HI


# --- where other kinds go ------------------------------------------------------------------------------------


def path_of(wire: Prepared) -> str:
    return wire.seen[-1].path.rpartition("wenxinworkshop")[2] or wire.seen[-1].path


@faces
async def test_the_smaller_kinds(face: str) -> None:
    wire = Prepared(*[OK] * 7)
    client = client_of(wire)
    await ask(face, Image2Text(client=client), "do", "what is it?", "data:image/png;base64,QUJD", top_k=3)
    assert (path_of(wire), wire.bodies[-1]) == (
        "/image2text/fuyu_8b",
        {"prompt": "what is it?", "image": "QUJD", "top_k": 3},
    )
    await ask(face, Image2Text(endpoint="mine", client=client), "do", "what is it?", b"ABC")
    assert (path_of(wire), wire.bodies[-1]["image"]) == ("/image2text/mine", "QUJD")
    await ask(face, Reranker(client=client), "do", "q", ("a", "b"), top_n=1)
    assert (path_of(wire), wire.bodies[-1]) == (
        "/reranker/bce_reranker_base",
        {"query": "q", "documents": ["a", "b"], "top_n": 1},
    )
    await ask(face, Embedding(version="2", client=client), "do", ["a"], user="u")
    assert (path_of(wire), wire.bodies[-1]) == (
        "/v2/embeddings",
        {"model": "embedding-v1", "input": ["a"], "user": "u"},
    )
    await ask(face, Plugin(client=client), "do", "hello", ["eChart"])
    assert (path_of(wire), wire.bodies[-1]) == (
        "/erniebot/plugins",
        {"messages": [{"role": "user", "content": "hello"}], "plugins": ["eChart"]},
    )
    await ask(face, Plugin("EBPluginV2", client=client), "do", HI, ["eChart"])
    assert (path_of(wire), wire.bodies[-1]["messages"]) == ("/erniebot/plugin", HI)
    await ask(face, Plugin(endpoint="mine", client=client), "do", "hello", ["x"], verbose=True)
    assert (path_of(wire), wire.bodies[-1]) == ("/plugin/mine/", {"query": "hello", "plugins": ["x"], "verbose": True})


async def test_what_the_smaller_kinds_refuse() -> None:
    wire = Prepared()
    client = client_of(wire)
    with pytest.raises(InvalidArgumentError, match="documents must be a list"):
        await Reranker(client=client).ado("q", "a")
    with pytest.raises(InvalidArgumentError, match="Reranker needs 'documents'"):
        await Reranker(client=client).ado("q")
    with pytest.raises(InvalidArgumentError, match="Image2Text needs 'image'"):
        await Image2Text(client=client).ado("q")
    assert not wire.seen


# --- models that are newer than the table --------------------------------------------------------------------


def listing(*rows: Any) -> dict[str, Any]:
    return {"log_id": "1", "result": {"common": list(rows), "custom": [{"name": "Mine", "url": "https://x/chat/mine"}]}}


ACCOUNT = {"access_key": "key", "secret_key": "secret"}


async def test_a_new_model_is_found_in_the_consoles_list() -> None:
    url = "https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/ernie-9"
    rows = [{"name": "ERNIE-9", "url": url}, {"name": "odd", "url": "x"}, {"name": 3}, None]
    wire = Prepared(listing(*rows), OK, OK)
    chat = ChatCompletion("ernie-9", client=client_of(wire, **ACCOUNT))
    await chat.ado(HI)
    await chat.ado(HI)
    assert [seen.path.rpartition("wenxinworkshop")[2] for seen in wire.seen] == [
        "/service/list",
        "/chat/ernie-9",
        "/chat/ernie-9",
    ]
    with pytest.raises(InvalidArgumentError, match="'mine' is no preset chat model"):
        await chat.ado(HI, model="mine")


async def test_nobody_asks_without_keys_and_a_failure_counts_as_unknown() -> None:
    wire = Prepared()
    with pytest.raises(InvalidArgumentError, match="is no preset"):
        await ChatCompletion("ernie-9", client=client_of(wire)).ado(HI)
    assert not wire.seen
    wire = Prepared(httpx.Response(500, content=b"oops"))
    with pytest.raises(InvalidArgumentError, match="is no preset"):
        await ChatCompletion("ernie-9", client=client_of(wire, **ACCOUNT)).ado(HI)
    assert len(wire.seen) == 1


# --- counting tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("hello, big world!", 3),
        ("你好world你好", 3),
        ("ab。cd", 2),
        ("a_b c-d", 4),
        ("a\u3000b", 2),
        ("a\u2028b", 1),
        ("a￥b", 1),
        ("a$b", 2),
        ("你，好", 1),
        ("😀 😀", 2),
    ],
)
@faces
async def test_tokens_are_estimated_here(face: str, text: str, tokens: int) -> None:
    assert await ask(face, Tokenizer, "count_tokens", text) == tokens


@faces
async def test_tokens_are_counted_there(face: str) -> None:
    usage = {"usage": {"prompt_tokens": 7, "total_tokens": 7}}
    wire = Prepared(usage, {"id": "as-1"})
    client = client_of(wire)
    assert await ask(face, Tokenizer, "count_tokens", "你好", "remote", "ernie-4.0-8k", client=client, ak=None) == 7
    assert wire.seen[0].path.endswith("/tokenizer/erniebot")
    assert wire.seen[0].body == {"prompt": "你好", "model": "ernie-4.0-8k"}
    with pytest.raises(Exception, match="tells no number"):
        await ask(face, Tokenizer, "count_tokens", "你好", mode="remote", client=client)
    with pytest.raises(InvalidArgumentError, match="use 'local' or 'remote'"):
        await ask(face, Tokenizer, "count_tokens", "你好", mode="cloud")

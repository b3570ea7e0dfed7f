"""Every error that the platform's documents list, over a socket and by both faces: what it becomes for the user.

Each code is said once by the emulator, on order, in the envelope of its family; the errors that have a cause in the
emulator are caused below, too.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import anyio.to_thread
import httpx
import pytest

from qianfan import ChatCompletion
from qianfan._sync import run_sync
from qianfan.emulator.server import Running
from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    AuthError,
    BearerTokenExpiredError,
    QianfanError,
    RateLimitError,
    RequestError,
)
from qianfan.resources import IAM, BosPath, FineTune, Platform
from tests.contract.conftest import Faces

pytestmark = [pytest.mark.anyio, pytest.mark.socket]


class Row(NamedTuple):
    """A code, and what it becomes. again: whether another attempt is worth it; hint: words that help; status: HTTP."""

    code: int | str
    kind: type[APIError] = APIError
    again: bool = False
    hint: str = ""
    status: int | None = None


KEYS = "are different pairs"
QUOTA = "QIANFAN_RPM_LIMIT"
TOKENS = "QIANFAN_TPM_LIMIT"
SHORTEN = "Shorten the input"
ENDPOINT = "Check the model name or endpoint"
PAY = "in arrears"
PERMISSION = "no permission"

V1 = [
    Row(1, again=True),
    Row(2, again=True),
    Row(3, hint=ENDPOINT),
    Row(4, again=True),
    Row(6, hint=PERMISSION),
    Row(13, AuthError, hint=KEYS),
    Row(14, AuthError, hint="this machine's clock"),
    Row(15, again=True),
    Row(17, hint=PAY),
    Row(18, RateLimitError, again=True, hint=QUOTA),
    Row(19, hint="used up"),
    Row(100),
    Row(110, AccessTokenExpiredError, hint="QIANFAN_AK"),
    Row(111, AccessTokenExpiredError, hint="QIANFAN_AK"),
    Row(336000, again=True),
    Row(336001),
    Row(336002),
    Row(336003),
    Row(336004, hint=PERMISSION),
    Row(336005, hint=ENDPOINT),
    Row(336006, hint=SHORTEN),
    Row(336007),
    Row(336008, hint=SHORTEN),
    Row(336100, again=True),
    Row(336101),
    Row(336103, hint=SHORTEN),
    Row(336104),
    Row(336105),
    Row(336106),
    Row(336117),
    Row(336200, again=True),
    Row(336303),
    Row(336501, RateLimitError, again=True, hint=QUOTA),
    Row(336502, RateLimitError, again=True, hint=TOKENS),
    Row(336503),
    Row(500000, again=True),
]

V2 = [
    Row("malformed_json", status=400),
    Row("invalid_model", hint=ENDPOINT, status=400),
    Row("invalid_messages", status=400),
    Row("characters_too_long", hint=SHORTEN, status=400),
    Row("tokens_too_long", hint=SHORTEN, status=400),
    Row("invalid_argument", status=400),
    Row("invalid_plugin_argument", status=400),
    Row("invalid_image_url", status=400),
    Row("invalid_image_genration_prompt", status=400),
    Row("invalid_image_genration_refer_image", status=400),
    Row("invalid_image_generation_prompt", status=400),
    Row("invalid_image_generation_refer_image", status=400),
    Row("image_url_unsafe", status=400),
    Row("no_parameter_permission", hint=PERMISSION, status=401),
    Row("invalid_appid", hint="QIANFAN_APP_ID", status=401),
    Row("invalid_iam_token", BearerTokenExpiredError, again=True, hint="QIANFAN_BEARER_TOKEN", status=401),
    Row("rpm_rate_limit_exceeded", RateLimitError, again=True, hint=QUOTA, status=429),
    Row("tpm_rate_limit_exceeded", RateLimitError, again=True, hint=TOKENS, status=429),
    Row("preemptable_request_refused", RateLimitError, again=True, status=429),
    Row("internal_error", again=True, status=500),
]
V2_TYPES = {
    "image_url_unsafe": "unsafe_request",
    "no_parameter_permission": "access_denied",
    "rpm_rate_limit_exceeded": "rate_limit_exceeded",
    "tpm_rate_limit_exceeded": "rate_limit_exceeded",
    "preemptable_request_refused": "rate_limit_exceeded",
    "internal_error": "internal_error",
}

CONSOLE_V1 = [
    *(row for row in V1 if row.code not in (110, 111)),
    Row(1000, again=True),
    Row(10001),
    Row(21002),
    Row(70002),
    Row(70101),
    Row(70102),
    Row(70105),
    Row(70114),
    Row(70115),
    Row(70118),
    Row(70128),
    Row(70130),
    Row(70131),
    Row(500001),
    Row(500002, AuthError, hint=PERMISSION),
    Row(510101),
    Row(510102),
    Row(510201),
    Row(510202),
    Row(510203),
    Row(510301),
    Row(510302),
    Row(510401),
    Row(510402),
    Row(510403, hint=PAY),
    Row(510404),
]

WORDS = [
    Row("AccessDenied", hint=PERMISSION, status=403),
    Row("InappropriateJSON", status=400),
    Row("InternalError", again=True, status=500),
    Row("InvalidAccessKeyId", AuthError, hint=KEYS, status=403),
    Row("InvalidHTTPAuthHeader", AuthError, hint=KEYS, status=400),
    Row("InvalidHTTPRequest", status=400),
    Row("InvalidURI", status=400),
    Row("MalformedJSON", status=400),
    Row("InvalidVersion", status=404),
    Row("OptInRequired", hint="not enabled", status=403),
    Row("PreconditionFailed", status=412),
    Row("RequestExpired", AuthError, hint="clock", status=400),
    Row("IdempotentParameterMismatch", status=403),
    Row("SignatureDoesNotMatch", AuthError, hint=KEYS, status=403),
]
CONSOLE_V2 = [*WORDS, Row("TaskRunningNumberExceedLimit", status=400)]

BOS = [
    Row("AccessDenied", hint=PERMISSION, status=403),
    Row("AccountOverdue", hint=PAY, status=403),
    Row("BadDigest", status=400),
    Row("BucketAlreadyExists", status=409),
    Row("BucketNotEmpty", status=409),
    Row("EntityTooLarge", status=400),
    Row("EntityTooSmall", status=400),
    Row("InappropriateJSON", status=400),
    Row("MalformedJSON", status=400),
    Row("InternalError", again=True, status=500),
    Row("InvalidAccessKeyId", AuthError, hint=KEYS, status=403),
    Row("InvalidArgument", status=400),
    Row("InvalidBucketName", status=400),
    Row("InvalidObjectName", status=400),
    Row("InvalidHTTPAuthHeader", AuthError, hint=KEYS, status=400),
    Row("InvalidHTTPRequest", status=400),
    Row("InvalidURI", status=400),
    Row("InvalidPart", status=400),
    Row("InvalidPartOrder", status=400),
    Row("InvalidRange", status=416),
    Row("MethodNotAllowed", status=405),
    Row("MissingContentLength", status=411),
    Row("NoSuchBucket", status=404),
    Row("NoSuchKey", status=404),
    Row("NoSuchUpload", status=404),
    Row("PreconditionFailed", status=412),
    Row("RequestExpired", AuthError, hint="clock", status=400),
    Row("ServiceUnavailable", again=True, status=503),
    Row("SlowDown", RateLimitError, again=True, status=503),
    Row("SignatureDoesNotMatch", AuthError, hint=KEYS, status=403),
]

OAUTH = [
    Row("invalid_client", AuthError, hint=KEYS, status=401),
    Row("server_error", again=True, status=401),
    Row("temporarily_unavailable", again=True, status=401),
    Row("something_else", status=401),
]

MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, served: Running) -> None:
    """Two attempts without a wait between them, in place of pauses that last as long as the platform's own."""
    for name in ("LLM", "CONSOLE"):
        monkeypatch.setenv(f"QIANFAN_{name}_API_RETRY_COUNT", "2")
        monkeypatch.setenv(f"QIANFAN_{name}_API_RETRY_BACKOFF_FACTOR", "0")
        monkeypatch.setenv(f"QIANFAN_{name}_API_RETRY_JITTER", "0")
    monkeypatch.setenv("QIANFAN_LIMITER_DISABLED", "true")


async def chat_v1(ask: Faces) -> None:
    await ask(ChatCompletion(model="ERNIE-Speed-8K"), "do", messages=MESSAGES)


async def chat_v2(ask: Faces) -> None:
    await ask(ChatCompletion(version="2", model="ernie-speed-8k"), "do", messages=MESSAGES)


async def stream_v1(ask: Faces) -> None:
    await _streamed(ask, ChatCompletion(model="ERNIE-Speed-8K"))


async def stream_v2(ask: Faces) -> None:
    await _streamed(ask, ChatCompletion(version="2", model="ernie-speed-8k"))


async def _streamed(ask: Faces, chat: ChatCompletion) -> None:
    if ask.face == "async":
        async for _ in await chat.ado(messages=MESSAGES, stream=True):
            pass
    else:
        await anyio.to_thread.run_sync(lambda: [*chat.do(messages=MESSAGES, stream=True)])


async def console_v1(ask: Faces) -> None:
    await ask(FineTune, "get_job", 1, 1)


async def console_v2(ask: Faces) -> None:
    await ask(FineTune.V2, "job_list")


async def token(ask: Faces) -> None:
    await ask(IAM, "create_bearer_token", 300)


async def bos(ask: Faces) -> None:
    place = BosPath("bucket", "key")
    if ask.face == "async":
        await Platform().bos.get_bytes(place)
    else:
        await anyio.to_thread.run_sync(run_sync, Platform().bos.get_bytes, place)


Using = Callable[[Faces], Awaitable[None]]


async def failing(doing: Awaitable[None]) -> QianfanError:
    with pytest.raises(QianfanError) as caught:
        await doing
    return caught.value


@pytest.mark.parametrize(
    ("using", "call", "rows"),
    [
        pytest.param(chat_v1, "chat", V1, id="V1 inference"),
        pytest.param(stream_v1, "chat", V1, id="V1 stream"),
        pytest.param(chat_v2, "chat.completions", V2, id="V2 inference"),
        pytest.param(stream_v2, "chat.completions", V2, id="V2 stream"),
        pytest.param(console_v1, "jobDetail", CONSOLE_V1, id="console V1"),
        pytest.param(console_v2, "DescribeFineTuningJobs", CONSOLE_V2, id="console V2"),
        pytest.param(token, "bearer", WORDS, id="IAM"),
        pytest.param(bos, "GetObject", BOS, id="object storage"),
    ],
)
async def test_every_code(ask: Faces, served: Running, using: Using, call: str, rows: list[Row]) -> None:
    faults = served.platform.faults
    for row in rows:
        fault = faults.add(call, code=row.code, message="an odd 消息", times=None)
        error = await failing(using(ask))
        faults.remove(fault)
        assert isinstance(error, APIError), row
        said = (type(error), error.code, error.error_msg, error.http_status)
        assert said == (row.kind, row.code, "an odd 消息", row.status or 200), row
        assert bool(row.hint) is bool(error.hint), row
        assert row.hint in (error.hint or ""), row
        assert error.request_id, row
        refreshed = row.kind is BearerTokenExpiredError
        assert (fault.hits, error.retryable or refreshed) == (2 if row.again else 1, row.again), row


async def test_every_code_of_oauth(ask: Faces, served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_AK", "a")
    monkeypatch.setenv("QIANFAN_SK", "s")
    for row in OAUTH:
        for status in (200, 401):
            fault = served.platform.faults.add("oauth", code=row.code, status=status, message="m", times=None)
            error = await failing(chat_v1(ask))
            served.platform.faults.remove(fault)
            assert isinstance(error, row.kind), row
            assert (error.code, error.http_status, error.retryable) == (row.code, status, row.again), row
            assert fault.hits == (2 if row.again else 1), row


@pytest.mark.parametrize(
    ("body", "words"),
    [({}, "access_token"), ([], "access_token"), ({"access_token": "two lines\n"}, "header"), ("<html>", "not JSON")],
)
async def test_an_odd_answer_in_place_of_a_token(
    ask: Faces, served: Running, monkeypatch: pytest.MonkeyPatch, body: Any, words: str
) -> None:
    monkeypatch.setenv("QIANFAN_AK", "a")
    monkeypatch.setenv("QIANFAN_SK", "s")
    served.platform.faults.add("oauth", body=body, times=None)
    error = await failing(chat_v1(ask))
    assert isinstance(error, RequestError)
    assert words in str(error)


async def test_types_of_v2_errors(served: Running) -> None:
    """What the emulator writes beside the word; the client does not need it."""
    async with httpx.AsyncClient(base_url=served.url) as http:
        for row in V2:
            fault = served.platform.faults.add("chat.completions", code=row.code)
            answer = await http.post("/v2/chat/completions", json={})
            served.platform.faults.remove(fault)
            assert answer.status_code == row.status
            assert answer.json()["error"]["type"] == V2_TYPES.get(str(row.code), "invalid_request_error"), row


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ({"error_code": "336100", "error_msg": "as text", "id": "as-1"}, APIError, 336100),
        ({"code": 336501, "msg": "by other names"}, RateLimitError, 336501),
        ({"error": {"code": "rpm_rate_limit_exceeded", "message": "of V2"}}, RateLimitError, "rpm_rate_limit_exceeded"),
    ],
)
async def test_other_spellings_of_v1(ask: Faces, served: Running, body: Any, kind: type[APIError], code: Any) -> None:
    fault = served.platform.faults.add("chat", body=body, times=None)
    error = await failing(chat_v1(ask))
    assert isinstance(error, kind)
    assert (error.code, error.retryable, fault.hits) == (code, True, 2)


@pytest.mark.parametrize("using", [chat_v1, chat_v2, stream_v1, stream_v2, console_v1, console_v2, token, bos])
async def test_answers_of_gateways(ask: Faces, served: Running, using: Using) -> None:
    """Without JSON: only what may pass is tried again."""
    if using is chat_v2 or using is stream_v2:
        await chat_v2(ask)  # so that a token is there
    for status, again in ((401, False), (403, False), (404, False), (502, True), (503, True), (504, True)):
        fault = served.platform.faults.add("*", status=status, body="<html>no</html>", times=None)
        error = await failing(using(ask))
        served.platform.faults.remove(fault)
        assert isinstance(error, RequestError), status
        assert (error.status_code, error.retryable, error.body) == (status, again, "<html>no</html>")
        assert fault.hits == (2 if again else 1), status


async def test_retry_after_is_handed_on(ask: Faces, served: Running) -> None:
    limited = {"code": "rpm_rate_limit_exceeded", "message": "m", "type": "rate_limit_exceeded"}
    for body in ({"error": limited}, "<html>"):
        headers = {"retry-after": "0"}
        fault = served.platform.faults.add("chat.completions", status=429, body=body, headers=headers, times=None)
        error: Any = await failing(chat_v2(ask))
        served.platform.faults.remove(fault)
        assert (error.retry_after, error.retryable, fault.hits) == (0.0, True, 2)


# --- with a cause in the emulator ------------------------------------------------------------------------------------


async def test_causes_of_v1(ask: Faces, served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    account = served.platform.account
    assert account.keys is not None

    async def code_of(chat: dict[str, Any] | None = None, **how: Any) -> Any:
        asked = ChatCompletion(**{"model": "ERNIE-Speed-8K", **(chat or {})})
        error = await failing(ask(asked, "do", **{"messages": MESSAGES, **how}))
        assert isinstance(error, APIError)
        return error.code

    assert await code_of(chat={"model": None, "endpoint": "nobody"}) == 3
    assert await code_of(messages=MESSAGES * 2) == 336003
    assert await code_of(temperature=7) == 336003
    assert await code_of(chat={"access_token": "unknown"}) == 110
    assert await code_of(chat={"access_token": "an-expired-one"}) == 111
    assert await code_of(chat={"access_key": account.keys.access_key, "secret_key": "wrong"}) == 14
    for limit, code in (({"qps": 1}, 18), ({"rpm": 1}, 336501), ({"tpm": 1}, 336502)):
        with account.lock:
            account.limits.clear()
            account.limits.set("ERNIE-Speed-8K", **limit)
        await chat_v1(ask)
        assert await code_of() == code


async def test_causes_of_v2(ask: Faces, served: Running) -> None:
    account = served.platform.account

    async def code_of(messages: Any = MESSAGES, **chat: Any) -> Any:
        error = await failing(
            ask(ChatCompletion(**{"version": "2", "model": "ernie-speed-8k", **chat}), "do", messages=messages)
        )
        assert isinstance(error, APIError)
        return error.code, error.http_status

    assert await code_of(model="no-such-model") == ("invalid_model", 401)
    assert await code_of([{"role": "tool", "content": "x"}]) == ("invalid_messages", 400)
    assert await code_of(bearer_token="bce-v3/un/known") == ("invalid_iam_token", 401)
    for limit, code in (({"rpm": 1}, "rpm_rate_limit_exceeded"), ({"tpm": 1}, "tpm_rate_limit_exceeded")):
        with account.lock:
            account.limits.clear()
            account.limits.set("ERNIE-Speed-8K", **limit)
        await chat_v2(ask)
        assert await code_of() == (code, 429)


async def test_causes_in_the_form_of_a_request(served: Running) -> None:
    """What no client of ours sends."""
    account = served.platform.account
    with account.lock:
        key = account.tokens.new_api_key()
    bearer = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    v1 = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
    with account.lock:
        access = account.tokens.new_access(account.now(), 100)

    async with httpx.AsyncClient(base_url=served.url) as http:

        async def code_of(method: str, path: str, content: bytes = b"{}", **headers: str) -> Any:
            answer = await http.request(method, path, content=content, headers=headers)
            said = answer.json()
            inner = said.get("error")
            return said.get("error_code") or said.get("code") or (inner["code"] if isinstance(inner, dict) else inner)

        assert await code_of("POST", "/v2/chat/completions", b"{", **bearer) == "malformed_json"
        assert await code_of("POST", "/v2/chat/completions", json.dumps({"messages": MESSAGES}).encode(), **bearer) == (
            "invalid_model"
        )
        assert await code_of("POST", "/v2/chat/completions") == "invalid_iam_token"
        assert await code_of("POST", f"{v1}/chat/ernie_speed?access_token={access}", b"{") == 336002
        assert await code_of("POST", f"{v1}/chat/ernie_speed") == 110
        assert await code_of("POST", "/v2/model?Action=DescribeModel") == "AccessDenied"
        malformed = {"authorization": "bce-auth-v1/too/short", "x-bce-date": "2030-01-01T00:00:00Z"}
        assert await code_of("POST", "/v2/model?Action=DescribeModel", **malformed) == "InvalidHTTPAuthHeader"
        old = f"bce-auth-v1/{account.keys and account.keys.access_key}/2020-01-01T00:00:00Z/300/host/{'0' * 64}"
        late = {"authorization": old, "x-bce-date": "2020-01-01T00:00:00Z"}
        assert await code_of("POST", "/v2/model?Action=DescribeModel", **late) == "RequestExpired"
        assert await code_of("GET", "/oauth/2.0/token?grant_type=password") == "invalid_client"


@pytest.mark.parametrize(
    ("keys", "code", "message"),
    [
        (("ALTAKunknown", "x"), "InvalidAccessKeyId", "NotFound, cause: Could not find credential."),
        (
            (None, "wrong"),
            "SignatureDoesNotMatch",
            "SignatureDoesNotMatch, cause: Fail to authn user: Signature does not match",
        ),
    ],
)
async def test_refused_signatures(ask: Faces, served: Running, keys: Any, code: str, message: str) -> None:
    """The two messages of the header; some services send no body with them."""
    assert served.platform.account.keys is not None
    access_key, secret_key = keys[0] or served.platform.account.keys.access_key, keys[1]
    error = await failing(ask(FineTune.V2, "job_list", ak=access_key, sk=secret_key))
    assert isinstance(error, AuthError)
    assert (error.code, error.error_msg, error.http_status) == (code, message, 403)
    fault = served.platform.faults.add("*", status=403, body="", headers={"x-bce-error-message": message})
    error = await failing(console_v2(ask))
    assert fault.hits == 1
    assert isinstance(error, AuthError)
    assert (error.code, error.error_msg) == (code, message)


async def test_causes_in_object_storage(ask: Faces, served: Running) -> None:
    storage = Platform().bos

    async def code_of(doing: Callable[[], Awaitable[Any]]) -> Any:
        if ask.face == "async":
            error = await failing(doing())
        else:
            error = await failing(anyio.to_thread.run_sync(run_sync, doing))
        assert isinstance(error, APIError)
        return error.code

    assert await code_of(partial(storage.get_bytes, BosPath("no-bucket", "key"))) == "NoSuchBucket"
    await storage.put_bytes(b"x", BosPath("bucket", "key"))
    assert await code_of(partial(storage.get_bytes, BosPath("bucket", "no-key"))) == "NoSuchKey"
    assert await code_of(partial(storage.delete_bucket, "bucket")) == "BucketNotEmpty"
    assert await code_of(partial(storage.create_bucket, "bucket")) == "BucketAlreadyExists"
    assert await code_of(partial(storage.abort_upload, BosPath("bucket", "key"), "no-upload")) == "NoSuchUpload"

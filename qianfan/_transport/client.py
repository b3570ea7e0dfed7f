"""The client: the only part of the package that sends anything.

One request goes through these hands: `wire` gives it its shape, `keys` its credentials, `limits` lets it out, `pools`
has the connection, `wire` reads the answer, and a `RetryPolicy` decides whether it goes out again.
"""

from __future__ import annotations

import json
import random
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx
from pydantic import SecretStr
from typing_extensions import Self

from qianfan import __version__, _faults
from qianfan._auth.tokens import SHARED_TOKENS, Token, TokenFlow, TokenRequest, TokenStore
from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan._retry import Random, RetryPolicy, retrying
from qianfan._transport import objects
from qianfan._transport.budgets import SHARED_BUDGETS, Budgets
from qianfan._transport.codes import lookup
from qianfan._transport.faults import translated
from qianfan._transport.incoming import LARGEST_ANSWER, AnswerStream, Download, Incoming
from qianfan._transport.keys import (
    Authentication,
    HeaderToken,
    Nothing,
    Prepared,
    QueryToken,
    Signed,
    account_keys,
    account_of,
    authentication,
    prepared,
)
from qianfan._transport.limiter import Limiter, Turn
from qianfan._transport.limits import Gate
from qianfan._transport.outgoing import Halves, Upload, Whole
from qianfan._transport.pools import Pool, Pools
from qianfan._transport.skew import PlatformTime
from qianfan._transport.wire import (
    Call,
    Family,
    Parts,
    Reading,
    Reply,
    Safety,
    checked_headers,
    excerpt,
    request_id_of,
    request_parts,
)
from qianfan._types import JSON, UNSET, Unset
from qianfan.config import Settings, default_settings
from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    BearerTokenExpiredError,
    InvalidArgumentError,
    RequestError,
    RequestTimeoutError,
)
from qianfan.utils.logging import logger

Made = TypeVar("Made")
Content: TypeAlias = bytes | Callable[[], AsyncIterator[bytes]]
"""What to upload: bytes, or a function that makes an iterator over them, called again for each attempt."""

FilePart: TypeAlias = tuple[str, bytes, str]
"""One file of a form: its name, its content, its media type."""

PURCHASE_DEADLINE: Final = 30.0
"""Seconds in which a purchase is answered, or else it is looked for: shorter than it takes to show up in a listing."""

_INFERENCE: Final = frozenset({Family.INFERENCE_V1, Family.INFERENCE_V2})
_SOURCE: Final = f"qianfan_py_sdk_v{__version__}"
_CONNECT_TIMEOUT: Final = 10.0
_LARGEST_INFERENCE: Final = 64 * 1024 * 1024
_ID_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_REFRESHABLE: Final = (AccessTokenExpiredError, BearerTokenExpiredError)


class Client:
    """The way to the platform for one set of settings.

    settings: a snapshot is kept; without any, what `default_settings()` says now.
    clock, rng: time and chance, for tests to drive. transport: an httpx transport to use instead of the network.

    Making one opens nothing. It may be used from several event loops and threads at once. `async with` or `aclose()`
    closes the running loop's connections; otherwise they are closed when the loop ends.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random = random,
        transport: httpx.AsyncBaseTransport | None = None,
        tokens: TokenStore = SHARED_TOKENS,
        budgets: Budgets = SHARED_BUDGETS,
    ) -> None:
        self.settings: Final = settings if settings is not None else default_settings()
        self.clock: Final = clock
        self.rng: Final = rng
        self._time = PlatformTime(clock)
        self._tokens = tokens
        self._transport = transport
        self._pools = Pools(self.settings, transport)
        self._calls = Gate(self.settings.max_requests_in_flight)
        self._streams = Gate(self.settings.max_streams)
        self._budgets = budgets
        self._limiter = Limiter(self.settings, clock, budgets)
        self._guard = threading.Lock()
        self._sent = 0

    def __repr__(self) -> str:
        return f"<Client {urlsplit(self.settings.console_api_base_url).hostname}, {self._sent} requests sent>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the running event loop's connections. A later call opens new ones."""
        await self._pools.aclose()

    def with_settings(self, **changes: object) -> Client:
        """A client like this one with some settings changed; it has connections of its own."""
        client = Client(
            self.settings.replace(**changes),
            clock=self.clock,
            rng=self.rng,
            transport=self._transport,
            tokens=self._tokens,
            budgets=self._budgets,
        )
        client._time = self._time
        return client

    @property
    def requests_sent(self) -> int:
        """Requests that left so far: attempts and requests for tokens included."""
        return self._sent

    def retry_policy(self, call: Call) -> RetryPolicy:
        """The policy that the settings give this call; vary it with `.model_copy(update={"attempts": ...})`.

        A purchase is tried once, always.
        """
        if call.safety is Safety.PURCHASE:
            return RetryPolicy(attempts=1)
        prefix = "llm_api_retry_" if call.family in _INFERENCE else "console_api_retry_"
        return RetryPolicy(
            attempts=getattr(self.settings, prefix + "count"),
            wait_initial=getattr(self.settings, prefix + "backoff_factor"),
            wait_max=getattr(self.settings, prefix + "max_wait_interval"),
            jitter=getattr(self.settings, prefix + "jitter"),
        )

    # --- calls -------------------------------------------------------------------------------------------------

    async def call(
        self,
        call: Call,
        body: JSON = None,
        *,
        path_args: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        files: Mapping[str, FilePart] | None = None,
        timeout: float | Unset | None = UNSET,
        retries: RetryPolicy | Unset | None = UNSET,
        request_id: str | None = None,
    ) -> Reply:
        """Send a call and return its answer.

        path_args: fills the fields of the path. query, headers: sent besides the usual ones, and signed.
        files: part name -> (file name, content, media type), sent as a form, with the body's fields as further parts.
        timeout: seconds for one attempt, from the connection to the last byte; None waits forever. A PURCHASE has 30
        seconds, unless the settings say less.
        retries: instead of the settings' policy; None tries once. A PURCHASE is tried once, whatever this says.
        request_id: for inference, an id of the caller's own.

        Raises MissingCredentialsError before anything is sent, APIError for an error of the platform, RequestError
        when there is no usable answer.
        """
        how = authentication(self.settings, call.family)
        parts = self._parts(call, body, path_args, query, headers, request_id)
        if files is not None:
            parts = _as_form(parts, body, files)
        seconds = self._timeout(call, timeout)

        async def send(token: SecretStr | None) -> Reply:
            async with self._turn(call, parts, how, body) as turn:
                return await self._exchange(call, parts, how, token, seconds, turn)

        return await self._repeating(call, retries, partial(self._with_token, how, send))

    def stream(
        self,
        call: Call,
        body: JSON = None,
        *,
        path_args: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | Unset | None = UNSET,
        retries: RetryPolicy | Unset | None = UNSET,
        request_id: str | None = None,
    ) -> AbstractAsyncContextManager[AnswerStream]:
        """Open a stream of answers: `async with client.stream(call, body) as answers: async for answer in answers`.

        timeout: seconds to wait for the next piece. The rest is as in `call`; what is repeated ends with the first
        answer. Later, the iteration raises APIError for an error inside the stream and StreamInterruptedError when
        it ends without its end mark.
        """
        parts = self._parts(
            call, body, path_args, query, {"accept": "text/event-stream", **(headers or {})}, request_id
        )
        return self._stream(call, parts, body, self._timeout(call, timeout), retries)

    @asynccontextmanager
    async def _stream(
        self, call: Call, parts: Parts, body: JSON, timeout: float | None, retries: RetryPolicy | Unset | None
    ) -> AsyncGenerator[AnswerStream, None]:
        how = authentication(self.settings, call.family)

        async def open_(token: SecretStr | None) -> tuple[AsyncExitStack, AnswerStream]:
            async with AsyncExitStack() as stack:
                turn = await stack.enter_async_context(self._turn(call, parts, how, body))
                await stack.enter_async_context(self._streams)
                incoming = await self._open(Pool.STREAMS, call, parts, how, token, timeout, parts.content, turn=turn)
                stack.push_async_callback(incoming.aclose)
                answers = await self._answers(call, how, incoming, turn)
                if turn is not None:
                    turn.opened()
                return stack.pop_all(), answers

        stack, answers = await self._repeating(call, retries, partial(self._with_token, how, open_))
        async with stack:
            yield answers

    async def _answers(self, call: Call, how: Authentication, incoming: Incoming, turn: Turn | None) -> AnswerStream:
        if incoming.status == 200 and incoming.headers.get("content-type", "").startswith("text/event-stream"):
            answers = AnswerStream(incoming, self._reading(call), note=turn.answered if turn is not None else None)
            await answers.peek()
            return answers
        content = await incoming.whole()
        reply = self._understood(call, how, incoming, content)
        raise RequestError(
            f"{call.name} asked for a stream and got a single answer",
            status_code=incoming.status,
            body=excerpt(content),
            request_id=reply.request_id,
        )

    # --- object storage ----------------------------------------------------------------------------------------

    async def put_object(
        self,
        bucket: str,
        key: str,
        content: Content,
        *,
        size: int | None = None,
        content_type: str = "application/octet-stream",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        region: str | None = None,
    ) -> Reply:
        """Store an object under a key, replacing what is there.

        query: `partNumber` and `uploadId` make it a part of an upload instead.
        size: bytes, needed when the content is a function; nothing is held in memory then but the piece on its way.
        headers: for example `x-bce-meta-...`. Raises InvalidArgumentError when the content has another size.
        """
        length = len(content) if isinstance(content, bytes) else size
        if length is None:
            raise InvalidArgumentError("put_object needs `size` in bytes when the content is a function")
        if isinstance(content, bytes) and size not in (None, length):
            raise InvalidArgumentError(f"put_object: size={size} but the content has {length} bytes")
        sent = {"content-type": content_type, **(headers or {}), "content-length": str(length)}
        parts = objects.object_parts(self.settings, objects.PUT, bucket, key, query=query, headers=sent, region=region)

        def upload() -> Upload:
            return Upload(objects.PUT.name, _once(content) if isinstance(content, bytes) else content(), length)

        return await self._object_call(objects.PUT, parts, upload)

    async def object_call(
        self,
        call: Call,
        bucket: str,
        key: str | None = None,
        *,
        body: JSON = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        region: str | None = None,
    ) -> Reply:
        """Any other request about an object, or about a bucket when there is no key. body: sent as JSON."""
        content = None if body is None else json.dumps(body).encode()
        length = {} if call.method in ("GET", "HEAD") else {"content-length": str(len(content or b""))}
        sent = {**length, **({"content-type": "application/json"} if content else {}), **(headers or {})}
        if key is None:
            parts = objects.bucket_parts(
                self.settings, call, bucket, query=query, headers=sent, content=content, region=region
            )
        else:
            parts = objects.object_parts(
                self.settings, call, bucket, key, query=query, headers=sent, content=content, region=region
            )
        return await self._object_call(call, parts)

    async def head_object(self, bucket: str, key: str, *, region: str | None = None) -> Reply:
        """An object's headers. Raises APIError with `http_status` 404 if there is none."""
        parts = objects.object_parts(self.settings, objects.HEAD, bucket, key, region=region)
        return await self._object_call(objects.HEAD, parts)

    async def delete_object(self, bucket: str, key: str, *, region: str | None = None) -> Reply:
        """Delete an object."""
        parts = objects.object_parts(self.settings, objects.DELETE, bucket, key, region=region)
        return await self._object_call(objects.DELETE, parts)

    def get_object(
        self, bucket: str, key: str, *, headers: Mapping[str, str] | None = None, region: str | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """Read an object: `async with client.get_object(...) as download: async for chunk in download`.

        headers: for example `{"range": "bytes=0-99"}`.
        """
        sent = {"accept-encoding": "identity", **(headers or {})}
        parts = objects.object_parts(self.settings, objects.GET, bucket, key, headers=sent, region=region)
        return self._download(objects.GET, parts)

    def presigned_url(
        self, bucket: str, key: str, expires: int = 1800, *, method: str = "GET", region: str | None = None
    ) -> str:
        """A link that opens an object without keys for `expires` seconds. Whoever has it, can use it."""
        call = Call("presigned link", Family.BOS, Safety.READ, "", method=method)
        parts = objects.object_parts(self.settings, call, bucket, key, region=region)
        return objects.presigned(account_keys(self.settings), parts, now=self._time.now(), expires=expires)

    def download(self, url: str, *, headers: Mapping[str, str] | None = None) -> AbstractAsyncContextManager[Download]:
        """Read a plain link, without credentials: `async with client.download(url) as download: ...`.

        headers: for example `{"range": "bytes=100-"}`.
        """
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise InvalidArgumentError("download needs a link that begins with http:// or https://")
        ready = Prepared("GET", url, {"accept-encoding": "identity", **checked_headers(headers or {})})
        return self._download(Call("download", Family.BOS, Safety.READ, "", method="GET"), ready)

    async def _object_call(self, call: Call, parts: Parts, upload: Callable[[], Upload] | None = None) -> Reply:
        how = authentication(self.settings, call.family)
        pool, gate = (Pool.CALLS, self._calls) if upload is None else (Pool.STREAMS, self._streams)

        async def attempt() -> Reply:
            async with gate, AsyncExitStack() as stack:
                body = await stack.enter_async_context(upload()) if upload is not None else parts.content
                incoming = await self._open(pool, call, parts, how, None, self._timeout(call), body)
                stack.push_async_callback(incoming.aclose)
                return self._understood(call, how, incoming, await incoming.whole())

        return await self._repeating(call, UNSET, partial(self._in_time, attempt))

    @asynccontextmanager
    async def _download(self, call: Call, source: Parts | Prepared) -> AsyncGenerator[Download, None]:
        how = authentication(self.settings, call.family) if isinstance(source, Parts) else Nothing()

        async def open_() -> Incoming:
            incoming = await self._open_download(call, source, how)
            if incoming.status in (200, 206):
                return incoming
            try:
                self._understood(call, how, incoming, await incoming.whole())
                raise RequestError(f"{call.name} got HTTP status {incoming.status}", status_code=incoming.status)
            finally:
                await incoming.aclose()

        async with self._streams:
            incoming = await self._repeating(call, UNSET, partial(self._in_time, open_))
            try:
                yield Download(incoming)
            finally:
                await incoming.aclose()

    async def _open_download(self, call: Call, source: Parts | Prepared, how: Authentication) -> Incoming:
        if isinstance(source, Parts):
            return await self._open(Pool.STREAMS, call, source, how, None, self._timeout(call), None, raw=True)
        return await self._send(Pool.STREAMS, call, source, self._timeout(call), None, raw=True, follow_redirects=True)

    # --- one attempt -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(
        self, call: Call, parts: Parts, how: Authentication, body: JSON
    ) -> AsyncGenerator[Turn | None, None]:
        """Wait until the rate limits let a model call out. Other calls have none."""
        if call.family not in _INFERENCE:
            yield None
            return
        named = body.get("model") if call.family is Family.INFERENCE_V2 and isinstance(body, dict) else None
        async with self._limiter.turn(account_of(how, parts), str(named or parts.path), body) as turn:
            yield turn

    async def _exchange(
        self,
        call: Call,
        parts: Parts,
        how: Authentication,
        token: SecretStr | None,
        timeout: float | None,
        turn: Turn | None = None,
    ) -> Reply:
        """One request and its whole answer."""
        pool = Pool.PURCHASES if call.safety is Safety.PURCHASE else Pool.CALLS
        async with self._calls:
            with anyio.move_on_after(timeout):
                incoming = await self._open(pool, call, parts, how, token, timeout, parts.content, turn=turn)
                try:
                    content = await incoming.whole()
                finally:
                    await incoming.aclose()
                reply = self._understood(call, how, incoming, content)
                if turn is not None:
                    turn.answered(reply.body)
                return reply
        raise RequestTimeoutError(f"{call.name}: no complete answer within {timeout:g} seconds", retryable=True)

    async def _open(
        self,
        pool: Pool,
        call: Call,
        parts: Parts,
        how: Authentication,
        token: SecretStr | None,
        timeout: float | None,
        content: bytes | Upload | None,
        *,
        raw: bool = False,
        turn: Turn | None = None,
    ) -> Incoming:
        """Attach credentials, fresh for each attempt, send, and wait for the answer's headers."""
        if turn is not None:
            await turn.sending()
        ready = prepared(parts, how, token, now=self._time.now(), expiration=self.settings.iam_sign_expiration_sec)
        incoming = await self._send(pool, call, ready, timeout, content, raw=raw)
        if turn is not None:
            turn.heard(incoming.headers)
        return incoming

    async def _send(
        self,
        pool: Pool,
        call: Call,
        ready: Prepared,
        timeout: float | None,
        content: bytes | Upload | None,
        *,
        raw: bool = False,
        follow_redirects: bool = False,
    ) -> Incoming:
        client = await self._pools.client(pool)
        begun = self.clock.monotonic()
        with self._guard:
            self._sent += 1
        with translated(call.name):
            request = _request(client, call, ready, content, _timeouts(timeout))
            response = await client.send(request, stream=True, follow_redirects=follow_redirects)
        largest = _LARGEST_INFERENCE if call.family in _INFERENCE else LARGEST_ANSWER
        incoming = Incoming(call.name, response, raw=raw, largest=largest)
        logger.debug(
            "%s: HTTP %d after %.0f ms (request id %s)",
            call.name,
            incoming.status,
            1000 * (self.clock.monotonic() - begun),
            request_id_of(None, incoming.headers),
        )
        return incoming

    def _understood(self, call: Call, how: Authentication, incoming: Incoming, content: bytes) -> Reply:
        """The answer as a Reply, or the error that it reports. What a refused signature tells of the time is kept."""
        try:
            return self._reading(call).reply(incoming.status, incoming.headers, content)
        except APIError as error:
            # The answer to HEAD has no body and so may not say why.
            unsaid = call.method == "HEAD" and error.http_status in (400, 403)
            if isinstance(how, Signed) and (unsaid or lookup(error.code).clock):
                self._time.learn(incoming.headers)
            raise

    async def _in_time(self, attempt: Callable[[], Awaitable[Made]]) -> Made:
        """Send; when the signature was refused since this machine's clock is off, once more with the platform's time.

        That holds for purchases too: what is refused has no effect.
        """
        before = self._time.offset
        try:
            return await attempt()
        except APIError:
            if self._time.offset == before:
                raise
        return await attempt()

    async def _repeating(
        self, call: Call, retries: RetryPolicy | Unset | None, attempt: Callable[[], Awaitable[Made]]
    ) -> Made:
        policy = self._policy(call, retries)

        def tell(failures: int, error: Exception, delay: float) -> None:
            logger.info("attempt %d of %d failed, next in %.1f s: %s", failures, policy.attempts, delay, error)

        return await retrying(policy, attempt, before_sleep=tell, sleep=self.clock.sleep, rng=self.rng)

    def _policy(self, call: Call, retries: RetryPolicy | Unset | None) -> RetryPolicy:
        if retries is UNSET or call.safety is Safety.PURCHASE:
            return self.retry_policy(call)
        return RetryPolicy(attempts=1) if retries is None else retries

    # --- tokens ------------------------------------------------------------------------------------------------

    async def _with_token(self, how: Authentication, send: Callable[[SecretStr | None], Awaitable[Made]]) -> Made:
        """Send with the token this kind of call needs; if the platform refuses it, once more with a new one."""
        token = await self._token(how)
        try:
            return await self._in_time(partial(send, token))
        except _REFRESHABLE:
            if not isinstance(how, (QueryToken, HeaderToken)) or how.source is None:
                raise
            if token is not None and token == how.given:
                self._tokens.refuse(token)
        return await send(await self._token(how, refused=token))

    async def _token(self, how: Authentication, *, refused: SecretStr | None = None) -> SecretStr | None:
        if not isinstance(how, (QueryToken, HeaderToken)):
            return None
        given = how.given
        if how.source is None or (given is not None and refused is None and not self._tokens.was_refused(given)):
            return given
        token = await self._tokens.token(how.source, self._drive, now=self.clock.wall, refused=refused)
        return token.value

    async def _drive(self, flow: TokenFlow) -> Token:
        """Send what a flow asks for and hand it the answer."""
        request = next(flow)
        while True:
            answer = await self._fetch(request)
            try:
                request = flow.send(answer if isinstance(answer, dict) else {})
            except StopIteration as done:
                token: Token = done.value
                return token

    async def _fetch(self, request: TokenRequest) -> JSON:
        family = Family.OAUTH if request.signer is None else Family.IAM
        call = Call(request.name, family, Safety.READ, request.path, method=request.method)
        parts = request_parts(call, request.base_url, query=dict(request.query), headers=self._headers(call, None))
        how = Nothing() if request.signer is None else Signed(request.signer)
        reply = await self._in_time(partial(self._exchange, call, parts, how, None, self.settings.auth_timeout))
        return reply.body

    # --- small things ------------------------------------------------------------------------------------------

    def _parts(
        self,
        call: Call,
        body: JSON,
        path_args: Mapping[str, str] | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        request_id: str | None,
    ) -> Parts:
        every = {**self._headers(call, request_id), **(headers or {})}
        return request_parts(call, self._base_url(call), body, path_args=path_args, query=query, headers=every)

    def _base_url(self, call: Call) -> str:
        if call.family in (Family.INFERENCE_V1, Family.OAUTH):
            return self.settings.base_url
        return self.settings.iam_base_url if call.family is Family.IAM else self.settings.console_api_base_url

    def _headers(self, call: Call, request_id: str | None) -> dict[str, str]:
        if call.family not in _INFERENCE:
            return {} if call.family is Family.OAUTH else {"request-source": _SOURCE}
        headers = {"request_id": request_id or self._new_request_id()}
        if call.family is Family.INFERENCE_V2 and self.settings.app_id is not None:
            headers["appid"] = self.settings.app_id
        return headers

    def _new_request_id(self) -> str:
        tail = "".join(_ID_LETTERS[int(self.rng.random() * len(_ID_LETTERS))] for _ in range(16))
        return f"sdk-py-{__version__}-{tail}"

    def _timeout(self, call: Call, asked: float | Unset | None = UNSET) -> float | None:
        if asked is not UNSET:
            return asked
        settings = self.settings
        seconds = settings.llm_api_retry_timeout if call.family in _INFERENCE else settings.console_api_retry_timeout
        return min(seconds, PURCHASE_DEADLINE) if call.safety is Safety.PURCHASE else seconds

    def _reading(self, call: Call) -> Reading:
        settings = self.settings
        codes = settings.llm_api_retry_err_codes if call.family in _INFERENCE else settings.console_api_retry_err_codes
        return Reading(call, self.clock.wall(), codes)


def _request(
    client: httpx.AsyncClient, call: Call, ready: Prepared, content: bytes | Upload | None, timeout: httpx.Timeout
) -> httpx.Request:
    headers = {**client.headers, **ready.headers}
    stream: Upload | Halves
    if isinstance(content, Upload):
        stream = content
    elif content and call.creates and _faults.is_armed(point := f"{call.creates}.sending"):
        stream = Halves(content, point)
        headers["content-length"] = str(len(content))
    else:
        request = client.build_request(ready.method, ready.url, headers=headers, content=content, timeout=timeout)
        request.stream = Whole(request.content)
        return request
    # Built by hand, since the library would announce an upload as chunked and wrap it in a generator that nobody ends.
    return httpx.Request(
        ready.method, ready.url, headers=headers, stream=stream, extensions={"timeout": timeout.as_dict()}
    )


def _timeouts(seconds: float | None) -> httpx.Timeout:
    if seconds is None:
        return httpx.Timeout(None, connect=_CONNECT_TIMEOUT)
    return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_TIMEOUT))


def _as_form(parts: Parts, fields: JSON, files: Mapping[str, FilePart]) -> Parts:
    form = httpx.Request("POST", "https://form", data=fields if isinstance(fields, dict) else None, files=files)
    return replace(parts, content=form.read(), headers={**parts.headers, "content-type": form.headers["content-type"]})


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


# --- the process-wide client ---------------------------------------------------------------------------------

_lock = threading.Lock()
_default: Client | None = None
_varied: OrderedDict[tuple[Settings, frozenset[tuple[str, object]]], Client] = OrderedDict()
_MOST_VARIED: Final = 64


def default_client() -> Client:
    """The process-wide client for `default_settings()`; a new one when those changed."""
    global _default
    settings = default_settings()
    with _lock:
        if _default is None or _default.settings != settings:
            _default = Client(settings)
        return _default


def client_with(**changes: object) -> Client:
    """The process-wide client with some settings changed, for example another account's keys.

    The same changes give the same client again, so that its connections are shared; the 64 last ones are kept.
    """
    if not changes:
        return default_client()
    usual = default_client()
    key = usual.settings, frozenset(changes.items())
    with _lock:
        client = _varied.pop(key, None) or usual.with_settings(**changes)
        _varied[key] = client
        if len(_varied) > _MOST_VARIED:
            _varied.popitem(last=False)
        return client

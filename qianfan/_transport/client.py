"""The client: the only part that sends anything."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan._retry import Random, RetryPolicy
from qianfan._transport.wire import Call, Reply
from qianfan._types import JSON, UNSET, Unset
from qianfan.config import Settings, default_settings

if TYPE_CHECKING:
    import httpx

Content = bytes | Callable[[], AsyncIterator[bytes]]


class Client:
    """A connection to the platform for one set of settings; usable from several event loops at once."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random = random,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings if settings is not None else default_settings()
        self.clock = clock
        self.requests_sent = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close this event loop's connections."""

    def retry_policy(self, call: Call) -> RetryPolicy:
        """The policy that the settings give this call; vary it with `.model_copy(update=...)`."""
        raise NotImplementedError

    async def call(
        self,
        call: Call,
        body: JSON = None,
        *,
        path_args: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        timeout: float | Unset | None = UNSET,
        retries: RetryPolicy | Unset | None = UNSET,
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one call and return its answer."""
        raise NotImplementedError

    def stream(
        self,
        call: Call,
        body: JSON = None,
        *,
        path_args: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        timeout: float | Unset | None = UNSET,
        retries: RetryPolicy | Unset | None = UNSET,
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """Open a stream of answers: `async with client.stream(...) as pieces: async for piece in pieces`."""
        raise NotImplementedError

    async def put_object(
        self,
        bucket: str,
        key: str,
        content: Content,
        *,
        size: int | None = None,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        region: str | None = None,
    ) -> Reply:
        """Store an object; `size` in bytes is needed when the content is a function that makes an iterator."""
        raise NotImplementedError

    async def head_object(self, bucket: str, key: str, *, region: str | None = None) -> Reply:
        """Headers of an object."""
        raise NotImplementedError

    def get_object(
        self, bucket: str, key: str, *, headers: Mapping[str, str] | None = None, region: str | None = None
    ) -> AbstractAsyncContextManager[Any]:
        """Read an object: `async with client.get_object(...) as download: async for chunk in download`."""
        raise NotImplementedError

    async def delete_object(self, bucket: str, key: str, *, region: str | None = None) -> Reply:
        """Delete an object."""
        raise NotImplementedError

    def presigned_url(
        self, bucket: str, key: str, expires: int = 1800, *, method: str = "GET", region: str | None = None
    ) -> str:
        """A link that works for everyone for `expires` seconds."""
        raise NotImplementedError

    def download(self, url: str) -> AbstractAsyncContextManager[Any]:
        """Read a plain link without credentials: `async with client.download(url) as download: ...`."""
        raise NotImplementedError


def default_client() -> Client:
    """The process-wide client for `default_settings()`."""
    raise NotImplementedError

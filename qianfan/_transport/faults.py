"""What the HTTP library raises, in our words; above all whether the request can have reached the platform.

A connection that could not be opened (refused, no name, TLS, no free connection in time, a proxy's refusal) carried
nothing. Everything later proves nothing: a server may close a connection, even one it kept alive, after it acted.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import httpx

from qianfan.errors import (
    ConnectionFailedError,
    InvalidArgumentError,
    QianfanError,
    RequestError,
    RequestTimeoutError,
)

_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@contextmanager
def translated(name: str) -> Generator[None, None, None]:
    """Turn the HTTP library's errors into ours. name: the call, for the message."""
    try:
        yield
    except (httpx.LocalProtocolError, httpx.InvalidURL) as error:
        # Their texts quote headers and addresses, which hold credentials.
        raise _local(name, error) from None
    except httpx.HTTPError as error:
        raise _fault(name, error) from error


def _local(name: str, error: Exception) -> QianfanError:
    if isinstance(error, httpx.InvalidURL):
        return InvalidArgumentError(f"{name}: the address cannot be parsed")
    return RequestError(f"{name}: the request could not be written as HTTP", sent=False)


def _fault(name: str, error: httpx.HTTPError) -> RequestError:
    if isinstance(error, _UNSENT):
        reason = str(error) or type(error).__name__
        return ConnectionFailedError(
            f"{name}: could not connect{_to(error)}: {reason}", retryable=not _untrusted(error), sent=False
        )
    if isinstance(error, httpx.TimeoutException):
        return RequestTimeoutError(f"{name}: no answer in time ({type(error).__name__})", retryable=True)
    if isinstance(error, httpx.TooManyRedirects):
        return RequestError(f"{name}: too many redirects")
    if isinstance(error, httpx.DecodingError):
        return RequestError(f"{name}: the answer could not be decompressed", retryable=True)
    return RequestError(f"{name}: the connection broke ({type(error).__name__})", retryable=True)


def _to(error: httpx.HTTPError) -> str:
    try:
        host = error.request.url.host
    except RuntimeError:  # no request is attached to this error
        return ""
    return f" to {host}" if host else ""


def _untrusted(error: BaseException) -> bool:
    """Whether the certificate was refused, which no repetition mends, or the address has no usable protocol."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ssl.SSLCertVerificationError, httpx.UnsupportedProtocol)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False

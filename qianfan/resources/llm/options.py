"""Keywords of a model call that are not for the model: how to send it, as whom, and how fast. None goes into a body."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from qianfan._retry import RetryPolicy
from qianfan._transport import Call, Client, client_with, default_client
from qianfan._transport.limits_redis import RedisConnectionInfo
from qianfan._types import UNSET, Unset
from qianfan.errors import InvalidArgumentError

_APPLICATION: Final = ("ak", "sk", "access_token")
_ACCOUNT: Final = ("access_key", "secret_key")
_CREDENTIALS: Final = {
    **{name: name for name in (*_APPLICATION, *_ACCOUNT, "bearer_token")},
    "api_key": "bearer_token",
}
_SETTINGS: Final = {
    "app_id": "app_id",
    "use_custom_endpoint": "use_custom_endpoint",
    "base_url": "base_url",
    "console_api_base_url": "console_api_base_url",
    "query_per_second": "qps_limit",
    "request_per_minute": "rpm_limit",
    "token_per_minute": "tpm_limit",
    "key": "limiter_group",
    "buffer_ratio": "limiter_buffer_ratio",
    "forcing_disable": "limiter_disabled",
    "retry_err_codes": "llm_api_retry_err_codes",
    "worker_num": "max_requests_in_flight",
}
"""Keyword -> the setting of the client that it changes."""
_RETRIES: Final = {
    "retry_count": "attempts",
    "backoff_factor": "wait_initial",
    "retry_jitter": "jitter",
    "retry_max_wait_interval": "wait_max",
}
_SENDING: Final = ("request_timeout", "request_id", "headers", "query", "_no_extra_parameters")
_OVER_REDIS: Final = ("redis_rate_limiter", "redis_connection_info")
_WITHOUT_EFFECT: Final = ("show_total_latency",)
"""A documented keyword of the older SDK; ours always tells the time."""
_OPTIONS: Final = frozenset({*_CREDENTIALS, *_SETTINGS, *_RETRIES, *_SENDING, *_OVER_REDIS, *_WITHOUT_EFFECT})

Options = Mapping[str, Any]
"""Options by keyword, as they were given."""


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options, and what is for the model."""
    options = {name: value for name, value in given.items() if name in _OPTIONS}
    return options, {name: value for name, value in given.items() if name not in _OPTIONS}


def for_the_model(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of some keywords is for the model, where it is not asked in a call of its own.

    Raises InvalidArgumentError for credentials, which must not come near a body; how to send a call is left out.
    """
    options, rest = split(given)
    if keys := sorted(name for name in options if name in _CREDENTIALS and options[name] is not None):
        raise InvalidArgumentError(
            f"{', '.join(keys)}: the account is that of the model's client; make the model with client=..."
        )
    return rest


def over(usual: Options, given: Options) -> dict[str, Any]:
    """The options of an object with those of one call on top. Credentials replace each other as a whole."""
    as_whom = {name for name in given if name in _CREDENTIALS and given[name] is not None}
    kept = {name: value for name, value in usual.items() if not (as_whom and name in _CREDENTIALS)}
    return {**kept, **{name: value for name, value in given.items() if value is not None or name == "request_timeout"}}


@dataclass(frozen=True)
class How:
    """How a call is sent. retries: changes to the settings' policy, by the names of its fields."""

    retries: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | Unset | None = UNSET
    request_id: str | None = None
    headers: Mapping[str, str] | None = None
    query: Mapping[str, str] | None = None

    @classmethod
    def of(cls, options: Options, *, attempts: int | None = None, timeout: float | None = None) -> How:
        """What the options say; attempts, timeout: what a kind of call does unless they say something."""
        retries = {} if attempts is None else {"attempts": attempts}
        for name, value in options.items():
            if name in _RETRIES and value is not None:
                retries[_RETRIES[name]] = max(1, value) if name == "retry_count" else value
        return cls(
            retries=retries,
            timeout=options.get("request_timeout", UNSET if timeout is None else timeout),
            request_id=options.get("request_id"),
            headers=options.get("headers"),
            query=options.get("query"),
        )

    def arguments(self, client: Client, call: Call) -> dict[str, Any]:
        """The keywords of `Client.call` and `Client.stream`."""
        policy: RetryPolicy | Unset = UNSET
        if self.retries:
            policy = client.retry_policy(call).model_copy(update=dict(self.retries))
        return {
            "timeout": self.timeout,
            "retries": policy,
            "request_id": self.request_id,
            "headers": self.headers,
            "query": {name: str(value) for name, value in (self.query or {}).items()},
        }


def client_for(own: Client | None, options: Options) -> Client:
    """The client for these options: the given one or the process-wide one, with settings changed where they ask for it.

    The same changes give the same client again, so that its connections and limits are shared.
    Raises InvalidArgumentError for half a pair of keys.
    """
    client = own or default_client()
    changes = _changes(options, client)
    if not changes:
        return client
    return client_with(**changes) if own is None else _varied(own, changes)


def _changes(options: Options, client: Client) -> dict[str, Any]:
    changes: dict[str, Any] = _credentials(options)
    for name, value in options.items():
        if name in _SETTINGS and value is not None:
            changes[_SETTINGS[name]] = frozenset(value) if name == "retry_err_codes" else value
    if options.get("redis_rate_limiter"):
        info = options.get("redis_connection_info") or RedisConnectionInfo()
        changes["limiter_redis_url"] = info.url
    if changes.get("max_requests_in_flight", 0) <= client.settings.max_requests_in_flight:
        changes.pop("max_requests_in_flight", None)
    return changes


def _credentials(options: Options) -> dict[str, Any]:
    given = {_CREDENTIALS[name]: value for name, value in options.items() if name in _CREDENTIALS and value is not None}
    for pair in (("ak", "sk"), _ACCOUNT):
        if len(given.keys() & set(pair)) == 1:
            raise InvalidArgumentError(f"{pair[0]} and {pair[1]} are a pair: give both of them, or none")
    replaced: set[str] = set()
    if given.keys() & set(_APPLICATION):
        replaced |= set(_APPLICATION)
    if given.keys() & set(_ACCOUNT):
        replaced |= {*_APPLICATION, "bearer_token"}
    return {**dict.fromkeys(sorted(replaced)), **given}


_lock = threading.Lock()
_clients: WeakKeyDictionary[Client, dict[frozenset[tuple[str, Any]], Client]] = WeakKeyDictionary()
_MOST: Final = 64


def _varied(own: Client, changes: Mapping[str, Any]) -> Client:
    key = frozenset(changes.items())
    with _lock:
        known = _clients.setdefault(own, {})
        client = known.pop(key, None) or own.with_settings(**changes)
        known[key] = client
        if len(known) > _MOST:
            del known[next(iter(known))]
        return client

"""What all kinds of model calls share: which address, what goes into the body, one answer or a stream.

`x()` blocks, `ax()` is its async truth.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal, TypeAlias

from qianfan import __version__
from qianfan._sync import iterate_sync, run_sync
from qianfan._transport import Call, Client, Family, Safety
from qianfan.errors import ArgumentNotFoundError, InvalidArgumentError
from qianfan.resources.llm import discovery
from qianfan.resources.llm.options import How, Options, client_for, over, split
from qianfan.resources.llm.presets import ModelInfo, preset_at, preset_named, presets
from qianfan.resources.llm.timing import Stopwatch
from qianfan.resources.messages import QfRequest, QfResponse

Version: TypeAlias = Literal["1", "2", "v1", "v2", 1, 2]

_VERSIONS: Final = {"1": 1, "v1": 1, "2": 2, "v2": 2}
_SOURCE: Final = f"qianfan_py_sdk_v{__version__}"


def version_of(version: Version | None) -> int:
    """1 or 2; without a word, 1. Raises InvalidArgumentError for anything else."""
    try:
        return _VERSIONS[str(version or 1).lower()]
    except KeyError:
        raise InvalidArgumentError(f"version={version!r} is unknown; use '1' or '2'") from None


@dataclass(frozen=True)
class SecondGeneration:
    """How V2 offers a kind of call. route: the setting that holds its path."""

    route: str
    default_model: str


@dataclass(frozen=True)
class Target:
    """Where a call goes. place: below the prefix that all of V1 shares (`chat/ernie-lite-8k`), or V2's whole path."""

    call: Call
    place: str
    kind: str
    model: str | None
    info: ModelInfo | None

    @property
    def is_v2(self) -> bool:
        return self.call.family is Family.INFERENCE_V2


@dataclass(frozen=True)
class Asked:
    """One request, ready to be sent, and sent again with another body."""

    client: Client
    target: Target
    how: How
    body: dict[str, Any]

    def with_body(self, **changes: Any) -> Asked:
        return replace(self, body={**self.body, **changes})


class Inference:
    """One kind of model call.

    model: a preset model, in any case; in V2 any name. endpoint: the last part of the address of a service of yours.
    client: the way to the platform; without one, the process-wide one.
    defaults: parameters for every call of this object, among them `ak`, `sk`, `access_key`, `secret_key`,
        `access_token`, `bearer_token` (or `api_key`), `app_id`, `query_per_second`, `request_per_minute`,
        `token_per_minute`, `retry_count`, `request_timeout` (seconds), `backoff_factor` (seconds), `retry_err_codes`,
        `request_id`, `headers` and `query`, which are for the sending and stay out of the body.

    Making one sends nothing.
    """

    kind: ClassVar[str]
    default_model: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    """The keys that every request must hold."""
    v2: ClassVar[SecondGeneration | None] = None
    attempts: ClassVar[int | None] = None
    timeout: ClassVar[float | None] = None
    """Attempts and seconds unless a call says otherwise; None: what the settings say."""

    def __init__(
        self,
        model: str | None = None,
        endpoint: str | None = None,
        *,
        version: Version | None = None,
        client: Client | None = None,
        **defaults: Any,
    ) -> None:
        self.model = model
        self.endpoint = endpoint
        self.version = version_of(version)
        if self.version == 2 and self.v2 is None:
            raise InvalidArgumentError(f"{type(self).__name__} has no version 2")
        self._client = client
        self._options, self._defaults = split(defaults)

    @property
    def client(self) -> Client:
        """The client of this object."""
        return client_for(self._client, self._options)

    @classmethod
    def models(cls, version: Version | None = None) -> set[str]:
        """Names of the preset models of this kind, as V1 or V2 calls them."""
        known = presets(cls.kind).values()
        return {info.name for info in known} if version_of(version) == 1 else {info.v2_name for info in known}

    @classmethod
    def get_model_info(cls, model: str) -> ModelInfo:
        """What is known of a preset model: limits, parameters it takes. Raises InvalidArgumentError for another."""
        info = preset_named(cls.kind, model)
        if info is None:
            raise cls._unknown(model)
        return info

    def __repr__(self) -> str:
        usual = self.v2.default_model if self.version == 2 and self.v2 else self.default_model
        where = f"endpoint={self.endpoint!r}" if self.endpoint else f"model={self.model or usual!r}"
        return f"{type(self).__name__}({where}{', version=2' if self.version == 2 else ''})"

    # --- where a call goes --------------------------------------------------------------------------------------

    async def _target(self, client: Client, model: str | None, endpoint: str | None) -> Target:
        if model is None and endpoint is None:
            model, endpoint = self.model, self.endpoint
        if self.version == 2 and self.v2 is not None:
            return self._target_v2(client, self.v2, model or endpoint)
        if endpoint is not None:
            return self._target_at(client, endpoint)
        return await self._target_of(client, self.default_model if model is None else model)

    def _target_v2(self, client: Client, v2: SecondGeneration, model: str | None) -> Target:
        # V2 knows no endpoints; that the last part of a service's address names it there too is our reading.
        path: str = getattr(client.settings, v2.route)
        name = model or v2.default_model
        call = Call(path.removeprefix("/v2/").replace("/", "."), Family.INFERENCE_V2, Safety.READ, path)
        return Target(call, path, self.kind, name, preset_named(self.kind, name))

    def _target_at(self, client: Client, endpoint: str) -> Target:
        name = endpoint.strip("/")
        if not name:
            raise InvalidArgumentError(f"endpoint={endpoint!r} names no service; give the last part of its address")
        if client.settings.use_custom_endpoint:
            return self._target_v1(client, self.kind, name, preset_at(self.kind, name.rpartition("/")[2]))
        return self._target_v1(client, self.kind, f"{self.kind}/{endpoint}", preset_at(self.kind, name))

    async def _target_of(self, client: Client, model: str) -> Target:
        for kind in self._kinds():
            if (info := preset_named(kind, model)) is not None:
                return self._target_v1(client, kind, f"{kind}/{info.endpoint}", info)
        for kind in self._kinds():
            if (endpoint := await discovery.endpoint_of(client, kind, model)) is not None:
                return self._target_v1(client, kind, f"{kind}/{endpoint}", None)
        raise self._unknown(model)

    def _target_v1(self, client: Client, kind: str, place: str, info: ModelInfo | None) -> Target:
        path = f"{client.settings.model_api_prefix}/{{place}}"
        return Target(Call(place, Family.INFERENCE_V1, Safety.READ, path), place, kind, None, info)

    @classmethod
    def _kinds(cls) -> tuple[str, ...]:
        """The kinds whose models this class can ask."""
        return (cls.kind,)

    @classmethod
    def _unknown(cls, model: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"{model!r} is no preset {cls.kind} model; give endpoint=... for a service of your own, "
            f"or one of {sorted(cls.models())}"
        )

    # --- what it says -------------------------------------------------------------------------------------------

    def _arguments(
        self, given: dict[str, Any], model: str | None, endpoint: str | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What one call is told: how it is sent, and what is for the model."""
        options, rest = split(given)
        return {**over(self._options, options), "model": model, "endpoint": endpoint}, rest

    async def _asked(self, request: Mapping[str, Any], options: Options) -> Asked:
        """A request as it is sent. Raises ArgumentNotFoundError when it holds too little."""
        client = client_for(self._client, options)
        target = await self._target(client, options.get("model"), options.get("endpoint"))
        given = {**self._defaults, **request}
        for key in self.needs:
            if given.get(key) is None:
                raise ArgumentNotFoundError(f"{type(self).__name__} needs {key!r}")
        body = self._shaped(target, {key: copy.deepcopy(value) for key, value in given.items() if value is not None})
        if target.is_v2:
            body = {"model": target.model, **body}
        if not options.get("_no_extra_parameters"):
            body["extra_parameters"] = _with_source(body.get("extra_parameters"))
        how = How.of(options, attempts=self.attempts, timeout=self.timeout)
        return Asked(client, target, how, body)

    def _shaped(self, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        """The body as the target wants it."""
        return body

    # --- one answer ---------------------------------------------------------------------------------------------

    async def _once(self, request: Mapping[str, Any], **options: Any) -> QfResponse:
        asked = await self._asked(request, options)
        if asked.body.get("stream"):
            raise InvalidArgumentError(f"{type(self).__name__} answers all at once here; leave out stream=True")
        return await self._ask(asked)

    async def _ask(self, asked: Asked) -> QfResponse:
        client, target = asked.client, asked.target
        watch = Stopwatch(client.clock)
        reply = await client.call(
            target.call, asked.body, path_args={"place": target.place}, **asked.how.arguments(client, target.call)
        )
        body: dict[str, Any] = reply.body if isinstance(reply.body, dict) else {"result": reply.body}
        return QfResponse(reply.status, body, reply.headers, watch.whole(body), self._request(asked))

    def _request(self, asked: Asked) -> QfRequest:
        return QfRequest("POST", asked.target.place, asked.body)

    # --- an answer piece by piece -------------------------------------------------------------------------------

    async def _pieces(self, request: Mapping[str, Any], **options: Any) -> AsyncGenerator[QfResponse, None]:
        asked = await self._asked({**request, "stream": True}, options)
        async with aclosing(self._listen(asked)) as pieces:
            async for piece in pieces:
                yield piece

    async def _listen(self, asked: Asked) -> AsyncGenerator[QfResponse, None]:
        client, target, sent = asked.client, asked.target, self._request(asked)
        watch = Stopwatch(client.clock)
        async with client.stream(
            target.call, asked.body, path_args={"place": target.place}, **asked.how.arguments(client, target.call)
        ) as pieces:
            async for piece in pieces:
                yield QfResponse(200, piece, pieces.headers, watch.piece(piece), sent)


def _with_source(given: object) -> dict[str, Any]:
    if given is not None and not isinstance(given, dict):
        raise InvalidArgumentError(f"extra_parameters must be a dictionary, not {given!r}")
    return {"request_source": _SOURCE, **(given or {})}


class Streaming(Inference):
    """Kinds that can answer piece by piece."""

    async def _answer(self, request: Mapping[str, Any], stream: bool, options: dict[str, Any]) -> Any:
        return self._pieces(request, **options) if stream else await self._once(request, **options)

    def _answer_sync(self, request: Mapping[str, Any], stream: bool, options: dict[str, Any]) -> Any:
        if stream:
            return iterate_sync(lambda: self._pieces(request, **options))
        return run_sync(self._once, request, **options)

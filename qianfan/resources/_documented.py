"""The console's documented names: blocking and async pairs that answer with the whole body.

Each pair stands for a method of a typed area (`FineTuning.create_job`); the documented parameter names and their order
are written beside it, the endpoint is not written again.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias, cast

from qianfan._sync import run_sync
from qianfan._transport import Call, Client, Reply, client_with
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Options, Resource
from qianfan.resources.messages import QfRequest, QfResponse

Blocking: TypeAlias = Callable[..., QfResponse]
Async: TypeAlias = Callable[..., Awaitable[QfResponse]]

_KEYS: Final = {"ak": "access_key", "sk": "secret_key", "access_key": "access_key", "secret_key": "secret_key"}
"""Options that choose the account. For the console they mean the account's keys, whatever they are called."""
_RETRIES: Final = {
    "retry_count": "attempts",
    "backoff_factor": "wait_initial",
    "retry_jitter": "jitter",
    "retry_max_wait_interval": "wait_max",
}
_OPTIONS: Final = (*_KEYS, *_RETRIES, "request_timeout", "retry_err_codes")


def documented(method: Callable[..., Any], parameters: str = "") -> tuple[Blocking, Async]:
    """The blocking and the async form of a typed method, under its documented parameters.

    parameters: their documented order, each `name` or `documented=name`. What is not listed keeps its name and can
    only be given by name.

    Both take besides, by name: `ak`, `sk` (this call's account keys), `retry_count`, `backoff_factor`,
    `retry_jitter`, `retry_max_wait_interval`, `retry_err_codes`, `request_timeout` (seconds). None of them is sent.
    """
    pair = _Documented(method, parameters)

    async def call(*args: Any, **kwargs: Any) -> QfResponse:
        return await pair.call(args, kwargs)

    def blocking(*args: Any, **kwargs: Any) -> QfResponse:
        return run_sync(pair.call, args, kwargs)

    for face in (call, blocking):
        face.__doc__ = method.__doc__
        face.__qualname__ = face.__name__ = method.__name__
        face.__module__ = method.__module__
        # `inspect.signature` reads the second; the first says which call stands behind, for the table of them.
        vars(face).update(typed=method, __signature__=pair.signature)
    # Found on the class as well as on an object of it, without the object.
    return cast("tuple[Blocking, Async]", (staticmethod(blocking), staticmethod(call)))


@dataclass(frozen=True)
class _Documented:
    method: Callable[..., Any]
    parameters: str

    @cached_property
    def names(self) -> dict[str, str]:
        """Documented name -> the typed method's name, in the documented order."""
        listed = [entry.partition("=") for entry in self.parameters.split()]
        names = {documented: typed or documented for documented, _, typed in listed}
        rest = [name for name in self._typed if name not in names.values()]
        return {**names, **{name: name for name in rest}}

    @cached_property
    def _typed(self) -> dict[str, inspect.Parameter]:
        every = inspect.signature(self.method).parameters
        return {name: known for name, known in every.items() if name != "self" and known.kind is not known.VAR_KEYWORD}

    @cached_property
    def signature(self) -> inspect.Signature:
        listed = len(self.parameters.split())
        made: list[inspect.Parameter] = []
        for index, (documented, typed) in enumerate(self.names.items()):
            known = self._typed[typed]
            kind = known.KEYWORD_ONLY if index >= listed and self.parameters else known.POSITIONAL_OR_KEYWORD
            made.append(inspect.Parameter(documented, kind, default=known.default, annotation=known.annotation))
        # Documented orders put some optional parameters before required ones, which only names can then reach.
        seen_default = False
        for index, parameter in enumerate(made):
            seen_default = seen_default or parameter.default is not parameter.empty
            if seen_default and parameter.default is parameter.empty:
                made[index:] = [later.replace(kind=later.KEYWORD_ONLY) for later in made[index:]]
                break
        made.append(inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD))
        return inspect.Signature(made, return_annotation=QfResponse)

    async def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> QfResponse:
        name = self.method.__qualname__
        options = {key: kwargs.pop(key) for key in _OPTIONS if key in kwargs and key not in self.names}
        for unknown in kwargs.keys() - self.names.keys():
            near = difflib.get_close_matches(unknown, [*self.names, *_OPTIONS], 1)
            raise InvalidArgumentError(
                f"{name}: there is no {unknown!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        try:
            given = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidArgumentError(f"{name}: {error}") from None
        arguments = {self.names[documented]: value for documented, value in given.items()}
        client = _client(options)
        exchanged: list[tuple[Call, Mapping[str, Any], Reply]] = []
        resource = self._owner(client, options=_call_options(client, options), note=lambda *one: exchanged.append(one))
        started = client.clock.monotonic()
        await self.method(resource, **arguments)
        call, body, reply = exchanged[-1]
        elapsed = 1000 * (client.clock.monotonic() - started)
        request = QfRequest(call.method, call.path, body)
        return QfResponse(reply.status, reply.body, reply.headers, {"total_latency": elapsed}, request)

    @property
    def _owner(self) -> type[Resource]:
        # The class is complete only after its module has run, so it is looked up when it is needed.
        owner: type[Resource] = self.method.__globals__[self.method.__qualname__.partition(".")[0]]
        return owner


def _client(options: Mapping[str, Any]) -> Client:
    changes = {_KEYS[key]: value for key, value in options.items() if key in _KEYS and value is not None}
    if changes and len(changes) != 2:
        raise InvalidArgumentError("ak and sk are a pair: give both of them to a call, or none")
    if options.get("retry_err_codes") is not None:
        changes["console_api_retry_err_codes"] = frozenset(options["retry_err_codes"])
    return client_with(**changes)


def _call_options(client: Client, options: Mapping[str, Any]) -> Options:
    changes = {_RETRIES[key]: value for key, value in options.items() if key in _RETRIES and value is not None}
    if "attempts" in changes:
        changes["attempts"] = max(1, changes["attempts"])
    timeout = options.get("request_timeout")
    return Options(retries=changes, timeout=timeout) if timeout is not None else Options(retries=changes)

"""How a typed call is declared, and how an answer becomes a model.

A call stands as one constant beside the method that offers it: route, action, and whether it reads, repeats harmlessly
or creates something that costs. Raw JSON goes no further than this folder.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pydantic
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic.alias_generators import to_camel

from qianfan._transport import Call, Client, Creates, Family, Reply, Safety
from qianfan._types import JSON, UNSET, Unset
from qianfan.errors import RequestError

Answer = TypeVar("Answer", bound="WireModel")
Item = TypeVar("Item")

LeftToRight = Field(union_mode="left_to_right")
"""For `Annotated[KnownEnum | str, LeftToRight]`: a known value becomes the enum's member, others stay as they came."""


class WireModel(BaseModel):
    """An answer of the platform. Fields it grows later are kept and readable as attributes (`detail.newField`).

    Ids and versions that come as numbers are read as text, and null means the same as a missing field.
    """

    model_config = ConfigDict(
        # Most programs use few of the models, and building them all takes a quarter of the import.
        defer_build=True,
        extra="allow",
        frozen=True,
        populate_by_name=True,
        alias_generator=to_camel,
        protected_namespaces=(),
        coerce_numbers_to_str=True,
    )

    _body: JSON = PrivateAttr(default=None)

    @field_validator("*", mode="wrap")
    @classmethod
    def _null_is_missing(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name] if value is None and info.field_name else None
        if field is None or field.is_required():
            return handler(value)
        return field.get_default(call_default_factory=True)

    @property
    def body(self) -> JSON:
        """The whole answer as it came, envelope included."""
        return self._body

    @property
    def failure(self) -> str:
        """Why what the answer tells of has failed, where it says so; the key is not the same everywhere."""
        extra = self.model_extra or {}
        return str(extra.get("errMessage") or extra.get("errMsg") or extra.get("failReason") or "")


@dataclass(frozen=True)
class Options:
    """What varies from one call to the next.

    retries: changes to the settings' retry policy, by the names of its fields; timeout: seconds for one attempt.
    """

    retries: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | Unset | None = UNSET


class Resource:
    """One area of the platform's API. Methods talk; constructors do not.

    options: for every call of this object. note: told each call with its body and the answer.
    """

    def __init__(
        self,
        client: Client,
        *,
        options: Options | None = None,
        note: Callable[[Call, Mapping[str, Any], Reply], object] | None = None,
    ) -> None:
        self._client = client
        self._options = options or Options()
        self._note = note

    async def _send(self, call: Call, body: Mapping[str, Any] | None = None, **how: Any) -> Reply:
        """Send a call without the fields that are None. how: `headers`, `query`, `files`, as of `Client.call`."""
        fields = dict(without_none(body or {}))
        changes = self._options.retries
        retries = self._client.retry_policy(call).model_copy(update=dict(changes)) if changes else UNSET
        reply = await self._client.call(call, fields, timeout=self._options.timeout, retries=retries, **how)
        if self._note is not None:
            self._note(call, fields, reply)
        return reply

    async def _ask(self, call: Call, body: Mapping[str, Any] | None, answer: type[Answer]) -> Answer:
        """Send a call and read its result as a model. Raises RequestError when the answer lacks what it must hold."""
        reply = await self._send(call, body)
        return read(call, reply, answer)

    async def _list(self, call: Call, body: Mapping[str, Any] | None, item: type[Answer]) -> list[Answer]:
        """Send a call that answers a list, of which it is not known whether it comes bare or as a field of an object.

        Raises RequestError when there is no list: taking that for an empty one could hide something that costs.
        """
        reply = await self._send(call, body)
        found = reply.result
        if isinstance(found, dict):
            found = next((value for value in found.values() if isinstance(value, list)), found or [])
        if not isinstance(found, list):
            raise odd_answer(call, reply, "result")
        return [read(call, reply, item, entry) for entry in found]

    async def _whatever(self, call: Call, body: Mapping[str, Any] | None, answer: type[Answer]) -> Answer:
        """Send a call whose answer is not documented: what is no object is left out of the model, and in its `body`."""
        reply = await self._send(call, body)
        return read(call, reply, answer, reply.result if isinstance(reply.result, dict) else {})

    async def _do(self, call: Call, body: Mapping[str, Any] | None = None) -> bool:
        """Send a call that answers yes or no."""
        return (await self._send(call, body)).result is not False

    async def _id(self, call: Call, body: Mapping[str, Any] | None, key: str) -> str:
        """Send a call that answers an id: by some documents an object that holds it under `key`, by others bare."""
        reply = await self._send(call, body)
        found = reply.result.get(key) if isinstance(reply.result, dict) else reply.result
        if isinstance(found, bool) or not isinstance(found, (str, int)) or found == "":
            raise odd_answer(call, reply, key)
        return str(found)


def read(call: Call, reply: Reply, answer: type[Answer], result: JSON = UNSET) -> Answer:
    """The result of a reply, or a part of it, as a model."""
    try:
        model = answer.model_validate(reply.result if result is UNSET else result)
    except pydantic.ValidationError as error:
        where = ", ".join(".".join(map(str, problem["loc"])) or "result" for problem in error.errors())
        raise odd_answer(call, reply, where) from None
    model._body = reply.body
    return model


def odd_answer(call: Call, reply: Reply, where: str) -> RequestError:
    """The error for an answer that lacks what it must hold, or holds it in another form."""
    return RequestError(
        f"{call.name}: the answer does not have the documented form (look at: {where})",
        status_code=reply.status,
        request_id=reply.request_id,
    )


def without_none(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The platform reads a missing key as its default and null as an error."""
    return {key: value for key, value in body.items() if value is not None}


def v1(path: str, safety: Safety, *, method: str = "POST", creates: Creates | None = None) -> Call:
    """A call of the first console generation: one path per operation."""
    name, path = path.rpartition("/")[2], f"/wenxinworkshop{path}"
    return Call(name, Family.CONSOLE_V1, safety, path, method=method, creates=creates)


def v1_data(path: str, safety: Safety, *, creates: Creates | None = None) -> Call:
    """A call of the dataset part of the first console generation, which has an envelope of its own."""
    return Call(path.lstrip("/"), Family.CONSOLE_DATA, safety, f"/wenxinworkshop{path}", creates=creates)


def v2(route: str, action: str, safety: Safety, *, creates: Creates | None = None) -> Call:
    """A call of the second console generation: one path per area, the action as a parameter."""
    return Call(action, Family.CONSOLE_V2, safety, f"/v2/{route}", action=action, creates=creates)


class PageInfo(WireModel):
    """Where a listing stands. Send `next_marker` as the next `marker` while `is_truncated`."""

    marker: str = ""
    max_keys: int = 0
    is_truncated: bool = False
    next_marker: str = ""


class Page(WireModel, Generic[Item]):
    """One page of a V2 listing. Each listing calls its list differently; subclasses say how."""

    items: list[Item] = Field(default_factory=list)
    page_info: PageInfo = PageInfo()


async def walk(page_at: Callable[[str | None], Awaitable[Page[Item]]]) -> AsyncGenerator[Item, None]:
    """Every item of a listing, page after page.

    Ends as well when the platform hands out a marker for the second time, which would go on for ever.
    """
    marker: str | None = None
    used: set[str] = set()
    while True:
        page = await page_at(marker)
        for item in page.items:
            yield item
        marker = page.page_info.next_marker
        if not page.page_info.is_truncated or not marker or marker in used:
            return
        used.add(marker)

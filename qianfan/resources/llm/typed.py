"""Answers as objects, in the form that OpenAI's clients made common.

What the platform leaves out is None or empty, what it adds is kept and readable as an attribute, and no word that it
uses is refused. `raw` is the whole answer as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from qianfan.errors import RequestError
from qianfan.resources.messages import QfResponse

Model = TypeVar("Model", bound="Answered")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=(), defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _null_is_missing(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if value is None and info.field_name:
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)
        return handler(value)


class Function(_Part):
    """A call of a function. arguments: JSON text; of a piece, a part of it."""

    name: str = ""
    arguments: str = ""


class ToolCall(_Part):
    """A tool that the model wants called. In pieces, all but `index` may come later or in parts."""

    index: int | None = None
    id: str | None = None
    type: str = "function"
    function: Function = Field(default_factory=Function)


class SearchResult(_Part):
    """A source that an answer was made with."""

    index: int = 0
    url: str = ""
    title: str = ""
    datasource_id: str | None = None


class CompletionUsage(_Part):
    """Tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class CompletionStatistic(_Part):
    """Times: latencies and the start in milliseconds."""

    first_token_latency: float | None = None
    request_latency: float | None = None
    total_latency: float = 0.0
    start_timestamp: float = 0.0
    avg_output_tokens_per_second: float = 0.0


class ChatCompletionMessage(_Part):
    """What the model says."""

    role: str = "assistant"
    content: str | None = None
    reasoning_content: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: Function | None = None


class Choice(_Part):
    """One answer. flag: 0 is normal; ban_round: the round that is unsafe, -1 for the last one."""

    index: int = 0
    message: ChatCompletionMessage = Field(default_factory=ChatCompletionMessage)
    finish_reason: str | None = None
    flag: int | None = None
    ban_round: int | None = None
    need_clear_history: bool | None = None


class ChoiceDelta(_Part):
    """What is new in a piece."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class CompletionChunkChoice(_Part):
    """What is new of one answer. finish_reason: None until its last piece."""

    index: int = 0
    delta: ChoiceDelta = Field(default_factory=ChoiceDelta)
    finish_reason: str | None = None
    flag: int | None = None
    ban_round: int | None = None
    need_clear_history: bool | None = None


class Answered(_Part):
    """What every answer has. Items are those of `raw`: `answer["id"]`."""

    id: str = ""
    object: str = ""
    created: int = 0
    model: str = ""
    statistic: CompletionStatistic | None = Field(default=None, repr=False)
    raw: Any = Field(default=None, exclude=True, repr=False)

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]


class Completion(Answered):
    """A whole answer."""

    choices: list[Choice] = Field(default_factory=list)
    usage: CompletionUsage | None = None
    search_results: list[SearchResult] | None = None


class CompletionChunk(Answered):
    """A piece of an answer. `choices` may be empty: then it tells the usage."""

    choices: list[CompletionChunkChoice] = Field(default_factory=list)
    usage: CompletionUsage | None = None
    search_results: list[SearchResult] | None = None


class EmbeddingVector(_Part):
    """The vector of the text at `index`."""

    object: str = "embedding"
    embedding: list[float] = Field(default_factory=list)
    index: int = 0


class EmbeddingList(Answered):
    """The vectors of some texts, in their order."""

    data: list[EmbeddingVector] = Field(default_factory=list)
    usage: CompletionUsage | None = None


class RankedDocument(_Part):
    """A document and how well it answers the query. index: its place in the request."""

    document: Any = None
    relevance_score: float = 0.0
    index: int = 0


class Ranking(Answered):
    """Documents, the best one first."""

    results: list[RankedDocument] = Field(default_factory=list)
    usage: CompletionUsage | None = None


def typed(response: QfResponse, kind: type[Model], model: str | None = None) -> Model:
    """An answer of either generation as an object. Raises RequestError when it has another form.

    model: what was asked, for V1, which does not repeat it.
    """
    body, part = response.body, _PARTS.get(kind)
    if "choices" not in body and part is not None:
        body = _with_choices(body, part)
    try:
        made = kind.model_validate({"model": model, **body, "statistic": dict(response.statistic)})
    except pydantic.ValidationError as error:
        where = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise RequestError(
            f"the answer does not have the documented form (look at: {where})", status_code=response.code
        ) from None
    made.raw = response.body
    return made


_PARTS: Final[Mapping[type[Answered], str]] = {Completion: "message", CompletionChunk: "delta"}


def _with_choices(body: Mapping[str, Any], part: str) -> dict[str, Any]:
    """A V1 answer with its text where V2 has it."""
    said: dict[str, Any] = {"role": "assistant", "content": body.get("result")}
    if body.get("function_call"):
        said["function_call"] = body["function_call"]
    names = ("finish_reason", "flag", "ban_round", "need_clear_history")
    choice = {"index": 0, part: said, **{name: body[name] for name in names if name in body}}
    search = body.get("search_info")
    results = search.get("search_results") if isinstance(search, dict) else None
    return {**body, "choices": [choice], "search_results": results}


def merged(chunks: Iterable[CompletionChunk]) -> Completion:
    """The pieces of a stream as a whole answer: texts and arguments of tool calls joined, the rest from its last word.

    Parts of a tool call belong together by `index`; without one, a part with an id begins a new call.
    """
    whole = Completion()
    choices: dict[int, Choice] = {}
    for chunk in chunks:
        whole.id, whole.created = chunk.id or whole.id, chunk.created or whole.created
        whole.model, whole.object = chunk.model or whole.model, "chat.completion"
        whole.usage = chunk.usage or whole.usage
        whole.search_results = chunk.search_results or whole.search_results
        whole.statistic = chunk.statistic or whole.statistic
        for part in chunk.choices:
            _add(choices.setdefault(part.index, Choice(index=part.index)), part)
    whole.choices = [choices[index] for index in sorted(choices)]
    whole.raw = whole.model_dump(exclude_none=True)
    return whole


def _add(choice: Choice, part: CompletionChunkChoice) -> None:
    message, delta = choice.message, part.delta
    message.role = delta.role or message.role
    if delta.content is not None:
        message.content = (message.content or "") + delta.content
    if delta.reasoning_content is not None:
        message.reasoning_content = (message.reasoning_content or "") + delta.reasoning_content
    message.function_call = delta.function_call or message.function_call
    for call in delta.tool_calls or ():
        message.tool_calls = message.tool_calls or []
        _add_call(message.tool_calls, call)
    for name in ("finish_reason", "flag", "ban_round", "need_clear_history"):
        if (value := getattr(part, name)) is not None:
            setattr(choice, name, value)


def _add_call(calls: list[ToolCall], part: ToolCall) -> None:
    known = None
    if part.index is not None:
        known = next((call for call in calls if call.index == part.index), None)
    elif calls and part.id in (None, calls[-1].id):
        known = calls[-1]
    if known is None:
        calls.append(part.model_copy(deep=True))
        return
    known.id = known.id or part.id
    known.function.name = known.function.name or part.function.name
    known.function.arguments += part.function.arguments

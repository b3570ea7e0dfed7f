"""What model calls take and give. Their handlers check them in the words of their own refusals."""

from __future__ import annotations

from qianfan._types import JSON
from qianfan.emulator.shapes.vocabulary import (
    Either,
    Flag,
    Form,
    Items,
    Mapped,
    Maybe,
    Number,
    Obj,
    OneOf,
    OrNull,
    Schema,
    Shape,
    Text,
    Whole,
    optional,
)


class _Positive(Number):
    """A number above 0."""

    def words(self) -> str:
        return f"a number above 0, up to {self.high}"

    def fits(self, value: JSON) -> bool:
        return super().fits(value) and value > 0

    def schema(self, *, closed: bool) -> Schema:
        return {"type": "number", "exclusiveMinimum": 0, "maximum": self.high}


_ID: dict[str, Shape] = {"id": Text(pattern="as-[0-9a-z]+"), "created": Whole(0)}
_COUNTS = Obj(prompt_tokens=Whole(0), total_tokens=Whole(0))
_COUNTED: dict[str, Shape] = {"prompt_tokens": Whole(0), "completion_tokens": Whole(0), "total_tokens": Whole(0)}
_USAGE = Obj(**_COUNTED)
_FINISH = OneOf("normal", "stop", "length", "content_filter", "function_call", "tool_calls")
_SOURCE = Obj(index=Whole(1), url=Text(1), title=Text(1))
_FUNCTION = Obj(name=Text(1, 64), description=optional(Text()), parameters=optional(Mapped()))

_SAMPLING: dict[str, Shape] = {
    "stream": optional(Flag()),
    "temperature": optional(_Positive(0, 1)),
    "top_p": optional(Number(0, 1)),
    "penalty_score": optional(Number(1, 2)),
    "stop": optional(Items(Text(1, 20), most=4)),
    "user_id": optional(Text()),
}
_OPEN_MODELS: dict[str, Shape] = {**_SAMPLING, "top_k": optional(Whole(1))}

_TURN = Obj(
    role=OneOf("user", "assistant", "function"),
    content=optional(Text()),
    name=optional(Text(1)),
    function_call=optional(Obj(name=Text(1), arguments=Text(), thoughts=optional(Text()))),
)
_CHAT_V1: dict[str, Shape] = {
    **_OPEN_MODELS,
    "frequency_penalty": optional(Number(-2, 2)),
    "presence_penalty": optional(Number(-2, 2)),
    "max_output_tokens": optional(Whole(2)),
    "min_output_tokens": optional(Whole(2)),
    "system": optional(Text()),
    "disable_search": optional(Flag()),
    "enable_citation": optional(Flag()),
    "enable_trace": optional(Flag()),
    "trace_number": optional(Whole(1)),
    "response_format": optional(OneOf("text", "json_object")),
    "response_style": optional(Text()),
    "functions": optional(Items(_FUNCTION, least=1)),
    "tool_choice": optional(Obj(type=OneOf("function"), function=Obj(name=Text(1)))),
    "tools": optional(Items(Obj(type=Text(1)))),
    "user_setting": optional(Text()),
    "enable_system_memory": optional(Flag()),
    "system_memory_id": optional(Text()),
    "enable_user_memory": optional(Flag()),
    "user_memory_level": optional(Whole(0, 4)),
    "user_memory_extract_level": optional(Whole(0, 2)),
    "mode": optional(Text()),
    "safety_level": optional(Text()),
    "metadata": optional(Mapped(Text())),
}

_SAID_V1: dict[str, Shape] = {**_ID, "result": Text(), "is_truncated": Flag(), "finish_reason": _FINISH}

_PART = Either(
    Obj(type=OneOf("text"), text=Text()),
    Obj(type=OneOf("image_url"), image_url=Obj(url=Text(1))),
)
_TOOL_CALL = Obj(id=Text(1), type=OneOf("function"), function=Obj(name=Text(1), arguments=Text()))
_MESSAGE = Obj(
    role=OneOf("system", "user", "assistant", "tool"),
    content=optional(Either(Text(), Items(_PART))),
    name=optional(Text()),
    tool_calls=optional(Items(_TOOL_CALL)),
    tool_call_id=optional(Text(1)),
)

_EMBEDDINGS: dict[str, Shape] = {
    **_ID,
    "object": OneOf("embedding_list"),
    "data": Items(Obj(object=OneOf("embedding"), embedding=Items(Number(-1, 1), least=1), index=Whole(0)), least=1),
    "usage": _COUNTS,
}

_TO_RANK: dict[str, Shape] = {
    "query": Text(1, 1600),
    "documents": Items(Text(1, 4096), least=1, most=64),
    "top_n": optional(Whole(1)),
}
_RANKED: dict[str, Shape] = {
    **_ID,
    "object": OneOf("reranker_list"),
    "results": Items(Obj(document=Text(1), relevance_score=Number(0, 1), index=Whole(0)), least=1),
    "usage": _COUNTS,
}
_RERANK_V2 = Form(
    takes=Obj(model=Text(1), **_TO_RANK, user=optional(Text())),
    gives=Obj(**_RANKED, model=Text(1)),
)

_SIZES = (
    "768x768",
    "768x1024",
    "1024x768",
    "576x1024",
    "1024x576",
    "1024x1024",
    "1536x1536",
    "2048x2048",
    "1024x2048",
    "2048x1024",
    "1152x2048",
    "2048x1152",
)

_COUNTED_MODELS = (
    "ernie-4.0-8k",
    "ernie-3.5-8k",
    "ernie-speed-8k",
    "ernie-speed-128k",
    "ernie-lite-8k",
    "ernie-tiny-8k",
    "ernie-char-8k",
)

_PLUGIN_USAGE = Obj(
    **_COUNTED,
    plugins=Items(
        Obj(
            name=Text(1),
            parse_tokens=Whole(0),
            abstract_tokens=Whole(0),
            search_tokens=Whole(0),
            total_tokens=Whole(0),
        )
    ),
)
_PLUGIN_SAYS = Obj(**_SAID_V1, object=OneOf("chat.completion"), need_clear_history=Flag(), usage=_PLUGIN_USAGE)
_PLUGIN_WORKS = Obj(
    **_ID,
    object=OneOf("chat.completion"),
    is_end=OneOf(False),
    result=Text(),
    plugin_id=Maybe(Text(1)),
)

_CHAT = Obj(
    **_SAID_V1,
    object=OneOf("chat.completion"),
    need_clear_history=Flag(),
    is_safe=Maybe(OneOf(0, 1)),
    function_call=Maybe(Obj(name=Text(1), thoughts=Text(), arguments=Text())),
    search_info=Maybe(Obj(search_results=Items(_SOURCE))),
    tools_info=Maybe(Obj(name=Text(1), rewrite_query=Text(), baidu_search=Items(_SOURCE))),
    usage=Obj(
        **_COUNTED,
        tool_tokens=Maybe(Whole(0)),
        tool_usage=Maybe(Items(Obj(name=Text(1), tool_point=Whole(0), baidu_search=Obj(triggers_number=Whole(0))))),
    ),
)
_COMPLETION = Obj(**_SAID_V1, object=OneOf("completion"), is_safe=OneOf(0, 1), usage=_USAGE)
_OF_PICTURE = Obj(**_SAID_V1, object=OneOf("chat.completion"), is_safe=OneOf(0, 1), usage=_USAGE)

_CHUNK = Obj(
    **_ID,
    object=OneOf("chat.completion.chunk"),
    model=Text(1),
    choices=Items(
        Obj(
            index=Whole(0),
            delta=Obj(
                role=Maybe(OneOf("assistant")),
                content=Maybe(Text()),
                tool_calls=Maybe(Items(Obj(**_TOOL_CALL.fields, index=Whole(0)), least=1)),
            ),
            finish_reason=OrNull(_FINISH),
            flag=Whole(),
        ),
        most=1,
    ),
    search_results=Maybe(Items(_SOURCE)),
    usage=Maybe(_USAGE),
)


def _pieces(said: Obj) -> Obj:
    """An event of an answer in V1's form: the next words of its result, and whether they are the last."""
    return Obj(**{**said.fields, "finish_reason": Maybe(_FINISH), "sentence_id": Whole(0), "is_end": Flag()})


FORMS: dict[str, Form] = {
    "/chat": Form(
        takes=Obj(messages=Items(_TURN, least=1), **_CHAT_V1),
        gives=_CHAT,
        streams=_pieces(_CHAT),
    ),
    "/completions": Form(
        takes=Obj(prompt=Text(1), **_OPEN_MODELS),
        gives=_COMPLETION,
        streams=_pieces(_COMPLETION),
    ),
    "/embeddings": Form(
        takes=Obj(input=Items(Text(1), least=1, most=16), user_id=optional(Text())),
        gives=Obj(**_EMBEDDINGS),
    ),
    "/text2image": Form(
        takes=Obj(
            prompt=Text(1, 1024),
            negative_prompt=optional(Text(0, 1024)),
            size=optional(OneOf(*_SIZES)),
            n=optional(Whole(1, 4)),
            steps=optional(Whole(10, 50)),
            sampler_index=optional(Text(1)),
            seed=optional(Whole(0, 4294967295)),
            cfg_scale=optional(Number(0, 30)),
            style=optional(Text(1)),
            user_id=optional(Text()),
        ),
        gives=Obj(
            **_ID,
            object=OneOf("image"),
            data=Items(Obj(object=OneOf("image"), b64_image=Text(1), index=Whole(1)), least=1, most=4),
            usage=_COUNTS,
        ),
    ),
    "/image2text": Form(
        takes=Obj(prompt=Text(1), image=Text(1), **_OPEN_MODELS),
        gives=_OF_PICTURE,
        streams=_pieces(_OF_PICTURE),
    ),
    "/reranker": Form(takes=Obj(**_TO_RANK, user_id=optional(Text())), gives=Obj(**_RANKED)),
    "/tokenizer": Form(
        takes=Obj(prompt=Text(0, 512000), model=optional(OneOf(*_COUNTED_MODELS))),
        gives=Obj(**_ID, object=OneOf("tokenizer.erniebot"), usage=_COUNTS),
    ),
    "/erniebot": Form(
        takes=Obj(
            messages=Items(_TURN, least=1),
            plugins=Items(Text(1), least=1),
            stream=optional(Flag()),
            user_id=optional(Text()),
            extra_data=optional(Shape()),
        ),
        gives=_PLUGIN_SAYS,
        streams=Either(_PLUGIN_WORKS, _pieces(_PLUGIN_SAYS)),
    ),
    "/plugin": Form(
        takes=Obj(query=Text(1), plugins=optional(Items(Text(1))), stream=optional(Flag()), verbose=optional(Flag())),
        gives=_PLUGIN_SAYS,
        streams=Either(_PLUGIN_WORKS, _pieces(_PLUGIN_SAYS)),
    ),
    "/v2/chat/completions": Form(
        takes=Obj(
            model=Text(1),
            messages=Items(_MESSAGE, least=1),
            stream=optional(Flag()),
            stream_options=optional(Obj(include_usage=optional(Flag()))),
            temperature=optional(Number(0, 2)),
            top_p=optional(Number(0, 1)),
            penalty_score=optional(Number(1, 2)),
            frequency_penalty=optional(Number(-2, 2)),
            presence_penalty=optional(Number(-2, 2)),
            repetition_penalty=optional(Number(0)),
            max_completion_tokens=optional(Whole(1)),
            max_tokens=optional(Whole(1)),
            seed=optional(Whole()),
            stop=optional(Either(Text(), Items(Text(), most=4))),
            user=optional(Text()),
            tools=optional(Items(Obj(type=OneOf("function"), function=_FUNCTION))),
            tool_choice=optional(
                Either(
                    OneOf("none", "auto", "required"),
                    Obj(type=OneOf("function"), function=Obj(name=Text(1))),
                )
            ),
            parallel_tool_calls=optional(Flag()),
            response_format=optional(
                Obj(type=OneOf("text", "json_object", "json_schema"), json_schema=optional(Mapped()))
            ),
            web_search=optional(
                Obj(enable=optional(Flag()), enable_citation=optional(Flag()), enable_trace=optional(Flag()))
            ),
            metadata=optional(Mapped(Text())),
            preemptable=optional(Flag()),
        ),
        gives=Obj(
            **_ID,
            object=OneOf("chat.completion"),
            model=Text(1),
            choices=Items(
                Obj(
                    index=Whole(0),
                    message=Obj(
                        role=OneOf("assistant"), content=OrNull(Text()), tool_calls=Maybe(Items(_TOOL_CALL, least=1))
                    ),
                    finish_reason=_FINISH,
                    flag=Whole(),
                ),
                least=1,
            ),
            search_results=Maybe(Items(_SOURCE)),
            usage=_USAGE,
        ),
        streams=_CHUNK,
    ),
    "/v2/embeddings": Form(
        takes=Obj(
            model=Text(1),
            input=Either(Text(1), Items(Text(1), least=1, most=16)),
            user=optional(Text()),
            encoding_format=optional(OneOf("float")),
        ),
        gives=Obj(**_EMBEDDINGS, model=Text(1)),
    ),
    "/v2/rerankers": _RERANK_V2,
    "/v2/rerank": _RERANK_V2,
}
"""By kind of service, or V2 path."""

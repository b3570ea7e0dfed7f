"""Every shape by its name, and which ones a row could have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qianfan._strict import nearest, suggestion
from qianfan.dataset.consts import DataFormat
from qianfan.dataset.rows import Answered, Columns, Conversation, JsonRow, Picture, Preference, Query, Row, Text
from qianfan.dataset.shapes.flaws import Flaw, Look, RowFlaws, kind
from qianfan.dataset.shapes.openai import read_messages, write_messages
from qianfan.dataset.shapes.pairs import (
    read_alpaca,
    read_prompt_completion,
    read_prompt_response,
    write_alpaca,
    write_prompt_completion,
    write_prompt_response,
)
from qianfan.dataset.shapes.platform import (
    read_answered,
    read_columns,
    read_dialogue,
    read_picture,
    read_preference,
    read_query,
    read_text,
)
from qianfan.dataset.shapes.preferences import read_dpo, read_kto, write_dpo, write_kto
from qianfan.dataset.shapes.quick import WAYS
from qianfan.dataset.shapes.refusals import cannot_say
from qianfan.dataset.shapes.sharegpt import read_sharegpt, write_sharegpt
from qianfan.errors import InvalidArgumentError

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to write rows down.

    example: a row of it in short, for messages. fits: a quick look at the names.
    needs: the keys that an object of this shape has; several where there are several forms of it.
    quick_format: the kind of row that `quick` lets through. In a source of another kind nothing is proven by it.
    """

    name: str
    example: str
    fits: Callable[[Any], bool]
    read_with: Callable[[Any, Look], Row]
    write_with: Callable[[Row], Any]
    quick_format: DataFormat | None = None
    needs: tuple[Keys, ...] = ()

    @property
    def quick(self) -> Callable[[Any], JsonRow | None]:
        """A common, flawless row straight into the platform's form, or None: "ask `read`". See `quick.py`."""
        return WAYS.get(self.name, _ask_read)

    def read(self, value: Any) -> Row:
        """A typed row. Raises RowFlaws with everything that is wrong."""
        look = Look()
        if self.needs and not isinstance(value, Mapping):
            look.note((), f"must be an object, not {kind(value)}", "wrong-type", value, f"write {self.example}")
        else:
            row = self.read_with(value, look)
            if not look.flaws:
                return row
        other = stranger(self, value)
        raise RowFlaws(look.flaws if other is None else [other])

    def write(self, row: Row) -> Any:
        """The row as a JSON value in this shape, which reads back to the same row.

        Raises RowFlaws when the shape has no place for something that the row holds; nothing is left out silently.
        """
        return self.write_with(row)


# --- which shape is it? ----------------------------------------------------------------------------------------------


def _object(
    name: str,
    example: str,
    *needs: Keys,
    read: Callable[[Any, Look], Row],
    write: Callable[[Row], Any],
    quick_format: DataFormat | None = None,
    unless: Keys = (),
) -> Shape:
    """A shape of objects, told by the keys that must be there and by those that make it another shape."""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, Mapping)
            and any(all(key in value for key in keys) for keys in needs)
            and not any(key in value for key in unless)
        )

    return Shape(name, example, fits, read, write, quick_format, needs)


def _turns_have(key: str) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, list) and any(isinstance(turn, Mapping) and key in turn for turn in value)

    return fits


_ANSWERS = ("response", "output", "completion", "chosen", "rejected", "messages", "conversations", "image")


def _is_query(value: Any) -> bool:
    query = value[0] if isinstance(value, list) and len(value) == 1 else value
    return isinstance(query, Mapping) and "prompt" in query and not any(key in query for key in _ANSWERS)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Mapping) and "text" in value)


_WITH_JUDGEMENTS = ("conversations", "messages", "instruction")


def _is_pair(value: Any) -> bool:
    """Two answers to a prompt; answers that are messages may hold the prompt themselves."""
    if not isinstance(value, Mapping) or "chosen" not in value or "rejected" not in value:
        return False
    hold_it = isinstance(value["chosen"], list) and isinstance(value["rejected"], list)
    return "prompt" in value or (hold_it and not any(key in value for key in _WITH_JUDGEMENTS))


def _as_it_is(name: str, *kinds: type[Row]) -> Callable[[Row], Any]:
    """Writes rows of these kinds in their own form."""

    def write(row: Row) -> Any:
        if not isinstance(row, kinds):
            raise RowFlaws([cannot_say(name, row)])
        return row.to_json()

    return write


def _ask_read(value: Any) -> None:
    """The quick way of shapes that have none."""


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(
            "dialogue",
            '[{"prompt": "…", "response": [["…"]]}]',
            _turns_have("prompt"),
            read_dialogue,
            _as_it_is("dialogue", Conversation),
            DataFormat.PromptResponse,
        ),
        Shape(
            "preference",
            '[{"user": "…", "chosen": "…", "rejected": "…"}]',
            _turns_have("user"),
            read_preference,
            _as_it_is("preference", Preference),
            DataFormat.DPOPromptChosenRejected,
        ),
        Shape(
            "query",
            '{"prompt": "…"}',
            _is_query,
            read_query,
            _as_it_is("query", Query),
            DataFormat.Prompt,
        ),
        Shape(
            "text",
            '"…"',
            _is_text,
            read_text,
            _as_it_is("text", Text),
            DataFormat.Text,
        ),
        _object(
            "alpaca",
            '{"instruction": "…", "input": "…", "output": "…"}',
            ("instruction", "output"),
            ("instruction", "chosen", "rejected"),
            read=read_alpaca,
            write=write_alpaca,
            quick_format=DataFormat.PromptResponse,
        ),
        _object(
            "messages",
            '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
            ("messages",),
            read=read_messages,
            write=write_messages,
            quick_format=DataFormat.PromptResponse,
        ),
        _object(
            "prompt_response",
            '{"prompt": "…", "response": "…"}',
            ("prompt", "response"),
            read=read_prompt_response,
            write=write_prompt_response,
            quick_format=DataFormat.PromptResponse,
        ),
        _object(
            "prompt_completion",
            '{"prompt": "…", "completion": "…"}',
            ("prompt", "completion"),
            read=read_prompt_completion,
            write=write_prompt_completion,
            quick_format=DataFormat.PromptResponse,
            unless=("label",),
        ),
        _object(
            "answers",
            '{"input": "…", "output": "…", "reference": "…"}',
            ("input", "output"),
            read=read_answered,
            write=_as_it_is("answers", Answered),
            unless=("instruction",),
        ),
        _object(
            "sharegpt",
            '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
            ("conversations",),
            read=read_sharegpt,
            write=write_sharegpt,
            quick_format=DataFormat.PromptResponse,
        ),
        Shape(
            "dpo",
            '{"prompt": "…", "chosen": "…", "rejected": "…"}',
            _is_pair,
            read_dpo,
            write_dpo,
            DataFormat.DPOPromptChosenRejected,
            (("prompt", "chosen", "rejected"),),
        ),
        _object(
            "kto",
            '{"prompt": "…", "completion": "…", "label": true}',
            ("prompt", "completion", "label"),
            read=read_kto,
            write=write_kto,
            quick_format=DataFormat.KTOPromptChosenRejected,
        ),
        _object(
            "text2image",
            '{"image": "…", "prompt": "…"}',
            ("image", "prompt"),
            ("image", "text"),
            read=read_picture,
            write=_as_it_is("text2image", Picture),
        ),
        _object(
            "table",
            '{"column": …, "column": …}',
            (),
            read=read_columns,
            write=_as_it_is("table", Columns),
        ),
    )
}

TABLE = SHAPES["table"]
"""What an object is that fits no other shape: it can be worked on by its columns, not uploaded."""


def shape_named(name: str) -> Shape:
    """The shape a user named. Raises InvalidArgumentError for an unknown name."""
    if name not in SHAPES:
        raise InvalidArgumentError(f"unknown format {name!r}; {suggestion(name, SHAPES)}")
    return SHAPES[name]


def candidates(value: Any) -> list[Shape]:
    """The shapes a row could have, by its names; `table` only where there is no other."""
    found = [shape for shape in SHAPES.values() if shape is not TABLE and shape.fits(value)]
    return found or ([TABLE] if TABLE.fits(value) else [])


def stranger(shape: Shape, value: Any) -> Flaw | None:
    """What is wrong with a row of another shape than the rest; None for one of the same, or of no known shape."""
    if shape.fits(value):
        return None
    others = [other.name for other in candidates(value) if other is not TABLE]
    if not others:
        return None
    reason = f"is a row of the format {' or '.join(others)} among {shape.name} rows"
    advice = f"put it into a file of its own, or write it as {shape.example}"
    return Flaw((), reason, "mixed-kinds", value, advice)


# --- explaining ------------------------------------------------------------------------------------------------------


def why_unclear(value: Any, found: Sequence[Shape]) -> str:
    """Why a row's shape could not be told, or is only that of a table, and what to do."""
    named = [shape.name for shape in found if shape is not TABLE]
    if named:
        return f"the row fits several formats: {', '.join(named)}; say which one with format={named[0]!r}"
    inside = value[0] if isinstance(value, list) and value else value
    keys = f" with {', '.join(map(repr, inside))}" if isinstance(inside, Mapping) else ""
    return f"the row ({kind(value)}{keys}) fits no known format; {_way_out(value, inside)}"


def _way_out(value: Any, inside: Any) -> str:
    if isinstance(value, list) and isinstance(inside, Mapping) and {"content", "value"} & inside.keys():
        around = "messages" if "content" in inside else "conversations"
        return f'give the list a name: {{"{around}": […]}}'
    near = _nearest(inside) if value is inside and isinstance(inside, Mapping) else None
    if near is not None:
        shape, missing = near
        wanted = ", ".join(_wanted(key, inside) for key in missing)
        return f"nearest is {shape.name}, like {shape.example}, which also needs {wanted}"
    if not isinstance(value, Mapping):
        return f"known formats: {', '.join(SHAPES)}"
    told = ", ".join(f"{shape.name} ({', '.join(shape.needs[0])})" for shape in SHAPES.values() if any(shape.needs))
    return f"formats are told by their columns: {told}; rename yours with col_renames, or make rows with map"


def _nearest(row: Mapping[str, Any]) -> tuple[Shape, list[str]] | None:
    """The shape that lacks the fewest keys, and these; None where a row has nothing of any."""
    best: tuple[float, Shape, list[str]] | None = None
    for shape in SHAPES.values():
        for keys in shape.needs:
            here = sum(1.0 if key in row else 0.5 if nearest(key, map(str, row)) else 0.0 for key in keys)
            if keys and here and (best is None or here / len(keys) > best[0]):
                best = here / len(keys), shape, [key for key in keys if key not in row]
    return None if best is None else best[1:]


def _wanted(key: str, row: Mapping[str, Any]) -> str:
    close = nearest(key, (str(name) for name in row))
    return f"{key!r} (is that {close!r}?)" if close else repr(key)

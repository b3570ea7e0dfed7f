"""Words to say what a call takes and gives. Each checks a value, and tells JSON Schema what it checks.

```python
Form(
    takes=Obj(name=Text(2, 20), description=optional(Text(0, 500))),
    gives=Obj(jobId=Id("job-", 12)),
)
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from qianfan._types import JSON
from qianfan.emulator.refusals import invalid

Schema: TypeAlias = dict[str, JSON]


class Shape:
    """What a value may be; by itself anything."""

    def words(self) -> str:
        """The same as a part of a sentence: "a text of 2 to 20 characters"."""
        return "anything"

    def fits(self, value: JSON) -> bool:
        """Whether a value is one of those."""
        return True

    def check(self, key: str, value: JSON) -> None:
        """Refuse a value that is none of those. key: the field that holds it; one that is left out holds None."""
        if not self.fits(value):
            raise invalid(key, f"{key} must be {self.words()}, found {_shown(value)}")

    def schema(self, *, closed: bool) -> Schema:
        """As JSON Schema. closed: an object has no other keys than those named, as in answers."""
        return {}


ANYTHING = Shape()


def is_whole(text: str) -> bool:
    """Whether a text can be written: JSON can escape half a character, which no answer could repeat."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True)
class Text(Shape):
    """A text, by its length in characters and by a pattern that the whole of it matches."""

    shortest: int = 0
    longest: int | None = None
    pattern: str = ""

    def words(self) -> str:
        kind = "a non-empty text" if self.shortest == 1 else "a text"
        if self.longest is not None:
            kind += f" of {self.shortest} to {self.longest} characters"
        return f"{kind} like {self.pattern}" if self.pattern else kind

    def fits(self, value: JSON) -> bool:
        if not isinstance(value, str) or not _within(self.shortest, len(value), self.longest):
            return False
        return is_whole(value) and (not self.pattern or re.fullmatch(self.pattern, value) is not None)

    def schema(self, *, closed: bool) -> Schema:
        pattern = f"^(?:{self.pattern})$" if self.pattern else None
        return _filled(type="string", minLength=self.shortest or None, maxLength=self.longest, pattern=pattern)


@dataclass(frozen=True)
class Number(Shape):
    """A number from `low` to `high`, both included."""

    low: float | None = None
    high: float | None = None

    def words(self) -> str:
        return "a number" + self._limits()

    def _limits(self) -> str:
        if self.high is not None:
            return f" from {self.low} to {self.high}"
        return f" from {self.low} up" if self.low is not None else ""

    def fits(self, value: JSON) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        # NaN, which Python reads where JSON has none, equals nothing.
        return value == value and _within(self.low, value, self.high)

    def schema(self, *, closed: bool) -> Schema:
        return _filled(type="number", minimum=self.low, maximum=self.high)


@dataclass(frozen=True)
class Whole(Number):
    """A whole number from `low` to `high`, both included."""

    def words(self) -> str:
        return "a whole number" + self._limits()

    def fits(self, value: JSON) -> bool:
        return isinstance(value, int) and super().fits(value)

    def schema(self, *, closed: bool) -> Schema:
        return {**super().schema(closed=closed), "type": "integer"}


class Flag(Shape):
    """True or false."""

    def words(self) -> str:
        return "true or false"

    def fits(self, value: JSON) -> bool:
        return isinstance(value, bool)

    def schema(self, *, closed: bool) -> Schema:
        return {"type": "boolean"}


class OneOf(Shape):
    """A value out of a set: `OneOf("Platform", "Bos")`."""

    def __init__(self, *values: JSON) -> None:
        self.values = list(values)

    def words(self) -> str:
        return f"one of {self.values}" if len(self.values) > 1 else repr(self.values[0])

    def fits(self, value: JSON) -> bool:
        # For Python, though not for JSON, 1 is True.
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.values)

    def schema(self, *, closed: bool) -> Schema:
        return {"enum": self.values} if len(self.values) > 1 else {"const": self.values[0]}


@dataclass(frozen=True)
class Key(Shape):
    """By what a request names a thing. Whether there is one, and whether one was named, is said by who looks it up.

    of: what it names: "a model version, `amv-…`". numbered: whether its V1 number, or the digits of it, do as well.
    """

    of: str
    numbered: bool = True

    def words(self) -> str:
        return f"the id of {self.of}"

    def fits(self, value: JSON) -> bool:
        return value is None or isinstance(value, str) or (self.numbered and Whole().fits(value))

    def schema(self, *, closed: bool) -> Schema:
        if not self.numbered:
            return {"type": "string", "description": f"The id of {self.of}"}
        return {"type": ["string", "integer"], "description": f"The id of {self.of}, or its number"}


class File(Shape):
    """A file in a form, which comes as an object with its `name` and its `content` as text."""

    def words(self) -> str:
        return "a file in a form"

    def fits(self, value: JSON) -> bool:
        return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("name", "content"))

    def schema(self, *, closed: bool) -> Schema:
        return {"type": "string", "format": "binary"}


@dataclass(frozen=True)
class Items(Shape):
    """A list, by what its elements are and how many there may be."""

    of: Shape
    least: int = 0
    most: int | None = None

    def words(self) -> str:
        if self.most is not None:
            return f"a list of {self.least} to {self.most} elements"
        return f"a list of {self.least} or more elements" if self.least else "a list"

    def fits(self, value: JSON) -> bool:
        return self._has_length(value) and all(self.of.fits(item) for item in value)

    def check(self, key: str, value: JSON) -> None:
        if not self._has_length(value):
            raise invalid(key, f"{key} must be {self.words()}, found {_shown(value)}")
        for item in value:
            self.of.check(key, item)

    def _has_length(self, value: JSON) -> bool:
        return isinstance(value, list) and _within(self.least, len(value), self.most)

    def schema(self, *, closed: bool) -> Schema:
        return _filled(
            type="array", items=self.of.schema(closed=closed), minItems=self.least or None, maxItems=self.most
        )


class Obj(Shape):
    """An object, by its fields. A refusal names the innermost one that does not fit."""

    def __init__(self, **fields: Shape) -> None:
        self.fields = fields

    def words(self) -> str:
        return "an object"

    def fits(self, value: JSON) -> bool:
        return isinstance(value, dict) and all(
            shape.fits(value[name]) if name in value else isinstance(shape, Maybe)
            for name, shape in self.fields.items()
        )

    def check(self, key: str, value: JSON) -> None:
        if not isinstance(value, dict):
            raise invalid(key, f"{key} must be an object, found {_shown(value)}")
        for name, shape in self.fields.items():
            if name in value or not isinstance(shape, Maybe):
                shape.check(name, value.get(name))

    def schema(self, *, closed: bool) -> Schema:
        needed = [name for name, shape in self.fields.items() if not isinstance(shape, Maybe)]
        return _filled(
            type="object",
            properties={name: shape.schema(closed=closed) for name, shape in self.fields.items()},
            required=needed or None,
            additionalProperties=False if closed else None,
        )


@dataclass(frozen=True)
class Mapped(Shape):
    """An object with any keys, by what its values are."""

    of: Shape = ANYTHING

    def words(self) -> str:
        return "an object"

    def fits(self, value: JSON) -> bool:
        return isinstance(value, dict) and all(self.of.fits(item) for item in value.values())

    def check(self, key: str, value: JSON) -> None:
        if not isinstance(value, dict):
            raise invalid(key, f"{key} must be an object, found {_shown(value)}")
        for name, item in value.items():
            self.of.check(name, item)

    def schema(self, *, closed: bool) -> Schema:
        return {"type": "object", "additionalProperties": self.of.schema(closed=closed) or True}


class Either(Shape):
    """One shape or another."""

    def __init__(self, *shapes: Shape) -> None:
        self.shapes = shapes

    def words(self) -> str:
        return " or ".join(shape.words() for shape in self.shapes)

    def fits(self, value: JSON) -> bool:
        return any(shape.fits(value) for shape in self.shapes)

    def schema(self, *, closed: bool) -> Schema:
        return {"anyOf": [shape.schema(closed=closed) for shape in self.shapes]}


@dataclass(frozen=True)
class OrNull(Shape):
    """A shape, or null."""

    of: Shape

    def words(self) -> str:
        return f"{self.of.words()} or null"

    def fits(self, value: JSON) -> bool:
        return value is None or self.of.fits(value)

    def check(self, key: str, value: JSON) -> None:
        if value is not None:
            self.of.check(key, value)

    def schema(self, *, closed: bool) -> Schema:
        inner = self.of.schema(closed=closed)
        if "type" not in inner:
            return {"anyOf": [inner, {"type": "null"}]} if inner else {}
        kinds = inner["type"] if isinstance(inner["type"], list) else [inner["type"]]
        return {**inner, "type": [*kinds, "null"]}


@dataclass(frozen=True)
class Maybe(Shape):
    """A field that an object may be without."""

    of: Shape

    def words(self) -> str:
        return self.of.words()

    def fits(self, value: JSON) -> bool:
        return self.of.fits(value)

    def check(self, key: str, value: JSON) -> None:
        self.of.check(key, value)

    def schema(self, *, closed: bool) -> Schema:
        return self.of.schema(closed=closed)


def optional(shape: Shape) -> Maybe:
    """A field of a request that may be left out or null, which is the same."""
    return Maybe(OrNull(shape))


def Id(prefix: str, length: int = 12) -> Text:  # noqa: N802 - reads as one of the words
    """In an answer, an id that the platform gave out."""
    return Text(pattern=f"{prefix}[a-z0-9]{{{length}}}")


@dataclass(frozen=True)
class Form:
    """What one call takes and gives.

    takes: the fields of its body, or of its query. gives: its result, which its family wraps.
    in_query, in_form: where the fields are, when they are not a JSON object.
    streams: what each event of a stream holds, where it can give its result piece by piece.
    """

    takes: Obj
    gives: Shape
    method: str = "POST"
    in_query: bool = False
    in_form: bool = False
    streams: Shape | None = None


def _within(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


def _filled(**entries: JSON) -> Schema:
    return {name: entry for name, entry in entries.items() if entry is not None}


def _shown(value: JSON) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

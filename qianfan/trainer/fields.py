"""The fields of an object in a file, taken one by one, so that a mistake is reported with its place."""

from __future__ import annotations

from typing import Any, NoReturn

from qianfan._strict import suggestion
from qianfan.errors import TrainerFileError

_NEEDED: Any = object()


class Fields:
    """An object in a file. What nobody has asked for when it is looked through is a mistake.

    file: the path, for messages. place: where the object is in it, such as `actions[1]`.
    """

    def __init__(self, file: str, place: str, value: Any) -> None:
        self.file = file
        self.place = place
        if not isinstance(value, dict):
            raise TrainerFileError(f"expected an object, found {_kind(value)}", file=file, place=place)
        self._values: dict[str, Any] = value
        self._known: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The names of all fields."""
        return [*self._values]

    def get(self, name: str, kind: type | tuple[type, ...], default: Any = _NEEDED) -> Any:
        """A field of some kind; the default where it is left out or null. Raises TrainerFileError."""
        self._known.add(name)
        value = self._values.get(name)
        if value is None:
            if default is _NEEDED:
                raise self.error(name, "is missing")
            return default
        # JSON tells a number from a truth, and Python does not.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise self.error(name, f"expected {' or '.join(_NAMES[one] for one in kinds)}, found {_kind(value)}")
        return value

    def inside(self, name: str, *, optional: bool = False) -> Fields:
        """An object in a field; an empty one where it may be left out."""
        return Fields(self.file, self.at(name), self.get(name, dict, {} if optional else _NEEDED))

    def each(self, name: str) -> list[Fields]:
        """The objects in a list."""
        found = self.get(name, list, [])
        return [Fields(self.file, f"{self.at(name)}[{index}]", one) for index, one in enumerate(found)]

    def ignore(self, *names: str) -> None:
        """Know these fields, and do nothing about them."""
        self._known.update(names)

    def end(self) -> None:
        """Refuse what nobody has asked for. Raises TrainerFileError."""
        for name in self._values:
            if name not in self._known:
                raise self.error(name, f"this field is not known; {suggestion(name, self._known)}")

    def at(self, name: str) -> str:
        """The place of a field."""
        return f"{self.place}.{name}" if self.place else name

    def error(self, name: str, why: str) -> TrainerFileError:
        """What is wrong with a field."""
        return TrainerFileError(why, file=self.file, place=self.at(name))

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raise what is wrong with a field."""
        raise self.error(name, why)


_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)

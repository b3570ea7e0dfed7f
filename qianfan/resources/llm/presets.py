"""The models that the platform serves for everyone: where they answer, what they take, how much they can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a preset model.

    endpoint: the last part of its address. required_keys, optional_keys: what a request may hold, empty when unknown.
    max_input_chars, max_input_tokens: how much to send it at most; limits of this client, not promises of the platform.
    deprecated: an older name, which still works.
    """

    name: str
    api_type: str
    endpoint: str
    required_keys: frozenset[str] = frozenset()
    optional_keys: frozenset[str] = frozenset()
    max_input_chars: int | None = None
    max_input_tokens: int | None = None
    deprecated: bool = False

    @property
    def v2_name(self) -> str:
        """What V2 calls the model. Our reading: the V1 name in lower case, with hyphens for blanks."""
        return self.name.lower().replace(" ", "-")


@cache
def presets(kind: str) -> Mapping[str, ModelInfo]:
    """The preset models of a kind (`chat`, `completions`, …) by name."""
    table = _table()
    keys = table["parameters"]
    return {
        name: ModelInfo(
            name=name,
            api_type=kind,
            endpoint=row["endpoint"],
            required_keys=frozenset(keys[row["set"]]["required"] if "set" in row else ()),
            optional_keys=frozenset(keys[row["set"]]["optional"] if "set" in row else ()),
            max_input_chars=row.get("chars"),
            max_input_tokens=row.get("tokens"),
            deprecated=row.get("deprecated", False),
        )
        for name, row in table["models"].get(kind, {}).items()
    }


def preset_named(kind: str, model: str) -> ModelInfo | None:
    """The preset model of that name, in any case, in V1's spelling or in V2's."""
    wanted = model.lower()
    known = presets(kind).values()
    named = next((info for info in known if info.name.lower() == wanted), None)
    return named or next((info for info in known if info.v2_name == wanted), None)


def preset_at(kind: str, endpoint: str) -> ModelInfo | None:
    """The preset model that answers there."""
    return next((info for info in presets(kind).values() if info.endpoint == endpoint), None)


@cache
def _table() -> dict[str, Any]:
    text = files("qianfan.resources").joinpath("data", "preset_models.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table

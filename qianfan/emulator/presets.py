"""The platform's own models: sets with one version each, which nobody made and nobody can delete.

Their ids come from their names, so that every emulator has the same ones. What the platform's lists tell of vendor,
context length and languages is not documented; it is read off the names here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache

from qianfan._types import JSON
from qianfan.emulator import catalogue

SINCE = datetime(2024, 1, 1, tzinfo=timezone.utc)
"""When all of them came into being."""

_FIRST_SET, _FIRST_VERSION = 100, 1100
_CONTEXT = re.compile(r"-(\d+[Kk])(?:-|$)")
_TYPES = {
    "chat": ("Text2Text", 0),
    "completions": ("Text2Text", 0),
    "embeddings": ("Embedding", 4),
    "text2image": ("Text2Image", 1),
    "image2text": ("ImageUnderstanding", 5),
}
"""Kind of service -> model type, in words and in V1's number."""
_OTHER = ("Text2Text", 0)


@dataclass(frozen=True)
class Preset:
    """One of them. number: of the set, in V1; kind, endpoint: of the service that answers with it."""

    name: str
    number: int
    kind: str
    endpoint: str

    @property
    def set_id(self) -> str:
        return f"am-{_digest(self.name)}"

    @property
    def model_id(self) -> str:
        return f"amv-{_digest(self.name)}"

    @property
    def service_id(self) -> str:
        return f"svcp-{_digest(f'{self.kind}/{self.name}')}"

    @property
    def version_number(self) -> int:
        return self.number - _FIRST_SET + _FIRST_VERSION

    @property
    def model_type(self) -> str:
        return _TYPES.get(self.kind, _OTHER)[0]

    @property
    def type_number(self) -> int:
        return _TYPES.get(self.kind, _OTHER)[1]

    @property
    def vendor(self) -> str:
        return "百度" if "ernie" in self.name.lower() or self.name.startswith("Qianfan") else "第三方"

    @property
    def context(self) -> str:
        found = _CONTEXT.search(self.name)
        return found[1].upper() if found else ""

    @property
    def languages(self) -> tuple[str, ...]:
        return ("中文", "英文") if self.vendor == "百度" or "Chinese" in self.name else ("英文",)

    @property
    def expansion(self) -> tuple[str, ...]:
        """How it can be trained further."""
        entry = catalogue.model_named(self.name)
        return tuple(catalogue.modes_of(entry)) if entry else ()


@cache
def presets() -> tuple[Preset, ...]:
    """All of them, in the order of the table."""
    found = [(kind, name, at) for kind, models in catalogue.preset_endpoints().items() for name, at in models.items()]
    return tuple(Preset(name, _FIRST_SET + place, kind, at) for place, (kind, name, at) in enumerate(found))


def preset_sets() -> list[Preset]:
    """One of each name: some models answer under several kinds of service."""
    return list({preset.name: preset for preset in reversed(presets())}.values())[::-1]


def preset_set(key: JSON) -> Preset | None:
    """The one whose set a call names, by id, number or name."""
    return _named(key, {name: one for one in preset_sets() for name in (one.set_id, str(one.number), one.name)})


def preset_version(key: JSON) -> Preset | None:
    """The one whose version a call names, by id or number."""
    return _named(key, {name: one for one in preset_sets() for name in (one.model_id, str(one.version_number))})


def _named(key: JSON, by_name: Mapping[str, Preset]) -> Preset | None:
    return by_name.get(str(key)) if isinstance(key, (str, int)) and not isinstance(key, bool) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

"""What whoever starts an emulator decides about its engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from qianfan.engines.backend import ENGINES
from qianfan.errors import InvalidArgumentError

SCRIPTED = "scripted"
"""Trains nothing; see `qianfan.emulator.scripted`."""


@dataclass(frozen=True)
class EngineOptions:
    """engine: "tiny", "hf", "command" or "scripted".

    base: folders of pretrained models by the platform's model name; "" is for all that are not named.
    strict: use hyper-parameters as they are asked for, also where a model from scratch learns nothing with them.
    command: the outside trainer of the engine "command", as arguments, `{config}` standing for its configuration file.
    serve_at: OpenAI-style addresses by the platform's model name, "" for all others: services of models trained from
        these ask there instead of a process of the emulator's. `#name` at the end names the model to ask for.
    at_once: trainings that run at the same time; the others are Waiting.
    silence: seconds without a sign of life after which a training is given up.
    grace: seconds that a training has to end in when it is stopped, before it is ended by signal and then killed.
    idle: seconds without a question after which a model's process ends; the next question starts it again.
    """

    engine: str = "tiny"
    base: Mapping[str, Path] = field(default_factory=dict)
    strict: bool = False
    command: tuple[str, ...] = ()
    serve_at: Mapping[str, str] = field(default_factory=dict)
    at_once: int = 1
    silence: float = 60.0
    grace: float = 5.0
    idle: float = 300.0

    def __post_init__(self) -> None:
        if self.engine not in (*ENGINES, SCRIPTED):
            names = ", ".join(map(repr, (*ENGINES, SCRIPTED)))
            raise InvalidArgumentError(f"engine is {self.engine!r}; this version has {names}")
        if self.base and self.engine not in ("hf", "command"):
            raise InvalidArgumentError(f"engine {self.engine!r} trains from scratch; base models need engine='hf'")
        for name, folder in self.base.items():
            if not folder.is_dir():
                raise InvalidArgumentError(f"the base of {name or 'all models'} is {str(folder)!r}, which is no folder")
        if (self.engine == "command") != bool(self.command):
            raise InvalidArgumentError("engine='command' and command=[…] belong together: give both or neither")
        for name, address in self.serve_at.items():
            if not address.startswith(("http://", "https://")):
                raise InvalidArgumentError(f"the address of {name or 'all models'} is {address!r}; it begins with http")
            if urlsplit(address).username is not None:
                raise InvalidArgumentError(
                    f"the address of {name or 'all models'} holds a user or a password; put the key into the "
                    "environment variable OPENAI_API_KEY"
                )
        if self.at_once < 1:
            raise InvalidArgumentError(f"at_once is {self.at_once}; at least one training runs")

    def base_of(self, model: str) -> Path | None:
        """The folder of the pretrained model that stands for one of the platform's."""
        return self.base.get(model, self.base.get(""))

    def address_of(self, model: str) -> str | None:
        """Where services of a model ask, None for a process of the emulator's own."""
        return self.serve_at.get(model, self.serve_at.get(""))


def engine_options(
    engine: str | None = None,
    *,
    base: str | Path | Mapping[str, str | Path] | None = None,
    strict: bool = False,
    command: Sequence[str] = (),
    serve_at: str | Mapping[str, str] | None = None,
    at_once: int = 1,
    silence: float = 60.0,
    idle: float = 300.0,
) -> EngineOptions:
    """Options as users give them. engine: left out, it is "hf" where a base is given, "command" where a command is,
    else "tiny". base, serve_at: one for all models, or by name.

    Raises InvalidArgumentError for what does not go together.
    """
    bases = {"": base} if isinstance(base, (str, Path)) else base or {}
    addresses = {"": serve_at} if isinstance(serve_at, str) else serve_at or {}
    return EngineOptions(
        engine=engine or ("command" if command else "hf" if bases else "tiny"),
        base={name: Path(folder).expanduser().resolve() for name, folder in bases.items()},
        strict=strict,
        command=tuple(command),
        serve_at=dict(addresses),
        at_once=at_once,
        silence=silence,
        idle=idle,
    )

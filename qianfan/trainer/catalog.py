"""The models that can be trained, by the names users know, with the limits of their hyper-parameters.

A table ships with the package, so that defaults and checks work without a network. The platform's own list, where it
was asked for, replaces the entries it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from qianfan._strict import nearest
from qianfan.errors import ValidationError
from qianfan.resources.console.consts import PeftType, TrainMode
from qianfan.trainer.limits import BUILT_IN, SERVER, Limit, Problem, TrainLimit
from qianfan.utils.logging import logger

if TYPE_CHECKING:
    from qianfan.trainer.configs import TrainConfig

ESSENTIALS = ("epoch", "learning_rate", "batch_size", "max_seq_len")
"""What a training run is described by: filled in and sent even if the user left it out, where the model has it."""

SHORT_NAME_LENGTH = 14
"""Job names have at most 20 characters, and something must tell two jobs of one model apart."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a user's name for a model means today.

    given: the user's name; send: the name the platform takes now.
    known: whether the table or the platform lists it; an unknown name is sent as it is, and the platform decides.
    note: one sentence for the log when the name was replaced or is not known.
    """

    given: str
    send: str
    known: bool
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model as one kind of training sees it.

    support_peft_types: the ways to train it; a way this release has no name for is a plain string.
    common_params_limit: limits that hold for all of these ways; specific_peft_types_params_limit: the others, by way.
    deprecated: whether a newer name should be used.
    """

    model: str
    short_name: str
    base_model_type: str
    support_peft_types: tuple[PeftType | str, ...]
    common_params_limit: TrainLimit
    specific_peft_types_params_limit: Mapping[PeftType | str, TrainLimit]
    model_type: str = "text2text"
    deprecated: bool = False

    def limits(self, peft_type: PeftType | str) -> TrainLimit:
        """All limits for one way of training."""
        return self.common_params_limit | self.specific_peft_types_params_limit.get(peft_type, {})


@dataclass(frozen=True, slots=True)
class TrainableModel:
    """One model of the list: train mode -> parameter scale -> limits."""

    name: str
    base_model: str
    model_type: str
    modes: Mapping[str, Mapping[str, TrainLimit]]
    source: str


@dataclass(frozen=True, slots=True)
class _OlderNames:
    """Names that models once had, and the defaults documented for them.

    renamed: older name -> today's names, best first.
    """

    renamed: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


class Catalog:
    """The models that can be trained. Immutable: a newer list makes a new catalogue.

    Methods take the user's own name for a model, old or new.
    """

    def __init__(self, models: Iterable[TrainableModel], older: _OlderNames | None = None) -> None:
        self._models = {model.name: model for model in models}
        self._older = older or _OlderNames()

    @classmethod
    def builtin(cls) -> Catalog:
        """The table that ships with the package."""
        return _builtin()

    @classmethod
    def from_server(cls, answer: Iterable[Any]) -> Catalog:
        """The platform's list of supported models, over the built-in table for models it does not list.

        answer: the list as it came, or as models that dump to it by alias.
        Unknown fields are ignored, unknown ways to train are kept, and entries without a name are skipped.
        """
        builtin = _builtin()
        entries = [entry.model_dump(by_alias=True) if isinstance(entry, BaseModel) else entry for entry in answer]
        listed = _read_models(entries, SERVER)
        return cls({**builtin._models, **listed}.values(), builtin._older)

    # --- names ---------------------------------------------------------------------------------------------------

    def resolve(self, train_type: str) -> Resolution:
        """What a user's name for a model means today."""
        if train_type in self._models:
            return Resolution(train_type, train_type, known=True)
        candidates = self._older.renamed.get(train_type)
        if candidates is None:
            return Resolution(train_type, train_type, known=False, note=self._note_on_unknown(train_type))
        current = self._best(candidates)
        note = f"{train_type!r} is called {current!r} on the platform now and is sent under that name"
        return Resolution(train_type, current, known=current in self._models, note=note)

    def _best(self, candidates: list[str]) -> str:
        """The first name that the platform lists; failing that, the first the table lists."""
        listed = [name for name in candidates if name in self._models]
        from_server = [name for name in listed if self._models[name].source == SERVER]
        return [*from_server, *listed, *candidates][0]

    def _note_on_unknown(self, train_type: str) -> str:
        close = nearest(train_type, [*self._models, *self._older.renamed])
        hint = f" (similar: {close!r})" if close else ""
        return f"model {train_type!r} is not in the list of known models{hint}; it is sent as given"

    def names(self, mode: TrainMode | str = TrainMode.SFT) -> list[str]:
        """All names that can be used for a kind of training, the older ones too."""
        listed = [name for name, model in self._models.items() if mode in model.modes]
        return listed + [name for name in self._older.renamed if name not in listed and self._scales(name, mode)]

    def info(self, model: str, mode: TrainMode | str = TrainMode.SFT) -> ModelInfo | None:
        """What is known about a model for one kind of training, or None."""
        entry, scales = self._find(model), self._scales(model, mode)
        if entry is None or not scales:
            return None
        first, *others = scales.values()
        common = {name: limit for name, limit in first.items() if all(other.get(name) == limit for other in others)}
        specific: dict[PeftType | str, TrainLimit] = {
            _scale(scale): TrainLimit({k: v for k, v in limits.items() if k not in common}, source=entry.source)
            for scale, limits in scales.items()
        }
        return ModelInfo(
            model=entry.name,
            short_name=entry.name[:SHORT_NAME_LENGTH].rstrip("-_."),
            base_model_type=entry.base_model,
            support_peft_types=tuple(specific),
            common_params_limit=TrainLimit(common, source=entry.source),
            specific_peft_types_params_limit=specific,
            model_type=entry.model_type,
            deprecated=model != entry.name,
        )

    def _find(self, model: str) -> TrainableModel | None:
        return self._models.get(self.resolve(model).send)

    def _scales(self, model: str, mode: TrainMode | str) -> Mapping[str, TrainLimit]:
        entry = self._find(model)
        return entry.modes.get(mode, {}) if entry else {}

    # --- defaults --------------------------------------------------------------------------------------------------

    def default_scale(self, model: str, mode: TrainMode | str = TrainMode.SFT) -> PeftType | str | None:
        """How a model is trained when the user does not say: LoRA where it can be, since full training is dearer.

        None for a model nothing is known about; the platform decides then.
        """
        scales = self._scales(model, mode)
        documented = self._older.defaults.get(model, {}).get("peft_type")
        if PeftType.LoRA in scales:
            return PeftType.LoRA
        if documented and (documented in scales or not scales):
            return _scale(documented)
        return _scale(next(iter(scales))) if scales else None

    def default_values(
        self, model: str, mode: TrainMode | str = TrainMode.SFT, scale: PeftType | str | None = None
    ) -> dict[str, Any]:
        """The essential hyper-parameters of a model and their defaults, by field name."""
        scale = scale or self.default_scale(model, mode)
        limits = self._scales(model, mode).get(scale or "", TrainLimit())
        values = {name: limits[name].default for name in ESSENTIALS if name in limits}
        documented = self._older.defaults.get(model, {})
        if mode == TrainMode.SFT and documented.get("peft_type") == scale:
            # The platform's limits may have moved since; its own default is always inside them.
            values |= {k: v for k, v in documented.items() if k in limits and limits[k].allows(v)}
        return values

    def complete(self, config: TrainConfig, model: str, mode: TrainMode | str = TrainMode.SFT) -> TrainConfig:
        """A copy of the configuration with the essentials filled in; the user's own values stay."""
        scale = config.peft_type or self.default_scale(model, mode)
        missing = {
            name: value
            for name, value in self.default_values(model, mode, scale).items()
            if getattr(config, name) is None and value is not None
        }
        return config.model_copy(update={**missing, "peft_type": scale})

    # --- checks ------------------------------------------------------------------------------------------------------

    def check(
        self,
        config: TrainConfig,
        model: str,
        mode: TrainMode | str = TrainMode.SFT,
        scale: PeftType | str | None = None,
    ) -> list[Problem]:
        """Everything in a configuration that a model cannot be trained with; nothing for an unknown model.

        `extras` are not looked at: they are the way to send what this release does not know.
        """
        entry = self._find(model)
        if entry is None:
            return []
        scales = entry.modes.get(mode)
        if not scales:
            advice = f"it cannot be trained with {_text(mode)}, only with {', '.join(entry.modes)}"
            return [Problem("train_type", model, "unknown", advice, entry.source)]
        scale = scale or config.peft_type or self.default_scale(model, mode)
        limits = scales.get(scale or "")
        if limits is not None:
            owner = f"{entry.name} with {_text(scale)}"
            return [
                _point_elsewhere(problem, scales, owner) for problem in limits.problems(config.values(), owner=owner)
            ]
        wrong_scale = Problem("peft_type", _text(scale), "limit", f"one of {', '.join(scales)}", entry.source)
        return [wrong_scale, *_union(scales.values()).problems(config.values(), owner=entry.name)]


def enforce(problems: Iterable[Problem], *, model: str, strict: bool = True) -> None:
    """Refuse a configuration, or log what looks wrong with it.

    Parameters that a model does not have and limits that the platform gave are errors; limits of the built-in table
    may be out of date, so breaking one is a warning. With strict=False everything is a warning.

    Raises ValidationError with all problems, the warnings too.
    """
    found = list(problems)
    if strict and any(problem.kind == "unknown" or problem.source == SERVER for problem in found):
        raise ValidationError(f"{model} cannot be trained with this configuration", [str(p) for p in found])
    for problem in found:
        logger.warning("training %s: %s", model, problem)


@lru_cache(maxsize=1)
def _builtin() -> Catalog:
    folder = files("qianfan.trainer") / "data"
    models = json.loads((folder / "models.json").read_text(encoding="utf-8"))
    older = json.loads((folder / "older_names.json").read_text(encoding="utf-8"))
    return Catalog(_read_models(models, BUILT_IN).values(), _OlderNames(older["renamed"], older["defaults"]))


def _read_models(answer: Iterable[Any], source: str) -> dict[str, TrainableModel]:
    models: dict[str, TrainableModel] = {}
    for entry in answer:
        if not isinstance(entry, Mapping) or not entry.get("model"):
            logger.debug("an entry without a model name in the list of models is skipped: %r", entry)
            continue
        model = TrainableModel(
            name=str(entry["model"]),
            base_model=str(entry.get("baseModel") or entry["model"]),
            model_type=str(entry.get("modelType") or "text2text"),
            modes=_read_modes(entry, source),
            source=source,
        )
        models[model.name] = model
    return models


def _read_modes(entry: Mapping[str, Any], source: str) -> dict[str, dict[str, TrainLimit]]:
    modes: dict[str, dict[str, TrainLimit]] = {}
    for mode in _objects(entry.get("supportTrainMode")):
        scales = modes.setdefault(str(mode.get("trainMode")), {})
        for scale in _objects(mode.get("supportParameterScale")):
            # The platform's list can hold a scale twice; the later entry counts.
            scales[str(scale.get("parameterScale"))] = _read_limits(scale, source)
    return modes


def _read_limits(scale: Mapping[str, Any], source: str) -> TrainLimit:
    entries = [entry for entry in _objects(scale.get("supportHyperParameterConfig")) if entry.get("key")]
    limits = [Limit.from_wire(entry) for entry in entries]
    return TrainLimit({limit.field: limit for limit in limits}, source=source)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in what should be a list of objects."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _point_elsewhere(problem: Problem, scales: Mapping[str, TrainLimit], owner: str) -> Problem:
    """The same problem; where another way of training has the parameter, that way is named."""
    others = [scale for scale, limits in scales.items() if problem.field in limits]
    if problem.kind != "unknown" or not others:
        return problem
    return replace(problem, allowed=f"{owner} has no such parameter, only {' and '.join(others)} has")


def _union(several: Iterable[TrainLimit]) -> TrainLimit:
    merged = TrainLimit()
    for limits in several:
        merged = TrainLimit({**merged, **limits}, source=limits.source)
    return merged


def _scale(value: str) -> PeftType | str:
    """A parameter scale as the enum knows it, or as the platform spelled it."""
    try:
        return PeftType(value)
    except ValueError:
        return value


def _text(value: Any) -> str:
    return str(value.value) if isinstance(value, (PeftType, TrainMode)) else str(value)

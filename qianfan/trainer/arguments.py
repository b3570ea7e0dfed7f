"""What a user may give to a trainer, made into what the trainer works with, and back into plain JSON."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from qianfan._strict import StrictModel, suggestion
from qianfan.errors import InvalidArgumentError, UnknownArgumentError
from qianfan.evaluation.stored import revived
from qianfan.model import DeployConfig, Model
from qianfan.resources.console.consts import DataTemplateType, PeftType
from qianfan.trainer.configs import CorpusConfig, DatasetConfig, ResourceConfig, TrainConfig
from qianfan.trainer.loading import reference_of

TrainConfigLike: TypeAlias = TrainConfig | Mapping[str, Any] | str | Path
"""A configuration, a dictionary of its fields, or a `.yaml` or `.json` file that holds one."""

DeployConfigLike: TypeAlias = DeployConfig | Mapping[str, Any]


_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def checked_id(id: str) -> str:
    """The id of a trainer, if it can be one. Raises InvalidArgumentError."""
    if not _SAFE_ID.fullmatch(id):
        raise InvalidArgumentError(f"{id!r} is no trainer id: 1 to 64 letters, digits, '-' and '_'; see trainer list")
    return id


def refuse_unknown(unknown: Mapping[str, Any], name: str, constructor: Callable[..., Any]) -> None:
    """Refuse keywords that a constructor does not have, with the nearest one that it has."""
    if not unknown:
        return
    given = next(iter(unknown))
    known = [*inspect.signature(constructor).parameters][1:-1]
    raise UnknownArgumentError(f"{name} has no argument {given!r}; {suggestion(given, known)}")


def previous_task(trainer: Any, task_id: str | None, model: Model | str | None) -> str | None:
    """The task to go on from, however it was named."""
    if task_id is not None:
        return task_id
    if trainer is not None:
        found = trainer.made_so_far.get("task_id")
        if found is None:
            raise InvalidArgumentError(f"previous_trainer {trainer!r} has no finished training to go on from")
        return str(found)
    if isinstance(model, Model):
        if model.task_id is None:
            raise InvalidArgumentError(f"{model!r} does not say which task it comes from; auto_complete_info() asks")
        return str(model.task_id)
    if isinstance(model, str):
        raise InvalidArgumentError("previous_model must be a Model; write Model(id=...).auto_complete_info()")
    return None


def train_config_of(given: TrainConfigLike | None) -> TrainConfig:
    if given is None:
        return TrainConfig()
    if isinstance(given, TrainConfig):
        return given
    return TrainConfig(**given) if isinstance(given, Mapping) else TrainConfig.load(given)


def deploy_config_of(given: DeployConfigLike | None) -> DeployConfig | None:
    return DeployConfig(**given) if isinstance(given, Mapping) else given


def peft_type_of(given: PeftType | str | None) -> PeftType | str | None:
    return TrainConfig(peft_type=given).peft_type if given is not None else None


def with_sampling(data: Any, rate: float | None, corpus: Mapping[str, Any]) -> Any:
    """The dataset with what newer documentation also takes beside it."""
    given: dict[str, Any] = {k: v for k, v in {"sampling_rate": rate, **corpus}.items() if v is not None}
    if not given:
        return data
    if isinstance(data, DatasetConfig):
        raise InvalidArgumentError(f"{', '.join(given)} belong into the DatasetConfig when there is one")
    return DatasetConfig(datasets=[*data] if isinstance(data, (list, tuple)) else [data], **given)


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A trainer's arguments as JSON values."""
    return {name: _plain(value) for name, value in arguments.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, StrictModel) and not isinstance(value, DatasetConfig):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value if isinstance(value, (str, int, float, bool)) else reference_of(value)


def revived_arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A trainer's arguments from JSON values."""
    arguments = dict(spec)
    for name, model in (("corpus_config", CorpusConfig), ("resource_config", ResourceConfig)):
        if name in arguments:
            arguments[name] = model(**arguments[name])
    if "dataset_template" in arguments:
        arguments["dataset_template"] = DataTemplateType(arguments["dataset_template"])
    if isinstance(arguments.get("dataset"), Mapping):
        arguments["dataset"] = DatasetConfig(**arguments["dataset"])
    if "evaluators" in arguments:
        arguments["evaluators"] = [revived(kept) for kept in arguments["evaluators"]]
    return arguments

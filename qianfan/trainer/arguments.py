"""What a user may give to a trainer, made into what the trainer works with, and back into plain JSON."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from qianfan._strict import StrictModel, suggestion
from qianfan.errors import InvalidArgumentError, UnknownArgumentError
from qianfan.evaluation.stored import revived
from qianfan.model import DeployConfig, Model
from qianfan.resources.console.consts import DataTemplateType, PeftType
from qianfan.trainer.configs import CorpusConfig, DatasetConfig, ResourceConfig, TrainConfig
from qianfan.trainer.gate import DeployIf, kept_gate_rule
from qianfan.trainer.kept_actions import made_actions
from qianfan.trainer.loading import reference_of

TrainConfigLike: TypeAlias = TrainConfig | Mapping[str, Any] | str | Path
"""A configuration, a dictionary of its fields, or a `.yaml` or `.json` file that holds one."""

DeployConfigLike: TypeAlias = DeployConfig | Mapping[str, Any]

Configured = TypeVar("Configured", bound=StrictModel)


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


@dataclass(frozen=True, slots=True)
class Base:
    """The training to go on from: its task, or a model whose task is asked for when the run begins."""

    task_id: str | None = None
    model_id: str | None = None
    train_type: str | None = None

    def __bool__(self) -> bool:
        return self.task_id is not None or self.model_id is not None


def base_of(trainer: Any, task_id: str | int | None, model: Model | str | int | None) -> Base:
    """The training to go on from, however it was named. Raises InvalidArgumentError when there is none."""
    named = {"previous_trainer": trainer, "previous_task_id": task_id, "previous_model": model}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise InvalidArgumentError(f"{' and '.join(given)} are both given; name the training to go on from once")
    if task_id is not None:
        return Base(str(task_id))
    if trainer is not None:
        return _base_in(trainer)
    if isinstance(model, Model):
        if model.task_id is not None:
            return Base(str(model.task_id))
        model = model.id if model.id is not None else model.set_id
        if model is None:
            raise InvalidArgumentError("previous_model has neither an id nor a task to go on from")
    if model is not None and not isinstance(model, (str, int)):
        raise InvalidArgumentError(f"previous_model must be a Model or its id, not {model!r}")
    return Base(model_id=str(model)) if model is not None else Base()


def _base_in(trainer: Any) -> Base:
    if not hasattr(trainer, "made_so_far"):
        raise InvalidArgumentError(
            f"previous_trainer must be a trainer, not {trainer!r}; LLMFinetune.load(id) gives one of an earlier process"
        )
    done = trainer.made_so_far.get("task_id")
    if done is not None:
        return Base(str(done), train_type=trainer.train_type)
    begun = trainer.info()["task_id"]
    if begun is None:
        raise InvalidArgumentError(f"previous_trainer {trainer!r} has not trained yet; run() it first")
    raise InvalidArgumentError(
        f"previous_trainer {trainer!r} has not come to the end of its training {begun}; wait for it, or resume() it"
    )


def train_config_of(given: TrainConfigLike | None) -> TrainConfig:
    if given is None:
        return TrainConfig()
    if isinstance(given, TrainConfig):
        return given
    return TrainConfig(**given) if isinstance(given, Mapping) else TrainConfig.load(given)


def made_of(model: type[Configured], given: Any) -> Configured | None:
    """A configuration, or one made of a dictionary of its fields."""
    return model(**given) if isinstance(given, Mapping) else given


def deploy_config_of(given: DeployConfigLike | None) -> DeployConfig | None:
    return DeployConfig(**given) if isinstance(given, Mapping) else given


def peft_type_of(given: PeftType | str | None) -> PeftType | str | None:
    return TrainConfig(peft_type=given).peft_type if given is not None else None


def with_beside(data: Any, **beside: Any) -> Any:
    """The dataset with what newer documentation also takes beside it: those fields of a DatasetConfig.

    Raises InvalidArgumentError where a DatasetConfig says something else.
    """
    given = {name: value for name, value in beside.items() if value is not None}
    if not given:
        return data
    if not isinstance(data, DatasetConfig):
        return DatasetConfig(datasets=[*data] if isinstance(data, (list, tuple)) else [data], **given)
    own = {name: getattr(data, name) for name in data.model_fields_set}
    for name, value in given.items():
        if own.get(name) not in (None, value):
            raise InvalidArgumentError(f"{name}={value!r} contradicts the {name}={own[name]!r} of the DatasetConfig")
    return DatasetConfig(**{**own, **given})


def one_corpus(corpus_config: Any, data: Any) -> None:
    """Refuse corpora that are named in two places, of which only one would be sent."""
    if corpus_config is not None and isinstance(data, DatasetConfig) and data.corpus_type is not None:
        raise InvalidArgumentError("corpus_config and corpus_type both name corpora; put all of them into one")


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


def revived_arguments(spec: Mapping[str, Any], deploy_if: DeployIf | None = None) -> dict[str, Any]:
    """A trainer's arguments from JSON values. deploy_if: the function, where it may not be found in this process."""
    arguments = dict(spec)
    for name, model in (("corpus_config", CorpusConfig), ("resource_config", ResourceConfig)):
        if name in arguments:
            arguments[name] = model(**arguments[name])
    if "dataset_template" in arguments:
        arguments["dataset_template"] = DataTemplateType(arguments["dataset_template"])
    if isinstance(arguments.get("dataset"), Mapping):
        arguments["dataset"] = DatasetConfig(**arguments["dataset"])
    if "deploy_if" in arguments:
        arguments["deploy_if"] = kept_gate_rule(arguments["deploy_if"], deploy_if)
    elif deploy_if is not None:
        raise InvalidArgumentError("deploy_if is given, but the trainer deploys whatever comes out")
    if "post_actions" in arguments:
        arguments["post_actions"] = made_actions(arguments["post_actions"])
    if "evaluators" in arguments:
        arguments["evaluators"] = [revived(kept) for kept in arguments["evaluators"]]
    return arguments

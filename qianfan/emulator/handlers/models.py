"""What can be done with models, whichever generation of the API asks for it."""

from __future__ import annotations

from typing import Any

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.checks import found
from qianfan.emulator.handlers.finetuning import look_at_task
from qianfan.emulator.records import Model, ModelSet, Task
from qianfan.emulator.refusals import Problem, Refused, invalid


def model_set_of(account: Account, key: JSON, field: str = "modelSetId") -> ModelSet:
    """The model set a call names, by id or V1 number."""
    return found(account.model_sets.get(key), Problem.MODEL_SET_MISSING, field, key)


def model_of(account: Account, key: JSON, field: str = "modelId") -> Model:
    """The model version a call names, by id or V1 number."""
    return found(account.models.get(key), Problem.MODEL_MISSING, field, key)


def look_at_model(account: Account, model: Model, *, look: bool = True) -> Model:
    """Move a version's publishing on."""
    before = model.state
    account.works.look_at_publishing(model, look=look)
    if model.state != before:
        account.touch()
    return model


def set_of(account: Account, model: Model) -> ModelSet:
    """The set a version belongs to."""
    model_set = account.model_sets.get(model.model_set_id)
    assert model_set is not None, "a version does not outlive its set"
    return model_set


def add_set(account: Account, name: str, model_type: str, labels: list[str], field: str) -> ModelSet:
    """A new, empty model set; its name must not be taken."""
    if any(model_set.name == name for model_set in account.model_sets):
        raise Refused(Problem.MODEL_NAME_TAKEN, field, f"a model named {name!r} already exists")
    shelf, now = account.model_sets, account.now()
    model_set = ModelSet(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=now,
        modified=now,
        name=name,
        model_type=model_type,
        labels=labels,
    )
    account.touch()
    return shelf.add(model_set)


def check_run(account: Account, task: Task, step: JSON, field: str) -> None:
    """Refuse a training that is not done or whose output is gone, or a step it kept no checkpoint of."""
    look_at_task(account, task, look=False)
    if task.state != "Done":
        raise Refused(Problem.RUN_NOT_PUBLISHABLE, field, f"{task.id} is {task.state or 'new'}, only Done is published")
    kept = account.works.kept_steps(task)
    if not kept:
        raise Refused(Problem.OUTPUT_MISSING, field, f"{task.id} has no checkpoint left")
    if step is not None and step not in kept:
        raise invalid("step", f"{task.id} has no checkpoint at step {step!r}")


def check_set(account: Account, model_set: ModelSet, task: Task, step: JSON, field: str) -> None:
    """Refuse a training that a set holds already, whose model is of another family than the set's, or that goes into
    a set of imported models.
    """
    for model_id in model_set.model_ids:
        other = model_of(account, model_id)
        if other.source_type == "Import":
            raise Refused(Problem.SET_IS_IMPORTED, field, f"{model_set.id} holds imported models, which takes no other")
        if (other.source_type, other.task_id, other.step) == ("Train", task.id, step):
            raise Refused(Problem.ALREADY_PUBLISHED, field, f"{task.id} is already published in {model_set.id}")
        other_task = account.tasks.get(other.task_id)
        if other_task and _family(other_task) != _family(task):
            raise Refused(Problem.MODEL_TYPE_MISMATCH, field, f"{model_set.id} holds {_family(other_task)} models")


def _family(task: Task) -> str:
    entry = catalogue.model_named(task.model) or {}
    return str(entry.get("baseModel", task.model))


def add_model(account: Account, model_set: ModelSet, task: Task, *, step: int | None, description: str) -> Model:
    """A new version of a set, made of a training. Its publishing is under way at once."""
    model = add_version(account, model_set, description=description, task_id=task.id, step=step)
    account.works.start_publishing(model)
    return model


def add_version(account: Account, model_set: ModelSet, **facts: Any) -> Model:
    """A new version of a set, which nobody makes yet."""
    shelf = account.models
    model = Model(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        model_set_id=model_set.id,
        version=len(model_set.model_ids) + 1,
        **facts,
    )
    model_set.model_ids.append(model.id)
    model_set.modified = account.now()
    account.touch()
    return shelf.add(model)


def can_be_compressed(account: Account, model: Model) -> bool:
    """Whether compressing a version is offered: ready text models that are not compressed yet, in this emulator."""
    is_text = set_of(account, model).model_type == "Text2Text"
    return is_text and model.state == "Ready" and model.source_type != "Acceleration"


def remove_model(account: Account, model: Model) -> None:
    """Delete a version that no service uses."""
    _refuse_if_served(account, [model.id])
    model_set = set_of(account, model)
    model_set.model_ids.remove(model.id)
    account.models.remove(model)
    account.works.forget(model)
    account.touch()


def remove_set(account: Account, model_set: ModelSet) -> None:
    """Delete a set with its versions, if no service uses one."""
    _refuse_if_served(account, model_set.model_ids)
    for model_id in list(model_set.model_ids):
        remove_model(account, model_of(account, model_id))
    account.model_sets.remove(model_set)
    account.touch()


def _refuse_if_served(account: Account, model_ids: list[str]) -> None:
    for service in account.services:
        if service.model_id in model_ids and service.state in ("New", "Deploying", "Serving"):
            raise Refused(Problem.STATE, "modelId", f"{service.model_id} is served by {service.id}")

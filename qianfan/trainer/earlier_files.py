"""Pipeline files of the platform's earlier SDK (0.4), read into what a trainer of ours is and what is known of its run.

Such a file lists the steps, each with what it was made with and what it has made. It does not hold everything: event
handlers, the evaluation, `train_extras` and the checkpoint to go on from are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qianfan.pipeline import Phase, Row
from qianfan.pipeline._record import order_of
from qianfan.resources.console.consts import TrainMode
from qianfan.resources.purchase import token_for
from qianfan.trainer.fields import Fields
from qianfan.utils.logging import logger

_KINDS = {
    TrainMode.SFT.value: "LLMFinetune",
    TrainMode.PostPretrain.value: "PostPreTrain",
    TrainMode.DPO.value: "DPO",
    TrainMode.KTO.value: "KTO",
}
_CASES = {"Finetune": "LLMFinetune", "LLMFinetune": "LLMFinetune", "PostPreTrain": "PostPreTrain", "DPO": "DPO"}


def is_earlier(content: Any) -> bool:
    """Whether a file is one of these."""
    return isinstance(content, dict) and "actions" in content and "format" not in content


def trainer_of_earlier(content: Any, file: str) -> tuple[dict[str, Any], dict[str, Row]]:
    """What the trainer is, and what is known of its run: orders that were placed are not placed again.

    Raises TrainerFileError that names the place of what cannot be read.
    """
    fields = Fields(file, "", content)
    fields.ignore("current_action", "process_id", "name", "type")
    reader = _Reader(fields.get("id", str))
    for step in fields.each("actions"):
        reader.read(step)
    case = fields.inside("case_init_params", optional=True)
    case_type = case.get("case_type", str, None)
    kind = reader.kind(fields)
    if case_type is not None and _CASES.get(case_type) != kind:
        raise case.error("case_type", f"{case_type!r} does not go together with a training that a {kind} does")
    case.end()
    fields.end()
    spec = {
        "kind": kind,
        "name": reader.arguments.get("name", ""),
        "train_type": reader.arguments.get("train_type"),
        "arguments": reader.arguments,
    }
    return spec, reader.rows


class _Reader:
    """The steps of one file, made into a trainer's arguments and rows."""

    def __init__(self, id: str) -> None:
        self.arguments: dict[str, Any] = {"id": id, "model_not_publish": True}
        self.rows: dict[str, Row] = {}
        self._id = id
        self._seen: list[str] = []
        self._mode = ""
        self._loaded: dict[str, Any] = {}

    def read(self, step: Fields) -> None:
        """One step. They come in their one order, some left out."""
        name = step.get("type", str)
        step.ignore("id", "name", "input")
        if name not in _STEPS:
            raise step.error(
                "type", f"the action {name!r} is none of qianfan's own, and the file does not say where it is defined"
            )
        if self._seen and [*_STEPS].index(name) <= [*_STEPS].index(self._seen[-1]):
            raise step.error("type", f"{name} cannot come after {self._seen[-1]}")
        self._seen.append(name)
        _STEPS[name](self, step)
        step.end()

    def kind(self, fields: Fields) -> str:
        """The trainer that does all this."""
        missing = [name for name in [*_STEPS][:2] if name not in self._seen]
        if missing:
            raise fields.error("actions", f"there is no {missing[0]}, without which nothing is trained")
        return _KINDS[self._mode]

    def _order(self, step: str, kind: str, id: str | None, **facts: Any) -> None:
        """Note what a step has ordered."""
        if id is not None:
            node = order_of(token_for(self._id, step), kind)
            self.rows[node] = Row(Phase.ACCEPTED, attempt=1, external_id=id, output=facts)

    # --- the steps ------------------------------------------------------------------------------------------

    def load(self, step: Fields) -> None:
        step.ignore("init_params")
        self._loaded = step.get("output", dict, {})
        found = step.inside("datasets")
        found.ignore("splitRatio")
        datasets, rates = [], []
        for version in found.each("versions"):
            place = version.get("versionId", str, None) or version.get("versionBosUri", str, None)
            if place is None:
                raise version.error("versionId", "is missing, and so is versionBosUri")
            version.ignore("versionId", "versionBosUri")
            datasets.append(place)
            rates.append(version.get("samplingRate", (int, float), None))
            version.end()
        if not datasets:
            raise found.error("versions", "there is no dataset to train on")
        config: dict[str, Any] = {"datasets": datasets, "source_type": found.get("sourceType", str, None)}
        if any(rate is not None for rate in rates):
            config["sampling_rates"] = [1.0 if rate is None else float(rate) for rate in rates]
        found.end()
        self.arguments["dataset"] = {name: value for name, value in config.items() if value is not None}
        split = step.get("eval_split_ratio", (int, float), None)
        if split is not None:
            self.arguments["eval_split_ratio"] = split
        self._corpus(step.inside("corpus_config", optional=True))

    def _corpus(self, corpus: Fields) -> None:
        items = [
            {
                "corpus_proportion": item.get("proportion", str),
                "corpus_type": item.get("corpusType", int),
                "corpus_labels": item.get("labels", list, None),
            }
            for item in corpus.each("config")
        ]
        copies = corpus.get("copyData", bool, False)
        corpus.end()
        if items:
            self.arguments["corpus_config"] = {"copy_data": copies, "corpus_configs": items}

    def train(self, step: Fields) -> None:
        step.ignore("progress", "vdl_link", "log_link", "output")
        made = step.inside("init_params")
        made.ignore("job_id")
        self._mode = made.get("train_mode", str)
        if self._mode not in _KINDS:
            raise made.error("train_mode", f"{self._mode!r} is not known; known are {', '.join(_KINDS)}")
        self._argue(train_type=made.get("train_type", str, None), name=made.get("job_name", str, None))
        for name in ("task_description", "job_description"):
            self._argue(**{name: made.get(name, str, None)})
        config = without_nothing(made.get("train_config", dict, {}))
        if config:
            self.arguments["train_config"] = config
        base = made.get("task_id", str, None)
        if made.get("is_incr", bool, False):
            if base is None:
                raise made.error("task_id", "is missing: the training to go on from")
            self.arguments["previous_task_id"] = base
            logger.warning("%s does not say which checkpoint to go on from; the last one is taken", step.file)
        made.end()
        self._training(step, base)

    def _training(self, step: Fields, base: str | None) -> None:
        job, task = step.get("job_id", str, None), step.get("task_id", str, None)
        begun = step.get("input", dict, None) is not None
        step.ignore("status")
        if task is None and base is not None and begun:
            # In the job of an earlier training its own task cannot be told from others.
            raise step.error(
                "task_id",
                f"is missing, although the training was begun: look into job {job!r} in the console, and wait for its "
                "task with LLMFinetune.attach(task_id), or make a new trainer if there is none",
            )
        if task is None and base is not None:
            return
        self._order("train", "job", job)
        if task is not None:
            self._order("train", "task", task)
            if "datasets" in self._loaded:
                output = {name: self._loaded.get(name) for name in ("datasets", "corpus_config")}
                self.rows[token_for(self._id, "load")] = Row(Phase.DONE, attempt=1, output=output)
        elif job is not None:
            # It may be out or not, so it is looked for before it is ordered.
            self.rows[order_of(token_for(self._id, "train"), "task")] = Row(Phase.UNCERTAIN, attempt=1)

    def publish(self, step: Fields) -> None:
        step.ignore("init_params")
        del self.arguments["model_not_publish"]
        set_id = step.inside("output", optional=True).get("model_set_id", str, None)
        self._order("publish", "model", step.get("model_id", str, None), set_id=set_id)

    def deploy(self, step: Fields) -> None:
        made = step.inside("init_params")
        self.arguments["deploy_config"] = without_nothing(made.get("deploy_config", dict))
        made.end()
        service = step.inside("output", optional=True).get("service_id", str, None)
        begun = (step.get("input", dict, None) or {}).get("model_id") is not None
        if service is None and begun:
            # The other SDK's order holds nothing that it could be found by.
            raise step.error(
                "output",
                "names no service, although the deployment may have been ordered: look in the console; if there is a "
                "service, use Service(id=...), if there is none, remove this step's input",
            )
        self._order("deploy", "service", service)

    def evaluate(self, step: Fields) -> None:
        step.ignore("init_params", "output")
        logger.warning("%s does not say what was to be evaluated; %s is left out", step.file, step.place)

    def _argue(self, **given: Any) -> None:
        self.arguments |= {name: value for name, value in given.items() if value is not None}


_STEPS: dict[str, Callable[[_Reader, Fields], None]] = {
    "LoadDataSetAction": _Reader.load,
    "TrainAction": _Reader.train,
    "ModelPublishAction": _Reader.publish,
    "DeployAction": _Reader.deploy,
    "EvaluateAction": _Reader.evaluate,
}


def without_nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was really set: not null, not empty, at any depth."""
    plain = {name: without_nothing(one) if isinstance(one, Mapping) else one for name, one in values.items()}
    return {name: one for name, one in plain.items() if one is not None and one not in ("", {})}

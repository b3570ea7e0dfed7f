"""What a user decides about a training run: hyper-parameters, data, added corpora, machines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import yaml
from pydantic import ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from qianfan._strict import StrictModel, nearest, suggestion
from qianfan.errors import InvalidArgumentError, ValidationError
from qianfan.model.configs import DeployConfig
from qianfan.resources.console.consts import CorpusType, PeftType, TrainDatasetSourceType, TrainMode
from qianfan.trainer.catalog import Catalog, ModelInfo
from qianfan.trainer.limits import TrainLimit, field_name, wire_key
from qianfan.utils.logging import logger

__all__ = [
    "CorpusConfig",
    "CorpusConfigItem",
    "DPOTrainModelInfoMapping",
    "DatasetConfig",
    "DefaultDPOTrainConfigMapping",
    "DefaultKTOTrainConfigMapping",
    "DefaultPostPretrainTrainConfigMapping",
    "DefaultTrainConfigMapping",
    "DeployConfig",
    "KTOTrainModelInfoMapping",
    "ModelInfo",
    "ModelInfoMapping",
    "PeftType",
    "PostPreTrainModelInfoMapping",
    "ResourceConfig",
    "TrainConfig",
    "TrainLimit",
    "get_default_train_config",
    "get_model_info",
    "get_trainer_model_list",
]

JsonObject: TypeAlias = dict[str, Any]

DEFAULT_SPLIT_RATIO = 20
"""Percent of the data that is kept for evaluation when the user does not say."""


class ResourceConfig(StrictModel):
    """Machines of one's own to train on."""

    resource_id: str | None = None
    """Id of a private training resource."""

    node_num: int | None = Field(default=None, ge=1)
    """How many nodes to use."""

    idle_resource: bool | None = None
    """Whether to train on off-peak capacity."""

    extras: JsonObject | None = None
    """Further fields of the request; they are merged in last and win."""

    def to_wire(self) -> JsonObject:
        """The platform's `resourceConfig`."""
        return {**_sent(self, "resource_id", "node_num", "idle_resource"), **(self.extras or {})}


# --- hyper-parameters --------------------------------------------------------------------------------------------

_ALIASES = {"epochs": "epoch", "n_epochs": "epoch", "lr": "learning_rate"}

_NOT_HYPER_PARAMETERS = frozenset({"peft_type", "trainset_rate", "resource_config", "extras"})


class TrainConfig(StrictModel):
    """Hyper-parameters of a training run. What is left out gets the model's default.

    `epochs` and `n_epochs` are other names of `epoch`, `lr` of `learning_rate`; the platform's own spelling
    (`learningRate`) works as well. Which parameters a model has, and their limits: `get_model_info`.
    """

    # Extra names are those that `tidy` let through.
    model_config = ConfigDict(extra="allow")

    epoch: int | None = Field(default=None, ge=1)
    """Passes over the data."""

    batch_size: int | None = Field(default=None, ge=1)
    """Rows per step."""

    learning_rate: float | None = Field(default=None, gt=0)
    """Size of a step."""

    max_seq_len: int | None = None
    """Longest row in tokens; the rest of a row is cut."""

    peft_type: PeftType | str | None = None
    """Which weights are trained: all, or a few added ones."""

    trainset_rate: int | None = Field(default=None, ge=0, le=100)
    """Percent of the data kept for evaluation."""

    logging_steps: int | None = None
    warmup_ratio: float | None = None
    weight_decay: float | None = None
    lora_rank: int | None = None
    lora_all_linear: str | None = None
    lora_alpha: int | None = None
    lora_dropout: float | None = None
    lora_target_modules: list[str] | None = None
    scheduler_name: str | None = None
    global_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    pseudo_sampling_prob: float | None = None
    packing: Any = None
    seed: int | None = None
    checkpoint_count: int | None = None
    checkpoint_save_strategy: str | None = None
    save_step: int | None = None
    validation_step: int | None = None
    lr_scheduler_type: str | None = None
    num_cycles: float | None = None
    lr_end: float | None = None
    power: int | None = None
    early_stopping: str | None = None
    early_stop_metric: str | None = None
    early_stopping_threshold: float | None = None
    early_stopping_patience: int | None = None
    dpo_beta: float | None = None

    resource_config: ResourceConfig | None = None
    """Machines of one's own to train on."""

    extras: JsonObject | None = None
    """Hyper-parameters in the platform's spelling that are sent unchecked; they are merged in last and win."""

    if TYPE_CHECKING:
        # At run time pydantic's own constructor does this; here the other names become visible to type checkers.
        def __init__(
            self,
            *,
            epoch: int | None = None,
            epochs: int | None = None,
            n_epochs: int | None = None,
            batch_size: int | None = None,
            learning_rate: float | None = None,
            lr: float | None = None,
            max_seq_len: int | None = None,
            peft_type: PeftType | str | None = None,
            trainset_rate: int | None = None,
            resource_config: ResourceConfig | None = None,
            extras: JsonObject | None = None,
            **hyper_parameters: Any,
        ) -> None: ...

    else:
        # Extra values are allowed at construction, after `tidy`; a misspelt assignment must not become one.
        def __setattr__(self, name: str, value: Any) -> None:
            if not name.startswith("_") and name not in self.known_names() and name not in (self.model_extra or ()):
                problem = f"unknown name {name!r}; {_advice(name, self.known_names())}"
                raise ValidationError("TrainConfig cannot be used", [problem])
            super().__setattr__(name, value)

    @classmethod
    def known_names(cls) -> set[str]:
        return {*cls.model_fields, *_ALIASES}

    @classmethod
    def tidy(cls, values: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
        """Replace other names by the fields' own; two names with different values contradict each other.

        A context `{"hyper_parameters": names}` lets further names through: those the platform's list has.
        """
        allowed = {*cls.model_fields, *context.get("hyper_parameters", ())}
        tidied: JsonObject = {}
        origin: dict[str, str] = {}
        problems: list[str] = []
        for given, value in values.items():
            name = _ALIASES.get(given, given if given in allowed else field_name(given))
            if name not in allowed:
                problems.append(f"unknown name {given!r}; {_advice(given, cls.known_names())}")
            elif value is not None and tidied.get(name) not in (None, value):
                problems.append(f"{origin[name]}={tidied[name]!r} and {given}={value!r} contradict each other")
            elif tidied.get(name) is None:
                tidied[name], origin[name] = value, given
        return tidied, problems

    @field_validator("peft_type", mode="before")
    @classmethod
    def _read_peft_type(cls, value: Any) -> Any:
        # The platform may know ways to train that this release does not, such as LoRA-GA.
        try:
            return PeftType(value)
        except ValueError:
            return value

    @field_validator("lora_all_linear", "early_stopping", mode="before")
    @classmethod
    def _word_for_a_switch(cls, value: Any) -> Any:
        # The platform wants the words "True" and "False"; a configuration file naturally has true and false.
        return str(value) if isinstance(value, bool) else value

    @property
    def epochs(self) -> int | None:
        """Another name of `epoch`."""
        return self.epoch

    @epochs.setter
    def epochs(self, value: int | None) -> None:
        self.epoch = value

    @property
    def n_epochs(self) -> int | None:
        """Another name of `epoch`."""
        return self.epoch

    @n_epochs.setter
    def n_epochs(self, value: int | None) -> None:
        self.epoch = value

    @property
    def lr(self) -> float | None:
        """Another name of `learning_rate`."""
        return self.learning_rate

    @lr.setter
    def lr(self, value: float | None) -> None:
        self.learning_rate = value

    def values(self) -> JsonObject:
        """The hyper-parameters that are set, by field name, without `extras`."""
        named = {name: getattr(self, name) for name in type(self).model_fields if name not in _NOT_HYPER_PARAMETERS}
        return {name: value for name, value in {**named, **(self.model_extra or {})}.items() if value is not None}

    def to_wire(self) -> JsonObject:
        """The platform's `hyperParameterConfig`."""
        return {**{wire_key(name): value for name, value in self.values().items()}, **(self.extras or {})}

    def validate_config(self, limit: TrainLimit) -> bool:
        """Whether all hyper-parameters are inside the limits; each one that is not is logged as a warning."""
        problems = limit.problems(self.values())
        for problem in problems:
            logger.warning("%s", problem)
        return not problems

    def dict(self, **options: Any) -> JsonObject:
        """All fields by name, those that are not set as None."""
        return self.model_dump(**options)

    @classmethod
    def load(cls, path: str | Path, **overrides: Any) -> Self:
        """Read a configuration from a `.yaml`, `.yml` or `.json` file.

        overrides: values that replace those of the file, by field name, before anything is checked.
        Raises InvalidArgumentError if there is no such file or it cannot be read, ValidationError if its content is
        not a usable configuration; both name the line where they can.
        """
        file = Path(path)
        text = _read_text(file)
        content = _parse(file, text)
        if not isinstance(content, Mapping):
            raise InvalidArgumentError(f"{file}: expected names and values at the top, found {_kind(content)}")
        kept = {name: value for name, value in content.items() if _field_meant_by(str(name)) not in overrides}
        try:
            return cls.model_validate({**kept, **overrides})
        except ValidationError as error:
            problems = [f"{_line_of(problem, text)}{problem}" for problem in error.problems]
            raise ValidationError(f"{file} is not a usable configuration", problems) from error


def _field_meant_by(given: str) -> str:
    """The field's own name, from another name of it or from the platform's spelling."""
    return _ALIASES.get(given) or field_name(given)


def _advice(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if nearest(name, names):
        return suggestion(name, names)
    return "put a hyper-parameter that this release does not know into extras={...}"


# --- configuration files -------------------------------------------------------------------------------------------


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"{file} is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from error
    except OSError as error:
        raise InvalidArgumentError(f"{file} cannot be read: {error.strerror or error}") from error


def _parse(file: Path, text: str) -> Any:
    if file.suffix in (".yaml", ".yml"):
        return _parse_yaml(file, text)
    if file.suffix == ".json":
        return _parse_json(file, text)
    raise InvalidArgumentError(f"{file}: a configuration is a .yaml, .yml or .json file, not {file.suffix!r}")


def _parse_yaml(file: Path, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(file)
        raise InvalidArgumentError(f"{place}: not valid YAML: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise InvalidArgumentError(f"{file}: not valid YAML: {error}") from error


def _parse_json(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidArgumentError(
            f"{file}, line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}"
        ) from error


def _line_of(problem: str, text: str) -> str:
    """`line 3: ` for a problem that begins with, or quotes, a name that stands in the file; else nothing."""
    found = re.match(r"unknown name '([^']+)'|(\w+)", problem)
    name = found and (found[1] or found[2])
    for number, line in enumerate(text.splitlines(), start=1):
        if name and re.match(rf"""[\s{{,]*["']?{re.escape(name)}["']?\s*:""", line):
            return f"line {number}: "
    return ""


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


# --- data ------------------------------------------------------------------------------------------------------------


class CorpusConfigItem(StrictModel):
    """One corpus of the platform and how much of it is mixed into the training data."""

    corpus_proportion: str
    """`"1%"` of the corpus (Qianfan), or `"1:2"`: two corpus rows for each row of one's own (Yiyan)."""

    corpus_type: CorpusType
    """Which corpus: 1 Qianfan, 2 Yiyan general, 3 Yiyan domain."""

    corpus_labels: list[str] | None = Field(default=None, max_length=5)
    """Domains of the Yiyan domain corpus, at most five."""

    @field_validator("corpus_proportion", mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(r"\d+(\.\d+)?%|1:\d+(\.\d+)?", value):
            raise ValueError(f"must look like '1%' or '1:2', not {value!r}")
        return value

    @model_validator(mode="after")
    def _fits_the_corpus(self) -> Self:
        problems: list[str] = []
        in_percent = self.corpus_proportion.endswith("%")
        if in_percent is not (self.corpus_type is CorpusType.Qianfan):
            form = "a percentage such as '1%'" if not in_percent else "a ratio such as '1:2'"
            problems.append(f"corpus_proportion of corpus {self.corpus_type.value} must be {form}")
        if self.corpus_labels and self.corpus_type is not CorpusType.YiyanDomain:
            problems.append(f"corpus_labels belong to corpus 3, not to corpus {self.corpus_type.value}")
        if problems:
            raise ValidationError("CorpusConfigItem cannot be used", problems)
        return self

    def to_wire(self) -> JsonObject:
        """One entry of the platform's `corpusConfig.config`."""
        entry: JsonObject = {"corpusType": self.corpus_type.value, "proportion": self.corpus_proportion}
        return {**entry, "labels": self.corpus_labels} if self.corpus_labels else entry


class CorpusConfig(StrictModel):
    """Texts of the platform to mix into the training data."""

    copy_data: bool = False
    """Whether corpus rows are repeated when the corpus is too small. `data_copy` is another name."""

    corpus_configs: list[CorpusConfigItem] = Field(default_factory=list[CorpusConfigItem])
    """The corpora. Qianfan's own cannot be combined with the others."""

    @classmethod
    def known_names(cls) -> set[str]:
        return {*cls.model_fields, "data_copy"}

    @classmethod
    def tidy(cls, values: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
        if "data_copy" not in values:
            return values, []
        tidied = dict(values)
        other = tidied.pop("data_copy")
        if tidied.setdefault("copy_data", other) != other:
            return tidied, [f"copy_data={tidied['copy_data']!r} and data_copy={other!r} contradict each other"]
        return tidied, []

    @model_validator(mode="after")
    def _corpora_agree(self) -> Self:
        types = {item.corpus_type for item in self.corpus_configs}
        if CorpusType.Qianfan in types and len(types) > 1:
            raise ValidationError("CorpusConfig cannot be used", ["corpus 1 cannot be combined with corpora 2 and 3"])
        return self

    def to_wire(self) -> JsonObject:
        """The platform's `corpusConfig`."""
        return {"copyData": self.copy_data, "config": [item.to_wire() for item in self.corpus_configs]}


class DatasetConfig(StrictModel):
    """The data of a training run: one or more datasets, and how they are mixed."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    datasets: list[Any] = Field(default_factory=list[Any])
    """Datasets: `Dataset` objects, ids (`ds-…`), or paths in object storage (`bos:/bucket/file`)."""

    sampling_rates: list[float] | None = None
    """How often each dataset is drawn from, 0.01 to 10, in the order of `datasets`."""

    sampling_rate: float | None = None
    """The same rate for all datasets."""

    eval_split_ratio: float | None = Field(default=None, ge=0, le=100)
    """Percent of the data kept for evaluation; 20 when left out."""

    source_type: TrainDatasetSourceType | None = None
    """Where the data are; found out from `datasets` when left out."""

    corpus_proportion: str | None = None
    """With `corpus_type` and `corpus_labels`: one corpus to mix in, as in `CorpusConfigItem`."""

    corpus_type: CorpusType | None = None
    corpus_labels: list[str] | None = None

    @field_validator("sampling_rates", "sampling_rate")
    @classmethod
    def _drawable(cls, value: list[float] | float | None) -> list[float] | float | None:
        rates = value if isinstance(value, list) else [] if value is None else [value]
        if wrong := [rate for rate in rates if not 0.01 <= rate <= 10]:
            raise ValueError(f"a sampling rate must be 0.01 to 10, not {', '.join(map(str, wrong))}")
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        problems: list[str] = []
        if self.sampling_rates is not None and self.sampling_rate is not None:
            problems.append("sampling_rates and sampling_rate are both given; keep one")
        if self.sampling_rates is not None and len(self.sampling_rates) != len(self.datasets):
            problems.append(f"{len(self.sampling_rates)} sampling_rates for {len(self.datasets)} datasets")
        if (self.corpus_proportion is None) is not (self.corpus_type is None):
            problems.append("corpus_proportion and corpus_type belong together; give both or neither")
        if self.corpus_labels and self.corpus_type is None:
            problems.append("corpus_labels belong to a corpus_type, which is not given")
        if problems:
            raise ValidationError("DatasetConfig cannot be used", problems)
        return self

    def corpus_config(self) -> CorpusConfig | None:
        """The corpus to mix in, if one was named here."""
        if self.corpus_proportion is None or self.corpus_type is None:
            return None
        item = CorpusConfigItem(
            corpus_proportion=self.corpus_proportion, corpus_type=self.corpus_type, corpus_labels=self.corpus_labels
        )
        return CorpusConfig(corpus_configs=[item])

    def to_wire(self, sources: Sequence[str] | None = None, *, split_ratio: float | None = None) -> JsonObject:
        """The platform's `datasetConfig`.

        sources: for each dataset its `ds-…` id or its path in object storage; `datasets` itself when left out.
        split_ratio: percent kept for evaluation, where `eval_split_ratio` does not say.

        Raises ValidationError if the data come from several kinds of places, or there are none.
        """
        places = [str(source) for source in (self.datasets if sources is None else sources)]
        source_type = self._source_type(places)
        rates: Sequence[float | None] = self.sampling_rates or [self.sampling_rate] * len(places)
        ratio = self.eval_split_ratio if self.eval_split_ratio is not None else split_ratio
        return {
            "sourceType": source_type.value,
            "versions": [_version(source_type, place, rate) for place, rate in zip(places, rates, strict=True)],
            "splitRatio": DEFAULT_SPLIT_RATIO if ratio is None else ratio,
        }

    def _source_type(self, places: Sequence[str]) -> TrainDatasetSourceType:
        found = {_place(place) for place in places} if self.source_type is None else {self.source_type}
        if not places:
            raise ValidationError("DatasetConfig cannot be used", ["there is no dataset to train on"])
        if len(found) > 1:
            mixed = f"all data of one run must be in one kind of place, found {', '.join(map(repr, places))}"
            raise ValidationError("DatasetConfig cannot be used", [mixed])
        return found.pop()


def _place(source: str) -> TrainDatasetSourceType:
    scheme = source.partition(":/")[0] if ":/" in source else ""
    known = {"bos": TrainDatasetSourceType.PrivateBos, "afs": TrainDatasetSourceType.PrivateAfs}
    return known.get(scheme, TrainDatasetSourceType.Platform)


def _version(source_type: TrainDatasetSourceType, place: str, rate: float | None) -> JsonObject:
    if source_type is not TrainDatasetSourceType.Platform:
        return {"versionBosUri": place}
    return {"versionId": place} if rate is None else {"versionId": place, "samplingRate": rate}


def _sent(model: StrictModel, *fields: str) -> JsonObject:
    return {wire_key(name): value for name in fields if (value := getattr(model, name)) is not None}


# --- the models that can be trained --------------------------------------------------------------------------------


def get_trainer_model_list(
    train_mode: TrainMode | str = TrainMode.SFT, catalog: Catalog | None = None
) -> dict[str, ModelInfo]:
    """Every model that a kind of training has, by name, older names included.

    catalog: where to look; the built-in table when left out.
    """
    where = catalog or Catalog.builtin()
    infos = {name: where.info(name, train_mode) for name in where.names(train_mode)}
    return {name: info for name, info in infos.items() if info is not None}


def get_default_train_config(
    train_mode: TrainMode | str = TrainMode.SFT, catalog: Catalog | None = None
) -> dict[str, TrainConfig]:
    """For every model of `get_trainer_model_list`, the configuration used when the user gives none."""
    where = catalog or Catalog.builtin()
    return {name: where.complete(TrainConfig(), name, train_mode) for name in where.names(train_mode)}


def get_model_info(train_mode: TrainMode | str, model: str, catalog: Catalog | None = None) -> ModelInfo:
    """One model's limits and ways to train it.

    Raises InvalidArgumentError for a model that the catalogue does not have for this kind of training.
    """
    where = catalog or Catalog.builtin()
    info = where.info(model, train_mode)
    if info is None:
        mode = train_mode.value if isinstance(train_mode, TrainMode) else train_mode
        advice = suggestion(model, where.names(train_mode))
        raise InvalidArgumentError(f"no model {model!r} for {mode} training; {advice}")
    return info


Value = TypeVar("Value")


class _Live(Mapping[str, Value]):
    """A mapping that is made when it is looked at, so that importing it reads nothing."""

    def __init__(self, make: Callable[[TrainMode], dict[str, Value]], mode: TrainMode) -> None:
        self._make = make
        self._mode = mode

    def __getitem__(self, name: str) -> Value:
        return self._make(self._mode)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make(self._mode))

    def __len__(self) -> int:
        return len(self._make(self._mode))


ModelInfoMapping: Mapping[str, ModelInfo] = _Live(get_trainer_model_list, TrainMode.SFT)
DefaultTrainConfigMapping: Mapping[str, TrainConfig] = _Live(get_default_train_config, TrainMode.SFT)
PostPreTrainModelInfoMapping: Mapping[str, ModelInfo] = _Live(get_trainer_model_list, TrainMode.PostPretrain)
DefaultPostPretrainTrainConfigMapping: Mapping[str, TrainConfig] = _Live(
    get_default_train_config, TrainMode.PostPretrain
)
DPOTrainModelInfoMapping: Mapping[str, ModelInfo] = _Live(get_trainer_model_list, TrainMode.DPO)
DefaultDPOTrainConfigMapping: Mapping[str, TrainConfig] = _Live(get_default_train_config, TrainMode.DPO)
KTOTrainModelInfoMapping: Mapping[str, ModelInfo] = _Live(get_trainer_model_list, TrainMode.KTO)
DefaultKTOTrainConfigMapping: Mapping[str, TrainConfig] = _Live(get_default_train_config, TrainMode.KTO)

"""What a training is given, read; and what will be done with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from qianfan._types import JSON
from qianfan.engines.backend import EngineError
from qianfan.engines.calibrate import PREFERENCES, Need, calibrate, over_defaults
from qianfan.engines.spec import Plan, TrainSpec
from qianfan.engines.tiny.batches import Example
from qianfan.engines.tiny.checkpoints import Saved, read
from qianfan.engines.tiny.examples import Lesson, examples_of, read_lessons, texts_of
from qianfan.engines.tiny.model import Config
from qianfan.engines.tiny.recipe import CONTEXT, LARGEST_BATCH, Recipe, without_effect
from qianfan.engines.tiny.tokenizer import Tokenizer

_ANY_LENGTH: Final = 1 << 30

BY_HEART: Final = Need(learning_rate=4e-3, passes=30)
"""In so many passes even rows are learnt that differ from each other by no more than a number."""

ADAPTERS: Final = Need(learning_rate=8e-3, passes=30)
"""Adapters change less of a model than training all of it does, and want a higher rate."""


def refuse(spec: TrainSpec) -> None:
    """Raise EngineError for what this engine cannot do."""
    if spec.mode == "KTO":
        raise EngineError("unsupported_mode", "the engine tiny has no KTO", "use DPO here, or the engine hf")
    if spec.scale == "PromptTuning":
        raise EngineError(
            "unsupported_scale",
            "prompt tuning teaches a model that can speak already, and the engine tiny starts from scratch",
            "use LoRA or FullFineTuning here, or the engine hf with a pretrained base",
        )


@dataclass(frozen=True)
class Material:
    """What a training is given. origin: the model that it goes on from, if there is one."""

    spec: TrainSpec
    lessons: Sequence[Lesson]
    held_out: Sequence[Lesson]
    origin: Saved | None
    tokenizer: Tokenizer

    @classmethod
    def read(cls, spec: TrainSpec) -> Material:
        """Read the files. Raises EngineError when there is nothing to learn."""
        lessons = read_lessons(spec.train_file, spec.mode)
        if not lessons:
            raise EngineError("no_rows", "there is no row to learn from", "upload rows with answers")
        held_out = read_lessons(spec.eval_file, spec.mode) if spec.eval_file else []
        origin = read(spec.checkpoint) if spec.checkpoint else None
        tokenizer = origin.tokenizer if origin else Tokenizer.learn(texts_of(lessons))
        return cls(spec, lessons, held_out, origin, tokenizer)

    @cached_property
    def lengths(self) -> list[int]:
        """In tokens, of all there is to learn from, before anything is cut."""
        return [len(passage) for example in self.examples(self.lessons, _ANY_LENGTH) for passage in example]

    def examples(self, lessons: Sequence[Lesson], limit: int) -> list[Example]:
        """What is to be learnt of some lessons, in at most `limit` tokens at once."""
        return examples_of(lessons, self.spec.mode, self.tokenizer, limit)

    @property
    def context(self) -> int:
        """Tokens that the model can look at, at most."""
        return self.origin.card.size.context if self.origin else CONTEXT

    def size(self, recipe: Recipe) -> Config:
        return self.origin.card.size if self.origin else Config(len(self.tokenizer), recipe.max_seq_len)

    @property
    def base(self) -> str:
        """What the training starts from, for people."""
        return f"a checkpoint after {self.origin.card.mode}" if self.origin else "a model from scratch"

    def first_passes(self) -> int:
        """Passes over the better answers before DPO begins: who has not learnt to speak has no preferences."""
        if self.spec.mode != "DPO" or self.origin or self.spec.strict:
            return 0
        return BY_HEART.passes_over(sum(self.lengths) // 2)


def plan(spec: TrainSpec) -> Plan:
    """What will be done. Raises BadHyperParameter, and EngineError for what this engine cannot do."""
    refuse(spec)
    material = Material.read(spec)
    requested = over_defaults(spec.hyper_parameters, spec.defaults)
    values = _fitted(material, requested)
    recipe = Recipe.read(values)
    idle = without_effect(values, recipe, spec.mode, spec.scale, held_out=bool(material.held_out))
    effective = {key: value for key, value in values.items() if key not in idle}
    batches = recipe.batches(len(material.examples(material.lessons, recipe.max_seq_len)))
    return Plan(
        steps=(material.first_passes() + recipe.epoch) * batches,
        base=material.base,
        parameters=material.size(recipe).parameters,
        requested=requested,
        effective=effective,
        notes=(
            *_about_the_model(material),
            *_about_the_values(requested, effective, recipe),
            *_about_the_rows(material, recipe),
            *([f"these change nothing here: {', '.join(named)}"] if (named := _asked_for(spec, idle)) else []),
        ),
    )


def _fitted(material: Material, requested: Mapping[str, JSON]) -> dict[str, JSON]:
    """What was requested, as far as a tiny model can take it, and calibrated for one that starts from scratch."""
    spec, asked = material.spec, Recipe.read(requested)
    batch_size = "globalBatchSize" if "globalBatchSize" in requested else "batchSize"
    fitted = {**requested, "maxSeqLen": min(asked.max_seq_len, material.context)}
    if spec.strict:
        return {**fitted, "epoch": asked.epoch, "learningRate": asked.learning_rate, batch_size: asked.batch_size}
    fitted[batch_size] = min(asked.batch_size, LARGEST_BATCH)
    return calibrate(fitted, spec.defaults, _need_of(spec), sum(material.lengths))


def _need_of(spec: TrainSpec) -> Need:
    if spec.mode == "DPO":
        return PREFERENCES
    return ADAPTERS if spec.scale == "LoRA" else BY_HEART


def _asked_for(spec: TrainSpec, keys: Sequence[str]) -> list[str]:
    """Those that somebody chose. Nobody needs to hear of the others, which are the catalogue's."""
    return [key for key in keys if key in spec.hyper_parameters]


def _about_the_model(material: Material) -> Iterator[str]:
    spec = material.spec
    yield "the model is tiny: it learns these rows by heart and understands nothing"
    if material.origin:
        yield "the tokenizer and the size are those of the checkpoint"
    elif spec.base:
        yield "the pretrained base is not used: that takes the engine hf"
    if passes := material.first_passes():
        yield f"before DPO, {passes} passes over the better answers teach the model to speak at all"
    if spec.scale == "LoRA":
        yield "beside the adapters the embeddings are trained: without them a model from scratch learns nothing"


def _about_the_values(requested: Mapping[str, JSON], effective: Mapping[str, JSON], recipe: Recipe) -> Iterator[str]:
    for key, value in effective.items():
        if key in requested and value != requested[key]:
            yield f"{key}: {_short(value)} in place of {_short(requested[key])}"
    if "loraDropout" in effective and recipe.lora_dropout:
        yield "loraDropout: what is left out is drawn once for a batch"
    if recipe.early_stopping:
        yield "earlyStopping: the training ends with the weights of its best evaluation"


def _about_the_rows(material: Material, recipe: Recipe) -> Iterator[str]:
    longer = sum(length > recipe.max_seq_len for length in material.lengths)
    if longer and material.spec.mode != "PostPretrain":
        yield f"{longer} answers with their prompts are longer than {recipe.max_seq_len} tokens and were cut"


def _short(value: JSON) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

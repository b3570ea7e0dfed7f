"""Everything that is decided before a training begins, from its spec and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from qianfan._types import JSON
from qianfan.engines.calibrate import PREFERENCES, Need, calibrate
from qianfan.engines.hf.arguments import Arguments, Setting, map_arguments
from qianfan.engines.hf.data import Example, read_examples, texts_of
from qianfan.engines.hf.device import computes_in_bf16, has_gpu
from qianfan.engines.hf.models import context_of, is_from_scratch, load_tokenizer, read_config
from qianfan.engines.hf.start import CONTEXT, Start, find_start
from qianfan.engines.hf.tokenizing import count_tokens, fit_for, train_tokenizer
from qianfan.engines.rows import Mode
from qianfan.engines.spec import Plan, Scale, TrainSpec


@dataclass(frozen=True)
class Preparation:
    """A training that can begin.

    examples, held_out: in trl's shapes, the latter may be empty. asked: hyper-parameters over their defaults.
    """

    spec: TrainSpec
    start: Start
    from_scratch: bool
    tokenizer: PreTrainedTokenizerBase
    examples: list[Example]
    held_out: list[Example]
    asked: Mapping[str, JSON]
    arguments: Arguments

    def plan(self, examples: int | None = None, parameters: int | None = None, notes: tuple[str, ...] = ()) -> Plan:
        """What will be done. examples: that are left to train on, where some are too long."""
        return Plan(
            steps=self.arguments.steps(len(self.examples) if examples is None else examples),
            base=self.start.words,
            parameters=parameters,
            requested=dict(self.asked),
            effective=dict(self.arguments.effective),
            notes=(*self.arguments.notes, *notes),
        )


def prepare(spec: TrainSpec) -> Preparation:
    """Read the rows, find the model, and map the hyper-parameters. Raises EngineError for what the user can mend."""
    start = find_start(spec)
    examples = read_examples(spec.mode, spec.train_file)
    held_out = [] if spec.eval_file is None else read_examples(spec.mode, spec.eval_file)
    config = None if start.folder is None else read_config(start.folder)
    from_scratch = config is None or is_from_scratch(config)
    if start.folder is None:
        tokenizer = train_tokenizer(texts_of(examples), spec.mode)
    else:
        tokenizer = fit_for(load_tokenizer(start.folder), spec.mode, from_scratch=from_scratch)
    asked = {**spec.defaults, **spec.hyper_parameters}
    adapted = asked
    if from_scratch and not spec.strict:
        tokens = count_tokens(tokenizer, texts_of(examples))
        adapted = calibrate(spec.hyper_parameters, spec.defaults, need_of(spec.mode, spec.scale), tokens)
    arguments = map_arguments(adapted, _setting(spec, from_scratch, config, bool(held_out)))
    return Preparation(spec, start, from_scratch, tokenizer, examples, held_out, asked, arguments)


def need_of(mode: Mode, scale: Scale) -> Need:
    """What the model from scratch needs: measured with forty short rows that are easily taken for each other."""
    if mode in ("DPO", "KTO"):
        return PREFERENCES
    return Need(learning_rate=2e-3 if scale == "FullFineTuning" else 4e-3, passes=30)


def _setting(spec: TrainSpec, from_scratch: bool, config: Any, held_out: bool) -> Setting:
    return Setting(
        mode=spec.mode,
        scale=spec.scale,
        held_out=held_out,
        from_scratch=from_scratch,
        as_asked=spec.strict,
        cuda=has_gpu(),
        bf16=computes_in_bf16(),
        context=CONTEXT if config is None else context_of(config),
    )

"""The contract between an engine and whoever runs it: what is asked for, and what is told meanwhile.

Both sides read and write these as JSON lines, so a file of them is also the record of a training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from qianfan._types import JSON
from qianfan.engines.rows import Message, Mode

Scale: TypeAlias = Literal["FullFineTuning", "LoRA", "PromptTuning"]
SCALES: Final[tuple[Scale, ...]] = get_args(Scale)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainSpec(_Frozen):
    """One training.

    model: the platform's name of the base model. base: a folder with a pretrained model in Hugging Face's layout; None
        starts from scratch. checkpoint: a checkpoint folder of an earlier training to go on from, in place of both.
    train_file, eval_file: rows of the mode's kind, see `rows`; the latter is held out, None when nothing is.
    folder: where `checkpoints/<step>` folders go, and nothing else is touched.
    hyper_parameters: by the platform's names, as asked for, over `defaults`, which are the catalogue's for this model,
        mode and scale.
    strict: use them as they are also where a model from scratch would learn nothing with them.
    command: the outside trainer of the engine `command`, as arguments.
    """

    engine: str
    mode: Mode
    scale: Scale
    model: str
    base: Path | None = None
    checkpoint: Path | None = None
    train_file: Path
    eval_file: Path | None = None
    folder: Path
    hyper_parameters: dict[str, JSON] = Field(default_factory=dict)
    defaults: dict[str, JSON] = Field(default_factory=dict)
    strict: bool = False
    command: tuple[str, ...] = ()


class PublishSpec(_Frozen):
    """Make a model of a checkpoint. into: the model's folder; it must not exist, and appears when it is complete."""

    engine: str
    checkpoint: Path
    into: Path
    model: str
    base: Path | None = None
    command: tuple[str, ...] = ()


class Sampling(_Frozen):
    """How the next token is chosen.

    temperature: near 0 takes the likeliest. top_p: from the likeliest that together have this probability.
    max_tokens: of the answer, at most; None leaves it to the model. stop: texts before which the answer ends.
    seed: equal seeds give equal answers.
    """

    temperature: float = Field(default=0.0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, allow_inf_nan=False)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


MANIFEST: Final = "manifest.json"


class Manifest(_Frozen):
    """What a model's folder says of itself, in `manifest.json`.

    parameters: how many numbers the model has; base: what it was trained from, in words for people.
    """

    engine: str
    model: str
    base: str
    mode: Mode
    parameters: int

    @classmethod
    def of(cls, model: Path) -> Manifest:
        """That of a model's folder. Raises OSError or pydantic.ValidationError where there is none."""
        return cls.model_validate_json((model / MANIFEST).read_bytes())

    def write(self, model: Path) -> None:
        """Put it into a model's folder."""
        (model / MANIFEST).write_text(self.model_dump_json(indent=2), encoding="utf-8")


# --- what a training tells -------------------------------------------------------------------------------------


class Started(_Frozen):
    """The engine is loaded. device: "cpu", "cuda:0". versions: of the libraries that compute."""

    event: Literal["started"] = "started"
    engine: str
    device: str
    versions: dict[str, str]


class Plan(_Frozen):
    """What will be done; a later one takes the place of an earlier one.

    steps: updates of the weights in all. requested, effective: hyper-parameters by the platform's names, as asked for
    and as used. notes: what the reader should know, above all about those that change nothing here.
    """

    event: Literal["plan"] = "plan"
    steps: int
    base: str
    parameters: int | None = None
    requested: dict[str, JSON]
    effective: dict[str, JSON]
    notes: tuple[str, ...] = ()


class Metrics(_Frozen):
    """How it goes. losses: mean over tokens in nats since the last report; for DPO the DPO loss.

    others: named as people know them, for example rewardMargin and rewardAccuracy (0 to 1).
    """

    event: Literal["metrics"] = "metrics"
    step: int
    total: int
    training_loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    others: dict[str, float] = Field(default_factory=dict)


class Checkpoint(_Frozen):
    """A usable checkpoint lies in `path`.

    Perplexities are those of answers: e to their mean token loss in nats; None where the engine cannot tell.
    """

    event: Literal["checkpoint"] = "checkpoint"
    step: int
    path: Path
    training_loss: float
    validation_loss: float | None = None
    training_perplexity: float | None = None
    validation_perplexity: float | None = None


class Scores(_Frozen):
    """How the answers to held-out rows compare with the rows' own: BLEU-4, ROUGE-1, ROUGE-2, ROUGE-L, in percent."""

    event: Literal["scores"] = "scores"
    scores: dict[str, float]


class Alive(_Frozen):
    """Nothing to tell, but still at work."""

    event: Literal["alive"] = "alive"


class Published(_Frozen):
    """The model's folder is complete."""

    event: Literal["published"] = "published"
    manifest: Manifest


class Failed(_Frozen):
    """It cannot go on. code: one word for programs; hint: what to do about it, "" when there is nothing to say."""

    event: Literal["failed"] = "failed"
    code: str
    message: str
    hint: str = ""


Event: TypeAlias = Annotated[
    Started | Plan | Metrics | Checkpoint | Scores | Alive | Published | Failed, Field(discriminator="event")
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads any of them from JSON."""


# --- what a model that serves is asked and tells --------------------------------------------------------------------


class Ask(_Frozen):
    """Answer these messages. id: of the request, chosen by whoever asks."""

    ask: int
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()


class Forget(_Frozen):
    """Nobody waits for the answer to this request any more."""

    forget: int


class Ready(_Frozen):
    """The model is loaded and answers."""

    reply: Literal["ready"] = "ready"
    manifest: Manifest


class Said(_Frozen):
    """The next piece of an answer, and the tokens so far."""

    reply: Literal["said"] = "said"
    id: int
    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Ended(_Frozen):
    """An answer is complete. Tokens are counted by the model's own tokenizer.

    reason: "stop" at its natural end, "length" where it was cut off, "error" with the message.
    """

    reply: Literal["ended"] = "ended"
    id: int
    reason: Literal["stop", "length", "error"]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    message: str = ""


Reply: TypeAlias = Annotated[Ready | Said | Ended | Failed, Field(union_mode="smart")]
REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)
"""Reads any reply from JSON."""

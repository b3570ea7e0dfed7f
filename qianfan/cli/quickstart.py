"""`qianfan quickstart`: from a file to an answer, on this machine, with no account."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from qianfan.cli.exits import Exit

if TYPE_CHECKING:
    from rich.console import Console

    from qianfan.config import Settings
    from qianfan.dataset import Dataset
    from qianfan.emulator import Emulator
    from qianfan.trainer import LLMFinetune

MODEL = "ERNIE-Speed-8K"
EXAMPLE = 'Example: qianfan quickstart --file rows.jsonl --question "What is an epoch?"'

_SECONDS_BETWEEN_LOOKS = 0.2
_FEWEST_ROWS = 32
_HI = [{"role": "user", "content": "hi"}]
_QUIZ = 10
"""How many of the rows' questions are asked to see what was learnt."""


class QuickEngine(str, Enum):
    """The engines that need nothing but a name."""

    TINY = "tiny"
    HF = "hf"
    SCRIPTED = "scripted"


def quickstart(
    file: Annotated[
        Path | None, typer.Option(help="Rows to train on; the shipped sample when left out.", show_default=False)
    ] = None,
    question: Annotated[
        str | None, typer.Option(help="What to ask at the end; the first row's own when left out.", show_default=False)
    ] = None,
    engine: Annotated[
        QuickEngine | None,
        typer.Option(
            help="tiny learns rows by heart, hf trains a larger model, scripted only simulates.", show_default=False
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Folder of a pretrained Hugging Face model to train.", show_default=False)
    ] = None,
    pace: Annotated[
        str, typer.Option(help="Of what is not computed: instant, demo, or the seconds of a scripted training.")
    ] = "demo",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document; progress goes to stderr.")] = False,
) -> None:
    """Train, publish, deploy and ask a model in an emulated platform inside this process.

    Needs no account and no network, and reads no settings. The training is real: a tiny model learns the rows by heart.
    """
    from qianfan.cli.output import err, out
    from qianfan.dataset import Dataset
    from qianfan.emulator import Emulator, sample_path

    console = err() if json else out()
    with Emulator(pace, engine=engine and engine.value, base=base, activate=False) as emulator:
        dataset = Dataset.load(data_file=file or sample_path())
        pairs = _pairs(dataset)
        if len(dataset) < _FEWEST_ROWS:
            raise typer.BadParameter(
                f"{dataset.name} holds {len(dataset)} rows; the platform trains on {_FEWEST_ROWS} or more",
                param_hint="--file",
            )
        asked = [{"role": "user", "content": question}] if question else pairs[0][0] if pairs else _HI
        if not json:
            _introduce(console, dataset, emulator.engine)
        trainer = _train(dataset, emulator, console, plain=json)
        if json:
            _print_document(trainer, dataset, emulator.engine, asked, pairs)
        else:
            _converse(trainer, emulator.engine, asked, pairs, console)


def _introduce(console: Console, dataset: Dataset, engine: str) -> None:
    console.print(f"Training {MODEL} on {len(dataset)} rows of {Path(dataset.name).name}", style="bold", markup=False)
    console.print(f"The platform is an emulator in this process. {_WHAT_TRAINS[engine]}\n", style="dim")


_WHAT_TRAINS = {
    "tiny": "Its engine trains a tiny model from scratch, here and now.",
    "hf": "Its engine trains with transformers, here and now.",
    "scripted": "Its training is simulated.",
}


def _train(dataset: Dataset, emulator: Emulator, console: Console, *, plain: bool) -> LLMFinetune:
    from qianfan._sync import run_sync
    from qianfan._transport import Client
    from qianfan.cli.output import progress
    from qianfan.model import DeployConfig, ServiceType
    from qianfan.trainer import LLMFinetune

    unread: list[OSError] = []

    def leave(error: OSError) -> None:
        unread.append(error)
        trainer.detach()

    try:
        with progress(console, plain=plain, on_unread=leave) as view:
            trainer = LLMFinetune(
                MODEL,
                dataset,
                deploy_config=DeployConfig(service_type=ServiceType.Chat, endpoint_suffix="quickstart"),
                event_handler=view.tell,
                name="demo",
                # All rows are to be learnt: what is held out would not be known at the end.
                eval_split_ratio=0,
                client=Client(_settings(emulator)),
            )
            # Not trainer.run(), whose Ctrl-C tells how to come back: here the platform ends with the process.
            run_sync(trainer.arun)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. The emulated platform has ended with this command; nothing goes on.\n")
        raise typer.Exit(Exit.INTERRUPTED) from None
    if unread:
        raise unread[0]
    return trainer


def _settings(emulator: Emulator) -> Settings:
    """The emulator's settings and nothing from outside, so that no stray variable can spoil a first impression."""
    from qianfan.config import Settings

    intervals = {name: _SECONDS_BETWEEN_LOOKS for name in Settings.model_fields if name.endswith("_polling_interval")}
    given = {name.lower(): value for name, value in emulator.settings.items()}
    return Settings(**{**intervals, **given})


Messages: TypeAlias = list[dict[str, str]]


def _pairs(dataset: Dataset) -> list[tuple[Messages, str]]:
    """(messages up to the first question, answer) of the rows that begin with a question."""
    pairs: list[tuple[Messages, str]] = []
    for row in dataset:
        turn = row[0] if isinstance(row, list) and row else row
        if isinstance(turn, dict) and isinstance(turn.get("prompt"), str) and turn.get("response"):
            answer, system = turn["response"], turn.get("system")
            before: Messages = [{"role": "system", "content": system}] if isinstance(system, str) and system else []
            question = {"role": "user", "content": turn["prompt"]}
            pairs.append(([*before, question], answer if isinstance(answer, str) else answer[0][0]))
    return pairs


def _quiz(trainer: LLMFinetune, pairs: list[tuple[Messages, str]]) -> tuple[int, int]:
    """(right, asked): some of the rows' questions, and how many answers came back word for word."""
    result: Any = trainer.result[0]
    chosen = pairs[:: max(1, len(pairs) // _QUIZ)][:_QUIZ]
    answers = [result["service"].exec(_request(messages))["result"] for messages, _ in chosen]
    return sum(answer.strip() == right.strip() for answer, (_, right) in zip(answers, chosen, strict=True)), len(chosen)


def _request(messages: Messages) -> dict[str, Any]:
    """What asks this of a service: a system text has a place of its own in the request."""
    systems = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    return {"messages": rest, **({"system": systems[0]} if systems else {})}


def _converse(
    trainer: LLMFinetune, engine: str, asked: Messages, pairs: list[tuple[Messages, str]], console: Console
) -> None:
    """Ask the deployed service, show the answer as it comes, and say how much was learnt and how to go on."""
    result: Any = trainer.result[0]
    console.print("\n[bold]You[/bold]    ", end="")
    console.print(asked[-1]["content"], markup=False, soft_wrap=True)
    console.print("[bold]Model[/bold]  ", end="")
    for piece in result["service"].exec(_request(asked), stream=True):
        console.print(piece["result"], end="", markup=False, soft_wrap=True)
    console.print()
    if engine in _LEARNT:
        right, count = _quiz(trainer, pairs)
        console.print(f"[dim]{right} of {count} training questions come back word for word. {_LEARNT[engine]}[/dim]")
    else:
        console.print(f"[dim]{_SIMULATED}[/dim]", soft_wrap=True)
    console.print(f"\n{_NEXT_STEPS}", soft_wrap=True)


def _print_document(
    trainer: LLMFinetune, dataset: Dataset, engine: str, asked: Messages, pairs: list[tuple[Messages, str]]
) -> None:
    from qianfan.cli.output import print_json

    result: Any = trainer.result[0]
    answer = result["service"].exec(_request(asked))["result"]
    right, count = _quiz(trainer, pairs) if engine in _LEARNT else (None, None)
    print_json(
        {
            "engine": engine,
            "simulated": engine == "scripted",
            "train_type": trainer.train_type,
            "rows": len(dataset),
            "status": trainer.status.value,
            "result": {key: value for key, value in result.items() if key not in ("model", "service")},
            "question": asked[-1]["content"],
            "answer": answer,
            "training_questions": {"asked": count, "right": right},
        }
    )


_LEARNT = {
    "tiny": "It learns your rows by heart; it understands nothing.",
    "hf": "Ask something near your rows to see what it makes of it.",
}
_SIMULATED = "(simulated: true. The emulator recognises questions of your rows; nothing was computed.)"

_NEXT_STEPS = f"""[bold]Next[/bold]
  with your own rows      qianfan quickstart --file rows.jsonl
  the same over HTTP      qianfan emulator serve
  on the real platform    export QIANFAN_ACCESS_KEY=… QIANFAN_SECRET_KEY=… QIANFAN_BOS_BUCKET=…
                          qianfan trainer run --train-type {MODEL} --dataset-file rows.jsonl
"""

"""`qianfan quickstart`: from a file to an answer, on this machine, with no account."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianfan.cli.exits import Exit

if TYPE_CHECKING:
    from rich.console import Console

    from qianfan.config import Settings
    from qianfan.dataset import Dataset
    from qianfan.emulator import Emulator
    from qianfan.trainer import LLMFinetune

MODEL = "ERNIE-Speed-8K"
EXAMPLE = 'Example: qianfan quickstart --pace instant --question "What is an epoch?"'

_SECONDS_BETWEEN_LOOKS = 0.2


def quickstart(
    pace: Annotated[str, typer.Option(help="instant, demo (about 8 s), or the seconds of a training.")] = "demo",
    file: Annotated[
        Path | None, typer.Option(help="Rows to train on; the shipped sample when left out.", show_default=False)
    ] = None,
    question: Annotated[
        str | None, typer.Option(help="What to ask at the end; the first row's own when left out.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document; progress goes to stderr.")] = False,
) -> None:
    """Train, publish, deploy and ask a model in an emulated platform inside this process.

    Needs no account and no network, and reads no settings. The emulator simulates the training, and says so.
    """
    from qianfan.cli.output import err, out
    from qianfan.dataset import Dataset
    from qianfan.emulator import Emulator, sample_path

    console = err() if json else out()
    with Emulator(pace, activate=False) as emulator:
        dataset = Dataset.load(data_file=file or sample_path())
        asked = question or _first_question(dataset)
        if not json:
            _introduce(console, dataset)
        trainer = _train(dataset, emulator, console, plain=json)
        if json:
            _print_document(trainer, dataset, asked)
        else:
            _converse(trainer, asked, console)


def _introduce(console: Console, dataset: Dataset) -> None:
    console.print(f"Training {MODEL} on {len(dataset)} rows of {Path(dataset.name).name}", style="bold", markup=False)
    console.print("The platform is an emulator in this process; its training is simulated.\n", style="dim")


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


def _first_question(dataset: Dataset) -> str:
    """A question that the data answer."""
    row = next(iter(dataset), None)
    turn = row[0] if isinstance(row, list) and row else row
    return str(turn.get("prompt", "hi")) if isinstance(turn, dict) else "hi"


def _request(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}]}


def _converse(trainer: LLMFinetune, question: str, console: Console) -> None:
    """Ask the deployed service, show the answer as it comes, and say how to go on."""
    result: Any = trainer.result[0]
    console.print("\n[bold]You[/bold]    ", end="")
    console.print(question, markup=False, soft_wrap=True)
    console.print("[bold]Model[/bold]  ", end="")
    for piece in result["service"].exec(_request(question), stream=True):
        console.print(piece["result"], end="", markup=False, soft_wrap=True)
    console.print(f"\n[dim]{_HONEST}[/dim]\n\n{_NEXT_STEPS}", soft_wrap=True)


def _print_document(trainer: LLMFinetune, dataset: Dataset, question: str) -> None:
    from qianfan.cli.output import print_json

    result: Any = trainer.result[0]
    answer = result["service"].exec(_request(question))["result"]
    print_json(
        {
            "simulated": True,
            "train_type": trainer.train_type,
            "rows": len(dataset),
            "status": trainer.status.value,
            "result": {key: value for key, value in result.items() if key not in ("model", "service")},
            "question": question,
            "answer": answer,
        }
    )


_HONEST = "(simulated: true. The emulator recognises questions of your rows; nothing was computed.)"

_NEXT_STEPS = f"""[bold]Next[/bold]
  with your own rows      qianfan quickstart --file rows.jsonl
  the same over HTTP      qianfan emulator serve
  on the real platform    export QIANFAN_ACCESS_KEY=… QIANFAN_SECRET_KEY=… QIANFAN_BOS_BUCKET=…
                          qianfan trainer run --train-type {MODEL} --dataset-file rows.jsonl
"""

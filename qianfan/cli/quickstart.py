"""`qianfan quickstart`: from a file to an answer, on this machine, with no account."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from qianfan.dataset import Dataset
    from qianfan.trainer import LLMFinetune

MODEL = "ERNIE-Speed-8K"


def quickstart(
    pace: Annotated[str, typer.Option(help="instant, demo (about 8 s), or the seconds of a training.")] = "demo",
    file: Annotated[
        Path | None, typer.Option(help="Rows to train on; the shipped sample when left out.", show_default=False)
    ] = None,
    question: Annotated[
        str | None, typer.Option(help="What to ask at the end; the first row's own when left out.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Train, publish, deploy and ask a model in an emulated platform inside this process.

    Needs no account and no network. The emulator simulates the training, and says so.

    Example: qianfan quickstart --pace instant --question "What is an epoch?"
    """
    from qianfan._transport import Client
    from qianfan.cli.output import err, out, print_json, progress
    from qianfan.config import default_settings
    from qianfan.dataset import Dataset
    from qianfan.emulator import Emulator, sample_path
    from qianfan.model import DeployConfig, ServiceType
    from qianfan.trainer import LLMFinetune

    console = err() if json else out()
    with Emulator(pace=pace):
        dataset = Dataset.load(data_file=file or sample_path())
        rows = len(dataset)
        if not json:
            console.print(f"[bold]qianfan quickstart[/bold]: {rows} rows of {Path(dataset.name).name} → {MODEL}")
            console.print("[dim]An emulated platform in this process; its training is simulated.[/dim]\n")
        asked = question or _first_question(dataset)
        with progress(console, plain=json) as view:
            trainer = LLMFinetune(
                MODEL,
                dataset,
                deploy_config=DeployConfig(service_type=ServiceType.Chat, endpoint_suffix="quickstart"),
                event_handler=view.tell,
                name="demo",
                # The platform ends with this process, so there is nothing to come back to.
                client=Client(default_settings().replace(disable_cache=True)),
            ).run()
        result: Any = trainer.result[0]
        request = {"messages": [{"role": "user", "content": asked}]}
        if json:
            answer = result["service"].exec(request)["result"]
            print_json(_document(trainer, rows, asked, answer))
            return
        console.print(f"\n[bold]You[/bold]    {asked}")
        console.print("[bold]Model[/bold]  ", end="")
        for piece in result["service"].exec(request, stream=True):
            console.print(piece["result"], end="", markup=False)
        console.print(
            "\n[dim](simulated: true. The emulator recognises questions of your rows; nothing was computed.)[/dim]\n"
        )
    console.print(_NEXT_STEPS)


def _first_question(dataset: Dataset) -> str:
    """A question that the data answer."""
    row = dataset[0]
    turn = row[0] if isinstance(row, list) else row
    return str(turn.get("prompt", "hi"))


def _document(trainer: LLMFinetune, rows: int, question: str, answer: str) -> dict[str, Any]:
    result: Any = trainer.result[0]
    plain = {key: value for key, value in result.items() if key not in ("model", "service")}
    return {
        "simulated": True,
        "train_type": trainer.train_type,
        "rows": rows,
        "status": trainer.status.value,
        "result": plain,
        "question": question,
        "answer": answer,
    }


_HONEST = "(simulated: true. The emulator recognises questions of your rows; nothing was computed.)"

_NEXT_STEPS = """[bold]Next[/bold]
  the same over HTTP      qianfan emulator serve --pace demo
  with your own rows      qianfan quickstart --file rows.jsonl
  on the real platform    export QIANFAN_ACCESS_KEY=… QIANFAN_SECRET_KEY=… QIANFAN_BOS_BUCKET=…
                          qianfan trainer run --train-type ERNIE-Speed-8K --dataset-file rows.jsonl
"""

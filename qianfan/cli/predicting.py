"""`qianfan dataset predict`: have a model answer the questions of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianfan.cli.files import tell_file
from qianfan.cli.options import FileFormat, Format, Json, Source
from qianfan.cli.places import aload_here, place_of

if TYPE_CHECKING:
    from qianfan.cli.transfer import Transfer
    from qianfan.dataset import Dataset

_VERSION = "amv-"
"""Begins the id of a model version of one's own."""


def predict(
    src: Source,
    model: Annotated[
        str, typer.Option(help="Who answers: a preset model, or a model version of yours (amv-…), in a batch.")
    ] = "ERNIE-Lite-8K",
    endpoint: Annotated[
        str | None, typer.Option(help="A deployed service that answers instead.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The file to write; answers.jsonl beside you when left out.", show_default=False),
    ] = None,
    input_columns: Annotated[
        str | None, typer.Option(help="Column that holds the question, where rows have columns.", show_default=False)
    ] = None,
    reference_column: Annotated[
        str | None,
        typer.Option(help="Column that holds the right answer, where rows have columns.", show_default=False),
    ] = None,
    format: Format = None,
    file_format: FileFormat = None,
    json: Json = False,
) -> None:
    """Have a model answer the last question of every row, and write the answers down; every answer is billed.

    Each line of the output has the question as `input`, the answer as `output`, the right one as `reference`.
    """
    from qianfan._sync import run_sync
    from qianfan.cli.output import err
    from qianfan.cli.transfer import transfer

    columns = None if input_columns is None else [name.strip() for name in input_columns.split(",")]
    reading = {
        "format": format,
        "file_format": file_format,
        "input_columns": columns,
        "reference_column": reference_column,
    }
    file = output or Path("answers.jsonl")

    async def go() -> Dataset:
        dataset = await aload_here(place_of(src), view, **reading)
        answers = await _answers(dataset, model, endpoint, view)
        return await answers.asave(data_file=file)

    with transfer(err(), of_bytes=False) as view:
        saved = run_sync(go)
    tell_file(saved, json=json)


async def _answers(dataset: Dataset, model: str, endpoint: str | None, view: Transfer) -> Dataset:
    from qianfan.model import Model, Service, ServiceType

    if endpoint is None and model.startswith(_VERSION):
        view.begins("waiting")
        return await Model(id=model).abatch_inference(dataset)
    who: dict[str, Any] = {"model": model} if endpoint is None else {"endpoint": endpoint}
    return await Service(**who, service_type=ServiceType.Chat).abatch_inference(
        dataset, on_progress=view.step("asking")
    )

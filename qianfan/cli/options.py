"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class OnInterrupt(str, Enum):
    """What Ctrl-C means for the remote training."""

    DETACH = "detach"
    STOP = "stop"


class RunState(str, Enum):
    """How a run stands."""

    OPEN = "open"
    HELD = "held"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DONE = "done"


class Submission(str, Enum):
    """What happens to a paid order of unknown fate."""

    STRICT = "strict"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
RunJson = Annotated[bool, typer.Option("--json", help="Print one JSON document at the end; progress goes to stderr.")]
Timeout = Annotated[
    float | None,
    typer.Option(help="Seconds to wait; the remote work goes on after that.", min=0, show_default=False),
]
Interrupt = Annotated[OnInterrupt, typer.Option(help="What Ctrl-C means for the remote training.")]

KnownTrainer = Annotated[
    str | None, typer.Option(help="A trainer that ran on this machine: see trainer list.", show_default=False)
]
KnownTrainers = Annotated[
    list[str] | None,
    typer.Option(
        "--trainer-id", help="A trainer that ran on this machine; several times for several.", show_default=False
    ),
]
RemoteTask = Annotated[str | None, typer.Option(help="A training task on the platform.", show_default=False)]

Source = Annotated[
    str,
    typer.Argument(help="A file or folder, a dataset on the platform (qianfan://ds-… or ds-…), or bos:/bucket/path."),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Shape of the rows, such as alpaca or messages, if it cannot be told.",
        show_default=False,
    ),
]
FileFormat = Annotated[
    str | None,
    typer.Option(
        help="How the file holds its rows: jsonl, json, csv, …; by the end of its name when left out.",
        show_default=False,
    ),
]

DeployName = Annotated[str | None, typer.Option(help="Name of the service.")]
DeployEndpointPrefix = Annotated[str | None, typer.Option(help="End of the service's address.")]
DeployDescription = Annotated[str | None, typer.Option(help="Description of the service.")]
DeployReplicas = Annotated[int | None, typer.Option(help="Copies that share the load.")]
DeployPoolType = Annotated[str | None, typer.Option(help="private_resource; there is no public one.")]
DeployServiceType = Annotated[
    str | None, typer.Option(help="Deploy the model as: chat, completion, embedding or text2image.")
]


def require_one(trainer_id: str | None, task_id: str | None) -> None:
    """Raise BadParameter unless exactly one of them is given."""
    if (trainer_id is None) == (task_id is None):
        raise typer.BadParameter("say which one, by either --trainer-id or --task-id")

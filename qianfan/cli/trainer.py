"""`qianfan trainer`: run trainings, look at them, come back to them, stop them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianfan.cli.invocation import Invocation

if TYPE_CHECKING:
    from qianfan.model import DeployConfig
    from qianfan.trainer import TrainConfig, Trainer

_RUN = "Example: qianfan trainer {} --train-type ERNIE-Speed-8K --dataset-file rows.jsonl --train-epoch 2"
_LIST = "Example: qianfan trainer list --json"
_INFO = "Example: qianfan trainer info --task-id task-7d1m4z8w2pqc --json"
_RESUME = "Example: qianfan trainer resume --trainer-id kmdl2Nq55b"
_STOP = "Example: qianfan trainer stop --task-id task-7d1m4z8w2pqc"

app = typer.Typer(
    help="Train, publish and deploy models; look at trainings, come back to them, stop them.",
    epilog=_RUN.format("run"),
    no_args_is_help=True,
)


class OnInterrupt(str, Enum):
    """What Ctrl-C means for the remote training."""

    DETACH = "detach"
    STOP = "stop"


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
RemoteTask = Annotated[str | None, typer.Option(help="A training task on the platform.", show_default=False)]


def run(
    context: typer.Context,
    train_type: Annotated[str, typer.Option(help="The base model, for example ERNIE-Speed-8K.")],
    dataset_id: Annotated[str | None, typer.Option(help="A dataset on the platform: ds-… or a number.")] = None,
    dataset_bos_path: Annotated[str | None, typer.Option(help="Rows in object storage: bos:/bucket/path.")] = None,
    dataset_file: Annotated[Path | None, typer.Option(help="Rows in a local file; uploaded first.")] = None,
    train_config_file: Annotated[Path | None, typer.Option(help="Hyper-parameters in a .yaml or .json file.")] = None,
    train_epoch: Annotated[int | None, typer.Option(help="Passes over the rows.")] = None,
    train_batch_size: Annotated[int | None, typer.Option(help="Rows in a batch.")] = None,
    train_learning_rate: Annotated[float | None, typer.Option(help="Step size of the optimizer.")] = None,
    train_max_seq_len: Annotated[int | None, typer.Option(help="Tokens of a row that are used.")] = None,
    train_peft_type: Annotated[str | None, typer.Option(help="FullFineTuning (ALL), LoRA or PromptTuning.")] = None,
    trainset_rate: Annotated[int | None, typer.Option(help="Percent of the rows kept for evaluation.")] = None,
    train_logging_steps: Annotated[int | None, typer.Option(help="Steps between log points.")] = None,
    train_warmup_ratio: Annotated[float | None, typer.Option(help="Share of the steps to warm up.")] = None,
    train_weight_decay: Annotated[float | None, typer.Option(help="Strength of regularization.")] = None,
    train_lora_rank: Annotated[int | None, typer.Option(help="Rank of LoRA's matrices.")] = None,
    train_lora_all_linear: Annotated[str | None, typer.Option(help="LoRA on all linear layers: True or False.")] = None,
    deploy_name: Annotated[str | None, typer.Option(help="Name of the service.")] = None,
    deploy_endpoint_prefix: Annotated[str | None, typer.Option(help="End of the service's address.")] = None,
    deploy_description: Annotated[str | None, typer.Option(help="Description of the service.")] = None,
    deploy_replicas: Annotated[int | None, typer.Option(help="Copies that share the load.")] = None,
    deploy_pool_type: Annotated[str | None, typer.Option(help="private_resource; there is no public one.")] = None,
    deploy_service_type: Annotated[
        str | None, typer.Option(help="Deploy the model as: chat, completion, embedding or text2image.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Beginning of the job's name.")] = None,
    timeout: Timeout = None,
    on_interrupt: Interrupt = OnInterrupt.DETACH,
    json: RunJson = False,
) -> None:
    """Train a model, publish it, and deploy it if a --deploy option is given.

    Options override the values of --train-config-file. Without deploy options nothing is deployed.
    """
    from qianfan.trainer import LLMFinetune

    parameters = {
        "epoch": train_epoch,
        "batch_size": train_batch_size,
        "learning_rate": train_learning_rate,
        "max_seq_len": train_max_seq_len,
        "peft_type": train_peft_type,
        "trainset_rate": trainset_rate,
        "logging_steps": train_logging_steps,
        "warmup_ratio": train_warmup_ratio,
        "weight_decay": train_weight_decay,
        "lora_rank": train_lora_rank,
        "lora_all_linear": train_lora_all_linear,
    }
    deployment = {
        "name": deploy_name,
        "endpoint_prefix": deploy_endpoint_prefix,
        "description": deploy_description,
        "replicas": deploy_replicas,
        "pool_type": deploy_pool_type,
        "service_type": deploy_service_type,
    }
    trainer = LLMFinetune(
        train_type,
        _dataset(dataset_id, dataset_bos_path, dataset_file),
        _train_config(train_config_file, parameters),
        _deploy_config(deployment),
        name=name,
    )
    _follow(
        trainer,
        lambda: trainer.run(timeout=timeout, on_interrupt=on_interrupt.value),
        last_words=context.ensure_object(Invocation).last_words,
        json=json,
    )


app.command("run", epilog=_RUN.format("run"))(run)
app.command("finetune", epilog=_RUN.format("finetune"), help="The same as `trainer run`, under its newer name.")(run)


@app.command(epilog=_RESUME)
def resume(
    context: typer.Context,
    trainer_id: Annotated[str, typer.Option(help="A trainer that ran on this machine: see trainer list.")],
    resubmit: Annotated[
        bool, typer.Option("--resubmit", help="Start a new task, which costs again, when the training itself failed.")
    ] = False,
    timeout: Timeout = None,
    on_interrupt: Interrupt = OnInterrupt.DETACH,
    json: RunJson = False,
) -> None:
    """Go on with a trainer that was interrupted or failed; what is done is kept, and no job is ordered twice."""
    from qianfan.trainer import Trainer

    trainer = Trainer.load(trainer_id)
    _follow(
        trainer,
        lambda: trainer.resume(resubmit=resubmit, timeout=timeout, on_interrupt=on_interrupt.value),
        last_words=context.ensure_object(Invocation).last_words,
        json=json,
    )


def _follow(trainer: Trainer, go: Callable[[], object], *, last_words: list[str], json: bool) -> None:
    """Let a trainer run, show its progress, and print what it made, or how to come back to it."""
    from qianfan.cli.output import err, out, print_json, progress
    from qianfan.errors import InvalidArgumentError, QianfanError
    from qianfan.trainer import Trainer

    console = err() if json else out()
    try:
        with progress(console, plain=json) as view:
            trainer.register_event_handler(view.tell)
            go()
    except (KeyboardInterrupt, QianfanError) as error:
        if json:
            print_json(_document(trainer, error))
        # Wrong input does not get right by trying again, and without a file there is nothing to come back to.
        if not isinstance(error, InvalidArgumentError) and any(known["id"] == trainer.id for known in Trainer.list()):
            last_words.append(f"Go on with: qianfan trainer resume --trainer-id {trainer.id}")
        raise
    if json:
        print_json(_document(trainer))
    else:
        console.print(f"\n{trainer.result[0]}\ntrainer {trainer.id}", markup=False)


def _dataset(id: str | None, bos_path: str | None, file: Path | None) -> Any:
    """What to train on. A file is opened here, so that a wrong one is found before anything else happens."""
    from qianfan.dataset import Dataset

    if [id, bos_path, file].count(None) != 2:
        raise typer.BadParameter(
            "say what to train on with exactly one of --dataset-id, --dataset-bos-path and --dataset-file"
        )
    if file is not None:
        return Dataset.load(data_file=file)
    # A trainer would take any other text for the path of a file.
    if id is not None and not (id.isdigit() or id.startswith("ds-")):
        raise typer.BadParameter(
            f"{id!r} is no dataset id; it is a number or begins with ds-", param_hint="--dataset-id"
        )
    if bos_path is not None and not bos_path.startswith("bos:/"):
        raise typer.BadParameter(
            f"{bos_path!r} is no place in object storage; write it as bos:/bucket/path", param_hint="--dataset-bos-path"
        )
    return id or bos_path


def _train_config(file: Path | None, parameters: dict[str, Any]) -> TrainConfig:
    """The file's values with the options laid over them, and only then checked."""
    from qianfan.trainer import TrainConfig

    given = {name: value for name, value in parameters.items() if value is not None}
    return TrainConfig.load(file, **given) if file is not None else TrainConfig(**given)


def _deploy_config(options: dict[str, Any]) -> DeployConfig | None:
    from qianfan.model import DeployConfig
    from qianfan.resources.console.consts import DeployPoolType

    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return None
    pool = given.get("pool_type")
    if pool is not None:
        pools = {"private_resource": DeployPoolType.PrivateResource, "public_resource": DeployPoolType.PublicResource}
        given["pool_type"] = pools.get(str(pool).casefold().replace("-", "_"), pool)
    return DeployConfig.model_validate({"service_type": "Chat", **given})


def _document(trainer: Trainer, error: BaseException | None = None) -> dict[str, Any]:
    made = {key: value for key, value in trainer.made_so_far.items() if key not in ("model", "service")}
    document = {**trainer.info(), "result": made}
    if error is None:
        return document
    return {**document, "error": {"type": type(error).__name__, "message": str(error)}}


@app.command("list", epilog=_LIST)
def list_trainers(json: Json = False) -> None:
    """List the trainers that ran on this machine, the latest first."""
    from qianfan.cli.output import out, print_json, print_table
    from qianfan.trainer import Trainer

    found = [_known_facts(about) for about in Trainer.list()]
    if json:
        print_json(found)
    elif not found:
        out().print("No trainer has run on this machine yet.")
    else:
        print_table([_for_people(facts) for facts in found], _COLUMNS)


_FACTS = ("id", "kind", "name", "train_type", "status", "left_running", "updated")
_COLUMNS = {
    "id": "trainer",
    "train_type": "model",
    "status": "status",
    "updated": "updated (UTC)",
    "job_id": "job",
    "task_id": "task",
}


def _for_people(facts: dict[str, Any]) -> dict[str, Any]:
    status = f"{facts['status']} (left running)" if facts["left_running"] else facts["status"]
    return {**facts, "status": status, "updated": _to_the_minute(facts["updated"])}


def _to_the_minute(moment: str | None) -> str:
    return (moment or "")[:16].replace("T", " ")


def _known_facts(about: dict[str, Any]) -> dict[str, Any]:
    """What the file of a trainer says, without what only the trainer itself needs."""
    return {**{name: about.get(name) for name in _FACTS}, **(about.get("ids") or {})}


@app.command(epilog=_INFO)
def info(trainer_id: KnownTrainer = None, task_id: RemoteTask = None, json: Json = False) -> None:
    """Show a trainer of this machine, or ask the platform about a training task with one request."""
    from qianfan.cli.output import print_facts, print_json

    _require_one(trainer_id, task_id)
    facts = _task_facts(task_id) if task_id is not None else _trainer_facts(trainer_id)
    if json:
        print_json(facts)
    else:
        print_facts(facts)


@app.command(epilog=_STOP)
def stop(trainer_id: KnownTrainer = None, task_id: RemoteTask = None, json: Json = False) -> None:
    """Stop a training task on the platform: the one given, or the one of a trainer of this machine."""
    from qianfan._sync import run_sync
    from qianfan.cli.output import out, print_json
    from qianfan.errors import InternalError, InvalidArgumentError
    from qianfan.resources import Platform

    _require_one(trainer_id, task_id)
    task = task_id if task_id is not None else _trainer_facts(trainer_id).get("task_id")
    if task is None:
        raise InvalidArgumentError(f"trainer {trainer_id!r} has no training task that could be stopped")
    if not run_sync(Platform().finetune.stop_task, task):
        raise InternalError(f"the platform did not stop task {task!r}; qianfan trainer info --task-id {task} says why")
    if json:
        print_json({"task_id": task, "stopped": True})
    else:
        out().print(f"task {task} is told to stop", markup=False)


def _require_one(trainer_id: str | None, task_id: str | None) -> None:
    if (trainer_id is None) == (task_id is None):
        raise typer.BadParameter("say which one, by either --trainer-id or --task-id")


def _trainer_facts(trainer_id: str | None) -> dict[str, Any]:
    from qianfan.errors import InvalidArgumentError
    from qianfan.trainer import Trainer

    for about in Trainer.list():
        if about["id"] == trainer_id:
            return _known_facts(about)
    raise InvalidArgumentError(
        f"no trainer {trainer_id!r} ran on this machine; qianfan trainer list shows those that did"
    )


def _task_facts(task_id: str) -> dict[str, Any]:
    from qianfan._sync import run_sync
    from qianfan.resources import Platform

    task = run_sync(Platform().finetune.describe_task, task_id)
    return {**task.model_dump(mode="json", exclude_none=True), "progress": task.progress}

"""`qianfan trainer`: run trainings and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianfan.cli.exits import Exit

if TYPE_CHECKING:
    from qianfan.model import DeployConfig
    from qianfan.trainer import LLMFinetune

app = typer.Typer(help="Train, publish and deploy models, and look at what was trained.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]


def run(
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
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait; the remote work goes on after that.")] = None,
    on_interrupt: Annotated[
        str, typer.Option(help="What Ctrl-C means for the remote training: detach or stop.")
    ] = "detach",
    json: Json = False,
) -> int:
    """Train a model, publish it, and deploy it if a --deploy option is given.

    Options override the values of --train-config-file. Without deploy options nothing is deployed.

    Example: qianfan trainer run --train-type ERNIE-Speed-8K --dataset-file rows.jsonl --train-epoch 2
    """
    from qianfan.cli.output import err, out, print_json, progress
    from qianfan.trainer import LLMFinetune

    if on_interrupt not in ("detach", "stop"):
        raise typer.BadParameter(f"{on_interrupt!r} is neither detach nor stop", param_hint="--on-interrupt")
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
    console = err() if json else out()
    with progress(console, plain=json) as view:
        trainer.register_event_handler(view.tell)
        trainer.run(timeout=timeout, on_interrupt="stop" if on_interrupt == "stop" else "detach")
    if json:
        print_json(_document(trainer))
    else:
        console.print(f"\n{trainer.result[0]}", markup=False)
        console.print(f"trainer {trainer.id}", markup=False)
    return Exit.OK


app.command("run")(run)
app.command("finetune", help="The same as `trainer run`, under its newer name.")(run)


def _dataset(id: str | None, bos_path: str | None, file: Path | None) -> Any:
    given = [one for one in (id, bos_path, file) if one is not None]
    if len(given) != 1:
        raise typer.BadParameter(
            "say what to train on with exactly one of --dataset-id, --dataset-bos-path and --dataset-file"
        )
    return given[0]


def _train_config(file: Path | None, parameters: dict[str, Any]) -> dict[str, Any]:
    """The file's values with the options laid over them, checked together afterwards."""
    from qianfan.trainer import TrainConfig

    from_file = TrainConfig.load(file).model_dump(exclude_unset=True) if file is not None else {}
    return {**from_file, **{name: value for name, value in parameters.items() if value is not None}}


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


def _document(trainer: LLMFinetune) -> dict[str, Any]:
    result: dict[str, Any] = trainer.result[0] or {}
    plain = {key: value for key, value in result.items() if key not in ("model", "service")}
    return {**trainer.info(), "result": plain}


@app.command("list")
def list_trainers(json: Json = False) -> None:
    """List the trainers that ran on this machine, the latest first.

    Example: qianfan trainer list --json
    """
    from qianfan.cli.output import out, print_json, print_table
    from qianfan.trainer import Trainer

    found = [{name: about.get(name) for name in _FACTS} for about in Trainer.list()]
    if json:
        print_json(found)
    elif not found:
        out().print("No trainer has run on this machine yet.")
    else:
        flat = [{**about, **(about["ids"] or {})} for about in found]
        print_table(flat, {**_COLUMNS, "job_id": "job", "task_id": "task", "service_endpoint": "endpoint"})


_FACTS = ("id", "kind", "name", "train_type", "status", "updated", "ids")
_COLUMNS = {"id": "trainer", "kind": "kind", "train_type": "model", "status": "status", "updated": "updated"}


@app.command("info")
def info(
    trainer_id: Annotated[str | None, typer.Option(help="A trainer that ran on this machine.")] = None,
    task_id: Annotated[
        str | None, typer.Option(help="A training task on the platform; asks it with one request.")
    ] = None,
    json: Json = False,
) -> None:
    """Show one trainer of this machine, or one training task of the platform.

    Example: qianfan trainer info --task-id task-7d1m4z8w2pqc --json
    """
    from qianfan.cli.output import print_json, print_table

    if (trainer_id is None) == (task_id is None):
        raise typer.BadParameter("say exactly one of --trainer-id and --task-id")
    facts = _trainer_facts(trainer_id) if trainer_id is not None else _task_facts(str(task_id))
    if json:
        print_json(facts)
    else:
        rows = [{"name": name, "value": value} for name, value in facts.items() if value not in (None, "", {}, [])]
        print_table(rows, {"name": "", "value": ""})


def _trainer_facts(trainer_id: str) -> dict[str, Any]:
    from qianfan.trainer import Trainer

    return Trainer.load(trainer_id).info()


def _task_facts(task_id: str) -> dict[str, Any]:
    from qianfan._sync import run_sync
    from qianfan.resources import Platform

    task = run_sync(Platform().finetune.describe_task, task_id)
    return {**task.model_dump(mode="json", exclude_none=True), "progress": task.progress}

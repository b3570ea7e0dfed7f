"""`qianfan trainer`: run trainings, look at them, come back to them, stop them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianfan.cli.deciding import decide
from qianfan.cli.following import follow, resume_all
from qianfan.cli.invocation import Invocation
from qianfan.cli.looking import info, list_trainers, watch
from qianfan.cli.options import (
    DeployDescription,
    DeployEndpointPrefix,
    DeployName,
    DeployPoolType,
    DeployReplicas,
    DeployServiceType,
    Interrupt,
    Json,
    KnownTrainer,
    OnInterrupt,
    RemoteTask,
    RunJson,
    Submission,
    Timeout,
    require_one,
)
from qianfan.cli.stopping import stop_task, stop_trainer

if TYPE_CHECKING:
    from qianfan.model import DeployConfig
    from qianfan.trainer import TrainConfig, Trainer

_RUN = "Example: qianfan trainer {} --train-type ERNIE-Speed-8K --dataset-file rows.jsonl --train-epoch 2"
_ATTACH = "Example: qianfan trainer attach --task-id task-7d1m4z8w2pqc --deploy-service-type chat"
_LIST = "Example: qianfan trainer list --status held --json"
_INFO = "Example: qianfan trainer info --trainer-id kmdl2Nq55b --events"
_WATCH = "Example: qianfan trainer watch --trainer-id kmdl2Nq55b --from-start"
_RESUME = "Example: qianfan trainer resume --trainer-id kmdl2Nq55b"
_STOP = "Example: qianfan trainer stop --trainer-id kmdl2Nq55b"
_DECIDE = "Example: qianfan trainer decide --trainer-id kmdl2Nq55b --adopt task-7d1m4z8w2pqc"

app = typer.Typer(
    help="Train, publish and deploy models; look at trainings, come back to them, stop them.",
    epilog=_RUN.format("run"),
    no_args_is_help=True,
)


def training(kind_name: str) -> Callable[..., None]:
    """The command that runs trainers of one kind."""

    def run(
        context: typer.Context,
        train_type: Annotated[str | None, typer.Option(help="The base model, for example ERNIE-Speed-8K.")] = None,
        dataset_id: Annotated[str | None, typer.Option(help="A dataset on the platform: ds-… or a number.")] = None,
        dataset_bos_path: Annotated[str | None, typer.Option(help="Rows in object storage: bos:/bucket/path.")] = None,
        dataset_file: Annotated[Path | None, typer.Option(help="Rows in a local file; uploaded first.")] = None,
        train_config_file: Annotated[
            Path | None, typer.Option(help="Hyper-parameters in a .yaml or .json file.")
        ] = None,
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
        train_lora_all_linear: Annotated[
            str | None, typer.Option(help="LoRA on all linear layers: True or False.")
        ] = None,
        deploy_name: DeployName = None,
        deploy_endpoint_prefix: DeployEndpointPrefix = None,
        deploy_description: DeployDescription = None,
        deploy_replicas: DeployReplicas = None,
        deploy_pool_type: DeployPoolType = None,
        deploy_service_type: DeployServiceType = None,
        name: Annotated[str | None, typer.Option(help="Beginning of the job's name.")] = None,
        previous_task_id: Annotated[
            str | None, typer.Option(help="Go on from this finished training; its model is trained.")
        ] = None,
        trainer_pipeline_file: Annotated[
            Path | None,
            typer.Option(
                "--trainer-pipeline-file", "-f", help="Run the trainer that a file holds; nothing else is given."
            ),
        ] = None,
        submission: Annotated[
            Submission | None,
            typer.Option(help="strict: a person decides about every paid order of unknown fate.", show_default=False),
        ] = None,
        timeout: Timeout = None,
        on_interrupt: Interrupt = OnInterrupt.DETACH,
        json: RunJson = False,
    ) -> None:
        """Train a model, publish it, and deploy it if a --deploy option is given.

        Options override the values of --train-config-file. Without deploy options nothing is deployed.
        """
        from qianfan import trainer as trainers

        if trainer_pipeline_file is None and train_type is None and previous_task_id is None:
            raise typer.BadParameter("name the model to train, for example ERNIE-Speed-8K", param_hint="--train-type")
        kind: type[Trainer] = getattr(trainers, kind_name)
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
        given: dict[str, Any] = {
            "train_type": train_type,
            "dataset": _dataset(dataset_id, dataset_bos_path, dataset_file, may_lack=trainer_pipeline_file is not None),
            "train_config": _train_config(train_config_file, parameters),
            "deploy_config": _deploy_config(deployment),
            "name": name,
            "previous_task_id": previous_task_id,
            "submission": "strict" if submission is Submission.STRICT else None,
        }
        if trainer_pipeline_file is None:
            trainer = kind(**{name: value for name, value in given.items() if value is not None})
        else:
            _refuse_beside_a_file(given)
            trainer = kind.load(file=trainer_pipeline_file)
        follow(
            trainer,
            lambda: trainer.arun(timeout=timeout, on_interrupt=on_interrupt.value),
            on_interrupt=on_interrupt,
            last_words=context.ensure_object(Invocation).last_words,
            json=json,
        )

    return run


app.command("run", epilog=_RUN.format("run"))(training("LLMFinetune"))
app.command("finetune", epilog=_RUN.format("finetune"), help="The same as `trainer run`, under its newer name.")(
    training("LLMFinetune")
)
for _command, _kind, _what in (
    ("postpretrain", "PostPreTrain", "Go on with pre-training on plain text; nothing is published."),
    ("dpo", "DPO", "Train on pairs of a better and a worse answer."),
    ("kto", "KTO", "Train on answers that are marked as good or as bad."),
):
    app.command(_command, epilog=_RUN.format(_command), help=f"{_what} Takes the options of `trainer run`.")(
        training(_kind)
    )


@app.command(epilog=_ATTACH)
def attach(
    context: typer.Context,
    task_id: Annotated[str, typer.Option(help="A training task on the platform that was started elsewhere.")],
    deploy_name: DeployName = None,
    deploy_endpoint_prefix: DeployEndpointPrefix = None,
    deploy_description: DeployDescription = None,
    deploy_replicas: DeployReplicas = None,
    deploy_pool_type: DeployPoolType = None,
    deploy_service_type: DeployServiceType = None,
    timeout: Timeout = None,
    on_interrupt: Interrupt = OnInterrupt.DETACH,
    json: RunJson = False,
) -> None:
    """Wait for a training that was started elsewhere, publish its model, and deploy it if a --deploy option is given.

    Attaching to one task twice is the same run.
    """
    from qianfan.trainer import LLMFinetune

    deployment = {
        "name": deploy_name,
        "endpoint_prefix": deploy_endpoint_prefix,
        "description": deploy_description,
        "replicas": deploy_replicas,
        "pool_type": deploy_pool_type,
        "service_type": deploy_service_type,
    }
    trainer = LLMFinetune.attach(task_id, deploy_config=_deploy_config(deployment))
    follow(
        trainer,
        lambda: trainer.arun(timeout=timeout, on_interrupt=on_interrupt.value),
        on_interrupt=on_interrupt,
        last_words=context.ensure_object(Invocation).last_words,
        json=json,
    )


@app.command(epilog=_RESUME)
def resume(
    context: typer.Context,
    trainer_id: KnownTrainer = None,
    all_: Annotated[
        bool, typer.Option("--all", help="All that were interrupted and that no process drives, side by side.")
    ] = False,
    resubmit: Annotated[
        bool, typer.Option("--resubmit", help="Order anew what failed, which costs again: a task, or a service.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Drive it although another process may; that one drops it.")
    ] = False,
    timeout: Timeout = None,
    on_interrupt: Interrupt = OnInterrupt.DETACH,
    json: RunJson = False,
) -> None:
    """Go on with a trainer that was interrupted or failed; what is done is kept, and no job is ordered twice.

    One that another process drives is followed to its end. With --all the exit code is that of the trainers that ended
    badly if it is one and the same, else 1.
    """
    from qianfan.trainer import Trainer

    last_words = context.ensure_object(Invocation).last_words
    if (trainer_id is None) != all_:
        raise typer.BadParameter("say which one, by either --trainer-id or --all")
    if trainer_id is None:
        if resubmit or take_over:
            raise typer.BadParameter("--resubmit and --take-over are for one trainer, which --trainer-id names")
        resume_all(timeout=timeout, on_interrupt=on_interrupt, last_words=last_words, json=json)
        return
    trainer = Trainer.load(trainer_id)
    follow(
        trainer,
        lambda: trainer.aresume(
            resubmit=resubmit, take_over=take_over, timeout=timeout, on_interrupt=on_interrupt.value
        ),
        on_interrupt=on_interrupt,
        last_words=last_words,
        json=json,
    )


@app.command(epilog=_STOP)
def stop(
    context: typer.Context, trainer_id: KnownTrainer = None, task_id: RemoteTask = None, json: Json = False
) -> None:
    """Stop a trainer and its remote training, whichever process drives it; or just a training task on the platform.

    The wish is written down first, so that a crash on the way loses nothing: the next stop or resume finishes it.
    """
    require_one(trainer_id, task_id)
    if trainer_id is not None:
        stop_trainer(trainer_id, last_words=context.ensure_object(Invocation).last_words, json=json)
    elif task_id is not None:
        stop_task(task_id, json=json)


app.command("list", epilog=_LIST)(list_trainers)
app.command("info", epilog=_INFO)(info)
app.command("watch", epilog=_WATCH)(watch)
app.command("decide", epilog=_DECIDE)(decide)


def _refuse_beside_a_file(given: dict[str, Any]) -> None:
    """The file of --trainer-pipeline-file says everything; what stands beside it would be ignored."""
    train_config = given.pop("train_config")
    if any(value is not None for value in given.values()) or train_config.model_fields_set:
        raise typer.BadParameter(
            "the file says what is trained on what, and how; leave the other options out",
            param_hint="--trainer-pipeline-file",
        )


def _dataset(id: str | None, bos_path: str | None, file: Path | None, *, may_lack: bool = False) -> Any:
    """What to train on. A file is opened here, so that a wrong one is found before anything else happens."""
    from qianfan.dataset import Dataset

    if may_lack and (id, bos_path, file) == (None, None, None):
        return None
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

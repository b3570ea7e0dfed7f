"""Stopping trainers and training tasks."""

from __future__ import annotations


def stop_trainer(trainer_id: str, *, last_words: list[str], json: bool) -> None:
    """Stop a trainer of this machine; InternalError when it is over and cannot be stopped any more."""
    from qianfan.cli.facts import known_facts
    from qianfan.cli.output import err, out, print_json
    from qianfan.config import default_settings
    from qianfan.errors import InternalError, JournalError, QianfanError
    from qianfan.trainer import Trainer

    facts = Trainer.describe(trainer_id)  # begins no journal where there is none
    if facts["run_status"] in ("done", "failed"):
        task = facts["ids"].get("task_id")
        hint = f"; qianfan trainer stop --task-id {task} asks the platform" if task is not None else ""
        raise InternalError(f"trainer {trainer_id} is over already ({facts['status']}): nothing to stop{hint}")
    if facts["needs_decision"]:
        seconds = default_settings().submit_settle_seconds
        err().print(f"Looking for its order of unknown fate first, for up to {seconds:g} s.", markup=False)
    try:
        facts = Trainer.cancel(trainer_id)
    except (KeyboardInterrupt, QianfanError) as error:
        if not isinstance(error, JournalError):
            last_words.append(
                f"The wish is written down. Finish the stop with: qianfan trainer stop --trainer-id {trainer_id}"
            )
        raise
    stopped = facts["run_status"] == "cancelled"
    if json:
        print_json({**known_facts(facts), "stopped": stopped})
    elif stopped:
        task = facts["ids"].get("task_id")
        out().print(f"trainer {trainer_id} is stopped" + (f": task {task}" if task else ""), markup=False)
    else:
        out().print(
            f"trainer {trainer_id} is told to stop; process {facts['driven_by']} ends it at its next look at the task",
            markup=False,
        )


def stop_task(task_id: str, *, json: bool) -> None:
    """Stop a training task on the platform."""
    from qianfan._sync import run_sync
    from qianfan.cli.output import out, print_json
    from qianfan.errors import InternalError
    from qianfan.resources import Platform

    if not run_sync(Platform().finetune.stop_task, task_id):
        raise InternalError(
            f"the platform did not stop task {task_id!r}; qianfan trainer info --task-id {task_id} says why"
        )
    if json:
        print_json({"task_id": task_id, "stopped": True})
    else:
        out().print(f"task {task_id} is told to stop", markup=False)

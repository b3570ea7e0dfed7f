"""Looking at trainers, which changes nothing: list, info, watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianfan.cli.exits import Exit
from qianfan.cli.facts import (
    COLUMNS,
    DECISION_COLUMNS,
    STEP_COLUMNS,
    for_people,
    in_words,
    known_facts,
    orders_for_people,
    status_words,
    steps_for_people,
)
from qianfan.cli.invocation import Invocation
from qianfan.cli.options import Json, KnownTrainer, RemoteTask, RunState, require_one

if TYPE_CHECKING:
    from qianfan.pipeline import Event


def list_trainers(
    status: Annotated[RunState | None, typer.Option(help="Only those that stand so.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """List the trainers that ran on this machine, the latest first."""
    from qianfan.cli.output import out, print_json, print_table
    from qianfan.trainer import Trainer

    found = [known_facts(about) for about in Trainer.list() if status is None or about["run_status"] == status.value]
    if json:
        print_json(found)
    elif not found:
        out().print("No trainer has run on this machine yet." if status is None else f"No trainer is {status.value}.")
    else:
        print_table([for_people(facts) for facts in found], COLUMNS)


def info(
    trainer_id: KnownTrainer = None,
    task_id: RemoteTask = None,
    events: Annotated[bool, typer.Option("--events", help="Also the events that were kept of the trainer.")] = False,
    json: Json = False,
) -> None:
    """Show a trainer of this machine, its steps and orders; or ask the platform about a task with one request."""
    require_one(trainer_id, task_id)
    if trainer_id is not None:
        _show_trainer(trainer_id, with_events=events, json=json)
    elif events:
        raise typer.BadParameter("--events is about a trainer, which --trainer-id names", param_hint="--events")
    elif task_id is not None:
        _show_task(task_id, json=json)


def _show_trainer(trainer_id: str, *, with_events: bool, json: bool) -> None:
    from qianfan.cli.output import EventLines, out, print_facts, print_json, print_table
    from qianfan.trainer import Trainer

    described = Trainer.describe(trainer_id)
    facts = known_facts(described)
    events = Trainer.history(trainer_id) if with_events else []
    if json:
        more = {"events": [event.to_dict() for event in events]} if with_events else {}
        print_json({**facts, "steps": described["steps"], "to_decide": described["to_decide"], **more})
        return
    console = out()
    print_facts(in_words(facts))
    if described["steps"]:
        console.print()
        print_table(steps_for_people(described["steps"]), STEP_COLUMNS)
        for error in dict.fromkeys(step["error"] for step in described["steps"] if step["error"]):
            console.print(f"\n{error}", markup=False)
    if described["to_decide"]:
        console.print("\nA person has to decide about:")
        print_table(orders_for_people(described["to_decide"]), DECISION_COLUMNS)
    if events:
        console.print()
        lines = EventLines(console)
        for event in events:
            lines.tell(event)


def _show_task(task_id: str, *, json: bool) -> None:
    from qianfan._sync import run_sync
    from qianfan.cli.output import print_facts, print_json
    from qianfan.resources import Platform

    task = run_sync(Platform().finetune.describe_task, task_id)
    facts = {**task.model_dump(mode="json", exclude_none=True), "progress": task.progress}
    if json:
        print_json(facts)
    else:
        print_facts(facts)


def watch(
    context: typer.Context,
    trainer_id: Annotated[str, typer.Option(help="A trainer that ran on this machine: see trainer list.")],
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the events kept from before.")] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to watch; the run goes on after that.", min=0, show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line; the last is the end.")] = False,
) -> None:
    """Follow a run that another process drives, one line for each event, without ever driving it. Ctrl-C just leaves.

    Progress is written down about once a minute.

    Exit codes: 0 the run is done, 1 it failed or was stopped, 5 a person has to decide, 7 nobody drives it, so that
    trainer resume has to, 124 --timeout ran out.
    """
    from qianfan.cli.output import EventLines, out, print_json_line
    from qianfan.trainer import Trainer

    facts = Trainer.describe(trainer_id)
    lines = EventLines(out())
    if not json:
        lines.write(f"trainer {trainer_id} of {facts['train_type']}: {status_words(facts)}")

    def show(event: Event) -> None:
        if json:
            print_json_line(event.to_dict())
        else:
            lines.tell(event)

    after = -1 if from_start else None
    while True:
        for event in Trainer.watch(trainer_id, after=after, timeout=timeout):
            after = event.sequence
            show(event)
        facts = Trainer.describe(trainer_id)
        if not (facts["run_status"] == "open" and facts["driven_by"] is not None):
            break  # else somebody has just taken it up again
    code, text, way_on = _end(facts)
    if json:
        print_json_line({"kind": "end", "trainer": known_facts(facts)})
    else:
        lines.write(text)
    if way_on is not None:
        context.ensure_object(Invocation).last_words.append(way_on)
    raise typer.Exit(code)


def _end(facts: dict[str, Any]) -> tuple[Exit, str, str | None]:
    """What the end of a watch means: the exit code, in words, and what to do next."""
    id, status = facts["id"], facts["run_status"]
    if status == "done":
        return Exit.OK, f"trainer {id} is done", None
    if status == "cancelled":
        return Exit.FAILED, f"trainer {id} was stopped", None
    if status == "failed":
        reasons = [step["error"] for step in facts["steps"] if step["phase"] == "failed" and step["error"]]
        return Exit.FAILED, f"trainer {id} has failed: {reasons[0] if reasons else facts['status']}", None
    if status == "held":
        way_on = f"Decide with: qianfan trainer decide --trainer-id {id}"
        return Exit.DECISION, f"a person has to decide about an order of trainer {id}", way_on
    way_on = f"Go on with: qianfan trainer resume --trainer-id {id}"
    return Exit.LEFT_ALONE, f"nobody drives trainer {id}", way_on

"""`qianfan trainer decide`: what a person says about orders of unknown fate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from qianfan.cli.exits import Exit, exit_code
from qianfan.cli.facts import DECISION_COLUMNS, orders_for_people
from qianfan.cli.invocation import Invocation
from qianfan.cli.options import Json, KnownTrainers


def decide(
    context: typer.Context,
    trainer_ids: KnownTrainers = None,
    all_: Annotated[bool, typer.Option("--all", help="All trainers that need a decision, each by itself.")] = False,
    order: Annotated[
        str | None, typer.Option(help="Which order, where a trainer has several.", show_default=False)
    ] = None,
    adopt: Annotated[
        str | None, typer.Option(help="You found what it made: go on with that.", metavar="ID", show_default=False)
    ] = None,
    resubmit: Annotated[bool, typer.Option("--resubmit", help="It made nothing for certain: order it again.")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Give it up.")] = False,
    json: Json = False,
) -> None:
    """Decide about orders that got no clear answer, after looking for what they made in the console.

    Without --adopt, --resubmit or --fail it shows what there is to decide. Nothing is sent; trainer resume goes on.

    Exit codes: 5 there is something to decide, 6 another live process drives the run.
    """
    if all_ and trainer_ids:
        raise typer.BadParameter("say which ones, by either --trainer-id or --all")
    made = [adopt is not None, resubmit, fail].count(True)
    if made > 1:
        raise typer.BadParameter("decide one of --adopt, --resubmit and --fail")
    if made == 0:
        _show(trainer_ids, json=json)
        return
    if not all_ and not trainer_ids:
        raise typer.BadParameter("say what about, by either --trainer-id or --all")
    if all_ and (adopt is not None or order is not None):
        raise typer.BadParameter("--adopt and --order are for one trainer, which --trainer-id names")
    decision = {"adopt": adopt, "resubmit": resubmit, "fail": fail}
    last_words = context.ensure_object(Invocation).last_words
    if trainer_ids:
        _decide(trainer_ids, order, decision, last_words=last_words, json=json)
    else:
        _decide_all(decision, last_words=last_words, json=json)


def _to_decide(trainer_ids: list[str] | None) -> list[dict[str, Any]]:
    from qianfan.trainer import Trainer

    ids = trainer_ids or [known["id"] for known in Trainer.list() if known["needs_decision"]]
    return [order for id in ids for order in Trainer.describe(id)["to_decide"]]


def _show(trainer_ids: list[str] | None, *, json: bool) -> None:
    from qianfan.cli.output import out, print_json, print_table

    orders = _to_decide(trainer_ids)
    if json:
        print_json(orders)
    elif not orders:
        out().print("There is nothing to decide.")
    else:
        print_table(orders_for_people(orders), DECISION_COLUMNS)
        out().print(
            "\nLook for it in the console, then decide with qianfan trainer decide --trainer-id and one of:\n"
            "  --adopt ID   it is there, and this is its id\n"
            "  --resubmit   it is certainly not there: order it again\n"
            "  --fail       give it up",
            markup=False,
        )
    raise typer.Exit(Exit.DECISION if orders else Exit.OK)


def _decide(ids: list[str], order: str | None, decision: dict[str, Any], *, last_words: list[str], json: bool) -> None:
    """One decision about all of these, or about none of them when one cannot be decided."""
    from qianfan.trainer import Trainer

    for id in ids:
        Trainer.describe(id)  # begins no journal where there is none
    _tell(ids, Trainer.decide(ids, order, **decision), {}, last_words=last_words, json=json)


def _decide_all(decision: dict[str, Any], *, last_words: list[str], json: bool) -> None:
    """One decision about each order by itself: that a live process still holds one must not keep back the others."""
    from qianfan.errors import QianfanError
    from qianfan.trainer import Trainer

    decided: list[str] = []
    going_on: list[str] = []
    errors: dict[str, QianfanError] = {}
    for order in _to_decide(None):
        id = order["trainer_id"]
        try:
            going_on += Trainer.decide(id, order["node"], **decision)
            decided.append(id)
        except QianfanError as error:
            errors[id] = error
    _tell(decided, going_on, errors, last_words=last_words, json=json)
    codes = {exit_code(error) for error in errors.values()}
    raise typer.Exit(codes.pop() if len(codes) == 1 else Exit.FAILED if codes else Exit.OK)


def _tell(
    decided: list[str], going_on: list[str], errors: dict[str, Any], *, last_words: list[str], json: bool
) -> None:
    from qianfan.cli.following import error_facts
    from qianfan.cli.output import out, print_json

    if json:
        failed = {id: error_facts(error) for id, error in errors.items()}
        print_json({"decided": decided, "go_on": going_on, "errors": failed})
    elif not decided and not errors:
        out().print("There is nothing to decide.")
    for id in [] if json else decided:
        out().print(f"trainer {id} {'can go on' if id in going_on else 'is given up'}", markup=False)
    last_words += [f"Error: {error}" for error in errors.values()]
    if going_on:
        which = f"--trainer-id {going_on[0]}" if len(going_on) == 1 else "--all"
        last_words.append(f"Go on with: qianfan trainer resume {which}")

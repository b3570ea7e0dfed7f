"""The gate of a trainer: whether the evaluated model is good enough for what comes next.

It is said by a rule about metrics (see `rules`), or by a function of the EvaluationResult. The decision is made once,
and kept; where it is no, the steps behind it are skipped.
"""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

from pydantic import SkipValidation

from qianfan._sync import in_user_thread
from qianfan.errors import InvalidArgumentError, describe
from qianfan.evaluation import EvaluationResult
from qianfan.pipeline import Action, Context
from qianfan.trainer.artefacts import Evaluation, GateDecision
from qianfan.trainer.rules import Rule, parse_rule
from qianfan.utils.logging import logger

__all__ = ["DeployIf", "GateAction", "GateRule", "gate_rule_of", "kept_gate_rule"]

DeployIf: TypeAlias = str | Mapping[str, str] | Callable[[EvaluationResult], bool | Awaitable[bool]]
"""`"accuracy >= 0.8"`, `{"accuracy": ">= 0.8"}`, or a function of the result, plain or async."""


ANSWERED = "answered"
"""The share of the rows that were answered and judged, from 0 to 1. A rule that does not name it wants all of them."""


def measured(result: EvaluationResult) -> dict[str, Any]:
    """The metrics that a rule is about."""
    rows = [*result.result_dataset]
    good = sum(not row.get("error") for row in rows)
    return {**({ANSWERED: good / len(rows)} if rows else {}), **result.summary}


class GateRule(ABC):
    """What a gate decides by.

    kept: what makes it again in another process, as JSON values. told: what people are told it is.
    """

    def __init__(self, kept: dict[str, str], told: str) -> None:
        self.kept = kept
        self.told = told

    @abstractmethod
    async def decide(self, result: EvaluationResult) -> bool:
        """Whether the model is good enough."""

    def check(self) -> None:
        """Raise InvalidArgumentError when it could not decide."""
        return  # most can


class _ByMetrics(GateRule):
    def __init__(self, rule: Rule) -> None:
        super().__init__({"rule": str(rule)}, str(rule))
        self._rule = rule

    async def decide(self, result: EvaluationResult) -> bool:
        metrics = measured(result)
        # A model that failed on most rows may be right on the few that are left.
        if metrics.get(ANSWERED, 1.0) < 1.0 and ANSWERED not in self.told:
            return False
        return self._rule.holds(metrics)


class _ByFunction(GateRule):
    def __init__(self, function: Callable[[EvaluationResult], Any], kept: dict[str, str]) -> None:
        super().__init__(kept, _called(kept))
        self._function = function

    async def decide(self, result: EvaluationResult) -> bool:
        if inspect.iscoroutinefunction(self._function):
            answer = await self._function(result)
        else:
            answer = await in_user_thread(self._function, result)
            if inspect.isawaitable(answer):
                answer = await answer
        # Bools of numpy come from comparing its numbers; anything else would be a guess about money.
        if not isinstance(answer, bool) and type(answer).__name__ not in ("bool", "bool_"):
            said = "nothing" if answer is None else f"{type(answer).__name__}"
            raise InvalidArgumentError(f"{self.told} must say True or False, and returned {said}")
        return bool(answer)


class _Lost(GateRule):
    """Stands for a function that this process cannot find. It decides nothing, and is kept as the lost one is."""

    def __init__(self, kept: dict[str, str], why: str) -> None:
        super().__init__(kept, _called(kept))
        self._why = why

    def check(self) -> None:
        raise InvalidArgumentError(
            f"the trainer deploys only if {self.told} says so, and that cannot be found here: {self._why}. Give it "
            "again: load(..., deploy_if=function)"
        )

    async def decide(self, result: EvaluationResult) -> bool:
        self.check()
        return False


def gate_rule_of(given: DeployIf | GateRule) -> GateRule:
    """The rule that a user means. Raises InvalidArgumentError for what is none."""
    if isinstance(given, GateRule):
        return given
    if isinstance(given, (str, Mapping)):
        return _ByMetrics(parse_rule(given))
    if callable(given):
        return _ByFunction(given, _kept(given))
    raise InvalidArgumentError(
        f"deploy_if must be a rule such as 'accuracy >= 0.8', a dictionary of them, or a function, not {given!r}"
    )


def kept_gate_rule(kept: Mapping[str, Any], given: DeployIf | None = None) -> GateRule:
    """The rule that `kept` describes. given: the function, where it may not be found in this process.

    Imports the function's module.
    """
    if "rule" in kept:
        if given is not None:
            raise InvalidArgumentError(f"the trainer has its rule, {kept['rule']!r}; deploy_if is for a lost function")
        return _ByMetrics(parse_rule(str(kept["rule"])))
    known = {str(name): str(value) for name, value in kept.items()}
    if given is not None:
        if not callable(given):
            raise InvalidArgumentError(f"the trainer decides by {_called(known)}, which {given!r} cannot replace")
        return _ByFunction(given, known)
    if _IMPORTED not in known:
        return _Lost(known, "it was not a function at the top level of a module")
    try:
        return _ByFunction(_at(known[_IMPORTED]), known)
    except Exception as error:  # a module of the user's own may fail in any way
        return _Lost(known, describe(error))


_IMPORTED, _GIVEN = "function", "given"
"""What a function is kept under: where it is imported from, or what it was called that must be given again."""


def _kept(function: Callable[..., Any]) -> dict[str, str]:
    named = function if hasattr(function, "__qualname__") else type(function)
    path = f"{named.__module__}:{named.__qualname__}"
    try:
        found = _at(path)
    except Exception:
        found = None
    if found is function:
        return {_IMPORTED: path}
    logger.info("deploy_if=%s cannot be imported, so another process must be given it again", path)
    return {_GIVEN: path}


def _called(kept: Mapping[str, str]) -> str:
    return f"{(kept.get(_IMPORTED) or kept[_GIVEN]).replace(':', '.')}()"


def _at(path: str) -> Any:
    module, _, name = path.partition(":")
    found: Any = sys.modules["__main__"] if module == "__main__" else import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


class GateAction(Action[GateDecision]):
    """Decide by an evaluation whether what comes behind is to happen.

    rule: see `gate_rule_of`.
    """

    rule: SkipValidation[GateRule]

    async def run(self, evaluation: Evaluation, ctx: Context) -> GateDecision:
        passed = ctx.notes.get("passed")
        if passed is None:
            passed = await self.rule.decide(evaluation.eval_res)
            await ctx.note(passed=passed)  # a function is not asked again, whatever happens from here on
        decision = GateDecision(
            passed=passed, rule=self.rule.told, metrics=measured(evaluation.eval_res), made_from=evaluation
        )
        told = "good enough" if passed else "not good enough"
        ctx.report(f"the model is {told}: {decision.rule} with {decision.metrics}", decision.gate)
        logger.info("%s: the model is %s (%s)", self.id, told, decision.rule)
        return decision

    def parameters(self) -> Any:
        """The rule, by what makes it again in another process."""
        return {"rule": self.rule.kept}

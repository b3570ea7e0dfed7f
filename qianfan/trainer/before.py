"""Evaluating a published model that is not deployed, so that a gate can decide whether it ever is.

Evaluators of the platform judge the model there. Local ones judge answers that the model gives in a batch inference.
Both are paid for, and both are ordered once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qianfan.config import Settings
from qianfan.dataset.sources import LocalSource
from qianfan.errors import InvalidArgumentError
from qianfan.evaluation import QianfanEvaluator, QianfanManualEvaluator
from qianfan.pipeline import Context
from qianfan.trainer.actions import EvaluateAction, platform_of
from qianfan.trainer.artefacts import Evaluation, PublishedModel
from qianfan.trainer.loading import is_lost, source_of

__all__ = ["EvaluateModelAction", "evaluation_before"]


class EvaluateModelAction(EvaluateAction):
    """Have evaluators judge what the published model says to the questions of a dataset. Deploys nothing."""

    @property
    def kind(self) -> type[Any]:
        return EvaluateAction

    async def run(self, model: PublishedModel, ctx: Context) -> Evaluation:  # type: ignore[override]  # no service yet
        model.connect(platform_of(ctx).client)
        return await self.evaluated(model.model, model, f"model {model.model_id}", ctx)

    def check_bucket(self, settings: Settings) -> None:
        """Raise InvalidArgumentError when there is no bucket for what has to pass through one."""
        judged_there = any(isinstance(one, QianfanEvaluator) for one in self.evaluators)
        is_local = isinstance(source_of(self.eval_dataset), LocalSource)
        if settings.bos_bucket is None and (is_local or not judged_there):
            what = "rows of this machine" if judged_there else "the questions and answers of a model without a service"
            raise InvalidArgumentError(f"evaluating needs a bucket of yours for {what}: set QIANFAN_BOS_BUCKET")


def evaluation_before(eval_dataset: Any, evaluators: Sequence[Any] | None, id: str) -> EvaluateModelAction:
    """The evaluate step of a trainer with a gate. Raises InvalidArgumentError when it could not work."""
    if eval_dataset is None or not evaluators:
        raise InvalidArgumentError(
            "deploy_if decides by an evaluation: give eval_dataset, whose questions are asked, and evaluators, which "
            "judge the answers"
        )
    if any(isinstance(one, QianfanManualEvaluator) for one in evaluators):
        raise InvalidArgumentError(
            "deploy_if cannot wait for people, and a QianfanManualEvaluator gives no metrics before they have judged: "
            "use QianfanRuleEvaluator, QianfanRefereeEvaluator or evaluators of your own, or leave deploy_if out and "
            "deploy the model yourself"
        )
    if not is_lost(eval_dataset):  # then the rest of the trainer can still be gone on with, or stopped
        source_of(eval_dataset)
    action = EvaluateModelAction(id=id, eval_dataset=eval_dataset, evaluators=evaluators)
    action.kept_evaluators()
    return action

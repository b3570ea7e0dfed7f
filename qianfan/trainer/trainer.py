"""The trainers: one object from a dataset to a deployed model.

A trainer builds a pipeline and runs it. `run()` blocks, `arun()` is its async truth; `start()` and `wait()` work in the
background; `stop()` may be called from anywhere. What a trainer does is kept in a journal, so that `resume()` goes on
after a failure, a stop or the end of the process, without ordering anything twice.
"""

from __future__ import annotations

from typing import Any

from qianfan.resources.console.consts import DataFormat, DataTemplateType, TrainMode
from qianfan.trainer.arguments import TrainConfigLike
from qianfan.trainer.assembly import Handlers
from qianfan.trainer.by_id import TrainerById
from qianfan.trainer.saving import KINDS

__all__ = ["DPO", "KTO", "Finetune", "LLMFinetune", "PostPreTrain", "Trainer"]

# Each class behind `Trainer` adds one idea to the one before it: `assembly` what a trainer is made of, `saving` how it
# outlives its process, `running` its run, `by_id` what can be done about runs by their ids alone.


class Trainer(TrainerById):
    """What all trainers share: a pipeline, its runs, and what became of them.

    train_type: the base model, by its name of today or an older one.
    dataset: a Dataset, a DatasetConfig, an id (`ds-…`, a number), a file, a `bos:/…` path, or a list of these.
    train_config: hyper-parameters; a TrainConfig, a dictionary, or a `.yaml` or `.json` file. The model's defaults fill
        in what is left out.
    deploy_config: deploy the model when it is ready; without it nothing is deployed.
    eval_dataset, evaluators: ask the deployed model the questions of a dataset, and have these judge its answers.
    deploy_if: evaluate first, and deploy only a model that is good enough: `"accuracy >= 0.8"`, a dictionary such as
        `{"accuracy": ">= 0.8"}`, or a function of the EvaluationResult, plain or async. The decision is in
        `result[0]["gate"]`; where it is no, nothing is deployed and the run ends well.
    post_actions: actions of your own that come after all others, see `Action`; their ids should be your own too.
    event_handler: an EventHandler, a function of one event (plain or async), or several of these.
    name: the beginning of the job's name. client: the account to use; by default the configured one.
    id: names the trainer and its run in the journal; made up when left out.
    submission: "strict" has a person decide about every paid order of unknown fate, whatever the settings say.

    Making a trainer sends nothing. It raises ValidationError when the configuration cannot be right, with all problems
    at once.
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        KINDS[cls.__name__] = cls


class LLMFinetune(Trainer):
    """Supervised fine-tuning: from conversations to a published, and if asked for deployed, model.

    ```python
    trainer = LLMFinetune(train_type="ERNIE-Speed-8K", dataset=ds, deploy_config=DeployConfig(service_type="Chat"))
    trainer.run()
    trainer.result[0]["service"].exec({"messages": [{"role": "user", "content": "hi"}]})["result"]
    ```
    """


Finetune = LLMFinetune
"""The name of newer documentation; one class."""


class PostPreTrain(Trainer):
    """Further pre-training on plain text. Its result is the base of a fine-tuning; nothing is published."""

    mode = TrainMode.PostPretrain
    template = DataTemplateType.GenericText
    publishes = False

    def __init__(
        self,
        train_type: str | None = None,
        dataset: Any = None,
        train_config: TrainConfigLike | None = None,
        event_handler: Handlers | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        # There is no deployment, so its place among the arguments is the next one's.
        super().__init__(train_type, dataset, train_config, event_handler=event_handler, name=name, **settings)


class DPO(Trainer):
    """Preference training on pairs of a better and a worse answer."""

    mode = TrainMode.DPO
    data_format = DataFormat.DPOPromptChosenRejected
    template = DataTemplateType.PromptChosenRejected


class KTO(Trainer):
    """Preference training on answers that are marked as good or as bad, one for each question."""

    mode = TrainMode.KTO
    data_format = DataFormat.KTOPromptChosenRejected
    template = None
    """The kind has no number on the platform."""

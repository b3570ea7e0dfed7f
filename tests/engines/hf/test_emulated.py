"""The engine `hf` behind the platform's calls: the documented script, unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qianfan.emulator import Emulator, sample_path
from qianfan.trainer import LLMFinetune
from qianfan.trainer.configs import DeployConfig


def learnt(emulator: Emulator, **config: Any) -> Any:
    return LLMFinetune(
        train_type="ERNIE-Speed-8K",
        dataset=str(sample_path()),
        train_config=config,
        deploy_config=DeployConfig(service_type="Chat"),
        eval_split_ratio=0,
    ).run()


def asked(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}]}


def test_rows_are_learnt_published_deployed_and_asked() -> None:
    with Emulator(engine="hf") as emulator:
        trainer = learnt(emulator, epoch=12, peft_type="LoRA")
        [task] = emulator.tasks.values()
        losses = [loss for _, loss in emulator.curve(task.id).training]
        service = trainer.result[0]["service"]
        whole = service.exec(asked("Define an epoch."))
        pieces = [piece["result"] for piece in service.exec(asked("Define an epoch."), stream=True)]
    assert losses[-1] < losses[0] / 10
    assert whole["result"] == "".join(pieces) == "One full pass over all the training data."
    assert len(pieces) > 1
    assert whole["usage"]["completion_tokens"] > 3


def test_a_model_of_the_user_s_own(pretrained: Path) -> None:
    """A folder stands for the platform's model; one step of training and its answers are those of this model."""
    with Emulator(base={"ERNIE-Speed-8K": pretrained}) as emulator:
        assert emulator.engine == "hf"
        trainer = learnt(emulator, epoch=1, peft_type="LoRA")
        assert trainer.result[0]["service"].exec(asked("Define an epoch."))["usage"]["completion_tokens"] > 0
        [model] = emulator.models.values()
        assert model.state == "Ready"

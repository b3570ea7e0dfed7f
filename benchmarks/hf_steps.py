"""What does the engine `hf` cost, beside a plain script that trains the same with trl?

Both train the same model on the same rows in one process, in turn; the time of a step is the median of all but the
first few. Needs the extra `train`. Run it as `HF_HUB_OFFLINE=1 python -m benchmarks.hf_steps`, with a model's folder
or with the size of an untrained one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import datasets
import torch
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer

from qianfan.engines.hf import HfBackend
from qianfan.engines.hf.device import device, precision
from qianfan.engines.hf.tokenizing import train_tokenizer
from qianfan.engines.rows import Dialogue, Message
from qianfan.engines.spec import Metrics, TrainSpec

WARM_UP: Final = 5
"""Steps that do not count: the first ones pay for what is put off until then."""
RATE: Final = 1e-4


@dataclass(frozen=True)
class Task:
    """What is trained. file: with the rows."""

    wanted: argparse.Namespace
    base: Path
    rows: list[Dialogue]
    file: Path


Train = Callable[[Task, Path, Callable[[], None]], None]
"""Trains in a folder, and calls the function at the end of each step."""


def main() -> None:
    wanted = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = make_rows(wanted.batch * wanted.steps, wanted.words)
        base = wanted.base or make_base(folder / "base", rows, wanted.width, wanted.layers)
        file = folder / "rows.jsonl"
        file.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
        compare(Task(wanted, base, rows, file), folder)


def compare(task: Task, folder: Path) -> None:
    """Train both ways in turn, and print what a step took."""
    step_seconds(plain_script, task, folder / "first")  # GPU kernels are compiled when they are first needed
    by_script: list[float] = []
    by_engine: list[float] = []
    for number in range(task.wanted.rounds):
        by_script += step_seconds(plain_script, task, folder / f"script-{number}")
        by_engine += step_seconds(engine, task, folder / f"engine-{number}")
    script, ours = statistics.median(by_script), statistics.median(by_engine)
    name = torch.cuda.get_device_name() if device().type == "cuda" else "CPU"
    print(f"{task.wanted.scale} on {name}, {task.wanted.batch} rows of about {2 * task.wanted.words} words at once")
    print(f"{'engine hf':<34} {1e3 * ours:7.1f} ms a step")
    print(f"{'plain trl':<34} {1e3 * script:7.1f} ms a step")
    print(f"{'ratio':<34} {ours / script:7.3f}")


def step_seconds(train: Train, task: Task, folder: Path) -> list[float]:
    """Seconds between the ends of steps."""
    ends: list[float] = []
    train(task, folder, lambda: ends.append(time.perf_counter()))
    return [after - before for before, after in zip(ends[WARM_UP:], ends[WARM_UP + 1 :], strict=False)]


def engine(task: Task, folder: Path, tell: Callable[[], None]) -> None:
    """The engine's way."""
    values = {"epoch": 1, "learningRate": RATE, "batchSize": task.wanted.batch, "maxSeqLen": 4096, "loraRank": 8}
    spec = TrainSpec(
        engine="hf",
        mode="SFT",
        scale=task.wanted.scale,
        model="benchmark",
        base=task.base,
        train_file=task.file,
        folder=folder,
        hyper_parameters=values,
    )
    backend = HfBackend()
    backend.train(spec, backend.plan(spec), lambda told: tell() if isinstance(told, Metrics) else None, lambda: False)


class _Steps(TrainerCallback):
    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" in logs:
            self._tell()


def plain_script(task: Task, folder: Path, tell: Callable[[], None]) -> None:
    """What one would write by hand."""
    is_full, cuda = task.wanted.scale == "FullFineTuning", device().type == "cuda"
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    turns = [[message.model_dump() for message in row.messages] for row in task.rows]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(task.base, dtype=torch.float32 if is_full else precision()),
        args=SFTConfig(
            output_dir=str(folder),
            num_train_epochs=1,
            learning_rate=RATE,
            per_device_train_batch_size=task.wanted.batch,
            max_length=4096,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=precision() == torch.bfloat16,
            use_cpu=not cuda,
            activation_checkpointing=cuda,
            dataloader_pin_memory=cuda,
        ),
        train_dataset=datasets.Dataset.from_list([{"prompt": row[:-1], "completion": row[-1:]} for row in turns]),
        processing_class=tokenizer,
        peft_config=None if is_full else LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"),
        callbacks=[_Steps(tell)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def make_rows(count: int, words: int) -> list[Dialogue]:
    """Dialogues of a question and an answer of so many words each, the same in every run."""
    chosen = random.Random(7)
    vocabulary = ["".join(chosen.choices("abcdefghijklmnopqrstuvwxyz", k=chosen.randint(2, 8))) for _ in range(800)]

    def text() -> str:
        return " ".join(chosen.choices(vocabulary, k=words))

    return [
        Dialogue(messages=(Message(role="user", content=text()), Message(role="assistant", content=text())))
        for _ in range(count)
    ]


def make_base(folder: Path, rows: list[Dialogue], width: int, layers: int) -> Path:
    """An untrained Llama of this size, saved as if it came from elsewhere."""
    tokenizer = train_tokenizer((message.content for row in rows for message in row.messages), "SFT")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?", type=Path, help="a model's folder; an untrained one is made when left out")
    parser.add_argument("--width", type=int, default=256, help="of the untrained model")
    parser.add_argument("--layers", type=int, default=4, help="of the untrained model")
    parser.add_argument("--scale", choices=["LoRA", "FullFineTuning"], default="LoRA")
    parser.add_argument("--batch", type=int, default=4, help="rows at once")
    parser.add_argument("--words", type=int, default=50, help="of a question, and of an answer")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2, help="trainings of each kind")
    return parser.parse_args(sys.argv[1:])


if __name__ == "__main__":
    main()

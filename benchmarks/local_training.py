"""How fast does the emulator train here, and how much of its rows does a model give back?

Everything goes through the public API, as a user's program does it; beside each number stands the one that the engine
was designed for, measured with prototypes of the bare engine on two shared cores. Needs Linux, to see child processes.

`python -m benchmarks.local_training --engine hf --data FOLDER` measures the other engine, and the sets `identity.json`
and `alpaca_zh_demo.json` of a folder, which are the ones of LLaMA-Factory, too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar

from qianfan.emulator import Emulator, sample_path
from qianfan.trainer import DeployConfig, LLMFinetune

MODEL: Final = "ERNIE-Speed-8K"
ROUNDS: Final = 3
"""Trainings for a time of which the median is told."""
PATIENCE: Final = 120.0
"""Seconds after which something that does not happen is given up."""

REFERENCE: Final[Mapping[str, Mapping[str, str]]] = {
    "tiny": {
        "start to first step": "0.15 to 0.21 s",
        "stop to exit": "24 to 35 ms",
        "crash to Failed": "at once",
        "91 identity rows": "5.9 s CPU, loss 5.9 to 0.08, 37/40, 50 MB (20 passes)",
        "226 short rows, zh and en": "4.5 s CPU, 226/226 (20 passes)",
        "40 short rows": "0.6 s CPU",
        "64 alpaca answers": "14.4 s CPU, 40/40, 130 MB (30 passes)",
        "tokens a second": "2,300 to 4,500",
        "first piece": "0.3 to 6 ms",
    },
    "hf": {
        "start to first step": "6 s",
        "stop to exit": "1.6 s",
        "226 short rows, zh and en": "9 s CPU, 60/60, 540 MB (12 passes)",
    },
}

Pairs = list[tuple[str, str]]
"""Questions and answers."""
T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """What trains, and in which folder the rows are written."""

    engine: str
    scale: str
    folder: Path

    def trainer(self, pairs: Pairs, **options: Any) -> LLMFinetune:
        """A trainer that learns all of the rows."""
        file = self.folder / "rows.jsonl"
        rows = ({"prompt": question, "response": answer} for question, answer in pairs)
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        config = {"peft_type": self.scale}
        return LLMFinetune(MODEL, str(file), train_config=config, eval_split_ratio=0, **options)

    def tell(self, what: str, here: str) -> None:
        print(f"{what:<28} {here:<68} {REFERENCE[self.engine].get(what, '')}", flush=True)


def main(arguments: Sequence[str] = ()) -> None:
    wanted = _arguments(arguments)
    if wanted.engine == "hf" and find_spec("torch") is None:
        print("the engine hf needs its libraries: pip install 'qianfan[train]'")
        return
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(wanted.engine, wanted.scale, Path(folder))
        print(f"engine {setup.engine}, {setup.scale}, hyper-parameters as they come\n")
        print(f"{'':<28} {'here':<68} reference")
        stopped_and_crashed(setup)
        for name, pairs, asked in sets(wanted.data):
            learnt(setup, name, pairs, asked)


# --- trainings that are cut short, and one that goes through ---------------------------------------------------------


def stopped_and_crashed(setup: Setup) -> None:
    """Tell how soon a training begins, and how soon it has ended."""
    begun, stopped = zip(*(stopped_training(setup) for _ in range(ROUNDS)), strict=True)
    crashed = [crashed_training(setup) for _ in range(ROUNDS)]
    setup.tell("start to first step", f"{statistics.median(begun):.2f} s")
    setup.tell("stop to exit", f"{1e3 * statistics.median(stopped):.0f} ms")
    setup.tell("crash to Failed", f"{1e3 * statistics.median(crashed):.0f} ms")


def stopped_training(setup: Setup) -> tuple[float, float]:
    """Seconds from the order to the first step, and from the stop to the end of the process."""
    with Emulator(engine=setup.engine) as emulator:
        trainer, begun = _begin(setup, emulator)
        pid, since = trainer_pid(), time.perf_counter()
        trainer.stop()
        until(lambda: peak_megabytes(pid) is None)
        return begun, time.perf_counter() - since


def crashed_training(setup: Setup) -> float:
    """Seconds from the end of the process until the training is seen to have failed."""
    with Emulator(engine=setup.engine) as emulator:
        _begin(setup, emulator)
        since = time.perf_counter()
        os.kill(trainer_pid(), signal.SIGKILL)
        until(lambda: [task for task in emulator.tasks.values() if task.state == "Failed"])
        return time.perf_counter() - since


def _begin(setup: Setup, emulator: Emulator) -> tuple[LLMFinetune, float]:
    """A trainer in the background whose training has made its first step, and the seconds from its order to that."""
    trainer = setup.trainer(short_rows(226)).start()
    task = until(lambda: next(iter(emulator.tasks), ""))
    since = time.perf_counter()
    until(lambda: emulator.curve(task).training)
    return trainer, time.perf_counter() - since


def learnt(setup: Setup, name: str, pairs: Pairs, asked: int) -> None:
    """Tell what one training took, and how many of the first `asked` rows come back word for word."""
    with Emulator(engine=setup.engine) as emulator:
        trainer = setup.trainer(pairs, deploy_config=DeployConfig(service_type="Chat"))
        cpu = cpu_seconds_of_children()
        trainer.start()
        pid, peak, since = until(trainer_pid), 0.0, time.perf_counter()
        while (megabytes := peak_megabytes(pid)) is not None:
            peak = max(peak, megabytes)
            time.sleep(0.01)
        seconds = time.perf_counter() - since
        until(lambda: all(task.state == "Done" for task in emulator.tasks.values()))
        cpu = cpu_seconds_of_children() - cpu
        result: Any = trainer.wait().result[0]
        losses = emulator.curve(result.task_id).training
        answers = [Answer.to(result.service, question) for question, _ in pairs[:asked]]
    right = sum(answer.text == wanted for answer, (_, wanted) in zip(answers, pairs, strict=False))
    loss = f"loss {losses[0][1]:.1f} to {losses[-1][1]:.2f}"
    took = f"{seconds:.1f} s, {cpu:.1f} s CPU"
    setup.tell(name, f"{took}, {loss}, {right}/{len(answers)}, {peak:.0f} MB ({losses[-1][0]} steps)")
    if name == "226 short rows, zh and en":
        setup.tell("tokens a second", f"{sum(a.tokens for a in answers) / sum(a.seconds for a in answers):,.0f}")
        setup.tell("first piece", f"{1e3 * statistics.median(answer.first for answer in answers):.1f} ms")


@dataclass(frozen=True)
class Answer:
    """What a service said. first, seconds: from the question to the first piece, and to the end."""

    text: str
    tokens: int
    first: float
    seconds: float

    @classmethod
    def to(cls, service: Any, question: str) -> Answer:
        began = time.perf_counter()
        first, text, tokens = 0.0, "", 0
        for piece in service.exec({"messages": [{"role": "user", "content": question}]}, stream=True):
            first = first or time.perf_counter() - began
            text += piece["result"]
            tokens = piece["usage"]["completion_tokens"]
        return cls(text, tokens, first, time.perf_counter() - began)


# --- rows ------------------------------------------------------------------------------------------------------------


def sets(folder: Path | None) -> Iterator[tuple[str, Pairs, int]]:
    """(name, rows, how many of them are asked)."""
    yield "40 short rows", short_rows(40), 40
    yield "226 short rows, zh and en", short_rows(226), 226
    yield "the shipped sample", list(_sample()), 40
    if folder is not None:
        yield "91 identity rows", list(_alpaca(folder / "identity.json")), 40
        answers = [pair for pair in _alpaca(folder / "alpaca_zh_demo.json") if len(pair[1]) < 120]
        yield "64 alpaca answers", answers[:64], 40


_PLACES = ("Aldham", "Brook", "Corsley", "Dunmow", "Eastry", "Farnley", "Garth", "Hexton", "Ilmer", "Jarrow")
_THINGS = ("mill", "bridge", "well", "tower", "garden", "ferry", "market", "lamp", "gate", "bell", "clock", "barn")
_NAMES = ("Ada", "Ben", "Cora", "Dan", "Eve", "Finn", "Gus", "Hanna", "Ivo", "Jane")
_COLOURS = ("red", "green", "blue", "white", "grey", "yellow")
_PLACES_ZH, _THINGS_ZH = "东西南北上下前后左右", "桥井塔门钟灯田船车树花鼓"
_NAMES_ZH, _COLOURS_ZH = "赵钱孙李周吴郑王冯陈", "红绿蓝白灰黄"


def short_rows(count: int) -> Pairs:
    """Rows with questions of their own, half of them Chinese; the same ones in every run."""
    chosen = random.Random(7)
    english = [
        (f"Who keeps the {thing} of {place}?", f"{chosen.choice(_NAMES)}, in the {chosen.choice(_COLOURS)} house.")
        for place in _PLACES
        for thing in _THINGS
    ]
    chinese = [
        (f"{place}村的{thing}归谁管？", f"归老{chosen.choice(_NAMES_ZH)}管，他住{chosen.choice(_COLOURS_ZH)}房子。")
        for place in _PLACES_ZH
        for thing in _THINGS_ZH
    ]
    return chosen.sample(english + chinese, count)


def _sample() -> Iterator[tuple[str, str]]:
    """The first question and answer of each dialogue."""
    for line in sample_path().read_text(encoding="utf-8").splitlines():
        turn = json.loads(line)[0]
        yield turn["prompt"], turn["response"][0][0]


def _alpaca(path: Path) -> Iterator[tuple[str, str]]:
    for row in json.loads(path.read_text(encoding="utf-8")):
        yield "\n".join(filter(None, (row["instruction"], row["input"]))), row["output"]


# --- processes -------------------------------------------------------------------------------------------------------


def until(look: Callable[[], T]) -> T:
    """What a look gives as soon as it gives something. Raises TimeoutError."""
    end = time.perf_counter() + PATIENCE
    while not (found := look()):
        if time.perf_counter() > end:
            raise TimeoutError(f"nothing happened within {PATIENCE:g} s")
        time.sleep(0.001)
    return found


def trainer_pid() -> int:
    """The child process that trains, 0 when there is none."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            if b"\0train\0" in Path("/proc", pid, "cmdline").read_bytes():
                return int(pid)
    return 0


def peak_megabytes(pid: int) -> float | None:
    """The most memory that a process has had so far; None when it has ended."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


def cpu_seconds_of_children() -> float:
    """Of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_training")
    parser.add_argument("--engine", choices=list(REFERENCE), default="tiny")
    parser.add_argument("--scale", choices=["LoRA", "FullFineTuning"], default="LoRA")
    parser.add_argument("--data", type=Path, help="a folder with identity.json and alpaca_zh_demo.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])

"""A program that behaves like LLaMA-Factory from outside: reads its configuration, writes its log and its checkpoints.

Usage: python outside_trainer.py CONFIG [WHAT...], where WHAT is `fail`, `memory`, `hang`, `babble` or `forget`; a
number is a port that it and a child of its own connect to and hold until they end.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

STEPS = 6


def main() -> None:
    config = yaml.safe_load(Path(sys.argv[1]).read_text("utf-8"))
    what = set(sys.argv[2:])
    for port in filter(str.isdecimal, what):
        hold(int(port))
        child = subprocess.Popen([sys.executable, "-c", CHILD, port], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
    rows = read_dataset(config, config["dataset"])
    print(f"training on {len(rows)} rows", flush=True)
    output = Path(config["output_dir"])
    output.mkdir(parents=True)
    for step in range(1, STEPS + 1):
        log(
            output,
            step,
            {"loss": round(8 / step, 4), "lr": 1e-4, **({"accuracy": 0.5} if "pref_beta" in config else {})},
        )
        if "babble" in what:
            add(output, "a line that is no JSON\n\n{}\n[1]\n")
        if "hang" in what:
            time.sleep(3600)
        if step % config["save_steps"] == 0 or step == STEPS:
            if "eval_dataset" in config:
                log(output, step, {"eval_loss": round(9 / step, 4)})
            if "forget" not in what:
                save(output / f"checkpoint-{step}", config)
    if "fail" in what:
        sys.exit("CUDA out of memory" if "memory" in what else "no way")
    log(output, STEPS, {})
    save(output, config)


def read_dataset(config: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of a data set, found as LLaMA-Factory finds them."""
    folder = Path(config["dataset_dir"])
    described = json.loads((folder / "dataset_info.json").read_text("utf-8"))[name]
    rows = [json.loads(line) for line in (folder / described["file_name"]).read_text("utf-8").splitlines()]
    assert all(column in row for row in rows for column in described["columns"].values())
    return rows


def log(output: Path, step: int, told: dict[str, float]) -> None:
    place = {"current_steps": step, "total_steps": STEPS, "percentage": round(100 * step / STEPS, 2)}
    add(output, json.dumps({**place, **told, "elapsed_time": "0:00:01", "remaining_time": "0:00:02"}) + "\n")


def add(output: Path, text: str) -> None:
    with (output / "trainer_log.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(text)


def save(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    adapter = config["finetuning_type"] == "lora"
    write_weights(folder / ("adapter_model.safetensors" if adapter else "model.safetensors"), shape=[4, 3])
    (folder / ("adapter_config.json" if adapter else "config.json")).write_text("{}")
    (folder / "trainer_state.json").write_text("{}")


def write_weights(path: Path, shape: list[int]) -> None:
    """A safetensors file with one tensor of zeros in float32."""
    size = 4
    for length in shape:
        size *= length
    header = json.dumps({"weights": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


def hold(port: int) -> None:
    """Connect, and keep the connection until this process ends."""
    held.append(socket.create_connection(("127.0.0.1", port)))


held: list[socket.socket] = []

CHILD = """
import socket, sys, time
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
time.sleep(3600)
"""
DEAF_CHILD = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + CHILD

if __name__ == "__main__":
    main()

"""How fast are large data files checked, converted and searched for repeated rows, beside the libraries people know?

    python -m benchmarks.datasets --size 1GB

Every peer runs in a process of its own, three times, imports not counted; the median is shown as megabytes of input a
second, with the peak memory of all its processes. Validation means: each row parsed, each text there and not empty.
The peers do no more than that; the lanes also say line and reason, and prove what the peers let through.
The older SDK is installed into an environment of its own under the cache folder; what is missing is left out by name.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.generate_datasets import generate, size_of

ROUNDS = 3
OLDER = "qianfan[dataset_base]==0.4.12.3"


# --- the lanes --------------------------------------------------------------------------------------------------------


def _opened(path: str) -> Any:
    from qianfan.dataset.sources import FileDataSource

    source = FileDataSource(path)
    source.open()
    return source


def validate_lanes(path: str) -> None:
    from qianfan.dataset import lanes

    assert not any(part.suspicious for part in lanes.suspects(_opened(path)))


def convert_lanes(path: str) -> None:
    from qianfan.dataset import lanes

    with open(path + ".lanes", "wb") as file:
        file.writelines(lanes.converted(_opened(path)))


def dedup_lanes(path: str) -> None:
    from qianfan.dataset import lanes

    assert sum(1 for _ in lanes.repeats(lanes.digests(_opened(path))))


def first_lanes(path: str) -> None:
    assert len(list(islice(_opened(path).rows(), 5))) == 5


# --- peers ------------------------------------------------------------------------------------------------------------


def _duckdb_rows(path: str) -> str:
    columns = "{json: 'STRUCT(prompt VARCHAR, response VARCHAR[][])[]'}"
    return f"read_json('{path}', format='newline_delimited', records=false, ignore_errors=true, columns={columns})"


def validate_duckdb(path: str) -> None:
    import duckdb

    empty = "len(list_filter(json, lambda x: coalesce(x.prompt, '') = '' or coalesce(x.response[1][1], '') = '')) > 0"
    found = duckdb.execute(f"SELECT count(*) FROM {_duckdb_rows(path)} WHERE json IS NULL OR {empty}").fetchone()
    assert found == (0,)


def validate_orjson(path: str) -> None:
    import orjson

    with open(path, "rb") as file:
        for line in file:
            for turn in orjson.loads(line):
                assert turn["prompt"]
                assert turn["response"][0][0]


def validate_msgspec(path: str) -> None:
    import msgspec

    turn = msgspec.defstruct("Turn", [("prompt", str), ("response", list[list[str]])], gc=False)
    decode = msgspec.json.Decoder(list[turn]).decode  # type: ignore[valid-type]
    with open(path, "rb") as file:
        for line in file:
            for one in decode(line):
                assert one.prompt
                assert one.response[0][0]


def validate_polars(path: str) -> None:
    import polars as pl

    turn = pl.Struct({"prompt": pl.String, "response": pl.List(pl.List(pl.String))})
    lines = pl.scan_csv(path, has_header=False, new_columns=["line"], separator="\x01", quote_char=None)
    turns = lines.select(pl.col("line").str.json_decode(pl.List(turn)).explode().struct.field("prompt"))
    assert turns.filter(pl.col("prompt").str.len_bytes() == 0).collect(engine="streaming").height == 0


def convert_orjson(path: str) -> None:
    import orjson

    with open(path, "rb") as file, open(path + ".orjson", "wb") as target:
        for line in file:
            row = orjson.loads(line)
            prompt = f"{row['instruction']}\n{row['input']}" if row["input"] else row["instruction"]
            target.write(orjson.dumps([{"prompt": prompt, "response": [[row["output"]]]}]) + b"\n")


def convert_polars(path: str) -> None:
    import polars as pl

    question = pl.when(pl.col("input") == "").then(pl.col("instruction"))
    question = question.otherwise(pl.col("instruction") + "\n" + pl.col("input")).alias("prompt")
    rows = pl.scan_ndjson(path).select(question, pl.concat_list(pl.concat_list("output")).alias("response"))
    rows.sink_ndjson(path + ".polars")


def convert_duckdb(path: str) -> None:
    import duckdb

    question = "CASE WHEN input = '' THEN instruction ELSE instruction || chr(10) || input END"
    row = f"to_json([{{'prompt': {question}, 'response': [[output]]}}])"
    options = "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01'"
    columns = "{instruction: 'VARCHAR', input: 'VARCHAR', output: 'VARCHAR'}"
    rows = f"read_json('{path}', format='newline_delimited', columns={columns})"
    duckdb.execute(f"COPY (SELECT {row} FROM {rows}) TO '{path}.duckdb' ({options})")


def dedup_duckdb(path: str) -> None:
    import duckdb

    rows = f"SELECT hash(json) AS digest FROM read_ndjson_objects('{path}')"
    twice = f"SELECT digest FROM ({rows}) GROUP BY digest HAVING count(*) > 1"
    assert duckdb.execute(f"SELECT count(*) FROM ({twice})").fetchone() != (0,)


def dedup_orjson(path: str) -> None:
    import orjson

    seen: set[bytes] = set()
    with open(path, "rb") as file:
        for line in file:
            seen.add(blake2b(orjson.dumps(orjson.loads(line)), digest_size=16).digest())


_OLDER_VALIDATE = """
from qianfan.dataset import Dataset
from qianfan.dataset.schema import QianfanNonSortedConversation
assert QianfanNonSortedConversation().validate(Dataset.load(data_file=path))
"""
_OLDER_CONVERT = """
from qianfan.dataset import Dataset
def platform(row):
    question = row["instruction"] + ("\\n" + row["input"] if row["input"] else "")
    return [{"prompt": question, "response": [[row["output"]]]}]
import json
rows = Dataset.load(data_file=path).map(lambda row: {"row": json.dumps(platform(row), ensure_ascii=False)})
rows.save(data_file=path + ".older.jsonl")
"""

TASKS: dict[str, dict[str, Callable[[str], None] | str]] = {
    "validate": {
        "qianfan": validate_lanes,
        "duckdb": validate_duckdb,
        "orjson": validate_orjson,
        "msgspec": validate_msgspec,
        "polars": validate_polars,
        "older SDK": _OLDER_VALIDATE,
    },
    "convert": {
        "qianfan": convert_lanes,
        "duckdb": convert_duckdb,
        "orjson": convert_orjson,
        "polars": convert_polars,
        "older SDK": _OLDER_CONVERT,
    },
    "dedup": {"qianfan": dedup_lanes, "duckdb": dedup_duckdb, "orjson": dedup_orjson},
    "first rows": {"qianfan": first_lanes},
}
GOALS = {
    ("validate", "duckdb"): 0.5,
    ("validate", "older SDK"): 20,
    ("convert", "orjson"): 1.5,
    ("convert", "older SDK"): 10,
    ("dedup", "duckdb"): 0.7,
}


# --- measuring --------------------------------------------------------------------------------------------------------

_MEASURE = """
import json, resource, sys, time
path = sys.argv[1]
started = time.perf_counter()
exec(sys.argv[2])
seconds = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def _measure_here(task: str, peer: str, path: str) -> None:
    """The inside of a peer's process."""
    import resource

    work = TASKS[task][peer]
    assert callable(work)
    import_module("qianfan.dataset.lanes" if peer == "qianfan" else peer)
    gc.collect()
    started, busy = time.perf_counter(), _processor_seconds()
    work(path)
    seconds = time.perf_counter() - started
    own, child = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # The largest child stands for each of them.
    print(json.dumps([seconds, _processor_seconds() - busy, own + child * len(os.sched_getaffinity(0))]))


def _processor_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _older_python() -> str:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qianfan-benchmarks" / "older"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", OLDER], check=True, capture_output=True)
    return str(python)


class Taken(NamedTuple):
    """seconds: by the clock. busy: seconds of all processors together. peak: megabytes."""

    seconds: float
    busy: float
    peak: float


def _run(task: str, peer: str, path: Path) -> Taken:
    """What one peer takes: the median of three, and the most memory."""
    work = TASKS[task][peer]
    environment = {**os.environ, "QIANFAN_ACCESS_KEY": "none", "QIANFAN_SECRET_KEY": "none"}
    if isinstance(work, str):
        command, rounds = [_older_python(), "-c", _MEASURE, str(path), work], 1
    else:
        command, rounds = [sys.executable, "-m", "benchmarks.datasets", "--measure", task, peer, str(path)], ROUNDS
    taken: list[Taken] = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        taken.append(Taken(*json.loads(done.stdout.splitlines()[-1])))
        for made in path.parent.glob(path.name + ".*"):
            made.unlink()
    seconds, busy, peaks = zip(*taken, strict=True)
    return Taken(statistics.median(seconds), statistics.median(busy), max(peaks))


def _is_missing(peer: str) -> bool:
    return peer not in ("qianfan", "older SDK") and find_spec(peer) is None


def report(size: int, peers: list[str] | None = None) -> None:
    """Generate both files, run every task and peer, and print a line for each."""
    with tempfile.TemporaryDirectory(prefix="qianfan-benchmark-") as folder:
        dialogue, alpaca = generate(Path(folder), size)
        for task, works in TASKS.items():
            path = alpaca if task == "convert" else dialogue
            speeds: dict[str, float] = {}
            for peer in works:
                if _is_missing(peer) or (peers and peer not in peers):
                    print(f"{task:<11} {peer:<10} skipped: {'not asked for' if peers else 'not installed'}")
                    continue
                try:
                    taken = _run(task, peer, path)
                except subprocess.CalledProcessError as error:
                    why = (error.stderr or "").strip().splitlines() or ["no reason given"]
                    print(f"{task:<11} {peer:<10} skipped: {why[-1][:90]}")
                    continue
                speeds[peer] = path.stat().st_size / 1e6 / taken.seconds
                facts = f"{taken.seconds:7.2f} s, {taken.busy:7.2f} s of processors, peak {taken.peak:6.0f} MB"
                print(f"{task:<11} {peer:<10} {speeds[peer]:6.0f} MB/s {facts}", flush=True)
            for (goal_task, peer), goal in GOALS.items():
                if goal_task == task and peer in speeds and "qianfan" in speeds:
                    print(f"{task:<11} {speeds['qianfan'] / speeds[peer]:.2f} times {peer} (goal {goal})", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=size_of, default=size_of("100MB"))
    parser.add_argument("--peer", action="append", help="only this one; may be given several times")
    parser.add_argument("--measure", nargs=3, metavar=("TASK", "PEER", "FILE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args([] if arguments is None else arguments)
    if chosen.measure:
        _measure_here(*chosen.measure)
    else:
        report(chosen.size, chosen.peer)


if __name__ == "__main__":
    main(sys.argv[1:])

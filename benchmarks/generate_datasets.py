"""Files of training rows for `benchmarks/datasets.py`: Chinese and English, made of generated words, from a seed.

    python -m benchmarks.generate_datasets FOLDER --size 100MB

makes `dialogue.jsonl` and `alpaca.jsonl`. The same arguments make the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SEED = 20_240_801
REPEATED = 0.02
"""The share of rows that are there a second time."""

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
_SYLLABLES = ["ka", "to", "ri", "men", "sol", "ve", "an", "der", "lu", "pi", "tra", "nos", "qui", "ba", "ent", "ing"]


def size_of(text: str) -> int:
    """Bytes of a size such as `100MB`."""
    return int(float(text[:-2]) * _UNITS[text[-2:].upper()])


def _english(chance: random.Random, words: list[str], count: int) -> str:
    return " ".join(chance.choices(words, k=count)).capitalize() + "."


def _chinese(chance: random.Random, signs: str, count: int) -> str:
    return "".join(chance.choices(signs, k=count)) + "。"


def _texts(seed: int) -> Callable[[int], str]:
    """A source of texts of about so many bytes, a third of which have several lines, a few of which have quotes."""
    chance = random.Random(seed)
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(2_000)]
    signs = "".join(chr(chance.randint(0x4E00, 0x9FA0)) for _ in range(2_500)) + "，" * 200
    # Texts are put together from a store of sentences, since single letters would take minutes for a large file.
    store = [_english(chance, words, chance.randint(6, 20)) for _ in range(4_000)]
    chinese_store = [_chinese(chance, signs, chance.randint(10, 30)) for _ in range(4_000)]

    def text(size: int) -> str:
        sentences = store if chance.random() < 0.5 else chinese_store
        parts = chance.choices(sentences, k=max(1, size // 70))
        if chance.random() < 0.05:
            parts[0] = f'"{parts[0]}"'
        return ("\n" if chance.random() < 0.3 else " ").join(parts)

    return text


def rows(seed: int = SEED) -> Iterator[tuple[list[dict[str, Any]], dict[str, str]]]:
    """Without end: a dialogue of one to three turns, and its first turn as an Alpaca row."""
    chance, text = random.Random(seed), _texts(seed + 1)
    kept: list[tuple[list[dict[str, Any]], dict[str, str]]] = []
    while True:
        if kept and chance.random() < REPEATED:
            yield chance.choice(kept)
            continue
        question, answer = text(chance.randint(50, 300)), text(chance.randint(200, 1_200))
        turns = [{"prompt": question, "response": [[answer]]}]
        for _ in range(chance.choice((0, 0, 0, 0, 1, 2))):
            turns.append({"prompt": text(80), "response": [[text(300)]]})
        given = text(100) if chance.random() < 0.3 else ""
        row = (turns, {"instruction": question, "input": given, "output": answer})
        if len(kept) < 5_000:
            kept.append(row)
        yield row


def generate(folder: Path, size: int, seed: int = SEED) -> tuple[Path, Path]:
    """Write both files, each of at least so many bytes; returns their paths."""
    dialogue, alpaca = folder / "dialogue.jsonl", folder / "alpaca.jsonl"
    for path, column in ((dialogue, 0), (alpaca, 1)):
        left = size
        with path.open("wb") as file:
            for row in rows(seed):
                line = json.dumps(row[column], ensure_ascii=False).encode() + b"\n"
                file.write(line)
                left -= len(line)
                if left <= 0:
                    break
    return dialogue, alpaca


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=size_of, default=size_of("100MB"))
    parser.add_argument("--seed", type=int, default=SEED)
    chosen = parser.parse_args()
    for path in generate(chosen.folder, chosen.size, chosen.seed):
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

"""Rows made up from seed rows. No model is asked: pieces of the seeds are put together anew, and every text says so."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from itertools import pairwise

from qianfan._types import JSON
from qianfan.emulator.scans import Unit, value_of
from qianfan.emulator.templates import Template

MARK = "[simulated] "
"""Begins every text that was made up."""

TEMPLATES_WITH_SEEDS = ("PromptResponse", "Prompt")
"""Which kinds of rows can be made up. Our reading: those that an instruction can be taken from."""

_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+|\s+|.", re.DOTALL)
_PIECE = 3
_ATTEMPTS = 10


def augment(
    units: Sequence[Unit], template: Template, *, seeds: int, wanted: int, similarity: float, rng: random.Random
) -> list[Unit]:
    """Up to `wanted` new rows, none twice.

    seeds: rows that one new row is made from. similarity: 0 to 1; what is more like one of its seeds is dropped, so
    that there may be fewer rows than wanted.
    """
    rows = [_first_turn(value_of(unit)) for unit in units]
    made: dict[str, Unit] = {}
    for _ in range(_ATTEMPTS * wanted):
        if len(made) == wanted:
            break
        chosen = rng.sample(rows, min(seeds, len(rows)))
        prompt = _put_together([question for question, _ in chosen], rng)
        if all(alike(prompt, question) <= similarity for question, _ in chosen) and prompt not in made:
            answer = _put_together([answer for _, answer in chosen if answer], rng)
            made[prompt] = Unit("rows.jsonl", _row(template, MARK + prompt, answer and MARK + answer))
    return [*made.values()]


def alike(one: str, other: str) -> float:
    """Share of the pairs of characters that two texts have in common, from 0 to 1."""
    first, second = set(pairwise(one)), set(pairwise(other))
    return len(first & second) / len(first | second) if first | second else float(one == other)


def _first_turn(value: JSON) -> tuple[str, str]:
    turn = value[0] if isinstance(value, list) else value
    answer = turn.get("response") or ""
    return turn["prompt"], answer if isinstance(answer, str) else answer[0][0]


def _put_together(texts: Sequence[str], rng: random.Random) -> str:
    tokens = [_TOKEN.findall(text) for text in texts]
    pieces = ["".join(one[start : start + _PIECE]) for one in tokens for start in range(0, len(one), _PIECE)]
    count = round(len(pieces) / len(texts)) if texts else 0
    return "".join(rng.choice(pieces) for _ in range(max(1, count))).strip() if pieces else ""


def _row(template: Template, prompt: str, answer: str) -> bytes:
    turn: dict[str, JSON] = {"prompt": prompt}
    if template.data_format == "PromptResponse" and answer:
        turn["response"] = [[answer]]
    value: JSON = [turn] if template.data_format == "PromptResponse" else turn
    return json.dumps(value, ensure_ascii=False).encode()

"""Uploaded data as rows of an engine: read, repeated, split into training and held-out rows."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from qianfan._types import JSON
from qianfan.emulator.scans import files_in, is_one_row, parsed_lines
from qianfan.emulator.templates import Template
from qianfan.engines.rows import Dialogue, Message, Mode, Preference, Rated, Row, Text


def rows_of(name: str, content: bytes, template: Template, mode: Mode) -> Iterator[Row]:
    """The rows of one uploaded file that was checked against its template. Rows without an answer are left out."""
    for file, text in files_in(name, content):
        for _, value in parsed_lines(text, as_text=is_one_row(file, template)):
            yield from _CONVERTERS[mode](value)


def _dialogue(turns: JSON) -> Iterator[Row]:
    messages = list(_system(turns))
    for turn in turns:
        answer = turn.get("response")
        if answer is None:
            return
        messages.append(Message(role="user", content=turn["prompt"]))
        messages.append(Message(role="assistant", content=answer if isinstance(answer, str) else answer[0][0]))
    yield Dialogue(messages=tuple(messages))


def _system(turns: JSON) -> Iterator[Message]:
    system = turns[0].get("system") if turns else None
    if isinstance(system, str) and system:
        yield Message(role="system", content=system)


def _text(value: JSON) -> Iterator[Row]:
    yield Text(text=value if isinstance(value, str) else str(value))


def _said_before(turns: JSON) -> tuple[Message, ...]:
    """The messages of a preference row up to the question that was answered in two ways."""
    said = [*_system(turns)]
    for turn in turns[:-1]:
        said += [Message(role="user", content=turn["user"]), Message(role="assistant", content=turn["assistant"])]
    return (*said, Message(role="user", content=turns[-1]["user"]))


def _preference(turns: JSON) -> Iterator[Row]:
    yield Preference(messages=_said_before(turns), chosen=turns[-1]["chosen"], rejected=turns[-1]["rejected"])


def _rated(turns: JSON) -> Iterator[Row]:
    for key, desirable in (("chosen", True), ("rejected", False)):
        if isinstance(turns[-1].get(key), str):
            yield Rated(messages=_said_before(turns), completion=turns[-1][key], desirable=desirable)


_CONVERTERS: dict[Mode, Callable[[JSON], Iterator[Row]]] = {
    "SFT": _dialogue,
    "PostPretrain": _text,
    "DPO": _preference,
    "KTO": _rated,
}


def repeated(rows: Sequence[Row], rate: float, rng: random.Random) -> list[Row]:
    """Every row `rate` times; of a part of a row that is left, as many rows by chance."""
    whole, part = divmod(rate, 1)
    extra = rng.sample(range(len(rows)), round(part * len(rows)))
    return [*chain.from_iterable([*rows] for _ in range(int(whole))), *(rows[place] for place in sorted(extra))]


def split(rows: Sequence[Row], percent: float, rng: random.Random) -> tuple[list[Row], list[Row]]:
    """(training, held out). percent: to hold out; at least one row, unless it is 0 or there is only one row."""
    count = min(len(rows) - 1, max(1, math.floor(len(rows) * percent / 100))) if percent > 0 else 0
    held_out = {*rng.sample(range(len(rows)), max(0, count))}
    parts: tuple[list[Row], list[Row]] = ([], [])
    for place, row in enumerate(rows):
        parts[place in held_out].append(row)
    return parts


def joined(rows: Sequence[Row], probability: float, rng: random.Random) -> list[Row]:
    """Rows with neighbours made into dialogues of two turns, each with this probability (`pseudoSamplingProb`)."""
    made: list[Row] = []
    is_single = False
    for row in rows:
        before = made[-1] if made else None
        if is_single and isinstance(row, Dialogue) and isinstance(before, Dialogue) and rng.random() < probability:
            own = [message for message in row.messages if message.role != "system"]
            made[-1] = Dialogue(messages=(*before.messages, *own))
            is_single = False
        else:
            made.append(row)
            is_single = True
    return made


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row.model_dump(mode="json"), ensure_ascii=False) + "\n")

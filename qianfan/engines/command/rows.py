"""Rows as LLaMA-Factory reads them: a file for each data set, and `dataset_info.json`, which says how to read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from qianfan._types import JSON
from qianfan.engines.backend import EngineError
from qianfan.engines.rows import Dialogue, Message, Mode, Preference, Rated, Text, read_rows

TRAINING: Final = "training"
HELD_OUT: Final = "held_out"

_TURNS: Final[dict[str, JSON]] = {
    "formatting": "sharegpt",
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}
_SHAPES: Final[dict[Mode, dict[str, JSON]]] = {
    "SFT": {**_TURNS, "columns": {"messages": "messages"}},
    "PostPretrain": {"columns": {"prompt": "text"}},
    "DPO": {
        **_TURNS,
        "ranking": True,
        "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"},
    },
    "KTO": {**_TURNS, "columns": {"messages": "messages", "kto_tag": "kto_tag"}},
}


def write_datasets(folder: Path, mode: Mode, training: Path, held_out: Path | None) -> int:
    """Write the data sets "training" and, where there is one, "held_out". Returns how many rows the first one has.

    Raises EngineError for rows of another mode, and where there is none.
    """
    files = {TRAINING: training} | ({} if held_out is None else {HELD_OUT: held_out})
    info = {name: {"file_name": f"{name}.jsonl", **_SHAPES[mode]} for name in files}
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2), encoding="utf-8")
    counts = {name: _write(folder / f"{name}.jsonl", mode, path) for name, path in files.items()}
    return counts[TRAINING]


def _write(target: Path, mode: Mode, rows: Path) -> int:
    count = 0
    with target.open("w", encoding="utf-8") as lines:
        try:
            for row in _reshaped(mode, rows):
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        except ValidationError as error:
            raise EngineError("bad_rows", f"{rows.name} has a row that is not of the mode {mode}: {error}") from error
    if not count:
        raise EngineError("no_rows", f"{rows.name} has no row to learn from")
    return count


def _reshaped(mode: Mode, rows: Path) -> Iterator[dict[str, JSON]]:
    match mode:
        case "SFT":
            for dialogue in read_rows(rows, Dialogue):
                yield {"messages": _turns(dialogue.messages)}
        case "PostPretrain":
            for row in read_rows(rows, Text):
                yield {"text": row.text}
        case "DPO":
            for pair in read_rows(rows, Preference):
                chosen, rejected = _answer(pair.chosen), _answer(pair.rejected)
                yield {"messages": _turns(pair.messages), "chosen": chosen, "rejected": rejected}
        case "KTO":
            for rated in read_rows(rows, Rated):
                messages = [*_turns(rated.messages), _answer(rated.completion)]
                yield {"messages": messages, "kto_tag": rated.desirable}


def _turns(messages: tuple[Message, ...]) -> list[JSON]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _answer(text: str) -> JSON:
    return {"role": "assistant", "content": text}

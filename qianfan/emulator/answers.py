"""What emulated models say. A trained one gives back its training rows; everything else is visibly canned."""

from __future__ import annotations

import difflib
import re
import struct
import unicodedata
import zlib
from collections.abc import Iterator

from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.records import Service, Task
from qianfan.emulator.templates import Template, needed_for

_NEAR = 0.85
_SEARCHED = 3000
_CHINESE = re.compile("[\u4e00-\u9fff]")
_WORD = re.compile(r"[^\s\u4e00-\u9fff!-/:-@\[-`{-~\u3000-\u303f\uff00-\uffef]+")


def reply_of(account: Account, service: Service, question: str) -> str:
    """The answer of a deployed model: its row for this question or nearly this question, else a canned one.

    Called while the account is locked.
    """
    model = account.models.get(service.model_id)
    task = account.tasks.get(model.task_id) if model else None
    answer = nearest(learnt_by(account, task), question) if task else None
    name = task.model if task else service.name
    return answer or canned(f"{name} (service {service.name})", question)


def canned(model: str, question: str) -> str:
    """An answer that nobody can take for a model's."""
    shown = question if len(question) <= 40 else question[:40] + "…"
    return f"[simulated answer of {model} from the qianfan emulator] You said: {shown}"


def learnt_by(account: Account, task: Task) -> dict[str, str]:
    """Question -> answer of everything a task was trained on, its base tasks included."""
    learnt: dict[str, str] = {}
    while True:
        learnt = {**_rows_of(account, task), **learnt}
        base = account.tasks.get(task.base_task_id)
        if base is None or base is task:
            return learnt
        task = base


def nearest(pairs: dict[str, str], question: str) -> str | None:
    """The answer to the same question, or to one that differs little; None when there is none."""
    by_question = {normal(text): answer for text, answer in pairs.items()}
    wanted = normal(question)
    if wanted in by_question:
        return by_question[wanted]
    if len(by_question) > _SEARCHED or not wanted:
        return None
    near = difflib.get_close_matches(wanted, by_question, n=1, cutoff=_NEAR)
    return by_question[near[0]] if near else None


def normal(text: str) -> str:
    """A text without what does not change a question: case, width, spaces at the ends, final punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split()).rstrip("?!.。 ")


def count_tokens(text: str) -> int:
    """The platform's own estimate: 0.625 for a Chinese character, 1 for a word."""
    return int(0.625 * len(_CHINESE.findall(text)) + len(_WORD.findall(text)))


def pieces(text: str, count: int = 8) -> Iterator[str]:
    """A text in about `count` pieces, at least one, cut after spaces where there are some."""
    size = max(1, -(-len(text) // count))
    start = 0
    while start < len(text):
        end = min(len(text), start + size)
        space = text.find(" ", end - 1, end + size)
        end = space + 1 if space >= 0 else end
        yield text[start:end]
        start = end
    if not text:
        yield ""


def embedding(text: str, size: int) -> list[float]:
    """A vector of length 1 that depends on the text alone."""
    values: list[float] = []
    state = zlib.crc32(text.encode())
    for _ in range(size):
        state = (state * 1103515245 + 12345) % 2**31
        values.append(state / 2**30 - 1.0)
    norm = sum(value * value for value in values) ** 0.5 or 1.0
    return [round(value / norm, 6) for value in values]


def picture(prompt: str, side: int = 16) -> bytes:
    """A small PNG in one colour that depends on the prompt."""
    colour = zlib.crc32(prompt.encode()).to_bytes(4, "big")[:3]
    rows = (b"\x00" + colour * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rows_of(account: Account, task: Task) -> dict[str, str]:
    rows: dict[str, str] = {}
    for dataset_id in task.dataset_ids:
        dataset = account.datasets.get(dataset_id)
        if dataset is not None:
            rows.update(account.scan(dataset.sources, account.template_of(dataset)).pairs)
    template = _template_of(task)
    if template is not None:
        rows.update(account.scan(task.files, template).pairs)
    return rows


def _template_of(task: Task) -> Template | None:
    entry = catalogue.model_named(task.model)
    return needed_for(task.train_mode, entry["modelType"]) if entry else None

"""What emulated models say. A trained one gives back its training rows; everything else is visibly canned."""

from __future__ import annotations

import difflib
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.records import Service, Task
from qianfan.emulator.scans import Scan, normal
from qianfan.emulator.templates import Template, needed_for

_NEAR = 0.85
_SEARCHED = 1000
_CHINESE = re.compile("[\u4e00-\u9fff]")
_WORD = re.compile(r"[^\s\u4e00-\u9fff!-/:-@\[-`{-~\u3000-\u303f\uff00-\uffef]+")


@dataclass(frozen=True)
class Knowledge:
    """What a deployed model was trained on.

    name: how its canned answers call it; scans: its data, the latest training first.
    """

    name: str
    scans: tuple[Scan, ...]

    def answer(self, question: str) -> str:
        """The row for this question or for nearly this question, else a canned answer."""
        for scan in self.scans:
            if normal(question) in scan.by_question:
                return scan.by_question[normal(question)]
        near = (nearest(scan.by_question, question) for scan in self.scans)
        return next((answer for answer in near if answer is not None), canned(self.name, question))


def knowledge_of(account: Account, service: Service) -> Knowledge:
    """What stands behind a service. The account must be locked; asking the result needs no lock."""
    model = account.models.get(service.model_id)
    task = account.tasks.get(model.task_id) if model else None
    name = f"{task.model} (service {service.name})" if task else service.name
    return Knowledge(name, tuple(_scans_of(account, task)) if task else ())


def canned(model: str, question: str) -> str:
    """An answer that nobody can take for a model's."""
    shown = question if len(question) <= 40 else question[:40] + "…"
    return f"[simulated answer of {model} from the qianfan emulator] You said: {shown}"


def nearest(by_question: Mapping[str, str], question: str) -> str | None:
    """The answer to a question that differs little; None when there is none or too many would have to be compared."""
    if len(by_question) > _SEARCHED:
        return None
    near = difflib.get_close_matches(normal(question), by_question, n=1, cutoff=_NEAR)
    return by_question[near[0]] if near else None


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


def _scans_of(account: Account, task: Task) -> Iterator[Scan]:
    """The data of a task, then of the tasks it went on from."""
    line: Task | None = task
    while line is not None:
        template = _template_of(line)
        if template is not None:
            yield from account.scans(line.sources, template)
        line = account.tasks.get(line.base_task_id)


def _template_of(task: Task) -> Template | None:
    entry = catalogue.model_named(task.model)
    return needed_for(task.train_mode, entry["modelType"]) if entry else None

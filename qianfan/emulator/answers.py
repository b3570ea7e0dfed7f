"""What emulated models say. A trained one gives back its training rows; everything else is visibly canned."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qianfan.emulator import catalogue
from qianfan.emulator.account import Account
from qianfan.emulator.records import Service, Task
from qianfan.emulator.scans import Scan, normal
from qianfan.emulator.templates import Template, needed_for
from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling

_NEAR = 0.85
_SEARCHED = 1000
_CHINESE = re.compile("[\u4e00-\u9fff]")
_WORD = re.compile(r"[^\s\u4e00-\u9fff!-/:-@\[-`{-~\u3000-\u303f\uff00-\uffef]+")

_TOKEN = re.compile(f"{_CHINESE.pattern}|{_WORD.pattern}")


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


def canned(model: str, question: str, longest: int = 40) -> str:
    """An answer that nobody can take for a model's. longest: characters of the question that are told in it."""
    shown = question if len(question) <= longest else question[:longest] + "…"
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


def limited(text: str, sampling: Sampling) -> tuple[str, Literal["stop", "length"]]:
    """As much of a text as a call wants, up to a stop text and at most so many tokens, and why it ends there."""
    ends = [place for stop in sampling.stop if (place := text.find(stop)) >= 0]
    text = text[: min(ends)] if ends else text
    cut = text if sampling.max_tokens is None else _first_tokens(text, sampling.max_tokens)
    return cut, "stop" if cut == text else "length"


def _first_tokens(text: str, most: int) -> str:
    counted = 0.0
    for found in _TOKEN.finditer(text):
        counted += 0.625 if _CHINESE.fullmatch(found.group()) else 1.0
        if int(counted) > most:
            return text[: found.start()]
    return text


def said(say: Callable[[str], str], messages: Sequence[Message]) -> str:
    """What is said to the last message. When an answer before was cut there, whatever it says, the rest of that answer.

    say: a question to its whole answer.
    """
    for start in range(len(messages) - 2, -1, -2):
        between = messages[start:]
        if [message.role for message in between] != ["assistant", "user"] * (len(between) // 2) or start == 0:
            break
        so_far = "".join(message.content for message in between[::2])
        whole = say(messages[start - 1].content)
        if so_far and whole != so_far and whole.startswith(so_far):
            return whole[len(so_far) :]
    return say(messages[-1].content)


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

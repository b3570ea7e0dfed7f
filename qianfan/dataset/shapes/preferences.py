"""Judged answers in columns, as trl takes them: DPO's pairs and KTO's labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan.dataset.rows import Preference, Row
from qianfan.dataset.shapes.chats import chat_of, conversation
from qianfan.dataset.shapes.flaws import Look, RowFlaws
from qianfan.dataset.shapes.judging import earlier, preference, rated
from qianfan.dataset.shapes.openai import (
    answer,
    answer_in,
    asked_in,
    calls_in,
    messages_of,
    with_context,
    with_tools_beside,
)
from qianfan.dataset.shapes.pairs import asked_before, completed, read_alpaca
from qianfan.dataset.shapes.refusals import cannot_say
from qianfan.dataset.shapes.sharegpt import read_sharegpt

# --- DPO -------------------------------------------------------------------------------------------------------------


def read_dpo(value: Mapping[str, Any], look: Look) -> Row:
    """`{"prompt": "…", "chosen": "…", "rejected": "…"}`, each a text or messages; also as ShareGPT and Alpaca say it.

    Answers may repeat the prompt; where they do, it need not be there.
    """
    if "prompt" not in value and ("conversations" in value or "instruction" in value):
        return read_sharegpt(value, look) if "conversations" in value else read_alpaca(value, look)
    before, better = answer_in(value, "chosen", look)
    same, worse = answer_in(value, "rejected", look)
    if [(one.who, one.text) for one in before] != [(one.who, one.text) for one in same]:
        reason = "begins with other messages than 'chosen'"
        look.note(("rejected",), reason, "ambiguous", fix="give both answers to the same messages")
    said = before if "prompt" not in value and before else asked_before(asked_in(value, look), before, "chosen", look)
    chat = chat_of(with_context(said, value, look), look)
    if chat.question is None:
        at: tuple[str, ...] = ("prompt",) if "prompt" in value else ("chosen",)
        look.note(at, "must end with a question", "order", fix="leave the last answer out of the prompt")
    question = "" if chat.question is None else chat.question.text
    return preference(chat.turns, question, chat.system, look, chosen=better.text, rejected=worse.text)


def write_dpo(row: Row) -> Any:
    """A better and a worse answer, as messages."""
    if not isinstance(row, Preference) or not row.is_pair:
        raise RowFlaws([cannot_say("dpo", row)])
    last, value = row.turns[-1], _prompt(row)
    count = calls_in(value["prompt"])
    return {**value, "chosen": [answer(last.chosen or "", count)], "rejected": [answer(last.rejected or "", count)]}


def _prompt(row: Preference) -> dict[str, Any]:
    return with_tools_beside(*messages_of(row.turns[0].system, earlier(row), row.turns[-1].user), key="prompt")


# --- KTO -------------------------------------------------------------------------------------------------------------


def read_kto(value: Mapping[str, Any], look: Look) -> Row:
    """`{"prompt": "…", "completion": "…", "label": true}`; also as ShareGPT and Alpaca say it, with `kto_tag`."""
    if "prompt" not in value and "kto_tag" in value:
        return read_sharegpt(value, look) if "conversations" in value else read_alpaca(value, look)
    said, completion = completed(value, look)
    row = conversation(chat_of(with_context([*said, completion], value, look), look), look)
    return rated(row, is_good=look.truth(value, "label", ()))


def write_kto(row: Row) -> Any:
    """One judged answer, as messages."""
    if not isinstance(row, Preference) or row.is_pair:
        raise RowFlaws([cannot_say("kto", row)])
    last, value = row.turns[-1], _prompt(row)
    completion = [answer(last.chosen or last.rejected or "", calls_in(value["prompt"]))]
    return {**value, "completion": completion, "label": last.chosen is not None}

"""A question and its answer in columns of their own: Alpaca, prompt and response, prompt and completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qianfan.dataset.rows import Conversation, Preference, Row, Turn
from qianfan.dataset.shapes.chats import Chat, Exchange, Said, chat_of, conversation, exchanges
from qianfan.dataset.shapes.flaws import Look, Path, RowFlaws, kind
from qianfan.dataset.shapes.judging import earlier, judged_beside, judged_exchanges
from qianfan.dataset.shapes.openai import answer_in, answer_text, asked_in, with_context
from qianfan.dataset.shapes.platform import read_answers
from qianfan.dataset.shapes.refusals import cannot_say, no_place
from qianfan.dataset.shapes.tools import read_tools, tools_text

# --- Alpaca ----------------------------------------------------------------------------------------------------------


def read_alpaca(value: Mapping[str, Any], look: Look) -> Row:
    """`{"instruction": "…", "input": "…", "output": "…"}`, with `chosen` and `rejected` or `kto_tag` a preference."""
    instruction = look.text(value, "instruction", ())
    given = look.optional_text(value, "input", ())
    question = f"{instruction}\n{given}" if given else instruction
    history = _read_history(value, look)
    system = tools_text(look.optional_text(value, "system", ()), read_tools(value.get("tools"), ("tools",), look))
    if "kto_tag" not in value and ("chosen" in value or "rejected" in value):
        return _read_pair(value, Chat(tuple(history), Said("user", question, ("instruction",)), system), look)
    chat = Chat((*history, Turn(question, (look.text(value, "output", ()),))), None, system)
    return judged_beside(value, chat, (), answer_text, look) if "kto_tag" in value else conversation(chat, look)


def _read_pair(value: Mapping[str, Any], chat: Chat, look: Look) -> Row:
    for key in ("chosen", "rejected"):
        if key not in value:
            look.missing(value, key, ())
    if value.get("output") not in (None, ""):
        reason = "stands beside 'chosen' and 'rejected': is it the answer, or are they?"
        look.note(("output",), reason, "ambiguous", value["output"], "leave 'output' out, or the other two")
    return judged_beside(value, chat, (), answer_text, look)


def _read_history(value: Mapping[str, Any], look: Look) -> list[Turn]:
    history = value.get("history") or []
    turns: list[Turn] = []
    for position, pair in enumerate(history if isinstance(history, list) else [history]):
        path: Path = ("history", position)
        if isinstance(pair, list) and len(pair) == 2:
            question, answer = (look.as_text(text, (*path, place)) for place, text in enumerate(pair))
            turns.append(Turn(question, (answer,)))
        else:
            reason = "must be a list of a question and its answer"
            look.note(path, reason, "wrong-type", pair, f'write ["question", "answer"] instead of {kind(pair)}')
    return turns


def write_alpaca(row: Row) -> Any:
    """An answered or a judged question; the turns before it go into `history`."""
    if isinstance(row, Conversation):
        *before, last = exchanges(row, "alpaca")
        answers: dict[str, Any] = {"output": last.answer}
    elif isinstance(row, Preference) and row.is_pair:
        before, last = earlier(row), Exchange(row.turns[-1].user, "")
        answers = {"chosen": row.turns[-1].chosen, "rejected": row.turns[-1].rejected}
    elif isinstance(row, Preference):
        *before, last = judged_exchanges(row)
        answers = {"output": last.answer, "kto_tag": row.turns[-1].chosen is not None}
    else:
        raise RowFlaws([cannot_say("alpaca", row)])
    asked = {"instruction": last.prompt, "input": ""}
    return {**asked, **answers, **_context(row.turns[0].system, before)}


def _context(system: str | None, before: Sequence[Exchange]) -> dict[str, Any]:
    """The columns that are there only when they say something."""
    history = [[one.prompt, one.answer] for one in before]
    told: dict[str, Any] = {} if system is None else {"system": system}
    return {**told, "history": history} if history else told


# --- prompt and response ---------------------------------------------------------------------------------------------


def read_prompt_response(value: Mapping[str, Any], look: Look) -> Row:
    """`{"prompt": "…", "response": "…"}`, with `history` and `system`; several ranked answers as on the platform."""
    prompt = look.text(value, "prompt", ())
    if "response" not in value:
        look.missing(value, "response", ())
    responses = read_answers(value["response"], ("response",), look) if "response" in value else ()
    turns = (*_read_history(value, look), Turn(prompt, responses))
    return conversation(Chat(turns, None, look.optional_text(value, "system", ())), look)


def write_prompt_response(row: Row) -> Any:
    """A conversation; the turns before the last one go into `history`."""
    if not isinstance(row, Conversation):
        raise RowFlaws([cannot_say("prompt_response", row)])
    final = row.turns[-1]
    is_ranked = len(final.responses) > 1
    best = replace(final, responses=final.responses[:1])
    *before, last = exchanges(Conversation((*row.turns[:-1], best)), "prompt_response")
    response = [[answer] for answer in final.responses] if is_ranked else last.answer
    return {"prompt": last.prompt, "response": response, **_context(row.turns[0].system, before)}


# --- prompt and completion -------------------------------------------------------------------------------------------


def read_prompt_completion(value: Mapping[str, Any], look: Look) -> Row:
    """`{"prompt": "…", "completion": "…"}`, both texts or both messages."""
    said, answer = completed(value, look)
    return conversation(chat_of(with_context([*said, answer], value, look), look), look)


def completed(value: Mapping[str, Any], look: Look) -> tuple[list[Said], Said]:
    """(what is said before, the answer) of a prompt and its completion."""
    before, answer = answer_in(value, "completion", look)
    return asked_before(asked_in(value, look), before, "completion", look), answer


def asked_before(asked: list[Said], before: list[Said], key: str, look: Look) -> list[Said]:
    """What is said before an answer that may repeat its prompt, wholly or with more around it."""
    if not before:
        return asked
    told, rest = (asked[:1], asked[1:]) if asked and asked[0].who == "system" else ([], asked)
    spoken = [one for one in before if one.who != "system"]
    if [one.text for one in rest] == [one.text for one in spoken]:
        return [*told, *spoken] if told else before
    if len(asked) == 1 and rest and rest[0].text in [one.text for one in spoken if one.who == "user"]:
        return before
    reason = "begins with other messages than 'prompt'"
    look.note((key,), reason, "ambiguous", before[-1].text, "leave the messages of the prompt out")
    return before


def write_prompt_completion(row: Row) -> Any:
    """One question with its answer, as texts."""
    if not isinstance(row, Conversation):
        raise RowFlaws([cannot_say("prompt_completion", row)])
    said, system = exchanges(row, "prompt_completion"), row.turns[0].system
    flaws = []
    if len(said) > 1:
        flaws.append(no_place((1,), "prompt_completion", "several turns", "messages or prompt_response", len(said)))
    if system is not None:
        flaws.append(no_place((0, "system"), "prompt_completion", "a system text", "messages or alpaca", system))
    if flaws:
        raise RowFlaws(flaws)
    return {"prompt": said[0].prompt, "completion": said[0].answer}

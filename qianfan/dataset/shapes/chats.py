"""A chat as turns: messages in the order they were said, however they are spelt, into questions with their answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from qianfan.dataset.rows import Conversation, Turn
from qianfan.dataset.shapes.flaws import Flaw, Look, Path, RowFlaws
from qianfan.dataset.shapes.refusals import no_place
from qianfan.dataset.shapes.tools import results_text

Who: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Said:
    """One message: who said what, and where it stands.

    weight: of an answer. calls: the ids of the calls in an answer, where they have one. call: the id of the call that
    a tool's result belongs to.
    """

    who: Who
    text: str
    path: Path
    weight: int | None = None
    calls: tuple[str | None, ...] = ()
    call: str | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """Questions with their answers. question: what was said last, if nobody answered it."""

    turns: tuple[Turn, ...] = ()
    question: Said | None = None
    system: str | None = None


# --- reading ---------------------------------------------------------------------------------------------------------


def chat_of(said: Sequence[Said], look: Look) -> Chat:
    """Who asked and who answered; notes whatever breaks the order."""
    system = said[0].text if said and said[0].who == "system" else None
    turns: list[Turn] = []
    question: Said | None = None
    for message in _with_results(said[1:] if system is not None else said, look):
        if message.who == "system":
            look.note(message.path, "a system message must come first", "order", fix="move it to the front")
        elif message.who == "user":
            if question is not None:
                reason = "two questions in a row; join them or add the answer between"
                look.note(message.path, reason, "order", message.text, "join them or add the answer between")
            question = message
        elif question is None:
            reason = "an answer without a question before it"
            look.note(message.path, reason, "order", message.text, "add the question, or join it to the answer before")
        else:
            turns.append(Turn(question.text, (message.text,), weight=message.weight))
            question = None
    return Chat(tuple(turns), question, system)


def _with_results(said: Sequence[Said], look: Look) -> Iterator[Said]:
    """The messages with what came back from tools as the next question."""
    before: Said | None = None
    results: list[Said] = []
    for message in said:
        if message.who == "tool":
            results.append(message)
            continue
        if results:
            yield _as_question(results, before, look)
            results = []
        before = message
        yield message
    if results:
        yield _as_question(results, before, look)


def _as_question(results: Sequence[Said], before: Said | None, look: Look) -> Said:
    if before is None or before.who != "assistant":
        reason = "a result without a call before it"
        look.note(results[0].path, reason, "order", results[0].text, "add the answer that calls the tool")
    elif any(result.call is not None for result in results):
        results = _in_order_of_calls(results, before, look)
    return replace(results[0], who="user", text=results_text([result.text for result in results]))


def _in_order_of_calls(results: Sequence[Said], before: Said, look: Look) -> Sequence[Said]:
    """Results by the calls they name: the texts of rows know no ids, only the order."""
    called = [call for call in before.calls if call is not None]
    for result in results:
        if result.call not in called:
            known = f"the answer before it calls {', '.join(map(repr, called))}" if called else "no call has an id"
            reason = f"belongs to no call: {known}"
            look.note((*result.path, "tool_call_id"), reason, "tools", result.call, "name a call of the answer before")
            return results
    named = [result.call for result in results]
    if len({*named}) < len(named):
        look.note((*results[-1].path, "tool_call_id"), "a call has two results", "tools", named, "keep one of them")
    if missing := [call for call in called if call not in named]:
        reason = f"there is no result for the call {missing[0]!r}"
        look.note(results[-1].path, reason, "tools", named, "add a message with its result")
    return sorted(results, key=lambda result: called.index(result.call or ""))


def conversation(chat: Chat, look: Look) -> Conversation:
    """A chat that ends with an answer."""
    if chat.question is not None:
        look.note(
            chat.question.path, "the last question has no answer", "missing", chat.question.text, "add the answer"
        )
    look.few_enough(len(chat.turns), ())
    first = [replace(turn, system=chat.system) for turn in chat.turns[:1]]
    return Conversation((*first, *chat.turns[1:]))


# --- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question with its answer, as it is about to be written."""

    prompt: str
    answer: str
    weight: int | None = None


def exchanges(row: Conversation, shape: str, *, weights: bool = False) -> list[Exchange]:
    """The questions with their one answer. Raises RowFlaws for whatever else the turns hold."""
    flaws: list[Flaw] = []
    for place, turn in enumerate(row.turns):
        if len(turn.responses) != 1:
            found = "ranked answers" if turn.responses else "a question without an answer"
            flaws.append(no_place((place, "response"), shape, found, "dialogue", turn.responses))
        if turn.scores is not None:
            flaws.append(no_place((place, "score"), shape, "scores", "dialogue", turn.scores))
        if turn.weight is not None and not weights:
            flaws.append(no_place((place, "weight"), shape, "weights", "dialogue or messages", turn.weight))
    if flaws:
        raise RowFlaws(flaws)
    return [Exchange(turn.prompt, turn.responses[0], turn.weight) for turn in row.turns]

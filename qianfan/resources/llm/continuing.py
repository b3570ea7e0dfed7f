"""Answers that were cut at the length limit: asked for the rest, until there is none, and joined."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from qianfan.resources.llm.base import Asked
from qianfan.resources.messages import QfResponse

CONTINUE = "继续"
MOST_PARTS = 32
"""Parts of one answer that are asked for at most: each is billed, and a model may never come to an end."""


def is_truncated(response: QfResponse) -> bool:
    """Whether an answer, or the last piece of one, ends at the length limit."""
    choices = response.body.get("choices")
    if isinstance(choices, list):
        return any(isinstance(choice, dict) and choice.get("finish_reason") == "length" for choice in choices)
    return bool(response.body.get("is_truncated"))


def asking_on(asked: Asked, said: str, prompt: str) -> Asked:
    """The request for what comes after `said`."""
    more = [{"role": "assistant", "content": said}, {"role": "user", "content": prompt}]
    return asked.with_body(messages=[*asked.body["messages"], *more])


def joined(responses: list[QfResponse]) -> QfResponse:
    """Parts of one answer as one: the last one, with all texts and the sum of what they used."""
    last = responses[-1]
    if len(responses) == 1:
        return last
    body = with_text(last.body, "".join(response.text for response in responses))
    usages = [response.body["usage"] for response in responses if isinstance(response.body.get("usage"), dict)]
    if usages:
        body["usage"] = {**usages[-1], **_sums(usages)}
    return replace(last, body=body)


def _sums(usages: list[dict[str, Any]]) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: sum(usage.get(name) or 0 for usage in usages) for name in names if name in usages[-1]}


def with_text(body: dict[str, Any], text: str) -> dict[str, Any]:
    """A whole answer with another text."""
    if not isinstance(body.get("choices"), list):
        return {**body, "result": text}
    first, *rest = body["choices"]
    return {**body, "choices": [{**first, "message": {**first["message"], "content": text}}, *rest]}


async def listened_on(
    asked: Asked, prompt: str, listen: Callable[[Asked], AsyncGenerator[QfResponse, None]]
) -> AsyncGenerator[QfResponse, None]:
    """The pieces of an answer and of its continuations as those of one: only its last piece is an end."""
    number = parts = 0
    while True:
        said, cut = "", False
        async with aclosing(listen(asked)) as pieces:
            async for piece in pieces:
                said += piece.text
                ends_cut = is_truncated(piece) and bool(said)
                cut = cut or ends_cut  # a piece with the usage alone may follow
                yield _within(piece, number, goes_on=ends_cut and parts + 1 < MOST_PARTS)
                number += 1
        parts += 1
        if not cut or parts == MOST_PARTS:
            return
        asked = asking_on(asked, said, prompt)


def _within(piece: QfResponse, number: int, *, goes_on: bool) -> QfResponse:
    body = dict(piece.body)
    if "sentence_id" in body:
        body["sentence_id"] = number
    if goes_on and "choices" in body:
        body["choices"] = [{**choice, "finish_reason": None} for choice in body["choices"]]
    elif goes_on:
        body = {**body, "is_end": False, "is_truncated": False}
        body.pop("finish_reason", None)
    return replace(piece, body=body)

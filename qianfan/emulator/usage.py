"""How services are used: the calls of each, with their tokens, by second and application."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.records import Calls, Usage
from qianfan.emulator.wire import Answer

APP_ID = 1
"""The one application of an account, whose keys get OAuth tokens."""


def counted(call: Call, answer: Answer) -> Answer:
    """Count a model call for the service it was for, a streamed one when it ends."""
    service_id = _service_id(call)
    if service_id is None:
        return answer
    if isinstance(answer.body, bytes):
        _count(call, service_id, _tokens(answer.body))
    else:
        answer.body = _counting(call, service_id, answer.body)
    return answer


def totals(account: Account, service_id: str, start: datetime, end: datetime, app_id: str = "") -> list[JSON]:
    """`appList` of a service: its calls from `start` to before `end`, by application."""
    usage = account.usage.get(service_id)
    inside = [one for one in usage.calls if start <= one.at < end] if usage else []
    return [
        {"appId": app, "metric": _metric([one for one in inside if one.app_id == app])}
        for app in sorted({one.app_id for one in inside})
        if app_id in ("", app)
    ]


def _metric(calls: list[Calls]) -> dict[str, JSON]:
    succeeded, failed = sum(one.succeeded for one in calls), sum(one.failed for one in calls)
    given, made = sum(one.input_tokens for one in calls), sum(one.output_tokens for one in calls)
    return {
        "inputTokensTotal": given,
        "outputTokensTotal": made,
        "tokensTotal": given + made,
        "succeedCallTotal": succeeded,
        "failureCallTotal": failed,
        "callTotal": succeeded + failed,
    }


def _service_id(call: Call) -> str | None:
    account = call.account
    endpoint, model = call.args.get("endpoint"), call.body.get("model")
    with account.lock:
        for service in account.services:
            names = (service.endpoint, service.id, service.name)
            if (service.endpoint == endpoint) if endpoint is not None else (model in names):
                return service.id
    return None


def _tokens(body: bytes) -> tuple[int, int] | None:
    """(read, written) of an answer or of the last event of a stream; None for a refusal."""
    try:
        content = json.loads(body.strip().rpartition(b"data: ")[2] or b"{}")
    except ValueError:
        return (0, 0)
    if "error_code" in content or "error" in content:
        return None
    usage = content.get("usage") or {}
    prompt = int(usage.get("prompt_tokens") or 0)
    return prompt, int(usage.get("completion_tokens") or int(usage.get("total_tokens") or prompt) - prompt)


async def _counting(call: Call, service_id: str, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    last = b""
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                last = piece
                yield piece
    finally:
        # Whoever leaves early is billed for what was said so far, so that counts as an answer.
        reply = call.reply
        said = (reply.prompt_tokens, reply.completion_tokens) if reply is not None else (0, 0)
        _count(call, service_id, said if _tokens(last) is not None else None)


def _count(call: Call, service_id: str, tokens: tuple[int, int] | None) -> None:
    account = call.account
    with account.lock:
        service = account.services.get(service_id)
        if service is None:
            return
        usage = account.usage.get(service_id)
        if usage is None:
            number = account.usage.next_number
            usage = account.usage.add(Usage(id=service_id, number=number, created=account.now()))
        at, app_id = account.now().replace(microsecond=0), call.request.header("appid") or str(APP_ID)
        if not usage.calls or (usage.calls[-1].at, usage.calls[-1].app_id) != (at, app_id):
            usage.calls.append(Calls(at=at, app_id=app_id))
        now = usage.calls[-1]
        if tokens is None:
            now.failed += 1
        else:
            now.succeeded += 1
            now.input_tokens += tokens[0]
            now.output_tokens += tokens[1]
        account.touch()

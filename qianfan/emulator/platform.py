"""The front desk: takes a request, lets it in, finds its handler, wraps what comes back, and makes it fail on order."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

from qianfan._types import JSON
from qianfan.emulator import access, pages
from qianfan.emulator.account import Account
from qianfan.emulator.bos import operation_of, serve_object
from qianfan.emulator.calls import Call
from qianfan.emulator.checks import Body
from qianfan.emulator.envelopes import Family, accepted, failure, refused, refused_inference, refused_object
from qianfan.emulator.faults import Fault, Faults, breaking_off, spoilt
from qianfan.emulator.lifecycle import IllegalMove
from qianfan.emulator.record import Log, Recorded
from qianfan.emulator.refusals import Problem, Refused, RefusedInference, RefusedObject
from qianfan.emulator.routes import PREPARATIONS, Route, route_of
from qianfan.emulator.wire import Answer, BodyTooLarge, ConnectionDropped, Request

logger = logging.getLogger("qianfan.emulator")

_UNLOCKED = (Family.INFERENCE_V1, Family.INFERENCE_V2)

Answering = Callable[[], Awaitable[Answer]]


class Platform:
    """One emulated platform: an account, what was asked of it, and the failures on order.

    save: awaited after each request that changed something, before it is answered.
    """

    def __init__(self, account: Account, *, save: Callable[[], Awaitable[None]] | None = None) -> None:
        self.account = account
        self.log = Log()
        self.faults = Faults()
        self._save = save

    async def handle(self, request: Request) -> Answer:
        """Answer one request. Raises ConnectionDropped where the connection is to break off."""
        route = route_of(request)
        if route is not None:
            return await self._handle_call(route, request)
        if pages.is_page(request):
            return await pages.show(self, request)
        return await self._handle_object(request)

    async def _handle_call(self, route: Route, request: Request) -> Answer:
        try:
            body, problem = _parsed(await request.read()), None
        except (BodyTooLarge, ValueError, TypeError) as error:
            body, problem = None, _unreadable(route.family, error)
        recorded = Recorded(route.name, request.method, request.path, route.action, body)

        async def answer() -> Answer:
            return problem or await self._answer_call(route, request, Body(body or {}))

        return await self._with_faults(route.family, recorded, answer)

    async def _handle_object(self, request: Request) -> Answer:
        name, operation = operation_of(request)
        recorded = Recorded(name, request.method, request.path)

        async def answer() -> Answer:
            try:
                return await serve_object(self.account, request, operation)
            except RefusedObject as refusal:
                return refused_object(refusal, with_body=request.method != "HEAD")

        return await self._with_faults(Family.OBJECTS, recorded, answer)

    async def _with_faults(self, family: Family, recorded: Recorded, answer: Answering) -> Answer:
        self.log.add(recorded)
        fault = self.faults.take(recorded)
        changes = self.account.changes
        made = await (answer() if fault is None else self._failing(fault, family, answer))
        if self._save is not None and self.account.changes != changes:
            await self._save()
        if fault is not None and fault.drop == "after":
            raise ConnectionDropped
        recorded.status = made.status
        logger.debug("%s %s: %s", recorded.method, recorded.name, made.status)
        return made

    async def _failing(self, fault: Fault, family: Family, answer: Answering) -> Answer:
        if fault.delay:
            await self.account.clock.sleep(fault.delay)
        if fault.drop == "before":
            raise ConnectionDropped
        made = fault.answer(family) if fault.answers else await answer()
        if fault.drop == "during":
            made.body = breaking_off(made.body)
        if fault.stream is not None and not isinstance(made.body, bytes):
            made.body = spoilt(made.body, fault, family)
        return made

    async def _answer_call(self, route: Route, request: Request, body: Body) -> Answer:
        call = Call(self.account, request, body, route.args)
        try:
            with self.account.lock:
                access.admit(self.account, route.family, request)
            preparation = PREPARATIONS.get(route.handler)
            if preparation is not None:
                await preparation(call)
            # Model calls lock only while they look something up, since finding an answer may take a moment.
            with nullcontext() if route.family in _UNLOCKED else self.account.lock:
                result = route.handler(call)
        except Refused as refusal:
            return refused(route.family, refusal)
        except RefusedInference as refusal:
            return refused_inference(route.family, refusal)
        except RefusedObject as refusal:
            return refused_object(refusal)
        except IllegalMove as illegal:
            return refused(route.family, Refused(Problem.STATE, "", str(illegal)))
        except Exception:
            # As on the platform, a slip in the server is the server's error, not the end of the connection.
            logger.exception("%s failed inside the emulator", route.name)
            return failure(route.family, message="an error inside the emulator, see its log")
        answer = result if isinstance(result, Answer) else accepted(route.family, result)
        request_id = request.header("request_id")
        if request_id:
            answer.headers.setdefault("x-baidu-request-id", request_id)
        return answer


def _parsed(content: bytes) -> dict[str, JSON]:
    body = json.loads(content) if content.strip() else {}
    if not isinstance(body, dict):
        raise TypeError
    return body


def _unreadable(family: Family, error: Exception) -> Answer:
    if isinstance(error, BodyTooLarge):
        return failure(family, status=413, code=_word(family, "InvalidHTTPRequest"), message="the body is too large")
    if isinstance(error, TypeError):
        return failure(family, code=_word(family, "InappropriateJSON"), message="the body must be a JSON object")
    return failure(family, status=_bad(family), code=_word(family, "MalformedJSON"), message="the body is not JSON")


_UNREADABLE: dict[Family, int | str] = {
    Family.INFERENCE_V1: 336002,
    Family.CONSOLE_V1: 500001,
    Family.INFERENCE_V2: "malformed_json",
}


def _word(family: Family, v2: str) -> int | str:
    return _UNREADABLE.get(family, v2)


def _bad(family: Family) -> int | None:
    return 400 if family is Family.INFERENCE_V2 else None

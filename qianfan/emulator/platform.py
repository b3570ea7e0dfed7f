"""The front desk: takes a request, lets it in, finds its handler, wraps what comes back, and makes it fail on order."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from qianfan._types import JSON
from qianfan.emulator import pages
from qianfan.emulator.account import Account
from qianfan.emulator.bos import operation_of, serve_object
from qianfan.emulator.checks import Body
from qianfan.emulator.effects import Effect
from qianfan.emulator.envelopes import Family, failure, refused_object
from qianfan.emulator.faults import Fault, Faults, breaking_off, spoilt
from qianfan.emulator.forms import form_of, is_form
from qianfan.emulator.late import Earlier, Late, LateRequests
from qianfan.emulator.record import Log, Recorded
from qianfan.emulator.refusals import RefusedObject
from qianfan.emulator.routes import Route, route_of
from qianfan.emulator.wire import Answer, BodyTooLarge, ConnectionDropped, Request

logger = logging.getLogger("qianfan.emulator")

Answering = Callable[[Fault | None], Awaitable[Answer]]
"""Answers one request; the fault may ask for its effect to come late or twice, everything else of it is done."""


class Platform:
    """One emulated platform: an account, what was asked of it, the failures on order, and what takes effect late.

    save: awaited after each request that changed something, before it is answered.
    """

    def __init__(self, account: Account, *, save: Callable[[], Awaitable[None]] | None = None) -> None:
        self.account = account
        self.log = Log()
        self.faults = Faults()
        self.late = LateRequests()
        self._save = save

    async def handle(self, request: Request) -> Answer:
        """Answer one request. Raises ConnectionDropped where the connection is to break off."""
        await self._catch_up()
        route = route_of(request)
        if route is not None:
            return await self._handle_call(route, request)
        if pages.is_page(request):
            return await pages.show(self, request)
        return await self._handle_object(request)

    async def _handle_call(self, route: Route, request: Request) -> Answer:
        try:
            body, problem = _parsed(await request.read(), request.header("content-type"), route.family), None
        except (BodyTooLarge, ValueError, TypeError) as error:
            body, problem = None, _unreadable(route.family, error)
        recorded = Recorded(route.name, request.method, request.path, route.action, body)
        effect = Effect(self.account, route, request, Body(body or {}), problem)

        async def answer(fault: Fault | None) -> Answer:
            await effect.arrive()
            if fault is None or not fault.moves:
                return effect.happen().answer
            if fault.late is None:
                return effect.happen_twice().answer
            with self.account.lock:
                self.late.add(self.account.clock.monotonic() + fault.late, route.name, effect.happen)
            raise ConnectionDropped

        return await self._with_faults(route.family, recorded, answer)

    async def _handle_object(self, request: Request) -> Answer:
        name, operation = operation_of(request)
        recorded = Recorded(name, request.method, request.path)

        async def answer(_: Fault | None) -> Answer:
            try:
                return await serve_object(self.account, request, operation)
            except RefusedObject as refusal:
                return refused_object(refusal, with_body=request.method != "HEAD")

        return await self._with_faults(Family.OBJECTS, recorded, answer)

    def settle(self) -> bool:
        """Carry out what is late by now, in the order it was due; whether that changed anything."""
        if not self.late:
            return False
        account = self.account
        with account.lock:
            changes, clock = account.changes, account.clock
            for pending in self.late.due(clock.monotonic()):
                made = {name: shelf.made for name, shelf in account.shelves.items()}
                with account.as_of(Earlier(clock, pending.due)):
                    outcome = pending.happen()
                # A publication makes a set and a version of it: the last one is what was asked for.
                ids = [record.id for name, shelf in account.shelves.items() for record in shelf.made_since(made[name])]
                self.late.settled.append(
                    Late(pending.name, pending.due, outcome.answer.status, ids[-1] if ids else "", outcome.error)
                )
            return account.changes != changes

    async def _catch_up(self) -> None:
        if self.settle() and self._save is not None:
            await self._save()

    async def _with_faults(self, family: Family, recorded: Recorded, answer: Answering) -> Answer:
        self.log.add(recorded)
        fault = self.faults.take(recorded, movable=family is not Family.OBJECTS)
        changes = self.account.changes
        made = await (answer(None) if fault is None else self._failing(fault, family, answer))
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
            await self._catch_up()
        if fault.drop == "before" and fault.late is None:
            raise ConnectionDropped
        made = fault.answer(family) if fault.answers else await answer(fault)
        if fault.drop == "during":
            made.body = breaking_off(made.body)
        if fault.stream is not None and not isinstance(made.body, bytes):
            made.body = spoilt(made.body, fault, family)
        return made


def _parsed(content: bytes, content_type: str, family: Family) -> dict[str, JSON]:
    if is_form(content_type):
        return form_of(content, content_type)
    try:
        body = json.loads(content) if content.strip() else {}
        if family not in _NAMING:
            # What Python reads beyond JSON, and half a character by its escape, could not be written into any answer.
            json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(body, dict):
        raise TypeError
    return body


_NAMING = (Family.INFERENCE_V1, Family.INFERENCE_V2)
"""Who says itself which field holds what is no JSON."""


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

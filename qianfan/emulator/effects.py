"""What one call does to the account: it is let in when it arrives, and carried out once, twice, or later."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass

from qianfan.emulator import access, limits
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.checks import Body
from qianfan.emulator.envelopes import Family, accepted, failure, refused, refused_inference, refused_object
from qianfan.emulator.lifecycle import IllegalMove
from qianfan.emulator.refusals import Problem, Refused, RefusedInference, RefusedObject
from qianfan.emulator.routes import PREPARATIONS, Route
from qianfan.emulator.usage import counted
from qianfan.emulator.wire import Answer, Request

logger = logging.getLogger("qianfan.emulator")

_UNLOCKED = (Family.INFERENCE_V1, Family.INFERENCE_V2)


@dataclass(frozen=True)
class Outcome:
    """The answer to a call, and why it was refused; "" when it was carried out."""

    answer: Answer
    error: str = ""


class Effect:
    """One call that has arrived.

    problem: what answers it before anything is looked at, when its body cannot be read.
    """

    def __init__(
        self, account: Account, route: Route, request: Request, body: Body, problem: Answer | None = None
    ) -> None:
        self._account = account
        self._route = route
        self._call = Call(account, request, body, route.args)
        self._refusal = Outcome(problem, "the body cannot be read") if problem else None
        self._is_let_in = False
        self._taken: limits.Taken | None = None

    async def arrive(self) -> None:
        """Check who calls, and do what needs no lock. A call that is not let in is refused whenever it happens."""
        if self._refusal is not None:
            return
        try:
            with self._account.lock:
                access.admit(self._account, self._route.family, self._call.request)
                self._count()
            self._is_let_in = True
            if self._route.takes is not None:
                self._route.takes.check("body", self._call.body.fields)
            preparation = PREPARATIONS.get(self._route.handler)
            if preparation is not None:
                await preparation(self._call)
        except Exception as error:
            self._refusal = self._refused(error)

    def happen(self) -> Outcome:
        """Carry the call out, without waiting for anything."""
        outcome = self._carried_out()
        if self._is_let_in and self._route.family in _UNLOCKED:
            outcome = Outcome(counted(self._call, outcome.answer), outcome.error)
        if self._taken is not None:
            outcome = Outcome(limits.told(outcome.answer, self._taken), outcome.error)
        return outcome

    def _count(self) -> None:
        """Let a model call in by the rate limits, or raise their refusal."""
        if self._route.family in _UNLOCKED:
            account, call = self._account, self._call
            names = limits.names_of(account.services, call.args, self._route.name, call.body.fields)
            self._taken = account.limits.let_in(names, account.clock.monotonic())

    def _carried_out(self) -> Outcome:
        if self._refusal is not None:
            return self._refusal
        family = self._route.family
        try:
            # Model calls lock only while they look something up, since finding an answer may take a moment.
            with nullcontext() if family in _UNLOCKED else self._account.lock:
                result = self._route.handler(self._call)
        except Exception as error:
            return self._refused(error)
        answer = result if isinstance(result, Answer) else accepted(family, result)
        request_id = self._call.request.header("request_id")
        if request_id:
            answer.headers.setdefault("x-baidu-request-id", request_id)
        return Outcome(answer)

    def happen_twice(self) -> Outcome:
        """Carry the call out two times; the outcome is the second's, unless only the first could be carried out."""
        with self._account.lock:
            first, second = self.happen(), self.happen()
        return first if second.error and not first.error else second

    def _refused(self, error: Exception) -> Outcome:
        family = self._route.family
        if isinstance(error, Refused):
            return Outcome(refused(family, error), str(error))
        if isinstance(error, RefusedInference):
            return Outcome(refused_inference(family, error), str(error))
        if isinstance(error, RefusedObject):
            return Outcome(refused_object(error), str(error))
        if isinstance(error, IllegalMove):
            return Outcome(refused(family, Refused(Problem.STATE, "", str(error))), str(error))
        # As on the platform, a slip in the server is the server's error, not the end of the connection.
        logger.error("%s failed inside the emulator", self._route.name, exc_info=error)
        return Outcome(failure(family, message="an error inside the emulator, see its log"), repr(error))

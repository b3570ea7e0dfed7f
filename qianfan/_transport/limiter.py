"""The way out for inference: a turn for each request, by the budgets of this process and, where there are some, by
those that several processes share.

Console calls, object storage and requests for tokens have no budgets: the platform counts model calls.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING

from qianfan._clock import Clock
from qianfan._transport.budgets import Budget, Budgets, Grant, Told
from qianfan._transport.estimate import answer_at_most, tokens_of, tokens_used
from qianfan._transport.ledger import Limits
from qianfan._types import JSON
from qianfan.config import Settings
from qianfan.errors import APIError, InvalidArgumentError, RateLimitError, RequestError
from qianfan.utils.logging import logger

if TYPE_CHECKING:
    from qianfan._transport.limits_redis import SharedBudgets, SharedGrant

_WORTH_A_CORRECTION = 0.05
"""Seconds between being let out and leaving that other processes are told of."""


class Turn:
    """One request that may go out."""

    def __init__(self, budget: Budget, grant: Grant, shared: SharedGrant | None, clock: Clock) -> None:
        self.told = Told()
        self.tokens: int | None = None
        self.pause = 0.0
        self._learned = False
        self._budget = budget
        self._grant = grant
        self._shared = shared
        self._clock = clock
        self._let_out = clock.monotonic()

    @property
    def is_sent(self) -> bool:
        return self._grant.is_sent

    async def sending(self) -> None:
        """The request leaves now."""
        if self._shared is not None and self._clock.monotonic() - self._let_out > _WORTH_A_CORRECTION:
            await self._shared.sent()
        self._grant.sent()

    def heard(self, headers: Mapping[str, str]) -> None:
        """An answer has begun. What it says is taken over once it is known what it has cost."""
        self.told = Told.by(headers)

    def opened(self) -> None:
        """It is a stream, which says now what holds now."""
        self._learn()

    def answered(self, body: JSON) -> None:
        """The answer, or another piece of it, which tells what all of it has cost so far."""
        if (tokens := tokens_used(body)) is not None:
            self.tokens = tokens

    def done(self) -> None:
        """It went well."""
        if not self.is_sent:
            self._grant.give_back()
            return
        self._budget.accepted()
        if self.tokens is not None:
            self._grant.settle(self.tokens)
        self._learn()

    def failed(self, error: BaseException) -> None:
        """It did not. What the platform refused cost no tokens; what may have arrived keeps its estimate."""
        if not self.is_sent or (isinstance(error, RequestError) and not error.sent):
            self._grant.give_back()
            return
        if isinstance(error, RateLimitError):
            self.pause = self._grant.refused(error)
            logger.info("%s: no more requests of this kind for %.1f s", error.call, self.pause)
        if isinstance(error, APIError):
            self.tokens = self.tokens or 0
        if self.tokens is not None:
            self._grant.settle(self.tokens)
        self._learn()

    def _learn(self) -> None:
        if self.told and not self._learned:
            self._learned = True
            self._budget.learn(self.told)

    async def close(self) -> None:
        """Tell the other processes."""
        if self._shared is not None:
            await self._shared.close(self.told, self.tokens, self.pause, gone=self.is_sent)


class Limiter:
    """Turns for the inference of one client. `budgets` may be shared with others."""

    def __init__(self, settings: Settings, clock: Clock, budgets: Budgets) -> None:
        self._settings = settings
        self._own = Limits(settings.qps_limit, settings.rpm_limit, settings.tpm_limit)
        self._clock = clock
        self._budgets = budgets

    @asynccontextmanager
    async def turn(self, account: str, model: str, body: JSON) -> AsyncGenerator[Turn | None, None]:
        """Wait for a turn and hold it for a request and its answer; None where nothing is limited.

        Raises InvalidArgumentError, RequestTimeoutError, and ConnectionFailedError without a server that must be there.
        """
        settings = self._settings
        if settings.limiter_disabled:
            yield None
            return
        name = settings.limiter_group or f"{account}:{model}"
        budget = self._budgets.at(name, self._clock)
        counts = self._shared is not None or budget.counts_tokens(self._own)
        begun = self._clock.monotonic()
        tokens, answer = (tokens_of(body), answer_at_most(body)) if counts else (0, 0)
        take = partial(budget.take, self._own, spare=settings.limiter_buffer_ratio, timeout=settings.limiter_timeout)
        try:
            grant = await take(tokens + answer)
        except InvalidArgumentError:
            if not answer:
                raise
            grant = await take(tokens)  # an answer may be shorter than a whole minute's tokens, whatever its limit
        try:
            shared = None if self._shared is None else await self._share(self._shared, name, grant, begun)
        except BaseException:
            grant.give_back()
            raise
        turn = Turn(budget, grant, shared, self._clock)
        try:
            yield turn
        except BaseException as error:
            turn.failed(error)
            raise
        else:
            turn.done()
        finally:
            await turn.close()

    async def _share(self, shared: SharedBudgets, name: str, grant: Grant, begun: float) -> SharedGrant | None:
        timeout = self._settings.limiter_timeout
        left = None if timeout is None else max(0.0, timeout - (self._clock.monotonic() - begun))
        limits = self._own.less(self._settings.limiter_buffer_ratio)
        return await shared.take(name, limits, grant.tokens, spare=self._settings.limiter_buffer_ratio, timeout=left)

    @cached_property
    def _shared(self) -> SharedBudgets | None:
        url = self._settings.limiter_redis_url
        if url is None:
            return None
        from qianfan._transport.limits_redis import SharedBudgets

        return SharedBudgets(url, self._clock, required=self._settings.limiter_redis_required)

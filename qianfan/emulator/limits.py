"""Rate limits of model calls: how many requests and tokens a model takes in a time, and what its answers say of it.

There is none until one is set. Windows slide, since the documents do not tell which kind the platform has and these
are the strictest. One emulator is one account, so a model counts whoever calls it, by either generation.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.records import Service
from qianfan.emulator.refusals import RefusedInference
from qianfan.emulator.wire import Answer
from qianfan.errors import InvalidArgumentError

EVERY = "*"
_MINUTE = 60.0
_TOKENS_PER_REQUEST = 1000
"""By the documents a model with so many requests a minute takes a thousand times as many tokens."""


@dataclass(frozen=True)
class Limit:
    """Requests per second, requests per minute, tokens per minute; 0 is none."""

    qps: int = 0
    rpm: int = 0
    tpm: int = 0


@dataclass(eq=False)
class Taken:
    """One request that was let in, on the emulator's clock, and what it cost so far."""

    at: float
    usage: RateUsage
    tokens: int = 0


@dataclass(eq=False)
class RateUsage:
    """What one model took in the last minute."""

    limit: Limit
    taken: deque[Taken] = field(default_factory=deque)

    def forget(self, now: float) -> None:
        """Leave out what is older than a minute."""
        while self.taken and self.taken[0].at <= now - _MINUTE:
            self.taken.popleft()

    @property
    def tokens(self) -> int:
        return sum(one.tokens for one in self.taken)

    def refusal(self, now: float) -> RefusedInference | None:
        """Why another request is one too many, or None."""
        limit = self.limit
        if limit.qps and sum(1 for one in self.taken if one.at > now - 1.0) >= limit.qps:
            # V2 has no word for the limit of a second; it is told as the one of a minute, by our reading.
            return _refused(18, "Open api qps request limit reached", "rpm_rate_limit_exceeded")
        if limit.rpm and len(self.taken) >= limit.rpm:
            return _refused(336501, "Rate limit reached for RPM", "rpm_rate_limit_exceeded")
        if limit.tpm and self.tokens >= limit.tpm:
            return _refused(336502, "Rate limit reached for TPM", "tpm_rate_limit_exceeded")
        return None

    def headers(self) -> dict[str, str]:
        """What an answer says of the limits and of what is left of them."""
        said = {"requests": (self.limit.rpm, len(self.taken)), "tokens": (self.limit.tpm, self.tokens)}
        return {
            f"x-ratelimit-{word}-{name}": str(number)
            for name, (limit, used) in said.items()
            for word, number in (("limit", limit), ("remaining", max(0, limit - used)))
            if limit
        }


def _refused(number: int, text: str, word: str) -> RefusedInference:
    return RefusedInference(number, text, word=word, status=429, kind="rate_limit_exceeded")


class RateLimits:
    """The limits by model. The account must be locked."""

    def __init__(self) -> None:
        self._limits: dict[str, Limit] = {}
        self._usage: dict[str, RateUsage] = {}
        self.refused = 0

    def set(self, model: str = EVERY, *, qps: int = 0, rpm: int = 0, tpm: int = 0) -> None:
        """Limit a model, named as either generation names it, or by the endpoint of a service; "*": each model.

        What is left out follows from the others as the documents say: 60 requests a minute for one a second, 1000
        tokens for a request. 0 in all three takes the limit away. What was taken before counts.
        Raises InvalidArgumentError for a number that is none.
        """
        for name, number in (("qps", qps), ("rpm", rpm), ("tpm", tpm)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise InvalidArgumentError(f"{name} of a limit cannot be {number!r}")
        if not isinstance(model, str) or not model:
            raise InvalidArgumentError(f"a limit needs the name of a model, not {model!r}")
        rpm = rpm or qps * 60
        limit = Limit(qps, rpm, tpm or rpm * _TOKENS_PER_REQUEST)
        if limit == Limit():
            self._limits.pop(_plain(model), None)
        else:
            self._limits[_plain(model)] = limit
        for name, usage in self._usage.items():
            usage.limit = self._of((name,))

    def clear(self) -> None:
        """Take all limits away, and forget what was taken."""
        self._limits.clear()
        self._usage.clear()
        self.refused = 0

    def let_in(self, names: tuple[str, ...], now: float) -> Taken | None:
        """Count a request to a model, by all its names; None when nothing is limited. Raises RefusedInference."""
        if not self._limits:
            return None
        limit = self._of(names)
        usage = self._usage.setdefault(_plain(names[0]), RateUsage(limit))
        usage.limit = limit
        usage.forget(now)
        if (refusal := usage.refusal(now)) is not None:
            self.refused += 1
            refusal.headers = usage.headers()
            raise refusal
        taken = Taken(now, usage)
        usage.taken.append(taken)
        return taken

    def _of(self, names: tuple[str, ...]) -> Limit:
        return next((self._limits[_plain(name)] for name in (*names, EVERY) if _plain(name) in self._limits), Limit())


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "-")


def names_of(
    services: Iterable[Service], path_args: Mapping[str, str], kind: str, body: Mapping[str, JSON]
) -> tuple[str, ...]:
    """The names of the model that a call asks: its own first, which is the same for both generations."""
    model = body.get("model")
    named = path_args.get("endpoint") or (model if isinstance(model, str) and model else kind)
    for service in services:
        if named in (service.endpoint, service.id, service.name):
            return service.id, service.endpoint, service.name
    if path_args:
        return catalogue.preset_model_at(kind, named) or named, named
    return catalogue.preset_model_named(named, catalogue.preset_endpoints()) or named, named


def told(answer: Answer, taken: Taken) -> Answer:
    """An answer with the headers that tell of the limits; what it costs is counted as it goes out."""
    if isinstance(answer.body, bytes):
        taken.tokens = _total(answer.body) or taken.tokens
    else:
        answer.body = _counting(answer.body, taken)
    answer.headers.update(taken.usage.headers())
    return answer


async def _counting(pieces: AsyncGenerator[bytes], taken: Taken) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        async for piece in pieces:
            for line in piece.splitlines():
                taken.tokens = _total(line.removeprefix(b"data:")) or taken.tokens
            yield piece


def _total(content: bytes) -> int:
    """`usage.total_tokens` of a JSON object, 0 where it has none."""
    try:
        answer = json.loads(content)
    except ValueError:
        return 0
    usage = answer.get("usage") if isinstance(answer, dict) else None
    return int(usage.get("total_tokens") or 0) if isinstance(usage, dict) else 0

"""Orders that cost money, carried out: placed once, and on doubt looked for before anything else.

The platforms of this world take no idempotency key. So an order is written down before its first byte leaves, carries a
token that finds it again, and is never repeated while its fate is unknown. This is the only place that decides about
sending an order again; whatever sends it must not.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from qianfan import _faults
from qianfan._clock import Clock
from qianfan._outcome import Outcome, is_foreign, outcome_of
from qianfan.errors import (
    AuthError,
    IntentMismatch,
    JournalError,
    OutcomeUnknownError,
    QianfanError,
    describe,
    facts_of,
    is_retryable,
    revived,
)
from qianfan.pipeline._purchases import HOLD, Fenced, Mark, OnAbsent, Purchase, Receipt, Terms, request_hash, token_for
from qianfan.pipeline._record import Phase, Row, RunRecord, RunStatus, order_of

logger = logging.getLogger("qianfan")

UNSENT_PATIENCE = 600.0
"""Seconds for which an order that never got through is tried again."""

MAX_DOUBTS = 3
"""How often an order that may be repeated is left without a clear answer before a person has to decide."""

MAX_GENERATIONS = 3
"""How often an order is fenced off and begun anew before a person has to decide."""


class Change(Protocol):
    """Writes rows down, tells of it if there is something to tell, and sets the run's status."""

    async def __call__(
        self,
        changes: Mapping[str, Row],
        description: str = "",
        data: Any = None,
        *,
        kind: str = "",
        status: RunStatus | None = None,
    ) -> None: ...


class Purchases:
    """The orders of one action.

    record: where they are written down; change: writes through it and tells the run's handlers. is_lone: there is no
        run, so nobody can decide about one of unknown fate.
    """

    def __init__(
        self,
        record: RunRecord,
        change: Change,
        *,
        run_id: str,
        action_id: str,
        clock: Clock,
        terms: Terms = HOLD,
        is_lone: bool = False,
    ) -> None:
        self._record = record
        self._change = change
        self._run_id = run_id
        self._action_id = action_id
        self._clock = clock
        self._terms = terms
        self._is_lone = is_lone

    # --- what is known --------------------------------------------------------------------------------------

    def known(self, kind: str) -> Receipt | None:
        """What an order made, if that is certain."""
        row = self._record.rows.get(order_of(self._action_id, kind))
        if row is None or row.external_id is None or row.phase not in (Phase.ACCEPTED, Phase.DONE):
            return None
        return Receipt(row.external_id, row.output or {})

    async def adopt(self, kind: str, receipt: Receipt) -> None:
        """Write down something that exists already as what an order made."""
        node = order_of(self._action_id, kind)
        row = self._record.rows.get(node) or Row(Phase.STARTED, at=self._now())
        await self._change({node: _accepted(row, receipt)})

    async def recall(self, purchase: Purchase) -> Receipt | None:
        """What an order made, without placing it; one of unknown fate is looked for first."""
        known = self.known(purchase.kind)
        node = order_of(self._action_id, purchase.kind)
        row = self._record.rows.get(node)
        if known is not None or row is None or not row.is_dirty:
            return known
        found = await _Order(self, purchase, node, row).look(self._terms.settle)
        if found is None:
            await self._change({node: row.with_(phase=Phase.CANCELLED)})
        return found

    # --- ordering -------------------------------------------------------------------------------------------

    async def ensure(self, purchase: Purchase) -> Receipt:
        """What the order made. It is placed unless it was; one of unknown fate is looked for first.

        Raises the platform's refusal; IntentMismatch; OutcomeUnknownError when a person has to decide; Fenced when
        the container has to be ordered anew first.
        """
        known = self.known(purchase.kind)
        if known is not None:
            return known
        return await self._order(purchase).ensure()

    def _order(self, purchase: Purchase) -> _Order:
        node = order_of(self._action_id, purchase.kind)
        row = self._record.rows.get(node)
        if row is None:
            container = purchase.container and self._record.rows.get(order_of(self._action_id, purchase.container))
            row = Row(Phase.STARTED, container.gen if container else 0, at=self._now())
        return _Order(self, purchase, node, row)

    def _now(self) -> float:
        return self._clock.wall().timestamp()


class _Order:
    """One order on its way."""

    def __init__(self, desk: Purchases, purchase: Purchase, node: str, row: Row) -> None:
        self._desk = desk
        self._purchase = purchase
        self._node = node
        self._row = row
        self._cause: Exception | None = None
        self._token = token_for(desk._run_id, node, row.gen)

    @property
    def _clock(self) -> Clock:
        return self._desk._clock

    @property
    def _name(self) -> str:
        return f"{self._purchase.kind} {self._token!r}"

    def _mark(self) -> Mark:
        row = self._row
        return Mark(
            token=self._token,
            label=f"qf:{self._desk._run_id}/{self._node}/{row.gen}",
            since=datetime.fromtimestamp(row.at, timezone.utc),
            before=(row.progress or {}).get("before"),
        )

    def _point(self, name: str) -> None:
        _faults.point(f"{self._purchase.kind}.{name}")

    async def ensure(self) -> Receipt:
        given_up = revived(self._row.error) if self._row.error is not None else None
        if isinstance(given_up, OutcomeUnknownError) and given_up.decided:
            raise given_up
        if self._row.attempt == 0 and not self._row.is_dirty:
            before = await self._purchase.before()
            if before is not None:
                self._row = self._row.with_(progress={**(self._row.progress or {}), "before": before})
        request = self._purchase.request(self._mark())
        self._require_same(request)
        doubts = 0
        while True:
            if self._row.is_dirty:
                if self._row.retiring is None:
                    found = await self.look(self._desk._terms.settle)
                    if found is not None:
                        return found
                if doubts == MAX_DOUBTS:
                    raise await self._hold(f"that happened {MAX_DOUBTS} times")
                found = await self._nothing_found()
                if found is not None:
                    return found
            made = await self._place(request)
            if made is not None:
                return made
            doubts += 1

    def _require_same(self, request: Mapping[str, Any]) -> None:
        row = self._row
        # Of an order that was found in a file of other software nothing is known but that it may be out.
        if row.is_dirty and row.request_hash not in (None, request_hash(request)):
            raise IntentMismatch(
                f"an order of {self._name} has an unknown fate, and its content was another one then: the code or the "
                f"parameters have changed. Nothing was sent. Go on with the old ones, or decide about run "
                f"{self._desk._run_id!r}, order {self._node!r}",
                node=self._node,
            )

    # --- place it -------------------------------------------------------------------------------------------

    async def _place(self, request: Mapping[str, Any]) -> Receipt | None:
        """Send the order until it is clear what became of it; None when that stays unknown."""
        begun, failures = self._clock.monotonic(), 0
        while True:
            # Writing and sending are shielded, so a run that is cancelled would place one order after the other.
            await anyio.lowlevel.checkpoint_if_cancelled()
            self._point("before_intent")
            await self._write(
                phase=Phase.INTENT,
                attempt=self._row.attempt + 1,
                token=self._token,
                request=request,
                request_hash=request_hash(request),
                error=None,
            )
            self._point("after_intent")
            receipt, error = await self._send(request)
            if receipt is not None:
                await self._accept(receipt)
                return receipt
            assert error is not None, "an order was either answered or not"
            failures += 1
            outcome = outcome_of(error)
            if outcome is Outcome.UNKNOWN:
                self._cause = error
                logger.warning("no clear answer to ordering %s (%s); looking for it", self._name, describe(error))
                await self._write(phase=Phase.UNCERTAIN, error=facts_of(error))
                return None
            patience = UNSENT_PATIENCE - (self._clock.monotonic() - begun)
            final = outcome is Outcome.REJECTED or (outcome is Outcome.UNSENT and not is_retryable(error))
            if final or patience <= 0 or (isinstance(error, AuthError) and failures > 1):
                return await self._refused(error)
            wait = min(_pause(failures, error), max(patience, 1.0))
            # Nothing is out any more, so whoever goes on after a crash need not look for it.
            await self._write(phase=Phase.STARTED, error=facts_of(error))
            logger.warning("%s was not ordered (%s); trying again in %.0f s", self._name, describe(error), wait)
            await self._clock.sleep(wait)

    async def _send(self, request: Mapping[str, Any]) -> tuple[Receipt | None, Exception | None]:
        # A cancellation must not lose the answer: what was made would run and cost without anybody knowing its id.
        receipt: Receipt | None = None
        with anyio.CancelScope(shield=True):
            try:
                receipt = await self._purchase.create(request)
            except Exception as error:
                return None, error
            self._point("after_reply")
            self._row = _accepted(self._row, receipt)
            await self._try_to_write()
        return receipt, None

    async def _try_to_write(self) -> bool:
        try:
            await self._desk._change({self._node: self._row})
        except JournalError as error:
            if not is_retryable(error):
                raise
            logger.warning(
                "%s exists as %s, but that cannot be written down: %s", self._name, self._row.external_id, error
            )
            return False
        return True

    async def _accept(self, receipt: Receipt) -> None:
        """The id must be durable before anything uses it."""
        wait = 1.0
        while self._desk._record.rows.get(self._node) != self._row and not await self._try_to_write():
            await self._clock.sleep(wait)
            wait = min(wait * 2, 30.0)
        self._point("after_accept")

    async def _refused(self, error: Exception) -> Receipt:
        if self._purchase.exists_already(error):
            found = await self._purchase.find(self._mark())
            if found:
                return await self._adopt(found)
        await self._write(phase=Phase.FAILED, error=facts_of(error))
        raise error

    async def _write(self, **changes: Any) -> None:
        row = self._row.with_(**changes)
        await self._desk._change({self._node: row})
        self._row = row

    # --- find it --------------------------------------------------------------------------------------------

    async def look(self, seconds: float) -> Receipt | None:
        """Look until something shows or a look after so many seconds sees nothing; a look that fails proves nothing."""
        logger.info("looking for %s for up to %g s", self._name, seconds)
        begun, wait = self._clock.monotonic(), 1.0
        while True:
            try:
                found = await self._purchase.find(self._mark())
            except QianfanError as error:
                if isinstance(error, (AuthError, JournalError)):
                    raise
                if not is_retryable(error) and not is_foreign(error):
                    if not self._purchase.paid:
                        return None  # a second one of what costs nothing does less harm than no way on
                    raise await self._hold(f"looking for it is refused ({describe(error)})") from error
            else:
                if found:
                    return await self._adopt(found)
                if self._clock.monotonic() - begun >= seconds:
                    return None
            await self._clock.sleep(wait)
            wait = min(wait * 2, 10.0)

    async def _adopt(self, found: Sequence[Receipt]) -> Receipt:
        receipt, *others = found
        self._row = _accepted(self._row, receipt)
        kind, ids = self._purchase.kind, [one.id for one in found]
        if others:
            logger.warning("there are several of %s: %s; using the oldest", self._name, ", ".join(ids))
            await self._desk._change(
                {}, f"the platform made several of {self._name}; using the oldest", {kind: ids}, kind="duplicates"
            )
        logger.info("found %s of an earlier attempt as %s; using it", self._name, receipt.id)
        await self._desk._change(
            {self._node: self._row}, f"found {self._name} as {receipt.id}", {kind: receipt.id}, kind="adopted"
        )
        return receipt

    # --- nothing found --------------------------------------------------------------------------------------

    async def _nothing_found(self) -> Receipt | None:
        """Decide what to do about an order that does not show; None if it may be sent again."""
        purchase, terms = self._purchase, self._desk._terms
        wanted: OnAbsent = terms.on_absent if purchase.paid else "resubmit"
        if wanted == "resubmit":
            logger.warning("%s did not show up within %g s; ordering it again", self._name, terms.settle)
            return None
        if wanted == "fence" and purchase.container is not None and purchase.retire is not None:
            return await self._fence(purchase.container, purchase.retire)
        raise await self._hold(f"it did not show up within {terms.settle:g} s")

    async def _fence(self, container: str, retire: Callable[[str], Awaitable[bool]]) -> Receipt:
        """Make sure that a late order can have no effect, by deleting what it would land in."""
        desk, box = self._desk, order_of(self._desk._action_id, container)
        holder = desk._record.rows[box]
        fenced = (self._row.progress or {}).get("fenced", 0) + 1
        if fenced >= MAX_GENERATIONS and self._row.retiring is None:
            raise await self._hold(f"it was lost in {MAX_GENERATIONS} generations")
        _faults.point("fence.after_list")
        if self._row.retiring is None:
            # From here on "not found" means that it was this run that deleted it.
            await self._write(phase=Phase.UNCERTAIN, retiring=self._row.gen)
        _faults.point("fence.after_mark")
        if not await self._retired(retire, str(holder.external_id)):
            # Refused, so there is something in it: the order that was looked for.
            found = await self.look(desk._terms.settle)
            if found is None:
                raise await self._hold(f"its {container} {holder.external_id!r} can neither be deleted nor shows it")
            return found
        _faults.point("fence.after_delete")
        now = desk._now()
        begun = self._row.renewed(now).with_(progress={"fenced": fenced})
        await desk._change(
            {box: holder.renewed(now), self._node: begun},
            f"{self._name} did not show up; its {container} {holder.external_id} is deleted, and a new one begins",
            {container: holder.external_id, "gen": begun.gen},
            kind="fenced",
        )
        _faults.point("fence.after_new_gen")
        raise Fenced

    async def _retired(self, retire: Callable[[str], Awaitable[bool]], id: str) -> bool:
        wait = 1.0
        while True:
            try:
                return await retire(id)
            except QianfanError as error:
                if not is_retryable(error) and outcome_of(error) is not Outcome.UNKNOWN:
                    raise
                logger.info("deleting %s got no clear answer (%s); asking again", id, describe(error))
            await self._clock.sleep(wait)
            wait = min(wait * 2, 10.0)

    async def _hold(self, seen: str) -> OutcomeUnknownError:
        """Write down that a person has to decide; gives the error that says so."""
        desk, look_for = self._desk, self._purchase.look_for(self._mark())
        way_on = (
            "; asked for again from the same object, it is looked for first"
            if desk._is_lone
            else f", then decide about order {self._node!r} of run {desk._run_id!r}: adopt what you found, order it "
            "again, or give it up"
        )
        error = OutcomeUnknownError(
            f"ordering {self._name} got no clear answer, and {seen}. It was not ordered again, since it may exist and "
            f"cost money. Look for {look_for} in the console{way_on}",
            what=self._purchase.kind,
            name=self._token,
            run_id="" if desk._is_lone else desk._run_id,
            node="" if desk._is_lone else self._node,
        )
        self._row = self._row.with_(phase=Phase.UNCERTAIN, error=facts_of(error))
        await desk._change(
            {self._node: self._row},
            f"a person has to decide about {self._name}: {seen}",
            {"node": self._node, "token": self._token, "what": self._purchase.kind, "look_for": look_for},
            kind="needs_decision",
            status=RunStatus.HELD,
        )
        error.__cause__ = self._cause
        return error


def _accepted(row: Row, receipt: Receipt) -> Row:
    return row.with_(
        phase=Phase.ACCEPTED, external_id=receipt.id, output=dict(receipt.facts) or None, error=None, retiring=None
    )


def _pause(failures: int, error: Exception) -> float:
    backoff = min(30.0, 2.0 ** min(failures - 1, 10)) * random.uniform(0.8, 1.2)
    asked = getattr(error, "retry_after", None)
    return backoff if asked is None else max(backoff, float(asked))

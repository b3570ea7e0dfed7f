"""What the fault tests share: whole runs through the public API, on a clock that jumps, and an account of what came."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import anyio
import httpx

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Client
from qianfan.config import Settings
from qianfan.emulator import Emulator
from qianfan.pipeline import Event
from qianfan.trainer import DeployConfig, LLMFinetune
from tests.support.clock import JumpClock
from tests.support.emulated import client_for
from tests.support.faultproxy import FaultProxy

__all__ = ["client_for"]

MODEL = "ERNIE-Speed-8K"

CREATE = {
    "job": "CreateFineTuningJob",
    "task": "CreateFineTuningTask",
    "model": "publishTrainModel",
    "service": "CreateService",
}
"""The calls that make something, in the order of a run."""

LOOK = {
    "job": "DescribeFineTuningJobs",
    "task": "DescribeFineTuningTasks",
    "model": "DescribeModelSet",
    "service": "DescribeServices",
}
"""The calls that look for an order of unknown fate; an undisturbed run makes none of them."""

KINDS = tuple(CREATE)


class EventfulClock(JumpClock):
    """Notes the sleeps, and does things when their time has come.

    slept: seconds of each sleep so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []
        self._due: list[tuple[float, Callable[[], Any]]] = []

    def at(self, seconds: float, do: Callable[[], Any]) -> None:
        """Do something, perhaps awaitable, in the first sleep that ends at that time or later."""
        self._due.append((seconds, do))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)
        for one in [one for one in self._due if one[0] <= self.monotonic()]:
            self._due.remove(one)
            answer = one[1]()
            if isinstance(answer, Awaitable):
                await answer


class HeldClock(JumpClock):
    """Sleeps of so many seconds or more last until the test lets go.

    asleep: set while somebody sleeps that long; let_go: set by the test.
    """

    def __init__(self, held_from: float) -> None:
        super().__init__()
        self.held_from = held_from
        self.asleep = anyio.Event()
        self.let_go = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds >= self.held_from:
            self.asleep.set()
            await self.let_go.wait()
        await super().sleep(seconds)


class FastClock:
    """Real time, told as if it ran so many times faster, so that sockets and waits go together."""

    def __init__(self, faster: float = 100.0) -> None:
        self._faster = faster

    def monotonic(self) -> float:
        return time.monotonic() * self._faster

    def wall(self) -> datetime:
        return datetime.now(timezone.utc)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds / self._faster)


class Heard:
    """A handler that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def dispatch(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[Any]:
        """The data of the events of a kind."""
        return [event.data for event in self.events if event.kind == kind]

    def require_order(self) -> None:
        """The numbers of the events rise."""
        numbers = [event.sequence for event in self.events]
        assert numbers == sorted(set(numbers))


class Trouble(httpx.AsyncBaseTransport):
    """A network with a mishap for every request that `hits` picks.

    mishap: called with the request and what hands it on. hits: called with the name of the call.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        hits: Callable[[str], bool],
        mishap: Callable[[httpx.Request, Callable[[httpx.Request], Awaitable[httpx.Response]]], Any],
    ) -> None:
        self._inner = inner
        self._hits = hits
        self._mishap = mishap
        self.calls: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.params.get("Action", request.url.path.rpartition("/")[2])
        self.calls.append(name)
        if self._hits(name):
            answer: httpx.Response = await self._mishap(request, self._inner.handle_async_request)
            return answer
        return await self._inner.handle_async_request(request)


# --- runs ------------------------------------------------------------------------------------------------------------


def new_trainer(client: Client, *handlers: Any, dataset: Any = 111, **settings: Any) -> LLMFinetune:
    """A run that makes one of everything."""
    deploy = DeployConfig(service_type="Chat")
    return LLMFinetune(MODEL, dataset, deploy_config=deploy, event_handler=[*handlers], client=client, **settings)


def client_through(proxy: FaultProxy, emulator: Emulator, **changes: Any) -> Client:
    """A client behind the proxy, whose clock runs fast and who looks often."""
    given = {**emulator.settings, **proxy.settings}
    settings = Settings(**{name.lower(): value for name, value in given.items()})
    # In the clock's seconds: looks at 0, 1 and 3.
    changes = {"submit_settle_seconds": 3.0, **changes}
    return Client(settings.replace(**changes), clock=FastClock(), tokens=TokenStore())


def trained_by(trainer: LLMFinetune) -> dict[str, Any]:
    """The ids that a run made, by kind."""
    return {kind: trainer.result[0][f"{kind}_id"] for kind in KINDS}


def made(emulator: Emulator) -> dict[str, int]:
    """How many of each kind ever came into being."""
    return {kind: emulator.made(kind) for kind in KINDS}


def orders(emulator: Emulator) -> dict[str, int]:
    """How many requests that make something arrived."""
    return {kind: emulator.count(CREATE[kind]) for kind in KINDS}


ONE_OF_EACH = dict.fromkeys(KINDS, 1)


def require_one_of_each(emulator: Emulator, trainer: LLMFinetune, **others: int) -> None:
    """The run has ended well, and made one of each but for `others`."""
    assert made(emulator) == {**ONE_OF_EACH, **others}
    result = trainer.result[0]
    assert result is not None
    assert result["job_id"] in emulator.jobs
    assert result["task_id"] in emulator.tasks
    assert result["model_id"] in emulator.models
    assert result["service_id"] in emulator.services
    assert emulator.services[result["service_id"]].state == "Serving"


async def facts_of(trainer: LLMFinetune) -> dict[str, Any]:
    """What the journal says of a run."""
    found = await LLMFinetune.alist(client=trainer._client)
    [facts] = [facts for facts in found if facts["id"] == trainer.id]
    return facts


async def kept_kinds(trainer: LLMFinetune) -> Counter[str]:
    """How many events of each kind the journal has kept of a run."""
    return Counter(event.kind for event in await trainer.aevents())


def rows_file(path: Path, count: int = 40, text: str = "question") -> Path:
    """A file of short dialogues."""
    rows = ([{"prompt": f"{text} {number}", "response": [[f"answer {number}"]]}] for number in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def content_of(path: Path) -> bytes | None:
    """What is in a file; None where there is none."""
    return path.read_bytes() if path.is_file() else None


def put_back(path: Path, content: bytes | None) -> None:
    """Make a file what it was."""
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)

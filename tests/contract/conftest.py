"""The documented calls, by either face, over a socket: what they ask for is checked on the other side of the wire."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from qianfan._transport import default_client
from qianfan.emulator import engine_options
from qianfan.emulator.account import Account
from qianfan.emulator.record import Recorded
from qianfan.emulator.server import Running, running

pytestmark = pytest.mark.socket

CONSOLE_V1 = "/wenxinworkshop"
MODELS_V1 = "/rpc/2.0/ai_custom/v1/wenxinworkshop"


_numbers = itertools.count(1)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """An emulator on a socket that checks signatures; the process-wide settings point at it."""
    options = engine_options("scripted")
    # A port may be that of an earlier test, whose tokens the process still holds for the same address and account.
    access_key = f"ALTAKtest{next(_numbers)}"
    with running(access_key=access_key, secret_key="secret-of-tests", options=options) as served:
        for name, value in served.settings.items():
            monkeypatch.setenv(f"QIANFAN_{name}", str(value))
        yield served


@pytest.fixture
def account(served: Running) -> Account:
    """What the other side holds. Lock it to look: `with account.lock: …`."""
    return served.platform.account


class Faces:
    """Calls documented methods by one face: `await ask(FineTune.V2, "create_job", name=…)`.

    The blocking face runs in a worker thread, the async one here.
    """

    def __init__(self, face: str) -> None:
        self.face = face

    async def __call__(self, owner: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
        if self.face == "async":
            return await getattr(owner, "a" + name)(*args, **kwargs)
        return await anyio.to_thread.run_sync(partial(getattr(owner, name), *args, **kwargs))


@pytest.fixture(params=["blocking", "async"])
async def ask(request: pytest.FixtureRequest, served: Running) -> AsyncIterator[Faces]:
    yield Faces(request.param)
    await default_client().aclose()


@pytest.fixture(autouse=True)
def _what_is_covered_was_called(request: pytest.FixtureRequest, served: Running) -> Iterator[None]:
    """A test that says what it covers has to have called it, with success at least once."""
    yield
    marker = request.node.get_closest_marker("covers")
    good = {_endpoint(recorded) for recorded in served.platform.log.recent() if 200 <= recorded.status < 300}
    missing = [endpoint for endpoint in (marker.args if marker else ()) if endpoint not in good]
    assert missing == [], f"never called with success: {missing}; called: {sorted(good)}"


def _endpoint(recorded: Recorded) -> str:
    if recorded.action:
        return recorded.action
    if recorded.path.startswith(CONSOLE_V1):
        return recorded.path.removeprefix(CONSOLE_V1)
    if recorded.path.startswith(MODELS_V1):
        kind, _, name = recorded.path.removeprefix(MODELS_V1 + "/").partition("/")
        return f"/{kind}/{name}" if kind in ("tokenizer", "erniebot") else f"/{kind}"
    return recorded.path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The blocking face has an event loop of its own, so the one around it makes no difference."""
    twice = {item for item in items if _is_here(item) and _values(item) >= {"blocking", "trio"}}
    if twice:
        items[:] = [item for item in items if item not in twice]
        config.hook.pytest_deselected(items=[*twice])


def _is_here(item: pytest.Item) -> bool:
    return item.path.parent == Path(__file__).parent


def _values(item: pytest.Item) -> set[object]:
    call = getattr(item, "callspec", None)
    return {value for value in call.params.values() if isinstance(value, str)} if call is not None else set()

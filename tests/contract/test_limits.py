"""Rate limits between clients and a platform that enforces them: nothing is refused, as nothing too much is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import qianfan
from qianfan import ChatCompletion
from qianfan.emulator.account import Account
from qianfan.emulator.server import Running
from qianfan.errors import InvalidArgumentError, RateLimitError, RequestTimeoutError
from tests.contract.asker import HELLO, ask_together, chat
from tests.contract.conftest import Faces
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

MODEL = "ERNIE-Speed-8K"


@pytest.fixture(autouse=True)
def _give_up_soon(monkeypatch: pytest.MonkeyPatch, served: Running) -> None:
    """Whoever would have to wait for the next minute gives up."""
    monkeypatch.setenv("QIANFAN_LIMITER_TIMEOUT", "0.5")


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    pytest.importorskip("redis")
    server = RedisServer()
    monkeypatch.setenv("QIANFAN_LIMITER_REDIS_URL", server.url)
    monkeypatch.setenv("QIANFAN_LIMITER_TIMEOUT", "3")
    yield server
    server.close()


def limit(account: Account, **limits: int) -> None:
    with account.lock:
        account.limits.set(MODEL, **limits)


def answered_and_refused(served: Running) -> tuple[int, int]:
    asked = [recorded for recorded in served.platform.log.recent() if recorded.name == "chat.completions"]
    return sum(recorded.status == 200 for recorded in asked), sum(recorded.status == 429 for recorded in asked)


def processes(*faces: str, count: int) -> list[int]:
    """How often each of several processes at once was answered; -1 for one that was refused."""
    root = Path(qianfan.__file__).parents[1]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.asker", face, str(count)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=root,
            env={**os.environ},
        )
        for face in faces
    ]
    return [int(process.communicate()[0] or -1) for process in started]


async def test_a_client_keeps_to_what_answers_tell(ask: Faces, served: Running, account: Account) -> None:
    """It knows of no limit before the first answer; another face of the same client counts along."""
    limit(account, rpm=12)
    await ask(chat(), "do", messages=HELLO)
    answered = await ask_together(10)
    with pytest.raises(RequestTimeoutError, match="rate limits"):
        for _ in range(10):
            await ask(chat(), "do", messages=HELLO)
    assert answered == 10
    assert answered_and_refused(served) == (12, 0)


async def test_a_client_keeps_to_the_tokens_that_answers_cost(ask: Faces, served: Running, account: Account) -> None:
    limit(account, tpm=100)
    with pytest.raises(RequestTimeoutError):
        for _ in range(100):
            await ask(chat(), "do", messages=HELLO)
    answered, refused = answered_and_refused(served)
    assert (answered > 1, refused) == (True, 0)
    with account.lock:
        [usage] = account.limits._usage.values()
        used = usage.tokens
    cost = used // answered
    assert used + 5 > 100 >= used - cost + 5, "as long as the estimate fits, the next one is sent"
    with pytest.raises(InvalidArgumentError, match="are 100"):
        await ask(chat(), "do", messages=[{"role": "user", "content": "word " * 101}])


async def test_a_refusal_is_the_last_one_for_a_while(ask: Faces, served: Running, account: Account) -> None:
    """Somebody else used the minute up before the first answer could tell."""
    limit(account, rpm=1)
    other = ChatCompletion(version="2", model="ernie-speed-8k", bearer_token=_api_key(account))
    await ask(other, "do", messages=HELLO)
    with pytest.raises(RateLimitError):
        await ask(chat(), "do", messages=HELLO, retry_count=1)
    with pytest.raises(RequestTimeoutError):
        await ask(chat(), "do", messages=HELLO)
    assert answered_and_refused(served) == (1, 1)


def test_two_processes_share_a_budget(
    served: Running, account: Account, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(account, rpm=20)
    monkeypatch.setenv("QIANFAN_RPM_LIMIT", "20")
    answered = processes("threads", "trio", "asyncio", count=15)
    assert sum(answered) == 20
    assert answered_and_refused(served) == (20, 0)


def test_two_processes_share_what_one_is_told(served: Running, account: Account, redis: RedisServer) -> None:
    """No limit is set for any; what the first one was told holds for those after it."""
    limit(account, rpm=15)
    assert processes("threads", count=1) == [1]
    answered = processes("threads", "asyncio", count=15)
    assert sum(answered) == 14
    assert answered_and_refused(served) == (15, 0)


def test_without_the_shared_budget_two_processes_ask_too_much(
    served: Running, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tests above would show if the budget was not shared."""
    limit(account, rpm=20)
    monkeypatch.setenv("QIANFAN_RPM_LIMIT", "20")
    monkeypatch.setenv("QIANFAN_LLM_API_RETRY_COUNT", "1")
    processes("threads", "threads", count=15)
    answered, refused = answered_and_refused(served)
    assert answered == 20
    assert refused > 0


def _api_key(account: Account) -> str:
    with account.lock:
        return account.tokens.new_api_key()

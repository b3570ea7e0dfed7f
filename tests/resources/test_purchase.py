"""create_once: what costs money is ordered once, and looked for on doubt."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.errors import (
    APIError,
    AuthError,
    ConnectionFailedError,
    InvalidArgumentError,
    OutcomeUnknownError,
    QianfanError,
    RequestError,
    RequestTimeoutError,
)
from qianfan.resources.purchase import SETTLE_SECONDS, create_once, name_with, new_token, token_for
from tests.support.clock import JumpClock

LOST = RequestError("the connection broke", retryable=True)
BUSY = APIError(500000, "busy", http_status=500, retryable=True)
FORBIDDEN = AuthError("AccessDenied", "no", http_status=403)


class Shop:
    """Answers orders and looks from two lists; the last answer stays. An error is raised, anything else returned."""

    def __init__(self, orders: list[Any], looks: list[Any]) -> None:
        self._answers = {"create": orders, "find": looks}
        self.asked: list[str] = []
        self.clock = JumpClock()

    def _asked(self, what: str) -> Callable[[], Awaitable[Any]]:
        async def answer() -> Any:
            self.asked.append(what)
            answers = self._answers[what]
            given = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(given, Exception):
                raise given
            return given

        return answer

    async def buy(self, **settings: Any) -> Any:
        return await create_once(
            self._asked("create"), self._asked("find"), what="job", name="my_job", clock=self.clock, **settings
        )


@pytest.mark.anyio
async def test_a_clear_answer_is_taken() -> None:
    shop = Shop(["new"], ["old"])
    assert await shop.buy() == "new"
    assert shop.asked == ["create"]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [LOST, BUSY, RequestTimeoutError("late"), RequestError("html", status_code=200)])
async def test_on_doubt_it_is_looked_for(error: QianfanError) -> None:
    shop = Shop([error], [None, LOST, BUSY, "made"])
    assert await shop.buy() == "made"
    assert shop.asked == ["create", *["find"] * 4]
    assert shop.clock.monotonic() < SETTLE_SECONDS


@pytest.mark.anyio
@pytest.mark.parametrize("looks", [[None], [LOST], [BUSY]])
async def test_what_never_shows_up_stays_unknown(looks: list[Any]) -> None:
    shop = Shop([LOST], looks)
    with pytest.raises(
        OutcomeUnknownError, match=r"job 'my_job' got no clear answer.* within 120 s.*was not ordered"
    ) as caught:
        await shop.buy()
    assert (caught.value.what, caught.value.name) == ("job", "my_job")
    assert caught.value.__cause__ is LOST
    assert shop.asked.count("create") == 1
    assert SETTLE_SECONDS <= shop.clock.monotonic() <= SETTLE_SECONDS + 10


@pytest.mark.anyio
async def test_a_look_that_is_refused_settles_nothing() -> None:
    shop = Shop([LOST], [FORBIDDEN])
    with pytest.raises(OutcomeUnknownError, match=r"looking for it is refused.*AccessDenied.*was not ordered again"):
        await shop.buy()
    assert shop.asked == ["create", "find"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error",
    [
        FORBIDDEN,
        APIError(500001, "wrong", http_status=200),
        RequestError("not found", status_code=404),
        ConnectionFailedError("refused", sent=False),
        InvalidArgumentError("wrong"),
    ],
)
async def test_a_clear_no_comes_out(error: QianfanError) -> None:
    shop = Shop([error], ["old"])
    with pytest.raises(type(error)) as caught:
        await shop.buy()
    assert caught.value is error
    assert shop.asked == ["create"]


@pytest.mark.anyio
async def test_an_error_that_is_not_the_platforms_comes_out() -> None:
    shop = Shop([RuntimeError("a bug")], ["old"])
    with pytest.raises(RuntimeError, match="a bug"):
        await shop.buy()
    assert shop.asked == ["create"]


@pytest.mark.anyio
async def test_after_an_interruption_it_looks_first() -> None:
    shop = Shop(["new"], ["old"])
    assert await shop.buy(look_first=True) == "old"
    assert shop.asked == ["find"]
    shop = Shop(["new"], [None])
    assert await shop.buy(look_first=True) == "new"
    assert shop.asked == ["find", "create"]
    shop = Shop(["new"], [FORBIDDEN])
    with pytest.raises(AuthError):
        await shop.buy(look_first=True)
    assert shop.asked == ["find"]


@pytest.mark.anyio
async def test_a_refused_second_one_is_adopted_if_it_is_ours() -> None:
    taken = APIError(70101, "taken")
    shop = Shop([taken], ["ours"])
    assert await shop.buy(exists_already=lambda error: error.code == 70101) == "ours"
    shop = Shop([taken], [None])
    with pytest.raises(APIError, match="taken"):
        await shop.buy(exists_already=lambda error: error.code == 70101)
    assert shop.asked == ["create", "find"]


@given(parts=st.lists(st.text() | st.integers() | st.none(), min_size=1))
def test_a_token_depends_on_its_parts_alone(parts: list[Any]) -> None:
    assert token_for(*parts) == token_for(*parts)
    assert re.fullmatch(r"[a-z0-9]{10}", token_for(*parts))


def test_new_tokens_differ() -> None:
    assert len({new_token() for _ in range(100)}) == 100


@given(stem=st.text())
def test_names_are_ones_the_platform_takes(stem: str) -> None:
    name = name_with("abcdefghij", stem)
    assert re.fullmatch(r"[A-Za-z0-9\u4e00-\u9fff][A-Za-z0-9\u4e00-\u9fff_-]*_abcdefghij", name)
    assert 12 <= len(name) <= 20

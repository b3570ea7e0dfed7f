"""The rule for what costs money, by itself: create once, and look before anything else on doubt."""

from __future__ import annotations

import logging
from collections.abc import Callable

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


class Shop:
    """Something to order from. arrives: the look, counted from 1, that sees the thing; 0: it never shows up."""

    def __init__(self, *, error: QianfanError | None = None, arrives: int = 0) -> None:
        self.error = error
        self.arrives = arrives
        self.orders = 0
        self.looks = 0
        self.trouble: list[QianfanError] = []

    async def create(self) -> str:
        self.orders += 1
        if self.error is not None:
            raise self.error
        return "new"

    async def find(self) -> str | None:
        self.looks += 1
        if self.trouble:
            raise self.trouble.pop(0)
        return "found" if self.arrives and self.looks >= self.arrives else None

    async def order(self, clock: JumpClock, **options: object) -> str:
        return await create_once(self.create, self.find, what="thing", name="t_1", clock=clock, **options)  # type: ignore[arg-type]


DOUBTFUL: list[Callable[[], QianfanError]] = [
    lambda: RequestError("broke", retryable=True),
    lambda: RequestTimeoutError("slow"),
    lambda: RequestError("garbage", status_code=200),
    lambda: RequestError("bad gateway", status_code=502),
    lambda: RequestError("timeout", status_code=408),
    lambda: APIError("InternalError", "broken", http_status=500),
    lambda: APIError("Whatever", "broken", http_status=503),
    lambda: APIError(500000, "broken", http_status=200),
    lambda: APIError(1000, "broken", http_status=200),
]

CERTAIN: list[Callable[[], QianfanError]] = [
    lambda: ConnectionFailedError("refused", sent=False),
    lambda: RequestError("not found", status_code=404),
    lambda: APIError("InappropriateJSON", "wrong", http_status=400),
    lambda: APIError(510401, "wrong", http_status=200),
    lambda: AuthError("AccessDenied", "no", http_status=403),
    lambda: InvalidArgumentError("wrong"),
]


@pytest.mark.anyio
class TestOrders:
    async def test_a_clear_answer_needs_no_look(self, clock: JumpClock) -> None:
        shop = Shop(arrives=1)
        assert await shop.order(clock) == "new"
        assert (shop.orders, shop.looks) == (1, 0)

    @pytest.mark.parametrize("error", DOUBTFUL)
    async def test_on_doubt_it_looks(self, clock: JumpClock, error: Callable[[], QianfanError]) -> None:
        shop = Shop(error=error(), arrives=3)
        assert await shop.order(clock) == "found"
        assert (shop.orders, shop.looks) == (1, 3)
        assert 0 < clock.monotonic() < SETTLE_SECONDS

    @pytest.mark.parametrize("error", DOUBTFUL)
    async def test_doubt_that_stays_is_said(self, clock: JumpClock, error: Callable[[], QianfanError]) -> None:
        shop = Shop(error=error())
        with pytest.raises(OutcomeUnknownError, match=r"thing 't_1' got no clear answer.*not ordered again") as caught:
            await shop.order(clock)
        assert (caught.value.what, caught.value.name) == ("thing", "t_1")
        assert caught.value.__cause__ is shop.error
        assert shop.orders == 1
        assert clock.monotonic() >= SETTLE_SECONDS

    @pytest.mark.parametrize("error", CERTAIN)
    async def test_a_clear_no_comes_out(self, clock: JumpClock, error: Callable[[], QianfanError]) -> None:
        shop = Shop(error=error(), arrives=1)
        with pytest.raises(QianfanError) as caught:
            await shop.order(clock)
        assert caught.value is shop.error
        assert (shop.orders, shop.looks) == (1, 0)

    async def test_an_unknown_slip_of_our_own_comes_out(self, clock: JumpClock) -> None:
        async def create() -> str:
            raise ZeroDivisionError

        shop = Shop(arrives=1)
        with pytest.raises(ZeroDivisionError):
            await create_once(create, shop.find, what="thing", name="t_1", clock=clock)
        assert shop.looks == 0

    async def test_a_look_that_fails_proves_nothing(self, clock: JumpClock) -> None:
        shop = Shop(error=RequestError("broke"), arrives=1)
        shop.trouble = [RequestError("broke", retryable=True), APIError(18, "slow down", retryable=True)]
        assert await shop.order(clock) == "found"
        assert shop.looks == 3

    async def test_a_look_that_is_refused_leaves_the_doubt(self, clock: JumpClock) -> None:
        shop = Shop(error=RequestError("broke"), arrives=1)
        shop.trouble = [AuthError("AccessDenied", "no", http_status=403)]
        with pytest.raises(OutcomeUnknownError, match=r"looking for it is refused \(code AccessDenied: no\)") as caught:
            await shop.order(clock)
        assert caught.value.__cause__ is shop.error

    async def test_an_interrupted_attempt_is_adopted(self, clock: JumpClock) -> None:
        shop = Shop(arrives=1)
        assert await shop.order(clock, look_first=True) == "found"
        assert shop.orders == 0

    async def test_an_interrupted_attempt_that_made_nothing(self, clock: JumpClock) -> None:
        shop = Shop()
        before = clock.monotonic()
        assert await shop.order(clock, look_first=True) == "new"
        assert shop.orders == 1
        assert clock.monotonic() - before >= SETTLE_SECONDS, "the earlier order may still have been on its way"

    async def test_before_the_order_a_look_must_succeed(self, clock: JumpClock) -> None:
        """What cannot be looked for might be ordered twice."""
        shop = Shop()
        shop.trouble = [RequestError("broke", retryable=True)] * 1000
        with pytest.raises(OutcomeUnknownError, match="looking for it is refused"):
            await shop.order(clock, look_first=True)
        assert shop.orders == 0

    @pytest.mark.parametrize(("arrives", "looks"), [(1, 1), (0, 1)])
    async def test_the_platforms_refusal_of_a_second_one(self, clock: JumpClock, arrives: int, looks: int) -> None:
        """It is ours if it is found; if not, the name belongs to something else and the refusal stands."""
        shop = Shop(error=APIError(70101, "name exists", http_status=200), arrives=arrives)

        def taken(error: APIError) -> bool:
            return error.code == 70101

        if arrives:
            assert await shop.order(clock, exists_already=taken) == "found"
        else:
            with pytest.raises(APIError, match="name exists"):
                await shop.order(clock, exists_already=taken)
        assert (shop.orders, shop.looks, clock.monotonic()) == (1, looks, 0)

    async def test_how_long_it_looks_can_be_said(self, clock: JumpClock) -> None:
        with pytest.raises(OutcomeUnknownError, match="within 5 s"):
            await Shop(error=RequestError("broke")).order(clock, settle=5.0)
        assert 5 <= clock.monotonic() < 20

    async def test_doubt_is_logged(self, clock: JumpClock, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "qianfan"):
            await Shop(error=RequestError("broke"), arrives=1).order(clock)
        assert [(record.levelname, record.message) for record in caplog.records] == [
            ("WARNING", "no clear answer to creating thing 't_1' (broke); looking for it"),
            ("INFO", "thing 't_1' was created after all; using it"),
        ]


# --- names ---------------------------------------------------------------------------------------------------


@given(parts=st.lists(st.one_of(st.text(), st.integers(), st.none())))
def test_a_token_is_always_the_same_for_the_same_parts(parts: list[object]) -> None:
    token = token_for(*parts)
    assert token == token_for(*parts)
    assert len(token) == 10
    assert token.isalnum()
    assert token.islower() or token.isdecimal()


def test_new_tokens_differ() -> None:
    assert len({new_token() for _ in range(100)}) == 100


@given(stem=st.text())
def test_every_stem_makes_a_name_that_the_platform_takes(stem: str) -> None:
    name = name_with("abcdefghij", stem)
    assert 2 <= len(name) <= 20
    assert name.endswith("_abcdefghij")
    assert name[0] not in "_-"


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("ERNIE-Speed-8K", "ERNIE-Spe_abcdefghij"),
        ("m_my job", "m_my_job_abcdefghij"),
        ("客服 模型", "客服_模型_abcdefghij"),
        ("!!!", "qianfan_abcdefghij"),
        ("", "qianfan_abcdefghij"),
        ("12345678_901", "12345678_abcdefghij"),
    ],
)
def test_names_can_be_read(stem: str, name: str) -> None:
    assert name_with("abcdefghij", stem) == name

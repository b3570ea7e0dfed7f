"""Names that find an order again, and orders that stand outside of any run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.errors import OutcomeUnknownError, RequestError
from qianfan.pipeline import Mark, Purchase, Receipt
from qianfan.resources.purchase import labelled, lone_purchases, name_with, new_token, token_for
from tests.support.clock import JumpClock


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


LABEL = "qf:nightly/abcdefghij.service/0"


@given(description=st.text(max_size=600), label=st.text("abcdefghij:/.0123456789", min_size=1, max_size=100))
def test_a_description_ends_with_the_label_and_keeps_what_fits(description: str, label: str) -> None:
    made = labelled(description, label)
    assert made.endswith(label)
    assert len(made) <= 500
    words = made.removesuffix(label).strip()
    assert description.strip().startswith(words)
    if len(description) + 1 + len(label) <= 500:
        assert words == description.strip()


@pytest.mark.parametrize(
    ("description", "made"),
    [
        ("", LABEL),
        ("for the shop", f"for the shop {LABEL}"),
        ("  for the shop \n", f"for the shop {LABEL}"),
        ("x" * 500, f"{'x' * (499 - len(LABEL))} {LABEL}"),
    ],
)
def test_labels_can_be_read(description: str, made: str) -> None:
    assert labelled(description, LABEL) == made


# --- orders outside of any run -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_order_outside_of_a_run_is_remembered_as_long_as_its_object_lives() -> None:
    sent: list[Any] = []
    seen: list[Receipt] = []

    async def create(request: Any) -> Receipt:
        sent.append(request)
        raise RequestError("broke")

    async def find(mark: Mark) -> list[Receipt]:
        return seen

    clock = JumpClock()
    desk = lone_purchases("a thing", clock, settle=30.0)
    order = Purchase("thing", lambda mark: {"name": name_with(mark.token, "t")}, create, find, paid=True)
    with pytest.raises(OutcomeUnknownError, match="within 30 s") as held:
        await desk.ensure(order)
    assert (held.value.run_id, held.value.node) == ("", ""), "there is no run that somebody could decide about"
    assert "asked for again" in str(held.value)
    assert "decide" not in str(held.value)
    seen.append(Receipt("t1"))
    assert await desk.ensure(order) == Receipt("t1")
    assert len(sent) == 1


@pytest.mark.anyio
async def test_the_same_thing_is_ordered_under_the_same_name() -> None:
    names: list[str] = []

    async def create(request: Any) -> Receipt:
        names.append(request["name"])
        return Receipt("t1")

    async def find(mark: Mark) -> list[Receipt]:
        raise AssertionError("nothing is in doubt")

    order = Purchase("thing", lambda mark: {"name": name_with(mark.token, "t")}, create, find)
    for what in ("this", "this", "that"):
        await lone_purchases(what, JumpClock(), 30.0).ensure(order)
    assert names[0] == names[1] != names[2]

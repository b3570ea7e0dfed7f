"""Row 24: uploads that are cut, whose answers are lost, or whose file changes. One object and one dataset come of it.

An object goes up in one request; so what would be the completion of several parts is the answer to it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import AuthError, DataFileChangedError, InvalidArgumentError, RequestError
from qianfan.trainer import LLMFinetune
from tests.faults.support import (
    ONE_OF_EACH,
    EventfulClock,
    Heard,
    Trouble,
    client_for,
    client_through,
    content_of,
    facts_of,
    new_trainer,
    orders,
    put_back,
    require_one_of_each,
    rows_file,
)
from tests.support.faultproxy import (
    Accident,
    Exchange,
    FaultProxy,
    close_after_effect,
    reset_after_effect,
    reset_before_read,
    short_body,
    status,
)
from tests.support.transport import Passing

pytestmark = pytest.mark.anyio

AFTER_THE_LOOK = 2
"""Which request under the key is the upload: the first one asks whether that is needed."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of more than one piece."""
    return rows_file(tmp_path / "rows.jsonl", 200, text="why? " * 1200)


def key_of(path: Path) -> str:
    """The last part of the key under which a file is uploaded."""
    return f"data_{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}.jsonl"


def require_one_dataset(emulator: Emulator, trainer: LLMFinetune, path: Path) -> None:
    """The run is done, on exactly what is in the file."""
    require_one_of_each(emulator, trainer)
    assert emulator.made("dataset") == 1
    [bucket] = emulator.buckets
    [key] = emulator.buckets[bucket]
    assert key.endswith(f"/{key_of(path)}")
    assert emulator.read_object(bucket, key) == path.read_bytes()
    assert list(emulator.datasets)[-1] in str(trainer.result[0]["datasets"])


def cut_at(share: float, path: Path) -> Accident:
    """A reset when that share of the file has come."""
    wanted = int(path.stat().st_size * share)

    async def accident(exchange: Exchange) -> None:
        reader = exchange._reader
        while (await reader.readline()).strip():
            pass
        if wanted:
            await reader.readexactly(wanted)
        exchange.reset()

    return accident


@pytest.mark.socket
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
async def test_24_an_upload_that_is_cut_begins_again(
    share: float, path: Path, proxy: FaultProxy, served: Emulator
) -> None:
    """Twice; under the same key, and in the same run."""
    heard = Heard()
    async with client_through(proxy, served) as client:
        trainer = new_trainer(client, heard, dataset=path)
        proxy.script(key_of(path), cut_at(share, path), times=2, nth=AFTER_THE_LOOK)
        await trainer.arun()
    require_one_dataset(served, trainer, path)
    assert (served.count("PutObject"), proxy.count(key_of(path))) == (1, 2)
    assert orders(served) == ONE_OF_EACH
    assert not [event for event in heard.events if event.exception is not None]


@pytest.mark.socket
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
async def test_24_a_run_whose_upload_never_gets_through(
    share: float, path: Path, proxy: FaultProxy, served: Emulator
) -> None:
    """It ends without having ordered anything, and a resume takes the same key."""
    async with client_through(proxy, served) as client:
        first = new_trainer(client, dataset=path)
        proxy.script(key_of(path), cut_at(share, path), times=4, nth=AFTER_THE_LOOK)
        with pytest.raises(RequestError, match="put object: the connection broke"):
            await first.arun()
        assert (served.made("dataset"), sum(orders(served).values())) == (0, 0)
        trainer = await (await LLMFinetune.aload(first.id, client=client)).aresume()
    require_one_dataset(served, trainer, path)
    assert orders(served) == ONE_OF_EACH


@pytest.mark.socket
@pytest.mark.parametrize("accident", [reset_after_effect, close_after_effect, status(502, effect=True)])
async def test_24_the_answer_of_an_upload_is_lost(
    accident: Accident, path: Path, proxy: FaultProxy, served: Emulator
) -> None:
    """It goes up again, onto itself."""
    async with client_through(proxy, served) as client:
        trainer = new_trainer(client, dataset=path)
        proxy.script(key_of(path), accident, times=2, nth=AFTER_THE_LOOK)
        await trainer.arun()
    require_one_dataset(served, trainer, path)
    assert served.count("PutObject") == 3


LOST: dict[str, tuple[Accident, bool]] = {
    "after": (reset_after_effect, True),
    "cut short": (short_body, True),
    "before": (reset_before_read, False),
    "502": (status(502, effect=False), False),
}


@pytest.mark.socket
@pytest.mark.parametrize("call", ["create", "import"])
@pytest.mark.parametrize("lost", LOST)
async def test_24_the_answer_of_an_order_on_the_way_is_lost(
    lost: str, call: str, path: Path, proxy: FaultProxy, served: Emulator
) -> None:
    """The dataset and its import are looked for like everything else, and nobody has to decide about them."""
    heard, (accident, effect) = Heard(), LOST[lost]
    proxy.script(call, accident)
    async with client_through(proxy, served) as client:
        trainer = await new_trainer(client, heard, dataset=path).arun()
    require_one_dataset(served, trainer, path)
    assert (served.count("dataset/create"), served.count("dataset/import")) == (1, 1)
    assert len(heard.of("adopted")) == effect
    assert heard.of("needs_decision") == []


async def test_24_everything_goes_wrong_at_once(path: Path, emulator: Emulator, clock: EventfulClock) -> None:
    """The answers of all calls on the way to a dataset are lost at first."""
    heard = Heard()
    for call in ("PutObject", "dataset/create", "dataset/import", "dataset/release", "dataset/info"):
        emulator.faults.add(call, drop="after")
    trainer = await new_trainer(client_for(clock), heard, dataset=path).arun()
    require_one_dataset(emulator, trainer, path)
    assert (emulator.count("dataset/create"), emulator.count("dataset/import")) == (1, 1)
    assert [kind for data in heard.of("adopted") for kind in data] == ["dataset_0", "import_0"]


# --- a file that changes ---------------------------------------------------------------------------------------------


def changing(emulator: Emulator, clock: EventfulClock, path: Path, change: Any, *, at: str) -> Client:
    """A client during whose first upload the file is changed: while it is being read, or when all has been read."""
    left = [AFTER_THE_LOOK]

    def is_first_upload(name: str) -> bool:
        left[0] -= name.endswith(".jsonl")
        return left[0] == 0 and name.endswith(".jsonl")

    async def mishap(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        if at == "the end":
            response = await pass_on(request)
            change(path)
            return response
        pieces = request.stream.__aiter__()  # type: ignore[union-attr]
        await anext(pieces)
        change(path)
        async for _ in pieces:
            pass
        raise AssertionError("all of it was read")

    return client_for(clock, Trouble(emulator.transport(), is_first_upload, mishap))


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(path.read_bytes())


def _shrink(path: Path) -> None:
    rows_file(path)


def _retouch(path: Path) -> None:
    """The same length, another answer."""
    path.write_bytes(path.read_bytes().replace(b"answer 7", b"answer 8"))


CHANGES = [
    pytest.param(_grow, "while", id="grows"),
    pytest.param(_shrink, "while", id="shrinks"),
    pytest.param(_grow, "the end", id="has grown"),
    pytest.param(_retouch, "the end", id="was edited"),
]


@pytest.mark.parametrize(("change", "at"), CHANGES)
async def test_24_a_file_that_changes_while_it_is_read(
    change: Any, at: str, path: Path, emulator: Emulator, clock: EventfulClock
) -> None:
    """Nothing is made of a mixture; the run goes on only with what it began with."""
    before = content_of(path)
    trainer = new_trainer(changing(emulator, clock, path, change, at=at), dataset=path)
    with pytest.raises(DataFileChangedError, match="was changed while it was read"):
        await trainer.arun()
    assert (emulator.made("dataset"), sum(orders(emulator).values())) == (0, 0)
    sent = emulator.count("PutObject")
    with pytest.raises(InvalidArgumentError, match="has changed since this run began"):
        await trainer.aresume()
    assert emulator.count("PutObject") == sent
    put_back(path, before)
    await trainer.aresume()
    require_one_dataset(emulator, trainer, path)
    assert orders(emulator) == ONE_OF_EACH
    assert (await facts_of(trainer))["run_status"] == "done"


async def test_24_a_file_that_changes_later_is_of_no_interest(
    path: Path, emulator: Emulator, clock: EventfulClock
) -> None:
    """Once its rows are on the platform, the run does not need it: not even that it is there."""
    fault = emulator.faults.add("DescribeFineTuningTask", times=None, status=403, code="InvalidAccessKeyId")
    trainer = new_trainer(client_for(clock), dataset=path)
    with pytest.raises(AuthError):
        await trainer.arun()
    emulator.faults.remove(fault)
    put_back(path, None)
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert (emulator.made("dataset"), orders(emulator)) == (1, ONE_OF_EACH)

"""`QianfanDataSource` under the names that older code calls it by."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from qianfan._transport import Client
from qianfan.dataset import Dataset, DataStorageType, DataTemplateType, FormatType, QianfanDataSource
from qianfan.dataset.consts import DataFormat
from qianfan.dataset.sources import MemoryDataSource
from qianfan.emulator import Emulator
from qianfan.errors import APIError, ArgumentNotFoundError, InvalidArgumentError
from qianfan.resources import BosPath, Platform
from tests.support.clock import JumpClock
from tests.support.emulated import client_for

pytestmark = pytest.mark.anyio

LINES = [[{"prompt": f"q{n}", "response": [[f"a{n}"]]}] for n in range(5)]
CONVERSATIONS = DataTemplateType.NonSortedConversation


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(engine="scripted") as running:
        yield running


async def empty(emulator: Emulator, **storage: Any) -> QianfanDataSource:
    return await QianfanDataSource.acreate_bare_dataset("mine", CONVERSATIONS, **storage)


OWN: dict[str, Any] = {
    "storage_type": DataStorageType.PrivateBos,
    "storage_id": "own-bucket",
    "storage_path": "/in/",
}


# --- whose account ---------------------------------------------------------------------------------------------------


async def test_keys_of_another_account(emulator: Emulator) -> None:
    keys = {"ak": emulator.settings["ACCESS_KEY"], "sk": emulator.settings["SECRET_KEY"]}
    for client in (None, Client()):
        source = await QianfanDataSource.aget_existed_dataset(111, **keys, client=client)
        assert (source.ak, source.sk) == (keys["ak"], keys["sk"])
    with pytest.raises(APIError):
        await QianfanDataSource.aget_existed_dataset(111, ak="somebody", sk="else")
    made = await QianfanDataSource.acreate_bare_dataset("mine", CONVERSATIONS, addition_info={"x": 1}, **keys)
    assert (await made.arefresh()).name == "mine"
    with pytest.raises(InvalidArgumentError, match="ak and sk are a pair"):
        QianfanDataSource("ds-1", sk="only-one")


def test_keys_are_neither_shown_nor_kept() -> None:
    source = QianfanDataSource("ds-1", ak="an-access-key", sk="a-secret-key")
    shown = [repr(source), str(source), repr(Dataset(source)), str(vars(source)), repr(source._account)]
    assert not [text for text in shown if "a-secret-key" in text]
    kept = pickle.dumps(source)
    assert b"a-secret-key" not in kept
    assert pickle.loads(kept).sk is None
    assert copy.deepcopy(source).sk == "a-secret-key"
    assert (QianfanDataSource("ds-1").ak, QianfanDataSource("ds-1").sk) == (None, None)


# --- getting one -----------------------------------------------------------------------------------------------------


def test_blocking_forms_take_what_the_others_take(emulator: Emulator) -> None:
    there = QianfanDataSource.get_existed_dataset("111", True)
    assert there.local is not None
    assert len(there.local) == there.row_number
    made = QianfanDataSource.create_bare_dataset("mine", CONVERSATIONS, DataStorageType.PublicBos)
    assert made.save(MemoryDataSource(LINES), sup_storage_id="bucket")
    assert made.load().to_pylist() == made.fetch().to_pylist() == LINES


@pytest.mark.parametrize("storage", [DataStorageType.PrivateBos, DataStorageType.PublicBos])
async def test_from_a_file_in_a_bucket_with_its_rows(emulator: Emulator, storage: DataStorageType) -> None:
    content = b"".join(json.dumps(row).encode() + b"\n" for row in LINES)
    await Platform().bos.put_bytes(content, BosPath("own-bucket", "in/a.jsonl"))
    source = await QianfanDataSource.acreate_from_bos_file(
        "mine", CONVERSATIONS, "own-bucket", "/in/", "a.jsonl", True, storage, is_download_to_local=True
    )
    assert source.storage_type is storage
    assert (await source.aload()).to_pylist() == LINES
    assert emulator.count("dataset/export") == 1


async def test_a_kind_that_only_newer_calls_know(emulator: Emulator) -> None:
    source = await QianfanDataSource.acreate_bare_dataset("mine", DataFormat.KTOPromptChosenRejected, **OWN)
    version = await Platform().data_v2.describe_version(str(source.id))
    assert (version.data_format, version.storage_path) == (DataFormat.KTOPromptChosenRejected, "bos:/own-bucket/in/")


@pytest.mark.parametrize(
    ("template", "format_type"),
    [
        (CONVERSATIONS, FormatType.Jsonl),
        (DataTemplateType.QuerySet, FormatType.Jsonl),
        (DataTemplateType.GenericText, FormatType.Text),
        (DataTemplateType.Text2Image, FormatType.Text2Image),
    ],
)
async def test_how_the_platform_holds_the_rows(
    emulator: Emulator, template: DataTemplateType, format_type: FormatType
) -> None:
    source = await QianfanDataSource.acreate_bare_dataset("mine", template)
    assert source.data_format_type is None
    await source.arefresh()
    assert source.data_format_type is format_type


# --- rows ------------------------------------------------------------------------------------------------------------


async def test_rows_pass_through_the_bucket_that_the_dataset_is_kept_in(emulator: Emulator) -> None:
    source = await empty(emulator, **OWN)
    assert await source.asave(Dataset.create_from_pyobj(LINES), does_release=True)
    assert (source.row_number, source.release_status) == (5, 2)
    [key] = emulator.buckets["own-bucket"]
    assert key.startswith("in/data_")


async def test_rows_are_added(emulator: Emulator) -> None:
    source = await empty(emulator)
    client = client_for(JumpClock(), bos_bucket="of-the-settings", bos_folder="up")
    by_settings = QianfanDataSource(source.id, client=client)
    assert await by_settings.asave(MemoryDataSource(LINES))
    assert [key.partition("/")[0] for key in emulator.buckets["of-the-settings"]] == ["up"]
    assert await source.asave(MemoryDataSource(LINES[:2]), sup_storage_id="named", sup_storage_path="/x/")
    assert [key.partition("/")[0] for key in emulator.buckets["named"]] == ["x"]
    assert source.row_number == 7
    assert sorted(as_texts(await source.afetch())) == sorted(as_texts(LINES + LINES[:2]))


def as_texts(rows: Any) -> list[str]:
    return [json.dumps(row) for row in rows]


async def test_rows_that_no_bucket_leads_to_the_platform(emulator: Emulator) -> None:
    source = QianfanDataSource((await empty(emulator)).id, client=client_for(JumpClock(), bos_bucket=None))
    with pytest.raises(ArgumentNotFoundError, match="passes through a bucket of yours"):
        await source.asave(MemoryDataSource(LINES))
    assert emulator.count("PutObject") == 0


async def test_rows_are_fetched_once_until_they_are_wanted_anew(emulator: Emulator) -> None:
    source = QianfanDataSource(111)
    told: list[tuple[int, int | None]] = []
    table = await source.afetch(on_progress=lambda *progress: told.append(progress))
    assert told[-1][0] == told[-1][1]
    sent = len(emulator.requests)
    assert (await source.aload()).to_pylist() == table.to_pylist()
    assert len(emulator.requests) == sent
    await source.afetch()
    assert len(emulator.requests) > sent


@pytest.mark.parametrize("name", ["fetch", "load", "save", "release_dataset", "get_existed_dataset", "refresh"])
def test_every_blocking_name_has_a_twin_to_await(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(QianfanDataSource, f"a{name}"))
    assert not inspect.iscoroutinefunction(getattr(QianfanDataSource, name))

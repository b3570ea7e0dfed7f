"""Datasets on the platform, spoken to through the emulator."""

from __future__ import annotations

import json

import anyio
import pytest

from qianfan.dataset import Dataset, DataStorageType, DataTemplateType, FileDataSource, QianfanDataSource
from qianfan.dataset.consts import DataSourceType
from qianfan.dataset.sources import MemoryDataSource
from qianfan.dataset.upload import UploadTarget, upload
from qianfan.emulator import Emulator
from qianfan.errors import (
    APIError,
    ArgumentNotFoundError,
    DatasetImportError,
    DatasetReleaseError,
    InvalidArgumentError,
    ValidationError,
)
from qianfan.resources import BosPath, Platform

pytestmark = pytest.mark.anyio

LINES = [[{"prompt": f"q{n}", "response": [[f"a{n}"]]}] for n in range(40)]
OWN_STORAGE = {"name": "mine", "storage_id": "my-bucket", "storage_path": "a/b"}


@pytest.fixture
def emulator():
    with Emulator(engine="scripted") as running:
        yield running


async def put(content: bytes, place: str) -> None:
    await Platform().bos.put_bytes(content, BosPath.parse(place))


@pytest.mark.parametrize("id", [111, "111"])
async def test_a_dataset_is_known_by_its_number(emulator, id):
    dataset = await Dataset.aload(qianfan_dataset_id=id, is_download_to_local=False)
    source = dataset.inner_data_source_cache
    assert emulator.count("dataset/info") == len(emulator.requests) == 1
    assert source.id == id
    assert source.dataset_id.startswith("ds-")
    assert source.old_dataset_id == 111
    assert source.group_id.startswith("dg-")
    assert (source.project_type, source.set_type, source.version) == (20, 4, 1)
    assert source.storage_type is DataStorageType.PublicBos
    assert dataset.template_type is DataTemplateType.NonSortedConversation
    assert dataset.is_released
    assert not dataset.is_local
    assert len(dataset) == dataset.row_number() >= 140
    twin = await Dataset.aload(qianfan_dataset_id=source.dataset_id)
    assert twin.inner_data_source_cache.old_dataset_id == 111


def test_the_blocking_form_does_the_same(emulator):
    dataset = Dataset.load(qianfan_dataset_id=111, is_download_to_local=False)
    assert repr(dataset).startswith("Dataset(id=111, template=NonSortedConversation, name=")
    assert repr(dataset).endswith("release=Finished)")
    assert ">Finished</td>" in dataset._repr_html_()
    assert QianfanDataSource.get_existed_dataset(111).release_dataset()
    assert emulator.count("dataset/release") == 0


async def test_making_and_showing_a_source_sends_nothing(emulator):
    source = QianfanDataSource("ds-1")
    assert (source.dataset_id, source.old_dataset_id, source.template_type) == ("ds-1", None, None)
    assert (QianfanDataSource("7").old_dataset_id, QianfanDataSource(7).dataset_id) == (7, None)
    assert repr(Dataset(source)) == "Dataset(id='ds-1', template=unknown)"
    assert Dataset(source)
    assert not emulator.requests


async def test_an_unknown_id_fails_while_loading(emulator):
    with pytest.raises(APIError, match="99999"):
        await Dataset.aload(qianfan_dataset_id=99999)


async def test_rows_on_the_platform_stay_there(emulator):
    dataset = await Dataset.aload(qianfan_dataset_id=111)
    for read in (dataset.to_pylist, dataset.validate, lambda: dataset.map(str)):
        with pytest.raises(InvalidArgumentError, match="dataset 111 is on the platform"):
            read()


async def test_saving_to_storage_of_ones_own_and_releasing(emulator):
    local = Dataset.create_from_pyobj(LINES)
    saved = await local.asave(qianfan_dataset_create_args=OWN_STORAGE, does_release=True)
    assert saved
    assert saved.is_released
    assert len(saved) == 40
    source = saved.inner_data_source_cache
    assert (source.storage_type, source.storage_id) == (DataStorageType.PrivateBos, "my-bucket")
    (key,) = emulator.buckets["my-bucket"]
    assert key.startswith("a/b/data_")
    assert [json.loads(line) for line in emulator.read_object("my-bucket", key).splitlines()] == LINES


async def test_saving_to_the_platforms_storage_passes_through_a_bucket(emulator):
    saved = await Dataset.create_from_pyobj(LINES).asave(
        qianfan_dataset_create_args={"name": "mine"}, sup_storage_id="pass-through", sup_storage_path="/x/"
    )
    assert saved.inner_data_source_cache.storage_type is DataStorageType.PublicBos
    assert not saved.is_released
    (key,) = emulator.buckets["pass-through"]
    assert key.startswith("x/data_")


async def test_saving_into_an_existing_dataset_adds_rows(emulator):
    first = await Dataset.create_from_pyobj(LINES).asave(qianfan_dataset_create_args=OWN_STORAGE)
    id = first.inner_data_source_cache.dataset_id
    await Dataset.create_from_pyobj(LINES[:2]).asave(qianfan_dataset_id=id, sup_storage_id="my-bucket")
    assert len(await Dataset.aload(qianfan_dataset_id=id)) == 42


async def test_texts_travel_as_an_archive(emulator):
    saved = await Dataset.create_from_pyobj(["one", "two"]).asave(qianfan_dataset_create_args=OWN_STORAGE)
    assert saved.template_type is DataTemplateType.GenericText
    assert len(saved) == 2
    (key,) = emulator.buckets["my-bucket"]
    assert key.endswith(".zip")


@pytest.mark.parametrize(
    ("name", "content", "as_it_is"),
    [
        ("a.jsonl", b'[{"prompt":"q","response":[["a"]]}]\n', True),
        ("a.jsonl", b'\xef\xbb\xbf[{"prompt":"q","response":[["a"]]}]\n', False),
        ("a.jsonl", b'{"instruction":"q","output":"a"}\n', False),
        ("a.json", b'[{"instruction":"q","output":"a"}]', False),
    ],
)
async def test_a_file_in_the_platforms_form_is_sent_as_it_is(emulator, tmp_path, name, content, as_it_is):
    await anyio.Path(tmp_path / name).write_bytes(content)
    told: list[tuple[int, int]] = []
    target = UploadTarget(bucket="bucket", name="mine", owns_storage=False)
    await upload(FileDataSource(tmp_path / name), target, on_progress=lambda done, size: told.append((done, size)))
    (key,) = emulator.buckets["bucket"]
    sent = emulator.read_object("bucket", key)
    assert (sent == content) is as_it_is
    assert json.loads(sent) == [{"prompt": "q", "response": [["a"]]}]
    assert told[-1] == (len(sent), len(sent))


async def test_nothing_is_sent_while_a_row_is_wrong(emulator):
    local = Dataset.create_from_pyobj([LINES[0], [{"prompt": "q", "response": [[""]]}], []])
    with pytest.raises(ValidationError) as caught:
        await local.asave(qianfan_dataset_create_args=OWN_STORAGE)
    assert len(caught.value.problems) == 2
    assert not emulator.requests


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "Dataset.save needs a data_file"),
        ({"qianfan_dataset_create_args": {"name": "x"}}, "passes through a bucket of yours"),
        ({"qianfan_dataset_create_args": {"nmae": "x"}}, "did you mean 'name'"),
        (
            {"qianfan_dataset_create_args": {**OWN_STORAGE, "template_type": DataTemplateType.GenericText}},
            "holds NonSortedConversation rows",
        ),
    ],
)
async def test_a_destination_that_cannot_be_used_is_explained(emulator, options, expected):
    with pytest.raises((ArgumentNotFoundError, InvalidArgumentError), match=expected):
        await Dataset.create_from_pyobj(LINES).asave(**options)
    assert not emulator.requests


async def test_an_empty_dataset_is_not_uploaded(emulator):
    with pytest.raises(InvalidArgumentError, match="no rows to upload"):
        await upload(MemoryDataSource([]), UploadTarget(bucket="bucket", name="mine"))
    assert not emulator.requests


async def test_a_dataset_from_a_file_that_is_in_object_storage(emulator):
    await put(b"".join(json.dumps(row).encode() + b"\n" for row in LINES), "bos:/my-bucket/folder/a.jsonl")
    source = await QianfanDataSource.acreate_from_bos_file(
        "mine", DataTemplateType.NonSortedConversation, "my-bucket", "/folder/", "a.jsonl"
    )
    assert source.row_number == 40
    looks: list[int] = []
    info = await source.arelease_dataset(on_look=lambda info: looks.append(info.release_status))
    assert looks
    assert info.dataset_id == source.dataset_id


async def test_an_import_that_fails_brings_the_platforms_report(emulator):
    await put(b'[{"prompt": "q", "response": [["a"]]}]\nnonsense\n', "bos:/my-bucket/a.jsonl")
    source = await QianfanDataSource.acreate_bare_dataset("mine", DataTemplateType.NonSortedConversation)
    with pytest.raises(DatasetImportError, match="the import failed") as caught:
        await source.aimport_file("bos:/my-bucket/a.jsonl", source=DataSourceType.PrivateBos)
    assert caught.value.dataset_id == source.dataset_id
    assert any("line 2" in line for line in caught.value.detail)


async def test_a_release_that_fails_is_an_error(emulator):
    saved = await Dataset.create_from_pyobj(LINES).asave(qianfan_dataset_create_args=OWN_STORAGE)
    emulator.releases.script(ends="PublishFailed", after_looks=2)
    with pytest.raises(DatasetReleaseError, match="could not be released") as caught:
        await saved.inner_data_source_cache.arelease_dataset()
    assert caught.value.dataset_id == saved.inner_data_source_cache.dataset_id

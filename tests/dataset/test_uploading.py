"""Local data onto the platform: nothing goes twice, nothing wrong goes, and complaints lead to the user's line."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Client
from qianfan.config import Settings, default_settings
from qianfan.dataset import Dataset, DataTemplateType, FileDataSource, QianfanDataSource
from qianfan.dataset.consts import DataFormat
from qianfan.dataset.sources import LocalSource, MemoryDataSource
from qianfan.dataset.upload import LARGEST_ARCHIVE, LARGEST_FILE, LARGEST_OWN_ARCHIVE, UploadTarget, oversize, upload
from qianfan.emulator import Emulator
from qianfan.errors import (
    DataFileChangedError,
    DataFileError,
    DatasetImportError,
    InvalidArgumentError,
    ValidationError,
)
from qianfan.resources import BosPath, Platform
from qianfan.resources.fingerprint import fingerprint
from qianfan.trainer import DPO, KTO, LLMFinetune
from tests.support.clock import JumpClock
from tests.support.faultproxy import serving

pytestmark = pytest.mark.anyio

BUCKET = "my-bucket"
TARGET = UploadTarget(bucket=BUCKET, folder="in", name="mine", owns_storage=False)
DIALOGUE = b'[{"prompt": "q1", "response": [["a1"]]}]\n[{"prompt": "q2", "response": [["a2"]]}]\n'
MIB = 1 << 20


@pytest.fixture
def emulator():
    with Emulator(engine="scripted") as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(DIALOGUE)
    return path


def keys(emulator: Emulator) -> list[str]:
    """What is in the buckets."""
    return sorted(key for bucket in emulator.buckets.values() for key in bucket)


def untouched(emulator: Emulator) -> bool:
    """Whether nothing came into being, neither in a bucket nor on the platform."""
    return keys(emulator) == [] and emulator.made("dataset") == 0


# --- the same content ------------------------------------------------------------------------------------------------


async def test_content_that_is_in_the_bucket_is_not_sent_again(emulator: Emulator, path: Path) -> None:
    """The file is named after what it holds; the dataset is a new one, as was asked for."""
    told: list[tuple[int, int]] = []
    first = await upload(FileDataSource(path), TARGET)
    again = await anyio.Path(path).rename(path.with_name("another name.jsonl"))
    second = await upload(FileDataSource(Path(again)), TARGET, on_progress=lambda done, size: told.append((done, size)))
    size = len(DIALOGUE)
    assert told == [(0, size), (size, size)]
    assert emulator.count("PutObject") == 1
    assert keys(emulator) == [f"in/data_{hashlib.sha256(DIALOGUE).hexdigest()[:32]}.jsonl"]
    assert first.dataset_id != second.dataset_id
    assert (first.row_number, second.row_number) == (2, 2)


async def test_rows_in_another_shape_are_known_again_too(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"instruction": "q1", "output": "a1"}]')
    (tmp_path / "rows.csv").write_text("instruction,output\nq1,a1\n")
    for name in ("rows.json", "rows.csv"):
        await upload(FileDataSource(tmp_path / name), TARGET)
    await upload(MemoryDataSource([[{"prompt": "q1", "response": [["a1"]]}]]), TARGET)
    assert emulator.count("PutObject") == len(keys(emulator)) == 1


async def test_an_archive_is_known_again(emulator: Emulator) -> None:
    for _ in range(2):
        await upload(MemoryDataSource(["one", "two"]), TARGET)
    assert emulator.count("PutObject") == 1


@pytest.mark.parametrize("stored", [b"other", DIALOGUE], ids=["something else", "stored without its hash"])
async def test_an_object_that_nobody_vouches_for_is_replaced(emulator: Emulator, path: Path, stored: bytes) -> None:
    place = TARGET.place(fingerprint(path), ".jsonl")
    await Platform().bos.put_bytes(stored, place)
    await upload(FileDataSource(path), TARGET)
    assert emulator.read_object(BUCKET, place.key) == DIALOGUE
    assert emulator.count("PutObject") == 2


async def test_two_that_send_the_same_at_once(emulator: Emulator, path: Path) -> None:
    made: list[QianfanDataSource] = []

    async def send() -> None:
        made.append(await upload(FileDataSource(path), TARGET))

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        group.start_soon(send)
    assert [one.row_number for one in made] == [2, 2]
    assert len(keys(emulator)) == 1


# --- large files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a little more than one part."""
    path = tmp_path_factory.mktemp("large") / "large.jsonl"
    line = json.dumps([{"prompt": "问题" * 500, "response": [["回答" * 1500]]}], ensure_ascii=False).encode() + b"\n"
    path.write_bytes(line * (17 * MIB // len(line)))
    return path


async def test_a_large_file_goes_up_in_parts(emulator: Emulator, large: Path) -> None:
    told: list[int] = []
    for _ in range(2):
        made = await upload(FileDataSource(large), TARGET, on_progress=lambda done, size: told.append(done))
    content = await anyio.Path(large).read_bytes()
    size = len(content)
    assert (emulator.count("InitiateMultipartUpload"), emulator.count("UploadPart")) == (1, 2)
    assert emulator.count("PutObject") == 0
    assert told[0] == 0
    assert told[-3:] == [size, 0, size]
    assert told[:-2] == sorted(set(told[:-2]))
    [key] = keys(emulator)
    assert emulator.read_object(BUCKET, key) == content
    assert made.row_number == content.count(b"\n")


DIES = """
import os, signal, sys
from pathlib import Path
from qianfan._sync import run_sync
from qianfan.resources import BosPath, Platform
from qianfan.resources.fingerprint import fingerprint
from qianfan.resources.fingerprint import fingerprint

def watch(done, size):
    if done > 5 << 20:
        os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[1])
send = Platform().bos.put_file_in_parts
run_sync(send, path, BosPath("my-bucket", "large"), part_size=5 << 20, at_once=1, content=fingerprint(path),
         on_progress=watch)
"""


@pytest.mark.socket
@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL is of Unix")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_killed_process_is_gone_on_from_by_another(large: Path) -> None:
    """It dies with the first part in the storage; nothing but the storage remembers that."""
    with Emulator(engine="scripted") as emulator, serving(emulator) as url:
        addresses = dict.fromkeys(("BASE_URL", "CONSOLE_API_BASE_URL", "IAM_BASE_URL", "BOS_BASE_URL"), url)
        told = {**emulator.settings, **addresses}
        environment = {**os.environ, **{f"QIANFAN_{name}": str(value) for name, value in told.items()}}
        command = [sys.executable, "-c", DIES, str(large)]
        ended = await anyio.run_process(command, env=environment, check=False)
        assert ended.returncode == -9, ended.stderr.decode()
        place, progress = BosPath(BUCKET, "large"), list[int]()
        client = Client(Settings(**{name.lower(): value for name, value in told.items()}), tokens=TokenStore())
        async with client:
            bos = Platform(client).bos
            [left] = [one async for one in bos.uploads(place)]
            assert [part.number for part in await bos.parts(place, left.upload_id)] == [1]
            await bos.put_file_in_parts(
                large,
                place,
                part_size=5 * MIB,
                content=fingerprint(large),
                on_progress=lambda done, size: progress.append(done),
            )
            assert await bos.holds(place, fingerprint(large))
        assert progress[0] == 5 * MIB
        assert emulator.count("InitiateMultipartUpload") == 1
        assert emulator.read_object(BUCKET, "large") == await anyio.Path(large).read_bytes()


# --- what is not sent ------------------------------------------------------------------------------------------------


async def test_a_file_that_changes_before_it_is_sent(emulator: Emulator, path: Path) -> None:
    def edit(done: int, size: int) -> None:
        path.write_bytes(DIALOGUE.replace(b"a1", b"b1"))

    with pytest.raises(DataFileChangedError, match="was changed while it was read"):
        await upload(FileDataSource(path), TARGET, on_progress=edit)
    assert untouched(emulator)


async def test_a_file_that_goes_away_before_it_is_sent(emulator: Emulator, path: Path) -> None:
    with pytest.raises(DataFileError, match="does not exist"):
        await upload(FileDataSource(path), TARGET, on_progress=lambda done, size: path.unlink(missing_ok=True))
    assert untouched(emulator)


@pytest.mark.parametrize("change", ["a file", "another file", "one less"])
async def test_a_folder_that_changes_meanwhile_is_not_imported(emulator: Emulator, tmp_path: Path, change: str) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("1.jsonl", "2.jsonl"):
        (folder / name).write_bytes(DIALOGUE)

    def edit(done: int, size: int) -> None:
        if change == "a file":
            (folder / "1.jsonl").write_bytes(DIALOGUE.replace(b"a1", b"better"))
        elif change == "another file":
            (folder / "3.jsonl").write_bytes(DIALOGUE)
        else:
            (folder / "2.jsonl").unlink(missing_ok=True)

    with pytest.raises(DataFileChangedError):
        await upload(Dataset.load(data_file=folder).filter(bool).local_source, TARGET, on_progress=edit)
    assert emulator.made("dataset") == 0


async def test_rows_that_nobody_can_train_on(emulator: Emulator) -> None:
    with pytest.raises((ValidationError, InvalidArgumentError), match="rename"):
        await upload(MemoryDataSource([{"colour": "red"}], format="table"), TARGET)
    assert not emulator.requests


@pytest.mark.parametrize(
    ("kind", "owns_storage", "most"),
    [
        (DataFormat.PromptResponse, False, LARGEST_FILE),
        (DataFormat.PromptResponse, True, LARGEST_FILE),
        (DataFormat.Text, True, LARGEST_OWN_ARCHIVE),
        (DataFormat.PromptImage, False, LARGEST_ARCHIVE),
    ],
)
def test_more_than_the_platform_takes(kind: DataFormat, owns_storage: bool, most: int) -> None:
    assert oversize(most, kind, owns_storage=owns_storage) is None
    problem = oversize(most + 1, kind, owns_storage=owns_storage) or ""
    assert f"of {most + 1} bytes, and the platform imports {most} at most" in problem
    assert ("storage of your own" in problem) is (most == LARGEST_ARCHIVE)


async def test_a_dataset_that_cannot_take_the_rows(emulator: Emulator, path: Path) -> None:
    """It is looked at before anything is sent."""
    texts = await QianfanDataSource.acreate_bare_dataset("texts", DataTemplateType.GenericText)
    judged = await QianfanDataSource.acreate_bare_dataset("judged", DataFormat.KTOPromptChosenRejected)
    for dataset, rows, says in (
        (texts.key, FileDataSource(path), "is of kind GenericText"),
        (texts.key, MemoryDataSource([[{"user": "q", "chosen": "a"}]]), "is of kind GenericText"),
        (judged.key, FileDataSource(path), "the rows are PromptResponse"),
        (111, FileDataSource(path), "is released, and takes no more rows"),
    ):
        with pytest.raises(InvalidArgumentError, match=says):
            await upload(rows, UploadTarget(bucket=BUCKET, dataset_id=dataset))
    assert keys(emulator) == []
    await upload(MemoryDataSource([[{"user": "q", "chosen": "a"}]]), UploadTarget(BUCKET, dataset_id=judged.key))
    assert (await judged.arefresh()).entity_count == 1


# --- what the platform refuses ---------------------------------------------------------------------------------------

WORDS = "内容不合规"


def _alpaca(folder: Path) -> LocalSource:
    """Row 2 is in line 4, since there are blank lines; what is sent has it in line 2."""
    rows = ['{"instruction": "q1", "output": "a1"}', "", "", '{"instruction": "q2", "output": "坏词"}', ""]
    (folder / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return FileDataSource(folder / "rows.jsonl")


def _as_it_is(folder: Path) -> LocalSource:
    (folder / "rows.jsonl").write_bytes(DIALOGUE.replace(b"\n", b"\n\n\n", 1).replace(b"a2", "坏词".encode()))
    return FileDataSource(folder / "rows.jsonl")


def _table(folder: Path) -> LocalSource:
    (folder / "rows.csv").write_text('instruction,output\n"q\n1",a1\nq2,坏词\n', encoding="utf-8")
    return FileDataSource(folder / "rows.csv")


def _folder(folder: Path) -> LocalSource:
    (folder / "rows").mkdir()
    (folder / "rows" / "1.jsonl").write_bytes(DIALOGUE)
    (folder / "rows" / "2.jsonl").write_bytes(b"\n" + DIALOGUE.replace(b"a1", "坏词".encode()))
    return FileDataSource(folder / "rows")


def _texts(folder: Path) -> LocalSource:
    (folder / "rows.txt").write_text("one\n\ntwo\n坏词\n", encoding="utf-8")
    return FileDataSource(folder / "rows.txt")


def _filtered(folder: Path) -> LocalSource:
    rows = [{"instruction": f"q{number}", "output": "坏词" if number == 7 else "a"} for number in range(10)]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    return Dataset.load(data_file=folder / "rows.jsonl").filter(lambda row: "q7" in str(row)).local_source


def _judged(folder: Path) -> LocalSource:
    rows = [{"prompt": "q", "completion": words, "label": True} for words in ("a", "坏词")]
    (folder / "rows.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    return FileDataSource(folder / "rows.json")


@pytest.mark.parametrize(
    ("make", "file", "line"),
    [
        (_alpaca, "", 4),
        (_as_it_is, "", 4),
        (_table, "", 4),
        (_folder, "2.jsonl", 2),
        (_texts, "", 4),
        (_filtered, "", 8),
        (_judged, "", 7),
    ],
)
async def test_what_the_platform_refuses_is_found_in_the_users_file(
    emulator: Emulator, tmp_path: Path, make: Callable[[Path], LocalSource], file: str, line: int
) -> None:
    emulator.refuse("坏词", WORDS)
    source = make(tmp_path)
    with pytest.raises(DatasetImportError) as refused:
        await upload(source, TARGET)
    [problem] = refused.value.problems
    assert (problem.file, problem.line, problem.reason) == (file, line, WORDS)
    assert "坏词" in problem.found
    place = f"{source.name}: {file}: line {line}" if file else f"{source.name}: line {line}"
    assert place in str(refused.value)
    assert WORDS in str(refused.value)


async def test_rows_in_memory_are_told_by_their_numbers(emulator: Emulator) -> None:
    emulator.refuse("坏词", WORDS)
    with pytest.raises(DatasetImportError, match=f"rows in memory: row 2: {WORDS}"):
        await upload(MemoryDataSource(["one", "坏词"]), TARGET)


async def test_a_report_about_no_row_is_told_as_it_came(emulator: Emulator, path: Path) -> None:
    emulator.imports.script(ends="ImportFailed", reason="存储不可用")
    with pytest.raises(DatasetImportError, match="the import failed") as failed:
        await upload(FileDataSource(path), TARGET)
    assert failed.value.problems == ()


# --- images ----------------------------------------------------------------------------------------------------------

IMAGES = {
    "a/red.png": b"\x89PNG red",
    "a/red.json": '{"prompt": "红色"}'.encode(),
    "blue.JPG": b"blue",
    "blue.json": b'{"prompt": "blue"}',
}


@pytest.mark.parametrize("as_zip", [False, True])
async def test_images_travel_with_their_words(emulator: Emulator, tmp_path: Path, as_zip: bool) -> None:
    if as_zip:
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            for name, content in IMAGES.items():
                archive.writestr(name, content)
    else:
        for name, content in IMAGES.items():
            (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "images" / name).write_bytes(content)
    source = FileDataSource(tmp_path / ("images.zip" if as_zip else "images"))
    made = await upload(source, TARGET)
    assert (made.template_type, made.row_number) == (DataTemplateType.Text2Image, 2)
    [key] = keys(emulator)
    with zipfile.ZipFile(io.BytesIO(emulator.read_object(BUCKET, key))) as sent:
        content = {name: sent.read(name) for name in sent.namelist()}
    assert content == {
        "0.png": b"\x89PNG red",
        "0.json": '{"prompt": "红色"}'.encode(),
        "1.jpg": b"blue",
        "1.json": b'{"prompt": "blue"}',
    }
    emulator.refuse("红", WORDS)
    with pytest.raises(DatasetImportError) as refused:
        await upload(source, TARGET)
    assert [(problem.file, problem.line) for problem in refused.value.problems] == [("a/red.png", 1)]


@pytest.mark.parametrize(
    ("image", "says"), [("/etc/passwd", "is no image"), ("../.ssh/id", "is no image"), ("none.png", "not there")]
)
async def test_only_images_are_sent_as_images(emulator: Emulator, tmp_path: Path, image: str, says: str) -> None:
    path = tmp_path / "pictures.jsonl"
    path.write_text(json.dumps({"image": image, "prompt": "p"}))
    with pytest.raises(DataFileError, match=says):
        await upload(FileDataSource(path), TARGET)
    assert untouched(emulator)


# --- training --------------------------------------------------------------------------------------------------------


FORTY = DIALOGUE * 20


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """As many rows as a training needs."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(FORTY)
    return path


def a_client(**changes: Any) -> Client:
    return Client(default_settings().replace(**changes), clock=JumpClock(), tokens=TokenStore())


def judged_file(folder: Path) -> Path:
    rows = [{"prompt": f"q{number}", "completion": "a", "label": number % 2 == 0} for number in range(40)]
    path = folder / "judged.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


async def test_judged_answers_train_kto(emulator: Emulator, tmp_path: Path) -> None:
    trainer = await KTO("ERNIE-Speed-8K", judged_file(tmp_path), client=a_client()).arun()
    [version] = trainer.result[0]["datasets"]["versions"]
    [group] = [group async for group in Platform(a_client()).data_v2.datasets() if group.data_format.startswith("KTO")]
    assert emulator.datasets[version["versionId"]].group_id == group.dataset_id
    [bucket] = emulator.buckets
    [key] = keys(emulator)
    rows = [json.loads(line) for line in emulator.read_object(bucket, key).splitlines()]
    assert rows[:2] == [[{"user": "q0", "chosen": "a"}], [{"user": "q1", "rejected": "a"}]]


async def test_pairs_and_judged_answers_are_not_mistaken_for_each_other(emulator: Emulator, tmp_path: Path) -> None:
    """The older name of their kinds is the same."""
    pairs = Dataset.create_from_pyobj([[{"user": f"q{n}", "chosen": "a", "rejected": "b"}] for n in range(40)])
    with pytest.raises(InvalidArgumentError, match=r"holds KTO_\w+ rows, and this training needs DPO_"):
        await DPO("ERNIE-Speed-8K", judged_file(tmp_path), client=a_client()).arun()
    with pytest.raises(InvalidArgumentError, match=r"holds DPO_\w+ rows, and this training needs KTO_"):
        await KTO("ERNIE-Speed-8K", pairs, client=a_client()).arun()
    assert untouched(emulator)


def dataset_of(trainer: LLMFinetune) -> list[str]:
    return [version["versionId"] for version in trainer.result[0]["datasets"]["versions"]]


async def trained(dataset: Any, **changes: Any) -> list[str]:
    """The datasets of a run on a file."""
    trainer = LLMFinetune("ERNIE-Speed-8K", dataset, client=a_client(**changes), model_not_publish=True)
    return dataset_of(await trainer.arun())


async def test_training_on_the_same_rows_again_imports_nothing(emulator: Emulator, rows: Path) -> None:
    first = await trained(rows)
    twin = rows.with_name("twin.jsonl")
    twin.write_bytes(FORTY)
    assert await trained(twin) == first
    assert (emulator.made("dataset"), emulator.count("dataset/import")) == (1, 1)
    twin.write_bytes(FORTY.replace(b"a1", b"b1"))
    assert await trained(twin) != first
    assert emulator.made("dataset") == 2


async def test_the_same_rows_twice_in_one_training(emulator: Emulator, rows: Path) -> None:
    datasets = await trained([rows, rows])
    assert len(set(datasets)) == 2
    assert emulator.count("PutObject") == 1


async def test_a_dataset_that_is_gone_is_made_anew(emulator: Emulator, rows: Path) -> None:
    [first] = await trained(rows)
    await Platform().data.delete(first)
    [second] = await trained(rows)
    assert second in emulator.datasets
    assert (emulator.made("dataset"), emulator.count("PutObject")) == (2, 1)


async def test_nothing_is_remembered_without_a_cache(emulator: Emulator, rows: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    await anyio.Path(blocked).touch()
    made = [await trained(rows, disable_cache=True), await trained(rows, disable_cache=True)]
    made += [await trained(rows, cache_dir=blocked), await trained(rows, cache_dir=blocked)]
    assert len({dataset for datasets in made for dataset in datasets}) == 4


async def test_another_account_does_not_share_the_memory(emulator: Emulator, rows: Path) -> None:
    [first] = await trained(rows)
    cache = default_settings().cache_dir
    with Emulator(engine="scripted") as other:
        [second] = await trained(rows, cache_dir=cache)
        assert second in other.datasets
    assert first != second
    notes = [note async for note in anyio.Path(cache / "imported").iterdir()]
    assert len(notes) == 2
    secret = default_settings().secret_key
    assert secret is not None
    for note in notes:
        assert secret.get_secret_value() not in str(note) + await note.read_text()

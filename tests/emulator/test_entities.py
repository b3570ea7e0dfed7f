"""Rows of versions one by one: what becomes of them in training, in later imports, and in a later process."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from qianfan.emulator import Emulator
from qianfan.emulator.entities import PIECE
from tests.emulator.making import SAMPLE, dialogue, imported, new_dataset, new_job, released, task_body
from tests.emulator.signing import Console

pytestmark = pytest.mark.anyio

ANSWER = [{"prompt": "changed", "response": [["by hand"]]}]


async def rows(console: Console, dataset_id: str, offset: int = 0, **wanted: Any) -> list[dict[str, Any]]:
    page = await console.v1("entity/list", datasetId=dataset_id, offset=offset, pageSize=30, **wanted)
    items: list[dict[str, Any]] = page["items"]
    return items


async def content(console: Console, row: dict[str, Any]) -> Any:
    answer = await console.http.get(row["url"])
    assert answer.status_code == 200, answer.text
    return json.loads(answer.content)


def lines_of(emulator: Emulator, sources: Any) -> list[Any]:
    """What lies in the files that a record names."""
    account = emulator._account
    return [json.loads(line) for source in sources for line in account.blob_of(source).read().splitlines()]


async def test_training_takes_what_was_changed(console: Console) -> None:
    dataset_id = await imported(console, dialogue(40))
    first, second, *_ = await rows(console, dataset_id)
    await console.v1("entity/annotate", datasetId=dataset_id, id=first["id"], content=ANSWER)
    await console.v1("entity/delete", datasetId=dataset_id, id=[second["id"]])
    await console.v1("dataset/release", datasetId=dataset_id)
    await console.v1("dataset/info", datasetId=dataset_id)
    body = task_body(await new_job(console), dataset_id)
    task = (await console.v2("finetuning", "CreateFineTuningTask", **body))["taskId"]
    trained = lines_of(console.emulator, console.emulator.tasks[task].sources)
    assert trained == [ANSWER, *(json.loads(line) for line in dialogue(40).splitlines()[2:])]


async def test_a_training_keeps_the_rows_it_was_ordered_with(console: Console) -> None:
    """Rows can be changed while the version is not released, which training from it needs; another file is not."""
    dataset_id = await imported(console, dialogue(3))
    before = console.emulator.datasets[dataset_id].sources
    [first, *_] = await rows(console, dataset_id)
    await console.v1("entity/annotate", datasetId=dataset_id, id=first["id"], content=ANSWER)
    after = console.emulator.datasets[dataset_id].sources
    assert [part.blob_key for part in before] != [part.blob_key for part in after]
    # The object that was imported lies where it lay.
    assert console.emulator.read_object("my-bucket", "data/rows.jsonl") == dialogue(3)


async def test_two_imports_of_one_file_are_different_rows(console: Console) -> None:
    dataset_id = await imported(console, dialogue(2))
    place = "bos:/my-bucket/data/rows.jsonl"
    await console.v1("dataset/import", datasetId=dataset_id, annotated=True, importFrom=1, files=[place])
    await console.v1("dataset/info", datasetId=dataset_id)
    listed = await rows(console, dataset_id)
    assert len({row["id"] for row in listed}) == 4
    await console.v1("entity/delete", datasetId=dataset_id, id=[listed[0]["id"], listed[2]["id"]])
    assert [row["id"] for row in await rows(console, dataset_id)] == [listed[1]["id"], listed[3]["id"]]


async def test_ids_outlast_every_change(console: Console) -> None:
    """A large file is cut before its first change; the numbers of its rows stay."""
    count = 3 * PIECE + 5
    dataset_id = await imported(console, dialogue(count))
    listed = [row for offset in range(0, count, 30) for row in await rows(console, dataset_id, offset)]
    ids = [row["id"] for row in listed]
    gone = [0, PIECE - 1, PIECE, 2 * PIECE + 3, count - 1]
    for place in gone:
        deleted = await console.v1("entity/delete", datasetId=dataset_id, id=[ids[place]])
        assert deleted == {"failedOnes": None}
        assert await console.v1("entity/delete", datasetId=dataset_id, id=[ids[place]]) == {"failedOnes": [ids[place]]}
    await console.v1("entity/annotate", datasetId=dataset_id, id=ids[PIECE + 1], content=ANSWER)
    left = [place for place in range(count) if place not in gone]
    again = [row for offset in range(0, count, 30) for row in await rows(console, dataset_id, offset)]
    assert [row["id"] for row in again] == [ids[place] for place in left]
    dataset = console.emulator.datasets[dataset_id]
    assert (len(dataset.sources), dataset.rows) == (4, len(left))
    expected = [json.loads(line) for line in dialogue(count).splitlines()]
    expected[PIECE + 1] = ANSWER
    assert lines_of(console.emulator, dataset.sources) == [expected[place] for place in left]
    assert await content(console, again[left.index(PIECE + 1)]) == ANSWER


async def test_a_version_without_its_last_row(console: Console) -> None:
    dataset_id = await imported(console, dialogue(1))
    [row] = await rows(console, dataset_id)
    await console.v1("entity/delete", datasetId=dataset_id, id=[row["id"]])
    dataset = console.emulator.datasets[dataset_id]
    assert (dataset.sources, dataset.rows, dataset.characters, dataset.size) == ([], 0, 0, 0)


async def test_rows_that_wait_for_somebody_to_confirm_them(console: Console) -> None:
    """Imported as not annotated, rows with answers count once they were annotated by hand."""
    dataset_id = await new_dataset(console)
    await console.put("my-bucket", "data/rows.jsonl", dialogue(3))
    place = "bos:/my-bucket/data/rows.jsonl"
    await console.v1("dataset/import", datasetId=dataset_id, annotated=False, importFrom=1, files=[place])
    await console.v1("dataset/info", datasetId=dataset_id)
    waiting = await rows(console, dataset_id, tabType=2)
    assert len(waiting) == 3
    for number, row in enumerate(waiting, start=1):
        await console.v1("entity/annotate", datasetId=dataset_id, id=row["id"], content=await content(console, row))
        assert console.emulator.datasets[dataset_id].annotated_rows == number
    await console.v1("entity/delete", datasetId=dataset_id, id=[waiting[0]["id"]])
    assert console.emulator.datasets[dataset_id].annotated_rows == 2
    await console.v1("dataset/release", datasetId=dataset_id)


async def test_texts_in_files_of_their_own(console: Console) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "first\nwith two lines")
        archive.writestr("b.jsonl", '"second"\n"third"\n')
        archive.writestr("c.txt", "fourth")
    dataset_id = await imported(console, packed.getvalue(), 40100, "texts.zip")
    listed = await rows(console, dataset_id)
    assert (await console.http.get(listed[0]["url"])).text == "first\nwith two lines"
    await console.v1("entity/delete", datasetId=dataset_id, id=[listed[1]["id"]])
    left = [(await console.http.get(row["url"])).text for row in await rows(console, dataset_id)]
    assert left == ["first\nwith two lines", '"third"', "fourth"]
    _, message = await console.v1_refused(
        "entity/annotate", datasetId=dataset_id, id=listed[0]["id"], content=[{"prompt": "x"}]
    )
    assert "plain texts" in message


async def test_a_link_to_a_row_needs_its_signature(console: Console) -> None:
    [row, *_] = await rows(console, SAMPLE)
    bare, _, _ = row["url"].partition("?")
    assert (await console.http.get(bare)).status_code == 403
    assert "qianfan-shared" not in console.emulator.buckets


async def test_changes_of_a_published_version_are_refused(console: Console) -> None:
    dataset_id = await released(console, dialogue(3))
    [row, *_] = await rows(console, dataset_id)
    code, _ = await console.v1_refused("entity/annotate", datasetId=dataset_id, id=row["id"], content=ANSWER)
    assert code == "InvalidState"


async def test_everything_outlives_the_process(tmp_path: Path) -> None:
    keys = {"access_key": "ALTAKtest", "secret_key": "secret"}
    order = {"clean": [{"name": "remove_emoji", "args": {}}]}
    with Emulator(activate=False, data_dir=tmp_path, **keys, engine="scripted") as emulator:
        async with Console(emulator) as console:
            source = await imported(console, dialogue(100))
            listed = await rows(console, source)
            await console.v1("entity/annotate", datasetId=source, id=listed[3]["id"], content=ANSWER)
            await console.v1("entity/delete", datasetId=source, id=[listed[4]["id"]])
            dest, other = await new_dataset(console), await new_dataset(console)
            emulator.etl.script(after_looks=1)
            emulator.augmentation.script(after_looks=1)
            ends = {"sourceDatasetId": source, "entityType": 2, "operationsV2": order}
            etl_id = await console.v1("etl/create", etlTaskName="tidy", destDatasetId=dest, **ends)
            await console.v1(
                "enhance/create",
                name="more",
                isSelfInstruct=True,
                sourceDatasetId=source,
                destDatasetId=other,
                devApiId="x",
                appId=1,
                numSeedFewshot=2,
                numInstancesToGenerate=4,
                similarityThreshold=1,
            )
            task = await console.v2("dataset", "CreateExportTask", versionId=source, storageType="sysStorage")
            before = await rows(console, source, 60)
    with Emulator(activate=False, data_dir=tmp_path, **keys, engine="scripted") as emulator:
        async with Console(emulator) as console:
            again = await rows(console, source, 60)
            assert [row["id"] for row in again] == [row["id"] for row in before]
            assert [await content(console, row) for row in (await rows(console, source))[3:5]] == [
                ANSWER,
                json.loads(dialogue(6).splitlines()[5]),
            ]
            looks = [await console.v1("etl/detail", etlId=etl_id) for _ in range(2)]
            assert [(look["processStatus"], look["remainingEntity"]) for look in looks] == [(1, 0), (2, 99)]
            assert emulator.datasets[dest].rows == 99
            assert ANSWER in lines_of(emulator, emulator.datasets[dest].sources)
            states = [(await console.v1("enhance/list"))["items"][0]["status"] for _ in range(2)]
            assert states == [1, 3]
            assert emulator.datasets[other].rows == 4
            assert (await console.v2("dataset", "DescribeExportTask", taskId=task))["exportStatus"] == "ExportFinished"
            assert [cleaning.state for cleaning in emulator.cleanings.values()] == ["Finished"]
            assert [one.state for one in emulator.augmentations.values()] == ["Done"]


async def test_a_version_that_is_deleted_while_it_is_filled(console: Console) -> None:
    source, dest = await imported(console, dialogue(3)), await new_dataset(console)
    console.emulator.etl.script(after_looks=1)
    order = {"clean": [{"name": "remove_emoji", "args": {}}]}
    body = {"sourceDatasetId": source, "destDatasetId": dest, "entityType": 2, "operationsV2": order}
    etl_id = await console.v1("etl/create", etlTaskName="tidy", **body)
    await console.v1("dataset/delete", datasetId=dest)
    states = [(await console.v1("etl/detail", etlId=etl_id))["processStatus"] for _ in range(2)]
    assert states == [1, 4]


@pytest.mark.parametrize("end", ["Interrupted", "Paused"])
async def test_other_ends_of_a_cleaning(console: Console, end: str) -> None:
    source, dest = await imported(console, dialogue(3)), await new_dataset(console)
    console.emulator.etl.script(ends=end)
    order = {"clean": [{"name": "remove_emoji", "args": {}}]}
    body = {"sourceDatasetId": source, "destDatasetId": dest, "entityType": 2, "operationsV2": order}
    etl_id = await console.v1("etl/create", etlTaskName="tidy", **body)
    shown = await console.v1("etl/detail", etlId=etl_id)
    assert shown["processStatus"] == {"Interrupted": 3, "Paused": 5}[end]
    assert console.emulator.datasets[dest].rows == 0


@pytest.mark.parametrize(
    ("kind", "good", "bad", "annotated"),
    [
        ("Role", [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], [{"role": "x"}], 1),
        ("Role", [{"role": "user", "content": "q"}], [{"role": "x", "content": "y"}], 0),
        ("SFT_FIM", {"prefix": "a", "suffix": "c", "middle": "b"}, {"prefix": "a"}, 1),
        ("SFT_FIM", {"prefix": "a", "suffix": "c"}, ["a"], 0),
        ("PromptImageResponse", [{"image": "x", "prompt": "p", "response": "r"}], [{"prompt": "p"}], 1),
    ],
)
async def test_kinds_whose_files_are_not_documented(
    console: Console, kind: str, good: Any, bad: Any, annotated: int
) -> None:
    made = await console.v2("dataset", "CreateDataset", datasetName="d", dataFormat=kind, storageType="sysStorage")
    version = made["versionId"]
    await console.put("my-bucket", "bad.jsonl", json.dumps(bad).encode())
    await console.put("my-bucket", "good.jsonl", json.dumps(good).encode())
    states: list[str] = []
    for file in ("bad", "good"):
        place = f"bos:/my-bucket/{file}.jsonl"
        task = await console.v2("dataset", "CreateImportTask", versionId=version, files=[place])
        states.append((await console.v2("dataset", "DescribeImportTask", taskId=task))["importStatus"])
    assert states == ["ImportFailed", "ImportFinished"]
    assert console.emulator.datasets[version].annotated_rows == annotated


async def test_an_image_without_a_picture_is_refused(console: Console) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/one.png", b"picture")
        archive.writestr("two.json", '{"prompt": "nothing to see"}')
    dataset_id = await imported(console, packed.getvalue(), 70500, "images.zip")
    detail = await console.v1("dataset/importErrorDetail", datasetId=dataset_id, errCode=1)
    assert [line["sampleFileName"] for line in detail["content"]] == ["two.json"]

"""`qianfan dataset upload`, `download`, `save`, `convert` and `predict`: rows from one place to another."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from qianfan.dataset import DataStorageType, QianfanDataSource
from qianfan.emulator import Emulator, sample_path
from tests.cli.support import document, qianfan, shown

Capture = pytest.CaptureFixture[str]

ALPACA = [{"instruction": f"add {n}", "input": "", "output": str(n + 1)} for n in range(40)]


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def alpaca(tmp_path: Path) -> str:
    path = tmp_path / "sums.json"
    path.write_text(json.dumps(ALPACA), encoding="utf-8")
    return str(path)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "broken.jsonl"
    path.write_text('[{"prompt": "a", "response": [["b"]]}]\n[{"prompt": "a"}]\n', encoding="utf-8")
    return str(path)


# --- upload ----------------------------------------------------------------------------------------------------------


def test_an_upload_is_a_dataset_of_that_name(emulator: Emulator, alpaca: str, capsys: Capture) -> None:
    made = document(capsys, "dataset", "upload", alpaca, "--dataset-name", "additions")
    assert made["name"] == "additions"
    assert made["template_type"] == "NonSortedConversation"
    assert (made["rows"], made["released"]) == (40, False)
    assert emulator.datasets[made["dataset_id"]].rows == 40


def test_a_dataset_is_called_as_its_file_when_nobody_says(emulator: Emulator, alpaca: str, capsys: Capture) -> None:
    assert document(capsys, "dataset", "upload", alpaca)["name"] == "sums"


def test_an_upload_can_be_released(emulator: Emulator, alpaca: str, capsys: Capture) -> None:
    assert document(capsys, "dataset", "upload", alpaca, "--release")["released"] is True


def test_rows_are_added_to_a_dataset(emulator: Emulator, alpaca: str, capsys: Capture) -> None:
    made = document(capsys, "dataset", "upload", alpaca)
    added = document(capsys, "dataset", "upload", alpaca, f"qianfan://{made['dataset_id']}")
    assert (added["dataset_id"], added["rows"]) == (made["dataset_id"], 80)


def test_progress_goes_to_stderr(emulator: Emulator, alpaca: str, capsys: Capture) -> None:
    assert qianfan("dataset", "upload", alpaca, "--release", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"] == 40
    steps = [line.split()[0] for line in captured.err.splitlines()]
    assert [step for step in ("checking", "uploading", "importing", "releasing") if step not in steps] == []
    assert "100%" in captured.err


def test_an_upload_for_people(emulator: Emulator, alpaca: str, capsys: Capture) -> None:
    seen = shown(capsys, "dataset", "upload", alpaca, "--dataset-name", "[b]sums")
    assert "[b]sums" in seen
    assert "ds-" in seen


@pytest.mark.parametrize(
    ("storage", "is_own"), [([], True), (["--dataset-storage-type", "public_bos"], False)], ids=["own", "public"]
)
def test_where_a_dataset_lives(
    storage: list[str], is_own: bool, emulator: Emulator, alpaca: str, capsys: Capture
) -> None:
    place = ["--bos-path", "bos:/qianfan-emulator/folder/of/mine"]
    made = document(capsys, "dataset", "upload", alpaca, *storage, *place)
    there = QianfanDataSource.get_existed_dataset(made["dataset_id"])
    if is_own:
        assert there.storage_type == DataStorageType.PrivateBos
        assert (there.storage_id, there.storage_raw_path) == ("qianfan-emulator", "/folder/of/mine/")
    else:
        assert there.storage_type == DataStorageType.PublicBos


def test_nothing_is_sent_of_rows_that_are_wrong(emulator: Emulator, broken: str, capsys: Capture) -> None:
    before = len(emulator.requests)
    seen = shown(capsys, "dataset", "upload", broken, code=2)
    assert "line 2" in seen
    assert f"qianfan dataset check {broken}" in seen
    assert len(emulator.requests) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["upload", "nowhere.jsonl"], "nowhere.jsonl"),
        (["upload", "{file}", "rows.jsonl"], "no dataset on the platform"),
        (["upload", "{file}", "--dataset-template-type", "generic_text"], "holds NonSortedConversation rows"),
        (["upload", "{file}", "--dataset-template-type", "table"], "non_sorted_conversation"),
        (["upload", "{file}", "--bos-path", "here"], "bos:/bucket/path"),
        (["download", "{file}"], "no dataset on the platform"),
        (["download", "111", "a.jsonl", "--output", "b.jsonl"], "either DST or --output"),
        (["convert", "{file}", "b.jsonl", "--to", "mesages"], "messages"),
        (["convert", "{file}", "b.xyz", "--to", "messages"], "b.xyz"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_what_cannot_be_meant(
    arguments: list[str],
    words: str,
    emulator: Emulator,
    alpaca: str,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = shown(capsys, "dataset", *(alpaca if one == "{file}" else one for one in arguments), code=2)
    assert words in " ".join(seen.split())
    assert [path.name for path in tmp_path.iterdir()] == ["sums.json"]


def test_without_a_bucket_there_is_the_way_to_name_one(alpaca: str, capsys: Capture) -> None:
    seen = shown(capsys, "dataset", "upload", alpaca, code=2)
    assert "--bos-path" in seen
    assert "QIANFAN_BOS_BUCKET" in seen


# --- download, save --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["111", "qianfan://111"])
@pytest.mark.parametrize("file", [["rows.jsonl"], ["--output", "rows.jsonl"], []], ids=["DST", "--output", "none"])
def test_a_download(
    place: str,
    file: list[str],
    emulator: Emulator,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / (file[-1] if file else "111.jsonl")
    made = document(capsys, "dataset", "download", place, *file)
    assert (made["file"], made["rows"]) == (path.name, 146)
    assert read(path) == read(sample_path())


def test_a_dataset_that_is_not_there(emulator: Emulator, capsys: Capture) -> None:
    seen = shown(capsys, "dataset", "download", "ds-nobody", code=1)
    assert "Error: " in seen
    assert "Traceback" not in seen


def test_save_goes_any_way(emulator: Emulator, alpaca: str, tmp_path: Path, capsys: Capture) -> None:
    """File to file, file to platform, platform to platform, platform to file."""
    copy = tmp_path / "copy.jsonl"
    assert document(capsys, "dataset", "save", alpaca, str(copy))["rows"] == 40
    assert read(copy)[0] == [{"prompt": "add 0", "response": [["1"]]}]
    made = document(capsys, "dataset", "save", str(copy), "--dataset-name", "first")
    again = document(capsys, "dataset", "save", made["dataset_id"], "--dataset-name", "second")
    assert (again["name"], again["rows"]) == ("second", 40)
    assert again["dataset_id"] != made["dataset_id"]
    back = tmp_path / "back.json"
    document(capsys, "dataset", "save", f"qianfan://{again['dataset_id']}", str(back))
    assert json.loads(back.read_text(encoding="utf-8")) == read(copy)


def test_files_in_a_bucket(emulator: Emulator, alpaca: str, tmp_path: Path, capsys: Capture) -> None:
    place, back = "bos:/qianfan-emulator/folder/sums.jsonl", tmp_path / "back.jsonl"
    assert document(capsys, "dataset", "save", alpaca, place)["rows"] == 40
    [row] = document(capsys, "dataset", "view", place, "--row", "3")["rows"]
    assert row["value"] == [{"prompt": "add 3", "response": [["4"]]}]
    assert document(capsys, "dataset", "check", place)["files"][0]["rows"] == 40
    document(capsys, "dataset", "save", place, str(back))
    assert len(read(back)) == 40
    seen = shown(capsys, "dataset", "view", "bos:/qianfan-emulator/nothing.jsonl", code=2)
    assert "bos:/qianfan-emulator/nothing.jsonl" in seen


# --- convert ---------------------------------------------------------------------------------------------------------


def test_another_shape(alpaca: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "chat.jsonl"
    made = document(capsys, "dataset", "convert", alpaca, str(path), "--to", "messages")
    assert (made["file"], made["rows"]) == (str(path), 40)
    assert read(path)[1]["messages"] == [{"role": "user", "content": "add 1"}, {"role": "assistant", "content": "2"}]
    assert "40 rows written to" in shown(capsys, "dataset", "convert", alpaca, str(path), "--to", "sharegpt")


def test_another_kind_of_file(alpaca: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "rows.tmp"
    document(capsys, "dataset", "convert", alpaca, str(path), "--to", "alpaca", "--file-format", "csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["instruction"], first["output"]) == ("add 0", "1")
    back = tmp_path / "back.jsonl"
    assert qianfan("dataset", "save", str(path), str(back), "--file-format", "csv") == 0
    assert read(back)[0] == [{"prompt": "add 0", "response": [["1"]]}]


def test_rows_that_fit_several_shapes(tmp_path: Path, capsys: Capture) -> None:
    """The error names them; --from settles it."""
    both = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    row = {**both, "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}
    source, target = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(row) + "\n", encoding="utf-8")
    seen = shown(capsys, "dataset", "convert", str(source), str(target), "--to", "dialogue", code=2)
    assert "messages" in seen
    assert "sharegpt" in seen
    command = ["dataset", "convert", str(source), str(target), "--to", "dialogue", "--from", "sharegpt"]
    assert qianfan(*command) == 0
    assert read(target) == [[{"prompt": "Q", "response": [["A"]]}]]


def test_what_a_shape_cannot_say_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    source, target = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    turns = [{"prompt": "q", "response": [["good"], ["bad"]]}]
    source.write_text(json.dumps(turns) + "\n", encoding="utf-8")
    seen = shown(capsys, "dataset", "convert", str(source), str(target), "--to", "messages", code=2)
    assert "line 1" in seen
    assert not target.exists()


# --- predict ---------------------------------------------------------------------------------------------------------


def test_answers_of_a_preset_model(emulator: Emulator, tmp_path: Path, capsys: Capture) -> None:
    questions, path = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    questions.write_text("".join(f'{{"prompt": "what is {n}?"}}\n' for n in range(3)), encoding="utf-8")
    made = document(capsys, "dataset", "predict", str(questions), "--output", str(path))
    assert (made["file"], made["rows"]) == (str(path), 3)
    rows = read(path)
    assert [row["input"] for row in rows] == ["what is 0?", "what is 1?", "what is 2?"]
    assert all(row["output"] for row in rows)

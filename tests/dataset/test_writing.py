"""Datasets as files: every format gives the rows back, and a file is there as a whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset import Dataset, FileDataSource, FormatType
from qianfan.dataset.checking import fix
from qianfan.dataset.frames import frame_source
from qianfan.dataset.reading import RawRow, read_rows
from qianfan.dataset.sources import MemoryDataSource
from qianfan.dataset.writing import atomically, write_blocks, write_rows, write_values
from qianfan.errors import DataFileError, InvalidArgumentError, RowFunctionError, ValidationError

DIALOGUES = [
    [{"system": "s", "prompt": "问题", "response": [["答"]]}, {"prompt": 'b,"c"', "response": [["line\nbreak\r\n"]]}],
    [{"prompt": "q", "response": [["a"]]}],
]
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"city": "北京"}'}}
TOOLS = [
    {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"city": {}}}}},
    {"type": "function", "function": {"name": "g", "parameters": {"enum": [1, "two"]}}},
]
MESSAGES = [
    {"messages": [{"role": "user", "content": "[1]"}, {"role": "assistant", "content": "a"}]},
    {
        "messages": [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "1", "content": "sunny"},
            {"role": "assistant", "content": "Sunny."},
        ],
        "tools": TOOLS,
    },
]
PREFERENCES = [{"prompt": "q", "chosen": "good", "rejected": "bad"}]
TABLES = ["csv", "tsv", "parquet", "arrow"]
KINDS = ["jsonl", "json", *TABLES]


def needed(kind: str) -> None:
    """Skip the test where what it needs for a kind of files is not installed."""
    if kind.startswith(("parquet", "arrow")):
        pytest.importorskip("duckdb")
    if kind.startswith("arrow"):
        pytest.importorskip("pyarrow")


def values(path: Path, file_format: FormatType | None = None) -> list[Any]:
    rows = [*read_rows(path, file_format)]
    assert [row.problem for row in rows if row.problem is not None] == []
    return [row.value for row in rows]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, "jsonl.gz", "csv.gz", "zip"])
@pytest.mark.parametrize(
    ("rows", "format"),
    [(DIALOGUES, None), (MESSAGES, "messages"), (PREFERENCES, "dpo"), (["a text", "another"], None)],
    ids=["dialogues", "messages", "preferences", "texts"],
)
def test_what_is_saved_can_be_loaded(tmp_path: Path, kind: str, rows: list[Any], format: str | None) -> None:
    needed(kind)
    dataset = Dataset.create_from_pyobj(rows)
    path = tmp_path / f"saved.{kind}"
    dataset.save(data_file=path, format=format)
    assert names(tmp_path) == [path.name]
    loaded = Dataset.load(data_file=path)
    assert loaded.to_pylist() == dataset.to_pylist()
    assert loaded.validate()


def test_lines_are_the_same_by_the_fast_way_and_by_rows(tmp_path: Path) -> None:
    path = tmp_path / "alpaca.jsonl"
    rows = [{"instruction": f"问 {number}", "input": "", "output": "a\\u00e9\n"} for number in range(3)]
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows), encoding="utf-8")
    source = FileDataSource(path)
    source.open()
    write_rows(source.rows(), tmp_path / "rows.jsonl", FormatType.Jsonl)
    Dataset.load(data_file=path).save(data_file=tmp_path / "fast.jsonl")
    assert (tmp_path / "fast.jsonl").read_bytes() == (tmp_path / "rows.jsonl").read_bytes()


def test_a_bad_row_is_named_and_nothing_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "q", "response": "a"}\n{"prompt": "q", "response": 5}\n')
    with pytest.raises(ValidationError, match="line 2"):
        Dataset.load(data_file=path).save(data_file=tmp_path / "b.jsonl")
    assert names(tmp_path) == ["a.jsonl"]


def test_an_archive_holds_one_file_with_its_format_in_its_name(tmp_path: Path) -> None:
    for name, member in (("a.zip", "a.csv"), ("b.csv.zip", "b.csv"), ("c.old.zip", "c.old.csv")):
        write_values([{"a": "b"}], tmp_path / name, FormatType.Csv)
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert archive.namelist() == [member]


def test_a_table_has_the_columns_of_all_rows(tmp_path: Path) -> None:
    rows = [{"first": "a"}] * 2_000 + [{"late": "b"}]
    write_values(iter(rows), tmp_path / "a.csv", FormatType.Csv)
    assert values(tmp_path / "a.csv") == rows
    with (tmp_path / "a.csv").open("rb") as file:
        assert file.readline() == b"\xef\xbb\xbffirst,late\r\n"


def test_what_is_no_text_is_json_in_a_cell_and_what_is_missing_an_empty_one(tmp_path: Path) -> None:
    rows = [{"a": None, "b": True, "c": 1.5, "d": [1, "二"], "e": {"x": None}, "f": "", "g": "5"}, {"a": "x"}]
    write_values(rows, tmp_path / "a.tsv", FormatType.Tsv)
    assert (tmp_path / "a.tsv").read_bytes().decode() == (
        'a\tb\tc\td\te\tf\tg\r\n\ttrue\t1.5\t"[1, ""二""]"\t"{""x"": null}"\t\t5\r\nx\t\t\t\t\t\t\r\n'
    )


keys = st.sampled_from(["a", "b", "C", "长 名", 'q"', "x;y"])
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
json_values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.dictionaries(keys, json_values, max_size=3), min_size=1, max_size=4))
def test_values_of_any_kind_come_back(tmp_path_factory: Any, kind: str, rows: list[dict[str, Any]]) -> None:
    needed(kind)
    rows = [*rows, {"a": "one column at least"}]
    path = tmp_path_factory.mktemp("written") / f"a.{kind}"
    assert write_values(rows, path, FormatType(kind)) == len(rows)
    back = values(path)
    # An empty text is no value in a table.
    assert json.dumps(_as_in_a_table(back), sort_keys=True) == json.dumps(_as_in_a_table(rows), sort_keys=True)


def _as_in_a_table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_numbers({name: value for name, value in row.items() if value != ""}) for row in rows]


def _numbers(value: Any) -> Any:
    """A value whose numbers are written in one way: 1.0 is 1, which a column of fractions does not tell apart."""
    if isinstance(value, list):
        return [*map(_numbers, value)]
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def test_other_libraries_read_the_types_of_a_table(tmp_path: Path) -> None:
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    needed("parquet")
    rows = [
        {"text": "2024-01-01", "whole": 1, "part": 1, "list": [], "made": {"x": 1}, "mixed": 1, "long": 2**60},
        {"part": 0.5, "list": ["a"], "made": {"y": "z"}, "mixed": "x", "long": 2**70},
    ]
    for kind in ("parquet", "arrow"):
        path = tmp_path / f"a.{kind}"
        write_values(rows, path, FormatType(kind))
        frame = pl.read_parquet(path) if kind == "parquet" else pl.from_arrow(pa.ipc.open_file(path).read_all())
        assert frame["text"].to_list() == ["2024-01-01", None]
        assert frame.schema["whole"] == pl.Int64
        assert frame.schema["part"] == pl.Float64
        assert frame.schema["list"] == pl.List(pl.String)
        assert frame["made"].to_list() == [{"x": 1, "y": None}, {"x": None, "y": "z"}]
        assert [json.loads(value) for value in frame["mixed"].cast(pl.String)] == [1, "x"]
        assert [json.loads(value) for value in frame["long"].cast(pl.String)] == [2**60, 2**70]
    assert values(tmp_path / "a.parquet") == rows


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_saved_and_read_by_the_libraries_they_are_of(tmp_path: Path, kind: str) -> None:
    pl, pd = pytest.importorskip("polars"), pytest.importorskip("pandas")
    needed(kind)
    columns = {"prompt": ["q1", "问"], "response": ["a1", "a,\n2"], "system": [None, "s"]}
    path = tmp_path / f"a.{kind}"
    Dataset.load(dataframe=pl.DataFrame(columns)).save(data_file=path, format="prompt_response")
    read = {
        "jsonl": lambda: pd.read_json(path, lines=True),
        "json": lambda: pd.read_json(path),
        "csv": lambda: pd.read_csv(path),
        "tsv": lambda: pd.read_csv(path, sep="\t"),
        "parquet": lambda: pd.read_parquet(path),
        "arrow": lambda: pd.read_feather(path),
    }
    again = frame_source(read[kind]())
    assert [row.to_json() for row in again.rows()] == [
        row.to_json() for row in frame_source(pl.DataFrame(columns)).rows()
    ]


@pytest.mark.parametrize(
    ("rows", "name", "reason"),
    [
        ([{"a": 1}], "a.xlsx", r"workbooks of Excel can be read, not written; save a \.csv file"),
        (["a", "b\nc"], "a.txt", r"row 2 has line breaks.*use \.jsonl"),
        (["a", {"a": 1}], "a.txt", "row 2 is no text"),
        ([{}, {"a": float("nan")}], "a.jsonl", "row 2 cannot be written as JSON: .*float"),
        ([{"a": {1}}], "a.csv", "row 1 cannot be written as JSON: .*set"),
        ([["\ud800"]], "a.json", "row 1 holds half of a surrogate pair"),
        ([{"\ud800": "a"}], "a.csv", "row 1 holds half of a surrogate pair"),
        ([], "a.parquet", "a table needs rows with columns"),
        ([{"a": 1}, {"A": 1}], "a.parquet", "columns 'a' and 'A' differ only in case"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, rows: list[Any], name: str, reason: str) -> None:
    path = tmp_path / name
    with pytest.raises(InvalidArgumentError, match=reason):
        write_values(rows, path, FileDataSource(path).file_format)
    assert names(tmp_path) == []


def test_a_corrected_copy_is_packed_as_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "q", "response": "a"}\n{"prompt": 5, "response": "a"}\n')
    for name in ("b.jsonl.gz", "b.json.gz"):
        fix(FileDataSource(path), tmp_path / name)
        assert [row["prompt"] for row in values(tmp_path / name)] == ["q", "5"]


# --- texts and images in folders --------------------------------------------------------------------------------------


def test_texts_become_files_of_a_new_or_an_empty_folder(tmp_path: Path) -> None:
    rows = ["one\ntwo", "three"]
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty", "new.zip"):
        Dataset.create_from_pyobj(rows).save(data_file=tmp_path / name, save_as_folder=True)
        assert Dataset.load(source=FileDataSource(tmp_path / name, save_as_folder=True)).to_pylist() == rows
    assert names(tmp_path / "new") == ["0.txt", "1.txt"]
    with pytest.raises(DataFileError, match="is there already; name a new folder or an empty one"):
        write_values(rows, tmp_path / "new", FormatType.Text, as_folder=True)


def test_an_empty_folder_stays_when_its_texts_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "new.zip"):
        with pytest.raises(InvalidArgumentError, match="row 2 is no text"):
            write_values(["a", 5], tmp_path / name, FormatType.Text, as_folder=True)
    assert names(tmp_path) == ["empty"]
    assert names(tmp_path / "empty") == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("cat", "dog", "eel"):
        (folder / f"{name}.PNG").write_bytes(name.encode())
        (folder / f"{name}.json").write_text(json.dumps({"prompt": f"a {name}"}))
    return folder


@pytest.mark.parametrize(
    ("name", "options"),
    [("out.zip", {}), ("out", {"file_format": "text2image"}), ("out", {"save_as_folder": True})],
)
def test_images_go_with_their_rows(tmp_path: Path, pictures: Path, name: str, options: dict[str, Any]) -> None:
    dataset = Dataset.load(data_file=pictures)
    dataset.filter(lambda row: row["prompt"] != "a dog")
    dataset.save(data_file=tmp_path / name, **options)
    saved = Dataset.load(data_file=tmp_path / name)
    assert saved.to_pylist() == [{"image": "0.png", "prompt": "a cat"}, {"image": "1.png", "prompt": "a eel"}]
    if name == "out":
        assert (tmp_path / name / "1.png").read_bytes() == b"eel"
    else:
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert archive.read("1.png") == b"eel"
        saved.save(data_file=tmp_path / "again", save_as_folder=True)
        assert (tmp_path / "again" / "0.png").read_bytes() == b"cat"


def test_images_are_found_beside_the_file_that_names_them(tmp_path: Path, pictures: Path) -> None:
    rows = [{"image": "pictures/cat.PNG", "prompt": "a cat"}, {"image": "pictures/gone.png", "prompt": "gone"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:1]))
    Dataset.load(data_file=path).save(data_file=tmp_path / "out", save_as_folder=True)
    assert (tmp_path / "out" / "0.png").read_bytes() == b"cat"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataFileError, match=r"the image 'pictures/gone\.png' is not there"):
        Dataset.load(data_file=path).save(data_file=tmp_path / "more.zip")
    path.write_text(json.dumps({"image": "rows.jsonl", "prompt": "a file"}) + "\n")
    with pytest.raises(InvalidArgumentError, match=r"row 1: 'rows\.jsonl' is no image"):
        Dataset.load(data_file=path).save(data_file=tmp_path / "more.zip")
    assert names(tmp_path) == ["out", "pictures", "rows.jsonl"]


def test_an_image_that_several_sources_have_is_none_to_choose(tmp_path: Path, pictures: Path) -> None:
    Dataset.load(data_file=pictures).save(data_file=tmp_path / "one.zip")
    Dataset.load(data_file=pictures).save(data_file=tmp_path / "two.zip")
    both = Dataset.load(data_file=tmp_path / "one.zip")
    both.concat_table(Dataset.load(data_file=tmp_path / "two.zip"))
    with pytest.raises(DataFileError, match=r"'0\.png' is in several of the places"):
        both.save(data_file=tmp_path / "out.zip")


# --- whole or not at all ----------------------------------------------------------------------------------------------


def failing(error: BaseException) -> Iterator[Any]:
    yield {"prompt": "q", "response": "a"}
    raise error


@pytest.mark.parametrize("name", [f"a.{kind}" for kind in KINDS] + ["a.zip", "a.jsonl.gz"])
def test_after_an_error_everything_is_as_before(tmp_path: Path, name: str) -> None:
    needed(name.partition(".")[2])
    path = tmp_path / name
    path.write_bytes(b"before")
    # Whatever the maker of the rows raises comes out as it is, and is not taken for a problem of the file.
    for error in (OSError(28, "from the rows"), KeyboardInterrupt(), UnicodeEncodeError("utf-8", "x", 0, 1, "no")):
        with pytest.raises(type(error)) as raised:
            write_values(failing(error), path, FileDataSource(path, "jsonl" if name == "a.zip" else None).file_format)
        assert raised.value is error
    assert names(tmp_path) == [name]
    assert path.read_bytes() == b"before"


def test_an_error_of_a_function_for_rows_names_the_row_and_not_the_file(tmp_path: Path) -> None:
    dataset = Dataset.create_from_pyobj(PREFERENCES)
    with pytest.raises(RowFunctionError) as raised:
        dataset.map(lambda row: (tmp_path / "gone").read_text()).save(data_file=tmp_path / "a.jsonl")
    assert isinstance(raised.value.__cause__, FileNotFoundError)


class Endless(MemoryDataSource):
    """Rows without an end, which tell when somebody takes them and when nobody does any more."""

    def __init__(self) -> None:
        super().__init__([{"prompt": "q", "response": "a"}])
        self.begun, self.ended = threading.Event(), threading.Event()

    def find_shape(self, format: str | None) -> None:
        self._settle([self.raw_row(0)], format)

    def raw_rows(self) -> Iterator[RawRow]:
        self.begun.set()
        try:
            while True:
                yield self.raw_row(0)
        finally:
            self.ended.set()


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
async def test_a_save_that_is_cancelled_ends_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    source = Endless()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(Dataset(source).asave, data_file=tmp_path / name))
        await anyio.to_thread.run_sync(source.begun.wait)
        group.cancel_scope.cancel()
    await anyio.to_thread.run_sync(source.ended.wait)
    assert not (tmp_path / name).exists()


def test_a_dataset_is_saved_onto_the_file_it_is_read_from(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_values(({"prompt": str(number), "response": "a"} for number in range(3000)), path, FormatType.Jsonl)
    dataset = Dataset.load(data_file=path)
    dataset.filter(lambda row: int(row[0]["prompt"]) % 2 == 0)
    dataset.save()
    assert [row[0]["prompt"] for row in Dataset.load(data_file=path)] == [str(number) for number in range(0, 3000, 2)]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_a_new_file_is_as_open_as_others_and_an_old_one_as_before(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    usual = stat.S_IMODE((tmp_path / "other").stat().st_mode)
    path = tmp_path / "a.jsonl"
    write_blocks([b"new"], path, FormatType.Jsonl)
    assert stat.S_IMODE(path.stat().st_mode) == usual
    for mode in (0o600, 0o664):
        path.chmod(mode)
        with atomically(path) as file:
            part = next(tmp_path.glob(".a.jsonl.*.part"))
            assert stat.S_IMODE(part.stat().st_mode) == mode
            file.write(b"newer")
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"newer"


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "real.jsonl").write_bytes(b"before")
    link, broken = tmp_path / "link.jsonl", tmp_path / "broken.jsonl"
    link.symlink_to(folder / "real.jsonl")
    broken.symlink_to(folder / "new.jsonl")
    for path in (link, broken):
        write_blocks([b"after"], path, FormatType.Jsonl)
        assert path.is_symlink()
    assert {name: (folder / name).read_bytes() for name in names(folder)} == {
        "new.jsonl": b"after",
        "real.jsonl": b"after",
    }


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("数" * 80 + ".jsonl")
    Dataset.create_from_pyobj(DIALOGUES).save(data_file=path)
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, kind: str) -> None:
    needed(kind)
    (tmp_path / "file").write_bytes(b"before")
    (tmp_path / f"folder.{kind}").mkdir()
    places = {
        tmp_path / "missing" / f"a.{kind}": "cannot be written: No such file or directory",
        tmp_path / "file" / f"a.{kind}": "cannot be written: Not a directory",
        tmp_path / f"folder.{kind}": "is a folder; name a file in it",
        tmp_path / f"a\0.{kind}": "cannot be written: .*null",
    }
    for path, reason in places.items():
        with pytest.raises(DataFileError, match=reason) as raised:
            write_values([{"a": "b"}], path, FormatType(kind))
        assert raised.value.path == str(path)
    assert names(tmp_path) == ["file", f"folder.{kind}"]
    assert (tmp_path / "file").read_bytes() == b"before"


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="there are no such devices here")
def test_a_device_is_not_replaced_by_a_file() -> None:
    with pytest.raises(DataFileError, match="is a pipe, a device or a socket"):
        write_blocks([b"lost"], Path("/dev/null"), FormatType.Jsonl)
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_must_not_be_written_to_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch(0o444)
    with pytest.raises(DataFileError, match="Permission denied"):
        write_blocks([b"lost"], path, FormatType.Jsonl)
    assert path.read_bytes() == b""


FULL = """
import json, resource, sys
from pathlib import Path
from qianfan.dataset.consts import FormatType
from qianfan.dataset.writing import write_values
from qianfan.errors import DataFileError

folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
said = {}
for name in sys.argv[2:]:
    texts = ({"prompt": f"{number} " * 100} for number in range(2_000))
    if name.endswith("txt"):
        texts = (row["prompt"] for row in texts)
    try:
        write_values(texts, folder / name, FormatType(name.rpartition(".")[2].replace("zip", "csv")))
    except DataFileError as error:
        said[name] = str(error).removeprefix(str(folder / name))
print(json.dumps(said))
"""


def test_without_space_nothing_is_left(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    for kind in TABLES:
        needed(kind)
    (tmp_path / "a.jsonl").write_bytes(b"before")
    files = [*(f"a.{kind}" for kind in KINDS), "a.txt", "a.zip"]
    command = [sys.executable, "-c", FULL, str(tmp_path), *files]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.stderr == ""
    assert json.loads(run.stdout) == dict.fromkeys(files, " cannot be written: File too large")
    assert names(tmp_path) == ["a.jsonl"]
    assert (tmp_path / "a.jsonl").read_bytes() == b"before"


ABANDONED = """
import sys, threading
from pathlib import Path
from qianfan.dataset.writing import atomically

def save(path, started):
    with atomically(path) as file:
        file.write(b"half")
        started.set()
        threading.Event().wait()

started = threading.Event()
threading.Thread(target=save, args=(Path(sys.argv[1]), started), daemon=True).start()
started.wait()
print(len(list(Path(sys.argv[1]).parent.iterdir())))
"""


def test_what_the_end_of_the_process_interrupts_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ABANDONED, str(tmp_path / "a.jsonl")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.stdout, run.stderr) == ("1\n", "")
    assert names(tmp_path) == []

"""The fast ways through large files give what the careful way gives, whatever stands in the lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qianfan.dataset import lanes
from qianfan.dataset.lanes import cutting, lean, twice
from qianfan.dataset.sources import FileDataSource, MemoryDataSource
from qianfan.errors import DataFileChangedError, DataFileError, InternalError, ValidationError

LINUX = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for child processes in /proc")

TEXTS = st.text(st.sampled_from('a你"\\/\n\t\u3000 \u2028é😀\x7f{[,:'), max_size=6) | st.just("fine")
TURNS = st.lists(
    st.builds(lambda prompt, answer: {"prompt": prompt, "response": [[answer]]}, TEXTS, TEXTS), min_size=1, max_size=4
)


def with_system(turns: list[Any], system: str) -> list[Any]:
    return [{"system": system, **turns[0]}, *turns[1:]]


DIALOGUES = TURNS | st.builds(with_system, TURNS, TEXTS)
ALPACAS = st.fixed_dictionaries(
    {"instruction": TEXTS, "output": TEXTS}, optional={"input": TEXTS | st.just(""), "system": TEXTS, "id": TEXTS}
)
SPELLINGS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([(", ", ": "), (",", ":"), (" , ", ": ")]),
        "sort_keys": st.sampled_from([False, False, True]),
    }
)
ODD = (
    b'[{"prompt": "a", "response": [["b"]],}]',
    b'[{"prompt": "a", "prompt": "b", "response": [["c"]]}]',
    b'[{"pr\\u006fmpt": "a", "response": [["b"]]}]',
    b'[{"prompt": 5, "response": [["b"]]}]',
    b'[{"prompt": "a", "response": [["b"], ["c"]]}]',
    b'[{"prompt": "a", "response": [["b", "c"]]}]',
    b'[{"prompt": "a", "response": [["b"]], "weight": 1}]',
    b'[{"prompt": "a", "response": [["b"]]}, {"prompt": "c", "response": [["d"]], "system": "e"}]',
    b'[{"prompt": "\\u0000", "response": [["b"]]}]',
    b'[{"prompt": "\\u3000", "response": [["b"]]}]',
    b'[{"prompt": "\\n \\t", "response": [["b"]]}]',
    b'[{"prompt": "\xff", "response": [["b"]]}]',
    b'[{"prompt": "\\ud800", "response": [["b"]]}]',
    b'[{"prompt": "a\x01", "response": [["b"]]}]',
    b'[{"prompt": "a", "response": [[["b"]]]}]',
    b'[{"prompt": ["a"',
    b'], "response": [["b"]]}]',
    b'[{"prompt": "a", "response": [["b"]]}] [{"prompt": "a", "response": [["b"]]}]',
    b'[{"prompt": "a", "response": "b"}]',
    b'[{"system": "", "prompt": "a", "response": [["b"]]}]',
    b'[{"prompt": "a", "response": [["b"]]}]\r',
    b"[]",
    b"{}",
    b"[[]]",
    b"\xef\xbb\xbf[]",
    b"",
    b"  ",
    b"\x0b",
    b'{"instruction": "a", "input": 1, "output": "b"}',
    b'{"instruction": "a", "instruction": "c", "input": "", "output": "b"}',
    b'{"instruction": "a", "input": "b", "output": "c", "history": [["d", "e"]]}',
)


def spelled(value: Any, spelling: dict[str, Any]) -> bytes:
    return json.dumps(value, **spelling).encode()


def files(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[list[bytes]]:
    """Lines of files: mostly rows in one spelling, as programs write them, with odd ones between."""
    return st.tuples(SPELLINGS, SPELLINGS).flatmap(
        lambda spellings: st.lists(
            st.builds(spelled, rows, st.just(spellings[0]))
            | st.builds(spelled, rows, st.just(spellings[0]))
            | st.builds(spelled, rows, st.just(spellings[1]))
            | st.sampled_from(ODD),
            max_size=12,
        )
    )


class Lines:
    """A file of lines, with its source."""

    def __init__(self, folder: str, lines: list[bytes], shape: str, *, bom: bool = False, end: bytes = b"\n") -> None:
        first = b'[{"prompt": "first", "response": [["one"]]}]'
        if shape == "alpaca":
            first = b'{"instruction": "first", "input": "", "output": "one"}'
        path = Path(folder) / "rows.jsonl"
        path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + b"\n".join([first, *lines]) + end)
        self.source = FileDataSource(path, format=shape)
        self.source.open()
        self.lines = path.read_bytes().split(b"\n")

    def flawed(self) -> set[int]:
        return {raw.line for raw in self.source.raw_rows() if isinstance(self.source.read(raw), list)}


SHAPES_AND_FILES = st.one_of(
    st.tuples(st.just("dialogue"), files(DIALOGUES)), st.tuples(st.just("alpaca"), files(ALPACAS))
)
BLOCKS = st.sampled_from([1, 64, 300, 1 << 17])


@pytest.fixture(scope="module", autouse=True)
def _blocks_restored() -> Iterator[None]:
    before = cutting.BLOCK, cutting.RANGE
    yield
    cutting.BLOCK, cutting.RANGE = before


def cut_into(block: int) -> None:
    """Cut files into blocks of so many bytes, so that a small file has many."""
    cutting.BLOCK, cutting.RANGE = block, max(3 * block, 200)


@settings(max_examples=150, deadline=None)
@given(SHAPES_AND_FILES, BLOCKS, st.booleans(), st.sampled_from([b"", b"\n", b"\n\n"]))
@example(("dialogue", [b'[{"prompt": ["a"', b'], "response": [["b"]]}]', ODD[0]]), 1 << 17, False, b"\n")
def test_what_is_not_suspicious_is_flawless(
    shape_and_lines: tuple[str, list[bytes]], block: int, bom: bool, end: bytes
) -> None:
    shape, lines = shape_and_lines
    cut_into(block)
    with tempfile.TemporaryDirectory() as folder:
        file = Lines(folder, lines, shape, bom=bom, end=end)
        found = list(lanes.suspects(file.source))
        suspicious = dict(chain.from_iterable(part.suspicious for part in found))
        assert sum(part.rows for part in found) == sum(1 for _ in file.source.raw_rows())
        assert sum(part.lines for part in found) == len(file.lines) - (not file.lines[-1])
        assert file.flawed() <= suspicious.keys()
        for number, line in suspicious.items():
            assert line.rstrip(b"\n").removeprefix(b"\xef\xbb\xbf" if number == 1 else b"") == file.lines[
                number - 1
            ].removeprefix(b"\xef\xbb\xbf" if number == 1 else b"")


@settings(max_examples=150, deadline=None)
@given(SHAPES_AND_FILES, BLOCKS)
def test_converted_lines_are_those_of_the_careful_way(shape_and_lines: tuple[str, list[bytes]], block: int) -> None:
    shape, lines = shape_and_lines
    cut_into(block)
    with tempfile.TemporaryDirectory() as folder:
        source = Lines(folder, lines, shape).source
        assert outcome(lambda: b"".join(lanes.converted(source))) == outcome(
            lambda: "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in source.rows()).encode()
        )


@settings(max_examples=150, deadline=None)
@given(SHAPES_AND_FILES, BLOCKS)
def test_digests_of_flawless_rows_are_equal_when_the_rows_are(
    shape_and_lines: tuple[str, list[bytes]], block: int
) -> None:
    shape, lines = shape_and_lines
    cut_into(block)
    with tempfile.TemporaryDirectory() as folder:
        source = Lines(folder, lines, shape).source
        found = b"".join(lanes.digests(source))
        rows = [source.read(raw) for raw in source.raw_rows()]
        assert len(found) == 16 * len(rows)
        good = [number for number, row in enumerate(rows) if not isinstance(row, list)]
        values = [rows[number].to_json() for number in good]  # type: ignore[union-attr]
        ours = [found[16 * number : 16 * number + 16] for number in good]
        # The same rows out of memory, which have no spelling, are the same to it.
        assert ours == _sixteens(lanes.digests(MemoryDataSource(values, format="dialogue")))
        assert len(set(ours)) == len({json.dumps(value) for value in values})


def outcome(function: Callable[[], bytes]) -> bytes | str:
    try:
        return function()
    except ValidationError as error:
        return str(error)


def _sixteens(blocks: Iterator[bytes]) -> list[bytes]:
    joined = b"".join(blocks)
    return [joined[at : at + 16] for at in range(0, len(joined), 16)]


def test_without_the_fast_libraries_the_results_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Lines(str(tmp_path), [line for line in ODD if line], "dialogue").source
    fast = [*lanes.suspects(source)], [*lanes.digests(source)]
    monkeypatch.setattr(lean, "msgspec", None)
    assert sum(part.rows for part in lanes.suspects(source)) == sum(part.rows for part in fast[0])
    assert len(b"".join(lanes.digests(source))) == len(b"".join(fast[1]))


def test_common_spellings_are_proven_as_a_whole() -> None:
    reader = lean.reader_for("dialogue")
    assert reader is not None
    turns = [{"prompt": "“问”", "response": [["a\nb"]]}, {"prompt": "c", "response": [["d"]]}]
    for row in (turns, with_system(turns, "s")):
        for spelling in ({}, {"separators": (",", ":")}, {"ensure_ascii": False}):
            block = (json.dumps(row, **spelling) + "\n").encode() * 3  # type: ignore[arg-type]
            rows = reader.rows(block)
            assert rows is not None
            assert rows.are_flawless(block)


# --- repeats ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), max_size=6))
def test_repeats_are_those_of_a_dict(blocks: list[list[int]]) -> None:
    first: dict[int, int] = {}
    numbers = list(chain.from_iterable(blocks))
    expected = [(row, first[n]) for row, n in enumerate(numbers) if first.setdefault(n, row) != row]
    # Some share their first half.
    made = [b"".join((n % 2).to_bytes(8, "big") + n.to_bytes(8, "big") for n in block) for block in blocks]
    assert list(lanes.repeats(made)) == expected


def test_many_rows_are_compared_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twice, "IN_MEMORY", 50)
    digests = [(n % 70).to_bytes(16, "big") for n in range(200)]
    found = list(lanes.repeats(b"".join(digests[at : at + 10]) for at in range(0, 200, 10)))
    assert found == [(row, row % 70) for row in range(70, 200)]


# --- worker processes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> FileDataSource:
    """Five megabytes: several ranges, one line that is longer than a range, flaws and blanks between."""
    cutting.BLOCK, cutting.RANGE = 128 << 10, 2 << 20
    path = tmp_path_factory.mktemp("large") / "rows.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(20_000):
            row: Any = [{"prompt": f"问题 {number % 15_000}", "response": [["answer " * 10]]}]
            if number == 7_000:
                row[0]["prompt"] = "long " * 600_000
            if number % 5_000 == 4_999:
                row[0]["response"] = []
            file.write(json.dumps(row, ensure_ascii=False) + "\n" * (1 + (number == 3)))
    source = FileDataSource(path)
    source.open()
    return source


def test_workers_find_what_one_process_finds(large: FileDataSource) -> None:
    cutting.BLOCK, cutting.RANGE = 128 << 10, 2 << 20
    alone = [*chain.from_iterable(part.suspicious for part in lanes.suspects(large, workers=1))]
    together = [*chain.from_iterable(part.suspicious for part in lanes.suspects(large, workers=2))]
    assert together == alone
    assert [number for number, _ in alone] == [5_001, 7_002, 10_001, 15_001, 20_001]
    assert b"".join(lanes.digests(large, workers=2)) == b"".join(lanes.digests(large, workers=1))
    with pytest.raises(ValidationError, match="line 5001"):
        list(lanes.converted(large, workers=2))


def _children() -> set[str]:
    """The processes that threads of this one have started."""
    return {
        child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text("ascii").split()
    }


@LINUX
def test_a_pass_that_is_left_ends_its_workers(large: FileDataSource) -> None:
    before = _children()
    found = lanes.suspects(large, workers=2)
    next(found)
    assert len(_children() - before) == 2
    found.close()  # type: ignore[attr-defined]
    assert _children() == before


@LINUX
def test_a_worker_that_is_killed_is_an_error(large: FileDataSource) -> None:
    # Many ranges, of which few are handed out beforehand, so that something is still to be answered.
    cutting.RANGE = 64 << 10
    before = _children()
    found = lanes.suspects(large, workers=2)
    next(found)
    for child in _children() - before:
        os.kill(int(child), signal.SIGKILL)
    with pytest.raises(InternalError, match="killed by signal 9; the system may have been out of memory"):
        list(found)
    assert _children() == before


def test_workers_need_no_standard_input_and_no_main_module(large: FileDataSource) -> None:
    script = (
        "import os, sys; os.close(0)\n"
        "from qianfan.dataset import lanes\n"
        "from qianfan.dataset.sources import FileDataSource\n"
        f"source = FileDataSource({str(large.path)!r}); source.open()\n"
        "print(sum(part.rows for part in lanes.suspects(source, workers=2)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "20000\n"


def test_workers_can_be_used_from_another_thread(large: FileDataSource) -> None:
    rows: list[int] = []
    thread = threading.Thread(target=lambda: rows.append(sum(part.rows for part in lanes.suspects(large, workers=2))))
    thread.start()
    thread.join()
    assert rows == [20_000]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path, workers: int) -> None:
    source = Lines(str(tmp_path), [], "dialogue").source
    found = lanes.suspects(source, workers=workers)
    next(found)
    with source.path.open("ab") as file:
        file.write(b'[{"prompt": "late", "response": [["row"]]}]\n')
    with pytest.raises(DataFileChangedError, match="changed while it was read"):
        list(found)


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    source = Lines(str(tmp_path), [], "dialogue").source
    source.path.unlink()
    for each in (lanes.suspects, lanes.converted, lanes.digests):
        with pytest.raises(DataFileError, match="does not exist"):
            list(each(source))


def test_another_shape_is_written_row_by_row(tmp_path: Path) -> None:
    source = Lines(str(tmp_path), [], "alpaca").source
    (line,) = lanes.converted(source, "prompt_response")
    assert json.loads(line) == {"prompt": "first", "response": "one"}

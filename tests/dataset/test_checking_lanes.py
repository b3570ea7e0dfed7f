"""The fast way through a file and the careful one: the same report, whatever the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.dataset.checking import check
from qianfan.dataset.checking.sample import Sample
from qianfan.dataset.report import Report
from qianfan.dataset.sources import FileDataSource, MemoryDataSource

BOM = b"\xef\xbb\xbf"
TEXTS = st.sampled_from(
    ["q", "", " ", "你好", "{{name}}", "a &lt; b", "\ufffd", "\x07", "\\", '"', "é", "x " * 4_100, "word " * 8_001]
)
ANSWERS = TEXTS.map(lambda text: [[text]]) | TEXTS | st.sampled_from([[["a"], ["b"]], [], 5, None])
TURNS = st.fixed_dictionaries(
    {"prompt": TEXTS, "response": ANSWERS},
    optional={"system": TEXTS, "sytem": TEXTS, "weight": st.sampled_from([0, 1, 2]), "note": TEXTS},
)
DIALOGUES = st.lists(TURNS, max_size=3)
ALPACA = st.fixed_dictionaries(
    {"instruction": TEXTS, "output": TEXTS}, optional={"input": TEXTS, "inputs": TEXTS, "note": st.integers()}
)
BROKEN = st.sampled_from(
    [
        b"nonsense",
        b"",
        b"  ",
        b"[]",
        b'[{"prompt": "q", "response": [["a"]]}',
        b'[{"prompt": "q", "prompt": "r", "response": [["a"]]}]',
        b'[{"prompt": "q", "response": [["a"]]},]',
        b'[{"prompt": "\\u0000", "response": [["\\ud800"]]}]',
        b'[{"prompt": NaN, "response": [["a"]]}]',
        b'[{"prompt": "\xc4\xe3", "response": [["a"]]}]',
        b' [{"response":[["a"]],"prompt":"q"}] ',
        b'[{"prompt": "q", "response": [["a"]]}]\x00',
        BOM + b'[{"prompt": "q", "response": [["a"]]}]',
    ]
)


def written(row: object, ascii_only: bool, compact: bool) -> bytes:
    return json.dumps(row, ensure_ascii=ascii_only, separators=(",", ":") if compact else None).encode()


def both(path: Path, format: str, **options: object) -> tuple[Report, Report]:
    """The careful report and the fast one, without the time they took."""
    careful, fast = (check(FileDataSource(path, format=format), fast=way, **options) for way in (False, True))
    return replace(careful, seconds=0.0), replace(fast, seconds=0.0)


def contents(rows: st.SearchStrategy[object]) -> st.SearchStrategy[bytes]:
    """Files of such rows, written in several ways, among broken lines and blank ones."""
    line = st.builds(written, rows, st.booleans(), st.booleans()) | BROKEN
    file = st.builds(
        lambda mark, lines, end, ends: BOM * mark + end.join(lines) + end * ends,
        st.booleans(),
        st.lists(line, min_size=1, max_size=12),
        st.sampled_from([b"\n", b"\r\n"]),
        st.integers(0, 2),
    )
    return file.map(lambda content: content if content.removeprefix(BOM).strip() else b"[]")


@settings(max_examples=100, deadline=None)
@given(
    format_and_content=st.tuples(st.just("dialogue"), contents(DIALOGUES))
    | st.tuples(st.just("alpaca"), contents(ALPACA)),
    limit=st.sampled_from([None, 0, 3]),
)
def test_both_ways_report_the_same(tmp_path_factory, format_and_content, limit):
    format, content = format_and_content
    path = tmp_path_factory.getbasetemp() / "both.jsonl"
    path.write_bytes(content)
    against = MemoryDataSource([[{"prompt": "q", "response": [["你好"]]}]])
    careful, fast = both(path, format, against=against, limit=limit)
    assert fast == careful


def test_both_ways_take_the_same_sample(tmp_path):
    rows = [[{"prompt": f"question {n}", "response": [[f"answer {n % 7}"]]}] for n in range(25_000)]
    rows[20_000] = [{"prompt": "q", "response": [["a"]], "sytem": "s"}]
    lines = [json.dumps(row) for row in rows]
    for blank in (0, 400, 20_000, 24_999):
        lines[blank] += "\n \n"
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    careful, fast = both(tmp_path / "a.jsonl", "dialogue", duplicates=False)
    assert fast == careful
    assert careful.statistics is not None
    assert careful.statistics.is_sample


def test_blank_lines_at_the_end_do_not_thin_the_sample():
    sample: Sample[int] = Sample(4, 2)
    assert [position for position in range(4) if sample.wants(position)] == [0, 1, 2, 3]
    assert sample.step == 1

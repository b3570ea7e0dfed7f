"""What arbitrary bytes may do to whoever reads a data file: nothing but a typed error.

Each target takes the content of a file, as a fuzzer made it. It returns, or raises an error of this package; anything
else is a defect. The targets also hold against each other what must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from qianfan.dataset import Dataset
from qianfan.dataset.shapes import TABLE
from qianfan.errors import InvalidArgumentError, QianfanError

KNOWN = (
    b'[{"prompt": "a", "response": [["b"]]}]\n',
    b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n',
    b'{"instruction": "a", "input": "", "output": "b"}\n',
    b'{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "tools": "[]"}\n',
    b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n',
    b'{"prompt": "a", "completion": "b", "label": true}\n',
    b'{"prompt": "a"}\n',
    '{"text": "\\u4f60\\u597d"}\n"\u4f60\u597d"\n'.encode(),
    b'[\n{"instruction": "a", "output": "b"},\n{"instruction": "c", "output": "d"}\n]',
    b"prompt,response\na,b\n",
    b'prompt\tresponse\na\t"b\nc"\n',
)
"""Files to begin with."""


def read(content: bytes, suffix: str) -> None:
    """Read a file of any kind, check it, and hold the check against the rows."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"rows{suffix}")
        path.write_bytes(content)
        try:
            dataset = Dataset.load(data_file=path)
        except InvalidArgumentError:
            return
        report = dataset.validate()
        if dataset.inner_data_source_cache.shape is TABLE:
            assert [group.rule for group in report.groups if group.severity == "error"]
            return
        assert str(report)
        rows = None
        with suppress(QianfanError):
            rows = [*dataset]
        assert (rows is not None) == bool(report), str(report)
        if rows is not None:
            assert len(rows) == report.rows == len(dataset)


def fix(content: bytes, suffix: str) -> None:
    """Whatever a file holds, its corrected copy has no errors, or there is none."""
    with TemporaryDirectory() as folder:
        path, copy = Path(folder, f"rows{suffix}"), Path(folder, "fixed.jsonl")
        path.write_bytes(content)
        try:
            Dataset.load(data_file=path).fix(copy)
        except InvalidArgumentError:
            return
        if copy.exists() and copy.stat().st_size:
            fixed = Dataset.load(data_file=copy)
            report = fixed.validate()
            assert report or fixed.inner_data_source_cache.shape is TABLE, str(report)


def convert(content: bytes, suffix: str) -> None:
    """Rows that can be written in another shape come back from it as they were."""
    with TemporaryDirectory() as folder:
        path, other = Path(folder, f"rows{suffix}"), Path(folder, "other.jsonl")
        path.write_bytes(content)
        with suppress(InvalidArgumentError):
            rows = [*Dataset.load(data_file=path)]
            for shape in ("messages", "sharegpt"):
                with suppress(InvalidArgumentError):
                    Dataset.load(data_file=path).save(data_file=other, format=shape)
                    assert [*Dataset.load(data_file=other, format=shape)] == rows


TARGETS: dict[str, Callable[[bytes, str], None]] = {"read": read, "fix": fix, "convert": convert}
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".zip", ".parquet", ".xlsx")

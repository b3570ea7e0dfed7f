"""Tables in memory: frames, Arrow tables and Hugging Face datasets are rows like any others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from qianfan.dataset import Dataset
from qianfan.dataset.frames import frame_source
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import InvalidArgumentError, UnclearFormatError

COLUMNS: dict[str, list[Any]] = {
    "prompt": ["q1", "q2", None],
    "response": ["a1", None, "a3"],
    "day": [None, date(2024, 1, 2), None],
}
ROWS = [{"prompt": "q1", "response": "a1"}, {"prompt": "q2", "day": "2024-01-02"}, {"response": "a3"}]


def pandas_frame() -> Any:
    return pytest.importorskip("pandas").DataFrame(COLUMNS)


def polars_frame() -> Any:
    return pytest.importorskip("polars").DataFrame(COLUMNS)


def lazy_frame() -> Any:
    return polars_frame().lazy()


def arrow_table() -> Any:
    return pytest.importorskip("pyarrow").table(COLUMNS)


def arrow_reader() -> Any:
    return arrow_table().to_reader()


def hugging_face() -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict(COLUMNS)


def streamed() -> Any:
    return hugging_face().to_iterable_dataset()


MAKERS = [pandas_frame, polars_frame, lazy_frame, arrow_table, arrow_reader, hugging_face, streamed]


@pytest.mark.parametrize("make", MAKERS)
def test_a_table_is_rows_without_its_nulls(make: Callable[[], Any]) -> None:
    source = frame_source(make())
    rows = [*source.raw_rows()]
    assert [row.value for row in rows] == ROWS
    assert [(row.line, row.column) for row in rows] == [(1, 0), (2, 0), (3, 0)]
    assert [source.raw_row(position) for position in range(len(source))] == rows
    assert source.raw_row(-1) == rows[-1]
    assert source.shape is not None
    assert source.shape.name == "prompt_response"
    with pytest.raises(IndexError):
        source.raw_row(3)


@pytest.mark.parametrize("make", MAKERS[:4])
def test_a_problem_names_the_row_of_the_table(make: Callable[[], Any]) -> None:
    report = Dataset(frame_source(make(), "prompt_response")).validate()
    assert [(problem.line, problem.field) for problem in report.problems] == [(2, ""), (3, "")]


def test_rows_beyond_the_first_batch_are_numbered_on() -> None:
    pl = pytest.importorskip("polars")
    source = frame_source(pl.DataFrame({"prompt": [f"q{number}" for number in range(2500)]}))
    assert [row.line for row in source.raw_rows()] == [*range(1, 2501)]
    assert source.raw_row(2400).value == {"prompt": "q2400"}
    assert source.raw_row(3).line == 4


def test_what_json_does_not_have_is_a_problem_of_its_row() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"prompt": ["q", "q"], "size": [1.5, float("inf")], "kind": [b"text", b"\xff"]})
    rows = [*frame_source(frame).raw_rows()]
    assert rows[0].value == {"prompt": "q", "size": 1.5, "kind": "text"}
    assert rows[1].problem is not None
    assert (rows[1].problem.rule, rows[1].problem.field) == ("wrong-type", "size")


def test_missing_values_of_pandas_are_missing() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"prompt": ["q"], "a": [pd.NaT], "b": [pd.NA], "c": [float("nan")], "d": [pd.Timestamp(0)]})
    assert [row.value for row in frame_source(frame).raw_rows()] == [{"prompt": "q", "d": "1970-01-01T00:00:00"}]


def test_arrays_of_numpy_are_lists() -> None:
    pd, np = pytest.importorskip("pandas"), pytest.importorskip("numpy")
    frame = pd.DataFrame({"prompt": ["q"], "history": [np.array(["a", "b"])], "n": np.array([3])})
    (row,) = frame_source(frame).raw_rows()
    assert row.value == {"prompt": "q", "history": ["a", "b"], "n": 3}
    assert type(row.value["n"]) is int


def test_a_dataset_of_several_splits_asks_which() -> None:
    datasets = pytest.importorskip("datasets")
    with pytest.raises(InvalidArgumentError, match=r"several splits: 'train', 'test'; give one of them"):
        frame_source(datasets.DatasetDict({"train": hugging_face(), "test": hugging_face()}))


@pytest.mark.parametrize("value", [5, "prompt", None, object()])
def test_what_is_no_table_is_an_error_that_says_what_is_needed(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="a frame of pandas or polars"):
        frame_source(value)


def test_rows_that_could_be_of_several_shapes_name_them() -> None:
    rows = [{"prompt": "q", "response": "a", "completion": "b"}]
    with pytest.raises(UnclearFormatError) as raised:
        MemoryDataSource(rows)
    assert set(raised.value.candidates) == {"prompt_response", "prompt_completion"}
    assert MemoryDataSource(rows, format="prompt_response").shape is not None


def test_a_generator_is_read_once() -> None:
    def rows() -> Iterator[Any]:
        yield {"prompt": "q", "response": "a"}

    source = MemoryDataSource(rows())
    assert len(source) == 1
    assert [row.value for row in source.raw_rows()] == [row.value for row in source.raw_rows()]


def test_columns_of_one_name_are_refused() -> None:
    pd, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    arrow = pa.table([pa.array(["q"]), pa.array(["q"])], names=["a", "a"])
    for table, name in (
        (pd.DataFrame([["q", "q"]], columns=["a", "a"]), "a"),
        (arrow, "a"),
        (pd.DataFrame([["q", "q"]], columns=[1, "1"]), "1"),
    ):
        with pytest.raises(InvalidArgumentError, match=f"two columns are named '{name}'"):
            frame_source(table)


def test_whatever_gives_an_arrow_stream_is_a_table() -> None:
    pa, duckdb = pytest.importorskip("pyarrow"), pytest.importorskip("duckdb")
    batch = pa.record_batch({"prompt": ["q"], "response": ["a"]})
    with duckdb.connect() as connection:
        for table in (batch, pa.Table.from_batches([batch]), connection.sql("SELECT 'q' AS prompt, 'a' AS response")):
            source = frame_source(table)
            assert source.name == f"{type(table).__name__} in memory"
            assert [row.to_json() for row in source.rows()] == [[{"prompt": "q", "response": [["a"]]}]]


def test_a_table_without_rows_has_none() -> None:
    pl = pytest.importorskip("polars")
    source = frame_source(pl.DataFrame({"prompt": []}))
    assert (len(source), [*source.rows()], source.shape) == (0, [], None)


def test_a_streamed_dataset_goes_by_its_own_name() -> None:
    assert frame_source(streamed()).name == "IterableDataset in memory"

"""What a model is asked of rows that are columns, and of rows that ask nothing."""

from __future__ import annotations

from typing import Any

import pytest

from qianfan.dataset import Dataset
from qianfan.dataset.questions import Question, questions_of
from qianfan.dataset.sources import MemoryDataSource
from qianfan.errors import InvalidArgumentError

ROWS = [{"title": "1 + 1", "question": "How much?", "answer": 2}, {"title": "Blue", "question": "Why?"}]


def table(**columns: Any) -> Dataset:
    return Dataset(MemoryDataSource(ROWS), **columns)


def asked(text: str, reference: str = "") -> Question:
    return Question([{"role": "user", "content": text}], reference)


def test_the_columns_of_a_table_ask_as_they_are_named():
    assert questions_of(table(input_columns=["question"])) == [asked("How much?"), asked("Why?")]
    assert questions_of(table(input_columns=["title", "question"], reference_column="answer")) == [
        asked("1 + 1\nHow much?", "2"),
        asked("Blue\nWhy?"),
    ]


def test_columns_that_ask_nothing_are_named():
    with pytest.raises(InvalidArgumentError, match="say with input_columns which ask: 'title', 'question', 'answer'"):
        questions_of(table())
    with pytest.raises(InvalidArgumentError, match="row 2 has nothing in column 'answer'"):
        questions_of(table(input_columns=["answer"]))


@pytest.mark.parametrize(
    ("row", "kind"), [("once upon a time", "text"), ({"image": "cat.png", "prompt": "a cat"}, "picture")]
)
def test_rows_that_ask_nothing_say_what_they_are(row, kind):
    with pytest.raises(InvalidArgumentError, match=f"row 1 is a {kind}, which asks nothing"):
        questions_of(Dataset(MemoryDataSource([row])))

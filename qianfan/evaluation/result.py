"""What came of an evaluation: the rows with what was said about them, and a summary for each model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, overload

import anyio
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from qianfan._sync import run_sync

__all__ = ["EvaluationResult", "ResultDataset"]


class ResultDataset(Sequence[dict[str, Any]]):
    """The rows of an evaluation: `llm`, `input`, `reference`, `output`, every metric, and `error` where one failed.

    `rows[3]` and `rows[2:5]` give rows, `rows["output"]` a column.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        self._rows = [dict(row) for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        """Raises IndexError for a position that does not exist, KeyError for a column."""
        if not isinstance(key, str):
            return self._rows[key]
        if key not in self.col_names():
            raise KeyError(f"no column {key!r}; columns: {', '.join(self.col_names())}")
        return [row.get(key) for row in self._rows]

    def __eq__(self, other: object) -> bool:
        return self._rows == other._rows if isinstance(other, ResultDataset) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ResultDataset({len(self)} rows: {', '.join(self.col_names())})"

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows in which something failed."""
        return [row for row in self._rows if "error" in row]

    def col_names(self) -> list[str]:
        """The parts of the rows."""
        return [*dict.fromkeys(name for row in self._rows for name in row)]

    def to_pylist(self) -> list[dict[str, Any]]:
        """All rows."""
        return [*self._rows]

    async def asave(self, data_file: str | Path) -> Path:
        """Save the rows to a `.jsonl` file."""
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in self._rows)
        await anyio.Path(data_file).write_text(lines, encoding="utf-8")
        return Path(data_file)

    def save(self, data_file: str | Path) -> Path:
        """Blocking form of `asave`."""
        return run_sync(self.asave, data_file)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As JSON it is the list of its rows."""
        rows = core_schema.no_info_after_validator_function(cls, handler.generate_schema(list[dict[str, Any]]))
        return core_schema.json_or_python_schema(
            json_schema=rows,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), rows]),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.to_pylist),
        )


class EvaluationResult(BaseModel):
    """What came of an evaluation. Printed, it is a table of the metrics.

    metrics: for each model, by its name in the column `llm`, what the evaluators say about all its rows.
    """

    model_config = ConfigDict(frozen=True)

    result_dataset: ResultDataset
    metrics: dict[str, dict[str, Any]]

    @property
    def summary(self) -> dict[str, Any]:
        """The metrics of the only model, or of the first one."""
        return next(iter(self.metrics.values()), {})

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={_short(value)}" for name, value in self.summary.items())
        return f"EvaluationResult({self._counts()}{': ' if told else ''}{told})"

    def __str__(self) -> str:
        names = [*dict.fromkeys(name for metrics in self.metrics.values() for name in metrics)]
        lines = [["", *self.metrics]]
        lines += [[name, *(_short(metrics.get(name)) for metrics in self.metrics.values())] for name in names]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([f"Evaluation of {self._counts()}", *(line.rstrip() for line in table)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def _counts(self) -> str:
        failed = len(self.result_dataset.failed)
        return f"{len(self.result_dataset)} rows" + (f", {failed} with errors" if failed else "")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)

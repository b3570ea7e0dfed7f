"""`qianfan dataset view`: rows as they are, one below the other."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianfan.cli.options import FileFormat, Format, Json, Source
from qianfan.cli.places import aload, aload_here, place_of

if TYPE_CHECKING:
    from rich.console import Console

    from qianfan.dataset import Dataset
    from qianfan.dataset.looking import SeenRow

FIRST = 5
"""Rows that are shown when none are named."""

_FEW = 300
"""Rows that are asked for one by one where they are on the platform; for more, all of them are fetched."""

_LONGEST = 2_000
"""Characters of a text that are shown."""


def view(
    src: Source,
    row: Annotated[
        str | None,
        typer.Option(
            help="Rows to show, counted from 0: 7, 0-9, 1,3-5,12, or all; the first five when left out.",
            metavar="ROWS",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Only these parts of each row: prompt,response.", metavar="NAMES", show_default=False),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Each row as it stands there: one line of JSON.")] = False,
    count: Annotated[
        int | None, typer.Option(help="How many rows to show from the beginning.", min=1, show_default=False)
    ] = None,
    format: Format = None,
    file_format: FileFormat = None,
    json: Json = False,
) -> None:
    """Show rows of a dataset. Only as much of a file is read as is shown.

    A row that cannot be read is shown with its place and what is wrong with it.
    """
    from qianfan._sync import run_sync
    from qianfan.cli.output import err, out, print_json
    from qianfan.cli.transfer import transfer

    if row is not None and count is not None:
        raise typer.BadParameter("say which rows by either --row or --count")
    wanted = _positions(row) if row is not None else [range(count or FIRST)]
    names = None if column is None else [name for part in column.split(",") if (name := part.strip())]
    place = place_of(src)
    few = sum(map(len, wanted)) <= _FEW
    with transfer(err()) as progress:
        load = aload if few else partial(aload_here, view=progress)
        dataset = run_sync(partial(load, place, format=format, file_format=file_format))
    shown = _with_columns(names, _rows(dataset, wanted))
    if json:
        print_json({"source": dataset.name, "rows": [_as_json(one, names) for one in shown]})
        return
    console = out()
    for number, one in enumerate(shown):
        if raw:
            sys.stdout.write(_raw(one) + "\n")
        else:
            _print(one, names, console, is_first=number == 0)


def _positions(text: str) -> list[range]:
    """The rows that `1,3-5,12` names; `all` is a span without end."""
    if text.strip().casefold() == "all":
        return [range(sys.maxsize)]
    spans: list[range] = []
    for piece in text.split(","):
        found = _SPAN.fullmatch(piece.strip())
        if found is None:
            raise typer.BadParameter(f"{piece!r} names no rows; write 7, 0-9, 1,3-5,12, or all", param_hint="--row")
        first = int(found["first"])
        last = int(found["last"]) if found["last"] else first
        if last < first:
            raise typer.BadParameter(f"{piece!r} ends before it begins", param_hint="--row")
        spans.append(range(first, last + 1))
    return spans


_SPAN = re.compile(r"(?P<first>\d+)(?:\s*-\s*(?P<last>\d+))?")


def _rows(dataset: Dataset, wanted: Sequence[range]) -> Iterator[SeenRow]:
    """The rows at these positions, in the order they were asked for; spans may reach beyond the end."""
    from qianfan.dataset.looking import local_part, seen_row, seen_rows

    source = local_part(dataset.inner_data_source_cache)
    for span in wanted:
        if source is None:
            yield from _on_the_platform(dataset, span)
            continue
        if span.start == 0:
            yield from islice(seen_rows(source), span.stop)
            continue
        for position in span:
            try:
                yield seen_row(source, position, source.raw_row(position))
            except IndexError:
                if position == span.start:
                    raise _no_row(position, dataset) from None
                break


def _on_the_platform(dataset: Dataset, span: range) -> Iterator[SeenRow]:
    from qianfan.dataset.looking import SeenRow
    from qianfan.dataset.reading import RawRow

    values = dataset[span.start : span.stop]
    if not values and span.start:
        raise _no_row(span.start, dataset)
    for position, value in zip(span, values, strict=False):
        yield SeenRow(position, RawRow(position + 1, 0, "", value), value)


def _no_row(position: int, dataset: Dataset) -> typer.BadParameter:
    return typer.BadParameter(
        f"there is no row {position}: {dataset.name} has {len(dataset)} rows, counted from 0", param_hint="--row"
    )


def _with_columns(names: Sequence[str] | None, rows: Iterator[SeenRow]) -> Iterator[SeenRow]:
    """The same rows. Raises BadParameter when the first that can be read has none of these columns."""
    looked = names is None
    for row in rows:
        if not looked and row.problem is None:
            looked = True
            there = dict.fromkeys(name for name, _ in row.parts)
            if not any(_is_wanted(name, names) for name in there):
                raise typer.BadParameter(
                    f"row {row.position} has the columns {', '.join(there)}", param_hint="--column"
                )
        yield row


def _as_json(row: SeenRow, names: Sequence[str] | None) -> dict[str, Any]:
    about: dict[str, Any] = {"row": row.position, **_place(row)}
    if row.problem is not None:
        return {**about, "problem": str(row.problem)}
    if names is None:
        return {**about, "value": row.value}
    return {**about, "value": [{name: said} for name, said in row.parts if _is_wanted(name, names)]}


def _place(row: SeenRow) -> dict[str, Any]:
    """Line and file, where the row stands in one."""
    return {name: value for name, value in (("line", row.raw.line), ("file", row.raw.file)) if value and row.raw.column}


def _is_wanted(name: str, names: Sequence[str] | None) -> bool:
    # Ranked answers are called `response 1`, `response 2`.
    return names is None or name in names or name.rpartition(" ")[0] in names


def _raw(row: SeenRow) -> str:
    """What the file has, on one line."""
    import json

    return row.raw.text if row.raw.problem is not None else json.dumps(row.raw.value, ensure_ascii=False)


def _print(row: SeenRow, names: Sequence[str] | None, console: Console, *, is_first: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from qianfan.dataset.looking import printable

    if not is_first:
        console.print()
    place = "".join(f"  {name} {value}" for name, value in _place(row).items())
    console.print(Text.assemble((f"row {row.position}", "bold"), (place, "dim")))
    if row.problem is not None:
        console.print(Text(printable(str(row.problem)), style="red"))
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, said in row.parts:
        if _is_wanted(name, names):
            grid.add_row(Text(printable(name)), Text(printable(_shortened(said))))
    console.print(grid)


def _shortened(said: str) -> str:
    if len(said) <= _LONGEST:
        return said
    return f"{said[:_LONGEST]}… ({len(said):,} characters; --raw shows all)"

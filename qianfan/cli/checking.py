"""`qianfan dataset check` and `stats`: what is wrong with rows, what is odd, what they are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from qianfan.cli.exits import Exit, exit_code
from qianfan.cli.invocation import Invocation
from qianfan.cli.options import FileFormat, Format, Json, Source
from qianfan.cli.places import aload_here, local_rows, place_of
from qianfan.errors import QianfanError, describe

if TYPE_CHECKING:
    from rich.console import Console

    from qianfan.dataset.checking import FixReport
    from qianfan.dataset.report import Report
    from qianfan.dataset.sources import LocalSource

KEPT = 1_000
"""Errors, and warnings, that a report lists when nobody says how many."""


class FixAlso(str, Enum):
    """Corrections that somebody has to ask for."""

    DUPLICATES = "duplicates"
    KEYS = "keys"
    JOIN = "join"
    STRIP = "strip"


Reading: TypeAlias = Mapping[str, str | None]


def check(
    context: typer.Context,
    src: Annotated[
        list[str],
        typer.Argument(help="Files or folders; also datasets on the platform (qianfan://ds-…) and bos:/bucket/path."),
    ],
    against: Annotated[
        str | None,
        typer.Option(help="Rows kept for evaluation: rows and questions that are in both are told.", metavar="SRC"),
    ] = None,
    limit: Annotated[int, typer.Option(help="List so many errors, and warnings; all are counted.", min=0)] = KEPT,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors for the exit code.")] = False,
    fix: Annotated[
        Path | None,
        typer.Option(help="Write a corrected copy to this file; what is dropped is listed.", show_default=False),
    ] = None,
    fix_also: Annotated[
        list[FixAlso] | None,
        typer.Option(
            help="With --fix, also leave out duplicates, rename misspelt keys, join messages of one role, or "
            "strip blanks; may be repeated.",
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="With --fix: what the file is in if not UTF-8, such as gb18030.", show_default=False),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page too.", show_default=False)] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the report as .json, .html or .txt too.", show_default=False)
    ] = None,
    format: Format = None,
    file_format: FileFormat = None,
    json: Json = False,
) -> None:
    """Check rows before they are used, and say what is wrong, where, and how to mend it.

    Exit codes: 0 nothing is wrong, 1 rows are wrong, 2 something cannot be read. With --strict warnings count too.
    With --fix it is 0 once the copy is right; with --fix --strict only if no row had to be dropped for it.
    """
    if len(src) > 1 and (fix, html, report) != (None, None, None):
        raise typer.BadParameter("--fix, --html and --report are about one SRC; a folder is one")
    if html is not None and html.suffix.lower() != ".html":
        raise typer.BadParameter(f"{html} is no name of a page; end it in .html", param_hint="--html")
    if fix is None and (fix_also or encoding):
        raise typer.BadParameter("--fix-also and --encoding are about the copy that --fix writes")
    reading: Reading = {"format": format, "file_format": file_format}
    beside = None if against is None else _rows(against, reading)
    checks = [_check(one, reading, beside, limit) for one in src]
    if fix is not None:
        # A file in another encoding cannot be checked, and still be corrected.
        checks = [replace(one, fixed=_fix(one.name, reading, fix, fix_also or [], encoding)) for one in checks]
    for done in checks:
        for path in (html, report):
            if path is not None and done.report is not None:
                done.report.save(path)
    if json:
        _print_document(checks)
    else:
        _print(checks)
    if fix is None and any(done.report is not None and not done.report for done in checks):
        context.ensure_object(Invocation).last_words.append("A corrected copy: add --fix COPY to the command.")
    raise typer.Exit(max(done.code(strict=strict) for done in checks))


@dataclass(frozen=True, slots=True)
class _Check:
    """What became of one place: a report or the error that kept it from being read, and perhaps a corrected copy."""

    name: str
    report: Report | None = None
    error: QianfanError | OSError | None = None
    fixed: FixReport | None = None

    def code(self, *, strict: bool) -> Exit:
        if self.fixed is not None:
            return Exit.FAILED if strict and self.fixed.dropped else Exit.OK
        if self.error is not None:
            return exit_code(self.error)
        return Exit.OK if self.report and not (strict and self.report.warning_count) else Exit.FAILED


def _check(name: str, reading: Reading, against: LocalSource | None, limit: int) -> _Check:
    from qianfan.dataset import checking

    try:
        source = _rows(name, reading)
        with _working("checking"):
            return _Check(name, checking.check(source, limit=limit, against=against))
    except (QianfanError, OSError) as error:
        return _Check(name, error=error)


def _fix(name: str, reading: Reading, copy: Path, also: Sequence[FixAlso], encoding: str | None) -> FixReport:
    from qianfan.dataset import checking

    wishes: dict[str, bool] = {wish.value: wish in also for wish in FixAlso}
    with _working("fixing"):
        return checking.fix(_rows(name, reading), copy, encoding=encoding, **wishes)


def _rows(name: str, reading: Reading) -> LocalSource:
    """The rows of a place, which are fetched from the platform if need be. A file is opened by whoever reads it."""
    from qianfan._sync import run_sync
    from qianfan.cli.output import err
    from qianfan.cli.transfer import transfer
    from qianfan.dataset import FileDataSource

    place = place_of(name)
    if isinstance(place, Path):
        return FileDataSource(place, reading["file_format"], format=reading["format"])
    with transfer(err()) as view:
        return local_rows(run_sync(partial(aload_here, place, view, **reading)))


def _working(what: str) -> AbstractContextManager[object]:
    """A sign of life on a terminal while rows are read."""
    from qianfan.cli.output import err

    console = err()
    return console.status(what) if console.is_terminal else nullcontext()


def _print(checks: Sequence[_Check]) -> None:
    from qianfan.cli.output import out

    console = out()
    for number, done in enumerate(checks):
        if number:
            console.print()
        if done.error is not None:
            console.print(f"{done.name}: {describe(done.error)}", style="red", markup=False, soft_wrap=True)
        if done.report is not None:
            _print_report(done.report, console)
        if done.fixed is not None:
            console.print(f"\n{done.fixed}", markup=False, soft_wrap=True)
    if len(checks) > 1:
        wrong = sum(not done.report for done in checks)
        console.print(f"\n{len(checks)} checked, {wrong} of them not right" if wrong else f"\n{len(checks)} checked")


def _print_report(report: Report, console: Console) -> None:
    """The report's own words, with the weight of each line told by its colour."""
    from rich.text import Text

    from qianfan.dataset.looking import printable

    headline, *lines = printable(str(report)).split("\n")
    console.print(Text(headline, style="bold green" if report else "bold red"), soft_wrap=True)
    for line in lines:
        style = next((style for start, style in _STYLES.items() if line.lstrip().startswith(start)), "")
        console.print(Text(line, style=style), soft_wrap=True)


_STYLES = {"fix: ": "green", "- ": "", "tokens in a row": "bold"}


def _print_document(checks: Sequence[_Check]) -> None:
    from qianfan.cli.output import print_json

    print_json({"ok": all(done.report for done in checks), "files": [_as_json(done) for done in checks]})


def _as_json(done: _Check) -> dict[str, Any]:
    from qianfan.cli.following import error_facts

    facts: dict[str, Any] = {"source": done.name, "ok": False} if done.report is None else done.report.to_dict()
    if done.error is not None:
        facts["error"] = error_facts(done.error)
    if done.fixed is not None:
        facts["fix"] = done.fixed.to_dict()
    return facts


def stats(src: Source, format: Format = None, file_format: FileFormat = None, json: Json = False) -> None:
    """Show what rows are like: how many, of which kind and language, how long, with a histogram.

    Rows that cannot be read are left out; dataset check says why. Tokens are an estimate.
    """
    from qianfan.cli.output import out, print_json
    from qianfan.dataset.checking import stats

    source = _rows(src, {"format": format, "file_format": file_format})
    with _working("reading"):
        statistics = stats(source)
    if json:
        print_json({"source": source.name, **statistics.to_dict()})
    else:
        out().print(str(statistics), markup=False, soft_wrap=True)

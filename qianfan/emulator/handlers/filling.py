"""Work that makes the rows of an empty version out of those of another: cleaning and augmentation.

What comes of it is computed when it is ordered, beside the lock where it takes long; it goes into the other version
when the work ends well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

import anyio.to_thread

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.blobs import Blob
from qianfan.emulator.calls import Call, MadeRows
from qianfan.emulator.checks import found
from qianfan.emulator.entities import add_rows
from qianfan.emulator.records import Augmentation, Cleaning, Dataset, Filling, Source
from qianfan.emulator.refusals import Problem, Refused, invalid
from qianfan.emulator.scans import Unit, packed
from qianfan.emulator.templates import Template

ETL_STATES = {"New": 0, "Running": 1, "Finished": 2, "Interrupted": 3, "Failed": 4, "Paused": 5}
AUGMENTATION_STATES = {"New": 0, "Running": 1, "Done": 3, "Failed": 4}
"""V1's numbers. That an augmentation under way is 1 is our reading; the others are established."""

F = TypeVar("F", bound=Filling)
Make: TypeAlias = Callable[[list[Unit], Template], "tuple[list[Unit], dict[str, JSON]]"]
"""The rows of a version -> other rows, and what is told about it."""


def ends_of(account: Account, call: Call) -> tuple[Dataset, Dataset]:
    """The version to read from and the version to fill, checked."""
    body = call.body
    source, dest = (
        found(account.datasets.get(body.get(key)), Problem.INVALID, key, body.get(key))
        for key in ("sourceDatasetId", "destDatasetId")
    )
    if source.import_state == "Importing" or not source.rows:
        raise Refused(Problem.STATE, "sourceDatasetId", f"{source.id} has no rows, or is being imported")
    if account.template_of(source) is not account.template_of(dest):
        raise invalid("destDatasetId", f"{dest.id} is no dataset of the template of {source.id}")
    if dest.rows or dest.import_state == "Importing" or dest.release_state != "Unpublished" or under_way(account, dest):
        raise Refused(Problem.STATE, "destDatasetId", f"{dest.id} must be empty, and not at work")
    return source, dest


def under_way(account: Account, dataset: Dataset) -> bool:
    """Whether a version is read from or filled just now."""
    return any(filling.state == "Running" for filling in fillings_of(account, dataset))


def fillings_of(account: Account, dataset: Dataset) -> Iterator[Cleaning | Augmentation]:
    """The work that a version ever took part in, newest first of each kind."""
    every: list[Cleaning | Augmentation] = [*account.cleanings.newest_first(), *account.augmentations.newest_first()]
    for filling in every:
        if dataset.id in (filling.source_id, filling.dest_id):
            yield filling


async def make_ahead(call: Call, make: Make) -> None:
    """Make the rows before the account is locked, in a worker thread: cleaning a large version takes a while."""
    account = call.account
    with account.lock:
        source = account.datasets.get(call.body.get("sourceDatasetId"))
        if source is None or not source.rows:
            return
        template, files = account.template_of(source), _files(account, source)
    call.rows = await anyio.to_thread.run_sync(_made, files, template, make)


def made_rows(call: Call, source: Dataset, make: Make) -> MadeRows:
    """The rows that were made ahead, or new ones when the version has changed since."""
    files = _files(call.account, source)
    if call.rows is not None and call.rows.of == _keys(files):
        return call.rows
    return _made(files, call.account.template_of(source), make)


def _files(account: Account, dataset: Dataset) -> list[tuple[Blob, str]]:
    return [(account.blob_of(part), part.name) for part in dataset.sources]


def _keys(files: list[tuple[Blob, str]]) -> tuple[str, ...]:
    return tuple(blob.key for blob, _ in files)


def _made(files: list[tuple[Blob, str]], template: Template, make: Make) -> MadeRows:
    units, report = make([unit for blob, name in files for unit, _ in blob.rows(name, template)], template)
    return MadeRows(_keys(files), units, report)


def keep_outcome(account: Account, filling: Filling, units: list[Unit]) -> None:
    """Note the rows that the work will bring."""
    filling.made = len(units)
    if units:
        name, content = packed(units)
        filling.outcome = [account.keep(account.blobs.put(content), name)]


def begin(account: Account, filling: F, *, failed: str = "", ends: str = "Failed") -> F:
    """Start the work. failed: why it cannot end well."""
    stage = account.stages.etl if isinstance(filling, Cleaning) else account.stages.augmentation
    filling.work = stage.begin(account.clock, ends=ends if failed else None, reason=failed)
    filling.state = stage.start(filling.state, filling.work, account.clock.monotonic())
    account.touch()
    return filling


def look_at_filling(account: Account, filling: F, *, look: bool = True) -> F:
    """Move the work on, and fill the version when it ends well."""
    stage = account.stages.etl if isinstance(filling, Cleaning) else account.stages.augmentation
    dest, work, before = account.datasets.get(filling.dest_id), filling.work, filling.state
    if before == "Running" and work is not None and (dest is None or account.datasets.get(filling.source_id) is None):
        work.ends, work.reason = "Failed", "one of the datasets was deleted"
    filling.state = stage.advance(before, work, account.clock.monotonic(), look=look)
    if before != filling.state:
        filling.finished = account.now()
        filling.reason = work.reason if work is not None else ""
        if filling.state == stage.cycle.ends[0] and dest is not None:
            _fill(account, dest, filling.outcome)
        filling.outcome = []
        account.touch()
    return filling


def _fill(account: Account, dest: Dataset, outcome: list[Source]) -> None:
    add_rows(account, dest, outcome)
    dest.import_state = "ImportFinished"
    dest.modified = account.now()

"""What can be done with datasets, whichever generation of the API asks for it."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import anyio.to_thread

from qianfan._types import JSON
from qianfan.emulator import access
from qianfan.emulator.account import Account
from qianfan.emulator.bos import place_of
from qianfan.emulator.buckets import PLATFORM_BUCKET
from qianfan.emulator.calls import Call
from qianfan.emulator.checks import found
from qianfan.emulator.entities import add_rows
from qianfan.emulator.envelopes import Family
from qianfan.emulator.handlers.exports import end_export
from qianfan.emulator.handlers.filling import fillings_of, look_at_filling, under_way
from qianfan.emulator.handlers.storing import store
from qianfan.emulator.lifecycle import EXPORT, IMPORT, RELEASE
from qianfan.emulator.records import Dataset, Group, ImportTask, Source
from qianfan.emulator.refusals import Problem, Refused, RefusedObject, invalid
from qianfan.emulator.scans import BadLine
from qianfan.emulator.templates import Template
from qianfan.emulator.wire import Request

_SCANNED_IN_PLACE = 2**18
"""Bytes that are read as rows at once; larger files are read in a worker thread."""


def add_group(account: Account, name: str, template: Template, storage_type: str, bucket: str, folder: str) -> Group:
    """A new group without versions. bucket, folder: where its owner keeps its files, when not on the platform."""
    shelf = account.groups
    group = Group(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        name=name,
        data_format=template.data_format,
        storage_type=storage_type,
        bucket=bucket,
        folder=folder,
    )
    return shelf.add(group)


def add_dataset(account: Account, group: Group, description: str = "") -> Dataset:
    """A new, empty version of a group."""
    shelf, now = account.datasets, account.now()
    dataset = Dataset(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=now,
        modified=now,
        group_id=group.id,
        version=len(group.version_ids) + 1,
        description=description,
    )
    group.version_ids.append(dataset.id)
    return shelf.add(dataset)


def dataset_of(account: Account, key: JSON, field: str = "datasetId") -> Dataset:
    """The version a call names, by id or number."""
    return found(account.datasets.get(key), Problem.INVALID, field, key)


def group_of(account: Account, dataset: Dataset) -> Group:
    """The group a version belongs to."""
    group = account.groups.get(dataset.group_id)
    assert group is not None, "a version does not outlive its group"
    return group


def look_at(account: Account, dataset: Dataset, *, look: bool = True) -> Dataset:
    """Move a version's import, release and export on."""
    now, stages = account.clock.monotonic(), account.stages
    before = (dataset.import_state, dataset.release_state)
    dataset.import_state = stages.imports.advance(dataset.import_state, dataset.import_work, now, look=look)
    dataset.release_state = stages.releases.advance(dataset.release_state, dataset.release_work, now, look=look)
    if before[0] == "Importing" != dataset.import_state:
        _end_import(account, dataset)
    for filling in fillings_of(account, dataset):
        # Who waits for rows may look at the version that gets them, too.
        look_at_filling(account, filling, look=look and filling.dest_id == dataset.id)
    if before != (dataset.import_state, dataset.release_state):
        dataset.modified = account.now()
        account.touch()
    _look_at_export(account, dataset, look=look)
    return dataset


def _look_at_export(account: Account, dataset: Dataset, *, look: bool) -> None:
    # An export changes nothing in the version, so that it does not count as modified.
    before, now = dataset.export_state, account.clock.monotonic()
    dataset.export_state = account.stages.exports.advance(before, dataset.export_work, now, look=look)
    if before != dataset.export_state:
        end_export(account, dataset)


def begin_import(account: Account, dataset: Dataset, sources: list[Source], problem: str, *, annotated: bool) -> None:
    """Start an import; `problem` says why it cannot end well, "" when the sources could be found."""
    look_at(account, dataset, look=False)
    if dataset.release_state in ("Publishing", "Published"):
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} is published and takes no more data")
    if dataset.import_state == "Importing":
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} is being imported already")
    if under_way(account, dataset):
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} is being cleaned or augmented")
    bad = account.bad_lines(sources, account.template_of(dataset))
    ends = "ImportFailed" if bad or problem else None
    reason = problem or (f"{len(bad)} lines do not fit the template" if bad else "")
    work = account.stages.imports.begin(account.clock, ends=ends, reason=reason)
    dataset.import_work = work
    dataset.import_reason = dataset.import_id = ""
    dataset.import_state = account.stages.imports.start(dataset.import_state, work, account.clock.monotonic())
    dataset.incoming = sources
    dataset.annotated = annotated
    account.touch()


def begin_release(account: Account, dataset: Dataset) -> None:
    """Start the release of a version."""
    look_at(account, dataset, look=False)
    if dataset.release_state == "Published":
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} is published already")
    if dataset.release_state == "Publishing":
        return
    if dataset.import_state != "ImportFinished":
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} has no finished import")
    needs_answers = account.template_of(dataset).project_type == 20
    if needs_answers and dataset.annotated_rows < dataset.rows:
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} has rows that are not annotated")
    work = account.stages.releases.begin(account.clock)
    dataset.release_work = work
    dataset.release_state = account.stages.releases.start(dataset.release_state, work, account.clock.monotonic())
    account.touch()


def delete_dataset(account: Account, dataset: Dataset) -> int:
    """Remove a version, and its group with the last one. Gives the number of versions left."""
    group = group_of(account, dataset)
    group.version_ids.remove(dataset.id)
    account.datasets.remove(dataset)
    if not group.version_ids:
        account.groups.remove(group)
    account.touch()
    return len(group.version_ids)


def _end_import(account: Account, dataset: Dataset) -> None:
    template = account.template_of(dataset)
    work = dataset.import_work
    dataset.import_reason = work.reason if work else ""
    if dataset.import_state == "ImportFinished":
        add_rows(account, dataset, dataset.incoming, annotated=dataset.annotated)
        dataset.bad_lines = []
        dataset.import_report = ""
    else:
        dataset.bad_lines = _report(account.bad_lines(dataset.incoming, template), dataset.import_reason)
        dataset.import_report = _stored_report(account, dataset)
    task = account.imports.get(dataset.import_id)
    if task is not None:
        _end_import_task(account, dataset, task)
    dataset.incoming = []


def _end_import_task(account: Account, dataset: Dataset, task: ImportTask) -> None:
    task.state, task.finished = dataset.import_state, account.now()
    task.reason, task.report = dataset.import_reason, dataset.import_report
    if task.state == "ImportFinished":
        brought = account.scan(dataset.incoming, account.template_of(dataset))
        task.rows, task.size = brought.rows, brought.bytes


def _stored_report(account: Account, dataset: Dataset) -> str:
    key = f"_system_/dataset/{dataset.id}/import/{account.letters(16)}.jsonl"
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in dataset.bad_lines)
    store(account, PLATFORM_BUCKET, key, lines.encode(), "application/json; charset=utf-8")
    return key


def _report(bad: list[BadLine], reason: str) -> list[dict[str, JSON]]:
    lines: list[dict[str, JSON]] = [
        {"file": line.file, "number": line.number, "text": line.text, "reason": line.reason} for line in bad
    ]
    return lines or [{"file": "", "number": 0, "text": "", "reason": reason}]


async def read_sources(call: Call) -> None:
    """Read what an import names before the account is locked, large files in a worker thread.

    The scan stays with the stored content, so the handler finds it done.
    """
    account = call.account
    with account.lock:
        key = call.body.get("datasetId") or call.body.get("versionId")
        dataset = account.datasets.get(key)
        if dataset is None:
            return
        sources, _ = named_sources(call)
        template = account.template_of(dataset)
    await scan_ahead(account, sources, template)


async def scan_ahead(account: Account, sources: list[Source], template: Template) -> None:
    """Read files as rows of a template without holding the lock."""
    for source in sources:
        with account.lock:
            blob = account.blob_of(source)
        if blob.size > _SCANNED_IN_PLACE and not blob.is_scanned(source.name, template):
            await anyio.to_thread.run_sync(blob.scan, source.name, template)


def named_sources(call: Call) -> tuple[list[Source], str]:
    """The files an import names, and why they cannot be read."""
    sources: list[Source] = []
    for place in call.body.items("files"):
        if not isinstance(place, str):
            raise invalid("files", f"files must hold texts, found {place!r}")
        try:
            if place.startswith("bos:"):
                sources += files_at(call.account, place)
            else:
                sources.append(_linked_file(call, place))
        except FileNotFoundError as missing:
            return [], str(missing)
    return sources, ""


def files_at(account: Account, uri: str) -> list[Source]:
    """The objects under a `bos:/bucket/path`, a file or a directory. Raises FileNotFoundError when there are none."""
    bucket, _, key = uri.removeprefix("bos:").lstrip("/").partition("/")
    if key and not key.endswith("/"):
        stored = account.buckets.get(bucket, key)
        if stored is None:
            raise FileNotFoundError(f"{uri} does not exist")
        return [stored.source]
    sources = [stored.source for stored in account.buckets.under(bucket, key) if stored.source.size]
    if not sources:
        raise FileNotFoundError(f"{uri} holds no files")
    return sources


def _linked_file(call: Call, link: str) -> Source:
    """The object behind a pre-signed link to this emulator's own object storage."""
    parts = urlsplit(link)
    request = Request("GET", parts.path, parts.query, (("host", parts.netloc),))
    try:
        access.admit(call.account, Family.OBJECTS, request)
    except RefusedObject as refusal:
        raise FileNotFoundError(f"the link cannot be opened: {refusal.code}") from refusal
    stored = call.account.buckets.get(*place_of(request))
    if stored is None:
        raise FileNotFoundError("the link leads to no object of this emulator")
    return stored.source


def percent_of(account: Account, dataset: Dataset, kind: str) -> int:
    """How far an "import", a "release" or an "export" is, 0 to 100."""
    cycle, state, work = {
        "import": (IMPORT, dataset.import_state, dataset.import_work),
        "release": (RELEASE, dataset.release_state, dataset.release_work),
        "export": (EXPORT, dataset.export_state, dataset.export_work),
    }[kind]
    if state == cycle.ends[0]:
        return 100
    return int(100 * work.share(account.clock.monotonic())) if work and state in cycle.underway else 0

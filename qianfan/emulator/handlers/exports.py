"""Exports of dataset versions: an archive of the rows in object storage, and a link that opens it without keys."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.buckets import PLATFORM_BUCKET as PLATFORM_BUCKET
from qianfan.emulator.calls import Call
from qianfan.emulator.entities import written
from qianfan.emulator.handlers.storing import link, store
from qianfan.emulator.records import Dataset, Export
from qianfan.emulator.refusals import Problem, Refused
from qianfan.emulator.scans import Unit, value_of

_ANSWERS = ("response", "score", "chosen", "rejected", "middle", "assistant")
_BOM = b"\xef\xbb\xbf"


def begin_export(
    account: Account,
    dataset: Dataset,
    bucket: str,
    folder: str = "",
    *,
    to_platform: bool,
    annotated: bool = True,
    task_id: str = "",
) -> None:
    """Start the export of a version, unless one is under way already.

    bucket, folder: where to; left out, the folder is the platform's own. annotated: with the answers.
    task_id: of the V2 call that asks for it.
    """
    if not dataset.rows:
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} has no rows")
    if dataset.export_state == "Exporting":
        return
    work, now = account.stages.exports.begin(account.clock), account.clock.monotonic()
    dataset.export_work = work
    dataset.export_state = account.stages.exports.start(dataset.export_state, work, now)
    key = f"{folder or f'_system_/dataset/{dataset.id}/export/'}{account.letters(16)}.zip"
    dataset.exports.append(
        Export(
            state=dataset.export_state,
            bucket=bucket,
            key=key,
            to_platform=to_platform,
            annotated=annotated,
            task_id=task_id,
            started=account.now(),
        )
    )
    account.touch()


def end_export(account: Account, dataset: Dataset) -> None:
    """Note how the last export of a version ended, with its archive in the bucket when it ended well."""
    export = dataset.exports[-1]
    export.state, export.finished = dataset.export_state, account.now()
    export.reason = dataset.export_work.reason if dataset.export_work else ""
    if export.state == "ExportFinished":
        content = _archive(account, dataset, annotated=export.annotated)
        export.rows, export.size = dataset.rows, len(content)
        store(account, export.bucket, export.key, content, "application/zip")
    account.touch()


def link_to(call: Call, export: Export) -> str:
    """A link to the archive of an export. Whoever has it, can open it."""
    return link(call, export.bucket, export.key)


def _archive(account: Account, dataset: Dataset, *, annotated: bool) -> bytes:
    """A zip with every row that is a line in `1.jsonl`; a whole text or an image has a file of its own."""
    template = account.template_of(dataset)
    packed, lines, number = io.BytesIO(), io.BytesIO(), 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for part in dataset.sources:
            for unit, _ in account.blob_of(part).rows(part.name, template):
                if unit.image is not None:
                    archive.writestr(f"{number}{PurePosixPath(unit.image[0]).suffix}", unit.image[1])
                    if unit.content and annotated:
                        archive.writestr(f"{number}.json", unit.content)
                    number += 1
                elif unit.whole:
                    archive.writestr(f"{number}.txt", unit.content)
                    number += 1
                else:
                    content = unit.content if annotated else _without_answers(unit)
                    lines.write(content.removeprefix(_BOM).rstrip(b"\r\n") + b"\n")
        if lines.tell():
            archive.writestr("1.jsonl", lines.getvalue())
    return packed.getvalue()


def _without_answers(unit: Unit) -> bytes:
    """A row as it was before somebody annotated it: without what is said to the last question."""
    value = value_of(unit)
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        if value[-1].get("role") == "assistant":
            return written(value[:-1])
        # Of a dialogue every turn is annotated, of other rows the last one.
        is_dialogue = "prompt" in value[-1]
        return written([_bare(turn) if is_dialogue or turn is value[-1] else turn for turn in value])
    return written(_bare(value)) if isinstance(value, dict) else unit.content


def _bare(turn: dict[str, JSON]) -> dict[str, JSON]:
    return {key: part for key, part in turn.items() if key not in _ANSWERS}

"""Exports of dataset versions: an archive of the rows in object storage, and a link that opens it without keys."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from urllib.parse import quote

from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call
from qianfan.emulator.records import Dataset, Export, Source, StoredObject
from qianfan.emulator.refusals import Problem, Refused
from qianfan.emulator.scans import files_in, is_one_row
from qianfan.emulator.signature import link_signature
from qianfan.emulator.templates import Template
from qianfan.emulator.wire import Request

PLATFORM_BUCKET = "qianfan-shared"
"""The bucket that stands for the platform's own storage."""

_LINK_SECONDS = 1800
_BOM = b"\xef\xbb\xbf"


def begin_export(account: Account, dataset: Dataset, bucket: str, *, to_platform: bool) -> None:
    """Start the export of a version to a bucket."""
    if not dataset.rows:
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} has no rows")
    if dataset.export_state == "Exporting":
        return
    work, now = account.stages.exports.begin(account.clock), account.clock.monotonic()
    dataset.export_work = work
    dataset.export_state = account.stages.exports.start(dataset.export_state, work, now)
    key = f"_system_/dataset/{dataset.id}/export/{account.letters(16)}.zip"
    dataset.exports.append(
        Export(state=dataset.export_state, bucket=bucket, key=key, to_platform=to_platform, started=account.now())
    )
    account.touch()


def end_export(account: Account, dataset: Dataset) -> None:
    """Note how the last export of a version ended, with its archive in the bucket when it ended well."""
    export = dataset.exports[-1]
    export.state, export.finished = dataset.export_state, account.now()
    if export.state == "ExportFinished":
        content = _archive(account, dataset.sources, account.template_of(dataset))
        export.rows, export.size = dataset.rows, len(content)
        _store(account, export, content)
    account.touch()


def link_to(call: Call, export: Export) -> str:
    """A link to the archive of an export. Whoever has it, can open it."""
    account = call.account
    path = quote(f"/{export.bucket}/{export.key}")
    request = Request("GET", path, headers=(("host", call.request.header("host")),))
    access_key, secret_key = (account.keys.access_key, account.keys.secret_key) if account.keys else ("emulator", "")
    signature = link_signature(request, access_key, secret_key, account.now(), _LINK_SECONDS)
    return f"{call.origin}{path}?authorization={quote(signature, safe='')}"


def _archive(account: Account, sources: Iterable[Source], template: Template) -> bytes:
    """A zip with every row that is a line in `1.jsonl`, and every row that is a whole text in a file of its own."""
    packed, lines, texts = io.BytesIO(), io.BytesIO(), 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for source in sources:
            for name, content in files_in(source.name, account.blob_of(source).read()):
                if is_one_row(name, template):
                    archive.writestr(f"{texts}.txt", content)
                    texts += 1
                else:
                    lines.write(content.removeprefix(_BOM).rstrip(b"\r\n") + b"\n")
        if lines.tell():
            archive.writestr("1.jsonl", lines.getvalue())
    return packed.getvalue()


def _store(account: Account, export: Export, content: bytes) -> None:
    blob = account.blobs.put(content)
    stored = StoredObject(
        bucket=export.bucket,
        key=export.key,
        source=account.keep(blob, export.key.rpartition("/")[2]),
        content_type="application/zip",
        etag=blob.md5,
        modified=account.now(),
    )
    account.buckets.put(stored)

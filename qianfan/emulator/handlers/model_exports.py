"""Exports of models: an archive in object storage, and a link that opens it without keys.

What the platform answers here is not documented. The states are those of a dataset's export.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import anyio.to_thread

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.calls import Call, zoned_time
from qianfan.emulator.handlers.exports import PLATFORM_BUCKET
from qianfan.emulator.handlers.models import look_at_model, model_of, set_of
from qianfan.emulator.handlers.storing import link
from qianfan.emulator.records import Export, Model, StoredObject
from qianfan.emulator.refusals import Problem, Refused, invalid


async def pack_model(call: Call) -> None:
    """Make the archive of `create_model_export_task` ready."""
    account = call.account
    with account.lock:
        model = model_of(account, call.body.get("modelId"))
        about = json.dumps(_about(account, model), ensure_ascii=False, indent=1)
        folder = account.works.weights(model)
    call.packed = account.blobs.put(await anyio.to_thread.run_sync(_archive, about, folder))


def create_model_export_task(call: Call) -> JSON:
    """`CreateModelExportTask`. While one is under way, another is not begun."""
    account = call.account
    model = look_at_model(account, model_of(account, call.body.get("modelId")), look=False)
    if model.state != "Ready":
        raise Refused(Problem.STATE, "modelId", f"{model.id} is {model.state}, only Ready is exported")
    _look(account, model, look=False)
    if model.export_state != "Exporting":
        assert call.packed is not None, "an archive is made ready before"
        stage = account.stages.model_exports
        model.export_work = stage.begin(account.clock)
        model.export_state = stage.start(model.export_state, model.export_work, account.clock.monotonic())
        model.export_source = account.keep(call.packed, f"{model.id}.zip")
        key = f"_system_/model/{model.id}/export/{account.letters(16)}.zip"
        model.exports.append(
            Export(state=model.export_state, bucket=PLATFORM_BUCKET, key=key, to_platform=True, started=account.now())
        )
        account.touch()
    return _entry(call, model)


def describe_model_export_task(call: Call) -> JSON:
    """`DescribeModelExportTask`, by the model; counts as a look."""
    account, model = call.account, model_of(call.account, call.body.get("modelId"))
    if not model.exports:
        raise invalid("modelId", f"{model.id} was never exported")
    _look(account, model, look=True)
    return _entry(call, model)


def _look(account: Account, model: Model, *, look: bool) -> None:
    before = model.export_state
    stage, now = account.stages.model_exports, account.clock.monotonic()
    model.export_state = stage.advance(before, model.export_work, now, look=look)
    if model.export_state == before:
        return
    export = model.exports[-1]
    export.state, export.finished = model.export_state, account.now()
    if export.state == "ExportFinished" and model.export_source is not None:
        export.size = model.export_source.size
        account.buckets.put(
            StoredObject(
                bucket=export.bucket,
                key=export.key,
                source=model.export_source,
                content_type="application/zip",
                etag=model.export_source.md5,
                modified=account.now(),
            )
        )
    model.export_source = None
    account.touch()


def _entry(call: Call, model: Model) -> dict[str, JSON]:
    export = model.exports[-1]
    entry: dict[str, JSON] = {
        "modelId": model.id,
        "status": export.state,
        "bucket": export.bucket,
        "objectPath": export.key,
        "createTime": zoned_time(export.started),
    }
    if export.finished is not None:
        entry["finishTime"] = zoned_time(export.finished)
    if export.state == "ExportFinished":
        entry["downloadUrl"] = link(call, export.bucket, export.key)
    reason = model.export_work.reason if model.export_work is not None else ""
    if export.state == "ExportFailed" and reason:
        entry["failedReason"] = reason
    return entry


def _about(account: Account, model: Model) -> dict[str, JSON]:
    model_set, task = set_of(account, model), account.tasks.get(model.task_id)
    return {
        "modelId": model.id,
        "modelSetId": model_set.id,
        "modelSetName": model_set.name,
        "version": model.version,
        "sourceType": model.source_type,
        "baseModel": task.model if task else "",
        "trainTaskId": model.task_id,
        "simulated": account.works.simulated,
    }


def _archive(about: str, folder: Path | None) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model.json", about)
        if folder is not None:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                archive.write(file, f"weights/{file.relative_to(folder).as_posix()}")
    return packed.getvalue()

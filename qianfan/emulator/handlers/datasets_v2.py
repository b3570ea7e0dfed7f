"""Datasets, second generation: a dataset holds versions."""

from __future__ import annotations

from datetime import datetime

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.buckets import PLATFORM_BUCKET
from qianfan.emulator.calls import Call, Handler, beijing_time, page_of
from qianfan.emulator.checks import Body, found
from qianfan.emulator.handlers.datasets import (
    add_dataset,
    add_group,
    begin_import,
    begin_release,
    dataset_of,
    delete_dataset,
    group_of,
    look_at,
    named_sources,
    percent_of,
)
from qianfan.emulator.handlers.exports import begin_export, link_to
from qianfan.emulator.handlers.storing import folder_at, link
from qianfan.emulator.records import Dataset, ExportTask, Group, ImportTask
from qianfan.emulator.refusals import Problem, Refused, invalid
from qianfan.emulator.templates import TEMPLATES, template_of


def create_dataset(call: Call) -> JSON:
    """`CreateDataset`: a group with its version 1."""
    body, account = call.body, call.account
    name = body.text("datasetName")
    template = template_of(body.one_of("dataFormat", [template.data_format for template in TEMPLATES]))
    assert template is not None
    storage = body.one_of("storageType", ["BOS", "sysStorage"])
    bucket = folder = ""
    if storage == "BOS":
        path = body.text("storagePath")
        if not path.startswith("bos:/") or not path.endswith("/"):
            raise invalid("storagePath", f"storagePath must be bos:/bucket/dir/ and end in '/', found {path!r}")
        bucket, _, rest = path.removeprefix("bos:").lstrip("/").partition("/")
        folder = f"/{rest}"
    group = add_group(account, name, template, storage, bucket, folder)
    dataset = add_dataset(account, group)
    account.touch()
    return {"datasetId": group.id, "versionId": dataset.id}


def describe_datasets(call: Call) -> JSON:
    """`DescribeDatasets`: groups, newest first."""
    account, body = call.account, call.body
    formats = Body(body.object("filter", required=False)).texts("dataFormatList")
    groups = [
        (group.id, _group_entry(group))
        for group in account.listed(account.groups)
        if not formats or group.data_format in formats
    ]
    entries, info = page_of(call, groups)
    return {"datasetList": entries, "pageInfo": info}


def delete_group(call: Call) -> JSON:
    """`DeleteDataset`: a group with all its versions."""
    account = call.account
    group = _group_named(account, call.body)
    for version_id in list(group.version_ids):
        delete_dataset(account, dataset_of(account, version_id))
    return True


def create_version(call: Call) -> JSON:
    """`CreateDatasetVersion`: a new, empty version."""
    group = _group_named(call.account, call.body)
    dataset = add_dataset(call.account, group, call.body.optional_text("description"))
    call.account.touch()
    return {"versionId": dataset.id, "versionNumber": dataset.version}


def describe_version(call: Call) -> JSON:
    """`DescribeDatasetVersion`; counts as a look."""
    dataset = dataset_of(call.account, call.body.get("versionId"), "versionId")
    return _version_entry(call.account, look_at(call.account, dataset))


def describe_versions(call: Call) -> JSON:
    """`DescribeDatasetVersions` of one group."""
    account, body = call.account, call.body
    group = _group_named(account, body)
    wanted = Body(body.object("filter", required=False))
    imports, releases = wanted.texts("importStatusList"), wanted.texts("publishStatusList")
    versions: list[tuple[str, dict[str, JSON]]] = []
    for version_id in reversed(group.version_ids):
        dataset = look_at(account, dataset_of(account, version_id), look=False)
        entry = _version_entry(account, dataset)
        if (
            account.is_listed(account.datasets, dataset)
            and _matches(imports, entry["importStatus"])
            and _matches(releases, entry["publishStatus"])
        ):
            versions.append((version_id, entry))
    entries, info = page_of(call, versions)
    return {"versionList": entries, "pageInfo": info}


def delete_version(call: Call) -> JSON:
    """`DeleteDatasetVersion`."""
    delete_dataset(call.account, dataset_of(call.account, call.body.get("versionId"), "versionId"))
    return True


def publish_version(call: Call) -> JSON:
    """`PublishDatasetVersion`."""
    begin_release(call.account, dataset_of(call.account, call.body.get("versionId"), "versionId"))
    return True


def create_import_task(call: Call) -> JSON:
    """`CreateImportTask` from object storage; the result is the task's id."""
    account, body = call.account, call.body
    dataset = dataset_of(account, body.get("versionId"), "versionId")
    files = body.items("files")
    if not all(isinstance(place, str) and place.startswith("bos:") for place in files):
        raise invalid("files", "files must hold bos:/ paths")
    if len(files) > 1 and any(place.endswith("/") for place in files):
        raise invalid("files", "files must hold one directory, or files alone")
    sources, problem = named_sources(call)
    begin_import(account, dataset, sources, problem, annotated=True)
    shelf = account.imports
    task = ImportTask(id=account.new_id(shelf), number=shelf.next_number, created=account.now(), version_id=dataset.id)
    dataset.import_id = task.id
    return shelf.add(task).id


def describe_import_task(call: Call) -> JSON:
    """`DescribeImportTask`; counts as a look."""
    account = call.account
    key = call.body.get("taskId")
    task = found(account.imports.get(key), Problem.INVALID, "taskId", key)
    dataset = look_at(account, dataset_of(account, task.version_id, "taskId"))
    state = task.state or "Importing"
    return {
        "versionId": dataset.id,
        "importStatus": "ImportFailed" if state == "ImportStopped" else state,
        "progress": _progress(account, dataset, "import", state),
        "sizeMB": round(task.size / 2**20, 3),
        "sampleCount": task.rows,
        "creator": "emulator",
        "startTime": beijing_time(task.created),
        "finishTime": _finish(task.finished),
        "errDownloadUrl": link(call, PLATFORM_BUCKET, task.report) if task.report else "",
        "errMessage": task.reason,
    }


def create_export_task(call: Call) -> JSON:
    """`CreateExportTask` to the platform's storage or a folder of one's own; the result is the task's id."""
    account, body = call.account, call.body
    dataset = look_at(account, dataset_of(account, body.get("versionId"), "versionId"), look=False)
    bucket, folder = PLATFORM_BUCKET, ""
    to_platform = body.one_of("storageType", ["BOS", "sysStorage"]) == "sysStorage"
    if not to_platform:
        group = group_of(account, dataset)
        # Without a folder it goes to where the dataset has its own, which is our reading.
        own = f"bos:/{group.bucket}{group.folder}" if group.bucket else ""
        bucket, folder = folder_at(body.get("storagePath") or own, "storagePath")
    if dataset.export_state == "Exporting":
        raise Refused(Problem.STATE, "versionId", f"{dataset.id} is being exported already")
    shelf = account.exports
    task = ExportTask(id=account.new_id(shelf), number=shelf.next_number, created=account.now(), version_id=dataset.id)
    begin_export(account, dataset, bucket, folder, to_platform=to_platform, task_id=task.id)
    return shelf.add(task).id


def describe_export_task(call: Call) -> JSON:
    """`DescribeExportTask`; counts as a look."""
    account = call.account
    key = call.body.get("taskId")
    task = found(account.exports.get(key), Problem.INVALID, "taskId", key)
    dataset = look_at(account, dataset_of(account, task.version_id, "taskId"))
    export = next(entry for entry in dataset.exports if entry.task_id == task.id)
    is_done = export.state == "ExportFinished"
    return {
        "storageType": "sysStorage" if export.to_platform else "BOS",
        "storagePath": f"bos:/{export.bucket}/{export.key}",
        "sizeMB": round(export.size / 2**20, 3),
        "sampleCount": export.rows,
        "exportStatus": export.state,
        "progress": _progress(account, dataset, "export", export.state),
        "creator": "emulator",
        "startTime": beijing_time(export.started),
        "finishTime": _finish(export.finished),
        "downloadUrl": link_to(call, export) if is_done else "",
        "errMessage": export.reason,
    }


def _progress(account: Account, dataset: Dataset, kind: str, state: str) -> str:
    """`XX%`, but `0` for what failed."""
    if state.endswith("Finished"):
        return "100%"
    return f"{percent_of(account, dataset, kind)}%" if state.endswith("ing") else "0"


def _finish(moment: datetime | None) -> str:
    return beijing_time(moment, unset="")


def _group_named(account: Account, body: Body) -> Group:
    key = body.get("datasetId")
    return found(account.groups.get(key), Problem.INVALID, "datasetId", key)


def _group_entry(group: Group) -> dict[str, JSON]:
    return {
        "datasetId": group.id,
        "datasetName": group.name,
        "dataFormat": group.data_format,
        "storageType": group.storage_type,
        "versionCount": len(group.version_ids),
        "createTime": beijing_time(group.created),
    }


def _version_entry(account: Account, dataset: Dataset) -> dict[str, JSON]:
    group = group_of(account, dataset)
    return {
        "datasetId": group.id,
        "versionId": dataset.id,
        "versionNumber": dataset.version,
        "datasetName": group.name,
        "dataFormat": group.data_format,
        "description": dataset.description,
        "storageType": group.storage_type,
        "storagePath": f"bos:/{group.bucket}{group.folder}" if group.bucket else "",
        "importStatus": "ImportFailed" if dataset.import_state == "ImportStopped" else dataset.import_state,
        "publishStatus": dataset.release_state,
        "sizeMB": round(dataset.size / 2**20, 3),
        "sampleCount": dataset.rows,
        "characterCount": dataset.characters,
        "createTime": beijing_time(dataset.created),
        "modifyTime": beijing_time(dataset.modified),
    }


def _matches(wanted: list[str], value: str) -> bool:
    return not wanted or value in wanted


ACTIONS: dict[str, Handler] = {
    "CreateDataset": create_dataset,
    "DescribeDatasets": describe_datasets,
    "DeleteDataset": delete_group,
    "CreateDatasetVersion": create_version,
    "DescribeDatasetVersion": describe_version,
    "DescribeDatasetVersions": describe_versions,
    "DeleteDatasetVersion": delete_version,
    "PublishDatasetVersion": publish_version,
    "CreateImportTask": create_import_task,
    "DescribeImportTask": describe_import_task,
    "CreateExportTask": create_export_task,
    "DescribeExportTask": describe_export_task,
}
"""Of `/v2/dataset`."""

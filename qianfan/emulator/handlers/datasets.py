"""Datasets, V1 and V2: create, import, release, look, delete."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

import anyio.to_thread

from qianfan._types import JSON
from qianfan.emulator import access
from qianfan.emulator.account import Account
from qianfan.emulator.bos import place_of
from qianfan.emulator.calls import Call, beijing_time, nano_time, page_of
from qianfan.emulator.checks import Body, found
from qianfan.emulator.envelopes import Family
from qianfan.emulator.lifecycle import IMPORT, RELEASE
from qianfan.emulator.records import Dataset, Group, ImportTask, Source
from qianfan.emulator.refusals import Problem, Refused, RefusedObject, invalid
from qianfan.emulator.scans import Scan
from qianfan.emulator.templates import TEMPLATES, Template, template_of
from qianfan.emulator.wire import Request

_IMPORT_NUMBERS = {"Created": -1, "Importing": 1, "ImportFinished": 2, "ImportFailed": 3, "ImportStopped": 4}
_RELEASE_NUMBERS = {"Unpublished": 0, "Publishing": 1, "Published": 2, "PublishFailed": 3}
_BAD_DATA = 60001
"""What `errCode` says about an import that failed. The platform's own numbers are not documented."""

_SCANNED_IN_PLACE = 2**18
_FROM_BOS, _FROM_LINK = 1, 2


# --- shared by both generations --------------------------------------------------------------------------------


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
    return found(account.datasets.get(key), Problem.DATASET_MISSING, field, key)


def group_of(account: Account, dataset: Dataset) -> Group:
    """The group a version belongs to."""
    group = account.groups.get(dataset.group_id)
    assert group is not None, "a version does not outlive its group"
    return group


def look_at(account: Account, dataset: Dataset, *, look: bool = True) -> Dataset:
    """Move a version's import and release on."""
    now, stages = account.clock.monotonic(), account.stages
    before = (dataset.import_state, dataset.release_state)
    dataset.import_state = stages.imports.advance(dataset.import_state, dataset.import_work, now, look=look)
    dataset.release_state = stages.releases.advance(dataset.release_state, dataset.release_work, now, look=look)
    if before[0] == "Importing" != dataset.import_state:
        _end_import(account, dataset)
    if before != (dataset.import_state, dataset.release_state):
        dataset.modified = account.now()
        account.touch()
    return dataset


def begin_import(account: Account, dataset: Dataset, sources: list[Source], problem: str, *, annotated: bool) -> None:
    """Start an import; `problem` says why it cannot end well, "" when the sources could be found."""
    look_at(account, dataset, look=False)
    if dataset.release_state in ("Publishing", "Published"):
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} is published and takes no more data")
    if dataset.import_state == "Importing":
        raise Refused(Problem.STATE, "datasetId", f"{dataset.id} is being imported already")
    bad = account.scan(sources, account.template_of(dataset)).bad
    ends = "ImportFailed" if bad or problem else None
    reason = problem or (f"{len(bad)} lines do not fit the template" if bad else "")
    work = account.stages.imports.begin(account.clock, ends=ends, reason=reason)
    dataset.import_work = work
    dataset.import_reason = ""
    dataset.import_state = account.stages.imports.start(dataset.import_state, work, account.clock.monotonic())
    dataset.incoming = sources
    dataset.incoming_problem = problem
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
        total = account.scan(dataset.incoming, template)
        dataset.sources = [*dataset.sources, *dataset.incoming]
        dataset.rows += total.rows
        dataset.annotated_rows += total.annotated if dataset.annotated or template.project_type != 20 else 0
        dataset.characters += total.characters
        dataset.size += total.bytes
        dataset.bad_lines = []
    else:
        dataset.bad_lines = _report(account.scan(dataset.incoming, template), dataset.import_reason)
    dataset.incoming = []


def _report(scanned: Scan, reason: str) -> list[dict[str, JSON]]:
    lines: list[dict[str, JSON]] = [
        {"file": line.file, "number": line.number, "text": line.text, "reason": line.reason} for line in scanned.bad
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
        sources, _ = _sources(call)
        template = account.template_of(dataset)
    await scan_ahead(account, sources, template)


async def scan_ahead(account: Account, sources: list[Source], template: Template) -> None:
    """Read files as rows of a template without holding the lock."""
    for source in sources:
        with account.lock:
            blob = account.blob_of(source)
        if blob.size > _SCANNED_IN_PLACE and not blob.is_scanned(source.name, template):
            await anyio.to_thread.run_sync(blob.scan, source.name, template)


def _sources(call: Call) -> tuple[list[Source], str]:
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


# --- V1 ----------------------------------------------------------------------------------------------------------


def create_v1(call: Call) -> JSON:
    """`/dataset/create`: a group with its first version."""
    body, account = call.body, call.account
    name = body.text("name")
    number = body.one_of("templateType", [template.template_type for template in TEMPLATES if template.template_type])
    template = template_of(number)
    assert template is not None
    if body.get("projectType") != template.project_type:
        raise invalid("projectType", f"projectType of template {number} is {template.project_type}")
    if body.get("dataType") != template.data_type:
        raise invalid("dataType", f"dataType of template {number} is {template.data_type}")
    storage = body.one_of("storageType", ["sysBos", "usrBos"])
    bucket = folder = ""
    if storage == "usrBos":
        bucket, folder = body.text("storageId"), body.text("rawStoragePath")
        if not (folder.startswith("/") and folder.endswith("/")):
            raise invalid("rawStoragePath", f"rawStoragePath must begin and end with '/', found {folder!r}")
    group = _new_group(account, name, template, "BOS" if bucket else "sysStorage", bucket, folder)
    dataset = add_dataset(account, group)
    account.touch()
    return {
        "id": dataset.number,
        "groupId": group.number,
        "groupPK": group.id,
        "datasetId": dataset.id,
        "versionId": dataset.version,
        "groupName": group.name,
        "displayName": "",
        "remark": "",
        "createFrom": 0,
        "bmlDatasetId": "",
        "userId": 1,
        "dataType": template.data_type,
        "projectType": template.project_type,
        "templateType": template.template_type,
        "storageInfo": _storage(group, dataset),
        "importStatus": -1,
        "importProgress": 0,
        "exportStatus": -1,
        "releaseStatus": 0,
        "ShouldHide": False,
        "status": 0,
        "isUnique": 0,
        "errCode": None,
        "createTime": nano_time(dataset.created),
        "modifyTime": nano_time(dataset.modified),
    }


def import_v1(call: Call) -> JSON:
    """`/dataset/import`: one file of a bucket, or a link to an archive."""
    body, account = call.body, call.account
    dataset = dataset_of(account, body.get("datasetId"))
    body.one_of("importFrom", [_FROM_BOS, _FROM_LINK])
    annotated = body.flag("annotated", default=True)
    if len(body.items("files")) != 1:
        raise invalid("files", "files must hold exactly one place")
    sources, problem = _sources(call)
    begin_import(account, dataset, sources, problem, annotated=annotated)
    return True


def release_v1(call: Call) -> JSON:
    """`/dataset/release`."""
    begin_release(call.account, dataset_of(call.account, call.body.get("datasetId")))
    return True


def info_v1(call: Call) -> JSON:
    """`/dataset/info`: everything about one version; counts as a look."""
    account = call.account
    dataset = look_at(account, dataset_of(account, call.body.get("datasetId")))
    group, template = group_of(account, dataset), account.template_of(dataset)
    storage = _storage(group, dataset)
    version: dict[str, JSON] = {
        "id": dataset.number,
        "groupId": group.number,
        "datasetId": dataset.number,
        "datasetPK": dataset.id,
        "versionId": dataset.version,
        **_status(account, dataset),
        "importRecordCount": len(dataset.sources),
        "exportRecordCount": 0,
        "errCode": _BAD_DATA if dataset.import_state == "ImportFailed" else None,
        "releaseErrCode": _BAD_DATA if dataset.release_state == "PublishFailed" else None,
        "dataType": template.data_type,
        "projectType": template.project_type,
        "templateType": template.template_type,
        "storageType": "usrBos" if group.storage_type == "BOS" else "sysBos",
        "storage": storage,
        "releaseStoragePath": f"{storage['storagePath']}/jsonl",
        "memorySize": round(dataset.size / 2**20, 3),
        "description": dataset.description,
        "displayName": group.name,
        "remark": "",
        "bmlDatasetId": "",
        "userId": 1,
        "hasEtl": False,
        "hasEnhance": False,
        "isEnhancing": False,
        "createTime": beijing_time(dataset.created),
    }
    return {"groupPK": group.id, "name": group.name, "dataType": template.data_type, "versionInfo": version}


def status_list_v1(call: Call) -> JSON:
    """`/dataset/statusList`: the states of several versions; counts as a look at each."""
    account = call.account
    listed = [(key, dataset_of(account, key, "datasetIds")) for key in call.body.items("datasetIds")]
    return {str(key): _status(account, look_at(account, dataset)) for key, dataset in listed}


def import_error_detail_v1(call: Call) -> JSON:
    """`/dataset/importErrorDetail`: which lines were bad; beside the platform's fields each has a `reason`."""
    account = call.account
    dataset = dataset_of(account, call.body.get("datasetId"))
    content: list[JSON] = [
        {
            "sequence": place,
            "sampleFileName": line["file"],
            "sampleName": line["file"],
            "textLocation": line["number"],
            "textContent": line["text"],
            "reason": line["reason"],
        }
        for place, line in enumerate(dataset.bad_lines, start=1)
    ]
    project = account.template_of(dataset).project_type
    return {"dataType": "file", "downloadUrl": "", "isZip": 0, "projectType": project, "content": content}


def delete_v1(call: Call) -> JSON:
    """`/dataset/delete`."""
    dataset = dataset_of(call.account, call.body.get("datasetId"))
    return {"versionCount": delete_dataset(call.account, dataset)}


def _new_group(account: Account, name: str, template: Template, storage_type: str, bucket: str, folder: str) -> Group:
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


def _storage(group: Group, dataset: Dataset) -> dict[str, JSON]:
    bucket = group.bucket or "qianfan-shared"
    folder = group.folder or "/"
    return {
        "storageId": bucket,
        "storageName": bucket,
        "storagePath": f"{folder}_system_/dataset/{dataset.id}/texts",
        "rawStoragePath": folder,
        "region": "bj",
    }


def _status(account: Account, dataset: Dataset) -> dict[str, JSON]:
    failed = dataset.import_state == "ImportFailed"
    return {
        "importStatus": _IMPORT_NUMBERS[dataset.import_state],
        "importProgress": _percent(account, dataset, "import"),
        "importErrorInfo": {"errCode": _BAD_DATA, "message": dataset.import_reason} if failed else None,
        "releaseStatus": _RELEASE_NUMBERS[dataset.release_state],
        "releaseProgress": _percent(account, dataset, "release"),
        "exportStatus": -1,
        "exportProgress": 0,
        "enhanceStatus": -1,
        "etlStatus": 0,
        "entityCount": dataset.rows,
        "annotatedEntityCount": dataset.annotated_rows,
        "labelCount": 0,
        "characterCount": dataset.characters,
        "modifyTime": beijing_time(dataset.modified),
    }


def _percent(account: Account, dataset: Dataset, kind: str) -> int:
    if kind == "import":
        state, work = dataset.import_state, dataset.import_work
    else:
        state, work = dataset.release_state, dataset.release_work
    if state in (IMPORT.ends[0], RELEASE.ends[0]):
        return 100
    return int(100 * work.share(account.clock.monotonic())) if work and state in ("Importing", "Publishing") else 0


# --- V2 ----------------------------------------------------------------------------------------------------------


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
    group = _new_group(account, name, template, storage, bucket, folder)
    dataset = add_dataset(account, group)
    account.touch()
    return {"datasetId": group.id, "versionId": dataset.id}


def describe_datasets(call: Call) -> JSON:
    """`DescribeDatasets`: groups, newest first."""
    account, body = call.account, call.body
    formats = Body(body.object("filter", required=False)).texts("dataFormatList")
    groups = [
        (group.id, _group_entry(group))
        for group in account.groups.newest_first()
        if not formats or group.data_format in formats
    ]
    entries, info = page_of(body, groups)
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
        entry = _version_entry(account, look_at(account, dataset_of(account, version_id), look=False))
        if _matches(imports, entry["importStatus"]) and _matches(releases, entry["publishStatus"]):
            versions.append((version_id, entry))
    entries, info = page_of(body, versions)
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
    if not all(isinstance(place, str) and place.startswith("bos:") for place in body.items("files")):
        raise invalid("files", "files must hold bos:/ paths")
    sources, problem = _sources(call)
    begin_import(account, dataset, sources, problem, annotated=True)
    shelf = account.imports
    task = ImportTask(id=account.new_id(shelf), number=shelf.next_number, created=account.now(), version_id=dataset.id)
    shelf.add(task)
    return task.id


def describe_import_task(call: Call) -> JSON:
    """`DescribeImportTask`; counts as a look."""
    account = call.account
    key = call.body.get("taskId")
    task = found(account.imports.get(key), Problem.DATASET_MISSING, "taskId", key)
    dataset = look_at(account, dataset_of(account, task.version_id, "taskId"))
    state = dataset.import_state
    if state != "Importing" and task.finished is None:
        task.finished = account.now()
    percent = {"ImportFinished": "100%", "Importing": f"{_percent(account, dataset, 'import')}%"}.get(state, "0")
    return {
        "versionId": dataset.id,
        "importStatus": "ImportFailed" if state == "ImportStopped" else state,
        "progress": percent,
        "sizeMB": round(dataset.size / 2**20, 3),
        "sampleCount": dataset.rows,
        "creator": "emulator",
        "startTime": beijing_time(task.created),
        "finishTime": _finish(task.finished),
        "errDownloadUrl": "",
        "errMessage": dataset.import_reason,
    }


def _finish(moment: datetime | None) -> str:
    return beijing_time(moment, unset="")


def _group_named(account: Account, body: Body) -> Group:
    key = body.get("datasetId")
    return found(account.groups.get(key), Problem.DATASET_MISSING, "datasetId", key)


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

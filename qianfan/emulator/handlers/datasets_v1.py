"""Datasets, first generation: a version is called a dataset here."""

from __future__ import annotations

from typing import TypeVar

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.buckets import PLATFORM_BUCKET
from qianfan.emulator.calls import Call, Handler, beijing_time, nano_time
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
from qianfan.emulator.handlers.filling import AUGMENTATION_STATES, ETL_STATES, fillings_of
from qianfan.emulator.handlers.storing import link
from qianfan.emulator.records import Augmentation, Cleaning, Dataset, Export, Group
from qianfan.emulator.refusals import invalid
from qianfan.emulator.templates import TEMPLATES, template_of

_IMPORT_NUMBERS = {"Created": -1, "Importing": 1, "ImportFinished": 2, "ImportFailed": 3, "ImportStopped": 4}
_RELEASE_NUMBERS = {"Unpublished": 0, "Publishing": 1, "Published": 2, "PublishFailed": 3}
_EXPORT_NUMBERS = {"NotExported": -1, "Exporting": 1, "ExportFinished": 2, "ExportFailed": 3}
_BAD_DATA = 60001
"""What `errCode` says about an import that failed. The platform's own numbers are not documented."""

_FROM_BOS, _FROM_LINK = 1, 2
_TO_PLATFORM, _TO_BOS = 0, 1
_WITH_ANNOTATIONS, _WITHOUT_ANNOTATIONS = 1, 2


def create(call: Call) -> JSON:
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
    group = add_group(account, name, template, "BOS" if bucket else "sysStorage", bucket, folder)
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


def import_data(call: Call) -> JSON:
    """`/dataset/import`: one file of a bucket, or a link to an archive."""
    body, account = call.body, call.account
    dataset = dataset_of(account, body.get("datasetId"))
    body.one_of("importFrom", [_FROM_BOS, _FROM_LINK])
    annotated = body.flag("annotated", default=True)
    if len(body.items("files")) != 1:
        raise invalid("files", "files must hold exactly one place")
    sources, problem = named_sources(call)
    begin_import(account, dataset, sources, problem, annotated=annotated)
    return True


def release(call: Call) -> JSON:
    """`/dataset/release`."""
    begin_release(call.account, dataset_of(call.account, call.body.get("datasetId")))
    return True


def info(call: Call) -> JSON:
    """`/dataset/info`: everything about one version; counts as a look."""
    account = call.account
    dataset = look_at(account, dataset_of(account, call.body.get("datasetId")))
    group, template = group_of(account, dataset), account.template_of(dataset)
    storage = _storage(group, dataset)
    etl, augmentation = _last(account, dataset, Cleaning), _last(account, dataset, Augmentation)
    version: dict[str, JSON] = {
        "id": dataset.number,
        "groupId": group.number,
        "datasetId": dataset.number,
        "datasetPK": dataset.id,
        "versionId": dataset.version,
        **_status(account, dataset),
        "importRecordCount": len(dataset.sources),
        "exportRecordCount": len(dataset.exports),
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
        "license": "",
        "copyright": "",
        "copyrightLink": "",
        "demandStatus": "",
        "tag": [],
        "uniqueType": 0,
        "hardSampleCount": 0,
        "view": 0,
        "usage": 0,
        "interAnnoRunning": False,
        "hasTeamAnno": False,
        "teamAnnoStatus": -1,
        "promptOptimizeStatus": 0,
        "hasEtl": etl is not None,
        "isPipelineEtl": etl is not None,
        "hasEnhance": augmentation is not None,
        "isSelfInstructEnhance": augmentation is not None,
        "isEnhancing": augmentation is not None and augmentation.state == "Running",
        "createTime": beijing_time(dataset.created),
    }
    return {"groupPK": group.id, "name": group.name, "dataType": template.data_type, "versionInfo": version}


def status_list(call: Call) -> JSON:
    """`/dataset/statusList`: the states of several versions; counts as a look at each."""
    account = call.account
    listed = [(key, dataset_of(account, key, "datasetIds")) for key in call.body.items("datasetIds")]
    return {str(key): _status(account, look_at(account, dataset)) for key, dataset in listed}


def export(call: Call) -> JSON:
    """`/dataset/export`: an archive of the rows in the platform's storage, or in a bucket of the account's own."""
    body, account = call.body, call.account
    dataset = look_at(account, dataset_of(account, body.get("datasetId")), look=False)
    body.one_of("exportFormat", [0])
    annotated = body.one_of("exportType", [_WITH_ANNOTATIONS, _WITHOUT_ANNOTATIONS]) == _WITH_ANNOTATIONS
    to_platform = body.one_of("exportTo", [_TO_PLATFORM, _TO_BOS]) == _TO_PLATFORM
    bucket = PLATFORM_BUCKET if to_platform else body.text("storageId")
    begin_export(account, dataset, bucket, to_platform=to_platform, annotated=annotated)
    return True


def export_record(call: Call) -> JSON:
    """`/dataset/exportRecord`: the exports of a version, newest first."""
    account = call.account
    dataset = look_at(account, dataset_of(account, call.body.get("datasetId")), look=False)
    return [_exported(call, entry) for entry in reversed(dataset.exports)]


def _exported(call: Call, entry: Export) -> dict[str, JSON]:
    return {
        "creatorName": "emulator",
        "storageId": entry.bucket,
        "storagePath": f"/{entry.key}",
        "size": round(entry.size / 2**20, 3),
        "exportFormat": 0,
        "exportType": _WITH_ANNOTATIONS if entry.annotated else _WITHOUT_ANNOTATIONS,
        "status": _EXPORT_NUMBERS[entry.state],
        "recordNum": entry.rows,
        "exportTo": _TO_PLATFORM if entry.to_platform else _TO_BOS,
        "downloadUrl": link_to(call, entry) if entry.state == "ExportFinished" else "",
        "startTime": beijing_time(entry.started),
        "finishTime": beijing_time(entry.finished, unset=""),
    }


def import_error_detail(call: Call) -> JSON:
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
    report = dataset.import_report
    return {
        "dataType": "file",
        "downloadUrl": link(call, PLATFORM_BUCKET, report) if report else "",
        "isZip": 0,
        "projectType": account.template_of(dataset).project_type,
        "content": content,
    }


def delete(call: Call) -> JSON:
    """`/dataset/delete`."""
    dataset = dataset_of(call.account, call.body.get("datasetId"))
    return {"versionCount": delete_dataset(call.account, dataset)}


def _storage(group: Group, dataset: Dataset) -> dict[str, JSON]:
    bucket = group.bucket or PLATFORM_BUCKET
    folder = group.folder or "/"
    return {
        "storageId": bucket,
        "storageName": bucket,
        "storagePath": f"{folder}_system_/dataset/{dataset.id}/texts",
        "rawStoragePath": folder,
        "region": "bj",
    }


F = TypeVar("F", Cleaning, Augmentation)


def _last(account: Account, dataset: Dataset, kind: type[F]) -> F | None:
    """The newest work of a kind that the version took part in."""
    return next((filling for filling in fillings_of(account, dataset) if isinstance(filling, kind)), None)


def _status(account: Account, dataset: Dataset) -> dict[str, JSON]:
    failed = dataset.import_state == "ImportFailed"
    etl, augmentation = _last(account, dataset, Cleaning), _last(account, dataset, Augmentation)
    labels = {label["label_id"] for part in dataset.sources for told in part.labels.values() for label in told}
    return {
        "importStatus": _IMPORT_NUMBERS[dataset.import_state],
        "importProgress": percent_of(account, dataset, "import"),
        "importErrorInfo": {"errCode": _BAD_DATA, "message": dataset.import_reason} if failed else None,
        "releaseStatus": _RELEASE_NUMBERS[dataset.release_state],
        "releaseProgress": percent_of(account, dataset, "release"),
        "exportStatus": _EXPORT_NUMBERS[dataset.export_state],
        "exportProgress": percent_of(account, dataset, "export"),
        "enhanceStatus": AUGMENTATION_STATES[augmentation.state] if augmentation is not None else -1,
        "etlStatus": ETL_STATES[etl.state] if etl is not None else 0,
        "entityCount": dataset.rows,
        "annotatedEntityCount": dataset.annotated_rows,
        "labelCount": len(labels),
        "characterCount": dataset.characters,
        "modifyTime": beijing_time(dataset.modified),
    }


PATHS: dict[str, Handler] = {
    "/dataset/create": create,
    "/dataset/import": import_data,
    "/dataset/release": release,
    "/dataset/info": info,
    "/dataset/statusList": status_list,
    "/dataset/export": export,
    "/dataset/exportRecord": export_record,
    "/dataset/importErrorDetail": import_error_detail,
    "/dataset/delete": delete,
}
"""By path."""

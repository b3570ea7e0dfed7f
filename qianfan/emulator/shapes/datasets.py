"""What the calls of datasets take and give."""

from __future__ import annotations

from qianfan.emulator.lifecycle import EXPORT, IMPORT, RELEASE
from qianfan.emulator.shapes import entities
from qianfan.emulator.shapes.common import BEIJING_TIME, GROUP, PAGE_INFO, PAGING, VERSION
from qianfan.emulator.shapes.vocabulary import (
    Flag,
    Form,
    Id,
    Items,
    Key,
    Mapped,
    Number,
    Obj,
    OneOf,
    OrNull,
    Shape,
    Text,
    Whole,
    optional,
)
from qianfan.emulator.templates import TEMPLATES

_FORMAT = OneOf(*(template.data_format for template in TEMPLATES))
_NUMBERED = [template for template in TEMPLATES if template.template_type]
_TEMPLATE_TYPE = OneOf(*(template.template_type for template in _NUMBERED))
_PROJECT_TYPE = OneOf(*sorted({template.project_type for template in _NUMBERED}))
_DATA_TYPE = OneOf(*sorted({template.data_type for template in _NUMBERED}))
_NANO_TIME = Text(pattern=r"[0-9-]{10}T[0-9:]{8}\.[0-9]{9}\+08:00")
_PERCENT = Whole(0, 100)

# --- V2 ----------------------------------------------------------------------------------------------------------

_STORAGE_TYPE = OneOf("BOS", "sysStorage")
_IMPORT_STATE = OneOf(*(state for state in IMPORT.moves if state != "ImportStopped"))
_RELEASE_STATE = OneOf(*RELEASE.moves)
_FILES = Items(Text(pattern="bos:.*"), least=1)

_GROUP = Obj(
    datasetId=Id("dg-", 16),
    datasetName=Text(1),
    dataFormat=_FORMAT,
    storageType=_STORAGE_TYPE,
    versionCount=Whole(0),
    createTime=BEIJING_TIME,
)

_VERSION = Obj(
    datasetId=Id("dg-", 16),
    versionId=Id("ds-", 16),
    versionNumber=Whole(1),
    datasetName=Text(1),
    dataFormat=_FORMAT,
    description=Text(),
    storageType=_STORAGE_TYPE,
    storagePath=Text(),
    importStatus=_IMPORT_STATE,
    publishStatus=_RELEASE_STATE,
    sizeMB=Number(0),
    sampleCount=Whole(0),
    characterCount=Whole(0),
    createTime=BEIJING_TIME,
    modifyTime=BEIJING_TIME,
)

_V2: dict[str, Form] = {
    "CreateDataset": Form(
        takes=Obj(datasetName=Text(1), dataFormat=_FORMAT, storageType=_STORAGE_TYPE, storagePath=optional(Text())),
        gives=Obj(datasetId=Id("dg-", 16), versionId=Id("ds-", 16)),
    ),
    "DescribeDatasets": Form(
        takes=Obj(**PAGING, filter=optional(Obj(dataFormatList=optional(Items(Text()))))),
        gives=Obj(datasetList=Items(_GROUP), pageInfo=PAGE_INFO),
    ),
    "DeleteDataset": Form(takes=Obj(datasetId=GROUP), gives=OneOf(True)),
    "CreateDatasetVersion": Form(
        takes=Obj(datasetId=GROUP, description=optional(Text())),
        gives=Obj(versionId=Id("ds-", 16), versionNumber=Whole(1)),
    ),
    "DescribeDatasetVersion": Form(takes=Obj(versionId=VERSION), gives=_VERSION),
    "DescribeDatasetVersions": Form(
        takes=Obj(
            datasetId=GROUP,
            **PAGING,
            filter=optional(Obj(importStatusList=optional(Items(Text())), publishStatusList=optional(Items(Text())))),
        ),
        gives=Obj(versionList=Items(_VERSION), pageInfo=PAGE_INFO),
    ),
    "DeleteDatasetVersion": Form(takes=Obj(versionId=VERSION), gives=OneOf(True)),
    "PublishDatasetVersion": Form(takes=Obj(versionId=VERSION), gives=OneOf(True)),
    "CreateImportTask": Form(takes=Obj(versionId=VERSION, files=_FILES), gives=Id("task-")),
    "DescribeImportTask": Form(
        takes=Obj(taskId=Key("an import, `task-…`")),
        gives=Obj(
            versionId=Id("ds-", 16),
            importStatus=_IMPORT_STATE,
            progress=Text(pattern="[0-9]{1,3}%|0"),
            sizeMB=Number(0),
            sampleCount=Whole(0),
            creator=Text(),
            startTime=BEIJING_TIME,
            finishTime=BEIJING_TIME,
            errDownloadUrl=Text(),
            errMessage=Text(),
        ),
    ),
    "CreateExportTask": Form(
        takes=Obj(versionId=VERSION, storageType=_STORAGE_TYPE, storagePath=optional(Text())), gives=Id("task-")
    ),
    "DescribeExportTask": Form(
        takes=Obj(taskId=Key("an export, `task-…`")),
        gives=Obj(
            storageType=_STORAGE_TYPE,
            storagePath=Text(pattern="bos:/.+"),
            sizeMB=Number(0),
            sampleCount=Whole(0),
            exportStatus=OneOf(*(state for state in EXPORT.moves if state != "NotExported")),
            progress=Text(pattern="[0-9]{1,3}%|0"),
            creator=Text(),
            startTime=BEIJING_TIME,
            finishTime=BEIJING_TIME,
            downloadUrl=Text(),
            errMessage=Text(),
        ),
    ),
}

# --- V1 ----------------------------------------------------------------------------------------------------------

_IMPORT_NUMBER = OneOf(-1, 1, 2, 3, 4)
_RELEASE_NUMBER = OneOf(0, 1, 2, 3)
_EXPORT_NUMBER = OneOf(*range(-1, len(EXPORT.moves)))

_STORAGE = Obj(
    storageId=Text(1),
    storageName=Text(1),
    storagePath=Text(1),
    rawStoragePath=Text(1),
    region=Text(1),
)

_STATUS: dict[str, Shape] = {
    "importStatus": _IMPORT_NUMBER,
    "importProgress": _PERCENT,
    "importErrorInfo": OrNull(Obj(errCode=Whole(), message=Text())),
    "releaseStatus": _RELEASE_NUMBER,
    "releaseProgress": _PERCENT,
    "exportStatus": _EXPORT_NUMBER,
    "exportProgress": _PERCENT,
    "enhanceStatus": Whole(),
    "etlStatus": Whole(),
    "entityCount": Whole(0),
    "annotatedEntityCount": Whole(0),
    "labelCount": Whole(0),
    "characterCount": Whole(0),
    "modifyTime": BEIJING_TIME,
}

_KIND: dict[str, Shape] = {"dataType": _DATA_TYPE, "projectType": Whole(), "templateType": Whole(0)}

_INFO = Obj(
    id=Whole(1),
    groupId=Whole(1),
    datasetId=Whole(1),
    datasetPK=Id("ds-", 16),
    versionId=Whole(1),
    **_STATUS,
    importRecordCount=Whole(0),
    exportRecordCount=Whole(0),
    errCode=OrNull(Whole()),
    releaseErrCode=OrNull(Whole()),
    **_KIND,
    storageType=OneOf("usrBos", "sysBos"),
    storage=_STORAGE,
    releaseStoragePath=Text(1),
    memorySize=Number(0),
    description=Text(),
    displayName=Text(),
    remark=Text(),
    bmlDatasetId=Text(),
    userId=Whole(),
    license=Text(),
    copyright=Text(),
    copyrightLink=Text(),
    demandStatus=Text(),
    tag=Items(Obj(name=Text())),
    uniqueType=Whole(),
    hardSampleCount=Whole(0),
    view=Whole(),
    usage=Whole(),
    interAnnoRunning=Flag(),
    hasTeamAnno=Flag(),
    teamAnnoStatus=Whole(),
    promptOptimizeStatus=Whole(),
    hasEtl=Flag(),
    isPipelineEtl=Flag(),
    hasEnhance=Flag(),
    isSelfInstructEnhance=Flag(),
    isEnhancing=Flag(),
    createTime=BEIJING_TIME,
)

_V1: dict[str, Form] = {
    "/dataset/create": Form(
        takes=Obj(
            name=Text(1),
            versionId=optional(Whole()),
            projectType=_PROJECT_TYPE,
            templateType=_TEMPLATE_TYPE,
            dataType=_DATA_TYPE,
            storageType=OneOf("sysBos", "usrBos"),
            storageId=optional(Text()),
            rawStoragePath=optional(Text()),
        ),
        gives=Obj(
            id=Whole(1),
            groupId=Whole(1),
            groupPK=Id("dg-", 16),
            datasetId=Id("ds-", 16),
            versionId=Whole(1),
            groupName=Text(1),
            displayName=Text(),
            remark=Text(),
            createFrom=Whole(),
            bmlDatasetId=Text(),
            userId=Whole(),
            **_KIND,
            storageInfo=_STORAGE,
            importStatus=_IMPORT_NUMBER,
            importProgress=_PERCENT,
            exportStatus=_EXPORT_NUMBER,
            releaseStatus=_RELEASE_NUMBER,
            ShouldHide=Flag(),
            status=Whole(),
            isUnique=Whole(),
            errCode=OrNull(Whole()),
            createTime=_NANO_TIME,
            modifyTime=_NANO_TIME,
        ),
    ),
    "/dataset/import": Form(
        takes=Obj(
            datasetId=VERSION,
            annotated=optional(Flag()),
            importFrom=OneOf(1, 2),
            files=Items(Text(), least=1, most=1),
        ),
        gives=OneOf(True),
    ),
    "/dataset/release": Form(takes=Obj(datasetId=VERSION), gives=OneOf(True)),
    "/dataset/info": Form(
        takes=Obj(datasetId=VERSION),
        gives=Obj(groupPK=Id("dg-", 16), name=Text(1), dataType=_DATA_TYPE, versionInfo=_INFO),
    ),
    "/dataset/statusList": Form(takes=Obj(datasetIds=Items(VERSION, least=1)), gives=Mapped(Obj(**_STATUS))),
    "/dataset/export": Form(
        takes=Obj(
            datasetId=VERSION,
            exportFormat=OneOf(0),
            exportType=OneOf(1, 2),
            exportTo=OneOf(0, 1),
            storageId=optional(Text()),
        ),
        gives=OneOf(True),
    ),
    "/dataset/exportRecord": Form(
        takes=Obj(datasetId=VERSION),
        gives=Items(
            Obj(
                creatorName=Text(1),
                storageId=Text(1),
                storagePath=Text(1),
                size=Number(0),
                exportFormat=OneOf(0),
                exportType=OneOf(1, 2),
                status=_EXPORT_NUMBER,
                recordNum=Whole(0),
                exportTo=OneOf(0, 1),
                downloadUrl=Text(),
                startTime=BEIJING_TIME,
                finishTime=BEIJING_TIME,
            )
        ),
    ),
    "/dataset/importErrorDetail": Form(
        takes=Obj(datasetId=VERSION),
        gives=Obj(
            dataType=Text(),
            downloadUrl=Text(),
            isZip=OneOf(0, 1),
            projectType=Whole(),
            content=Items(
                Obj(
                    sequence=Whole(1),
                    sampleFileName=Text(),
                    sampleName=Text(),
                    textLocation=Whole(0),
                    textContent=Text(),
                    reason=Text(),
                )
            ),
        ),
    ),
    "/dataset/delete": Form(takes=Obj(datasetId=VERSION), gives=Obj(versionCount=Whole(0))),
}

FORMS: dict[str, Form] = {**_V2, **_V1, **entities.FORMS}
"""By Action or V1 path."""

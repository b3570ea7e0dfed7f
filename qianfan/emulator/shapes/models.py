"""What the calls of the model repository take and give."""

from __future__ import annotations

from qianfan.emulator.lifecycle import COMPRESS, MODEL_EXPORT, PUBLISH
from qianfan.emulator.shapes.common import MODEL, MODEL_SET, PAGE_INFO, PAGING, REASON, ZONED_TIME
from qianfan.emulator.shapes.vocabulary import (
    Either,
    File,
    Flag,
    Form,
    Id,
    Items,
    Key,
    Mapped,
    Maybe,
    Number,
    Obj,
    OneOf,
    OrNull,
    Shape,
    Text,
    Whole,
    optional,
)

_MODEL_TYPE = OneOf(
    "Text2Text",
    "Text2Image",
    "TextRepresentation",
    "ImageUnderstanding",
    "Industry",
    "Embedding",
    "VideoGeneration",
    "VioceGeneration",
    "Reasoning",
    "Reranker",
)
_STATE = OneOf(*PUBLISH.moves)
_RUN = Key("a finished training, `task-…`")
_COMPRESSION = Key("a compression, `mcomp-…`")
_SOURCES = OneOf("UserCreate", "PlatformPreset")
_SOURCE_TYPES = OneOf("Train", "Import", "Acceleration", "PlatformPreset")

# --- V2 ----------------------------------------------------------------------------------------------------------

_SET = Obj(
    modelSetId=Id("am-"),
    modelSetName=Text(1),
    source=_SOURCES,
    modelType=_MODEL_TYPE,
    createTime=ZONED_TIME,
    modifyTime=ZONED_TIME,
    modelIds=Items(Id("amv-")),
)

_COMP_TASK = Obj(
    modelCompTaskId=Id("mcomp-"),
    name=Text(1),
    description=Text(),
    sourceModelId=Id("amv-"),
    modelSetId=Id("am-"),
    config=Mapped(),
    status=OneOf(*COMPRESS.moves),
    createTime=ZONED_TIME,
    finishTime=Maybe(ZONED_TIME),
    modelId=Maybe(Id("amv-")),
    failedReason=Maybe(Text()),
)

_EXPORT = Obj(
    modelId=Id("amv-"),
    status=OneOf(*MODEL_EXPORT.moves),
    bucket=Text(1),
    objectPath=Text(1),
    createTime=ZONED_TIME,
    finishTime=Maybe(ZONED_TIME),
    downloadUrl=Maybe(Text(1)),
    failedReason=Maybe(Text(1)),
)

_V2: dict[str, Form] = {
    "CreateCustomModelSet": Form(
        takes=Obj(modelSetName=Text(1, 100), modelType=_MODEL_TYPE, labels=optional(Items(Text()))),
        gives=Id("am-"),
    ),
    "CreateCustomModel": Form(
        takes=Obj(
            modelSetId=MODEL_SET,
            sourceType=OneOf("Train", "Import"),
            trainMeta=optional(Obj(taskId=_RUN, checkpointStep=optional(Whole(0)), step=optional(Whole(0)))),
            importMeta=optional(Mapped()),
            description=optional(Text(0, 300)),
        ),
        gives=Obj(modelId=Id("amv-")),
    ),
    "DescribeModelSet": Form(takes=Obj(modelSetId=Maybe(MODEL_SET), modelSetName=optional(Text())), gives=_SET),
    "DescribeModel": Form(
        takes=Obj(modelId=MODEL),
        gives=Obj(
            modelId=Id("amv-"),
            modelSetId=Id("am-"),
            modelSetName=Text(1),
            version=Text(pattern="[0-9]+"),
            status=_STATE,
            description=Text(0, 300),
            sourceType=_SOURCE_TYPES,
            trainMeta=Maybe(Obj(taskId=Id("task-"), checkpointStep=OrNull(Whole(1)))),
            importMeta=Maybe(Mapped()),
            compMeta=Maybe(Obj(modelCompTaskId=Id("mcomp-"), sourceModelId=Id("amv-"))),
            ioMode=Text(1),
            isSupportModelComp=Flag(),
            createTime=ZONED_TIME,
            modifyTime=ZONED_TIME,
            **REASON,
        ),
    ),
    "DescribeCustomModelSets": Form(
        takes=Obj(**PAGING),
        gives=Obj(modelSetList=Items(_SET), pageInfo=PAGE_INFO),
    ),
    "DeleteModelSet": Form(takes=Obj(modelSetId=MODEL_SET), gives=OneOf(True)),
    "DeleteModel": Form(takes=Obj(modelId=MODEL), gives=OneOf(True)),
    "DescribeSystemModelSets": Form(takes=Obj(**PAGING), gives=Obj(modelSetList=Items(_SET), pageInfo=PAGE_INFO)),
    "CreateModelCustomConf": Form(
        takes=Obj(customSpecFile=File()), gives=Obj(customSpecFile=Id("conf-")), in_form=True
    ),
    "DescribeModelSystemAdvancedConf": Form(
        takes=Obj(modelApplicationType=OneOf("chat", "completion"), modelFormat=optional(Text())),
        gives=Obj(
            modelApplicationType=Text(1),
            modelFormat=Text(1),
            transformersVersion=Items(Text(1)),
            vllmVersion=Items(Text(1)),
            samplingMode=Items(Text(1)),
            numReturnSequences=Items(Whole(1)),
            numBeams=Items(Whole(1)),
        ),
    ),
    "DescribeModelCustomAdvancedConf": Form(takes=Obj(modelId=MODEL), gives=Mapped()),
    "CreateModelExportTask": Form(takes=Obj(modelId=MODEL), gives=_EXPORT),
    "DescribeModelExportTask": Form(takes=Obj(modelId=MODEL), gives=_EXPORT),
    "CreateModelCompTask": Form(
        takes=Obj(
            name=Text(1),
            sourceModelId=MODEL,
            modelSetId=MODEL_SET,
            config=Obj(strategy=OneOf("Quantization", "Sparsity"), weight=optional(Text())),
            description=optional(Text()),
        ),
        gives=Id("mcomp-"),
    ),
    "DescribeModelCompTasks": Form(
        takes=Obj(**PAGING, sourceModelId=optional(Text())),
        gives=Obj(modelCompTaskList=Items(_COMP_TASK), pageInfo=PAGE_INFO),
    ),
    "DescribeModelCompTask": Form(takes=Obj(modelCompTaskId=_COMPRESSION), gives=_COMP_TASK),
    "CancelModelCompTask": Form(takes=Obj(modelCompTaskId=_COMPRESSION), gives=OneOf(True)),
    "DeleteModelCompTask": Form(takes=Obj(modelCompTaskId=_COMPRESSION), gives=OneOf(True)),
}

# --- V1 ----------------------------------------------------------------------------------------------------------

_SOURCE = Obj(
    taskId=Whole(1),
    taskIdStr=Id("job-"),
    taskName=Text(1),
    iterationVersion=Whole(1),
    runId=Whole(1),
    runIdStr=Id("task-"),
    devType=Whole(),
    modelType=Whole(),
    templateType=Whole(),
)

_VERSION: dict[str, Shape] = {
    "modelId": Whole(1),
    "modelIdStr": Id("am-"),
    "modelName": Text(1),
    "modelVersionId": Whole(1),
    "modelVersionIdStr": Id("amv-"),
    "version": Text(pattern="[0-9]+"),
    "state": _STATE,
    "sourceType": _SOURCE_TYPES,
    "sourceExtra": Obj(
        sourceType=_SOURCE_TYPES,
        trainSourceExtra=Maybe(Either(_SOURCE, Obj())),
        accelerationSourceExtra=Maybe(Obj(taskId=Text(1), taskName=Text(), sourceModelVersionId=Id("amv-"))),
        importModelVersionSourceExtra=Maybe(Obj(bucket=Text(1), object=Text(1))),
    ),
    "framework": Text(),
    "algorithm": Text(),
    "modelNet": Text(),
    "ioMode": Text(1),
    "ioLength": Text(),
    "deployResource": Items(Text(1)),
    "supportOptions": Items(Text(1)),
    "trainType": Text(),
    "description": Text(),
    "copyright": Text(),
    "license": Text(),
    "property": Mapped(),
    "createTime": ZONED_TIME,
    "modifyTime": ZONED_TIME,
}

_LISTED_SET = Obj(
    modelId=Whole(1),
    modelIdStr=Id("am-"),
    modelName=Text(1),
    source=_SOURCES,
    modelType=Whole(0, 5),
    createUserId=Whole(),
    createUser=Text(),
    createTime=ZONED_TIME,
    modifyTime=ZONED_TIME,
    description=Text(),
    trainType=Text(),
    modelVersionList=Items(Obj(**_VERSION)),
)
_LIST = Obj(total=Whole(0), modelList=Items(_LISTED_SET))
_NUMBERED_PAGE: dict[str, Shape] = {"pageNo": optional(Number(1, 10**9)), "pageSize": optional(Number(1, 100))}

_V1: dict[str, Form] = {
    "/modelrepo/publishTrainModel": Form(
        takes=Obj(
            isNewModel=Flag(),
            modelName=optional(Text(0, 100)),
            modelId=Maybe(MODEL_SET),
            tags=optional(Items(Text())),
            versionMeta=Obj(
                taskId=Key("the training's series, `job-…`"),
                iterationId=_RUN,
                step=optional(Whole(0)),
                description=optional(Text()),
            ),
        ),
        gives=Obj(
            modelIDStr=Id("am-"),
            modelId=Whole(1),
            version=Text(pattern="[0-9]+"),
            versionId=Whole(1),
            versionIdStr=Id("amv-"),
        ),
    ),
    "/modelrepo/modelDetail": Form(
        takes=Obj(modelId=MODEL_SET),
        gives=_LISTED_SET,
    ),
    "/modelrepo/model/preset/list": Form(
        takes=Obj(
            **_NUMBERED_PAGE,
            nameFilter=optional(Text()),
            modelType=optional(Items(Whole())),
            modelVersionVendor=optional(Items(Text())),
            ctxLength=optional(Items(Text())),
            languageSupport=optional(Items(Text())),
            expansion=optional(Items(Text())),
            orderBy=optional(Text()),
        ),
        gives=_LIST,
    ),
    "/modelrepo/model/user/list": Form(
        takes=Obj(
            **_NUMBERED_PAGE,
            nameFilter=optional(Text()),
            modelType=optional(Items(Whole())),
            orderBy=optional(OneOf("", "create_time")),
            order=optional(OneOf("asc", "desc")),
        ),
        gives=_LIST,
    ),
    "/modelrepo/modelVersionDetail": Form(
        takes=Obj(modelVersionId=MODEL),
        gives=Obj(**_VERSION, params=Obj(input=Mapped(), output=Mapped()), **REASON),
    ),
    "/modelrepo/model/batchDelete": Form(takes=Obj(modelIDs=Items(MODEL_SET, least=1)), gives=OneOf(True)),
    "/modelrepo/model/version/batchDelete": Form(takes=Obj(modelVersionIds=Items(MODEL, least=1)), gives=OneOf(True)),
}

FORMS: dict[str, Form] = {**_V2, **_V1}
"""By Action or V1 path."""

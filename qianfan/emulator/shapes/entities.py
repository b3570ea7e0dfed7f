"""What the calls of rows, of cleaning and of augmentation take and give."""

from __future__ import annotations

from qianfan.emulator.cleaning import STAGES
from qianfan.emulator.handlers.filling import AUGMENTATION_STATES, ETL_STATES
from qianfan.emulator.shapes.common import BEIJING_TIME, VERSION
from qianfan.emulator.shapes.vocabulary import (
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

_ROW = Text(pattern="[0-9a-f]{64}_[0-9a-f]{32}")
_SPAN = optional(Items(Whole(), least=2, most=2))
_OFFSETS: dict[str, Shape] = {"offset": optional(Whole(0)), "pageSize": optional(Whole(1, 100))}
_RATIO = Number(0, 1)
_LABEL = Obj(label_id=Text(1), name=Text(1), color=Text())

_ENTITIES: dict[str, Form] = {
    "/entity/list": Form(
        takes=Obj(
            datasetId=VERSION,
            offset=optional(Whole(0)),
            pageSize=optional(Whole(1, 30)),
            tabType=optional(OneOf(0, 1, 2)),
            importTime=_SPAN,
            annoTime=_SPAN,
            labelId=optional(Text()),
        ),
        gives=Obj(
            totalAll=Whole(0),
            total=Whole(0),
            items=Items(
                Obj(
                    id=_ROW,
                    name=Text(1),
                    labels=Items(_LABEL),
                    url=Text(1),
                    memorySize=Number(0),
                    isEncrypted=Flag(),
                    textExtra=Obj(
                        domainType=Text(),
                        taskType=Text(),
                        wordNum=Whole(0),
                        repetitiveCharRatio=_RATIO,
                        specialCharRatio=_RATIO,
                        flaggedWordRatio=_RATIO,
                        langProb=_RATIO,
                        perplexity=Number(0),
                    ),
                )
            ),
        ),
    ),
    "/entity/annotate": Form(
        takes=Obj(
            id=Text(1),
            datasetId=VERSION,
            content=optional(Items(Mapped(), least=1)),
            labels=optional(Items(Obj(name=Text(1), label_id=Maybe(Text(1)), color=Maybe(Text())), least=1)),
        ),
        gives=OneOf(True),
    ),
    "/entity/delete": Form(
        takes=Obj(id=Items(Text(1), least=1), datasetId=VERSION),
        gives=Obj(failedOnes=OrNull(Items(Text(1)))),
    ),
}

# --- cleaning ----------------------------------------------------------------------------------------------------

_OPERATORS = Items(Obj(name=Text(1), args=optional(Mapped())))
_STAGE = Obj(
    status=Whole(),
    operator_count=Whole(0),
    entity_match_count=Whole(0),
    each_operator_result=Items(Obj(name=Text(1), remaining_count=Whole(0), drop_count=Whole(0))),
)
_ETL_TASK = Key("a cleaning, `etl-…`")

_ETL_ENTRY: dict[str, Shape] = {
    "id": Whole(1),
    "etlStrId": Id("etl-"),
    "etlTaskName": Text(1),
    "sourceDatasetId": Whole(1),
    "sourceDatasetStrId": Id("ds-", 16),
    "sourceDatasetName": Text(),
    "destDatasetId": Whole(1),
    "destDatasetStrId": Id("ds-", 16),
    "destDatasetName": Text(),
    "entityCount": Whole(0),
    "remainingEntity": Whole(0),
    "result": Obj(pipeline_stage_result=Mapped(_STAGE)),
    "processStatus": OneOf(*ETL_STATES.values()),
    "creatorName": Text(1),
    "createTime": BEIJING_TIME,
    "startTime": BEIJING_TIME,
    "finishTime": BEIJING_TIME,
}

_ETL: dict[str, Form] = {
    "/etl/create": Form(
        takes=Obj(
            etlTaskName=Text(1),
            sourceDatasetId=VERSION,
            destDatasetId=VERSION,
            entityType=OneOf(2),
            operationsV2=Obj(**{stage: optional(_OPERATORS) for stage in STAGES}),
        ),
        gives=Id("etl-"),
    ),
    "/etl/detail": Form(
        takes=Obj(etlId=_ETL_TASK),
        gives=Obj(
            **_ETL_ENTRY,
            taskId=Whole(1),
            userId=Whole(),
            entityType=OneOf(2),
            operationsV2=Mapped(Items(Obj(name=Text(1), args=Mapped()))),
            status=Whole(),
            etlResult=Text(),
            exceptionResult=Text(),
            logPath=Text(),
            endTime=BEIJING_TIME,
            modifyTime=BEIJING_TIME,
        ),
    ),
    "/etl/list": Form(
        takes=Obj(**_OFFSETS),
        gives=Obj(
            processingCount=Whole(0),
            total=Whole(0),
            items=Items(Obj(**_ETL_ENTRY, operatorNameList=Items(Text(1)), errCode=Whole(), errMsg=Text())),
        ),
    ),
    "/etl/delete": Form(takes=Obj(etlIds=Items(_ETL_TASK, least=1)), gives=OneOf(True)),
}

# --- augmentation ------------------------------------------------------------------------------------------------

_AUGMENTATION = Key("an augmentation, `enhance-…`")

_AUGMENTATION_ENTRY: dict[str, Shape] = {
    "id": Id("enhance-"),
    "projectType": Whole(0),
    "sourceDatasetStrId": Id("ds-", 16),
    "sourceDatasetName": Text(),
    "destDatasetStrId": Id("ds-", 16),
    "destDatasetName": Text(),
    "area": Text(),
    "status": OneOf(*AUGMENTATION_STATES.values()),
    "strategy": Text(),
    "operations": Text(),
    "startTime": BEIJING_TIME,
    "finishTime": BEIJING_TIME,
    "failReason": Text(),
    "isSelfInstruct": Flag(),
    "name": Text(1),
    "modelName": Text(),
}

_ENHANCE: dict[str, Form] = {
    "/enhance/create": Form(
        takes=Obj(
            name=Text(1),
            isSelfInstruct=OneOf(True),
            sourceDatasetId=VERSION,
            destDatasetId=VERSION,
            devApiId=Text(1),
            appId=Whole(),
            numSeedFewshot=Whole(1, 10),
            numInstancesToGenerate=Whole(1, 5000),
            similarityThreshold=Number(0, 1),
        ),
        gives=OneOf(True),
    ),
    "/enhance/list": Form(
        takes=Obj(
            isSelfInstruct=optional(OneOf(True)),
            **_OFFSETS,
            word=optional(Text()),
            sortField=optional(OneOf("startTime")),
            sortBy=optional(OneOf("asc", "desc")),
        ),
        gives=Obj(total=Whole(0), items=Items(Obj(**_AUGMENTATION_ENTRY))),
    ),
    "/enhance/detail": Form(
        takes=Obj(taskId=_AUGMENTATION),
        gives=Obj(
            **_AUGMENTATION_ENTRY,
            labelIds=Text(),
            entityCount=Whole(0),
            retStr=Text(),
            serviceName=Text(),
            appName=Text(),
            userName=Text(),
            numSeedFewshot=Whole(1, 10),
            numInstancesToGenerate=Whole(1, 5000),
            similarityThreshold=Number(0, 1),
        ),
    ),
    "/enhance/delete": Form(takes=Obj(taskIds=Items(_AUGMENTATION, least=1)), gives=OneOf(True)),
}

FORMS: dict[str, Form] = {**_ENTITIES, **_ETL, **_ENHANCE}
"""By V1 path."""

"""What the calls of batch inference take and give."""

from __future__ import annotations

from qianfan.emulator.lifecycle import BATCH
from qianfan.emulator.shapes.common import PAGE_INFO, PAGING, UTC_TIME
from qianfan.emulator.shapes.vocabulary import (
    ANYTHING,
    Flag,
    Form,
    Id,
    Items,
    Mapped,
    Maybe,
    Obj,
    OneOf,
    Text,
    Whole,
    optional,
)

_STATE = OneOf(*BATCH.moves)

_TASK = Obj(
    taskId=Id("infer-"),
    name=Text(1, 100),
    description=Text(0, 500),
    endpoint=Text(),
    modelId=Text(),
    inferenceParams=Mapped(),
    runStatus=_STATE,
    inputBosUri=Text(1),
    outputBosUri=Text(1),
    outputDir=Text(1),
    progress=Whole(0),
    searchCounts=Whole(0),
    searchTokens=Whole(0),
    creator=Text(1),
    createTime=UTC_TIME,
    finishTime=Maybe(UTC_TIME),
    total=Whole(0),
    source=Text(1),
    dataFormat=Text(1),
    simulated=Flag(),
    inputTokenUsage=Maybe(Whole(0)),
    outputTokenUsage=Maybe(Whole(0)),
    errorCode=Maybe(Whole()),
    errorReason=Maybe(Text()),
)

FORMS: dict[str, Form] = {
    "CreateBatchInferenceTask": Form(
        takes=Obj(
            name=Text(1, 100),
            description=optional(Text(0, 500)),
            modelId=optional(Text()),
            endpoint=optional(Text()),
            inferenceParams=optional(Mapped()),
            inputBosUri=optional(Text(1)),
            outputBosUri=optional(Text(1)),
            afsConfig=optional(ANYTHING),
            completion_window=optional(OneOf("24h")),
        ),
        gives=Obj(taskId=Id("infer-")),
    ),
    "DescribeBatchInferenceTask": Form(takes=Obj(taskId=Text(1)), gives=_TASK),
    "DescribeBatchInferenceTasks": Form(
        takes=Obj(**PAGING, runStatus=optional(Items(_STATE))),
        gives=Obj(taskList=Items(_TASK), pageInfo=PAGE_INFO),
    ),
    "StopBatchInferenceTask": Form(takes=Obj(taskId=Text(1)), gives=Flag()),
}
"""By Action."""

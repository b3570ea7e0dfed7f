"""What the calls of fine-tuning take and give."""

from __future__ import annotations

from qianfan.emulator.lifecycle import TRAINING
from qianfan.emulator.shapes.common import BEIJING_TIME, JOB, NAME, PAGE_INFO, PAGING, REASON, TASK, UTC_TIME, VERSION
from qianfan.emulator.shapes.vocabulary import (
    ANYTHING,
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
    Shape,
    Text,
    Whole,
    optional,
)

_DESCRIPTION = Text(0, 500)
_STATE = OneOf(*TRAINING.moves)
_SCORE = Text(pattern=r"[0-9]+\.[0-9]{2}%")

_DATASET_CONFIG = Obj(
    sourceType=OneOf("Platform", "Bos"),
    versions=Items(
        Obj(
            versionId=optional(VERSION),
            samplingRate=optional(Number(0.01, 10)),
            versionBosUri=optional(Text(1)),
        ),
        least=1,
    ),
    splitRatio=Number(0, 100),
)

_JOB = Obj(
    jobId=Id("job-"),
    name=NAME,
    description=_DESCRIPTION,
    model=Text(),
    trainMode=Text(),
    createDate=UTC_TIME,
)

_TASK: dict[str, Shape] = {
    "taskId": Id("task-"),
    "jobId": Id("job-"),
    "jobName": NAME,
    "jobDescription": _DESCRIPTION,
    "model": Text(1),
    "trainMode": Text(1),
    "parameterScale": Text(1),
    "runStatus": _STATE,
    "createDate": UTC_TIME,
    "finishDate": UTC_TIME,
}

_LIMIT = Obj(
    key=Text(1),
    name=Text(),
    description=Text(),
    type=OneOf("int", "float", "boolean", "string"),
    checkType=OneOf("range", "choice", "mult_choice"),
    checkValue=Items(ANYTHING, least=1),
    default=ANYTHING,
)

_SUPPORT_MODEL = Obj(
    model=Text(1),
    baseModel=Maybe(Text(1)),
    modelType=Maybe(OneOf("text2text", "text2image", "imageUnderstanding")),
    supportTrainMode=Items(
        Obj(
            trainMode=Text(1),
            supportParameterScale=Items(Obj(parameterScale=Text(1), supportHyperParameterConfig=Items(_LIMIT))),
        )
    ),
)

_V1_RUN: dict[str, Shape] = {"taskId": Key("a task, V1's word for a job"), "jobId": Key("a job, V1's word for a task")}

FORMS: dict[str, Form] = {
    "CreateFineTuningJob": Form(
        takes=Obj(name=NAME, model=Text(1), trainMode=Text(1), description=optional(_DESCRIPTION)),
        gives=Obj(jobId=Id("job-")),
    ),
    "CreateFineTuningTask": Form(
        takes=Obj(
            jobId=JOB,
            parameterScale=optional(Text()),
            hyperParameterConfig=Mapped(),
            datasetConfig=_DATASET_CONFIG,
            corpusConfig=optional(Mapped()),
            incrementTaskId=optional(TASK),
            incrementCheckpointStep=optional(Whole(0)),
            resourceConfig=optional(Mapped()),
        ),
        gives=Obj(jobId=Id("job-"), taskId=Id("task-")),
    ),
    "DescribeFineTuningJobs": Form(
        takes=Obj(**PAGING, model=optional(Text()), trainModel=optional(Text()), trainMode=optional(Text())),
        gives=Obj(jobList=Items(_JOB), pageInfo=PAGE_INFO),
    ),
    "DescribeFineTuningTasks": Form(
        takes=Obj(jobId=JOB, **PAGING),
        gives=Obj(taskList=Items(Obj(**_TASK)), pageInfo=PAGE_INFO),
    ),
    "DescribeFineTuningTask": Form(
        takes=Obj(taskId=TASK),
        gives=Obj(
            **_TASK,
            runProgress=Maybe(Text(pattern="[0-9]{1,2}%")),
            vdlLink=Text(1),
            metrics=Maybe(Mapped(_SCORE)),
            checkpointList=Maybe(Items(Obj(step=Whole(1), perplexity=Number(1), trainingLoss=Number(0)))),
            simulated=Flag(),
            local=Maybe(Mapped()),
            **REASON,
        ),
    ),
    "StopFineTuningTask": Form(takes=Obj(taskId=Text(1)), gives=Flag()),
    "DeleteFineTuningTask": Form(takes=Obj(taskId=TASK), gives=OneOf(True)),
    "DeleteFineTuningJob": Form(takes=Obj(jobId=JOB), gives=OneOf(True)),
    "DescribeFineTuningSupportModels": Form(takes=Obj(), gives=Items(_SUPPORT_MODEL, least=1)),
    "/finetune/createTask": Form(
        takes=Obj(
            name=NAME,
            description=optional(_DESCRIPTION),
            baseTrainType=optional(Text()),
            trainType=optional(Text()),
        ),
        gives=Obj(id=Whole(1), uuid=Id("job-"), name=NAME, description=_DESCRIPTION, createTime=BEIJING_TIME),
    ),
    "/finetune/createJob": Form(
        takes=Obj(
            taskId=_V1_RUN["taskId"],
            baseTrainType=optional(Text()),
            trainType=Text(1),
            trainMode=Text(1),
            peftType=Text(1),
            jobRunType=optional(OneOf(0, 1)),
            increConfig=optional(Mapped()),
            trainConfig=Mapped(),
            trainset=Items(Obj(type=OneOf(1, 2), id=optional(VERSION), bosPath=optional(Text(1))), least=1),
            trainsetRate=Number(0, 100),
            description=optional(Text()),
        ),
        gives=Obj(id=Whole(1), uuid=Id("task-")),
    ),
    "/finetune/jobDetail": Form(
        takes=Obj(**_V1_RUN),
        gives=Obj(
            id=Whole(1),
            taskId=Whole(1),
            taskName=NAME,
            description=_DESCRIPTION,
            version=Whole(1),
            jobRunType=OneOf(0, 1),
            increConfig=Obj(taskId=Whole(0), jobId=Whole(0)),
            trainType=Text(1),
            trainMode=Text(1),
            peftType=Text(1),
            trainStatus=OneOf("RUNNING", "FINISH", "STOP", "FAIL"),
            progress=Number(0, 100),
            runTime=Whole(0),
            trainTime=Whole(0),
            startTime=BEIJING_TIME,
            finishTime=BEIJING_TIME,
            vdlLink=Text(1),
            simulated=Flag(),
        ),
    ),
    "/finetune/stopJob": Form(takes=Obj(**_V1_RUN), gives=OneOf(True)),
}
"""By Action or V1 path."""

"""What the calls of evaluation take and give."""

from __future__ import annotations

from qianfan.emulator.lifecycle import EVALUATION, EVALUATION_EXPORT
from qianfan.emulator.shapes.common import MODEL, MODEL_SET, PAGE_INFO, PAGING, UTC_TIME, VERSION
from qianfan.emulator.shapes.vocabulary import (
    ANYTHING,
    Either,
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

_NAME = Text(1, 100)
_DESCRIPTION = Text(0, 500)
_STATE = OneOf(*EVALUATION.moves)
_EVALUATION = Key("an evaluation, `ame-…`")
_UNIT_ID = Text(pattern="[0-9a-f]{24}")
_MARK = OrNull(Number(0))

_FACTS: dict[str, Shape] = {
    "modelId": Whole(0),
    "modelIdStr": Maybe(Id("am-")),
    "modelVersionId": Whole(0),
    "modelVersionIdStr": Text(),
    "modelName": Text(),
    "modelVersion": Text(),
    "modelVersionDesc": Maybe(Text()),
}
"""Of a model version that is judged; of one that was deleted since, less is known."""
_SOURCE = Maybe(OneOf("UserCreate", "PlatformPreset"))

_EFFECT = Obj(
    accuracy=Number(0),
    f1Score=Number(0),
    rouge_1=Number(0),
    rouge_2=Number(0),
    rouge_l=Number(0),
    bleu4=Number(0),
    avgJudgeScore=Number(),
    stdJudgeScore=Number(0),
    medianJudgeScore=Number(),
    scoreDistribution=OrNull(Mapped(Whole(0))),
    manualAvgScore=Number(0),
    goodCaseProportion=Number(0, 1),
    subjectiveImpression=Text(),
    manualScoreDistribution=OrNull(Items(Obj(dimension=Text(1), scoreDistribution=Mapped(Whole(0))))),
)

_REPORTED: dict[str, Shape] = {
    "id": _UNIT_ID,
    "userId": Whole(),
    "evaluationId": Whole(1),
    "evaluationIdStr": Id("ame-"),
    "evaluationName": Text(1),
    "evalMode": Text(1),
    "performanceMetric": Mapped(),
    "effectMetric": _EFFECT,
    "simulated": Flag(),
}
_REPORT = Items(
    Either(
        Obj(**_REPORTED, **_FACTS, modelVersionSource=_SOURCE),
        Obj(**_REPORTED, datasetId=Id("ds-", 16)),
    )
)

# --- V2 ----------------------------------------------------------------------------------------------------------

_TASK = Obj(
    taskId=Id("ame-"),
    taskName=Text(1),
    description=_DESCRIPTION,
    evalObjectType=OneOf("model", "inferDataset"),
    evalObjectConfig=Mapped(),
    evalConfig=Mapped(),
    state=_STATE,
    message=Text(),
    resultDatasetId=Text(),
    createTime=UTC_TIME,
    finishTime=Maybe(UTC_TIME),
    simulated=Flag(),
)

_V2: dict[str, Form] = {
    "CreateEvalTask": Form(
        takes=Obj(
            taskName=_NAME,
            description=optional(_DESCRIPTION),
            evalObjectType=OneOf("model", "inferDataset"),
            evalObjectConfig=Obj(
                evalModelConfig=optional(
                    Obj(
                        versionId=VERSION,
                        storageType=optional(OneOf("sysStorage", "BOS")),
                        storagePath=optional(Text()),
                        evalModelConfigList=Items(
                            Obj(
                                modelId=MODEL,
                                promptTemplate=optional(Text()),
                                temperature=optional(Number(0.01, 1)),
                                top_p=optional(Number(0, 1)),
                                penalty_score=optional(Number(1, 2)),
                                isBase=optional(Flag()),
                            ),
                            least=1,
                            most=5,
                        ),
                    )
                ),
                evalInferDatasetConfig=optional(
                    Obj(
                        evalInferDatasetConfigList=Items(
                            Obj(inferDatasetId=VERSION, isBase=optional(Flag())), least=1, most=5
                        )
                    )
                ),
            ),
            evalConfig=Obj(
                evalMode=OneOf("rule", "model", "manual", "rule,model"),
                ruleEvalConfig=optional(Mapped()),
                autoModelEvalConfig=optional(Mapped()),
                manualEvalConfig=optional(Mapped()),
            ),
        ),
        gives=Obj(taskId=Id("ame-")),
    ),
    "DescribeEvalTasks": Form(
        takes=Obj(**PAGING, evalType=Text(1), keyFilter=optional(Text())),
        gives=Obj(taskList=Items(_TASK), pageInfo=PAGE_INFO),
    ),
    "DescribeEvalTask": Form(takes=Obj(taskId=Text(1)), gives=_TASK),
    "DescribeEvalTaskReport": Form(takes=Obj(taskId=Text(1)), gives=Obj(taskId=Id("ame-"), reports=_REPORT)),
    "DeleteEvalTask": Form(takes=Obj(taskId=Text(1)), gives=OneOf(True)),
}

# --- V1 ----------------------------------------------------------------------------------------------------------

_LIMITS = optional(Obj(start=optional(Number(-1, 10**6)), end=optional(Number(-1, 10**6))))
_CONTENT = OneOf("prompt", "prediction", "completion", "metrics")

_V1: dict[str, Form] = {
    "/modelrepo/eval/create": Form(
        takes=Obj(
            id=optional(_EVALUATION),
            name=_NAME,
            description=optional(_DESCRIPTION),
            versionEvalInfo=Items(Obj(modelId=MODEL_SET, modelVersionId=MODEL), least=1),
            datasetId=VERSION,
            evalStandardConf=Obj(
                evalMode=Text(1),
                scoreModes=optional(Items(Text())),
                stopWordsPath=optional(Text()),
                appId=optional(Whole()),
                prompt=optional(
                    Obj(
                        templateContent=optional(Text()),
                        maxScore=optional(Number(1, 100)),
                        minScore=optional(Number(0, 100)),
                    )
                ),
                evaluationDimension=optional(Items(Obj(dimension=Text(1)))),
            ),
            computeResourceConf=optional(Mapped()),
        ),
        gives=Obj(evalId=Whole(1), evalIdStr=Id("ame-")),
    ),
    "/modelrepo/eval/detail": Form(
        takes=Obj(id=_EVALUATION),
        gives=Obj(
            evaluationId=Whole(1),
            evaluationIdStr=Id("ame-"),
            name=Text(1),
            description=_DESCRIPTION,
            state=_STATE,
            evalUnits=Items(
                Obj(
                    **_FACTS,
                    modelSource=_SOURCE,
                    id=_UNIT_ID,
                    state=Text(1),
                    message=Text(),
                    modelTags=Items(ANYTHING),
                )
            ),
            datasetId=Text(),
            datasetName=Text(),
            computeResourceConf=Mapped(),
            evalStandardConf=Mapped(),
            simulated=Flag(),
        ),
    ),
    "/modelrepo/eval/report": Form(takes=Obj(id=_EVALUATION), gives=_REPORT),
    "/modelrepo/eval/cancel": Form(takes=Obj(id=_EVALUATION), gives=Obj(result=Flag(), errorMessage=Text())),
    "/modelrepo/eval/delete": Form(takes=Obj(evalIds=Items(_EVALUATION, least=1)), gives=OneOf(True)),
    "/modelrepo/eval/result/list": Form(
        takes=Obj(
            id=_EVALUATION,
            pageNo=optional(Number(1, 10**9)),
            pageSize=optional(Number(1, 100)),
            orderBy=optional(Text()),
            order=optional(Text()),
            modelVersionIds=optional(Items(MODEL)),
            evalUnitId=optional(Items(Text())),
            bleu4=_LIMITS,
            rouge_1=_LIMITS,
            rouge_2=_LIMITS,
            rouge_l=_LIMITS,
            judgeScore=_LIMITS,
        ),
        gives=Obj(
            total=Whole(0),
            pageNo=Whole(1),
            pageSize=Whole(1, 100),
            items=Items(
                Obj(
                    **_FACTS,
                    modelSource=_SOURCE,
                    id=_UNIT_ID,
                    evaluationId=Whole(1),
                    evalUnitId=_UNIT_ID,
                    prompt=Text(),
                    completion=Text(),
                    prediction=Text(),
                    message=Text(),
                    bleu4=_MARK,
                    rouge_1=_MARK,
                    rouge_2=_MARK,
                    rouge_l=_MARK,
                    judgeScore=_MARK,
                    judgeReason=Text(),
                )
            ),
        ),
    ),
    "/modelrepo/eval/result/export": Form(
        takes=Obj(
            id=_EVALUATION,
            exportType=OneOf("local", "storage"),
            exportOpt=OneOf("total", "part"),
            exportContent=Items(_CONTENT, least=1),
            resultIds=optional(Items(Text())),
            volumeId=optional(Text()),
        ),
        gives=Obj(exportID=Whole(1), exportIDStr=Id("amemt-")),
    ),
    "/modelrepo/eval/result/export/info": Form(
        takes=Obj(exportID=Key("an export, `amemt-…`")),
        gives=Obj(
            id=Id("ame-"),
            exportID=Whole(1),
            exportIDStr=Id("amemt-"),
            state=OneOf(*EVALUATION_EXPORT.moves),
            exportType=OneOf("local", "storage"),
            volumeId=Text(),
            exportPath=Text(),
            downloadUrl=Text(),
        ),
    ),
    "/modelrepo/eval/model/list": Form(
        takes=Obj(),
        gives=Items(
            Obj(
                modelId=Whole(1),
                modelIdStr=Id("am-"),
                modelName=Text(1),
                source=OneOf("UserCreate"),
                modelType=Whole(),
                trainType=Text(),
                modelVersionList=Items(
                    Obj(
                        modelVersionId=Whole(1),
                        modelVersionIdStr=Id("amv-"),
                        version=Text(pattern="[0-9]+"),
                        sourceType=Text(1),
                        framework=Text(),
                        algorithm=Text(),
                        modelNet=Text(),
                        trainType=Text(),
                        description=Text(),
                    ),
                    least=1,
                ),
            )
        ),
    ),
}

FORMS: dict[str, Form] = {**_V2, **_V1}
"""By Action or V1 path."""

"""What the calls of services take and give."""

from __future__ import annotations

from qianfan.emulator.lifecycle import DEPLOY
from qianfan.emulator.shapes.common import (
    BEIJING_TIME,
    MODEL,
    MODEL_SET,
    NAME,
    PAGE_INFO,
    PAGING,
    REASON,
    SERVICE,
    UTC_TIME,
)
from qianfan.emulator.shapes.vocabulary import (
    Either,
    Form,
    Id,
    Items,
    Mapped,
    Number,
    Obj,
    OneOf,
    Shape,
    Text,
    Whole,
    optional,
)

_SUFFIX = Text(2, 20, r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")
_ENDPOINT = Text(pattern="[a-z0-9]{8}_[a-z0-9_-]+")
_BILLING = Obj(
    paymentTiming=OneOf("Prepaid", "Postpaid"),
    reservation=optional(Obj(reservationTimeUnit=OneOf("Month", "Hour"), reservationLength=Number(1, 10**6))),
)

# --- V2 ----------------------------------------------------------------------------------------------------------

_SERVICE: dict[str, Shape] = {
    "serviceId": Id("svco-"),
    "name": NAME,
    "description": Text(0, 500),
    "baseModel": Text(),
    "modelSetId": Id("am-"),
    "modelId": Id("amv-"),
    "url": Text(1),
    "endpoint": _ENDPOINT,
    "serviceType": OneOf("chat", "text2image"),
    "runStatus": OneOf(*DEPLOY.moves),
    "updateStatus": Text(1),
    "chargeType": Text(1),
    "payType": OneOf("", "Postpay", "Prepay", "Prepay,Postpay"),
    "chargeStatus": Text(1),
    "resourceConfig": Mapped(),
    "createTime": UTC_TIME,
    **REASON,
}

_CALLS = Obj(
    inputTokensTotal=Whole(0),
    outputTokensTotal=Whole(0),
    tokensTotal=Whole(0),
    succeedCallTotal=Whole(0),
    failureCallTotal=Whole(0),
    callTotal=Whole(0),
)

_PRESET = Obj(
    serviceId=Id("svcp-"),
    name=Text(1),
    description=Text(),
    baseModel=Text(1),
    modelSetId=Id("am-"),
    modelId=Id("amv-"),
    url=Text(1),
    endpoint=Text(1),
    serviceType=Text(1),
    runStatus=OneOf("Serving"),
    updateStatus=Text(1),
    chargeType=OneOf("Tokens"),
    payType=OneOf("Postpay"),
    chargeStatus=OneOf("Opened"),
    createTime=UTC_TIME,
    rpm=Whole(1),
    tpm=Whole(1),
)

_V2: dict[str, Form] = {
    "CreateService": Form(
        takes=Obj(
            modelSetId=MODEL_SET,
            modelId=MODEL,
            name=NAME,
            urlSuffix=_SUFFIX,
            description=optional(Text(0, 500)),
            resourceConfig=optional(Obj(replicasCount=optional(Number(1, 1000)), qps=optional(Number(0.01, 50)))),
            billing=optional(Either(_BILLING, Obj())),
            protocolVersion=optional(OneOf(1, 2)),
            deploymentConfig=optional(Mapped()),
        ),
        gives=Obj(serviceId=Id("svco-"), instanceId=Text(pattern="([0-9a-f]{32})?")),
    ),
    "DescribeService": Form(takes=Obj(serviceId=SERVICE), gives=Obj(**_SERVICE)),
    "DescribeServices": Form(
        takes=Obj(
            **PAGING,
            name=optional(Text()),
            serviceType=optional(Items(Text())),
            runStatus=optional(Items(Text())),
            creator=optional(Items(Text())),
            chargeType=optional(Text()),
            payType=optional(Text()),
            protocolVersion=optional(Whole()),
        ),
        gives=Obj(serviceList=Items(Obj(**_SERVICE)), pageInfo=PAGE_INFO),
    ),
    "ModifyService": Form(takes=Obj(serviceId=SERVICE, modelSetId=MODEL_SET, modelId=MODEL), gives=OneOf(True)),
    "DescribeServiceMetric": Form(
        takes=Obj(startTime=UTC_TIME, endTime=UTC_TIME, serviceId=optional(Items(Text())), appId=optional(Text())),
        gives=Obj(
            startTime=UTC_TIME,
            endTime=UTC_TIME,
            serviceList=Items(
                Obj(serviceId=Id("svco-"), serviceName=NAME, appList=Items(Obj(appId=Text(1), metric=_CALLS)))
            ),
        ),
    ),
    "DescribePresetServices": Form(
        takes=Obj(
            serviceIds=optional(Items(Text())),
            serviceType=optional(Items(Text())),
            chargeType=optional(Items(Text())),
            chargeStatus=optional(Items(Text())),
        ),
        gives=Items(_PRESET),
    ),
}

# --- V1 ----------------------------------------------------------------------------------------------------------

_STATUS = OneOf("Done", *(state for state in DEPLOY.moves if state != "Serving"))

_LISTED = Obj(
    name=Text(1),
    url=Text(1),
    apiType=Text(1),
    chargeStatus=Text(1),
    versionList=Items(Obj(trainType=Text(1), serviceStatus=_STATUS), least=1),
)

_V1: dict[str, Form] = {
    "/service/apply": Form(
        takes=Obj(
            modelId=Whole(),
            modelVersionId=Whole(),
            name=NAME,
            uri=_SUFFIX,
            replicas=optional(Number(1, 1000)),
            poolType=optional(OneOf(1, 2)),
            description=optional(Text()),
        ),
        gives=Obj(result=OneOf(True), serviceId=Whole(1), serviceUuid=Id("svco-")),
    ),
    "/service/detail": Form(
        takes=Obj(serviceId=SERVICE),
        gives=Obj(
            id=Whole(1),
            aiModelId=Whole(0),
            aiModelVersionId=Whole(0),
            modelId=Whole(0),
            modelVersionId=Whole(0),
            modelName=Text(),
            name=NAME,
            description=Text(),
            uri=_ENDPOINT,
            url=Text(1),
            fullUri=Text(1),
            serviceStatus=_STATUS,
            onlineTime=BEIJING_TIME,
            createTime=BEIJING_TIME,
            **REASON,
        ),
    ),
    "/service/list": Form(
        takes=Obj(apiTypefilter=optional(Items(Text()))),
        gives=Obj(common=Items(_LISTED), custom=Items(_LISTED)),
    ),
    "/service/appList": Form(
        takes=Obj(),
        gives=Obj(appList=Items(Obj(id=Whole(1), name=Text(1), ak=Text(), sk=Text(), apiIds=Text()))),
        method="GET",
    ),
}

FORMS: dict[str, Form] = {**_V2, **_V1}
"""By Action or V1 path."""

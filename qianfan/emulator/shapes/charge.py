"""What the calls of billing take and give."""

from __future__ import annotations

from qianfan.emulator.shapes.common import SERVICE, UTC_TIME
from qianfan.emulator.shapes.vocabulary import (
    Either,
    Form,
    Items,
    Key,
    Maybe,
    Number,
    Obj,
    OneOf,
    Text,
    Whole,
    optional,
)

_BILLING = Obj(
    paymentTiming=OneOf("Prepaid", "Postpaid"),
    reservation=optional(Obj(reservationTimeUnit=OneOf("Month", "Hour"), reservationLength=Number(1, 10**6))),
)
_COUNT = Number(1, 1000)
_INSTANCE = Key("something bought", numbered=False)
_ID = Text(pattern="[0-9a-f]{32}")
_BOUGHT = Obj(instanceId=_ID)
_DONE = OneOf(True)
_EXPIRED = Either(UTC_TIME, OneOf("-"))

_QUOTA = Obj(
    instanceId=_ID,
    paymentTiming=OneOf("Prepaid", "Postpaid"),
    rpm=Whole(1),
    tpm=Whole(1),
    status=OneOf("Running"),
    startTime=UTC_TIME,
    expiredTime=_EXPIRED,
    releaseTime=Maybe(UTC_TIME),
)
_UNIT = Obj(
    instanceId=_ID,
    serviceId=Text(1),
    type=Text(1),
    paymentTiming=OneOf("Prepaid", "Postpaid"),
    replicasCount=Whole(1),
    count=Whole(1),
    status=OneOf("Running"),
    startTime=UTC_TIME,
    expiredTime=_EXPIRED,
    autoRenew=Maybe(OneOf(True)),
    autoRenewTimeUnit=Maybe(Text(1)),
    autoRenewTime=Maybe(Number(1, 6)),
)

FORMS: dict[str, Form] = {
    "PurchaseTPMResource": Form(takes=Obj(model=Text(1), purchaseCount=_COUNT, billing=_BILLING), gives=_BOUGHT),
    "DescribeTPMResource": Form(
        takes=Obj(
            model=Text(1),
            paymentTiming=optional(OneOf("Postpaid")),
            instanceId=optional(Text()),
            status=optional(Text()),
        ),
        gives=Obj(instances=Items(_QUOTA)),
    ),
    "ReleaseTPMResource": Form(takes=Obj(model=Text(1), instanceId=_INSTANCE), gives=_DONE),
    "ResizeTPMResource": Form(takes=Obj(instanceId=_INSTANCE, count=_COUNT), gives=_DONE),
    "AutoReleaseTPMResource": Form(takes=Obj(instanceId=_INSTANCE, releaseTime=optional(UTC_TIME)), gives=_DONE),
    "PurchaseServiceResource": Form(
        takes=Obj(serviceId=SERVICE, billing=_BILLING, replicasCount=_COUNT), gives=_BOUGHT
    ),
    "DescribeComputeUnits": Form(
        takes=Obj(serviceId=SERVICE, paymentTiming=optional(OneOf("Prepaid", "Postpaid"))), gives=Items(_UNIT)
    ),
    "DescribeComputeUnit": Form(takes=Obj(serviceId=SERVICE, instanceId=_INSTANCE), gives=_UNIT),
    "ReleaseComputeUnit": Form(takes=Obj(serviceId=SERVICE, instanceId=_INSTANCE), gives=_DONE),
    "AutoReleaseComputeUnit": Form(
        takes=Obj(
            instanceId=_INSTANCE,
            instanceType=OneOf("ComputingUnit", "TPM"),
            autoRenewTimeUnit=optional(OneOf("Month")),
            autoRenewTime=optional(Number(1, 6)),
        ),
        gives=_DONE,
    ),
    "ResizeComputeUnit": Form(takes=Obj(instanceId=_INSTANCE, count=_COUNT), gives=_DONE),
}
"""By Action."""

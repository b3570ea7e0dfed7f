"""Bought resources: token quota of models, and compute units of services."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from qianfan.resources._base import WireModel
from qianfan.resources.schemas.common import Id


class ResourceBought(WireModel):
    """What was bought. instance_id: empty where the platform does not tell it; it was bought all the same."""

    instance_id: str = ""


class TpmInstance(WireModel):
    """Bought quota of a model: so many requests (rpm) and tokens (tpm) a minute more.

    expired_time: `-` for Postpaid.
    """

    instance_id: str
    payment_timing: str = ""
    rpm: int = 0
    tpm: int = 0
    status: str = ""
    start_time: str = ""
    expired_time: str = ""


class TpmInstances(WireModel):
    instances: list[TpmInstance] = Field(default_factory=list)


class ComputeUnit(WireModel):
    """A bought piece of hardware that a service runs on. Only its id is certain, the rest is not documented."""

    instance_id: Id = Field(validation_alias=AliasChoices("instanceId", "computeUnitId", "unitId"))
    service_id: str = ""
    payment_timing: str = ""
    replicas_count: int | None = None
    status: str = ""
    start_time: str = ""
    expired_time: str = ""

"""What a user decides about a deployment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from qianfan._strict import StrictModel
from qianfan.errors import InvalidArgumentError, ValidationError
from qianfan.model.consts import DeployPoolType, ServiceType
from qianfan.utils.logging import logger

__all__ = ["DeployConfig", "ServiceType", "generated_name"]

JsonObject: TypeAlias = dict[str, Any]

NAME_LENGTH = 20
"""The longest name and url suffix the platform takes; the shortest is 2."""

_URL_SUFFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,18}[a-z0-9]")


class DeployConfig(StrictModel):
    """How to deploy a model: what the service is called, what it understands, and which machines it rents.

    Deploying buys resources: without `months` or `hours`, one hour of one replica, paid in advance.
    """

    name: str = ""
    """Name of the service, 2 to 20 characters; generated when left out."""

    endpoint_prefix: str = ""
    """Another name for `endpoint_suffix`, which wins if both are given."""

    endpoint_suffix: str = ""
    """End of the service's address, 2 to 20 of `a-z 0-9 _ -`; generated when left out."""

    description: str = Field(default="", max_length=500)
    """Free text, at most 500 characters."""

    replicas: int = Field(default=1, ge=1)
    """Copies of the service that share the load."""

    pool_type: DeployPoolType = DeployPoolType.PrivateResource
    """Only PrivateResource: the platform no longer offers a public pool."""

    service_type: ServiceType
    """What the service understands: Chat, Completion, Embedding or Text2Image."""

    qps: float | None = Field(default=None, gt=0, le=50)
    """Requests per second for each replica; the platform's estimate when left out."""

    resource_type: str = "GPU-I-2"
    """The kind of machine."""

    months: int | None = Field(default=None, ge=1, le=12)
    """Rent for this many months instead of hours."""

    hours: int = Field(default=1, ge=1)
    """Rent for this many hours."""

    extras: dict[str, Any] | None = None
    """Further fields of the request; they are merged in last and win."""

    @field_validator("service_type", mode="before")
    @classmethod
    def _read_service_type(cls, value: Any) -> Any:
        try:
            return ServiceType(value)
        except ValueError:
            choices = ", ".join(member.value for member in ServiceType)
            raise ValueError(f"must be one of {choices}, not {value!r}") from None

    @field_validator("pool_type")
    @classmethod
    def _only_private(cls, value: DeployPoolType) -> DeployPoolType:
        if value is DeployPoolType.PublicResource:
            raise ValueError(
                "the platform no longer deploys to the public pool (PublicResource); "
                "leave pool_type out or use DeployPoolType.PrivateResource"
            )
        return value

    @field_validator("name")
    @classmethod
    def _fits(cls, value: str) -> str:
        if value and not 2 <= len(value) <= NAME_LENGTH:
            raise ValueError(f"must have 2 to {NAME_LENGTH} characters, {value!r} has {len(value)}")
        return value

    @field_validator("endpoint_prefix", "endpoint_suffix")
    @classmethod
    def _fits_an_address(cls, value: str) -> str:
        if value and not _URL_SUFFIX.fullmatch(value):
            raise ValueError(
                f"must be 2 to {NAME_LENGTH} of a-z, 0-9, '_' and '-', "
                f"with a letter or digit at both ends, not {value!r}"
            )
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.months is not None and "hours" in self.model_fields_set:
            raise ValidationError(
                "DeployConfig cannot be used",
                [f"months={self.months} and hours={self.hours} are both given; keep the one that is meant"],
            )
        if self.endpoint_prefix and self.endpoint_suffix and self.endpoint_prefix != self.endpoint_suffix:
            logger.warning(
                "DeployConfig has both endpoint_suffix %r and endpoint_prefix %r; the suffix is used",
                self.endpoint_suffix,
                self.endpoint_prefix,
            )
        return self

    def service_name(self, stem: str, token: str) -> str:
        """The service's name: the user's own, or one made of a stem (say, the model's name) and a token."""
        return self.name or generated_name(stem, token)

    def url_suffix(self, stem: str, token: str) -> str:
        """The end of the service's address: the user's own, or one made of a stem and a token."""
        return self.endpoint_suffix or self.endpoint_prefix or generated_name(stem, token)

    def resource_config(self) -> JsonObject:
        """The machines to rent, in the platform's words."""
        wanted: JsonObject = {"type": self.resource_type, "replicasCount": self.replicas}
        if self.qps is not None:
            wanted["qps"] = round(self.qps, 2)
        return wanted

    def billing(self) -> JsonObject:
        """For how long to rent them, in the platform's words."""
        unit, length = ("Hour", self.hours) if self.months is None else ("Month", self.months)
        reservation = {"reservationTimeUnit": unit, "reservationLength": length}
        return {"paymentTiming": "Prepaid", "reservation": reservation}

    def purchase_terms(self) -> str:
        """What a deployment will buy, as one phrase for people."""
        unit, length = ("hour", self.hours) if self.months is None else ("month", self.months)
        replicas = f"{self.replicas} replica{'s' if self.replicas > 1 else ''}"
        return f"{replicas} of {self.resource_type} for {length} {unit}{'s' if length > 1 else ''}, paid in advance"

    def to_wire(self, *, model_set_id: str, model_id: str, name: str, url_suffix: str) -> JsonObject:
        """The body of the request that deploys one model version."""
        body: JsonObject = {
            "modelSetId": model_set_id,
            "modelId": model_id,
            "name": name,
            "urlSuffix": url_suffix,
            "resourceConfig": self.resource_config(),
            "billing": self.billing(),
        }
        if self.description:
            body["description"] = self.description
        return _merged(body, self.extras or {})


def generated_name(stem: str, token: str) -> str:
    """A name that the platform takes as service name and as url suffix, ending in the token.

    token: letters and digits, at most 17; it keeps generated names apart and lets one be found again.
    """
    if not re.fullmatch(r"[a-z0-9]{1,17}", token):
        raise InvalidArgumentError(f"a name's token must be 1 to 17 of a-z and 0-9, not {token!r}")
    readable = re.sub(r"[^a-z0-9]+", "_", stem.casefold()).strip("_")
    head = readable[: NAME_LENGTH - len(token) - 1].strip("_")
    return f"{head or 'svc'[: NAME_LENGTH - len(token) - 1]}_{token}"


def _merged(body: JsonObject, extras: Mapping[str, Any]) -> JsonObject:
    """The body with the extras laid over it; objects inside are merged, anything else is replaced."""
    merged = dict(body)
    for key, value in extras.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged

"""Token quota: how many requests and tokens a minute the account has of a model, with what was bought in addition."""

from __future__ import annotations

from dataclasses import dataclass

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.presets import presets
from qianfan.emulator.records import TpmInstance

_RPM_PER_QPS, _TPM_PER_QPS = 60, 60_000
"""What one request a second is in a minute, by the platform's own conversion."""
_OWN_QPS = 5
"""What an account has of every model without buying. How much that is, is not documented, nor how much a portion is."""


@dataclass(frozen=True)
class Quota:
    """Requests and tokens a minute."""

    rpm: int
    tpm: int

    @classmethod
    def of(cls, portions: int) -> Quota:
        """So many portions of one request a second each."""
        return cls(portions * _RPM_PER_QPS, portions * _TPM_PER_QPS)

    def entry(self) -> dict[str, JSON]:
        """As fields of an answer."""
        return {"rpm": self.rpm, "tpm": self.tpm}


def quota_of(account: Account, model: str) -> Quota:
    """What the account has of a model, by its name."""
    return Quota.of(_OWN_QPS + sum(instance.count for instance in instances_of(account, model)))


def instances_of(account: Account, model: str) -> list[TpmInstance]:
    """What was bought for a model and not given back, oldest first. What had its time set is given back here."""
    for instance in account.tpm_instances:
        if instance.release_at is not None and instance.release_at <= account.now():
            account.tpm_instances.remove(instance)
            account.touch()
    return [instance for instance in account.tpm_instances if instance.model == model]


def model_named(name: str) -> str | None:
    """The platform's model of this name, which may also be its V2 id or its endpoint."""
    for preset in presets():
        if name in (preset.name, preset.endpoint, preset.name.lower().replace(" ", "-")):
            return preset.name
    return None

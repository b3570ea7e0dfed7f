"""Compute units: what is bought for services, and what becomes of a service without any.

The platform does not say what it does to a service whose units are given back, nor to one that was never paid for.
Our reading is in `begin` and `_halt` alone: a service runs while it is paid for, is `New` before, and `Stopped` after.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.checks import Body, found
from qianfan.emulator.lifecycle import DEPLOY
from qianfan.emulator.records import ComputeUnit, Service
from qianfan.emulator.refusals import Problem, Refused, invalid

_UNITS = {"Hour": timedelta(hours=1), "Month": timedelta(days=30)}
PUBLIC_POOL = 1


def billing_of(body: Body) -> dict[str, JSON]:
    """`billing` of a request, checked; empty when it is left out."""
    billing = Body(body.object("billing", required=False))
    if not billing.fields:
        return {}
    timing = billing.one_of("paymentTiming", ["Prepaid", "Postpaid"])
    if timing == "Prepaid":
        reservation = Body(billing.object("reservation"))
        unit = reservation.one_of("reservationTimeUnit", ["Month", "Hour"])
        reservation.number("reservationLength", 1, 12 if unit == "Month" else 10**6)
    elif billing.get("chargeType") is not None:
        billing.one_of("chargeType", ["ComputingUnit", "Tokens"])
    if billing.flag("autoRenew", default=False):
        if billing.get("autoRenewTimeUnit") is not None:
            billing.one_of("autoRenewTimeUnit", ["Month"])
        billing.number("autoRenewTime", 1, 6, default=1)
    return dict(billing.fields)


def is_by_tokens(service: Service) -> bool:
    """Whether a service is paid for by what it says, and needs no units."""
    return service.billing.get("paymentTiming") == "Postpaid" and service.billing.get("chargeType") == "Tokens"


def expiry(account: Account, billing: dict[str, JSON]) -> datetime | None:
    """When what is paid in advance is used up. It is told, and nothing ends by it here."""
    reservation = billing.get("reservation")
    if billing.get("paymentTiming") != "Prepaid" or not isinstance(reservation, dict):
        return None
    return account.now() + _UNITS[str(reservation["reservationTimeUnit"])] * float(reservation["reservationLength"])


def buy_unit(account: Account, service: Service, billing: dict[str, JSON], replicas: int) -> ComputeUnit:
    """Buy hardware for some copies of a service."""
    shelf = account.units
    renewed = {key: value for key, value in billing.items() if key.startswith("autoRenew")}
    unit = ComputeUnit(
        id=account.new_id(shelf),
        number=shelf.next_number,
        created=account.now(),
        type=str(service.resource_config.get("type") or "GPU-I-2"),
        replicas=replicas,
        uses={service.id: replicas},
        payment_timing=str(billing["paymentTiming"]),
        expires=expiry(account, billing),
        auto_renew=renewed if billing.get("autoRenew") else {},
    )
    account.touch()
    return shelf.add(unit)


def owned_units(account: Account, config: Body) -> list[tuple[ComputeUnit, int]]:
    """The units that `deploymentConfig` names, with the copies that are to run on each."""
    chosen: list[tuple[ComputeUnit, int]] = []
    listed = config.get("deploymentComputeUnitList") or []
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise invalid("deploymentComputeUnitList", "deploymentComputeUnitList must be a list of objects")
    for entry in map(Body, listed):
        key = entry.get("instanceId")
        unit = found(account.units.get(key), Problem.INVALID, "instanceId", key)
        copies = int(entry.number("deploymentReplicasCount", 1, 1000))
        if copies > unit.replicas - sum(unit.uses.values()):
            raise Refused(Problem.STATE, "deploymentReplicasCount", f"{unit.id} has no room for {copies} more copies")
        chosen.append((unit, copies))
    return chosen


def units_of(account: Account, service: Service) -> list[ComputeUnit]:
    """The units that a service runs on."""
    return [unit for unit in account.units if service.id in unit.uses]


def unit_of(account: Account, service: Service, key: JSON) -> ComputeUnit:
    """The unit of a service that a call names."""
    unit = account.units.get(key)
    mine = unit if unit is not None and service.id in unit.uses else None
    return found(mine, Problem.INVALID, "instanceId", key)


def release_unit(account: Account, unit: ComputeUnit) -> None:
    """Give a unit back. Whatever runs on it loses it."""
    account.units.remove(unit)
    account.touch()
    for service_id in unit.uses:
        service = account.services.get(service_id)
        if service is not None:
            _halt(account, service)


def begin(account: Account, service: Service) -> None:
    """Deploy a service that is paid for and does not run; one that is not paid for goes on waiting."""
    if service.state in ("New", "Stopped") and _is_paid(account, service):
        account.works.start_deployment(service)
        account.touch()


def _halt(account: Account, service: Service) -> None:
    """Stop a service that is not paid for any more."""
    if not _is_paid(account, service) and "Stopped" in DEPLOY.moves[service.state]:
        service.state, service.work = DEPLOY.move(service.state, "Stopped"), None
        account.touch()


def _is_paid(account: Account, service: Service) -> bool:
    return is_by_tokens(service) or service.pool_type == PUBLIC_POOL or bool(units_of(account, service))

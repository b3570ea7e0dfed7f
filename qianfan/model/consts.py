"""Enumerations around models and services."""

from __future__ import annotations

from qianfan.resources.console.consts import DeployPoolType, ServiceType

__all__ = ["DeployPoolType", "ServiceType"]

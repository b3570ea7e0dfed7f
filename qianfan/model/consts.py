"""Enumerations around models and services."""

from __future__ import annotations

from qianfan.resources.console.consts import DeployPoolType, ModelCompStrategy, ModelQuantizationWeight, ServiceType

__all__ = ["DeployPoolType", "ModelCompStrategy", "ModelQuantizationWeight", "ServiceType"]

"""Older home of the model names."""

from qianfan.model import DeployConfig, Model, Service

__all__ = ["DeployConfig", "Model", "Service"]

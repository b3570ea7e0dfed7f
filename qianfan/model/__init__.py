"""Published models and deployed services."""

from qianfan.model.configs import DeployConfig
from qianfan.model.consts import ServiceType
from qianfan.model.model import Model
from qianfan.model.service import Service

__all__ = ["DeployConfig", "Model", "Service", "ServiceType"]

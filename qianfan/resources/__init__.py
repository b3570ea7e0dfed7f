"""Typed calls of the platform's API."""

from qianfan.resources.bos import BosPath
from qianfan.resources.llm import ChatCompletion, Completion, Embedding, Text2Image
from qianfan.resources.messages import QfMessages, QfResponse, QfRole
from qianfan.resources.platform import Platform

__all__ = [
    "BosPath",
    "ChatCompletion",
    "Completion",
    "Embedding",
    "Platform",
    "QfMessages",
    "QfResponse",
    "QfRole",
    "Text2Image",
]

"""Typed calls of the platform's API."""

from typing import TYPE_CHECKING

from qianfan._lazy import lazy_names

__all__ = [
    "BosPath",
    "ChatCompletion",
    "Completion",
    "Embedding",
    "FineTune",
    "Platform",
    "QfMessages",
    "QfResponse",
    "QfRole",
    "Text2Image",
]

if TYPE_CHECKING:
    from qianfan.resources.bos import BosPath
    from qianfan.resources.console.finetune import FineTune
    from qianfan.resources.llm import ChatCompletion, Completion, Embedding, Text2Image
    from qianfan.resources.messages import QfMessages, QfResponse, QfRole
    from qianfan.resources.platform import Platform
else:
    # The enumerations live below this package, and whoever only wants one of them need not load the client.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "qianfan.resources.bos": ["BosPath"],
            "qianfan.resources.console.finetune": ["FineTune"],
            "qianfan.resources.llm": ["ChatCompletion", "Completion", "Embedding", "Text2Image"],
            "qianfan.resources.messages": ["QfMessages", "QfResponse", "QfRole"],
            "qianfan.resources.platform": ["Platform"],
        },
    )

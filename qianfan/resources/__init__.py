"""Typed calls of the platform's API."""

from typing import TYPE_CHECKING

from qianfan._lazy import lazy_names

__all__ = [
    "IAM",
    "BosPath",
    "Charge",
    "ChatCompletion",
    "Completion",
    "Data",
    "Embedding",
    "Eval",
    "FineTune",
    "Image2Text",
    "Model",
    "Platform",
    "Plugin",
    "QfMessages",
    "QfResponse",
    "QfRole",
    "Reranker",
    "Service",
    "Text2Image",
    "Tokenizer",
]

if TYPE_CHECKING:
    from qianfan.resources.bos import BosPath
    from qianfan.resources.console.charge import Charge
    from qianfan.resources.console.data import Data
    from qianfan.resources.console.eval import Eval
    from qianfan.resources.console.finetune import FineTune
    from qianfan.resources.console.iam import IAM
    from qianfan.resources.console.model import Model
    from qianfan.resources.console.service import Service
    from qianfan.resources.llm import ChatCompletion, Completion, Embedding, Image2Text, Plugin, Reranker, Text2Image
    from qianfan.resources.messages import QfMessages, QfResponse, QfRole
    from qianfan.resources.platform import Platform
    from qianfan.resources.tokenizer import Tokenizer
else:
    # The enumerations live below this package, and whoever only wants one of them need not load the client.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "qianfan.resources.bos": ["BosPath"],
            "qianfan.resources.console.charge": ["Charge"],
            "qianfan.resources.console.data": ["Data"],
            "qianfan.resources.console.eval": ["Eval"],
            "qianfan.resources.console.finetune": ["FineTune"],
            "qianfan.resources.console.iam": ["IAM"],
            "qianfan.resources.console.model": ["Model"],
            "qianfan.resources.console.service": ["Service"],
            "qianfan.resources.llm": [
                "ChatCompletion",
                "Completion",
                "Embedding",
                "Image2Text",
                "Plugin",
                "Reranker",
                "Text2Image",
            ],
            "qianfan.resources.messages": ["QfMessages", "QfResponse", "QfRole"],
            "qianfan.resources.platform": ["Platform"],
            "qianfan.resources.tokenizer": ["Tokenizer"],
        },
    )

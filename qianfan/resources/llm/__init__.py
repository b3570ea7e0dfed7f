"""Model calls: chat, completion, embeddings, ranking, pictures."""

from typing import TYPE_CHECKING

from qianfan._lazy import lazy_names

__all__ = [
    "BatchRequestFuture",
    "ChatCompletion",
    "Completion",
    "Embedding",
    "Image2Text",
    "ModelInfo",
    "Plugin",
    "Reranker",
    "Text2Image",
]

if TYPE_CHECKING:
    from qianfan.resources.llm.batch import BatchRequestFuture
    from qianfan.resources.llm.chat_completion import ChatCompletion
    from qianfan.resources.llm.completion import Completion
    from qianfan.resources.llm.embedding import Embedding
    from qianfan.resources.llm.images import Image2Text, Text2Image
    from qianfan.resources.llm.plugin import Plugin
    from qianfan.resources.llm.presets import ModelInfo
    from qianfan.resources.llm.rerank import Reranker
else:
    # Each kind is a module of its own, so that none has to load the others.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "qianfan.resources.llm.batch": ["BatchRequestFuture"],
            "qianfan.resources.llm.chat_completion": ["ChatCompletion"],
            "qianfan.resources.llm.completion": ["Completion"],
            "qianfan.resources.llm.embedding": ["Embedding"],
            "qianfan.resources.llm.images": ["Image2Text", "Text2Image"],
            "qianfan.resources.llm.plugin": ["Plugin"],
            "qianfan.resources.llm.presets": ["ModelInfo"],
            "qianfan.resources.llm.rerank": ["Reranker"],
        },
    )

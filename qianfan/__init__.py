"""Fine-tune large language models on Baidu's Qianfan platform.

```python
from qianfan.dataset import Dataset
from qianfan.trainer import LLMFinetune

LLMFinetune(train_type="ERNIE-Speed-8K", dataset=Dataset.load(data_file="rows.jsonl")).run()
```
"""

from typing import TYPE_CHECKING

from qianfan._lazy import lazy_names

__version__ = "1.0.0a1"

__all__ = [
    "AK",
    "SK",
    "AccessKey",
    "AccessToken",
    "ChatCompletion",
    "Client",
    "Completion",
    "Embedding",
    "Image2Text",
    "Messages",
    "Plugin",
    "QfMessages",
    "QfResponse",
    "QfRole",
    "Qianfan",
    "Reranker",
    "Response",
    "Role",
    "SecretKey",
    "Settings",
    "Text2Image",
    "Tokenizer",
    "__version__",
    "disable_log",
    "enable_log",
    "get_config",
    "get_config_with_kwargs",
]

if TYPE_CHECKING:
    from qianfan._transport import Client
    from qianfan.config import (
        AK,
        SK,
        AccessKey,
        AccessToken,
        SecretKey,
        Settings,
        get_config,
        get_config_with_kwargs,
    )
    from qianfan.resources import (
        ChatCompletion,
        Completion,
        Embedding,
        Image2Text,
        Plugin,
        QfMessages,
        QfResponse,
        QfRole,
        Reranker,
        Text2Image,
        Tokenizer,
    )
    from qianfan.resources.messages import Messages, Response, Role
    from qianfan.resources.openai_style import Qianfan
    from qianfan.utils.logging import disable_log, enable_log
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "qianfan._transport": ["Client"],
            "qianfan.config": [
                "AK",
                "SK",
                "AccessKey",
                "AccessToken",
                "SecretKey",
                "Settings",
                "get_config",
                "get_config_with_kwargs",
            ],
            "qianfan.resources": [
                "ChatCompletion",
                "Completion",
                "Embedding",
                "Image2Text",
                "Plugin",
                "QfMessages",
                "QfResponse",
                "QfRole",
                "Reranker",
                "Text2Image",
                "Tokenizer",
            ],
            "qianfan.resources.messages": ["Messages", "Response", "Role"],
            "qianfan.resources.openai_style": ["Qianfan"],
            "qianfan.utils.logging": ["disable_log", "enable_log"],
        },
    )
